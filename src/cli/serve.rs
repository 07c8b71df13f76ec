//! `raftian serve`: one node without a screen.

use std::io::{self, Write as _};
use std::thread;

use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::node_args::NodeArgs;
use super::{Failure, print, start};
use crate::ui::terminal;

/// Run one node of a cluster without a screen
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  raftian serve --id 5
  raftian serve --id 5 --config lan.toml --logs /var/log/raftian
  RAFTIAN_ID=5 RAFTIAN_LOG_LEVEL=debug raftian serve

Prints one line when it listens: ready NAME http://HOST:PORT/RPC2")]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (config, node) = args.node.configure()?;
    let listener = start::listen(&config, &node)?;
    terminal::end_on_panic();
    // Asked for before the node is ready, so that no signal after that goes unheard.
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).map_err(Failure::new)?;
    let name = node.name.clone();
    let end = move |reason: &str| -> () {
        // Nothing that this process could still do may be believed.
        let _ = writeln!(io::stderr(), "raftian: {name} ended: {reason}");
        std::process::exit(1);
    };
    let mut running = args.node.start(&config, &node, listener, None, end)?;
    print(&format!(
        "ready {} http://{}/RPC2\n",
        node.name,
        running.address()
    ))?;
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
    running.stop();
    Ok(())
}
