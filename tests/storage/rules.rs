//! What the store does when nothing goes wrong, and what it refuses.

use raftian::storage::{FaultyDisk, Memory, MemoryDisk, RealDisk};

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
