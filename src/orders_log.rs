//! orders.log: one line for each applied entry, the same on every node.
//!
//! ```text
//! index TAB term TAB command TAB outcome TAB digest
//! ```
//!
//! [`OrdersLog`] writes the file, [`verify`] reads those of several nodes and compares them.
//! Nothing in a line differs between nodes, so `diff` of two files is empty up to the shorter one,
//! and each digest covers all lines before it ([`crate::machine::chain`]).
//!
//! The file is for people and for checking; the node itself never reads it. So a full disk does
//! not stop a node. Bytes that could not be written wait in memory and are tried again at each
//! flush, beginning with the very byte at which the disk refused: whatever the disk does, the file
//! is the beginning of one and the same text, and half a line is followed by its other half or by
//! nothing. When more than [`MAX_WAITING`] bytes wait, the log gives up for good, which leaves a
//! file that is too short but not one with a gap. The first failure, the recovery and the giving
//! up are each told once through `tracing`, and [`OrdersLog::problem`] tells a view.
//!
//! A node that starts again goes on with its file ([`OrdersLog::resume`]): it applies entries anew
//! whose lines are there, and these are not repeated. A node that has caught up by a snapshot goes
//! on at the next index: the lines between are in the other nodes' files, and the digests join
//! them, which [`verify`] checks.
//!
//! Caveats: a write is not an fsync, so a machine that loses power can lose lines that a
//! player has seen; where the node has a snapshot of them by then, they stay missing. A disk that
//! hangs instead of failing holds up whoever calls [`OrdersLog::flush`].

mod verify;

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write};
use std::path::{Path, PathBuf};

pub use verify::{Checked, Report, VerifyError, verify};

use crate::machine::Order;

/// The file's name in a node's folder.
pub const FILE_NAME: &str = "orders.log";
/// How many bytes may wait for a disk that refuses them.
pub const MAX_WAITING: usize = 16 << 20;
/// How many bytes are gathered before they are written without being asked to.
const BUFFER: usize = 64 << 10;
/// Of so many bytes at its end, the lines are remembered when a file is resumed. What a node
/// applies anew is compared with them, so that another game's file is noticed at once.
const RECENT: usize = 1 << 20;

/// Writes orders.log.
#[derive(Debug)]
pub struct OrdersLog<W: Write = File> {
    /// `None` after giving up.
    file: Option<W>,
    path: PathBuf,
    /// Index and digest of the last line of an earlier run.
    resumed: (u64, String),
    /// The same of the lines before it, as far back as a node may go.
    before: BTreeMap<u64, String>,
    /// What the file does not have yet.
    waiting: Vec<u8>,
    problem: Option<String>,
}

impl OrdersLog {
    /// Starts a new orders.log in `dir` (such as `logs/bob1`), which is made if need be. An earlier
    /// one stays beside it as orders.log.1, orders.log.2 and so on, the latest with the highest
    /// number.
    ///
    /// Even an empty one is moved: another process may have it open.
    pub fn create(dir: &Path) -> io::Result<OrdersLog> {
        fs::create_dir_all(dir)?;
        let path = dir.join(FILE_NAME);
        Ok(OrdersLog::new(create_beside(&path)?, path))
    }

    /// Goes on with the orders.log in `dir`, of a node that has not forgotten what it says; starts
    /// a new one where there is none. Half a line at its end is cut off. A file that does not end
    /// in an order is no orders.log, and is moved aside.
    pub fn resume(dir: &Path) -> io::Result<OrdersLog> {
        let path = dir.join(FILE_NAME);
        let mut file = match OpenOptions::new().read(true).append(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return OrdersLog::create(dir),
            Err(error) => return Err(error),
        };
        let length = file.seek(SeekFrom::End(0))?;
        // The last line begins within this, and half a line may follow it.
        let begin = length.saturating_sub(2 * verify::MAX_LINE as u64);
        file.seek(SeekFrom::Start(begin))?;
        let mut tail = Vec::new();
        (&mut file).take(length - begin).read_to_end(&mut tail)?;
        let whole = tail
            .iter()
            .rposition(|&b| b == b'\n')
            .map_or(0, |at| at + 1);
        let Some(last) = last_order(&tail[..whole], begin == 0) else {
            return OrdersLog::create(dir);
        };
        if whole < tail.len() {
            file.set_len(begin + whole as u64)?;
        }
        let mut log = OrdersLog::new(file, path);
        log.resumed = last;
        let recent = &tail[whole.saturating_sub(RECENT)..whole];
        let lines = recent.split(|&b| b == b'\n');
        // The first one may have been cut, and to compare with half a digest would be wrong.
        log.before = lines.skip(1).filter_map(parse_order).collect();
        Ok(log)
    }

    /// A log that could not be created and writes nothing, so that the node can run without:
    /// tells the problem now, and to whoever asks later.
    pub fn without_file(dir: &Path, error: &io::Error) -> OrdersLog {
        let path = dir.join(FILE_NAME);
        let problem = format!("{}: {error}; orders are not logged", path.display());
        tracing::error!("{problem}");
        OrdersLog {
            file: None,
            path,
            resumed: (0, String::new()),
            before: BTreeMap::new(),
            waiting: Vec::new(),
            problem: Some(problem),
        }
    }
}

impl<W: Write> OrdersLog<W> {
    /// Writes to any writer; `path` is what messages call it.
    pub fn new(writer: W, path: PathBuf) -> OrdersLog<W> {
        OrdersLog {
            file: Some(writer),
            path,
            resumed: (0, String::new()),
            before: BTreeMap::new(),
            waiting: Vec::new(),
            problem: None,
        }
    }

    /// Adds an order's line, unless an earlier run has written it. It is in the file after the next
    /// [`OrdersLog::flush`], or earlier.
    pub fn append(&mut self, order: &Order) {
        if self.file.is_none() {
            return;
        }
        let (last_index, last_digest) = &self.resumed;
        if order.index <= *last_index {
            let known = match order.index == *last_index {
                true => Some(last_digest),
                false => self.before.get(&order.index),
            };
            if let Some(known) = known
                && order.digest != *known
            {
                self.end(format!(
                    "{} is another game's: of index {} it says {known} and not {}; move it away \
                     and start the node again",
                    self.path.display(),
                    order.index,
                    order.digest
                ));
            }
            return;
        }
        self.before = BTreeMap::new();
        self.waiting.extend_from_slice(order.line().as_bytes());
        self.waiting.push(b'\n');
        if self.problem.is_none() && self.waiting.len() >= BUFFER {
            self.flush();
        }
        if self.waiting.len() > MAX_WAITING {
            self.flush();
            if self.waiting.len() > MAX_WAITING {
                self.give_up();
            }
        }
    }

    /// Writes what waits, as far as the disk takes it.
    pub fn flush(&mut self) {
        let Some(file) = &mut self.file else {
            return;
        };
        if self.waiting.is_empty() {
            return;
        }
        let (written, result) = write_most(file, &self.waiting);
        self.waiting.drain(..written);
        match result {
            Ok(()) => {
                // A burst should not be held on to.
                self.waiting.shrink_to(BUFFER);
                if self.problem.take().is_some() {
                    tracing::info!("{} is complete again", self.path.display());
                }
            }
            Err(error) => {
                let problem = format!("{}: {error}; trying again", self.path.display());
                // Told again only when the reason changes.
                if self.problem.as_ref() != Some(&problem) {
                    tracing::error!("{problem}");
                    self.problem = Some(problem);
                }
            }
        }
    }

    /// What keeps the file from being complete, as one line; `None` when all is well.
    pub fn problem(&self) -> Option<&str> {
        self.problem.as_deref()
    }

    /// Where the file is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn give_up(&mut self) {
        self.end(format!(
            "{} ends early: the disk refused it for too long",
            self.path.display()
        ));
    }

    /// Nothing is written any more.
    fn end(&mut self, problem: String) {
        tracing::error!("{problem}");
        self.problem = Some(problem);
        self.file = None;
        self.waiting = Vec::new();
        self.before = BTreeMap::new();
    }
}

impl<W: Write> Drop for OrdersLog<W> {
    fn drop(&mut self) {
        self.flush();
    }
}

/// Index and digest of the last of these lines; (0, "") for none. `None`: that is no order.
fn last_order(lines: &[u8], from_start: bool) -> Option<(u64, String)> {
    let Some(line) = lines.strip_suffix(b"\n") else {
        return from_start.then(|| (0, String::new()));
    };
    parse_order(line.rsplit(|&b| b == b'\n').next()?)
}

/// Index and digest of a line without its line break.
fn parse_order(line: &[u8]) -> Option<(u64, String)> {
    let mut columns = str::from_utf8(line).ok()?.split('\t');
    let index = columns.next()?.parse().ok()?;
    let digest = columns.nth(3)?.to_string();
    columns.next().is_none().then_some((index, digest))
}

/// Like `write_all`, and says how many bytes were written before an error.
fn write_most(file: &mut impl Write, bytes: &[u8]) -> (usize, io::Result<()>) {
    let mut written = 0;
    while written < bytes.len() {
        match file.write(&bytes[written..]) {
            Ok(0) => return (written, Err(io::ErrorKind::WriteZero.into())),
            Ok(count) => written += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (written, Err(error)),
        }
    }
    (written, Ok(()))
}

/// Makes a new file. An earlier one stays beside it as FILE.1, FILE.2 and so on, the latest with the
/// highest number.
pub(crate) fn create_beside(path: &Path) -> io::Result<File> {
    loop {
        match File::create_new(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => move_aside(path)?,
            result => return result,
        }
    }
}

/// Renames the file to the first free number after all that are taken.
fn move_aside(path: &Path) -> io::Result<()> {
    let (Some(dir), Some(own)) = (path.parent(), path.file_name()) else {
        return Err(io::ErrorKind::InvalidFilename.into());
    };
    let dir = match dir.as_os_str().is_empty() {
        true => Path::new("."),
        false => dir,
    };
    let mut number = 1;
    for entry in fs::read_dir(dir)? {
        let name = entry?.file_name();
        let taken = name
            .as_encoded_bytes()
            .strip_prefix(own.as_encoded_bytes())
            .and_then(|rest| str::from_utf8(rest).ok()?.strip_prefix('.'))
            .and_then(|number| number.parse::<u32>().ok());
        number = number.max(taken.map_or(0, |taken| taken.saturating_add(1)));
    }
    // A rename would replace a file made since; a name that we have just made is ours to replace.
    let mut aside = path.as_os_str().to_owned();
    aside.push(format!(".{number}"));
    File::create_new(&aside)?;
    let Err(error) = fs::rename(path, &aside) else {
        return Ok(());
    };
    fs::remove_file(&aside)?;
    match error.kind() {
        // Somebody else moved it first.
        io::ErrorKind::NotFound => Ok(()),
        _ => Err(error),
    }
}
