//! What the HTTP server serves: a question goes to the driver, its answer comes back.
//!
//! A client's command may take seconds, and holds its connection meanwhile. So only as many may
//! wait at once as leave the peers' places free: without a quorum all would wait, and the peers
//! that could end the waiting must get in.

use std::sync::mpsc::{self, Sender};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use tracing::debug;

use crate::rpc::http::{Caller, Service};
use crate::rpc::methods::{self, Asked};
use crate::rpc::value::{Fault, Value};
use crate::rpc::xml;

use super::event::{Event, Question, Refusal};
use super::runner::{Input, Responder};
use super::submissions::OUTCOME_WITHIN;

/// The driver answers or gives up within its own limits; this is for a driver that hangs.
const ANSWER_WITHIN: Duration = Duration::from_millis(2 * OUTCOME_WITHIN);

/// How long a command may wait for others to be done waiting.
const TURN_WITHIN: Duration = Duration::from_secs(1);

/// A node as its callers meet it.
pub struct Endpoint {
    inbox: Sender<Input>,
    turns: Turns,
}

impl Endpoint {
    /// Questions go to this inbox; at most `patient` commands wait for their outcome at once.
    pub fn new(inbox: Sender<Input>, patient: usize) -> Endpoint {
        Endpoint {
            inbox,
            turns: Turns {
                free: Mutex::new(patient),
                freed: Condvar::new(),
            },
        }
    }

    fn ask(&self, question: Question) -> Vec<u8> {
        let _turn = match question {
            Question::Submit(_)
            | Question::Attack(_)
            | Question::Do(_)
            | Question::Write(_)
            | Question::Read { stale: false, .. } => match self.turns.take() {
                Some(turn) => Some(turn),
                None => return methods::write(Err(Refusal::Full)),
            },
            Question::Raft(_)
            | Question::Forward(_)
            | Question::Errand { .. }
            | Question::Read { stale: true, .. }
            | Question::Members
            | Question::Status => None,
        };
        let (responder, answer): (Responder, _) = mpsc::sync_channel(1);
        let event = Event::Asked(responder, question);
        if self.inbox.send(Input::Event(event)).is_err() {
            return fault(Fault::INTERNAL, "the node is stopping");
        }
        match answer.recv_timeout(ANSWER_WITHIN) {
            Ok(answer) => methods::write(answer),
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                fault(Fault::INTERNAL, "the node is stopping")
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {
                fault(Fault::INTERNAL, "the node did not answer in time")
            }
        }
    }
}

impl Service for Endpoint {
    fn call(&self, body: &[u8], caller: &mut Caller) -> Vec<u8> {
        let (asked, by_peers) = methods::read(body);
        match asked {
            Ok(Asked::Question(question)) => {
                if by_peers {
                    caller.mark_peer();
                }
                self.ask(question)
            }
            Ok(Asked::Known(value)) => xml::encode_response(&Ok(value)),
            Err(refused) => {
                debug!("{}: {refused}", caller.addr());
                xml::encode_response(&Err(refused))
            }
        }
    }
}

/// How many more commands may wait.
struct Turns {
    free: Mutex<usize>,
    freed: Condvar,
}

/// The right to wait, until it is dropped.
struct Turn<'a>(&'a Turns);

impl Turns {
    fn take(&self) -> Option<Turn<'_>> {
        let free = self.free.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut free, _) = self
            .freed
            .wait_timeout_while(free, TURN_WITHIN, |free| *free == 0)
            .unwrap_or_else(PoisonError::into_inner);
        if *free == 0 {
            return None;
        }
        *free -= 1;
        Some(Turn(self))
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        *self.0.free.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.0.freed.notify_one();
    }
}

fn fault(code: i32, message: &str) -> Vec<u8> {
    xml::encode_response(&Err::<Value, _>(Fault::new(code, message)))
}
