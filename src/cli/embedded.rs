//! `raftian`: the embedded game.

use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use tracing::level_filters::LevelFilter;

use super::start::{self, Start};
use super::{Failure, parse_level, print};
use crate::bot;
use crate::config::Config;
use crate::node::queues::{Orders, Update};
use crate::raft::NodeId;
use crate::rpc::http::Limits;
use crate::ui::{self, terminal};

/// The node that has the screen.
const PLAYER: NodeId = 1;

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
    /// The folder for what the nodes must not forget, to go on with the game later; without one,
    /// they forget it at the end
    #[arg(long, value_name = "DIR", env = "RAFTIAN_DATA")]
    pub(super) data: Option<PathBuf>,
    /// How much goes to node.log: off, error, warn, info, debug or trace
    #[arg(long, value_name = "LEVEL", default_value = "info", env = "RAFTIAN_LOG_LEVEL",
          value_parser = parse_level)]
    pub(super) log_level: LevelFilter,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    terminal::require().map_err(Failure::new)?;
    let (listeners, addresses): (Vec<_>, Vec<_>) = (0..args.players)
        .map(|_| start::listen_anywhere())
        .collect::<io::Result<Vec<_>>>()
        .map_err(|error| Failure::new(format!("no free port on this machine: {error}")))?
        .into_iter()
        .unzip();
    let mut config = Config::embedded(addresses.iter().map(SocketAddr::to_string).collect());
    config.cluster.logs.clone_from(&args.logs);
    // Removed when it is dropped.
    let mut temporary = None;
    if let Some(data) = &args.data {
        config.cluster.data.clone_from(data);
    } else {
        let made = tempfile::Builder::new().prefix("raftian-").tempdir();
        let dir = made.map_err(|error| Failure::new(format!("no temporary folder: {error}")))?;
        config.cluster.data = dir.path().to_path_buf();
        let path = config.cluster.data.clone();
        terminal::at_early_end(move || {
            // The nodes may still be writing: a file may come while the folder goes.
            for _ in 0..100 {
                let _ = fs::remove_dir_all(&path);
                if !path.exists() {
                    return;
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        // Nobody will want it back after a loss of power.
        config.storage.fsync = false;
        temporary = Some(dir);
    }

    // All nodes share the files that one process may open.
    let connections = Limits::default().max_connections / config.nodes.len();
    let (screen, inbox) = ui::inbox();
    let mut nodes = Vec::new();
    for (node, listener) in config.nodes.iter().zip(listeners) {
        let is_bot = node.id != PLAYER && !args.no_bots;
        let (bot, updates) = bot::inbox();
        let view: Option<Box<dyn Orders>> = if node.id == PLAYER {
            Some(Box::new(screen.clone()))
        } else if is_bot {
            Some(Box::new(bot))
        } else {
            None
        };
        let (failed, name) = (screen.clone(), node.name.clone());
        let start = Start {
            listener,
            joins: false,
            players: Some(config.nodes.len()),
            view,
            level: args.log_level,
            trace: None,
            max_connections: connections,
            on_failure: Box::new(move |reason| {
                failed.offer(Update::Stopped(format!("{name}: {reason}")));
            }),
        };
        let running = start::node(&config, node, start)?;
        if is_bot {
            bot::start(node.id, running.commands(), updates).map_err(Failure::new)?;
        }
        nodes.push(running);
    }
    let exit = ui::run(
        super::seat(&config, PLAYER),
        nodes[0].commands(),
        screen,
        inbox,
    );
    for node in &mut nodes {
        node.stop();
    }
    drop(nodes);
    drop(temporary);
    print(&format!(
        "The log files are in {}: compare them with raftian verify {}\n",
        args.logs.display(),
        args.logs.display()
    ))?;
    super::end_of_play(exit)
}
