//! What clients ask of the leader by way of this node: changes of the members, and transfers of the
//! leadership.
//!
//! An errand waits for a leader, is run (by this node's own core, or by a call to the leader), and is
//! done when this node sees that it is: when it has applied the change and the configuration that ends
//! it, or follows another leader in a later term. Errands are rare, so they go one at a time.
//!
//! A change that was sent and not answered is not sent again. It may have been appended, and a second
//! one would be refused as if it had failed.

use std::collections::BTreeMap;

use crate::raft::{CallId, NodeId};

use super::event::Errand;

/// Every errand under way here. `T` is who waits for what comes of it.
#[derive(Debug)]
pub struct Errands<T> {
    next: u64,
    errands: BTreeMap<u64, Running<T>>,
}

/// One errand.
#[derive(Debug)]
pub struct Running<T> {
    pub waiter: T,
    pub errand: Errand,
    pub since: u64,
    pub stage: Stage,
}

/// How far an errand is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// To be run, not before that time.
    Waiting(u64),
    /// The leader is being asked, in that call.
    Sent(CallId),
    /// The change stands at that index in that term.
    Placed { term: u64, index: u64 },
    /// The leader of that term hands over; it has until then.
    HandingOver {
        term: u64,
        leader: Option<NodeId>,
        until: u64,
    },
}

impl<T> Default for Errands<T> {
    fn default() -> Errands<T> {
        Errands {
            next: 0,
            errands: BTreeMap::new(),
        }
    }
}

impl<T> Errands<T> {
    /// Somebody asks for this.
    pub fn add(&mut self, now: u64, errand: Errand, waiter: T) {
        let running = Running {
            waiter,
            errand,
            since: now,
            stage: Stage::Waiting(now),
        };
        self.errands.insert(self.next, running);
        self.next += 1;
    }

    /// What is to be run now, if nothing is being asked.
    pub fn ready(&self, now: u64) -> Option<(u64, Errand)> {
        let is_sent = |running: &Running<T>| matches!(running.stage, Stage::Sent(_));
        if self.errands.values().any(is_sent) {
            return None;
        }
        let ready = |running: &Running<T>| matches!(running.stage, Stage::Waiting(at) if at <= now);
        let mut errands = self.errands.iter();
        let (&name, running) = errands.find(|(_, running)| ready(running))?;
        Some((name, running.errand.clone()))
    }

    /// The errand that is being asked in that call.
    pub fn sent_in(&self, call: CallId) -> Option<u64> {
        let mut errands = self.errands.iter();
        let found = errands.find(|(_, running)| running.stage == Stage::Sent(call));
        found.map(|(&name, _)| name)
    }

    /// The errand has come so far.
    pub fn set(&mut self, name: u64, stage: Stage) {
        if let Some(running) = self.errands.get_mut(&name) {
            running.stage = stage;
        }
    }

    /// Takes out those of which `verdict` knows what came of them.
    pub fn settle<V>(&mut self, verdict: impl Fn(&Running<T>) -> Option<V>) -> Vec<(T, V)> {
        let mut settled = Vec::new();
        let names: Vec<u64> = self.errands.keys().copied().collect();
        for name in names {
            let verdict = self.errands.get(&name).and_then(&verdict);
            if let Some(verdict) = verdict
                && let Some(running) = self.errands.remove(&name)
            {
                settled.push((running.waiter, verdict));
            }
        }
        settled
    }

    /// Takes one out.
    pub fn take(&mut self, name: u64) -> Option<T> {
        self.errands.remove(&name).map(|running| running.waiter)
    }

    /// When `ready` or `settle` has something new to say by time alone.
    pub fn deadline(&self, has_leader: bool, leaderless: u64, most: u64) -> Option<u64> {
        let each = |running: &Running<T>| match running.stage {
            Stage::Waiting(at) if has_leader => at,
            Stage::Waiting(_) => running.since + leaderless,
            Stage::HandingOver { until, .. } => until.min(running.since + most),
            _ => running.since + most,
        };
        self.errands.values().map(each).min()
    }
}
