//! The disk thread: a slow save holds up what depends on it, and not the heartbeats.

use std::sync::mpsc::{Receiver, Sender};

use crate::raft::Save;
use crate::storage::Storage;

use super::event::Event;
use super::runner::Input;

/// Makes saves durable in the order given. Those that have gathered while the last ones were being
/// written go together.
pub fn work(mut storage: Box<dyn Storage>, saves: &Receiver<(u64, Save)>, inbox: &Sender<Input>) {
    while let Ok((mut number, save)) = saves.recv() {
        let mut batch = vec![save];
        for (next, save) in saves.try_iter() {
            number = next;
            batch.push(save);
        }
        if let Err(error) = storage.save_all(&mut batch) {
            // What is on the disk now is unknown, and no promise may be made on it.
            panic!("the node's data cannot be saved: {error}");
        }
        if inbox.send(Input::Event(Event::Saved(number))).is_err() {
            return;
        }
    }
}
