//! The two queues between a view and its node.
//!
//! **Commands** flow from the view to the node: [`Commands`] is a sender into the driver's inbox
//! that can say nothing but "my player wants this". **Orders** flow from the node to the view: an
//! [`Update`] for everything that the view shows. Nothing else joins the two: the view reads no
//! state of the node, and the node never waits for the view.
//!
//! The orders queue is bounded. A view that has stopped reading (a terminal on hold) loses
//! updates rather than holding memory; each update carries whole facts (the board, not a change to
//! it), so that the next one which gets through makes the screen right again.

use std::sync::Arc;
use std::sync::mpsc;

use crate::game::{Player, Ruin};
use crate::machine::Order;
use crate::raft::{NodeId, RoleName};

pub use crate::status::{PeerStatus, Status};

/// How many updates may wait for a view before further ones are dropped.
pub const ORDERS_CAPACITY: usize = 4096;

/// What a node tells its view.
#[derive(Clone, Debug, PartialEq)]
pub enum Update {
    /// An entry was committed and applied here; the board as it stands after it.
    Order(Order, Vec<Player>),
    /// This node's role, term or leader changed. Every change is told, in order.
    Role(RoleName, u64, Option<NodeId>),
    /// This node as it stands: sent after changes, at most sixty times a second.
    View(View),
    /// What a peer answered when it was asked how it stands; `None`: it did not answer.
    Peer(NodeId, Option<Status>),
    /// A command of this player did not become an order: no leader, or the outcome is unknown.
    Failed {
        /// Such as `attack 3`.
        text: String,
        /// One sentence for the player.
        reason: String,
    },
    /// Something that the player should know, such as a full disk: one sentence.
    Notice(String),
    /// The node has stopped; no further update follows.
    Stopped(String),
}

/// This node, its board and the end of its log.
#[derive(Clone, Debug, PartialEq)]
pub struct View {
    /// What `cluster.status()` answers.
    pub status: Status,
    /// Every player, in the order of their ids.
    pub board: Vec<Player>,
    /// What is left of those who have gone, oldest first.
    pub ruins: Vec<Ruin>,
    /// The last entries of the log, oldest first, at most [`View::TAIL`].
    pub tail: Vec<LogLine>,
}

impl View {
    /// How many entries of the log a view is shown.
    pub const TAIL: usize = 40;
}

/// One entry as the view shows it. It is committed when its index is at most
/// `status.commit_index`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogLine {
    /// Position in the log, from 1.
    pub index: u64,
    /// The term in which a leader appended it.
    pub term: u64,
    /// `attack 3`, or `noop`; printable.
    pub text: String,
}

/// The node's end of the orders queue.
///
/// A trait, because the view's inbox carries more than updates (keys, for one) and std's queues
/// have no select: the node is given a sender of whatever the view receives.
pub trait Orders: Send {
    /// Offers an update and does not wait. False when the view is gone or far behind.
    fn offer(&self, update: Update) -> bool;
}

impl<T: From<Update> + Send> Orders for mpsc::SyncSender<T> {
    fn offer(&self, update: Update) -> bool {
        self.try_send(update.into()).is_ok()
    }
}

/// The view's end of the commands queue.
///
/// It is a sender into the driver's inbox that can say nothing else.
#[derive(Clone)]
pub struct Commands(Arc<dyn Fn(String) -> bool + Send + Sync>);

impl Commands {
    /// Commands that go where `send` puts them; it says false when nobody reads there any more.
    pub(super) fn new(send: impl Fn(String) -> bool + Send + Sync + 'static) -> Commands {
        Commands(Arc::new(send))
    }

    /// A queue without a node: for whoever wants to see what a view asks for.
    pub fn channel() -> (Commands, mpsc::Receiver<String>) {
        let (sender, receiver) = mpsc::channel();
        let commands = Commands::new(move |text| sender.send(text).is_ok());
        (commands, receiver)
    }

    /// Asks for `text`, such as `attack 3`. False when the node has stopped.
    pub fn send(&self, text: impl Into<String>) -> bool {
        (self.0)(text.into())
    }
}
