//! What a view is told, and what anybody is told who asks how this node stands.

use tracing::info;

use crate::command::printable;
use crate::machine::NOOP;
use crate::raft::{NodeId, Payload};
use crate::status::{PeerStatus, Status};

use super::super::event::{Action, PeerRequest};
use super::super::queues::{LogLine, Update, View};
use super::{ASK_PEERS_EVERY, Driver, VIEW_EVERY};

impl<T> Driver<T> {
    /// How this node stands.
    pub fn status(&self) -> Status {
        Status {
            id: self.raft.id(),
            name: self.name.clone(),
            role: self.raft.role(),
            term: self.raft.current_term(),
            leader: self.raft.leader(),
            commit_index: self.raft.commit_index(),
            last_applied: self.machine.last_applied(),
            last_index: self.raft.log().last_index(),
            digest: self.machine.digest().to_string(),
            peers: self
                .peers
                .iter()
                .map(|(&id, peer)| {
                    let progress = self.raft.progress(id);
                    PeerStatus {
                        id,
                        name: peer.name.clone(),
                        address: peer.address.clone(),
                        match_index: progress.map(|(match_index, _)| match_index),
                        next_index: progress.map(|(_, next_index)| next_index),
                        rtt_ms: peer.rtt_ms,
                    }
                })
                .collect(),
        }
    }

    pub(super) fn show(&mut self, update: Update) {
        if self.view.is_some() {
            self.actions.push(Action::Show(update));
        }
    }

    pub(super) fn tell_role(&mut self) {
        let role = (
            self.raft.role(),
            self.raft.current_term(),
            self.raft.leader(),
        );
        if role == self.told_role {
            return;
        }
        self.told_role = role;
        let (role, term, leader) = role;
        match leader {
            Some(leader) => info!("{role} in term {term}, led by node {leader}"),
            None => info!("{role} in term {term}, no leader known"),
        }
        self.show(Update::Role(role, term, leader));
    }

    pub(super) fn tell_view(&mut self) {
        let now = self.now;
        let Some(view) = &mut self.view else {
            return;
        };
        let tell = view.dirty && (now >= view.told_at + VIEW_EVERY || view.told_at == 0);
        let ask = now >= view.ask_peers_at;
        if tell {
            view.dirty = false;
            view.told_at = now.max(1);
        }
        if ask {
            view.ask_peers_at = now + ASK_PEERS_EVERY;
        }
        if ask {
            let idle: Vec<NodeId> = self
                .peers
                .keys()
                .copied()
                .filter(|peer| !view.asking.contains_key(peer))
                .collect();
            for to in idle {
                let call = self.new_call();
                if let Some(view) = &mut self.view {
                    view.asking.insert(to, call);
                }
                self.actions.push(Action::Send {
                    to,
                    call,
                    request: PeerRequest::Status,
                });
            }
        }
        if tell {
            let view = self.view();
            self.show(Update::View(view));
        }
    }

    fn view(&self) -> View {
        let log = self.raft.log();
        let first = (log.last_index() + 1)
            .saturating_sub(View::TAIL as u64)
            .max(1);
        let game = self.machine.state().game();
        View {
            status: self.status(),
            board: game.map_or_else(Vec::new, |game| game.players().to_vec()),
            ruins: game.map_or_else(Vec::new, |game| game.ruins().to_vec()),
            tail: log
                .from(first)
                .iter()
                .map(|entry| LogLine {
                    index: entry.index,
                    term: entry.term,
                    text: match &entry.payload {
                        Payload::Noop | Payload::Founding(_) => NOOP.to_string(),
                        Payload::Command(command) => printable(&command.text).into_owned(),
                        Payload::Configuration(configuration) => configuration.to_string(),
                    },
                })
                .collect(),
        }
    }
}
