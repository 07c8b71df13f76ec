//! `raftian watch`: a spectator's screen.
//!
//! A spectator is a learner: it gets the log like everybody else and shows the same board, and it
//! neither votes nor plays. It leaves no trace: its folders are temporary, and when the screen is
//! closed it is a member no more.

use super::join::{Newcomer, Wanted, until_it_works};
use super::members::ask;
use super::node_args::RunArgs;
use super::{Failure, client};
use crate::config::{NodeConfig, parse_address};
use crate::rpc::value::Value;
use crate::ui::{self, terminal};

/// Spectators have ids that no player has.
const IDS: std::ops::RangeInclusive<u64> = 10..=99;

/// Watch a game without playing
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  raftian watch 127.0.0.1:8001
  raftian watch 192.168.1.10:8001 --name eve

A spectator is a learner: it gets the log and does not vote. It leaves the cluster when it quits.")]
pub(super) struct Args {
    /// Any member's address
    #[arg(value_name = "HOST:PORT", env = "RAFTIAN_TO", value_parser = parse_address)]
    contact: String,
    /// The spectator's name; without one, fan and its id
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// Where to listen, and where the others call it; without one, a free port of this machine
    #[arg(long, value_name = "HOST:PORT", env = "RAFTIAN_ADDRESS", value_parser = parse_address)]
    address: Option<String>,
    #[command(flatten)]
    run: RunArgs,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    terminal::require().map_err(Failure::new)?;
    let made = tempfile::Builder::new().prefix("raftian-").tempdir();
    let folder = made.map_err(|error| Failure::new(format!("no temporary folder: {error}")))?;
    let path = folder.path().to_path_buf();
    terminal::at_early_end({
        let path = path.clone();
        move || {
            let _ = std::fs::remove_dir_all(&path);
        }
    });
    let wanted = Wanted {
        ids: IDS,
        id: None,
        name: args.name.clone(),
        prefix: "fan",
        address: args.address.clone(),
    };
    let newcomer = Newcomer::new(&args.contact, wanted, |config| {
        config.cluster.logs = path.join("logs");
        config.cluster.data = path.join("data");
        // Nobody will want it back after a loss of power.
        config.storage.fsync = false;
        args.run.apply(config);
    })?;
    newcomer.require_board("raftian status shows how it stands")?;
    newcomer.become_member()?;
    let NodeConfig { id, address, .. } = newcomer.node.clone();
    let seat = newcomer.seat(true);
    let (screen, inbox) = ui::inbox();
    let mut running = newcomer.start(&args.run, Some(Box::new(screen.clone())), |_| ())?;
    let exit = ui::run(seat, running.commands(), screen, inbox);
    // Its own node knows who leads. Not for long: a leader gets over a learner that is silent.
    let own = client(&address);
    let id = Value::Int(i64::try_from(id).unwrap_or(i64::MAX));
    let mut tries = 0;
    let _ = until_it_works(|| {
        tries += 1;
        match ask(&own, "cluster.remove", std::slice::from_ref(&id)) {
            Err(_) if tries < 5 => Err("again".to_string()),
            _ => Ok(()),
        }
    });
    running.stop();
    drop(folder);
    super::end_of_play(exit)
}
