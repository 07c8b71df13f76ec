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

/// How many steps [`check`] spends on a key. A step is one operation tried on one state; a key with a
/// few thousand operations usually takes some ten thousand. So many steps take some seconds, and
/// some hundred megabytes.
pub const STEPS: u64 = 30_000_000;

/// The first turn of a search takes so many, each later one eight times as many as the one before.
const FIRST_TURN: u64 = 200_000;

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
    /// None of these can be spared: without the time of its return and its answer, the rest is no
    /// violation. If this is not set, the search for a smaller part was given up.
    pub is_smallest: bool,
    /// Others that write what is read there, and cannot have done it; some of them, if there are
    /// many.
    pub beside: Vec<Operation>,
    /// How many operations there were with this key.
    pub operations: usize,
    /// Other keys for which there is no order.
    pub other_keys: Vec<String>,
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

/// The same with so many steps for each key, and so many again to make the violation small.
pub fn check_within(history: &[Operation], limit: u64) -> Result<Linearizable, Failure> {
    let mut keys: BTreeMap<&str, Vec<&Operation>> = BTreeMap::new();
    for operation in history {
        if let Outcome::Completed { returned, .. } = operation.outcome {
            let invoked = operation.invoked;
            assert!(invoked <= returned, "returned before: {operation:?}");
        }
        keys.entry(&operation.key).or_default().push(operation);
    }
    let mut linearizable = Linearizable {
        keys: keys.len(),
        operations: history.len(),
        steps: 0,
    };
    let mut undecided = None;
    let mut violated = Vec::new();
    for (key, operations) in &keys {
        let (judgement, steps) = judge(operations, limit);
        linearizable.steps += steps;
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
        // The smallest is shown.
        violated.sort_by_key(|(_, part)| part.len());
        let (key, part) = violated.remove(0);
        let other_keys = violated.iter().map(|(key, _)| key.to_string()).collect();
        let violation = violation(key, &keys[key], part, other_keys);
        return Err(Failure::Violation(violation));
    }
    match undecided {
        Some(undecided) => Err(Failure::Undecided(undecided)),
        None => Ok(linearizable),
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
/// The search of the whole and that for a part that is a violation take turns, the first ones short.
fn judge<'a>(operations: &'a [&'a Operation], limit: u64) -> (Judgement<'a>, u64) {
    let problem = Problem::new(State::Missing, operations);
    let mut search = problem.search(4);
    let mut part = Part::new(operations, limit);
    let mut turn = FIRST_TURN.min(limit);
    loop {
        let judgement = match search.run(turn) {
            End::Order(order) => {
                prove(operations, &order);
                Judgement::Order
            }
            End::None => {
                if !part.around(search.passed(), limit) {
                    part.all();
                }
                Judgement::Violation(part)
            }
            End::TooWide => Judgement::Undecided(Why::TooWide(MOST_OPEN)),
            End::Limit if part.around(search.passed(), turn) => Judgement::Violation(part),
            End::Limit if turn < limit => {
                turn = turn.saturating_mul(8).min(limit);
                continue;
            }
            End::Limit => Judgement::Undecided(Why::Limit(limit)),
        };
        return (judgement, search.steps());
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

/// Makes a picture of it.
fn violation(
    key: &str,
    operations: &[&Operation],
    part: Part<'_>,
    other_keys: Vec<String>,
) -> Violation {
    let (kept, is_smallest) = part.shrink();
    let sorted = |mut operations: Vec<Operation>| {
        operations.sort_by_key(|operation| (operation.invoked, operation.client));
        operations
    };
    let of = |wanted: bool| {
        let chosen = operations.iter().zip(&kept);
        chosen.filter(move |&(_, &kept)| kept == wanted)
    };
    let smallest = sorted(of(true).map(|(&operation, _)| operation.clone()).collect());
    let found: Vec<Register> = smallest.iter().filter_map(shrink::found).collect();
    let writes_it = |operation: &Operation| match &operation.action {
        Action::Put(value) | Action::Cas { new: value, .. } => {
            found.iter().any(|found| found.as_ref() == Some(value))
        }
        // Those that did happen are too many to be shown.
        Action::Append(_) | Action::Incr => operation.outcome == Outcome::Failed,
        Action::Get | Action::Delete => false,
    };
    let beside = of(false).filter(|(operation, _)| writes_it(operation));
    let mut beside = sorted(beside.map(|(&operation, _)| operation.clone()).collect());
    beside.truncate(SHOWN);
    Violation {
        key: key.to_string(),
        smallest,
        is_smallest,
        beside,
        operations: operations.len(),
        other_keys,
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
        } = self;
        let count = smallest.len();
        writeln!(
            f,
            "not linearizable: key {key:?}, {count} of {operations} operations"
        )?;
        writeln!(
            f,
            "No order of these gives these answers, whenever the others took effect, if at all:\n"
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
                "\nOthers that write what is read there, and do not explain it:\n"
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
