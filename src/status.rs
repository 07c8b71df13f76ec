//! How a node stands: what `cluster.status()` answers and what a screen shows of each node.
//!
//! A snapshot of one node's own knowledge. Two nodes may contradict each other for a while, about
//! who leads for one; that is Raft, not a mistake.

use crate::raft::{NodeId, RoleName};

/// How a node stands: what `cluster.status()` answers.
#[derive(Clone, Debug, PartialEq)]
pub struct Status {
    /// The node's id.
    pub id: NodeId,
    /// The node's name, such as `bob1`.
    pub name: String,
    /// Its role.
    pub role: RoleName,
    /// Its current term.
    pub term: u64,
    /// Whom it follows; itself when it leads; `None` while it knows no leader.
    pub leader: Option<NodeId>,
    /// The last index known to be committed.
    pub commit_index: u64,
    /// The last index applied to the board.
    pub last_applied: u64,
    /// The last index in the log.
    pub last_index: u64,
    /// The digest after the last applied entry: 16 hex digits.
    pub digest: String,
    /// The other nodes, in the order of their ids.
    pub peers: Vec<PeerStatus>,
}

/// Another node, as this one knows it.
#[derive(Clone, Debug, PartialEq)]
pub struct PeerStatus {
    /// The peer's id.
    pub id: NodeId,
    /// The peer's name.
    pub name: String,
    /// `HOST:PORT`.
    pub address: String,
    /// On a leader: the last index known to be the same there. `None` elsewhere.
    pub match_index: Option<u64>,
    /// On a leader: the next index to send there. `None` elsewhere.
    pub next_index: Option<u64>,
    /// The last round trip of a call to it, in milliseconds; `None` before the first and after a
    /// failure.
    pub rtt_ms: Option<f64>,
}
