//! A node's disk: saves take time, finish in order, and are lost when the node crashes first.

use std::cmp::Ordering;
use std::collections::VecDeque;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use crate::raft::{HardState, Log, Save};
use crate::storage::Memory;

/// What has been saved, and what is being saved.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    durable: Memory,
    pending: VecDeque<(u64, Save)>,
}

impl Disk {
    /// Takes a save; it is durable when `finish` says so.
    pub fn begin(&mut self, number: u64, save: Save) {
        self.pending.push_back((number, save));
    }

    /// The oldest save under way becomes durable. Returns its number.
    pub fn finish(&mut self) -> Option<u64> {
        let (number, save) = self.pending.pop_front()?;
        self.write(save);
        Some(number)
    }

    /// The node is gone. Some of the saves under way had reached the disk though nobody was told,
    /// the next one perhaps in part; the rest are lost.
    pub fn crash(&mut self, rng: &mut Xoshiro256PlusPlus) {
        let reached = rng.random_range(0..=self.pending.len());
        let saves: Vec<Save> = self.pending.drain(..).map(|(_, save)| save).collect();
        for (position, mut save) in saves.into_iter().enumerate() {
            match position.cmp(&reached) {
                Ordering::Less => self.write(save),
                // Torn: term and vote come first, and of the entries the first few.
                Ordering::Equal if rng.random_ratio(1, 2) => {
                    let written = rng.random_range(0..=save.entries.len());
                    save.entries.truncate(written);
                    self.write(save);
                }
                _ => break,
            }
        }
    }

    /// What a restarted node finds.
    pub fn load(&mut self) -> (HardState, Log) {
        assert!(self.pending.is_empty(), "a running node does not load");
        #[cfg(test)]
        if planted!(ForgetVote) {
            self.durable.forget_vote();
        }
        let (hard_state, _, log) = self.durable.load();
        (hard_state, log)
    }

    /// What is durable now.
    pub fn durable(&self) -> &Memory {
        &self.durable
    }

    fn write(&mut self, save: Save) {
        self.durable.save(save);
    }
}
