//! The disk thread: a slow save holds up what depends on it, and not the heartbeats.
//!
//! Saves that have gathered while the last ones were being written go together, with one sync. On a
//! full disk they wait here, and are tried again until there is room. A save that fails for any
//! other reason ends the node: what is on the disk is then unknown, and no promise may be made
//! on it.

use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use tracing::error;

use crate::raft::Save;
use crate::storage::{SaveError, Storage};

use super::event::Event;
use super::runner::Input;

/// After so long without a save, the storage may do what can wait.
const QUIET: Duration = Duration::from_millis(100);
/// How often a full disk is tried again.
const RETRY: Duration = Duration::from_millis(200);

/// Makes saves durable in the order given, until nobody can hand any over.
pub fn work(mut storage: Box<dyn Storage>, saves: &Receiver<(u64, Save)>, inbox: &Sender<Input>) {
    let fail = |error: SaveError| {
        error!("{error}");
        // An error means that the driver is gone already.
        let _ = inbox.send(Input::Failed(error.to_string()));
    };
    let mut batch: Vec<Save> = Vec::new();
    let mut number = 0;
    // Up to which save term and vote are on the disk. Their room is reserved, but not on a disk
    // that never writes in place.
    let mut hard_state_done = 0;
    let mut is_quiet = true;
    loop {
        let next = match (batch.is_empty(), is_quiet) {
            (true, true) => saves.recv().map_err(RecvTimeoutError::from),
            (true, false) => saves.recv_timeout(QUIET),
            (false, _) => saves.recv_timeout(RETRY),
        };
        match next {
            Ok(next) => {
                for (next, save) in std::iter::once(next).chain(saves.try_iter()) {
                    number = next;
                    batch.push(save);
                }
            }
            Err(RecvTimeoutError::Timeout) if batch.is_empty() => {
                is_quiet = true;
                match storage.idle() {
                    Ok(()) | Err(SaveError::Full(_)) => continue,
                    Err(error) => return fail(error),
                }
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => {
                // The node stops. What could not be saved by now was promised to nobody.
                let _ = storage.idle();
                return;
            }
        }
        is_quiet = false;
        let result = storage.save_all(&mut batch);
        if batch.iter().all(|save| save.hard_state.is_none()) {
            hard_state_done = number;
        }
        let event = match result {
            Ok(()) => Event::Saved(number),
            Err(SaveError::Full(_)) => Event::DiskFull(hard_state_done),
            Err(error) => return fail(error),
        };
        if inbox.send(Input::Event(event)).is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::raft::HardState;

    /// A disk without room even for what replaces something, such as one that never writes in
    /// place, until it has been tried so many times.
    struct NoRoom(u32);

    impl Storage for NoRoom {
        fn save_all(&mut self, saves: &mut Vec<Save>) -> Result<(), SaveError> {
            match self.0.checked_sub(1) {
                Some(left) => {
                    self.0 = left;
                    Err(SaveError::Full("no room".to_string()))
                }
                None => {
                    saves.clear();
                    Ok(())
                }
            }
        }

        fn idle(&mut self) -> Result<(), SaveError> {
            Ok(())
        }
    }

    #[test]
    fn a_vote_that_found_no_room_is_not_told_to_be_saved() {
        let (saves, to_save) = mpsc::channel();
        let (inbox, events) = mpsc::channel();
        let vote = Save {
            hard_state: Some(HardState {
                current_term: 1,
                voted_for: Some(2),
            }),
            ..Save::default()
        };
        saves.send((1, vote)).unwrap();
        let disk = std::thread::spawn(move || work(Box::new(NoRoom(2)), &to_save, &inbox));
        let told: Vec<_> = events.iter().take(3).collect();
        drop(saves);
        disk.join().unwrap();
        let number = |input: &Input| match input {
            Input::Event(Event::DiskFull(number)) => (false, *number),
            Input::Event(Event::Saved(number)) => (true, *number),
            _ => panic!("the disk does not fail"),
        };
        let told: Vec<_> = told.iter().map(number).collect();
        assert_eq!(told, [(false, 0), (false, 0), (true, 1)]);
    }
}
