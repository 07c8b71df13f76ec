//! Section 5.4.2: what counts as committed.

use raftian::raft::RoleName;

use super::raft::{Cluster, command, terms};
use super::*;

#[test]
fn a_new_leader_appends_an_entry_of_its_own_term_at_once() {
    let (core, ready) = elected(3, 4, &[1, 2]);
    assert_eq!(terms(core.log()), [1, 2, 4]);
    assert_eq!(core.log().get(3), entries(3, &[4]).first());
    assert_eq!(saved_entries(&ready), [(3, 4)]);
    for peer in [2, 3] {
        assert_eq!(appended(&sent(&ready.send, peer)).entries, entries(3, &[4]));
    }
}

#[test]
fn an_entry_of_an_earlier_term_is_not_committed_by_counting() {
    let (mut core, ready) = elected(3, 4, &[1, 2]);
    let _ = core.saved(ready.save.unwrap().mark().unwrap());
    // The first request is lost; the answer to the heartbeat that follows shows that node 2 holds
    // index 2, which is a majority.
    let _ = core.lost(2, sent(&ready.send, 2).call);
    let ready = core.tick(core.deadline().unwrap());
    let send = sent(&ready.send, 2);
    assert_eq!(end(&send), 2);
    let ready = core.reply(2, send.call, matched(4, 2));
    assert_eq!((core.progress(2), core.commit_index()), (Some((2, 3)), 0));
    // The entry of term 4 takes it along.
    let ready = core.reply(2, sent(&ready.send, 2).call, matched(4, 3));
    assert_eq!(committed(&ready), [1, 2, 3]);
}

#[test]
fn a_leader_counts_itself_when_its_own_save_is_done_and_sends_before() {
    let mut core = settled(3, 1, &[]);
    let (_, ready) = core.propose([command(1, "a")]).unwrap();
    assert_eq!(ready.send.len(), 2);
    assert_eq!(ready.after_save, []);
    let mark = ready.save.unwrap().mark().unwrap();
    let send = sent(&ready.send, 2);
    assert_eq!(committed(&core.reply(2, send.call, matched(1, 2))), NOTHING);
    assert_eq!(committed(&core.saved(mark)), [2]);
}

#[test]
fn a_leader_whose_own_save_is_slow_commits_with_a_majority_of_others() {
    let mut core = settled(5, 1, &[]);
    let (_, ready) = core.propose([command(1, "a")]).unwrap();
    for (peer, expected) in [(2, vec![]), (3, vec![]), (4, vec![2])] {
        let send = sent(&ready.send, peer);
        assert_eq!(
            committed(&core.reply(peer, send.call, matched(1, 2))),
            expected
        );
    }
}

#[test]
fn a_save_of_an_earlier_term_does_not_count_for_entries_that_replaced_it() {
    // Node 1 appends 2@1 and 3@1 as the leader of term 1; before that is saved, the leader of term 2
    // replaces both by 2@2, and node 1 wins term 3 and appends 3@3.
    let mut core = settled(3, 1, &[]);
    let lost = [command(1, "lost"), command(2, "lost")];
    let (_, ready) = core.propose(lost).unwrap();
    let late = ready.save.unwrap().mark().unwrap();
    let _ = core.request(append(2, 2, (1, 1), &[2], 1)).unwrap();
    let (_, ready) = next_election(&mut core);
    let send = sent(&ready.after_save, 2);
    let ready = core.reply(2, send.call, vote_reply(3, true));
    assert_eq!(core.role(), RoleName::Leader);
    assert_eq!(terms(core.log()), [1, 2, 3]);
    let noop = ready.save.unwrap().mark().unwrap();
    let send = sent(&ready.send, 2);
    assert_eq!(committed(&core.saved(late)), NOTHING);
    let ready = core.reply(2, send.call, matched(3, 3));
    assert_eq!(committed(&ready), NOTHING);
    assert_eq!(committed(&core.saved(noop)), [2, 3]);
}

#[test]
fn a_save_that_is_reported_late_does_not_take_back_a_later_one() {
    let mut core = settled(3, 1, &[]);
    let (_, first) = core.propose([command(1, "a")]).unwrap();
    let (_, second) = core.propose([command(2, "b")]).unwrap();
    let _ = core.saved(second.save.unwrap().mark().unwrap());
    let _ = core.saved(first.save.unwrap().mark().unwrap());
    let send = sent(&first.send, 2);
    let ready = core.reply(2, send.call, matched(1, 2));
    assert_eq!(committed(&ready), [2]);
    let ready = core.reply(2, sent(&ready.send, 2).call, matched(1, 3));
    assert_eq!(committed(&ready), [3]);
}

#[test]
fn a_lone_node_commits_only_what_it_has_saved() {
    let mut core = follower(1, 1, 0, &[]);
    let ready = core.tick(core.deadline().unwrap());
    assert_eq!(core.role(), RoleName::Leader);
    assert_eq!(committed(&ready), NOTHING);
    let save = ready.save.unwrap();
    assert_eq!(save.hard_state.unwrap().voted_for, Some(1));
    assert_eq!(committed(&core.saved(save.mark().unwrap())), [1]);
    let (_, ready) = core.propose([command(1, "a")]).unwrap();
    assert_eq!(committed(&ready), NOTHING);
    assert_eq!(
        committed(&core.saved(ready.save.unwrap().mark().unwrap())),
        [2]
    );
    assert_eq!(core.deadline(), None);
}

/// Figure 8 up to (c): node n is S n. In term 4 S1 leads; its entry at index 2, of term 2, is on S1,
/// S2 and S3; its entry of term 4, at index 3, is on its own disk only.
fn figure_8_c() -> Cluster {
    let mut cluster = Cluster::with(5, |config| config.max_batch_entries = 1);
    // (a) Everyone has 1@1. S1 leads in term 2 and reaches S2.
    for id in 1..=5 {
        cluster.replace_disk(
            id,
            HardState {
                current_term: 1,
                voted_for: None,
            },
            &[1],
        );
    }
    cluster.campaign(1);
    for id in 2..=5 {
        cluster.deliver_one(1, id);
    }
    cluster.deliver_one(3, 1);
    cluster.deliver_one(4, 1);
    cluster.deliver_one(1, 2);
    cluster.crash(1);
    cluster.drop_all();
    // (b) S5 leads in term 3, voted for by S3 and S4, and reaches nobody.
    cluster.campaign(5);
    for (from, to) in [(5, 3), (5, 4), (3, 5), (4, 5)] {
        cluster.deliver_one(from, to);
    }
    assert_eq!(cluster.core(5).role(), RoleName::Leader);
    cluster.crash(5);
    cluster.drop_all();
    // (c) S1 is back, loses term 3 and leads in term 4.
    cluster.restart(1);
    cluster.campaign(1);
    cluster.deliver();
    cluster.campaign(1);
    for (from, to) in [(1, 2), (1, 3), (1, 4), (2, 1), (3, 1)] {
        cluster.deliver_one(from, to);
    }
    assert_eq!(cluster.core(1).role(), RoleName::Leader);
    assert_eq!(cluster.core(1).current_term(), 4);
    cluster.drop_all();
    cluster.tick(1, super::raft::HEARTBEAT);
    for (from, to) in [(1, 2), (2, 1), (1, 3), (3, 1), (1, 3), (3, 1)] {
        cluster.deliver_one(from, to);
    }
    assert_eq!(terms(cluster.core(1).log()), [1, 2, 4]);
    assert_eq!(terms(cluster.core(2).log()), [1, 2]);
    assert_eq!(terms(cluster.core(3).log()), [1, 2]);
    assert_eq!(cluster.core(1).progress(2), Some((2, 3)));
    assert_eq!(cluster.core(1).progress(3), Some((2, 3)));
    cluster
}

#[test]
fn figure_8_an_entry_of_term_2_on_three_of_five_is_not_committed_and_can_be_replaced() {
    let mut cluster = figure_8_c();
    assert_eq!(cluster.core(1).commit_index(), 0);
    // (d) S5 wins with S2, S3 and S4, and replaces index 2.
    cluster.crash(1);
    cluster.drop_all();
    cluster.restart(5);
    while cluster.core(5).role() != RoleName::Leader {
        cluster.campaign(5);
        cluster.deliver();
    }
    for id in 2..=5 {
        assert_eq!(terms(cluster.core(id).log())[..2], [1, 3], "S{id}");
    }
}

#[test]
fn figure_8_an_entry_of_term_4_on_three_of_five_commits_what_is_before_it() {
    let mut cluster = figure_8_c();
    // (e) Index 3 reaches S2 and S3.
    for (from, to) in [(1, 2), (2, 1), (1, 3), (3, 1)] {
        cluster.deliver_one(from, to);
    }
    assert_eq!(cluster.core(1).commit_index(), 3);
    // S5 has no chance any more.
    cluster.crash(1);
    cluster.drop_all();
    cluster.restart(5);
    for _ in 0..5 {
        cluster.campaign(5);
        cluster.deliver();
        assert_ne!(cluster.core(5).role(), RoleName::Leader);
    }
}
