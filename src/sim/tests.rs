//! The simulator's own tests: it finds nothing in the code as it is, and finds what is planted.

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex};

use super::*;
use crate::planted::{self, Bug};
use crate::raft::NodeId;
use crate::trace::{Recorder, Stopped, replay};

/// Prints past the test harness, which would keep it to itself: the table is meant to be read.
macro_rules! say {
    ($($text:tt)+) => {
        let _ = writeln!(std::io::stdout(), $($text)+);
    };
}

/// Every mistake that is planted, and so must be caught.
const BUGS: [Bug; 54] = [
    Bug::TermSentUnsaved,
    Bug::VoteDespiteLeader,
    Bug::LeadsAlone,
    Bug::SingleMajority,
    Bug::ConfigurationWhenApplied,
    Bug::ConfigurationKept,
    Bug::ChangeTooEarly,
    Bug::ChangeTwice,
    Bug::RemovedLeads,
    Bug::OnlyVotersVote,
    Bug::ReadUnconfirmed,
    Bug::ReadInOldRound,
    Bug::ReadTooEarly,
    Bug::ReadBeforeApplied,
    Bug::HandedOverTooEarly,
    Bug::VoteTwice,
    Bug::LogIgnored,
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
    assert!(
        summary.counts.committed > 20 * summary.runs && summary.counts.elections > 2 * summary.runs
    );
    // A hundred in 20,000 runs.
    let rare = Marker::ALL
        .iter()
        .filter(|&&m| summary.counts.markers.count(m) < 10);
    let rare: Vec<&str> = rare.map(|marker| marker.text()).collect();
    assert!(rare.is_empty(), "{rare:?}");
    assert!(Marker::ALL.len() >= 40);
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

/// The trace of one life of a node, in memory.
#[derive(Clone, Default)]
struct Life(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Life {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

type OfNodes<T> = Vec<(NodeId, T)>;

/// What the cores of a run were told, life by life, and how those that still run stand at the end.
fn lives(seed: u64) -> (OfNodes<Vec<u8>>, OfNodes<String>) {
    let mut lives: Vec<(NodeId, Life)> = Vec::new();
    let mut begin = |id| {
        let life = Life::default();
        lives.push((id, life.clone()));
        Recorder::new(life)
    };
    let mut world = World::new(options(seed), None);
    world.record(&mut begin);
    world.run().unwrap();
    let ends = world
        .cores()
        .map(|core| (core.id(), format!("{core:?}")))
        .collect();
    // Only now is the last tick written.
    drop(world);
    let lives = lives
        .iter()
        .map(|(id, life)| (*id, life.0.lock().unwrap().clone()));
    (lives.collect(), ends)
}

#[test]
fn every_life_of_every_node_replays_to_the_same_core() {
    let (mut count, mut inputs) = (0, 0);
    for seed in 0..60 {
        let (lives, ends) = lives(seed);
        let mut last = std::collections::BTreeMap::new();
        for (id, life) in &lives {
            let (report, core) = crate::trace::run(&life[..])
                .unwrap_or_else(|stopped| panic!("seed {seed}, node {id}: {stopped:?}"));
            assert_eq!((report.node, report.is_torn), (*id, false));
            (count, inputs) = (count + 1, inputs + report.inputs);
            last.insert(*id, format!("{core:?}"));
        }
        for (id, end) in ends {
            assert_eq!(last[&id], end, "seed {seed}");
        }
    }
    say!("{count} lives with {inputs} inputs");
    assert!(count > 300 && inputs > 20_000);
}

#[test]
fn a_replay_notices_a_core_that_makes_a_planted_mistake() {
    let mut unnoticed = vec![
        Bug::VoteTwice,
        Bug::IndexBeforeTerm,
        Bug::RefusalIsAVote,
        Bug::TruncateAlways,
        Bug::CommitPastVerified,
        Bug::AcknowledgeLastIndex,
        Bug::CountUnsaved,
        Bug::VoteKept,
        Bug::HintIgnored,
        Bug::CommitBeforeMatch,
        Bug::TermNotSaved,
        Bug::NoNoop,
        Bug::TimerRunsOn,
        Bug::PreVoteInEarnest,
        Bug::InstallOld,
        Bug::LogKeptOverSnapshot,
    ];
    for seed in 0..300 {
        let (lives, _) = lives(seed);
        unnoticed.retain(|&bug| {
            let differs = |life: &[u8]| {
                let result = planted::with(Some(bug), || replay(life));
                matches!(result, Err(Stopped::Different(_)))
            };
            !lives.iter().any(|(_, life)| differs(life))
        });
        if unnoticed.is_empty() {
            say!("all noticed within {} seeds", seed + 1);
            return;
        }
    }
    panic!("not noticed: {unnoticed:?}");
}
