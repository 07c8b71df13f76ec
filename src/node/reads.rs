//! Reads that are to see everything that was answered before they were asked for.
//!
//! A read waits for a leader, then for an index from it, and then until this node has applied as
//! much. Where this node leads, it asks its own core; elsewhere it asks the leader, one call at a time,
//! and all reads that have come meanwhile share the next call. Reads of a peer wait here too, for the
//! core alone.
//!
//! Nothing here is replicated. A leader that loses its office forgets what it was asked, and so each
//! read that has no index yet is asked for again.

use std::collections::BTreeMap;

use super::event::Query;
use crate::raft::{CallId, ReadAt, ReadId};

/// Every read under way here. `T` is who waits for a client's answer or a peer's.
#[derive(Debug)]
pub struct Reads<T> {
    next_id: ReadId,
    /// Of clients, in the order in which they came.
    own: BTreeMap<ReadId, Read<T>>,
    /// Of peers: their calls, which wait for this node's core.
    peers: BTreeMap<ReadId, T>,
    /// The call that asks the leader, if one is under way.
    call: Option<CallId>,
}

#[derive(Debug)]
struct Read<T> {
    waiter: T,
    query: Query,
    since: u64,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To be asked for, not before that time.
    Waiting(u64),
    /// This node's core has been asked.
    Core,
    /// The leader is being asked, in that call.
    Leader(CallId),
    /// Served when this index has been applied.
    At(u64),
}

impl<T> Default for Reads<T> {
    fn default() -> Reads<T> {
        Reads {
            next_id: 1,
            own: BTreeMap::new(),
            peers: BTreeMap::new(),
            call: None,
        }
    }
}

impl<T> Reads<T> {
    /// A client wants to read.
    pub fn add(&mut self, now: u64, waiter: T, query: Query) {
        let id = self.new_id();
        let read = Read {
            waiter,
            query,
            since: now,
            stage: Stage::Waiting(now),
        };
        self.own.insert(id, read);
    }

    /// A peer wants an index. The name under which the core is asked.
    pub fn add_peer(&mut self, waiter: T) -> ReadId {
        let id = self.new_id();
        self.peers.insert(id, waiter);
        id
    }

    fn new_id(&mut self) -> ReadId {
        self.next_id += 1;
        self.next_id - 1
    }

    /// A peer's read that the core has not taken.
    pub fn take_peer(&mut self, id: ReadId) -> Option<T> {
        self.peers.remove(&id)
    }

    /// What is ready to be asked for.
    pub fn ready(&self, now: u64) -> Vec<ReadId> {
        let ready = |read: &Read<T>| matches!(read.stage, Stage::Waiting(from) if from <= now);
        let own = self.own.iter().filter(|(_, read)| ready(read));
        own.map(|(&id, _)| id).collect()
    }

    /// Whether the leader is being asked.
    pub fn is_calling(&self) -> bool {
        self.call.is_some()
    }

    /// The core has been asked for these.
    pub fn asked_core(&mut self, id: ReadId) {
        self.set(&[id], Stage::Core);
    }

    /// The leader is being asked for these.
    pub fn asked_leader(&mut self, ids: &[ReadId], call: CallId) {
        self.set(ids, Stage::Leader(call));
        self.call = Some(call);
    }

    /// These are asked for again after that time.
    pub fn postpone(&mut self, ids: &[ReadId], until: u64) {
        self.set(ids, Stage::Waiting(until));
    }

    fn set(&mut self, ids: &[ReadId], stage: Stage) {
        for id in ids {
            if let Some(read) = self.own.get_mut(id) {
                read.stage = stage;
            }
        }
    }

    /// That call has ended, with an index or without. False: it was none of these.
    pub fn returned(&mut self, call: CallId, index: Option<u64>, again_at: u64) -> bool {
        if self.call != Some(call) {
            return false;
        }
        self.call = None;
        let stage = index.map_or(Stage::Waiting(again_at), Stage::At);
        for read in self.own.values_mut() {
            if read.stage == Stage::Leader(call) {
                read.stage = stage;
            }
        }
        true
    }

    /// The core has an index for these. Returns the peers to whom it is to be told.
    pub fn indexed(&mut self, reads: &[ReadAt]) -> Vec<(T, u64)> {
        let mut told = Vec::new();
        for &ReadAt { id, index } in reads {
            self.set(&[id], Stage::At(index));
            told.extend(self.peers.remove(&id).map(|waiter| (waiter, index)));
        }
        told
    }

    /// This node has lost its office, and the core has forgotten what it was asked. Returns the
    /// peers who wait in vain.
    pub fn lost_office(&mut self, now: u64) -> Vec<T> {
        for read in self.own.values_mut() {
            if read.stage == Stage::Core {
                read.stage = Stage::Waiting(now);
            }
        }
        std::mem::take(&mut self.peers).into_values().collect()
    }

    /// Whom the state after that index may be shown, and what of it.
    pub fn served(&mut self, last_applied: u64) -> Vec<(T, Query)> {
        self.take(|read| match read.stage {
            Stage::At(index) => index <= last_applied || planted!(ReadBeforeApplied),
            _ => false,
        })
    }

    /// Who has waited for too long: for anything since `most` milliseconds, or without a leader since
    /// `leaderless`.
    pub fn give_up(&mut self, now: u64, leaderless: Option<u64>, most: u64) -> Vec<T> {
        let given_up = self.take(|read| {
            let patience = match read.stage {
                Stage::Waiting(_) => leaderless.unwrap_or(most),
                _ => most,
            };
            read.since + patience <= now
        });
        given_up.into_iter().map(|(waiter, _)| waiter).collect()
    }

    fn take(&mut self, which: impl Fn(&Read<T>) -> bool) -> Vec<(T, Query)> {
        let those = self.own.iter().filter(|(_, read)| which(read));
        let ids: Vec<ReadId> = those.map(|(&id, _)| id).collect();
        let taken = ids.iter().filter_map(|id| self.own.remove(id));
        taken.map(|read| (read.waiter, read.query)).collect()
    }

    /// When `ready` or `give_up` has something new to say.
    pub fn deadline(&self, leaderless: Option<u64>, most: u64) -> Option<u64> {
        let each = |read: &Read<T>| match read.stage {
            Stage::Waiting(from) if leaderless.is_none() && self.call.is_none() => {
                from.min(read.since + most)
            }
            Stage::Waiting(_) => read.since + leaderless.unwrap_or(most),
            _ => read.since + most,
        };
        self.own.values().map(each).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_that_come_while_the_leader_is_asked_share_the_next_call() {
        let mut reads = Reads::default();
        reads.add(0, 'a', Query::State);
        let first = reads.ready(0);
        reads.asked_leader(&first, 7);
        reads.add(1, 'b', Query::State);
        reads.add(2, 'c', Query::State);
        assert!(reads.is_calling());
        assert!(reads.returned(7, Some(5), 9));
        assert!(reads.served(4).is_empty());
        assert_eq!(reads.served(5), [('a', Query::State)]);
        let next = reads.ready(2);
        assert_eq!(next.len(), 2);
        reads.asked_leader(&next, 8);
        assert!(!reads.returned(7, Some(5), 9));
        assert!(reads.returned(8, None, 9));
        assert!(reads.ready(8).is_empty());
        assert_eq!(reads.ready(9), next);
    }

    #[test]
    fn a_leader_that_loses_its_office_asks_again_and_tells_its_peers() {
        let mut reads = Reads::default();
        reads.add(0, 'a', Query::State);
        let own = reads.ready(0);
        reads.asked_core(own[0]);
        reads.add(0, 'b', Query::State);
        let second = reads.ready(0);
        reads.asked_core(second[0]);
        let peer = reads.add_peer('p');
        let at = |id| ReadAt { id, index: 3 };
        assert!(reads.indexed(&[at(own[0])]).is_empty());
        assert_eq!(reads.lost_office(4), ['p']);
        assert_eq!(reads.ready(4), second);
        assert!(reads.indexed(&[at(peer)]).is_empty());
        assert_eq!(reads.served(3), [('a', Query::State)]);
    }

    #[test]
    fn patience_is_shorter_without_a_leader() {
        let mut reads = Reads::default();
        reads.add(10, 'a', Query::State);
        assert_eq!(reads.deadline(Some(20), 50), Some(30));
        assert_eq!(reads.give_up(29, Some(20), 50), [' '; 0]);
        assert_eq!(reads.give_up(59, None, 50), [' '; 0]);
        assert_eq!(reads.give_up(30, Some(20), 50), ['a']);
        assert_eq!(reads.deadline(None, 50), None);
    }
}
