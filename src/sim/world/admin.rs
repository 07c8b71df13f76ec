//! An administrator who changes the members amid all faults, and readers who want to know how things
//! stand now.
//!
//! Both ask any node, by the documents that a real client sends, and do not ask again. New nodes start
//! with empty disks and are told who the members are, as `raftian join` tells them. Nodes that were
//! removed go on running, and nobody tells them that they were.

use rand::RngExt;

use crate::node::event::{Event, Refusal, Response};
use crate::raft::{NodeId, Standing};
use crate::rpc::value::{Struct, Value};
use crate::rpc::xml;

use super::super::checker::Violation;
use super::super::markers::Marker;
use super::messages::{bad_codec, read_question};
use super::{Checked, Happening, Node, SERVED_WITHIN, Token, World};

/// How many nodes there ever are.
const MOST_NODES: u64 = 14;

/// Who asks, in a node's list of those who wait.
pub(super) const READERS: usize = usize::MAX;
pub(super) const ADMIN: usize = usize::MAX - 1;

impl World<'_> {
    /// The administrator acts.
    pub(super) fn administer(&mut self) -> Checked {
        if self.is_calm {
            return Ok(());
        }
        let (_, configuration) = self.checker.configuration();
        let configuration = configuration.clone();
        let with = |standing: Option<Standing>| -> Vec<NodeId> {
            let members = configuration.members().iter();
            let those = members.filter(|(_, m)| standing.is_none_or(|s| m.standing == s));
            those.map(|(&id, _)| id).collect()
        };
        let (voters, learners) = (with(Some(Standing::Voter)), with(Some(Standing::Learner)));
        let some = |of: &[NodeId], rng: &mut rand::rngs::Xoshiro256PlusPlus| {
            of.get(rng.random_range(0..of.len().max(1))).copied()
        };
        let mut added = Vec::new();
        let (method, params) = match self.rng.random_range(0..12) {
            0..=2 if configuration.members().len() < 9 => {
                let count = self.rng.random_range(1..=2);
                for _ in 0..count {
                    if self.next_id <= MOST_NODES {
                        added.push(self.next_id);
                        self.next_id += 1;
                    }
                }
                // Now and then somebody who is a member already.
                let again = self.rng.random_ratio(1, 8);
                let known = some(&voters, &mut self.rng).filter(|_| again);
                let all = added.iter().chain(&known).map(|&id| newcomer(id));
                ("cluster.add", vec![Value::Array(all.collect())])
            }
            3..=8 if !learners.is_empty() => {
                let ids = match self.rng.random_ratio(1, 2) {
                    true => learners.clone(),
                    false => some(&learners, &mut self.rng).into_iter().collect(),
                };
                let leaves = self.rng.random_ratio(1, 2);
                let others = some(&voters, &mut self.rng).filter(|_| leaves);
                let others: Vec<NodeId> = others.into_iter().collect();
                ("cluster.promote", vec![numbers(&ids), numbers(&others)])
            }
            8 | 9 => {
                let all = with(None);
                let ids = match self.rng.random_range(0..8) {
                    0 => voters.clone(),
                    1 => vec![99],
                    _ => some(&all, &mut self.rng).into_iter().collect(),
                };
                ("cluster.remove", vec![numbers(&ids)])
            }
            10 => ("cluster.transfer", vec![]),
            _ => {
                let all = with(None);
                let to = some(&all, &mut self.rng);
                let to = to.map(|id| Value::Int(id as i64));
                ("cluster.transfer", to.into_iter().collect())
            }
        };
        for id in added {
            self.add_node(id, false);
            self.start(id)?;
        }
        let number = self.new_question();
        let ids = self.ids();
        let to = ids[self.rng.random_range(0..ids.len())];
        let body = xml::encode_call(method, &params);
        for delay in self.network.fate(&mut self.rng).into_iter().take(1) {
            self.after(delay, Happening::Manage(to, number, body.clone()));
        }
        let next = self.rng.random_range(20..self.churn);
        self.after(next, Happening::Administer);
        Ok(())
    }

    /// A node that has not started yet. A founder was told who the members are.
    pub(super) fn add_node(&mut self, id: NodeId, founder: bool) {
        let segment_bytes = self.segment_bytes;
        self.nodes.insert(id, Node::new(id, segment_bytes, founder));
    }

    pub(super) fn new_question(&mut self) -> u64 {
        self.questions += 1;
        self.questions
    }

    pub(super) fn manage(&mut self, to: NodeId, number: u64, bytes: &[u8]) -> Checked {
        let question = read_question(bytes)?;
        let now = self.now;
        let node = self.node(to);
        if node.driver.is_some() {
            node.asked.insert((ADMIN, number), now);
        }
        self.drive(to, |driver, now| {
            driver.handle(now, Event::Asked(Token::Admin(number), question))
        })
    }

    /// What came of it, as far as the node can say.
    pub(super) fn managed(
        &mut self,
        id: NodeId,
        number: u64,
        answer: &Result<Response, Refusal>,
    ) -> Checked {
        if self.node(id).asked.remove(&(ADMIN, number)).is_none() {
            return Err(Violation {
                invariant: "every question gets one answer",
                detail: format!("node {id}: {answer:?}"),
            });
        }
        let marker = match answer {
            Ok(Response::Members(_)) => None,
            Ok(Response::Leads { .. }) => Some(Marker::Transferred),
            Ok(_) => return Err(bad_codec("a change got the answer to another question")),
            Err(Refusal::ChangeUnknown) => Some(Marker::ChangeUnknown),
            Err(Refusal::NotDone(why)) if why.contains("under way") => Some(Marker::ChangeUnderWay),
            Err(Refusal::NotDone(why)) if why.contains("caught up") => Some(Marker::ChangeBehind),
            Err(Refusal::NotDone(why)) if why.contains("took over") => Some(Marker::TransferFails),
            Err(_) => None,
        };
        if let Some(marker) = marker {
            self.checker.markers.mark(marker);
        }
        Ok(())
    }

    // Readers

    /// Somebody asks a node how things stand now.
    pub(super) fn ask_to_read(&mut self, to: NodeId) {
        let number = self.new_question();
        let mut options = Struct::default();
        options.insert("stale", Value::Bool(false));
        let body = xml::encode_call("game.state", &[Value::Struct(options)]);
        for delay in self.network.fate(&mut self.rng).into_iter().take(1) {
            self.after(delay, Happening::Read(to, number, body.clone()));
        }
    }

    pub(super) fn read(&mut self, to: NodeId, number: u64, bytes: &[u8]) -> Checked {
        let question = read_question(bytes)?;
        let (now, told) = (self.now, self.checker.told());
        let node = self.node(to);
        if node.driver.is_some() {
            node.asked.insert((READERS, number), now);
        }
        let token = Token::Reader { number, told };
        self.drive(to, |driver, now| {
            driver.handle(now, Event::Asked(token, question))
        })
    }

    pub(super) fn was_read(
        &mut self,
        id: NodeId,
        (number, told): (u64, u64),
        answer: &Result<Response, Refusal>,
    ) -> Checked {
        let broken = |invariant, since| {
            let detail = format!("node {id}: a read since {since:?}: {answer:?}");
            Err(Violation { invariant, detail })
        };
        let since = self.node(id).asked.remove(&(READERS, number));
        let Some(since) = since else {
            return broken("every question gets one answer", since);
        };
        let at_peace = self.peace.is_some_and(|peace| peace.since <= since);
        if at_peace && (answer.is_err() || since + SERVED_WITHIN < self.now) {
            return broken("at peace, every read is served soon", Some(since));
        }
        let state = match answer {
            Ok(Response::State(state)) => state,
            Ok(_) => return Err(bad_codec("a read got the answer to another question")),
            Err(_) => {
                self.checker.markers.mark(Marker::ReadGivenUp);
                return Ok(());
            }
        };
        self.reads += 1;
        let leads = self.leaders().contains(&id);
        self.checker.markers.mark(match leads {
            true => Marker::ReadByLeader,
            false => Marker::ReadByFollower,
        });
        self.checker.read(state, told)
    }
}

/// A node as `cluster.add` takes it.
fn newcomer(id: NodeId) -> Value {
    let mut member = Struct::default();
    member.insert("id", Value::Int(id as i64));
    member.insert("name", Value::from(name(id)));
    member.insert("address", Value::from(address(id)));
    Value::Struct(member)
}

/// What a simulated node is called.
pub(super) fn name(id: NodeId) -> String {
    format!("bob{id}")
}

/// Where a simulated node is.
pub(super) fn address(id: NodeId) -> String {
    format!("10.0.0.{id}:8000")
}

fn numbers(ids: &[NodeId]) -> Value {
    Value::Array(ids.iter().map(|&id| Value::Int(id as i64)).collect())
}
