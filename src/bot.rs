//! A player without a person: it attacks somebody who is alive, every few seconds.
//!
//! A bot is a view like the screen. It sees orders and sends commands, and knows nothing else of
//! its node, so a bot in another process can do the same (see the README's five lines of Python).

use std::io;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender};
use std::thread;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::seq::IndexedRandom;

use crate::game::Player;
use crate::node::queues::{Commands, ORDERS_CAPACITY, Orders, Update};
use crate::raft::NodeId;

/// How long a bot thinks, in milliseconds.
const THINKS: std::ops::Range<u64> = 2_500..7_000;

/// The bot's inbox, whose sender the node is given.
pub fn inbox() -> (SyncSender<Update>, Receiver<Update>) {
    mpsc::sync_channel(ORDERS_CAPACITY)
}

/// Plays for that player on a thread of its own, until the node stops.
pub fn start(id: NodeId, commands: Commands, updates: Receiver<Update>) -> io::Result<()> {
    thread::Builder::new()
        .name(format!("bot {id}"))
        .spawn(move || play(id, &commands, &updates))
        .map(|_| ())
}

fn play(id: NodeId, commands: &Commands, updates: &Receiver<Update>) {
    let mut rng = rand::rng();
    let mut board: Vec<Player> = Vec::new();
    loop {
        let until = Instant::now() + Duration::from_millis(rng.random_range(THINKS));
        loop {
            match updates.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(Update::Order(_, players)) => board = players,
                Ok(Update::View(view)) => board = view.board,
                Ok(Update::Stopped(_)) | Err(RecvTimeoutError::Disconnected) => return,
                Ok(_) => {}
                Err(RecvTimeoutError::Timeout) => break,
            }
        }
        if let Some(target) = targets(id, &board).choose(&mut rng)
            && !commands.send(format!("attack {target}"))
        {
            return;
        }
    }
}

/// Whom a bot may attack: any other player who is alive, while it is alive itself.
fn targets(id: NodeId, board: &[Player]) -> Vec<NodeId> {
    let is_alive = board.iter().any(|player| player.id == id && player.alive());
    board
        .iter()
        .filter(|player| is_alive && player.id != id && player.alive())
        .map(|player| player.id)
        .collect()
}

/// Two views of one node: the screen, and the bot that plays at it.
pub struct Both<A, B>(pub A, pub B);

impl<A: Orders, B: Orders> Orders for Both<A, B> {
    fn offer(&self, update: Update) -> bool {
        let first = self.0.offer(update.clone());
        self.1.offer(update) && first
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn board(hp: &[u32]) -> Vec<Player> {
        (1..)
            .zip(hp)
            .map(|(id, &hp)| Player {
                hp,
                ..Player::new(id, format!("bob{id}"))
            })
            .collect()
    }

    #[test]
    fn a_bot_attacks_the_living_and_never_itself() {
        assert_eq!(targets(2, &board(&[100, 40, 0, 10])), [1, 4]);
    }

    #[test]
    fn a_dead_bot_and_the_winner_are_quiet() {
        assert!(targets(1, &board(&[0, 40])).is_empty());
        assert!(targets(2, &board(&[0, 40])).is_empty());
    }
}
