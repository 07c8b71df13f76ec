//! Who the peers are, where they are, and what is done about strangers.

use std::collections::BTreeSet;

use tracing::info;

use crate::raft::NodeId;

use super::super::event::{Action, MemberStatus, Members, PeerRequest};
use super::{Driver, Peer};

impl<T> Driver<T> {
    /// Makes the peers those whom the core may want to call.
    pub(super) fn meet(&mut self) {
        let wanted = self.raft.acquaintances();
        let is_same = |id: &NodeId| {
            let peer = self.peers.get(id);
            peer.map(|peer| &*peer.address) == self.whereabouts(*id).map(|(_, address)| address)
        };
        if self.peers.len() == wanted.len() && wanted.iter().all(is_same) {
            return;
        }
        let gone: Vec<NodeId> = self
            .peers
            .keys()
            .copied()
            .filter(|id| !wanted.contains(id) || !is_same(id))
            .collect();
        for id in gone {
            self.peers.remove(&id);
            self.actions.push(Action::Part(id));
        }
        for id in wanted {
            if self.peers.contains_key(&id) {
                continue;
            }
            let Some((name, address)) = self.whereabouts(id) else {
                continue;
            };
            let (name, address) = (name.to_string(), address.to_string());
            self.peers.insert(id, Peer::new(&*name, &*address));
            self.actions.push(Action::Meet { id, name, address });
        }
    }

    /// A node's name and address, as far as they are known here.
    fn whereabouts(&self, id: NodeId) -> Option<(&str, &str)> {
        let member = self.raft.member(id);
        // Another node may have the id by now.
        let is_it = |peer: &&Peer| member.is_none_or(|member| member.name == peer.name);
        let (book, heard) = (self.book.get(&id).filter(is_it), self.heard.get(&id));
        let address = (book.map(|peer| &*peer.address))
            .or(member.map(|member| &*member.address))
            .or(heard.map(|peer| &*peer.address))?;
        let name = (member.map(|member| &*member.name))
            .or(book.map(|peer| &*peer.name))
            .or(heard.map(|peer| &*peer.name))?;
        Some((name, address))
    }

    /// Who belongs to the cluster, as this node knows it.
    pub(super) fn members(&self) -> Members {
        let index = self.raft.configured_at();
        let configuration = self.raft.configuration();
        let own = self.raft.id();
        let members = configuration.members().iter().map(|(&id, member)| {
            let address = match id == own {
                true => &*member.address,
                false => self
                    .whereabouts(id)
                    .map_or(&*member.address, |(_, address)| address),
            };
            MemberStatus {
                id,
                name: member.name.clone(),
                address: address.to_string(),
                standing: member.standing,
                match_index: self.raft.progress(id).map(|(matched, _)| matched),
            }
        });
        let config = self.raft.config();
        Members {
            cluster: self.cluster.clone(),
            machine: self.machine.state().kind(),
            id: own,
            leader: self.raft.leader(),
            term: self.raft.current_term(),
            index,
            committed: index <= self.raft.commit_index(),
            joint: configuration.is_joint(),
            members: members.collect(),
            heartbeat_ms: config.heartbeat,
            election_timeout_ms: config.election_timeout,
            snapshot_entries: self.snapshot_entries,
        }
    }

    /// Asks somebody who is known whether those who knocked are members.
    pub(super) fn ask_about_strangers(&mut self) {
        let known: BTreeSet<NodeId> = self.peers.keys().copied().collect();
        let Some(to) = self.strangers.whom_to_ask(&known, self.now) else {
            return;
        };
        let call = self.new_call();
        self.strangers.asking(to, call, self.now);
        self.actions.push(Action::Send {
            to,
            call,
            request: PeerRequest::Members,
        });
    }

    /// Somebody who is known says who is a member.
    pub(super) fn heard_of_members(&mut self, call: super::CallId, members: &Members) {
        let listed: BTreeSet<NodeId> = members.members.iter().map(|member| member.id).collect();
        if !self.strangers.answered(call, Some(&listed), self.now) {
            return;
        }
        let mut new = Vec::new();
        for member in &members.members {
            if member.id != self.raft.id() && !self.raft.knows(member.id) {
                info!(
                    "node {} says that {} (node {}) is a member",
                    members.id, member.name, member.id
                );
                let peer = Peer::new(&*member.name, &*member.address);
                self.heard.insert(member.id, peer);
                new.push(member.id);
            }
        }
        if !new.is_empty() {
            let ready = self.raft.introduce(new);
            self.carry_out(ready);
            let known = self.raft.acquaintances();
            self.heard.retain(|id, _| known.contains(id));
        }
    }
}
