//! The smallest part of a history that shows a violation.
//!
//! To leave an operation out of a history is not to forget it. Without the put, the get that found its
//! value is a violation, and was none before. So what an operation may have *done* stays when it is
//! left out, and what it *says* goes. That can be had in two ways, and each is tried:
//!
//! - It is *relaxed*: as if somebody had put the value that it left there and nobody knew the outcome.
//!   It may have taken effect at any time after its invocation, or never. (Of an append one does not
//!   know what it left; it stays an append. Only what changed nothing is really gone.)
//! - It is *past*, if it returned before the first of those that are kept was invoked. What all such
//!   operations have left is then whatever the first of those that are kept may find.
//!
//! Every order for the whole history gives one for what is left. So what is left is a violation only if
//! the whole is one, and only because of the operations that are kept.
//!
//! So a small part can also prove what the search of the whole cannot: that there is no order, where
//! there are too many beginnings to try them all. Violations are local, as a rule. The search comes to
//! a place that it cannot pass, and the operations just before that place, with everything else past,
//! are searched within no time ([`Part::around`]).
//!
//! A part that shows the violation is then made smaller piece by piece, down to single operations
//! ([`Part::shrink`]), until none can be spared. What is undecided counts as no violation.

use std::cmp::Reverse;
use std::collections::BTreeSet;

use super::history::{Operation, Outcome, Time};
use super::model::{self, Action, Answer, Register, Value};
use super::search::{End, Problem};
use super::seen::State;

/// How many attempts are sure to be possible with the steps that there are.
const ATTEMPTS: u64 = 8;
/// The same for making a part smaller.
const SHRINK_ATTEMPTS: u64 = 50;

/// Operations that are kept, of those on one key.
pub struct Part<'a> {
    operations: &'a [&'a Operation],
    /// What becomes of each if it is not kept.
    relaxed: Vec<Option<Operation>>,
    /// The completed ones, by return.
    completed: Vec<usize>,
    /// Those that show the violation, once any do.
    kept: BTreeSet<usize>,
    steps_left: u64,
    /// Whether an attempt was given up since this was last asked.
    is_doubtful: bool,
}

impl<'a> Part<'a> {
    /// Nothing yet, of the operations on one key.
    pub fn new(operations: &'a [&'a Operation]) -> Part<'a> {
        let mut completed: Vec<usize> = (0..operations.len()).collect();
        completed.retain(|&i| returned(operations[i]).is_some());
        completed.sort_by_key(|&i| (returned(operations[i]), i));
        let relaxed = operations.iter().map(|operation| relaxed(operation));
        Part {
            operations,
            relaxed: relaxed.collect(),
            completed,
            kept: BTreeSet::new(),
            steps_left: 0,
            is_doubtful: false,
        }
    }

    /// How many operations are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// Looks for a part that shows a violation, in at most so many steps, near a place that the
    /// search did not pass: the first so many completed operations, by return, have an order. Says
    /// whether there is one, and how many steps it took.
    pub fn around(&mut self, passed: usize, steps: u64) -> (bool, u64) {
        let Some(&stuck) = self.completed.get(passed) else {
            return (false, 0);
        };
        // Those that are open there may be what is wrong, too.
        let invoked = |i: usize| self.operations[i].invoked;
        let until = returned(self.operations[stuck]);
        let is_open = |&&i: &&usize| Some(invoked(i)) <= until;
        let open = self.completed[passed..].iter().filter(is_open).count();
        let mut window = self.completed[..passed + open].to_vec();
        window.sort_by_key(|&i| Reverse(invoked(i)));

        self.steps_left = steps;
        let mut length = open;
        while self.steps_left > 0 {
            length = length.min(window.len());
            let chosen: BTreeSet<usize> = window[..length].iter().copied().collect();
            if self.is_violation(&chosen, steps / ATTEMPTS) {
                self.kept = chosen;
                return (true, steps - self.steps_left);
            }
            if length == window.len() {
                break;
            }
            length *= 2;
        }
        (false, steps - self.steps_left)
    }

    /// Keeps everything, if that is known to be a violation.
    pub fn keep_all(&mut self) {
        self.kept = self.completed.iter().copied().collect();
    }

    /// Leaves out what can be spared, in at most so many steps, and says which are left;
    /// whether it is certain that none of these can be spared; and how many steps it took.
    pub fn shrink(mut self, steps: u64) -> (BTreeSet<usize>, bool, u64) {
        self.steps_left = steps;
        let mut kept: Vec<usize> = self.kept.iter().copied().collect();
        kept.sort_by_key(|&i| (self.operations[i].invoked, i));
        let mut piece = kept.len().div_ceil(2);
        loop {
            self.is_doubtful = false;
            let before = kept.len();
            let mut at = 0;
            while at < kept.len() {
                let mut fewer = kept.clone();
                fewer.drain(at..(at + piece).min(kept.len()));
                let chosen = fewer.iter().copied().collect();
                if self.is_violation(&chosen, steps / SHRINK_ATTEMPTS) {
                    kept = fewer;
                } else {
                    at += piece;
                }
            }
            if piece > 1 {
                piece /= 2;
            } else if kept.len() == before {
                // With fewer operations more is past. So one that could not be spared may be spared
                // when another one has gone; only now that none has, none can.
                break;
            }
        }
        let kept = kept.into_iter().collect();
        (kept, !self.is_doubtful, steps - self.steps_left)
    }

    fn is_violation(&mut self, chosen: &BTreeSet<usize>, steps: u64) -> bool {
        let invoked = chosen.iter().map(|&i| self.operations[i].invoked);
        let begin = invoked.min().unwrap_or(0);
        self.attempt(chosen, begin, steps) || self.attempt(chosen, 0, steps)
    }

    /// Searches the part in which these are kept, and what returned before `begin` is past.
    fn attempt(&mut self, chosen: &BTreeSet<usize>, begin: Time, steps: u64) -> bool {
        let mut start = State::Missing;
        let mut part: Vec<&Operation> = Vec::new();
        for (i, operation) in self.operations.iter().enumerate() {
            if chosen.contains(&i) {
                part.push(operation);
            } else if returned(operation).is_some_and(|returned| returned < begin) {
                start = State::Any;
            } else {
                part.extend(&self.relaxed[i]);
            }
        }
        let problem = Problem::new(start, &part);
        let mut search = problem.search();
        let end = search.run(self.steps_left.min(steps));
        self.steps_left = self.steps_left.saturating_sub(search.steps());
        self.is_doubtful |= !matches!(end, End::None | End::Order(_));
        end == End::None
    }
}

fn returned(operation: &Operation) -> Option<Time> {
    match operation.outcome {
        Outcome::Completed { returned, .. } => Some(returned),
        Outcome::Unknown | Outcome::Failed => None,
    }
}

/// What is left of an operation that is relaxed, if anything is.
fn relaxed(operation: &Operation) -> Option<Operation> {
    let mut relaxed = operation.clone();
    if let Outcome::Completed { answer, .. } = &operation.outcome {
        if model::changed_nothing(&operation.action, answer) {
            return None;
        }
        match (&operation.action, answer) {
            (Action::Cas { new, .. }, _) => relaxed.action = Action::Put(new.clone()),
            (Action::Incr, Answer::Number(number)) => {
                relaxed.action = Action::Put(Value::Int(*number));
            }
            _ => {}
        }
        relaxed.outcome = Outcome::Unknown;
    }
    Some(relaxed)
}

/// What an operation has found in the register, or made of it, if it says so.
pub fn found(operation: &Operation) -> Option<Register> {
    let Outcome::Completed { answer, .. } = &operation.outcome else {
        return None;
    };
    match (&operation.action, answer) {
        (Action::Get, Answer::Found(register)) => Some(register.clone()),
        (Action::Cas { expected, .. }, Answer::Swapped(true)) => Some(expected.clone()),
        (Action::Incr, Answer::Number(number)) => Some(Some(Value::Int(*number))),
        _ => None,
    }
}
