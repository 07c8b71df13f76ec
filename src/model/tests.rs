//! The model's runs: how many states there are within which bounds, and which mistakes are found.
//!
//! `make test` walks through all states of the bounds in [`SMALL`], and plants mistakes until each is
//! found. `make model` walks through those in [`LARGE`], which takes minutes and 4 GB.
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
    learners: 0,
    terms: 2,
    commands: 1,
    changes: 0,
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

/// Three voters, two terms, and one change of the members. A leader is asked for every change that can
/// be made: any of the voters leave, itself included, but for the last.
const CHANGE: Bounds = Bounds {
    commands: 0,
    changes: 1,
    ..PLAIN
};

/// A lone voter, and two learners: any of them become voters, or leave, all in one change.
const LEARNERS: Bounds = Bounds {
    learners: 2,
    ..CHANGE
};

/// One call in flight. Whatever else the step would have sent is lost, so that a leader deals with one
/// of the others in its term.
const ONE_AT_A_TIME: Bounds = Bounds {
    messages: 1,
    crowded: true,
    ..CHANGE
};

/// Bounds, with a name for people and the number of their states.
type Walk = (&'static str, Bounds, usize);

/// For every day.
const SMALL: [Walk; 6] = [
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
    ("a change", CHANGE, 148_571),
    (
        "learners, a change, a crash",
        Bounds {
            crashes: 1,
            ..LEARNERS
        },
        164_768,
    ),
    (
        "learners, three terms, two changes, one at a time",
        Bounds {
            learners: 2,
            terms: 3,
            changes: 2,
            ..ONE_AT_A_TIME
        },
        32_518,
    ),
];

/// For the night.
const LARGE: [Walk; 11] = [
    ("four terms", FOUR_TERMS, 1_030_701),
    (
        "one term, a crash, heartbeats without end",
        Bounds {
            terms: 1,
            beats: None,
            ..PROMISED
        },
        657_289,
    ),
    (
        "as promised, crowded",
        Bounds {
            crowded: true,
            ..PROMISED
        },
        6_408_288,
    ),
    (
        "as promised, one heartbeat",
        Bounds {
            beats: Some(1),
            ..PROMISED
        },
        9_705_214,
    ),
    (
        "a learner, two changes",
        Bounds {
            learners: 1,
            changes: 2,
            ..CHANGE
        },
        643_989,
    ),
    (
        "three terms, two changes, one at a time",
        Bounds {
            terms: 3,
            changes: 2,
            ..ONE_AT_A_TIME
        },
        1_291_024,
    ),
    (
        "a change and a command",
        Bounds {
            commands: 1,
            ..CHANGE
        },
        1_042_665,
    ),
    (
        "three terms, a change",
        Bounds { terms: 3, ..CHANGE },
        2_035_491,
    ),
    (
        "learners, two changes, a crash",
        Bounds {
            changes: 2,
            crashes: 1,
            ..LEARNERS
        },
        2_652_389,
    ),
    (
        "four terms, one at a time",
        Bounds {
            terms: 4,
            ..ONE_AT_A_TIME
        },
        3_524_878,
    ),
    (
        "as promised, a change instead of the command",
        Bounds {
            commands: 0,
            changes: 1,
            ..PROMISED
        },
        3_436_749,
    ),
];

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

/// The same for mistakes that take a change of the members, or a lone voter. Without either they are
/// no mistakes, so the bounds above are not tried.
const LADDER_OF_CHANGES: [(&str, Bounds); 4] = [
    (
        "a lone voter, a crash",
        Bounds {
            servers: 2,
            learners: 1,
            terms: 1,
            ..PROMISED
        },
    ),
    ("a change", CHANGE),
    (
        "learners, a change, a crash",
        Bounds {
            crashes: 1,
            ..LEARNERS
        },
    ),
    (
        "four terms, one at a time",
        Bounds {
            terms: 4,
            ..ONE_AT_A_TIME
        },
    ),
];

/// Small enough to keep all successors of all states.
const MERGED_WITH_CHANGES: [(&str, Bounds); 3] = [
    ("a change, one at a time", ONE_AT_A_TIME),
    ("learners, a change", LEARNERS),
    (
        "learners, three terms, two changes, one at a time",
        Bounds {
            learners: 2,
            terms: 3,
            changes: 2,
            ..ONE_AT_A_TIME
        },
    ),
];

/// Each mistake, with the first bounds of the ladder at which it is found.
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

/// The same on the other ladder.
///
/// Not here: `OnlyVotersVote`, which makes nothing unsafe, and `ChangeTooEarly` and `ChangeTwice`, which
/// do not with three servers: a joint configuration still needs the majority of the old voters.
const MISTAKES_OF_CHANGES: [(Bug, &str); 5] = [
    (Bug::TermSentUnsaved, "a lone voter, a crash"),
    (Bug::SingleMajority, "a change"),
    (Bug::RemovedLeads, "a change"),
    (Bug::ConfigurationWhenApplied, "learners, a change, a crash"),
    (Bug::ConfigurationKept, "four terms, one at a time"),
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
    hold(&SMALL[1..3], 1);
}

#[test]
fn every_state_with_changes_of_the_members_keeps_every_rule() {
    hold(&SMALL[3..], 1);
}

/// Looks for each mistake on the ladder, and compares with what is written down.
fn find(mistakes: &[(Bug, &str)], ladder: &[(&str, Bounds)]) {
    say!(
        "{:<25} {:<36} {:>7} {:>6}  rule",
        "planted",
        "found with",
        "states",
        "steps"
    );
    let mut wrong = Vec::new();
    for &(bug, expected) in mistakes {
        let first = ladder.iter().find_map(|(name, bounds)| {
            let walked = walk(*bounds, Some(bug), 1);
            walked.broken.map(|broken| (*name, walked.states, broken))
        });
        let Some((name, states, (rule, steps))) = first else {
            panic!("{bug:?} is not found");
        };
        say!(
            "{:<25} {name:<36} {states:>7} {steps:>6}  {rule}",
            format!("{bug:?}")
        );
        if name != expected {
            wrong.push(bug);
        }
    }
    assert_eq!(wrong, [], "found with other bounds than those written down");
}

#[test]
fn every_planted_mistake_breaks_a_rule_at_its_bounds_and_not_before() {
    find(&MISTAKES, &LADDER);
}

#[test]
fn every_planted_mistake_of_changes_breaks_a_rule_at_its_bounds_and_not_before() {
    find(&MISTAKES_OF_CHANGES, &LADDER_OF_CHANGES);
}

/// Whether one of the cores has taken back a configuration that it went by.
fn takes_back(before: &World, after: &World) -> bool {
    let nodes = before.nodes.iter().zip(&after.nodes);
    let mut configured_at =
        nodes.map(|(before, after)| (before.core.configured_at(), after.core.configured_at()));
    configured_at.any(|(before, after)| after < before)
}

/// What is merged is merged rightly: however a state was reached, the same can come of it.
#[test]
fn states_that_are_taken_for_one_have_the_same_successors() {
    let walks = LADDER[..5].iter().chain(&MERGED_WITH_CHANGES);
    let mut taken_back = 0;
    for (name, bounds) in walks {
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
                    let back = successors.iter().filter(|after| takes_back(&world, after));
                    taken_back += back.count();
                    known.insert(world, set);
                    pending.extend(successors);
                }
            }
        }
        say!("{name}: {} states, {compared} comparisons", known.len());
        assert!(compared > known.len());
    }
    assert!(taken_back > 0, "no configuration is ever overwritten");
}

#[test]
#[ignore = "it takes minutes: make model"]
fn every_state_within_larger_bounds_keeps_every_rule() {
    let threads = std::thread::available_parallelism().map_or(1, |n| n.get());
    hold(&LARGE, threads);
}
