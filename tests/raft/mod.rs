//! A cluster of cores in memory, for tests that look at the core from outside.
//!
//! Every [`Ready`] is carried out as its documentation demands: requests that promise nothing leave
//! at once, saves finish in order, and whatever depends on a save waits for it and for those before
//! it. A save finishes at once, unless the disks are slow: then [`Cluster::finish_save`] says when.
//! Messages stay on one wire until somebody delivers them, so a test decides what arrives, in which
//! order, how often and whether at all. Each node has a clock of its own.
//!
//! Every step is written down in [`Cluster::events`], one line each. Two promises of figure 3 are
//! checked all the time: a term has one leader, and no two nodes apply different entries at one
//! index.
//!
//! What it leaves out: the driver, encodings and threads. `raftian sim` runs those.

// Each test file uses its own part of this.
#![allow(dead_code)]

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use raftian::command::Command;
use raftian::raft::{
    CallId, Change, CheckSnapshot, Config, Configuration, Disk, Entry, HardState, Log, NodeId,
    NotChanged, NotProposed, NotRead, NotTransferred, Payload, Proposed, Raft, ReadId, Ready,
    Reply, Request, RoleName, Save, Send, Snapshot,
};
use raftian::storage::Memory;

pub mod notation;

/// The paper's range, in milliseconds.
pub const ELECTION_TIMEOUT: (u64, u64) = (150, 300);
pub const HEARTBEAT: u64 = 50;

/// Nobody waits for the answer to a forged request.
const FORGED: u64 = u64::MAX;

/// What a node of a cluster of `nodes` is told at its start.
pub fn config(id: NodeId, nodes: u64) -> Config {
    Config {
        id,
        configuration: Configuration::of_voters(1..=nodes),
        founds: false,
        election_timeout: ELECTION_TIMEOUT,
        heartbeat: HEARTBEAT,
        pre_vote: false,
        check_quorum: false,
        seed: 7,
        max_batch_entries: 64,
        max_batch_bytes: 1 << 20,
        max_uncommitted: 1_000,
        max_uncommitted_bytes: 1 << 20,
        max_part_bytes: 1 << 20,
        max_snapshot_bytes: 1 << 20,
        keep_while_sending: 1_000,
        check_snapshot: CheckSnapshot(Arc::new(|snapshot: &Snapshot| {
            match *snapshot.data == *state_after(snapshot.last_index) {
                true => Ok(()),
                false => Err("it is garbled".to_string()),
            }
        })),
    }
}

/// What the state machine says of itself after that many entries.
pub fn state_after(index: u64) -> Vec<u8> {
    format!("after {index:03}").into_bytes()
}

/// Entries from index `first` on with these terms, all of them no-ops.
pub fn entries(first: u64, terms: &[u64]) -> Vec<Entry> {
    (first..)
        .zip(terms)
        .map(|(index, &term)| Entry {
            index,
            term,
            payload: Payload::Noop,
        })
        .collect()
}

/// The terms along a log.
pub fn terms(log: &Log) -> Vec<u64> {
    log.from(1).iter().map(|entry| entry.term).collect()
}

/// A command that says `text`.
pub fn command(serial: u64, text: &str) -> Arc<Command> {
    Arc::new(Command::new("test", serial, text).unwrap())
}

/// Something on its way.
#[derive(Clone, Debug)]
pub struct Packet {
    pub from: NodeId,
    pub to: NodeId,
    pub message: Message,
    call: CallId,
    /// Which life of the caller waits for the answer: a restarted node waits for none.
    life: u64,
}

#[derive(Clone, Debug)]
pub enum Message {
    Request(Request),
    Reply(Reply),
    /// The answer to a request that was refused.
    Fault,
}

impl Packet {
    /// Who sent the request that this is, or that this answers.
    fn caller(&self) -> NodeId {
        match self.message {
            Message::Request(_) => self.from,
            Message::Reply(_) | Message::Fault => self.to,
        }
    }

    fn callee(&self) -> NodeId {
        match self.message {
            Message::Request(_) => self.to,
            Message::Reply(_) | Message::Fault => self.from,
        }
    }
}

struct Node {
    config: Config,
    /// `None`: the node is down.
    core: Option<Raft>,
    life: u64,
    now: u64,
    disk: Memory,
    disk_full: bool,
    saves: VecDeque<Save>,
    saves_issued: u64,
    saves_done: u64,
    /// Promises, each with the last save that it depends on.
    held: VecDeque<(u64, Packet)>,
    applied: Vec<Entry>,
}

impl Node {
    fn new(config: Config) -> Node {
        let core = Raft::new(config.clone(), HardState::default(), None, Log::default());
        Node {
            core: Some(core),
            config,
            life: 0,
            now: 0,
            disk: Memory::default(),
            disk_full: false,
            saves: VecDeque::new(),
            saves_issued: 0,
            saves_done: 0,
            held: VecDeque::new(),
            applied: Vec::new(),
        }
    }
}

#[derive(Default)]
pub struct Cluster {
    nodes: BTreeMap<NodeId, Node>,
    pub wire: VecDeque<Packet>,
    /// Nothing passes from the first to the second.
    cut: BTreeSet<(NodeId, NodeId)>,
    pub slow_disks: bool,
    pub events: Vec<String>,
    serial: u64,
    reads: ReadId,
    /// The reads that may be served, and at which index.
    pub served: BTreeMap<ReadId, u64>,
    /// Who has led each term.
    pub leaders: BTreeMap<u64, NodeId>,
    /// What has been committed at each index, and the term of the node that first said so.
    pub committed: BTreeMap<u64, (Entry, u64)>,
}

impl Cluster {
    /// Nodes 1 to `nodes`, all new.
    pub fn new(nodes: u64) -> Cluster {
        Cluster::with(nodes, |_| {})
    }

    /// The same, after a change to the configuration.
    pub fn with(nodes: u64, change: impl Fn(&mut Config)) -> Cluster {
        let mut cluster = Cluster::default();
        for id in 1..=nodes {
            let mut config = config(id, nodes);
            change(&mut config);
            cluster.nodes.insert(id, Node::new(config));
        }
        cluster
    }

    pub fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    /// A running node's core.
    pub fn core(&self, id: NodeId) -> &Raft {
        self.running(id)
            .unwrap_or_else(|| panic!("node {id} is down"))
    }

    /// A node's core, if it runs.
    pub fn running(&self, id: NodeId) -> Option<&Raft> {
        self.nodes.get(&id)?.core.as_ref()
    }

    /// What a node has applied since its start.
    pub fn applied(&self, id: NodeId) -> &[Entry] {
        &self.nodes[&id].applied
    }

    // Time

    /// Lets `ms` pass on one node.
    pub fn tick(&mut self, id: NodeId, ms: u64) {
        let node = self.node(id);
        node.now += ms;
        let now = node.now;
        let disk = match (node.disk_full, node.saves.is_empty()) {
            (true, _) => Disk::Full,
            (false, false) => Disk::Busy,
            (false, true) => Disk::Ready,
        };
        self.step(id, |core| core.set_disk(disk));
        self.step(id, |core| core.tick(now));
    }

    /// Lets a node's clock run until it starts an election.
    pub fn campaign(&mut self, id: NodeId) {
        assert_ne!(self.core(id).role(), RoleName::Leader, "node {id} leads");
        let term = self.core(id).current_term();
        for _ in 0..100 {
            let deadline = self.core(id).deadline().expect("it is no leader");
            let ms = deadline - self.node(id).now;
            self.tick(id, ms);
            if self.core(id).current_term() > term {
                return;
            }
        }
        panic!("node {id} never starts an election");
    }

    /// Lets a heartbeat interval pass on a leader, and whatever comes of it arrive.
    pub fn heartbeat(&mut self, id: NodeId) {
        self.tick(id, HEARTBEAT);
        self.deliver();
    }

    /// Makes a node the leader with all votes that can reach it.
    pub fn elect(&mut self, id: NodeId) {
        self.campaign(id);
        self.deliver();
        assert_eq!(self.core(id).role(), RoleName::Leader);
    }

    /// Proposes commands with these texts in one go.
    pub fn propose(&mut self, id: NodeId, texts: &[&str]) -> Result<Proposed, NotProposed> {
        let commands: Vec<_> = texts
            .iter()
            .map(|text| {
                self.serial += 1;
                command(self.serial, text)
            })
            .collect();
        self.submit(id, &commands)
    }

    /// Proposes these commands in one go.
    pub fn submit(
        &mut self,
        id: NodeId,
        commands: &[Arc<Command>],
    ) -> Result<Proposed, NotProposed> {
        let mut answer = Err(NotProposed::Full);
        self.step(id, |core| match core.propose(commands.iter().cloned()) {
            Ok((proposed, ready)) => {
                answer = Ok(proposed);
                ready
            }
            Err(not) => {
                answer = Err(not);
                Ready::default()
            }
        });
        answer
    }

    // Members, reads and transfers

    /// A new node that knows nobody but those to whom it is introduced.
    pub fn join(&mut self, id: NodeId, known: &[NodeId]) {
        let first = self.nodes.values().next().expect("there is a cluster");
        let config = Config {
            id,
            configuration: Configuration::default(),
            ..first.config.clone()
        };
        self.nodes.insert(id, Node::new(config));
        self.introduce(id, known);
    }

    /// A node hears from somebody whom it believes that these are members.
    pub fn introduce(&mut self, id: NodeId, known: &[NodeId]) {
        self.step(id, |core| core.introduce(known.iter().copied()));
    }

    /// Asks a node to change the members.
    pub fn change(&mut self, id: NodeId, change: &Change) -> Result<Proposed, NotChanged> {
        let mut answer = Err(NotChanged::NotYet);
        self.step(id, |core| match core.change(change) {
            Ok((proposed, ready)) => {
                answer = Ok(proposed);
                ready
            }
            Err(not) => {
                answer = Err(not);
                Ready::default()
            }
        });
        answer
    }

    /// Asks a node to hand the leadership over.
    pub fn transfer(&mut self, id: NodeId, to: Option<NodeId>) -> Result<(), NotTransferred> {
        let mut answer = Ok(());
        self.step(id, |core| match core.transfer(to) {
            Ok(ready) => ready,
            Err(not) => {
                answer = Err(not);
                Ready::default()
            }
        });
        answer
    }

    /// Asks a node for an index to read at. It is noted when it comes.
    pub fn read(&mut self, id: NodeId) -> Result<ReadId, NotRead> {
        self.reads += 1;
        let mut answer = Ok(self.reads);
        let read = self.reads;
        self.step(id, |core| match core.read(read) {
            Ok(ready) => ready,
            Err(not) => {
                answer = Err(not);
                Ready::default()
            }
        });
        answer
    }

    /// A node writes its state machine down, and keeps the last `keep` entries before that.
    pub fn snapshot(&mut self, id: NodeId, keep: u64) {
        let core = self.core(id);
        let last_index = core.last_applied();
        let snapshot = Snapshot {
            last_index,
            last_term: core.log().term_at(last_index).expect("it has been applied"),
            configuration: core.configuration_at(last_index).clone(),
            data: state_after(last_index).into(),
        };
        let keep_from = last_index + 1 - keep.min(last_index);
        self.step(id, |core| core.compact(snapshot, keep_from));
    }

    /// A node's disk is full, or has room again.
    pub fn disk_full(&mut self, id: NodeId, is_full: bool) {
        self.node(id).disk_full = is_full;
        if is_full {
            self.step(id, |core| core.set_disk(Disk::Full));
        }
    }

    // The wire

    /// Delivers everything, and what comes of it, until nothing is under way.
    pub fn deliver(&mut self) {
        for _ in 0..10_000 {
            let Some(packet) = self.wire.pop_front() else {
                return;
            };
            self.arrive(packet);
        }
        panic!("the nodes never stop talking");
    }

    /// Delivers the oldest message from one node to another.
    pub fn deliver_one(&mut self, from: NodeId, to: NodeId) {
        let packet = self.take(from, to);
        self.arrive(packet);
    }

    /// Loses the oldest message from one node to another. The caller is told, as by a connection
    /// that breaks.
    pub fn drop_one(&mut self, from: NodeId, to: NodeId) {
        let packet = self.take(from, to);
        self.tell_lost(&packet);
    }

    /// Loses everything that is under way.
    pub fn drop_all(&mut self) {
        while let Some(packet) = self.wire.pop_front() {
            self.tell_lost(&packet);
        }
    }

    /// The caller loses patience with the oldest call to a peer. The message itself goes on.
    pub fn expire(&mut self, caller: NodeId, callee: NodeId) {
        let packet = self
            .wire
            .iter()
            .chain(self.nodes[&callee].held.iter().map(|(_, packet)| packet))
            .find(|packet| packet.caller() == caller && packet.callee() == callee)
            .unwrap_or_else(|| panic!("no call from {caller} to {callee} is under way"))
            .clone();
        self.tell_lost(&packet);
    }

    /// The oldest message from one node to another will arrive twice.
    pub fn duplicate(&mut self, from: NodeId, to: NodeId) {
        let packet = self.take(from, to);
        self.wire.push_front(packet.clone());
        self.wire.push_front(packet);
    }

    /// The oldest message from one node to another is overtaken by all others.
    pub fn delay(&mut self, from: NodeId, to: NodeId) {
        let packet = self.take(from, to);
        self.wire.push_back(packet);
    }

    /// Nothing passes from one node to another any more; whoever tries is told.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.cut.insert((from, to));
    }

    /// Only nodes of the same group can talk.
    pub fn partition(&mut self, groups: &[&[NodeId]]) {
        for (i, group) in groups.iter().enumerate() {
            for (j, other) in groups.iter().enumerate() {
                if i != j {
                    for &from in *group {
                        for &to in *other {
                            self.cut(from, to);
                        }
                    }
                }
            }
        }
    }

    /// All can talk to all again.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Puts a request in, as if it came from the network. The answer is noted and goes nowhere.
    pub fn inject(&mut self, to: NodeId, request: Request) {
        self.arrive(Packet {
            from: request.from(),
            to,
            message: Message::Request(request),
            call: 0,
            life: FORGED,
        });
    }

    // Disks and crashes

    /// The oldest save of a node is on disk.
    pub fn finish_save(&mut self, id: NodeId) -> bool {
        let Some(save) = self.node(id).saves.pop_front() else {
            return false;
        };
        if self.slow_disks {
            self.note(format!("{id} saved {}", notation::save(&save)));
        }
        let node = self.node(id);
        let mark = save.mark();
        node.disk.save(save);
        node.saves_done += 1;
        self.release(id);
        if let Some(mark) = mark {
            self.step(id, |core| core.saved(mark));
        }
        true
    }

    /// A node is gone, and with it the saves that were under way.
    pub fn crash(&mut self, id: NodeId) {
        let node = self.node(id);
        node.core = None;
        node.life += 1;
        node.saves.clear();
        node.saves_done = node.saves_issued;
        node.applied.clear();
        let held = std::mem::take(&mut node.held);
        for (_, packet) in held {
            // Its own requests never left; an answer that never came is a broken connection.
            if packet.caller() != id {
                self.tell_lost(&packet);
            }
        }
    }

    /// A node comes back with what its disk holds.
    pub fn restart(&mut self, id: NodeId) {
        let node = self.node(id);
        assert!(node.core.is_none(), "node {id} is not down");
        let (hard_state, snapshot, log) = node.disk.load();
        let covered = snapshot.as_ref().map_or(0, |snapshot| snapshot.last_index);
        // A process's clock starts with the process.
        node.now = 0;
        node.core = Some(Raft::new(node.config.clone(), hard_state, snapshot, log));
        self.apply_at_once(id, covered);
    }

    /// A node comes back with another disk: this term and vote, and a log of no-ops.
    pub fn replace_disk(&mut self, id: NodeId, hard_state: HardState, terms: &[u64]) {
        if self.running(id).is_some() {
            self.crash(id);
        }
        let node = self.node(id);
        node.disk = Memory::default();
        node.disk.save(Save {
            hard_state: Some(hard_state),
            entries: entries(1, terms),
            ..Save::default()
        });
        self.restart(id);
    }

    // How a step is carried out

    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes
            .get_mut(&id)
            .unwrap_or_else(|| panic!("there is no node {id}"))
    }

    fn note(&mut self, event: String) {
        self.events.push(event);
    }

    fn step(&mut self, id: NodeId, input: impl FnOnce(&mut Raft) -> Ready) {
        self.answer(id, None, input);
    }

    /// Gives a core an input and carries out what it asks for. `asker` gets the reply.
    fn answer(
        &mut self,
        id: NodeId,
        asker: Option<&Packet>,
        input: impl FnOnce(&mut Raft) -> Ready,
    ) {
        let slow = self.slow_disks;
        let Some(core) = &mut self.node(id).core else {
            return;
        };
        let before = (core.role(), core.current_term(), core.leader());
        let last_index = core.log().last_index();
        let ready = input(core);
        let after = (core.role(), core.current_term(), core.leader());
        if before != after {
            let line = notation::standing(core);
            self.note(line);
        }
        if let (RoleName::Leader, term, _) = after {
            let leader = *self.leaders.entry(term).or_insert(id);
            assert_eq!(leader, id, "term {term} has two leaders");
        }
        for send in ready.send {
            let packet = self.request(id, send);
            self.put_on_wire(packet);
        }
        if let Some(save) = ready.save {
            if let Some(first) = save.entries.first()
                && first.index <= last_index
            {
                self.note(format!("{id} erases {} to {last_index}", first.index));
            }
            let verb = if slow { "begins to save" } else { "saves" };
            self.note(format!("{id} {verb} {}", notation::save(&save)));
            let node = self.node(id);
            node.saves.push_back(save);
            node.saves_issued += 1;
        }
        let issued = self.node(id).saves_issued;
        for send in ready.after_save {
            let packet = self.request(id, send);
            self.node(id).held.push_back((issued, packet));
        }
        if let (Some(reply), Some(asker)) = (ready.reply, asker) {
            let packet = reply_to(asker, Message::Reply(reply));
            self.node(id).held.push_back((issued, packet));
        }
        if let Some(snapshot) = ready.install {
            let position = format!("{}@{}", snapshot.last_index, snapshot.last_term);
            self.note(format!("{id} installs the snapshot {position}"));
            self.apply_at_once(id, snapshot.last_index);
        }
        if !ready.committed.is_empty() {
            self.apply(id, ready.committed);
        }
        for read in ready.reads {
            self.note(format!("{id} may serve read {} at {}", read.id, read.index));
            self.served.insert(read.id, read.index);
        }
        self.release(id);
        while !slow && self.finish_save(id) {}
    }

    fn request(&mut self, from: NodeId, send: Send) -> Packet {
        Packet {
            from,
            to: send.to,
            message: Message::Request(send.request),
            call: send.call,
            life: self.node(from).life,
        }
    }

    fn put_on_wire(&mut self, packet: Packet) {
        self.note(notation::packet(&packet));
        if packet.life != FORGED {
            self.wire.push_back(packet);
        }
    }

    /// Lets go what waited for a save that is done.
    fn release(&mut self, id: NodeId) {
        let node = self.node(id);
        let waiting = node
            .held
            .iter()
            .take_while(|(save, _)| *save <= node.saves_done);
        let free = waiting.count();
        let packets: Vec<_> = node.held.drain(..free).collect();
        for (_, packet) in packets {
            self.put_on_wire(packet);
        }
    }

    fn apply(&mut self, id: NodeId, committed: Vec<Entry>) {
        self.note(format!("{id} applies {}", notation::entries(&committed)));
        let term = self.core(id).current_term();
        for entry in &committed {
            let first = self.committed.entry(entry.index);
            let (first, _) = first.or_insert_with(|| (entry.clone(), term));
            assert_eq!(first, entry, "two nodes apply different entries");
        }
        self.node(id).applied.extend(committed);
    }

    /// The state machine becomes what a snapshot says: all that was committed up to `index`.
    fn apply_at_once(&mut self, id: NodeId, index: u64) {
        let covered = self.committed.range(..=index);
        let entries = covered.map(|(_, (entry, _))| entry.clone()).collect();
        self.node(id).applied = entries;
    }

    fn take(&mut self, from: NodeId, to: NodeId) -> Packet {
        let at = self
            .wire
            .iter()
            .position(|packet| (packet.from, packet.to) == (from, to))
            .unwrap_or_else(|| panic!("nothing is under way from {from} to {to}"));
        self.wire.remove(at).expect("it has just been found")
    }

    fn arrive(&mut self, packet: Packet) {
        let (from, to) = (packet.from, packet.to);
        self.note(format!("{from}=>{to} {}", notation::kind(&packet.message)));
        let effects = self.events.len();
        self.take_in(packet);
        for effect in &mut self.events[effects..] {
            effect.insert_str(0, "  ");
        }
    }

    fn take_in(&mut self, packet: Packet) {
        let (from, to) = (packet.from, packet.to);
        if self.cut.contains(&(from, to)) || self.running(to).is_none() {
            self.tell_lost(&packet);
            return;
        }
        let is_awaited = self.node(to).life == packet.life;
        match packet.message.clone() {
            Message::Request(request) => {
                let mut refusal = None;
                self.answer(to, Some(&packet), |core| {
                    core.request(request).unwrap_or_else(|rejected| {
                        refusal = Some(rejected);
                        Ready::default()
                    })
                });
                if let Some(refusal) = refusal {
                    self.note(format!("{to} refuses: {refusal}"));
                    self.put_on_wire(reply_to(&packet, Message::Fault));
                }
            }
            Message::Reply(reply) if is_awaited => {
                self.step(to, |core| core.reply(from, packet.call, reply));
            }
            Message::Reply(_) => {}
            Message::Fault => self.tell_lost(&packet),
        }
    }

    fn tell_lost(&mut self, packet: &Packet) {
        let (caller, callee) = (packet.caller(), packet.callee());
        if packet.life == FORGED {
            return;
        }
        if self.node(caller).life == packet.life && self.running(caller).is_some() {
            self.note(format!("{caller} loses its call to {callee}"));
            self.step(caller, |core| core.lost(callee, packet.call));
        }
    }
}

fn reply_to(request: &Packet, message: Message) -> Packet {
    Packet {
        from: request.to,
        to: request.from,
        message,
        call: request.call,
        life: request.life,
    }
}
