//! Saves under way, and the promises that wait for them.
//!
//! A vote, a vote request or an acknowledgement says that something is on disk. It is held here
//! until it is true: until the save that was handed over with it, and every save before that, is
//! done. Saves are numbered from 1 and finish in order.

use std::collections::VecDeque;

use crate::raft::{Save, SavedUpTo};

use super::event::Action;

/// What has been handed to the disk, and what depends on it.
pub(super) struct Saves<T> {
    issued: u64,
    done: u64,
    /// What to tell the core when the save of that number is done.
    marks: VecDeque<(u64, SavedUpTo)>,
    /// Promises, each with the last save on which it depends.
    held: VecDeque<(u64, Action<T>)>,
}

impl<T> Default for Saves<T> {
    fn default() -> Self {
        Saves {
            issued: 0,
            done: 0,
            marks: VecDeque::new(),
            held: VecDeque::new(),
        }
    }
}

impl<T> Saves<T> {
    /// Hands a save to the disk.
    pub fn issue(&mut self, save: Save, actions: &mut Vec<Action<T>>) {
        self.issued += 1;
        if let Some(mark) = save.mark() {
            self.marks.push_back((self.issued, mark));
        }
        actions.push(Action::Save(self.issued, save));
    }

    /// Lets the action go once every save issued so far is done.
    pub fn hold(&mut self, action: Action<T>, actions: &mut Vec<Action<T>>) {
        if self.done == self.issued || planted!(PromiseBeforeSave) {
            actions.push(action);
        } else {
            self.held.push_back((self.issued, action));
        }
    }

    /// Saves up to `number` are done: lets go what waited for them, and returns how far the log
    /// is on disk, for the core.
    pub fn done(&mut self, number: u64, actions: &mut Vec<Action<T>>) -> Vec<SavedUpTo> {
        assert!(number <= self.issued, "only what was issued can be done");
        // A late notice of an earlier save changes nothing.
        self.done = self.done.max(number);
        let kept = self.held.partition_point(|(after, _)| *after <= number);
        actions.extend(self.held.drain(..kept).map(|(_, action)| action));
        let reached = self.marks.partition_point(|(save, _)| *save <= number);
        self.marks.drain(..reached).map(|(_, mark)| mark).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::event::{Refusal, Response};

    fn promise(token: u64) -> Action<u64> {
        Action::Answer(token, Err::<Response, _>(Refusal::Full))
    }

    fn tokens(actions: &mut Vec<Action<u64>>) -> Vec<u64> {
        actions
            .drain(..)
            .filter_map(|action| match action {
                Action::Answer(token, _) => Some(token),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn a_promise_waits_for_every_save_before_it_and_for_none_after() {
        let (mut saves, mut actions) = (Saves::default(), Vec::new());
        saves.hold(promise(0), &mut actions);
        assert_eq!(tokens(&mut actions), [0]);
        saves.issue(Save::default(), &mut actions);
        saves.hold(promise(1), &mut actions);
        saves.issue(Save::default(), &mut actions);
        saves.hold(promise(2), &mut actions);
        assert!(tokens(&mut actions).is_empty());
        saves.done(1, &mut actions);
        assert_eq!(tokens(&mut actions), [1]);
        saves.done(2, &mut actions);
        saves.done(1, &mut actions);
        assert_eq!(tokens(&mut actions), [2]);
        saves.hold(promise(3), &mut actions);
        assert_eq!(tokens(&mut actions), [3]);
    }
}
