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
use super::ready::ReadId;

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
    /// The leader has asked for this election.
    pub transfer: bool,
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
    /// Counts the reads. Each request carries along, in the sender's memory only, how many there
    /// were when it was sent; its answer confirms the leadership for these and for no later one.
    pub round: u64,
    /// Reads that wait until a quorum has confirmed that this node led when they were asked for,
    /// each with its round. In the order of their rounds.
    pub reads: Vec<(u64, ReadId)>,
    /// Whom this leader hands its office over to.
    pub transfer: Option<Transfer>,
}

/// A leadership transfer under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    pub to: NodeId,
    /// When it has failed, and this node goes on leading.
    pub deadline: u64,
}

/// A role's name, as people and other programs see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RoleName {
    /// Follows a leader, or waits for one, and votes.
    Follower,
    /// Follows, and does not vote: a member that is no voter, or no member at all.
    Learner,
    /// Asks for votes.
    Candidate,
    /// Orders the log.
    Leader,
}

impl Role {
    pub fn name(&self, is_voter: bool) -> RoleName {
        match self {
            Role::Follower(_) if !is_voter => RoleName::Learner,
            Role::Follower(_) => RoleName::Follower,
            Role::PreCandidate(_) | Role::Candidate(_) => RoleName::Candidate,
            Role::Leader(_) => RoleName::Leader,
        }
    }
}

impl RoleName {
    /// `follower`, `learner`, `candidate` or `leader`.
    pub fn as_str(self) -> &'static str {
        match self {
            RoleName::Follower => "follower",
            RoleName::Learner => "learner",
            RoleName::Candidate => "candidate",
            RoleName::Leader => "leader",
        }
    }

    /// The role of that name.
    pub fn parse(name: &str) -> Option<RoleName> {
        [
            RoleName::Follower,
            RoleName::Learner,
            RoleName::Candidate,
            RoleName::Leader,
        ]
        .into_iter()
        .find(|role| role.as_str() == name)
    }
}

impl fmt::Display for RoleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
