//! What of a core can make a difference, as bytes: how the model checker (`crate::model`) tells two
//! states apart.
//!
//! Every field of the core is named here, so that a new one does not compile before somebody has
//! decided whether it matters. Left out is what changes nothing but when something happens, or what
//! it is called:
//!
//! - the clock and the deadlines. The model has time pass in two ways only: a heartbeat interval,
//!   which never reaches an election deadline, and more than the longest election timeout, which
//!   always does. What is left of a deadline between the two is whether a heartbeat is overdue;
//! - the generator of timeouts, which the model sets to one length;
//! - when a leader stops to tell somebody who has left. It has more patience than the model has
//!   heartbeats, and giving up is no more than losing what it would have said;
//! - who was introduced, because everybody is introduced to everybody;
//! - that an election was asked for by the leader, which only CheckQuorum asks about, and reads and
//!   transfers, which the model has none of;
//! - the names of calls. Whether a call is awaited is said for the message ([`Raft::awaits`]), and
//!   that one is under way, and what it asked, here.
//!
//! Nodes' names are exchanged for places in an order that the model chooses: two states that differ
//! in names only are one.

use super::configuration::Configuration;
use super::message::{CallId, Entry, Payload};
use super::progress::{InFlight, Progress, Sent, SentAppend};
use super::ready::{HardState, Ready};
use super::role::{Candidate, Follower, Leader, Role};
use super::{Disk, Log, NodeId, Raft};

/// Numbers as bytes, nodes as places.
pub(crate) struct View<'a> {
    /// The nodes, in the order in which they are written.
    pub order: &'a [NodeId],
    /// What has been written.
    pub bytes: Vec<u8>,
}

impl View<'_> {
    /// A small number.
    pub fn number(&mut self, number: u64) {
        self.bytes
            .push(u8::try_from(number).expect("a model is small"));
    }

    /// A node, by its place; 0 for nobody.
    pub fn node(&mut self, node: Option<NodeId>) {
        let place = |id| self.order.iter().position(|&other| other == id);
        let place = node.map(|id| place(id).expect("it is a member") as u64 + 1);
        self.number(place.unwrap_or(0));
    }

    /// Term and vote.
    pub fn hard_state(&mut self, hard_state: &HardState) {
        self.number(hard_state.current_term);
        self.node(hard_state.voted_for);
    }

    /// An entry, but for its index.
    pub fn entry(&mut self, entry: &Entry) {
        self.number(entry.term);
        self.number(match &entry.payload {
            Payload::Noop => 0,
            Payload::Command(command) => command.serial + 1,
            Payload::Founding(_) | Payload::Configuration(_) => u64::from(u8::MAX),
        });
        if let Some(configuration) = entry.payload.configuration() {
            self.configuration(configuration);
        }
    }

    /// Where each node stands.
    pub fn configuration(&mut self, configuration: &Configuration) {
        for &id in self.order {
            let standing = configuration.standing(id);
            self.number(standing.map_or(0, |standing| standing as u64 + 1));
        }
    }

    /// Entries, as many as there are.
    pub fn entries(&mut self, entries: &[Entry]) {
        self.number(entries.len() as u64);
        for entry in entries {
            self.entry(entry);
        }
    }

    /// A whole log.
    pub fn log(&mut self, log: &Log) {
        self.number(log.base_index());
        self.entries(log.from(1));
    }
}

impl Raft {
    /// Whether a reply to this call would be counted.
    pub(crate) fn awaits(&self, peer: NodeId, call: CallId) -> bool {
        match &self.role {
            Role::Follower(_) => false,
            Role::PreCandidate(candidate) | Role::Candidate(candidate) => {
                candidate.asked.get(&peer) == Some(&call)
            }
            Role::Leader(leader) => leader.progress.get(&peer).is_some_and(|progress| {
                progress
                    .in_flight
                    .is_some_and(|in_flight| in_flight.call == call)
            }),
        }
    }

    /// Writes down all that can make a difference.
    pub(crate) fn view(&self, view: &mut View<'_>) {
        let Raft {
            config,
            current_term,
            voted_for,
            log,
            snapshot,
            configurations,
            commit_index,
            last_applied,
            role,
            introduced,
            staged,
            disk,
            now,
            rng: _,
            next_call: _,
            ready,
            saved_hard_state,
        } = self;
        assert!(
            snapshot.is_none() && staged.is_none() && *ready == Ready::default(),
            "the model has no snapshots, and looks between steps"
        );
        let mut others = view.order.iter().filter(|&&id| id != config.id);
        assert!(
            others.all(|id| introduced.contains(id)) && !config.check_quorum,
            "in the model everybody hears everybody"
        );
        view.number(*current_term);
        view.node(*voted_for);
        view.log(log);
        // They follow from the log, unless a mistake is planted, and from what the node was started
        // with, which is the one at index 0.
        let configurations = configurations.since(0);
        view.number(configurations.len() as u64);
        for (index, configuration) in configurations {
            view.number(*index);
            view.configuration(configuration);
        }
        view.number(*commit_index);
        view.number(*last_applied);
        view.number(match disk {
            Disk::Ready => 0,
            Disk::Busy => 1,
            Disk::Full => 2,
        });
        view.hard_state(saved_hard_state);
        match role {
            Role::Follower(Follower {
                leader,
                heard_at: _,
                election_deadline: _,
            }) => {
                view.number(0);
                view.node(*leader);
            }
            Role::PreCandidate(_) => panic!("the model has no PreVote"),
            Role::Candidate(Candidate {
                votes,
                asked,
                answered,
                retry_at: _,
                election_deadline: _,
                transfer: _,
            }) => {
                view.number(1);
                for id in view.order {
                    let votes = u64::from(votes.contains(id));
                    let asked = u64::from(asked.contains_key(id));
                    let answered = u64::from(answered.contains(id));
                    view.number(votes + 2 * asked + 4 * answered);
                }
            }
            Role::Leader(Leader {
                progress,
                saved_index,
                began_at: _,
                round: _,
                reads,
                transfer,
            }) => {
                assert!(
                    reads.is_empty() && transfer.is_none(),
                    "the model has no reads and no transfers"
                );
                view.number(2);
                view.number(*saved_index);
                for id in view.order {
                    let progress = progress.get(id);
                    view.number(u64::from(progress.is_some()));
                    if let Some(progress) = progress {
                        progress.view(*now, view);
                    }
                }
            }
        }
    }
}

impl Progress {
    fn view(&self, now: u64, view: &mut View<'_>) {
        let Progress {
            next_index,
            match_index,
            sending,
            in_flight,
            told_commit,
            heard_at: _,
            heartbeat_at,
            asked_round: _,
            confirmed_round: _,
            leaves_at,
            is_suspect,
        } = self;
        assert!(sending.is_none(), "the model has no snapshots");
        view.number(*next_index);
        view.number(*match_index);
        view.number(*told_commit);
        view.number(
            u64::from(now >= *heartbeat_at)
                + 2 * u64::from(*is_suspect)
                + 4 * u64::from(leaves_at.is_some()),
        );
        match in_flight {
            None => view.number(0),
            Some(InFlight {
                call: _,
                sent,
                round: _,
            }) => {
                let Sent::Append(SentAppend {
                    prev_log_index,
                    last_log_index,
                    commit,
                }) = sent
                else {
                    panic!("the model has no snapshots");
                };
                view.number(1);
                view.number(*prev_log_index);
                view.number(*last_log_index);
                view.number(*commit);
            }
        }
    }
}
