//! What a node is at the moment, and the data that only this role needs.
//!
//! Each role carries its own data, so that a follower cannot have a `next_index` and a leader
//! cannot have an election timeout. Only the `become_*` methods of [`Raft`](super::Raft) assign a
//! role.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::NodeId;
use super::message::CallId;
use super::progress::Progress;

/// Follower, candidate or leader (figure 4 of the paper).
#[derive(Clone, Debug)]
pub(super) enum Role {
    Follower(Follower),
    PreCandidate(Candidate),
    Candidate(Candidate),
    Leader(Leader),
}

/// Answers, and waits. Every node starts here.
#[derive(Clone, Debug)]
pub(super) struct Follower {
    /// The leader of the current term, once it has been heard.
    pub leader: Option<NodeId>,
    /// When it was heard last.
    pub heard_at: u64,
    /// When to campaign unless a leader is heard or a vote given before.
    pub election_deadline: u64,
}

/// Asks for votes; a pre-candidate asks who would vote for it, and changes nothing before a majority
/// would.
#[derive(Clone, Debug)]
pub(super) struct Candidate {
    /// Who has granted a vote in the current term (or would, in the next), this node included once
    /// that is saved.
    pub votes: BTreeSet<NodeId>,
    /// The vote requests under way, by peer. A peer that is neither here nor in `answered` is
    /// asked again at `retry_at`.
    pub asked: BTreeMap<NodeId, CallId>,
    /// Who has answered, yes or no.
    pub answered: BTreeSet<NodeId>,
    /// When to ask again those whose answer was lost.
    pub retry_at: u64,
    /// When to give this election up and start the next.
    pub election_deadline: u64,
}

/// Orders the log.
#[derive(Clone, Debug)]
pub(super) struct Leader {
    /// How far each peer's log agrees with this one.
    pub progress: BTreeMap<NodeId, Progress>,
    /// The leader's own `match_index`: the last entry of its term that its own disk has
    /// confirmed; 0 before the first. It moves in [`Raft::saved`](super::Raft::saved) only.
    pub saved_index: u64,
    /// The last entry of the log that it began with.
    pub began_at: u64,
}

/// A role's name, as people and other programs see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleName {
    /// Follows a leader, or waits for one.
    Follower,
    /// Asks for votes.
    Candidate,
    /// Orders the log.
    Leader,
}

impl Role {
    pub fn name(&self) -> RoleName {
        match self {
            Role::Follower(_) => RoleName::Follower,
            Role::PreCandidate(_) | Role::Candidate(_) => RoleName::Candidate,
            Role::Leader(_) => RoleName::Leader,
        }
    }
}

impl RoleName {
    /// `follower`, `candidate` or `leader`.
    pub fn as_str(self) -> &'static str {
        match self {
            RoleName::Follower => "follower",
            RoleName::Candidate => "candidate",
            RoleName::Leader => "leader",
        }
    }

    /// The role of that name.
    pub fn parse(name: &str) -> Option<RoleName> {
        [RoleName::Follower, RoleName::Candidate, RoleName::Leader]
            .into_iter()
            .find(|role| role.as_str() == name)
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
