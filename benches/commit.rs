//! What durability costs: commits a second and how long one takes, with fsync on, with fsync off,
//! and with nothing on disk at all.
//!
//! `cargo bench --bench commit` prints two tables within a minute. Three nodes run in this process
//! and talk over loopback sockets as three machines would; the clients call the leader, each over a
//! connection that it keeps, and submit their next command when the last one is answered. So the
//! rows with one client show what a single commit takes, and those with 64 how far commands that
//! come together share messages and syncs.
//!
//! A second table, of longer links: how many round trips of the link a commit takes. One is the least
//! that there can be. A leader has one request under way to each peer, and what comes meanwhile waits
//! for the next: so whatever is above one, and is not the machine's own time (which shows in the rows of
//! the shortest link), is the most that more requests at once could save.
//!
//! The folders are below `TMPDIR`: where that is a tmpfs, fsync costs nothing. All nodes share one
//! disk here, and nodes and clients one machine, so the numbers are for comparing, not for quoting.

#![allow(missing_docs)]
// A benchmark that cannot go on has nothing better to do than to stop.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use raftian::config::{Config, NodeConfig};
use raftian::logging::NodeLog;
use raftian::node::{Node, Setup};
use raftian::orders_log::OrdersLog;
use raftian::rpc::client::Client;
use raftian::rpc::codec;
use raftian::rpc::http::bind;
use raftian::rpc::value::Value;
use raftian::snapshot::Document;
use raftian::storage::{Identity, Memory, Options, RealDisk, Recovered, Storage, Store};

#[path = "../tests/support/links.rs"]
#[allow(dead_code)]
mod links;

use links::{Links, Mode};

/// How long each row is measured.
const MEASURED: Duration = Duration::from_secs(3);
const CLIENTS: [usize; 2] = [1, 64];
/// One way, in milliseconds: a building, a country, a continent.
const DELAYS: [u64; 3] = [1, 10, 40];
const CLIENTS_FAR_AWAY: [usize; 3] = [1, 8, 64];

#[derive(Clone, Copy)]
enum Kept {
    Synced,
    Written,
    InMemory,
}

fn main() {
    println!(
        "{:<10} {:>8} {:>12} {:>10} {:>10}",
        "storage", "clients", "commits/s", "p50 ms", "p99 ms"
    );
    for clients in CLIENTS {
        for (name, kept) in [
            ("fsync", Kept::Synced),
            ("no fsync", Kept::Written),
            ("memory", Kept::InMemory),
        ] {
            let folder = tempfile::tempdir().unwrap();
            let cluster = cluster(folder.path(), kept, None);
            let times = load(&cluster.leader, clients);
            println!(
                "{name:<10} {clients:>8} {:>12.0} {:>10.2} {:>10.2}",
                times.len() as f64 / MEASURED.as_secs_f64(),
                at(&times, 0.50),
                at(&times, 0.99),
            );
        }
    }
    println!(
        "\n{:<10} {:>8} {:>12} {:>10} {:>10} {:>12}",
        "round trip", "clients", "commits/s", "p50 ms", "mean ms", "round trips"
    );
    for delay in DELAYS {
        for clients in CLIENTS_FAR_AWAY {
            let folder = tempfile::tempdir().unwrap();
            let cluster = cluster(folder.path(), Kept::InMemory, Some(delay));
            let times = load(&cluster.leader, clients);
            let total: Duration = times.iter().sum();
            let mean = total.as_secs_f64() * 1e3 / times.len() as f64;
            println!(
                "{:<10} {clients:>8} {:>12.0} {:>10.2} {mean:>10.2} {:>12.2}",
                format!("{} ms", 2 * delay),
                times.len() as f64 / MEASURED.as_secs_f64(),
                at(&times, 0.50),
                mean / (2 * delay) as f64,
            );
        }
    }
}

/// The time, in milliseconds, that this share of them did not exceed.
fn at(sorted: &[Duration], share: f64) -> f64 {
    let place = (sorted.len() as f64 * share) as usize;
    sorted.get(place).map_or(0.0, |t| t.as_secs_f64() * 1e3)
}

struct Cluster {
    /// The address of the one that leads.
    leader: String,
    _nodes: Vec<Node>,
    /// They end after the nodes.
    _links: Option<Links>,
}

/// Three nodes, which call each other directly, or over links on which everything takes so many
/// milliseconds.
fn cluster(folder: &Path, kept: Kept, delay: Option<u64>) -> Cluster {
    let any = "127.0.0.1:0".parse().unwrap();
    let listeners: Vec<_> = (0..3).map(|_| bind(any).unwrap()).collect();
    let listens = listeners.iter().map(|l| l.local_addr().unwrap());
    let listens: BTreeMap<u64, SocketAddr> = (1..).zip(listens).collect();
    let links = delay.map(|delay| {
        let links = Links::new(&listens, 0);
        for &from in listens.keys() {
            for &to in listens.keys().filter(|to| **to != from) {
                links.set(from, to, Mode::Slow(delay));
            }
        }
        links
    });
    let config = |id: u64| {
        let address = |(&other, &listen): (&u64, &SocketAddr)| match &links {
            Some(links) if other != id => links.address(id, other).to_string(),
            _ => listen.to_string(),
        };
        let mut config = Config::embedded(listens.iter().map(address).collect());
        // An election in the middle would be measured too.
        config.cluster.election_timeout_ms = (1000, 2000);
        config.cluster.data = folder.join("data");
        config
    };
    let start = |(id, listener): (u64, _)| {
        let config = config(id);
        let node = config.node(id).unwrap();
        let (storage, recovered) = storage(&config, node, kept);
        Node::start(Setup {
            config: &config,
            node,
            joins: false,
            listener,
            view: None,
            storage,
            recovered,
            on_failure: Box::new(|reason| panic!("{reason}")),
            orders_log: OrdersLog::create(&folder.join(&node.name)).unwrap(),
            log: NodeLog::off(),
            trace: None,
            max_connections: 256,
        })
        .unwrap()
    };
    let nodes: Vec<Node> = (1..).zip(listeners).map(start).collect();
    Cluster {
        leader: leader(&listens),
        _nodes: nodes,
        _links: links,
    }
}

fn storage(config: &Config, node: &NodeConfig, kept: Kept) -> (Box<dyn Storage>, Recovered) {
    let options = Options {
        fsync: match kept {
            Kept::Synced => true,
            Kept::Written => false,
            Kept::InMemory => return (Box::new(Memory::default()), Recovered::default()),
        },
        segment_bytes: config.storage.segment_kib * 1024,
    };
    let identity = Identity {
        cluster: config.cluster.name.clone(),
        node: node.id,
    };
    let disk = RealDisk::open(&config.data_of(node)).unwrap();
    let (store, recovered) =
        Store::open(disk, &identity, options, Document::read_snapshot).unwrap();
    (Box::new(store), recovered)
}

/// Waits for a leader.
fn leader(listens: &BTreeMap<u64, SocketAddr>) -> String {
    let clients = listens.iter().map(|(&id, listen)| {
        let address = listen.to_string();
        let client = Client::new(&address, Duration::from_secs(2));
        (id, address, client)
    });
    let clients: Vec<_> = clients.collect();
    loop {
        for (id, address, client) in &clients {
            let status = client.call("cluster.status", &[]).unwrap();
            let status = codec::decode_status(&status).unwrap();
            if status.leader == Some(*id) && status.commit_index > 0 {
                return address.clone();
            }
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// How long each commit took, sorted, of all that `clients` could make one after another.
fn load(leader: &str, clients: usize) -> Vec<Duration> {
    let start = Arc::new(Barrier::new(clients));
    let threads: Vec<_> = (0..clients)
        .map(|number| {
            let start = Arc::clone(&start);
            let client = Client::new(leader, Duration::from_secs(10));
            thread::spawn(move || {
                let mut times = Vec::new();
                let name = Value::from(format!("client-{number}"));
                start.wait();
                let end = Instant::now() + MEASURED;
                for serial in 1.. {
                    let begun = Instant::now();
                    if begun >= end {
                        break;
                    }
                    let params = [name.clone(), Value::Int(serial), "attack 1".into()];
                    client.call("submit_rpc", &params).unwrap();
                    times.push(begun.elapsed());
                }
                times
            })
        })
        .collect();
    let times = threads.into_iter().map(|thread| thread.join().unwrap());
    let mut times: Vec<Duration> = times.flatten().collect();
    times.sort_unstable();
    times
}
