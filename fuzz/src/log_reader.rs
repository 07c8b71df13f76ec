//! The files of a node's log and of its term and vote, and the folder that they make.
//!
//! An input is what these files hold, one after the other: each first line of a segment or of
//! `hard-state` begins a new file. The zeros at a segment's end may be left out, and of the pages of
//! `hard-state` there are only the lines. Files guard themselves with CRCs and digests that no fuzzer guesses, so each
//! input is taken three times: as it is; with right CRCs; and with right digests, bases and marks,
//! too. What makes them right is in [`super::forge`], which shares no code with the program.
//!
//! Of a segment:
//!
//! * What is read is what is there: whole lines with right CRCs from the first on, each of which is
//!   the one way to write the record that was read. Nothing but zeros is passed over in silence.
//! * **A batch that was never finished is cut off, and nothing else is.** Zeros from anywhere in the
//!   last batch on, or in place of any sector of it, make a torn end, and whatever came before is
//!   read as before.
//! * **Damage is never taken for that.** One bit that is wrong before the last batch, or a sector
//!   that is lost there, makes the segment damaged.
//!
//! Of `hard-state`: with one page of a pair of twins bad, it says what it said; with both bad, it is
//! refused.
//!
//! Of the folder: one that is refused is left as it was. One that is taken without leaving anything
//! out is right in every sum and every mark. One that is taken holds a log whose terms
//! do not fall, and after a crash of the machine it holds the same, and needs no repair any more. It
//! takes a further save, and keeps it.

use std::ops::Range;

use raftian::raft::{Entry, HardState, MAX_TERM, Payload, Save, Snapshot};
use raftian::storage::segment::{self, Rest, Segment};
use raftian::storage::state::{self, STATE_FILE};
use raftian::storage::{
    BadFile, FaultyDisk, Identity, MemoryDisk, OpenError, Options, Storage as _, Store,
};
use rand::SeedableRng as _;
use rand::rngs::Xoshiro256PlusPlus;

use super::forge::{self, File, Help, PAGE};
use super::{cuts, sum};

/// At how many places an input is cut, of those that are possible.
const CUTS: usize = 8;

/// Sectors are lost or written as a whole.
const SECTOR: usize = 512;

/// Panics unless these bytes are read as promised. Says whether a node could start with them.
pub fn check(bytes: &[u8]) -> bool {
    let right = forge::files(bytes, Help::All);
    let mut taken = false;
    let mut before = Vec::new();
    for help in [Help::None, Help::Crc, Help::All] {
        let files = forge::files(bytes, help);
        if files == before {
            continue;
        }
        for file in &files {
            match file {
                File::Log(bytes) => log(bytes),
                File::State(bytes) => hard_state(bytes),
            }
        }
        let start = folder(&files, sum(bytes));
        if start == Start::Whole {
            assert!(files == right, "something in it is wrong");
        }
        taken |= start != Start::Refused;
        before = files;
    }
    taken
}

fn log(bytes: &[u8]) {
    let segment = match segment::parse(bytes) {
        Ok(segment) => segment,
        Err(bad) => return refused(bytes, &bad),
    };
    let end = segment.end();
    assert!(segment.judged() <= end && end <= bytes.len());
    assert!(forge::is_line(&bytes[..segment.start]));
    let mut at = segment.start;
    for (record_end, record) in &segment.records {
        let line = &bytes[at..*record_end];
        assert!(forge::is_line(line) && record.mark.offset <= at as u64);
        assert_eq!(line, forge::record(record));
        at = *record_end;
    }
    rest(bytes, end, &segment.rest);

    for cut in cuts(end - segment.start, sum(bytes), CUTS).map(|cut| segment.start + cut) {
        let mut shorter = bytes.to_vec();
        shorter[cut..].fill(0);
        unfinished(&segment, &shorter, cut);
    }
    lost_sectors(bytes, &segment);
    for place in cuts(segment.judged(), sum(bytes), CUTS) {
        let mut damaged = bytes.to_vec();
        damaged[place] ^= 1 << (sum(bytes) % 8);
        if let Ok(found) = segment::parse(&damaged) {
            assert!(place >= segment.start, "the first line is not as it was");
            is_damaged(&found, place);
        }
    }
}

fn is_damaged(found: &Segment, place: usize) {
    match &found.rest {
        Rest::Damaged { offset, .. } => assert!(*offset <= place),
        rest => panic!("what is wrong at {place} makes it {rest:?}"),
    }
}

/// What comes after the records.
fn rest(bytes: &[u8], end: usize, rest: &Rest) {
    let zeros = |bytes: &[u8]| bytes.iter().all(|&byte| byte == 0);
    match rest {
        Rest::Clean => assert!(zeros(&bytes[end..])),
        Rest::Torn(range) => {
            assert_eq!(range.start, end);
            assert!(!zeros(&bytes[range.clone()]) && zeros(&bytes[range.end..]));
            let mut cut = bytes.to_vec();
            cut[range.clone()].fill(0);
            let cut = segment::parse(&cut).expect("the first line has not changed");
            assert_eq!((cut.end(), cut.rest), (end, Rest::Clean));
        }
        Rest::Damaged { offset, what } => {
            assert_eq!(*offset, end);
            assert!(!zeros(&bytes[end..]) && !what.is_empty());
        }
    }
}

/// From `cut` on there is nothing.
fn unfinished(segment: &Segment, shorter: &[u8], cut: usize) {
    let found = segment::parse(shorter).expect("the first line has not changed");
    let whole = segment.records.iter().take_while(|(end, _)| *end <= cut);
    assert!(found.records.iter().eq(whole), "cut at {cut}");
    assert!(!matches!(found.rest, Rest::Damaged { .. }), "cut at {cut}");
}

/// All has been written but for one sector.
fn lost_sectors(bytes: &[u8], segment: &Segment) {
    let (judged, end) = (segment.judged(), segment.end());
    let starts = [segment.start].into_iter();
    let starts = starts.chain(segment.records.iter().map(|(end, _)| *end));
    let batch = starts.zip(&segment.records);
    let mut batch = batch.skip_while(|(start, _)| *start < judged).peekable();
    // Marks that no store writes promise nothing.
    let is_batch = batch.peek().is_some_and(|(start, _)| *start == judged)
        && batch.all(|(_, (_, record))| record.mark.offset == judged as u64)
        && segment.rest == Rest::Clean;
    let without = |lost: &Range<usize>| {
        let mut bytes = bytes.to_vec();
        bytes[lost.clone()].fill(0);
        bytes
    };
    let within = |sector: usize, range: &Range<usize>| {
        let start = range.start.max(sector * SECTOR);
        let end = range.end.min((sector + 1) * SECTOR);
        (start < end).then_some(start..end)
    };
    for sector in 0..=end / SECTOR {
        if let Some(lost) = within(sector, &(segment.start..judged)) {
            let found = segment::parse(&without(&lost)).expect("the first line has not changed");
            is_damaged(&found, lost.start);
        }
        if let Some(lost) = within(sector, &(judged..end))
            && is_batch
        {
            unfinished(segment, &without(&lost), lost.start);
        }
    }
}

fn hard_state(bytes: &[u8]) {
    let file = match state::parse(bytes) {
        Ok(file) => file,
        Err(bad) => return refused(bytes, &bad),
    };
    assert!(file.state.current_term <= MAX_TERM);
    for slot in [0, 1] {
        let pages = [1, 2].map(|page| PAGE * (2 * slot + page));
        let mut none = bytes.to_vec();
        for page in pages {
            let mut one = bytes.to_vec();
            // An empty line is never right.
            one[page] = b'\n';
            none[page] = b'\n';
            let twins = bytes[pages[0]..pages[0] + PAGE] == bytes[pages[1]..pages[1] + PAGE];
            if twins {
                let left = state::parse(&one).expect("its twin is whole");
                assert_eq!((left.state, left.number), (file.state, file.number));
            }
        }
        assert!(state::parse(&none).is_err());
    }
}

fn refused(bytes: &[u8], bad: &BadFile) {
    match bad {
        BadFile::Newer(_) => {}
        BadFile::Damaged { offset, what } => {
            assert!(*offset <= bytes.len() as u64 && !what.is_empty() && what.len() < 200);
        }
    }
}

/// How a node starts with a folder.
#[derive(PartialEq, Eq)]
enum Start {
    /// It does not.
    Refused,
    /// It leaves something out: an end that was never finished, or files that do not count.
    Repaired,
    /// With all that is there.
    Whole,
}

/// The files as a node finds them when it starts.
fn folder(files: &[File], seed: usize) -> Start {
    let mut disk = MemoryDisk::default();
    let states = files.iter().filter(|file| matches!(file, File::State(_)));
    let mut states = states.count();
    let mut identity = None;
    let mut base = (0, 0);
    let (mut last, mut in_order) = (0, true);
    for file in files {
        match file {
            File::State(bytes) => {
                identity = identity.or(state::parse(bytes).ok().map(|file| file.identity));
                disk.set(STATE_FILE, bytes.clone());
            }
            File::Log(bytes) => {
                let mut number = last + 1;
                if let Ok(segment) = segment::parse(bytes) {
                    let header = segment.header;
                    if states == 0 {
                        disk.set(STATE_FILE, forge::state(&header.identity));
                        states = 1;
                    }
                    identity = identity.or(Some(header.identity));
                    if base.0 == 0 {
                        base = (header.base_index, header.base_term);
                    }
                    number = header.number;
                }
                in_order &= number > last;
                last = number;
                disk.set(&format!("log-{number:016}"), bytes.clone());
            }
        }
    }
    if base.0 > 0 {
        let name = format!("snapshot-{:020}-{}.json", base.0, base.1);
        disk.set(&name, b"{}".to_vec());
    }
    let identity = identity.unwrap_or(Identity {
        cluster: "local".to_string(),
        node: 1,
    });
    let before = disk.contents();
    let disk = FaultyDisk::new(disk);
    let found = match open(&disk, &identity) {
        Ok((_, found)) => found,
        Err(error) => {
            assert_eq!(disk.contents(), before, "{error}");
            assert!(!error.to_string().contains('\n'), "{error}");
            return Start::Refused;
        }
    };
    let after = disk.contents();
    // Of two files with one name only the last is there.
    let plain = in_order && states == 1;
    let all_count = before.keys().all(|name| after.contains_key(name));
    let start = match plain && all_count && found.notes.is_empty() {
        true => Start::Whole,
        false => Start::Repaired,
    };
    let terms: Vec<u64> = found.log.from(1).iter().map(|entry| entry.term).collect();
    assert!(terms.is_sorted());
    assert!(found.log.last_term() <= found.hard_state.current_term);
    for note in &found.notes {
        assert!(!note.is_empty() && !note.contains('\n'), "{note}");
    }

    disk.crash(&mut Xoshiro256PlusPlus::seed_from_u64(seed as u64));
    let (mut store, again) = open(&disk, &identity).expect("what was repaired can be opened");
    assert_eq!(again.notes, [""; 0]);
    assert_eq!(again.hard_state, found.hard_state);
    assert_eq!((&again.snapshot, &again.log), (&found.snapshot, &found.log));

    if found.log.last_index() >= MAX_TERM {
        // No index above it can be read; a log never gets there by itself.
        return start;
    }
    let hard_state = HardState {
        current_term: found.hard_state.current_term.min(MAX_TERM - 1) + 1,
        voted_for: Some(1),
    };
    let entry = Entry {
        index: found.log.last_index() + 1,
        term: hard_state.current_term,
        payload: Payload::Noop,
    };
    let save = Save {
        hard_state: Some(hard_state),
        entries: vec![entry.clone()],
        ..Save::default()
    };
    store.save_all(&mut vec![save]).expect("there is room");
    drop(store);
    let (_, again) = open(&disk, &identity).expect("what was saved can be opened");
    assert_eq!(again.hard_state, hard_state);
    assert_eq!(again.log.get(entry.index), Some(&entry));
    start
}

fn open(
    disk: &FaultyDisk,
    identity: &Identity,
) -> Result<(Store, raftian::storage::Recovered), OpenError> {
    let options = Options {
        fsync: true,
        segment_bytes: 900,
    };
    Store::open(disk.clone(), identity, options, as_snapshot)
}

/// Whatever stands in a snapshot's file, it is one: they are another target's affair.
pub fn as_snapshot(last_index: u64, last_term: u64, data: Vec<u8>) -> Result<Snapshot, String> {
    Ok(Snapshot {
        last_index,
        last_term,
        configuration: Default::default(),
        data: data.into(),
    })
}
