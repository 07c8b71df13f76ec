//! The world that a simulated cluster lives in: what happens next, to whom, and what comes of it.
//!
//! One agenda holds all that will happen, by time. A step takes the next thing from it, lets it
//! happen to a driver, carries the driver's actions out (each of them perhaps the last before a
//! crash), and has the checker look at the result.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};

use crate::game::Game;
use crate::machine::Machine;
use crate::node::driver::{Driver, Parts, Peer};
use crate::node::event::{
    Action, Event, ForwardReply, PeerReply, PeerRequest, Question, Refusal, Response,
};
use crate::node::submissions::OUTCOME_WITHIN;
use crate::raft::{CallId, CheckSnapshot, Config, NodeId, Raft, Request, RoleName, Save};
use crate::rpc::methods::{self, Asked, ReplyKind};
use crate::rpc::{codec, xml};
use crate::snapshot::{self, Document};

use super::checker::{Checker, Violation};
use super::clients::{Attempt, Clients};
use super::disk::Disk;
use super::network::{Network, Weather};
use super::{ELECTION_TIMEOUT, Options, Report};

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
    /// The term of the last entry that an AppendEntries verifies.
    verifies: Option<u64>,
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
    /// A fault begins, or ends.
    Fault,
    Heal,
    Restart(NodeId),
}

struct Node {
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
    faults: u64,
    hash: u64,
    trace: Option<&'a mut dyn FnMut(String)>,
}

type Checked = Result<(), Violation>;

impl<'a> World<'a> {
    pub fn new(options: Options, trace: Option<&'a mut dyn FnMut(String)>) -> World<'a> {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(options.seed);
        let count = options
            .nodes
            .unwrap_or_else(|| [3, 5, 7][rng.random_range(0..3)]);
        let weather = Weather::draw(&mut rng);
        let crash_rate = [0, 5, 20, 60][rng.random_range(0..4)];
        let leader_crash_rate = [0, 0, 100, 400][rng.random_range(0..4)];
        let slow_disk = [0, 20, 100][rng.random_range(0..3)];
        let fault_every = [200, 600, 1_500][rng.random_range(0..3)];
        let max_batch_entries = [1, 1, 2, 8][rng.random_range(0..4)];
        let max_uncommitted = [1, 4, 64][rng.random_range(0..3)];
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
            checker: Checker::new(board(count)),
            is_calm: false,
            peace: None,
            crash_rate,
            leader_crash_rate: crash_rate.max(leader_crash_rate),
            slow_disk,
            fault_every,
            max_batch_entries,
            max_uncommitted,
            faults: 0,
            hash: 0xcbf2_9ce4_8422_2325,
            trace,
            rng,
        };
        for id in 1..=count {
            simulation.nodes.insert(
                id,
                Node {
                    disk: Disk::default(),
                    driver: None,
                    life: 0,
                    started_at: 0,
                    paused_until: 0,
                    disk_free_at: 0,
                    wake_at: 0,
                    calls: BTreeSet::new(),
                    asked: BTreeMap::new(),
                },
            );
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
        while self.step < self.options.steps {
            self.next()?;
        }
        self.calm()?;
        let calm_since = self.now;
        while !self.has_leader() {
            self.next()?;
            self.within(
                calm_since,
                LEADER_WITHIN,
                "a leader within ten election timeouts",
            )?;
        }
        // The last late message has come, and the last call without an answer has ended.
        while self.now <= calm_since + LEADER_WITHIN + CALL_TIMEOUT {
            self.next()?;
        }
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

    /// The run so far.
    pub fn report(&self) -> Report {
        Report {
            nodes: self.nodes.len() as u64,
            steps: self.step,
            time_ms: self.now,
            committed: self.checker.committed(),
            elections: self.checker.elections(),
            faults: self.faults,
            answered: self.clients.answered(),
            trace: self.hash,
        }
    }

    fn within(&self, since: u64, limit: u64, invariant: &'static str) -> Checked {
        if self.now <= since + limit {
            return Ok(());
        }
        let detail = self
            .nodes
            .iter()
            .filter_map(|(id, node)| Some((id, node.driver.as_ref()?.raft())))
            .map(|(id, raft)| {
                format!(
                    "node {id}: {} term {} commit {} last {}",
                    raft.role(),
                    raft.current_term(),
                    raft.commit_index(),
                    raft.log().last_index()
                )
            })
            .collect::<Vec<_>>()
            .join("; ");
        Err(Violation { invariant, detail })
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
            Happening::Fault => self.fault(),
            Happening::Heal => {
                self.network.heal();
                Ok(())
            }
            Happening::Restart(id) => self.start(id),
        }
    }

    // Nodes

    fn start(&mut self, id: NodeId) -> Checked {
        let ids = self.ids();
        let (now, max_batch_entries) = (self.now, self.max_batch_entries);
        let max_uncommitted = self.max_uncommitted;
        let salt = self.rng.next_u64();
        let node = self.node(id);
        if node.driver.is_some() {
            return Ok(());
        }
        let (hard_state, log) = node.disk.load();
        node.life += 1;
        node.started_at = now;
        node.disk_free_at = now;
        node.wake_at = u64::MAX;
        let raft = Raft::new(
            Config {
                id,
                voters: ids.iter().copied().collect(),
                election_timeout: ELECTION_TIMEOUT,
                heartbeat: HEARTBEAT,
                seed: salt,
                max_batch_entries,
                max_batch_bytes: codec::MAX_BATCH_BYTES,
                max_uncommitted,
                max_part_bytes: codec::MAX_PART_BYTES,
                max_snapshot_bytes: snapshot::MAX_BYTES,
                keep_while_sending: 1_000,
                check_snapshot: CheckSnapshot(Arc::new(Document::check)),
            },
            hard_state,
            None,
            log,
        );
        node.driver = Some(Driver::new(Parts {
            raft,
            machine: Machine::new(board(ids.len() as u64)),
            snapshot_entries: u64::MAX,
            address: format!("10.0.0.{id}:8000"),
            name: format!("bob{id}"),
            client: format!("bob{id}-{salt:016x}"),
            peers: ids
                .iter()
                .filter(|&&peer| peer != id)
                .map(|&peer| (peer, Peer::new(format!("bob{peer}"), String::new())))
                .collect(),
            has_view: false,
        }));
        self.checker.restarted(id);
        self.drive(id, |driver, now| driver.tick(now))
    }

    fn crash(&mut self, id: NodeId) {
        let World { nodes, rng, .. } = self;
        let node = nodes.get_mut(&id).expect("only known nodes crash");
        node.driver = None;
        node.calls.clear();
        node.asked.clear();
        node.paused_until = 0;
        node.disk.crash(rng);
        self.checker.restarted(id);
        self.faults += 1;
        self.note(|| format!("node {id} crashes"));
        let longest = [50, 500, 2_000][self.rng.random_range(0..3)];
        let back = self.rng.random_range(0..longest);
        self.after(back, Happening::Restart(id));
    }

    /// Runs the driver and carries its actions out. The node may crash between any two of them.
    fn drive(
        &mut self,
        id: NodeId,
        step: impl FnOnce(&mut Driver<Token>, u64) -> Vec<Action<Token>>,
    ) -> Checked {
        let now = self.now;
        let node = self.node(id);
        let local = now - node.started_at;
        let Some(driver) = &mut node.driver else {
            return Ok(());
        };
        let committed = driver.raft().commit_index();
        let actions = step(driver, local);
        let driver = driver_of(&self.nodes, id);
        self.checker.node(driver)?;
        if driver.raft().role() == RoleName::Leader && driver.raft().commit_index() > committed {
            let disks = self.nodes.values().map(|node| node.disk.durable());
            self.checker.commitment(driver, disks)?;
        }
        let crash_rate = match driver.raft().role() {
            _ if self.is_calm => 0,
            RoleName::Leader => self.leader_crash_rate,
            _ => self.crash_rate,
        };
        for action in actions {
            if self.rng.random_ratio(crash_rate, 10_000) {
                self.crash(id);
                return Ok(());
            }
            self.act(id, action)?;
        }
        self.checker.recorded(driver_of(&self.nodes, id))?;
        self.schedule_wake(id);
        Ok(())
    }

    /// Nobody who asked a node that runs waits for longer than was promised.
    fn in_time(&self) -> Checked {
        let awake = self
            .nodes
            .iter()
            .filter(|(_, node)| node.paused_until < self.now);
        for (id, node) in awake {
            let late = |since: u64| since + OUTCOME_WITHIN < self.now;
            if let Some((asked, since)) = node.asked.iter().find(|(_, since)| late(**since)) {
                return Err(Violation {
                    invariant: "every question is answered in time",
                    detail: format!("node {id}: client and attempt {asked:?}, since {since} ms"),
                });
            }
        }
        Ok(())
    }

    fn act(&mut self, id: NodeId, action: Action<Token>) -> Checked {
        match action {
            Action::Save(number, save) => {
                self.begin_save(id, number, save);
                Ok(())
            }
            Action::Send { to, call, request } => self.send(id, to, call, &request),
            Action::Answer(Token::Peer(exchange), answer) => {
                if let Ok(Response::Raft(reply)) = &answer {
                    let disk = self.nodes[&id].disk.durable();
                    self.checker
                        .reply(id, exchange.from, exchange.verifies, reply, disk)?;
                }
                // What one copy of a forward has not done, the other may have.
                let is_denial = matches!(
                    answer,
                    Ok(Response::Forward(ForwardReply::NotAppended { .. }))
                );
                if is_denial && !exchange.is_single {
                    return Ok(());
                }
                let bytes = methods::write(answer);
                for delay in self.network.fate(&mut self.rng) {
                    self.after(delay, Happening::Reply(exchange.clone(), bytes.clone()));
                }
                Ok(())
            }
            Action::Answer(Token::Client(attempt), answer) => {
                let since = self.node(id).asked.remove(&attempt.name());
                match &answer {
                    Ok(Response::Applied(answer)) => {
                        self.checker.answer(&attempt.command, answer)?
                    }
                    Ok(_) => return Err(bad_codec("a command got the answer to another question")),
                    Err(Refusal::SerialTooOld) => self.checker.refused(&attempt.command)?,
                    Err(_) => {}
                }
                self.answered_well(&attempt, since, &answer)?;
                let bytes = methods::write(answer);
                for delay in self.network.fate(&mut self.rng).into_iter().take(1) {
                    self.after(delay, Happening::Answer(attempt.clone(), bytes.clone()));
                }
                Ok(())
            }
            Action::Record(order) => self.checker.order(id, &order),
            Action::Show(_) => Ok(()),
        }
    }

    /// Every question gets one answer, and at peace a good one soon.
    fn answered_well(
        &self,
        attempt: &Attempt,
        since: Option<u64>,
        answer: &Result<Response, Refusal>,
    ) -> Checked {
        let broken = |invariant| {
            let detail = format!("{attempt} is answered {answer:?}, asked {since:?}");
            Err(Violation { invariant, detail })
        };
        let Some(since) = since else {
            return broken("every question gets one answer");
        };
        let is_good = matches!(answer, Ok(_) | Err(Refusal::SerialTooOld));
        let at_peace = self.peace.is_some_and(|peace| peace.since <= since);
        if at_peace && (!is_good || since + SERVED_WITHIN < self.now) {
            return broken("at peace, every command is applied soon");
        }
        Ok(())
    }

    fn begin_save(&mut self, id: NodeId, number: u64, save: Save) {
        let delay = match self.is_calm {
            true => 1,
            false if self.rng.random_ratio(self.slow_disk, 1000) => self.rng.random_range(0..400),
            false => self.rng.random_range(0..8),
        };
        let now = self.now;
        let node = self.node(id);
        node.disk.begin(number, save);
        node.disk_free_at = node.disk_free_at.max(now) + delay;
        let (done, life) = (node.disk_free_at, node.life);
        self.at(done, Happening::Saved(id, life));
    }

    fn saved(&mut self, id: NodeId, life: u64) -> Checked {
        let node = self.node(id);
        if node.life != life || node.driver.is_none() {
            return Ok(());
        }
        let number = node.disk.finish().expect("a save was begun");
        self.drive(id, |driver, now| driver.handle(now, Event::Saved(number)))
    }

    fn wake(&mut self, id: NodeId) -> Checked {
        self.node(id).wake_at = u64::MAX;
        self.drive(id, |driver, now| driver.tick(now))
    }

    /// Makes sure that the node is woken at its deadline.
    fn schedule_wake(&mut self, id: NodeId) {
        let now = self.now;
        let node = self.node(id);
        let Some(driver) = &node.driver else {
            return;
        };
        let deadline = driver
            .deadline()
            .saturating_add(node.started_at)
            .max(now + 1);
        if deadline < node.wake_at {
            node.wake_at = deadline;
            let life = node.life;
            self.at(deadline, Happening::Wake { id, life, deadline });
        }
    }

    // Messages between nodes

    fn send(&mut self, from: NodeId, to: NodeId, call: CallId, request: &PeerRequest) -> Checked {
        let verifies = match request {
            PeerRequest::Raft(Request::AppendEntries(append)) => Some(
                append
                    .entries
                    .last()
                    .map_or(append.prev_log_term, |entry| entry.term),
            ),
            PeerRequest::Raft(Request::RequestVote(vote)) => {
                let disk = self.nodes[&from].disk.durable();
                self.checker.vote_request(from, vote.term, disk)?;
                None
            }
            PeerRequest::Raft(Request::InstallSnapshot(_))
            | PeerRequest::Forward(_)
            | PeerRequest::Status => None,
        };
        let node = self.node(from);
        node.calls.insert(call);
        let mut exchange = Exchange {
            from,
            life: node.life,
            to,
            call,
            kind: ReplyKind::of(request),
            verifies,
            is_single: true,
        };
        let bytes = methods::call(request);
        let copies = self.network.fate(&mut self.rng);
        exchange.is_single = copies.len() == 1;
        for delay in copies {
            self.after(delay, Happening::Request(exchange.clone(), bytes.clone()));
        }
        self.after(CALL_TIMEOUT, Happening::Timeout(exchange));
        Ok(())
    }

    fn request(&mut self, exchange: Exchange, bytes: &[u8]) -> Checked {
        if !self.network.connects(exchange.from, exchange.to) {
            return Ok(());
        }
        if self.node(exchange.to).driver.is_none() {
            // A refusal says that the request has not arrived, which another copy might belie.
            if exchange.is_single {
                self.after(1, Happening::Refused(exchange));
            }
            return Ok(());
        }
        let question = read_question(bytes)?;
        let to = exchange.to;
        self.drive(to, |driver, now| {
            driver.handle(now, Event::Asked(Token::Peer(exchange), question))
        })
    }

    fn reply(&mut self, exchange: Exchange, bytes: &[u8]) -> Checked {
        if !self.network.connects(exchange.to, exchange.from) {
            return Ok(());
        }
        let Exchange {
            from, life, call, ..
        } = exchange;
        let node = self.node(from);
        if node.life != life || node.driver.is_none() {
            return Ok(());
        }
        let is_expected = node.calls.remove(&call);
        let decoded = xml::decode_response(bytes).map_err(|fault| bad_codec(&fault.message))?;
        let reply: PeerReply = match decoded {
            Ok(value) => methods::decode_reply(exchange.kind, &value)
                .map_err(|fault| bad_codec(&fault.message))?,
            Err(fault) if fault.code == crate::rpc::value::Fault::APPLICATION => {
                return Err(Violation {
                    invariant: "no member's request is refused",
                    detail: format!("node {}: {}", exchange.to, fault.message),
                });
            }
            Err(fault) => return Err(bad_codec(&fault.message)),
        };
        // A real node drops a reply that comes after its call has ended. Here the core sees it now
        // and then all the same: it must know what the reply belongs to.
        if !is_expected && !self.rng.random_ratio(1, 2) {
            return Ok(());
        }
        let event = Event::Answered {
            from: exchange.to,
            call,
            reply,
            rtt_ms: None,
        };
        self.drive(from, |driver, now| driver.handle(now, event))
    }

    fn lost(&mut self, exchange: &Exchange, reached: bool) -> Checked {
        let &Exchange {
            from,
            life,
            to,
            call,
            ..
        } = exchange;
        let node = self.node(from);
        if node.life != life || !node.calls.remove(&call) {
            return Ok(());
        }
        self.drive(from, |driver, now| {
            driver.handle(now, Event::Lost { to, call, reached })
        })
    }

    // Clients

    fn client(&mut self, client: usize) -> Checked {
        let ids = self.ids();
        // Once more at peace, when everything must go well.
        let begins = match self.peace {
            Some(peace) => self.now < peace.since + PEACE,
            None => !self.is_calm,
        };
        let World { clients, rng, .. } = self;
        let attempts = clients.act(client, &ids, !begins, rng);
        for attempt in attempts {
            let bytes = attempt.bytes();
            for delay in self.network.fate(&mut self.rng).into_iter().take(1) {
                self.after(delay, Happening::Submit(attempt.clone(), bytes.clone()));
            }
            self.after(attempt.patience, Happening::GiveUp(attempt));
        }
        let pause = self.rng.random_range(5..60);
        self.after(pause, Happening::Client(client));
        Ok(())
    }

    fn submit(&mut self, attempt: Attempt, bytes: &[u8]) -> Checked {
        let question = read_question(bytes)?;
        let (to, now) = (attempt.to, self.now);
        let node = self.node(to);
        if node.driver.is_some() {
            node.asked.insert(attempt.name(), now);
        }
        self.drive(to, |driver, now| {
            driver.handle(now, Event::Asked(Token::Client(attempt), question))
        })
    }

    fn client_answer(&mut self, attempt: Attempt, bytes: &[u8]) -> Checked {
        let answer = xml::decode_response(bytes).map_err(|fault| bad_codec(&fault.message))?;
        let answer = match answer {
            Ok(value) => {
                Ok(codec::decode_answer(&value).map_err(|fault| bad_codec(&fault.message))?)
            }
            Err(fault) => Err(fault),
        };
        let World {
            clients,
            rng,
            checker,
            ..
        } = self;
        if clients.answer(&attempt, answer, rng) {
            checker.denied(&attempt.command);
        }
        Ok(())
    }

    // Faults

    fn fault(&mut self) -> Checked {
        if self.is_calm {
            return Ok(());
        }
        let ids = self.ids();
        let id = ids[self.rng.random_range(0..ids.len())];
        match self.rng.random_range(0..6) {
            0 | 1 => {
                self.faults += 1;
                let World { network, rng, .. } = self;
                let kind = network.partition(&ids, rng);
                self.note(|| format!("{kind} partition"));
                let heal = self.rng.random_range(50..LEADER_WITHIN);
                self.after(heal, Happening::Heal);
            }
            2 | 3 => {
                if self.node(id).driver.is_some() {
                    self.crash(id);
                }
            }
            4 => {
                self.faults += 1;
                let until = self.now + self.rng.random_range(10..LEADER_WITHIN);
                // What waits for the end of a longer pause is not awake before it.
                let node = self.node(id);
                let until = node.paused_until.max(until);
                node.paused_until = until;
                self.note(|| format!("node {id} pauses until {until}"));
            }
            _ => {
                // The leader is where it hurts.
                let leader = self.leaders().first().copied();
                match leader {
                    Some(leader) if self.rng.random_ratio(1, 2) => self.crash(leader),
                    Some(leader) => {
                        self.faults += 1;
                        let World { network, rng, .. } = self;
                        network.strand(leader, &ids, rng);
                        self.note(|| format!("leader {leader} is cut off from a majority"));
                        let heal = self.rng.random_range(50..LEADER_WITHIN);
                        self.after(heal, Happening::Heal);
                    }
                    None => {}
                }
            }
        }
        let next = self.rng.random_range(20..self.fault_every);
        self.after(next, Happening::Fault);
        Ok(())
    }

    /// The faults end: links are whole, nodes are up and awake, disks are fast.
    fn calm(&mut self) -> Checked {
        self.is_calm = true;
        self.note(|| "the faults end".to_string());
        self.network.heal();
        self.network.weather = Weather::calm();
        for id in self.ids() {
            let node = self.node(id);
            node.paused_until = 0;
            // Its wake-up may have been put off to the end of a pause that ends now.
            node.wake_at = u64::MAX;
            self.start(id)?;
            self.drive(id, |driver, now| driver.tick(now))?;
        }
        Ok(())
    }

    fn leaders(&self) -> Vec<NodeId> {
        self.drivers()
            .filter(|driver| driver.raft().role() == RoleName::Leader)
            .map(|driver| driver.raft().id())
            .collect()
    }

    /// All nodes agree on one leader.
    fn has_leader(&self) -> bool {
        let leaders: BTreeSet<_> = self
            .drivers()
            .map(|driver| driver.raft().leader())
            .collect();
        leaders.len() == 1 && leaders.first() != Some(&None)
    }

    /// All nodes have the same log and have applied all of it, and no client waits.
    fn is_settled(&self) -> bool {
        let states: BTreeSet<_> = self
            .drivers()
            .map(|driver| {
                (
                    driver.raft().log().last_index(),
                    driver.machine().last_applied(),
                    driver.machine().digest().to_string(),
                )
            })
            .collect();
        self.has_leader()
            && self.clients.are_idle()
            && states.len() == 1
            && states.iter().all(|(last, applied, _)| last == applied)
    }

    // Small things

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
            Happening::Client(_)
            | Happening::Answer(..)
            | Happening::GiveUp(_)
            | Happening::Fault
            | Happening::Heal
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
            Happening::Fault => "a fault".to_string(),
            Happening::Heal => "the network heals".to_string(),
            Happening::Restart(id) => format!("node {id} starts"),
        }
    }
}

fn driver_of(nodes: &BTreeMap<NodeId, Node>, id: NodeId) -> &Driver<Token> {
    nodes[&id].driver.as_ref().expect("the node is running")
}

fn board(players: u64) -> Game {
    Game::new((1..=players).map(|id| (id, format!("bob{id}"))))
}

fn read_question(bytes: &[u8]) -> Result<Question, Violation> {
    match methods::read(bytes).0 {
        Ok(Asked::Question(question)) => Ok(question),
        Ok(Asked::Known(_)) => Err(bad_codec("a question was read as another")),
        Err(fault) => Err(bad_codec(&fault.message)),
    }
}

fn bad_codec(detail: &str) -> Violation {
    Violation {
        invariant: "what a node writes, a node can read",
        detail: detail.to_string(),
    }
}
