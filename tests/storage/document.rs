//! docs/STORAGE.md shows files as they are, and `raftian inspect` prints them.

use std::path::Path;
use std::process::{Command, Output};

use raftian::application::Application;
use raftian::command;
use raftian::game::Game;
use raftian::machine::Machine;
use raftian::raft::{
    Configuration, Entry, HardState, LogAfterSnapshot, Member, Payload, Save, SaveSnapshot,
    Standing,
};
use raftian::snapshot::Document;
use raftian::storage::{Identity, Options, RealDisk, Storage, Store};

fn example(dir: &Path) {
    let identity = Identity {
        cluster: "local".to_string(),
        node: 1,
    };
    let disk = RealDisk::open(dir).unwrap();
    let (mut store, _) =
        Store::open(disk, &identity, Options::default(), Document::read_snapshot).unwrap();
    let entry = |index, term, text: &str| Entry {
        index,
        term,
        payload: match text {
            "" => Payload::Noop,
            text => Payload::Command(command::Command::new("bob1-5", index, text).unwrap().into()),
        },
    };
    let save = |current_term, voted_for, entries| Save {
        hard_state: Some(HardState {
            current_term,
            voted_for,
        }),
        entries,
        ..Save::default()
    };
    let first = vec![entry(1, 1, ""), entry(2, 1, "attack 3")];
    let players = (1..=3).map(|id| (id, format!("bob{id}")));
    let mut machine = Machine::new(Application::from(Game::new(players)));
    for entry in &first {
        let _ = machine.apply(entry);
    }
    store.save_all(&mut vec![save(1, Some(1), first)]).unwrap();
    let second = vec![entry(3, 1, "attack\n3")];
    store.save_all(&mut vec![save(1, Some(1), second)]).unwrap();
    store.idle().unwrap();
    // Another leader's entry takes the place of the last one.
    let third = vec![entry(3, 2, "")];
    store.save_all(&mut vec![save(2, None, third)]).unwrap();
    let member = |id| {
        let member = Member {
            name: format!("bob{id}"),
            address: format!("127.0.0.1:{}", 8000 + id),
            standing: Standing::Voter,
        };
        (id, member)
    };
    let members = Configuration::new((1..=3).map(member).collect()).unwrap();
    let snapshot = Document::of(&machine, 1, members.into()).snapshot();
    let log = LogAfterSnapshot::KeepFrom(3);
    store
        .save_all(&mut vec![Save {
            snapshot: Some(SaveSnapshot { snapshot, log }),
            ..Save::default()
        }])
        .unwrap();
}

fn inspect(folder: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_raftian"))
        .arg("inspect")
        .args(arguments)
        .current_dir(folder)
        .output()
        .unwrap()
}

/// The file's lines, without the zeros.
fn lines(path: &Path) -> String {
    let mut bytes = std::fs::read(path).unwrap();
    bytes.retain(|&byte| byte != 0);
    String::from_utf8(bytes).unwrap()
}

#[test]
fn the_document_shows_files_as_they_are() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data/bob1");
    example(&dir);
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/STORAGE.md");
    let document = std::fs::read_to_string(document).unwrap();
    let printed = inspect(folder.path(), &["data/bob1"]);
    assert!(printed.status.success());
    for block in [
        lines(&dir.join("log-0000000000000001")),
        lines(&dir.join("hard-state")),
        lines(&dir.join("snapshot-00000000000000000002-1.json")),
        String::from_utf8(printed.stdout).unwrap(),
    ] {
        assert!(document.contains(&block), "STORAGE.md lacks this:\n{block}");
    }
}

#[test]
fn inspect_changes_nothing_names_damage_and_ends_with_1() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("data/bob1");
    example(&dir);
    let log = dir.join("log-0000000000000001");
    let mut bytes = std::fs::read(&log).unwrap();
    bytes[200] ^= 1;
    std::fs::write(&log, &bytes).unwrap();
    let printed = inspect(folder.path(), &["data/bob1"]);
    assert_eq!(printed.status.code(), Some(1));
    let error = String::from_utf8(printed.stderr).unwrap();
    let place = "raftian: data/bob1/log-0000000000000001: damaged at byte ";
    assert!(
        error.starts_with(place) && error.lines().count() == 1,
        "{error}"
    );
    assert_eq!(std::fs::read(&log).unwrap(), bytes);

    // A torn tail is no damage, and is not cut by looking at it.
    bytes[200] ^= 1;
    let end = bytes.iter().rposition(|&byte| byte != 0).unwrap();
    bytes[end] = 0;
    std::fs::write(&log, &bytes).unwrap();
    let printed = inspect(folder.path(), &["data/bob1", "--tail", "1"]);
    assert_eq!(printed.status.code(), Some(0));
    let text = String::from_utf8(printed.stdout).unwrap();
    assert!(
        text.contains("torn tail at byte ") && text.ends_with("\nok\n"),
        "{text}"
    );
    let records = text.lines().skip_while(|line| !line.starts_with("INDEX"));
    assert_eq!(
        records.take_while(|line| !line.is_empty()).count(),
        2,
        "{text}"
    );
    assert_eq!(std::fs::read(&log).unwrap(), bytes);
}

#[test]
fn inspect_reads_the_folder_of_a_node_that_runs() {
    let folder = tempfile::tempdir().unwrap();
    let identity = Identity {
        cluster: "local".to_string(),
        node: 1,
    };
    let disk = RealDisk::open(folder.path()).unwrap();
    let _running =
        Store::open(disk, &identity, Options::default(), Document::read_snapshot).unwrap();
    let printed = inspect(folder.path(), &["."]);
    assert!(printed.status.success(), "{printed:?}");
}

#[test]
fn inspect_says_which_folder_to_give() {
    let folder = tempfile::tempdir().unwrap();
    for dir in [".", "nowhere"] {
        let printed = inspect(folder.path(), &[dir]);
        assert_eq!(printed.status.code(), Some(1));
        let error = String::from_utf8(printed.stderr).unwrap();
        let wanted = "holds no node's data: give a folder such as data/bob1\n";
        assert_eq!(error, format!("raftian: {dir} {wanted}"));
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
