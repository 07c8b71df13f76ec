//! Reads that are to see all that was committed when they were asked for.

use crate::application::Application;
use crate::game::Game;
use crate::raft::{NotRead, RoleName};

use super::super::event::{
    Action, Errand, ErrandReply, PeerRequest, Query, Refusal, Response, State,
};
use super::super::submissions::{LEADER_WITHIN, OUTCOME_WITHIN};
use super::{Driver, VIEW_EVERY};

impl<T> Driver<T> {
    /// The answer as this node has it. What the other machine would have to answer was refused at the
    /// door.
    pub(super) fn look(&self, query: &Query) -> Response {
        let state = |game: &Game| State {
            players: game.players().to_vec(),
            ruins: game.ruins().to_vec(),
            index: self.machine.last_applied(),
            digest: self.machine.digest().to_string(),
        };
        match (query, self.machine.state()) {
            (Query::State, Application::Game(game)) => Response::State(state(game)),
            (Query::Board, Application::Game(game)) => Response::Board(state(game)),
            (Query::Get(key), Application::Store(store)) => {
                Response::Value(store.get(key).cloned())
            }
            (Query::List { prefix, after }, Application::Store(store)) => {
                Response::Keys(store.list(prefix, after.as_deref()))
            }
            (query, application) => {
                unreachable!("{query:?} was let in to {}", application.kind())
            }
        }
    }

    /// A leader that has lost its office has forgotten what it was asked to read.
    pub(super) fn note_office(&mut self) {
        let leads = self.raft.role() == RoleName::Leader;
        let office = leads.then(|| self.raft.current_term());
        if self.office == office {
            return;
        }
        self.office = office;
        let leader = self.raft.leader();
        for token in self.reads.lost_office(self.now) {
            let reply = ErrandReply::NotLeader { leader };
            self.answer(token, Ok(Response::Errand(reply)));
        }
    }

    /// Asks for indexes: the core where this node leads, the leader elsewhere.
    pub(super) fn run_reads(&mut self) {
        let Some(leader) = self.raft.leader() else {
            return;
        };
        let is_leader = leader == self.raft.id();
        if !is_leader && self.reads.is_calling() {
            return;
        }
        let ids = self.reads.ready(self.now);
        if ids.is_empty() {
            return;
        }
        if !is_leader {
            let call = self.new_call();
            self.reads.asked_leader(&ids, call);
            self.actions.push(Action::Send {
                to: leader,
                call,
                request: PeerRequest::Errand {
                    sender_id: self.raft.id(),
                    errand: Errand::Read,
                },
            });
            return;
        }
        for id in ids {
            self.reads.asked_core(id);
            match self.raft.read(id) {
                Ok(ready) => self.carry_out(ready),
                Err(NotRead::NotLeader(_) | NotRead::Full) => {
                    self.reads.postpone(&[id], self.now + VIEW_EVERY);
                }
            }
        }
    }

    /// Shows the state to whoever waits for no more than has been applied, and tells the others when
    /// they have waited for too long.
    pub(super) fn serve_reads(&mut self) {
        let last_applied = self.machine.last_applied();
        for (token, query) in self.reads.served(last_applied) {
            let response = self.look(&query);
            self.answer(token, Ok(response));
        }
        let leaderless = self.leaderless();
        for token in self.reads.give_up(self.now, leaderless, OUTCOME_WITHIN) {
            let refusal = match leaderless {
                Some(_) => Refusal::NoLeader,
                None => Refusal::NotConfirmed,
            };
            self.answer(token, Err(refusal));
        }
    }

    pub(super) fn reads_deadline(&self) -> Option<u64> {
        self.reads.deadline(self.leaderless(), OUTCOME_WITHIN)
    }

    /// How long whoever waits for a leader waits, where none is known.
    fn leaderless(&self) -> Option<u64> {
        self.raft.leader().is_none().then_some(LEADER_WITHIN)
    }
}
