//! Traces of real processes: `raftian serve --trace`, and `raftian replay` of what it leaves.

// In a test an error is a panic, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::Path;

use rustix::process::Signal;
use support::{Cluster, PATIENT, one_line, text};

const FEW: &str = "snapshot_entries = 8\n";

/// Starts a node that writes a trace, as it would be started each time.
fn start(cluster: &mut Cluster, id: u64) {
    let file = format!("bob{id}.trace");
    cluster.start_with(id, &["--trace", &file]);
}

/// The traces in a folder, by name.
fn traces(dir: &Path) -> Vec<String> {
    let names = fs::read_dir(dir).unwrap();
    let names = names.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.filter(|name| name.contains(".trace")).collect();
    names.sort();
    names
}

fn attack(cluster: &Cluster, id: u64, count: u64) {
    for serial in 1..=count {
        let client = format!("ada-{id}-{}", cluster.pid(id));
        cluster.submit(id, &client, serial, "attack 1").unwrap();
    }
}

#[test]
fn each_life_of_a_cluster_that_is_killed_and_restarted_replays() {
    let mut cluster = Cluster::with_storage(3, PATIENT, FEW);
    for id in cluster.ids() {
        start(&mut cluster, id);
    }
    let (leader, _) = cluster.wait_for_leader();
    let follower = 1 + leader % 3;
    attack(&cluster, follower, 5);
    cluster.kill(follower);
    // It comes back to a log that was cut, and gets a snapshot.
    attack(&cluster, leader, 30);
    start(&mut cluster, follower);
    cluster.wait_until_equal();
    attack(&cluster, follower, 3);
    cluster.kill(leader);
    cluster.wait_for_leader();
    attack(&cluster, follower, 3);
    start(&mut cluster, leader);
    cluster.wait_for_leader();
    cluster.wait_until_equal();
    for id in cluster.ids() {
        assert!(cluster.stop(id, Signal::TERM).success());
    }

    let names = traces(cluster.dir());
    assert_eq!(names.len(), 5, "{names:?}");
    let mut all = String::new();
    for name in &names {
        let output = cluster.run(&["replay", name]);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{said}\n{}", cluster.report());
        assert!(said.starts_with(&format!("{name}: node ")), "{said}");
        assert!(said.contains(", ok"), "{said}");
        assert_eq!(said.lines().count(), 1, "{said}");
        all += &fs::read_to_string(cluster.dir().join(name)).unwrap();
    }
    for input in [
        "tick", "propose", "request", "reply", "lost", "saved", "compact", "set_disk",
    ] {
        assert!(
            all.contains(&format!("{{\"input\":{{\"{input}\"")),
            "{input}"
        );
    }
    assert!(all.contains("\"install_snapshot\""));
    // Those who were asked to end have finished their last line, and go on where they were.
    let last = cluster.run(&["replay", &format!("bob{follower}.trace")]);
    assert!(text(&last.stdout).ends_with(", ok\n"));
}

#[test]
fn replay_shows_the_first_difference_and_refuses_what_is_no_trace() {
    let mut cluster = Cluster::new(1, PATIENT);
    start(&mut cluster, 1);
    cluster.wait_for_leader();
    attack(&cluster, 1, 3);
    assert!(cluster.stop(1, Signal::TERM).success());
    let trace = fs::read_to_string(cluster.dir().join("bob1.trace")).unwrap();
    let put = |name: &str, text: &[u8]| fs::write(cluster.dir().join(name), text).unwrap();

    // The log's third entry, where it is told to the disk.
    let at = trace.rfind("{\"index\":3,").unwrap();
    let line = 1 + trace[..at].matches('\n').count();
    let mut changed = trace.clone();
    changed.replace_range(at..at + 11, "{\"index\":4,");
    put("changed", changed.as_bytes());
    let output = cluster.run(&["replay", "changed"]);
    assert_eq!(output.status.code(), Some(1));
    let said = text(&output.stdout);
    let said: Vec<&str> = said.lines().collect();
    assert_eq!(said.len(), 3, "{said:?}");
    assert!(said[0].starts_with(&format!("changed:{line}: {{\"")));
    assert!(said[1].starts_with("expected: ") && said[1].contains("{\"index\":4,"));
    assert!(said[2].starts_with("found:    ") && said[2].contains("{\"index\":3,"));
    assert_eq!(
        text(&output.stderr),
        format!("raftian: changed: the core differs at line {line}\n")
    );

    put("torn", &trace.as_bytes()[..trace.len() - 3]);
    let said = text(&cluster.run(&["replay", "torn"]).stdout);
    assert!(
        said.ends_with("ok (and half a line at its end, which is left out)\n"),
        "{said}"
    );

    let (header, _) = trace.split_once('\n').unwrap();
    put(
        "panics",
        format!("{header}\n{{\"input\":{{\"tick\":9}}}}\n{{\"input\":{{\"tick\":1}}}}\n")
            .as_bytes(),
    );
    let output = cluster.run(&["replay", "panics"]);
    assert!(text(&output.stdout).ends_with("found:    the core panics: time does not go back\n"));
    assert_eq!(text(&output.stderr).lines().count(), 1);

    put("foreign", b"1\t1\tnoop\tok\t511b7e6f8bfef1e8\n");
    put("empty", b"");
    put(
        "damaged",
        trace.replace("\"input\":{\"", "\"input\":[\"").as_bytes(),
    );
    for (name, contains) in [
        ("foreign", "foreign: line 1: this is no trace"),
        ("empty", "empty: line 1: the file is empty"),
        ("damaged", "damaged: line 2: "),
        ("missing", "missing: No such file"),
        (".", ".: Is a directory"),
    ] {
        let line = one_line(&cluster.run(&["replay", name]));
        assert!(line.contains(contains), "{line}");
    }
}

#[test]
fn a_trace_that_cannot_be_made_is_told_before_the_node_starts() {
    let cluster = Cluster::new(1, PATIENT);
    for (file, contains) in [
        ("none/bob1.trace", "none/bob1.trace: No such file"),
        (".", ".: this is no plain file"),
        ("/dev/null", "/dev/null: this is no plain file"),
    ] {
        let serve = [
            "serve",
            "--config",
            "test.toml",
            "--id",
            "1",
            "--trace",
            file,
        ];
        let line = one_line(&cluster.run(&serve));
        assert!(line.contains(contains), "{line}");
    }
}

#[cfg(target_os = "linux")]
#[test]
fn a_disk_that_is_full_ends_the_trace_and_not_the_node() {
    let mut cluster = Cluster::with_storage(1, PATIENT, "segment_kib = 8\n");
    // No file may be longer than 64 KiB; or than half of that, where the shell counts like POSIX.
    let script = "trap '' XFSZ; ulimit -f 64; exec \"$@\"";
    let limited = ["sh", "-c", script, "sh"];
    cluster.launch(1, &limited, &["--trace", "bob1.trace"]);
    cluster.wait_until_ready(1);
    cluster.wait_for_leader();
    let told = |cluster: &Cluster| cluster.node_log(1).matches("the trace ends here").count();
    let mut serial = 0;
    cluster.wait_until("the trace has ended", |cluster| {
        serial += 1;
        cluster.submit(1, "bob", serial, "attack 1").unwrap();
        told(cluster) > 0
    });
    attack(&cluster, 1, 3);
    assert_eq!(told(&cluster), 1);
    assert!(cluster.stop(1, Signal::TERM).success());
    let said = text(&cluster.run(&["replay", "bob1.trace"]).stdout);
    assert!(said.contains(", ok"), "{said}");
}
