//! Snapshots instead of old entries (section 7).
//!
//! A node that has applied enough hands the core a snapshot of its state machine, and the core
//! forgets the entries before it, but for a tail that spares slow followers the snapshot
//! ([`Raft::compact`]). A leader whose peer needs an entry that is not kept sends its snapshot, in
//! parts, one request at a time as with entries; the follower gathers the parts in memory, checks
//! the whole, and only then changes anything, all at once.
//!
//! A snapshot holds nothing but committed entries. So one that ends at or before a follower's
//! commit index tells it nothing new, and one that ends later takes the place of whatever
//! uncommitted entries contradict it.
//!
//! Caveats: the parts gathered so far are forgotten when the follower restarts or the leader
//! changes, and the transfer begins again. Leader and follower hold the whole snapshot in memory.

use std::sync::Arc;

use super::configuration::{Configuration, Configurations};
use super::message::{CallId, InstallOutcome, InstallSnapshot, InstallSnapshotReply, Reply};
use super::progress::Sent;
use super::ready::{LogAfterSnapshot, Ready, SaveSnapshot, Snapshot};
use super::role::Role;
use super::{Log, NodeId, Raft, Rejected};

/// The parts of a snapshot that have arrived.
#[derive(Clone, Debug)]
pub(super) struct Staged {
    /// The term of the leader that sends it: two leaders' parts are never mixed.
    term: u64,
    last_index: u64,
    last_term: u64,
    configuration: Arc<Configuration>,
    data: Vec<u8>,
}

impl Staged {
    fn belongs_to(&self, request: &InstallSnapshot) -> bool {
        let Staged {
            term,
            last_index,
            last_term,
            ref configuration,
            data: _,
        } = *self;
        (term, last_index, last_term, configuration)
            == (
                request.term,
                request.last_included_index,
                request.last_included_term,
                &request.configuration,
            )
    }
}

impl Raft {
    /// The state machine has been written down: the log need not keep the entries before
    /// `keep_from`. Entries up to the end of a snapshot that a peer is just being sent are kept all
    /// the same, within bounds, so that the peer can go on from there.
    pub fn compact(&mut self, snapshot: Snapshot, keep_from: u64) -> Ready {
        let last_index = snapshot.last_index;
        assert!(
            last_index <= self.last_applied,
            "a snapshot holds what has been applied"
        );
        assert!(
            self.snapshot
                .as_ref()
                .is_none_or(|s| s.last_index < last_index),
            "a snapshot is later than the one before"
        );
        assert!(
            self.log.term_at(last_index) == Some(snapshot.last_term),
            "a snapshot's term is that of its last entry"
        );
        check!(
            snapshot.configuration == *self.configurations.at(last_index),
            "a snapshot has the configuration of its last entry"
        );
        let mut keep_from = keep_from.min(last_index + 1);
        if let Role::Leader(leader) = &self.role {
            for progress in leader.progress.values() {
                if let Some(sending) = &progress.sending
                    && !progress.is_suspect
                    && last_index - sending.snapshot.last_index <= self.config.keep_while_sending
                {
                    keep_from = keep_from.min(sending.snapshot.last_index + 1);
                }
            }
        }
        let keep_from = keep_from.max(self.log.base_index() + 1);
        self.log.compact(keep_from - 1);
        self.configurations.forget(last_index);
        self.keep(snapshot, LogAfterSnapshot::KeepFrom(keep_from));
        self.finish()
    }

    fn keep(&mut self, snapshot: Snapshot, log: LogAfterSnapshot) {
        self.snapshot = Some(snapshot.clone());
        let save = self.ready.save.get_or_insert_default();
        save.snapshot = Some(SaveSnapshot { snapshot, log });
    }

    /// InstallSnapshot RPC, receiver (figure 13).
    pub(super) fn handle_install_snapshot(
        &mut self,
        request: InstallSnapshot,
    ) -> Result<Reply, Rejected> {
        let (last_index, last_term) = (request.last_included_index, request.last_included_term);
        let end = request.offset.saturating_add(request.data.len() as u64);
        if last_index == 0 || last_index > i64::MAX as u64 {
            return Err(Rejected::Malformed("the snapshot's index is out of range"));
        }
        if last_term == 0 || last_term > request.term {
            return Err(Rejected::Malformed("the snapshot's term is out of range"));
        }
        if end > self.config.max_snapshot_bytes as u64 {
            return Err(Rejected::Malformed("the snapshot is too large"));
        }
        // 1. Reply immediately if term < currentTerm.
        if request.term < self.current_term {
            return Ok(self.install_reply(InstallOutcome::Next(0)));
        }
        self.check_only_leader(request.term, request.leader_id)?;
        let ours = self.log.term_at(last_index);
        if last_index <= self.commit_index && ours.is_some_and(|term| term != last_term) {
            return Err(Rejected::Contradicts { index: last_index });
        }
        if last_index <= self.commit_index && !planted!(InstallOld) {
            self.hear(&request);
            return Ok(self.install_reply(InstallOutcome::Installed));
        }
        // 2. Create a new snapshot file if first chunk. 3. Write data at the offset.
        let known = self.staged.take_if(|staged| staged.belongs_to(&request));
        let mut staged = known.unwrap_or_else(|| Staged {
            term: request.term,
            last_index,
            last_term,
            configuration: request.configuration.clone(),
            data: Vec::new(),
        });
        // A part may come again: its answer was lost, or it comes late.
        let has = staged.data.len() as u64;
        if request.offset <= has {
            let new = request.data.get((has - request.offset) as usize..);
            staged.data.extend_from_slice(new.unwrap_or_default());
        }
        // 4. Reply and wait for more data chunks if done is false.
        let has = staged.data.len() as u64;
        if !request.done || has != end {
            self.hear(&request);
            self.staged = Some(staged);
            return Ok(self.install_reply(InstallOutcome::Next(has)));
        }
        let snapshot = Snapshot {
            last_index,
            last_term,
            configuration: staged.configuration,
            data: staged.data.into(),
        };
        // Refused before anything changes, like any other nonsense.
        (self.config.check_snapshot.0)(&snapshot).map_err(Rejected::BadSnapshot)?;
        self.hear(&request);
        self.install(snapshot);
        Ok(self.install_reply(InstallOutcome::Installed))
    }

    /// This is the leader of its term.
    fn hear(&mut self, request: &InstallSnapshot) {
        self.become_follower(request.term, Some(request.leader_id));
        self.reset_election_timer();
    }

    /// 5 to 8: the snapshot takes the place of every earlier one and of the log, but for the
    /// entries after an entry that is the snapshot's last one.
    fn install(&mut self, snapshot: Snapshot) {
        let (last_index, last_term) = (snapshot.last_index, snapshot.last_term);
        let configuration = snapshot.configuration.clone();
        let log = if self.log.term_at(last_index) == Some(last_term) {
            self.log.compact(last_index);
            LogAfterSnapshot::KeepFrom(last_index + 1)
        } else if planted!(LogKeptOverSnapshot) && self.log.last_index() > last_index {
            let entries = self.log.from(last_index + 1).to_vec();
            self.log = Log::after(last_index, last_term, entries);
            LogAfterSnapshot::KeepFrom(last_index + 1)
        } else {
            self.log = Log::after(last_index, last_term, Vec::new());
            LogAfterSnapshot::Discard
        };
        self.configurations = Configurations::new(last_index, configuration);
        for entry in self.log.from(last_index + 1) {
            if let Some(configuration) = entry.payload.configuration() {
                self.configurations
                    .append(entry.index, configuration.clone());
            }
        }
        self.commit_index = last_index;
        self.last_applied = last_index;
        self.ready.install = Some(snapshot.clone());
        self.keep(snapshot, log);
    }

    fn install_reply(&self, outcome: InstallOutcome) -> Reply {
        Reply::InstallSnapshot(InstallSnapshotReply {
            term: self.current_term,
            outcome,
        })
    }

    /// An answer to one of this leader's parts, in the current term.
    pub(super) fn handle_install_reply(
        &mut self,
        from: NodeId,
        call: CallId,
        reply: &InstallSnapshotReply,
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
        match (sent, reply.outcome) {
            (Sent::Part { .. }, InstallOutcome::Installed) => progress.installed(),
            (Sent::Part { start, end }, InstallOutcome::Next(offset))
                if progress.wants_part(offset) =>
            {
                // Bytes that were of no use: not again before the next heartbeat.
                progress.is_suspect = start < end && offset < end;
            }
            _ => progress.is_suspect = true,
        }
        self.move_on();
    }
}
