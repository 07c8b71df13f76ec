//! The key-value store, with real processes: from Python, from the command line, and from Rust.
//!
//! What a store does with an operation is in its unit tests (`src/kv.rs`). Here it is seen that it
//! survives: elections, changes of the members, restarts, snapshots, and clients that send again.
#![allow(clippy::unwrap_used)] // A test that cannot go on has failed.

mod support;

use std::time::{Duration, Instant};

use raftian::kv::client::{Client, Error};
use raftian::kv::{Datum, MAX_VALUE_BYTES};
use raftian::rpc::value::{Fault, Value};
use support::{Cluster, PATIENT, one_line, python, text};

const KV: [&str; 2] = ["--machine", "kv"];

fn started(nodes: usize, storage: &str) -> Cluster {
    let mut cluster = Cluster::with_storage(nodes, PATIENT, storage);
    for id in cluster.ids() {
        cluster.start_with(id, &KV);
    }
    cluster.wait_for_leader();
    cluster
}

fn addresses(cluster: &Cluster) -> Vec<String> {
    let ids = cluster.ids().into_iter();
    ids.map(|id| cluster.address(id)).collect()
}

fn client(cluster: &Cluster) -> Client {
    Client::new(addresses(cluster), Duration::from_secs(30))
}

fn put(cluster: &Cluster, id: u64, serial: i64, value: i64) {
    let params = ["test".into(), serial.into(), "k".into(), value.into()];
    let answer = cluster.call(id, "kv.put", &params);
    assert_eq!(answer.unwrap(), Value::Bool(true));
}

/// What a read that is not stale shows, at every node that runs.
fn get_everywhere(cluster: &Cluster) -> Value {
    let read = |id| cluster.call(id, "kv.get", &["k".into()]).unwrap();
    let found: Vec<Value> = cluster.running().into_iter().map(read).collect();
    assert!(found.iter().all(|value| *value == found[0]), "{found:?}");
    found[0].clone()
}

#[test]
fn a_program_in_python_finds_all_that_is_promised() {
    let cluster = started(3, "");
    let output = python("tests/support/kv.py", &addresses(&cluster));
    assert_eq!(text(&output.stdout), "ok\n", "{}", text(&output.stderr));
    cluster.wait_until_equal();
    cluster.verify();
}

/// The key-value project's own list: before and after a successful put, an election, and a change of
/// the members.
#[test]
fn scenario_4_put_and_get_before_and_after_a_put_an_election_and_a_change_of_the_members() {
    let mut cluster = started(3, "");
    assert_eq!(get_everywhere(&cluster), Value::Nil);
    put(&cluster, 1, 1, 10);
    assert_eq!(get_everywhere(&cluster), Value::Int(10));
    put(&cluster, 2, 2, 20);
    assert_eq!(get_everywhere(&cluster), Value::Int(20));

    let (old, term) = cluster.wait_for_leader();
    cluster.kill(old);
    cluster.wait_until("another leads", |cluster| {
        let mut statuses = cluster.running().into_iter().map(|id| cluster.status(id));
        statuses.all(|status| status.is_some_and(|s| s.term > term && s.leader.is_some()))
    });
    assert_eq!(get_everywhere(&cluster), Value::Int(20));
    let other = cluster.running()[0];
    put(&cluster, other, 3, 30);
    assert_eq!(get_everywhere(&cluster), Value::Int(30));
    cluster.start_with(old, &KV);
    assert_eq!(get_everywhere(&cluster), Value::Int(30));

    let new = cluster.join(old);
    cluster.wait_until("the new node votes", |cluster| {
        cluster
            .standings(new)
            .split(' ')
            .any(|id| *id == *new.to_string())
    });
    assert_eq!(get_everywhere(&cluster), Value::Int(30));
    put(&cluster, new, 4, 40);
    assert_eq!(get_everywhere(&cluster), Value::Int(40));
    let gone = cluster.call(new, "cluster.remove", &[Value::Int(1)]);
    gone.unwrap();
    cluster.kill(1);
    assert_eq!(get_everywhere(&cluster), Value::Int(40));
    put(&cluster, new, 5, 50);
    assert_eq!(get_everywhere(&cluster), Value::Int(50));
}

#[test]
fn what_was_written_is_written_once_across_snapshots_and_restarts() {
    let mut cluster = started(3, "snapshot_entries = 10\n");
    let incr = |cluster: &Cluster, id: u64, serial: i64| {
        let params = ["test".into(), serial.into(), "n".into()];
        cluster.call(id, "kv.incr", &params)
    };
    assert_eq!(incr(&cluster, 1, 1).unwrap(), Value::Int(1));
    let mut store = client(&cluster);
    for i in 0..40 {
        store.put(&format!("k{i}"), i).unwrap();
    }
    // Sent again after its entry is in a snapshot, to another node, which has forgotten nothing.
    assert_eq!(incr(&cluster, 2, 1).unwrap(), Value::Int(1));
    for id in cluster.ids() {
        cluster.kill(id);
    }
    for id in cluster.ids() {
        cluster.start_with(id, &KV);
    }
    assert_eq!(incr(&cluster, 3, 1).unwrap(), Value::Int(1));
    assert_eq!(incr(&cluster, 3, 2).unwrap(), Value::Int(2));
    // A node that comes to it late gets all of it.
    let new = cluster.join(1);
    let params = ["n".into()];
    let found = cluster.call(new, "kv.get", &params).unwrap();
    assert_eq!(found, Value::Int(2));
    let mut keys = store.list("k").unwrap();
    keys.retain(|key| key.starts_with('k'));
    assert_eq!(keys.len(), 40);
    cluster.wait_until_equal();
    // Whoever was slow got a snapshot, and its file leaves out what came with it.
    cluster.verified();
}

#[test]
fn the_client_follows_the_leader_and_says_when_it_gives_up() {
    let mut cluster = started(3, "");
    let mut store = client(&cluster);
    let mut expected = 0;
    for _ in 0..3 {
        for _ in 0..5 {
            expected += 1;
            assert_eq!(store.incr("n"), Ok(expected));
        }
        let (leader, _) = cluster.wait_for_leader();
        cluster.kill(leader);
        expected += 1;
        assert_eq!(store.incr("n"), Ok(expected), "after the leader fell");
        cluster.start_with(leader, &KV);
    }
    let (leader, _) = cluster.wait_for_leader();
    cluster.pause(leader);
    expected += 1;
    assert_eq!(store.incr("n"), Ok(expected), "while the leader sleeps");
    cluster.resume(leader);

    assert_eq!(store.put("t", "text"), Ok(()));
    let refused = store.incr("t");
    assert!(matches!(refused, Err(Error::Refused(_))), "{refused:?}");
    for id in cluster.ids() {
        cluster.kill(id);
    }
    let mut hasty = Client::new(addresses(&cluster), Duration::from_millis(500));
    let since = Instant::now();
    let gave_up = hasty.put("k", 1);
    let Err(Error::GaveUp { maybe_applied, .. }) = &gave_up else {
        panic!("{gave_up:?}");
    };
    assert!(!maybe_applied, "{gave_up:?}");
    assert!(since.elapsed() < Duration::from_secs(20));
}

#[test]
fn values_of_every_kind_go_through_the_client() {
    let cluster = started(1, "");
    let mut store = client(&cluster);
    let bytes = Datum::from(&[0, 255][..]);
    for value in [Datum::from("a\r\n\"<&>ü"), Datum::Int(i64::MIN), bytes] {
        store.put("k", value.clone()).unwrap();
        assert_eq!(store.get("k"), Ok(Some(value.clone())));
        assert_eq!(store.get_stale("k"), Ok(Some(value.clone())));
        assert_eq!(store.cas("k", None, value.clone()), Ok(false));
        assert_eq!(store.cas("k", Some(value.clone()), value), Ok(true));
    }
    assert_eq!(store.append("t", "ab"), Ok(2));
    // The longest value, of characters that are five bytes each in a document: more than any request
    // could carry, and still read as one.
    let half = "&".repeat(MAX_VALUE_BYTES / 2);
    store.append("long", half.as_str()).unwrap();
    store.append("long", half.as_str()).unwrap();
    let whole = Datum::from((half.clone() + &half).as_str());
    assert_eq!(store.get("long"), Ok(Some(whole)));
    assert_eq!(store.delete("k"), Ok(true));
    assert_eq!(store.delete("k"), Ok(false));
    for i in 0..1_500 {
        store.put(&format!("many/{i:04}"), i).unwrap();
    }
    let keys = store.list("many/").unwrap();
    assert_eq!(keys.len(), 1_500);
    assert!(keys.is_sorted());
    let refused = [
        store.put("\u{1}", 1).unwrap_err(),
        store.put("k", "\u{1}").unwrap_err(),
        store.put("", 1).unwrap_err(),
    ];
    for why in refused {
        assert!(matches!(why, Error::Refused(_)), "{why:?}");
    }
}

#[test]
fn the_command_line_reads_and_writes() {
    let mut cluster = started(3, "");
    let nodes = addresses(&cluster).join(",");
    let kv = |cluster: &Cluster, words: &[&str]| {
        let output = cluster.run(&[&["kv"], words, &["--cluster", &nodes]].concat());
        match output.status.code() {
            Some(0) => text(&output.stdout),
            code => format!("{code:?} {}", one_line(&output)),
        }
    };
    let steps: [(&[&str], &str); 19] = [
        (&["put", "colour", "red"], "ok\n"),
        (&["get", "colour"], "red\n"),
        (&["get", "colour", "--stale"], "red\n"),
        (&["cas", "colour", "blue", "green"], "false\n"),
        (&["cas", "colour", "red", "green"], "true\n"),
        (&["cas", "colour", "--if-absent", "red"], "false\n"),
        (&["cas", "new", "--if-absent", "red"], "true\n"),
        (&["put", "n", "41"], "ok\n"),
        (&["incr", "n"], "42\n"),
        (&["put", "n", "-7"], "ok\n"),
        (&["incr", "n"], "-6\n"),
        (&["put", "t", "7", "--text"], "ok\n"),
        (&["append", "t", "0"], "2\n"),
        (&["put", "b", "AAE=", "--base64"], "ok\n"),
        (&["get", "b"], "AAE=\n"),
        (&["list"], "b\ncolour\nn\nnew\nt\n"),
        (&["list", "n"], "n\nnew\n"),
        (&["delete", "n"], "true\n"),
        (&["delete", "n"], "false\n"),
    ];
    for (words, expected) in steps {
        assert_eq!(kv(&cluster, words), expected, "{words:?}");
    }
    assert_eq!(
        kv(&cluster, &["get", "n"]),
        "Some(1) raftian: n has no value\n"
    );
    let refused = kv(&cluster, &["incr", "t"]);
    assert_eq!(refused, "Some(1) raftian: it is no number\n");
    let (leader, _) = cluster.wait_for_leader();
    cluster.kill(leader);
    assert_eq!(kv(&cluster, &["get", "colour"]), "green\n");
    let other = cluster.running()[0];
    cluster.kill(other);
    let gave_up = kv(&cluster, &["put", "k", "1", "--timeout", "1"]);
    assert!(
        gave_up.starts_with("Some(1) raftian: gave up after"),
        "{gave_up}"
    );
}

#[test]
fn a_node_of_one_machine_is_none_of_the_other() {
    let mut cluster = Cluster::new(1, PATIENT);
    cluster.start(1);
    cluster.wait_for_leader();
    for (method, params) in [
        ("kv.get", vec!["k".into()]),
        ("kv.list", vec!["k".into()]),
        ("kv.incr", vec!["c".into(), 1.into(), "k".into()]),
    ] {
        let fault = cluster.fault(1, method, &params);
        assert_eq!(fault.code, Fault::NO_SUCH_METHOD, "{fault}");
        assert!(fault.message.contains("\"game\""), "{fault}");
    }
    assert!(cluster.submit(1, "c", 1, "attack 1").is_ok());
    cluster.kill(1);
    let serve = ["serve", "--config", "test.toml", "--id", "1"];
    let output = cluster.run(&[&serve[..], &KV].concat());
    let line = one_line(&output);
    assert_eq!(output.status.code(), Some(1), "{line}");
    assert!(line.contains("a node of the game has lived here"), "{line}");
}
