//! What a step of the core asks to be done.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::configuration::Configuration;
use super::message::{CallId, Entry, Reply, Request};
use super::{NodeId, bytes};

/// Names a read that waits for its index.
pub type ReadId = u64;

/// The result of one input: what to save, what to send and what to apply.
///
/// The order matters. `send` may leave at once. `save` is handed to the disk in the order in which
/// it was produced. `after_save` and `reply` may leave only when that save, *and every save handed
/// over before it*, is on disk: they promise what was saved. `install` and then `committed` may be
/// applied at once; `reads` can be served from what has been applied then.
#[must_use = "a promise that is not kept is a lost vote or a lost entry"]
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Ready {
    /// A leader's AppendEntries, InstallSnapshot and TimeoutNow, and what is asked before an
    /// election. They promise nothing of this node's own disk (dissertation 10.2.1), so that one
    /// commit costs one round trip and one write, side by side.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub send: Vec<Send>,
    /// What to save, if anything changed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub save: Option<Save>,
    /// Vote requests, and whatever else speaks of a term that is being saved, to send after the save.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub after_save: Vec<Send>,
    /// The answer to the request that was put in, to send after the save.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reply: Option<Reply>,
    /// A snapshot from the leader, which takes the place of the state machine's state.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub install: Option<Snapshot>,
    /// Entries to apply, in order.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub committed: Vec<Entry>,
    /// Reads that may be served from any state after the entry at this index.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub reads: Vec<ReadAt>,
}

/// A read that is linearizable once the entry at `index` has been applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ReadAt {
    /// Which read.
    pub id: ReadId,
    /// The read index: everything that was committed when the read was asked for lies at or before it.
    pub index: u64,
}

/// A request to send to a peer. Every send must end in exactly one call of
/// [`Raft::reply`](super::Raft::reply) or [`Raft::lost`](super::Raft::lost) with the same `call`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Send {
    /// To whom.
    pub to: NodeId,
    /// Names this request when the reply comes.
    pub call: CallId,
    /// What to send.
    pub request: Request,
}

/// Persistent state that changed (figure 2: updated on stable storage before responding to RPCs).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Save {
    /// Term and vote, always written together, before the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hard_state: Option<HardState>,
    /// A snapshot that takes the place of the log's beginning, before the entries.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub snapshot: Option<SaveSnapshot>,
    /// Entries to write. Whatever is stored at the first one's index and after it goes first.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub entries: Vec<Entry>,
}

/// Term and vote: one record, because a crash between the two would allow two votes in a term.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HardState {
    /// Latest term that this node has seen; 0 at first start, then only up.
    pub current_term: u64,
    /// Whom this node voted for in `current_term`, if anyone.
    pub voted_for: Option<NodeId>,
}

/// The state machine as it was after the entry at `last_index`: what stands in for that entry and
/// all before it (section 7). Only what is committed is ever in a snapshot.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Snapshot {
    /// Index of the last entry that it covers; at least 1.
    pub last_index: u64,
    /// Term of that entry.
    pub last_term: u64,
    /// Who belonged to the cluster after that entry.
    pub configuration: Arc<Configuration>,
    /// The state, in words that are the state machine's own and mean nothing to Raft.
    #[serde(with = "bytes")]
    pub data: Arc<[u8]>,
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Snapshot({}, term {}, {} bytes)",
            self.last_index,
            self.last_term,
            self.data.len()
        )
    }
}

/// A snapshot to keep, and what becomes of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SaveSnapshot {
    /// It takes the place of every earlier snapshot.
    pub snapshot: Snapshot,
    /// What to do with the log once the snapshot is safe.
    pub log: LogAfterSnapshot,
}

/// What becomes of the log when a snapshot is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LogAfterSnapshot {
    /// Entries before this index are not needed any more; it is at most one past the snapshot's
    /// last. The log agrees with the snapshot.
    KeepFrom(u64),
    /// The log lacks the snapshot's last entry or has another in its place: nothing of it is kept,
    /// and it starts again after the snapshot.
    Discard,
}

/// How far the disk is: the term and the index of the last entry of a finished save.
///
/// The term is there because an entry may have been overwritten while it was being saved; a notice
/// about the old one must not count for the new one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedUpTo {
    /// Term of the last entry in the save.
    pub term: u64,
    /// Index of the last entry in the save.
    pub index: u64,
}

impl Save {
    /// What to report once this save is on disk; `None` when it held no entries.
    pub fn mark(&self) -> Option<SavedUpTo> {
        self.entries.last().map(|entry| SavedUpTo {
            term: entry.term,
            index: entry.index,
        })
    }
}
