//! `raftian serve`: one node without a screen.

use std::io::{self, Write as _};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::node_args::NodeArgs;
use super::{Failure, print, start};
use crate::application::Kind;
use crate::node::Node;
use crate::ui::terminal;

/// Run one node of a cluster without a screen
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  raftian serve --id 5
  raftian serve --id 5 --config lan.toml --logs /var/log/raftian
  RAFTIAN_ID=5 RAFTIAN_LOG_LEVEL=debug raftian serve
  raftian serve --id 1 --machine kv        the key-value store, for raftian kv

Prints one line when it listens: ready NAME http://HOST:PORT/RPC2")]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    /// What the cluster replicates, and not what the configuration says: game or kv
    #[arg(long, value_name = "NAME", env = "RAFTIAN_MACHINE", value_parser = parse_machine)]
    machine: Option<Kind>,
}

fn parse_machine(text: &str) -> Result<Kind, String> {
    Kind::parse(text).ok_or_else(|| "write game or kv".to_string())
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (mut config, node) = args.node.configure()?;
    if let Some(machine) = args.machine {
        config.cluster.machine = machine;
    }
    let listener = start::listen(&config, &node)?;
    let start = |end: OnFailure| args.node.start(&config, &node, listener, None, end);
    until_signal(&node.name, start, || Ok(()))
}

/// What a node is told to do when its disk has failed.
pub(super) type OnFailure = Box<dyn FnOnce(&str) + Send>;

/// Starts a node, says that it is ready, does `then`, and stops it when a signal comes.
pub(super) fn until_signal(
    name: &str,
    start: impl FnOnce(OnFailure) -> Result<Node, Failure>,
    then: impl FnOnce() -> Result<(), Failure>,
) -> Result<(), Failure> {
    terminal::end_on_panic();
    // Asked for before the node is ready, so that no signal after that goes unheard.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(Failure::new)?;
    let ended = name.to_string();
    let mut running = start(Box::new(move |reason| {
        // Nothing that this process could still do may be believed.
        let _ = writeln!(io::stderr(), "raftian: {ended} ended: {reason}");
        std::process::exit(1);
    }))?;
    print(&format!("ready {name} http://{}/RPC2\n", running.address()))?;
    then()?;
    signals.forever().next();
    // Stopping waits for the disk, and a disk may hang. A second signal does not wait.
    let insist = move || {
        if let Some(signal) = signals.forever().next() {
            std::process::exit(terminal::exit_code(signal));
        }
    };
    // Without the thread, only a signal that nobody can hear ends it.
    let _ = thread::Builder::new()
        .name("signals".to_string())
        .spawn(insist);
    // So that nobody has to wait for an election timeout.
    running.retire();
    running.stop();
    Ok(())
}
