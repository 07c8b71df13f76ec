//! Small histories by the thousand: what a real map did, the same with one answer changed, and answers
//! that nobody gave. What the checker says of them is compared with checkers that try everything.
//!
//! `PROPTEST_CASES=25600` makes a hundred times as many as usual.

use std::cell::Cell;
use std::collections::BTreeMap;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{Config, TestCaseResult, TestRunner};

use crate::known::assert_shows;
use crate::linearizability::{
    Action, Answer, Failure, Linearizable, Operation, Outcome, Register, Value, apply, check,
};
use crate::slow;

/// One operation before it has happened.
#[derive(Clone, Debug)]
struct Draft {
    key: &'static str,
    action: Action,
    invoked: u64,
    length: u64,
    /// When it takes effect, counted from its invocation. One that is completed does not wait for
    /// longer than its length.
    delay: u64,
    fate: Fate,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Completed,
    /// Nobody knows, and it takes effect.
    Late,
    /// Nobody knows, and it never does.
    Lost,
    Failed,
}

/// Few values, so that they meet again.
fn values() -> Vec<Value> {
    let texts = ["", "a", "b", "ab", "ba"].map(|text| Value::Text(text.to_string()));
    let mut values = texts.to_vec();
    values.extend((0..4).map(Value::Int));
    values.extend([i64::MAX - 1, i64::MAX].map(Value::Int));
    values.extend([vec![], vec![1]].map(Value::Bytes));
    values
}

fn register() -> impl Strategy<Value = Register> {
    option::weighted(0.8, select(values()))
}

/// Everything, or what goes with one kind of value.
fn action(flavour: usize) -> BoxedStrategy<Action> {
    let of_kind = |value: &Value| match value {
        Value::Text(_) => flavour != 1,
        Value::Int(number) => flavour == 0 || (flavour == 1 && *number < 4),
        Value::Bytes(_) => flavour == 0,
    };
    let mut values = values();
    values.retain(of_kind);
    let value = select(values);
    let cas = (option::weighted(0.8, value.clone()), value.clone());
    let append = prop_oneof![3 => "[ab]", 1 => "[ab]{0,2}"];
    let updates = match flavour {
        0 => prop_oneof![append.prop_map(Action::Append), Just(Action::Incr)].boxed(),
        1 => Just(Action::Incr).boxed(),
        _ => append.prop_map(Action::Append).boxed(),
    };
    prop_oneof![
        3 => value.prop_map(Action::Put),
        5 => Just(Action::Get),
        1 => Just(Action::Delete),
        3 => cas.prop_map(|(expected, new)| Action::Cas { expected, new }),
        4 => updates,
    ]
    .boxed()
}

fn drafts(most: usize) -> impl Strategy<Value = Vec<Draft>> {
    // In every second history a good part of the outcomes is unknown.
    let fate = |is_stormy: bool| {
        let unknown = if is_stormy { 5 } else { 1 };
        prop_oneof![
            12 => Just(Fate::Completed),
            2 * unknown => Just(Fate::Late),
            unknown => Just(Fate::Lost),
            1 => Just(Fate::Failed),
        ]
    };
    (0..3_usize, any::<bool>()).prop_flat_map(move |(flavour, is_stormy)| {
        let key = prop_oneof![5 => Just("x"), 1 => Just("y")];
        let (action, fate) = (action(flavour), fate(is_stormy));
        let draft = (key, action, 0..30_u64, 0..12_u64, 0..40_u64, fate);
        let draft = draft.prop_map(|(key, action, invoked, length, delay, fate)| Draft {
            key,
            action,
            invoked,
            length,
            delay,
            fate,
        });
        vec(draft, 1..=most)
    })
}

/// What a real map answers if each operation takes effect at its moment.
fn simulate(drafts: &[Draft]) -> Vec<Operation> {
    let mut moments = Vec::new();
    for (i, draft) in drafts.iter().enumerate() {
        let delay = match draft.fate {
            Fate::Completed => draft.delay.min(draft.length),
            Fate::Late => draft.delay,
            Fate::Lost | Fate::Failed => continue,
        };
        moments.push((draft.invoked + delay, i));
    }
    moments.sort_unstable();
    let mut map: BTreeMap<&str, Register> = BTreeMap::new();
    let mut answers = BTreeMap::new();
    for (_, i) in moments {
        let register = map.entry(drafts[i].key).or_default();
        answers.insert(i, apply(register, &drafts[i].action));
    }
    let operation = |(i, draft): (usize, &Draft)| Operation {
        client: i as u64,
        key: draft.key.to_string(),
        action: draft.action.clone(),
        invoked: draft.invoked,
        outcome: match draft.fate {
            Fate::Completed => Outcome::Completed {
                returned: draft.invoked + draft.length,
                answer: answers[&i].clone(),
            },
            Fate::Late | Fate::Lost => Outcome::Unknown,
            Fate::Failed => Outcome::Failed,
        },
    };
    drafts.iter().enumerate().map(operation).collect()
}

/// An answer that an operation could be given, right or wrong.
fn another_answer(action: &Action, register: Register, number: i64, which: bool) -> Answer {
    match action {
        Action::Get => Answer::Found(register),
        Action::Cas { .. } => Answer::Swapped(which),
        Action::Incr if which => Answer::Number(number),
        Action::Put(_) | Action::Delete | Action::Append(_) if which => Answer::Done,
        _ => Answer::Refused,
    }
}

/// What a real map did, with one answer changed.
fn mutated(most: usize) -> impl Strategy<Value = Vec<Operation>> {
    let change = (any::<Index>(), register(), 0..6_i64, any::<bool>());
    (drafts(most), change).prop_map(|(drafts, (index, register, number, which))| {
        let mut history = simulate(&drafts);
        let is_completed = |o: &&mut Operation| matches!(o.outcome, Outcome::Completed { .. });
        let mut completed: Vec<_> = history.iter_mut().filter(is_completed).collect();
        if !completed.is_empty() {
            let chosen = index.index(completed.len());
            let operation = &mut completed[chosen];
            let new = another_answer(&operation.action, register, number, which);
            if let Outcome::Completed { answer, .. } = &mut operation.outcome {
                *answer = new;
            }
        }
        history
    })
}

/// Answers that no map gave.
fn made_up(most: usize) -> impl Strategy<Value = Vec<Operation>> {
    let answer = (register(), 0..4_i64, any::<bool>());
    (drafts(most), vec(answer, most)).prop_map(|(drafts, answers)| {
        let mut history = simulate(&drafts);
        for (operation, (register, number, which)) in history.iter_mut().zip(answers) {
            let new = another_answer(&operation.action, register, number, which);
            if let Outcome::Completed { answer, .. } = &mut operation.outcome {
                *answer = new;
            }
        }
        history
    })
}

fn for_each<T: std::fmt::Debug>(
    cases: u32,
    strategy: impl Strategy<Value = T>,
    test: impl Fn(T) -> TestCaseResult,
) {
    let mut config = Config::default();
    config.cases = config.cases * cases / 256;
    config.failure_persistence = None;
    if let Err(error) = TestRunner::new(config).run(&strategy, test) {
        panic!("{error}");
    }
}

/// The checker says the same as the other one, and if it is a violation it shows one.
fn compare(
    cases: u32,
    histories: impl Strategy<Value = Vec<Operation>>,
    slow: fn(&[Operation]) -> bool,
) {
    let (accepted, rejected) = (Cell::new(0), Cell::new(0));
    for_each(cases, histories, |history| {
        match check(&history) {
            Ok(Linearizable { operations, .. }) => {
                prop_assert_eq!(operations, history.len());
                prop_assert!(slow(&history), "accepted by mistake");
                accepted.set(accepted.get() + 1);
            }
            Err(Failure::Violation(violation)) => {
                prop_assert!(!slow(&history), "rejected by mistake");
                prop_assert!(violation.is_smallest);
                assert_shows(&history, &violation);
                rejected.set(rejected.get() + 1);
            }
            Err(Failure::Undecided(undecided)) => prop_assert!(false, "{}", undecided),
        }
        Ok(())
    });
    // A comparison in which nothing is accepted, or nothing rejected, would be none.
    let (accepted, rejected) = (accepted.get(), rejected.get());
    println!("{accepted} accepted, {rejected} rejected");
    let few = (accepted + rejected) / 10;
    assert!(accepted > few && rejected > few, "{accepted} {rejected}");
}

#[test]
fn what_a_real_map_did_is_accepted() {
    for_each(4_000, drafts(30), |drafts| {
        let history = simulate(&drafts);
        prop_assert!(check(&history).is_ok(), "{:?}", check(&history));
        Ok(())
    });
}

#[test]
fn the_slow_checkers_agree_with_each_other_and_with_a_real_map() {
    for_each(500, drafts(7), |drafts| {
        let history = simulate(&drafts);
        prop_assert!(slow::by_permutation(&history));
        prop_assert!(slow::by_sets(&history));
        Ok(())
    });
    for_each(500, mutated(7), |history| {
        prop_assert_eq!(slow::by_permutation(&history), slow::by_sets(&history));
        Ok(())
    });
}

#[test]
fn one_wrong_answer_is_rejected_if_and_only_if_no_order_gives_it() {
    compare(4_000, mutated(7), slow::by_permutation);
}

#[test]
fn a_wrong_answer_among_more_operations_is_rejected_if_and_only_if_no_order_gives_it() {
    compare(2_000, mutated(12), slow::by_sets);
}

#[test]
fn answers_that_are_made_up_are_accepted_if_and_only_if_some_order_gives_them() {
    compare(4_000, made_up(4), slow::by_permutation);
}
