//! node.log: what a node did, with times (UTC) and levels.
//!
//! In the embedded game several nodes share a process, and each has its own file. So there is no
//! global logger: each thread of a node is given the node's [`NodeLog`] and holds its
//! [`NodeLog::enter`] guard for as long as it runs. A thread without one logs nowhere, and nothing
//! is ever written to the standard output or error, which belong to the screen.
//!
//! One event is one line: line breaks and other control characters that came with a value (a
//! stranger's request, for one) are escaped, so that nobody can forge a line or send codes to the
//! terminal of whoever reads the file.
//!
//! The file grows to [`MAX_BYTES`] and is then renamed to node.log.1, where it replaces the one
//! before: a stranger who provokes warnings cannot fill the disk. A disk that is full all the same
//! loses lines, and the first line that fits again says how many.
//!
//! Caveats: a node that starts again adds to the file. Two processes that log as the same node
//! write into the same file, line by line.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use tracing::Dispatch;
use tracing::dispatcher::DefaultGuard;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::fmt::MakeWriter;

/// The file's name in a node's folder.
pub const FILE_NAME: &str = "node.log";
/// How long node.log grows before it makes room for a new one.
pub const MAX_BYTES: u64 = 16 << 20;

/// One node's log. Clones write to the same file.
#[derive(Clone, Debug)]
pub struct NodeLog {
    dispatch: Dispatch,
}

impl NodeLog {
    /// Opens node.log in `dir` (such as `logs/bob1`), which is made if need be, and adds to it.
    pub fn create(dir: &Path, level: LevelFilter) -> io::Result<NodeLog> {
        fs::create_dir_all(dir)?;
        let file = LogFile::open(dir.join(FILE_NAME), MAX_BYTES)?;
        Ok(NodeLog::new(file, level))
    }

    /// A log that goes nowhere: for tests, and for a node whose file cannot be opened.
    pub fn off() -> NodeLog {
        NodeLog {
            dispatch: Dispatch::none(),
        }
    }

    fn new<W: Write + Send + 'static>(writer: LogFile<W>, level: LevelFilter) -> NodeLog {
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(false)
            // It would complain on the standard error.
            .log_internal_errors(false)
            .with_writer(Shared(Arc::new(Mutex::new(writer))))
            .finish();
        NodeLog {
            dispatch: Dispatch::new(subscriber),
        }
    }

    /// Sends what this thread logs to this node's file, until the guard is dropped.
    #[must_use = "the thread logs to this file only as long as the guard lives"]
    pub fn enter(&self) -> DefaultGuard {
        tracing::dispatcher::set_default(&self.dispatch)
    }
}

/// A file that takes lines and never fails, though it may lose some.
struct LogFile<W> {
    path: PathBuf,
    file: W,
    /// The file's length, as far as this process made it grow.
    length: u64,
    max: u64,
    /// How many lines were lost since the last that was written.
    lost: u64,
    /// The file ends in half a line.
    torn: bool,
    /// Makes the file anew once the full one was moved aside.
    reopen: fn(&Path) -> io::Result<W>,
}

impl LogFile<File> {
    fn open(path: PathBuf, max: u64) -> io::Result<LogFile<File>> {
        let reopen = |path: &Path| OpenOptions::new().append(true).create(true).open(path);
        let file = reopen(&path)?;
        Ok(LogFile {
            length: file.metadata()?.len(),
            path,
            file,
            max,
            lost: 0,
            torn: false,
            reopen,
        })
    }
}

impl<W: Write> LogFile<W> {
    /// Writes one event, which ends in a line break.
    fn write_event(&mut self, event: &[u8]) {
        if self.length >= self.max {
            self.start_anew();
        }
        let mut line = Vec::with_capacity(event.len());
        if self.torn {
            line.push(b'\n');
        }
        if self.lost > 0 {
            let lost = format!("({} lines were lost: the disk was full)\n", self.lost);
            line.extend_from_slice(lost.as_bytes());
        }
        one_line(event, &mut line);
        match self.file.write(&line) {
            Ok(count) if count == line.len() => {
                self.length += count as u64;
                (self.lost, self.torn) = (0, false);
            }
            Ok(count) => {
                self.length += count as u64;
                self.lost += 1;
                self.torn |= count > 0;
            }
            Err(_) => self.lost += 1,
        }
    }

    /// Where that fails, the file grows on: a long log is better than none.
    fn start_anew(&mut self) {
        let mut aside = self.path.clone().into_os_string();
        aside.push(".1");
        self.length = 0;
        if fs::rename(&self.path, &aside).is_ok()
            && let Ok(file) = (self.reopen)(&self.path)
        {
            self.file = file;
            self.torn = false;
        }
    }
}

/// The event with all control characters but the last line break escaped.
fn one_line(event: &[u8], line: &mut Vec<u8>) {
    let event = event.strip_suffix(b"\n").unwrap_or(event);
    for c in String::from_utf8_lossy(event).chars() {
        match c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            true => line.extend(c.escape_default().map(|escaped| escaped as u8)),
            false => line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    line.push(b'\n');
}

/// The file as the threads of a node share it. The formatter makes a writer for each event and
/// writes the event in one piece.
struct Shared<W>(Arc<Mutex<LogFile<W>>>);

struct EventWriter<W>(Arc<Mutex<LogFile<W>>>);

impl<W: Write + 'static> MakeWriter<'_> for Shared<W> {
    type Writer = EventWriter<W>;

    fn make_writer(&self) -> EventWriter<W> {
        EventWriter(Arc::clone(&self.0))
    }
}

impl<W: Write> Write for EventWriter<W> {
    fn write(&mut self, event: &[u8]) -> io::Result<usize> {
        // A thread that panicked while it logged is no reason for the others to panic too.
        let mut file = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        file.write_event(event);
        Ok(event.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(dir: &Path, name: &str) -> String {
        fs::read_to_string(dir.join(name)).unwrap()
    }

    #[test]
    fn each_thread_logs_to_the_file_of_its_node_with_time_and_level() {
        let dir = tempfile::tempdir().unwrap();
        let logs = ["bob1", "bob2"]
            .map(|name| NodeLog::create(&dir.path().join(name), LevelFilter::INFO).unwrap());
        std::thread::scope(|scope| {
            for (log, name) in logs.iter().zip(["bob1", "bob2"]) {
                scope.spawn(move || {
                    let _guard = log.enter();
                    tracing::info!(term = 3, "{name} leads");
                    tracing::debug!("not at this level");
                });
            }
            scope.spawn(|| tracing::error!("a thread of no node"));
        });
        for name in ["bob1", "bob2"] {
            let text = read(&dir.path().join(name), FILE_NAME);
            assert_eq!(text.lines().count(), 1, "{text}");
            assert!(text.ends_with(&format!("{name} leads term=3\n")), "{text}");
            assert!(text.contains(" INFO raftian::logging"), "{text}");
            let (time, _) = text.split_once(' ').unwrap();
            assert_eq!(time.len(), "2000-01-01T00:00:00.000000Z".len(), "{text}");
            assert!(time.starts_with("20") && time.ends_with('Z'), "{text}");
        }
    }

    #[test]
    fn a_value_cannot_forge_a_line_or_reach_the_terminal() {
        let dir = tempfile::tempdir().unwrap();
        let log = NodeLog::create(dir.path(), LevelFilter::INFO).unwrap();
        let evil = "x\n2000-01-01T00:00:00Z INFO all is well\u{1b}[2J\u{9b}\r\u{2028}";
        {
            let _guard = log.enter();
            tracing::warn!(method = %evil, "refused {evil}");
        }
        let text = read(dir.path(), FILE_NAME);
        assert_eq!(text.lines().count(), 1, "{text}");
        let kept = text.trim_end_matches('\n');
        assert!(
            !kept.chars().any(|c| c.is_control() || c == '\u{2028}'),
            "{text:?}"
        );
    }

    #[test]
    fn a_log_that_has_grown_long_makes_room_for_a_new_one() {
        let dir = tempfile::tempdir().unwrap();
        let mut file = LogFile::open(dir.path().join(FILE_NAME), 20).unwrap();
        for line in [
            "0123456789\n",
            "abcdefghij\n",
            "next\n",
            "-----------------\n",
            "last\n",
        ] {
            file.write_event(line.as_bytes());
        }
        assert_eq!(read(dir.path(), FILE_NAME), "last\n");
        assert_eq!(read(dir.path(), "node.log.1"), "next\n-----------------\n");
    }

    #[test]
    fn starting_again_adds_to_the_log() {
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..2 {
            let log = NodeLog::create(dir.path(), LevelFilter::INFO).unwrap();
            let _guard = log.enter();
            tracing::info!("started");
        }
        assert_eq!(read(dir.path(), FILE_NAME).lines().count(), 2);
    }

    /// Takes so many bytes, and no more until it is given more.
    struct Disk(Arc<Mutex<(Vec<u8>, usize)>>);

    impl Write for Disk {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let (data, room) = &mut *self.0.lock().unwrap();
            let count = bytes.len().min(*room - data.len());
            data.extend_from_slice(&bytes[..count]);
            match count {
                0 => Err(io::ErrorKind::StorageFull.into()),
                count => Ok(count),
            }
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_full_disk_loses_lines_and_tells_how_many_when_there_is_room_again() {
        let disk = Arc::new(Mutex::new((Vec::new(), 8)));
        let mut file = LogFile {
            path: PathBuf::from(FILE_NAME),
            file: Disk(Arc::clone(&disk)),
            length: 0,
            max: 1000,
            lost: 0,
            torn: false,
            reopen: |_| Err(io::ErrorKind::Unsupported.into()),
        };
        for line in ["one\n", "two two\n", "three\n"] {
            file.write_event(line.as_bytes());
        }
        assert_eq!(disk.lock().unwrap().0, b"one\ntwo ");
        disk.lock().unwrap().1 = 1000;
        file.write_event(b"four\n");
        file.write_event(b"five\n");
        let text = String::from_utf8(disk.lock().unwrap().0.clone()).unwrap();
        assert_eq!(
            text,
            "one\ntwo \n(2 lines were lost: the disk was full)\nfour\nfive\n"
        );
    }
}
