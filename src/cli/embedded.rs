//! `raftian`: the embedded game.

use std::path::PathBuf;

use tracing::level_filters::LevelFilter;

use super::{Failure, parse_level};

/// The embedded game's options.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How many players there are, you included
    #[arg(long, value_name = "N", default_value_t = 5,
          value_parser = clap::value_parser!(u64).range(2..=9))]
    pub(super) players: u64,
    /// Nobody else plays: the other nodes only follow
    #[arg(long)]
    pub(super) no_bots: bool,
    /// The folder for the log files, one folder in it for each node
    #[arg(long, value_name = "DIR", default_value = "logs", env = "RAFTIAN_LOGS")]
    pub(super) logs: PathBuf,
    /// How much goes to node.log: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "RAFTIAN_LOG_LEVEL",
          value_parser = parse_level)]
    pub(super) log_level: LevelFilter,
}

pub(super) fn run(_args: &Args) -> Result<(), Failure> {
    Err(Failure::new("the embedded game is not built yet"))
}
