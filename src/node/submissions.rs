//! The commands that this node is waiting for.
//!
//! A submission starts out *waiting* for a leader, is *sent* to one (or appended here, where this
//! node leads), stands *placed* at a term and index once the leader has said so, and is settled
//! when this node has applied an entry with its identity. Nothing here is replicated: it is one
//! node's memory of who wants an answer.
//!
//! A placed command can be overwritten by another leader's entries. Terms never decrease along a
//! log, so this is seen as soon as an entry of a later term is applied at or before its place; the
//! command then waits again. Sending it twice is harmless, because the session table applies it
//! once.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::command::Command;
use crate::machine::{Answer, Order};
use crate::raft::{CallId, Entry};

/// How long a client waits for the outcome, in milliseconds.
pub const OUTCOME_WITHIN: u64 = 5_000;
/// How long a command may wait for a leader to turn up, in milliseconds.
pub const LEADER_WITHIN: u64 = 2_000;

/// Who waits for an outcome.
#[derive(Clone, Debug)]
pub enum Waiter<T> {
    /// Someone who asked over the network.
    Caller(T),
    /// Someone who writes to the store, and is told what came of it in the store's terms.
    Writer(T),
    /// This node's own player.
    Player,
}

/// Every command under way from here, by identity.
#[derive(Debug)]
pub struct Submissions<T> {
    by_identity: BTreeMap<(String, u64), Submission<T>>,
    /// The forward under way, if any. One at a time: while it is, commands gather for the next.
    forward: Option<CallId>,
}

#[derive(Debug)]
struct Submission<T> {
    command: Arc<Command>,
    stage: Stage,
    /// An earlier attempt may have put it into some leader's log.
    maybe_appended: bool,
    /// Who waits, and since when.
    waiters: Vec<(u64, Waiter<T>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To be sent, not before the time given.
    Waiting(u64),
    /// Under way to the leader in that call.
    Sent(CallId),
    /// In a leader's log.
    Placed { term: u64, index: u64 },
}

/// A submission that has waited too long, or of which nothing can be known any more.
#[derive(Debug)]
pub struct GivenUp<T> {
    /// Who waited.
    pub waiter: Waiter<T>,
    /// For what.
    pub text: String,
    /// Whether it may still be applied some day.
    pub maybe_appended: bool,
}

/// What a snapshot means for those who wait.
#[derive(Debug)]
pub struct Installed<T> {
    /// Whose command is in it, with the answer.
    pub settled: Vec<(Waiter<T>, Answer)>,
    /// Whose command may be in it, and nobody can tell.
    pub given_up: Vec<GivenUp<T>>,
}

impl<T> Default for Submissions<T> {
    fn default() -> Self {
        Submissions {
            by_identity: BTreeMap::new(),
            forward: None,
        }
    }
}

impl<T> Submissions<T> {
    /// Someone wants this applied. A command that is under way already gains one more waiter.
    pub fn add(&mut self, now: u64, command: Command, waiter: Waiter<T>) {
        let identity = (command.client.clone(), command.serial);
        self.by_identity
            .entry(identity)
            .or_insert_with(|| Submission {
                command: Arc::new(command),
                stage: Stage::Waiting(now),
                maybe_appended: false,
                waiters: Vec::new(),
            })
            .waiters
            .push((now, waiter));
    }

    /// What is ready to be sent: at most `max_commands`, and no more than fit into `max_bytes`
    /// when encoded, the first excepted.
    pub fn ready(&self, now: u64, max_commands: usize, max_bytes: usize) -> Vec<Arc<Command>> {
        let mut bytes = 0;
        let mut ready = Vec::new();
        for submission in self.by_identity.values() {
            if !matches!(submission.stage, Stage::Waiting(from) if from <= now) {
                continue;
            }
            bytes += Entry::frame_len() + submission.command.encoded_len();
            if ready.len() == max_commands || (bytes > max_bytes && !ready.is_empty()) {
                break;
            }
            ready.push(submission.command.clone());
        }
        ready
    }

    /// The forward under way.
    pub fn forward(&self) -> Option<CallId> {
        self.forward
    }

    /// These have left for the leader in that call.
    pub fn sent(&mut self, commands: &[Arc<Command>], call: CallId) {
        assert!(self.forward.is_none(), "one forward at a time");
        self.forward = Some(call);
        for command in commands {
            if let Some(submission) = self.get_mut(command) {
                submission.stage = Stage::Sent(call);
            }
        }
    }

    /// That call has ended, and nothing of it was placed: try again, not before `retry_at`.
    /// `reached`: the leader may have appended them all the same.
    pub fn returned(&mut self, call: CallId, retry_at: u64, reached: bool) {
        if self.forward == Some(call) {
            self.forward = None;
        }
        for submission in self.by_identity.values_mut() {
            if submission.stage == Stage::Sent(call) {
                submission.stage = Stage::Waiting(retry_at);
                submission.maybe_appended |= reached;
            }
        }
    }

    /// The leader, this node, has no room for these: try again, not before `retry_at`.
    pub fn postponed(&mut self, commands: &[Arc<Command>], retry_at: u64) {
        for command in commands {
            if let Some(submission) = self.get_mut(command) {
                submission.stage = Stage::Waiting(retry_at);
            }
        }
    }

    /// The leader of `term` has put `commands` at `index` and on; `applied` is the (term, index)
    /// that this node applied last, which may already be past them.
    pub fn placed(
        &mut self,
        commands: &[Arc<Command>],
        (term, index): (u64, u64),
        applied: (u64, u64),
        now: u64,
    ) {
        for (index, command) in (index..).zip(commands) {
            let Some(submission) = self.get_mut(command) else {
                continue;
            };
            submission.maybe_appended = true;
            submission.stage = if is_overwritten(term, index, applied) {
                Stage::Waiting(now)
            } else {
                Stage::Placed { term, index }
            };
        }
    }

    /// An order was applied. Returns who waited for it; whatever it shows to be overwritten waits
    /// for a leader again.
    pub fn applied(&mut self, order: &Order, now: u64) -> Vec<Waiter<T>> {
        let settled = order
            .origin
            .as_ref()
            .and_then(|identity| self.by_identity.remove(identity));
        for submission in self.by_identity.values_mut() {
            if let Stage::Placed { term, index } = submission.stage
                && is_overwritten(term, index, (order.term, order.index))
                && !planted!(OverwrittenForgotten)
            {
                submission.stage = Stage::Waiting(now);
            }
        }
        settled
            .into_iter()
            .flat_map(|submission| submission.waiters)
            .map(|(_, waiter)| waiter)
            .take(if planted!(WaiterForgotten) {
                1
            } else {
                usize::MAX
            })
            .collect()
    }

    /// A snapshot took the place of everything up to `applied`, (term, index). `answer` is what it
    /// says of a command; whatever it shows to be overwritten waits for a leader again. `forgetful`: the snapshot may have forgotten a command that is in it.
    /// What may be such a one is given up, for if it were sent again, it would be applied twice.
    pub fn installed(
        &mut self,
        applied: (u64, u64),
        now: u64,
        forgetful: bool,
        answer: impl Fn(&Command) -> Option<Answer>,
    ) -> Installed<T> {
        let (mut settled, mut given_up) = (Vec::new(), Vec::new());
        self.by_identity.retain(|_, submission| {
            if let Some(answer) = answer(&submission.command) {
                let waiters = std::mem::take(&mut submission.waiters).into_iter();
                settled.extend(waiters.map(|(_, waiter)| (waiter, answer.clone())));
                return false;
            }
            if forgetful && submission.maybe_appended() {
                let waiters = std::mem::take(&mut submission.waiters).into_iter();
                given_up.extend(waiters.map(|(_, waiter)| GivenUp {
                    waiter,
                    text: submission.command.text.clone(),
                    maybe_appended: true,
                }));
                return false;
            }
            if let Stage::Placed { term, index } = submission.stage
                && is_overwritten(term, index, applied)
            {
                submission.stage = Stage::Waiting(now);
            }
            true
        });
        Installed { settled, given_up }
    }

    /// Who has waited too long: anyone for the outcome, and where there is no leader, anyone whose
    /// command has never left this node.
    pub fn give_up(&mut self, now: u64, leaderless: bool) -> Vec<GivenUp<T>> {
        let mut given_up = Vec::new();
        self.by_identity.retain(|_, submission| {
            let patience = submission.patience(leaderless);
            let (gone, kept) = std::mem::take(&mut submission.waiters)
                .into_iter()
                .partition(|(since, _)| since + patience <= now);
            submission.waiters = kept;
            given_up.extend(gone.into_iter().map(|(_, waiter)| GivenUp {
                waiter,
                text: submission.command.text.clone(),
                maybe_appended: submission.maybe_appended(),
            }));
            !submission.waiters.is_empty()
        });
        given_up
    }

    /// When `give_up` or `ready` next has something new to say.
    pub fn deadline(&self, leaderless: bool) -> Option<u64> {
        self.by_identity
            .values()
            .flat_map(|submission| {
                let patience = submission.patience(leaderless);
                let retry = match submission.stage {
                    // Without a leader there is nothing to do when the time comes.
                    Stage::Waiting(from) if !leaderless && self.forward.is_none() => Some(from),
                    _ => None,
                };
                let oldest = submission.waiters.first();
                oldest
                    .map(|(since, _)| since + patience)
                    .into_iter()
                    .chain(retry)
            })
            .min()
    }

    fn get_mut(&mut self, command: &Command) -> Option<&mut Submission<T>> {
        // A tuple of owned strings is the key, so looking up takes a copy of a short one.
        self.by_identity
            .get_mut(&(command.client.clone(), command.serial))
    }
}

impl<T> Submission<T> {
    /// It may be in some leader's log: giving up now means "unknown", not "no".
    fn maybe_appended(&self) -> bool {
        self.maybe_appended || matches!(self.stage, Stage::Sent(_))
    }

    fn patience(&self, leaderless: bool) -> u64 {
        if leaderless && !self.maybe_appended() {
            LEADER_WITHIN
        } else {
            OUTCOME_WITHIN
        }
    }
}

/// Whether the entry that a leader of `term` put at `index` can no longer be committed, given what
/// was applied last: its place is taken, or a later term has begun at or before it.
pub(super) fn is_overwritten(
    term: u64,
    index: u64,
    (applied_term, applied_index): (u64, u64),
) -> bool {
    applied_index >= index || applied_term > term
}
