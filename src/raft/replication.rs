//! Log replication (5.3) and the rule of commitment (5.4.2).
//!
//! The leader sends each peer what follows the last index on which both agree. A peer whose log
//! disagrees says where, and the leader goes back; what conflicts with the leader's log is
//! overwritten. An entry of the leader's own term that a majority has stored is committed, and
//! with it everything before it.

use super::message::{
    AppendEntries, AppendEntriesReply, AppendOutcome, CallId, Entry, InstallSnapshot, Reply,
    Request,
};
use super::progress::{Sent, SentAppend};
use super::ready::Send;
use super::role::Role;
use super::{NodeId, Raft, Rejected};

impl Raft {
    /// AppendEntries RPC, receiver (figure 2).
    pub(super) fn handle_append_entries(
        &mut self,
        request: AppendEntries,
    ) -> Result<Reply, Rejected> {
        check_contiguous(&request)?;
        // 1. Reply false if term < currentTerm.
        if request.term < self.current_term {
            return Ok(self.append_reply(AppendOutcome::Conflict {
                term: None,
                index: self.log.last_index() + 1,
            }));
        }
        self.check_only_leader(request.term, request.leader_id)?;
        let prev_log_index = request.prev_log_index;
        let conflict = self.first_conflict(&request)?;
        self.become_follower(request.term, Some(request.leader_id));
        self.reset_election_timer();
        // Whoever is sent entries needs no snapshot any more.
        self.staged = None;

        if planted!(CommitBeforeMatch) {
            let last_index = self.log.last_index();
            self.commit_index = self.commit_index.max(request.leader_commit.min(last_index));
        }
        // 2. Reply false if the log has no entry at prevLogIndex whose term is prevLogTerm. What a
        // snapshot covers is committed, so the leader has it too.
        let is_covered = prev_log_index < self.log.base_index();
        if !is_covered && self.log.term_at(prev_log_index) != Some(request.prev_log_term) {
            return Ok(self.append_reply(self.conflict_hint(prev_log_index)));
        }
        // 3. Delete a conflicting entry and all that follow it. Only a real conflict: an older
        // request that arrives late must not erase what came after it.
        let matched = prev_log_index + request.entries.len() as u64;
        if let Some(index) = conflict {
            self.truncate(index);
        } else if planted!(TruncateAlways) && self.log.last_index() > prev_log_index {
            self.truncate(prev_log_index + 1);
        }
        // 4. Append what is not yet there.
        for entry in request.entries {
            if entry.index > self.log.last_index() {
                self.append(entry);
            }
        }
        // 5. What the leader has committed is committed here, as far as this request has shown
        // that the two logs agree.
        let verified = if planted!(CommitPastVerified) {
            self.log.last_index()
        } else {
            matched
        };
        self.commit_index = self.commit_index.max(request.leader_commit.min(verified));
        let matched = if planted!(AcknowledgeLastIndex) {
            self.log.last_index()
        } else {
            matched
        };
        Ok(self.append_reply(AppendOutcome::Matched(matched)))
    }

    /// A term has one leader; a second one is refused before anything changes.
    pub(super) fn check_only_leader(&self, term: u64, from: NodeId) -> Result<(), Rejected> {
        let other = self.leader().is_some_and(|leader| leader != from);
        if term == self.current_term && other {
            return Err(Rejected::SecondLeader { from, term });
        }
        Ok(())
    }

    /// The first entry of the request that conflicts with ours, if `prev_log_index` matches. A
    /// conflict with what is committed cannot come from a correct cluster; it is refused before
    /// anything changes.
    fn first_conflict(&self, request: &AppendEntries) -> Result<Option<u64>, Rejected> {
        let prev = request.prev_log_index;
        let differs = |index, term| self.log.term_at(index).is_some_and(|ours| ours != term);
        let first = if differs(prev, request.prev_log_term) {
            Some(prev)
        } else {
            request
                .entries
                .iter()
                .find(|entry| differs(entry.index, entry.term))
                .map(|entry| entry.index)
        };
        match first {
            Some(index) if index <= self.commit_index => Err(Rejected::Contradicts { index }),
            Some(index) if index == prev => Ok(None),
            first => Ok(first),
        }
    }

    /// Where the logs part, one whole term at a time (end of 5.3).
    fn conflict_hint(&self, prev_log_index: u64) -> AppendOutcome {
        match self.log.term_at(prev_log_index) {
            Some(term) => AppendOutcome::Conflict {
                term: Some(term),
                index: self.log.first_index_of_term_at(prev_log_index),
            },
            None => AppendOutcome::Conflict {
                term: None,
                index: self.log.last_index() + 1,
            },
        }
    }

    fn append_reply(&self, outcome: AppendOutcome) -> Reply {
        Reply::AppendEntries(AppendEntriesReply {
            term: self.current_term,
            outcome,
        })
    }

    /// An answer to one of this leader's requests, in the current term.
    pub(super) fn handle_append_reply(
        &mut self,
        from: NodeId,
        call: CallId,
        reply: &AppendEntriesReply,
    ) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(progress) = leader.progress.get_mut(&from) else {
            return;
        };
        let Some(sent) = progress.answered(call, self.now) else {
            return;
        };
        let Sent::Append(sent) = sent else {
            // An answer of the wrong kind is none.
            progress.is_suspect = true;
            return;
        };
        match reply.outcome {
            AppendOutcome::Matched(index) if index == sent.last_log_index => {
                progress.matched(index, sent.commit);
            }
            AppendOutcome::Conflict { term, index }
                if (1..=sent.prev_log_index).contains(&index) =>
            {
                progress.conflicted(sent.prev_log_index, term, index, &self.log);
            }
            // Nonsense. Ask again with the next heartbeat, as if nothing had been said.
            AppendOutcome::Matched(_) | AppendOutcome::Conflict { .. } => {
                progress.is_suspect = true;
            }
        }
        self.move_on();
    }

    /// A peer has answered this leader, or its own disk has: whatever that makes possible.
    pub(super) fn move_on(&mut self) {
        self.advance_commit_index();
        self.confirm_reads();
        self.hand_over();
        self.replicate();
    }

    /// Commits what a quorum has stored, if it is of this term (5.4.2): an entry of an earlier
    /// term may be on a majority and still be overwritten (figure 8).
    pub(super) fn advance_commit_index(&mut self) {
        let Role::Leader(leader) = &self.role else {
            return;
        };
        let own = if planted!(CountUnsaved) {
            self.log.last_index()
        } else {
            leader.saved_index
        };
        let reached = self.configuration().reached(|id| {
            let progress = leader.progress.get(&id);
            progress.map_or(own, |progress| progress.match_index)
        });
        if reached > self.commit_index
            && (self.log.term_at(reached) == Some(self.current_term) || planted!(CommitEarlierTerm))
        {
            self.commit_index = reached;
            self.follow_configuration();
        }
    }

    /// Sends to every peer that has nothing under way and something to hear: entries, a new commit
    /// index, a part of a snapshot where the entries are not kept any more, or a heartbeat.
    pub(super) fn replicate(&mut self) {
        let (now, last_index) = (self.now, self.log.last_index());
        let (configured_at, configuration) = self.configurations.latest();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let round = leader.round;
        let reads = leader.reads.last().map_or(0, |(round, _)| *round);
        // Whoever has left and knows it, or cannot be told, is left alone.
        leader.progress.retain(|_, progress| {
            progress
                .leaves_at
                .is_none_or(|at| now < at && progress.told_commit < configured_at)
        });
        for (&to, progress) in &mut leader.progress {
            let reads = if configuration.is_voter(to) { reads } else { 0 };
            if !progress.is_due(last_index, self.commit_index, reads, now) {
                continue;
            }
            let prev_log_index = progress.next_index - 1;
            let call = self.next_call;
            self.next_call += 1;
            progress.heartbeat_at = now + self.config.heartbeat;
            let Some(prev_log_term) = self.log.term_at(prev_log_index) else {
                let snapshot = self.snapshot.as_ref();
                let snapshot = snapshot.expect("what the log lacks, a snapshot covers");
                let (sent, part) = progress.next_part(snapshot, self.config.max_part_bytes);
                progress.sent(call, sent, round);
                self.ready.send.push(Send {
                    to,
                    call,
                    request: Request::InstallSnapshot(InstallSnapshot {
                        term: self.current_term,
                        leader_id: self.config.id,
                        ..part
                    }),
                });
                continue;
            };
            progress.sending = None;
            let entries = if progress.is_suspect {
                Vec::new()
            } else {
                self.log.batch(
                    progress.next_index,
                    self.config.max_batch_entries,
                    self.config.max_batch_bytes,
                )
            };
            let last_log_index = prev_log_index + entries.len() as u64;
            let sent = Sent::Append(SentAppend {
                prev_log_index,
                last_log_index,
                commit: self.commit_index.min(last_log_index),
            });
            progress.sent(call, sent, round);
            self.ready.send.push(Send {
                to,
                call,
                request: Request::AppendEntries(AppendEntries {
                    term: self.current_term,
                    leader_id: self.config.id,
                    prev_log_index,
                    prev_log_term,
                    entries,
                    leader_commit: self.commit_index,
                }),
            });
        }
    }
}

/// Entries follow `prev_log_index` one by one, and their terms never decrease nor pass the leader's.
fn check_contiguous(request: &AppendEntries) -> Result<(), Rejected> {
    let mut before = (request.prev_log_index, request.prev_log_term);
    if before.0 > i64::MAX as u64 - request.entries.len() as u64 {
        return Err(Rejected::Malformed("prev_log_index is out of range"));
    }
    if (before.0 == 0) != (before.1 == 0) {
        return Err(Rejected::Malformed("index 0, and no other, has term 0"));
    }
    for &Entry { index, term, .. } in &request.entries {
        if index != before.0 + 1 {
            return Err(Rejected::Malformed("the entries have a gap"));
        }
        if term < before.1 || term == 0 {
            return Err(Rejected::Malformed("the entries' terms go back"));
        }
        before = (index, term);
    }
    if before.1 > request.term {
        return Err(Rejected::Malformed("an entry is newer than its leader"));
    }
    Ok(())
}
