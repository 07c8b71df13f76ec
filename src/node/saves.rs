//! Saves under way, and the promises that wait for them.
//!
//! A vote, a vote request or an acknowledgement says that something is on disk. It is held here
//! until it is true: until the save that was handed over with it, and every save before that, is
//! done. Saves are numbered from 1 and finish in order.
//!
//! A vote, and a request for votes, depends on term and vote alone. Their room is reserved, so they
//! are on disk even when entries before them find no room; such a promise need not wait for more.
//! (What a log that is not yet saved says to an election is never less than what the saved one
//! would: a voter compares with its whole log, and nobody counts an entry before its save.)

use std::collections::VecDeque;

use crate::raft::{Save, SavedUpTo};

use super::event::Action;

/// How many answers of a kind wait at most. A peer has one call under way, and gives it up long
/// before a disk that hangs or is full is done: what it asked earlier, nobody waits for.
const MOST_ANSWERS: usize = 32;

/// On what a promise depends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Term and vote.
    HardState,
    /// All that was handed over before.
    Everything,
}

/// What has been handed to the disk, and what depends on it.
pub(super) struct Saves<T> {
    issued: u64,
    done: u64,
    /// How far term and vote are on disk; at least `done`.
    hard_state_done: u64,
    /// What to tell the core when the save of that number is done.
    marks: VecDeque<(u64, SavedUpTo)>,
    /// Promises, each with the last save on which it depends.
    held: VecDeque<(u64, Action<T>)>,
    /// Those that need term and vote only.
    held_votes: VecDeque<(u64, Action<T>)>,
}

impl<T> Default for Saves<T> {
    fn default() -> Self {
        Saves {
            issued: 0,
            done: 0,
            hard_state_done: 0,
            marks: VecDeque::new(),
            held: VecDeque::new(),
            held_votes: VecDeque::new(),
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

    /// The number of the save handed over last.
    pub fn issued(&self) -> u64 {
        self.issued
    }

    /// Whether nothing is under way.
    pub fn are_done(&self) -> bool {
        self.is_done(self.issued)
    }

    /// Whether the save of that number is done.
    pub fn is_done(&self, number: u64) -> bool {
        number <= self.done
    }

    /// Lets the action go once what it needs of the saves issued so far is done.
    pub fn hold(&mut self, action: Action<T>, needs: Needs, actions: &mut Vec<Action<T>>) {
        let (done, held, early) = match needs {
            Needs::HardState => (
                self.hard_state_done,
                &mut self.held_votes,
                planted!(VoteBeforeSave),
            ),
            Needs::Everything => (self.done, &mut self.held, planted!(AcknowledgeBeforeSave)),
        };
        if done == self.issued || early || planted!(PromiseBeforeSave) {
            actions.push(action);
        } else {
            held.push_back((self.issued, action));
            let mut answers = (0..held.len()).filter(|&at| is_answer(&held[at].1));
            if let Some(oldest) = answers.next()
                && answers.count() == MOST_ANSWERS
            {
                held.remove(oldest);
            }
        }
    }

    /// Saves up to `number` are done: lets go what waited for them, and returns how far the log
    /// is on disk, for the core.
    pub fn done(&mut self, number: u64, actions: &mut Vec<Action<T>>) -> Vec<SavedUpTo> {
        self.hard_state_done(number, actions);
        // A late notice of an earlier save changes nothing.
        self.done = self.done.max(number);
        release(&mut self.held, number, actions);
        let reached = self.marks.partition_point(|(save, _)| *save <= number);
        self.marks.drain(..reached).map(|(_, mark)| mark).collect()
    }

    /// There is no room for what is being saved: takes out the promises that wait for more than term
    /// and vote. A promise that is not made is never wrong.
    pub fn give_up(&mut self) -> impl Iterator<Item = Action<T>> + use<T> {
        std::mem::take(&mut self.held)
            .into_iter()
            .map(|(_, action)| action)
    }

    /// Term and vote of the saves up to `number` are done.
    pub fn hard_state_done(&mut self, number: u64, actions: &mut Vec<Action<T>>) {
        assert!(number <= self.issued, "only what was issued can be done");
        self.hard_state_done = self.hard_state_done.max(number);
        release(&mut self.held_votes, number, actions);
    }
}

fn is_answer<T>(action: &Action<T>) -> bool {
    matches!(action, Action::Answer(..))
}

fn release<T>(held: &mut VecDeque<(u64, Action<T>)>, done: u64, actions: &mut Vec<Action<T>>) {
    let kept = held.partition_point(|(after, _)| *after <= done);
    actions.extend(held.drain(..kept).map(|(_, action)| action));
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
        saves.hold(promise(0), Needs::Everything, &mut actions);
        assert_eq!(tokens(&mut actions), [0]);
        saves.issue(Save::default(), &mut actions);
        saves.hold(promise(1), Needs::Everything, &mut actions);
        saves.issue(Save::default(), &mut actions);
        saves.hold(promise(2), Needs::Everything, &mut actions);
        assert!(tokens(&mut actions).is_empty());
        saves.done(1, &mut actions);
        assert_eq!(tokens(&mut actions), [1]);
        saves.done(2, &mut actions);
        saves.done(1, &mut actions);
        assert_eq!(tokens(&mut actions), [2]);
        saves.hold(promise(3), Needs::Everything, &mut actions);
        assert_eq!(tokens(&mut actions), [3]);
    }

    #[test]
    fn without_room_every_promise_is_given_up_but_those_of_term_and_vote() {
        let (mut saves, mut actions) = (Saves::default(), Vec::new());
        saves.issue(Save::default(), &mut actions);
        saves.hold(promise(1), Needs::Everything, &mut actions);
        saves.hold(promise(2), Needs::HardState, &mut actions);
        assert_eq!(tokens(&mut saves.give_up().collect()), [1]);
        saves.done(1, &mut actions);
        assert_eq!(tokens(&mut actions), [2]);
    }

    #[test]
    fn a_vote_waits_for_term_and_vote_only() {
        let (mut saves, mut actions) = (Saves::default(), Vec::new());
        saves.issue(Save::default(), &mut actions);
        saves.hold(promise(1), Needs::Everything, &mut actions);
        saves.hold(promise(2), Needs::HardState, &mut actions);
        assert!(tokens(&mut actions).is_empty());
        saves.hard_state_done(1, &mut actions);
        assert_eq!(tokens(&mut actions), [2]);
        saves.done(1, &mut actions);
        assert_eq!(tokens(&mut actions), [1]);
    }

    #[test]
    fn a_disk_that_hangs_does_not_gather_answers_that_nobody_waits_for_any_more() {
        for needs in [Needs::Everything, Needs::HardState] {
            let (mut saves, mut actions) = (Saves::default(), Vec::new());
            saves.issue(Save::default(), &mut actions);
            for token in 0..10_000 {
                saves.hold(promise(token), needs, &mut actions);
            }
            saves.done(1, &mut actions);
            let tokens = tokens(&mut actions);
            assert!(tokens.len() <= 100, "{}", tokens.len());
            // Whoever asked last may still wait.
            assert!(tokens.ends_with(&[9_998, 9_999]));
        }
    }
}
