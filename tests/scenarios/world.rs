//! Where a scenario takes place: some nodes, and links between them.
//!
//! [`World`] is what a scenario may do and see. What it must be given is short, so that nodes need not
//! be processes of this machine: whoever can start, kill and pause them, and can lose requests or
//! replies between two of them, has a world. The rest is made of that. There are two of them: processes
//! with a proxy on each link (`processes.rs`) and containers with rules for packets (`containers.rs`).
//! What is common to them is here, and neither.
//!
//! How a scenario tells that enough time has passed: from the nodes' traces, which both worlds can read.
//! A trace has every tick of a node's own clock, and every request that the node sent, whether or not it
//! arrived. So on a machine that is busy a scenario waits longer, and what it says of ten election timeouts
//! is true of those that the node has lived through.
//!
//! It leaves out whatever only one kind of world can do, such as links that lose one request in ten.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use raftian::command::Command;
use raftian::machine::Answer;
use raftian::node::event::{Forward, ForwardReply};
use raftian::rpc::client::{CallError, Client};
use raftian::rpc::codec;
use raftian::rpc::value::{Fault, Struct, Value};
use raftian::status::Status;

use crate::support::{self, Timing};

/// Longer than a node lets anybody wait.
const WITHIN: Duration = Duration::from_secs(20);

/// Nodes 1 to n, none of which is running at first, and links between them.
pub trait World: Sized {
    /// All ids, running or not.
    fn ids(&self) -> Vec<u64>;
    /// The ids of those that run and are not paused.
    fn running(&self) -> Vec<u64>;
    /// How patient the nodes are.
    fn timing(&self) -> Timing;
    /// `HOST:PORT` where a client finds a node, whatever the links between nodes do.
    fn address(&self, id: u64) -> String;

    /// Starts a node with whatever it has kept, and waits until it is ready.
    fn start(&mut self, id: u64);
    /// Kills a node without a warning.
    fn kill(&mut self, id: u64);
    /// Stops a node in its tracks. Whoever calls it waits.
    fn pause(&mut self, id: u64);
    /// Lets a paused node go on.
    fn resume(&mut self, id: u64);

    /// From now on no request from one node reaches the other. Those the other way, and their replies,
    /// do.
    fn lose_requests(&self, from: u64, to: u64);
    /// From now on one node's requests reach the other, and it gets no reply.
    fn lose_replies(&self, from: u64, to: u64);
    /// All is well again with what one node asks of the other.
    fn heal(&self, from: u64, to: u64);

    /// How a node stands; `None` when it does not say.
    fn status(&self, id: u64) -> Option<Status>;
    /// A node's orders.log.
    fn orders(&self, id: u64) -> String;
    /// The trace of a node's present life, as far as it is written: the last tenth of a second is not.
    fn trace(&self, id: u64) -> String;
    /// How many elections were won since the logs began.
    fn victories(&self) -> usize;
    /// Asserts that `raftian verify` passes on the log files.
    fn verify(&self);
    /// What everyone says, for whoever reads why a scenario failed.
    fn report(&self) -> String;

    // What is made of it

    /// Waits until there is an answer.
    fn wait_for<T>(&self, what: &str, mut look: impl FnMut(&Self) -> Option<T>) -> T {
        support::wait_for(what, || look(self), || self.report())
    }

    /// Waits until a condition holds.
    fn wait_until(&self, what: &str, mut holds: impl FnMut(&Self) -> bool) {
        self.wait_for(what, |world| holds(world).then_some(()));
    }

    /// How these nodes stand; `None` when one does not say.
    fn statuses(&self, ids: &[u64]) -> Option<Vec<Status>> {
        ids.iter().map(|&id| self.status(id)).collect()
    }

    /// Waits until these follow one of them in the same term; its id and the term.
    fn wait_for_leader_of(&self, ids: &[u64]) -> (u64, u64) {
        self.wait_for("a leader whom all follow", |world| {
            support::whom_all_follow(&world.statuses(ids)?)
        })
    }

    /// Waits until all that run follow one of them.
    fn wait_for_leader(&self) -> (u64, u64) {
        self.wait_for_leader_of(&self.running())
    }

    /// Waits until all that run have applied the same entries, every one that there is.
    fn wait_until_equal(&self) -> u64 {
        self.wait_for("the same entries applied everywhere", |world| {
            support::what_all_have_applied(&world.statuses(&world.running())?)
        })
    }

    /// The milliseconds that a node has lived through, by the last tick in its trace. Too few, if
    /// anything.
    fn clock(&self, id: u64) -> u64 {
        let tick = |line: &str| {
            let rest = line.strip_prefix("{\"input\":{\"tick\":")?;
            // The last line may be half written.
            rest.split_once('}')?.0.parse().ok()
        };
        self.trace(id).lines().rev().find_map(tick).unwrap_or(0)
    }

    /// What a node's clock shows when it has lived through so many election timeouts from now on, the
    /// longest. One more is added for what is not in the trace yet.
    fn clock_after(&self, timeouts: u64, id: u64) -> u64 {
        self.clock(id) + (timeouts + 1) * self.timing().election_timeout.1
    }

    /// Waits until a node has lived through so many election timeouts. Looks again and again whether all
    /// is as it should be.
    fn time_passes(&self, timeouts: u64, id: u64, mut check: impl FnMut(&Self)) {
        let until = self.clock_after(timeouts, id);
        let what = format!("{timeouts} election timeouts of node {id}");
        self.wait_until(&what, |world| {
            check(world);
            world.clock(id) >= until
        });
    }

    /// How many requests one node has sent to another in its present life, whether or not they arrived.
    fn requests(&self, from: u64, to: u64) -> usize {
        let trace = self.trace(from);
        let to = format!("{{\"to\":{to},\"call\":");
        // A call that was lost is named in the same way.
        let sent = |rest: &&str| {
            let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit());
            rest.starts_with(",\"request\":")
        };
        trace.split(&to).skip(1).filter(sent).count()
    }

    /// Calls a method of a node, once.
    fn call(&self, id: u64, method: &str, params: &[Value]) -> Result<Value, CallError> {
        Client::new(&self.address(id), WITHIN).call(method, params)
    }

    /// Submits a command until there is an answer, always the same one.
    fn insist(&self, id: u64, client: &str, serial: u64, text: &str) -> Answer {
        insist(&[self.address(id)], client, serial, text)
            .unwrap_or_else(|why| panic!("{why}\n{}", self.report()))
    }

    /// Has a leader append commands for which nobody waits, as if another node had forwarded them: so
    /// nobody sends them again when they are overwritten. Returns the first one's index.
    fn append(
        &self,
        leader: u64,
        client: &str,
        serials: std::ops::RangeInclusive<u64>,
        text: &str,
    ) -> u64 {
        self.try_append(leader, client, serials, text)
            .unwrap_or_else(|| panic!("node {leader} does not lead any more\n{}", self.report()))
    }

    /// The same; `None` when that node does not lead.
    fn try_append(
        &self,
        leader: u64,
        client: &str,
        serials: std::ops::RangeInclusive<u64>,
        text: &str,
    ) -> Option<u64> {
        let command = |serial| {
            Arc::new(Command {
                client: client.to_string(),
                serial,
                text: text.to_string(),
            })
        };
        let forward = Forward {
            sender_id: 1 + leader % self.ids().len() as u64,
            commands: serials.map(command).collect(),
        };
        let reply = self.call(leader, "forward_rpc", &[codec::forward(&forward)]);
        match codec::decode_forward_reply(&reply.ok()?).unwrap() {
            ForwardReply::Appended { index, .. } => Some(index),
            ForwardReply::NotAppended { .. } => None,
        }
    }

    /// The first log files of all are equal to the end.
    fn wait_for_equal_orders(&self) {
        self.wait_until_equal();
        self.wait_until("the same orders.log everywhere", |world| {
            let mut orders = world.ids().into_iter().map(|id| world.orders(id));
            let first = orders.next().unwrap();
            orders.all(|other| other == first)
        });
    }
}

/// Submits a command to one node after the other until there is an answer, always the same one.
pub fn insist(
    addresses: &[String],
    client: &str,
    serial: u64,
    text: &str,
) -> Result<Answer, String> {
    // A node that is paused or has nobody to ask must not hold up whoever could ask another.
    let within = match addresses.len() {
        1 => WITHIN,
        _ => Duration::from_secs(1),
    };
    let clients: Vec<Client> = addresses.iter().map(|to| Client::new(to, within)).collect();
    let mut turn = clients.iter().cycle().skip(serial as usize % clients.len());
    let mut last = String::new();
    support::wait_for(
        &format!("an answer to {client} {serial}"),
        || match support::submit(turn.next()?, client, serial, text) {
            Ok(answer) => Some(Ok(answer)),
            Err(CallError::Fault(fault))
                if ![Fault::APPLICATION, Fault::INTERNAL].contains(&fault.code) =>
            {
                Some(Err(fault.to_string()))
            }
            Err(error) => {
                last = error.to_string();
                None
            }
        },
        String::new,
    )
}

/// A linearizable look at the board: the index that it shows.
pub fn read(client: &Client) -> Result<u64, CallError> {
    let mut options = Struct::default();
    options.insert("stale", Value::Bool(false));
    let state = client.call("game.state", &[Value::Struct(options)])?;
    let Value::Struct(members) = &state else {
        panic!("{state:?} is no struct");
    };
    match members.get("index") {
        Some(&Value::Int(index)) => Ok(index as u64),
        other => panic!("index {other:?}"),
    }
}

/// What all nodes together have written to their orders.log, by index: term, command and outcome.
/// Asserts that no two differ.
pub fn applied(world: &impl World) -> BTreeMap<u64, [String; 3]> {
    let mut applied = BTreeMap::new();
    for id in world.ids() {
        for line in world.orders(id).lines() {
            let columns: Vec<&str> = line.split('\t').collect();
            let [index, term, command, outcome, _digest] = columns[..] else {
                panic!("not a line of orders.log: {line:?}");
            };
            let order = [term, command, outcome].map(str::to_string);
            let earlier = applied.insert(index.parse().unwrap(), order.clone());
            assert!(earlier.is_none_or(|e| e == order), "{}", world.report());
        }
    }
    applied
}

/// How often that command was applied, repeats not counted.
pub fn count(world: &impl World, text: &str) -> u64 {
    let applied = applied(world).into_values();
    let mut counted = 0;
    for [_, command, outcome] in applied {
        counted += u64::from(command == text && !outcome.starts_with("duplicate"));
    }
    counted
}
