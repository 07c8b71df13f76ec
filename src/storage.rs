//! Where a node keeps what must survive it: term, vote, log and snapshot.
//!
//! [`Storage`] is all that the rest of the program knows of it. [`Store`] is the one that survives:
//! files in one folder, on a [`Disk`]. [`Memory`] lives as long as its value.
//!
//! ```text
//! data/bob1/
//!     lock                                    locked by the process that runs the node
//!     hard-state                              term and vote
//!     log-0000000000000001                    the log, in segments
//!     log-0000000000000002
//!     snapshot-00000000000000000017-3.json    the state after entry 17, which is of term 3
//! ```
//!
//! What it promises:
//!
//! - A save that is done survives: a crash of the process or the machine at any time loses nothing
//!   of it.
//! - A batch of saves costs one write and one sync of the log, and one more of each where term or
//!   vote changed.
//! - Damage is noticed and refused, never repaired by leaving something out. Only the end of the
//!   log may be cut: a batch that was never finished, so that nobody was promised anything.
//! - A full disk loses nothing, and term and vote still fit.
//!
//! Where to read on: `store` (what a save does), `recover` (what a start does), `segment` and
//! `state` (the files, and how they are judged), `record` (one entry), [`disk`] (what is asked of
//! an operating system), and docs/STORAGE.md.
//!
//! Caveats:
//! - Until the next save, or until [`Storage::idle`], damage to the very last batch looks like a
//!   batch that was never finished ([`Store::unjudged`]).
//! - If the last segment is lost as a whole, with its name, the log ends before it and nothing
//!   tells. The same goes for a folder that is replaced by an earlier copy of itself: the node has
//!   then forgotten votes and entries that others count on.
//! - On a file system that never writes in place, room that was taken before is not reserved.

mod chain;
pub mod disk;
mod error;
pub mod faulty;
mod folder;
mod header;
mod inspect;
mod line;
mod log;
mod memory;
pub mod record;
mod recover;
pub mod segment;
pub mod state;
mod store;

use std::fmt;

use crate::raft::{Entry, HardState, Log, LogAfterSnapshot, NodeId, Save, Snapshot};

pub use disk::{Disk, LOCK_FILE, RealDisk};
pub use error::OpenError;
pub use faulty::{Fault, FaultyDisk, Plan};
pub use header::BadFile;
pub use inspect::{Inspected, inspect};
pub use memory::MemoryDisk;
pub use recover::ReadSnapshot;
pub use store::Store;

/// The format of the files that this program writes, and the only one that it reads.
pub const FORMAT: u64 = 1;

/// Whose data it is. Files say so, and those of anybody else are refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The cluster's name.
    pub cluster: String,
    /// The node's id.
    pub node: NodeId,
}

/// How data is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// Whether to wait until the disk says that it has what was written. Without, a crash of the
    /// process loses nothing and a crash of the machine may lose anything.
    pub fsync: bool,
    /// Length of a segment of the log. A longer entry gets a longer one.
    pub segment_bytes: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            fsync: true,
            segment_bytes: 1 << 20,
        }
    }
}

/// A node's disk, as the disk thread sees it.
pub trait Storage: Send {
    /// Makes these saves durable, in order, and takes those out that are: all of them when it
    /// returns `Ok`.
    ///
    /// On [`SaveError::Full`] the rest stays, to be tried again; the latest term and vote among
    /// them are durable all the same, because their room is reserved. Only on a disk that never
    /// writes in place may these be refused as well, and then stay in the saves.
    fn save_all(&mut self, saves: &mut Vec<Save>) -> Result<(), SaveError>;

    /// Nothing has been saved for a while: time for what can wait.
    fn idle(&mut self) -> Result<(), SaveError>;
}

/// What a node finds at its start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Recovered {
    /// Term and vote.
    pub hard_state: HardState,
    /// The latest snapshot.
    pub snapshot: Option<Snapshot>,
    /// What follows it, and perhaps a tail of what it covers.
    pub log: Log,
    /// What was repaired, one sentence each, for node.log.
    pub notes: Vec<String>,
}

/// Why a save is not durable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SaveError {
    /// There is no room. Nothing is lost, and it may be tried again.
    Full(String),
    /// What is on the disk now is unknown, and no promise may be made on it: the process must end.
    Failed(String),
}

impl fmt::Display for SaveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SaveError::Full(what) | SaveError::Failed(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for SaveError {}

/// Storage that lives as long as its value: for benchmarks, where the disk is not what is measured.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    hard_state: HardState,
    snapshot: Option<Snapshot>,
    log: Log,
}

impl Memory {
    /// A copy of what a start has found.
    pub fn of(recovered: &Recovered) -> Memory {
        Memory {
            hard_state: recovered.hard_state,
            snapshot: recovered.snapshot.clone(),
            log: recovered.log.clone(),
        }
    }

    /// What is stored.
    pub fn load(&self) -> (HardState, Option<Snapshot>, Log) {
        (self.hard_state, self.snapshot.clone(), self.log.clone())
    }

    /// Term and vote as saved.
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// Whether the entry at `index`, of `term`, is stored, or is part of the snapshot.
    pub fn has(&self, index: u64, term: Option<u64>) -> bool {
        let covered = self.snapshot.as_ref().map_or(0, |s| s.last_index);
        index <= covered || self.log.term_at(index) == term
    }

    /// Keeps one save.
    pub fn save(&mut self, save: Save) {
        if let Some(hard_state) = save.hard_state {
            check!(
                hard_state.current_term >= self.hard_state.current_term,
                "a term is never taken back"
            );
            self.hard_state = hard_state;
        }
        if let Some(save) = save.snapshot {
            match save.log {
                LogAfterSnapshot::KeepFrom(index) => self.log.compact(index - 1),
                LogAfterSnapshot::Discard => {
                    let Snapshot {
                        last_index,
                        last_term,
                        ..
                    } = save.snapshot;
                    self.log = Log::after(last_index, last_term, Vec::<Entry>::new());
                }
            }
            self.snapshot = Some(save.snapshot);
        }
        if let Some(first) = save.entries.first()
            && first.index <= self.log.last_index()
        {
            self.log.truncate(first.index);
        }
        for entry in save.entries {
            self.log.append(entry);
        }
    }
}

impl Storage for Memory {
    fn save_all(&mut self, saves: &mut Vec<Save>) -> Result<(), SaveError> {
        for save in saves.drain(..) {
            self.save(save);
        }
        Ok(())
    }

    fn idle(&mut self) -> Result<(), SaveError> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::raft::Payload;

    fn entries(first: u64, terms: &[u64]) -> Vec<Entry> {
        (first..)
            .zip(terms)
            .map(|(index, &term)| Entry {
                index,
                term,
                payload: Payload::Noop,
            })
            .collect()
    }

    #[test]
    fn a_save_replaces_what_is_stored_at_its_first_index_and_after() {
        let mut memory = Memory::default();
        let save = |first, terms: &[u64]| Save {
            entries: entries(first, terms),
            ..Save::default()
        };
        let mut saves = vec![save(1, &[1, 1, 1]), save(2, &[2])];
        memory.save_all(&mut saves).expect("memory does not fail");
        assert!(saves.is_empty());
        let (_, _, log) = memory.load();
        assert_eq!(log.from(1), [entries(1, &[1]), entries(2, &[2])].concat());
    }
}
