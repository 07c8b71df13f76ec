//! Every fault at every place, and after each the question what is left.

use proptest::prelude::*;
use raftian::raft::{LogAfterSnapshot, Save};
use raftian::storage::{
    Fault, FaultyDisk, Memory, OpenError, Plan, Recovered, SaveError, Storage, Store,
};

use crate::support::*;

/// Opens, and goes on to live: what was found survives a crash right after, and one more entry is
/// added to it.
#[track_caller]
fn opens(disk: &FaultyDisk, seed: u64, context: &str) -> Recovered {
    let must_open = |disk: &FaultyDisk| {
        let opened = open(disk.clone());
        opened.unwrap_or_else(|error| panic!("{context}: {error}"))
    };
    let (_, found) = must_open(disk);
    disk.crash(&mut rng(seed));
    let (mut store, again) = must_open(disk);
    let same = |a: &Recovered, b: &Recovered| {
        (a.hard_state, &a.snapshot, &a.log) == (b.hard_state, &b.snapshot, &b.log)
    };
    assert!(
        same(&found, &again),
        "{context}: {found:#?}\nthen {again:#?}"
    );
    let (index, term) = (again.log.last_index() + 1, again.hard_state.current_term);
    if term > 0 {
        let mut saves = vec![save_entries(index, &[term])];
        store.save_all(&mut saves).unwrap();
        drop(store);
        disk.crash(&mut rng(seed));
        let (_, longer) = must_open(disk);
        assert_eq!(longer.log.last_index(), index, "{context}");
        assert_eq!(
            longer.log.get(index),
            Some(&entry(index, term)),
            "{context}"
        );
    }
    found
}

#[test]
fn a_crash_at_every_operation_loses_nothing_that_was_promised() {
    let script = script();
    let operations = finished(&script).operations();
    for at in 0..operations {
        for seed in 0..12 {
            let disk = FaultyDisk::default();
            disk.plan(stop_at(at));
            let allowed = run_until_fault(&disk, &script);
            match seed {
                0 => disk.kill(),
                seed => disk.crash(&mut rng(seed)),
            }
            let context = format!("stopped at operation {at}, seed {seed}");
            assert_one_of(&opens(&disk, seed, &context), &allowed, &context);
        }
    }
}

#[test]
fn a_crash_at_every_operation_of_the_recovery_from_a_crash_loses_nothing_either() {
    let script = script();
    let operations = finished(&script).operations();
    for at in 0..operations {
        for seed in 0..4 {
            let disk = FaultyDisk::default();
            disk.plan(stop_at(at));
            let allowed = run_until_fault(&disk, &script);
            match seed {
                0 | 1 => disk.kill(),
                seed => disk.crash(&mut rng(seed)),
            }
            for recovery in 0.. {
                let context = format!("stopped at {at} and {recovery}, seed {seed}");
                let again = FaultyDisk::new(disk.disk());
                again.plan(stop_at(recovery));
                let ended = open(again.clone()).is_ok();
                again.plan(None);
                match seed {
                    3 => again.kill(),
                    seed => again.crash(&mut rng(seed + recovery as u64)),
                }
                assert_one_of(&opens(&again, seed, &context), &allowed, &context);
                if ended {
                    break;
                }
            }
        }
    }
}

#[test]
fn an_error_at_every_operation_ends_the_store_and_loses_nothing_that_was_promised() {
    let script = script();
    let operations = finished(&script).operations();
    for at in 0..operations {
        let context = format!("an error at operation {at}");
        let disk = FaultyDisk::default();
        let fault = Fault::Error;
        disk.plan(Some(Plan { at, fault }));
        let mut allowed = vec![Memory::default()];
        match open(disk.clone()) {
            Err(error) => assert!(matches!(error, OpenError::Io(_)), "{context}: {error}"),
            Ok((mut store, _)) => {
                let (failed, error, states) = fails(&mut store, &script);
                assert!(matches!(error, SaveError::Failed(_)), "{context}: {error}");
                assert!(failed < script.len());
                // The disk would do, and the store does not trust it.
                let poisoned = Err(error);
                assert_eq!(store.idle(), poisoned, "{context}");
                let mut saves = vec![save_state(99, None)];
                assert_eq!(store.save_all(&mut saves), poisoned, "{context}");
                assert_eq!(saves.len(), 1);
                allowed = states;
            }
        }
        disk.kill();
        assert_one_of(&opens(&disk, at as u64, &context), &allowed, &context);
    }
}

/// The step of the script that fails, how, and the states through which it goes.
fn fails(store: &mut Store, script: &[Step]) -> (usize, SaveError, Vec<Memory>) {
    let mut before = Memory::default();
    for (position, step) in script.iter().enumerate() {
        let states = states(&before, step);
        if let Err(error) = run(store, step) {
            return (position, error, states);
        }
        before = states.last().unwrap().clone();
    }
    panic!("nothing failed");
}

#[test]
fn an_error_at_every_operation_of_a_start_is_told_and_leaves_a_folder_that_opens() {
    let script = script();
    for steps in [3, 7, 13, script.len()] {
        let state = history(&script)[steps].clone();
        let finished = finished(&script[..steps]);
        for at in 0.. {
            let context = format!("after {steps} steps, an error at operation {at}");
            let disk = FaultyDisk::new(finished.disk());
            let fault = Fault::Error;
            disk.plan(Some(Plan { at, fault }));
            match open(disk.clone()) {
                Ok(_) => break,
                Err(error) => assert!(matches!(error, OpenError::Io(_)), "{context}: {error}"),
            }
            disk.kill();
            assert!(is(&opens(&disk, 1, &context), &state), "{context}");
        }
    }
}

#[test]
fn a_disk_that_is_full_at_any_byte_refuses_keeps_term_and_vote_and_goes_on_when_there_is_room() {
    let script = script();
    let all: usize = finished(&script).contents().values().map(Vec::len).sum();
    let mut refused = 0;
    for room in (0..2 * all as u64).step_by(41) {
        let context = format!("room for {room} bytes");
        let disk = FaultyDisk::default();
        let fault = Fault::Full(room);
        disk.plan(Some(Plan { at: 0, fault }));
        let mut opened = open(disk.clone());
        if let Err(error) = opened {
            assert!(matches!(error, OpenError::Full(_)), "{context}: {error}");
            disk.plan(None);
            opened = open(disk.clone());
        }
        let (mut store, _) = opened.unwrap();
        let mut before = Memory::default();
        for step in &script {
            let states = states(&before, step);
            before = states.last().unwrap().clone();
            let Step::Save(saves) = step else {
                store.idle().unwrap();
                continue;
            };
            let mut saves = saves.clone();
            if let Err(error) = store.save_all(&mut saves) {
                refused += 1;
                assert!(matches!(error, SaveError::Full(_)), "{context}: {error}");
                assert!(saves.iter().all(|save| save.hard_state.is_none()));
                assert!(!saves.is_empty(), "{context}");
                let left = disk.contents();
                assert!(!left.keys().any(|name| name.ends_with(".tmp")), "{context}");
                // A copy that crashes now has the new term and vote, and nothing is lost.
                let copy = FaultyDisk::new(disk.disk());
                copy.crash(&mut rng(room));
                let found = opens(&copy, room, &context);
                assert_one_of(&found, &states[1..], &context);
                // What it says is durable is what it has.
                assert_eq!(store.last_index(), found.log.last_index(), "{context}");
                // Still full: refused again, and term and vote still fit.
                let term = store.hard_state().current_term;
                let vote = save_state(term, Some(77));
                let mut more = vec![vote];
                assert_eq!(store.save_all(&mut more), Ok(()), "{context}");
                let back = save_state(term, found.hard_state.voted_for);
                assert_eq!(store.save_all(&mut vec![back]), Ok(()), "{context}");
                assert!(matches!(
                    store.save_all(&mut saves),
                    Err(SaveError::Full(_))
                ));
                disk.plan(None);
                store.save_all(&mut saves).unwrap();
            }
            assert!(saves.is_empty(), "{context}");
        }
        drop(store);
        disk.kill();
        assert!(is(&opens(&disk, room, &context), &before), "{context}");
    }
    assert!(refused > 100, "{refused}");
}

/// The states that may be found when something happens to what nothing can judge.
fn last_states(script: &[Step]) -> Vec<Memory> {
    let history = history(script);
    let last = script
        .iter()
        .rposition(|step| matches!(step, Step::Save(_)));
    last.map_or_else(Vec::new, |last| states(&history[last], &script[last]))
}

/// Opens a folder that has been damaged: as it was, or with part of the last batch missing where
/// nothing can tell, or not at all, and then it is left alone.
#[track_caller]
fn judged(disk: &FaultyDisk, state: &Memory, allowed: Option<&[Memory]>, context: &str) -> bool {
    let before = disk.contents();
    match open(disk.clone()) {
        Ok((_, found)) => match allowed {
            None => assert!(is(&found, state), "{context}: {found:#?}"),
            Some(allowed) => assert_one_of(&found, allowed, context),
        },
        Err(OpenError::Io(error)) => panic!("{context}: {error}"),
        Err(_) => {
            assert_eq!(before, disk.contents(), "{context}: changed");
            return false;
        }
    }
    true
}

#[test]
fn one_changed_bit_anywhere_is_refused_unless_nothing_was_lost_or_nothing_can_tell() {
    let script = script();
    for (steps, idle) in [(6, false), (6, true), (11, false), (20, false), (20, true)] {
        let script = &script[..steps];
        let disk = finished(script);
        let (mut store, found) = open(disk.clone()).unwrap();
        let state = history(script).pop().unwrap();
        assert_is(&found, &state);
        if idle {
            store.idle().unwrap();
        }
        let unjudged = store.unjudged();
        drop(store);
        let last = last_states(script);
        let (mut opened, mut refused) = (0, 0);
        for (name, bytes) in disk.contents() {
            for (byte, &value) in bytes.iter().enumerate() {
                // Most of the zeros of term and vote are like all others.
                if value == 0 && name == "hard-state" && byte % 97 != 0 {
                    continue;
                }
                for bit in 0..8 {
                    let context = format!("{steps} {idle}: {name}, byte {byte}, bit {bit}");
                    let disk = FaultyDisk::new(disk.disk());
                    assert!(disk.flip(&name, byte, bit));
                    let spared = unjudged
                        .iter()
                        .any(|(file, range)| *file == name && range.contains(&(byte as u64)));
                    // A mark is no entry: to lose it loses nothing.
                    let allowed = (spared && !idle).then_some(&last[..]);
                    match judged(&disk, &state, allowed, &context) {
                        true => opened += 1,
                        false => refused += 1,
                    }
                }
            }
        }
        assert!(opened > 1000 && refused > 1000, "{opened} {refused}");
    }
}

#[test]
fn a_file_cut_at_any_byte_is_refused() {
    let script = script();
    let disk = finished(&script);
    for (name, bytes) in disk.contents() {
        if name == "lock" {
            continue;
        }
        for length in 0..bytes.len() {
            if name == "hard-state" && length % 64 != 0 {
                continue;
            }
            let mut cut = disk.disk();
            cut.set(&name, bytes[..length].to_vec());
            let disk = FaultyDisk::new(cut);
            let context = format!("{name}, {length} bytes");
            let opened = judged(&disk, &Memory::default(), Some(&[]), &context);
            assert!(!opened, "{context}");
        }
    }
}

#[test]
fn a_log_whose_end_is_lost_opens_with_a_state_that_there_was_or_not_at_all() {
    let script = script();
    let disk = finished(&script);
    let history = history(&script);
    let mut states_of: Vec<Memory> = Vec::new();
    for (before, step) in history.iter().zip(&script) {
        states_of.extend(states(before, step));
    }
    // Term and vote are in a file of their own, and not lost.
    let (hard_state, _, _) = history.last().unwrap().load();
    for state in &mut states_of {
        let (_, snapshot, log) = state.load();
        let mut later = Memory::default();
        later.save(Save {
            hard_state: Some(hard_state),
            ..Save::default()
        });
        if let Some(snapshot) = snapshot {
            let base = (snapshot.last_index, snapshot.last_term);
            later.save(save_snapshot(base.0, base.1, LogAfterSnapshot::Discard));
            let entries = log.from(base.0 + 1).to_vec();
            later.save(Save {
                entries,
                ..Save::default()
            });
        }
        *state = later;
    }
    for (name, bytes) in disk.contents() {
        if !name.starts_with("log-") {
            continue;
        }
        for length in 0..bytes.len() {
            let mut lost = disk.disk();
            let mut zeros = bytes.clone();
            zeros[length..].fill(0);
            lost.set(&name, zeros);
            let disk = FaultyDisk::new(lost);
            judged(
                &disk,
                &Memory::default(),
                Some(&states_of),
                &format!("{name} {length}"),
            );
        }
    }
}

#[derive(Clone, Debug)]
enum Move {
    Append(u8),
    Replace(u8, u8),
    Vote(u64),
    Compact(u8, u8),
    Install(u8),
    Idle,
}

fn moves() -> impl Strategy<Value = Vec<Vec<Move>>> {
    let one = prop_oneof![
        6 => (0..6u8).prop_map(Move::Append),
        2 => (0..8u8, 1..4u8).prop_map(|(back, count)| Move::Replace(back, count)),
        2 => (0..4u64).prop_map(Move::Vote),
        1 => (0..8u8, 0..8u8).prop_map(|(back, keep)| Move::Compact(back, keep)),
        1 => (1..5u8).prop_map(Move::Install),
        1 => Just(Move::Idle),
    ];
    prop::collection::vec(prop::collection::vec(one, 1..4), 1..14)
}

/// A script that a core could have produced: what a snapshot covers is never replaced.
fn script_of(moves: &[Vec<Move>]) -> Vec<Step> {
    let mut script = Vec::new();
    let mut now = Memory::default();
    now.save(save_state(1, None));
    script.push(Step::Save(vec![save_state(1, None)]));
    for batch in moves {
        let mut saves = Vec::new();
        for one in batch {
            let (state, snapshot, log) = now.load();
            let covered = snapshot.map_or(0, |snapshot| snapshot.last_index);
            let term = state.current_term;
            let last = log.last_index();
            let save = match *one {
                Move::Append(count) => save_entries(last + 1, &vec![term; count as usize]),
                Move::Replace(back, count) => {
                    let first = last.saturating_sub(back.into()).max(covered + 1);
                    Save {
                        hard_state: Some(hard(term + 1, None)),
                        ..save_entries(first, &vec![term + 1; count as usize])
                    }
                }
                Move::Vote(id) => save_state(term + 1, Some(id)),
                Move::Compact(back, keep) => {
                    let index = last.saturating_sub(back.into());
                    let first = (index + 1).saturating_sub(keep.into());
                    if index <= covered {
                        continue;
                    }
                    let first = first.max(log.base_index() + 1);
                    let keep = LogAfterSnapshot::KeepFrom(first);
                    save_snapshot(index, log.term_at(index).unwrap(), keep)
                }
                Move::Install(ahead) => {
                    let index = last + u64::from(ahead);
                    save_snapshot(index, term, LogAfterSnapshot::Discard)
                }
                Move::Idle => {
                    script.push(Step::Save(std::mem::take(&mut saves)));
                    script.push(Step::Idle);
                    continue;
                }
            };
            now.save(save.clone());
            saves.push(save);
        }
        script.push(Step::Save(saves));
    }
    script
}

/// Lives through these moves, and falls at these operations of the life and of the starts after it.
fn survives(moves: &[Vec<Move>], stops: &[(usize, u8, u64)]) {
    let script = script_of(moves);
    let disk = FaultyDisk::default();
    disk.plan(stop_at(stops[0].0));
    let allowed = run_until_fault(&disk, &script);
    for &(at, how, seed) in stops {
        match how {
            0 => disk.kill(),
            _ => disk.crash(&mut rng(seed)),
        }
        disk.plan(stop_at(at % 40));
        let _ = open(disk.clone());
    }
    disk.crash(&mut rng(stops[0].2));
    disk.plan(None);
    let found = opens(&disk, stops[0].2, "");
    assert_one_of(&found, &allowed, &format!("{script:#?}"));
}

/// A batch that is not synced, a start that writes it again and falls, and then no power: what is
/// left of the sector is its beginning, whichever write it is from.
#[test]
fn a_start_that_falls_while_it_writes_the_last_batch_again_spoils_nothing() {
    use Move::*;
    let moves = [
        vec![Install(1)],
        vec![Install(3), Replace(0, 1), Append(1)],
        vec![Append(1), Append(2)],
    ];
    survives(&moves, &[(54, 0, 0), (0, 0, 0)]);
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(600) })]

    #[test]
    fn any_life_survives_any_crash(
        moves in moves(),
        stops in prop::collection::vec((0..200usize, 0..3u8, any::<u64>()), 1..6),
    ) {
        survives(&moves, &stops);
    }

    #[test]
    fn no_bytes_are_too_much_for_a_reader(
        mut bytes in prop::collection::vec(any::<u8>(), 0..300),
        file in 0..4usize,
        at in any::<prop::sample::Index>(),
    ) {
        use raftian::storage::{segment, state};
        let _ = (segment::parse(&bytes), state::parse(&bytes));
        // The same inside of what is right otherwise.
        let contents = finished(&script()).contents();
        let (name, right) = contents.iter().nth(file % contents.len()).unwrap();
        let at = at.index(right.len() + 1);
        let mut changed = right[..at].to_vec();
        changed.append(&mut bytes);
        changed.extend_from_slice(&right[at.min(right.len())..]);
        changed.truncate(right.len());
        let _ = (segment::parse(&changed), state::parse(&changed));
        let mut disk = finished(&script()).disk();
        disk.set(name, changed);
        let _ = open(disk);
    }
}
