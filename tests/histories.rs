//! Is the key-value store linearizable? Ten clients, ten keys, and every fault that real processes can
//! be given: killed, stopped in their tracks, cut off in both directions or in one, replies lost, links
//! that lose and delay, and leaders who are told to hand over.
//!
//! Each client notes what it asked for and what it was told (`linearizability/history.rs`). When all
//! is over, a checker looks for an order that explains it; where there is none, it prints the smallest
//! part that shows so. Clients send a write again until they have an answer, at another node and under
//! the same serial, as programs do: so a write that is applied twice is found, too.
//!
//! `make soak` runs the long one. Every run prints its seed; `SEED`, `OPERATIONS` and `FAULTS` choose
//! others. The seed decides who asks for what, and which faults come in which order. What the processes
//! are doing meanwhile is up to the machine.

// In a test an error is a panic, in its helpers too.
#![allow(clippy::unwrap_used)]

#[path = "linearizability/mod.rs"]
mod linearizability;
mod support;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use linearizability::{Action, Answer, Outcome, Recorder, Value, check};
use raftian::rpc::client::{CallError, Client};
use raftian::rpc::value::{Fault, Value as Xml};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::links::Mode;
use support::{Cluster, PATIENT};

const CLIENTS: u64 = 10;
const KEYS: u64 = 10;
const NODES: usize = 5;
const KV: [&str; 2] = ["--machine", "kv"];
/// How long a client waits for one node.
const ATTEMPT: Duration = Duration::from_millis(1_500);
/// After so long it does not know what became of its operation.
const PATIENCE: Duration = Duration::from_secs(15);

#[test]
fn what_clients_see_is_linearizable_whatever_fails() {
    run(1_500, 15);
}

#[test]
#[ignore = "it takes minutes: make soak"]
fn what_clients_see_for_a_long_time_is_linearizable_whatever_fails() {
    run(20_000, 200);
}

fn run(operations: usize, faults: usize) {
    let operations = number_from("OPERATIONS").unwrap_or(operations as u64) as usize;
    let faults = number_from("FAULTS").unwrap_or(faults as u64) as usize;
    let seed = number_from("SEED").unwrap_or_else(rand::random);
    println!("{operations} operations, {faults} faults, SEED={seed}");
    // Snapshots are taken all the time, so that whoever was away gets one.
    let mut cluster = Cluster::linked(NODES, PATIENT, "snapshot_entries = 100\n", seed);
    for id in cluster.ids() {
        cluster.start_with(id, &KV);
    }
    cluster.wait_for_leader();
    let addresses: Vec<String> = cluster
        .ids()
        .iter()
        .map(|&id| cluster.address(id))
        .collect();
    let load = Load {
        recorder: Recorder::new(),
        ended: AtomicUsize::new(0),
        stop: AtomicBool::new(false),
    };
    thread::scope(|scope| {
        // Also when a fault cannot be made: the clients would go on for ever.
        let _stop = StopAtTheEnd(&load.stop);
        for number in 1..=CLIENTS {
            let (load, addresses) = (&load, &addresses);
            scope.spawn(move || {
                let rng = StdRng::seed_from_u64(seed ^ number.wrapping_mul(0x9e37_79b9_7f4a_7c15));
                Asking::new(number, addresses, rng).go_on(load);
            });
        }
        let mut rng = StdRng::seed_from_u64(seed);
        for number in 1..=faults {
            let what = fault(&mut cluster, &mut rng, &load, operations / (2 * faults));
            if number % 20 == 0 || number == faults {
                println!("{number} faults, {} operations; {what}", load.ended());
            }
        }
        cluster.wait_until("all operations", |_| load.ended() >= operations);
    });
    cluster.wait_for_leader();
    cluster.wait_until_equal();
    cluster.verified();
    let history = load.recorder.history();
    let unknown = history
        .iter()
        .filter(|operation| operation.outcome == Outcome::Unknown);
    let (all, unknown) = (history.len(), unknown.count());
    assert!(
        all >= operations && unknown < all / 10,
        "{unknown} of {all} are unknown"
    );
    match check(&history) {
        Ok(order) => println!("{all} operations, {unknown} of them unknown: {order:?}"),
        Err(why) => panic!("SEED={seed}\n{why}\n{}", cluster.report()),
    }
}

/// What the clients and the test share.
struct Load {
    recorder: Recorder,
    ended: AtomicUsize,
    stop: AtomicBool,
}

impl Load {
    fn ended(&self) -> usize {
        self.ended.load(Ordering::SeqCst)
    }
}

struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// One fault from its beginning to its end. In between some operations end, or some time passes: with a
/// fault that stops the cluster, nothing ends.
fn fault(cluster: &mut Cluster, rng: &mut StdRng, load: &Load, operations: usize) -> String {
    let ids = cluster.ids();
    let leader = || ids.iter().find_map(|&id| cluster.status(id)?.leader);
    let any = ids[rng.random_range(0..ids.len())];
    let victim = match rng.random_range(0..2) {
        0 => leader().unwrap_or(any),
        _ => any,
    };
    let others: Vec<u64> = ids.iter().copied().filter(|&id| id != victim).collect();
    let other = others[rng.random_range(0..others.len())];
    let longest = Duration::from_millis(rng.random_range(100..1_200));
    let wait = || {
        let (from, since) = (load.ended(), Instant::now());
        while since.elapsed() < longest && load.ended() < from + operations.max(1) {
            thread::sleep(Duration::from_millis(5));
        }
    };
    let set = |cluster: &Cluster, pairs: &[(u64, u64)], mode| {
        for &(from, to) in pairs {
            cluster.links().set(from, to, mode);
        }
    };
    let (to, from): (Vec<_>, Vec<_>) = others.iter().map(|&o| ((o, victim), (victim, o))).unzip();
    let all: Vec<(u64, u64)> = ids
        .iter()
        .flat_map(|&a| ids.iter().filter(move |&&b| b != a).map(move |&b| (a, b)))
        .collect();
    let cut = |cluster: &Cluster, pairs: &[(u64, u64)], mode| {
        set(cluster, pairs, mode);
        wait();
        set(cluster, pairs, Mode::Open);
    };
    let what = match rng.random_range(0..9) {
        0 | 1 => {
            cluster.kill(victim);
            wait();
            cluster.start_with(victim, &KV);
            "is killed"
        }
        2 => {
            cluster.kill(victim);
            cluster.kill(other);
            wait();
            cluster.start_with(other, &KV);
            cluster.start_with(victim, &KV);
            "is killed, and another one"
        }
        3 => {
            cluster.pause(victim);
            wait();
            cluster.resume(victim);
            "stops and goes on"
        }
        4 => {
            cut(cluster, &[to, from].concat(), Mode::RequestsLost);
            "is cut off"
        }
        5 => {
            cut(cluster, &from, Mode::RequestsLost);
            "is not heard"
        }
        6 => {
            cut(cluster, &from, Mode::RepliesLost);
            "hears no reply"
        }
        7 => {
            let unreliable = Mode::Unreliable {
                requests: 10,
                replies: 10,
                longest: 60,
            };
            cut(cluster, &all, unreliable);
            "and all others have bad links"
        }
        _ => {
            // Whoever does not lead, or cannot, says so.
            let to = i64::try_from(other).unwrap();
            let _ = cluster.call(victim, "cluster.transfer", &[Xml::Int(to)]);
            "is told to hand over"
        }
    };
    format!("node {victim} {what}")
}

/// A client.
struct Asking {
    number: u64,
    nodes: Vec<Client>,
    /// Whom it asks first.
    at: usize,
    serial: i64,
    rng: StdRng,
}

impl Asking {
    fn new(number: u64, addresses: &[String], rng: StdRng) -> Asking {
        let nodes = addresses
            .iter()
            .map(|address| Client::new(address, ATTEMPT));
        Asking {
            number,
            nodes: nodes.collect(),
            at: number as usize % addresses.len(),
            serial: 0,
            rng,
        }
    }

    fn go_on(&mut self, load: &Load) {
        while !load.stop.load(Ordering::SeqCst) {
            // Half of the keys are numbers, half are texts, as a rule.
            let key = self.rng.random_range(0..KEYS);
            let action = self.something(key);
            let key = format!("k{key}");
            self.serial += 1;
            let call = load.recorder.invoke(self.number, &key, action.clone());
            match self.ask(&key, &action) {
                Some(answer) => load.recorder.completed(call, answer),
                // A read that nobody has answered has had no effect.
                None if action == Action::Get => load.recorder.failed(call),
                None => load.recorder.unknown(call),
            }
            load.ended.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn something(&mut self, key: u64) -> Action {
        // Different from all others, so that what is read says who wrote it; or, now and then, not.
        let new = match self.rng.random_range(0..4) {
            0 => self.rng.random_range(0..5),
            _ => self.serial * 100 + self.number as i64,
        };
        let is_number = key.is_multiple_of(2);
        let value = |n: i64| match is_number {
            true => Value::Int(n),
            false => Value::Text(n.to_string()),
        };
        match self.rng.random_range(0..20) {
            0..=8 => Action::Get,
            9..=12 => Action::Put(value(new)),
            13 => Action::Delete,
            14..=16 => Action::Cas {
                expected: match self.rng.random_range(0..4) {
                    0 => None,
                    _ => Some(value(self.rng.random_range(0..5))),
                },
                new: value(new),
            },
            _ if is_number => Action::Incr,
            _ => Action::Append(format!(",{new}")),
        }
    }

    /// The answer, from whichever node has one.
    fn ask(&mut self, key: &str, action: &Action) -> Option<Answer> {
        let (method, params) = self.call(key, action);
        // Now and then it does not ask twice, and never knows what became of it.
        let asks_once = self.rng.random_ratio(1, 10);
        let since = Instant::now();
        while since.elapsed() < PATIENCE {
            match self.nodes[self.at].call(method, &params) {
                Ok(answer) => return Some(understood(action, &answer)),
                Err(CallError::Fault(fault)) if fault.code == Fault::WRONG_PARAMETERS => {
                    return Some(Answer::Refused);
                }
                Err(CallError::Fault(fault)) => {
                    assert_eq!(fault.code, Fault::APPLICATION, "{fault}");
                }
                Err(_) => {}
            }
            if asks_once {
                return None;
            }
            self.at = self.rng.random_range(0..self.nodes.len());
            // Not too often where nobody listens.
            thread::sleep(Duration::from_millis(5));
        }
        None
    }

    fn call(&self, key: &str, action: &Action) -> (&'static str, Vec<Xml>) {
        let (method, operands) = match action {
            Action::Get => return ("kv.get", vec![key.into()]),
            Action::Put(value) => ("kv.put", vec![xml(value)]),
            Action::Delete => ("kv.delete", vec![]),
            Action::Cas { expected, new } => {
                let expected = expected.as_ref().map_or(Xml::Nil, xml);
                ("kv.cas", vec![expected, xml(new)])
            }
            Action::Append(piece) => ("kv.append", vec![piece.as_str().into()]),
            Action::Incr => ("kv.incr", vec![]),
        };
        let name = format!("client-{}", self.number);
        let mut params = vec![name.into(), self.serial.into(), key.into()];
        params.extend(operands);
        (method, params)
    }
}

fn xml(value: &Value) -> Xml {
    match value {
        Value::Text(text) => text.as_str().into(),
        Value::Int(number) => (*number).into(),
        Value::Bytes(bytes) => Xml::Base64(bytes.clone()),
    }
}

/// What a node's answer says in the checker's terms. What it says beyond them (how long a text has
/// become) is left out.
fn understood(action: &Action, answer: &Xml) -> Answer {
    match (action, answer) {
        (Action::Get, Xml::Nil) => Answer::Found(None),
        (Action::Get, Xml::String(text)) => Answer::Found(Some(Value::Text(text.clone()))),
        (Action::Get, Xml::Int(number)) => Answer::Found(Some(Value::Int(*number))),
        (Action::Cas { .. }, Xml::Bool(yes)) => Answer::Swapped(*yes),
        (Action::Incr, Xml::Int(number)) => Answer::Number(*number),
        (Action::Put(_) | Action::Delete, Xml::Bool(_)) => Answer::Done,
        (Action::Append(_), Xml::Int(_)) => Answer::Done,
        _ => panic!("{action:?} was answered {answer:?}"),
    }
}

/// A number from the environment.
fn number_from(name: &str) -> Option<u64> {
    std::env::var(name).ok().and_then(|text| text.parse().ok())
}
