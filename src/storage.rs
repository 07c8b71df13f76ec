//! Where a node keeps what must survive it: term, vote and log.
//!
//! [`Storage`] is all that the rest of the program knows of it. The one implementation so far is
//! [`Memory`], which survives a crash in the simulator (minus the saves that had not finished) and
//! nothing at all in a real process.
//!
//! Caveat: a real process that restarts has therefore forgotten its vote and its log. It is a
//! stranger under an old name: it may vote twice in a term, and a majority that counts it may lack
//! an entry that was committed with its help. Restart one node at a time, and wait until it has
//! caught up.

use std::fmt;

use crate::raft::{Entry, HardState, Log, LogAfterSnapshot, Save, Snapshot};

/// A node's disk, as the disk thread sees it.
pub trait Storage: Send {
    /// Makes these saves durable, in order, and takes those out that are: all of them when it
    /// returns `Ok`.
    ///
    /// On [`SaveError::Full`] the rest stays, to be tried again; the latest term and vote among
    /// them are durable all the same, because their room is reserved.
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
    /// What is stored.
    pub fn load(&self) -> (HardState, Option<Snapshot>, Log) {
        (self.hard_state, self.snapshot.clone(), self.log.clone())
    }

    /// Term and vote as saved.
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// The term of the saved entry at `index`; 0 for index 0, before the first.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        self.log.term_at(index)
    }

    /// Forgets whom the node voted for: a mistake that tests plant.
    #[cfg(test)]
    pub fn forget_vote(&mut self) {
        self.hard_state.voted_for = None;
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
