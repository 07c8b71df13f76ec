//! Raft: how a cluster of nodes agrees on one order of commands.
//!
//! This is the algorithm of Ongaro and Ousterhout, "In Search of an Understandable Consensus
//! Algorithm (Extended Version)", in the paper's own words; section numbers in comments are its
//! sections. A node is a follower, a candidate or a leader ([`RoleName`]). The leader of a term
//! puts commands into its log and replicates them; an entry that a majority has stored is
//! committed, and is applied by every node in the same order.
//!
//! The core is a value without surroundings. It has no clock, no thread, no channel, no file, no
//! XML and no randomness but the seed that it was given:
//!
//! ```text
//!  tick(now)  propose(commands)  request(request)  reply(from, call, reply)  lost(to, call)  saved(mark)
//!      |             |                 |                    |                     |              |
//!      +-------------+-----------------+----- Raft ---------+---------------------+--------------+
//!      |             |                 |      |             |                     |              |
//!   read(id)   change(members)   transfer(to) |        introduce(ids)  compact(snapshot)  set_disk(how)
//!                                             |
//!                 Ready { send, save, after_save, reply, install, committed, reads }
//! ```
//!
//! Whoever runs it carries a [`Ready`] out, in the order that its documentation fixes. That is what
//! lets one core run under the game, the simulator and the tests.
//!
//! Time is a number of milliseconds that never goes back. `tick` tells it; the other inputs happen
//! at the time told last; [`Raft::deadline`] says when the next `tick` has something to do.
//!
//! What goes in and comes out is plain data, which serde can write; the core itself never does. That
//! is for [`trace`](crate::trace), which runs a core again over what it was told.
//!
//! Where to read on: `election` (5.2, 5.4.1), `replication` (5.3, 5.4.2), `membership` (6), `snapshot`
//! (7), `read` (8), `transfer` (dissertation 3.10), [`configuration`], [`log`], `progress` and
//! [`quorum`] (the leaves), [`message`] and [`ready`] (what goes in and out).
//!
//! Caveats:
//! - A request from a node that is neither a member nor introduced is refused and changes nothing.
//! - A leader that has lost contact with the majority goes on believing that it leads for up to an
//!   election timeout. It commits nothing meanwhile.
//! - The core trusts what it is told of saves: a disk that lies is not tolerated, and a node that
//!   returns without its term, vote and log is a different node under an old name (the paper's
//!   failure model excludes it; a majority of such nodes can lose committed entries).

use std::collections::{BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};
use serde::{Deserialize, Serialize};

use crate::command::Command;

mod bytes;
pub mod configuration;
mod election;
pub mod log;
mod membership;
pub mod message;
mod progress;
pub mod quorum;
mod read;
pub mod ready;
mod replication;
mod role;
mod snapshot;
mod transfer;
#[cfg(test)]
pub(crate) mod view;

pub use configuration::{Change, Configuration, Member, NotChanged, Standing};
pub use log::Log;
pub use message::*;
pub use read::NotRead;
pub use ready::*;
pub use role::RoleName;
pub use transfer::NotTransferred;

use configuration::Configurations;
use role::{Candidate, Follower, Leader, Role};
use snapshot::Staged;

/// A node's id: 1 and up, unique in its cluster.
pub type NodeId = u64;

/// What a core must know before it starts.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Config {
    /// This node.
    pub id: NodeId,
    /// Who belongs to the cluster as far as this node is told at its start. What its snapshot and
    /// its log say counts more. Empty for a node that is to join one.
    pub configuration: Configuration,
    /// Whether a leader whose log has no configuration yet puts this one into its first entry, so
    /// that whoever joins later finds it there.
    pub founds: bool,
    /// Shortest and longest election timeout, in milliseconds. Each timeout is drawn anew (5.2).
    pub election_timeout: (u64, u64),
    /// Longest silence of a leader, in milliseconds; well below the shortest election timeout.
    pub heartbeat: u64,
    /// A node asks who would vote for it before it enters a new term (PreVote, dissertation 9.6), so
    /// that one who comes back from behind a broken link disturbs nobody.
    pub pre_vote: bool,
    /// A leader that hears no majority for an election timeout steps down, and whoever hears a
    /// leader gives no vote (CheckQuorum and the rule of dissertation 4.2.3; 6.2).
    pub check_quorum: bool,
    /// Seeds the election timeouts.
    pub seed: u64,
    /// Most entries in one AppendEntries, so that every peer can decode it.
    pub max_batch_entries: usize,
    /// Most encoded bytes in one AppendEntries. A single entry may exceed it.
    pub max_batch_bytes: usize,
    /// How many entries that are not committed, or not on its own disk, fill a leader up. What is
    /// proposed at once while it is not full is taken as a whole.
    pub max_uncommitted: u64,
    /// The same in encoded bytes.
    pub max_uncommitted_bytes: usize,
    /// Most bytes of a snapshot in one InstallSnapshot.
    pub max_part_bytes: usize,
    /// A larger snapshot is not taken from a leader.
    pub max_snapshot_bytes: usize,
    /// How many entries more are kept for a peer that is being sent a snapshot, so that it can go
    /// on from the snapshot's end.
    pub keep_while_sending: u64,
    /// Asked before a leader's snapshot takes the place of anything.
    #[serde(skip)]
    pub check_snapshot: CheckSnapshot,
}

/// Whether the state machine can read a snapshot, or one sentence about why not.
#[derive(Clone)]
pub struct CheckSnapshot(pub Arc<Check>);

type Check = dyn Fn(&Snapshot) -> Result<(), String> + std::marker::Send + Sync;

impl Default for CheckSnapshot {
    /// Refuses every snapshot: who forgets to give a check is not to find out by a broken machine.
    fn default() -> CheckSnapshot {
        CheckSnapshot(Arc::new(|_| {
            Err("nobody can read snapshots here".to_string())
        }))
    }
}

impl fmt::Debug for CheckSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CheckSnapshot")
    }
}

/// How a node's disk stands, as far as elections are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Disk {
    /// Everything is saved.
    Ready,
    /// A save is under way. Such a node does not begin an election: its vote for itself would have
    /// to wait for the disk, and if the leader is silent that may be because this node's own
    /// answer, which waits for the disk as well, is what the leader waits for.
    Busy,
    /// There is no room. Such a node leads nobody: it steps down and does not campaign. It votes
    /// all the same, because that is always saved.
    Full,
}

/// One node's share of the algorithm.
#[derive(Clone, Debug)]
pub struct Raft {
    config: Config,

    // Persistent state (figure 2). Whatever changes it marks a save.
    /// Latest term this node has seen; starts at 0, only grows.
    current_term: u64,
    /// Who got this node's vote in `current_term`; cleared whenever the term grows.
    voted_for: Option<NodeId>,
    /// The entries that are kept; starts empty.
    log: Log,
    /// What stands in for the entries that are not; `None` before the first.
    snapshot: Option<Snapshot>,
    /// The configurations that log and snapshot hold, as far as they may still matter.
    configurations: Configurations,

    // Volatile state (figure 2). Starts with each start of the process at the snapshot's end.
    /// Highest index known to be committed; only grows.
    commit_index: u64,
    /// Highest index handed out to be applied; only grows, at most `commit_index`.
    last_applied: u64,

    role: Role,
    /// Who is known to be a member, though this log does not say so; the latest at the end.
    introduced: VecDeque<NodeId>,
    /// The parts of a snapshot that the leader is sending.
    staged: Option<Staged>,
    disk: Disk,
    /// The time told last.
    now: u64,
    rng: Xoshiro256PlusPlus,
    /// Names the next request.
    next_call: CallId,
    /// What this step has asked for so far; empty between steps.
    ready: Ready,
    /// Term and vote as they were last handed to the disk.
    saved_hard_state: HardState,
}

/// Where proposed commands stand in the log: at `index`, `index + 1`, ... in the order given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Proposed {
    /// The leader's term.
    pub term: u64,
    /// Index of the first of them.
    pub index: u64,
}

/// Why a proposal was not taken. Nothing was appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum NotProposed {
    /// This node does not lead; it may know who does.
    NotLeader(Option<NodeId>),
    /// Too many entries wait to be committed, or for this node's disk.
    Full,
    /// This leader is handing its office over.
    HandingOver,
}

/// Why a request was not processed. It changed no term and reset no timer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rejected {
    /// The sender is no member of this cluster, or is this very node.
    NotAMember(NodeId),
    /// The request contradicts itself.
    Malformed(&'static str),
    /// A second leader in the term of the first.
    SecondLeader {
        /// Who sent it.
        from: NodeId,
        /// The term in question.
        term: u64,
    },
    /// The sender's log lacks an entry that is committed here, or has another in its place.
    Contradicts {
        /// The committed index.
        index: u64,
    },
    /// The state machine cannot read the snapshot.
    BadSnapshot(String),
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejected::NotAMember(id) => write!(f, "node {id} is no other member of this cluster"),
            Rejected::Malformed(what) => write!(f, "malformed request: {what}"),
            Rejected::SecondLeader { from, term } => {
                write!(
                    f,
                    "node {from} claims term {term}, which has another leader"
                )
            }
            Rejected::Contradicts { index } => write!(
                f,
                "the sender's log contradicts entry {index}, which is committed here: \
                 too many nodes have lost their logs"
            ),
            Rejected::BadSnapshot(why) => write!(f, "the snapshot is of no use: {why}"),
        }
    }
}

impl std::error::Error for Rejected {}

impl Raft {
    /// A follower with what its disk remembers. Whoever calls gives the state machine the same
    /// snapshot.
    pub fn new(
        config: Config,
        hard_state: HardState,
        snapshot: Option<Snapshot>,
        log: Log,
    ) -> Raft {
        let (min, max) = config.election_timeout;
        assert!(
            config.heartbeat < min && min <= max,
            "a leader must be able to speak before followers lose patience"
        );
        let covered = snapshot.as_ref().map_or(0, |snapshot| snapshot.last_index);
        assert!(
            log.base_index() <= covered && covered <= log.last_index(),
            "snapshot and log leave no gap"
        );
        check!(
            log.last_term() <= hard_state.current_term,
            "a term is saved before its entries"
        );
        let configuration = match &snapshot {
            Some(snapshot) => snapshot.configuration.clone(),
            None => Arc::new(config.configuration.clone()),
        };
        // The snapshot stands for a configuration at or before its last entry.
        let mut configurations = Configurations::new(covered, configuration);
        for entry in log.from(covered + 1) {
            if let Some(configuration) = entry.payload.configuration() {
                configurations.append(entry.index, configuration.clone());
            }
        }
        let mut raft = Raft {
            current_term: hard_state.current_term,
            voted_for: hard_state.voted_for,
            log,
            snapshot,
            configurations,
            commit_index: covered,
            last_applied: covered,
            role: Role::Follower(Follower {
                leader: None,
                heard_at: 0,
                election_deadline: 0,
            }),
            introduced: VecDeque::new(),
            staged: None,
            disk: Disk::Ready,
            now: 0,
            // Two nodes with one seed must not draw the same timeouts forever.
            rng: Xoshiro256PlusPlus::seed_from_u64(
                config.seed ^ config.id.wrapping_mul(0x9e37_79b9_7f4a_7c15),
            ),
            next_call: 1,
            ready: Ready::default(),
            saved_hard_state: hard_state,
            config,
        };
        raft.reset_election_timer();
        raft
    }

    /// Time has come to `now`. Campaigns, or sends heartbeats, where that is due.
    pub fn tick(&mut self, now: u64) -> Ready {
        check!(now >= self.now, "time does not go back");
        self.now = now;
        let is_due = self.election_deadline().is_some_and(|at| now >= at);
        match &self.role {
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) if is_due => {
                match self.disk {
                    _ if !self.may_campaign() => self.postpone_election(),
                    Disk::Ready if self.config.pre_vote => self.become_pre_candidate(),
                    Disk::Ready => self.become_candidate(false),
                    Disk::Busy | Disk::Full => self.postpone_election(),
                }
            }
            Role::Follower(_) => {}
            Role::PreCandidate(_) | Role::Candidate(_) => self.ask_for_votes_again(),
            Role::Leader(leader)
                if now >= self.quorum_deadline(leader) && !planted!(LeadsAlone) =>
            {
                self.lose_the_lead();
            }
            Role::Leader(_) => {
                self.give_transfer_up();
                self.hand_over();
                self.replicate();
            }
        }
        self.finish()
    }

    fn election_deadline(&self) -> Option<u64> {
        match &self.role {
            Role::Follower(follower) => Some(follower.election_deadline),
            Role::PreCandidate(candidate) | Role::Candidate(candidate) => {
                Some(candidate.election_deadline)
            }
            Role::Leader(_) => None,
        }
    }

    /// When the next `tick` has something to do; `None`: only after another input.
    pub fn deadline(&self) -> Option<u64> {
        match &self.role {
            Role::Follower(follower) => Some(follower.election_deadline),
            Role::PreCandidate(candidate) | Role::Candidate(candidate) => {
                Some(candidate.election_deadline.min(candidate.retry_at))
            }
            Role::Leader(leader) => leader
                .progress
                .values()
                .filter(|progress| progress.in_flight.is_none())
                .map(|progress| progress.heartbeat_at)
                .chain([self.quorum_deadline(leader)])
                .chain(leader.transfer.map(|transfer| transfer.deadline))
                .min()
                .filter(|&at| at < u64::MAX),
        }
    }

    /// Appends commands to the leader's log and starts to replicate them (5.3).
    pub fn propose(
        &mut self,
        commands: impl IntoIterator<Item = Arc<Command>>,
    ) -> Result<(Proposed, Ready), NotProposed> {
        let Role::Leader(leader) = &self.role else {
            return Err(NotProposed::NotLeader(self.leader()));
        };
        // Followers commit without this node's disk. While that hangs, saves and log would grow.
        let done = self
            .commit_index
            .min(leader.saved_index.max(leader.began_at));
        if leader.transfer.is_some() && !planted!(HandedOverTooEarly) {
            return Err(NotProposed::HandingOver);
        }
        let bytes = || {
            let waiting = self.log.from(done + 1).iter();
            waiting.map(Entry::encoded_len).sum::<usize>()
        };
        if self.log.last_index() - done >= self.config.max_uncommitted
            || bytes() >= self.config.max_uncommitted_bytes
        {
            return Err(NotProposed::Full);
        }
        let proposed = Proposed {
            term: self.current_term,
            index: self.log.last_index() + 1,
        };
        for command in commands {
            self.append_own(Payload::Command(command));
        }
        self.replicate();
        Ok((proposed, self.finish()))
    }

    /// Processes a peer's request; the answer is in `Ready::reply`.
    pub fn request(&mut self, request: Request) -> Result<Ready, Rejected> {
        let from = request.from();
        if !self.knows(from) {
            return Err(Rejected::NotAMember(from));
        }
        // Every term that anyone leads or campaigns in is above the one that nodes start with.
        if request.term().max(self.current_term) == 0 || !self.believes(request.term()) {
            return Err(Rejected::Malformed("the term is out of range"));
        }
        let reply = match request {
            Request::AppendEntries(request) => self.handle_append_entries(request)?,
            Request::RequestVote(request)
                if request.term >= self.current_term
                    && ((request.last_log_index == 0) != (request.last_log_term == 0)
                        || request.last_log_term > request.term) =>
            {
                return Err(Rejected::Malformed(
                    "the candidate's log contradicts its term",
                ));
            }
            Request::RequestVote(request) => Reply::RequestVote(self.handle_request_vote(&request)),
            Request::InstallSnapshot(request) => self.handle_install_snapshot(request)?,
            Request::TimeoutNow(request) => self.handle_timeout_now(request)?,
        };
        self.ready.reply = Some(reply);
        Ok(self.finish())
    }

    /// Processes a peer's answer to the request named `call`.
    pub fn reply(&mut self, from: NodeId, call: CallId, reply: Reply) -> Ready {
        // Who lags behind can say all the same for whom it would vote.
        let is_late = reply.term() < self.current_term && !self.has_asked_for_pre_vote(from, call);
        if !self.believes(reply.term()) || is_late {
            return self.lost(from, call);
        }
        if reply.term() > self.current_term {
            self.become_follower(reply.term(), None);
        }
        match reply {
            Reply::AppendEntries(reply) => self.handle_append_reply(from, call, &reply),
            Reply::RequestVote(reply) => self.handle_vote_reply(from, call, &reply),
            Reply::InstallSnapshot(reply) => self.handle_install_reply(from, call, &reply),
            Reply::TimeoutNow(_) => self.handle_timeout_now_reply(from, call),
        }
        self.finish()
    }

    /// The request named `call` was not answered: refused, lost or timed out. It may have arrived.
    pub fn lost(&mut self, to: NodeId, call: CallId) -> Ready {
        match &mut self.role {
            Role::Follower(_) => {}
            Role::PreCandidate(candidate) | Role::Candidate(candidate) => {
                if candidate.asked.get(&to) == Some(&call) {
                    candidate.asked.remove(&to);
                }
            }
            Role::Leader(leader) => {
                if let Some(progress) = leader.progress.get_mut(&to)
                    && progress.in_flight.is_some_and(|sent| sent.call == call)
                {
                    // Sent again with the next heartbeat: a dead peer refuses fast, and asking in
                    // a loop helps nobody.
                    progress.in_flight = None;
                    progress.is_suspect = true;
                }
            }
        }
        self.finish()
    }

    /// A save is on disk, and every save before it.
    pub fn saved(&mut self, mark: SavedUpTo) -> Ready {
        if let Role::Leader(leader) = &mut self.role
            && mark.term == self.current_term
        {
            // Within its own term a leader only appends, so the mark is about these very entries.
            leader.saved_index = leader.saved_index.max(mark.index);
            self.move_on();
        }
        self.finish()
    }

    /// How the disk stands; a node begins with one that is ready.
    pub fn set_disk(&mut self, disk: Disk) -> Ready {
        self.disk = disk;
        if disk == Disk::Full && !matches!(self.role, Role::Follower(_)) {
            self.become_follower(self.current_term, None);
        }
        self.finish()
    }

    /// This node's id.
    pub fn id(&self) -> NodeId {
        self.config.id
    }

    /// What the core was told at its start.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The role.
    pub fn role(&self) -> RoleName {
        self.role.name(self.is_voter())
    }

    /// The leader of the current term, when it is known; this node itself when it leads.
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower(follower) => follower.leader,
            Role::PreCandidate(_) | Role::Candidate(_) => None,
            Role::Leader(_) => Some(self.config.id),
        }
    }

    /// The latest term this node has seen.
    pub fn current_term(&self) -> u64 {
        self.current_term
    }

    /// Who got this node's vote in the current term.
    pub fn voted_for(&self) -> Option<NodeId> {
        self.voted_for
    }

    /// The highest index known to be committed.
    pub fn commit_index(&self) -> u64 {
        self.commit_index
    }

    /// The highest index handed out to be applied.
    pub fn last_applied(&self) -> u64 {
        self.last_applied
    }

    /// The latest snapshot.
    pub fn snapshot(&self) -> Option<&Snapshot> {
        self.snapshot.as_ref()
    }

    /// The log.
    pub fn log(&self) -> &Log {
        &self.log
    }

    /// A leader's `(match_index, next_index)` for a peer; `None` on any other node.
    pub fn progress(&self, peer: NodeId) -> Option<(u64, u64)> {
        match &self.role {
            Role::Leader(leader) => leader
                .progress
                .get(&peer)
                .map(|progress| (progress.match_index, progress.next_index)),
            _ => None,
        }
    }

    /// Terms are counted up one by one: one that is far ahead is a mistake, and to adopt it would
    /// leave no room to count on.
    fn believes(&self, term: u64) -> bool {
        term <= MAX_TERM && term - self.current_term.min(term) <= 1 << 32
    }

    // The transitions of figure 4, and the pre-candidate's (dissertation 9.6). Nothing else assigns
    // `role`.

    /// Follows, in `term`, the leader if it is known. The higher-term rule is this one method
    /// (figure 2, all servers).
    fn become_follower(&mut self, term: u64, leader: Option<NodeId>) {
        check!(term >= self.current_term, "terms never go back");
        if term > self.current_term {
            self.current_term = term;
            self.staged = None;
            if !planted!(VoteKept) {
                self.voted_for = None;
            }
        }
        let election_deadline = self.election_deadline();
        self.role = Role::Follower(Follower {
            leader,
            heard_at: self.now,
            election_deadline: election_deadline.unwrap_or_else(|| self.draw_election_deadline()),
        });
    }

    /// Waits for another election timeout, in the same term and role.
    fn postpone_election(&mut self) {
        let deadline = self.draw_election_deadline();
        match &mut self.role {
            Role::Follower(follower) => follower.election_deadline = deadline,
            Role::PreCandidate(candidate) | Role::Candidate(candidate) => {
                candidate.election_deadline = deadline;
            }
            Role::Leader(_) => {}
        }
    }

    /// Asks who would vote for this node in the next term. Follows nobody meanwhile, and is in the
    /// same term with the same vote.
    fn become_pre_candidate(&mut self) {
        self.role = Role::PreCandidate(self.new_candidate(false));
        self.ask_for_votes();
        self.count_votes();
    }

    /// A candidate that has only its own vote. It is counted at once, though not yet saved: the
    /// requests leave after the save, so any other vote comes later; and what a lone voter appends
    /// is saved after its vote.
    fn new_candidate(&mut self, transfer: bool) -> Candidate {
        Candidate {
            votes: BTreeSet::from([self.config.id]),
            asked: Default::default(),
            answered: Default::default(),
            retry_at: self.now + self.config.heartbeat,
            election_deadline: self.draw_election_deadline(),
            transfer,
        }
    }

    /// Starts an election (5.2): next term, a vote for itself, and requests to all other voters.
    /// `transfer`: because the leader has asked for it.
    fn become_candidate(&mut self, transfer: bool) {
        assert!(
            !matches!(self.role, Role::Leader(_)),
            "a leader has nothing to campaign for"
        );
        self.current_term += 1;
        self.staged = None;
        self.voted_for = Some(self.config.id);
        self.role = Role::Candidate(self.new_candidate(transfer));
        self.ask_for_votes();
        self.count_votes();
    }

    /// Takes the lead (5.2), and appends an entry of its own term at once, because only such an
    /// entry can be committed by counting (5.4.2); it carries all earlier ones with it (section 8).
    fn become_leader(&mut self) {
        assert!(
            matches!(self.role, Role::Candidate(_)),
            "only a candidate wins an election"
        );
        let last_index = self.log.last_index();
        let configuration = Arc::clone(self.configuration());
        let members = configuration.members().keys().copied();
        self.role = Role::Leader(Leader {
            progress: members
                .filter(|&member| member != self.config.id)
                .map(|member| (member, progress::Progress::new(last_index, self.now)))
                .collect(),
            saved_index: 0,
            began_at: last_index,
            round: 0,
            reads: Vec::new(),
            transfer: None,
        });
        if self.config.founds && self.configured_at() == 0 {
            self.append_own(Payload::Founding(configuration));
        } else if !planted!(NoNoop) {
            self.append_own(Payload::Noop);
        }
        self.replicate();
    }

    /// Draws again each time, so that a split vote is not repeated (5.2).
    fn draw_election_deadline(&mut self) -> u64 {
        let (min, max) = self.config.election_timeout;
        self.now + self.rng.random_range(min..=max)
    }

    /// Called on hearing the current leader and on granting a vote, and on nothing else.
    fn reset_election_timer(&mut self) {
        let deadline = self.draw_election_deadline();
        if let Role::Follower(follower) = &mut self.role
            && !planted!(TimerRunsOn)
        {
            follower.election_deadline = deadline;
        }
    }

    /// Adds this node's own entry to the log and to the save.
    fn append_own(&mut self, payload: Payload) {
        self.append(Entry {
            index: self.log.last_index() + 1,
            term: self.current_term,
            payload,
        });
    }

    /// Every entry that enters the log passes here, and so is saved.
    fn append(&mut self, entry: Entry) {
        let save = self.ready.save.get_or_insert_default();
        save.entries.push(entry.clone());
        if let Some(configuration) = entry.payload.configuration() {
            self.configurations
                .append(entry.index, configuration.clone());
        }
        self.log.append(entry);
    }

    /// Entries that are overwritten leave the log here, and their configurations count no more.
    fn truncate(&mut self, first: u64) {
        self.log.truncate(first);
        self.configurations.truncate(first);
    }

    /// A name for the next request.
    fn new_call(&mut self) -> CallId {
        let call = self.next_call;
        self.next_call += 1;
        call
    }

    /// Ends a step: what became committed is handed out, changed term or vote is saved.
    fn finish(&mut self) -> Ready {
        let hard_state = HardState {
            current_term: self.current_term,
            voted_for: self.voted_for,
        };
        if hard_state != self.saved_hard_state
            && !(planted!(TermNotSaved) && hard_state.voted_for.is_none())
        {
            self.ready.save.get_or_insert_default().hard_state = Some(hard_state);
            self.saved_hard_state = hard_state;
            // A lone voter leads at once. Nobody may hear of a term that it could forget, and that it
            // or somebody else could lead again with other entries.
            if !planted!(TermSentUnsaved) {
                let send = std::mem::take(&mut self.ready.send);
                self.ready.after_save.extend(send);
            }
        }
        check!(
            self.commit_index <= self.log.last_index(),
            "what is committed is in the log"
        );
        if self.last_applied < self.commit_index {
            let count = (self.commit_index - self.last_applied) as usize;
            let entries = self.log.from(self.last_applied + 1).iter().take(count);
            self.ready.committed = entries.cloned().collect();
            self.last_applied = self.commit_index;
        }
        std::mem::take(&mut self.ready)
    }
}
