//! Do memory and disk stay bounded? A million commands through three real processes.
//!
//! `make million` runs it. Many clients submit all the time; every so many commands it prints what
//! each process has in memory and in its data folder. (orders.log, which is kept whole on purpose,
//! does not count.) The configuration is the default one: a snapshot every 10,000 entries, and
//! fsync. At the end all nodes must agree, and nothing may have grown since the first quarter, when
//! everything that has a limit has reached it.
//!
//! `COMMANDS` and `CLIENTS` in the environment choose other numbers.

#![allow(missing_docs)]
// A benchmark that cannot go on has nothing better to do than to stop.
#![allow(clippy::unwrap_used)]

#[path = "../tests/support/mod.rs"]
mod support;

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use raftian::rpc::client::Client;
use support::{Cluster, VERY_PATIENT, submit};

/// How many lines the table has.
const SAMPLES: u64 = 20;
/// What memory and disk may grow by after the first quarter. A new segment or snapshot is on the
/// disk before an old one goes, and an allocator has its moods.
const SLACK: f64 = 1.5;

fn main() {
    let commands = number_from("COMMANDS", 1_000_000);
    let clients = number_from("CLIENTS", 128);
    let cluster = Cluster::started(3, VERY_PATIENT);
    let (leader, _) = cluster.wait_for_leader();
    let address = cluster.address(leader);
    println!("{commands} commands by {clients} clients; node {leader} leads");
    println!(
        "{:>9} {:>6} {:>9}  {:<26}  {:<26}",
        "commands", "s", "a second", "memory of each node, MiB", "data of each node, MiB"
    );
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let done = AtomicU64::new(0);
    let mut samples = Vec::new();
    thread::scope(|scope| {
        for number in 0..clients {
            let (next, done, address) = (&next, &done, &address);
            scope.spawn(move || {
                let client = Client::new(address, Duration::from_secs(10));
                let name = format!("client-{number}");
                let mut serial = 0;
                while next.fetch_add(1, Ordering::Relaxed) < commands {
                    serial += 1;
                    // Whatever came in between, the same command again does no harm.
                    while submit(&client, &name, serial, "attack 1").is_err() {
                        thread::sleep(Duration::from_millis(10));
                    }
                    done.fetch_add(1, Ordering::Relaxed);
                }
            });
        }
        let mut before = (0, 0.0);
        for sample in 1..=SAMPLES {
            while done.load(Ordering::Relaxed) < commands * sample / SAMPLES {
                thread::sleep(Duration::from_millis(1));
            }
            let (count, time) = (done.load(Ordering::Relaxed), begun.elapsed().as_secs_f64());
            let rate = (count - before.0) as f64 / (time - before.1);
            before = (count, time);
            let memory: Vec<f64> = cluster
                .ids()
                .iter()
                .map(|&id| memory(cluster.pid(id)))
                .collect();
            let data: Vec<f64> = cluster
                .ids()
                .iter()
                .map(|&id| size(&cluster.data(id)))
                .collect();
            println!(
                "{count:>9} {time:>6.0} {rate:>9.0}  {:<26}  {:<26}",
                columns(&memory),
                columns(&data)
            );
            samples.push([memory, data]);
        }
    });
    cluster.wait_until_equal();
    println!("{}", cluster.verified());
    let orders = fs::metadata(cluster.logs(1).join("orders.log"))
        .unwrap()
        .len();
    println!("orders.log of one node: {:.1} MiB", orders as f64 / MIB);

    for (kind, what) in ["memory", "data"].into_iter().enumerate() {
        let highest = |samples: &[[Vec<f64>; 2]]| {
            let all = samples.iter().flat_map(|sample| &sample[kind]);
            all.fold(0.0, |highest: f64, &value| highest.max(value))
        };
        let (early, late) = samples.split_at(samples.len() / 4);
        let (early, late) = (highest(early), highest(late));
        println!("{what}: at most {early:.1} MiB in the first quarter, {late:.1} MiB later");
        assert!(late <= early * SLACK, "{what} has grown");
    }
}

fn number_from(variable: &str, default: u64) -> u64 {
    std::env::var(variable).map_or(default, |number| number.parse().unwrap())
}

const MIB: f64 = 1024.0 * 1024.0;

fn columns(values: &[f64]) -> String {
    let columns: Vec<String> = values.iter().map(|value| format!("{value:>8.1}")).collect();
    columns.join(" ")
}

/// What a process has in memory.
fn memory(pid: u32) -> f64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status
        .lines()
        .find(|line| line.starts_with("VmRSS:"))
        .unwrap();
    let kib: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kib / 1024.0
}

/// What is in a folder. A file may go while it is looked at.
fn size(folder: &Path) -> f64 {
    let files = fs::read_dir(folder).unwrap();
    let sizes = files.map(|file| {
        file.unwrap()
            .metadata()
            .map_or(0, |metadata| metadata.len())
    });
    sizes.sum::<u64>() as f64 / MIB
}
