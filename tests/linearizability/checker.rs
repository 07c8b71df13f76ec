//! check(history): a proof, a violation, or an admission.
//!
//! Linearizability is local: a history is linearizable if and only if each key's operations are, taken
//! by themselves (Herlihy and Wing, theorem 1). So each key is searched on its own.
//!
//! The search is clever, and what is clever can be wrong. An order that it finds is therefore carried
//! out on the model before anybody hears of it ([`prove`]); the search cannot talk a violation away.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use super::history::{Operation, Outcome, Time, timeline};
use super::model::{self, Action, Register};
use super::search::{End, MOST_OPEN, Problem};
use super::seen::State;
use super::shrink::{self, Part};

/// How many steps [`check`] spends on a key. A step is one operation tried on one state, or two
/// configurations compared. Two thousand operations take some ten thousand, as a rule; so many as this
/// take some seconds and a hundred megabytes.
pub const STEPS: u64 = 10_000_000;

/// The first turn of a search ends after so many.
const FIRST_TURN: u64 = 200_000;
/// Each later one ends after so many times as many as the one before.
const LONGER: u64 = 8;

/// Other operations that are shown with a violation, at most.
const SHOWN: usize = 10;

/// There is an order for each key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Linearizable {
    pub keys: usize,
    pub operations: usize,
    /// How much work it was.
    pub steps: u64,
}

/// What a caller must not take for a pass. Its text is for people, and so is its Debug, so that
/// `check(...).unwrap()` says what there is to say.
#[derive(Clone, PartialEq, Eq)]
pub enum Failure {
    Violation(Violation),
    Undecided(Undecided),
}

/// There is no order for this key.
#[derive(Clone, PartialEq, Eq)]
pub struct Violation {
    pub key: String,
    /// The operations that contradict each other, by invocation.
    pub smallest: Vec<Operation>,
    /// None of these can be spared: without what it says, the rest is no violation. If this is not
    /// set, the search for a smaller part was given up.
    pub is_smallest: bool,
    /// Others that write what is found there, and do not explain it; those that are nearest, if there
    /// are many.
    pub beside: Vec<Operation>,
    /// How many operations there were with this key.
    pub operations: usize,
    /// Other keys for which there is no order either.
    pub other_keys: Vec<String>,
    /// How much work it was, with all keys.
    pub steps: u64,
}

/// Nobody knows whether there is an order.
#[derive(Clone, PartialEq, Eq)]
pub struct Undecided {
    pub key: String,
    pub operations: usize,
    pub why: Why,
}

/// Why nobody knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Why {
    /// So many steps were not enough.
    Limit(u64),
    /// More operations than this were open at the same time.
    TooWide(usize),
}

/// Whether a history is linearizable.
///
/// # Panics
///
/// If an operation returns before it was invoked.
pub fn check(history: &[Operation]) -> Result<Linearizable, Failure> {
    check_within(history, STEPS)
}

/// The same with so many steps for each key, and again as many to find a small part.
pub fn check_within(history: &[Operation], limit: u64) -> Result<Linearizable, Failure> {
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history {
        if let Outcome::Completed { returned, .. } = operation.outcome {
            let invoked = operation.invoked;
            assert!(invoked <= returned, "returned before: {operation:?}");
        }
        keys.entry(&operation.key).or_default().push(operation);
    }
    let mut steps = 0;
    let mut undecided = None;
    let mut violated = Vec::new();
    for (key, operations) in &keys {
        let (judgement, taken) = judge(operations, limit);
        steps += taken;
        match judgement {
            Judgement::Order => {}
            Judgement::Violation(part) => violated.push((*key, part)),
            Judgement::Undecided(why) => {
                undecided.get_or_insert(Undecided {
                    key: key.to_string(),
                    operations: operations.len(),
                    why,
                });
            }
        }
    }
    if !violated.is_empty() {
        // The one that can be shown best.
        violated.sort_by_key(|(_, part)| part.len());
        let (key, part) = violated.remove(0);
        let mut violation = violation(key, &keys[key], part, limit);
        violation.steps += steps;
        violation.other_keys = violated.iter().map(|(key, _)| key.to_string()).collect();
        return Err(Failure::Violation(violation));
    }
    match undecided {
        Some(undecided) => Err(Failure::Undecided(undecided)),
        None => Ok(Linearizable {
            keys: keys.len(),
            operations: history.len(),
            steps,
        }),
    }
}

/// What is to be said of one key.
enum Judgement<'a> {
    Order,
    /// With a part that shows it.
    Violation(Part<'a>),
    Undecided(Why),
}

/// Judges the operations on one key, and says how many steps it took.
///
/// The search of the whole and that for a part that is a violation take turns, and the first turns are
/// short: the one finds an order fast if there is one, the other a violation.
fn judge<'a>(operations: &'a [&'a Operation], limit: u64) -> (Judgement<'a>, u64) {
    let problem = Problem::new(State::Missing, operations);
    let mut search = problem.search();
    let mut part = Part::new(operations);
    let mut turn = FIRST_TURN.min(limit);
    let mut steps = 0;
    let mut around = |part: &mut Part, passed, limit| {
        let (found, taken) = part.around(passed, limit);
        steps += taken;
        found
    };
    loop {
        let judgement = match search.run(turn) {
            End::Order(order) => {
                prove(operations, &order);
                Judgement::Order
            }
            End::None => {
                if !around(&mut part, search.passed(), limit) {
                    part.keep_all();
                }
                Judgement::Violation(part)
            }
            End::TooWide => Judgement::Undecided(Why::TooWide(MOST_OPEN)),
            End::Limit if around(&mut part, search.passed(), turn) => Judgement::Violation(part),
            End::Limit if turn < limit => {
                turn = turn.saturating_mul(LONGER).min(limit);
                continue;
            }
            End::Limit => Judgement::Undecided(Why::Limit(limit)),
        };
        return (judgement, search.steps() + steps);
    }
}

/// Carries the order out, and stops if anything in it is wrong: that would be the search's mistake.
fn prove(operations: &[&Operation], order: &[usize]) {
    let mut register: Register = None;
    let mut left: BTreeSet<usize> = (0..operations.len()).collect();
    let mut latest_invocation: Time = 0;
    for &place in order {
        assert!(left.remove(&place), "placed twice, or not an operation");
        let Operation {
            action,
            invoked,
            outcome,
            ..
        } = operations[place];
        latest_invocation = latest_invocation.max(*invoked);
        let given = model::apply(&mut register, action);
        match outcome {
            Outcome::Completed { returned, answer } => {
                assert_eq!(given, *answer, "the order gives another answer");
                assert!(
                    *returned >= latest_invocation,
                    "the order is not the times'"
                );
            }
            Outcome::Unknown => {}
            Outcome::Failed => panic!("what failed has no place in the order"),
        }
    }
    for place in left {
        let completed = matches!(operations[place].outcome, Outcome::Completed { .. });
        assert!(!completed, "the order leaves something out");
    }
}

/// Makes a picture of it, in at most so many steps.
fn violation(key: &str, operations: &[&Operation], part: Part<'_>, limit: u64) -> Violation {
    let (kept, is_smallest, steps) = part.shrink(limit);
    let by_invocation = |operation: &Operation| (operation.invoked, operation.client);
    let mut smallest: Vec<Operation> = kept.iter().map(|&i| operations[i].clone()).collect();
    smallest.sort_by_key(by_invocation);

    let found: Vec<Register> = smallest.iter().filter_map(shrink::found).collect();
    let writes_it = |operation: &Operation| match &operation.action {
        Action::Put(value) | Action::Cas { new: value, .. } => {
            found.iter().any(|found| found.as_ref() == Some(value))
        }
        // Those that did happen are too many to be shown.
        Action::Append(_) | Action::Incr => operation.outcome == Outcome::Failed,
        Action::Get | Action::Delete => false,
    };
    let others = (0..operations.len()).filter(|i| !kept.contains(i));
    let others = others.map(|i| operations[i].clone()).filter(writes_it);
    let mut beside: Vec<Operation> = others.collect();
    let begin = smallest.first().map_or(0, |first| first.invoked);
    beside.sort_by_key(|operation| operation.invoked.abs_diff(begin));
    beside.truncate(SHOWN);
    beside.sort_by_key(by_invocation);
    Violation {
        key: key.to_string(),
        smallest,
        is_smallest,
        beside,
        operations: operations.len(),
        other_keys: Vec::new(),
        steps,
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Violation(violation) => violation.fmt(f),
            Failure::Undecided(undecided) => undecided.fmt(f),
        }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Violation {
            key,
            smallest,
            is_smallest,
            beside,
            operations,
            other_keys,
            steps: _,
        } = self;
        let count = smallest.len();
        writeln!(
            f,
            "not linearizable: key {key:?}, {count} of {operations} operations"
        )?;
        writeln!(
            f,
            "No order of these gives these answers, whatever became of the others:\n"
        )?;
        f.write_str(&timeline(&smallest.iter().collect::<Vec<_>>()))?;
        if !is_smallest {
            writeln!(
                f,
                "\nA smaller part may do, but the search for one was given up."
            )?;
        }
        if !beside.is_empty() {
            writeln!(
                f,
                "\nOthers that write what is found there, and do not explain it:\n"
            )?;
            f.write_str(&timeline(&beside.iter().collect::<Vec<_>>()))?;
        }
        if !other_keys.is_empty() {
            writeln!(f, "\nViolations as well: {other_keys:?}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Undecided {
            key,
            operations,
            why,
        } = self;
        write!(f, "undecided: key {key:?}, {operations} operations: ")?;
        match why {
            Why::Limit(steps) => write!(f, "{steps} steps were not enough"),
            Why::TooWide(most) => write!(f, "more than {most} were open at the same time"),
        }
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Debug for Undecided {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}
