//! `raftian verify`: do all nodes tell the same story?

use std::path::PathBuf;

use super::{Failure, print};
use crate::orders_log::{self, Report};

/// Compare the orders.log files of a cluster's nodes
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  raftian verify logs              compares logs/*/orders.log
  raftian verify logs/sample       the same for the game that comes with the source
  raftian verify logs/bob1         checks the digests of one node's file

Prints a line for each file and `ok`, or the first line that differs.")]
pub(super) struct Args {
    /// The folder that holds the nodes' folders
    #[arg(value_name = "DIR")]
    dir: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    match orders_log::verify(&args.dir) {
        Ok(report) => print(&summary(&report)),
        Err(error) => {
            for line in error.details() {
                print(&(line + "\n"))?;
            }
            Err(Failure::new(error))
        }
    }
}

fn summary(report: &Report) -> String {
    let width = report
        .files
        .iter()
        .map(|file| file.name.chars().count())
        .max();
    let width = width.unwrap_or(0);
    let mut text = String::new();
    for file in &report.files {
        let missing = match file.missing {
            0 => String::new(),
            1 => "  (1 more came with a snapshot)".to_string(),
            count => format!("  ({count} more came with a snapshot)"),
        };
        let torn = match file.torn {
            true => "  (and half a line at its end, which is left out)",
            false => "",
        };
        text.push_str(&format!(
            "{:<width$}  {} lines  {}{missing}{torn}\n",
            file.name, file.lines, file.digest
        ));
    }
    text.push_str("ok\n");
    text
}
