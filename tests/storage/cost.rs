//! What a save costs: `cargo test --test storage -- --ignored --nocapture cost`.

use std::time::Instant;

use raftian::storage::{Disk, FaultyDisk, MemoryDisk, Options, RealDisk, Storage, Store};

use crate::support::*;

/// Microseconds for a save of one entry, with a snapshot each 100 entries.
fn measure(disk: impl Disk + 'static, options: Options, saves: u64) -> f64 {
    use raftian::raft::LogAfterSnapshot::KeepFrom;
    let (mut store, _) = Store::open(disk, &identity(), options, as_snapshot).unwrap();
    store.save_all(&mut vec![save_state(1, None)]).unwrap();
    let start = Instant::now();
    for index in 1..=saves {
        store
            .save_all(&mut vec![save_entries(index, &[1])])
            .unwrap();
        if index % 100 == 0 {
            let mut saves = vec![save_snapshot(index, 1, KeepFrom(index - 20))];
            store.save_all(&mut saves).unwrap();
        }
    }
    start.elapsed().as_secs_f64() * 1e6 / saves as f64
}

#[test]
#[ignore = "it measures"]
fn cost_of_a_save() {
    let small = Options {
        fsync: true,
        segment_bytes: 4096,
    };
    let lazy = Options {
        fsync: false,
        ..Options::default()
    };
    let row = |what: &str, cost: f64| println!("{what:<40} {cost:8.1} us");
    // In lines that short, the 'x's of support::entry are the longest.
    row(
        "memory, no fsync, 1 MiB segments",
        measure(MemoryDisk::default(), lazy, 20_000),
    );
    let small_lazy = Options {
        fsync: false,
        ..small
    };
    row(
        "memory, no fsync, 4 KiB segments",
        measure(MemoryDisk::default(), small_lazy, 20_000),
    );
    row(
        "memory, fsync, 4 KiB segments",
        measure(MemoryDisk::default(), small, 20_000),
    );
    row(
        "faulty, fsync, 4 KiB segments",
        measure(FaultyDisk::default(), small, 20_000),
    );
    let dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let disk = RealDisk::open(&dir.path().join("lazy")).unwrap();
    row("this machine's disk, no fsync", measure(disk, lazy, 20_000));
    let disk = RealDisk::open(&dir.path().join("real")).unwrap();
    row(
        "this machine's disk, fsync",
        measure(disk, Options::default(), 1_000),
    );

    let disk = FaultyDisk::default();
    measure(disk.clone(), small, 200);
    let start = Instant::now();
    for _ in 0..1000 {
        Store::open(disk.clone(), &identity(), small, as_snapshot).unwrap();
    }
    row(
        "a start, faulty, 4 KiB segments",
        start.elapsed().as_secs_f64() * 1e3,
    );
}
