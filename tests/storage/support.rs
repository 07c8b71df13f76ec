//! What the tests of the store share: a script of saves, and a rule that says what may be found
//! after a crash, which knows nothing of files.

use raftian::command::Command;
use raftian::raft::{
    Configuration, Entry, HardState, Log, LogAfterSnapshot, Payload, Save, SaveSnapshot, Snapshot,
};
use raftian::storage::{
    Disk, Fault, FaultyDisk, Identity, Memory, OpenError, Options, Plan, Recovered, SaveError,
    Storage, Store,
};
use rand::SeedableRng as _;
use rand::rngs::Xoshiro256PlusPlus;

pub const SEGMENT: u64 = 900;

pub fn identity() -> Identity {
    Identity {
        cluster: "local".to_string(),
        node: 2,
    }
}

pub fn options() -> Options {
    Options {
        fsync: true,
        segment_bytes: SEGMENT,
    }
}

pub fn open(disk: impl Disk + 'static) -> Result<(Store, Recovered), OpenError> {
    Store::open(disk, &identity(), options(), as_snapshot)
}

pub fn rng(seed: u64) -> Xoshiro256PlusPlus {
    Xoshiro256PlusPlus::seed_from_u64(seed)
}

pub fn entry(index: u64, term: u64) -> Entry {
    let text = match index % 4 {
        0 => format!("attack {index}"),
        1 => format!("line\none {term}\t\\ \u{0} ü"),
        2 => "x".repeat(60 + index as usize % 50),
        _ => {
            return Entry {
                index,
                term,
                payload: Payload::Noop,
            };
        }
    };
    let command = Command::new("bob 1-5", index, text).unwrap();
    Entry {
        index,
        term,
        payload: Payload::Command(command.into()),
    }
}

pub fn entries(first: u64, terms: &[u64]) -> Vec<Entry> {
    let pairs = (first..).zip(terms);
    pairs.map(|(index, &term)| entry(index, term)).collect()
}

/// A snapshot says nothing but what follows from its name, so that any change is noticed.
pub fn snapshot(last_index: u64, last_term: u64) -> Snapshot {
    let filler = "s".repeat(700);
    let data = format!("{{\"index\":{last_index},\"term\":{last_term},\"s\":\"{filler}\"}}\n");
    Snapshot {
        last_index,
        last_term,
        configuration: Configuration::of_voters([1]).into(),
        data: data.into_bytes().into(),
    }
}

pub fn as_snapshot(last_index: u64, last_term: u64, data: Vec<u8>) -> Result<Snapshot, String> {
    let expected = snapshot(last_index, last_term);
    match *data == *expected.data {
        true => Ok(expected),
        false => Err("the snapshot is not whole".to_string()),
    }
}

pub fn hard(current_term: u64, voted_for: Option<u64>) -> HardState {
    HardState {
        current_term,
        voted_for,
    }
}

pub fn save_entries(first: u64, terms: &[u64]) -> Save {
    Save {
        entries: entries(first, terms),
        ..Save::default()
    }
}

pub fn save_state(term: u64, vote: Option<u64>) -> Save {
    Save {
        hard_state: Some(hard(term, vote)),
        ..Save::default()
    }
}

pub fn save_snapshot(index: u64, term: u64, log: LogAfterSnapshot) -> Save {
    Save {
        snapshot: Some(SaveSnapshot {
            snapshot: snapshot(index, term),
            log,
        }),
        ..Save::default()
    }
}

/// What a node does with its disk in one go.
#[derive(Clone, Debug)]
pub enum Step {
    Save(Vec<Save>),
    Idle,
}

/// A node's life in small: terms, votes, entries that replace others, batches, segments that fill
/// up, snapshots of its own and one that is installed over a log that conflicts.
pub fn script() -> Vec<Step> {
    use LogAfterSnapshot::{Discard, KeepFrom};
    let both = |save: Save, term, vote| Save {
        hard_state: Some(hard(term, vote)),
        ..save
    };
    vec![
        Step::Save(vec![save_state(1, None)]),
        Step::Save(vec![both(save_entries(1, &[1, 1, 1]), 1, Some(2))]),
        Step::Idle,
        Step::Save(vec![save_entries(4, &[1]), save_entries(5, &[1, 1])]),
        Step::Save(vec![both(save_entries(5, &[2, 2]), 2, None)]),
        Step::Save(vec![
            save_entries(7, &[2, 2, 2, 2]),
            both(save_entries(8, &[3]), 3, Some(1)),
            save_entries(9, &[3, 3]),
        ]),
        Step::Idle,
        Step::Idle,
        Step::Save(vec![save_snapshot(7, 2, KeepFrom(5))]),
        Step::Save(vec![save_entries(11, &[3, 3, 3, 3, 3, 3, 3, 3])]),
        Step::Save(vec![Save {
            hard_state: Some(hard(4, Some(9))),
            entries: entries(19, &[4, 4]),
            ..save_snapshot(16, 3, KeepFrom(17))
        }]),
        Step::Idle,
        Step::Save(vec![Save {
            entries: entries(19, &[5]),
            ..save_snapshot(18, 5, Discard)
        }])
        .with_state(5),
        Step::Save(vec![save_entries(20, &[5, 5, 5])]),
        Step::Save(vec![save_snapshot(22, 5, KeepFrom(23))]),
        Step::Save(vec![save_entries(23, &[5]), save_state(6, Some(2))]),
        Step::Save(vec![save_snapshot(40, 6, Discard)]),
        Step::Save(vec![save_entries(41, &[6, 6])]),
        Step::Idle,
        Step::Save(vec![save_entries(42, &[6, 6, 6])]),
    ]
}

impl Step {
    fn with_state(self, term: u64) -> Step {
        let Step::Save(mut saves) = self else {
            return self;
        };
        saves[0].hard_state = Some(hard(term, None));
        Step::Save(saves)
    }
}

pub fn run(store: &mut Store, step: &Step) -> Result<(), SaveError> {
    match step {
        Step::Save(saves) => store.save_all(&mut saves.clone()),
        Step::Idle => store.idle(),
    }
}

/// All states through which a step goes, the one before it first and the one after it last. After
/// a crash any of them may be found; once the step is done, the last.
pub fn states(before: &Memory, step: &Step) -> Vec<Memory> {
    let mut states = vec![before.clone()];
    let Step::Save(saves) = step else {
        return states;
    };
    let mut now = before.clone();
    let latest = saves.iter().rev().find_map(|save| save.hard_state);
    now.save(Save {
        hard_state: latest,
        ..Save::default()
    });
    states.push(now.clone());
    for save in saves {
        now.save(Save {
            snapshot: save.snapshot.clone(),
            ..Save::default()
        });
        states.push(now.clone());
        for entry in &save.entries {
            now.save(Save {
                entries: vec![entry.clone()],
                ..Save::default()
            });
            states.push(now.clone());
        }
    }
    states
}

/// The states after each step, beginning with nothing.
pub fn history(script: &[Step]) -> Vec<Memory> {
    let mut history = vec![Memory::default()];
    for step in script {
        let states = states(history.last().unwrap(), step);
        history.push(states.last().unwrap().clone());
    }
    history
}

/// Whether that state was found. A log may begin earlier than it has to.
pub fn is(found: &Recovered, state: &Memory) -> bool {
    let (hard_state, snapshot, log) = state.load();
    found.hard_state == hard_state && found.snapshot == snapshot && same_log(found, &log)
}

fn same_log(found: &Recovered, log: &Log) -> bool {
    let covered = found.snapshot.as_ref();
    let covered = covered.map_or(0, |snapshot| snapshot.last_index);
    let from = found.log.base_index().max(log.base_index());
    found.log.base_index() <= covered
        && found.log.last_index() == log.last_index()
        && found.log.term_at(from) == log.term_at(from)
        && found.log.from(from + 1) == log.from(from + 1)
}

#[track_caller]
pub fn assert_is(found: &Recovered, state: &Memory) {
    assert!(is(found, state), "found {found:#?}\nnot {state:#?}");
}

#[track_caller]
pub fn assert_one_of(found: &Recovered, states: &[Memory], context: &str) {
    assert!(
        states.iter().any(|state| is(found, state)),
        "{context}: found {found:#?}\nnone of {states:#?}"
    );
}

/// Runs the script until something fails. Returns the states that may be found afterwards.
pub fn run_until_fault(disk: &FaultyDisk, script: &[Step]) -> Vec<Memory> {
    let nothing = vec![Memory::default()];
    let Ok((mut store, _)) = open(disk.clone()) else {
        return nothing;
    };
    let mut before = Memory::default();
    for step in script {
        let states = states(&before, step);
        if run(&mut store, step).is_err() {
            return states;
        }
        before = states.last().unwrap().clone();
    }
    vec![before]
}

pub fn stop_at(at: usize) -> Option<Plan> {
    Some(Plan {
        at,
        fault: Fault::Stop,
    })
}

/// A folder in which the script has run to its end, and how many operations that took.
pub fn finished(script: &[Step]) -> FaultyDisk {
    let disk = FaultyDisk::default();
    let states = run_until_fault(&disk, script);
    assert_eq!(states.len(), 1);
    disk
}
