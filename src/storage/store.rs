//! The store itself: opening a folder, and saving to it.
//!
//! A save is carried out in the order that [`Save`] fixes: term and vote, then the snapshot, then
//! the entries. The saves of a batch share their syncs: one for the latest term and vote, if they
//! changed, and one for all entries.

use std::ops::Range;

use crate::raft::{HardState, LogAfterSnapshot, Save, SaveSnapshot};

use super::disk::Disk;
use super::error::OpenError;
use super::folder::Folder;
use super::log::{LogWriter, Position};
use super::recover::{self, Found, ReadSnapshot, Torn, io, snapshot_name};
use super::state::{STATE_FILE, StateWriter};
use super::{Identity, Options, Recovered, SaveError, Storage};

/// What survives a node, in one folder.
pub struct Store {
    folder: Folder,
    state: StateWriter,
    log: LogWriter,
    /// The newest snapshot's file.
    snapshot: Option<String>,
    /// Why nothing can be promised any more.
    failed: Option<String>,
}

impl Store {
    /// Opens a folder, or makes a new one in it. `as_snapshot` reads the
    /// file of one.
    pub fn open(
        mut disk: impl Disk + 'static,
        identity: &Identity,
        options: Options,
        as_snapshot: ReadSnapshot,
    ) -> Result<(Store, Recovered), OpenError> {
        match disk.lock() {
            Ok(true) => {}
            Ok(false) => {
                let dir = disk.path("");
                return Err(OpenError::Locked { dir });
            }
            Err(error) => return Err(io(&disk, super::LOCK_FILE, &error)),
        }
        let mut found = recover::read(&disk, identity, as_snapshot)?;
        let mut folder = Folder::new(Box::new(disk), options.fsync);
        let mut recovered = Recovered {
            hard_state: found
                .state
                .as_ref()
                .map_or_else(HardState::default, |found| found.state),
            snapshot: found.snapshot.clone(),
            log: found.take_log(),
            notes: Vec::new(),
        };
        if planted!(ForgetVote) {
            recovered.hard_state.voted_for = None;
        }
        let (state, log, notes) = repair(&mut folder, identity, options, found)?;
        recovered.notes = notes;
        let snapshot = recovered.snapshot.as_ref();
        let snapshot =
            snapshot.map(|snapshot| snapshot_name(snapshot.last_index, snapshot.last_term));
        let store = Store {
            folder,
            state,
            log,
            snapshot,
            failed: None,
        };
        Ok((store, recovered))
    }

    /// Ends in order: damage to anything that was saved will be noticed at the next start.
    pub fn close(mut self) -> Result<(), SaveError> {
        self.idle()
    }

    /// Term and vote as they are on the disk.
    pub fn hard_state(&self) -> HardState {
        self.state.state()
    }

    /// Index of the last entry on the disk, as long as no save has failed.
    pub fn last_index(&self) -> u64 {
        self.log.chain().last_index()
    }

    /// Its term.
    pub fn last_term(&self) -> u64 {
        self.log.chain().last().term
    }

    /// The term of the entry at `index`, if it is kept; known for the one before the first, too.
    pub fn term_at(&self, index: u64) -> Option<u64> {
        self.log.chain().at(index).map(|link| link.term)
    }

    /// What no rule can judge: damage there may look like a batch that was never finished.
    pub fn unjudged(&self) -> Vec<(String, Range<u64>)> {
        vec![self.log.unjudged()]
    }

    fn attempt<T>(
        &mut self,
        action: impl FnOnce(&mut Store) -> Result<T, SaveError>,
    ) -> Result<T, SaveError> {
        if let Some(failed) = &self.failed {
            return Err(SaveError::Failed(failed.clone()));
        }
        let result = action(self);
        if let Err(SaveError::Failed(what)) = &result {
            self.failed = Some(what.clone());
        }
        result
    }

    fn save_in_order(&mut self, saves: &mut Vec<Save>) -> Result<(), SaveError> {
        if !planted!(EntriesBeforeTerm) {
            self.save_state(saves)?;
        }
        // What an earlier attempt had no room for.
        self.log.flush(&mut self.folder)?;
        let before = self.log.flushed();
        let result = self.save_log(saves);
        if planted!(EntriesBeforeTerm) {
            self.save_state(saves)?;
        }
        take_durable(saves, self.log.flushed() - before);
        result
    }

    /// Saves the latest term and vote of them all.
    fn save_state(&mut self, saves: &mut [Save]) -> Result<(), SaveError> {
        let Some(latest) = saves.iter().rev().find_map(|save| save.hard_state) else {
            return Ok(());
        };
        check!(
            latest.current_term >= self.hard_state().current_term,
            "a term is never taken back"
        );
        self.state.save(&mut self.folder, latest)?;
        for save in saves.iter_mut() {
            save.hard_state = None;
        }
        Ok(())
    }

    fn save_log(&mut self, saves: &mut [Save]) -> Result<(), SaveError> {
        for save in saves {
            if let Some(snapshot) = &save.snapshot {
                self.log.flush(&mut self.folder)?;
                self.save_snapshot(snapshot)?;
                save.snapshot = None;
            }
            for entry in &save.entries {
                self.log.append(&mut self.folder, entry)?;
            }
        }
        self.log.flush(&mut self.folder)
    }

    fn save_snapshot(&mut self, save: &SaveSnapshot) -> Result<(), SaveError> {
        let snapshot = &save.snapshot;
        let name = snapshot_name(snapshot.last_index, snapshot.last_term);
        if planted!(LogCutBeforeSnapshot) {
            self.cut_log(save)?;
        }
        self.folder.put(&name, &[&snapshot.data])?;
        // Only now that it is safe may anything go that it stands for.
        let older = self.snapshot.replace(name.clone());
        if let Some(older) = older.filter(|older| *older != name) {
            self.folder.remove(&older)?;
        }
        self.cut_log(save)
    }

    /// Drops what the snapshot stands for.
    fn cut_log(&mut self, save: &SaveSnapshot) -> Result<(), SaveError> {
        let snapshot = &save.snapshot;
        match save.log {
            LogAfterSnapshot::KeepFrom(first) => self.log.keep_from(&mut self.folder, first),
            LogAfterSnapshot::Discard => {
                self.log
                    .start_anew(&mut self.folder, snapshot.last_index, snapshot.last_term)
            }
        }
    }
}

impl Storage for Store {
    fn save_all(&mut self, saves: &mut Vec<Save>) -> Result<(), SaveError> {
        self.attempt(|store| store.save_in_order(saves))
    }

    fn idle(&mut self) -> Result<(), SaveError> {
        self.attempt(|store| store.log.mark(&mut store.folder))
    }
}

/// Takes that many entries out of the saves, and the saves of which nothing is left before them.
fn take_durable(saves: &mut Vec<Save>, mut entries: u64) {
    let mut done = 0;
    for save in saves.iter_mut() {
        let taken = save.entries.len().min(entries as usize);
        save.entries.drain(..taken);
        entries -= taken as u64;
        if !save.entries.is_empty() || save.snapshot.is_some() {
            break;
        }
        done += 1;
    }
    saves.drain(..done);
}

/// Sets the folder in order, now that it is known that nothing in it is damaged. A crash on the way
/// leaves a folder that can be set in order again.
fn repair(
    folder: &mut Folder,
    identity: &Identity,
    options: Options,
    found: Found,
) -> Result<(StateWriter, LogWriter, Vec<String>), SaveError> {
    let mut notes = Vec::new();
    // What was read may not be on the disk yet, if the last process ended before it had synced.
    // Names first: what they stand for was synced before it got its name.
    folder.sync_dir()?;
    for name in &found.leftovers {
        folder.remove(name)?;
    }
    let state = match &found.state {
        None => StateWriter::create(folder, identity)?,
        Some(state) => {
            let bad = state.whole.iter().filter(|whole| !**whole).count();
            if bad > 0 {
                let file = folder.disk().path(STATE_FILE);
                notes.push(format!(
                    "{file}: {bad} of 4 copies of term and vote were not whole; the others are, \
                     and nothing is lost"
                ));
            }
            StateWriter::reopen(folder, state)?
        }
    };
    let covered = found.snapshot.as_ref();
    let covered = covered.map(|snapshot| (snapshot.last_index, snapshot.last_term));
    let log = match found.position {
        None => LogWriter::create(folder, identity, options)?,
        Some(position) => {
            if let Some(torn) = &found.torn {
                notes.push(set_aside(folder, &position.active(), torn)?);
            }
            write_again(folder, &position, found.last_batch, found.torn.as_ref())?;
            let mut log = LogWriter::new(identity, options, position);
            if found.outdated
                && let Some((last_index, last_term)) = covered
            {
                notes.push(format!(
                    "{}: the log up to index {} is older than the snapshot up to index {last_index} \
                     and was discarded",
                    folder.disk().path(""),
                    log.chain().last_index(),
                ));
                log.start_anew(folder, last_index, last_term)?;
            }
            log
        }
    };
    Ok((state, log, notes))
}

/// Saves a torn tail in a file of its own, and says so.
fn set_aside(folder: &mut Folder, segment: &str, torn: &Torn) -> Result<String, SaveError> {
    let names = folder.list()?;
    let numbered = (1..).map(|number| format!("{segment}.broken.{number}"));
    let mut candidates = std::iter::once(format!("{segment}.broken")).chain(numbered);
    let name = candidates.find(|name| !names.contains(name));
    let name = name.expect("there are more numbers than files");
    folder.put(&name, &[&torn.bytes])?;
    Ok(format!(
        "{}: the last batch was never finished: {} bytes from byte {} on are now in {name}",
        folder.disk().path(segment),
        torn.bytes.len(),
        torn.range.start,
    ))
}

/// Writes the last batch again as it is, since it may be in the system's memory only, and zeros
/// over a torn one.
fn write_again(
    folder: &mut Folder,
    position: &Position,
    mut bytes: Vec<u8>,
    torn: Option<&Torn>,
) -> Result<(), SaveError> {
    bytes.resize(bytes.len() + torn.map_or(0, |torn| torn.range.len()), 0);
    if bytes.is_empty() {
        return Ok(());
    }
    let name = position.active();
    folder.write_at(&name, position.judged, &bytes)?;
    folder.sync(&name)
}
