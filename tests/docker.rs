//! The scenarios of `tests/scenarios.rs` across containers, whose networks are cut and healed, and what only
//! containers have: plugs, `docker stop`, and a player's screen by `docker attach`. And the key-value store,
//! as docs/DEPLOY.md says that it is used.
//!
//! What happens there to processes that share one machine's network happens here to nodes that have an
//! address and a network each, and a link that fails in one direction fails in the kernel and not in a
//! program of ours. The stories are the very same functions, of a [`World`] of containers.
//!
//! They need a Docker engine, the image and root, so plain `cargo test` leaves them out: run them by
//! `make test-docker`, which fails in one line where there is no engine. How containers are made and
//! removed again is explained in `tests/support/docker.rs`.

// In a test an error is a panic, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

#[path = "scenarios/containers.rs"]
mod containers;
#[path = "scenarios/manual.rs"]
mod manual;
#[path = "scenarios/troubled_leader.rs"]
mod troubled_leader;
#[path = "scenarios/world.rs"]
mod world;

use std::path::Path;

use containers::{all_started, started};
use manual::assert_no_leader;
use support::docker::Engine;
use support::terminal::Terminal;
use support::{PATIENT, Timing, VERY_PATIENT, python, text};
use world::{World, count};

/// For a leader that is to stay one while docker takes a moment to kill three others.
const PATIENT_AS_A_STONE: Timing = Timing {
    heartbeat: 50,
    election_timeout: (2_000, 3_000),
};

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn scenario_1_election() {
    manual::election(&mut Engine::new(5, VERY_PATIENT));
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn scenario_2_replication() {
    manual::replication(&mut Engine::new(5, VERY_PATIENT));
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn scenario_3_conflict() {
    manual::conflict(&mut Engine::new(5, PATIENT_AS_A_STONE));
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn a_leader_that_is_paused_for_ten_election_timeouts_answers_nothing_old_when_it_wakes_up() {
    troubled_leader::paused(&mut started(3, PATIENT));
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn a_leader_that_wakes_up_where_nobody_reaches_it_answers_no_read() {
    troubled_leader::paused_and_cut_off(&mut started(3, VERY_PATIENT));
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn a_leader_that_gets_no_replies_is_replaced_and_each_command_counts_once() {
    troubled_leader::unanswered(&mut started(3, VERY_PATIENT));
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn a_leader_whose_own_replies_are_lost_leads_on_and_each_command_counts_once() {
    troubled_leader::unheard_answers(&mut started(3, VERY_PATIENT));
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn a_link_that_works_one_way_to_one_follower_disturbs_nobody_else() {
    troubled_leader::one_way_to_one(&mut started(3, VERY_PATIENT));
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn a_leader_that_hears_all_and_reaches_nobody_is_replaced() {
    troubled_leader::one_way_to_all(&mut started(3, VERY_PATIENT));
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn whoever_leads_without_a_plug_notices_and_comes_back_as_a_follower() {
    let mut engine = started(5, PATIENT);
    let mut unplugged = Vec::new();
    for _ in 0..3 {
        let (leader, _) = engine.wait_for_leader();
        engine.unplug(leader);
        engine.wait_until("it knows that it leads no more", |engine| {
            // No network reaches it, so it is asked from inside.
            let status = engine.exec(leader, &["status", "--to", "127.0.0.1:8001"]);
            !status.contains("leader in term")
        });
        unplugged.push(leader);
    }
    assert_no_leader(&engine);
    engine.plug_in(unplugged.pop().unwrap());
    // Nobody has to leave a term for those who were away.
    let leader = engine.wait_for_leader();
    for id in unplugged {
        engine.plug_in(id);
        assert_eq!(engine.wait_for_leader(), leader, "{}", engine.report());
    }
    engine.wait_for_equal_orders();
    engine.verify();
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn whoever_comes_back_to_the_network_gets_what_it_has_missed() {
    let mut engine = started(5, VERY_PATIENT);
    let mut serial = 0;
    let mut write = |engine: &Engine, to| {
        serial += 1;
        engine.insist(to, "writer", serial, "attack 2");
    };
    // One follower crashes, and another one's plug is pulled.
    let (leader, _) = engine.wait_for_leader();
    let [killed, unplugged, third] = [1, 2, 3].map(|step| 1 + (leader - 1 + step) % 5);
    engine.kill(killed);
    engine.unplug(unplugged);
    for _ in 0..5 {
        write(&engine, leader);
        write(&engine, third);
    }
    engine.start(killed);
    engine.plug_in(unplugged);
    engine.wait_for_leader();
    engine.wait_for_equal_orders();

    // The leader's plug, and the first command after it is back in by way of itself.
    let (leader, _) = engine.wait_for_leader();
    engine.unplug(leader);
    let (next, _) = engine.wait_for_leader();
    for _ in 0..5 {
        write(&engine, next);
    }
    engine.plug_in(leader);
    write(&engine, leader);
    engine.wait_for_equal_orders();
    engine.verify();
    assert_eq!(count(&engine, "attack 2"), serial);
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn docker_stop_lets_a_leader_hand_over() {
    let mut engine = started(3, VERY_PATIENT);
    let (leader, term) = engine.wait_for_leader();
    assert_eq!(engine.stop(leader), "0");
    assert_eq!(engine.wait_for_leader().1, term + 1);
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn the_store_answers_in_the_containers_and_to_programs_on_this_machine() {
    let mut engine = all_started(Engine::of_the_store(3, VERY_PATIENT));
    let addresses: Vec<String> = engine.ids().iter().map(|&id| engine.address(id)).collect();
    let all = addresses.join(",");
    let kv = |engine: &Engine, id, words: &[&str]| {
        engine.exec(id, &[&["kv", "--cluster", &all], words].concat())
    };
    assert_eq!(kv(&engine, 1, &["put", "colour", "red"]), "ok\n");
    assert_eq!(kv(&engine, 2, &["get", "colour"]), "red\n");
    let output = python("tests/support/kv.py", &addresses);
    assert_eq!(text(&output.stdout), "ok\n", "{}", text(&output.stderr));

    // Without the leader, and then on the one that was away.
    let (leader, _) = engine.wait_for_leader();
    engine.kill(leader);
    let left = engine.awake()[0];
    assert_eq!(kv(&engine, left, &["get", "colour"]), "red\n");
    let set = ["cas", "colour", "red", "blue"];
    assert_eq!(kv(&engine, left, &set), "true\n");
    engine.start(leader);
    engine.wait_until_equal();
    let stale = [
        "get",
        "--stale",
        "colour",
        "--cluster",
        &engine.address(leader),
    ];
    assert_eq!(
        engine.exec(leader, &[&["kv"], &stale[..]].concat()),
        "blue\n"
    );
    engine.verify();
}

#[test]
#[ignore = "needs a Docker engine: make test-docker"]
fn docker_attach_shows_a_players_screen() {
    let mut engine = Engine::with_screens(3, PATIENT);
    for id in [1, 2, 3] {
        engine.start(id);
    }
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
    assert_no_leader(&engine);
    for id in [1, 2] {
        engine.start(id);
    }
    engine.wait_for_leader();
    engine.wait_until_equal();
}
