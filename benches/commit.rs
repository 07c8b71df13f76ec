//! What durability costs: commits a second and how long one takes, with fsync on, with fsync off,
//! and with nothing on disk at all.
//!
//! `cargo bench --bench commit` prints a table within 30 seconds. Three nodes run in this process
//! and talk over loopback sockets as three machines would; the clients call the leader, each over a
//! connection that it keeps, and submit their next command when the last one is answered. So the
//! rows with one client show what a single commit takes, and those with 64 how far commands that
//! come together share messages and syncs.
//!
//! The folders are below `TMPDIR`: where that is a tmpfs, fsync costs nothing. All nodes share one
//! disk here, and nodes and clients one machine, so the numbers are for comparing, not for quoting.

#![allow(missing_docs)]
// A benchmark that cannot go on has nothing better to do than to stop.
#![allow(clippy::unwrap_used)]

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

/// How long each row is measured.
const MEASURED: Duration = Duration::from_secs(3);
const CLIENTS: [usize; 2] = [1, 64];

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
            let (_nodes, leader) = cluster(folder.path(), kept);
            let mut times = load(&leader, clients);
            times.sort_unstable();
            let at = |share: f64| {
                let place = (times.len() as f64 * share) as usize;
                times.get(place).map_or(0.0, |t| t.as_secs_f64() * 1e3)
            };
            println!(
                "{name:<10} {clients:>8} {:>12.0} {:>10.2} {:>10.2}",
                times.len() as f64 / MEASURED.as_secs_f64(),
                at(0.50),
                at(0.99),
            );
        }
    }
}

/// Three nodes, and the address of the one that leads.
fn cluster(folder: &Path, kept: Kept) -> (Vec<Node>, String) {
    let any = "127.0.0.1:0".parse().unwrap();
    let listeners: Vec<_> = (0..3).map(|_| bind(any).unwrap()).collect();
    let addresses = listeners
        .iter()
        .map(|l| l.local_addr().unwrap().to_string());
    let mut config = Config::embedded(addresses.collect());
    // An election in the middle would be measured too.
    config.cluster.election_timeout_ms = (1000, 2000);
    config.cluster.data = folder.join("data");
    let start = |(node, listener): (&NodeConfig, _)| {
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
    let nodes: Vec<Node> = config.nodes.iter().zip(listeners).map(start).collect();
    (nodes, leader(&config))
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
fn leader(config: &Config) -> String {
    let clients = config.nodes.iter().map(|node| {
        let client = Client::new(&node.address, Duration::from_secs(2));
        (node.id, node.address.clone(), client)
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

/// How long each commit took, of all that `clients` could make one after another.
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
    times.flatten().collect()
}
