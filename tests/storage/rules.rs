//! What the store does when nothing goes wrong, and what it refuses.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use raftian::command::MAX_TEXT_BYTES;
use raftian::raft::{LogAfterSnapshot, Payload, Save};
use raftian::storage::{
    Disk, FaultyDisk, Identity, Memory, MemoryDisk, OpenError, Options, RealDisk, Recovered,
    SaveError, Storage, Store, segment,
};

use crate::support::*;

#[test]
fn what_was_saved_is_there_after_each_step_of_a_script() {
    let script = script();
    let history = history(&script);
    for steps in 0..=script.len() {
        let disk = finished(&script[..steps]);
        let (_, found) = open(disk.clone()).unwrap();
        assert_is(&found, &history[steps]);
        assert_eq!(found.notes, [""; 0]);
    }
}

#[test]
fn a_script_that_starts_again_after_each_step_ends_the_same() {
    let script = script();
    let disk = FaultyDisk::default();
    let mut state = Memory::default();
    for step in &script {
        let (mut store, found) = open(disk.clone()).unwrap();
        assert_is(&found, &state);
        run(&mut store, step).unwrap();
        state = states(&state, step).last().unwrap().clone();
    }
    assert_is(&open(disk).unwrap().1, &state);
}

#[test]
fn the_real_disk_holds_the_same_bytes_as_the_one_in_memory() {
    let script = script();
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("data/bob2");
    let memory = FaultyDisk::new(MemoryDisk::default());
    for step in &script {
        let (mut store, _) = open(memory.clone()).unwrap();
        run(&mut store, step).unwrap();
        let (mut store, _) = open(RealDisk::open(&path).unwrap()).unwrap();
        run(&mut store, step).unwrap();
    }
    for (name, bytes) in memory.contents() {
        assert_eq!(std::fs::read(path.join(&name)).unwrap(), bytes, "{name}");
    }
    let (_, found) = open(RealDisk::open(&path).unwrap()).unwrap();
    assert_is(&found, history(&script).last().unwrap());
}

/// A folder with three batches of records in one segment, the last of several records, not marked.
fn three_batches() -> FaultyDisk {
    let disk = FaultyDisk::default();
    let (mut store, _) = open_long(disk.clone()).unwrap();
    for save in [
        save_state(1, None),
        save_entries(1, &[1, 1]),
        save_entries(3, &[1; 8]),
        save_entries(11, &[1; 12]),
    ] {
        store.save_all(&mut vec![save]).unwrap();
    }
    disk
}

fn open_long(disk: impl Disk + 'static) -> Result<(Store, Recovered), OpenError> {
    let options = Options {
        segment_bytes: 8192,
        ..options()
    };
    Store::open(disk, &identity(), options, as_snapshot)
}

const FIRST: &str = "log-0000000000000001";

/// Where each record of a segment begins and ends.
fn records(disk: &FaultyDisk, name: &str) -> Vec<(usize, usize)> {
    let segment = segment::parse(&disk.contents()[name]).unwrap();
    let ends: Vec<usize> = segment.records.iter().map(|(end, _)| *end).collect();
    let starts = std::iter::once(segment.start).chain(ends.iter().copied());
    starts.zip(ends.clone()).collect()
}

fn changed(disk: &FaultyDisk, name: &str, change: impl FnOnce(&mut Vec<u8>)) -> FaultyDisk {
    let mut bytes = disk.contents()[name].clone();
    change(&mut bytes);
    let mut disk = disk.disk();
    disk.set(name, bytes);
    FaultyDisk::new(disk)
}

/// The one line that says why a folder is not opened, having left it as it was.
#[track_caller]
fn refused(disk: &FaultyDisk) -> String {
    let before = disk.contents();
    let error = open_long(disk.clone())
        .err()
        .expect("it is refused")
        .to_string();
    assert_eq!(
        disk.contents(),
        before,
        "a folder that is refused is left alone"
    );
    assert_eq!(error.lines().count(), 1, "{error}");
    error
}

#[test]
fn a_torn_tail_is_cut_kept_aside_and_told() {
    let disk = three_batches();
    let (start, end) = records(&disk, FIRST)[21];
    let torn = changed(&disk, FIRST, |bytes| bytes[start + 9..end].fill(0));
    let (_, found) = open_long(torn.clone()).unwrap();
    assert_eq!(found.log.last_index(), 21);
    let [note] = &found.notes[..] else {
        panic!("{:?}", found.notes);
    };
    let told = format!("9 bytes from byte {start} on are now in {FIRST}.broken");
    assert!(note.contains(&told), "{note}");
    let contents = torn.contents();
    let kept = &contents[&format!("{FIRST}.broken")];
    assert_eq!(kept[..], disk.contents()[FIRST][start..start + 9]);
    assert!(contents[FIRST][start..].iter().all(|&byte| byte == 0));

    // The next one is kept beside it.
    torn.kill();
    let again = changed(&torn, FIRST, |bytes| bytes[start..start + 3].fill(b'7'));
    open_long(again.clone()).unwrap();
    assert_eq!(again.contents()[&format!("{FIRST}.broken.1")], b"777");
    again.kill();
    assert_eq!(open_long(again).unwrap().1.notes, [""; 0]);
}

#[test]
fn a_bad_record_with_whole_ones_behind_it_is_corruption_even_in_the_last_batch() {
    let disk = three_batches();
    let records = records(&disk, FIRST);
    for &(start, end) in &records[..records.len() - 1] {
        for at in [start, (start + end) / 2, end - 1] {
            let damaged = changed(&disk, FIRST, |bytes| bytes[at] ^= 1);
            let error = refused(&damaged);
            let place = format!("{FIRST}: damaged at byte {start}: ");
            assert!(error.starts_with(&place), "{error}");
        }
    }
}

#[test]
fn a_sector_that_was_lost_is_a_torn_tail_in_the_last_batch_and_corruption_before_it() {
    let disk = three_batches();
    let records = records(&disk, FIRST);
    let last_batch = records[10].0;
    let (mut cut, mut damaged) = (0, 0);
    for sector in 1..records.last().unwrap().1 / 512 {
        let lost = changed(&disk, FIRST, |bytes| {
            bytes[512 * sector..512 * (sector + 1)].fill(0);
        });
        // A sector that holds the end of one batch and the beginning of the next had been written
        // with the first: that its bytes are gone is damage.
        if 512 * sector < last_batch {
            refused(&lost);
            damaged += 1;
        } else {
            let (_, found) = open_long(lost).unwrap();
            let whole = records
                .iter()
                .filter(|(_, end)| *end <= 512 * sector)
                .count();
            assert_eq!(found.log.last_index(), whole as u64);
            assert_eq!(found.notes.len(), 1);
            cut += 1;
        }
    }
    assert!(cut > 0 && damaged > 0, "{cut} {damaged}");
}

#[test]
fn damage_at_or_below_the_mark_is_corruption_and_idle_moves_the_mark() {
    let disk = three_batches();
    let (start, end) = *records(&disk, FIRST).last().unwrap();
    let flip = |bytes: &mut Vec<u8>| bytes[start + 1] ^= 1;
    assert!(open_long(changed(&disk, FIRST, flip)).is_ok());
    disk.kill();
    let (mut store, _) = open_long(disk.clone()).unwrap();
    let unjudged = |store: &Store| store.unjudged()[0].clone();
    assert!(unjudged(&store).1.contains(&(start as u64)));
    store.idle().unwrap();
    assert_eq!(unjudged(&store).1.start, end as u64);
    refused(&changed(&disk, FIRST, flip));
    // Nor is it a torn tail when the mark goes too, as long as one byte of a later batch is there.
    drop(store);
    let (_, found) = open_long(disk).unwrap();
    assert_eq!(found.notes, [""; 0]);
}

#[test]
fn nothing_is_written_when_nothing_has_changed() {
    let disk = three_batches();
    disk.kill();
    let (mut store, _) = open_long(disk.clone()).unwrap();
    store.idle().unwrap();
    let operations = disk.operations();
    let (term, vote) = (
        store.hard_state().current_term,
        store.hard_state().voted_for,
    );
    store.idle().unwrap();
    store.save_all(&mut Vec::new()).unwrap();
    store.save_all(&mut vec![save_state(term, vote)]).unwrap();
    store.idle().unwrap();
    assert_eq!(disk.operations(), operations);
    drop(store);
    let (mut store, _) = open_long(disk.clone()).unwrap();
    let operations = disk.operations();
    store.idle().unwrap();
    assert_eq!(
        disk.operations(),
        operations,
        "a start does not undo the mark"
    );
    store.save_all(&mut vec![save_entries(23, &[1])]).unwrap();
    let operations = disk.operations();
    store.close().unwrap();
    assert_eq!(disk.operations(), operations + 2);
}

#[test]
fn a_broken_chain_is_corruption() {
    // Two logs that differ in an early entry: the end of one does not follow from the other's.
    let log = |text: &str| {
        let disk = FaultyDisk::default();
        let (mut store, _) = open_long(disk.clone()).unwrap();
        let mut first = save_entries(1, &[1]);
        let command = raftian::command::Command::new("c", 1, text).unwrap();
        first.entries[0].payload = Payload::Command(command.into());
        let mut saves = vec![save_state(1, None), first];
        store.save_all(&mut saves).unwrap();
        store.save_all(&mut vec![save_entries(2, &[1])]).unwrap();
        disk
    };
    let (one, other) = (log("attack 1"), log("attack 2"));
    let (start, end) = records(&one, FIRST)[1];
    let spliced = changed(&one, FIRST, |bytes| {
        bytes[start..end].copy_from_slice(&other.contents()[FIRST][start..end]);
    });
    let error = refused(&spliced);
    let place = format!("{FIRST}: damaged at byte {start}: its digest does not follow");
    assert!(error.starts_with(&place), "{error}");
}

#[test]
fn a_missing_segment_or_snapshot_is_corruption() {
    let script = script();
    // At this point there are several segments, and the first ones are gone.
    let disk = finished(&script[..11]);
    let names: Vec<String> = disk.contents().into_keys().collect();
    let logs: Vec<&String> = names
        .iter()
        .filter(|name| name.starts_with("log-"))
        .collect();
    assert!(logs.len() >= 2, "{names:?}");
    let state = history(&script)[11].clone();
    for name in names
        .iter()
        .filter(|name| *name != "lock" && *name != logs[logs.len() - 1])
    {
        let mut without = disk.disk();
        without.remove(name).unwrap();
        let without = FaultyDisk::new(without);
        let before = without.contents();
        match open(without.clone()) {
            // What the snapshot covers is not missed.
            Ok((_, found)) => assert!(is(&found, &state), "{name}: {found:#?}"),
            Err(error) => {
                assert_eq!(without.contents(), before, "{name}");
                let no_state = matches!(error, OpenError::NoHardState { .. });
                assert_eq!(no_state, name == "hard-state", "{name}: {error}");
            }
        }
    }
    let mut bare = MemoryDisk::default();
    bare.set("hard-state", disk.contents()["hard-state"].clone());
    assert!(refused(&FaultyDisk::new(bare)).contains("the log is missing"));
}

#[test]
fn a_log_or_a_snapshot_without_term_and_vote_is_refused() {
    let disk = finished(&script());
    for keep in ["log-", "snapshot-"] {
        let mut without = MemoryDisk::default();
        for (name, bytes) in disk.contents() {
            if name.starts_with(keep) {
                without.set(&name, bytes);
            }
        }
        let error = refused(&FaultyDisk::new(without));
        assert!(
            error.starts_with("hard-state: missing beside a log, "),
            "{error}"
        );
    }
}

#[test]
fn a_term_that_is_lower_than_an_entrys_is_corruption() {
    let disk = finished(&script());
    let young = finished(&script()[..2]);
    let old = changed(&disk, "hard-state", |bytes| {
        *bytes = young.contents()["hard-state"].clone();
    });
    let error = refused(&old);
    assert!(error.contains("the current term is 1"), "{error}");
}

#[test]
fn the_data_of_another_cluster_or_node_is_refused_and_left_alone() {
    let disk = finished(&script());
    disk.kill();
    let before = disk.contents();
    let error = |cluster: &str, node| {
        let identity = Identity {
            cluster: cluster.to_string(),
            node,
        };
        let opened = Store::open(disk.clone(), &identity, options(), as_snapshot);
        assert_eq!(disk.contents(), before);
        opened.err().unwrap().to_string()
    };
    assert_eq!(
        error("lan", 2),
        "hard-state: this is the data of cluster \"local\", not of \"lan\": give each cluster its \
         own data folder"
    );
    assert_eq!(
        error("local", 3),
        "hard-state: this is the data of node 2, not of node 3: give each node its own data folder"
    );
    // One foreign segment is as bad.
    let foreign = FaultyDisk::default();
    let identity = Identity {
        cluster: "local".to_string(),
        node: 3,
    };
    Store::open(foreign.clone(), &identity, options(), as_snapshot).unwrap();
    let mixed = changed(&three_batches(), FIRST, |bytes| {
        *bytes = foreign.contents()[FIRST].clone();
    });
    assert!(refused(&mixed).starts_with("log-0000000000000001: this is the data of node 3"));
}

#[test]
fn a_newer_format_is_refused_and_left_alone() {
    for name in ["hard-state", FIRST] {
        let newer = changed(&three_batches(), name, |bytes| {
            let at = bytes.iter().position(|&byte| byte == b'\t').unwrap() + 1;
            bytes.splice(at..at + 1, *b"12");
        });
        assert_eq!(
            refused(&newer),
            format!(
                "{name}: format 12 is newer than this program, which knows format 1: use a newer \
                 raftian"
            )
        );
    }
}

#[test]
fn a_snapshot_that_is_not_whole_is_corruption_and_no_earlier_one_takes_its_place() {
    let disk = finished(&script()[..9]);
    let name = "snapshot-00000000000000000007-2.json";
    let mut two = disk.disk();
    let whole = disk.contents()[name].clone();
    two.set(
        "snapshot-00000000000000000006-2.json",
        snapshot(6, 2).data.to_vec(),
    );
    two.set(name, whole[..whole.len() / 2].to_vec());
    let error = refused(&FaultyDisk::new(two.clone()));
    assert!(
        error.starts_with(&format!("{name}: damaged at byte 0: the snapshot")),
        "{error}"
    );
    two.set(name, whole);
    let two = FaultyDisk::new(two);
    let (_, found) = open(two.clone()).unwrap();
    assert_eq!(found.snapshot, Some(snapshot(7, 2)));
    let left: Vec<String> = two.contents().into_keys().collect();
    assert_eq!(
        left.iter().filter(|name| name.starts_with("snap")).count(),
        1,
        "{left:?}"
    );
}

#[test]
fn unfinished_files_are_removed_and_those_of_others_are_not() {
    let mut disk = three_batches().disk();
    for name in [
        "log-0000000000000002.tmp",
        "hard-state.tmp",
        "snapshot-00000000000000000007-2.json.tmp",
        "log-0000000000000001.broken.tmp",
        "notes.tmp",
        "log-1",
    ] {
        disk.set(name, b"half".to_vec());
    }
    let disk = FaultyDisk::new(disk);
    open_long(disk.clone()).unwrap();
    let left: Vec<String> = disk.contents().into_keys().collect();
    assert_eq!(left, ["hard-state", FIRST, "log-1", "notes.tmp"]);
}

#[test]
fn a_lock_keeps_a_second_one_off() {
    let dir = tempfile::tempdir().unwrap();
    let (store, _) = open(RealDisk::open(dir.path()).unwrap()).unwrap();
    let error = open(RealDisk::open(dir.path()).unwrap()).err().unwrap();
    assert!(matches!(error, OpenError::Locked { .. }), "{error}");
    assert!(
        error
            .to_string()
            .starts_with(&*dir.path().to_string_lossy()),
        "{error}"
    );
    drop(store);
    open(RealDisk::open(dir.path()).unwrap()).unwrap();

    let disk = FaultyDisk::default();
    let (store, _) = open(disk.clone()).unwrap();
    assert!(matches!(open(disk.clone()), Err(OpenError::Locked { .. })));
    drop(store);
    open(disk).unwrap();
}

#[test]
fn an_entry_longer_than_a_segment_gets_a_segment_of_its_own_length() {
    let disk = FaultyDisk::default();
    let (mut store, _) = open(disk.clone()).unwrap();
    let mut save = save_entries(1, &[1, 1, 1]);
    for (entry, length) in save
        .entries
        .iter_mut()
        .zip([SEGMENT as usize, MAX_TEXT_BYTES, 10])
    {
        let command = raftian::command::Command::new("c", 1, "\u{1b}".repeat(length)).unwrap();
        entry.payload = Payload::Command(command.into());
    }
    let mut saves = vec![save_state(1, None), save.clone()];
    store.save_all(&mut saves).unwrap();
    store.close().unwrap();
    let (_, found) = open(disk.clone()).unwrap();
    assert_eq!(found.log.from(1), save.entries);
    let lengths: Vec<usize> = (1..=4)
        .map(|number| disk.contents()[&format!("log-{number:016}")].len())
        .collect();
    assert_eq!(
        (lengths[0], lengths[3]),
        (SEGMENT as usize, SEGMENT as usize)
    );
    assert!(lengths[1] > 6 * SEGMENT as usize && lengths[2] > 6 * MAX_TEXT_BYTES);
}

#[test]
fn old_segments_go_when_a_snapshot_covers_them_and_the_log_that_is_kept_stays() {
    let disk = FaultyDisk::default();
    let (mut store, _) = open(disk.clone()).unwrap();
    store.save_all(&mut vec![save_state(1, None)]).unwrap();
    for index in 1..=40 {
        store
            .save_all(&mut vec![save_entries(index, &[1])])
            .unwrap();
    }
    let count = || {
        disk.contents()
            .keys()
            .filter(|name| name.starts_with("log-"))
            .count()
    };
    let before = count();
    let keep = LogAfterSnapshot::KeepFrom(30);
    store
        .save_all(&mut vec![save_snapshot(38, 1, keep)])
        .unwrap();
    assert!(count() <= before / 2, "{before} {}", count());
    assert_eq!(
        (store.term_at(1), store.term_at(29), store.last_index()),
        (None, Some(1), 40)
    );
    drop(store);
    let (_, found) = open(disk.clone()).unwrap();
    assert!(found.log.base_index() < 30 && found.log.base_index() > 20);
    assert_eq!(found.log.last_index(), 40);
}

/// Writes down what it is asked to do.
struct Recording {
    disk: FaultyDisk,
    trace: Arc<Mutex<Vec<String>>>,
    /// Whether there is no room, not even where bytes are already.
    full: Arc<AtomicBool>,
}

impl Recording {
    fn new() -> (Recording, Arc<Mutex<Vec<String>>>) {
        let trace = Arc::new(Mutex::new(Vec::new()));
        let recording = Recording {
            disk: FaultyDisk::default(),
            trace: trace.clone(),
            full: Arc::default(),
        };
        (recording, trace)
    }

    fn told(&mut self, what: String) -> &mut FaultyDisk {
        self.trace.lock().unwrap().push(what);
        &mut self.disk
    }
}

impl Disk for Recording {
    fn lock(&mut self) -> io::Result<bool> {
        self.disk.lock()
    }
    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }
    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.disk.read(name)
    }
    fn create(&mut self, name: &str) -> io::Result<()> {
        self.told(format!("create {name}")).create(name)
    }
    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        self.told(format!("append {name}")).append(name, bytes)
    }
    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        if self.full.load(Ordering::Relaxed) {
            let half = &bytes[..bytes.len() / 2];
            self.told(format!("write half {name}"))
                .write_at(name, offset, half)?;
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.told(format!("write {name}"))
            .write_at(name, offset, bytes)
    }
    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.told(format!("sync {name}")).sync(name)
    }
    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        self.told(format!("rename {from} {to}")).rename(from, to)
    }
    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.told(format!("remove {name}")).remove(name)
    }
    fn sync_dir(&mut self) -> io::Result<()> {
        self.told("sync directory".to_string()).sync_dir()
    }
}

#[test]
fn the_directory_is_synced_after_each_create_rename_and_remove() {
    let (disk, trace) = Recording::new();
    let (mut store, _) = open(disk).unwrap();
    for step in script() {
        run(&mut store, &step).unwrap();
    }
    let trace = trace.lock().unwrap().clone();
    let changes = ["create", "rename", "remove"];
    let mut count = 0;
    for (now, next) in trace.iter().zip(&trace[1..]) {
        if changes.iter().any(|change| now.starts_with(change)) {
            assert_eq!(next, "sync directory", "after {now}");
            count += 1;
        }
    }
    assert!(count > 20);
    // And a file is synced before it gets its name.
    for (position, rename) in trace.iter().enumerate() {
        if let Some(names) = rename.strip_prefix("rename ") {
            let from = names.split(' ').next().unwrap();
            assert_eq!(trace[position - 1], format!("sync {from}"));
        }
    }
}

#[test]
fn a_segment_is_removed_only_after_the_snapshot_is_safe() {
    let (disk, trace) = Recording::new();
    let (mut store, _) = open_with(disk, options());
    store.save_all(&mut vec![save_state(1, None)]).unwrap();
    store
        .save_all(&mut vec![save_entries(1, &[1; 30])])
        .unwrap();
    trace.lock().unwrap().clear();
    let keep = LogAfterSnapshot::KeepFrom(31);
    store
        .save_all(&mut vec![save_snapshot(30, 1, keep)])
        .unwrap();
    let name = "snapshot-00000000000000000030-1.json";
    let safe = [
        format!("create {name}.tmp"),
        "sync directory".to_string(),
        format!("append {name}.tmp"),
        format!("sync {name}.tmp"),
        format!("rename {name}.tmp {name}"),
        "sync directory".to_string(),
        format!("remove {FIRST}"),
    ];
    assert_eq!(trace.lock().unwrap()[..safe.len()], safe);
}

fn open_with(disk: impl Disk + 'static, options: Options) -> (Store, Recovered) {
    Store::open(disk, &identity(), options, as_snapshot).unwrap()
}

#[test]
fn a_batch_is_one_write_and_one_sync_and_term_and_vote_come_first() {
    let (disk, trace) = Recording::new();
    let long = Options {
        segment_bytes: 1 << 16,
        ..options()
    };
    let (mut store, _) = open_with(disk, long);
    trace.lock().unwrap().clear();
    let mut saves: Vec<Save> = (0..20)
        .map(|number| Save {
            hard_state: Some(hard(1 + number, None)),
            ..save_entries(1 + 3 * number, &[1 + number; 3])
        })
        .collect();
    store.save_all(&mut saves).unwrap();
    let log = [format!("write {FIRST}"), format!("sync {FIRST}")];
    let state = ["write hard-state", "write hard-state", "sync hard-state"];
    let all: Vec<&str> = state
        .iter()
        .copied()
        .chain(log.iter().map(String::as_str))
        .collect();
    assert_eq!(*trace.lock().unwrap(), all);

    trace.lock().unwrap().clear();
    store.save_all(&mut vec![save_entries(61, &[20])]).unwrap();
    assert_eq!(*trace.lock().unwrap(), log);
}

#[test]
fn without_fsync_nothing_is_synced_and_all_else_is_the_same() {
    let lazy = Options {
        fsync: false,
        ..options()
    };
    let (disk, trace) = Recording::new();
    let (mut store, _) = open_with(disk, lazy);
    let same = FaultyDisk::default();
    let (mut lazy_store, _) = open_with(same.clone(), lazy);
    for step in script() {
        run(&mut store, &step).unwrap();
        run(&mut lazy_store, &step).unwrap();
    }
    assert!(
        !trace
            .lock()
            .unwrap()
            .iter()
            .any(|what| what.contains("sync"))
    );
    assert_eq!(same.contents(), finished(&script()).contents());
    same.kill();
    let (_, found) = open(same).unwrap();
    assert_is(&found, history(&script()).last().unwrap());
}

#[test]
fn a_damaged_copy_of_term_and_vote_is_told_and_written_again_and_two_are_refused() {
    let disk = three_batches();
    for copy in 1..=4 {
        let damaged = changed(&disk, "hard-state", |bytes| bytes[4096 * copy] ^= 1);
        let (_, found) = open_long(damaged.clone()).unwrap();
        assert_eq!(found.hard_state, hard(1, None));
        assert_eq!(found.notes.len(), 1, "{:?}", found.notes);
        damaged.kill();
        assert_eq!(open_long(damaged).unwrap().1.notes, [""; 0]);
    }
    for slot in [1, 3] {
        let damaged = changed(&disk, "hard-state", |bytes| {
            bytes[4096 * slot] ^= 1;
            bytes[4096 * (slot + 1)] ^= 1;
        });
        refused(&damaged);
    }
}

#[test]
fn a_disk_that_has_no_room_even_in_place_refuses_and_loses_nothing() {
    let (recording, _) = Recording::new();
    let (disk, full) = (recording.disk.clone(), recording.full.clone());
    let (mut store, _) = open(recording).unwrap();
    let both = |state: Save, entries: Save| Save {
        hard_state: state.hard_state,
        ..entries
    };
    let first = both(save_state(1, None), save_entries(1, &[1, 1, 1]));
    store.save_all(&mut vec![first.clone()]).unwrap();

    // Entries that replace others, in the same batch, and enough for several segments.
    let mut saves = vec![
        save_entries(4, &[1; 9]),
        save_entries(6, &[2; 12]),
        save_snapshot(7, 2, LogAfterSnapshot::KeepFrom(5)),
        save_entries(18, &[2]),
    ];
    saves[1].hard_state = Some(hard(2, Some(3)));
    let mut state = Memory::default();
    state.save(first);
    let states = states(&state, &Step::Save(saves.clone()));

    full.store(true, Ordering::Relaxed);
    for _ in 0..2 {
        assert!(matches!(
            store.save_all(&mut saves),
            Err(SaveError::Full(_))
        ));
        assert_eq!((saves.len(), store.hard_state()), (4, hard(1, None)));
    }
    full.store(false, Ordering::Relaxed);
    // Term and vote fit again, and then no entry.
    saves[1].hard_state = None;
    store.save_all(&mut vec![save_state(2, Some(3))]).unwrap();
    full.store(true, Ordering::Relaxed);
    for seed in 0..20 {
        assert!(matches!(
            store.save_all(&mut saves),
            Err(SaveError::Full(_))
        ));
        let copy = FaultyDisk::new(disk.disk());
        copy.crash(&mut rng(seed));
        assert_one_of(&open(copy).unwrap().1, &states[1..], "");
    }
    full.store(false, Ordering::Relaxed);
    store.save_all(&mut saves).unwrap();
    assert!(saves.is_empty());
    drop(store);
    disk.kill();
    assert_is(&open(disk).unwrap().1, states.last().unwrap());
}

#[test]
fn anything_behind_the_records_of_a_segment_that_another_follows_is_corruption() {
    let disk = finished(&script()[..6]);
    let length = disk.contents()[FIRST].len();
    for at in [length - 1, records(&disk, FIRST).last().unwrap().1] {
        let error = refused(&changed(&disk, FIRST, |bytes| bytes[at] = b'x'));
        assert!(error.contains("and a segment follows"), "{error}");
    }
}

#[test]
fn a_crash_while_a_damaged_copy_of_term_and_vote_is_written_again_spoils_no_second_one() {
    let disk = three_batches();
    for copy in 1..=4 {
        let damaged = changed(&disk, "hard-state", |bytes| bytes[4096 * copy] ^= 1);
        for at in 0..24 {
            for seed in 0..24 {
                let disk = FaultyDisk::new(damaged.disk());
                disk.plan(stop_at(at));
                let _ = open_long(disk.clone());
                disk.plan(None);
                disk.crash(&mut rng(seed));
                let (_, found) = open_long(disk).unwrap();
                assert_eq!(found.hard_state, hard(1, None));
            }
        }
    }
}
