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
        let event = match storage.save_all(&mut batch) {
            Ok(()) => Event::Saved(number),
            Err(SaveError::Full(_)) => Event::DiskFull(number),
            Err(error) => return fail(error),
        };
        if inbox.send(Input::Event(event)).is_err() {
            return;
        }
    }
}
