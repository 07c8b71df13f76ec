//! Every fault at every place.

use crate::support::*;

#[test]
fn a_crash_at_every_operation_leaves_everything_that_was_promised() {
    let script = script();
    let operations = finished(&script).operations();
    for at in 0..operations {
        for seed in 0..8 {
            let disk = raftian::storage::FaultyDisk::default();
            disk.plan(stop_at(at));
            let allowed = run_until_fault(&disk, &script);
            disk.crash(&mut rng(seed));
            let context = format!("stopped at operation {at}, seed {seed}");
            let found = open(disk.clone()).map(|(_, found)| found);
            let found = found.unwrap_or_else(|error| panic!("{context}: {error}"));
            assert_one_of(&found, &allowed, &context);
        }
    }
}
