//! A trace's text, by hand: what is written, and what a replay says of files that are not right.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use super::*;
use crate::command::Command;
use crate::raft::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Change, CheckSnapshot, Configuration, Disk,
    InstallSnapshot, Payload, Reply, Request, RequestVote, RequestVoteReply, SavedUpTo,
};

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Memory {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

fn config(voters: &[u64]) -> Config {
    Config {
        id: 1,
        configuration: Configuration::of_voters(voters.iter().copied()),
        founds: false,
        election_timeout: (150, 300),
        heartbeat: 50,
        pre_vote: false,
        check_quorum: false,
        seed: u64::MAX,
        max_batch_entries: 10,
        max_batch_bytes: 10_000,
        max_uncommitted: 2,
        max_uncommitted_bytes: usize::MAX,
        max_part_bytes: 1_000,
        max_snapshot_bytes: 10_000,
        keep_while_sending: 10,
        check_snapshot: CheckSnapshot(Arc::new(|snapshot| match str::from_utf8(&snapshot.data) {
            Ok(_) => Ok(()),
            Err(_) => Err("it is no text".to_string()),
        })),
    }
}

/// A core of a cluster of these, and what it writes.
fn traced(voters: &[u64]) -> (Traced, Memory) {
    let raft = Raft::new(config(voters), HardState::default(), None, Log::default());
    let (mut core, memory) = (Traced::new(raft), Memory::default());
    core.record(Recorder::new(memory.clone()));
    (core, memory)
}

fn command(serial: u64, text: &str) -> Arc<Command> {
    Arc::new(Command::new("ada", serial, text).unwrap())
}

/// The trace of a core that has been told everything that there is, and has refused what it can.
fn everything() -> String {
    let (mut core, memory) = traced(&[1, 2, 3]);
    let part = |last_index, data: &[u8], done| {
        Request::InstallSnapshot(InstallSnapshot {
            term: 1,
            leader_id: 3,
            last_included_index: last_index,
            last_included_term: 1,
            configuration: Configuration::of_voters([1, 2, 3]).into(),
            offset: 0,
            data: data.to_vec(),
            done,
        })
    };
    let vote = |from| {
        Request::RequestVote(RequestVote {
            term: 1,
            candidate_id: from,
            last_log_index: 0,
            last_log_term: 0,
            pre_vote: false,
            transfer: false,
        })
    };
    let _ = core.set_disk(Disk::Ready);
    let _ = core.tick(10);
    let _ = core.tick(20);
    assert!(core.propose([command(1, "too early")]).is_err());
    assert!(core.request(vote(7)).is_err());
    let _ = core.request(vote(3));
    let _ = core.set_disk(Disk::Busy);
    let append = Request::AppendEntries(AppendEntries {
        term: 1,
        leader_id: 3,
        prev_log_index: 0,
        prev_log_term: 0,
        entries: vec![Entry {
            index: 1,
            term: 1,
            payload: Payload::Noop,
        }],
        leader_commit: 0,
    });
    let _ = core.request(append);
    assert!(core.request(part(5, b"\xff\xfe", true)).is_err());
    let _ = core.request(part(5, "{\"hp\":70,\"é\":\"\\n\"}\n".as_bytes(), true));
    let _ = core.set_disk(Disk::Ready);
    // The timeout has been drawn anew by now.
    let at = core.deadline().unwrap();
    let ready = core.tick(at);
    let term = core.current_term();
    let mut heartbeats = BTreeMap::new();
    for send in ready.after_save {
        let ready = match send.to {
            2 => core.reply(
                2,
                send.call,
                Reply::RequestVote(RequestVoteReply {
                    term,
                    vote_granted: true,
                }),
            ),
            _ => core.lost(send.to, send.call),
        };
        heartbeats.extend(ready.send.iter().map(|send| (send.to, send.call)));
    }
    assert_eq!(core.leader(), Some(1));
    let (first, ready) = core
        .propose([command(2, "attack 3"), command(3, "\u{1b}é\"")])
        .unwrap();
    assert!(core.propose([command(4, "too much")]).is_err());
    let _ = core.saved(SavedUpTo {
        term,
        index: first.index + 1,
    });
    assert_eq!(ready.send.len(), 0, "the no-op is under way");
    let matched = Reply::AppendEntries(AppendEntriesReply {
        term,
        outcome: AppendOutcome::Matched(6),
    });
    let ready = core.reply(2, heartbeats[&2], matched);
    assert_eq!(ready.committed.len(), 1);
    let _ = core.tick(at + 1);
    let snapshot = Snapshot {
        last_index: 6,
        last_term: term,
        configuration: Configuration::of_voters([1, 2, 3]).into(),
        data: Arc::from(*b"again"),
    };
    let _ = core.compact(snapshot, 6);
    let _ = core.tick(at + 2);
    let _ = core.introduce(vec![7]);
    assert!(core.change(&Change::default()).is_err());
    let add = BTreeMap::from([(4, ("eve".to_string(), "eve:1".to_string()))]);
    let change = Change {
        add,
        ..Change::default()
    };
    assert!(core.change(&change).is_ok());
    assert!(core.read(1).is_ok());
    assert!(core.transfer(Some(9)).is_err());
    assert!(core.transfer(None).is_ok());
    assert!(core.propose([command(5, "handing over")]).is_err());
    let _ = core.set_disk(Disk::Full);
    assert!(core.read(2).is_err());
    drop(core);
    memory.text()
}

fn damaged(text: &str) -> (u64, String) {
    match replay(text.as_bytes()) {
        Err(Stopped::Damaged(line, why)) => {
            assert!(!why.contains('\n') && why.len() < 1_500, "{why:?}");
            (line, why)
        }
        other => panic!("{other:?}"),
    }
}

fn different(text: &str) -> Difference {
    match replay(text.as_bytes()) {
        Err(Stopped::Different(different)) => *different,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_trace_can_be_read_by_a_person_and_replays() {
    let text = everything();
    let lines: Vec<&str> = text.lines().collect();
    let begins =
        "{\"raftian_trace\":2,\"config\":{\"id\":1,\"configuration\":\"1 voter node1 node1:1;";
    assert!(lines[0].starts_with(begins));
    assert_eq!(
        lines[1], r#"{"input":{"tick":20}}"#,
        "the first one changed nothing"
    );
    assert_eq!(
        lines[2],
        r#"{"input":{"propose":[{"client":"ada","serial":1,"text":"too early"}]},"output":{"not_proposed":{"not_leader":null}}}"#
    );
    assert!(text.contains(r#"{"input":{"set_disk":"busy"}}"#));
    assert!(text.contains(r#""data":[255,254]"#));
    assert!(text.contains(
        r#""refused":"it is no text","output":{"rejected":{"bad_snapshot":"it is no text"}}"#
    ));
    assert!(text.contains(r#""data":"{\"hp\":70,\"é\":\"\\n\"}\n""#));
    assert!(text.contains(r#""data":"20 bytes, CRC-32C "#), "{text}");
    let report = replay(text.as_bytes()).unwrap();
    assert_eq!(
        report.to_string(),
        format!(
            "node 1: {} inputs, terms 0 to 2, 9 entries, 6 committed, ok",
            lines.len() - 1
        )
    );
}

#[test]
fn spaces_and_the_order_of_keys_are_of_no_matter() {
    let value = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap();
    // This one sorts the keys.
    let lines = everything();
    let lines = lines.lines().map(|line| format!(" {} \n", value(line)));
    let text: String = lines.collect::<String>().replace("\":{", "\" : { ");
    assert!(replay(text.as_bytes()).is_ok());
}

#[test]
fn a_last_line_that_is_not_finished_is_left_out() {
    let text = everything();
    let whole = replay(text.as_bytes()).unwrap();
    let start = text.trim_end().rfind('\n').unwrap() + 1;
    for end in [start + 1, start + 20, text.len() - 1] {
        let report = replay(&text.as_bytes()[..end]).unwrap();
        assert_eq!((report.is_torn, report.inputs), (true, whole.inputs - 1));
    }
    assert!(!replay(&text.as_bytes()[..start]).unwrap().is_torn);
}

#[test]
fn whatever_is_no_trace_is_refused_with_one_line() {
    let text = everything();
    let (header, rest) = text.split_once('\n').unwrap();
    for (file, line, contains) in [
        (String::new(), 1, "empty"),
        (header.to_string(), 1, "not finished"),
        ("1\t1\tnoop\tok\tabc\n".to_string(), 1, "no trace"),
        ("\u{0}\u{ff}\n".to_string(), 1, "no trace"),
        ("{}\n".to_string(), 1, "no trace"),
        (text.replacen("_trace\":2", "_trace\":1", 1), 1, "format 1"),
        (
            text.replacen("\"heartbeat\":50", "\"heartbeat\":500", 1),
            1,
            "lose patience",
        ),
        (text.replacen("\"seed\"", "\"weed\"", 1), 1, "seed"),
        (
            text.replacen("3 voter node3", "3 traitor node3", 1),
            1,
            "standing",
        ),
        (format!("{header}\n\n{rest}"), 2, "EOF"),
        (format!("{header}\n{header}\n{rest}"), 2, "raftian_trace"),
        (
            text.replacen("\"tick\"", "\"tock\\u001b[2J\"", 1),
            2,
            "tock\\u{1b}[2J",
        ),
        (
            text.replacen("\"tick\"", &format!("{:?}", "x".repeat(9_999)), 1),
            2,
            "...",
        ),
        (
            text.replacen("{\"input\":{\"set_disk", "[\"input\":{\"set_disk", 1),
            6,
            "expected",
        ),
        (format!("{header}\n{}\n", "[".repeat(100_000)), 2, ""),
    ] {
        let (found, why) = damaged(&file);
        assert_eq!(found, line, "{why}");
        assert!(why.contains(contains), "{why}");
    }
}

#[test]
fn a_changed_character_of_an_output_is_found_at_its_line() {
    let text = everything();
    let mut start = 0;
    let mut count = 0;
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        let output = line.find("\"output\":").map_or(line.len(), |at| at + 9);
        for (at, c) in line.char_indices() {
            if at < output || matches!(c, '}' | '\n') {
                continue;
            }
            for other in ["7", "~"] {
                if other == c.to_string() {
                    continue;
                }
                let mut changed = text.clone();
                changed.replace_range(start + at..start + at + c.len_utf8(), other);
                let found = match replay(changed.as_bytes()) {
                    Err(Stopped::Damaged(line, _)) => line,
                    Err(Stopped::Different(different)) => different.line,
                    other => panic!("line {number}, character {at}: {other:?}"),
                };
                assert_eq!(found, number);
                count += 1;
            }
        }
        start += line.len();
    }
    assert!(count > 1_000);
}

#[test]
fn a_difference_shows_the_input_and_both_outputs() {
    let text = everything().replacen("\"not_leader\":null", "\"not_leader\":3", 1);
    assert_eq!(
        different(&text),
        Difference {
            line: 3,
            input: r#"{"propose":[{"client":"ada","serial":1,"text":"too early"}]}"#.to_string(),
            expected: r#"{"not_proposed":{"not_leader":3}}"#.to_string(),
            found: r#"{"not_proposed":{"not_leader":null}}"#.to_string(),
        }
    );
    let text = everything().replacen(
        ",\"output\":{\"not_proposed\":{\"not_leader\":null}}",
        "",
        1,
    );
    assert_eq!(different(&text).expected, "nothing");
    let long = format!("\"not_leader\":\"{}\u{9b}\"", "é".repeat(100_000));
    let text = everything().replacen("\"not_leader\":null", &long, 1);
    let expected = different(&text).expected;
    assert!(
        expected.len() < 3_000 && expected.ends_with(" bytes)"),
        "{expected}"
    );
}

#[test]
fn an_input_that_the_cores_assertions_refuse_is_a_difference() {
    let text = everything();
    let (header, _) = text.split_once('\n').unwrap();
    let snapshot = r#"{"last_index":9,"last_term":1,"configuration":"","data":"x"}"#;
    for input in [
        r#"{"tick":18446744073709551615}}"#.to_string() + "\n" + r#"{"input":{"tick":1}"#,
        format!(r#"{{"compact":{{"snapshot":{snapshot},"keep_from":1}}}}"#),
    ] {
        let found = different(&format!("{header}\n{{\"input\":{input}}}\n")).found;
        assert!(found.starts_with("the core panics: "), "{found}");
    }
}

#[test]
fn no_changed_byte_makes_a_replay_panic() {
    let text = everything();
    for at in 0..text.len() {
        for byte in [b'"', b'9', b'-', b'}', 0, 0xff] {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = byte;
            // A result of any kind will do.
            let _ = replay(&bytes[..]);
        }
    }
}

#[test]
fn a_line_that_cannot_be_written_ends_the_trace_and_not_the_core() {
    /// Takes so many lines.
    struct Few(Memory, usize);

    impl Write for Few {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.1 = self.1.checked_sub(1).ok_or(io::ErrorKind::StorageFull)?;
            self.0.write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    let memory = Memory::default();
    let raft = Raft::new(config(&[1]), HardState::default(), None, Log::default());
    let mut core = Traced::new(raft);
    core.record(Recorder::new(Few(memory.clone(), 2)));
    let _ = core.tick(300);
    for serial in 0..2 {
        let _ = core.propose([command(serial, "attack 1")]);
    }
    assert_eq!(core.log().last_index(), 2);
    drop(core);
    let report = replay(memory.text().as_bytes()).unwrap();
    assert_eq!((report.inputs, report.last_index), (1, 1));
}
