//! Members that come and go, in real processes: `raftian join`, `watch` and `members`, and what the
//! methods beneath them promise.

// In a test an error is a panic, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

use std::thread;
use std::time::{Duration, Instant};

use raftian::raft::RoleName;
use raftian::rpc::client::Client;
use raftian::rpc::codec;
use raftian::rpc::value::{Fault, Struct, Value};
use rustix::process::Signal;
use support::terminal::Terminal;
use support::{Cluster, DEADLINE, PATIENT, VERY_PATIENT, one_line, text};

fn ids(ids: &[i64]) -> Value {
    Value::Array(ids.iter().map(|&id| Value::Int(id)).collect())
}

fn wait_for_standings(cluster: &Cluster, expected: &str) {
    cluster.wait_until(&format!("the members {expected}"), |cluster| {
        let running = cluster.running();
        running.iter().all(|&id| cluster.standings(id) == expected)
    });
}

/// A linearizable look at the board.
fn fresh_state(cluster: &Cluster, id: u64) -> Result<Value, raftian::rpc::client::CallError> {
    let mut options = Struct::default();
    options.insert("stale", Value::Bool(false));
    cluster.call(id, "game.state", &[Value::Struct(options)])
}

fn member<'a>(value: &'a Value, name: &str) -> &'a Value {
    let Value::Struct(members) = value else {
        panic!("{value:?} is no struct");
    };
    members.get(name).unwrap()
}

#[test]
fn a_node_that_joins_becomes_a_learner_then_a_voter_and_a_player() {
    let mut cluster = Cluster::started(3, PATIENT);
    cluster.submit(1, "test", 1, "attack 2").unwrap();
    let new = cluster.join(2);
    assert_eq!(new, 4);
    wait_for_standings(&cluster, "1 2 3 4");

    // It plays: it can be attacked, and what it is asked is applied everywhere.
    let hit = cluster.submit(4, "test", 2, "attack 4").unwrap();
    assert_eq!(hit.outcome, "hp 70");
    cluster.wait_until_equal();
    let orders = cluster.orders(4);
    let steps = ["members 1 2 3 ~4", "members 1 2 3 +4", "members 1 2 3 4"];
    let places = steps.map(|step| orders.find(&format!("\t{step}\tok\t")).unwrap());
    assert!(places.is_sorted(), "{orders}");
    // What was done before it came is on its board as well.
    let state = cluster.call(4, "game.state", &[]).unwrap();
    let Value::Array(players) = member(&state, "players") else {
        panic!("{state:?}");
    };
    let hp: Vec<&Value> = players.iter().map(|player| member(player, "hp")).collect();
    assert_eq!(
        hp,
        [100, 70, 100, 70]
            .map(Value::Int)
            .iter()
            .collect::<Vec<_>>()
    );

    // It votes: with it, two of four may go, and three of four decide.
    cluster.kill(1);
    cluster.wait_for_leader();
    cluster.submit(4, "test", 3, "attack 1").unwrap();

    // It comes back with what it has kept, as others do.
    cluster.kill(4);
    cluster.start(1);
    cluster.wait_for_leader();
    cluster.submit(2, "test", 4, "attack 1").unwrap();
    cluster.join_again(4, 3);
    cluster.wait_until_equal();
    wait_for_standings(&cluster, "1 2 3 4");
    cluster.verify();
}

#[test]
fn several_nodes_are_replaced_in_one_step_while_commands_go_on() {
    let mut cluster = Cluster::started(3, PATIENT);
    let add = |id: u64, address: String| {
        let mut member = Struct::default();
        member.insert("id", Value::Int(id as i64));
        member.insert("name", Value::from(format!("bob{id}")));
        member.insert("address", Value::from(address));
        Value::Struct(member)
    };
    // Both in one change; they start afterwards, with empty folders.
    let new = [cluster.grow(), cluster.grow()];
    let both = new.map(|id| add(id, cluster.address(id)));
    let answer = cluster
        .call(2, "cluster.add", &[Value::Array(both.to_vec())])
        .unwrap();
    let members = codec::decode_members(&answer).unwrap();
    assert_eq!((members.members.len(), members.joint), (5, false));
    for id in new {
        cluster.join_again(id, 1);
    }
    wait_for_standings(&cluster, "1 2 3 4 5");

    // The first three leave one after the other, the leader among them, while somebody plays.
    let address = cluster.address(5);
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let player = thread::spawn(move || {
        let client = Client::new(&address, Duration::from_secs(20));
        let mut serial = 0;
        while stopped.try_recv().is_err() {
            serial += 1;
            support::submit(&client, "player", serial, "attack 5").unwrap();
        }
        serial
    });
    let removed = cluster.wait_for("the first three have left", |cluster| {
        cluster.call(4, "cluster.remove", &[ids(&[1, 2, 3])]).ok()
    });
    let members = codec::decode_members(&removed).unwrap();
    let left: Vec<u64> = members.members.iter().map(|member| member.id).collect();
    assert_eq!((left, members.joint), (vec![4, 5], false));
    for id in [1, 2, 3] {
        cluster.kill(id);
    }
    cluster.wait_for_leader();
    cluster.submit(4, "test", 1, "attack 4").unwrap();
    stop.send(()).unwrap();
    let sent = player.join().unwrap();
    println!("{sent} commands went on meanwhile");
    cluster.wait_until_equal();

    // Whoever is no player any more is a ruin.
    let board = cluster.call(5, "game.board", &[]).unwrap();
    let Value::Array(ruins) = member(&board, "ruins") else {
        panic!("{board:?}");
    };
    let ruins: Vec<&Value> = ruins.iter().map(|ruin| member(ruin, "id")).collect();
    assert_eq!(ruins, [1, 2, 3].map(Value::Int).iter().collect::<Vec<_>>());
    let fault = cluster.fault(4, "game.attack", &[Value::Int(1)]);
    assert_eq!(fault.code, Fault::WRONG_PARAMETERS);
    cluster.verify();
}

#[test]
fn a_wrong_change_is_a_clear_fault_and_nothing_changes() {
    let cluster = Cluster::started(3, VERY_PATIENT);
    let before = cluster.members(1);
    let text = |text: &str| Value::from(text);
    let far = "127.0.0.1:1";
    for (method, params, says) in [
        ("cluster.remove", vec![Value::Int(9)], "no member 9"),
        ("cluster.remove", vec![ids(&[1, 2, 3])], "last voter"),
        ("cluster.remove", vec![ids(&[])], "changes nothing"),
        ("cluster.promote", vec![Value::Int(1)], "votes already"),
        ("cluster.promote", vec![Value::Int(9)], "no member 9"),
        ("cluster.transfer", vec![Value::Int(9)], "no voter"),
        (
            "cluster.add",
            vec![Value::Int(2), text("eve"), text(far)],
            "member 2 already",
        ),
        (
            "cluster.add",
            vec![Value::Int(4), text("bob1"), text(far)],
            "that of member 1",
        ),
        (
            "cluster.add",
            vec![Value::Int(4), text("eve"), Value::from(cluster.address(3))],
            "that of member 3",
        ),
    ] {
        // Any node says the same.
        for id in cluster.ids() {
            let fault = cluster.fault(id, method, &params);
            assert_eq!(fault.code, Fault::APPLICATION, "{fault}");
            assert!(fault.message.contains(says), "{method}: {fault}");
            assert!(fault.message.contains("nothing was changed"), "{fault}");
        }
    }
    for (method, params) in [
        ("cluster.add", vec![Value::Int(0), text("eve"), text(far)]),
        ("cluster.add", vec![Value::Int(4), text("a b"), text(far)]),
        ("cluster.add", vec![Value::Int(4), text("eve"), text("x")]),
        ("cluster.add", vec![]),
        ("cluster.remove", vec![text("one")]),
        ("cluster.transfer", vec![text("one")]),
        ("cluster.members", vec![Value::Int(1)]),
    ] {
        let fault = cluster.fault(1, method, &params);
        assert_eq!(fault.code, Fault::WRONG_PARAMETERS, "{method}: {fault}");
    }
    let after = cluster.members(1);
    assert_eq!((after.index, after.members.len()), (before.index, 3));
}

#[test]
fn a_second_change_is_refused_while_the_first_is_under_way() {
    let mut cluster = Cluster::started(3, PATIENT);
    let (leader, _) = cluster.wait_for_leader();
    let others: Vec<u64> = (1..=3).filter(|&id| id != leader).collect();
    // Nobody can commit anything: the change hangs.
    for &id in &others {
        cluster.pause(id);
    }
    let (address, leaves) = (cluster.address(leader), others[1]);
    let first = thread::spawn(move || {
        let client = Client::new(&address, Duration::from_secs(20));
        client.call("cluster.remove", &[ids(&[leaves as i64])])
    });
    cluster.wait_until("the first change is in the log", |cluster| {
        !cluster.members(leader).committed
    });
    let second = cluster.fault(leader, "cluster.remove", &[ids(&[2])]);
    // Or the leader has noticed in between that it is alone.
    let says = &second.message;
    assert!(
        says.contains("under way") || says.contains("no leader"),
        "{second}"
    );
    for &id in &others {
        cluster.resume(id);
    }
    let _ = first.join().unwrap();
    // The first one is done, or was overwritten, as whoever leads then says.
    cluster.wait_until("no change is under way", |cluster| {
        let members = cluster.members(others[0]);
        members.leader.is_some() && !members.joint && members.committed
    });
}

#[test]
fn the_leadership_is_handed_over_when_asked_and_when_a_leader_quits() {
    let mut cluster = Cluster::started(3, VERY_PATIENT);
    let (leader, term) = cluster.wait_for_leader();
    let to = 1 + leader % 3;
    let asked = (1..=3).find(|id| ![leader, to].contains(id)).unwrap();
    let answer = cluster
        .call(asked, "cluster.transfer", &[Value::Int(to as i64)])
        .unwrap();
    assert_eq!(codec::decode_leads(&answer).unwrap(), (to, term + 1));
    assert_eq!(cluster.wait_for_leader(), (to, term + 1));

    // A clean quit: nobody has to wait for an election timeout, which is 600 ms and more here.
    let begun = Instant::now();
    let status = cluster.stop(to, Signal::TERM);
    assert!(status.success());
    let (_, last) = cluster.wait_for_leader();
    assert_eq!(last, term + 2);
    println!(
        "another leads {} ms after SIGTERM",
        begun.elapsed().as_millis()
    );
}

#[test]
fn a_read_that_must_not_be_stale_sees_whatever_was_answered_before() {
    let mut cluster = Cluster::started(3, PATIENT);
    for serial in 1..=30 {
        let through = 1 + serial % 3;
        let written = cluster.submit(through, "test", serial, "attack 1").unwrap();
        for id in cluster.ids() {
            let state = fresh_state(&cluster, id).unwrap();
            let Value::Int(index) = *member(&state, "index") else {
                panic!("{state:?}");
            };
            assert!(index as u64 >= written.index, "{state:?}");
        }
    }
    // Without a majority nobody knows.
    cluster.kill(2);
    cluster.kill(3);
    let fault = match fresh_state(&cluster, 1) {
        Err(raftian::rpc::client::CallError::Fault(fault)) => fault,
        other => panic!("{other:?}"),
    };
    assert_eq!(fault.code, Fault::APPLICATION);
    assert!(cluster.call(1, "game.state", &[]).is_ok());
}

#[test]
fn a_voter_that_lags_behind_a_change_follows_a_leader_that_it_has_never_heard_of() {
    let mut cluster = Cluster::started(3, PATIENT);
    cluster.kill(3);
    for _ in 0..2 {
        cluster.join(1);
    }
    wait_for_standings(&cluster, "1 2 3 4 5");
    // Node 3 is to meet a leader that its own log and file do not know.
    cluster.wait_for("node 4 leads", |cluster| {
        cluster.call(1, "cluster.transfer", &[Value::Int(4)]).ok()
    });
    cluster.start(3);
    cluster.wait_until("node 3 follows", |cluster| {
        cluster
            .status(3)
            .is_some_and(|s| s.leader == Some(4) && s.role == RoleName::Follower)
    });
    // A node that follows and has not caught up knows no player 5 yet, and says so.
    cluster.wait_until_equal();
    cluster.submit(3, "test", 1, "attack 5").unwrap();
    cluster.wait_until_equal();
    cluster.verify();
}

#[test]
fn the_command_line_lists_adds_promotes_removes_and_transfers() {
    let mut cluster = Cluster::started(3, VERY_PATIENT);
    let (leader, _) = cluster.wait_for_leader();
    let to = cluster.address(1 + leader % 3);
    let run = |cluster: &Cluster, words: &[&str]| {
        let output = cluster.run(&[&["members"], words, &["--to", &to]].concat());
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let listed = run(&cluster, &["list"]);
    assert!(
        listed.starts_with("cluster test, members since index 1\n"),
        "{listed}"
    );
    let json: serde_json::Value =
        serde_json::from_str(&run(&cluster, &["list", "--json"])).unwrap();
    assert_eq!(json["members"].as_array().unwrap().len(), 3);

    let new = cluster.grow();
    let node = format!("{new}:eve@{}", cluster.address(new));
    let added = run(&cluster, &["add", &node]);
    assert!(
        added.contains("eve") && added.contains("learner"),
        "{added}"
    );
    let output = cluster.run(&["members", "promote", "4", "--to", &to]);
    assert!(one_line(&output).contains("has not caught up"));
    run(&cluster, &["remove", "4"]);
    assert_eq!(cluster.standings(1), "1 2 3");

    let next = 1 + leader % 3;
    let handed = run(&cluster, &["transfer", &next.to_string()]);
    assert!(
        handed.starts_with(&format!("node {next} leads in term ")),
        "{handed}"
    );
    let output = cluster.run(&["members", "transfer", "77", "--to", &to]);
    assert!(one_line(&output).contains("no voter of this cluster"));
    let output = cluster.run(&["members", "add", "nonsense", "--to", &to]);
    assert_eq!(output.status.code(), Some(2));
    let output = cluster.run(&["join", "127.0.0.1:1", "--no-screen"]);
    assert!(one_line(&output).contains("cannot connect"));
}

#[test]
fn whoever_has_lost_their_data_cannot_come_back_under_the_old_id() {
    let mut cluster = Cluster::started(3, PATIENT);
    let new = cluster.join(1);
    wait_for_standings(&cluster, "1 2 3 4");
    cluster.kill(new);
    cluster.forget(new);
    let (contact, id) = (cluster.address(1), new.to_string());
    let output = cluster.run(&["join", &contact, "--id", &id, "--no-screen"]);
    assert!(one_line(&output).contains("needs a new id"));
}

/// The founders' places have been taken by others, and then the power fails: nobody is there to be asked,
/// and those who once joined go on by themselves.
#[test]
fn those_who_have_joined_need_nobody_to_come_back() {
    let mut cluster = Cluster::started(1, PATIENT);
    for _ in 0..3 {
        cluster.join(1);
    }
    wait_for_standings(&cluster, "1 2 3 4");
    cluster.wait_for("the founder has left", |cluster| {
        let left = cluster.call(2, "cluster.remove", &[ids(&[1])]);
        left.ok().or_else(|| {
            let members = cluster.members(2).members;
            (members.len() == 3).then_some(Value::Nil)
        })
    });
    for id in [1, 2, 3, 4] {
        cluster.kill(id);
    }
    for id in [2, 3, 4] {
        cluster.join_again(id, 1);
    }
    cluster.wait_for_leader();
    cluster.submit(3, "test", 1, "attack 2").unwrap();
    cluster.wait_until_equal();
    assert_eq!(cluster.members(4).members.len(), 3);
    assert!(
        cluster
            .errors(2)
            .contains("does not answer; bob2 goes on with what is in")
    );
}

#[test]
fn a_spectator_sees_the_board_and_leaves_no_trace() {
    let mut cluster = Cluster::started(3, PATIENT);
    let contact = cluster.address(2);
    let mut terminal = Terminal::start(cluster.dir(), &["watch", &contact]);
    terminal.wait_for("fan10");
    terminal.wait_for("learner");
    cluster.submit(1, "test", 1, "attack 3").unwrap();
    terminal.wait_for("bob3 is hit: 70 HP");
    // A key attacks nobody.
    let mark = terminal.mark();
    terminal.keys("1");
    terminal.wait_to_have_seen(mark, "You are watching");
    assert_eq!(cluster.standings(1), "1 2 3 ~10");

    // Players come and go before its eyes.
    cluster.join(1);
    terminal.wait_for("bob4 plays, as player 4");
    cluster.wait_for("bob2 leaves", |cluster| {
        cluster.call(1, "cluster.remove", &[Value::Int(2)]).ok()
    });
    terminal.wait_for("bob2 has left: a ruin remains");

    terminal.keys("q");
    assert_eq!(terminal.exit_code(), 0, "{}", terminal.text());
    terminal.assert_restored();
    cluster.wait_until("the spectator has left", |cluster| {
        cluster.standings(1) == "1 3 4"
    });
    assert!(!cluster.dir().join("data/fan10").exists());
}

#[test]
fn a_player_who_joins_in_a_terminal_plays() {
    let cluster = Cluster::started(3, PATIENT);
    let contact = cluster.address(1);
    let arguments = ["join", &contact, "--name", "eve"];
    let mut terminal = Terminal::start(cluster.dir(), &arguments);
    terminal.wait_for("4 eve");
    terminal.wait_for("you are eve (player 4)");
    cluster.wait_until("eve votes", |cluster| cluster.standings(1) == "1 2 3 4");
    terminal.keys("2");
    terminal.wait_for("eve hits bob2: 70 HP");
    terminal.keys("q");
    assert_eq!(terminal.exit_code(), 0, "{}", terminal.text());
    terminal.assert_restored();

    // She returns to her seat by her name.
    let mut terminal = Terminal::start(cluster.dir(), &arguments);
    terminal.wait_for("you are eve (player 4)");
    terminal.wait_for("follower");
    terminal.keys("q");
    assert_eq!(terminal.exit_code(), 0, "{}", terminal.text());
    let deadline = Instant::now() + DEADLINE;
    while cluster.standings(1) != "1 2 3 4" {
        assert!(Instant::now() < deadline);
    }
}
