//! What the paper leaves to those who build it: when messages may leave, what happens to those that
//! do not arrive, how much is under way at once, and what is not believed.

use std::collections::BTreeSet;

use raftian::raft::{MAX_TERM, NotProposed, Rejected, RoleName};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::raft::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, Message, command, terms};
use super::*;

// Time

#[test]
fn election_timeouts_are_drawn_anew_for_each_election_and_within_the_range() {
    let (min, max) = ELECTION_TIMEOUT;
    let mut core = follower(1, 3, 0, &[]);
    let mut drawn = BTreeSet::new();
    let mut now = 0;
    for _ in 0..200 {
        let started = now;
        (now, _) = next_election(&mut core);
        let timeout = now - started;
        assert!((min..=max).contains(&timeout), "{timeout} ms");
        drawn.insert(timeout);
    }
    assert!(drawn.len() > 50, "only {} different ones", drawn.len());
    assert!(*drawn.first().unwrap() < min + 20 && *drawn.last().unwrap() > max - 20);
}

#[test]
fn election_timeouts_are_drawn_anew_when_the_leader_speaks() {
    let mut core = follower(1, 3, 1, &[]);
    let drawn: BTreeSet<_> = (0..100)
        .map(|_| {
            let _ = core.request(append(2, 1, (0, 0), &[], 0)).unwrap();
            core.deadline().unwrap()
        })
        .collect();
    assert!(drawn.len() > 30);
}

#[test]
fn nodes_with_one_seed_draw_different_timeouts() {
    let drawn: BTreeSet<_> = (1..=9)
        .map(|id| follower(id, 9, 0, &[]).deadline())
        .collect();
    assert!(drawn.len() > 4);
}

/// On a random walk, every node is asked what would happen if time came to its deadline.
#[test]
fn before_its_deadline_a_node_has_nothing_to_do_and_at_its_deadline_it_does_it() {
    let mut rng = Xoshiro256PlusPlus::seed_from_u64(5);
    let mut cluster = Cluster::new(3);
    let mut clock = [0; 4];
    let mut due = 0;
    for _ in 0..3_000 {
        for id in 1..=3 {
            let core = cluster.core(id);
            let now = clock[id as usize];
            let Some(deadline) = core.deadline() else {
                assert_eq!(core.clone().tick(now + 1_000_000), Ready::default());
                continue;
            };
            if deadline > now {
                let mut early = core.clone();
                assert_eq!(early.tick(deadline - 1), Ready::default());
                assert_eq!(early.deadline(), Some(deadline));
            }
            let at = deadline.max(now);
            let mut core = core.clone();
            let ready = core.tick(at);
            // A candidate may find that all have answered; it looks again later.
            let acts = ready != Ready::default() || core.role() == RoleName::Candidate;
            assert!(acts, "node {id} at {at}");
            assert!(
                core.deadline().is_none_or(|next| next > at),
                "it does not spin"
            );
            due += 1;
        }
        let id = rng.random_range(1..=3);
        let front = cluster.wire.front().map(|packet| (packet.from, packet.to));
        match (rng.random_range(0..10), front) {
            (0..3, Some((from, to))) => cluster.drop_one(from, to),
            (3..8, Some((from, to))) => cluster.deliver_one(from, to),
            (8, _) => drop(cluster.propose(id, &["x"])),
            _ => {
                let ms = rng.random_range(1..60);
                clock[id as usize] += ms;
                cluster.tick(id, ms);
            }
        }
    }
    assert!(due > 5_000 && cluster.leaders.len() > 3);
}

// What may leave when

#[test]
fn vote_requests_leave_after_the_save_and_appends_do_not_wait() {
    let (_, ready) = candidate(3, 1, &[]);
    assert!(ready.send.is_empty() && ready.after_save.len() == 2 && ready.save.is_some());
    let (_, ready) = elected(3, 1, &[]);
    assert!(ready.after_save.is_empty() && ready.send.len() == 2 && ready.save.is_some());
}

#[test]
fn a_vote_does_not_leave_a_slow_disk_behind() {
    let mut cluster = Cluster::new(3);
    cluster.slow_disks = true;
    cluster.campaign(1);
    assert!(cluster.wire.is_empty());
    cluster.finish_save(1);
    assert_eq!(cluster.wire.len(), 2);
    cluster.deliver();
    assert_eq!(cluster.core(1).role(), RoleName::Candidate);
    cluster.finish_save(2);
    cluster.deliver();
    assert_eq!(cluster.core(1).role(), RoleName::Leader);
}

// Requests under way

#[test]
fn one_request_is_under_way_to_a_peer_and_commands_gather_meanwhile() {
    let mut core = settled(3, 1, &[]);
    let (_, first) = core.propose([command(1, "a")]).unwrap();
    for serial in 2..=4 {
        let (_, ready) = core.propose([command(serial, "b")]).unwrap();
        assert_eq!(ready.send, []);
    }
    assert_eq!(core.tick(HEARTBEAT * 100).send, []);
    let ready = core.reply(2, sent(&first.send, 2).call, matched(1, 2));
    let request = appended(&sent(&ready.send, 2)).clone();
    assert_eq!(request.entries, core.log().from(3));
    assert_eq!(request.entries.len(), 3);
    assert_eq!(ready.send.len(), 1);
}

#[test]
fn a_batch_ends_at_its_limit_of_entries_and_of_bytes() {
    let by_entries = Cluster::with(2, |config| config.max_batch_entries = 2);
    let one = entries(1, &[1])[0].encoded_len();
    let by_bytes = Cluster::with(2, |config| config.max_batch_bytes = 3 * one);
    // A command is longer than a no-op: two fit into three no-ops' bytes.
    for mut cluster in [by_entries, by_bytes] {
        cluster.elect(1);
        cluster.propose(1, &["a", "b", "c", "d", "e"]).unwrap();
        let mut batches = Vec::new();
        while let Some(packet) = cluster.wire.front().cloned() {
            if let Message::Request(Request::AppendEntries(request)) = &packet.message {
                batches.push(request.entries.len());
            }
            cluster.deliver_one(packet.from, packet.to);
        }
        assert_eq!(batches, [2, 2, 1, 0]);
    }
}

#[test]
fn an_entry_larger_than_a_batch_is_sent_alone() {
    let mut cluster = Cluster::with(2, |config| config.max_batch_bytes = 1);
    cluster.elect(1);
    cluster.propose(1, &["a", "b"]).unwrap();
    cluster.deliver();
    assert_eq!(cluster.core(2).commit_index(), 3);
}

#[test]
fn after_a_lost_request_only_empty_heartbeats_are_sent_until_the_peer_answers() {
    let mut core = settled(2, 1, &[]);
    let (_, ready) = core.propose([command(1, "a")]).unwrap();
    let mut send = sent(&ready.send, 2);
    for _ in 0..3 {
        assert_eq!(core.lost(2, send.call), Ready::default());
        let (_, ready) = core.propose([command(2, "b")]).unwrap();
        assert_eq!(ready.send, []);
        let due = core.deadline().unwrap();
        assert_eq!(core.tick(due - 1), Ready::default());
        let ready = core.tick(due);
        send = sent(&ready.send, 2);
        assert_eq!(send.request, append(1, 1, (1, 1), &[], 1));
    }
    let ready = core.reply(2, send.call, matched(1, 1));
    assert_eq!(appended(&sent(&ready.send, 2)).entries, core.log().from(2));
}

#[test]
fn a_lost_vote_request_is_repeated_and_an_answered_one_is_not() {
    let (mut core, ready) = candidate(5, 1, &[]);
    let now = core.deadline().unwrap();
    let _ = core.lost(2, sent(&ready.after_save, 2).call);
    let _ = core.reply(3, sent(&ready.after_save, 3).call, vote_reply(1, false));
    let ready = core.tick(now);
    assert_eq!(ready.after_save.len(), 1);
    assert_eq!(sent(&ready.after_save, 2).request, vote(1, 1, (0, 0)));
}

#[test]
fn a_reply_counts_once_for_its_own_request_and_its_own_peer() {
    let mut core = settled(3, 1, &[]);
    let (_, ready) = core.propose([command(1, "a")]).unwrap();
    let send = sent(&ready.send, 2);
    let before = core.progress(2);
    for (from, call) in [(2, send.call + 100), (3, send.call), (9, send.call)] {
        assert_eq!(core.reply(from, call, matched(1, 2)), Ready::default());
    }
    assert_eq!(core.progress(2), before);
    let _ = core.reply(2, send.call, matched(1, 2));
    let after = core.progress(2);
    assert_eq!(
        core.reply(2, send.call, conflict(1, None, 1)),
        Ready::default()
    );
    assert_eq!(core.progress(2), after);
}

#[test]
fn a_reply_of_an_earlier_term_counts_for_nothing() {
    let (mut core, ready) = candidate(3, 5, &[]);
    let send = sent(&ready.after_save, 2);
    let _ = core.reply(2, send.call, vote_reply(4, true));
    assert_eq!(core.role(), RoleName::Candidate);

    let mut core = settled(3, 5, &[]);
    let (_, ready) = core.propose([command(1, "a")]).unwrap();
    let send = sent(&ready.send, 2);
    let before = core.progress(2);
    let _ = core.reply(2, send.call, matched(4, 2));
    assert_eq!(core.progress(2), before);
}

#[test]
fn a_reply_to_a_role_that_is_over_is_ignored() {
    // To a candidate that follows by now, and to a leader that follows by now.
    let (mut core, ready) = candidate(3, 1, &[]);
    let _ = core.request(append(3, 1, (0, 0), &[], 0)).unwrap();
    let send = sent(&ready.after_save, 2);
    assert_eq!(
        core.reply(2, send.call, vote_reply(1, true)),
        Ready::default()
    );
    assert_eq!(core.role(), RoleName::Follower);

    let mut core = settled(3, 1, &[]);
    let (_, ready) = core.propose([command(1, "a")]).unwrap();
    let _ = core.request(append(3, 2, (1, 1), &[], 0)).unwrap();
    let send = sent(&ready.send, 2);
    assert_eq!(core.reply(2, send.call, matched(1, 2)), Ready::default());
    assert_eq!(core.commit_index(), 1);
}

// Proposals

#[test]
fn only_a_leader_takes_commands_and_others_name_it_if_they_can() {
    let not = |core: &mut Raft| core.propose([command(1, "a")]).unwrap_err();
    let mut core = follower(1, 3, 1, &[]);
    assert_eq!(not(&mut core), NotProposed::NotLeader(None));
    let _ = core.request(append(2, 1, (0, 0), &[], 0)).unwrap();
    assert_eq!(not(&mut core), NotProposed::NotLeader(Some(2)));
    let (mut core, _) = candidate(3, 1, &[]);
    assert_eq!(not(&mut core), NotProposed::NotLeader(None));
    assert_eq!(core.log().last_index(), 0);
}

#[test]
fn a_leader_refuses_commands_while_too_many_wait_and_takes_them_again_afterwards() {
    let mut cluster = Cluster::with(3, |config| config.max_uncommitted = 2);
    cluster.elect(1);
    cluster.propose(1, &["a"]).unwrap();
    cluster.propose(1, &["b"]).unwrap();
    assert_eq!(cluster.propose(1, &["c"]), Err(NotProposed::Full));
    assert_eq!(cluster.core(1).log().last_index(), 3);
    cluster.deliver();
    cluster.propose(1, &["c"]).unwrap();
}

// What is not believed

/// Puts a request to a follower in term 3 with the log 1 2 that knows its leader, node 2, and to the
/// leader of term 3. Both must refuse it, and stay as they are.
fn refused(request: Request) -> Rejected {
    let mut core = follower(1, 3, 3, &[1, 2]);
    let _ = core.request(append(2, 3, (2, 2), &[], 1)).unwrap();
    let mut rejections = Vec::new();
    for mut core in [core, settled(3, 3, &[1, 2])] {
        let state = |core: &Raft| {
            (
                (
                    core.role(),
                    core.current_term(),
                    core.voted_for(),
                    core.leader(),
                ),
                (terms(core.log()), core.commit_index(), core.deadline()),
            )
        };
        let before = state(&core);
        rejections.push(core.request(request.clone()).expect_err("a refusal"));
        assert_eq!(state(&core), before);
        // Nothing is left behind for the next step either.
        assert_eq!(core.lost(2, 0), Ready::default());
    }
    rejections.pop().unwrap()
}

#[test]
fn a_request_from_no_other_member_changes_neither_term_nor_timer() {
    for from in [0, 1, 4, u64::MAX] {
        assert_eq!(refused(vote(from, 9, (9, 8))), Rejected::NotAMember(from));
        assert_eq!(
            refused(append(from, 9, (2, 2), &[9], 2)),
            Rejected::NotAMember(from)
        );
    }
}

#[test]
fn a_second_leader_in_a_term_is_refused() {
    let second = Rejected::SecondLeader { from: 3, term: 3 };
    assert_eq!(refused(append(3, 3, (2, 2), &[3], 2)), second);
}

#[test]
fn an_append_that_contradicts_itself_is_refused() {
    let gap = Request::AppendEntries(AppendEntries {
        term: 4,
        leader_id: 2,
        prev_log_index: 2,
        prev_log_term: 2,
        entries: entries(4, &[4]),
        leader_commit: 0,
    });
    for request in [
        gap,
        append(2, 4, (2, 2), &[4, 3], 0),
        append(2, 4, (2, 2), &[1], 0),
        append(2, 4, (2, 2), &[5], 0),
        append(2, 4, (2, 5), &[], 0),
        append(2, 4, (0, 0), &[0], 0),
        append(2, 4, (0, 1), &[], 0),
        append(2, 4, (1, 0), &[], 0),
        append(2, 4, (u64::MAX, 2), &[], 0),
        append(2, 4, (i64::MAX as u64, 2), &[4], 0),
    ] {
        let rejected = refused(request.clone());
        assert!(
            matches!(rejected, Rejected::Malformed(_)),
            "{request:?}: {rejected}"
        );
    }
}

#[test]
fn a_term_beyond_the_highest_is_not_believed() {
    for term in [MAX_TERM + 1, u64::MAX] {
        assert!(matches!(
            refused(vote(2, term, (2, 2))),
            Rejected::Malformed(_)
        ));
        assert!(matches!(
            refused(append(2, term, (2, 2), &[], 0)),
            Rejected::Malformed(_)
        ));
        let mut core = settled(3, 3, &[]);
        let (_, ready) = core.propose([command(1, "a")]).unwrap();
        let send = sent(&ready.send, 2);
        let _ = core.reply(2, send.call, conflict(term, None, 1));
        assert_eq!((core.role(), core.current_term()), (RoleName::Leader, 3));
    }
}

#[test]
fn a_leader_that_would_overwrite_what_is_committed_is_refused() {
    // Index 1 is committed on the follower, 1 to 3 on the leader.
    for request in [append(2, 9, (0, 0), &[5], 0), append(2, 9, (1, 5), &[], 0)] {
        assert_eq!(refused(request), Rejected::Contradicts { index: 1 });
    }
}
