//! Requests from ids that this node does not know, and where everybody is.
//!
//! A node that lags behind a change of the members may meet its new leader before it has the entry
//! that says who that is; a joiner knows nobody but the address that it was given. So a stranger's
//! request is refused once, and somebody whom this node knows is asked who belongs to the cluster. If
//! that one lists the stranger, the core is introduced to it, and its next request is processed.
//!
//! The address book has three sources, and the first that knows a node counts: what this one was
//! started with (a person wrote it, or the member that a joiner was told to ask), the configuration in
//! the log, and what others said of strangers. A node that the configuration calls by another name is
//! another node.
//!
//! Caveat: nothing authenticates anybody. This keeps strangers out by mistake, not by malice.

use std::collections::{BTreeMap, BTreeSet};

use crate::raft::{CallId, NodeId};

/// Nobody is asked more often than this, in milliseconds, however many strangers knock.
const ASK_EVERY: u64 = 50;
/// Whoever is no member is not asked about again for so long.
const DENIED_FOR: u64 = 1_000;
/// How many strangers are remembered.
const MOST: usize = 64;

/// Who has knocked, and who is being asked about them.
#[derive(Debug, Default)]
pub struct Strangers {
    /// To be asked about.
    knocking: BTreeSet<NodeId>,
    /// Not to be asked about before that time.
    denied: BTreeMap<NodeId, u64>,
    /// Who is being asked, and in which call.
    asking: Option<(NodeId, CallId)>,
    /// Who was asked last: the next one is asked next.
    last: NodeId,
    ask_at: u64,
}

impl Strangers {
    /// A stranger has sent a request.
    pub fn knocked(&mut self, id: NodeId, now: u64) {
        let is_denied = self.denied.get(&id).is_some_and(|&until| now < until);
        if !is_denied && self.knocking.len() < MOST {
            self.knocking.insert(id);
        }
    }

    /// Whom to ask now, of those whom this node knows.
    pub fn whom_to_ask(&mut self, known: &BTreeSet<NodeId>, now: u64) -> Option<NodeId> {
        if self.knocking.is_empty() || self.asking.is_some() || now < self.ask_at {
            return None;
        }
        let next = known.range(self.last + 1..).next();
        let next = *next.or(known.first())?;
        self.last = next;
        Some(next)
    }

    /// It is being asked.
    pub fn asking(&mut self, id: NodeId, call: CallId, now: u64) {
        self.asking = Some((id, call));
        self.ask_at = now + ASK_EVERY;
    }

    /// That call has ended. With an answer, whoever knocked and is not `listed` is no member.
    /// False: it was no call of these.
    pub fn answered(&mut self, call: CallId, listed: Option<&BTreeSet<NodeId>>, now: u64) -> bool {
        if self.asking.is_none_or(|(_, asked)| asked != call) {
            return false;
        }
        self.asking = None;
        if let Some(listed) = listed {
            let knocking = std::mem::take(&mut self.knocking);
            let denied = knocking.into_iter().filter(|id| !listed.contains(id));
            self.denied.retain(|_, until| now < *until);
            for id in denied {
                if self.denied.len() < MOST {
                    self.denied.insert(id, now + DENIED_FOR);
                }
            }
        }
        true
    }

    /// When `whom_to_ask` has something new to say.
    pub fn deadline(&self) -> Option<u64> {
        (!self.knocking.is_empty() && self.asking.is_none()).then_some(self.ask_at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_member_after_the_other_is_asked_until_one_answers() {
        let known = BTreeSet::from([1, 3]);
        let mut strangers = Strangers::default();
        assert_eq!(strangers.whom_to_ask(&known, 0), None);
        strangers.knocked(9, 0);
        assert_eq!(strangers.whom_to_ask(&known, 0), Some(1));
        strangers.asking(1, 70, 0);
        assert_eq!(strangers.whom_to_ask(&known, 60), None);
        assert!(strangers.answered(70, None, 60));
        assert_eq!(strangers.whom_to_ask(&known, 60), Some(3));
        strangers.asking(3, 71, 60);
        assert!(!strangers.answered(70, None, 61));
        assert!(strangers.answered(71, Some(&BTreeSet::from([1, 3])), 61));
        // It is no member. Nobody is asked again so soon.
        strangers.knocked(9, 62);
        assert_eq!(strangers.deadline(), None);
        strangers.knocked(9, 61 + DENIED_FOR);
        assert_eq!(strangers.whom_to_ask(&known, 61 + DENIED_FOR), Some(1));
    }

    #[test]
    fn a_crowd_of_strangers_is_not_remembered_without_bound() {
        let mut strangers = Strangers::default();
        for id in 0..10_000 {
            strangers.knocked(id, 0);
        }
        strangers.asking(1, 1, 0);
        strangers.answered(1, Some(&BTreeSet::new()), 0);
        assert!(strangers.denied.len() <= MOST && strangers.knocking.is_empty());
    }
}
