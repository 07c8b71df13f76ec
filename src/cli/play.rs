//! `raftian play`: one node with its screen.

use super::node_args::NodeArgs;
use super::{Failure, start};
use crate::bot::{self, Both};
use crate::node::queues::Orders;
use crate::ui::{self, terminal};

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
    let (config, node) = args.node.configure()?;
    super::require_board(&config, "raftian serve")?;
    terminal::require().map_err(Failure::new)?;
    let listener = start::listen(&config, &node)?;
    let (screen, inbox) = ui::inbox();
    let (bot, updates) = bot::inbox();
    let view: Box<dyn Orders> = if args.bot {
        Box::new(Both(screen.clone(), bot))
    } else {
        Box::new(screen.clone())
    };
    // The screen is told by its own node when that ends.
    let mut running = args
        .node
        .start(&config, &node, listener, Some(view), |_| ())?;
    if args.bot {
        bot::start(node.id, running.commands(), updates).map_err(Failure::new)?;
    }
    let exit = ui::run(
        super::seat(&config, node.id),
        running.commands(),
        screen,
        inbox,
    );
    super::leave(&mut running, &exit);
    super::end_of_play(exit)
}
