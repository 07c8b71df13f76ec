//! Histories as tests with real processes will make them: ten clients, thousands of operations,
//! hundreds of unknown outcomes.
//!
//! A world of clients and one map is simulated, event by event. It can be slow, crowded and
//! unreliable; but it has a single map, and so the history is linearizable, unless the map makes a
//! mistake.
//!
//! What is asserted is steps and not seconds. The seconds are printed:
//! `cargo test --test linearizability large -- --nocapture`.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::time::Instant;

use rand::rngs::StdRng;
use rand::seq::index;
use rand::{RngExt, SeedableRng};

use crate::linearizability::{
    Action, Answer, Failure, Linearizable, Operation, Outcome, Register, Value, Violation, apply,
    check,
};

/// What a client asks for, and how.
#[derive(Clone, Copy, Debug)]
struct Load {
    clients: usize,
    keys: usize,
    operations: usize,
    /// How many outcomes are unknown.
    unknown: usize,
    /// All clients lose their operations at the same time, as when a leader dies.
    in_bursts: bool,
    /// Each value that is put is another one.
    unique: bool,
    /// What the first key is for: texts (0), numbers (1), everything (2). The next one has the next.
    kind: usize,
    /// What the map does wrong, in one of how many operations.
    mistake: Option<(Mistake, u32)>,
    seed: u64,
}

/// What a map can do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mistake {
    /// An update is answered and has no effect.
    Lost,
    /// An update takes effect once more, a little later.
    Twice,
    /// A get finds what was there a few updates ago.
    Stale,
    /// What is said to have failed takes effect.
    Dirty,
    /// A cas puts its value whatever is there.
    Unconditional,
}

/// The size that is asked for.
const USUAL: Load = Load {
    clients: 10,
    keys: 10,
    operations: 20_000,
    unknown: 300,
    in_bursts: false,
    unique: true,
    kind: 0,
    mistake: None,
    seed: 1,
};

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Invoke {
        client: usize,
    },
    TakeEffect {
        operation: usize,
    },
    /// It was answered, or given up, and takes effect.
    Again {
        operation: usize,
    },
    Return {
        operation: usize,
    },
}

struct World {
    load: Load,
    rng: StdRng,
    events: BinaryHeap<Reverse<(u64, Event)>>,
    map: Vec<Register>,
    history: Vec<Operation>,
    answers: BTreeMap<usize, Answer>,
    /// What each client last read of each key, for its next cas.
    last_read: Vec<Vec<Register>>,
    /// Whose outcomes are unknown.
    lost: BTreeSet<usize>,
    /// What was in each register, one after the other.
    past: Vec<Vec<Register>>,
}

/// What happened.
fn simulate(load: Load) -> Vec<Operation> {
    let mut rng = StdRng::seed_from_u64(load.seed);
    let lost = if load.in_bursts {
        let bursts = index::sample(
            &mut rng,
            load.operations - load.clients,
            load.unknown / load.clients,
        );
        let burst = |first| first..first + load.clients;
        bursts.iter().flat_map(burst).collect()
    } else {
        index::sample(&mut rng, load.operations, load.unknown)
            .iter()
            .collect()
    };
    let mut world = World {
        load,
        rng,
        events: BinaryHeap::new(),
        map: vec![None; load.keys],
        history: Vec::new(),
        answers: BTreeMap::new(),
        last_read: vec![vec![None; load.keys]; load.clients],
        lost,
        past: vec![vec![None]; load.keys],
    };
    for client in 0..load.clients {
        world.after(0, 100, Event::Invoke { client });
    }
    while let Some(Reverse((now, event))) = world.events.pop() {
        world.happen(now, event);
    }
    world.history
}

impl World {
    /// Within so many microseconds from now.
    fn after(&mut self, now: u64, within: u64, event: Event) {
        let time = now + self.rng.random_range(1..=within);
        self.events.push(Reverse((time, event)));
    }

    fn happen(&mut self, now: u64, event: Event) {
        match event {
            Event::Invoke { .. } if self.history.len() == self.load.operations => {}
            Event::Invoke { client } => self.invoke(now, client),
            Event::TakeEffect { operation } => {
                let answer = self.take_effect(now, operation);
                if !self.lost.contains(&operation) {
                    self.answers.insert(operation, answer);
                    self.after(now, 1_000, Event::Return { operation });
                }
            }
            Event::Again { operation } => {
                let asked = &self.history[operation];
                let key: usize = asked.key.parse().unwrap();
                apply(&mut self.map[key], &asked.action);
            }
            Event::Return { operation } => {
                let answer = self.answers.remove(&operation).unwrap();
                let asked = &mut self.history[operation];
                let (client, key) = (asked.client as usize, asked.key.parse::<usize>().unwrap());
                if let Answer::Found(register) = &answer {
                    self.last_read[client][key] = register.clone();
                }
                asked.outcome = Outcome::Completed {
                    returned: now,
                    answer,
                };
                self.after(now, 500, Event::Invoke { client });
            }
        }
    }

    fn take_effect(&mut self, now: u64, operation: usize) -> Answer {
        let mistake = self.mistake(operation);
        let asked = &self.history[operation];
        let key: usize = asked.key.parse().unwrap();
        let before = self.map[key].clone();
        let mut answer = apply(&mut self.map[key], &asked.action);
        match (mistake, &asked.action) {
            (Some(Mistake::Lost), _) => self.map[key] = before,
            (Some(Mistake::Twice), _) => self.after(now, 5_000, Event::Again { operation }),
            (Some(Mistake::Stale), Action::Get) => {
                let back = self.rng.random_range(1..=3);
                let past = &self.past[key];
                answer = Answer::Found(past[past.len().saturating_sub(back)].clone());
            }
            (Some(Mistake::Unconditional), Action::Cas { new, .. }) => {
                self.map[key] = Some(new.clone());
                answer = Answer::Swapped(true);
            }
            _ => {}
        }
        if self.past[key].last() != Some(&self.map[key]) {
            self.past[key].push(self.map[key].clone());
        }
        answer
    }

    /// The mistake that is made now. The first four fifths of a history are faultless.
    fn mistake(&mut self, operation: usize) -> Option<Mistake> {
        let (mistake, one_of) = self.load.mistake?;
        let is_late = operation >= self.load.operations * 4 / 5;
        (is_late && self.rng.random_ratio(1, one_of)).then_some(mistake)
    }

    fn invoke(&mut self, now: u64, client: usize) {
        let operation = self.history.len();
        let key = self.rng.random_range(0..self.load.keys);
        let action = self.action(client, key);
        let mut outcome = Outcome::Unknown;
        if self.lost.contains(&operation) {
            // Soon, a good while later, at any time, or never.
            match self.rng.random_range(0..8) {
                0..3 => self.after(now, 1_000, Event::TakeEffect { operation }),
                3..5 => self.after(now, 50_000, Event::TakeEffect { operation }),
                5 => self.after(now, 2_000_000, Event::TakeEffect { operation }),
                _ => {}
            }
            self.after(now + 5_000, 500, Event::Invoke { client });
        } else if self.rng.random_ratio(1, 100) {
            outcome = Outcome::Failed;
            if self.mistake(operation) == Some(Mistake::Dirty) {
                self.after(now, 1_000, Event::Again { operation });
            }
            self.after(now, 500, Event::Invoke { client });
        } else {
            self.after(now, 1_000, Event::TakeEffect { operation });
        }
        self.history.push(Operation {
            client: client as u64,
            key: key.to_string(),
            action,
            invoked: now,
            outcome,
        });
    }

    fn action(&mut self, client: usize, key: usize) -> Action {
        let expected = self.last_read[client][key].clone();
        let number = self.history.len();
        let rng = &mut self.rng;
        let kind = (key + self.load.kind) % 3;
        let (texts, numbers) = (kind != 1, kind != 0);
        let text = match self.load.unique {
            true => format!("c{client}-{number}"),
            false => format!("v{}", rng.random_range(0..5)),
        };
        let value = match rng.random_range(0..6) {
            0..5 if texts && numbers => Value::Text(text.clone()),
            _ if texts && numbers => Value::Bytes(text.clone().into_bytes()),
            _ if texts => Value::Text(text.clone()),
            _ => Value::Int(rng.random_range(0..if self.load.unique { 1_000_000 } else { 5 })),
        };
        match rng.random_range(0..100) {
            0..40 => Action::Get,
            40..55 => Action::Put(value),
            55..58 => Action::Delete,
            58..75 => Action::Cas {
                expected,
                new: value,
            },
            _ if texts && numbers && rng.random() => Action::Incr,
            _ if texts => Action::Append(text + ";"),
            _ => Action::Incr,
        }
    }
}

/// Checks it, and prints what it took.
fn measured(name: &str, load: Load) -> Result<Linearizable, Failure> {
    let history = simulate(load);
    let start = Instant::now();
    let answer = check(&history);
    let time = start.elapsed();
    let what = match &answer {
        Ok(Linearizable { steps, .. }) => format!("linearizable, {steps} steps"),
        Err(Failure::Violation(violation)) => {
            let (steps, shown) = (violation.steps, violation.smallest.len());
            format!("a violation, shown by {shown}, {steps} steps")
        }
        Err(Failure::Undecided(undecided)) => undecided.to_string(),
    };
    println!("{name}: {} operations, {time:.0?}, {what}", history.len());
    answer
}

#[track_caller]
fn accepted(name: &str, load: Load, steps: u64) {
    let linearizable = measured(name, load).unwrap();
    assert_eq!(linearizable.operations, load.operations);
    assert!(linearizable.steps <= steps, "{load:?}: {linearizable:?}");
}

/// Is there a violation, and can it be seen?
#[track_caller]
fn rejected(name: &str, load: Load, steps: u64) -> Violation {
    match measured(name, load) {
        Err(Failure::Violation(violation)) => {
            assert!(violation.is_smallest, "{load:?}: {violation}");
            assert!(violation.smallest.len() <= 12, "{load:?}: {violation}");
            assert!(violation.steps <= steps, "{load:?}: {violation}");
            violation
        }
        other => panic!("{load:?}: {other:?}"),
    }
}

#[test]
fn a_long_history_is_accepted_with_many_unknown_outcomes() {
    for in_bursts in [false, true] {
        let load = Load { in_bursts, ..USUAL };
        accepted("usual", load, 2_000_000);
    }
    let load = Load {
        unique: false,
        ..USUAL
    };
    accepted("few values", load, 2_000_000);
}

/// The part that shows it is small enough to be read.
#[test]
fn a_mistake_in_a_long_history_is_found_and_shown() {
    // Failures are rare: of those, each one takes effect.
    for (mistake, one_of) in [
        (Mistake::Lost, 20),
        (Mistake::Twice, 20),
        (Mistake::Stale, 20),
        (Mistake::Dirty, 1),
        (Mistake::Unconditional, 20),
    ] {
        let load = Load {
            mistake: Some((mistake, one_of)),
            ..USUAL
        };
        let violation = rejected(&format!("{mistake:?}"), load, 2_000_000);
        assert!(violation.to_string().lines().count() < 60, "{violation}");
    }
}
