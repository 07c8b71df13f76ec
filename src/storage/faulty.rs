//! A disk that breaks: a [`MemoryDisk`] with a plan of what goes wrong, and when.
//!
//! A clone is another handle to the same disk, so that a test or the simulator can break what a
//! store is writing to. Each operation of [`Disk`] counts, and the plan names one by its number.

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand::rngs::Xoshiro256PlusPlus;

use super::disk::Disk;
use super::memory::MemoryDisk;

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The process is dead: this operation and all after it fail, until [`FaultyDisk::crash`] or
    /// [`FaultyDisk::kill`]. A write may have been made in part.
    Stop,
    /// This operation fails, and no other. After a sync that fails, the system takes the bytes for
    /// written though they are not.
    Error,
    /// From here on files can grow by so many bytes, and no more; removing one gives room back.
    Full(u64),
}

/// The fault that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// At which operation: 0 is the next.
    pub at: usize,
    /// What happens.
    pub fault: Fault,
}

/// A handle to a disk that breaks. A clone is another handle to the same disk.
#[derive(Debug, Default)]
pub struct FaultyDisk {
    shared: Arc<Mutex<Shared>>,
    /// In which life of the disk this handle took the lock.
    life: Option<u64>,
}

#[derive(Debug, Default)]
struct Shared {
    disk: MemoryDisk,
    operations: usize,
    plan: Option<(usize, Fault)>,
    room: Option<u64>,
    dead: bool,
    /// How often the machine or the process has gone: a store from before must not write.
    life: u64,
    locked: bool,
}

/// What an operation does.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Write,
    Sync,
}

impl Clone for FaultyDisk {
    fn clone(&self) -> FaultyDisk {
        FaultyDisk {
            shared: Arc::clone(&self.shared),
            life: None,
        }
    }
}

impl Drop for FaultyDisk {
    fn drop(&mut self) {
        let mut shared = self.shared();
        if self.life == Some(shared.life) {
            shared.locked = false;
        }
    }
}

impl FaultyDisk {
    /// A disk with these files.
    pub fn new(disk: MemoryDisk) -> FaultyDisk {
        let shared = Shared {
            disk,
            ..Shared::default()
        };
        FaultyDisk {
            shared: Arc::new(Mutex::new(shared)),
            life: None,
        }
    }

    /// What is to go wrong; `None` for nothing, and then there is room again.
    pub fn plan(&self, plan: Option<Plan>) {
        let mut shared = self.shared();
        shared.room = None;
        shared.plan = plan.map(|plan| (shared.operations + plan.at, plan.fault));
    }

    /// How many operations there have been.
    pub fn operations(&self) -> usize {
        self.shared().operations
    }

    /// Power is lost, see [`MemoryDisk::crash`].
    pub fn crash(&self, rng: &mut Xoshiro256PlusPlus) {
        self.end_life(|disk| disk.crash(rng));
    }

    /// The process is gone, and what it had written is there.
    pub fn kill(&self) {
        self.end_life(MemoryDisk::kill);
    }

    fn end_life(&self, how: impl FnOnce(&mut MemoryDisk)) {
        let mut shared = self.shared();
        how(&mut shared.disk);
        (shared.dead, shared.locked) = (false, false);
        shared.life += 1;
    }

    /// Changes one bit, see [`MemoryDisk::flip`].
    pub fn flip(&self, name: &str, byte: usize, bit: u8) -> bool {
        self.shared().disk.flip(name, byte, bit)
    }

    /// All files as a process reads them.
    pub fn contents(&self) -> BTreeMap<String, Vec<u8>> {
        self.shared().disk.contents()
    }

    /// A copy of the disk.
    pub fn disk(&self) -> MemoryDisk {
        self.shared().disk.clone()
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The disk, for the next operation; or the fault that was planned for it.
    fn begin(
        &self,
        kind: Kind,
        fails: impl FnOnce(&mut Shared),
    ) -> io::Result<MutexGuard<'_, Shared>> {
        let mut shared = self.shared();
        let stale = self.life.is_some_and(|life| life != shared.life);
        if shared.dead || stale {
            return Err(io::Error::other("this process is dead"));
        }
        let number = shared.operations;
        shared.operations += 1;
        let Some((_, fault)) = shared.plan.filter(|(at, _)| *at == number) else {
            return Ok(shared);
        };
        shared.plan = None;
        match fault {
            Fault::Full(room) => {
                shared.room = Some(room);
                Ok(shared)
            }
            Fault::Stop => {
                if kind == Kind::Write {
                    fails(&mut shared);
                }
                shared.dead = true;
                Err(io::Error::other("this process is dead"))
            }
            Fault::Error => {
                if kind != Kind::Read {
                    fails(&mut shared);
                }
                Err(io::Error::other("input/output error"))
            }
        }
    }

    fn change(&self, change: impl FnOnce(&mut MemoryDisk) -> io::Result<()>) -> io::Result<()> {
        let mut shared = self.begin(Kind::Write, |_| ())?;
        change(&mut shared.disk)
    }

    fn write(&self, name: &str, offset: Option<u64>, bytes: &[u8]) -> io::Result<()> {
        let write = |disk: &mut MemoryDisk, bytes: &[u8]| match offset {
            Some(offset) => disk.write_at(name, offset, bytes),
            None => disk.append(name, bytes),
        };
        let mut shared = self.begin(Kind::Write, |shared| {
            // Some part, another one each time.
            let part = shared.operations.wrapping_mul(0x9e37_79b9) % (bytes.len() + 1);
            let _ = write(&mut shared.disk, &bytes[..part]);
        })?;
        let length = shared.disk.len(name).ok_or(io::ErrorKind::NotFound)? as u64;
        let start = offset.unwrap_or(length);
        let growth = (start + bytes.len() as u64).saturating_sub(length);
        match shared.room {
            Some(room) if room < growth => {
                shared.room = Some(0);
                let fits = bytes.len() - (growth - room) as usize;
                write(&mut shared.disk, &bytes[..fits])?;
                return Err(io::ErrorKind::StorageFull.into());
            }
            Some(room) => shared.room = Some(room - growth),
            None => {}
        }
        write(&mut shared.disk, bytes)
    }
}

impl Disk for FaultyDisk {
    fn lock(&mut self) -> io::Result<bool> {
        let mut shared = self.begin(Kind::Write, |_| ())?;
        if shared.locked {
            return Ok(false);
        }
        shared.locked = true;
        let life = shared.life;
        drop(shared);
        self.life = Some(life);
        Ok(true)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.begin(Kind::Read, |_| ())?.disk.list()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.begin(Kind::Read, |_| ())?.disk.read(name)
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        self.change(|disk| disk.create(name))
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.write(name, None, bytes)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        self.write(name, Some(offset), bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        let mut shared = self.begin(Kind::Sync, |shared| shared.disk.sync_in_vain(name))?;
        shared.disk.sync(name)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.change(|disk| disk.rename(from, to))
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        let mut shared = self.begin(Kind::Write, |_| ())?;
        let freed = shared.disk.len(name).unwrap_or(0) as u64;
        shared.disk.remove(name)?;
        shared.room = shared.room.map(|room| room + freed);
        Ok(())
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        self.begin(Kind::Sync, |_| ())?.disk.sync_dir()
    }
}
