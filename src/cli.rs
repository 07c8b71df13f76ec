//! The command line: what can be asked for, and what the exit code says.
//!
//! Each subcommand is a module with its arguments and a `run`, which ends well or with a
//! [`Failure`]. Results go to the standard output; whatever is wrong is one line on the standard
//! error that begins with `raftian: `. Exit codes: 0 ok, 1 failed, 2 wrong usage.
//!
//! Whoever reads the output may stop reading at any time (`raftian verify logs | head -1`): that is
//! no failure, and the exit code is what it would have been.
//!
//! Caveat: wrong usage that clap notices is told in clap's own words, which take several lines.

mod attack;
mod embedded;
mod inspect;
mod join;
mod kv;
mod members;
mod node_args;
mod play;
mod replay;
mod serve;
mod sim;
mod start;
mod status;
mod verify;
mod watch;

use std::fmt;
use std::io::{self, Write as _};
use std::process::ExitCode;
use std::time::Duration;

use clap::{Parser, Subcommand};
use tracing::level_filters::LevelFilter;

use crate::application::Kind;
use crate::config::{Config, ConfigError};
use crate::node::Node;
use crate::node::submissions::OUTCOME_WITHIN;
use crate::raft::NodeId;
use crate::rpc::client::Client;
use crate::ui::{Exit, Seat};

pub use attack::outcome_line;
pub use status::{json, table};

/// A strategy game in the terminal in which every player is a Raft node
///
/// Without a command: the whole game in one process. You are player 1, and the others are bots.
#[derive(Debug, Parser)]
#[command(
    name = "raftian",
    version,
    args_conflicts_with_subcommands = true,
    after_help = "Examples:
  raftian                              play against four bots
  raftian --players 3 --no-bots        three players, and nobody attacks you
  raftian play --id 1                  one player of five: start 1 to 5 in five terminals
  raftian join 127.0.0.1:8001          one more player, in one more terminal
  raftian watch 127.0.0.1:8001         look on
  raftian attack 3 --to 127.0.0.1:8001
  raftian verify logs                  do all nodes tell the same story?

Exit codes: 0 ok, 1 failed, 2 wrong usage"
)]
struct Cli {
    #[command(flatten)]
    embedded: embedded::Args,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    Play(play::Args),
    Serve(serve::Args),
    Join(join::Args),
    Watch(watch::Args),
    Members(members::Args),
    Attack(attack::Args),
    Kv(kv::Args),
    Status(status::Args),
    Verify(verify::Args),
    Inspect(inspect::Args),
    Replay(replay::Args),
    Sim(sim::Args),
}

/// Parses the command line, does what it says, and reports what went wrong.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let result = match cli.command {
        None => embedded::run(&cli.embedded),
        Some(Command::Play(args)) => play::run(&args),
        Some(Command::Serve(args)) => serve::run(&args),
        Some(Command::Join(args)) => join::run(&args),
        Some(Command::Watch(args)) => watch::run(&args),
        Some(Command::Members(args)) => members::run(&args),
        Some(Command::Attack(args)) => attack::run(&args),
        Some(Command::Kv(args)) => kv::run(&args),
        Some(Command::Status(args)) => status::run(&args),
        Some(Command::Verify(args)) => verify::run(&args),
        Some(Command::Inspect(args)) => inspect::run(&args),
        Some(Command::Replay(args)) => replay::run(&args),
        Some(Command::Sim(args)) => sim::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            // Not eprintln, which panics where the standard error is closed.
            let _ = writeln!(io::stderr(), "raftian: {failure}");
            failure.exit_code()
        }
    }
}

/// Why a command did not do what was asked: one line for the person who asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// It was tried and did not work.
    Failed(String),
    /// The arguments make no sense together, or not with the configuration.
    Usage(String),
}

impl Failure {
    /// A failure that anything which can be shown explains.
    pub fn new(reason: impl fmt::Display) -> Failure {
        Failure::Failed(reason.to_string())
    }

    fn exit_code(&self) -> ExitCode {
        match self {
            Failure::Failed(_) => ExitCode::from(1),
            Failure::Usage(_) => ExitCode::from(2),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::Failed(reason) | Failure::Usage(reason) => f.write_str(reason),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Failure {
        Failure::new(error)
    }
}

/// Who sits at the screen of that node.
fn seat(config: &Config, id: NodeId) -> Seat {
    Seat {
        id,
        players: config
            .nodes
            .iter()
            .map(|node| (node.id, node.name.clone()))
            .collect(),
        title: config.cluster.name.clone(),
        watches: false,
    }
}

/// Screens are the game's.
fn require_board(config: &Config, instead: &str) -> Result<(), Failure> {
    match config.cluster.machine {
        Kind::Game => Ok(()),
        Kind::Kv => Err(Failure::Usage(format!(
            "the cluster {} runs {}, which has no screen: {instead}",
            config.cluster.name,
            Kind::Kv
        ))),
    }
}

/// Stops a node whose screen is closed. After a quit, it hands over first, so that nobody else has
/// to wait for an election timeout; a signal or a failure may be in a hurry.
fn leave(node: &mut Node, exit: &io::Result<Exit>) {
    if matches!(exit, Ok(Exit::Quit)) {
        node.retire();
    }
    node.stop();
}

/// What the end of the screen means for the process. A signal ends it with 128 and the signal's
/// number, as it would have without a screen.
fn end_of_play(exit: io::Result<Exit>) -> Result<(), Failure> {
    match exit {
        Ok(Exit::Quit) => Ok(()),
        Ok(Exit::NodeStopped(reason)) => Err(Failure::new(format!("the node ended: {reason}"))),
        Ok(exit @ Exit::Signal(_)) => std::process::exit(exit.code().into()),
        Err(error) => Err(Failure::new(error)),
    }
}

/// A client for one command; the timeout is the node's longest wait and a little.
fn client(to: &str) -> Client {
    Client::new(to, Duration::from_millis(OUTCOME_WITHIN + 2_000))
}

/// Writes to the standard output at once. A reader that has gone is no failure; a full disk is.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::new(format!(
            "cannot write to the standard output: {error}"
        ))),
        _ => Ok(()),
    }
}

/// The levels of node.log, by the names that people use.
fn parse_level(text: &str) -> Result<LevelFilter, String> {
    const NAMES: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];
    let name = text.to_ascii_lowercase();
    // LevelFilter's own parser also takes numbers, and the empty text for "error".
    NAMES
        .contains(&name.as_str())
        .then(|| name.parse().ok())
        .flatten()
        .ok_or_else(|| format!("write one of {}", NAMES.join(", ")))
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_well_defined() {
        Cli::command().debug_assert();
    }

    #[test]
    fn levels_have_names() {
        assert_eq!(parse_level("Debug"), Ok(LevelFilter::DEBUG));
        assert_eq!(parse_level("off"), Ok(LevelFilter::OFF));
        for text in ["", "5", "loud", "info,ureq=debug"] {
            assert!(parse_level(text).is_err(), "{text:?}");
        }
    }
}
