//! The state of the model: cores, disks and the wire, and what can happen to them.
//!
//! Each core is the shipped [`Raft`], and is told only what its public methods tell it. A step's
//! [`Ready`] is carried out as its documentation demands. What surrounds the core is as free as that
//! documentation allows, and so freer than a node is: a node begins no election while a save is under
//! way, for example, and this one does.
//!
//! A call is one packet, first the request and then its reply, and ends in one `reply` or one `lost`
//! at the caller, like a call over HTTP. A caller can lose patience at any moment; the request may
//! arrive all the same, at any later moment. A request that nobody waits for can vanish. So whatever
//! is on the wire can arrive in any order, late, or not at all.
//!
//! Who has left goes on like everybody: it may not know it, times out, and asks for votes. A core
//! refuses strangers unless it was told that they are members; here it is told so of everybody, because
//! a refusal does nothing that the loss of the request does not do.
//!
//! A crash and the start after it are one step. A node that is down for a while does what a node does
//! that hears nothing, and what it starts with is on its disk already.

use std::collections::VecDeque;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use super::Bounds;
use crate::command::Command;
use crate::raft::view::View;
use crate::raft::{
    AppendOutcome, CallId, Change, CheckSnapshot, Config, Configuration, Entry, HardState, Log,
    NodeId, Raft, Ready, Reply, Request, RoleName, Save, Send, Standing,
};

mod words;

/// No node is ever silent for so long unless the model says so.
const ELECTION_TIMEOUT: u64 = 1 << 32;
const HEARTBEAT: u64 = 1;

/// What can happen. Packets go by their places on the wire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A node has heard no leader for too long, or its election has come to nothing.
    Timeout(NodeId),
    /// A heartbeat interval passes on a leader, or on a candidate.
    Beat(NodeId),
    /// A client asks a leader for something.
    Propose(NodeId),
    /// A leader is asked to change the members.
    Change(NodeId, Box<Change>),
    /// The oldest save of a node is on its disk.
    Saved(NodeId),
    /// A packet arrives.
    Deliver(usize),
    /// Whoever waits for this packet, or for the reply to it, waits no more.
    GiveUp(usize),
    /// The same for a reply that has not left yet: who will not answer, and which of its promises.
    GiveUpEarly(NodeId, usize),
    /// A request that nobody waits for is lost.
    Vanish(usize),
    /// There is no room on the wire, and this is lost.
    Lose(usize),
    /// A node loses what it has not saved, and starts again.
    Crash(NodeId),
}

/// A call on its way: its request or its reply.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Who asks.
    pub caller: NodeId,
    /// Who is asked.
    pub callee: NodeId,
    /// The caller's name for it; `None` when nobody waits any more.
    waits: Option<CallId>,
    pub message: Message,
}

#[derive(Clone, Debug)]
pub enum Message {
    Request(Request),
    Reply(Reply),
}

/// What a node remembers.
#[derive(Clone, Debug, Default)]
pub struct Disk {
    pub hard_state: HardState,
    pub log: Log,
}

impl Disk {
    fn save(&mut self, save: Save) {
        assert!(save.snapshot.is_none(), "the model has no snapshots");
        self.hard_state = save.hard_state.unwrap_or(self.hard_state);
        if let Some(first) = save.entries.first()
            && first.index <= self.log.last_index()
        {
            self.log.truncate(first.index);
        }
        for entry in save.entries {
            self.log.append(entry);
        }
    }
}

/// A server.
#[derive(Clone, Debug)]
pub struct Node {
    pub core: Raft,
    now: u64,
    pub disk: Disk,
    /// Under way to the disk, oldest first.
    pub saves: VecDeque<Save>,
    /// Promises, each with how many of the saves must be done before it leaves.
    held: VecDeque<(usize, Packet)>,
}

/// What no node knows and the rules ask for.
#[derive(Clone, Debug, Default)]
pub struct History {
    /// Who has led each term, from term 1 on. A lone voter leads before its term is saved; what it
    /// loses of that in a crash nobody has seen, and it is not remembered here either.
    leaders: Vec<Option<NodeId>>,
    /// What has been committed, from index 1 on, and the term of the node that said so first.
    pub committed: Vec<(Entry, u64)>,
    /// A rule that a step has broken.
    pub broken: Option<&'static str>,
}

impl History {
    /// Who has led that term.
    pub fn leader(&self, term: u64) -> Option<NodeId> {
        *self.leaders.get((term as usize).checked_sub(1)?)?
    }

    /// A node has crashed, and knows of no later term than this one.
    fn forget(&mut self, node: NodeId, term: u64) {
        for leader in self.leaders.iter_mut().skip(term as usize) {
            leader.take_if(|leader| *leader == node);
        }
        while self.leaders.last() == Some(&None) {
            self.leaders.pop();
        }
    }
}

pub const ONE_LEADER: &str = "a term has one leader";
pub const SAFETY: &str = "no two nodes apply different entries at one index";
pub const APPEND_ONLY: &str = "a leader only appends to its log";
pub const COMMIT_GROWS: &str = "a commit index never goes back";

/// What a leader's step is compared with.
struct Before {
    role: RoleName,
    term: u64,
    last_index: u64,
    last_term: u64,
}

impl Before {
    fn of(core: &Raft) -> Before {
        Before {
            role: core.role(),
            term: core.current_term(),
            last_index: core.log().last_index(),
            last_term: core.log().last_term(),
        }
    }
}

/// All of it.
#[derive(Clone, Debug)]
pub struct World {
    pub nodes: Vec<Arc<Node>>,
    pub wire: Vec<Packet>,
    proposed: u64,
    changed: u64,
    crashed: u64,
    beats: u64,
    pub history: History,
    /// What of all this can make a difference.
    key: Box<[u8]>,
}

impl PartialEq for World {
    fn eq(&self, other: &World) -> bool {
        self.key == other.key
    }
}

impl Eq for World {}

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.key.hash(state);
    }
}

/// The members with which every server is started: voters, and after them the learners.
fn founders(bounds: &Bounds) -> Configuration {
    let voters = bounds.servers - bounds.learners;
    let configuration = Configuration::of_voters(1..=voters);
    if bounds.learners == 0 {
        return configuration;
    }
    let add = (voters + 1..=bounds.servers).map(newcomer);
    let change = Change {
        add: add.collect(),
        ..Change::default()
    };
    configuration.changed(&change).expect("learners may come")
}

/// A server in the words of a change that takes it in: with the name and the address that
/// [`Configuration::of_voters`] gives it.
fn newcomer(id: NodeId) -> (NodeId, (String, String)) {
    (id, (format!("node{id}"), format!("node{id}:1")))
}

fn config(id: NodeId, bounds: &Bounds) -> Config {
    Config {
        id,
        configuration: founders(bounds),
        founds: false,
        election_timeout: (ELECTION_TIMEOUT, ELECTION_TIMEOUT),
        heartbeat: HEARTBEAT,
        // The bare algorithm of the paper: these two only make less happen.
        pre_vote: false,
        check_quorum: false,
        seed: 0,
        max_batch_entries: bounds.batch,
        max_batch_bytes: usize::MAX,
        max_uncommitted: u64::MAX,
        max_uncommitted_bytes: usize::MAX,
        max_part_bytes: 1,
        max_snapshot_bytes: 1,
        keep_while_sending: 0,
        check_snapshot: CheckSnapshot(Arc::new(|_| Err("there are none".to_string()))),
    }
}

/// A core that has just started, and hears everybody, whatever its log says of them.
fn start(id: NodeId, bounds: &Bounds, hard_state: HardState, log: Log) -> Raft {
    let mut core = Raft::new(config(id, bounds), hard_state, None, log);
    let ready = core.introduce(1..=bounds.servers);
    assert_eq!(ready, Ready::default(), "nothing comes of it at once");
    core
}

/// Every change that somebody could ask for: each server comes, becomes a voter, leaves, or is not
/// spoken of. Whether it can be made is for the core to say.
fn changes(configuration: &Configuration, servers: u64) -> Vec<Change> {
    type Word = fn(&mut Change, NodeId);
    let comes: Word = |change, id| change.add.extend([newcomer(id)]);
    let votes: Word = |change, id| change.promote.extend([id]);
    let leaves: Word = |change, id| change.remove.extend([id]);
    let mut changes = vec![Change::default()];
    for id in 1..=servers {
        let words: &[Word] = match configuration.standing(id) {
            None => &[comes],
            Some(Standing::Learner) => &[votes, leaves],
            Some(_) => &[leaves],
        };
        let others = changes.clone();
        for word in words {
            changes.extend(others.iter().cloned().map(|mut change| {
                word(&mut change, id);
                change
            }));
        }
    }
    changes
}

impl World {
    /// New servers.
    pub fn new(bounds: &Bounds) -> World {
        let node = |id| {
            Arc::new(Node {
                core: start(id, bounds, HardState::default(), Log::default()),
                now: 0,
                disk: Disk::default(),
                saves: VecDeque::new(),
                held: VecDeque::new(),
            })
        };
        let mut world = World {
            nodes: (1..=bounds.servers).map(node).collect(),
            wire: Vec::new(),
            proposed: 0,
            changed: 0,
            crashed: 0,
            beats: 0,
            history: History::default(),
            key: Box::default(),
        };
        world.key = world.view();
        world
    }

    /// A server.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id as usize - 1]
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        Arc::make_mut(&mut self.nodes[id as usize - 1])
    }

    /// Whatever can happen next.
    pub fn actions(&self, bounds: &Bounds, actions: &mut Vec<Action>) {
        if self.history.broken.is_some() {
            return;
        }
        if self.in_flight() > bounds.messages {
            // The wire is crowded, and until it is not, nothing else happens.
            actions.extend((0..self.wire.len()).map(Action::Lose));
            for node in &self.nodes {
                let held = 0..node.held.len();
                actions.extend(held.map(|at| Action::GiveUpEarly(node.core.id(), at)));
            }
            return;
        }
        for node in &self.nodes {
            let core = &node.core;
            let id = core.id();
            if core.role() == RoleName::Leader && self.proposed < bounds.commands {
                actions.push(Action::Propose(id));
            }
            if core.role() == RoleName::Leader && self.changed < bounds.changes {
                let changes = changes(core.configuration(), bounds.servers);
                let changes = changes.into_iter().map(Box::new);
                actions.extend(changes.map(|change| Action::Change(id, change)));
            }
            if matches!(core.role(), RoleName::Candidate | RoleName::Leader)
                && core.deadline().is_some()
                && bounds.beats.is_none_or(|beats| self.beats < beats)
            {
                actions.push(Action::Beat(id));
            }
            if core.role() != RoleName::Leader && core.current_term() < bounds.terms {
                actions.push(Action::Timeout(id));
            }
            if !node.saves.is_empty() {
                actions.push(Action::Saved(id));
            }
            for (at, (_, packet)) in node.held.iter().enumerate() {
                if matches!(packet.message, Message::Reply(_)) {
                    actions.push(Action::GiveUpEarly(id, at));
                }
            }
            if self.crashed < bounds.crashes {
                actions.push(Action::Crash(id));
            }
        }
        for (at, packet) in self.wire.iter().enumerate() {
            actions.push(Action::Deliver(at));
            actions.push(match packet.waits {
                Some(_) => Action::GiveUp(at),
                None => Action::Vanish(at),
            });
        }
    }

    /// The world after that, unless it leaves the bounds.
    pub fn after(&self, action: Action, bounds: &Bounds) -> Option<World> {
        let mut next = self.clone();
        match action {
            Action::Timeout(id) => next.tick(id, ELECTION_TIMEOUT),
            Action::Beat(id) => {
                next.beats += u64::from(bounds.beats.is_some());
                next.tick(id, HEARTBEAT);
            }
            Action::Propose(id) => {
                let command = Command::new("model", next.proposed, "").expect("it is a command");
                next.proposed += 1;
                next.step(id, None, |core| {
                    let (_, ready) = core.propose([Arc::new(command)]).expect("it leads");
                    ready
                });
            }
            Action::Change(id, change) => {
                let mut is_made = false;
                next.changed += 1;
                next.step(id, None, |core| match core.change(&change) {
                    Ok((_, ready)) => {
                        is_made = true;
                        ready
                    }
                    Err(_) => Ready::default(),
                });
                if !is_made {
                    return None;
                }
            }
            Action::Saved(id) => next.save(id),
            Action::Deliver(at) => next.deliver(at),
            Action::GiveUp(at) => {
                let packet = &mut next.wire[at];
                let lost = packet.clone();
                packet.waits = None;
                if !bounds.late || matches!(packet.message, Message::Reply(_)) {
                    next.wire.remove(at);
                }
                next.tell_lost(&lost);
            }
            Action::GiveUpEarly(id, at) => {
                let (_, lost) = next.node_mut(id).held.remove(at).expect("it is held");
                next.tell_lost(&lost);
            }
            Action::Lose(at) => {
                let lost = next.wire.remove(at);
                next.tell_lost(&lost);
            }
            Action::Vanish(at) => {
                next.wire.remove(at);
            }
            Action::Crash(id) => next.crash(id, bounds),
        }
        for id in 1..=bounds.servers {
            while next.is_saved_at_once(id, bounds) {
                next.save(id);
            }
            if next.node(id).saves.len() > bounds.saves {
                return None;
            }
        }
        if next.in_flight() > bounds.messages && !bounds.crowded {
            return None;
        }
        next.key = next.view();
        Some(next)
    }

    /// How many calls are under way.
    fn in_flight(&self) -> usize {
        let held = self.nodes.iter().map(|node| node.held.len());
        self.wire.len() + held.sum::<usize>()
    }

    /// Whether a node's oldest save is done without a step of its own.
    ///
    /// Once no crash can come any more, that is every save but one of a leader's entries. What waits
    /// for it counts as in flight, and can arrive at any later moment, so a late save does nothing that
    /// a slow message does not do. A leader counts itself when its save is done, so there it matters.
    fn is_saved_at_once(&self, id: NodeId, bounds: &Bounds) -> bool {
        let node = self.node(id);
        node.saves.front().is_some_and(|save| {
            let counts = node.core.role() == RoleName::Leader && !save.entries.is_empty();
            !bounds.slow_disks || (self.crashed == bounds.crashes && !counts)
        })
    }

    fn tick(&mut self, id: NodeId, ms: u64) {
        let node = self.node_mut(id);
        node.now += ms;
        let now = node.now;
        self.step(id, None, |core| core.tick(now));
    }

    fn save(&mut self, id: NodeId) {
        let node = self.node_mut(id);
        let save = node.saves.pop_front().expect("a save is under way");
        let mark = save.mark();
        node.disk.save(save);
        for (needs, _) in &mut node.held {
            *needs = needs.saturating_sub(1);
        }
        self.release(id);
        if let Some(mark) = mark {
            self.step(id, None, |core| core.saved(mark));
        }
    }

    fn deliver(&mut self, at: usize) {
        let packet = self.wire.remove(at);
        let Packet {
            caller,
            callee,
            waits,
            message,
        } = packet.clone();
        match (message, waits) {
            (Message::Request(request), _) => {
                let mut is_refused = false;
                self.step(callee, Some(&packet), |core| {
                    core.request(request).unwrap_or_else(|refusal| {
                        check!(false, "a correct node is refused: {refusal}");
                        is_refused = true;
                        Ready::default()
                    })
                });
                if is_refused {
                    self.tell_lost(&packet);
                }
            }
            (Message::Reply(reply), Some(call)) => {
                self.step(caller, None, |core| core.reply(callee, call, reply));
            }
            (Message::Reply(_), None) => unreachable!("a reply is for somebody"),
        }
    }

    fn tell_lost(&mut self, packet: &Packet) {
        if let Some(call) = packet.waits {
            let callee = packet.callee;
            self.step(packet.caller, None, |core| core.lost(callee, call));
        }
    }

    fn crash(&mut self, id: NodeId, bounds: &Bounds) {
        self.crashed += 1;
        let node = self.node_mut(id);
        let mut hard_state = node.disk.hard_state;
        if planted!(ForgetVote) {
            hard_state.voted_for = None;
        }
        node.core = start(id, bounds, hard_state, node.disk.log.clone());
        node.now = 0;
        node.saves.clear();
        let unsent = std::mem::take(&mut node.held);
        self.history.forget(id, hard_state.current_term);
        // Nobody waits for what this node has asked, and what it has not said will not be said.
        let is_reply = |packet: &Packet| matches!(packet.message, Message::Reply(_));
        self.wire
            .retain(|packet| packet.caller != id || !is_reply(packet));
        for packet in &mut self.wire {
            if packet.caller == id {
                packet.waits = None;
            }
        }
        for other in 1..=bounds.servers {
            if self.node(other).held.iter().any(|(_, p)| p.caller == id) {
                let held = &mut self.node_mut(other).held;
                held.retain(|(_, packet)| packet.caller != id || !is_reply(packet));
            }
        }
        for (_, packet) in &unsent {
            if packet.caller != id {
                self.tell_lost(packet);
            }
        }
    }

    /// Gives a core an input and carries out what it asks for; the reply is for `asker`.
    ///
    /// When a leader resigns, its TimeoutNow is lost, of which it wants to hear nothing any more. Any
    /// node may lose patience at any time, so being told to adds nothing; but who is told is decided by
    /// name where two are equal, and would differ in the mirror image.
    fn step(&mut self, id: NodeId, asker: Option<&Packet>, input: impl FnOnce(&mut Raft) -> Ready) {
        let node = self.node_mut(id);
        let committed = node.core.commit_index();
        let before = Before::of(&node.core);
        let mut ready = input(&mut node.core);
        let is_sent = |send: &Send| !matches!(send.request, Request::TimeoutNow(_));
        ready.send.retain(is_sent);
        ready.after_save.retain(is_sent);
        let after = Before::of(&node.core);
        if before.role == RoleName::Leader
            && (before.role, before.term) == (after.role, after.term)
            && node.core.log().term_at(before.last_index) != Some(before.last_term)
        {
            self.history.broken = Some(APPEND_ONLY);
        }
        let node = &self.nodes[id as usize - 1];
        if node.core.commit_index() < committed {
            self.history.broken = Some(COMMIT_GROWS);
        }
        let packet = |send: Send| Packet {
            caller: id,
            callee: send.to,
            waits: Some(send.call),
            message: Message::Request(send.request),
        };
        let node = self.node_mut(id);
        node.saves.extend(ready.save);
        let needs = node.saves.len();
        let votes = ready.after_save.into_iter().map(packet);
        let votes = votes.map(|packet| (planted!(VoteBeforeSave), packet));
        let reply = ready.reply.zip(asker).and_then(|(reply, asker)| {
            let early = match reply {
                Reply::RequestVote(_) => planted!(VoteBeforeSave),
                _ => planted!(AcknowledgeBeforeSave),
            };
            asker.waits?;
            let message = Message::Reply(reply);
            Some((
                early,
                Packet {
                    message,
                    ..asker.clone()
                },
            ))
        });
        for (early, packet) in votes.chain(reply) {
            let needs = if early || planted!(PromiseBeforeSave) {
                0
            } else {
                needs
            };
            node.held.push_back((needs, packet));
        }
        self.wire.extend(ready.send.into_iter().map(packet));
        self.release(id);
        self.note(id, ready.committed);
    }

    /// Lets go whatever waits for no save any more.
    fn release(&mut self, id: NodeId) {
        let node = Arc::make_mut(&mut self.nodes[id as usize - 1]);
        let mut at = 0;
        while let Some((needs, _)) = node.held.get(at) {
            match needs {
                0 => self.wire.extend(node.held.remove(at).map(|(_, p)| p)),
                _ => at += 1,
            }
        }
    }

    /// What a step has shown that no later state might show.
    fn note(&mut self, id: NodeId, committed: Vec<Entry>) {
        let core = &self.nodes[id as usize - 1].core;
        let term = core.current_term();
        let history = &mut self.history;
        if core.role() == RoleName::Leader {
            let leaders = &mut history.leaders;
            leaders.resize(leaders.len().max(term as usize), None);
            if *leaders[term as usize - 1].get_or_insert(id) != id {
                history.broken = Some(ONE_LEADER);
            }
        }
        for entry in committed {
            let at = entry.index as usize - 1;
            match history.committed.get(at) {
                None if at == history.committed.len() => history.committed.push((entry, term)),
                Some((first, _)) if *first == entry => {}
                _ => history.broken = Some(SAFETY),
            }
        }
    }

    /// Everything that can make a difference, which the order of packets does not. It is the same for
    /// two worlds that differ in names only: of all orders of the nodes, the one with the smallest
    /// bytes. Those that already differ in something without names have their places by that.
    fn view(&self) -> Box<[u8]> {
        let mut order: Vec<NodeId> = (1..=self.nodes.len() as u64).collect();
        let rank = |id: &NodeId| self.node(*id).rank();
        order.sort_by_key(rank);
        let mut best: Option<Vec<u8>> = None;
        permute(&mut order, 0, &rank, &mut |order| {
            let bytes = self.view_in(order);
            if best.as_ref().is_none_or(|best| bytes < *best) {
                best = Some(bytes);
            }
        });
        best.unwrap_or_default().into()
    }

    fn view_in(&self, order: &[NodeId]) -> Vec<u8> {
        let mut view = View {
            order,
            bytes: Vec::with_capacity(256),
        };
        view.number(self.proposed);
        view.number(self.changed);
        view.number(self.crashed);
        view.number(self.beats);
        for &id in order {
            self.node(id).view(self, &mut view);
        }
        let packets = self.wire.iter().map(|packet| packet.view(self, order));
        let mut packets: Vec<_> = packets.collect();
        packets.sort_unstable();
        view.number(packets.len() as u64);
        for packet in packets {
            view.bytes.extend(packet);
        }
        for &leader in &self.history.leaders {
            view.node(leader);
        }
        view.number(u64::from(u8::MAX));
        for (entry, term) in &self.history.committed {
            view.entry(entry);
            view.number(*term);
        }
        view.number(u64::from(self.history.broken.is_some()));
        view.bytes
    }
}

/// Calls `f` with each order that leaves the ranks sorted.
fn permute<R: Eq>(
    order: &mut [NodeId],
    from: usize,
    rank: &impl Fn(&NodeId) -> R,
    f: &mut impl FnMut(&[NodeId]),
) {
    if from + 1 >= order.len() {
        return f(order);
    }
    for other in from..order.len() {
        if rank(&order[other]) == rank(&order[from]) {
            order.swap(from, other);
            permute(order, from + 1, rank, f);
            order.swap(from, other);
        }
    }
}

impl Node {
    /// Something of a node in which there are no names.
    fn rank(&self) -> impl Ord + use<> {
        let core = &self.core;
        let founder = core.config().configuration.standing(core.id());
        (
            founder.map(|standing| standing as u8),
            core.current_term(),
            core.log().last_index(),
            core.log().last_term(),
            core.role() as u8,
            core.commit_index(),
            (self.saves.len(), self.held.len()),
            (
                self.disk.hard_state.current_term,
                self.disk.log.last_index(),
            ),
        )
    }

    fn view(&self, world: &World, view: &mut View<'_>) {
        let Node {
            core,
            now: _,
            disk,
            saves,
            held,
        } = self;
        core.view(view);
        view.hard_state(&disk.hard_state);
        view.log(&disk.log);
        view.number(saves.len() as u64);
        for save in saves {
            view.number(u64::from(save.hard_state.is_some()));
            view.hard_state(&save.hard_state.unwrap_or_default());
            view.number(save.entries.first().map_or(0, |entry| entry.index));
            view.entries(&save.entries);
        }
        let held = held
            .iter()
            .map(|(needs, packet)| (needs, packet.view(world, view.order)));
        let mut held: Vec<_> = held.collect();
        held.sort_unstable();
        view.number(held.len() as u64);
        for (needs, packet) in held {
            view.number(*needs as u64);
            view.bytes.extend(packet);
        }
    }
}

impl Packet {
    fn view(&self, world: &World, order: &[NodeId]) -> Vec<u8> {
        let mut view = View {
            order,
            bytes: Vec::with_capacity(24),
        };
        view.node(Some(self.caller));
        view.node(Some(self.callee));
        let core = &world.node(self.caller).core;
        view.number(match self.waits {
            None => 0,
            Some(call) if !core.awaits(self.callee, call) => 1,
            Some(_) => 2,
        });
        match &self.message {
            Message::Request(Request::RequestVote(request)) => {
                view.number(0);
                view.number(request.term);
                view.number(request.last_log_index);
                view.number(request.last_log_term);
            }
            Message::Request(Request::AppendEntries(request)) => {
                view.number(1);
                view.number(request.term);
                view.number(request.prev_log_index);
                view.number(request.prev_log_term);
                view.number(request.leader_commit);
                view.entries(&request.entries);
            }
            Message::Reply(Reply::RequestVote(reply)) => {
                view.number(2);
                view.number(reply.term);
                view.number(u64::from(reply.vote_granted));
            }
            Message::Reply(Reply::AppendEntries(reply)) => {
                view.number(3);
                view.number(reply.term);
                let (kind, term, index) = match reply.outcome {
                    AppendOutcome::Matched(index) => (0, 0, index),
                    AppendOutcome::Conflict { term, index } => (1, term.unwrap_or(0), index),
                };
                view.number(kind);
                view.number(term);
                view.number(index);
            }
            Message::Request(Request::InstallSnapshot(_) | Request::TimeoutNow(_))
            | Message::Reply(Reply::InstallSnapshot(_) | Reply::TimeoutNow(_)) => {
                panic!("the model has no snapshots and no transfers")
            }
        }
        view.bytes
    }
}
