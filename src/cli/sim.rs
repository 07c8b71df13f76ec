//! `raftian sim`: the deterministic simulator.

use super::Failure;

/// Run the whole cluster in a simulated world of faults
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  raftian sim --seed 7
  raftian sim --seed 1 --seeds 1000
  raftian sim --seed 7 --steps 500

The same seed gives the same run, on every machine.")]
pub(super) struct Args {
    /// The first seed
    #[arg(long, value_name = "S")]
    seed: u64,
    /// How many seeds, counted up from the first
    #[arg(long, value_name = "N", default_value_t = 1,
          value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// How many steps each seed runs at most
    #[arg(long, value_name = "K", value_parser = clap::value_parser!(u64).range(1..))]
    steps: Option<u64>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let Args { seed, seeds, steps } = args;
    Err(Failure::new(format!(
        "sim is not built yet (seed {seed}, {seeds} seeds, {steps:?} steps)"
    )))
}
