//! The scenarios of the Raftian report across containers, whose networks are cut and healed.
//!
//! What `tests/cluster.rs` does with processes that share one machine's network happens here to nodes
//! that have an address and a network each: a node that is cut off is there and cannot know it, and a
//! link that fails in one direction fails in the kernel and not in a program of ours. The numbers are
//! those of the report's scenarios: 1 election, 2 replication, 3 conflict, 6 a leader that is slow or
//! hard to understand. The last test is the player's screen, through `docker attach`.
//!
//! They need a Docker engine, the image and root, so plain `cargo test` leaves them out: run them by
//! `make test-docker`, which fails in one line where there is no engine. How containers are made and
//! removed again is explained in `tests/support/docker.rs`.

// In a test an error is a panic, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use raftian::machine::WINDOW;
use raftian::raft::RoleName;
use raftian::rpc::client::Client;
use raftian::rpc::value::{Struct, Value};
use support::docker::Engine;
use support::terminal::Terminal;
use support::{PATIENT, Timing, VERY_PATIENT, submit};

/// For a leader that is to stay one while docker takes a second to kill three others.
const PATIENT_AS_A_STONE: Timing = Timing {
    heartbeat: 100,
    election_timeout: (4_000, 6_000),
};

/// Commands by one client, each sent again until it has an answer, to whoever is awake.
struct Writer {
    name: &'static str,
    /// The index of each command's entry, in the order of the serials.
    acknowledged: Vec<u64>,
}

impl Writer {
    fn new(name: &'static str) -> Writer {
        Writer {
            name,
            acknowledged: Vec::new(),
        }
    }

    /// The next command.
    fn write(&mut self, engine: &Engine, to: u64) {
        let clients = [engine.client(to)];
        self.write_to(&clients);
        let index = self.acknowledged.last().unwrap();
        engine.wait_until("what was acknowledged is applied", |engine| {
            engine.status(to).is_some_and(|s| s.last_applied >= *index)
        });
    }

    fn write_to(&mut self, clients: &[Client]) {
        let serial = self.acknowledged.len() as u64 + 1;
        let mut round = clients.iter().cycle();
        for _ in 0..100 {
            let client = round.next().unwrap();
            if let Ok(answer) = submit(client, self.name, serial, "attack 2") {
                self.acknowledged.push(answer.index);
                return;
            }
        }
        panic!("{} has no answer to {serial}", self.name);
    }

    /// Asserts that every command has the place that its answer told, and only that one: asking again
    /// gets the same answer, and every node has applied an attack there.
    fn assert_kept(&self, engine: &Engine) {
        let client = engine.client(engine.awake()[0]);
        let orders = engine.verified();
        // A node remembers that many answers of each client.
        let first = self.acknowledged.len().saturating_sub(WINDOW as usize);
        for (serial, &index) in (1..).zip(&self.acknowledged) {
            if serial > first as u64 {
                let again = submit(&client, self.name, serial, "attack 2").unwrap();
                assert_eq!(again.index, index, "{} {serial}", self.name);
            }
            for text in &orders {
                let line = text.lines().nth(index as usize - 1).unwrap();
                let columns: Vec<&str> = line.split('\t').collect();
                assert_eq!(columns[0], index.to_string(), "{line}");
                assert_eq!(columns[2], "attack 2", "{line}");
                assert!(!columns[3].starts_with("duplicate"), "{line}");
            }
        }
    }
}

/// Asserts that all nodes are awake, equal, and have what was acknowledged.
fn assert_one_story(engine: &Engine, writers: &[&Writer]) {
    assert_eq!(engine.awake(), engine.ids());
    engine.wait_for_leader();
    engine.wait_until_equal();
    for writer in writers {
        writer.assert_kept(engine);
    }
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn scenario_1_election() {
    let mut engine = Engine::new(5, PATIENT);
    engine.start(&[1]);
    engine.assert_nobody_leads();
    engine.start(&[2]);
    engine.assert_nobody_leads();
    engine.start(&[3]);
    let (_, first) = engine.wait_for_leader();
    for id in [4, 5] {
        engine.start(&[id]);
        engine.wait_for_leader();
    }

    // The leader is killed until two remain, who cannot elect anybody.
    let mut term = first;
    for left in [4, 3, 2] {
        let leader = engine.wait_for_leader();
        assert!(leader.1 >= term);
        term = leader.1 + 1;
        engine.kill(&[leader.0]);
        assert_eq!(engine.awake().len(), left);
    }
    engine.assert_nobody_leads();
    let gone = engine.others(&engine.awake());
    engine.start(&gone);
    engine.wait_for_leader();

    // The same with plugs pulled. Who leads without a majority notices, and who was away comes back
    // as a follower, in a term that nobody had to leave for it.
    let mut cut = Vec::new();
    for _ in 0..3 {
        let (leader, _) = engine.wait_for_leader();
        engine.cut(leader);
        engine.wait_until("it knows that it leads no more", |engine| {
            !engine.status_inside(leader).contains("leader in term")
        });
        cut.push(leader);
    }
    engine.assert_nobody_leads();
    engine.heal(cut.pop().unwrap());
    let (leader, term) = engine.wait_for_leader();
    for id in cut {
        engine.heal(id);
        assert_eq!(
            engine.wait_for_leader(),
            (leader, term),
            "{}",
            engine.report()
        );
    }
    assert_one_story(&engine, &[]);

    // `docker stop` asks, and a leader that is asked hands over before it ends.
    let (leader, term) = engine.wait_for_leader();
    assert_eq!(engine.stop(leader), "0");
    assert_eq!(engine.wait_for_leader().1, term + 1);
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn scenario_2_replication() {
    let mut engine = Engine::started(5, VERY_PATIENT);
    let mut writer = Writer::new("writer");
    let (leader, _) = engine.wait_for_leader();
    for to in engine.ids() {
        writer.write(&engine, to);
    }

    // One follower crashes, and another one's plug is pulled.
    let [killed, cut, third, _] = engine.others(&[leader])[..] else {
        panic!("five nodes are a leader and four others");
    };
    engine.kill(&[killed]);
    engine.cut(cut);
    for _ in 0..5 {
        writer.write(&engine, leader);
        writer.write(&engine, third);
    }
    engine.start(&[killed]);
    engine.heal(cut);
    assert_one_story(&engine, &[&writer]);

    // The leader's plug, and what it has missed when it comes back.
    let (leader, _) = engine.wait_for_leader();
    engine.cut(leader);
    let (next, _) = engine.wait_for_leader();
    for _ in 0..5 {
        writer.write(&engine, next);
    }
    engine.heal(leader);
    writer.write(&engine, leader);
    assert_one_story(&engine, &[&writer]);
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn scenario_3_conflict() {
    let mut engine = Engine::started(5, PATIENT_AS_A_STONE);
    let mut writer = Writer::new("writer");
    let (leader, term) = engine.wait_for_leader();
    writer.write(&engine, leader);
    let agreed = engine.wait_until_equal();

    // All but the leader and one crash. What is asked for now reaches both of them and stays open.
    let one = engine.others(&[leader])[0];
    let others = engine.others(&[leader, one]);
    let client = engine.client(leader);
    engine.kill(&others);
    thread::scope(|scope| {
        for serial in 1..=3 {
            let client = &client;
            scope.spawn(move || submit(client, "lost", serial, "attack 1").unwrap_err());
        }
        for id in [leader, one] {
            engine.wait_until("both have what was asked for", |engine| {
                engine
                    .status(id)
                    .is_some_and(|s| s.last_index == agreed + 3)
            });
        }
        for id in [leader, one] {
            let status = engine.status(id).unwrap();
            assert_eq!((status.term, status.commit_index), (term, agreed));
        }
        engine.kill(&[leader, one]);
    });

    // The other three know nothing of it, and go on.
    engine.start(&others);
    engine.wait_for_leader();
    for _ in 0..4 {
        writer.write(&engine, others[0]);
    }
    engine.start(&[leader, one]);
    assert_one_story(&engine, &[&writer]);
    for text in engine.verified() {
        assert!(!text.contains("\tattack 1\t"), "{text}");
        let after = text.lines().nth(agreed as usize).unwrap();
        let new_term: u64 = after.split('\t').nth(1).unwrap().parse().unwrap();
        assert!(new_term > term, "{after}");
    }
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn scenario_6_a_leader_that_is_paused_under_reads_and_writes() {
    let mut engine = Engine::started(5, PATIENT);
    let (leader, term) = engine.wait_for_leader();
    let others = engine.others(&[leader]);
    let clients = |ids: &[u64]| -> Vec<Client> { ids.iter().map(|&i| engine.client(i)).collect() };
    let (for_writer, for_reader) = (clients(&others), clients(&engine.ids()));
    let (over, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let reads = AtomicU64::new(0);
    let mut writer = Writer::new("writer");
    thread::scope(|scope| {
        // Also when an assertion fails here, the threads end.
        let end = AtTheEnd(&over);
        scope.spawn(|| {
            while !over.load(Ordering::SeqCst) {
                writer.write_to(&for_writer);
                acknowledged.store(*writer.acknowledged.last().unwrap(), Ordering::SeqCst);
            }
        });
        scope.spawn(|| {
            let mut fresh = Struct::default();
            fresh.insert("stale", Value::Bool(false));
            let question = [Value::Struct(fresh)];
            let mut round = for_reader.iter().cycle();
            while !over.load(Ordering::SeqCst) {
                let before = acknowledged.load(Ordering::SeqCst);
                // Whoever cannot confirm a read says so; whoever answers has what was acknowledged
                // before it was asked, the leader of yesterday too.
                let Ok(state) = round.next().unwrap().call("game.state", &question) else {
                    continue;
                };
                let Value::Struct(state) = state else {
                    panic!("{state:?}");
                };
                let Some(&Value::Int(index)) = state.get("index") else {
                    panic!("{state:?}");
                };
                assert!(index as u64 >= before, "read {index} after {before}");
                reads.fetch_add(1, Ordering::SeqCst);
            }
        });
        let more = |what: &str, count: &AtomicU64| {
            let from = count.load(Ordering::SeqCst);
            wait_for_it(what, || count.load(Ordering::SeqCst) > from + 5);
        };
        more("commands before", &acknowledged);
        more("reads before", &reads);
        engine.pause(leader);
        // Ten election timeouts: as long as the others need for ten elections, had they to.
        thread::sleep(Duration::from_millis(10 * PATIENT.election_timeout.1));
        let (_, new) = engine.wait_for_leader();
        assert!(new > term);
        more("commands meanwhile", &acknowledged);
        engine.resume(leader);
        more("commands after", &acknowledged);
        more("reads after", &reads);
        engine.wait_until("the old leader follows", |engine| {
            engine
                .status(leader)
                .is_some_and(|s| s.term >= new && s.leader != Some(leader))
        });
        drop(end);
    });
    assert_one_story(&engine, &[&writer]);
}

/// Says so to others when it is dropped.
struct AtTheEnd<'a>(&'a AtomicBool);

impl Drop for AtTheEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

/// Waits for what does not concern a cluster's nodes.
fn wait_for_it(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + support::DEADLINE;
    while !holds() {
        assert!(Instant::now() < deadline, "waited for: {what}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn scenario_6_replies_that_are_lost_and_a_link_that_works_one_way() {
    let engine = Engine::started(5, PATIENT);
    let mut writer = Writer::new("writer");
    let (leader, term) = engine.wait_for_leader();
    writer.write(&engine, leader);

    // Whatever the leader asks of others arrives, and no reply comes back: connections are made,
    // for their packets carry no data (60 bytes at most), and those that do are dropped.
    engine.block(leader, "--sport 8001 -m length --length 61:65535");
    engine.wait_until("somebody else leads", |engine| {
        engine.statuses().is_some_and(|all| {
            all.iter()
                .any(|s| s.role == RoleName::Leader && s.id != leader && s.term > term)
        })
    });
    let other = engine.others(&[leader])[0];
    for _ in 0..3 {
        writer.write(&engine, other);
    }
    engine.unblock(leader);
    assert_one_story(&engine, &[&writer]);

    // One follower does not hear the leader, and can call it, and everybody else. It asks for votes,
    // which nobody gives who hears the leader; so the leader stays, and the term too.
    let (leader, term) = engine.wait_for_leader();
    let deaf = engine.others(&[leader])[0];
    let one_way = format!("{} --dport 8001", engine.from(leader));
    engine.block(deaf, &one_way);
    engine.wait_until("the deaf one knows no leader", |engine| {
        engine.status(deaf).is_some_and(|s| s.leader.is_none())
    });
    let other = engine.others(&[leader, deaf])[0];
    for _ in 0..5 {
        writer.write(&engine, other);
    }
    let status = engine.status(leader).unwrap();
    assert_eq!((status.role, status.term), (RoleName::Leader, term));
    let behind = engine.status(deaf).unwrap();
    assert_eq!(behind.term, term);
    assert!(behind.last_index < status.commit_index);
    engine.unblock(deaf);
    assert_one_story(&engine, &[&writer]);
    assert_eq!(engine.wait_for_leader(), (leader, term));
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn docker_attach_shows_a_players_screen() {
    let mut engine = Engine::with_screens(3, PATIENT);
    engine.start(&[1, 2, 3]);
    engine.wait_for_leader();
    let attach = |id| {
        let (name, dir) = (engine.name(id), Path::new("/"));
        let variables = std::env::var("DOCKER_HOST").ok();
        let variables: Vec<(&str, &str)> = variables
            .iter()
            .map(|host| ("DOCKER_HOST", host.as_str()))
            .collect();
        Terminal::of("docker", dir, &["attach", &name], &variables)
    };
    let mut first = attach(1);
    first.wait_for("100 HP");
    first.wait_for("Cluster");
    first.assert_taken();
    first.keys("2");
    first.wait_for("bob1 hits bob2: 70 HP");
    first.click("3 bob3");
    first.wait_for("bob1 hits bob3: 70 HP");
    first.resize(60, 20);
    first.resize(100, 30);
    first.wait_for("Cluster");

    // Detached, the game goes on behind it, and whoever comes next sees all of it at once.
    first.keys("\x10\x11");
    first.exit_code();
    for _ in 0..2 {
        let mut next = attach(1);
        next.wait_for("70 HP");
        next.wait_for("Cluster");
        next.assert_taken();
        next.keys("\x10\x11");
        next.exit_code();
    }

    // `q` ends the container, and so does `docker stop`, at once.
    let mut last = attach(1);
    last.wait_for("70 HP");
    last.keys("q");
    last.exit_code();
    drop(last);
    assert_eq!(engine.ended(1), "0");
    engine.wait_for_leader();
    assert_eq!(engine.stop(2), "143");
    engine.assert_nobody_leads();
    engine.start(&[1, 2]);
    engine.wait_for_leader();
    engine.wait_until_equal();
}
