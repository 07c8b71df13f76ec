//! What real processes keep: through `kill -9`, on a full disk, on a disk that fails, and in a
//! folder that is not theirs.
//!
//! `kill -9` leaves what the system holds in memory, so nothing here can show a missing fsync; that
//! is what tests/strace.rs is for.
//!
//! `make soak` runs the test of the killed cluster alone, 200 times over. Every run prints its
//! seed; `SEED` and `CYCLES` in the environment choose others. The seed decides who is killed after
//! how many answers and with what pauses. What the processes are doing in that moment is up to the
//! machine.

// In a test an error is a panic, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use raftian::machine::{Answer, WINDOW};
use raftian::raft::RoleName;
use raftian::rpc::client::{CallError, Client};
use raftian::rpc::value::{Fault, Value};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use support::{Cluster, DEADLINE, PATIENT, Timing, finish, one_line, submit};

// -------------------------------------------------------------------------------- clients

/// A client that numbers its commands and insists on each until it has the answer.
struct Insisting {
    name: String,
    nodes: Vec<Client>,
    rng: StdRng,
}

impl Insisting {
    fn new(cluster: &Cluster, name: &str, seed: u64) -> Insisting {
        let client = |id| Client::new(&cluster.address(id), Duration::from_secs(2));
        Insisting {
            name: name.to_string(),
            nodes: cluster.ids().into_iter().map(client).collect(),
            rng: StdRng::seed_from_u64(seed),
        }
    }

    /// Submits to one node after the other, beginning anywhere.
    fn insist(&mut self, serial: u64, command: &str) -> Answer {
        let deadline = Instant::now() + DEADLINE;
        let mut node = self.rng.random_range(0..self.nodes.len());
        loop {
            match submit(&self.nodes[node], &self.name, serial, command) {
                Ok(answer) => return answer,
                Err(CallError::Fault(fault)) if is_final(&fault) => {
                    panic!("{} {serial}: {fault}", self.name)
                }
                // A dead node refuses at once.
                Err(_) => thread::sleep(Duration::from_millis(5)),
            }
            let name = &self.name;
            assert!(Instant::now() < deadline, "{name} {serial} has no answer");
            node = (node + 1) % self.nodes.len();
        }
    }
}

/// A fault that a repeat would meet again.
fn is_final(fault: &Fault) -> bool {
    fault.message.starts_with("the serial is")
        || ![Fault::APPLICATION, Fault::INTERNAL].contains(&fault.code)
}

/// What a client does, by serial: every command is known from its number.
fn command(client: usize, serial: u64) -> String {
    format!("attack {}", 1 + (client as u64 + serial) % 3)
}

/// What was acknowledged, by client and in the order of serials, which begin at 1.
type Acknowledged = Mutex<Vec<Vec<Answer>>>;

fn count(acknowledged: &Acknowledged) -> usize {
    acknowledged.lock().unwrap().iter().map(Vec::len).sum()
}

/// Submits until it is told to stop, and then ends its last command.
fn load(mut client: Insisting, number: usize, acknowledged: &Acknowledged, stop: &AtomicBool) {
    for serial in 1.. {
        if stop.load(Ordering::SeqCst) {
            return;
        }
        let answer = client.insist(serial, &command(number, serial));
        acknowledged.lock().unwrap()[number].push(answer);
    }
}

/// Sets the flag also when a test fails, so that its threads end.
struct StopAtTheEnd<'a>(&'a AtomicBool);

impl Drop for StopAtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// The lines of everybody's orders.log by index, without the digests.
fn all_orders(cluster: &Cluster) -> BTreeMap<u64, String> {
    let mut orders = BTreeMap::new();
    for id in cluster.ids() {
        let mut last = 0;
        for line in cluster.orders(id).lines() {
            let (index, rest) = line.split_once('\t').unwrap();
            let (rest, _digest) = rest.rsplit_once('\t').unwrap();
            let index = index.parse().unwrap();
            assert!(index > last, "bob{id} has {index} after {last}");
            last = index;
            let known = orders.entry(index).or_insert_with(|| rest.to_string());
            assert_eq!(known, rest, "bob{id} tells another order {index}");
        }
    }
    orders
}

// ------------------------------------------------------------------------------ kill -9

/// Few entries and small segments, so that snapshots are taken, sent and installed all the time.
const SMALL: &str = "snapshot_entries = 50\nsegment_kib = 8\n";

const CLIENTS: usize = 4;

fn number_from(variable: &str) -> Option<u64> {
    let value = std::env::var(variable).ok()?;
    let number = value.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable}={value}: a number is wanted")))
}

#[test]
fn nothing_acknowledged_is_lost_though_all_five_are_killed_again_and_again() {
    let cycles = number_from("CYCLES").unwrap_or(10);
    let seed = number_from("SEED").unwrap_or_else(rand::random);
    println!("{cycles} cycles, SEED={seed}");
    let mut cluster = Cluster::with_storage(5, PATIENT, SMALL);
    for id in cluster.ids() {
        cluster.launch(id, &[], &[]);
    }
    let acknowledged = Mutex::new(vec![Vec::new(); CLIENTS]);
    let stop = AtomicBool::new(false);
    let kills = thread::scope(|scope| {
        let _stop = StopAtTheEnd(&stop);
        let client = |number| Insisting::new(&cluster, &format!("client-{number}"), seed);
        let clients: Vec<_> = (0..CLIENTS).map(client).collect();
        for (number, client) in clients.into_iter().enumerate() {
            let (acknowledged, stop) = (&acknowledged, &stop);
            scope.spawn(move || load(client, number, acknowledged, stop));
        }
        kill_and_check(&mut cluster, &acknowledged, seed, cycles)
    });

    let acknowledged = acknowledged.into_inner().unwrap();
    cluster.wait_for_leader();
    cluster.wait_until_equal();
    let orders = all_orders(&cluster);
    for (number, answers) in acknowledged.iter().enumerate() {
        for (serial, answer) in (1..).zip(answers) {
            let Answer {
                index,
                term,
                outcome,
            } = answer;
            let line = format!("{term}\t{}\t{outcome}", command(number, serial));
            assert_eq!(orders.get(index), Some(&line), "order {index}");
        }
    }
    let applied = orders.values().filter(|line| {
        let (rest, outcome) = line.rsplit_once('\t').unwrap();
        !rest.ends_with("\tnoop") && !outcome.starts_with("duplicate of ")
    });
    let total: usize = acknowledged.iter().map(Vec::len).sum();
    assert_eq!(applied.count(), total, "each was applied once");

    thread::scope(|scope| {
        for (number, answers) in acknowledged.iter().enumerate() {
            let mut client = Insisting::new(&cluster, &format!("client-{number}"), !seed);
            let old = answers.len().saturating_sub(WINDOW as usize);
            scope.spawn(move || {
                for (serial, answer) in (1..).zip(answers).skip(old) {
                    assert_eq!(&client.insist(serial, &command(number, serial)), answer);
                }
            });
        }
    });
    cluster.wait_until_equal();
    let said = cluster.verified();
    let logs: String = cluster
        .ids()
        .iter()
        .map(|&id| cluster.node_log(id))
        .collect();
    let snapshots = logs.matches(": snapshot of index ").count();
    let installed = logs.matches("installed a snapshot").count();
    println!(
        "{kills} processes killed, {total} commands acknowledged and there; {} entries, \
         {snapshots} snapshots taken and {installed} installed\n{said}",
        orders.len()
    );
    assert!(snapshots > 0, "the log was never cut");
}

/// Kills and restarts, and repeats the commands that were acknowledged last. Returns how many
/// processes were killed.
fn kill_and_check(
    cluster: &mut Cluster,
    acknowledged: &Acknowledged,
    seed: u64,
    cycles: u64,
) -> usize {
    let mut rng = StdRng::seed_from_u64(seed);
    let mut kills = 0;
    let begun = Instant::now();
    for cycle in 1..=cycles {
        let more = count(acknowledged) + rng.random_range(5..80);
        cluster.wait_until("answers", |_| count(acknowledged) >= more);
        // Now and then some survive, and may lead those who come back.
        let mut victims = cluster.running();
        if rng.random_ratio(1, 5) {
            victims.retain(|_| rng.random_bool(0.6));
        }
        for place in (1..victims.len()).rev() {
            victims.swap(place, rng.random_range(0..=place));
        }
        for &id in &victims {
            thread::sleep(Duration::from_micros(rng.random_range(0..15_000)));
            cluster.kill(id);
        }
        kills += victims.len();
        let last: Vec<_> = {
            let acknowledged = acknowledged.lock().unwrap();
            let last =
                |answers: &Vec<Answer>| Some((answers.len() as u64, answers.last()?.clone()));
            acknowledged.iter().map(last).collect()
        };
        let mut down: Vec<u64> = cluster.ids();
        down.retain(|id| !cluster.running().contains(id));
        // A start is no better a moment to be killed.
        if rng.random_ratio(1, 4) {
            for &id in &down {
                cluster.launch(id, &[], &[]);
            }
            thread::sleep(Duration::from_micros(rng.random_range(0..60_000)));
            for &id in &down {
                cluster.kill(id);
            }
            kills += down.len();
        }
        // One may stay away until the next time, and needs a snapshot then.
        if rng.random_ratio(1, 3) && cycle < cycles && !down.is_empty() {
            down.remove(rng.random_range(0..down.len()));
        }
        for &id in &down {
            cluster.launch(id, &[], &[]);
        }
        for &id in &down {
            cluster.wait_until_ready(id);
        }
        cluster.wait_for_leader();
        for (number, last) in last.into_iter().enumerate() {
            let Some((serial, answer)) = last else {
                continue;
            };
            let mut again = Insisting::new(cluster, &format!("client-{number}"), seed ^ cycle);
            let repeated = again.insist(serial, &command(number, serial));
            assert_eq!(repeated, answer, "{}", cluster.report());
        }
        if cycle % 10 == 0 {
            println!(
                "cycle {cycle} of {cycles}: {kills} killed, {} commands acknowledged, {} s",
                count(acknowledged),
                begun.elapsed().as_secs()
            );
        }
    }
    kills
}

#[test]
fn a_killed_leader_comes_back_with_what_it_acknowledged_and_repeats_no_line() {
    let mut cluster = Cluster::with_storage(3, PATIENT, "");
    for id in cluster.ids() {
        cluster.start(id);
    }
    let mut client = Insisting::new(&cluster, "c", 1);
    let mut answers = Vec::new();
    for round in 0..3 {
        for serial in 10 * round + 1..=10 * round + 10 {
            answers.push(client.insist(serial, &command(0, serial)));
        }
        // Nobody else remembers for it: all three are killed, the leader first.
        let (leader, _) = cluster.wait_for_leader();
        cluster.kill(leader);
        for id in cluster.running() {
            cluster.kill(id);
        }
        for id in cluster.ids() {
            cluster.start(id);
        }
        cluster.wait_for_leader();
        for (serial, answer) in (1..).zip(&answers) {
            assert_eq!(&client.insist(serial, &command(0, serial)), answer);
        }
        cluster.wait_until_equal();
        cluster.verify();
    }
    let orders = all_orders(&cluster);
    let last = cluster.status(1).unwrap().last_applied;
    assert!(orders.keys().copied().eq(1..=last), "every line once");
    for id in cluster.ids() {
        let first = cluster.logs(id).join("orders.log.1");
        assert!(!first.exists(), "the file went on");
        assert_eq!(cluster.orders(id).lines().count() as u64, last);
    }
}

#[test]
fn who_was_away_for_longer_than_the_log_is_kept_catches_up_by_snapshot_and_verify_says_so() {
    let mut cluster = Cluster::with_storage(3, PATIENT, SMALL);
    for id in cluster.ids() {
        cluster.start(id);
    }
    let mut client = Insisting::new(&cluster, "c", 1);
    client.insist(1, "attack 1");
    cluster.wait_until_equal();
    let (leader, _) = cluster.wait_for_leader();
    let away = cluster.ids().into_iter().find(|&id| id != leader).unwrap();
    cluster.kill(away);
    let before = cluster.orders(away);
    for serial in 2..=200 {
        client.insist(serial, &command(0, serial));
    }
    cluster.start(away);
    cluster.wait_until_equal();
    client.insist(201, "attack 1");
    cluster.wait_until_equal();

    assert!(
        cluster
            .node_log(away)
            .contains("installed a snapshot of index")
    );
    let after = cluster.orders(away);
    let after = after.strip_prefix(&before).expect("the file goes on");
    let last: u64 = before
        .lines()
        .last()
        .unwrap()
        .split('\t')
        .next()
        .unwrap()
        .parse()
        .unwrap();
    let next: u64 = after.split('\t').next().unwrap().parse().unwrap();
    assert!(next > last + 1, "{last} is followed by {next}");
    let said = cluster.verified();
    let missing = format!("({} more came with a snapshot)", next - last - 1);
    let line = said
        .lines()
        .find(|line| line.starts_with(&format!("bob{away}  ")));
    assert!(line.is_some_and(|line| line.ends_with(&missing)), "{said}");
    assert!(said.ends_with("\nok\n"), "{said}");
    assert_eq!(said.matches("came with a snapshot").count(), 1, "{said}");
}

// ----------------------------------------------------------------- whose folder it is

/// All files below a folder.
fn contents(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(contents(&path)),
            false => drop(found.insert(path.clone(), fs::read(&path).unwrap())),
        }
    }
    found
}

#[test]
fn a_second_process_on_the_same_folder_is_refused_and_the_first_goes_on() {
    let mut cluster = Cluster::with_storage(3, PATIENT, "");
    for id in [1, 2] {
        cluster.start(id);
    }
    let mut client = Insisting::new(&cluster, "c", 1);
    client.insist(1, "attack 1");
    let logs = contents(&cluster.logs(1));
    // At an address that is free, for otherwise it would go no further than the port.
    let elsewhere = Cluster::new(1, PATIENT);
    let address = elsewhere.address(1);
    let second = [
        "serve",
        "--config",
        "test.toml",
        "--id",
        "1",
        "--address",
        &address,
    ];
    let line = one_line(&cluster.run(&second));
    let expected = "raftian: data/bob1: another process uses this folder: stop that one first\n";
    assert_eq!(line, expected);
    assert!(
        contents(&cluster.logs(1)).keys().eq(logs.keys()),
        "it left the first one's log files alone"
    );
    client.insist(2, "attack 1");
    assert_eq!(cluster.status(1).unwrap().id, 1);
    cluster.wait_until_equal();
    cluster.verify();
}

#[test]
fn a_folder_that_is_not_the_nodes_own_or_is_damaged_is_refused_and_left_as_it_is() {
    let mut cluster = Cluster::with_storage(3, PATIENT, SMALL);
    for id in [1, 2] {
        cluster.start(id);
    }
    let mut client = Insisting::new(&cluster, "c", 1);
    for serial in 1..=120 {
        client.insist(serial, "attack 1");
    }
    for id in [1, 2] {
        cluster.kill(id);
    }
    let data = cluster.dir().join("data");
    let refused = |what: &str| {
        let before = contents(&data);
        let line = one_line(&cluster.run(&["serve", "--config", "test.toml", "--id", "2"]));
        assert!(line.starts_with("raftian: data/bob2/"), "{line}");
        assert!(line.contains(what), "{line}");
        assert!(contents(&data) == before, "something was changed: {line}");
    };
    let own = data.join("own");
    let bob2 = data.join("bob2");
    let restore = || {
        fs::remove_dir_all(&bob2).unwrap();
        copy(&own, &bob2);
    };
    copy(&bob2, &own);

    fs::remove_dir_all(&bob2).unwrap();
    copy(&data.join("bob1"), &bob2);
    refused("this is the data of node 1, not of node 2: give each node its own data folder");

    restore();
    let config = fs::read_to_string(cluster.config()).unwrap();
    let other = config.replace("name = \"test\"", "name = \"other\"");
    fs::write(cluster.config(), &other).unwrap();
    refused("this is the data of cluster \"test\", not of \"other\"");
    fs::write(cluster.config(), config).unwrap();

    fs::remove_file(bob2.join("hard-state")).unwrap();
    refused("hard-state: missing beside a log");

    restore();
    let names = contents(&bob2).into_keys();
    let mut segments = names.filter(|path| path.to_string_lossy().contains("/log-"));
    let first = segments.next().unwrap();
    assert!(segments.next().is_some(), "a log of more than one segment");
    let mut bytes = fs::read(&first).unwrap();
    bytes[2000] ^= 1;
    fs::write(&first, bytes).unwrap();
    refused("damaged at byte ");

    // With its own data it is what it was.
    restore();
    for id in [1, 2] {
        cluster.start(id);
    }
    client.insist(121, "attack 1");
    cluster.wait_until_equal();
    cluster.verified();
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for (path, bytes) in contents(from) {
        fs::write(to.join(path.file_name().unwrap()), bytes).unwrap();
    }
}

// ----------------------------------------------------------------------- disks that refuse

/// Words that start a program with a tmpfs of 1 MB mounted on a folder, which nobody else sees.
fn with_small_disk(folder: &Path) -> Vec<String> {
    const MOUNT: &str = "mount -t tmpfs -o size=1m tmpfs \"$1\" && shift && exec \"$@\"";
    let folder = folder.to_string_lossy().into_owned();
    // Root needs no namespace of users; others may have one, or not.
    for options in ["-m", "-Urm"] {
        let words = ["unshare", options, "sh", "-c", MOUNT, "sh", &folder];
        let mut attempt = Command::new(words[0]);
        attempt.args(&words[1..]).arg("true").stdin(Stdio::null());
        if finish(&mut attempt).status.success() {
            return words.map(str::to_string).to_vec();
        }
    }
    panic!(
        "this test needs to mount a tmpfs in a namespace of its own (unshare -Urm): run it as root, \
         or allow user namespaces"
    );
}

/// Fills a disk but for so many bytes.
fn fill(path: &Path, but: u64) {
    let mut file = File::create(path).unwrap();
    while file.write_all(&[0; 4096]).is_ok() {}
    let length = file.metadata().unwrap().len();
    file.set_len(length - but).unwrap();
}

#[test]
fn a_full_disk_of_1_mb_stops_one_node_until_there_is_room_and_loses_nothing() {
    const QUICK: Timing = Timing {
        heartbeat: 50,
        election_timeout: (300, 500),
    };
    const SLOW: Timing = Timing {
        heartbeat: 50,
        election_timeout: (1200, 2000),
    };
    // The log is not cut: what does not fit stays too much.
    let storage = "snapshot_entries = 1000000\nsegment_kib = 16\n";
    let mut cluster = Cluster::with_storage(5, QUICK, storage);
    fs::create_dir_all(cluster.data(1)).unwrap();
    let words = with_small_disk(&cluster.data(1));
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    // The most impatient one becomes the leader.
    cluster.launch(1, &words, &["--max-connections", "24"]);
    cluster.wait_until_ready(1);
    cluster.set_timing(SLOW);
    for id in 2..=5 {
        cluster.launch(id, &[], &[]);
    }
    cluster.wait_until("bob1 leads", |cluster| {
        let status = cluster.status(1);
        status.is_some_and(|status| status.role == RoleName::Leader && status.commit_index > 0)
    });
    // What its process sees there.
    let data = cluster.data(1);
    let inside = format!("/proc/{}/root{}", cluster.pid(1), data.display());
    let filler = Path::new(&inside).join("filler");
    fill(&filler, 24 * 1024);

    let mut client = Insisting::new(&cluster, "c", 1);
    let mut answers = Vec::new();
    let mut go_on = |answers: &mut Vec<Answer>| {
        let serial = answers.len() as u64 + 1;
        answers.push(client.insist(serial, &command(0, serial)));
    };
    cluster.wait_until("the disk is full", |cluster| {
        go_on(&mut answers);
        cluster.node_log(1).contains("the disk is full")
    });
    assert!(answers.len() < WINDOW as usize);
    let refused = |cluster: &Cluster| {
        let params = ["other".into(), Value::Int(1), "attack 1".into()];
        let fault = cluster.fault(1, "submit_rpc", &params);
        assert_eq!(fault.code, -32500, "{fault}");
        assert!(fault.message.contains("disk is full"), "{fault}");
    };
    refused(&cluster);
    let (leader, term) = cluster.wait_for_leader();
    assert!(leader != 1 && term > 1, "another one leads");
    for _ in 0..20 {
        go_on(&mut answers);
    }
    refused(&cluster);

    // Without its vote nobody could lead now.
    let other = cluster
        .ids()
        .into_iter()
        .find(|&id| id != 1 && id != leader)
        .unwrap();
    for id in [leader, other] {
        cluster.kill(id);
    }
    let (third, third_term) = cluster.wait_for_leader();
    assert!(third != 1 && third_term > term);
    refused(&cluster);
    for id in [leader, other] {
        cluster.start(id);
    }
    for _ in 0..20 {
        go_on(&mut answers);
    }
    let told = |what| cluster.node_log(1).matches(what).count();
    assert_eq!(told("the disk has room again"), 0, "{}", cluster.report());
    assert_eq!(told("the disk is full"), 1, "said once");

    fs::remove_file(&filler).unwrap();
    cluster.wait_until_equal();
    assert!(cluster.node_log(1).contains("the disk has room again"));
    let here = Client::new(&cluster.address(1), Duration::from_secs(8));
    for (serial, answer) in (1..).zip(&answers) {
        let repeated = cluster.wait_for("an answer of bob1", |_| {
            submit(&here, "c", serial, &command(0, serial)).ok()
        });
        assert_eq!(&repeated, answer);
    }
    cluster.wait_until_equal();
    cluster.verify();
}

#[test]
fn a_sync_that_fails_ends_the_node_in_one_line() {
    let mut cluster = Cluster::with_storage(3, PATIENT, "");
    // Strace counts each thread's calls for itself: the disk's thread is met amid its work.
    let words = [
        "strace",
        "-D",
        "-f",
        "-qqq",
        "-o",
        "/dev/null",
        "-e",
        "trace=fdatasync",
        "-e",
        "inject=fdatasync:error=EIO:when=30+",
    ];
    cluster.launch(1, &words, &[]);
    for id in [2, 3] {
        cluster.launch(id, &[], &[]);
    }
    for id in cluster.ids() {
        cluster.wait_until_ready(id);
    }
    let acknowledged = Mutex::new(vec![Vec::new()]);
    let stop = AtomicBool::new(false);
    let client = Insisting::new(&cluster, "c", 1);
    let status = thread::scope(|scope| {
        let _stop = StopAtTheEnd(&stop);
        scope.spawn(|| load(client, 0, &acknowledged, &stop));
        cluster.wait_until_ended(1)
    });
    assert_eq!(status.code(), Some(1), "{}", cluster.report());
    let said = cluster.errors(1);
    assert_eq!(said.lines().count(), 1, "{said}");
    assert!(
        said.starts_with("raftian: bob1 ended: data/bob1/"),
        "{said}"
    );
    assert!(said.contains("Input/output error"), "{said}");

    // What it had promised is there when it comes back.
    cluster.start(1);
    cluster.wait_for_leader();
    let mut client = Insisting::new(&cluster, "c", 2);
    for (serial, answer) in (1..).zip(&acknowledged.into_inner().unwrap()[0]).take(1000) {
        assert_eq!(&client.insist(serial, &command(0, serial)), answer);
    }
    cluster.wait_until_equal();
    cluster.verified();
}
