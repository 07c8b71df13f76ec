//! The smallest part of a history that shows a violation.
//!
//! To leave an operation out of a history is not to forget it. Without the put, the get that found its
//! value is a violation, and was none before. So an operation that is left out is *relaxed*: it says
//! nothing any more about the time of its return and about what it found, but it may still have done
//! what it did, at any time after its invocation, or never. It is as if somebody had put the value that
//! it left there, and nobody knew the outcome. Only what changed nothing is really gone. Every order
//! for the whole history gives one for what is left, so what is left is a violation only if the whole
//! is one, and only because of the operations that are kept.
//!
//! So a small part can also prove what the search of the whole cannot: that there is no order, where
//! there are too many beginnings to try them all. Violations are local, as a rule. The search comes to
//! a place that it cannot pass; a few operations before that place, with the writes from which they may
//! have their values, are a part that is searched within no time ([`Part::around`]).
//!
//! A part that shows the violation is then made smaller piece by piece, down to single operations
//! ([`Part::shrink`]). What is undecided counts as no violation. As leaving more out never makes a
//! violation of what is none, an operation that could not be spared once need not be tried again.

use std::collections::BTreeSet;

use super::history::{Operation, Outcome};
use super::model::{self, Action, Answer, Register, Value};
use super::search::{End, Problem};
use super::seen::State;

/// Most steps of one attempt.
const ATTEMPT: u64 = 1_000_000;

/// Operations that are kept, and the work that may still be done on them.
pub struct Part<'a> {
    operations: &'a [&'a Operation],
    /// What becomes of each if it is not kept.
    relaxed: Vec<Option<Operation>>,
    /// The completed ones, by return.
    completed: Vec<usize>,
    steps_left: u64,
    /// Every attempt was decided.
    pub is_certain: bool,
    /// Those that show the violation, once any do.
    kept: BTreeSet<usize>,
}

impl<'a> Part<'a> {
    /// Of the operations on one key, with so many steps for everything.
    pub fn new(operations: &'a [&'a Operation], steps: u64) -> Part<'a> {
        let mut completed: Vec<usize> = (0..operations.len()).collect();
        completed.retain(|&i| returned(operations[i]).is_some());
        completed.sort_by_key(|&i| (returned(operations[i]), i));
        Part {
            operations,
            relaxed: operations
                .iter()
                .map(|operation| relaxed(operation))
                .collect(),
            completed,
            steps_left: steps,
            is_certain: true,
            kept: BTreeSet::new(),
        }
    }

    /// Looks for a part that shows a violation near a place that the search did not pass: the first
    /// so many completed operations, by return, have an order. Says whether there is one.
    pub fn around(&mut self, passed: usize, steps: u64) -> bool {
        let Some(&stuck) = self.completed.get(passed) else {
            return false;
        };
        // Those that are open there may be what is wrong, too.
        let invoked = |i: usize| self.operations[i].invoked;
        let until = returned(self.operations[stuck]);
        let is_open = |&&i: &&usize| Some(invoked(i)) <= until;
        let open = self.completed[passed..].iter().filter(is_open).count();
        let mut window = self.completed[..passed + open].to_vec();
        // The latest first.
        window.sort_by_key(|&i| std::cmp::Reverse(invoked(i)));
        let mut length = open;
        loop {
            length = length.min(window.len());
            let chosen: BTreeSet<usize> = window[..length].iter().copied().collect();
            if self.is_violation(&chosen, steps) {
                self.kept = chosen;
                return true;
            }
            if length == window.len() || self.steps_left == 0 {
                return false;
            }
            length *= 2;
        }
    }

    /// How many operations are kept.
    pub fn len(&self) -> usize {
        self.kept.len()
    }

    /// All completed operations are known to show a violation.
    pub fn all(&mut self) {
        self.kept = self.completed.iter().copied().collect();
    }

    /// Leaves out what can be spared, and says which are left.
    pub fn shrink(mut self) -> (Vec<bool>, bool) {
        let mut kept: Vec<usize> = self.kept.iter().copied().collect();
        kept.sort_by_key(|&i| (self.operations[i].invoked, i));
        let mut piece = kept.len().div_ceil(2);
        loop {
            self.is_certain = true;
            let before = kept.len();
            let mut at = 0;
            while at < kept.len() {
                let mut fewer = kept.clone();
                fewer.drain(at..(at + piece).min(kept.len()));
                if self.is_violation(&fewer.iter().copied().collect(), ATTEMPT) {
                    kept = fewer;
                } else {
                    at += piece;
                }
            }
            if piece > 1 {
                piece /= 2;
            } else if kept.len() == before {
                break;
            }
        }
        let mut chosen = vec![false; self.operations.len()];
        for i in kept {
            chosen[i] = true;
        }
        (chosen, self.is_certain)
    }

    fn is_violation(&mut self, chosen: &BTreeSet<usize>, steps: u64) -> bool {
        let invoked = chosen.iter().map(|&i| self.operations[i].invoked);
        let begin = invoked.min().unwrap_or(0);
        self.attempt(chosen, begin, steps) || self.attempt(chosen, 0, steps)
    }

    fn attempt(&mut self, chosen: &BTreeSet<usize>, begin: u64, steps: u64) -> bool {
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
        let mut search =
            problem.search(std::env::var("DEAR").map_or(1_000_000, |d| d.parse().unwrap()));
        let end = search.run(self.steps_left.min(steps));
        self.steps_left = self.steps_left.saturating_sub(search.steps());
        self.is_certain &= matches!(end, End::None | End::Order(_));
        if std::env::var("DBG").is_ok() {
            eprintln!(
                "attempt kept {} kinds {} known {} end {:?} steps {} passed {}",
                chosen.len(),
                problem.kinds(),
                problem.knowns(),
                std::mem::discriminant(&end),
                search.steps(),
                search.passed()
            );
        }
        end == End::None
    }
}

fn returned(operation: &Operation) -> Option<u64> {
    match operation.outcome {
        Outcome::Completed { returned, .. } => Some(returned),
        Outcome::Unknown | Outcome::Failed => None,
    }
}

/// What is left of an operation that is not kept, if anything is.
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
