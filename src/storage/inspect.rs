//! What a folder holds, read without changing it and without the lock, for people.
//!
//! Caveat: the node may be running. What it writes meanwhile can make files disagree that were not
//! read at the same moment; whoever asks should ask again before believing that there is damage.

use crate::raft::Snapshot;

use super::Identity;
use super::disk::Disk;
use super::error::OpenError;
use super::header::{self, BadFile};
use super::log::segment_number;
use super::recover::{self, ReadSnapshot, io, read_snapshot, snapshot_of};
use super::segment::{self, Segment};
use super::state::{self, STATE_FILE, StateFile};

/// What is in a folder, file by file.
#[derive(Debug)]
pub struct Inspected {
    /// Whose it is, as far as any file says so.
    pub identity: Option<Identity>,
    /// Term and vote; `None` without such a file.
    pub state: Option<Result<StateFile, OpenError>>,
    /// The snapshots' files, oldest first.
    pub snapshots: Vec<(String, Result<Snapshot, OpenError>)>,
    /// The log's segments, oldest first: name, bytes, and what they say.
    pub segments: Vec<(String, Vec<u8>, Result<Segment, OpenError>)>,
    /// Why a node would not start with this folder; where a torn tail would be cut, the file and
    /// the byte.
    pub verdict: Result<Option<(String, usize)>, OpenError>,
}

/// Reads a folder. `None` where there is nothing of a node's in it.
pub fn inspect(disk: &dyn Disk, as_snapshot: ReadSnapshot) -> Result<Option<Inspected>, OpenError> {
    let names = disk.list().map_err(|error| io(disk, "", &error))?;
    let read = |name: &str| disk.read(name).map_err(|error| io(disk, name, &error));
    let told = |name: &str| {
        let file = disk.path(name);
        move |bad: BadFile| bad.into_error(file)
    };
    let mut state = None;
    let (mut snapshots, mut segments) = (Vec::new(), Vec::new());
    for name in &names {
        if name == STATE_FILE {
            state = Some(state::parse(&read(name)?).map_err(told(name)));
        } else if let Some((index, term)) = snapshot_of(name) {
            snapshots.push((name.clone(), read_snapshot(disk, index, term, as_snapshot)));
        } else if segment_number(name).is_some() {
            let bytes = read(name)?;
            let segment = segment::parse(&bytes).map_err(told(name));
            segments.push((name.clone(), bytes, segment));
        }
    }
    if state.is_none() && snapshots.is_empty() && segments.is_empty() {
        return Ok(None);
    }
    let identity = match &state {
        Some(Ok(state)) => Some(state.identity.clone()),
        _ => segments
            .iter()
            .find_map(|(_, bytes, _)| header::whose(bytes)),
    };
    let verdict = match &identity {
        None => match state.as_ref().and_then(|state| state.as_ref().err()) {
            Some(error) => Err(error.clone()),
            None => Err(OpenError::NoHardState {
                file: disk.path(STATE_FILE),
            }),
        },
        Some(identity) => recover::read(disk, identity, as_snapshot).map(|found| {
            let segment = found.position.map(|position| position.active());
            segment.zip(found.torn.map(|torn| torn.range.start))
        }),
    };
    Ok(Some(Inspected {
        identity,
        state,
        snapshots,
        segments,
        verdict,
    }))
}
