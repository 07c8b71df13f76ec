//! Clients that do not give up: each repeats a command, at any node, until it has an outcome.
//!
//! A client has up to three commands under way at once, so that forwarding can reorder them, and
//! now and then sends one to two nodes at the same time. Some leave gaps between their serials, so
//! that what is late falls out of the window. A node's own `game.attack` is not used:
//! what these clients send can be checked by its identity.

use std::collections::BTreeMap;
use std::fmt;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use crate::command::Command;
use crate::machine::{Answer, WINDOW};
use crate::node::submissions::OUTCOME_WITHIN;
use crate::raft::NodeId;
use crate::rpc::value::{Fault, Value};
use crate::rpc::xml;

const AT_ONCE: usize = 3;
/// Whoever waits for so many milliseconds gets the node's last word.
const PATIENT: u64 = OUTCOME_WITHIN + 500;

/// One request of one client to one node.
#[derive(Clone, Debug)]
pub struct Attempt {
    client: usize,
    number: u64,
    pub to: NodeId,
    pub command: Command,
    /// After how many milliseconds the client stops waiting.
    pub patience: u64,
}

impl Attempt {
    /// What tells it from every other attempt.
    pub fn name(&self) -> (usize, u64) {
        (self.client, self.number)
    }

    /// The request as it crosses the network.
    pub fn bytes(&self) -> Vec<u8> {
        xml::encode_call(
            "submit_rpc",
            &[
                Value::String(self.command.client.clone()),
                Value::Int(self.command.serial as i64),
                Value::String(self.command.text.clone()),
            ],
        )
    }
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} {} {:?} to {}",
            self.command.client, self.command.serial, self.command.text, self.to
        )
    }
}

/// Every client.
pub struct Clients {
    clients: Vec<Client>,
    answered: u64,
}

struct Client {
    name: String,
    next_serial: u64,
    /// From one serial to the next. With a long one, a few commands fill the window.
    stride: u64,
    next_attempt: u64,
    wanted: BTreeMap<u64, Wanted>,
}

/// A command without an outcome.
struct Wanted {
    command: Command,
    /// Attempts under way, by number.
    attempts: Vec<u64>,
    /// Every attempt so far was refused with the word that nothing was appended.
    denied: bool,
}

impl Clients {
    pub fn new(count: usize, rng: &mut Xoshiro256PlusPlus) -> Clients {
        let clients = (0..count)
            .map(|client| Client {
                name: format!("client{client}-{:04x}", rng.random_range(0..0x10000)),
                next_serial: 1,
                stride: [1, 1, WINDOW / 4, WINDOW / 2][rng.random_range(0..4)],
                next_attempt: 1,
                wanted: BTreeMap::new(),
            })
            .collect();
        Clients {
            clients,
            answered: 0,
        }
    }

    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// How many commands have got an outcome.
    pub fn answered(&self) -> u64 {
        self.answered
    }

    /// Whether nobody waits for anything.
    pub fn are_idle(&self) -> bool {
        self.clients.iter().all(|client| client.wanted.is_empty())
    }

    /// A client's next requests. When it `finishes`, it starts nothing new.
    pub fn act(
        &mut self,
        client: usize,
        nodes: &[NodeId],
        finishes: bool,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Vec<Attempt> {
        let number = client;
        let client = &mut self.clients[client];
        let to = nodes[rng.random_range(0..nodes.len())];
        if !finishes {
            let most = rng.random_range(1..=AT_ONCE);
            while client.wanted.len() < most {
                client.want(nodes, rng);
            }
        }
        let mut attempts = Vec::new();
        for wanted in client.wanted.values_mut() {
            if !wanted.attempts.is_empty() {
                continue;
            }
            let copies = if rng.random_ratio(1, 10) { 2 } else { 1 };
            for copy in 0..copies {
                // Together, so that they meet; the copy elsewhere, perhaps.
                let to = match copy {
                    0 => to,
                    _ => nodes[rng.random_range(0..nodes.len())],
                };
                wanted.attempts.push(client.next_attempt);
                attempts.push(Attempt {
                    client: number,
                    number: client.next_attempt,
                    to,
                    command: wanted.command.clone(),
                    patience: if rng.random_ratio(1, 2) {
                        PATIENT
                    } else {
                        rng.random_range(100..PATIENT)
                    },
                });
                client.next_attempt += 1;
            }
        }
        attempts
    }

    /// The client stops waiting for that attempt, and will try again.
    pub fn gave_up(&mut self, attempt: &Attempt) {
        if let Some(wanted) = self.end(attempt) {
            wanted.denied = false;
        }
    }

    /// An answer has come. True: the client drops the command, having been told every time that
    /// nothing was appended.
    pub fn answer(
        &mut self,
        attempt: &Attempt,
        answer: Result<Answer, Fault>,
        rng: &mut Xoshiro256PlusPlus,
    ) -> bool {
        let serial = attempt.command.serial;
        let Some(wanted) = self.end(attempt) else {
            return false;
        };
        match answer {
            Ok(_) => {
                self.clients[attempt.client].wanted.remove(&serial);
                self.answered += 1;
                false
            }
            // Of no use any more: the serial is too old, or the player has gone.
            Err(fault)
                if fault.message.contains("use a new serial")
                    || fault.code == Fault::WRONG_PARAMETERS =>
            {
                self.clients[attempt.client].wanted.remove(&serial);
                false
            }
            Err(fault) => {
                wanted.denied &= fault.message.contains("nothing was appended");
                let drops = wanted.denied && wanted.attempts.is_empty() && rng.random_ratio(1, 2);
                if drops {
                    self.clients[attempt.client].wanted.remove(&serial);
                }
                drops
            }
        }
    }

    /// The command of an attempt that is still waited for; the attempt is over.
    fn end(&mut self, attempt: &Attempt) -> Option<&mut Wanted> {
        let wanted = self.clients[attempt.client]
            .wanted
            .get_mut(&attempt.command.serial)?;
        let position = wanted
            .attempts
            .iter()
            .position(|&number| number == attempt.number)?;
        wanted.attempts.remove(position);
        Some(wanted)
    }
}

impl Client {
    fn want(&mut self, nodes: &[NodeId], rng: &mut Xoshiro256PlusPlus) {
        let serial = self.next_serial;
        self.next_serial += self.stride;
        let target = nodes[rng.random_range(0..nodes.len())];
        let command = Command::new(self.name.clone(), serial, format!("attack {target}"))
            .expect("a short command");
        self.wanted.insert(
            serial,
            Wanted {
                command,
                attempts: Vec::new(),
                denied: true,
            },
        );
    }
}
