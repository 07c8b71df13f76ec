//! A client of a key-value store: for programs in Rust, and for `raftian kv`.
//!
//! ```no_run
//! use std::time::Duration;
//! use raftian::kv::client::Client;
//!
//! let nodes = ["127.0.0.1:8001", "127.0.0.1:8002", "127.0.0.1:8003"];
//! let mut store = Client::new(nodes, Duration::from_secs(10));
//! store.put("colour", "red")?;
//! assert_eq!(store.get("colour")?, Some("red".into()));
//! assert_eq!(store.incr("visits")?, 1);
//! # Ok::<(), raftian::kv::client::Error>(())
//! ```
//!
//! It looks for the leader and stays with it, so that nothing is forwarded; when the leader falls, or
//! leads no more, it looks again. A leader that cannot be reached from here is spoken to by way of
//! whoever named it.
//!
//! Promises: each operation ends within the timeout and a second or two. A write is applied exactly once
//! however often it was sent, because it goes out each time under the same name and serial. An error says
//! whether a write may have been applied. Reads are linearizable, but for [`Client::get_stale`].
//!
//! Caveat: a client does one thing at a time. Programs that want more have several.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use super::{Datum, check_key};
use crate::command::printable;
use crate::rpc::client::{CallError, Client as Rpc};
use crate::rpc::codec;
use crate::rpc::value::{Fault, Struct, Value};

/// How long one node may take before another is asked.
const ATTEMPT: Duration = Duration::from_secs(2);
/// Between two attempts.
const PAUSE: Duration = Duration::from_millis(50);

/// Why an operation has no result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// It cannot be done, and was not: one sentence.
    Refused(String),
    /// Nobody did it in time.
    GaveUp {
        /// What was wrong at the last attempt.
        why: String,
        /// It is a write, and may be applied all the same.
        maybe_applied: bool,
        /// After how long.
        after: Duration,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Refused(why) => f.write_str(why),
            Error::GaveUp {
                why,
                maybe_applied,
                after,
            } => {
                write!(f, "gave up after {:.1} s: {why}", after.as_secs_f64())?;
                match maybe_applied {
                    true => f.write_str("; it may have been applied"),
                    false => Ok(()),
                }
            }
        }
    }
}

impl std::error::Error for Error {}

/// A client of a cluster.
#[derive(Debug)]
pub struct Client {
    /// Whom to ask for the leader; whoever failed last comes last.
    nodes: Vec<(String, Rpc)>,
    /// Whom to speak to, until it fails.
    target: Option<(String, Rpc)>,
    name: String,
    serial: i64,
    timeout: Duration,
}

impl Client {
    /// A client of the cluster that these nodes (`HOST:PORT`) belong to, one of which has to be there.
    /// It calls nobody yet.
    pub fn new<A: Into<String>>(nodes: impl IntoIterator<Item = A>, timeout: Duration) -> Client {
        let nodes = nodes.into_iter().map(Into::into);
        Client {
            nodes: nodes.map(|address| rpc(address, timeout)).collect(),
            target: None,
            name: format!("kv-{:016x}", rand::random::<u64>()),
            serial: 0,
            timeout,
        }
    }

    /// Gives the key this value.
    pub fn put(&mut self, key: &str, value: impl Into<Datum>) -> Result<(), Error> {
        self.write("kv.put", key, vec![value.into().into()])
            .map(|_| ())
    }

    /// The key's value.
    pub fn get(&mut self, key: &str) -> Result<Option<Datum>, Error> {
        self.read_value(key, false)
    }

    /// The key's value as some node has it, which may be behind.
    pub fn get_stale(&mut self, key: &str) -> Result<Option<Datum>, Error> {
        self.read_value(key, true)
    }

    /// Takes the key's value away. Whether it had one.
    pub fn delete(&mut self, key: &str) -> Result<bool, Error> {
        let answer = self.write("kv.delete", key, Vec::new())?;
        answer.as_bool().ok_or_else(|| no_answer("a boolean"))
    }

    /// Gives the key a new value if it has the expected one, or none if none is expected. Whether it
    /// did.
    pub fn cas(
        &mut self,
        key: &str,
        expected: Option<Datum>,
        new: impl Into<Datum>,
    ) -> Result<bool, Error> {
        let values = vec![expected.map(Value::from).into(), new.into().into()];
        let answer = self.write("kv.cas", key, values)?;
        answer.as_bool().ok_or_else(|| no_answer("a boolean"))
    }

    /// Appends text to a text, or bytes to bytes. The new length, in bytes.
    pub fn append(&mut self, key: &str, more: impl Into<Datum>) -> Result<u64, Error> {
        let answer = self.write("kv.append", key, vec![more.into().into()])?;
        answer.as_u64().ok_or_else(|| no_answer("a length"))
    }

    /// Adds one to a number. The new number.
    pub fn incr(&mut self, key: &str) -> Result<i64, Error> {
        let answer = self.write("kv.incr", key, Vec::new())?;
        answer.as_int().ok_or_else(|| no_answer("an integer"))
    }

    /// Every key that begins with `prefix`, in order. A list that is longer than one answer is that of
    /// several moments.
    pub fn list(&mut self, prefix: &str) -> Result<Vec<String>, Error> {
        let mut keys: Vec<String> = Vec::new();
        loop {
            let mut options = Struct::default();
            if let Some(last) = keys.last() {
                options.insert("after", last.as_str());
            }
            let answer = self.call("kv.list", &[prefix.into(), options.into()], false)?;
            let more = answer.as_array().ok_or_else(|| no_answer("an array"))?;
            if more.is_empty() {
                return Ok(keys);
            }
            for key in more {
                let key = key.as_str().ok_or_else(|| no_answer("keys"))?;
                if keys.last().is_some_and(|last| last.as_str() >= key) {
                    return Err(no_answer("keys in order"));
                }
                keys.push(key.to_string());
            }
        }
    }

    fn read_value(&mut self, key: &str, stale: bool) -> Result<Option<Datum>, Error> {
        check_key(key).map_err(Error::Refused)?;
        let options = Struct::from([("stale", Value::Bool(stale))]);
        let answer = self.call("kv.get", &[key.into(), options.into()], false)?;
        match answer {
            Value::Nil => Ok(None),
            value => codec::decode_datum(&value, "value")
                .map(Some)
                .map_err(|fault| no_answer(&fault.message)),
        }
    }

    fn write(&mut self, method: &str, key: &str, operands: Vec<Value>) -> Result<Value, Error> {
        check_key(key).map_err(Error::Refused)?;
        for operand in operands.iter().filter(|operand| !operand.is_nil()) {
            codec::decode_datum(operand, "value")
                .map_err(|fault| fault.message)
                .and_then(|datum| datum.check())
                .map_err(Error::Refused)?;
        }
        self.serial += 1;
        let mut params = vec![
            self.name.clone().into(),
            Value::Int(self.serial),
            key.into(),
        ];
        params.extend(operands);
        self.call(method, &params, true)
    }

    /// Calls whoever leads until somebody has an answer.
    fn call(&mut self, method: &str, params: &[Value], is_write: bool) -> Result<Value, Error> {
        let started = Instant::now();
        let mut maybe_applied = false;
        loop {
            let why = match self.find() {
                Err(reason) => reason,
                Ok((address, target)) => match target.call(method, params) {
                    Ok(answer) => return Ok(answer),
                    Err(CallError::Fault(fault)) if is_final(&fault) => {
                        return Err(Error::Refused(printable(&fault.message).into_owned()));
                    }
                    Err(error) => {
                        maybe_applied |= is_write && error.reached();
                        self.lose(&address);
                        format!("{address}: {}", printable(&error.to_string()))
                    }
                },
            };
            if started.elapsed() + PAUSE > self.timeout {
                return Err(Error::GaveUp {
                    why,
                    maybe_applied,
                    after: started.elapsed(),
                });
            }
            thread::sleep(PAUSE);
        }
    }

    /// That node did not do: the others first.
    fn lose(&mut self, address: &str) {
        self.target = None;
        if let Some(at) = self.nodes.iter().position(|(known, _)| known == address) {
            let last = self.nodes.remove(at);
            self.nodes.push(last);
        }
    }

    /// Whom to speak to: the leader, as the first node says that answers.
    fn find(&mut self) -> Result<(String, Rpc), String> {
        if let Some(target) = &self.target {
            return Ok(target.clone());
        }
        let mut why = "no node is given".to_string();
        for (address, node) in &self.nodes {
            let status = match node.call("cluster.status", &[]) {
                Ok(status) => codec::decode_status(&status).map_err(|fault| fault.message),
                Err(error) => Err(error.to_string()),
            };
            let status = match status {
                Ok(status) => status,
                Err(reason) => {
                    why = format!("{address}: {}", printable(&reason));
                    continue;
                }
            };
            let Some(leader) = status.leader else {
                why = format!("{address}: it knows of no leader");
                continue;
            };
            let found = status.peers.iter().find(|peer| peer.id == leader);
            let target = match found {
                Some(peer) if leader != status.id => {
                    let (address, leader) = rpc(peer.address.clone(), self.timeout);
                    match leader.call("cluster.status", &[]) {
                        Ok(_) => Some((address, leader)),
                        Err(_) => None,
                    }
                }
                _ => None,
            };
            let target = target.unwrap_or_else(|| (address.clone(), node.clone()));
            self.target = Some(target.clone());
            return Ok(target);
        }
        // The next round begins with another one.
        if !self.nodes.is_empty() {
            self.nodes.rotate_left(1);
        }
        Err(why)
    }
}

fn rpc(address: String, timeout: Duration) -> (String, Rpc) {
    let rpc = Rpc::new(&address, timeout.min(ATTEMPT));
    (address, rpc)
}

/// Whether the answer would be the same from anybody: the rest passes.
fn is_final(fault: &Fault) -> bool {
    fault.code != Fault::APPLICATION && fault.code != Fault::INTERNAL
}

fn no_answer(wanted: &str) -> Error {
    Error::Refused(format!("the node's answer is none: {wanted} is wanted"))
}
