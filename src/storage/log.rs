//! The log's segments, while they are written to.
//!
//! Records are gathered in a buffer; [`LogWriter::flush`] writes them with one write and one sync.
//! A segment has its whole length from the start, so that neither changes the file's size and a
//! sync has one thing to do. A segment that is full is followed by the next; before that is made,
//! everything in the one before is durable.
//!
//! Nothing is ever taken back inside a segment: an entry that replaces others is written behind
//! them, and reading the records in order gives the log.

use std::collections::VecDeque;
use std::ops::Range;

use crate::raft::Entry;

use super::chain::{Chain, Link};
use super::folder::Folder;
use super::record::{MAX_MARK_RECORD, Mark, Prepared};
use super::segment::SegmentHeader;
use super::{Identity, Options, SaveError};

/// The name of the segment of that number.
pub(super) fn segment_name(number: u64) -> String {
    format!("log-{number:016}")
}

/// The number of the segment of that name.
pub(super) fn segment_number(name: &str) -> Option<u64> {
    let number = name.strip_prefix("log-")?.parse().ok()?;
    (segment_name(number) == name).then_some(number)
}

/// A segment that is there.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub number: u64,
    pub length: u64,
    /// It begins after this entry.
    pub base_index: u64,
    /// The lowest index of its entries; `u64::MAX` without any.
    pub lowest: u64,
}

pub(super) struct LogWriter {
    identity: Identity,
    segment_bytes: u64,
    /// Oldest first; never empty.
    pieces: VecDeque<Piece>,
    chain: Chain,
    /// Up to where the last segment is durable: the buffer goes there.
    end: u64,
    /// Up to which entry the log is durable, of those that are still in it.
    durable: u64,
    /// From which byte of the last segment on nothing shows damage: where the last batch began.
    judged: u64,
    /// Whether there is an entry among what nothing shows damage of.
    unmarked: bool,
    buffer: Vec<u8>,
    /// How many entries were ever put into the buffer, and how many of them are durable.
    appended: u64,
    flushed: u64,
}

/// What a reader found: where writing goes on.
pub(super) struct Position {
    pub pieces: VecDeque<Piece>,
    pub chain: Chain,
    pub end: u64,
    pub judged: u64,
    pub unmarked: bool,
}

impl Position {
    /// The segment that is written to.
    pub fn active(&self) -> String {
        segment_name(self.pieces.back().expect("a log has a segment").number)
    }
}

impl LogWriter {
    pub fn new(identity: &Identity, options: Options, at: Position) -> LogWriter {
        LogWriter {
            identity: identity.clone(),
            segment_bytes: options.segment_bytes,
            durable: at.chain.last_index(),
            pieces: at.pieces,
            chain: at.chain,
            end: at.end,
            judged: at.judged,
            unmarked: at.unmarked,
            buffer: Vec::new(),
            appended: 0,
            flushed: 0,
        }
    }

    /// The first segment of a log.
    pub fn create(
        folder: &mut Folder,
        identity: &Identity,
        options: Options,
    ) -> Result<LogWriter, SaveError> {
        let position = Position {
            pieces: VecDeque::new(),
            chain: Chain::default(),
            end: 0,
            judged: 0,
            unmarked: false,
        };
        let mut log = LogWriter::new(identity, options, position);
        log.start_anew(folder, 0, 0)?;
        Ok(log)
    }

    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// How many entries have become durable.
    pub fn flushed(&self) -> u64 {
        self.flushed
    }

    /// The bytes of the last segment that nothing shows damage of.
    pub fn unjudged(&self) -> (String, Range<u64>) {
        (self.active(), self.judged..self.end)
    }

    fn last_piece(&self) -> &Piece {
        self.pieces.back().expect("a log has a segment")
    }

    fn active(&self) -> String {
        segment_name(self.last_piece().number)
    }

    /// Adds an entry, in place of all that are at its index and after it. It is durable after the
    /// next flush.
    pub fn append(&mut self, folder: &mut Folder, entry: &Entry) -> Result<(), SaveError> {
        let before = self.chain.at(entry.index - 1);
        let before = before.expect("the core leaves no gap in the log");
        let record = Prepared::entry(entry, before.digest);
        let room = self.last_piece().length - self.end;
        // There is always room for one more mark.
        if self.buffer.len() as u64 + record.max_len() + MAX_MARK_RECORD > room {
            self.flush(folder)?;
            let last = self.chain.last();
            self.roll(
                folder,
                self.chain.last_index(),
                last,
                record.max_len(),
                false,
            )?;
        }
        self.durable = self.durable.min(entry.index - 1);
        let mark = Mark {
            index: self.durable,
            offset: self.end,
        };
        record.write(&mut self.buffer, mark);
        let link = Link {
            term: entry.term,
            digest: record.digest,
        };
        self.chain.put(entry.index, link);
        let piece = self.pieces.back_mut().expect("a log has a segment");
        piece.lowest = piece.lowest.min(entry.index);
        self.appended += 1;
        Ok(())
    }

    /// Makes what was added durable. Without room the buffer stays, to be written at the same place
    /// the next time.
    pub fn flush(&mut self, folder: &mut Folder) -> Result<(), SaveError> {
        if self.buffer.is_empty() {
            return Ok(());
        }
        let name = self.active();
        folder.write_at(&name, self.end, &self.buffer)?;
        if !planted!(LogNotSynced) {
            folder.sync(&name)?;
        }
        self.judged = self.end;
        self.end += self.buffer.len() as u64;
        self.buffer.clear();
        self.buffer.shrink_to(1 << 20);
        self.durable = self.chain.last_index();
        self.unmarked |= self.flushed < self.appended;
        self.flushed = self.appended;
        Ok(())
    }

    /// Writes down how far the log is durable, unless that has been done.
    pub fn mark(&mut self, folder: &mut Folder) -> Result<(), SaveError> {
        self.flush(folder)?;
        if !self.unmarked {
            return Ok(());
        }
        let last = self.chain.last();
        let mark = Mark {
            index: self.durable,
            offset: self.end,
        };
        Prepared::mark(self.chain.last_index(), last.term, last.digest)
            .write(&mut self.buffer, mark);
        self.flush(folder)?;
        self.unmarked = false;
        Ok(())
    }

    /// Removes the segments that have no entry at `first` or after it.
    pub fn keep_from(&mut self, folder: &mut Folder, first: u64) -> Result<(), SaveError> {
        // A segment can be the first one if the log up to its base is not needed, and none of the
        // entries in it or after it takes the place of one before its base.
        let mut lowest = u64::MAX;
        let mut keep = 0;
        for (position, piece) in self.pieces.iter().enumerate().rev() {
            lowest = lowest.min(piece.lowest);
            if piece.base_index < first && lowest > piece.base_index {
                keep = position;
                break;
            }
        }
        self.remove_oldest(folder, keep)?;
        let base = self.pieces.front().expect("a log has a segment").base_index;
        self.chain.compact(base);
        Ok(())
    }

    /// Starts the log again after this entry, which a snapshot covers.
    pub fn start_anew(
        &mut self,
        folder: &mut Folder,
        index: u64,
        term: u64,
    ) -> Result<(), SaveError> {
        let base = Link { term, digest: 0 };
        self.roll(folder, index, base, 0, index > 0)?;
        self.chain = Chain::after(index, base);
        self.durable = index;
        self.remove_oldest(folder, self.pieces.len() - 1)
    }

    fn remove_oldest(&mut self, folder: &mut Folder, count: usize) -> Result<(), SaveError> {
        for _ in 0..count {
            let oldest = self.pieces.front().expect("there are as many");
            folder.remove(&segment_name(oldest.number))?;
            self.pieces.pop_front();
        }
        Ok(())
    }

    /// Makes the next segment, with room for a record of that length.
    fn roll(
        &mut self,
        folder: &mut Folder,
        base_index: u64,
        base: Link,
        record: u64,
        anew: bool,
    ) -> Result<(), SaveError> {
        let mut header = SegmentHeader {
            identity: self.identity.clone(),
            number: self.pieces.back().map_or(0, |piece| piece.number) + 1,
            length: self.segment_bytes,
            base_index,
            base_term: base.term,
            base_digest: base.digest,
            anew,
        };
        // The length is in the header: a longer one may take more digits.
        let needed = header.write().len() as u64 + 20 + record + MAX_MARK_RECORD;
        header.length = self.segment_bytes.max(needed);
        let mut bytes = header.write();
        let end = bytes.len() as u64;
        bytes.resize(header.length as usize, 0);
        folder.put(&segment_name(header.number), &[&bytes])?;
        self.pieces.push_back(Piece {
            number: header.number,
            length: header.length,
            base_index,
            lowest: u64::MAX,
        });
        (self.end, self.judged, self.unmarked) = (end, end, false);
        Ok(())
    }
}
