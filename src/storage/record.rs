//! One record of the log, as a line that a person can read.
//!
//! ```text
//! index TAB term TAB kind TAB mark TAB length TAB payload TAB digest TAB crc NEWLINE
//! 3  1  command  2@431  18  bob1-5\t2\tattack 3  0d1cf5a2c8a5f3a0  5a0bd1c2
//! ```
//!
//! - kind: `noop`, `command`, `founding`, `members`, or `mark`, which is no entry: it has index, term and digest of the
//!   log's last one, and is there for its mark.
//! - mark: when this was written, the log was durable up to this index, and this segment up to
//!   this byte.
//! - length and payload: the payload's bytes, and the payload as one printable line
//!   ([`printable`]). A command's payload is client, serial and text, joined by tabs; that of
//!   `founding` and `members` is a [`Configuration`]'s text.
//! - digest: chains the entry to all before it, see [`chain`].

use std::sync::Arc;

use sha2::{Digest as _, Sha256};

use crate::command::{Command, printable};
use crate::raft::{Configuration, Entry, MAX_TERM, Payload};

use super::line;

/// Longest record of kind `mark`.
pub(super) const MAX_MARK_RECORD: u64 = 160;

/// How many tabs a record has.
pub(super) const TABS: usize = 7;

/// A record of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// The entry's index; the last entry's for a mark.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
    /// What the entry says; `None` for a mark.
    pub payload: Option<Payload>,
    /// What was durable when this was written.
    pub mark: Mark,
    /// Stands for the entry and all before it.
    pub digest: u64,
}

/// How far the log was durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mark {
    /// Up to the entry at this index.
    pub index: u64,
    /// Up to this byte of the record's own segment; segments before it wholly.
    pub offset: u64,
}

/// Why a line is no record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum NoRecord {
    /// It is not as it was written.
    Damaged,
    /// It is as it was written, and makes no sense.
    Nonsense(&'static str),
}

impl Record {
    /// The name of the record's kind.
    pub fn kind(&self) -> &'static str {
        match &self.payload {
            None => "mark",
            Some(payload) => kind(payload),
        }
    }

    /// What the entry says, as one printable line.
    pub fn text(&self) -> String {
        let payload = self.payload.as_ref().map(original).unwrap_or_default();
        printable(&payload).into_owned()
    }

    /// The entry, unless this is a mark.
    pub fn into_entry(self) -> Option<Entry> {
        Some(Entry {
            index: self.index,
            term: self.term,
            payload: self.payload?,
        })
    }
}

/// The digest after an entry: the first 16 hex digits of SHA-256 over the digest before it, index,
/// term, kind and the payload as it is written, joined by tabs.
pub fn chain(previous: u64, index: u64, term: u64, kind: &str, payload: &str) -> u64 {
    let mut hash = Sha256::new();
    hash.update(line::hex::<16>(previous));
    hash.update(format!("\t{index}\t{term}\t{kind}\t"));
    hash.update(payload);
    let hash: [u8; 32] = hash.finalize().into();
    let first = hash.first_chunk().expect("a hash has 32 bytes");
    u64::from_be_bytes(*first)
}

fn kind(payload: &Payload) -> &'static str {
    match payload {
        Payload::Noop => "noop",
        Payload::Command(_) => "command",
        Payload::Founding(_) => "founding",
        Payload::Configuration(_) => "members",
    }
}

fn original(payload: &Payload) -> String {
    match payload {
        Payload::Noop => String::new(),
        Payload::Command(command) => {
            format!("{}\t{}\t{}", command.client, command.serial, command.text)
        }
        Payload::Founding(configuration) | Payload::Configuration(configuration) => {
            configuration.text()
        }
    }
}

/// An entry's record but for the mark, which depends on where it is written.
pub(super) struct Prepared {
    index: u64,
    term: u64,
    kind: &'static str,
    length: usize,
    payload: String,
    pub digest: u64,
}

impl Prepared {
    /// `previous` is the digest before the entry.
    pub fn entry(entry: &Entry, previous: u64) -> Prepared {
        let kind = kind(&entry.payload);
        let original = original(&entry.payload);
        let payload = printable(&original).into_owned();
        Prepared {
            index: entry.index,
            term: entry.term,
            kind,
            length: original.len(),
            digest: chain(previous, entry.index, entry.term, kind, &payload),
            payload,
        }
    }

    /// A record that is no entry.
    pub fn mark(index: u64, term: u64, digest: u64) -> Prepared {
        Prepared {
            index,
            term,
            kind: "mark",
            length: 0,
            payload: String::new(),
            digest,
        }
    }

    /// At most how many bytes the record takes.
    pub fn max_len(&self) -> u64 {
        MAX_MARK_RECORD + self.payload.len() as u64
    }

    /// Writes the record.
    pub fn write(&self, out: &mut Vec<u8>, mark: Mark) {
        let Prepared {
            index,
            term,
            kind,
            length,
            ..
        } = self;
        let start = out.len();
        let head = format!(
            "{index}\t{term}\t{kind}\t{}@{}\t{length}\t",
            mark.index, mark.offset
        );
        out.extend_from_slice(head.as_bytes());
        out.extend_from_slice(self.payload.as_bytes());
        out.push(b'\t');
        out.extend_from_slice(&line::hex::<16>(self.digest));
        line::seal(out, start);
    }
}

/// Reads a line, without its line break.
pub(super) fn parse(bytes: &[u8]) -> Result<Record, NoRecord> {
    let body = line::unseal(bytes).ok_or(NoRecord::Damaged)?;
    parse_body(body).map_err(NoRecord::Nonsense)
}

fn parse_body(body: &str) -> Result<Record, &'static str> {
    let fields: Vec<&str> = body.split('\t').collect();
    let [index, term, kind, mark, length, payload, digest] = fields[..] else {
        return Err("a record has eight fields");
    };
    let number = |text| line::number(text).filter(|&number| number <= MAX_TERM);
    let (mark_index, offset) = mark.split_once('@').ok_or("a mark is INDEX@BYTE")?;
    let original = line::original(payload).ok_or("its payload cannot be read")?;
    if number(length) != Some(original.len() as u64) {
        return Err("its payload has another length than it says");
    }
    let numbers = || {
        let mark = Mark {
            index: number(mark_index)?,
            offset: number(offset)?,
        };
        let digest = line::unhex(digest.as_bytes()).filter(|_| digest.len() == 16)?;
        Some((number(index)?, number(term)?, mark, digest))
    };
    let (index, term, mark, digest) = numbers().ok_or("one of its numbers is none")?;
    let payload = match (kind, &*original) {
        ("mark", "") => None,
        ("noop", "") => Some(Payload::Noop),
        ("command", original) => {
            let command = command(original).ok_or("its command cannot be read")?;
            Some(Payload::Command(Arc::new(command)))
        }
        ("founding", original) => Some(Payload::Founding(configuration(original)?)),
        ("members", original) => Some(Payload::Configuration(configuration(original)?)),
        _ => return Err("it is of no known kind"),
    };
    Ok(Record {
        index,
        term,
        payload,
        mark,
        digest,
    })
}

fn configuration(original: &str) -> Result<Arc<Configuration>, &'static str> {
    Configuration::parse(original)
        .map(Arc::new)
        .map_err(|_| "its members cannot be read")
}

fn command(original: &str) -> Option<Command> {
    let (client, rest) = original.split_once('\t')?;
    let (serial, text) = rest.split_once('\t')?;
    Command::new(client, line::number(serial)?, text).ok()
}
