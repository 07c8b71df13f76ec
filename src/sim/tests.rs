//! The simulator's own tests: it finds nothing in the code as it is, and finds what is planted.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::*;
use crate::planted::{self, Bug};

/// Prints past the test harness, which would keep it to itself: the table is meant to be read.
macro_rules! say {
    ($($text:tt)+) => {
        let _ = writeln!(std::io::stdout(), $($text)+);
    };
}

/// Every mistake that is planted, and so must be caught.
const BUGS: [Bug; 38] = [
    Bug::VoteTwice,
    Bug::IndexBeforeTerm,
    Bug::RefusalIsAVote,
    Bug::TruncateAlways,
    Bug::CommitPastVerified,
    Bug::AcknowledgeLastIndex,
    Bug::CommitEarlierTerm,
    Bug::CountUnsaved,
    Bug::VoteKept,
    Bug::HintIgnored,
    Bug::PromiseBeforeSave,
    Bug::AnswerBeforeCommit,
    Bug::ForgetSessions,
    Bug::DropPrevLogTerm,
    Bug::ForgetVote,
    Bug::CommitBeforeMatch,
    Bug::TermNotSaved,
    Bug::NoNoop,
    Bug::TimerRunsOn,
    Bug::ForwardLosesOne,
    Bug::OverwrittenForgotten,
    Bug::WaiterForgotten,
    Bug::PreVoteInEarnest,
    Bug::InstallOld,
    Bug::VoteBeforeSave,
    Bug::AcknowledgeBeforeSave,
    Bug::LogNotSynced,
    Bug::VoteNotSynced,
    Bug::DirectoryNotSynced,
    Bug::RenamedBeforeSync,
    Bug::FailedSyncForgiven,
    Bug::EntriesBeforeTerm,
    Bug::LogCutBeforeSnapshot,
    Bug::FullTakenForSaved,
    Bug::DamageCut,
    Bug::OverwrittenKept,
    Bug::LogKeptOverSnapshot,
    Bug::SessionsLeftOut,
];

fn options(seed: u64) -> Options {
    Options {
        seed,
        steps: Options::STEPS,
        nodes: None,
    }
}

#[test]
fn the_same_seed_gives_the_same_run() {
    for seed in 1..20 {
        assert_eq!(run(options(seed), None), run(options(seed), None));
    }
}

#[test]
fn two_thousand_seeds_break_no_rule() {
    let summary =
        run_many(options(0), 2_000, &|_| {}).unwrap_or_else(|failure| panic!("{failure}"));
    say!("{summary}");
    assert_eq!(summary.runs, 2_000);
    // A simulator that nothing happens in finds nothing either.
    assert!(summary.committed > 20 * summary.runs && summary.elections > 2 * summary.runs);
}

#[test]
fn every_planted_mistake_is_caught_within_a_thousand_seeds() {
    let mut missed = Vec::new();
    say!("{:<26} {:>5}  caught by", "planted", "seed");
    for bug in BUGS {
        let caught = (0..1_000).find_map(|seed| {
            let run = || planted::with(Some(bug), || run(options(seed), None));
            match catch_unwind(AssertUnwindSafe(run)) {
                Ok(Ok(_)) => None,
                Ok(Err(failure)) => Some((seed, failure.violation.invariant)),
                Err(_) => panic!("{bug:?}: an assertion came before an invariant, seed {seed}"),
            }
        });
        match caught {
            Some((seed, invariant)) => {
                say!("{:<26} {seed:>5}  {invariant}", format!("{bug:?}"));
            }
            None => missed.push(bug),
        }
    }
    assert!(missed.is_empty(), "not caught: {missed:?}");
}

#[test]
fn a_cluster_of_any_size_has_a_world() {
    for nodes in [1, 2, 4, 9] {
        // In the last one, a lone node has the same term twice.
        for seed in (0..5).chain([900_049]) {
            let options = Options {
                nodes: Some(nodes),
                ..options(seed)
            };
            if let Err(failure) = run(options, None) {
                panic!("{failure}");
            }
        }
    }
}
