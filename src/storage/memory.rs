//! A disk in memory that knows which of its bytes would survive a crash.
//!
//! Each file has the bytes that a process reads and the bytes that are on the disk, and the sectors
//! in which they may differ. Names are likewise in two tables, with the changes between them. A
//! crash keeps any part of what was not synced:
//!
//! - of a file's unsynced sectors any, whatever the order in which they were written;
//! - of a sector of the last write perhaps only the first bytes, up to any byte;
//! - of the names made, changed and removed any.
//!
//! Caveat: a sector that was written twice since the last sync survives as it is now or as it was
//! synced, never as it was in between.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;

use rand::RngExt;
use rand::rngs::Xoshiro256PlusPlus;

use super::disk::Disk;

const SECTOR: usize = 512;

/// A folder in memory. A clone is a copy.
#[derive(Clone, Debug, Default)]
pub struct MemoryDisk {
    files: BTreeMap<u64, FileBytes>,
    next_file: u64,
    names: BTreeMap<String, u64>,
    durable_names: BTreeMap<String, u64>,
    /// What was done to the names since they were synced.
    changes: Vec<Change>,
    locked: bool,
}

#[derive(Clone, Debug, Default)]
struct FileBytes {
    now: Vec<u8>,
    durable: Vec<u8>,
    /// Sectors that the next sync writes.
    dirty: BTreeSet<usize>,
    last_write: Range<usize>,
}

#[derive(Clone, Debug)]
enum Change {
    Made(String, u64),
    Renamed(String, String, u64),
    Removed(String),
}

impl MemoryDisk {
    /// All files as a process reads them.
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        let content = |(name, id): (&String, &u64)| (name.clone(), self.files[id].now.clone());
        self.names.iter().map(content).collect()
    }

    /// Sets a file's bytes, as if they had always been there.
    pub fn set(&mut self, name: &str, bytes: Vec<u8>) {
        let id = self.names.get(name).copied().unwrap_or_else(|| {
            self.next_file += 1;
            self.names.insert(name.to_string(), self.next_file);
            self.durable_names.insert(name.to_string(), self.next_file);
            self.next_file
        });
        let file = FileBytes {
            durable: bytes.clone(),
            now: bytes,
            ..FileBytes::default()
        };
        self.files.insert(id, file);
    }

    /// Changes one bit of a file that is on the disk, for good. Says whether the file has it.
    pub fn flip(&mut self, name: &str, byte: usize, bit: u8) -> bool {
        let Some(file) = self.names.get(name).and_then(|id| self.files.get_mut(id)) else {
            return false;
        };
        let mask = 1 << (bit % 8);
        if let Some(durable) = file.durable.get_mut(byte) {
            *durable ^= mask;
        }
        file.now.get_mut(byte).map(|now| *now ^= mask).is_some()
    }

    /// The machine has lost its power: of what was not synced, any part is left.
    pub fn crash(&mut self, rng: &mut Xoshiro256PlusPlus) {
        for change in std::mem::take(&mut self.changes) {
            if rng.random_bool(0.5) {
                change.apply(&mut self.durable_names);
            }
        }
        self.names = self.durable_names.clone();
        self.forget_nameless();
        for file in self.files.values_mut() {
            file.crash(rng);
        }
        self.locked = false;
    }

    /// The process is gone, and all that it had written is there.
    pub fn kill(&mut self) {
        self.locked = false;
    }

    /// How long a file is; `None` without one.
    pub(super) fn len(&self, name: &str) -> Option<usize> {
        Some(self.files[self.names.get(name)?].now.len())
    }

    /// What a sync that fails may leave: the system takes the bytes for written, and they are not.
    pub(super) fn sync_in_vain(&mut self, name: &str) {
        if let Ok(file) = self.file(name) {
            file.dirty.clear();
        }
    }

    fn file(&mut self, name: &str) -> io::Result<&mut FileBytes> {
        let id = self.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.files.get_mut(id).expect("each name has a file"))
    }

    fn change(&mut self, change: Change) {
        change.apply(&mut self.names);
        self.changes.push(change);
    }

    fn forget_nameless(&mut self) {
        let named = |id: &u64| {
            let mut names = self.names.values().chain(self.durable_names.values());
            names.any(|named| named == id)
        };
        self.files.retain(|id, _| named(id));
    }
}

impl Change {
    fn apply(&self, names: &mut BTreeMap<String, u64>) {
        match self {
            Change::Made(name, id) => {
                names.insert(name.clone(), *id);
            }
            Change::Renamed(from, to, id) => {
                if names.get(from) == Some(id) {
                    names.remove(from);
                }
                names.insert(to.clone(), *id);
            }
            Change::Removed(name) => {
                names.remove(name);
            }
        }
    }
}

impl FileBytes {
    fn write(&mut self, offset: usize, bytes: &[u8]) {
        let end = offset + bytes.len();
        if self.now.len() < end {
            self.now.resize(end, 0);
        }
        self.now[offset..end].copy_from_slice(bytes);
        if !bytes.is_empty() {
            self.dirty.extend(offset / SECTOR..=(end - 1) / SECTOR);
        }
        self.last_write = offset..end;
    }

    fn sync(&mut self) {
        self.durable.resize(self.now.len(), 0);
        for sector in std::mem::take(&mut self.dirty) {
            let range = sector_range(sector, self.now.len());
            self.durable[range.clone()].copy_from_slice(&self.now[range]);
        }
    }

    fn crash(&mut self, rng: &mut Xoshiro256PlusPlus) {
        let dirty = std::mem::take(&mut self.dirty);
        if !dirty.is_empty() {
            // All, nothing and anything between are about as likely.
            let share = [0.0, 1.0, 0.1, 0.5, 0.9][rng.random_range(0..5)];
            let survive: Vec<usize> = dirty
                .into_iter()
                .filter(|_| rng.random_bool(share))
                .collect();
            if rng.random_bool(0.5) && !self.last_write.is_empty() {
                self.tear(rng.random_range(self.last_write.clone()));
            }
            let reached = survive.last().map_or(0, |sector| (sector + 1) * SECTOR);
            let longer = self.now.len() > self.durable.len() && rng.random_bool(0.5);
            if longer || reached > self.durable.len() {
                self.durable.resize(self.now.len(), 0);
            }
            for sector in survive {
                let range = sector_range(sector, self.now.len());
                self.durable[range.clone()].copy_from_slice(&self.now[range]);
            }
        }
        self.now = self.durable.clone();
        self.last_write = 0..0;
    }

    /// This byte's sector was being written when power was lost: it is as it was from this byte on,
    /// whichever write the rest of it is from.
    fn tear(&mut self, at: usize) {
        let end = ((at / SECTOR + 1) * SECTOR).min(self.now.len());
        for position in at..end {
            self.now[position] = self.durable.get(position).copied().unwrap_or(0);
        }
    }
}

fn sector_range(sector: usize, len: usize) -> Range<usize> {
    sector * SECTOR..((sector + 1) * SECTOR).min(len)
}

impl Disk for MemoryDisk {
    fn lock(&mut self) -> io::Result<bool> {
        Ok(!std::mem::replace(&mut self.locked, true))
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names.keys().cloned().collect())
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let id = self.names.get(name).ok_or(io::ErrorKind::NotFound)?;
        Ok(self.files[id].now.clone())
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        self.next_file += 1;
        self.files.insert(self.next_file, FileBytes::default());
        self.change(Change::Made(name.to_string(), self.next_file));
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(name)?;
        file.write(file.now.len(), bytes);
        Ok(())
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.file(name)?.write(offset as usize, bytes);
        Ok(())
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name)?.sync();
        Ok(())
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let id = *self.names.get(from).ok_or(io::ErrorKind::NotFound)?;
        self.change(Change::Renamed(from.to_string(), to.to_string(), id));
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.file(name)?;
        self.change(Change::Removed(name.to_string()));
        Ok(())
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        for change in std::mem::take(&mut self.changes) {
            change.apply(&mut self.durable_names);
        }
        self.forget_nameless();
        Ok(())
    }
}
