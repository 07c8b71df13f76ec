//! Term and vote: the file `hard-state`.
//!
//! The file has its whole length from the start, so that a new term and a vote fit when nothing
//! else does. Its pages are 4096 bytes each; what follows a line in its page is zeros:
//!
//! ```text
//! page 0    raftian-state TAB format TAB cluster TAB node TAB crc
//! page 1, 2 slot 0, twice     number TAB current_term TAB voted_for or - TAB crc
//! page 3, 4 slot 1, twice
//! ```
//!
//! State number N is written into slot N mod 2, twice, and synced once; the highest number counts.
//! So the state before it is whole until the new one is. A crash can leave one page torn, and the
//! page beside it is then either old or new; any other damage to one page leaves its twin. Both
//! pages of a slot are never bad at once, and a file in which they are is refused: the one that
//! is left might be older than a vote that was given.

use crate::raft::{HardState, MAX_TERM};

use super::SaveError;
use super::folder::Folder;
use super::header::{self, BadFile};
use super::{Identity, line};

/// The file's name.
pub const STATE_FILE: &str = "hard-state";

const MAGIC: &str = "raftian-state";
const PAGE: usize = 4096;
const COPIES: [usize; 4] = [PAGE, 2 * PAGE, 3 * PAGE, 4 * PAGE];
const FILE_BYTES: usize = 5 * PAGE;

/// What a file of term and vote says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StateFile {
    /// Whose it is.
    pub identity: Identity,
    /// Term and vote.
    pub state: HardState,
    /// How many states there were before this one.
    pub number: u64,
    /// Which of the four places hold a whole line.
    pub whole: [bool; 4],
}

/// Reads the bytes of a file of term and vote. They may be anything.
pub fn parse(bytes: &[u8]) -> Result<StateFile, BadFile> {
    let (identity, fields, _) = header::read(MAGIC, bytes)?;
    if !fields.is_empty() {
        return Err(BadFile::at(0, "its first line has too many fields"));
    }
    if bytes.len() != FILE_BYTES {
        let at = bytes.len().min(FILE_BYTES);
        return Err(BadFile::at(
            at,
            "it has not the length that it was made with",
        ));
    }
    let copies = COPIES.map(|at| parse_copy(&bytes[at..at + PAGE]));
    for slot in [0, 1] {
        let twins = &copies[2 * slot..2 * slot + 2];
        let right = |&(number, _): &(u64, HardState)| number % 2 == slot as u64;
        if !twins.iter().flatten().any(right) || !twins.iter().flatten().all(right) {
            let what = "neither of two copies of term and vote is whole";
            return Err(BadFile::at(COPIES[2 * slot], what));
        }
    }
    let newest = copies.iter().flatten().max_by_key(|(number, _)| *number);
    let &(number, state) = newest.expect("each slot has a copy");
    Ok(StateFile {
        identity,
        state,
        number,
        whole: copies.map(|copy| copy.is_some()),
    })
}

fn parse_copy(page: &[u8]) -> Option<(u64, HardState)> {
    let end = page.iter().position(|&byte| byte == b'\n')?;
    let mut fields = line::unseal(&page[..end])?.split('\t');
    let number = line::number(fields.next()?).filter(|&number| number <= MAX_TERM)?;
    let current_term = line::number(fields.next()?).filter(|&term| term <= MAX_TERM)?;
    let voted_for = match fields.next()? {
        "-" => None,
        id => Some(line::number(id)?),
    };
    let state = HardState {
        current_term,
        voted_for,
    };
    fields.next().is_none().then_some((number, state))
}

fn copy(number: u64, state: HardState) -> Vec<u8> {
    let vote = state.voted_for.map_or("-".to_string(), |id| id.to_string());
    let mut out = format!("{number}\t{}\t{vote}", state.current_term).into_bytes();
    line::seal(&mut out, 0);
    // An earlier line may have been longer.
    out.resize(LINE, 0);
    out
}

/// Longest line: three numbers of 20 digits, a CRC, and what joins them.
const LINE: usize = 3 * 20 + 8 + 4;

/// The file, while it is written to.
#[derive(Clone, Copy, Debug)]
pub(super) struct StateWriter {
    state: HardState,
    number: u64,
}

impl StateWriter {
    /// Makes the file, with term 0 and no vote.
    pub fn create(folder: &mut Folder, identity: &Identity) -> Result<StateWriter, SaveError> {
        let state = HardState::default();
        let mut bytes = header::header(MAGIC, identity, &[]);
        for (position, at) in COPIES.into_iter().enumerate() {
            bytes.resize(at, 0);
            bytes.extend_from_slice(&copy(position as u64 / 2, state));
        }
        bytes.resize(FILE_BYTES, 0);
        folder.put(STATE_FILE, &[&bytes])?;
        Ok(StateWriter { state, number: 1 })
    }

    /// Goes on with a file that was found. What was read may not be on the disk yet, if the last
    /// process ended before it had synced, and a copy may be bad: so every copy is written again,
    /// the bad ones first and one at a time, so that a crash on the way spoils no second one.
    pub fn reopen(folder: &mut Folder, found: &StateFile) -> Result<StateWriter, SaveError> {
        let mut writer = StateWriter {
            state: found.state,
            number: found.number,
        };
        for _ in 0..2 {
            writer.number += 1;
            let first = 2 * (writer.number % 2) as usize;
            let mut places = [first, first + 1];
            places.sort_by_key(|&place| found.whole[place]);
            for place in places {
                writer.write_copy(folder, COPIES[place])?;
                folder.sync(STATE_FILE)?;
            }
        }
        Ok(writer)
    }

    /// Term and vote as they are on the disk.
    pub fn state(&self) -> HardState {
        self.state
    }

    /// Makes this state durable; on an error the earlier one still counts.
    pub fn save(&mut self, folder: &mut Folder, state: HardState) -> Result<(), SaveError> {
        if state == self.state {
            return Ok(());
        }
        let next = StateWriter {
            state,
            number: self.number + 1,
        };
        let first = 2 * (next.number % 2) as usize;
        for at in &COPIES[first..first + 2] {
            next.write_copy(folder, *at)?;
        }
        if !planted!(VoteNotSynced) {
            folder.sync(STATE_FILE)?;
        }
        *self = next;
        Ok(())
    }

    fn write_copy(&self, folder: &mut Folder, at: usize) -> Result<(), SaveError> {
        folder.write_at(STATE_FILE, at as u64, &copy(self.number, self.state))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_line_has_room() {
        let state = HardState {
            current_term: MAX_TERM,
            voted_for: Some(u64::MAX),
        };
        let page = copy(MAX_TERM, state);
        assert_eq!(page.len(), LINE);
        assert_eq!(parse_copy(&page), Some((MAX_TERM, state)));
    }
}
