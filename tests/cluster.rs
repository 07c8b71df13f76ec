//! Real processes that talk over real sockets: elections, replication, the command line, and
//! Python as a client.

// In a test an error is a panic, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead, BufReader};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use raftian::machine::Answer;
use raftian::raft::RoleName;
use raftian::rpc::client::{CallError, Client};
use raftian::rpc::value::{Struct, Value};
use rustix::process::Signal;
use support::{Cluster, DEADLINE, PATIENT, VERY_PATIENT, one_line, python, spawn, submit, text};

// ------------------------------------------------------------------------------- elections

#[test]
fn a_paused_leader_is_replaced_and_follows_when_it_wakes_up() {
    let mut cluster = Cluster::started(5, PATIENT);
    let (old, term) = cluster.wait_for_leader();
    cluster.submit(old, "c", 1, "attack 1").unwrap();
    cluster.pause(old);

    // Its port still accepts: the command waits there and is sent on its way when it wakes up.
    let to_the_old = Client::new(&cluster.address(old), DEADLINE);
    let waiting = thread::spawn(move || submit(&to_the_old, "c", 2, "attack 1"));

    let (new, new_term) = cluster.wait_for_leader();
    assert!(new != old && new_term > term);
    for serial in 3..=12 {
        let through = cluster.running()[serial as usize % 4];
        submit_until_answered(&cluster, through, "c", serial, "attack 2");
    }
    cluster.resume(old);
    let answer = waiting.join().unwrap().unwrap();
    assert_eq!(answer.outcome, "hp 40");
    assert!(answer.term >= new_term, "{answer:?}");

    let (_, last_term) = cluster.wait_for_leader();
    assert!(last_term >= new_term);
    cluster.wait_until_equal();
    cluster.verify();
    assert!(cluster.orders(old).contains("\tattack 1\thp 40\t"));
}

#[test]
fn a_stranger_moves_no_term_and_keeps_no_one_from_campaigning() {
    let mut cluster = Cluster::new(5, PATIENT);
    cluster.start(1);
    let number = |n: i64| Value::Int(n);
    let append = [
        ("term", number(1_000)),
        ("leader_id", number(77)),
        ("prev_log_index", number(0)),
        ("prev_log_term", number(0)),
        ("entries", Value::Array(vec![])),
        ("leader_commit", number(0)),
    ];
    let vote = [
        ("term", number(1_000)),
        ("candidate_id", number(77)),
        ("last_log_index", number(9)),
        ("last_log_term", number(9)),
    ];
    let [append, vote] = [&append[..], &vote[..]].map(|members| {
        let mut request = Struct::default();
        for (name, value) in members {
            request.insert(name.to_string(), value.clone());
        }
        [Value::Struct(request)]
    });
    // Far more often than the election timeout. If these counted as a leader's messages or as a
    // vote that was granted, the node would never campaign.
    let first = cluster.status(1).unwrap().term;
    cluster.wait_until("a campaign among strangers", |cluster| {
        for (method, request) in [("append_entries_rpc", &append), ("request_vote_rpc", &vote)] {
            let fault = cluster.fault(1, method, request);
            assert_eq!(fault.code, -32500, "{fault}");
        }
        let status = cluster.status(1).unwrap();
        assert_eq!(
            status.term, first,
            "whoever finds no majority enters no term"
        );
        status.role == RoleName::Candidate
    });
}

// ---------------------------------------------------------------- what a client is promised

#[test]
fn pythons_client_meets_every_method_and_fault_of_the_contract() {
    let cluster = Cluster::started(5, VERY_PATIENT);
    let mut arguments = vec!["whole".to_string()];
    arguments.extend(cluster.ids().into_iter().map(|id| cluster.address(id)));
    let output = python("tests/support/contract.py", &arguments);
    assert!(
        output.status.success(),
        "{}\n{}",
        text(&output.stderr),
        cluster.report()
    );
    cluster.wait_until_equal();
    cluster.verify();
}

#[test]
fn without_a_leader_a_command_is_refused_after_two_seconds() {
    let mut cluster = Cluster::new(5, PATIENT);
    cluster.start(1);
    let answer = python_submits(&cluster, 1, "python", 1, "attack 1");
    assert_eq!(answer["fault"], -32500, "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("no leader"), "{message}");
    let seconds = answer["seconds"].as_f64().unwrap();
    println!("no leader: refused after {seconds:.2} s");
    assert!((1.9..4.5).contains(&seconds), "{seconds}");

    let output = cluster.run(&["attack", "1", "--to", &cluster.address(1)]);
    assert!(one_line(&output).contains("no leader within 2 s"));
    assert_eq!(cluster.status(1).unwrap().last_index, 0);
}

#[test]
fn a_leader_without_a_majority_does_not_know_the_outcome_and_a_repeat_does() {
    let mut cluster = Cluster::started(3, PATIENT);
    let (leader, _) = cluster.wait_for_leader();
    let others: Vec<u64> = cluster
        .ids()
        .into_iter()
        .filter(|&id| id != leader)
        .collect();
    for &id in &others {
        cluster.pause(id);
    }
    let answer = python_submits(&cluster, leader, "python", 1, "attack 1");
    assert_eq!(answer["fault"], -32500, "{answer}");
    let message = answer["message"].as_str().unwrap();
    assert!(message.contains("outcome unknown"), "{message}");
    let seconds = answer["seconds"].as_f64().unwrap();
    println!("no majority: given up after {seconds:.2} s");
    assert!((4.9..8.0).contains(&seconds), "{seconds}");
    assert_eq!(cluster.orders(leader).matches("attack").count(), 0);

    for &id in &others {
        cluster.resume(id);
    }
    cluster.wait_for_leader();
    let first = submit_until_answered(&cluster, leader, "python", 1, "attack 1");
    assert_eq!(first.outcome, "hp 70");
    for id in cluster.ids() {
        let again = submit_until_answered(&cluster, id, "python", 1, "attack 1");
        assert_eq!(again, first);
    }
    cluster.wait_until_equal();
    cluster.verify();
    assert_eq!(
        cluster.orders(1).matches("\thp ").count(),
        1,
        "applied once"
    );
}

#[test]
fn every_command_that_ten_clients_had_answered_is_in_the_files_once_though_the_leader_died() {
    const CLIENTS: usize = 10;
    const COMMANDS: u64 = 50;
    let mut cluster = Cluster::started(5, PATIENT);
    let addresses: Vec<String> = cluster
        .ids()
        .iter()
        .map(|&id| cluster.address(id))
        .collect();
    let answered = AtomicUsize::new(0);
    let all_answers: Vec<(String, Answer)> = thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let (addresses, answered) = (&addresses, &answered);
                scope.spawn(move || {
                    let name = format!("client-{client}");
                    (1..=COMMANDS)
                        .map(|serial| {
                            let command = format!("attack {}", 1 + (client as u64 + serial) % 5);
                            let node = client + serial as usize;
                            let submit = |node| insist(addresses, node, &name, serial, &command);
                            // Now and then an impatient one asks two nodes at once.
                            let answer = thread::scope(|scope| {
                                let twin = serial.is_multiple_of(5);
                                let twin = twin.then(|| scope.spawn(|| submit(node + 1)));
                                let answer = submit(node);
                                if let Some(twin) = twin {
                                    assert_eq!(twin.join().unwrap(), answer);
                                }
                                answer
                            });
                            answered.fetch_add(1, Ordering::SeqCst);
                            (command, answer)
                        })
                        .collect::<Vec<_>>()
                })
            })
            .collect();
        cluster.wait_until("a third of the answers", |_| {
            answered.load(Ordering::SeqCst) >= CLIENTS * COMMANDS as usize / 3
        });
        let (leader, _) = cluster.wait_for_leader();
        cluster.kill(leader);
        let joined = clients.into_iter().map(|client| client.join().unwrap());
        joined.flatten().collect()
    });

    assert_eq!(all_answers.len(), CLIENTS * COMMANDS as usize);
    cluster.wait_until_equal();
    cluster.verify();
    let survivor = cluster.running()[0];
    let lines = order_lines(&cluster.orders(survivor));
    let mut places = BTreeSet::new();
    for (command, answer) in &all_answers {
        let line = &lines[&answer.index];
        let expected = (
            answer.term.to_string(),
            command.clone(),
            answer.outcome.clone(),
        );
        assert_eq!(line, &expected, "at index {}", answer.index);
        assert!(
            places.insert(answer.index),
            "two answers at {}",
            answer.index
        );
    }
    let applied = lines
        .values()
        .filter(|(_, command, outcome)| command != "noop" && !outcome.starts_with("duplicate"));
    assert_eq!(applied.count(), all_answers.len(), "each was applied once");
}

/// Submits to one node after the other until there is an answer, always the same command.
fn insist(addresses: &[String], first: usize, name: &str, serial: u64, command: &str) -> Answer {
    let deadline = Instant::now() + DEADLINE;
    for address in addresses.iter().cycle().skip(first % addresses.len()) {
        let client = Client::new(address, Duration::from_secs(8));
        match submit(&client, name, serial, command) {
            Ok(answer) => return answer,
            Err(CallError::Fault(fault)) => assert_eq!(fault.code, -32500, "{fault}"),
            // The dead node refuses at once.
            Err(_) => thread::sleep(Duration::from_millis(10)),
        }
        assert!(Instant::now() < deadline, "{name} {serial} has no answer");
    }
    unreachable!("a cycle has no end")
}

/// The lines of an orders.log by index: term, command and outcome.
fn order_lines(orders: &str) -> BTreeMap<u64, (String, String, String)> {
    let line = |line: &str| {
        let columns: Vec<&str> = line.split('\t').collect();
        let [index, term, command, outcome, _digest] = columns[..] else {
            panic!("not a line of orders.log: {line:?}");
        };
        let order = (term.to_string(), command.to_string(), outcome.to_string());
        (index.parse().unwrap(), order)
    };
    orders.lines().map(line).collect()
}

#[test]
fn strangers_who_hold_every_connection_stop_neither_an_election_nor_an_attack() {
    const PLACES: usize = 24;
    let mut cluster = Cluster::new(3, PATIENT);
    for id in cluster.ids() {
        cluster.start_with(id, &["--max-connections", &PLACES.to_string()]);
    }
    let (leader, _) = cluster.wait_for_leader();
    let addresses: Vec<String> = cluster
        .ids()
        .iter()
        .map(|&id| cluster.address(id))
        .collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        // They come back as soon as they are shown out.
        scope.spawn(|| {
            let mut held = Vec::new();
            while !done.load(Ordering::SeqCst) {
                let strangers = addresses.iter().cycle().take(PLACES * addresses.len());
                held = strangers.map(TcpStream::connect).collect();
                thread::sleep(Duration::from_millis(200));
            }
            drop(held);
        });
        let finished = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            submit_until_answered(&cluster, leader, "c", 1, "attack 1");
            cluster.kill(leader);
            let survivor = cluster.running()[0];
            submit_until_answered(&cluster, survivor, "c", 2, "attack 1");
        }));
        done.store(true, Ordering::SeqCst);
        if let Err(panic) = finished {
            std::panic::resume_unwind(panic);
        }
    });
    cluster.wait_until_equal();
    cluster.verify();
}

/// Submits to this node until it answers, always the same command.
fn submit_until_answered(
    cluster: &Cluster,
    id: u64,
    client: &str,
    serial: u64,
    command: &str,
) -> Answer {
    cluster.wait_for("an answer", |cluster| {
        match cluster.submit(id, client, serial, command) {
            Err(CallError::Fault(fault)) if fault.code != -32500 => panic!("{fault}"),
            result => result.ok(),
        }
    })
}

/// What Python's client is told when it submits, as JSON.
fn python_submits(
    cluster: &Cluster,
    id: u64,
    client: &str,
    serial: u64,
    command: &str,
) -> serde_json::Value {
    let (address, serial) = (cluster.address(id), serial.to_string());
    let arguments = ["submit", &address, client, &serial, command].map(str::to_string);
    let output = python("tests/support/contract.py", &arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

// ----------------------------------------------------------------------------- log files

#[test]
fn a_node_that_was_killed_and_has_nothing_left_catches_up_and_starts_its_file_anew() {
    let mut cluster = Cluster::started(3, PATIENT);
    let (leader, _) = cluster.wait_for_leader();
    for serial in 1..=5 {
        submit_until_answered(&cluster, leader, "c", serial, "attack 1");
    }
    cluster.wait_until_equal();
    let follower = cluster.ids().into_iter().find(|&id| id != leader).unwrap();
    let earlier = cluster.orders(follower);
    assert_eq!(earlier, cluster.orders(leader));
    cluster.kill(follower);
    cluster.forget(follower);
    for serial in 6..=10 {
        submit_until_answered(&cluster, leader, "c", serial, "attack 2");
    }

    cluster.start(follower);
    cluster.wait_until_equal();
    let kept = fs::read_to_string(cluster.logs(follower).join("orders.log.1")).unwrap();
    assert_eq!(kept, earlier);
    assert_eq!(cluster.orders(follower), cluster.orders(leader));
    assert!(cluster.orders(follower).starts_with(&earlier));
    assert_eq!(cluster.orders(follower).matches("\tattack ").count(), 10);
    cluster.verify();
}

#[test]
fn the_recorded_game_that_comes_with_the_source_verifies() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut orders = Vec::new();
    for id in 1..=5 {
        let path = root.join(format!("logs/sample/bob{id}/orders.log"));
        orders.push(fs::read_to_string(path).unwrap());
    }
    let longest = orders.iter().max_by_key(|text| text.len()).unwrap();
    for text in &orders {
        assert!(longest.starts_with(text), "no file differs but in length");
    }
    let terms: BTreeSet<String> = order_lines(longest)
        .into_values()
        .map(|line| line.0)
        .collect();
    assert!(terms.len() > 1, "a game with an election in the middle");

    let cluster = Cluster::new(1, PATIENT);
    let output = cluster.run(&["verify", &root.join("logs/sample").to_string_lossy()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let said = text(&output.stdout);
    for id in 1..=5 {
        assert!(said.contains(&format!("bob{id}  ")), "{said}");
    }
    assert!(said.ends_with("\nok\n"), "{said}");
}

// ------------------------------------------------------------------------ the command line

#[test]
fn attack_and_status_talk_to_any_node() {
    let cluster = Cluster::started(3, PATIENT);
    let (leader, _) = cluster.wait_for_leader();
    let follower = cluster.ids().into_iter().find(|&id| id != leader).unwrap();

    for (through, outcome) in [
        (leader, "hp 70"),
        (follower, "hp 40"),
        (follower, "hp 10"),
        (leader, "hp 0"),
        (follower, "already dead"),
        (leader, "already dead"),
    ] {
        let output = cluster.run(&["attack", "3", "--to", &cluster.address(through)]);
        assert!(output.status.success(), "{}", text(&output.stderr));
        assert_eq!(text(&output.stderr), "");
        // What it prints is what stands in the file of the node that it asked.
        let lines = order_lines(&cluster.orders(through));
        let (index, (term, command, last)) = lines.last_key_value().unwrap();
        assert_eq!((command.as_str(), last.as_str()), ("attack 3", outcome));
        assert_eq!(
            text(&output.stdout),
            format!("index {index}, term {term}, outcome {outcome}\n")
        );
    }
    let to_nobody = cluster.run(&["attack", "4", "--to", &cluster.address(follower)]);
    assert!(one_line(&to_nobody).contains("there is no player 4"));

    cluster.wait_until_equal();
    let (leader, term) = cluster.wait_for_leader();
    let follower = cluster.ids().into_iter().find(|&id| id != leader).unwrap();
    for (id, role) in [(leader, "leader"), (follower, "follower")] {
        let table = cluster.run(&["status", "--to", &cluster.address(id)]);
        assert!(table.status.success(), "{}", text(&table.stderr));
        let table = text(&table.stdout);
        let first = format!("bob{id} (node {id}): {role} in term {term}\nleader   bob{leader}\n");
        assert!(table.starts_with(&first), "{table}");
        assert_eq!(table.lines().count(), 6 + 1 + 3, "{table}");

        let json = cluster.run(&["status", "--json", "--to", &cluster.address(id)]);
        let json: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
        assert_eq!(json["role"], role);
        assert_eq!(json["leader"], leader);
        assert_eq!(json["last_applied"], json["commit_index"]);
        let keys = |object: &serde_json::Value| -> Vec<String> {
            object.as_object().unwrap().keys().cloned().collect()
        };
        // In alphabetical order, as serde_json gives them.
        assert_eq!(
            keys(&json),
            [
                "commit_index",
                "digest",
                "id",
                "last_applied",
                "last_index",
                "leader",
                "name",
                "peers",
                "role",
                "term"
            ]
        );
        let peers = json["peers"].as_array().unwrap();
        assert_eq!(peers.len(), 2);
        for peer in peers {
            assert_eq!(
                keys(peer),
                [
                    "address",
                    "id",
                    "match_index",
                    "name",
                    "next_index",
                    "rtt_ms"
                ]
            );
            assert_eq!(peer["match_index"].is_u64(), role == "leader", "{peer}");
        }
    }
}

#[test]
fn what_cannot_be_reached_is_one_line() {
    let cluster = Cluster::new(3, PATIENT);
    let nobody = cluster.address(1);
    for arguments in [
        &["attack", "3", "--to", &nobody][..],
        &["status", "--to", &nobody],
        &["status", "--json", "--to", &nobody],
    ] {
        let line = one_line(&cluster.run(arguments));
        assert!(line.starts_with(&format!("raftian: {nobody}: ")), "{line}");
    }
    // Somebody is there who does not speak our language.
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let stranger = thread::spawn(move || drop(listener.accept()));
    let line = one_line(&cluster.run(&["status", "--to", &address]));
    assert!(line.starts_with(&format!("raftian: {address}: ")), "{line}");
    stranger.join().unwrap();
}

#[test]
fn a_port_in_use_is_one_line_that_names_file_line_and_key() {
    let mut cluster = Cluster::new(3, PATIENT);
    cluster.start(2);
    let address = cluster.address(2);
    let output = cluster.run(&["serve", "--config", "test.toml", "--id", "2"]);
    let expected = format!(
        "raftian: test.toml:{}: node.address {address} is in use",
        cluster.address_line(2)
    );
    let line = one_line(&output);
    assert!(line.starts_with(&expected), "{line}");
    // The node that was there first goes on.
    assert_eq!(cluster.status(2).unwrap().id, 2);
}

#[test]
fn serve_says_one_line_when_it_is_ready_and_ends_well_when_asked_to() {
    let mut cluster = Cluster::new(3, PATIENT);
    let ready = format!("ready bob1 http://{}/RPC2\n", cluster.address(1));
    let signals = [Signal::TERM, Signal::INT, Signal::HUP];
    for (count, signal) in (1..).zip(signals) {
        cluster.start(1);
        let status = cluster.stop(1, signal);
        assert_eq!(status.code(), Some(0), "{signal:?}: {}", cluster.report());
        assert_eq!(cluster.printed(1), ready.repeat(count));
    }
    let errors = fs::read_to_string(cluster.dir().join("bob1.err")).unwrap();
    assert_eq!(errors, "");
}

// ------------------------------------------------------------------------------- the bot

#[test]
fn the_bot_in_five_lines_plays_until_one_is_left() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let program = root.join("examples/bot.py");
    let lines = fs::read_to_string(&program).unwrap().lines().count();
    assert!(lines <= 5, "{lines} lines");

    let cluster = Cluster::started(3, PATIENT);
    let mut command = Command::new("python3");
    command.arg(program).arg(cluster.address(2));
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut bot = spawn(&mut command);
    let mut said = BufReader::new(bot.stdout.take().unwrap());
    let mut first = String::new();
    said.read_line(&mut first).unwrap();
    assert!(first.contains("'outcome': 'hp 70'"), "{first}");
    assert_eq!(cluster.orders(2).matches("\tattack ").count(), 1);

    // With some help it need not play for long.
    for (player, serial) in [1, 3]
        .into_iter()
        .flat_map(|p| (1..=4).map(move |s| (p, s)))
    {
        submit_until_answered(
            &cluster,
            1,
            "help",
            10 * player + serial,
            &format!("attack {player}"),
        );
    }
    let status = bot.wait().unwrap();
    assert!(status.success());
    cluster.wait_until_equal();
    cluster.verify();
}
