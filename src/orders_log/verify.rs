//! Comparing the orders.log files of several nodes.
//!
//! All files are read side by side, one line of each at a time, so that memory does not depend on
//! their length. The first file that has a line of the index that is looked at is the measure for
//! the others: whoever has one must have the same. The digests are recomputed for the measure
//! alone, which covers the others too, because until then they were byte for byte the same.
//!
//! A file may leave indexes out, as that of a node does which has caught up by a snapshot. The
//! files of the others have these lines, so the digest before the gap leads to the one after it.
//! An index that no file has cannot be checked, and does not pass.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};

use super::FILE_NAME;
use crate::command::printable;
use crate::machine::{FIRST_DIGEST, chain};

/// Longest line that is read. The longest command, all of it escaped, takes less than half.
pub(super) const MAX_LINE: usize = 8 << 20;
/// How many files are compared: each is held open.
const MAX_FILES: usize = 256;

/// What was found in files that agree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// Each file, in the order of their names.
    pub files: Vec<Checked>,
}

/// One file whose lines are all right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The node: the name of the file's folder.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// How many whole lines it has.
    pub lines: u64,
    /// How many indexes it leaves out between its lines, or before the first.
    pub missing: u64,
    /// The digest in the last one; sixteen zeros when there is none.
    pub digest: String,
    /// Whether half a line followed, as a node leaves it that is killed while writing. It is not
    /// counted.
    pub torn: bool,
}

/// Why the files do not pass.
#[derive(Debug)]
pub enum VerifyError {
    /// There is no orders.log where it was looked for.
    NoFiles(PathBuf),
    /// There are more than this program holds open at once.
    TooMany(PathBuf, usize),
    /// A file or folder cannot be read.
    Io(PathBuf, io::Error),
    /// Two files disagree.
    Differ {
        /// From 1.
        line: u64,
        /// A file and its line, without the line break.
        first: (PathBuf, Vec<u8>),
        /// Another file and its line.
        second: (PathBuf, Vec<u8>),
    },
    /// A line is wrong by itself: not in its place, not in its form, or not of its digest.
    Wrong {
        /// The file.
        path: PathBuf,
        /// From 1.
        line: u64,
        /// What is wrong with it.
        reason: String,
        /// The line, without the line break; empty when it is too long.
        text: Vec<u8>,
    },
}

/// Compares `dir`/NAME/orders.log of all NAMEs, and `dir`/orders.log if there is one. (Given a file
/// instead of a folder, checks the file.)
pub fn verify(dir: &Path) -> Result<Report, VerifyError> {
    let mut files = Vec::new();
    for path in find(dir)? {
        files.push(Reader::open(path)?);
    }
    let mut digest = FIRST_DIGEST.to_string();
    let mut term = 0;
    let mut index = 0;
    for file in &mut files {
        file.read_line()?;
    }
    // The first line that is not compared yet.
    while let Some(next) = files.iter().filter_map(Reader::index).min() {
        let measure = files.iter().find(|file| file.index() == Some(next));
        let measure = measure.expect("a smallest one is one of them");
        let wrong = |reason: String| VerifyError::Wrong {
            path: measure.path.clone(),
            line: measure.lines + 1,
            reason,
            text: measure.text().to_vec(),
        };
        if next != index + 1 {
            return Err(wrong(format!(
                "the index should be {}, for no file has the lines before",
                index + 1
            )));
        }
        if let Some(other) = files.iter().find(|file| !file.agrees_with(measure)) {
            return Err(VerifyError::Differ {
                line: measure.lines + 1,
                first: (measure.path.clone(), measure.text().to_vec()),
                second: (other.path.clone(), other.text().to_vec()),
            });
        }
        (term, digest) = check_line(measure.text(), next, term, &digest).map_err(wrong)?;
        index = next;
        for file in &mut files {
            if file.index() == Some(next) {
                file.missing += next - file.last_index - 1;
                file.last_index = next;
                file.digest.clone_from(&digest);
                file.lines += 1;
                file.read_line()?;
            }
        }
    }
    let checked = |file: Reader| Checked {
        name: file.name(),
        lines: file.lines,
        missing: file.missing,
        digest: file.digest,
        torn: file.state == State::Torn,
        path: file.path,
    };
    Ok(Report {
        files: files.into_iter().map(checked).collect(),
    })
}

fn find(dir: &Path) -> Result<Vec<PathBuf>, VerifyError> {
    let io_error = |path: &Path| {
        let path = path.to_path_buf();
        move |error| VerifyError::Io(path, error)
    };
    if dir.is_file() {
        return Ok(vec![dir.to_path_buf()]);
    }
    let mut candidates = vec![dir.join(FILE_NAME)];
    for entry in fs::read_dir(dir).map_err(io_error(dir))? {
        candidates.push(entry.map_err(io_error(dir))?.path().join(FILE_NAME));
    }
    let mut found = Vec::new();
    for path in candidates {
        match path.metadata() {
            Ok(metadata) if metadata.is_file() => found.push(path),
            Ok(_) => {}
            Err(error) => match error.kind() {
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => {}
                _ => return Err(VerifyError::Io(path, error)),
            },
        }
    }
    found.sort();
    match found.len() {
        0 => Err(VerifyError::NoFiles(dir.to_path_buf())),
        count if count > MAX_FILES => Err(VerifyError::TooMany(dir.to_path_buf(), count)),
        _ => Ok(found),
    }
}

/// Whether a line is right by itself, after a term and a digest; and its own term and digest.
fn check_line(
    line: &[u8],
    number: u64,
    last_term: u64,
    last_digest: &str,
) -> Result<(u64, String), String> {
    let line = str::from_utf8(line).map_err(|_| "not UTF-8 text")?;
    let mut columns = line.split('\t');
    let mut column = || columns.next();
    let (Some(index), Some(term), Some(command), Some(outcome), Some(digest), None) =
        (column(), column(), column(), column(), column(), column())
    else {
        return Err("not five columns joined by tabs".to_string());
    };
    if parse_number(index) != Some(number) {
        return Err(format!("the index should be {number}"));
    }
    let term = parse_number(term)
        .filter(|&term| term > 0)
        .ok_or("the second column is not a term")?;
    if term < last_term {
        return Err(format!("term {term} follows term {last_term}"));
    }
    let computed = chain(last_digest, number, term, command, outcome);
    if computed != digest {
        return Err(format!("the digest should be {computed}"));
    }
    Ok((term, computed))
}

/// A number in its one spelling.
fn parse_number(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|b| b.is_ascii_digit()) && (text == "0" || !text.starts_with('0'));
    text.parse().ok().filter(|_| plain)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// `line` is a line with its line break.
    Whole,
    /// The file ended without a line break. `line` is what it ended in.
    Torn,
    /// The file has ended.
    End,
}

/// One file and the line that it is at.
struct Reader {
    path: PathBuf,
    file: BufReader<File>,
    line: Vec<u8>,
    state: State,
    /// How many lines have been checked.
    lines: u64,
    /// The index of the last one, and its digest.
    last_index: u64,
    digest: String,
    missing: u64,
}

impl Reader {
    fn open(path: PathBuf) -> Result<Reader, VerifyError> {
        match File::open(&path) {
            Ok(file) => Ok(Reader {
                path,
                file: BufReader::with_capacity(64 << 10, file),
                line: Vec::new(),
                state: State::Whole,
                lines: 0,
                last_index: 0,
                missing: 0,
                digest: FIRST_DIGEST.to_string(),
            }),
            Err(error) => Err(VerifyError::Io(path, error)),
        }
    }

    /// The index of the line that is to be compared next; `None` after the last. A line that is out
    /// of order, or has no index, is taken for what it should be.
    fn index(&self) -> Option<u64> {
        let index = self
            .written_index()
            .filter(|&index| index > self.last_index);
        (self.state == State::Whole).then_some(index.unwrap_or(self.last_index + 1))
    }

    /// What the line itself says, as far as it goes.
    fn written_index(&self) -> Option<u64> {
        let end = self.line.iter().position(|&b| b == b'\t')?;
        parse_number(str::from_utf8(&self.line[..end]).ok()?)
    }

    fn read_line(&mut self) -> Result<(), VerifyError> {
        self.line.clear();
        let read = (&mut self.file)
            .take(MAX_LINE as u64 + 1)
            .read_until(b'\n', &mut self.line);
        self.state = match read {
            Err(error) => return Err(VerifyError::Io(self.path.clone(), error)),
            Ok(0) => State::End,
            Ok(_) if self.line.last() == Some(&b'\n') => State::Whole,
            Ok(read) if read > MAX_LINE => {
                return Err(VerifyError::Wrong {
                    path: self.path.clone(),
                    line: self.lines + 1,
                    reason: format!("longer than {} MiB", MAX_LINE >> 20),
                    text: Vec::new(),
                });
            }
            Ok(_) => State::Torn,
        };
        Ok(())
    }

    /// The line without its line break.
    fn text(&self) -> &[u8] {
        self.line.strip_suffix(b"\n").unwrap_or(&self.line)
    }

    /// Whether the line is the same as the other, or as much of it as was written, or of another
    /// index.
    fn agrees_with(&self, measure: &Reader) -> bool {
        match self.state {
            State::Whole => self.index() != measure.index() || self.line == measure.line,
            State::Torn => {
                let index = self.written_index();
                index != measure.index() || measure.line.starts_with(&self.line)
            }
            State::End => true,
        }
    }

    fn name(&self) -> String {
        let folder = self.path.parent().and_then(Path::file_name);
        let name = folder.unwrap_or(self.path.as_os_str());
        printable(&name.to_string_lossy()).into_owned()
    }
}

impl VerifyError {
    /// What was found, for the standard output: the lines in question. Empty for errors that
    /// concern no line.
    pub fn details(&self) -> Vec<String> {
        match self {
            VerifyError::Differ {
                line,
                first,
                second,
            } => [first, second]
                .iter()
                .map(|(path, text)| format!("{}:{line}: {}", shown(path), show_line(text)))
                .collect(),
            VerifyError::Wrong {
                path, line, text, ..
            } if !text.is_empty() => vec![format!("{}:{line}: {}", shown(path), show_line(text))],
            _ => Vec::new(),
        }
    }
}

impl fmt::Display for VerifyError {
    /// One line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            VerifyError::NoFiles(dir) => write!(
                f,
                "there is no {FILE_NAME} in {0} nor one folder below it; name the folder that \
                 holds the nodes' folders, such as logs",
                shown(dir)
            ),
            VerifyError::TooMany(dir, count) => write!(
                f,
                "{} has {count} files named {FILE_NAME}; at most {MAX_FILES} are compared",
                shown(dir)
            ),
            VerifyError::Io(path, error) => write!(f, "{}: {error}", shown(path)),
            VerifyError::Differ {
                line,
                first,
                second,
            } => write!(
                f,
                "{} and {} differ at line {line}",
                shown(&first.0),
                shown(&second.0)
            ),
            VerifyError::Wrong {
                path, line, reason, ..
            } => write!(f, "{}:{line}: {reason}", shown(path)),
        }
    }
}

impl std::error::Error for VerifyError {}

/// A line of a file as a terminal may see it: whoever wrote the file might have put anything there.
/// A right line is shown as it is.
fn show_line(line: &[u8]) -> String {
    const LONGEST: usize = 400;
    let text = String::from_utf8_lossy(&line[..line.len().min(4 * LONGEST)]);
    let mut shown = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == LONGEST {
            shown.push_str("...");
            break;
        }
        match c {
            '\t' | '\\' => shown.push(c),
            c => shown.push_str(&printable(c.encode_utf8(&mut [0; 4]))),
        }
    }
    shown
}

fn shown(path: &Path) -> String {
    printable(&path.to_string_lossy()).into_owned()
}
