//! A node as a function: events go in, actions come out.
//!
//! The driver joins the core, the state machine and the submissions, and keeps the promises that
//! [`Ready`] asks for: nothing that depends on a save leaves before that save, and every save
//! before it, is on disk. It has no threads, no sockets and no clock. A real node runs it on a
//! thread of its own (see [`node`](super)), the simulator runs five of them in one loop and stops
//! any of them between two actions.
//!
//! Data flows one way: a key becomes a command, the command an entry, the committed entry an
//! order, and only the order changes the board.
//!
//! Where to read on: `members` (who the peers are, and strangers), `errands` (what only the leader can
//! do), `reads`, and `view` (who is shown what).
//!
//! Caveat: `cluster.status` and `cluster.members` answer with what this node knows, which may be behind.

use std::collections::BTreeMap;
use std::sync::Arc;

use tracing::{info, warn};

use crate::application::{Application, Kind};
use crate::command::Command;
use crate::kv::Outcome;
use crate::machine::{Answer, Machine, Order, StateMachine};
use crate::raft::{
    CallId, Disk, NodeId, NotProposed, Raft, Ready, Rejected, Reply, RoleName, Send, Snapshot,
};
use crate::snapshot::Document;
use crate::trace::{Recorder, Traced};

use super::errands::Errands;
use super::event::{
    Action, ErrandReply, Event, Forward, ForwardReply, PeerReply, PeerRequest, Question, Refusal,
    Response,
};
use super::queues::Update;
use super::reads::Reads;
use super::saves::{Needs, Saves};
use super::strangers::Strangers;
use super::submissions::{GivenUp, Installed, Submissions, Waiter};

mod errands;
mod members;
mod reads;
mod view;

/// A view is told at most this often how the node stands, in milliseconds.
const VIEW_EVERY: u64 = 16;
/// How often a node with a view asks its peers how they stand, in milliseconds.
const ASK_PEERS_EVERY: u64 = 250;
/// Most commands in one forward; well within the 10,000 values of one XML-RPC document.
const MAX_FORWARD: usize = 1_000;
/// Calls of the driver's own have the top bit, so that they never meet the core's.
const OWN_CALL: CallId = 1 << 63;

/// Another node: who it is and what the last call to it showed.
#[derive(Clone, Debug)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// `HOST:PORT`.
    pub address: String,
    /// The last round trip; `None` before the first and after a failure.
    pub rtt_ms: Option<f64>,
}

impl Peer {
    /// A peer that has not been called yet.
    pub fn new(name: impl Into<String>, address: impl Into<String>) -> Peer {
        Peer {
            name: name.into(),
            address: address.into(),
            rtt_ms: None,
        }
    }
}

/// What a driver is made of.
pub struct Parts {
    /// The core.
    pub raft: Raft,
    /// The state machine, as it was after the last entry of the core's snapshot.
    pub machine: Machine<Application>,
    /// How many entries are applied before the next snapshot is taken.
    pub snapshot_entries: u64,
    /// This node's name.
    pub name: String,
    /// This node as a client: `name-` and a number drawn at the start of the process, so that a
    /// node which has forgotten its serials does not repeat old ones.
    pub client: String,
    /// The cluster's name.
    pub cluster: String,
    /// Where others are, as far as this node is told at its start. It counts more than what the log
    /// says of their addresses.
    pub book: BTreeMap<NodeId, Peer>,
    /// Who is said to be a member by whom this node was told to ask: for a joiner, whose log knows
    /// nobody yet.
    pub introduced: Vec<NodeId>,
    /// Whether someone looks: without a view, nothing is shown.
    pub has_view: bool,
}

/// A node.
pub struct Driver<T> {
    raft: Traced,
    machine: Machine<Application>,
    snapshot_entries: u64,
    /// The save of the snapshot taken last.
    snapshot_save: u64,
    name: String,
    client: String,
    /// This node's next serial as a client.
    next_serial: u64,
    cluster: String,
    /// What this node was told of addresses at its start.
    book: BTreeMap<NodeId, Peer>,
    /// What others have said of addresses since.
    heard: BTreeMap<NodeId, Peer>,
    /// Whom to introduce to the core in the first step.
    introduced: Vec<NodeId>,
    /// Everyone whom this node may call now.
    peers: BTreeMap<NodeId, Peer>,
    strangers: Strangers,
    submissions: Submissions<T>,
    errands: Errands<T>,
    reads: Reads<T>,
    /// The term in which this node leads, if it does.
    office: Option<u64>,
    saves: Saves<T>,
    /// The disk has no room for all that waits.
    disk_full: bool,
    /// Who forwarded what to whom in the call under way.
    forwarding: Vec<Arc<Command>>,
    /// (term, index) of the last entry applied.
    applied: (u64, u64),
    next_call: CallId,
    view: Option<ViewState>,
    /// What was last told about role, term and leader.
    told_role: (RoleName, u64, Option<NodeId>),
    now: u64,
    actions: Vec<Action<T>>,
}

struct ViewState {
    /// Something has changed since the view was last told.
    dirty: bool,
    told_at: u64,
    ask_peers_at: u64,
    /// Status calls under way.
    asking: BTreeMap<NodeId, CallId>,
}

impl<T> Driver<T> {
    /// A node that has just started, at time 0.
    pub fn new(parts: Parts) -> Driver<T> {
        let told_role = (
            parts.raft.role(),
            parts.raft.current_term(),
            parts.raft.leader(),
        );
        let snapshot = parts.raft.snapshot();
        let applied = snapshot.map_or((0, 0), |s| (s.last_term, s.last_index));
        assert!(
            parts.machine.last_applied() == applied.1,
            "core and state machine start from one snapshot"
        );
        Driver {
            raft: Traced::new(parts.raft),
            machine: parts.machine,
            snapshot_entries: parts.snapshot_entries,
            snapshot_save: 0,
            name: parts.name,
            client: parts.client,
            next_serial: 1,
            cluster: parts.cluster,
            book: parts.book,
            heard: BTreeMap::new(),
            introduced: parts.introduced,
            peers: BTreeMap::new(),
            strangers: Strangers::default(),
            submissions: Submissions::default(),
            errands: Errands::default(),
            reads: Reads::default(),
            office: None,
            saves: Saves::default(),
            disk_full: false,
            forwarding: Vec::new(),
            applied,
            next_call: OWN_CALL,
            view: parts.has_view.then(|| ViewState {
                dirty: true,
                told_at: 0,
                ask_peers_at: 0,
                asking: BTreeMap::new(),
            }),
            told_role,
            now: 0,
            actions: Vec::new(),
        }
    }

    /// Writes down what the core is told. Before the first step.
    pub fn record(&mut self, recorder: Recorder) {
        self.raft.record(recorder);
    }

    /// Does what the time demands.
    pub fn tick(&mut self, now: u64) -> Vec<Action<T>> {
        self.advance(now);
        self.finish()
    }

    /// Processes an event.
    pub fn handle(&mut self, now: u64, event: Event<T>) -> Vec<Action<T>> {
        self.advance(now);
        match event {
            Event::Asked(token, question) => self.asked(token, question),
            Event::Wanted(text) => self.wanted(text),
            Event::Answered {
                from,
                call,
                reply,
                rtt_ms,
            } => self.answered(from, call, reply, rtt_ms),
            Event::Lost { to, call, reached } => self.lost(to, call, reached),
            Event::Retire => {
                // Without an office, or a successor, there is nothing to hand over.
                if let Ok(ready) = self.raft.transfer(None) {
                    self.carry_out(ready);
                }
            }
            Event::Saved(number) => self.saved(number),
            Event::DiskFull(number) => self.disk_full(number),
        }
        self.finish()
    }

    /// When the next `tick` has something to do.
    pub fn deadline(&self) -> u64 {
        let view = self.view.as_ref().map(|view| {
            if view.dirty {
                view.ask_peers_at.min(view.told_at + VIEW_EVERY)
            } else {
                view.ask_peers_at
            }
        });
        [
            self.raft.deadline(),
            self.submissions.deadline(self.raft.leader().is_none()),
            self.errands_deadline(),
            self.reads_deadline(),
            self.strangers.deadline(),
            view,
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(u64::MAX)
    }

    /// Whether this node has no office to hand over any more, after [`Event::Retire`].
    pub fn has_retired(&self) -> bool {
        !self.raft.is_handing_over()
    }

    /// The core, to look at.
    pub fn raft(&self) -> &Raft {
        &self.raft
    }

    /// The machine, to look at.
    pub fn machine(&self) -> &Machine<Application> {
        &self.machine
    }

    fn advance(&mut self, now: u64) {
        self.now = now;
        if !self.introduced.is_empty() {
            let ids = std::mem::take(&mut self.introduced);
            let ready = self.raft.introduce(ids);
            self.carry_out(ready);
        }
        self.take_snapshot();
        let disk = match (self.disk_full, self.saves.are_done()) {
            (true, _) => Disk::Full,
            (false, false) => Disk::Busy,
            (false, true) => Disk::Ready,
        };
        let ready = self.raft.set_disk(disk);
        self.carry_out(ready);
        let ready = self.raft.tick(now);
        self.carry_out(ready);
        self.give_up();
    }

    /// Ends a step: sends what has become sendable, tells the view what has changed.
    fn finish(&mut self) -> Vec<Action<T>> {
        self.meet();
        self.note_office();
        self.run_errands();
        self.run_reads();
        self.pump();
        self.serve_reads();
        self.settle_errands();
        self.ask_about_strangers();
        self.tell_role();
        self.tell_view();
        std::mem::take(&mut self.actions)
    }

    // Questions

    fn asked(&mut self, token: T, question: Question) {
        match question {
            Question::Raft(request) => match self.raft.request(request) {
                Ok(mut ready) => {
                    let reply = ready.reply.take().expect("every request has one reply");
                    self.carry_out(ready);
                    let needs = match reply {
                        Reply::RequestVote(_) | Reply::TimeoutNow(_) => Needs::HardState,
                        Reply::AppendEntries(_) | Reply::InstallSnapshot(_) => Needs::Everything,
                    };
                    let answer = Action::Answer(token, Ok(Response::Raft(reply)));
                    self.saves.hold(answer, needs, &mut self.actions);
                }
                Err(rejected) => {
                    let refusal = self.reject("a request", rejected);
                    self.answer(token, Err(refusal));
                }
            },
            Question::Forward(forward) => {
                let answer = self.take_forward(forward);
                self.answer(token, answer.map(Response::Forward));
            }
            Question::Submit(command) => match self.check(&command.text) {
                Ok(()) => self
                    .submissions
                    .add(self.now, command, Waiter::Caller(token)),
                Err(refusal) => self.answer(token, Err(refusal)),
            },
            Question::Attack(player) => {
                let text = format!("attack {player}");
                match self.runs(Kind::Game).and_then(|()| self.check(&text)) {
                    Ok(()) => self.submit_own(text, Waiter::Caller(token)),
                    Err(refusal) => self.answer(token, Err(refusal)),
                }
            }
            Question::Write(command) => {
                match self.runs(Kind::Kv).and_then(|()| self.check(&command.text)) {
                    Ok(()) => self
                        .submissions
                        .add(self.now, command, Waiter::Writer(token)),
                    Err(refusal) => self.answer(token, Err(refusal)),
                }
            }
            Question::Read { query, stale } => match self.runs(query.of()) {
                Ok(()) if stale => {
                    let response = self.look(&query);
                    self.answer(token, Ok(response));
                }
                Ok(()) => self.reads.add(self.now, token, query),
                Err(refusal) => self.answer(token, Err(refusal)),
            },
            Question::Members => {
                let members = self.members();
                self.answer(token, Ok(Response::Members(members)));
            }
            Question::Do(errand) => self.errands.add(self.now, errand, token),
            Question::Errand { sender_id, errand } => self.errand_of_peer(token, sender_id, errand),
            Question::Status => {
                let status = self.status();
                self.answer(token, Ok(Response::Status(status)));
            }
        }
    }

    /// Appends what a follower's players want. The follower has checked it; what this node does not
    /// know all the same, because the two were given different players, is refused when it is
    /// applied, on every node alike.
    fn take_forward(&mut self, forward: Forward) -> Result<ForwardReply, Refusal> {
        if !self.raft.knows(forward.sender_id) {
            let rejected = Rejected::NotAMember(forward.sender_id);
            return Err(self.reject("a forward", rejected));
        }
        let mut commands = forward.commands;
        if planted!(ForwardLosesOne) && commands.len() > 1 {
            commands.truncate(commands.len() - 1);
        }
        Ok(match self.raft.propose(commands) {
            Ok((proposed, ready)) => {
                self.carry_out(ready);
                ForwardReply::Appended {
                    term: proposed.term,
                    index: proposed.index,
                }
            }
            Err(_) => ForwardReply::NotAppended {
                leader: self.raft.leader(),
            },
        })
    }

    /// Whoever is not known is asked about.
    fn reject(&mut self, what: &str, rejected: Rejected) -> Refusal {
        if let Rejected::NotAMember(id) = rejected {
            self.strangers.knocked(id, self.now);
        }
        warn!("refused {what}: {rejected}");
        Refusal::Rejected(rejected)
    }

    fn wanted(&mut self, text: String) {
        match self.check(&text) {
            Ok(()) => self.submit_own(text, Waiter::Player),
            Err(refusal) => self.show(Update::Failed {
                text,
                reason: refusal.to_string(),
            }),
        }
    }

    /// Whether this node runs that machine.
    fn runs(&self, wanted: Kind) -> Result<(), Refusal> {
        match self.machine.state().kind() {
            kind if kind == wanted => Ok(()),
            kind => Err(Refusal::OtherMachine(kind)),
        }
    }

    /// What is refused at the door, so that nothing is appended.
    fn check(&self, text: &str) -> Result<(), Refusal> {
        if self.disk_full {
            return Err(Refusal::DiskFull);
        }
        self.machine.state().check(text).map_err(Refusal::Invalid)
    }

    /// Sends a command whose client is this node on its way. It must have been checked: a serial
    /// that is never applied brings the window's end nearer to those that are under way.
    fn submit_own(&mut self, text: String, waiter: Waiter<T>) {
        let serial = self.next_serial;
        self.next_serial += 1;
        let command = Command::new(self.client.clone(), serial, text)
            .expect("a node's own client id and commands are within the limits");
        self.submissions.add(self.now, command, waiter);
    }

    fn answer(&mut self, token: T, answer: Result<Response, Refusal>) {
        self.actions.push(Action::Answer(token, answer));
    }

    // Replies

    fn answered(&mut self, from: NodeId, call: CallId, reply: PeerReply, rtt_ms: Option<f64>) {
        if let Some(peer) = self.peers.get_mut(&from) {
            peer.rtt_ms = rtt_ms.or(peer.rtt_ms);
        }
        match reply {
            PeerReply::Raft(reply) => {
                let ready = self.raft.reply(from, call, reply);
                self.carry_out(ready);
            }
            PeerReply::Forward(reply) => self.forwarded(call, reply),
            PeerReply::Status(status) => {
                if self.is_asking(from, call) {
                    self.show(Update::Peer(from, Some(status)));
                }
            }
            PeerReply::Members(members) => self.heard_of_members(call, &members),
            PeerReply::Errand(reply) => self.errand_answered(call, reply),
        }
    }

    fn forwarded(&mut self, call: CallId, reply: ForwardReply) {
        if self.submissions.forward() != Some(call) {
            return;
        }
        let commands = std::mem::take(&mut self.forwarding);
        if let ForwardReply::Appended { term, index } = reply {
            self.submissions
                .placed(&commands, (term, index), self.applied, self.now);
        }
        // What was not placed tries again, after a pause: whoever refused may still be taken for
        // the leader here.
        self.submissions
            .returned(call, self.now + VIEW_EVERY, false);
    }

    fn lost(&mut self, to: NodeId, call: CallId, reached: bool) {
        if let Some(peer) = self.peers.get_mut(&to) {
            peer.rtt_ms = None;
        }
        if call < OWN_CALL {
            let ready = self.raft.lost(to, call);
            self.carry_out(ready);
        } else if self.submissions.forward() == Some(call) {
            self.forwarding.clear();
            self.submissions
                .returned(call, self.now + VIEW_EVERY, reached);
        } else if self.is_asking(to, call) {
            self.show(Update::Peer(to, None));
        } else if !self.strangers.answered(call, None, self.now) {
            self.errand_lost(call, reached);
        }
    }

    /// Whether that status call is the one under way; it is not any more.
    fn is_asking(&mut self, peer: NodeId, call: CallId) -> bool {
        self.view.as_mut().is_some_and(|view| {
            let asking = view.asking.get(&peer) == Some(&call);
            if asking {
                view.asking.remove(&peer);
            }
            asking
        })
    }

    fn saved(&mut self, number: u64) {
        if self.disk_full {
            self.disk_full = false;
            info!("the disk has room again");
            self.show(Update::Notice("the disk has room again".to_string()));
        }
        for mark in self.saves.done(number, &mut self.actions) {
            let ready = self.raft.saved(mark);
            self.carry_out(ready);
        }
    }

    /// Votes go on, whatever else has to wait for room.
    fn disk_full(&mut self, number: u64) {
        if planted!(FullTakenForSaved) {
            return self.saved(number);
        }
        self.saves.hard_state_done(number, &mut self.actions);
        // Acknowledgements would wait for as long as there is no room, each with a connection of its
        // own, until none is left for those who ask for votes.
        for promise in self.saves.give_up() {
            if let Action::Answer(token, _) = promise {
                self.answer(token, Err(Refusal::DiskFull));
            }
        }
        if self.disk_full {
            return;
        }
        self.disk_full = true;
        warn!("the disk is full: this node leads nobody and takes no commands until it has room");
        self.show(Update::Notice(
            "the disk is full: make room, this node waits".to_string(),
        ));
        let ready = self.raft.set_disk(Disk::Full);
        self.carry_out(ready);
    }

    // Snapshots

    /// Writes the state machine down when enough has been applied since the last time, so that the
    /// log can be cut. At the start of a step: whatever was committed in the last one has been seen
    /// by then.
    fn take_snapshot(&mut self) {
        let (last_term, last_index) = self.applied;
        let covered = self.raft.snapshot().map_or(0, |s| s.last_index);
        if last_index - covered < self.snapshot_entries || !self.saves.is_done(self.snapshot_save) {
            return;
        }
        let configuration = self.raft.configuration_at(last_index).clone();
        let snapshot = Document::of(&self.machine, last_term, configuration).snapshot();
        info!(
            "snapshot of index {last_index}, {} bytes",
            snapshot.data.len()
        );
        // Slow followers get entries from the tail, which is less work than a snapshot.
        let keep_from = last_index + 1 - (self.snapshot_entries / 4).min(last_index);
        let ready = self.raft.compact(snapshot, keep_from);
        self.carry_out(ready);
        self.snapshot_save = self.saves.issued();
    }

    /// The leader's snapshot takes the place of the state machine's state.
    fn install(&mut self, snapshot: &Snapshot) {
        let before = self.machine.last_applied();
        self.machine = Document::of_snapshot(snapshot)
            .expect("the core has checked the snapshot")
            .machine();
        self.applied = (snapshot.last_term, snapshot.last_index);
        info!(
            "installed a snapshot of index {}; the last entry applied was {before}",
            snapshot.last_index
        );
        self.show(Update::Notice(format!(
            "caught up by a snapshot: orders {} to {} came at once",
            before + 1,
            snapshot.last_index
        )));
        let machine = &self.machine;
        let forgetful = machine.may_have_forgotten(before);
        let Installed { settled, given_up } =
            self.submissions
                .installed(self.applied, self.now, forgetful, |command| {
                    machine.answer(&command.client, command.serial).cloned()
                });
        for (waiter, answer) in settled {
            self.applied_for(waiter, answer);
        }
        self.tell_given_up(given_up);
    }

    // What the core asks for

    fn carry_out(&mut self, ready: Ready) {
        if ready == Ready::default() {
            return;
        }
        if let Some(view) = &mut self.view {
            view.dirty = true;
        }
        // Whom the core speaks to may be new.
        self.meet();
        // The leader's own write and its messages go side by side (dissertation 10.2.1).
        for send in ready.send {
            self.actions.push(call(send));
        }
        if let Some(save) = ready.save {
            self.saves.issue(save, &mut self.actions);
        }
        for send in ready.after_save {
            self.saves
                .hold(call(send), Needs::HardState, &mut self.actions);
        }
        if let Some(snapshot) = ready.install {
            self.install(&snapshot);
        }
        for entry in &ready.committed {
            let order = self.machine.apply(entry);
            self.applied = (entry.term, entry.index);
            // First the line, then the answer: what a client knows stands in orders.log.
            self.actions.push(Action::Record(order.clone()));
            self.settle(&order);
            if self.view.is_some() {
                let game = self.machine.state().game();
                let board = game.map_or_else(Vec::new, |game| game.players().to_vec());
                self.show(Update::Order(order, board));
            }
        }
        for (token, index) in self.reads.indexed(&ready.reads) {
            let reply = ErrandReply::ReadAt { index };
            self.answer(token, Ok(Response::Errand(reply)));
        }
    }

    /// Answers whoever waited for this order.
    fn settle(&mut self, order: &Order) {
        for waiter in self.submissions.applied(order, self.now) {
            match (waiter, &order.answer) {
                (waiter, Ok(answer)) => self.applied_for(waiter, answer.clone()),
                (Waiter::Caller(token) | Waiter::Writer(token), Err(_)) => {
                    self.answer(token, Err(Refusal::SerialTooOld));
                }
                (Waiter::Player, Err(_)) => self.show(Update::Failed {
                    text: order.command.clone(),
                    reason: Refusal::SerialTooOld.to_string(),
                }),
            }
        }
    }

    fn applied_for(&mut self, waiter: Waiter<T>, answer: Answer) {
        match waiter {
            Waiter::Caller(token) => self.answer(token, Ok(Response::Applied(answer))),
            Waiter::Writer(token) => {
                let response = match Outcome::parse(&answer.outcome) {
                    Outcome::Refused(why) => Err(Refusal::Invalid(why)),
                    outcome => Ok(Response::Written(outcome)),
                };
                self.answer(token, response);
            }
            // The order is shown to players as to everybody.
            Waiter::Player => {}
        }
    }

    // Commands on their way

    /// Moves waiting commands on: into the log where this node leads, to the leader elsewhere.
    fn pump(&mut self) {
        let Some(leader) = self.raft.leader() else {
            return;
        };
        let is_leader = leader == self.raft.id();
        if !is_leader && self.submissions.forward().is_some() {
            return;
        }
        let commands =
            self.submissions
                .ready(self.now, MAX_FORWARD, self.raft.config().max_batch_bytes);
        if commands.is_empty() {
            return;
        }
        if is_leader {
            self.propose(&commands);
        } else {
            let call = self.new_call();
            self.submissions.sent(&commands, call);
            self.forwarding = commands.clone();
            self.actions.push(Action::Send {
                to: leader,
                call,
                request: PeerRequest::Forward(Forward {
                    sender_id: self.raft.id(),
                    commands,
                }),
            });
        }
    }

    fn propose(&mut self, commands: &[Arc<Command>]) {
        match self.raft.propose(commands.iter().cloned()) {
            Ok((proposed, ready)) => {
                let at = (proposed.term, proposed.index);
                self.submissions
                    .placed(commands, at, self.applied, self.now);
                #[cfg(test)]
                if planted!(AnswerBeforeCommit) {
                    self.answer_early(commands, at);
                }
                self.carry_out(ready);
            }
            Err(NotProposed::Full | NotProposed::HandingOver | NotProposed::NotLeader(_)) => {
                self.submissions.postponed(commands, self.now + VIEW_EVERY)
            }
        }
    }

    /// Answers as soon as the commands are appended: a mistake that tests plant.
    #[cfg(test)]
    fn answer_early(&mut self, commands: &[Arc<Command>], (term, index): (u64, u64)) {
        for (index, command) in (index..).zip(commands) {
            let answer = crate::machine::Answer {
                index,
                term,
                outcome: "ok".to_string(),
            };
            self.settle(&Order {
                index,
                term,
                origin: Some((command.client.clone(), command.serial)),
                command: command.text.clone(),
                outcome: answer.outcome.clone(),
                digest: String::new(),
                answer: Ok(answer),
            });
        }
    }

    fn give_up(&mut self) {
        let leaderless = self.raft.leader().is_none();
        let given_up = self.submissions.give_up(self.now, leaderless);
        self.tell_given_up(given_up);
    }

    fn tell_given_up(&mut self, given_up: Vec<GivenUp<T>>) {
        let leaderless = self.raft.leader().is_none();
        for given_up in given_up {
            let refusal = match (given_up.maybe_appended, leaderless) {
                (true, _) => Refusal::OutcomeUnknown,
                (false, true) => Refusal::NoLeader,
                (false, false) => Refusal::Full,
            };
            match given_up.waiter {
                Waiter::Caller(token) | Waiter::Writer(token) => {
                    self.answer(token, Err(refusal));
                }
                Waiter::Player => {
                    let reason = match refusal {
                        Refusal::OutcomeUnknown => "no answer, it may still happen".to_string(),
                        Refusal::NoLeader => "there is no leader".to_string(),
                        refusal => refusal.to_string(),
                    };
                    self.show(Update::Failed {
                        text: given_up.text,
                        reason,
                    });
                }
            }
        }
    }

    fn new_call(&mut self) -> CallId {
        self.next_call += 1;
        self.next_call
    }
}

fn call<T>(send: Send) -> Action<T> {
    Action::Send {
        to: send.to,
        call: send.call,
        request: PeerRequest::Raft(send.request),
    }
}
