//! Changes of the members and transfers of the leadership, from whoever asks to the core of whoever
//! leads.

use tracing::info;

use crate::machine::StateMachine as _;
use crate::raft::{CallId, NodeId, NotChanged, NotRead, NotTransferred, Rejected, RoleName};

use super::super::errands::{Running, Stage};
use super::super::event::{Action, Errand, ErrandReply, PeerRequest, Refusal, Response};
use super::super::submissions::{LEADER_WITHIN, OUTCOME_WITHIN, is_overwritten};
use super::{Driver, VIEW_EVERY};

impl<T> Driver<T> {
    /// A peer asks for something on somebody's behalf.
    pub(super) fn errand_of_peer(&mut self, token: T, sender_id: NodeId, errand: Errand) {
        if !self.raft.knows(sender_id) {
            let refusal = self.reject("an errand", Rejected::NotAMember(sender_id));
            return self.answer(token, Err(refusal));
        }
        if errand == Errand::Read {
            let id = self.reads.add_peer(token);
            let refused = match self.raft.read(id) {
                Ok(ready) => return self.carry_out(ready),
                Err(NotRead::NotLeader(leader)) => ErrandReply::NotLeader { leader },
                Err(NotRead::Full) => ErrandReply::Refused("too many reads wait".to_string()),
            };
            if let Some(token) = self.reads.take_peer(id) {
                self.answer(token, Ok(Response::Errand(refused)));
            }
            return;
        }
        let reply = self.run(&errand);
        self.answer(token, Ok(Response::Errand(reply)));
    }

    /// Runs an errand where this node leads.
    fn run(&mut self, errand: &Errand) -> ErrandReply {
        let leader = self.raft.leader();
        match errand {
            Errand::Change(change) => {
                let changed = self.raft.configuration().changed(change);
                let check = |c| self.machine.state().check_members(&c);
                if let Ok(Err(reason)) = changed.map(check) {
                    return ErrandReply::Refused(reason);
                }
                match self.raft.change(change) {
                    Ok((proposed, ready)) => {
                        info!("changes the members: {}", self.raft.configuration());
                        self.carry_out(ready);
                        ErrandReply::Placed {
                            term: proposed.term,
                            index: proposed.index,
                        }
                    }
                    Err(NotChanged::NotLeader(leader)) => ErrandReply::NotLeader { leader },
                    // It is asked again, until it is too late for whoever waits.
                    Err(NotChanged::NotYet) => ErrandReply::NotLeader { leader },
                    Err(refused) => ErrandReply::Refused(refused.to_string()),
                }
            }
            Errand::Transfer(to) => match self.raft.transfer(*to) {
                Ok(ready) => {
                    let term = self.raft.current_term();
                    info!("hands over in term {term}");
                    self.carry_out(ready);
                    ErrandReply::HandingOver { term }
                }
                Err(NotTransferred::NotLeader(leader)) => ErrandReply::NotLeader { leader },
                Err(refused) => ErrandReply::Refused(refused.to_string()),
            },
            Errand::Read => ErrandReply::NotLeader { leader },
        }
    }

    /// Runs what is ready, or asks the leader to.
    pub(super) fn run_errands(&mut self) {
        while let Some(leader) = self.raft.leader()
            && let Some((name, errand)) = self.errands.ready(self.now)
        {
            if leader != self.raft.id() {
                let call = self.new_call();
                self.errands.set(name, Stage::Sent(call));
                self.actions.push(Action::Send {
                    to: leader,
                    call,
                    request: PeerRequest::Errand {
                        sender_id: self.raft.id(),
                        errand,
                    },
                });
                return;
            }
            let reply = self.run(&errand);
            self.errand_has(name, reply);
        }
    }

    /// What came of running it.
    fn errand_has(&mut self, name: u64, reply: ErrandReply) {
        let stage = match reply {
            ErrandReply::Placed { term, index } => Stage::Placed { term, index },
            ErrandReply::HandingOver { term } => Stage::HandingOver {
                term,
                leader: self.raft.leader(),
                // The leader gives up after one, and the election may be another's.
                until: self.now + 3 * self.raft.config().election_timeout.1,
            },
            ErrandReply::NotLeader { .. } | ErrandReply::ReadAt { .. } => {
                Stage::Waiting(self.now + VIEW_EVERY)
            }
            ErrandReply::Refused(reason) => {
                if let Some(token) = self.errands.take(name) {
                    self.answer(token, Err(Refusal::NotDone(reason)));
                }
                return;
            }
        };
        self.errands.set(name, stage);
    }

    /// The leader has answered an errand: one of a client, or the reads.
    pub(super) fn errand_answered(&mut self, call: CallId, reply: ErrandReply) {
        let again_at = self.now + VIEW_EVERY;
        let index = match reply {
            ErrandReply::ReadAt { index } => Some(index),
            _ => None,
        };
        if self.reads.returned(call, index, again_at) {
            return;
        }
        if let Some(name) = self.errands.sent_in(call) {
            self.errand_has(name, reply);
        }
    }

    /// The leader has not answered. Whatever only asks is asked again; whatever may have been done
    /// is not.
    pub(super) fn errand_lost(&mut self, call: CallId, reached: bool) {
        let again_at = self.now + VIEW_EVERY;
        if self.reads.returned(call, None, again_at) {
            return;
        }
        let Some(name) = self.errands.sent_in(call) else {
            return;
        };
        if !reached {
            self.errands.set(name, Stage::Waiting(again_at));
        } else if let Some(token) = self.errands.take(name) {
            self.answer(token, Err(Refusal::ChangeUnknown));
        }
    }

    /// Answers those of whose errands something is known.
    pub(super) fn settle_errands(&mut self) {
        let mut errands = std::mem::take(&mut self.errands);
        let settled = errands.settle(|running| self.verdict(running));
        self.errands = errands;
        for (token, verdict) in settled {
            self.answer(token, verdict);
        }
    }

    /// What has come of an errand; `None`: that is not known yet.
    fn verdict(&self, running: &Running<T>) -> Option<Result<Response, Refusal>> {
        let leader = self.raft.leader();
        let is_late = self.now >= running.since + OUTCOME_WITHIN;
        match running.stage {
            Stage::Waiting(_) => {
                let is_late = is_late || self.now >= running.since + LEADER_WITHIN;
                match leader {
                    _ if !is_late => None,
                    None => Some(Err(Refusal::NoLeader)),
                    Some(_) => Some(Err(Refusal::NotDone(
                        "the leader does not know yet what is committed: try again".to_string(),
                    ))),
                }
            }
            Stage::Sent(_) => is_late.then_some(Err(Refusal::ChangeUnknown)),
            Stage::Placed { term, index } => {
                let applied = self.applied.1;
                let is_there = match self.raft.log().term_at(index) {
                    // A snapshot stands for it, and does not tell.
                    None => applied >= index,
                    Some(there) => applied >= index && there == term,
                };
                if is_there && !self.raft.configuration_at(applied).is_joint() {
                    return Some(Ok(Response::Members(self.members())));
                }
                if !is_there && is_overwritten(term, index, self.applied) {
                    return Some(Err(Refusal::NotDone(
                        "another leader came, and the change was overwritten: try again"
                            .to_string(),
                    )));
                }
                is_late.then_some(Err(Refusal::ChangeUnknown))
            }
            Stage::HandingOver {
                term,
                leader: before,
                until,
            } => {
                let now = self.raft.current_term();
                if now > term
                    && let Some(leader) = leader
                {
                    return Some(Ok(Response::Leads { leader, term: now }));
                }
                let gave_up = self.raft.role() == RoleName::Leader && !self.raft.is_handing_over();
                (gave_up || self.now >= until || is_late).then(|| {
                    Err(Refusal::NotDone(match leader.or(before) {
                        Some(id) if now == term => {
                            format!("nobody took over in time, node {id} still leads")
                        }
                        _ => "nobody took over in time".to_string(),
                    }))
                })
            }
        }
    }

    pub(super) fn errands_deadline(&self) -> Option<u64> {
        let has_leader = self.raft.leader().is_some();
        self.errands
            .deadline(has_leader, LEADER_WITHIN, OUTCOME_WITHIN)
    }
}
