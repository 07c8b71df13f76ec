//! The world that a simulated cluster lives in: what happens next, to whom, and what comes of it.
//!
//! One agenda holds all that will happen, by time. A step takes the next thing from it, lets it
//! happen to a driver, carries the driver's actions out (each of them perhaps the last before a
//! crash), and has the checker look at the result.

mod admin;
mod faults;
mod messages;
mod nodes;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};

use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use crate::game::Game;
use crate::node::driver::Driver;
use crate::raft::{CallId, Configuration, Member, NodeId, RoleName, Standing};
use crate::rpc::codec;
use crate::rpc::methods::ReplyKind;
use crate::trace::Recorder;

use super::checker::{Checker, Verifies, Violation};
use super::clients::{Attempt, Clients};
use super::disk::Disk;
use super::markers::Marker;
use super::network::{Network, Weather};
use super::{Counts, ELECTION_TIMEOUT, Options, Report};

const HEARTBEAT: u64 = 50;
/// A call without an answer ends after this, in milliseconds.
const CALL_TIMEOUT: u64 = ELECTION_TIMEOUT.0;
/// After the faults have ended there is a leader within ten election timeouts, ...
const LEADER_WITHIN: u64 = 10 * ELECTION_TIMEOUT.1;
/// ... and all nodes are equal within a hundred.
const EQUAL_WITHIN: u64 = 100 * ELECTION_TIMEOUT.1;
/// At peace, clients want something new for so long.
const PEACE: u64 = ELECTION_TIMEOUT.1;
/// At peace, a command is applied within this.
const SERVED_WITHIN: u64 = ELECTION_TIMEOUT.1;
/// No message is delayed for longer.
const LONGEST_DELAY: u64 = 10 * ELECTION_TIMEOUT.1;

/// Who waits for an answer inside a driver.
#[derive(Clone, Debug)]
enum Token {
    Peer(Exchange),
    Client(Attempt),
    /// A linearizable read, and what had been told when it was asked for.
    Reader {
        number: u64,
        told: u64,
    },
    /// A change of the members, or a transfer.
    Admin(u64),
}

/// One request and its reply on their way.
#[derive(Clone, Debug)]
struct Exchange {
    from: NodeId,
    /// Which life of the sender: a reply does not outlive the process that waits for it.
    life: u64,
    to: NodeId,
    call: CallId,
    kind: ReplyKind,
    /// The term of a candidate that asks for a vote in earnest.
    candidacy: Option<u64>,
    /// What an agreeing reply would say is on the peer's disk.
    verifies: Option<Verifies>,
    /// The network made no second copy of the request. HTTP never does, and a node relies on it
    /// when it is told that a forward has had no effect.
    is_single: bool,
}

/// Something that will happen.
#[derive(Clone, Debug)]
enum Happening {
    /// A request arrives.
    Request(Exchange, Vec<u8>),
    /// A reply arrives.
    Reply(Exchange, Vec<u8>),
    /// Nobody waits for the reply any more.
    Timeout(Exchange),
    /// The connection was refused.
    Refused(Exchange),
    /// The oldest save under way on that node's disk is done.
    Saved(NodeId, u64),
    /// That node's deadline has come, unless it is another by now.
    Wake {
        id: NodeId,
        life: u64,
        deadline: u64,
    },
    /// A client acts.
    Client(usize),
    /// A client's request arrives at a node.
    Submit(Attempt, Vec<u8>),
    /// A client's answer arrives.
    Answer(Attempt, Vec<u8>),
    /// A client stops waiting.
    GiveUp(Attempt),
    /// Somebody's question how things stand arrives at a node.
    Read(NodeId, u64, Vec<u8>),
    /// The administrator acts.
    Administer,
    /// What the administrator wants arrives at a node.
    Manage(NodeId, u64, Vec<u8>),
    /// A fault begins, or ends.
    Fault,
    Heal,
    /// The disk of a node has room again.
    Room(NodeId),
    Restart(NodeId),
}

struct Node {
    /// It was there when the cluster began, and was told who the others are.
    founder: bool,
    /// Whenever it starts, it is told who the members are by then.
    is_told: bool,
    /// It is none any more, and will not be started again.
    is_gone: bool,
    disk: Disk,
    /// `None` while the node is down.
    driver: Option<Driver<Token>>,
    life: u64,
    started_at: u64,
    /// The node does nothing before this.
    paused_until: u64,
    /// When the save that was begun last is done.
    disk_free_at: u64,
    /// The earliest wake-up that is scheduled.
    wake_at: u64,
    /// Calls that have not ended.
    calls: BTreeSet<CallId>,
    /// Clients' questions that have not been answered, and since when.
    asked: BTreeMap<(usize, u64), u64>,
}

impl Node {
    fn new(id: NodeId, segment_bytes: u64, founder: bool) -> Node {
        Node {
            founder,
            is_told: !founder,
            is_gone: false,
            disk: Disk::new(id, segment_bytes),
            driver: None,
            life: 0,
            started_at: 0,
            paused_until: 0,
            disk_free_at: 0,
            wake_at: 0,
            calls: BTreeSet::new(),
            asked: BTreeMap::new(),
        }
    }
}

/// From here on, nothing is an excuse.
#[derive(Clone, Copy, Debug)]
struct Peace {
    since: u64,
    /// The leader's term, which is the last.
    term: u64,
}

pub(super) struct World<'a> {
    options: Options,
    rng: Xoshiro256PlusPlus,
    now: u64,
    step: u64,
    /// What will happen, by time and then in the order in which it was scheduled.
    agenda: BinaryHeap<Reverse<(u64, u64)>>,
    happenings: BTreeMap<u64, Happening>,
    scheduled: u64,
    nodes: BTreeMap<NodeId, Node>,
    network: Network,
    clients: Clients,
    checker: Checker,
    /// Faults are over.
    is_calm: bool,
    /// The cluster has recovered.
    peace: Option<Peace>,
    /// A crash between two actions, in 10,000.
    crash_rate: u32,
    /// The same for a leader: where many leaders follow each other, logs differ most.
    leader_crash_rate: u32,
    /// A slow save, in 1000.
    slow_disk: u32,
    /// The longest time between two faults.
    fault_every: u64,
    /// Most entries in one request: few, so that catching up takes several.
    max_batch_entries: usize,
    /// Most entries that a leader takes beyond its commit index: few, so that there are too many.
    max_uncommitted: u64,
    pre_vote: bool,
    check_quorum: bool,
    /// After so many entries a node takes a snapshot: few, so that there are many.
    snapshot_entries: u64,
    /// Most bytes in one part of a snapshot: few, so that it takes many.
    max_part_bytes: usize,
    /// A save that fails, in 10,000.
    disk_error: u32,
    segment_bytes: u64,
    /// The longest time between two acts of the administrator; 0: there is none.
    churn: u64,
    /// The next node's id.
    next_id: NodeId,
    /// Numbers reads and what the administrator wants.
    questions: u64,
    /// Linearizable reads that were served.
    reads: u64,
    /// How far each leader has sent which snapshot to whom.
    sending: BTreeMap<(NodeId, NodeId), (u64, u64)>,
    faults: u64,
    hash: u64,
    trace: Option<&'a mut dyn FnMut(String)>,
    /// Writes down what the core of a node that starts is told.
    recorder: Option<NewRecorder<'a>>,
}

type NewRecorder<'a> = &'a mut dyn FnMut(NodeId) -> Recorder;

type Checked = Result<(), Violation>;

impl<'a> World<'a> {
    pub fn new(options: Options, trace: Option<&'a mut dyn FnMut(String)>) -> World<'a> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(options.seed);
        let churn = [0, 150, 400, 1_000][rng.random_range(0..4)];
        // Where members come and go, a cluster may begin small.
        let count = options.nodes.unwrap_or_else(|| match churn {
            0 => [3, 5, 7][rng.random_range(0..3)],
            _ => [1, 2, 3, 3, 5, 5, 7, 7][rng.random_range(0..8)],
        });
        let weather = Weather::draw(&mut rng);
        let crash_rate = [0, 5, 20, 60][rng.random_range(0..4)];
        let leader_crash_rate = [0, 0, 100, 400][rng.random_range(0..4)];
        let slow_disk = [0, 20, 100][rng.random_range(0..3)];
        let fault_every = [200, 600, 1_500][rng.random_range(0..3)];
        let max_batch_entries = [1, 1, 2, 8][rng.random_range(0..4)];
        let max_uncommitted = [1, 4, 64][rng.random_range(0..3)];
        // Nodes have both; now and then it is seen that they are no crutches.
        let (pre_vote, check_quorum) =
            [(true, true), (true, true), (true, true), (false, false)][rng.random_range(0..4)];
        let snapshot_entries = [1, 3, 8, 20, 1_000][rng.random_range(0..5)];
        let max_part_bytes = [200, 1_000, codec::MAX_PART_BYTES][rng.random_range(0..3)];
        let segment_bytes = [1_024, 2_048, 4_096][rng.random_range(0..3)];
        let disk_error = [0, 0, 20, 100][rng.random_range(0..4)];
        let mut simulation = World {
            options,
            now: 0,
            step: 0,
            agenda: BinaryHeap::new(),
            happenings: BTreeMap::new(),
            scheduled: 0,
            nodes: BTreeMap::new(),
            network: Network::new(weather, LONGEST_DELAY),
            clients: Clients::new(3, &mut rng),
            checker: Checker::new(board(count), founders(count)),
            is_calm: false,
            peace: None,
            crash_rate,
            leader_crash_rate: crash_rate.max(leader_crash_rate),
            slow_disk,
            fault_every,
            max_batch_entries,
            max_uncommitted,
            pre_vote,
            check_quorum,
            snapshot_entries,
            max_part_bytes,
            disk_error,
            segment_bytes,
            churn,
            next_id: count + 1,
            questions: 0,
            reads: 0,
            sending: BTreeMap::new(),
            faults: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            trace,
            recorder: None,
            rng,
        };
        for id in 1..=count {
            simulation.add_node(id, true);
        }
        simulation
    }

    /// Lets the faults rage, then ends them and waits for the cluster to recover.
    pub fn run(&mut self) -> Checked {
        for id in self.ids() {
            self.start(id)?;
        }
        for client in 0..self.clients.len() {
            self.after(client as u64, Happening::Client(client));
        }
        let first_fault = self.rng.random_range(100..1_000);
        self.after(first_fault, Happening::Fault);
        if self.churn > 0 {
            let first = self.rng.random_range(100..1_000);
            self.after(first, Happening::Administer);
        }
        while self.step < self.options.steps {
            self.next()?;
        }
        self.calm()?;
        let calm_since = self.now;
        self.wait_for_leader(calm_since)?;
        // The last late message has come, and the last call without an answer has ended.
        while self.now <= calm_since + LEADER_WITHIN + CALL_TIMEOUT {
            self.next()?;
        }
        self.nobody_waits()?;
        self.retire_the_removed()?;
        self.half_connected()?;
        let calm_since = self.now;
        while self.now <= calm_since + CALL_TIMEOUT {
            self.next()?;
        }
        self.wait_for_leader(calm_since)?;
        self.peace = Some(Peace {
            since: self.now,
            term: self.highest_term(),
        });
        while !self.is_settled() {
            self.next()?;
            self.at_peace()?;
            self.within(
                calm_since,
                EQUAL_WITHIN,
                "all nodes equal within a hundred election timeouts",
            )?;
        }
        self.checker.finish()
    }

    /// There has been a leader for a while: whoever asked a member in worse times has an answer,
    /// whatever became of the entry that was meant.
    fn nobody_waits(&self) -> Checked {
        let members = self.member_ids();
        let waits = |since: u64| since + LEADER_WITHIN / 2 < self.now;
        for id in members {
            let asked = &self.nodes[&id].asked;
            if let Some((asked, since)) = asked.iter().find(|(_, since)| waits(**since)) {
                let standing = self.standing("a leader serves whoever has waited for one");
                let Violation { detail, .. } = &standing;
                return Err(Violation {
                    detail: format!(
                        "node {id}: client and attempt {asked:?}, since {since} ms; {detail}"
                    ),
                    ..standing
                });
            }
        }
        Ok(())
    }

    /// Links stay cut, in a way that leaves somebody who can talk to a majority, and nothing else
    /// goes wrong: there must be a leader whom a majority answers, and it must stay (PreVote and
    /// CheckQuorum are for this).
    fn half_connected(&mut self) -> Checked {
        let Some(leader) = self.leader() else {
            return Ok(());
        };
        let configuration = driver_of(&self.nodes, leader)
            .raft()
            .configuration()
            .clone();
        let voters: Vec<NodeId> = configuration.voters().collect();
        // Not in each run: it takes as long as all the faults.
        let chosen = self.rng.random_ratio(1, 3);
        let protected = self.pre_vote && self.check_quorum && chosen;
        if !protected || voters.len() < 3 || configuration.is_joint() {
            return Ok(());
        }
        let World { network, rng, .. } = self;
        let kind = network.half_connect(&voters, rng);
        let heard = voters.iter().filter(|&&voter| {
            self.network.connects(voter, leader) && self.network.connects(leader, voter)
        });
        let stays = (2 * heard.count() > voters.len()).then(|| self.highest_term());
        self.note(|| format!("{kind} partition, and no other fault"));
        self.checker.markers.mark(match kind {
            "bridge" => Marker::Bridge,
            _ => Marker::OneWay,
        });
        let since = self.now;
        while self.now < since + LEADER_WITHIN {
            self.next()?;
        }
        if !self.finds_confirmed_leader()? {
            return Err(self.standing("a connected majority has a leader"));
        }
        let term = self.highest_term();
        if stays.is_some_and(|before| before != term) {
            return Err(self.standing("a leader whom a majority hears stays"));
        }
        while self.now < since + 2 * LEADER_WITHIN {
            self.next()?;
        }
        if !self.finds_confirmed_leader()? || self.highest_term() != term {
            return Err(self.standing("a connected majority keeps its leader"));
        }
        self.network.heal();
        Ok(())
    }

    /// The same as `has_confirmed_leader`, or soon: a command may be on its way at this moment.
    fn finds_confirmed_leader(&mut self) -> Result<bool, Violation> {
        let until = self.now + CALL_TIMEOUT;
        while !self.has_confirmed_leader() && self.now < until {
            self.next()?;
        }
        Ok(self.has_confirmed_leader())
    }

    /// Whether there is a leader that has committed an entry of its own term, and whom a majority
    /// has answered within the last election timeout: it does not believe so for nothing.
    fn has_confirmed_leader(&self) -> bool {
        self.leaders().into_iter().any(|id| {
            let raft = driver_of(&self.nodes, id).raft();
            let at = raft.log().term_at(raft.commit_index());
            at == Some(raft.current_term()) && raft.commit_index() == raft.log().last_index()
        })
    }

    /// A cluster at peace keeps its leader.
    fn at_peace(&self) -> Checked {
        match self.peace {
            Some(peace) if self.highest_term() != peace.term => Err(Violation {
                invariant: "at peace, a leader stays",
                detail: format!("term {} -> {}", peace.term, self.highest_term()),
            }),
            _ => Ok(()),
        }
    }

    fn highest_term(&self) -> u64 {
        self.drivers()
            .map(|driver| driver.raft().current_term())
            .max()
            .unwrap_or(0)
    }

    /// Has everything written down that a core is told, in each life of each node.
    #[cfg(test)]
    pub fn record(&mut self, recorder: NewRecorder<'a>) {
        self.recorder = Some(recorder);
    }

    /// The cores of the nodes that run.
    #[cfg(test)]
    pub fn cores(&self) -> impl Iterator<Item = &crate::raft::Raft> {
        self.drivers().map(Driver::raft)
    }

    /// The run so far.
    pub fn report(&self) -> Report {
        Report {
            nodes: self.nodes.len() as u64,
            counts: Counts {
                steps: self.step,
                time_ms: self.now,
                committed: self.checker.committed(),
                elections: self.checker.elections(),
                faults: self.faults,
                installs: self.checker.installs(),
                answered: self.clients.answered(),
                reads: self.reads,
                changes: self.checker.changes(),
                markers: self.checker.markers.clone(),
            },
            trace: self.hash,
        }
    }

    fn wait_for_leader(&mut self, since: u64) -> Checked {
        while self.leader().is_none() {
            self.next()?;
            self.within(
                since,
                LEADER_WITHIN,
                "a leader within ten election timeouts",
            )?;
        }
        Ok(())
    }

    fn within(&self, since: u64, limit: u64, invariant: &'static str) -> Checked {
        match self.now <= since + limit {
            true => Ok(()),
            false => Err(self.standing(invariant)),
        }
    }

    /// A broken rule, and how every node stands.
    fn standing(&self, invariant: &'static str) -> Violation {
        let detail = self
            .nodes
            .iter()
            .filter_map(|(id, node)| Some((id, node.driver.as_ref()?.raft())))
            .map(|(id, raft)| {
                format!(
                    "node {id}: {} term {} commit {} last {} {}",
                    raft.role(),
                    raft.current_term(),
                    raft.commit_index(),
                    raft.log().last_index(),
                    raft.configuration()
                )
            })
            .collect::<Vec<_>>()
            .join("; ");
        Violation { invariant, detail }
    }

    /// Lets the next thing happen.
    fn next(&mut self) -> Checked {
        let Reverse((time, number)) = self.agenda.pop().expect("nodes always have a deadline");
        let happening = self
            .happenings
            .remove(&number)
            .expect("what is on the agenda is known");
        assert!(time >= self.now, "time does not go back");
        self.now = time;
        if let Some(node) = happening.node()
            && let Some(node) = self.nodes.get(&node)
            && node.paused_until > self.now
        {
            // A paused node finds it all waiting when it wakes up.
            let until = node.paused_until;
            self.at(until, happening);
            return Ok(());
        }
        if let Happening::Wake { id, life, deadline } = happening {
            let node = self.node(id);
            if (node.life, node.wake_at) != (life, deadline) || node.driver.is_none() {
                return Ok(());
            }
        }
        self.step += 1;
        self.note(|| happening.describe());
        self.happen(happening)?;
        self.return_the_added()?;
        self.in_time()
    }

    fn happen(&mut self, happening: Happening) -> Checked {
        match happening {
            Happening::Request(exchange, bytes) => self.request(exchange, &bytes),
            Happening::Reply(exchange, bytes) => self.reply(exchange, &bytes),
            Happening::Timeout(exchange) => self.lost(&exchange, true),
            Happening::Refused(exchange) => self.lost(&exchange, false),
            Happening::Saved(id, life) => self.saved(id, life),
            Happening::Wake { id, .. } => self.wake(id),
            Happening::Client(client) => self.client(client),
            Happening::Submit(attempt, bytes) => self.submit(attempt, &bytes),
            Happening::Answer(attempt, bytes) => self.client_answer(attempt, &bytes),
            Happening::GiveUp(attempt) => {
                self.clients.gave_up(&attempt);
                Ok(())
            }
            Happening::Read(to, number, bytes) => self.read(to, number, &bytes),
            Happening::Administer => self.administer(),
            Happening::Manage(to, number, bytes) => self.manage(to, number, &bytes),
            Happening::Fault => self.fault(),
            Happening::Heal => {
                self.network.heal();
                Ok(())
            }
            Happening::Room(id) => {
                self.node(id).disk.make_room();
                Ok(())
            }
            Happening::Restart(id) => self.start(id),
        }
    }

    // Recovery

    fn leaders(&self) -> Vec<NodeId> {
        self.drivers()
            .filter(|driver| driver.raft().role() == RoleName::Leader)
            .map(|driver| driver.raft().id())
            .collect()
    }

    /// The leader on whom all members agree, by its own log.
    fn leader(&self) -> Option<NodeId> {
        let leaders = self.leaders().into_iter();
        let leader = leaders.max_by_key(|&id| driver_of(&self.nodes, id).raft().current_term())?;
        let members = driver_of(&self.nodes, leader).raft().configuration();
        let follows = |id: &NodeId| {
            let driver = self.nodes.get(id).and_then(|node| node.driver.as_ref());
            driver.is_some_and(|driver| driver.raft().leader() == Some(leader))
        };
        members.members().keys().all(follows).then_some(leader)
    }

    /// All members have the same log and have applied all of it, no change of theirs is under way,
    /// and no client waits.
    fn is_settled(&self) -> bool {
        let Some(leader) = self.leader() else {
            return false;
        };
        let raft = driver_of(&self.nodes, leader).raft();
        let members = raft.configuration().members();
        let states: BTreeSet<_> = self
            .drivers()
            .filter(|driver| members.contains_key(&driver.raft().id()))
            .map(|driver| {
                (
                    driver.raft().log().last_index(),
                    driver.machine().last_applied(),
                    driver.machine().digest().to_string(),
                )
            })
            .collect();
        !raft.is_changing()
            && self.clients.are_idle()
            && states.len() == 1
            && states.iter().all(|(last, applied, _)| last == applied)
    }

    // Small things

    /// Whoever may be a member: by what is committed, or by the log of any node that runs.
    fn member_ids(&self) -> Vec<NodeId> {
        let (_, committed) = self.checker.configuration();
        let mut ids: BTreeSet<NodeId> = committed.members().keys().copied().collect();
        if self.peace.is_none() {
            let members = self.drivers().map(Driver::raft);
            let members = members.filter(|raft| committed.contains(raft.id()));
            let logs = members.flat_map(|raft| raft.configuration().members().keys().copied());
            ids.extend(logs.collect::<Vec<_>>());
        }
        ids.into_iter()
            .filter(|id| self.nodes.contains_key(id))
            .collect()
    }

    fn ids(&self) -> Vec<NodeId> {
        self.nodes.keys().copied().collect()
    }

    fn node(&mut self, id: NodeId) -> &mut Node {
        self.nodes.get_mut(&id).expect("only known nodes are named")
    }

    fn drivers(&self) -> impl Iterator<Item = &Driver<Token>> {
        self.nodes.values().filter_map(|node| node.driver.as_ref())
    }

    fn after(&mut self, delay: u64, happening: Happening) {
        self.at(self.now + delay, happening);
    }

    fn at(&mut self, time: u64, happening: Happening) {
        self.scheduled += 1;
        self.agenda.push(Reverse((time, self.scheduled)));
        self.happenings.insert(self.scheduled, happening);
    }

    /// Adds a line to the trace and its hash (FNV-1a, because it must never change).
    fn note(&mut self, line: impl FnOnce() -> String) {
        let line = format!("{:>6} {}", self.now, line());
        for byte in line.bytes() {
            self.hash = (self.hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        }
        if let Some(trace) = &mut self.trace {
            trace(line);
        }
    }
}

impl Happening {
    /// Whose pause delays this.
    fn node(&self) -> Option<NodeId> {
        match self {
            Happening::Request(exchange, _) => Some(exchange.to),
            Happening::Reply(exchange, _)
            | Happening::Timeout(exchange)
            | Happening::Refused(exchange) => Some(exchange.from),
            Happening::Saved(id, _) | Happening::Wake { id, .. } => Some(*id),
            Happening::Submit(attempt, _) => Some(attempt.to),
            Happening::Read(to, ..) | Happening::Manage(to, ..) => Some(*to),
            Happening::Administer
            | Happening::Client(_)
            | Happening::Answer(..)
            | Happening::GiveUp(_)
            | Happening::Fault
            | Happening::Heal
            | Happening::Room(_)
            | Happening::Restart(_) => None,
        }
    }

    fn describe(&self) -> String {
        let bytes = |bytes: &[u8]| {
            let values = String::from_utf8_lossy(bytes).into_owned();
            values.replace(['\n', '\r'], " ")
        };
        match self {
            Happening::Request(x, body) => {
                format!("{} -> {} call {} {}", x.from, x.to, x.call, bytes(body))
            }
            Happening::Reply(x, body) => {
                format!("{} <- {} call {} {}", x.from, x.to, x.call, bytes(body))
            }
            Happening::Timeout(x) => format!("{} -> {} call {} times out", x.from, x.to, x.call),
            Happening::Refused(x) => format!("{} -> {} call {} is refused", x.from, x.to, x.call),
            Happening::Saved(id, _) => format!("node {id} has saved"),
            Happening::Wake { id, .. } => format!("node {id} wakes"),
            Happening::Client(client) => format!("client {client} acts"),
            Happening::Submit(attempt, _) => format!("{attempt} arrives"),
            Happening::Answer(attempt, body) => format!("{attempt} is answered {}", bytes(body)),
            Happening::GiveUp(attempt) => format!("{attempt} is given up"),
            Happening::Read(to, number, _) => format!("read {number} arrives at {to}"),
            Happening::Administer => "the administrator acts".to_string(),
            Happening::Manage(to, number, body) => {
                format!("errand {number} arrives at {to} {}", bytes(body))
            }
            Happening::Fault => "a fault".to_string(),
            Happening::Heal => "the network heals".to_string(),
            Happening::Room(id) => format!("node {id} has room again"),
            Happening::Restart(id) => format!("node {id} starts"),
        }
    }
}

fn driver_of(nodes: &BTreeMap<NodeId, Node>, id: NodeId) -> &Driver<Token> {
    nodes[&id].driver.as_ref().expect("the node is running")
}

/// The members at the beginning.
fn founders(count: u64) -> Configuration {
    let member = |id| {
        let member = Member {
            name: admin::name(id),
            address: admin::address(id),
            standing: Standing::Voter,
        };
        (id, member)
    };
    Configuration::new((1..=count).map(member).collect()).expect("there is one")
}

fn board(players: u64) -> Game {
    Game::new((1..=players).map(|id| (id, format!("bob{id}"))))
}
