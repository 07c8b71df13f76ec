//! A node's disk: the real storage code on files that break.
//!
//! Saves take time and finish in order, several with one sync where they have gathered. A node may
//! fall amid a save, at any operation of it; what was not synced is then lost in any part where the
//! machine has lost its power, and is all there where only the process has died. Operations fail,
//! room runs out, and while a node is down a bit may flip.
//!
//! Beside the files stands a model: what every finished save has said. Whatever a restart finds is
//! compared with it, which is the whole contract of a disk.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use crate::raft::{Entry, LogAfterSnapshot, NodeId, Save, SaveSnapshot};
use crate::snapshot::Document;
use crate::storage::{
    Fault, FaultyDisk, Identity, Memory, OpenError, Options, Plan, Recovered, SaveError, Storage,
    Store,
};

use super::Violation;

/// A save touches the disk a few times; one that makes a segment or a snapshot, about so often.
const OPERATIONS_OF_A_SAVE: [usize; 2] = [3, 16];
/// The same for a start.
const OPERATIONS_OF_A_START: usize = 40;

/// A node's files, and what it may rely on.
pub struct Disk {
    node: NodeId,
    segment_bytes: u64,
    files: FaultyDisk,
    /// `None` while the node is down.
    store: Option<Store>,
    /// What the finished saves have said.
    durable: Memory,
    /// Every (index, term) that has been on the disk since the node started. An acknowledgement of
    /// an entry that has been overwritten since is late, and no lie.
    held: BTreeSet<(u64, u64)>,
    /// Handed over and not finished.
    pending: VecDeque<(u64, Save)>,
    /// Under way when the node fell: each may have reached the disk, in part too.
    lost: Vec<Save>,
    /// A bit that has flipped: file, byte, bit.
    flipped: Option<(String, usize, u8)>,
    /// Room has been taken away.
    is_full: bool,
}

/// How a save ended.
pub enum Finished {
    /// Everything up to this number is on the disk.
    Saved(u64),
    /// There is no room. Term and vote up to this number are on the disk.
    Full(u64),
    /// An operation failed, and the node must end.
    Failed,
}

/// How a start ended.
pub enum Start {
    /// With this.
    Found(Recovered),
    /// The node has fallen again on the way, or was refused with reason, and tries again.
    Again,
}

impl Disk {
    /// The empty disk of a node.
    pub fn new(node: NodeId, segment_bytes: u64) -> Disk {
        Disk {
            node,
            segment_bytes,
            files: FaultyDisk::default(),
            store: None,
            durable: Memory::default(),
            held: BTreeSet::new(),
            pending: VecDeque::new(),
            lost: Vec::new(),
            flipped: None,
            is_full: false,
        }
    }

    /// What is on the disk for sure.
    pub fn durable(&self) -> &Memory {
        &self.durable
    }

    /// Whether an entry is on the disk, or has been since the node started, itself or as a part of
    /// a snapshot.
    pub fn has_held(&self, index: u64, term: u64) -> bool {
        self.durable.has(index, Some(term)) || self.held.contains(&(index, term))
    }

    /// Whether a save is under way.
    pub fn is_saving(&self) -> bool {
        !self.pending.is_empty()
    }

    /// How many saves have been handed over and are not finished.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// Whether room has been taken away.
    pub fn is_full(&self) -> bool {
        self.is_full
    }

    /// Whether a bit has flipped.
    pub fn has_flipped(&self) -> bool {
        self.flipped.is_some()
    }

    /// Takes a save; it is durable when `finish` says so.
    pub fn begin(&mut self, number: u64, save: Save) {
        self.pending.push_back((number, save));
    }

    /// No room but for so many bytes, until `make_room`.
    pub fn fill(&mut self, bytes: u64) {
        self.is_full = true;
        let fault = Fault::Full(bytes);
        self.files.plan(Some(Plan { at: 0, fault }));
    }

    /// There is room again.
    pub fn make_room(&mut self) {
        self.is_full = false;
        self.files.plan(None);
    }

    /// Some of the saves under way, the oldest first, become durable together. `fails`: at one of
    /// their operations the disk reports an error. `None`: nothing is under way.
    pub fn finish(
        &mut self,
        fails: bool,
        rng: &mut Xoshiro256PlusPlus,
    ) -> Result<Option<Finished>, Violation> {
        if self.pending.is_empty() {
            return Ok(None);
        }
        let count = rng.random_range(1..=self.pending.len());
        let (numbers, saves): (Vec<u64>, Vec<Save>) = self.pending.drain(..count).unzip();
        let last = numbers[count - 1];
        let before = self.files.operations();
        let at = operation_of_a_save(rng);
        if fails && !self.is_full {
            let fault = Fault::Error;
            self.files.plan(Some(Plan { at, fault }));
        }
        let mut rest = saves.clone();
        let mut result = self.running().save_all(&mut rest);
        // Now and then the node is quiet for a while.
        if result.is_ok() && self.pending.is_empty() && rng.random_ratio(1, 4) {
            result = match self.running().idle() {
                Err(SaveError::Full(_)) => Ok(()),
                result => result,
            };
        }
        let has_failed = fails && !self.is_full && self.files.operations() > before + at;
        if fails && !self.is_full {
            self.files.plan(None);
        }
        match result {
            Ok(()) => {
                for save in saves {
                    self.saved(save);
                }
                Ok(Some(Finished::Saved(last)))
            }
            Err(SaveError::Full(_)) if self.is_full => {
                self.saved_in_part(&saves, &rest);
                let done = count - rest.len();
                let rest = numbers[done..].iter().copied().zip(rest);
                for save in rest.rev() {
                    self.pending.push_front(save);
                }
                Ok(Some(Finished::Full(last)))
            }
            Err(SaveError::Failed(_)) if has_failed => {
                self.lost = saves;
                Ok(Some(Finished::Failed))
            }
            Err(error) => Err(self.broken("a disk that works saves", &error.to_string())),
        }
    }

    /// The node is gone, perhaps amid a save, and perhaps its machine's power with it. Says how.
    pub fn crash(&mut self, rng: &mut Xoshiro256PlusPlus) -> &'static str {
        let unjudged = self.store.as_ref().map(Store::unjudged);
        self.files.plan(None);
        self.is_full = false;
        self.lost
            .extend(self.pending.drain(..).map(|(_, save)| save));
        if !self.lost.is_empty() && rng.random_ratio(2, 3) {
            let at = operation_of_a_save(rng);
            let fault = Fault::Stop;
            self.files.plan(Some(Plan { at, fault }));
            let mut saves = self.lost.clone();
            // Whatever comes of it, nobody is told.
            let _ = self.store.as_mut().map(|store| store.save_all(&mut saves));
            self.files.plan(None);
        }
        self.store = None;
        if rng.random_ratio(1, 2) {
            self.files.crash(rng);
            return ", and its machine";
        }
        self.files.kill();
        if self.lost.is_empty()
            && rng.random_ratio(1, 4)
            && self.flip(&unjudged.unwrap_or_default(), rng)
        {
            return ", and a bit flips";
        }
        ""
    }

    /// A bit flips somewhere, but not where no rule can tell damage from a batch that was never
    /// finished.
    fn flip(&mut self, spared: &[(String, Range<u64>)], rng: &mut Xoshiro256PlusPlus) -> bool {
        let files = self.files.contents();
        let names: Vec<&String> = files
            .keys()
            .filter(|name| !files[*name].is_empty())
            .collect();
        if names.is_empty() {
            return false;
        }
        let name = names[rng.random_range(0..names.len())];
        let bytes = &files[name];
        // Most of a segment is zeros that nobody has written yet.
        let written = bytes.iter().rposition(|&b| b != 0).map_or(1, |at| at + 1);
        let byte = rng.random_range(0..written);
        let is_spared =
            |(file, range): &(String, Range<u64>)| file == name && range.contains(&(byte as u64));
        if spared.iter().any(is_spared) {
            return false;
        }
        let bit = rng.random_range(0..8);
        self.files.flip(name, byte, bit);
        self.flipped = Some((name.clone(), byte, bit));
        true
    }

    /// What a restarted node finds. `falls`: it may be stopped on the way, or an operation fail.
    pub fn open(&mut self, falls: bool, rng: &mut Xoshiro256PlusPlus) -> Result<Start, Violation> {
        assert!(self.store.is_none(), "a running node does not start");
        let before = self.files.operations();
        let at = rng.random_range(0..OPERATIONS_OF_A_START);
        if falls {
            let fault = match rng.random_ratio(1, 2) {
                true => Fault::Stop,
                false => Fault::Error,
            };
            self.files.plan(Some(Plan { at, fault }));
        }
        let files_before = self.flipped.is_some().then(|| self.files.contents());
        let identity = Identity {
            cluster: "simulated".to_string(),
            node: self.node,
        };
        let options = Options {
            fsync: true,
            segment_bytes: self.segment_bytes,
        };
        let opened = Store::open(
            self.files.clone(),
            &identity,
            options,
            Document::read_snapshot,
        );
        let has_fallen = falls && self.files.operations() > before + at;
        self.files.plan(None);
        match opened {
            Ok((store, recovered)) => {
                self.keeps_its_word(&recovered)?;
                self.store = Some(store);
                self.durable = Memory::of(&recovered);
                let entries = recovered.log.from(1).iter();
                self.held = entries.map(|entry| (entry.index, entry.term)).collect();
                self.lost.clear();
                self.flipped = None;
                Ok(Start::Found(recovered))
            }
            Err(_) if has_fallen => {
                match rng.random_ratio(1, 2) {
                    true => self.files.crash(rng),
                    false => self.files.kill(),
                }
                Ok(Start::Again)
            }
            Err(OpenError::Corrupt { .. } | OpenError::NewerFormat { .. })
                if self.flipped.is_some() =>
            {
                if files_before != Some(self.files.contents()) {
                    return Err(self.broken("what is refused is left untouched", "it was changed"));
                }
                if let Some((name, byte, bit)) = self.flipped.take() {
                    self.files.flip(&name, byte, bit);
                }
                Ok(Start::Again)
            }
            Err(error) => {
                let invariant = "a node that has crashed can start again";
                Err(self.broken(invariant, &error.to_string()))
            }
        }
    }

    /// Compares what a start has found with what the saves have said. Saves that were under way may
    /// have done anything that they could.
    fn keeps_its_word(&self, found: &Recovered) -> Result<(), Violation> {
        let broken =
            |what: String| Err(self.broken("what was saved is there after a restart", &what));
        let (hard_state, snapshot, log) = self.durable.load();
        let mut hard_states = self.lost.iter().filter_map(|save| save.hard_state);
        if found.hard_state != hard_state && !hard_states.any(|lost| lost == found.hard_state) {
            return broken(format!("{hard_state:?} was {:?}", found.hard_state));
        }
        let covered = found.snapshot.as_ref().map_or(0, |s| s.last_index);
        if snapshot.as_ref().is_some_and(|s| s.last_index > covered) {
            return broken(format!("{snapshot:?} was {:?}", found.snapshot));
        }
        let lost_snapshots = || self.lost.iter().filter_map(|save| save.snapshot.as_ref());
        let is_known = |SaveSnapshot { snapshot, .. }: &SaveSnapshot| {
            found.snapshot.as_ref() == Some(snapshot)
        };
        if found.snapshot != snapshot && !lost_snapshots().any(is_known) {
            return broken(format!("{snapshot:?} was {:?}", found.snapshot));
        }
        let replacing = |index: u64| -> Vec<&Entry> {
            let entries = self.lost.iter().flat_map(|save| &save.entries);
            entries.filter(|entry| entry.index == index).collect()
        };
        // An install that was under way may have come so far that the log begins anew behind it.
        let begins_anew =
            |save: &&SaveSnapshot| save.log == LogAfterSnapshot::Discard && is_known(save);
        if lost_snapshots().any(|save| begins_anew(&save)) {
            return Ok(());
        }
        let first_lost = self.lost.iter().filter_map(|save| save.entries.first());
        let overwritten = first_lost
            .map(|entry| entry.index)
            .min()
            .unwrap_or(u64::MAX);
        for entry in log.from(covered.max(log.base_index()) + 1) {
            let there = found.log.get(entry.index);
            if entry.index < overwritten && there != Some(entry) {
                return broken(format!("{entry:?} was {there:?}"));
            }
        }
        for entry in found.log.from(covered + 1) {
            let is_known =
                log.get(entry.index) == Some(entry) || replacing(entry.index).contains(&entry);
            if !is_known {
                return broken(format!("{entry:?} was never there"));
            }
        }
        Ok(())
    }

    /// Of the saves, `rest` has not been made.
    fn saved_in_part(&mut self, saves: &[Save], rest: &[Save]) {
        let done = saves.len() - rest.len();
        for (position, save) in saves.iter().enumerate() {
            let mut save = save.clone();
            if position >= done {
                let left = &rest[position - done];
                save.entries
                    .truncate(save.entries.len() - left.entries.len());
                if left.snapshot.is_some() {
                    save.snapshot = None;
                }
            }
            self.saved(save);
        }
    }

    fn saved(&mut self, save: Save) {
        let entries = save.entries.iter();
        self.held
            .extend(entries.map(|entry| (entry.index, entry.term)));
        self.durable.save(save);
    }

    fn running(&mut self) -> &mut Store {
        self.store.as_mut().expect("a running node has its store")
    }

    fn broken(&self, invariant: &'static str, what: &str) -> Violation {
        Violation {
            invariant,
            detail: format!("node {}: {what}", self.node),
        }
    }
}

fn operation_of_a_save(rng: &mut Xoshiro256PlusPlus) -> usize {
    let count = OPERATIONS_OF_A_SAVE[rng.random_range(0..2)];
    rng.random_range(0..count)
}
