//! One segment of the log: a file of fixed length, with records and then zeros.
//!
//! ```text
//! raftian-log TAB format TAB cluster TAB node
//!             TAB number TAB length TAB last index TAB its term TAB its digest TAB follows TAB crc
//! record
//! ...
//! zeros
//! ```
//!
//! The header says after which entry the segment begins. `follows`: that entry is the last of the
//! segment before. `anew`: the log starts again after a snapshot, and no segment before counts.
//!
//! [`parse`] reads the records up to the first that is bad, and judges what is there. Records are
//! written in batches, one sync each, and each record says where its batch began (its mark). So:
//!
//! - Zeros up to the end: the log ends here.
//! - A whole record somewhere behind, whose batch began after the bad place: what was there had
//!   been synced. It is damaged.
//! - A whole record somewhere behind, of the batch to which the bad place belongs: a drive may
//!   write the later sector of a batch and lose the earlier one. The lost sector then holds the
//!   zeros of a place that was never written, up to its end. Where there are such zeros, the batch
//!   is torn; where there are none, the bytes were written and have changed since. That is damage.
//! - No whole record behind: a torn tail. It may also be damage to the very last batch; the two
//!   look the same.

use std::ops::Range;

use crate::raft::MAX_TERM;

use super::header::{self, BadFile};
use super::record::{self, NoRecord, Record, TABS};
use super::{Identity, line};

const MAGIC: &str = "raftian-log";

/// A drive writes a sector of this size or it does not. Larger sectors are multiples of it.
const SECTOR: usize = 512;

/// How a segment begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SegmentHeader {
    /// Whose log it is.
    pub identity: Identity,
    /// Counts the segments, from 1.
    pub number: u64,
    /// The file's length.
    pub length: u64,
    /// The segment begins after the entry at this index,
    pub base_index: u64,
    /// of this term,
    pub base_term: u64,
    /// with this digest.
    pub base_digest: u64,
    /// Whether the log starts again here, after a snapshot.
    pub anew: bool,
}

impl SegmentHeader {
    pub(super) fn write(&self) -> Vec<u8> {
        let digest = line::hex::<16>(self.base_digest);
        let fields = [
            self.number.to_string(),
            self.length.to_string(),
            self.base_index.to_string(),
            self.base_term.to_string(),
            digest.map(char::from).iter().collect(),
            if self.anew { "anew" } else { "follows" }.to_string(),
        ];
        header::header(MAGIC, &self.identity, &fields)
    }
}

/// What a segment's bytes say.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Its first line.
    pub header: SegmentHeader,
    /// Where the records begin.
    pub start: usize,
    /// The records before the first bad one, and where they end.
    pub records: Vec<(usize, Record)>,
    /// What comes after them.
    pub rest: Rest,
}

impl Segment {
    /// Where the records end.
    pub fn end(&self) -> usize {
        self.records.last().map_or(self.start, |(end, _)| *end)
    }

    /// From which byte on nothing shows whether the records are as they were written: where the
    /// last batch begins.
    pub fn judged(&self) -> usize {
        let marked = self.records.last().map(|(_, record)| record.mark.offset);
        marked.map_or(self.start, |offset| offset as usize)
    }
}

/// What comes after the last good record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// Zeros.
    Clean,
    /// A batch that was never finished.
    Torn(Range<usize>),
    /// Something that had been finished, and is not as it was.
    Damaged {
        /// At which byte.
        offset: usize,
        /// What is wrong there.
        what: String,
    },
}

/// Reads a segment's bytes. They may be anything.
pub fn parse(bytes: &[u8]) -> Result<Segment, BadFile> {
    let (header, start) = parse_header(bytes)?;
    if bytes.len() as u64 != header.length {
        let at = (bytes.len() as u64).min(header.length);
        let what = "the file has not the length that it was made with";
        return Err(BadFile::Damaged {
            offset: at,
            what: what.to_string(),
        });
    }
    let mut segment = Segment {
        header,
        start,
        records: Vec::new(),
        rest: Rest::Clean,
    };
    loop {
        let at = segment.end();
        match read_record(bytes, at) {
            Ok((end, record)) => segment.records.push((end, record)),
            Err(reason) => {
                segment.rest = judge(bytes, at, &reason);
                return Ok(segment);
            }
        }
    }
}

/// Reads a segment's first line, and says where it ends.
pub(super) fn parse_header(bytes: &[u8]) -> Result<(SegmentHeader, usize), BadFile> {
    let (identity, fields, start) = header::read(MAGIC, bytes)?;
    let number = |text| line::number(text).filter(|&number| number <= MAX_TERM);
    let parse = || {
        let [segment, length, index, term, digest, follows] = fields[..] else {
            return None;
        };
        Some(SegmentHeader {
            identity,
            number: number(segment)?,
            length: number(length)?,
            base_index: number(index)?,
            base_term: number(term)?,
            base_digest: line::unhex(digest.as_bytes()).filter(|_| digest.len() == 16)?,
            anew: match follows {
                "anew" => true,
                "follows" => false,
                _ => return None,
            },
        })
    };
    let header = parse().ok_or_else(|| BadFile::at(0, "its first line makes no sense"))?;
    Ok((header, start))
}

fn read_record(bytes: &[u8], at: usize) -> Result<(usize, Record), NoRecord> {
    let rest = &bytes[at..];
    // Zeros are the usual end, and no line.
    if rest.first().is_none_or(|&byte| byte == 0) {
        return Err(NoRecord::Damaged);
    }
    let length = rest.iter().position(|&byte| byte == b'\n');
    let length = length.ok_or(NoRecord::Damaged)?;
    let record = record::parse(&rest[..length])?;
    if record.mark.offset > at as u64 {
        return Err(NoRecord::Nonsense("its mark lies behind it"));
    }
    Ok((at + length + 1, record))
}

/// What it means that there is no record at `bad`.
fn judge(bytes: &[u8], bad: usize, reason: &NoRecord) -> Rest {
    let damaged = |what: &str| Rest::Damaged {
        offset: bad,
        what: what.to_string(),
    };
    let Some(last) = bytes[bad..].iter().rposition(|&byte| byte != 0) else {
        return Rest::Clean;
    };
    if let NoRecord::Nonsense(what) = reason {
        return damaged(what);
    }
    let behind = records_behind(bytes, bad);
    if behind.iter().any(|(_, marked)| *marked > bad as u64) {
        return damaged("a record that had been synced is not as it was written");
    }
    if let Some((whole, _)) = behind.first()
        && !lost_sector(&bytes[..*whole], bad)
    {
        return damaged("a record is not as it was written, and whole ones follow");
    }
    Rest::Torn(bad..bad + last + 1)
}

/// Whether a sector's end is still zeros, which no record holds, between `bad` and the end.
fn lost_sector(bytes: &[u8], bad: usize) -> bool {
    let first = bad - bad % SECTOR + SECTOR - 1;
    (first..bytes.len())
        .step_by(SECTOR)
        .any(|at| bytes[at] == 0)
}

/// The whole records behind a bad place: where each begins, and where its batch began.
///
/// The line break before a record may be damaged too. So a record is looked for from its end: it
/// has a certain number of tabs, and before the first of them an index.
fn records_behind(bytes: &[u8], bad: usize) -> Vec<(usize, u64)> {
    let mut found = Vec::new();
    let mut from = bad;
    while let Some(length) = bytes[from..].iter().position(|&byte| byte == b'\n') {
        let end = from + length;
        let tabs = (from..end).rev().filter(|&at| bytes[at] == b'\t');
        if let Some(tab) = tabs.take(TABS).nth(TABS - 1) {
            let digits = (from..tab).rev().take(20);
            let starts = digits.take_while(|&at| bytes[at].is_ascii_digit());
            let whole = |start| Some((start, record::parse(&bytes[start..end]).ok()?));
            found.extend(
                starts
                    .filter_map(whole)
                    .map(|(start, record)| (start, record.mark.offset)),
            );
        }
        from = end + 1;
    }
    found
}
