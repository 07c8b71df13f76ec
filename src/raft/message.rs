//! What nodes say to each other: requests and replies, in the paper's words (figures 2 and 13;
//! TimeoutNow is the dissertation's, 3.10).
//!
//! Requests and replies are separate types, because XML-RPC answers in the same HTTP exchange:
//! every request gets exactly one reply, and a reply can belong to one request only.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::command::Command;

use super::configuration::Configuration;
use super::{NodeId, bytes};

/// Names one outgoing request, so that a reply is counted for the request that it answers and no
/// other. Never sent: HTTP ties the two together.
pub type CallId = u64;

/// The highest term that is believed. It leaves so much room below the largest XML-RPC integer that
/// counting up never reaches it.
pub const MAX_TERM: u64 = 1 << 62;

/// One position of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry {
    /// Position, from 1 and without gaps.
    pub index: u64,
    /// The term of the leader that appended it.
    pub term: u64,
    /// What it says.
    pub payload: Payload,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Payload {
    /// The first entry of a leader's term. Committing it commits all before it (5.4.2).
    Noop,
    /// A client's command.
    Command(Arc<Command>),
    /// The no-op of the very first leader, which says besides who belongs to the cluster: whoever
    /// joins later finds it in the log.
    Founding(Arc<Configuration>),
    /// Who belongs to the cluster from here on (section 6).
    Configuration(Arc<Configuration>),
}

impl Payload {
    /// Who belongs to the cluster from here on, if the entry says so.
    pub fn configuration(&self) -> Option<&Arc<Configuration>> {
        match self {
            Payload::Noop | Payload::Command(_) => None,
            Payload::Founding(configuration) | Payload::Configuration(configuration) => {
                Some(configuration)
            }
        }
    }
}

impl Entry {
    /// An upper bound of the bytes that the entry takes in an AppendEntries document.
    pub fn encoded_len(&self) -> usize {
        Entry::frame_len()
            + match &self.payload {
                Payload::Noop => 0,
                Payload::Command(command) => command.encoded_len(),
                Payload::Founding(configuration) | Payload::Configuration(configuration) => {
                    configuration.text().len()
                }
            }
    }

    /// An upper bound of what stands around client and text: the tags, names and numbers of index,
    /// term, serial and the struct itself.
    pub fn frame_len() -> usize {
        512
    }
}

/// A request from one node to another.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// Replicates entries; without entries, a heartbeat.
    AppendEntries(AppendEntries),
    /// Asks for a vote.
    RequestVote(RequestVote),
    /// Sends a part of a snapshot.
    InstallSnapshot(InstallSnapshot),
    /// Hands the leadership over.
    TimeoutNow(TimeoutNow),
}

/// The answer to a [`Request`], of the same kind.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// To AppendEntries.
    AppendEntries(AppendEntriesReply),
    /// To RequestVote.
    RequestVote(RequestVoteReply),
    /// To InstallSnapshot.
    InstallSnapshot(InstallSnapshotReply),
    /// To TimeoutNow.
    TimeoutNow(TimeoutNowReply),
}

/// AppendEntries RPC, arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AppendEntries {
    /// Leader's term.
    pub term: u64,
    /// So that a follower can redirect clients.
    pub leader_id: NodeId,
    /// Index of the entry right before the new ones; 0 when they start the log.
    pub prev_log_index: u64,
    /// Term of that entry; 0 for index 0.
    pub prev_log_term: u64,
    /// Entries to store, contiguous from `prev_log_index + 1`.
    pub entries: Vec<Entry>,
    /// The leader's commit index.
    pub leader_commit: u64,
}

/// AppendEntries RPC, results.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AppendEntriesReply {
    /// The follower's term, for the leader to update itself.
    pub term: u64,
    /// Whether the log now agrees with the leader's up to the end of the request.
    pub outcome: AppendOutcome,
}

/// Whether an append was taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AppendOutcome {
    /// The log agrees with the leader's up to this index: the end of *this* request.
    Matched(u64),
    /// The entry at `prev_log_index` is missing or of another term (or the sender's term is
    /// over). The hint lets the leader skip a whole term at a time (5.3).
    Conflict {
        /// The term of the conflicting entry; `None` when the log is too short.
        term: Option<u64>,
        /// The first index of that term; where the log is too short, one past its end.
        index: u64,
    },
}

/// RequestVote RPC, arguments.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestVote {
    /// Candidate's term.
    pub term: u64,
    /// Who asks.
    pub candidate_id: NodeId,
    /// Index of the candidate's last entry.
    pub last_log_index: u64,
    /// Term of the candidate's last entry.
    pub last_log_term: u64,
    /// Only asks whether there would be a vote in that term, which the sender has not entered
    /// (dissertation 9.6). Nobody changes anything for it.
    pub pre_vote: bool,
    /// The leader itself has asked for this election (dissertation 3.10): whoever hears it votes
    /// all the same (4.2.3).
    pub transfer: bool,
}

/// RequestVote RPC, results.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct RequestVoteReply {
    /// The voter's term, for the candidate to update itself.
    pub term: u64,
    /// True: the candidate has this vote.
    pub vote_granted: bool,
}

/// InstallSnapshot RPC, arguments (figure 13): one part of a snapshot.
///
/// As in the paper, the parts are sent in order. Unlike there, one without data is a heartbeat: it
/// asks how far the follower is.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InstallSnapshot {
    /// Leader's term.
    pub term: u64,
    /// So that a follower can redirect clients.
    pub leader_id: NodeId,
    /// The snapshot replaces all entries up to and including this index.
    pub last_included_index: u64,
    /// Term of that entry.
    pub last_included_term: u64,
    /// The configuration as of that entry.
    pub configuration: Arc<Configuration>,
    /// Where this part stands in the snapshot, in bytes.
    pub offset: u64,
    /// The part's bytes.
    #[serde(with = "bytes")]
    pub data: Vec<u8>,
    /// This is the last part.
    pub done: bool,
}

/// InstallSnapshot RPC, results.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct InstallSnapshotReply {
    /// The follower's term, for the leader to update itself.
    pub term: u64,
    /// How far the follower is.
    pub outcome: InstallOutcome,
}

/// How far a follower is with a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum InstallOutcome {
    /// It has all that the snapshot says, and has saved it.
    Installed,
    /// It waits for the part that begins at this byte: the end of the part just sent, or less where
    /// it does not have what came before (it has restarted, say).
    Next(u64),
}

/// TimeoutNow RPC, arguments (dissertation 3.10): start an election at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimeoutNow {
    /// Leader's term.
    pub term: u64,
    /// Who hands its office over.
    pub leader_id: NodeId,
}

/// TimeoutNow RPC, results.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct TimeoutNowReply {
    /// The term of whoever answers: a new one, if it campaigns.
    pub term: u64,
    /// Whether it campaigns.
    pub campaigns: bool,
}

impl Request {
    /// Who sends it.
    pub fn from(&self) -> NodeId {
        match self {
            Request::AppendEntries(request) => request.leader_id,
            Request::RequestVote(request) => request.candidate_id,
            Request::InstallSnapshot(request) => request.leader_id,
            Request::TimeoutNow(request) => request.leader_id,
        }
    }

    /// The sender's term.
    pub fn term(&self) -> u64 {
        match self {
            Request::AppendEntries(request) => request.term,
            Request::RequestVote(request) => request.term,
            Request::InstallSnapshot(request) => request.term,
            Request::TimeoutNow(request) => request.term,
        }
    }
}

impl Reply {
    /// The term of whoever answers.
    pub fn term(&self) -> u64 {
        match self {
            Reply::AppendEntries(reply) => reply.term,
            Reply::RequestVote(reply) => reply.term,
            Reply::InstallSnapshot(reply) => reply.term,
            Reply::TimeoutNow(reply) => reply.term,
        }
    }
}
