//! Linearizable reads without an entry in the log (section 8; ReadIndex, dissertation 6.4).
//!
//! A read is asked of the leader. It may be served from any state that has everything which was
//! committed when it was asked for, so it gets an index, and waits until that has been applied. Two
//! things can make an index wrong, and both are waited for:
//!
//! - A new leader does not know yet how far its predecessors have committed. So it hands out no index
//!   before it has committed an entry of its own term.
//! - A leader of the past does not know that there is another. So a quorum must have answered a request
//!   that was sent *after* the read was asked for. Each read has a round, each request carries the
//!   latest round in the leader's memory, and its answer confirms that round and those before. Nothing
//!   of this is sent, because an answer belongs to one request (a number that an old answer could be
//!   mistaken for would have to be).
//!
//! Reads are batched as commands are: while a request is under way to a peer, they gather, and the
//! next request, which carries entries or is a heartbeat, confirms all of them.
//!
//! Any node can serve a read: it asks the leader for an index and waits until it has applied as much.
//!
//! Left out: leases, which would save the round and trust clocks instead.

use super::ready::{ReadAt, ReadId, Ready};
use super::role::Role;
use super::{NodeId, Raft};

/// The most reads that wait at once.
const MAX_READS: usize = 4_096;

/// Why a read is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotRead {
    /// This node does not lead; it may know who does.
    NotLeader(Option<NodeId>),
    /// Too many reads wait.
    Full,
}

impl Raft {
    /// Asks for an index at which the read named `id` is linearizable; it comes in
    /// [`Ready::reads`](super::Ready), unless this node loses its office, and then never.
    pub fn read(&mut self, id: ReadId) -> Result<Ready, NotRead> {
        let Role::Leader(leader) = &mut self.role else {
            return Err(NotRead::NotLeader(self.leader()));
        };
        if leader.reads.len() >= MAX_READS {
            return Err(NotRead::Full);
        }
        if !planted!(ReadInOldRound) {
            leader.round += 1;
        }
        leader.reads.push((leader.round, id));
        self.confirm_reads();
        self.replicate();
        Ok(self.finish())
    }

    /// Hands out an index to every read whose round is confirmed.
    pub(super) fn confirm_reads(&mut self) {
        if !self.has_committed_own() && !planted!(ReadTooEarly) {
            return;
        }
        let Role::Leader(leader) = &self.role else {
            return;
        };
        if leader.reads.is_empty() {
            return;
        }
        let confirmed = match planted!(ReadUnconfirmed) {
            true => u64::MAX,
            false => self.configuration().reached(|id| {
                let progress = leader.progress.get(&id);
                progress.map_or(leader.round, |progress| progress.confirmed_round)
            }),
        };
        let index = self.commit_index;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let count = leader
            .reads
            .partition_point(|(round, _)| *round <= confirmed);
        let reads = leader.reads.drain(..count);
        self.ready
            .reads
            .extend(reads.map(|(_, id)| ReadAt { id, index }));
    }
}
