//! The model's runs: how many states there are within which bounds, and which mistakes are found.
//!
//! `make test` walks through all states of the bounds in [`SMALL`], and plants mistakes until each is
//! found. `make model` walks through those in [`LARGE`], which takes too
//! long for every day.
//!
//! The numbers of states are asserted, because a model that has lost some of its states finds fewer
//! mistakes and says nothing about it. So they change when the core does. Run it, see whether the
//! difference is what the change should make, and write the new number down: here and nowhere else,
//! but for docs/TESTING.md, which a test compares with this file.

use std::collections::{HashMap, HashSet};
use std::io::Write as _;
use std::time::{Duration, Instant};

use stateright::{Checker, HasDiscoveries, Path};

use super::*;

/// Prints past the test harness: the tables are meant to be read.
macro_rules! say {
    ($($text:tt)+) => {
        let _ = writeln!(std::io::stdout(), $($text)+);
    };
}

/// What Raftian promises to check: three servers, two terms, one command, two messages in flight and
/// one crash. A message that is lost is not sent again within a term.
const PROMISED: Bounds = Bounds {
    servers: 3,
    terms: 2,
    commands: 1,
    messages: 2,
    crowded: false,
    crashes: 1,
    beats: Some(0),
    late: true,
    slow_disks: true,
    saves: 1,
    batch: 1,
};

/// The same with disks that lose nothing and a network that loses but does not delay.
const PLAIN: Bounds = Bounds {
    crashes: 0,
    late: false,
    slow_disks: false,
    ..PROMISED
};

/// Figure 8 of the paper: leaders of four terms, each with an entry of its own.
const FOUR_TERMS: Bounds = Bounds {
    terms: 4,
    commands: 0,
    ..PLAIN
};

/// Bounds, with a name for people and the number of their states.
type Walk = (&'static str, Bounds, usize);

/// For every day.
const SMALL: [Walk; 3] = [
    ("as promised", PROMISED, 839_649),
    (
        "one term, heartbeats without end",
        Bounds {
            terms: 1,
            crashes: 0,
            beats: None,
            ..PROMISED
        },
        144_305,
    ),
    (
        "two terms, one heartbeat",
        Bounds {
            beats: Some(1),
            ..PLAIN
        },
        354_502,
    ),
];

/// For the night.
const LARGE: [Walk; 1] = [("four terms", FOUR_TERMS, 1_022_102)];

/// Bounds in which mistakes are looked for, one after the other.
const LADDER: [(&str, Bounds); 8] = [
    ("one term", Bounds { terms: 1, ..PLAIN }),
    (
        "one term, a crash",
        Bounds {
            terms: 1,
            ..PROMISED
        },
    ),
    ("two terms", PLAIN),
    (
        "two terms, a crash",
        Bounds {
            commands: 0,
            late: false,
            ..PROMISED
        },
    ),
    (
        "one term, one heartbeat",
        Bounds {
            terms: 1,
            beats: Some(1),
            ..PLAIN
        },
    ),
    (
        "three terms",
        Bounds {
            terms: 3,
            ..FOUR_TERMS
        },
    ),
    (
        "two terms, one heartbeat",
        Bounds {
            beats: Some(1),
            ..PLAIN
        },
    ),
    ("four terms", FOUR_TERMS),
];

/// Each mistake, with the first bounds of the ladder at which it is found.
///
/// Two more are for the time when a cluster can change its members: the configuration that counts
/// from the commit on, and a joint configuration with a single majority.
const MISTAKES: [(Bug, &str); 14] = [
    (Bug::VoteTwice, "one term"),
    (Bug::RefusalIsAVote, "one term"),
    (Bug::TermNotSaved, "one term"),
    (Bug::ForgetVote, "one term, a crash"),
    (Bug::VoteBeforeSave, "one term, a crash"),
    (Bug::AcknowledgeBeforeSave, "one term, a crash"),
    (Bug::PromiseBeforeSave, "one term, a crash"),
    (Bug::LogIgnored, "two terms"),
    (Bug::CountUnsaved, "two terms, a crash"),
    (Bug::TruncateAlways, "one term, one heartbeat"),
    (Bug::CommitBeforeMatch, "three terms"),
    (Bug::IndexBeforeTerm, "three terms"),
    (Bug::CommitPastVerified, "two terms, one heartbeat"),
    (Bug::CommitEarlierTerm, "four terms"),
];

/// What a walk has shown.
struct Walked {
    states: usize,
    depth: usize,
    time: Duration,
    /// A rule that does not hold, and how many steps lead there.
    broken: Option<(&'static str, usize)>,
    /// The steps, for a person.
    trace: String,
    /// What should happen sometimes and never does.
    never: Vec<&'static str>,
}

/// Visits every state within the bounds, or all up to the first that breaks a rule.
fn walk(bounds: Bounds, bug: Option<Bug>, threads: usize) -> Walked {
    let started = Instant::now();
    let cluster = Cluster { bounds, bug };
    let properties = cluster.properties();
    let mut checker = cluster
        .checker()
        .finish_when(HasDiscoveries::AnyFailures)
        .threads(threads)
        .spawn_bfs();
    let mut told = Instant::now();
    for handle in checker.handles() {
        while !handle.is_finished() {
            std::thread::sleep(Duration::from_millis(5));
            if told.elapsed() > Duration::from_secs(60) {
                told = Instant::now();
                let (states, depth) = (checker.unique_state_count(), checker.max_depth());
                say!("  {states:>12} states so far, {depth} steps from the start");
            }
        }
        if let Err(panic) = handle.join() {
            std::panic::resume_unwind(panic);
        }
    }
    let mut found = checker.discoveries();
    let (mut broken, mut never, mut trace) = (None, Vec::new(), String::new());
    for property in properties {
        let is_rule = property.expectation.discovery_is_failure();
        match found.remove(property.name) {
            Some(path) if is_rule && broken.is_none() => {
                trace = describe(path.clone());
                broken = Some((property.name, path.into_actions().len()));
            }
            None if !is_rule => never.push(property.name),
            _ => {}
        }
    }
    Walked {
        states: checker.unique_state_count(),
        depth: checker.max_depth() - 1,
        time: started.elapsed(),
        broken,
        trace,
        never,
    }
}

/// A path, line by line.
fn describe(path: Path<World, Action>) -> String {
    let lines = path.into_vec().into_iter().map(|(world, action)| {
        action.map_or_else(|| world.standing(), |action| world.describe(action) + "\n")
    });
    lines.collect()
}

/// Walks, and compares with what is written down.
fn hold(walks: &[Walk], threads: usize) {
    let mut wrong = Vec::new();
    for (name, bounds, states) in walks {
        let walked = walk(*bounds, None, threads);
        let (seconds, depth) = (walked.time.as_secs(), walked.depth);
        say!(
            "{name:<42} {:>10} states, {depth} steps deep, {seconds} s",
            walked.states
        );
        if let Some((rule, _)) = walked.broken {
            panic!("{name}: it does not hold that {rule}:\n{}", walked.trace);
        }
        assert_eq!(walked.never, [""; 0], "{name}: this never happens");
        if walked.states != *states {
            wrong.push((*name, walked.states));
        }
    }
    assert_eq!(wrong, [], "other numbers of states than those written down");
}

#[test]
fn every_state_within_the_promised_bounds_keeps_every_rule() {
    hold(&SMALL[..1], 1);
}

#[test]
fn every_state_with_heartbeats_keeps_every_rule() {
    hold(&SMALL[1..], 1);
}

#[test]
fn every_planted_mistake_breaks_a_rule_at_its_bounds_and_not_before() {
    say!(
        "{:<22} {:<24} {:>7} {:>6}  rule",
        "planted",
        "found with",
        "states",
        "steps"
    );
    let mut wrong = Vec::new();
    for (bug, expected) in MISTAKES {
        let first = LADDER.iter().find_map(|(name, bounds)| {
            let walked = walk(*bounds, Some(bug), 1);
            walked.broken.map(|broken| (*name, walked.states, broken))
        });
        let Some((name, states, (rule, steps))) = first else {
            panic!("{bug:?} is not found");
        };
        say!(
            "{:<22} {name:<24} {states:>7} {steps:>6}  {rule}",
            format!("{bug:?}")
        );
        if name != expected {
            wrong.push(bug);
        }
    }
    assert_eq!(wrong, [], "found with other bounds than those written down");
}

/// What is merged is merged rightly: however a state was reached, the same can come of it.
#[test]
fn states_that_are_taken_for_one_have_the_same_successors() {
    for (name, bounds) in &LADDER[..5] {
        let cluster = Cluster {
            bounds: *bounds,
            bug: None,
        };
        let mut known: HashMap<World, HashSet<World>> = HashMap::new();
        let mut pending = cluster.init_states();
        let mut compared = 0;
        while let Some(world) = pending.pop() {
            let successors = cluster.next_states(&world);
            let set = successors.iter().cloned().collect();
            match known.get(&world) {
                Some(others) => {
                    assert!(*others == set, "{name}:\n{}", world.standing());
                    compared += 1;
                }
                None => {
                    known.insert(world, set);
                    pending.extend(successors);
                }
            }
        }
        say!("{name}: {} states, {compared} comparisons", known.len());
        assert!(compared > known.len());
    }
}

#[test]
#[ignore = "it takes long: make model"]
fn every_state_within_larger_bounds_keeps_every_rule() {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    hold(&LARGE, threads);
}
