//! `raftian play`: one node with its screen.

use super::Failure;
use super::node_args::NodeArgs;

/// Play as one node of a cluster, in this terminal
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  raftian play --id 1                       in the first terminal
  raftian play --id 2                       in the second, and so on up to 5
  raftian play --id 3 --bot                 it plays by itself
  raftian play --id 1 --config lan.toml     on several machines

A majority of the nodes must run before anybody can attack.")]
pub(super) struct Args {
    #[command(flatten)]
    node: NodeArgs,
    /// The node plays by itself
    #[arg(long)]
    bot: bool,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let (_config, node) = args.node.configure()?;
    let player = if args.bot { "a bot" } else { "a person" };
    Err(Failure::new(format!(
        "play is not built yet ({} for {player})",
        node.name
    )))
}
