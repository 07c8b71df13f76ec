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

use std::io;

use crate::raft::{Entry, HardState, Log, Save};

/// A node's disk. Saves are written in the order given, and are durable when `save` returns.
pub trait Storage: Send {
    /// What is stored: read once, at start.
    fn load(&mut self) -> io::Result<(HardState, Log)>;

    /// Makes these saves durable, in order. On an error nothing may be assumed of any of them.
    fn save(&mut self, saves: &[Save]) -> io::Result<()>;
}

/// Storage that lives as long as its value.
#[derive(Clone, Debug, Default)]
pub struct Memory {
    hard_state: HardState,
    entries: Vec<Entry>,
}

impl Memory {
    /// Term and vote as saved.
    pub fn hard_state(&self) -> HardState {
        self.hard_state
    }

    /// The term of the saved entry at `index`; 0 for index 0, before the first.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        match usize::try_from(index).ok()?.checked_sub(1) {
            Some(position) => self.entries.get(position).map(|entry| entry.term),
            None => Some(0),
        }
    }

    /// Forgets whom the node voted for: a mistake that tests plant.
    #[cfg(test)]
    pub fn forget_vote(&mut self) {
        self.hard_state.voted_for = None;
    }
}

impl Storage for Memory {
    fn load(&mut self) -> io::Result<(HardState, Log)> {
        Ok((self.hard_state, Log::new(self.entries.clone())))
    }

    fn save(&mut self, saves: &[Save]) -> io::Result<()> {
        for save in saves {
            if let Some(hard_state) = save.hard_state {
                check!(
                    hard_state.current_term >= self.hard_state.current_term,
                    "a term is never taken back"
                );
                self.hard_state = hard_state;
            }
            if let Some(first) = save.entries.first() {
                check!(
                    first.index <= self.entries.len() as u64 + 1,
                    "a save leaves no gap"
                );
                self.entries.truncate(first.index as usize - 1);
                self.entries.extend_from_slice(&save.entries);
            }
        }
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
            hard_state: None,
            entries: entries(first, terms),
        };
        memory
            .save(&[save(1, &[1, 1, 1]), save(2, &[2])])
            .expect("memory does not fail");
        let (_, log) = memory.load().unwrap();
        assert_eq!(log.from(1), [entries(1, &[1]), entries(2, &[2])].concat());
    }
}
