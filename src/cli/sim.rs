//! `raftian sim`: the deterministic simulator.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Instant;

use super::{Failure, print};
use crate::sim::{self, Options};

/// Run the whole cluster in a simulated world of faults
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  raftian sim --seed 7
  raftian sim --seed 1 --seeds 1000
  raftian sim --seed 7 --steps 500 --trace

The same seed gives the same run. A run that breaks a rule prints its seed and the command that
repeats it.")]
pub(super) struct Args {
    /// The first seed
    #[arg(long, value_name = "S")]
    seed: u64,
    /// How many seeds, counted up from the first
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// How many steps with faults each run has, before it must recover
    #[arg(long, value_name = "K", default_value_t = Options::STEPS,
          value_parser = clap::value_parser!(u64).range(1..))]
    steps: u64,
    /// How many nodes; without it 3, 5 or 7, by the seed
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=9))]
    nodes: Option<u64>,
    /// Also print what happened, and how often
    #[arg(long)]
    markers: bool,
    /// Print every step (one seed)
    #[arg(long, conflicts_with = "seeds")]
    trace: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let options = Options {
        seed: args.seed,
        steps: args.steps,
        nodes: args.nodes,
    };
    if args.seeds == 1 {
        one(options, args)
    } else {
        many(options, args)
    }
}

fn one(options: Options, args: &Args) -> Result<(), Failure> {
    let mut steps = |line: String| {
        let _ = print(&format!("{line}\n"));
    };
    let report = sim::run(options, args.trace.then_some(&mut steps)).map_err(Failure::new)?;
    let counts = &report.counts;
    print(&format!(
        "seed {}: {} nodes, {} steps, {} ms, {} entries committed in {} terms, {} answers, \
         {} reads, {} changes of the members, {} faults, trace {:016x}, no violation\n",
        options.seed,
        report.nodes,
        counts.steps,
        counts.time_ms,
        counts.committed,
        counts.elections,
        counts.answered,
        counts.reads,
        counts.changes,
        counts.faults,
        report.trace
    ))?;
    match args.markers {
        true => print(&counts.markers.to_string()),
        false => Ok(()),
    }
}

fn many(first: Options, args: &Args) -> Result<(), Failure> {
    let seeds = args.seeds;
    let started = Instant::now();
    let is_terminal = io::stderr().is_terminal();
    // In a file, a line now and then tells that a night goes on.
    let progress = |done: u64| {
        if is_terminal && (done.is_multiple_of(16) || done == seeds) {
            let _ = write!(io::stderr(), "\r{done} of {seeds} seeds");
        } else if !is_terminal && done.is_multiple_of(10_000) {
            let seconds = started.elapsed().as_secs();
            let _ = writeln!(io::stderr(), "{done} of {seeds} seeds, {seconds} s");
        }
    };
    let result = sim::run_many(first, seeds, &progress);
    if is_terminal {
        let _ = writeln!(io::stderr());
    }
    let summary = result.map_err(Failure::new)?;
    let seconds = started.elapsed().as_secs_f64();
    print(&format!("{summary}\n"))?;
    if !args.markers {
        return Ok(());
    }
    print(&format!(
        "{seconds:.0} s: {:.0} seconds of cluster time a second\n\n{}",
        summary.counts.time_ms as f64 / 1000.0 / seconds,
        summary.counts.markers
    ))
}
