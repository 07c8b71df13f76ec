//! A trace: what a node's core was told, and what it asked for, so that anyone can check it.
//!
//! The core is a function of what it is told ([`raft`](crate::raft)). So a node that writes down
//! each call of its core, and what came of it, can be held to its word: [`replay`] makes a new core,
//! tells it the same, and stops at the first difference. Whoever changes the core sees at which
//! input of a real game it decides otherwise, and whoever suspects a node can send one file.
//!
//! A trace is text: one JSON object a line, for people and for `jq`. The first line is the core as
//! it began, with its configuration (and so the seed of its timeouts) and all that its disk
//! remembered; then comes one line a call, in the order of the calls:
//!
//! ```text
//! {"raftian_trace":2,"config":{"id":1,...},"hard_state":{...},"snapshot":null,"log":{...}}
//! {"input":{"tick":212},"output":{"ready":{"save":{"hard_state":{...}},"after_save":[...]}}}
//! {"input":{"reply":{"from":2,"call":1,"reply":{"request_vote":{...}}}},"output":{"ready":{...}}}
//! {"input":{"propose":[{"client":"bob1-7","serial":1,"text":"attack 3"}]},"output":{"proposed":...}}
//! {"input":{"set_disk":"busy"}}
//! ```
//!
//! What is short about it:
//!
//! - An input that asked for nothing has no `output`.
//! - A tick that asked for nothing, before the core's deadline, has moved the time and nothing else:
//!   it is left out, and the last of several that were left out is written before the next line. So
//!   is a disk that stands as it stood. (A tick *at* the deadline that asks for nothing is written:
//!   a node that may not campaign has drawn a new timeout.)
//! - The bytes of snapshots stand in the inputs, as text where they are text and as numbers where
//!   they are not. In the outputs, which a replay makes again, stand their length and their CRC-32C.
//!
//! One thing that the core asks is not in its hands: whether the state machine can read a snapshot.
//! Its refusal is written beside the input (`refused`), and a replay hears the same.
//!
//! Where to read on: [`mod@input`] is what can be told to a core, and the one place in which a new input
//! is added. `record` writes a trace, [`mod@file`] takes it to the disk, `replay` reads it.
//!
//! Caveats: a trace is believed where it says what the inputs were. One that was changed there is
//! found out only if the outputs do not fit. A process that is killed, or panics, leaves out the last
//! tenth of a second: the input that made a core panic is not in the file. And a trace grows for as
//! long as the node runs.

pub mod file;
pub mod input;
mod record;
mod replay;

use serde::{Deserialize, Serialize};

pub use file::TraceFile;
pub use input::{Input, Traced};
pub use record::Recorder;
#[cfg(test)]
pub(crate) use replay::run;
pub use replay::{Difference, Report, Stopped, replay};

use crate::raft::{Config, Entry, HardState, Log, Raft, Snapshot};

/// The version of the format. Whatever makes an old trace unreadable makes a new one.
const VERSION: u64 = 2;

/// The longest line, in bytes. A line holds at most one snapshot, whose limit is a quarter of this.
const MAX_LINE: usize = 1 << 30;

/// The first line: a core as it began.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    raftian_trace: u64,
    config: Config,
    hard_state: HardState,
    snapshot: Option<Snapshot>,
    log: LogAtStart,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct LogAtStart {
    base_index: u64,
    base_term: u64,
    entries: Vec<Entry>,
}

impl Header {
    /// How to begin as this core did, which has not been told anything yet.
    fn of(raft: &Raft) -> Header {
        let log = raft.log();
        let base_index = log.base_index();
        Header {
            raftian_trace: VERSION,
            config: raft.config().clone(),
            hard_state: HardState {
                current_term: raft.current_term(),
                voted_for: raft.voted_for(),
            },
            snapshot: raft.snapshot().cloned(),
            log: LogAtStart {
                base_index,
                base_term: log.term_at(base_index).unwrap_or_default(),
                entries: log.from(base_index + 1).to_vec(),
            },
        }
    }

    fn start(self) -> Raft {
        let LogAtStart {
            base_index,
            base_term,
            entries,
        } = self.log;
        let log = Log::after(base_index, base_term, entries);
        Raft::new(self.config, self.hard_state, self.snapshot, log)
    }
}

#[cfg(test)]
mod tests;
