//! The folder of one node: a disk, with the manners that keep it safe.
//!
//! Whatever makes, renames or removes a file also syncs the directory, and a file comes into being
//! whole or not at all: it is written under a name of its own, synced, and only then renamed. Errors
//! name the file, and tell a full disk, which can wait, from a disk that failed, which cannot.

use std::io;

use super::SaveError;
use super::disk::Disk;
use super::error::is_full;

/// The end of the name of a file that is not whole yet.
pub(super) const UNFINISHED: &str = ".tmp";

pub(super) struct Folder {
    disk: Box<dyn Disk>,
    fsync: bool,
}

impl Folder {
    pub fn new(disk: Box<dyn Disk>, fsync: bool) -> Folder {
        Folder { disk, fsync }
    }

    pub fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub fn list(&self) -> Result<Vec<String>, SaveError> {
        let names = self.disk.list();
        names.map_err(|error| self.failed("", &error))
    }

    /// Makes a file of these parts, whole and safe when it returns. Without room, nothing is left
    /// of it.
    pub fn put(&mut self, name: &str, parts: &[&[u8]]) -> Result<(), SaveError> {
        let unfinished = format!("{name}{UNFINISHED}");
        match self.fill(&unfinished, name, parts) {
            Err(full @ SaveError::Full(_)) => {
                // What was written is room as well.
                match self.disk.remove(&unfinished) {
                    Err(error) if error.kind() != io::ErrorKind::NotFound => {
                        return Err(self.failed(&unfinished, &error));
                    }
                    _ => self.sync_dir()?,
                }
                Err(full)
            }
            result => result,
        }
    }

    fn fill(&mut self, unfinished: &str, name: &str, parts: &[&[u8]]) -> Result<(), SaveError> {
        let created = self.disk.create(unfinished);
        self.told(unfinished, created)?;
        self.sync_dir()?;
        for part in parts {
            let appended = self.disk.append(unfinished, part);
            self.told(unfinished, appended)?;
        }
        if !planted!(RenamedBeforeSync) {
            self.sync(unfinished)?;
        }
        let renamed = self.disk.rename(unfinished, name);
        self.told(name, renamed)?;
        if planted!(DirectoryNotSynced) {
            return Ok(());
        }
        self.sync_dir()
    }

    pub fn remove(&mut self, name: &str) -> Result<(), SaveError> {
        let removed = self.disk.remove(name);
        self.told(name, removed)?;
        self.sync_dir()
    }

    pub fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> Result<(), SaveError> {
        let written = self.disk.write_at(name, offset, bytes);
        self.told(name, written)
    }

    pub fn sync(&mut self, name: &str) -> Result<(), SaveError> {
        if !self.fsync {
            return Ok(());
        }
        // Even for lack of room a sync that fails leaves it unknown what is on the disk: the
        // system may have given the bytes up, and would say yes the next time.
        let synced = self.disk.sync(name);
        if planted!(FailedSyncForgiven) {
            return Ok(());
        }
        synced.map_err(|error| self.failed(name, &error))
    }

    pub fn sync_dir(&mut self) -> Result<(), SaveError> {
        if !self.fsync {
            return Ok(());
        }
        let synced = self.disk.sync_dir();
        synced.map_err(|error| self.failed("", &error))
    }

    fn told(&self, name: &str, result: io::Result<()>) -> Result<(), SaveError> {
        result.map_err(|error| match is_full(&error) {
            true => SaveError::Full(format!("{}: {error}", self.disk.path(name))),
            false => self.failed(name, &error),
        })
    }

    fn failed(&self, name: &str, error: &io::Error) -> SaveError {
        SaveError::Failed(format!("{}: {error}", self.disk.path(name)))
    }
}
