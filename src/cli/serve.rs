//! `raftian serve`: one node without a screen.

use super::Failure;
use super::node_args::NodeArgs;

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
    let (_config, node) = args.node.configure()?;
    Err(Failure::new(format!(
        "serve is not built yet ({})",
        node.name
    )))
}
