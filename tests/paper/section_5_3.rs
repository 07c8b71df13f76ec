//! Section 5.3: how a leader finds where a follower's log parts from its own, and how often it has
//! to ask.

use super::raft::{Cluster, command, terms};
use super::*;

/// How many requests node 1, with the log `leader` and elected in the term after, needs until node 2,
/// which starts with the log `other`, has the same.
fn round_trips(leader: &[u64], other: &[u64]) -> usize {
    let term = *leader.iter().chain(other).max().unwrap();
    let mut cluster = Cluster::new(3);
    for (id, log) in [(1, leader), (2, other)] {
        let hard_state = HardState {
            current_term: term,
            voted_for: None,
        };
        cluster.replace_disk(id, hard_state, log);
    }
    cluster.campaign(1);
    // Node 3 has nothing, and votes for anyone.
    cluster.deliver_one(1, 3);
    cluster.deliver_one(3, 1);
    cluster.deliver_one(1, 2);
    cluster.deliver_one(2, 1);
    let last = leader.len() as u64 + 1;
    for trips in 1.. {
        let prev = match &cluster
            .wire
            .iter()
            .find(|packet| packet.to == 2)
            .unwrap()
            .message
        {
            super::raft::Message::Request(Request::AppendEntries(append)) => append.prev_log_index,
            other => panic!("not an append: {other:?}"),
        };
        cluster.deliver_one(1, 2);
        cluster.deliver_one(2, 1);
        let (match_index, next_index) = cluster.core(1).progress(2).unwrap();
        if match_index == last {
            let expected: Vec<u64> = leader.iter().copied().chain([term + 1]).collect();
            assert_eq!(terms(cluster.core(2).log()), expected);
            return trips;
        }
        assert!(next_index <= prev, "the same question is never asked twice");
    }
    unreachable!()
}

const LEADER: [u64; 10] = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];

#[test]
fn figure_7_a_lacks_one_entry() {
    assert_eq!(round_trips(&LEADER, &[1, 1, 1, 4, 4, 5, 5, 6, 6]), 2);
}

#[test]
fn figure_7_b_lacks_many_entries() {
    assert_eq!(round_trips(&LEADER, &[1, 1, 1, 4]), 2);
}

#[test]
fn figure_7_c_has_an_entry_too_many() {
    assert_eq!(round_trips(&LEADER, &[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6]), 1);
}

#[test]
fn figure_7_d_has_a_later_term_at_its_end() {
    let other = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7];
    assert_eq!(round_trips(&LEADER, &other), 1);
}

#[test]
fn figure_7_e_is_short_and_conflicts() {
    assert_eq!(round_trips(&LEADER, &[1, 1, 1, 4, 4, 4, 4]), 3);
}

#[test]
fn figure_7_f_has_two_terms_that_the_leader_never_saw() {
    assert_eq!(round_trips(&LEADER, &[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3]), 3);
}

#[test]
fn an_empty_log_is_filled_after_one_question() {
    assert_eq!(round_trips(&LEADER, &[]), 2);
}

#[test]
fn a_conflict_takes_one_question_for_each_term_however_long_the_terms() {
    let leader: Vec<u64> = [1; 5].into_iter().chain([9; 60]).collect();
    let other: Vec<u64> = [[1; 5].as_slice(), &[2; 20], &[3; 20], &[4; 20]].concat();
    // Terms 4, 3 and 2, and then the place where both agree.
    assert_eq!(round_trips(&leader, &other), 4);
}

#[test]
fn a_leader_that_has_the_conflicting_term_resumes_after_its_own_last_entry_of_it() {
    let (mut core, ready) = elected(3, 6, &[1, 2, 2, 2, 5, 5]);
    let send = sent(&ready.send, 2);
    // The follower has 1 2 2 2 2 2: term 2 from index 2 on.
    let ready = core.reply(2, send.call, conflict(6, Some(2), 2));
    assert_eq!(appended(&sent(&ready.send, 2)).prev_log_index, 4);
}

#[test]
fn a_leader_that_lacks_the_conflicting_term_skips_all_of_it() {
    let (mut core, ready) = elected(3, 6, &[1, 2, 2, 5, 5, 5]);
    let send = sent(&ready.send, 2);
    let ready = core.reply(2, send.call, conflict(6, Some(3), 4));
    assert_eq!(appended(&sent(&ready.send, 2)).prev_log_index, 3);
}

#[test]
fn a_refusal_of_a_superseded_request_does_not_move_the_leader_back() {
    let mut core = settled(3, 1, &[]);
    let (_, ready) = core.propose([command(1, "a")]).unwrap();
    let send = sent(&ready.send, 2);
    let _ = core.lost(2, send.call);
    let before = core.progress(2);
    let _ = core.reply(2, send.call, conflict(1, None, 1));
    assert_eq!(core.progress(2), before);
}

#[test]
fn a_follower_that_lost_its_log_is_filled_again() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, &["a", "b", "c"]).unwrap();
    cluster.deliver();
    cluster.replace_disk(3, HardState::default(), &[]);
    cluster.heartbeat(1);
    assert_eq!(cluster.core(1).progress(3), Some((4, 5)));
    assert_eq!(cluster.core(3).log(), cluster.core(1).log());
    assert_eq!(cluster.core(3).commit_index(), 4);
}

#[test]
fn a_command_is_held_by_the_others_after_one_round_trip() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, &["a"]).unwrap();
    for (from, to) in [(1, 2), (2, 1)] {
        cluster.deliver_one(from, to);
    }
    assert_eq!(cluster.core(1).commit_index(), 2);
}
