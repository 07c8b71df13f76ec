//! Changes of the members (section 6; dissertation 4).
//!
//! A configuration is an entry of the log. It counts from the moment at which it is appended,
//! committed or not, and no longer once it is overwritten. Voters change in two steps: the leader
//! appends C_old,new, and when that is committed, C_new; until then both majorities are needed. New
//! members begin as learners, and vote when they have caught up. Learners come and go in one step,
//! since they decide nothing.
//!
//! One change at a time, and none before the leader has committed an entry of its own term
//! (dissertation, the correction to 4.1): only then does it know which configuration is committed.
//! A leader that C_new leaves out goes on until C_new is committed, counting everyone but itself, and
//! then steps down.
//!
//! Whoever has left may not know it. It is told if it can be reached; if not, it will ask for votes.
//! PreVote keeps it from new terms, and whoever hears a leader gives it no vote (dissertation 4.2.3).
//!
//! Left out: how a joiner learns whom to talk to, and how one who lags behind finds out that a
//! stranger is a member by now. The node asks about, and tells the core ([`Raft::introduce`]).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::configuration::{Change, Configuration, Member, NotChanged};
use super::message::Payload;
use super::progress::Progress;
use super::ready::Ready;
use super::role::{Leader, Role};
use super::{NodeId, Proposed, Raft};

/// How many strangers a node can be introduced to before it forgets the first.
const MAX_INTRODUCED: usize = 64;

impl Raft {
    /// Starts a change of the members. It is done when the latest configuration is committed and
    /// not joint: [`Raft::is_changing`].
    pub fn change(&mut self, change: &Change) -> Result<(Proposed, Ready), NotChanged> {
        let Role::Leader(leader) = &self.role else {
            return Err(NotChanged::NotLeader(self.leader()));
        };
        if leader.transfer.is_some() || (!self.has_committed_own() && !planted!(ChangeTooEarly)) {
            return Err(NotChanged::NotYet);
        }
        if self.is_changing() && !planted!(ChangeTwice) {
            return Err(NotChanged::UnderWay);
        }
        let changed = self.configuration().changed(change)?;
        for &id in &change.promote {
            if !self.has_caught_up(leader, id) {
                return Err(NotChanged::Behind(id));
            }
        }
        let proposed = Proposed {
            term: self.current_term,
            index: self.log.last_index() + 1,
        };
        self.append_configuration(changed);
        self.replicate();
        Ok((proposed, self.finish()))
    }

    /// Whether a change of the members is under way, as far as this node's log tells.
    pub fn is_changing(&self) -> bool {
        let (index, configuration) = self.configurations.latest();
        index > self.commit_index || configuration.is_joint()
    }

    /// The configuration that counts: the latest in the log.
    pub fn configuration(&self) -> &Arc<Configuration> {
        if planted!(ConfigurationWhenApplied) {
            return self.configurations.at(self.commit_index);
        }
        self.configurations.latest().1
    }

    /// The index of its entry; 0 for the one with which the node was started.
    pub fn configured_at(&self) -> u64 {
        self.configurations.latest().0
    }

    /// The configuration after a committed entry that no snapshot covers, or the snapshot's last.
    pub fn configuration_at(&self, index: u64) -> &Arc<Configuration> {
        self.configurations.at(index)
    }

    /// Somebody whom this node believes says that these are members, though its own log does not
    /// know them yet. Their requests are processed from now on.
    pub fn introduce(&mut self, ids: impl IntoIterator<Item = NodeId>) -> Ready {
        for id in ids {
            if id != self.config.id && !self.introduced.contains(&id) {
                self.introduced.push_back(id);
            }
        }
        while self.introduced.len() > MAX_INTRODUCED {
            self.introduced.pop_front();
        }
        self.finish()
    }

    /// Whether a request from that node is processed: from a member, from whoever is said to be one,
    /// and from the leader of the term, who may have left with what it has committed last.
    pub fn knows(&self, id: NodeId) -> bool {
        let configurations = self.configurations.since(self.commit_index);
        id != self.config.id
            && (self.introduced.contains(&id)
                || self.leader() == Some(id)
                || configurations.iter().any(|(_, c)| c.contains(id)))
    }

    /// Everyone whom this node may have to call: the members, those whom it has only heard of, and,
    /// on a leader, those who have left and do not know it yet.
    pub fn acquaintances(&self) -> BTreeSet<NodeId> {
        let configurations = self.configurations.since(self.commit_index);
        let members = configurations.iter().flat_map(|(_, c)| c.members().keys());
        let leaving = match &self.role {
            Role::Leader(leader) => Some(leader.progress.keys()),
            _ => None,
        };
        members
            .chain(leaving.into_iter().flatten())
            .chain(&self.introduced)
            .copied()
            .filter(|&id| id != self.config.id)
            .collect()
    }

    /// What is known of that node by log and snapshot: as the latest configuration has it, or an
    /// earlier one that may still matter.
    pub fn member(&self, id: NodeId) -> Option<&Member> {
        let configurations = self.configurations.since(self.commit_index).iter().rev();
        let mut members = configurations.filter_map(|(_, c)| c.members().get(&id));
        members.next()
    }

    /// Whether this node votes, by its own log.
    pub fn is_voter(&self) -> bool {
        self.configuration().is_voter(self.config.id)
    }

    /// Whether this node may start an election. A voter may; and so may one whom the latest
    /// configuration leaves out, as long as it does not know it to be committed: its log may be the
    /// only one with which that configuration can still win (dissertation 4.2.2).
    pub(super) fn may_campaign(&self) -> bool {
        let configurations = self.configurations.since(self.commit_index);
        let mut configurations = configurations.iter();
        configurations.any(|(_, configuration)| configuration.is_voter(self.config.id))
    }

    /// Whether the leader has committed an entry of its own term.
    pub(super) fn has_committed_own(&self) -> bool {
        self.log.term_at(self.commit_index) == Some(self.current_term)
    }

    /// A learner has caught up when one request takes it to the log's end, and it answers.
    fn has_caught_up(&self, leader: &Leader, id: NodeId) -> bool {
        leader.progress.get(&id).is_some_and(|progress| {
            let lag = self.log.last_index().saturating_sub(progress.match_index);
            progress.match_index > 0
                && !progress.is_suspect
                && progress.sending.is_none()
                && lag <= self.config.max_batch_entries as u64
        })
    }

    /// Appends a leader's configuration, which counts from here on.
    pub(super) fn append_configuration(&mut self, configuration: Configuration) {
        let before = Arc::clone(self.configurations.latest().1);
        self.append_own(Payload::Configuration(Arc::new(configuration)));
        let (now, id) = (self.now, self.config.id);
        let leaves_at = now + 10 * self.config.election_timeout.1;
        let last_index = self.log.last_index();
        let (_, configuration) = self.configurations.latest();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        for (member, progress) in &mut leader.progress {
            progress.leaves_at = match configuration.contains(*member) {
                true => None,
                false => progress.leaves_at.or(Some(leaves_at)),
            };
        }
        // Whoever returns under an id that has just left may be another machine: nothing is known of its
        // log, and an answer to an earlier request says nothing about it.
        let newcomers = configuration.members().keys();
        for &member in newcomers.filter(|&&member| member != id && !before.contains(member)) {
            let new = Progress::new(last_index, now);
            leader.progress.insert(member, new);
        }
    }

    /// The leader has committed something. A joint configuration that is committed is left; a
    /// leader whom a committed configuration leaves out steps down.
    ///
    /// What commits is an entry of the leader's own term, so a joint configuration of an earlier
    /// leader is not left before this one's own first entry is committed.
    pub(super) fn follow_configuration(&mut self) {
        let (index, configuration) = self.configurations.latest();
        if index > self.commit_index {
            return;
        }
        if configuration.is_joint() {
            let left = configuration.left();
            self.append_configuration(left);
            // Where the others are quick, or there are none, that may be committed already.
            self.advance_commit_index();
        } else if !configuration.is_voter(self.config.id) && !planted!(RemovedLeads) {
            // Everyone who can be told is told what is committed, and somebody takes over.
            self.replicate();
            self.resign();
        }
    }
}
