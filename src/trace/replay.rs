//! Reading a trace, and doing again what it says.
//!
//! Outputs are compared as JSON: how a line is spaced, and in which order its keys stand, is of no
//! matter, so that a trace may have passed through another program. (One that keeps whole numbers of 64
//! bits: the seed is one, and `jq` before 1.7 rounds it.)
//!
//! The file may be anybody's. What makes no sense is refused with one line; what the core's own
//! assertions refuse is a difference, because the node that wrote the trace went on. What is in memory
//! is the core, and one line with its output, in which an entry stands at most once for each member and
//! twice besides.

use std::any::Any;
use std::fmt;
use std::io::{self, BufRead, Read as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use crate::command::printable;
use crate::raft::{CheckSnapshot, NodeId, Raft};

use super::input::Input;
use super::{Header, MAX_LINE, VERSION, record};

/// How much is told of a line, in bytes.
const MAX_EXCERPT: usize = 2_000;

/// A trace whose every output came again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    /// The node that wrote it.
    pub node: NodeId,
    /// How many inputs it has.
    pub inputs: u64,
    /// The term in which it begins, and that in which it ends.
    pub terms: (u64, u64),
    /// The log's last index at the end.
    pub last_index: u64,
    /// The commit index at the end.
    pub commit_index: u64,
    /// The last line was not finished, and is left out.
    pub is_torn: bool,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Report {
            node,
            inputs,
            terms: (first, last),
            last_index,
            commit_index,
            is_torn,
        } = self;
        write!(
            f,
            "node {node}: {inputs} inputs, terms {first} to {last}, \
             {last_index} entries, {commit_index} committed, ok"
        )?;
        match is_torn {
            true => write!(f, " (and half a line at its end, which is left out)"),
            false => Ok(()),
        }
    }
}

/// The core did not do again what the trace says that it did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The line, from 1.
    pub line: u64,
    /// What the core was told.
    pub input: String,
    /// What the trace says that it asked for.
    pub expected: String,
    /// What it asks for now.
    pub found: String,
}

/// Why a replay did not come to the end.
#[derive(Debug)]
pub enum Stopped {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// That line makes no sense, for this reason.
    Damaged(u64, String),
    /// The core does something else.
    Different(Box<Difference>),
}

impl fmt::Display for Stopped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stopped::Unreadable(error) => write!(f, "{error}"),
            Stopped::Damaged(line, why) => write!(f, "line {line}: {why}"),
            Stopped::Different(different) => {
                write!(f, "the core differs at line {}", different.line)
            }
        }
    }
}

impl std::error::Error for Stopped {}

/// Runs a core over the trace's inputs, and compares its outputs.
pub fn replay(trace: impl BufRead) -> Result<Report, Stopped> {
    run(trace).map(|(report, _)| report)
}

/// The same, and the core as it is at the end.
pub(crate) fn run(trace: impl BufRead) -> Result<(Report, Raft), Stopped> {
    let mut lines = Lines {
        trace,
        line: Vec::new(),
        number: 0,
        is_torn: false,
    };
    let refusal = Arc::new(Mutex::new(None));
    let mut raft = begin(&mut lines, &refusal)?;
    let first_term = raft.current_term();
    let mut inputs = 0;
    while let Some(line) = lines.next()? {
        step(&mut raft, &refusal, line).map_err(|problem| problem.at(lines.number))?;
        inputs += 1;
    }
    let report = Report {
        node: raft.id(),
        inputs,
        terms: (first_term, raft.current_term()),
        last_index: raft.log().last_index(),
        commit_index: raft.commit_index(),
        is_torn: lines.is_torn,
    };
    Ok((report, raft))
}

/// What the state machine says of the next snapshot that is checked.
type Refusal = Arc<Mutex<Option<String>>>;

fn begin<R: BufRead>(lines: &mut Lines<R>, refusal: &Refusal) -> Result<Raft, Stopped> {
    #[derive(Deserialize)]
    struct Version {
        raftian_trace: u64,
    }

    let damaged = |why: String| Stopped::Damaged(1, why);
    let Some(line) = lines.next()? else {
        let why = match lines.is_torn {
            true => "the first line is not finished",
            false => "the file is empty",
        };
        return Err(damaged(why.into()));
    };
    match serde_json::from_slice(line) {
        Ok(Version {
            raftian_trace: VERSION,
        }) => {}
        Ok(Version { raftian_trace }) => {
            return Err(damaged(format!(
                "a trace of format {raftian_trace}; this program reads format {VERSION}"
            )));
        }
        Err(_) => return Err(damaged("this is no trace of a raftian node".into())),
    }
    let mut header: Header = serde_json::from_slice(line).map_err(|error| damaged(why(&error)))?;
    let refusal = Arc::clone(refusal);
    header.config.check_snapshot = CheckSnapshot(Arc::new(move |_| {
        match &*refusal.lock().unwrap_or_else(PoisonError::into_inner) {
            None => Ok(()),
            Some(why) => Err(why.clone()),
        }
    }));
    catch_unwind(AssertUnwindSafe(|| header.start()))
        .map_err(|panic| damaged(format!("no core can begin like this: {}", said(&*panic))))
}

/// A call of the core, as it stands in a trace.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    input: Input,
    refused: Option<String>,
    #[serde(borrow)]
    output: Option<&'a RawValue>,
}

/// What is wrong with a line.
enum Problem {
    Damaged(String),
    Different {
        input: String,
        expected: String,
        found: String,
    },
}

impl Problem {
    fn at(self, line: u64) -> Stopped {
        match self {
            Problem::Damaged(why) => Stopped::Damaged(line, why),
            Problem::Different {
                input,
                expected,
                found,
            } => Stopped::Different(Box::new(Difference {
                line,
                input,
                expected,
                found,
            })),
        }
    }
}

fn step(raft: &mut Raft, refusal: &Refusal, line: &[u8]) -> Result<(), Problem> {
    let Line {
        input,
        refused,
        output: expected,
    } = serde_json::from_slice(line).map_err(|error| Problem::Damaged(why(&error)))?;
    *refusal.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    let call = || input.put_into(raft, |output| record::output(&output));
    let found = catch_unwind(AssertUnwindSafe(call));
    let found = found.map_err(|panic| format!("the core panics: {}", said(&*panic)));
    let expected = expected.map(RawValue::get);
    if let Ok(found) = &found
        && is_same(expected, found.as_deref())
    {
        return Ok(());
    }
    let nothing = || "nothing".to_string();
    let found = match found {
        Ok(found) => found.unwrap_or_else(nothing),
        Err(panic) => panic,
    };
    let expected = expected.map_or_else(nothing, str::to_string);
    let at = first_difference(&expected, &found);
    Err(Problem::Different {
        input: excerpt(&input_of(line), 0),
        expected: excerpt(&expected, at),
        found: excerpt(&found, at),
    })
}

fn is_same(expected: Option<&str>, found: Option<&str>) -> bool {
    match (expected, found) {
        (Some(expected), Some(found)) if expected != found => {
            let value = |text| serde_json::from_str::<Value>(text).ok();
            value(expected).is_some_and(|expected| value(found) == Some(expected))
        }
        (expected, found) => expected == found,
    }
}

/// The input as it stands in the line.
fn input_of(line: &[u8]) -> String {
    #[derive(Deserialize)]
    struct Text<'a> {
        #[serde(borrow)]
        input: &'a RawValue,
    }
    let text = serde_json::from_slice::<Text>(line);
    text.map_or_else(|_| String::new(), |text| text.input.get().to_string())
}

fn first_difference(a: &str, b: &str) -> usize {
    let equal = a.bytes().zip(b.bytes()).take_while(|(a, b)| a == b);
    equal.count()
}

/// The text, or what stands around `at` where it is long; without characters that a terminal would
/// obey.
fn excerpt(text: &str, at: usize) -> String {
    let mut start = match text.len() <= MAX_EXCERPT {
        true => 0,
        false => at.saturating_sub(MAX_EXCERPT / 4).min(text.len()),
    };
    while !text.is_char_boundary(start) {
        start -= 1;
    }
    let mut end = text.len().min(start + MAX_EXCERPT);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    let mut shown = String::new();
    if start > 0 {
        shown += &format!("({start} bytes) ... ");
    }
    for c in text[start..end].chars() {
        match c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            true => shown.extend(c.escape_unicode()),
            false => shown.push(c),
        }
    }
    if end < text.len() {
        shown += &format!(" ... ({} bytes)", text.len() - end);
    }
    shown
}

/// A reader's complaint, which may quote the file.
fn why(error: &serde_json::Error) -> String {
    let mut text = printable(&error.to_string()).into_owned();
    // Each line is read by itself.
    if let Some((before, after)) = text.rsplit_once(" at line 1 column ") {
        text = format!("{before} at column {after}");
    }
    excerpt_of_complaint(&text)
}

fn excerpt_of_complaint(text: &str) -> String {
    const LONGEST: usize = 300;
    match text.char_indices().nth(LONGEST) {
        None => text.to_string(),
        Some((end, _)) => format!("{}...", &text[..end]),
    }
}

fn said(panic: &(dyn Any + Send)) -> String {
    let text = match (panic.downcast_ref::<&str>(), panic.downcast_ref::<String>()) {
        (Some(text), _) => text,
        (_, Some(text)) => text.as_str(),
        _ => "without a word",
    };
    excerpt_of_complaint(&printable(text))
}

/// The finished lines of a file, one at a time.
struct Lines<R> {
    trace: R,
    line: Vec<u8>,
    /// Of the line read last, from 1.
    number: u64,
    is_torn: bool,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> Result<Option<&[u8]>, Stopped> {
        self.line.clear();
        let mut some = self.trace.by_ref().take(MAX_LINE as u64);
        some.read_until(b'\n', &mut self.line)
            .map_err(Stopped::Unreadable)?;
        if self.line.is_empty() {
            return Ok(None);
        }
        self.number += 1;
        if self.line.pop_if(|byte| *byte == b'\n').is_some() {
            return Ok(Some(&self.line));
        }
        if self.line.len() == MAX_LINE {
            return Err(Stopped::Damaged(self.number, "the line is too long".into()));
        }
        self.is_torn = true;
        Ok(None)
    }
}
