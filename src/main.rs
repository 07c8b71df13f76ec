//! The `raftian` command.

use std::process::ExitCode;

fn main() -> ExitCode {
    raftian::cli::main()
}
