//! A disk, as far as the storage engine needs one: a folder of files without folders in it.
//!
//! [`Disk`] is the whole of what [`Store`](super::Store) asks of an operating system, so that the
//! simulator runs the real storage code on a disk of its own. [`RealDisk`] is a folder of this
//! machine. [`MemoryDisk`](super::MemoryDisk) knows which bytes would survive a crash, and
//! [`FaultyDisk`](super::FaultyDisk) breaks in all the ways that the store must live with.
//!
//! A disk promises what a file system does, and no more: what was written survives a crash once
//! `sync` has returned, and that a file was created, renamed or removed survives once `sync_dir`
//! has. Until then any part of it may survive, in any order.
//!
//! Caveats: [`RealDisk`] believes the operating system and the drive when they say that something
//! is on the disk. The lock keeps other processes off that ask for it, and no others; on a network
//! file system it may not even do that.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};

use super::error::OpenError;

/// The file that is locked; it stays empty.
pub const LOCK_FILE: &str = "lock";

/// One folder: files by name.
pub trait Disk: Send {
    /// What a message calls this file; the folder where the name is empty.
    fn path(&self, name: &str) -> String {
        name.to_string()
    }

    /// Takes the folder for this process, until the disk is dropped. False: another has it.
    fn lock(&mut self) -> io::Result<bool>;

    /// The names of all files, in order.
    fn list(&self) -> io::Result<Vec<String>>;

    /// All bytes of a file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;

    /// Makes an empty file, in place of one of that name.
    fn create(&mut self, name: &str) -> io::Result<()>;

    /// Writes at the end, which moves.
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Writes over bytes that are there already.
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()>;

    /// Returns when the file's bytes are on the disk (fdatasync).
    fn sync(&mut self, name: &str) -> io::Result<()>;

    /// Gives a file another name, in place of one that has it.
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    fn remove(&mut self, name: &str) -> io::Result<()>;

    /// Returns when the names are on the disk.
    fn sync_dir(&mut self) -> io::Result<()>;
}

/// How many files stay open for writing: term and vote, the log's last segment, and one that is
/// being made.
const OPEN_FILES: usize = 4;

/// A folder of this machine.
#[derive(Debug)]
pub struct RealDisk {
    dir: PathBuf,
    /// Files open for writing, the one used last at the end.
    open: Vec<(String, File)>,
    lock: Option<File>,
}

impl RealDisk {
    /// This folder, which is made if need be, with the folders above it.
    pub fn open(dir: &Path) -> Result<RealDisk, OpenError> {
        make_folders(dir)
            .and_then(|()| RealDisk::existing(dir))
            .map_err(|error| OpenError::Io(format!("{}: {error}", dir.display())))
    }

    /// This folder, if there is one.
    pub fn existing(dir: &Path) -> io::Result<RealDisk> {
        if !fs::metadata(dir)?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        Ok(RealDisk {
            dir: dir.to_path_buf(),
            open: Vec::new(),
            lock: None,
        })
    }

    fn file(&mut self, name: &str) -> io::Result<&mut File> {
        let file = match self.open.iter().position(|(open, _)| open == name) {
            Some(position) => self.open.remove(position).1,
            None => OpenOptions::new().write(true).open(self.dir.join(name))?,
        };
        Ok(self.keep(name, file))
    }

    fn keep(&mut self, name: &str, file: File) -> &mut File {
        self.forget(name);
        if self.open.len() == OPEN_FILES {
            self.open.remove(0);
        }
        self.open.push((name.to_string(), file));
        let last = self.open.len() - 1;
        &mut self.open[last].1
    }

    fn forget(&mut self, name: &str) {
        self.open.retain(|(open, _)| open != name);
    }
}

impl Disk for RealDisk {
    fn path(&self, name: &str) -> String {
        match name {
            "" => self.dir.display().to_string(),
            name => self.dir.join(name).display().to_string(),
        }
    }

    fn lock(&mut self) -> io::Result<bool> {
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .open(self.dir.join(LOCK_FILE))?;
        match file.try_lock() {
            Ok(()) => {
                self.lock = Some(file);
                Ok(true)
            }
            Err(fs::TryLockError::WouldBlock) => Ok(false),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }

    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.dir)? {
            // A name that is no text is none of ours.
            names.extend(entry?.file_name().into_string());
        }
        names.sort();
        Ok(names)
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let mut file = File::open(self.dir.join(name))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        let file = File::create(self.dir.join(name))?;
        self.keep(name, file);
        Ok(())
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(name)?;
        file.seek(SeekFrom::End(0))?;
        file.write_all(bytes)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let file = self.file(name)?;
        file.seek(SeekFrom::Start(offset))?;
        file.write_all(bytes)
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.file(name)?.sync_data()
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        fs::rename(self.dir.join(from), self.dir.join(to))?;
        self.forget(from);
        self.forget(to);
        Ok(())
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.forget(name);
        fs::remove_file(self.dir.join(name))
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        sync_folder(&self.dir)
    }
}

fn make_folders(dir: &Path) -> io::Result<()> {
    let missing: Vec<&Path> = dir
        .ancestors()
        .take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists())
        .collect();
    fs::create_dir_all(dir)?;
    for made in missing {
        sync_folder(match made.parent() {
            Some(above) if !above.as_os_str().is_empty() => above,
            _ => Path::new("."),
        })?;
    }
    Ok(())
}

/// Elsewhere than on Unix a folder cannot be opened as a file.
fn sync_folder(dir: &Path) -> io::Result<()> {
    match cfg!(unix) {
        true => File::open(dir)?.sync_all(),
        false => Ok(()),
    }
}
