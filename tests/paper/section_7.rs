//! Section 7: snapshots in place of old entries, and figure 13, which sends one to a follower.

use raftian::raft::{
    CallId, InstallOutcome, InstallSnapshot, InstallSnapshotReply, LogAfterSnapshot, Rejected,
    RoleName, Snapshot,
};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::raft::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, command, state_after, terms};
use super::*;

/// A part of the snapshot of index `last.0`, term `last.1`, from node 2, the leader of `term`.
fn install(term: u64, last: (u64, u64), part: std::ops::Range<usize>) -> Request {
    let whole = state_after(last.0);
    Request::InstallSnapshot(InstallSnapshot {
        term,
        leader_id: 2,
        last_included_index: last.0,
        last_included_term: last.1,
        configuration: members("1 2 3").into(),
        offset: part.start as u64,
        done: part.end == whole.len(),
        data: whole[part].to_vec(),
    })
}

/// How long a snapshot is in these tests, whatever its index.
const WHOLE: usize = 9;

/// The same request, changed.
fn but(request: Request, change: impl FnOnce(&mut InstallSnapshot)) -> Request {
    let Request::InstallSnapshot(mut request) = request else {
        panic!("no part of a snapshot: {request:?}");
    };
    change(&mut request);
    Request::InstallSnapshot(request)
}

/// How far the step's reply says that the follower is.
fn progress(ready: &Ready) -> InstallOutcome {
    match &ready.reply {
        Some(Reply::InstallSnapshot(reply)) => reply.outcome,
        other => panic!("no answer to an install: {other:?}"),
    }
}

fn installed(term: u64, outcome: InstallOutcome) -> Reply {
    Reply::InstallSnapshot(InstallSnapshotReply { term, outcome })
}

/// The part that is sent to `to`.
fn part(sends: &[Send], to: NodeId) -> (CallId, InstallSnapshot) {
    let send = sent(sends, to);
    match send.request {
        Request::InstallSnapshot(request) => (send.call, request),
        other => panic!("no part of a snapshot: {other:?}"),
    }
}

/// Whatever a request may change.
fn state(core: &Raft) -> impl PartialEq + std::fmt::Debug + use<> {
    let log = (core.log().base_index(), core.log().from(1).to_vec());
    let term = (core.current_term(), core.voted_for(), core.leader());
    let snapshot = core.snapshot().cloned();
    (core.role(), term, log, snapshot, core.commit_index())
}

/// A node writes its state machine down and keeps the last `keep` entries before that.
fn compact(core: &mut Raft, keep: u64) -> Ready {
    let last_index = core.last_applied();
    let snapshot = Snapshot {
        last_index,
        last_term: core.log().term_at(last_index).unwrap(),
        configuration: core.configuration_at(last_index).clone(),
        data: state_after(last_index).into(),
    };
    core.compact(snapshot, last_index + 1 - keep)
}

/// The leader of term 1 among 1, 2 and 3, with entries 1 to 4 committed; nothing is under way.
fn leader_of_four(change: impl FnOnce(&mut Config)) -> Raft {
    let mut config = config(1, 3);
    change(&mut config);
    let mut core = settling(started(config, 0, &[]));
    let (_, ready) = core.propose((1..=3).map(|n| command(n, "a"))).unwrap();
    let _ = core.saved(ready.save.unwrap().mark().unwrap());
    let mut sends = ready.send;
    while !sends.is_empty() {
        sends = answer_all(&mut core, &sends);
    }
    assert_eq!(core.commit_index(), 4);
    core
}

/// The leader's next heartbeat is agreed to by node 3 and refused by node 2, which has nothing from
/// `index` on.
fn lacks(core: &mut Raft, index: u64) -> Ready {
    let ready = core.tick(core.deadline().unwrap());
    let _ = answer_all(core, &[sent(&ready.send, 3)]);
    let send = sent(&ready.send, 2);
    core.reply(2, send.call, conflict(core.current_term(), None, index))
}

// Taking a snapshot

/// Only what has been applied is ever in a snapshot.
#[test]
#[should_panic(expected = "a snapshot holds what has been applied")]
fn a_server_writes_down_nothing_but_what_it_has_applied() {
    let mut core = follower(1, 3, 1, &[1, 1, 1]);
    let _ = core.request(append(2, 1, (3, 1), &[], 2)).unwrap();
    let snapshot = Snapshot {
        last_index: 3,
        last_term: 1,
        configuration: members("1 2 3").into(),
        data: state_after(3).into(),
    };
    let _ = core.compact(snapshot, 4);
}

/// Each server takes snapshots by itself. No leader is asked, nothing is sent, and nothing waits.
#[test]
fn a_server_takes_a_snapshot_without_its_leader() {
    let mut core = follower(1, 3, 1, &[1, 1, 1, 1]);
    let _ = core.request(append(2, 1, (4, 1), &[], 3)).unwrap();
    let deadline = core.deadline();
    let ready = compact(&mut core, 0);
    assert_eq!(
        (ready.send, ready.after_save, ready.reply),
        (vec![], vec![], None)
    );
    let saved = ready.save.unwrap().snapshot.unwrap();
    assert_eq!(saved.snapshot.last_index, 3);
    assert_eq!(saved.log, LogAfterSnapshot::KeepFrom(4));
    assert_eq!((core.log().base_index(), core.log().last_index()), (3, 4));
    assert_eq!((core.leader(), core.deadline()), (Some(2), deadline));
}

/// Index and term of the last entry that it covers stay, so that the entry after it can be checked.
#[test]
fn the_entry_after_a_snapshot_is_checked_against_the_last_that_it_covers() {
    let compacted = || {
        let mut core = follower(1, 3, 2, &[1, 2]);
        let _ = core.request(append(2, 2, (2, 2), &[], 2)).unwrap();
        let _ = compact(&mut core, 0);
        assert_eq!((core.log().base_index(), core.log().from(1)), (2, &[][..]));
        core
    };
    let ready = compacted().request(append(2, 2, (2, 2), &[2], 2)).unwrap();
    assert_eq!(outcome(&ready), AppendOutcome::Matched(3));
    // Another entry there would contradict what is committed.
    let wrong = compacted().request(append(3, 3, (2, 3), &[3], 2));
    assert_eq!(wrong.unwrap_err(), Rejected::Contradicts { index: 2 });
    // And a candidate's log is compared with it.
    assert!(!votes(&compacted().request(vote(3, 3, (1, 2))).unwrap()));
    assert!(votes(&compacted().request(vote(3, 3, (2, 2))).unwrap()));
}

/// The configuration is part of the snapshot: what was overwritten behind it gives way to it.
#[test]
fn a_change_that_is_overwritten_behind_a_snapshot_gives_way_to_the_snapshots_members() {
    let log = [entries(1, &[1]), vec![configured(2, 1, "1 2 3 ~4")]].concat();
    let mut core = started(config(1, 3), 1, &log);
    let change = vec![configured(3, 1, "1 2 -3 +4")];
    let _ = core.request(append_these(2, 1, (2, 1), change, 2)).unwrap();
    let ready = compact(&mut core, 0);
    let snapshot = ready.save.unwrap().snapshot.unwrap().snapshot;
    assert_eq!(*snapshot.configuration, members("1 2 3 ~4"));
    assert_eq!(known_members(&core), "1 2 -3 +4");
    let _ = core.request(append(3, 2, (2, 1), &[2], 2)).unwrap();
    assert_eq!(known_members(&core), "1 2 3 ~4");
}

// Figure 13, sender

/// A snapshot is for a follower whose next entry is gone, and for no other.
#[test]
fn a_leader_sends_its_snapshot_only_where_the_next_entry_is_gone() {
    for (next, is_snapshot) in [(1, true), (2, true), (3, false), (4, false)] {
        let mut core = leader_of_four(|_| {});
        // Entries 3 and 4 are kept, and the term of 2.
        let _ = compact(&mut core, 2);
        let ready = lacks(&mut core, next);
        match sent(&ready.send, 2).request {
            Request::InstallSnapshot(part) => {
                assert!(is_snapshot, "{next}");
                let last = (part.last_included_index, part.last_included_term);
                assert_eq!((last, part.leader_id, part.term), ((4, 1), 1, 1));
                assert_eq!(*part.configuration, members("1 2 3"));
            }
            Request::AppendEntries(append) => {
                assert!(!is_snapshot, "{next}");
                assert_eq!(append.prev_log_index, next - 1);
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The parts go in order, each when the one before has been answered, and after the last the log
/// goes on.
#[test]
fn a_leader_sends_one_part_after_the_other_and_then_the_entries_behind() {
    let mut core = leader_of_four(|config| config.max_part_bytes = 4);
    let _ = compact(&mut core, 0);
    let (_, ready) = core.propose([command(9, "b")]).unwrap();
    let _ = core.saved(ready.save.unwrap().mark().unwrap());
    let send = sent(&ready.send, 2);
    let mut ready = core.reply(2, send.call, conflict(1, None, 1));
    let mut data = Vec::new();
    for (offset, end) in [(0, 4), (4, 8), (8, 9)] {
        let (call, part) = part(&ready.send, 2);
        assert_eq!((part.offset, part.done), (offset, end == 9));
        data.extend(part.data);
        // Node 3 has not answered either, so there is nothing to send before somebody does.
        assert_eq!(core.deadline(), None);
        let outcome = match part.done {
            true => InstallOutcome::Installed,
            false => InstallOutcome::Next(end),
        };
        ready = core.reply(2, call, installed(1, outcome));
    }
    assert_eq!(data, state_after(4));
    assert_eq!(core.progress(2), Some((4, 5)));
    let send = sent(&ready.send, 2);
    assert_eq!(appended(&send).entries, core.log().from(5));
}

/// A snapshot on its way stays the same one, though the leader has a newer one by now.
#[test]
fn the_parts_of_two_snapshots_are_not_mixed_by_a_leader() {
    let mut core = leader_of_four(|config| config.max_part_bytes = 4);
    let _ = compact(&mut core, 0);
    let ready = lacks(&mut core, 1);
    let (call, first) = part(&ready.send, 2);
    let (_, ready) = core.propose([command(9, "b")]).unwrap();
    let _ = core.saved(ready.save.unwrap().mark().unwrap());
    let _ = answer_all(&mut core, &[sent(&ready.send, 3)]);
    assert_eq!(core.commit_index(), 5);
    let _ = compact(&mut core, 0);
    assert_eq!(core.snapshot().unwrap().last_index, 5);
    let ready = core.reply(2, call, installed(1, InstallOutcome::Next(4)));
    let (_, second) = part(&ready.send, 2);
    assert_eq!(second.last_included_index, first.last_included_index);
    assert_eq!(
        (second.offset, second.data),
        (4, state_after(4)[4..8].to_vec())
    );
}

/// An empty part in place of a heartbeat: a follower that does not answer costs no bytes, and says
/// how far it is when it does.
#[test]
fn a_follower_that_does_not_answer_is_sent_an_empty_part_as_a_heartbeat() {
    let mut core = leader_of_four(|config| config.max_part_bytes = 4);
    let _ = compact(&mut core, 0);
    let ready = lacks(&mut core, 1);
    let (call, first) = part(&ready.send, 2);
    let ready = core.reply(2, call, installed(1, InstallOutcome::Next(4)));
    let (call, _) = part(&ready.send, 2);
    assert_eq!(core.lost(2, call), Ready::default());
    let mut now = core.deadline().unwrap();
    let ready = core.tick(now);
    let (call, empty) = part(&ready.send, 2);
    assert_eq!((empty.offset, empty.data.len(), empty.done), (4, 0, false));
    // It has restarted, and has nothing: from the beginning.
    let ready = core.reply(2, call, installed(1, InstallOutcome::Next(0)));
    let (call, again) = part(&ready.send, 2);
    assert_eq!((again.offset, &again.data), (0, &first.data));
    // Bytes that were of no use are not sent again before the next heartbeat.
    let ready = core.reply(2, call, installed(1, InstallOutcome::Next(0)));
    assert_eq!(ready.send, []);
    now += HEARTBEAT;
    assert_eq!(part(&core.tick(now).send, 2).1.data.len(), 0);
}

#[test]
fn a_leader_that_hears_of_a_later_term_from_a_part_steps_down() {
    let mut core = leader_of_four(|_| {});
    let _ = compact(&mut core, 0);
    let ready = lacks(&mut core, 1);
    let (call, _) = part(&ready.send, 2);
    let ready = core.reply(2, call, installed(7, InstallOutcome::Next(0)));
    assert_eq!((core.role(), core.current_term()), (RoleName::Follower, 7));
    assert_eq!(saved_state(&ready), Some((7, None)));
}

// Figure 13, receiver

#[test]
fn install_1_an_earlier_term_is_refused_and_told_the_term() {
    let mut core = follower(1, 3, 5, &[1, 1]);
    let before = (state(&core), core.deadline());
    let ready = core.request(install(4, (5, 3), 0..WHOLE)).unwrap();
    assert_eq!(ready.reply.as_ref().unwrap().term(), 5);
    assert!(matches!(progress(&ready), InstallOutcome::Next(_)));
    assert_eq!((ready.save, ready.install), (None, None));
    assert_eq!((state(&core), core.deadline()), before);
}

/// The parts that have come are those of one snapshot of one leader. The first of another begins anew.
#[test]
fn install_2_a_part_of_another_snapshot_begins_a_new_one() {
    let other = members("1 2 3 ~4");
    for request in [
        install(3, (6, 3), 4..8),
        install(3, (5, 2), 4..8),
        install(4, (5, 3), 4..8),
        but(install(3, (5, 3), 4..8), |part| {
            part.configuration = other.into()
        }),
    ] {
        let mut core = follower(1, 3, 3, &[1]);
        let ready = core.request(install(3, (5, 3), 0..4)).unwrap();
        assert_eq!(progress(&ready), InstallOutcome::Next(4));
        let ready = core.request(request.clone()).unwrap();
        assert_eq!(progress(&ready), InstallOutcome::Next(0), "{request:?}");
    }
}

/// However the snapshot is cut into parts, and however often each of them comes, it is put together
/// as it was; a part that has a gap before it is not taken.
#[test]
fn install_3_each_part_is_put_where_it_belongs() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(3);
    for _ in 0..200 {
        let mut core = follower(1, 3, 3, &[1]);
        let mut has = 0;
        let ready = loop {
            let start = rng.random_range(0..=WHOLE);
            let end = rng.random_range(start..=WHOLE);
            let ready = core.request(install(3, (5, 3), start..end)).unwrap();
            if start <= has {
                has = has.max(end);
            }
            match progress(&ready) {
                InstallOutcome::Next(offset) => assert_eq!(offset, has as u64),
                InstallOutcome::Installed => break ready,
            }
        };
        assert_eq!(has, WHOLE);
        assert_eq!(*ready.install.unwrap().data, *state_after(5));
    }
}

#[test]
fn install_4_until_the_last_part_the_follower_only_waits() {
    let mut core = follower(1, 3, 3, &[1, 2]);
    let _ = core.request(append(2, 3, (2, 2), &[], 1)).unwrap();
    let before = state(&core);
    for (part, has) in [(0..3, 3), (3..8, 8), (8..8, 8)] {
        let ready = core.request(install(3, (5, 3), part)).unwrap();
        assert_eq!(progress(&ready), InstallOutcome::Next(has));
        assert_eq!((ready.save, ready.install), (None, None));
        assert_eq!(state(&core), before);
    }
}

/// The last part saves the snapshot, in the place of any earlier one. The answer says that it is safe,
/// and so it waits for that save.
#[test]
fn install_5_the_whole_is_saved_in_the_place_of_an_earlier_one() {
    let mut core = follower(1, 3, 3, &[1, 1]);
    let _ = core.request(append(2, 3, (2, 1), &[], 2)).unwrap();
    let _ = compact(&mut core, 0);
    let ready = core.request(install(3, (5, 3), 0..WHOLE)).unwrap();
    assert_eq!(progress(&ready), InstallOutcome::Installed);
    let saved = ready.save.unwrap().snapshot.unwrap().snapshot;
    assert_eq!((saved.last_index, saved.last_term), (5, 3));
    assert_eq!(*saved.data, *state_after(5));
    assert_eq!(core.snapshot(), Some(&saved));
}

/// The follower's log goes on beyond the snapshot, and has the snapshot's last entry: what follows it
/// stays.
#[test]
fn install_6_what_follows_the_snapshots_last_entry_stays() {
    let mut core = follower(1, 3, 3, &[1, 1, 2, 2, 3]);
    let ready = core.request(install(3, (3, 2), 0..WHOLE)).unwrap();
    assert_eq!(
        (core.log().base_index(), terms(core.log())),
        (3, vec![2, 3])
    );
    let saved = ready.save.unwrap();
    assert_eq!(saved.snapshot.unwrap().log, LogAfterSnapshot::KeepFrom(4));
    assert_eq!(saved.entries, []);
    // It is not committed by that.
    assert_eq!(core.commit_index(), 3);
}

/// Otherwise the log is shorter, or contradicts the snapshot: all of it goes, also what lies behind.
#[test]
fn install_7_a_log_without_the_snapshots_last_entry_goes_as_a_whole() {
    for log in [&[][..], &[1, 1], &[1, 1, 1], &[1, 1, 1, 1, 1]] {
        let mut core = follower(1, 3, 3, log);
        let ready = core.request(install(3, (3, 2), 0..WHOLE)).unwrap();
        let kept = (core.log().base_index(), core.log().last_index());
        assert_eq!((kept, core.log().last_term()), ((3, 3), 2), "{log:?}");
        let saved = ready.save.unwrap().snapshot.unwrap();
        assert_eq!(saved.log, LogAfterSnapshot::Discard);
    }
}

/// The state machine begins again from the snapshot, which is applied by that, and the members are
/// those that it names.
#[test]
fn install_8_state_machine_and_members_are_those_of_the_snapshot() {
    let mut core = follower(1, 3, 3, &[1, 1]);
    let request = but(install(3, (5, 3), 0..WHOLE), |part| {
        part.configuration = members("1 2 3 ~4").into();
    });
    let ready = core.request(request).unwrap();
    let snapshot = ready.install.unwrap();
    assert_eq!(
        (snapshot.last_index, &*snapshot.data),
        (5, &*state_after(5))
    );
    assert_eq!(ready.committed, []);
    assert_eq!((core.commit_index(), core.last_applied()), (5, 5));
    assert_eq!(known_members(&core), "1 2 3 ~4");
    // What is committed next goes on from there.
    let ready = core.request(append(2, 3, (5, 3), &[3], 6)).unwrap();
    assert_eq!(committed(&ready), [6]);
}

/// A configuration behind the snapshot is later than the snapshot's.
#[test]
fn install_8_members_that_are_named_behind_the_snapshot_still_count() {
    let log = [entries(1, &[1, 1]), vec![configured(3, 1, "1 2 3 ~4")]].concat();
    let mut core = started(config(1, 3), 1, &log);
    let _ = core.request(install(1, (2, 1), 0..WHOLE)).unwrap();
    assert_eq!(
        (known_members(&core).as_str(), core.configured_at()),
        ("1 2 3 ~4", 3)
    );
}

/// A part is a word of the leader, like an append: whoever hears it follows and waits anew.
#[test]
fn each_part_is_a_word_of_the_leader() {
    let (min, max) = ELECTION_TIMEOUT;
    for part in [0..4, 0..0, 0..WHOLE] {
        for is_candidate in [false, true] {
            let mut core = follower(1, 3, 4, &[1]);
            let mut now = core.deadline().unwrap() - 1;
            if is_candidate {
                now += 1;
            }
            let _ = core.tick(now);
            let request = install(5, (3, 2), part.clone());
            let _ = core.request(request).unwrap();
            assert_eq!((core.role(), core.leader()), (RoleName::Follower, Some(2)));
            assert_eq!(core.current_term(), 5);
            assert!((now + min..=now + max).contains(&core.deadline().unwrap()));
        }
    }
}

/// The whole is checked before anything changes. What cannot be read leaves term, timer, log and state
/// as they were, and the next transfer begins at the beginning.
#[test]
fn a_snapshot_that_cannot_be_read_changes_nothing() {
    let mut core = follower(1, 3, 3, &[1, 2]);
    let _ = core.request(install(3, (5, 3), 0..4)).unwrap();
    let before = (state(&core), core.deadline());
    let garbled = but(install(3, (5, 3), 4..WHOLE), |part| part.data[0] ^= 1);
    let refused = core.request(garbled).unwrap_err();
    assert!(matches!(refused, Rejected::BadSnapshot(_)), "{refused}");
    assert_eq!((state(&core), core.deadline()), before);
    // Not even the term of a later leader is taken over from it.
    let garbled = but(install(7, (5, 3), 0..WHOLE), |part| part.data[0] ^= 1);
    assert!(core.request(garbled).is_err());
    assert_eq!((state(&core), core.deadline()), before);
    let ready = core.request(install(3, (5, 3), 4..8)).unwrap();
    assert_eq!(progress(&ready), InstallOutcome::Next(0));
}

/// What is committed here can only be in every snapshot that there is.
#[test]
fn a_snapshot_that_contradicts_what_is_committed_is_refused() {
    let mut core = follower(1, 3, 1, &[1, 1]);
    let _ = core.request(append(2, 1, (2, 1), &[], 2)).unwrap();
    assert_eq!(core.commit_index(), 2);
    let before = state(&core);
    let refused = core.request(install(3, (2, 2), 0..WHOLE)).unwrap_err();
    assert_eq!(refused, Rejected::Contradicts { index: 2 });
    assert!(state(&core) == before);
}

/// An answer that belongs to another kind of request says nothing of the follower.
#[test]
fn an_answer_of_the_wrong_kind_does_not_end_a_snapshot() {
    let mut core = leader_of_four(|_| ());
    let _ = compact(&mut core, 0);
    let ready = lacks(&mut core, 1);
    let (call, _) = part(&ready.send, 2);
    let ready = core.reply(2, call, matched(1, 4));
    assert_eq!(core.progress(2).unwrap().0, 0);
    assert_eq!(receivers(&ready.send), NOTHING);
    let ready = core.tick(core.deadline().unwrap());
    assert_eq!(part(&ready.send, 2).1.offset, 0);
}

#[test]
fn a_snapshot_that_is_too_large_is_refused_before_it_is_gathered() {
    let config = Config {
        max_snapshot_bytes: WHOLE - 1,
        ..config(1, 3)
    };
    let mut core = started(config, 3, &[]);
    let ready = core.request(install(3, (5, 3), 0..8)).unwrap();
    assert_eq!(progress(&ready), InstallOutcome::Next(8));
    for request in [
        install(3, (5, 3), 8..WHOLE),
        but(install(3, (5, 3), 0..4), |part| part.offset = u64::MAX),
    ] {
        let refused = core.request(request).unwrap_err();
        assert!(matches!(refused, Rejected::Malformed(_)), "{refused}");
    }
}

/// What the state machine cannot read is refused by whoever forgets to say what it can.
#[test]
fn without_a_check_no_snapshot_is_taken() {
    let config = Config {
        check_snapshot: Default::default(),
        ..config(1, 3)
    };
    let mut core = started(config, 3, &[]);
    let refused = core.request(install(3, (5, 3), 0..WHOLE)).unwrap_err();
    assert!(matches!(refused, Rejected::BadSnapshot(_)), "{refused}");
}

// All of it at once

/// Logs are cut at any time, and followers that were away get snapshots in small parts. The cluster
/// itself checks that no two servers apply different entries at one index.
#[test]
fn no_two_servers_apply_different_entries_though_logs_are_cut_at_any_time() {
    let mut installs = 0;
    for seed in 0..60 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut cluster = Cluster::with(3, |config| {
            config.max_part_bytes = 4;
            config.max_batch_entries = 2;
            config.keep_while_sending = seed % 4;
        });
        cluster.slow_disks = seed % 3 == 0;
        for _ in 0..2_000 {
            let id = rng.random_range(1..=3);
            let applied = cluster.running(id).map_or(0, Raft::last_applied);
            let covered = cluster.running(id).and_then(|core| core.snapshot());
            let is_new = covered.map_or(0, |snapshot| snapshot.last_index) < applied;
            match rng.random_range(0..15) {
                0 if is_new => cluster.snapshot(id, rng.random_range(0..3)),
                _ => figure_3::step(&mut cluster, &mut rng),
            }
        }
        let installed = |event: &&String| event.contains("installs the snapshot");
        installs += cluster.events.iter().filter(installed).count();
    }
    assert!(installs > 100, "{installs} installs: too quiet a walk");
}
