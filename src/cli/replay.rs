//! `raftian replay`: does the core do again what a trace says that it did?

use std::fs::File;
use std::io::BufReader;
use std::panic;
use std::path::PathBuf;

use super::{Failure, print};
use crate::command::printable;
use crate::trace::{self, Stopped};

/// Run a node's core again over the trace that the node has written
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  raftian serve --id 1 --trace bob1.trace     writes the trace
  raftian replay bob1.trace                   runs the core again, also while the node runs

Prints one line that ends in `ok`, or the first input whose output differs. A last line that is not
finished, because the node was killed or runs, is left out.")]
pub(super) struct Args {
    /// The trace
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let name = printable(&args.file.to_string_lossy()).into_owned();
    let failed = |why: String| Failure::new(format!("{name}: {why}"));
    let file = File::open(&args.file).map_err(|error| failed(error.to_string()))?;
    // What the core's own assertions say of a trace is a result like any other.
    let hook = panic::take_hook();
    panic::set_hook(Box::new(|_| ()));
    let result = trace::replay(BufReader::with_capacity(1 << 16, file));
    panic::set_hook(hook);
    match result {
        Ok(report) => print(&format!("{name}: {report}\n")),
        Err(stopped) => {
            if let Stopped::Different(different) = &stopped {
                print(&format!(
                    "{name}:{}: {}\nexpected: {}\nfound:    {}\n",
                    different.line, different.input, different.expected, different.found
                ))?;
            }
            Err(failed(stopped.to_string()))
        }
    }
}
