//! A trace on its way to the disk.
//!
//! The driver must not wait for a disk. So what it writes is added to a buffer in memory, and a
//! thread of the file's own writes the buffer down, every [`WRITE_EVERY`] while there is something
//! in it, and sooner when there is much. What the thread cannot write, the driver is told with its next line. A disk that hangs lets
//! the buffer grow to [`MAX_WAITING`], and that is an error too.
//!
//! Caveat: the end of a node waits for the rest of its trace, and so for a disk that hangs.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use crate::orders_log;

/// How long lines may wait in memory.
pub const WRITE_EVERY: Duration = Duration::from_millis(100);
/// How many bytes are written at once, however short the time.
const MUCH: usize = 1 << 20;
/// How many bytes may wait for a disk that is slow; a longer line may wait alone.
pub const MAX_WAITING: usize = 64 << 20;

/// A file that takes whole lines, and does not make whoever writes them wait.
pub struct TraceFile {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    waiting: Vec<u8>,
    /// Nothing more will come.
    ended: bool,
    /// Why nothing more can be written.
    failed: Option<io::Error>,
}

impl TraceFile {
    /// Makes the file. An earlier one stays beside it as FILE.1, FILE.2 and so on, the latest with
    /// the highest number.
    pub fn create(path: &Path) -> io::Result<TraceFile> {
        // A device or a folder is not to be moved anywhere.
        if fs::symlink_metadata(path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other("this is no plain file"));
        }
        TraceFile::new(orders_log::create_beside(path)?)
    }

    fn new(out: impl Write + Send + 'static) -> io::Result<TraceFile> {
        let shared = Arc::new(Shared::default());
        let thread = thread::Builder::new().name("trace".to_string()).spawn({
            let shared = Arc::clone(&shared);
            move || shared.work(out)
        })?;
        Ok(TraceFile {
            shared,
            thread: Some(thread),
        })
    }
}

impl Write for TraceFile {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.shared.lock();
        if let Some(error) = state.failed.take() {
            return Err(error);
        }
        let before = state.waiting.len();
        let after = before + line.len();
        if before > 0 && after > MAX_WAITING {
            // Nobody waits for this disk any more, at the end neither.
            drop(state);
            self.thread = None;
            return Err(io::Error::other("the disk is too slow"));
        }
        state.waiting.extend_from_slice(line);
        if before == 0 || (before < MUCH && after >= MUCH) {
            self.shared.changed.notify_one();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for TraceFile {
    fn drop(&mut self) {
        self.shared.lock().ended = true;
        self.shared.changed.notify_one();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Whoever panicked has left whole lines.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self, mut out: impl Write) {
        loop {
            let state = self.lock();
            let nothing = |state: &mut State| state.waiting.is_empty() && !state.ended;
            let state = self
                .changed
                .wait_while(state, nothing)
                .unwrap_or_else(PoisonError::into_inner);
            // More will come, and one write is cheaper than many.
            let little = |state: &mut State| state.waiting.len() < MUCH && !state.ended;
            let more = self.changed.wait_timeout_while(state, WRITE_EVERY, little);
            let (mut state, _) = more.unwrap_or_else(PoisonError::into_inner);
            if state.waiting.is_empty() {
                return;
            }
            let waiting = std::mem::take(&mut state.waiting);
            drop(state);
            if let Err(error) = out.write_all(&waiting).and_then(|()| out.flush()) {
                self.lock().failed = Some(error);
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A disk that takes so many bytes, one write after the other has been let through.
    struct Disk {
        written: Arc<Mutex<Vec<u8>>>,
        room: usize,
    }

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let mut written = self.written.lock().unwrap();
            match self.room - written.len() {
                0 => Err(io::ErrorKind::StorageFull.into()),
                room => {
                    let count = room.min(bytes.len());
                    written.extend_from_slice(&bytes[..count]);
                    Ok(count)
                }
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_was_written_is_in_the_file_soon_and_all_of_it_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("trace");
        let mut file = TraceFile::create(&path).unwrap();
        file.write_all(b"one\n").unwrap();
        while fs::read(&path).unwrap() != b"one\n" {
            thread::sleep(Duration::from_millis(1));
        }
        file.write_all(b"two\n").unwrap();
        drop(file);
        assert_eq!(fs::read(&path).unwrap(), b"one\ntwo\n");
        drop(TraceFile::create(&path).unwrap());
        assert_eq!(fs::read(dir.path().join("trace.1")).unwrap(), b"one\ntwo\n");
        assert_eq!(fs::read(&path).unwrap(), b"");
    }

    #[test]
    fn a_full_disk_is_told_with_a_later_line() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let disk = Disk {
            written: Arc::clone(&written),
            room: 6,
        };
        let mut file = TraceFile::new(disk).unwrap();
        let error = loop {
            if let Err(error) = file.write_all(b"four\n") {
                break error;
            }
            thread::sleep(Duration::from_millis(1));
        };
        assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        assert_eq!(*written.lock().unwrap(), b"four\nf");
    }

    #[test]
    fn a_disk_that_hangs_does_not_hold_up_whoever_writes() {
        let written = Arc::new(Mutex::new(Vec::new()));
        let hangs = written.lock().unwrap();
        let disk = Disk {
            written: Arc::clone(&written),
            room: usize::MAX,
        };
        let mut file = TraceFile::new(disk).unwrap();
        let line = vec![b'x'; MAX_WAITING / 4 + 1];
        let refused = (0..9).find_map(|_| file.write_all(&line).err());
        assert!(refused.is_some());
        drop(file);
        drop(hangs);
    }
}
