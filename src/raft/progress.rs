//! What a leader knows of one peer.
//!
//! The parent decides, this leaf keeps the arithmetic: where to send from, what is under way, and
//! how far a reply moves either. One request is under way at a time. While it is, new entries
//! gather, and they leave together in the next one.

use super::log::Log;
use super::message::{CallId, InstallSnapshot};
use super::ready::Snapshot;

/// One peer's log, as far as its replies tell.
#[derive(Clone, Debug)]
pub(super) struct Progress {
    /// Index of the next entry to send; at least 1.
    pub next_index: u64,
    /// Highest index known to be the same there; 0 at the start of a term.
    pub match_index: u64,
    /// The snapshot that the peer is being sent, because it lacks entries that are not kept.
    pub sending: Option<Sending>,
    /// The request that has not been answered yet.
    pub in_flight: Option<InFlight>,
    /// The highest commit index that the peer is known to have been told of.
    pub told_commit: u64,
    /// When it answered last; at first, when the term began.
    pub heard_at: u64,
    /// When the next request is due even if there is nothing to say.
    pub heartbeat_at: u64,
    /// The round of reads in which the last request was sent, ...
    pub asked_round: u64,
    /// ... and the latest one of which an answer has come: the peer took this node for the leader
    /// after all reads of that round had been asked for.
    pub confirmed_round: u64,
    /// The peer is no member any more. It is told so, if it can be reached before that time.
    pub leaves_at: Option<u64>,
    /// The last request was not answered. Until one is, only empty heartbeats are sent: a peer that
    /// is gone costs one small attempt per heartbeat interval, however many commands arrive.
    pub is_suspect: bool,
}

/// A request under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct InFlight {
    pub call: CallId,
    pub sent: Sent,
    /// The round of reads in which it was sent.
    pub round: u64,
}

/// What was asked.
#[derive(Clone, Copy, Debug)]
pub(super) enum Sent {
    Append(SentAppend),
    /// A part of the snapshot under way; without bytes it was a heartbeat.
    Part {
        start: u64,
        end: u64,
    },
    /// To start an election.
    TimeoutNow,
}

/// An AppendEntries.
#[derive(Clone, Copy, Debug)]
pub(super) struct SentAppend {
    pub prev_log_index: u64,
    /// Index of the last entry that it speaks of.
    pub last_log_index: u64,
    /// The commit index that the peer will have once it has agreed to this request.
    pub commit: u64,
}

/// A snapshot on its way to a peer. It stays the same one until it has arrived, whatever snapshots
/// the leader takes meanwhile.
#[derive(Clone, Debug)]
pub(super) struct Sending {
    pub snapshot: Snapshot,
    /// The peer has what comes before this byte.
    pub offset: u64,
}

impl Progress {
    /// A new leader's guess: the peer has all that the leader has (figure 2, volatile state on
    /// leaders).
    pub fn new(last_index: u64, now: u64) -> Progress {
        Progress {
            next_index: last_index + 1,
            match_index: 0,
            sending: None,
            in_flight: None,
            told_commit: 0,
            heard_at: now,
            heartbeat_at: now,
            asked_round: 0,
            confirmed_round: 0,
            leaves_at: None,
            is_suspect: false,
        }
    }

    /// Whether there is a reason to send now. `round`: the latest one whose reads wait for this
    /// peer, 0 for none.
    pub fn is_due(&self, last_index: u64, commit_index: u64, round: u64, now: u64) -> bool {
        self.in_flight.is_none()
            && (now >= self.heartbeat_at
                || (!self.is_suspect
                    && (self.sending.is_some()
                        || self.next_index <= last_index
                        || self.told_commit < commit_index.min(self.match_index)
                        || self.asked_round < round)))
    }

    /// Something is under way.
    pub fn sent(&mut self, call: CallId, sent: Sent, round: u64) {
        self.in_flight = Some(InFlight { call, sent, round });
        self.asked_round = round;
    }

    /// The peer agrees up to `index`.
    pub fn matched(&mut self, index: u64, told_commit: u64) {
        self.match_index = self.match_index.max(index);
        self.next_index = self.next_index.max(self.match_index + 1);
        self.told_commit = self.told_commit.max(told_commit);
    }

    /// The peer refused `prev_log_index`. Moves back by a whole term (end of 5.3), and always by
    /// at least one, so that the same question is never asked twice.
    pub fn conflicted(&mut self, prev_log_index: u64, term: Option<u64>, index: u64, log: &Log) {
        let hint = term
            .and_then(|term| log.last_index_of_term(term))
            .map_or(index, |last| last + 1);
        if !planted!(HintIgnored) {
            self.next_index = hint.clamp(1, prev_log_index.max(1));
        }
        // A refusal at or below what once matched: the peer has lost its log. Believe it, or it
        // would never be filled again.
        self.match_index = self.match_index.min(self.next_index - 1);
    }

    /// The answer to the request named `call` is there. Returns what was asked, if it is the one
    /// under way.
    pub fn answered(&mut self, call: CallId, now: u64) -> Option<Sent> {
        let in_flight = self.in_flight.take_if(|sent| sent.call == call)?;
        self.is_suspect = false;
        self.heard_at = now;
        self.confirmed_round = self.confirmed_round.max(in_flight.round);
        Some(in_flight.sent)
    }

    /// The next part of the snapshot under way, or the first part of this one. A suspect gets an
    /// empty part.
    pub fn next_part(&mut self, latest: &Snapshot, max_bytes: usize) -> (Sent, InstallSnapshot) {
        let sending = self.sending.get_or_insert_with(|| Sending {
            snapshot: latest.clone(),
            offset: 0,
        });
        let Sending { snapshot, offset } = sending;
        let rest = &snapshot.data[*offset as usize..];
        let data = match self.is_suspect {
            true => &[],
            false => &rest[..rest.len().min(max_bytes)],
        };
        let start = *offset;
        let end = start + data.len() as u64;
        let part = InstallSnapshot {
            term: 0,
            leader_id: 0,
            last_included_index: snapshot.last_index,
            last_included_term: snapshot.last_term,
            configuration: snapshot.configuration.clone(),
            offset: start,
            data: data.to_vec(),
            done: end == snapshot.data.len() as u64,
        };
        (Sent::Part { start, end }, part)
    }

    /// The peer has the whole snapshot.
    pub fn installed(&mut self) {
        if let Some(Sending { snapshot, .. }) = self.sending.take() {
            self.matched(snapshot.last_index, snapshot.last_index);
        }
    }

    /// The peer waits for the snapshot's bytes from `offset` on. Returns whether that can be.
    pub fn wants_part(&mut self, offset: u64) -> bool {
        let Some(sending) = &mut self.sending else {
            return false;
        };
        let possible = offset <= sending.snapshot.data.len() as u64;
        if possible {
            sending.offset = offset;
        }
        possible
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after_conflict(terms: &[u64], prev: u64, term: Option<u64>, index: u64) -> u64 {
        let mut progress = Progress::new(terms.len() as u64, 0);
        progress.conflicted(prev, term, index, &Log::of_terms(terms));
        progress.next_index
    }

    #[test]
    fn a_log_that_is_too_short_is_met_at_its_end() {
        assert_eq!(after_conflict(&[1, 1, 1, 1], 4, None, 2), 2);
    }

    #[test]
    fn a_term_that_the_leader_lacks_is_skipped_as_a_whole() {
        // Follower: 4 4 4 4 from index 2 on; the leader has no term 4.
        assert_eq!(after_conflict(&[1, 5, 5, 5, 5], 5, Some(4), 2), 2);
    }

    #[test]
    fn a_term_that_the_leader_has_is_met_after_its_last_entry_there() {
        assert_eq!(after_conflict(&[1, 4, 4, 5, 5], 5, Some(4), 1), 4);
    }

    #[test]
    fn a_hint_that_does_not_move_back_moves_back_by_one_all_the_same() {
        assert_eq!(after_conflict(&[1, 1, 1], 3, None, 9), 3);
        assert_eq!(after_conflict(&[1, 1, 1], 3, Some(1), 9), 3);
        assert_eq!(after_conflict(&[1, 1, 1], 1, None, 0), 1);
    }
}
