//! Reading a folder, without changing it: what a node finds when it starts.
//!
//! Everything is read and judged before anything is written, so that a folder that is refused is
//! left as it was.

use std::collections::VecDeque;
use std::ops::Range;

use crate::raft::{HardState, Log, MAX_TERM, Snapshot};

use super::Identity;
use super::chain::{Chain, Link};
use super::disk::Disk;
use super::error::OpenError;
use super::folder::UNFINISHED;
use super::header::{self, BadFile};
use super::log::{Piece, Position, segment_name, segment_number};
use super::record::{self, Record};
use super::segment::{self, Rest, Segment, SegmentHeader};
use super::state::{self, STATE_FILE, StateFile};

/// Makes a snapshot of a file's bytes, which say that they are of this index and term; or says, in
/// the words of whoever knows what is in it, why it is none.
pub type ReadSnapshot = fn(u64, u64, Vec<u8>) -> Result<Snapshot, String>;

/// The name of the snapshot file up to this entry.
pub(super) fn snapshot_name(last_index: u64, last_term: u64) -> String {
    format!("snapshot-{last_index:020}-{last_term}.json")
}

/// Last index and last term of the snapshot file of that name.
pub(super) fn snapshot_of(name: &str) -> Option<(u64, u64)> {
    let middle = name.strip_prefix("snapshot-")?.strip_suffix(".json")?;
    let (index, term) = middle.split_once('-')?;
    let (index, term) = (index.parse().ok()?, term.parse().ok()?);
    let sensible = (1..=MAX_TERM).contains(&index) && term <= MAX_TERM;
    (sensible && snapshot_name(index, term) == name).then_some((index, term))
}

/// What is in a folder.
pub(super) struct Found {
    /// `None` where the folder is new.
    pub state: Option<StateFile>,
    pub snapshot: Option<Snapshot>,
    /// The log as its records say.
    pub log: Log,
    /// Where writing goes on; `None` where there is no segment yet.
    pub position: Option<Position>,
    /// The log is from before the snapshot, and does not count.
    pub outdated: bool,
    /// The end of the last segment, if it was never finished.
    pub torn: Option<Torn>,
    /// The bytes that may not be on the disk yet: the last segment's last batch.
    pub last_batch: Vec<u8>,
    /// Files that are of no use any more: unfinished ones, earlier snapshots, and segments from
    /// before the log started anew, oldest first.
    pub leftovers: Vec<String>,
}

impl Found {
    /// Takes out the log that a node starts with.
    pub fn take_log(&mut self) -> Log {
        match &self.snapshot {
            Some(covered) if self.outdated => {
                Log::after(covered.last_index, covered.last_term, Vec::new())
            }
            _ => std::mem::take(&mut self.log),
        }
    }
}

/// A batch that was never finished.
pub(super) struct Torn {
    pub range: Range<usize>,
    pub bytes: Vec<u8>,
}

/// Reads what is in the folder.
pub(super) fn read(
    disk: &dyn Disk,
    wanted: &Identity,
    as_snapshot: ReadSnapshot,
) -> Result<Found, OpenError> {
    let names = disk.list().map_err(|error| io(disk, "", &error))?;
    let mut snapshots: Vec<(u64, u64)> =
        names.iter().filter_map(|name| snapshot_of(name)).collect();
    snapshots.sort_unstable();
    let mut segments: Vec<u64> = names
        .iter()
        .filter_map(|name| segment_number(name))
        .collect();
    segments.sort_unstable();
    let unfinished = names.iter().filter(|name| name.ends_with(UNFINISHED));
    let mut found = Found {
        state: None,
        snapshot: None,
        log: Log::default(),
        position: None,
        outdated: false,
        torn: None,
        last_batch: Vec::new(),
        leftovers: unfinished.filter(|name| is_ours(name)).cloned().collect(),
    };
    if !names.iter().any(|name| name == STATE_FILE) {
        if snapshots.is_empty() && segments.is_empty() {
            return Ok(found);
        }
        return Err(OpenError::NoHardState {
            file: disk.path(STATE_FILE),
        });
    }
    let state = read_state(disk, wanted)?;
    if let Some((last_index, last_term)) = snapshots.pop() {
        found.snapshot = Some(read_snapshot(disk, last_index, last_term, as_snapshot)?);
    }
    let older = snapshots
        .iter()
        .map(|&(index, term)| snapshot_name(index, term));
    found.leftovers.extend(older);
    read_log(disk, wanted, &segments, &mut found)?;
    agree(disk, &state.state, &mut found)?;
    found.state = Some(state);
    Ok(found)
}

/// Whether an unfinished file is one of this store's.
fn is_ours(name: &str) -> bool {
    let name = name.strip_suffix(UNFINISHED).unwrap_or(name);
    let whole = name.split(".broken").next().unwrap_or(name);
    whole == STATE_FILE || segment_number(whole).is_some() || snapshot_of(whole).is_some()
}

fn read_state(disk: &dyn Disk, wanted: &Identity) -> Result<StateFile, OpenError> {
    let bytes = disk
        .read(STATE_FILE)
        .map_err(|error| io(disk, STATE_FILE, &error))?;
    let path = || disk.path(STATE_FILE);
    let state = state::parse(&bytes).map_err(|bad| bad.into_error(path()))?;
    header::belongs(&state.identity, wanted, path())?;
    Ok(state)
}

pub(super) fn read_snapshot(
    disk: &dyn Disk,
    last_index: u64,
    last_term: u64,
    as_snapshot: ReadSnapshot,
) -> Result<Snapshot, OpenError> {
    let name = snapshot_name(last_index, last_term);
    let data = disk.read(&name).map_err(|error| io(disk, &name, &error))?;
    // It was whole on the disk before it had this name.
    as_snapshot(last_index, last_term, data)
        .map_err(|what| BadFile::at(0, what).into_error(disk.path(&name)))
}

fn read_log(
    disk: &dyn Disk,
    wanted: &Identity,
    numbers: &[u64],
    found: &mut Found,
) -> Result<(), OpenError> {
    let mut so_far = SoFar::Nothing;
    let mut first = 0;
    for (position, &number) in numbers.iter().enumerate() {
        let name = segment_name(number);
        let bad = |bad: BadFile| bad.into_error(disk.path(&name));
        let bytes = disk.read(&name).map_err(|error| io(disk, &name, &error))?;
        let (header, _) = segment::parse_header(&bytes).map_err(bad)?;
        header::belongs(&header.identity, wanted, disk.path(&name))?;
        if header.number != number {
            return Err(bad(BadFile::at(0, "it has another segment's number")));
        }
        if header.anew || matches!(so_far, SoFar::Cut(_)) {
            let outdated = numbers[first..position].iter();
            found
                .leftovers
                .extend(outdated.map(|&number| segment_name(number)));
            first = position;
            so_far = SoFar::Nothing;
        }
        let replay = match so_far {
            SoFar::Nothing => Ok(Replay::new(&header)),
            SoFar::Log(replay) => replay.goes_on(&header),
            SoFar::Cut(error) | SoFar::Bad(error) => {
                so_far = SoFar::Bad(error);
                continue;
            }
        };
        let last = position + 1 == numbers.len();
        let replayed = replay.and_then(|replay| read_segment(replay, &bytes, last, found));
        so_far = match replayed {
            Ok(replay) => SoFar::Log(replay),
            Err(Unread::BeforeTheStart(at)) => {
                SoFar::Cut(bad(BadFile::at(at, "the log before it is missing")))
            }
            Err(Unread::Bad(error)) => SoFar::Bad(bad(error)),
        };
    }
    match so_far {
        SoFar::Nothing => {}
        SoFar::Log(replay) => {
            found.log = replay.log;
            found.position = Some(replay.position);
        }
        SoFar::Cut(error) | SoFar::Bad(error) => return Err(error),
    }
    Ok(())
}

/// What the segments up to some point add up to.
enum SoFar {
    Nothing,
    Log(Replay),
    /// Segments were being removed: the first one that is left goes on from one that is gone. That
    /// is well if the next one can be the first; whether a snapshot reaches it is looked at later.
    Cut(OpenError),
    /// Damage, which is none of ours only if the log starts anew behind it.
    Bad(OpenError),
}

/// Why a segment cannot be read as the next one.
enum Unread {
    /// An entry takes the place of one before the first segment.
    BeforeTheStart(usize),
    Bad(BadFile),
}

fn bad(at: usize, what: &str) -> Unread {
    Unread::Bad(BadFile::at(at, what))
}

fn read_segment(
    mut replay: Replay,
    bytes: &[u8],
    last: bool,
    found: &mut Found,
) -> Result<Replay, Unread> {
    let segment = segment::parse(bytes).map_err(Unread::Bad)?;
    match &segment.rest {
        Rest::Clean => {}
        Rest::Torn(range) if last => {
            found.torn = Some(Torn {
                range: range.clone(),
                bytes: bytes[range.clone()].to_vec(),
            });
        }
        // Whatever was in it had been synced before the next segment was made.
        Rest::Torn(range) => {
            let what = "a record is not as it was written, and a segment follows";
            return Err(bad(range.start, what));
        }
        Rest::Damaged { .. } if planted!(DamageCut) => {}
        Rest::Damaged { offset, what } => return Err(bad(*offset, what)),
    }
    if last {
        found.last_batch = bytes[segment.judged()..segment.end()].to_vec();
    }
    replay.segment(segment)?;
    Ok(replay)
}

/// Reads records in the order in which they were written.
struct Replay {
    log: Log,
    position: Position,
}

impl Replay {
    fn new(header: &SegmentHeader) -> Replay {
        let base = Link {
            term: header.base_term,
            digest: header.base_digest,
        };
        Replay {
            log: Log::after(header.base_index, header.base_term, Vec::new()),
            position: Position {
                pieces: VecDeque::new(),
                chain: Chain::after(header.base_index, base),
                end: 0,
                judged: 0,
                unmarked: false,
            },
        }
    }

    /// Whether the next segment begins where this one ends.
    fn goes_on(self, header: &SegmentHeader) -> Result<Replay, Unread> {
        let before = self.position.pieces.back().expect("a segment was read");
        if header.number != before.number + 1 {
            let number = before.number;
            let what = format!("after segment {number} at least one is missing");
            return Err(bad(0, &what));
        }
        let chain = &self.position.chain;
        let link = Link {
            term: header.base_term,
            digest: header.base_digest,
        };
        if (header.base_index, link) != (chain.last_index(), chain.last()) {
            let what = format!(
                "it follows index {} and digest {:016x}, and the segment before ends with index \
                 {} and digest {:016x}",
                header.base_index,
                link.digest,
                chain.last_index(),
                chain.last().digest
            );
            return Err(bad(0, &what));
        }
        Ok(self)
    }

    fn segment(&mut self, segment: Segment) -> Result<(), Unread> {
        let mut piece = Piece {
            number: segment.header.number,
            length: segment.header.length,
            base_index: segment.header.base_index,
            lowest: u64::MAX,
        };
        (self.position.end, self.position.judged) = (segment.end() as u64, segment.judged() as u64);
        self.position.unmarked = false;
        let mut at = segment.start;
        for (end, record) in segment.records {
            let chain = &mut self.position.chain;
            if record.mark.index > chain.last_index() {
                return Err(bad(
                    at,
                    "it says that entries were durable that are not there",
                ));
            }
            let link = Link {
                term: record.term,
                digest: record.digest,
            };
            if record.payload.is_none() {
                if (record.index, link) != (chain.last_index(), chain.last()) {
                    return Err(bad(at, "its mark does not agree with the entry before"));
                }
                self.position.unmarked = false;
            } else {
                if record.index <= self.log.base_index() {
                    return Err(Unread::BeforeTheStart(at));
                }
                let before = chain.at(record.index - 1);
                let before = before.ok_or_else(|| bad(at, "its index leaves a gap"))?;
                if record.term < before.term || record.term == 0 {
                    return Err(bad(at, "its term is lower than the one before"));
                }
                if record.digest != digest(&record, before.digest) {
                    return Err(bad(at, "its digest does not follow from the entry before"));
                }
                chain.put(record.index, link);
                piece.lowest = piece.lowest.min(record.index);
                self.position.unmarked |= at as u64 >= self.position.judged;
                if record.index <= self.log.last_index() {
                    if planted!(OverwrittenKept) {
                        at = end;
                        continue;
                    }
                    self.log.truncate(record.index);
                }
                self.log.append(record.into_entry().expect("it is no mark"));
            }
            at = end;
        }
        self.position.pieces.push_back(piece);
        Ok(())
    }
}

/// The digest that a record ought to have.
fn digest(record: &Record, previous: u64) -> u64 {
    record::chain(
        previous,
        record.index,
        record.term,
        record.kind(),
        &record.text(),
    )
}

/// What the files say of each other.
fn agree(disk: &dyn Disk, state: &HardState, found: &mut Found) -> Result<(), OpenError> {
    let corrupt = |name: &str, what: String| Err(BadFile::at(0, what).into_error(disk.path(name)));
    let covered = found
        .snapshot
        .as_ref()
        .map_or((0, 0), |snapshot| (snapshot.last_index, snapshot.last_term));
    let log = &found.log;
    let Some(position) = &found.position else {
        // The first segment is made right after term and vote, before there is any term.
        if state.current_term == 0 && found.snapshot.is_none() {
            return Ok(());
        }
        return corrupt("", "the log is missing".to_string());
    };
    let first = segment_name(position.pieces.front().map_or(1, |piece| piece.number));
    if log.base_index() > covered.0 {
        let what = format!(
            "the log begins after index {}, and no snapshot reaches that far",
            log.base_index()
        );
        return corrupt(&first, what);
    }
    // A term is saved before the entries that carry it.
    if log.last_term().max(covered.1) > state.current_term {
        let what = format!(
            "the current term is {}, and the log has entries of a later one",
            state.current_term
        );
        return corrupt(STATE_FILE, what);
    }
    found.outdated = found.snapshot.is_some() && log.term_at(covered.0) != Some(covered.1);
    Ok(())
}

pub(super) fn io(disk: &dyn Disk, name: &str, error: &std::io::Error) -> OpenError {
    OpenError::Io(format!("{}: {error}", disk.path(name)))
}
