//! The deterministic simulator: a whole cluster in one loop, on a bad day.
//!
//! It runs the same driver, core, codec and methods as a real node; every message crosses as the
//! bytes that would cross the network. What it replaces is the surroundings: the clock is a number,
//! the network loses and reorders (`network`), disks are slow (`disk`), nodes pause, crash
//! between any two actions and come back, clients repeat themselves (`clients`), and an administrator
//! changes the members amid all of it (`world/admin`). After every step the `checker` compares what
//! happened with what Raft promises, and `markers` counts what happened.
//!
//! A run has two phases, as in TigerBeetle's simulator. First *safety*: faults rage, and nothing
//! wrong may happen, though perhaps nothing right happens either. Then *liveness*: the faults end,
//! and the cluster must recover within a bound.
//!
//! Everything follows from the seed: the same seed and options give the same run, step by step,
//! which [`Report::trace`] proves. `raftian sim --seed S` replays what a test has found.
//!
//! Caveats: one clock for all nodes (they differ by pauses only, not by drift), and no disk errors.

mod checker;
mod clients;
mod disk;
mod markers;
mod network;
mod world;

use std::fmt;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

pub use checker::Violation;
pub use markers::{Marker, Markers};
use world::World;

/// The report's and the paper's election timeout, in milliseconds.
const ELECTION_TIMEOUT: (u64, u64) = (150, 300);

/// What to simulate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// Steps with faults, before the cluster is left in peace.
    pub steps: u64,
    /// How many nodes; `None`: 3, 5 or 7, by the seed, and 1 or 2 in some runs in which others join.
    pub nodes: Option<u64>,
}

impl Options {
    /// Steps unless told otherwise.
    pub const STEPS: u64 = 1_500;

    /// The command that repeats this run.
    pub fn command(&self) -> String {
        let nodes = self
            .nodes
            .map_or(String::new(), |n| format!(" --nodes {n}"));
        format!(
            "raftian sim --seed {} --steps {}{nodes}",
            self.seed, self.steps
        )
    }
}

/// What happened in a run, or in many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Steps.
    pub steps: u64,
    /// Simulated milliseconds.
    pub time_ms: u64,
    /// Entries committed.
    pub committed: u64,
    /// Terms that had a leader.
    pub elections: u64,
    /// Crashes, partitions, pauses and full disks.
    pub faults: u64,
    /// Snapshots that took the place of a follower's state.
    pub installs: u64,
    /// Commands whose client got an outcome.
    pub answered: u64,
    /// Linearizable reads that were served.
    pub reads: u64,
    /// Changes of the members that were committed.
    pub changes: u64,
    /// What else happened, and how often.
    pub markers: Markers,
}

impl Counts {
    fn add(&mut self, other: &Counts) {
        self.steps += other.steps;
        self.time_ms += other.time_ms;
        self.committed += other.committed;
        self.elections += other.elections;
        self.faults += other.faults;
        self.installs += other.installs;
        self.answered += other.answered;
        self.reads += other.reads;
        self.changes += other.changes;
        self.markers.add(&other.markers);
    }
}

/// What a run was like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// How many nodes there were.
    pub nodes: u64,
    /// What happened.
    pub counts: Counts,
    /// A hash over every step.
    pub trace: u64,
}

/// A run that broke a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The run.
    pub options: Options,
    /// At which step.
    pub step: u64,
    /// At which simulated millisecond.
    pub time_ms: u64,
    /// The rule.
    pub violation: Violation,
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "seed {}: {} is violated at step {}, {} ms",
            self.options.seed, self.violation.invariant, self.step, self.time_ms
        )?;
        writeln!(f, "  {}", self.violation.detail)?;
        write!(f, "  replay: {} --trace", self.options.command())
    }
}

/// Says which run it was in which something panicked: an assertion of the program, or of the simulator.
struct Panics(Options);

impl Drop for Panics {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = writeln!(io::stderr(), "replay: {} --trace", self.0.command());
        }
    }
}

/// Runs once. `trace` gets a line for each step.
pub fn run(options: Options, trace: Option<&mut dyn FnMut(String)>) -> Result<Report, Failure> {
    let _panics = Panics(options);
    let mut world = World::new(options, trace);
    match world.run() {
        Ok(()) => Ok(world.report()),
        Err(violation) => {
            let Counts { steps, time_ms, .. } = world.report().counts;
            Err(Failure {
                options,
                step: steps,
                time_ms,
                violation,
            })
        }
    }
}

/// What many runs were like, taken together.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many runs.
    pub runs: u64,
    /// What happened in all of them.
    pub counts: Counts,
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = &self.counts;
        write!(
            f,
            "{} runs, {} steps, {} s of cluster time: {} entries committed in {} terms, \
             {} answers, {} reads, {} changes of the members, {} faults, {} snapshots installed, \
             no violation",
            self.runs,
            counts.steps,
            counts.time_ms / 1000,
            counts.committed,
            counts.elections,
            counts.answered,
            counts.reads,
            counts.changes,
            counts.faults,
            counts.installs
        )
    }
}

/// Runs `seeds` seeds from `first.seed` on, on every core, and stops at a failure: the one of the
/// lowest seed among those that were under way. `progress` is told the runs done so far.
pub fn run_many(
    first: Options,
    seeds: u64,
    progress: &(dyn Fn(u64) + Sync),
) -> Result<Summary, Failure> {
    let next = AtomicU64::new(0);
    let done = AtomicU64::new(0);
    let result: Mutex<Result<Summary, Failure>> = Mutex::new(Ok(Summary::default()));
    let work = || {
        loop {
            let offset = next.fetch_add(1, Ordering::Relaxed);
            if offset >= seeds {
                return;
            }
            let seed = first.seed.wrapping_add(offset);
            let run = || run(Options { seed, ..first }, None);
            let report = catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
                next.store(seeds, Ordering::Relaxed);
                resume_unwind(panic)
            });
            let mut result = result
                .lock()
                .unwrap_or_else(|poisoned| poisoned.into_inner());
            match (report, &mut *result) {
                (Ok(report), Ok(summary)) => {
                    summary.runs += 1;
                    summary.counts.add(&report.counts);
                }
                (Ok(_), Err(_)) => {}
                (Err(failure), Err(known)) if known.options.seed < failure.options.seed => {}
                (Err(failure), result) => {
                    *result = Err(failure);
                    next.store(seeds, Ordering::Relaxed);
                }
            }
            drop(result);
            progress(done.fetch_add(1, Ordering::Relaxed) + 1);
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    result
        .into_inner()
        .unwrap_or_else(|poisoned| poisoned.into_inner())
}

#[cfg(test)]
mod tests;
