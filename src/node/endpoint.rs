//! What the HTTP server serves: a question goes to the driver, its answer comes back.

use std::sync::mpsc::{self, Sender};
use std::time::Duration;

use tracing::debug;

use crate::logging::NodeLog;
use crate::rpc::http::{Caller, Service};
use crate::rpc::methods::{self, Asked};
use crate::rpc::value::{Fault, Value};
use crate::rpc::xml;

use super::event::{Event, Question};
use super::runner::{Input, Responder};
use super::submissions::OUTCOME_WITHIN;

/// The driver answers or gives up within its own limits; this is for a driver that hangs.
const ANSWER_WITHIN: Duration = Duration::from_millis(2 * OUTCOME_WITHIN);

/// A node as its callers meet it.
pub struct Endpoint {
    inbox: Sender<Input>,
    log: NodeLog,
}

impl Endpoint {
    /// Questions go to this inbox.
    pub fn new(inbox: Sender<Input>, log: NodeLog) -> Endpoint {
        Endpoint { inbox, log }
    }

    fn ask(&self, question: Question) -> Vec<u8> {
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
        let _guard = self.log.enter();
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

fn fault(code: i32, message: &str) -> Vec<u8> {
    xml::encode_response(&Err::<Value, _>(Fault::new(code, message)))
}
