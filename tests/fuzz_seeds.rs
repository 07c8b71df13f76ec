//! The seeds of the fuzz targets, on every test run: what `make fuzz` begins with, and what it has
//! ever found, keeps the promises that it is there to break.
//!
//! A seed is a file in `fuzz/seeds/TARGET`, and its name begins with where it is from: `ours` is
//! what a node writes, `python` what Python's library writes, `odd` is strange and right, `near` is
//! almost right, `found` is a finding, made small. The first kind is made here: with
//! `UPDATE_SEEDS=1` those files are written instead of compared.

// In a test an error is a panic, in its helpers too.
#![allow(clippy::unwrap_used)]

#[path = "../fuzz/src/lib.rs"]
mod properties;

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use properties::TARGETS;
use properties::forge::{self, Help};
use properties::log_reader;
use properties::snapshot_reader::sealed;
use raftian::application::{Application, Kind};
use raftian::command::Command;
use raftian::game::Game;
use raftian::kv::Store as KvStore;
use raftian::machine::{Answer, Machine};
use raftian::node::event::{
    Errand, ErrandReply, Forward, ForwardReply, MemberStatus, Members, PeerRequest, Refusal,
    Response,
};
use raftian::raft::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Change, Configuration, Entry, HardState,
    InstallOutcome, InstallSnapshot, InstallSnapshotReply, LogAfterSnapshot, Member, Payload,
    Reply, Request, RequestVote, RequestVoteReply, RoleName, Save, SaveSnapshot, Snapshot,
    Standing, TimeoutNow, TimeoutNowReply,
};
use raftian::rpc::value::{Struct, Value};
use raftian::rpc::{methods, xml};
use raftian::snapshot::Document;
use raftian::status::{PeerStatus, Status};
use raftian::storage::{FaultyDisk, Identity, MemoryDisk, Options, Storage as _, Store};

fn fuzz() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz")
}

/// The seeds of a target: path and bytes.
fn seeds(target: &str) -> Vec<(PathBuf, Vec<u8>)> {
    let folder = fuzz().join("seeds").join(target);
    let files = fs::read_dir(&folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    let mut seeds: Vec<_> = files
        .map(|file| file.unwrap().path())
        .map(|path| (path.clone(), fs::read(path).unwrap()))
        .collect();
    seeds.sort();
    seeds
}

/// Seeds that are right must also be taken: promises about nothing are easily kept.
#[test]
fn every_seed_keeps_the_promises_and_is_taken_where_it_is_right() {
    for (target, check) in TARGETS {
        let seeds = seeds(target);
        assert!(seeds.len() >= 10, "{target} has {} seeds", seeds.len());
        for (path, seed) in seeds {
            let path = path.display();
            match catch_unwind(|| check(&seed)) {
                Err(_) => panic!("{path} breaks a promise"),
                Ok(taken) => assert!(taken || !is_right(&path.to_string()), "{path} is refused"),
            }
        }
    }
}

fn is_right(path: &str) -> bool {
    ["ours", "python", "odd"]
        .iter()
        .any(|kind| path.contains(&format!("/{kind}_")))
}

#[test]
fn every_seed_says_where_it_is_from_and_is_small() {
    for (target, _) in TARGETS {
        for (path, seed) in seeds(target) {
            let name = path.file_name().unwrap().to_str().unwrap();
            let kind = name.split(['_', '.']).next().unwrap();
            assert!(
                matches!(kind, "ours" | "python" | "odd" | "near" | "found"),
                "{}",
                path.display()
            );
            assert!(seed.len() <= 16 * 1024, "{}", path.display());
        }
    }
}

/// Targets are named in several places, some of which nothing here compiles.
#[test]
fn every_target_is_everywhere() {
    let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| name.to_string()).collect();
    let stems = |folder: &str, ending: &str| -> BTreeSet<String> {
        let files = fs::read_dir(fuzz().join(folder)).unwrap();
        files
            .filter_map(|file| file.unwrap().file_name().into_string().ok())
            .filter_map(|name| Some(name.strip_suffix(ending)?.to_string()))
            .collect()
    };
    assert_eq!(stems("seeds", ""), names);
    assert_eq!(stems("dict", ".dict"), names);
    assert_eq!(stems("fuzz_targets", ".rs"), names);

    let manifest = fs::read_to_string(fuzz().join("Cargo.toml")).unwrap();
    let makefile = fs::read_to_string(fuzz().join("../Makefile")).unwrap();
    let document = fs::read_to_string(fuzz().join("../docs/TESTING.md")).unwrap();
    let fuzzed = makefile.split_once("\nFUZZ_TARGETS ?= ").unwrap().1;
    let fuzzed = fuzzed.lines().next().unwrap().split(' ');
    assert_eq!(fuzzed.map(str::to_string).collect::<BTreeSet<_>>(), names);
    for name in &names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")));
        assert!(document.contains(&format!("\n| `{name}` |")), "{name}");
    }
}

#[test]
fn the_seeds_have_what_a_node_writes() {
    let documents = documents();
    let documents = documents
        .iter()
        .map(|(name, bytes)| (format!("xmlrpc/ours_{name}.xml"), bytes));
    let (folders, snapshots) = (folders(), snapshots());
    let folders = folders
        .iter()
        .map(|(name, bytes)| (format!("log_reader/ours_{name}.txt"), bytes));
    let snapshots = snapshots
        .iter()
        .map(|(name, bytes)| (format!("snapshot_reader/ours_{name}.json"), bytes));
    for (name, bytes) in documents.chain(folders).chain(snapshots) {
        let path = fuzz().join("seeds").join(name);
        if std::env::var_os("UPDATE_SEEDS").is_some() {
            fs::write(path, bytes).unwrap();
        } else {
            let seed = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            assert!(seed == *bytes, "{} is out of date", path.display());
        }
    }
}

/// Otherwise the fuzzer would look at files that no node writes.
#[test]
fn a_forger_finds_nothing_to_set_right_in_what_a_node_writes() {
    for (name, bytes) in folders() {
        let files = forge::files(&bytes, Help::None);
        assert_eq!(forge::files(&bytes, Help::Crc), files, "{name}");
        assert_eq!(forge::files(&bytes, Help::All), files, "{name}");
    }
    for (name, bytes) in snapshots() {
        assert!(sealed(&bytes) == bytes, "{name}");
    }
}

/// What the folders of some nodes hold: term and vote, and the log.
fn folders() -> Vec<(&'static str, Vec<u8>)> {
    let command = |index, text: &str| {
        Payload::Command(Arc::new(Command::new("bob1-7f3a", index, text).unwrap()))
    };
    let entry = |index, term| Entry {
        index,
        term,
        payload: match index % 3 {
            0 => Payload::Noop,
            1 => command(index, "attack 3"),
            _ => command(index, "two\nlines\t\\ \u{0} ü"),
        },
    };
    let save = |first, terms: &[u64]| Save {
        hard_state: Some(HardState {
            current_term: terms.iter().copied().max().unwrap_or(1),
            voted_for: Some(1),
        }),
        entries: (first..)
            .zip(terms)
            .map(|(i, &term)| entry(i, term))
            .collect(),
        ..Save::default()
    };
    let install = |last_index, last_term| Save {
        snapshot: Some(SaveSnapshot {
            snapshot: Snapshot {
                last_index,
                last_term,
                configuration: Default::default(),
                data: b"{}".to_vec().into(),
            },
            log: LogAfterSnapshot::Discard,
        }),
        ..Save::default()
    };
    let folder = |saves: Vec<Save>, idle| {
        let disk = FaultyDisk::new(MemoryDisk::default());
        let options = Options {
            fsync: true,
            segment_bytes: 900,
        };
        let identity = Identity {
            cluster: "local".to_string(),
            node: 1,
        };
        let (mut store, _) =
            Store::open(disk.clone(), &identity, options, log_reader::as_snapshot).unwrap();
        for save in saves {
            store.save_all(&mut vec![save]).unwrap();
        }
        if idle {
            store.idle().unwrap();
        }
        let contents = disk.contents();
        let whole = contents
            .iter()
            .filter(|(name, _)| name.starts_with("log-"))
            .flat_map(|(_, bytes)| bytes.clone());
        // Of the pages of term and vote only what is written in them.
        let state = contents["hard-state"].iter().copied();
        state.filter(|&byte| byte != 0).chain(whole).collect()
    };
    vec![
        ("new", folder(vec![], false)),
        (
            "batches",
            folder(vec![save(1, &[1]), save(2, &[1, 1])], false),
        ),
        ("idle", folder(vec![save(1, &[1, 1, 1])], true)),
        (
            "replaced",
            folder(
                vec![save(1, &[1, 1, 1]), save(2, &[2, 3]), save(3, &[4])],
                true,
            ),
        ),
        (
            "three_segments",
            folder(
                (1..=14)
                    .map(|index| save(index, &[index / 4 + 1]))
                    .collect(),
                false,
            ),
        ),
        ("one_long_batch", folder(vec![save(1, &[1; 20])], false)),
        (
            "anew",
            folder(
                vec![save(1, &[1, 1]), install(9, 2), save(10, &[3, 3])],
                false,
            ),
        ),
    ]
}

/// Who belongs to a cluster whose voters are changing.
fn members() -> Members {
    let joint = "1 voter bob1 h:1;2 outgoing bob2 h:2;3 incoming bob3 h:3;9 learner eve h:9";
    let configuration = Configuration::parse(joint).unwrap();
    let member = |(&id, member): (&u64, &Member)| MemberStatus {
        id,
        name: member.name.clone(),
        address: member.address.clone(),
        standing: member.standing,
        match_index: (id != 1).then_some(id),
    };
    Members {
        cluster: "local".to_string(),
        machine: Kind::Game,
        id: 1,
        leader: Some(1),
        term: 2,
        index: 12,
        committed: false,
        joint: true,
        members: configuration.members().iter().map(member).collect(),
        heartbeat_ms: 50,
        election_timeout_ms: (150, 300),
        snapshot_entries: 10_000,
    }
}

/// Snapshots of some games.
fn snapshots() -> Vec<(&'static str, Vec<u8>)> {
    let machine = |state: Application, players, clients: u64, commands, text: fn(u64) -> String| {
        let mut machine = Machine::new(state);
        for index in 1..=commands {
            let client = format!("client \"{}\" ü", index % clients);
            let command = Command::new(client, index, text(index)).unwrap();
            machine.apply(&Entry {
                index,
                term: 1 + index / 10,
                payload: Payload::Command(Arc::new(command)),
            });
        }
        let member = |id| {
            let member = Member {
                name: format!("bob{id}"),
                address: format!("127.0.0.1:{}", 8000 + id),
                standing: Standing::Voter,
            };
            (id, member)
        };
        let members = Configuration::new((1..=players).map(member).collect()).unwrap();
        Document::of(&machine, 1 + commands / 10, members.into()).write()
    };
    let game = |players, clients, commands| {
        let ids = (1..=players).map(|id| (id, format!("bob{id}")));
        let text = |index| format!("attack {}", index % 4);
        machine(Game::new(ids).into(), players, clients, commands, text)
    };
    let store = machine(KvStore::default().into(), 3, 2, 12, |index| {
        match index % 4 {
            0 => format!("put \"k{index}\" {{\"base64\":\"AAEC\"}}"),
            1 => format!("put \"k \\\"{index}\\\"\" \"zwei\\nü\""),
            2 => format!("append \"text\" \"{}\"", "\\n".repeat(40)),
            _ => "incr \"n\"".to_string(),
        }
    });
    vec![
        ("store", store),
        ("two_players", game(2, 1, 1)),
        ("three_players", game(3, 3, 25)),
        ("nine_players", game(9, 9, 40)),
        ("long_session", game(3, 1, 60)),
    ]
}

/// A write to the store.
fn kv(operation: &str, operands: &[Value]) -> Vec<u8> {
    let identity = ["python-7f3a".into(), 7.into()];
    let params = [&identity, operands].concat();
    xml::encode_call(&format!("kv.{operation}"), &params)
}

/// A document of each kind.
fn documents() -> Vec<(&'static str, Vec<u8>)> {
    let after = Struct::from([("after", "k".into()), ("stale", true.into())]);
    let after = Value::from(after);
    let command = |serial, text: &str| Arc::new(Command::new("bob1-7f3a", serial, text).unwrap());
    let entry = |index, payload| Entry {
        index,
        term: 3,
        payload,
    };
    let append = |entries| {
        methods::call(&PeerRequest::Raft(Request::AppendEntries(AppendEntries {
            term: 3,
            leader_id: 1,
            prev_log_index: 7,
            prev_log_term: 2,
            entries,
            leader_commit: 6,
        })))
    };
    let entries = vec![
        entry(8, Payload::Noop),
        entry(9, Payload::Command(command(1, "attack 3"))),
        entry(10, Payload::Command(command(i64::MAX as u64, "<&>\r\n"))),
    ];
    let replied = |reply| methods::write(Ok(Response::Raft(reply)));
    let append_reply = |outcome| {
        replied(Reply::AppendEntries(AppendEntriesReply {
            term: 3,
            outcome,
        }))
    };
    let status = Status {
        id: 1,
        name: "bob1".to_string(),
        role: RoleName::Leader,
        term: 3,
        leader: Some(1),
        commit_index: 9,
        last_applied: 9,
        last_index: 10,
        digest: "ce73d28115b7e503".to_string(),
        peers: vec![
            PeerStatus {
                id: 2,
                name: "bob2".to_string(),
                address: "127.0.0.1:8002".to_string(),
                match_index: Some(9),
                next_index: Some(10),
                rtt_ms: Some(0.25),
            },
            PeerStatus {
                id: 3,
                name: "bob3".to_string(),
                address: "127.0.0.1:8003".to_string(),
                match_index: None,
                next_index: None,
                rtt_ms: None,
            },
        ],
    };
    let submit = ["alice-1".into(), 1.into(), "attack 4".into()];
    vec![
        ("heartbeat", append(vec![])),
        ("append", append(entries)),
        (
            "vote",
            methods::call(&PeerRequest::Raft(Request::RequestVote(RequestVote {
                term: 1 << 40,
                candidate_id: 2,
                last_log_index: 10,
                last_log_term: 3,
                pre_vote: false,
                transfer: false,
            }))),
        ),
        (
            "pre_vote",
            methods::call(&PeerRequest::Raft(Request::RequestVote(RequestVote {
                term: 7,
                candidate_id: 2,
                last_log_index: 10,
                last_log_term: 3,
                pre_vote: true,
                transfer: false,
            }))),
        ),
        (
            "install",
            methods::call(&PeerRequest::Raft(Request::InstallSnapshot(
                InstallSnapshot {
                    term: 3,
                    leader_id: 1,
                    last_included_index: 17,
                    last_included_term: 2,
                    configuration: Configuration::of_voters([1, 2, 3]).into(),
                    offset: 262_144,
                    data: b"{\n\"servers\":[".to_vec(),
                    done: false,
                },
            ))),
        ),
        (
            "install_reply",
            replied(Reply::InstallSnapshot(InstallSnapshotReply {
                term: 3,
                outcome: InstallOutcome::Next(262_158),
            })),
        ),
        (
            "forward",
            methods::call(&PeerRequest::Forward(Forward {
                sender_id: 2,
                commands: vec![command(5, "attack 1"), command(6, " attack 2")],
            })),
        ),
        (
            "timeout_now",
            methods::call(&PeerRequest::Raft(Request::TimeoutNow(TimeoutNow {
                term: 3,
                leader_id: 1,
            }))),
        ),
        (
            "timeout_now_reply",
            replied(Reply::TimeoutNow(TimeoutNowReply {
                term: 4,
                campaigns: true,
            })),
        ),
        (
            "change",
            methods::call(&PeerRequest::Errand {
                sender_id: 2,
                errand: Errand::Change(Change {
                    add: [(6, ("eve".to_string(), "127.0.0.1:8006".to_string()))].into(),
                    promote: [4].into(),
                    remove: [2, 3].into(),
                }),
            }),
        ),
        (
            "transfer",
            methods::call(&PeerRequest::Errand {
                sender_id: 2,
                errand: Errand::Transfer(Some(3)),
            }),
        ),
        (
            "errand_reply",
            methods::write(Ok(Response::Errand(ErrandReply::ReadAt { index: 9 }))),
        ),
        ("members", methods::call(&PeerRequest::Members)),
        (
            "members_reply",
            methods::write(Ok(Response::Members(members()))),
        ),
        (
            "add",
            xml::encode_call(
                "cluster.add",
                &[6.into(), "eve".into(), "127.0.0.1:8006".into()],
            ),
        ),
        ("promote", xml::encode_call("cluster.promote", &[6.into()])),
        ("status", methods::call(&PeerRequest::Status)),
        ("submit", xml::encode_call("submit_rpc", &submit)),
        ("attack", xml::encode_call("game.attack", &[3.into()])),
        ("state", xml::encode_call("game.state", &[])),
        ("kv_put", kv("put", &["k".into(), "zwei\nü".into()])),
        ("kv_delete", kv("delete", &["k".into()])),
        (
            "kv_cas",
            kv("cas", &["k".into(), Value::Nil, Value::Base64(vec![0, 1])]),
        ),
        ("kv_append", kv("append", &["k".into(), "x".into()])),
        ("kv_incr", kv("incr", &["n".into()])),
        ("kv_get", xml::encode_call("kv.get", &["k".into()])),
        ("kv_list", xml::encode_call("kv.list", &["k".into(), after])),
        (
            "help",
            xml::encode_call("system.methodHelp", &["game.state".into()]),
        ),
        ("append_reply", append_reply(AppendOutcome::Matched(10))),
        (
            "append_conflict",
            append_reply(AppendOutcome::Conflict {
                term: Some(2),
                index: 5,
            }),
        ),
        (
            "vote_reply",
            replied(Reply::RequestVote(RequestVoteReply {
                term: 3,
                vote_granted: true,
            })),
        ),
        (
            "forward_reply",
            methods::write(Ok(Response::Forward(ForwardReply::Appended {
                term: 3,
                index: 11,
            }))),
        ),
        (
            "forward_refused",
            methods::write(Ok(Response::Forward(ForwardReply::NotAppended {
                leader: None,
            }))),
        ),
        (
            "answer",
            methods::write(Ok(Response::Applied(Answer {
                index: 12,
                term: 3,
                outcome: "hp 70".to_string(),
            }))),
        ),
        ("status_reply", methods::write(Ok(Response::Status(status)))),
        ("fault", methods::write(Err(Refusal::NoLeader))),
    ]
}
