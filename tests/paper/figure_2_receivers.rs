//! Figure 2, "AppendEntries RPC" and "RequestVote RPC": what the receiver does.

use raftian::raft::RoleName;

use super::raft::terms;
use super::*;

const NO_HINT: Option<u64> = None;

#[test]
fn append_1_an_earlier_term_is_refused_and_told_the_term() {
    let mut core = follower(1, 3, 5, &[1, 1]);
    let before = core.deadline();
    let ready = core.request(append(2, 4, (1, 1), &[4], 2)).unwrap();
    assert!(matches!(outcome(&ready), AppendOutcome::Conflict { .. }));
    assert_eq!(ready.reply.unwrap().term(), 5);
    // And nothing else happens.
    assert_eq!((core.leader(), core.commit_index()), (None, 0));
    assert_eq!((terms(core.log()), core.deadline()), (vec![1, 1], before));
}

#[test]
fn append_2_without_an_entry_at_prev_log_index_it_is_refused() {
    let mut core = follower(1, 3, 1, &[1, 1]);
    let ready = core.request(append(2, 1, (3, 1), &[1], 0)).unwrap();
    let index = 3;
    assert_eq!(
        outcome(&ready),
        AppendOutcome::Conflict {
            term: NO_HINT,
            index
        }
    );
    assert_eq!(terms(core.log()), [1, 1]);
}

#[test]
fn append_2_with_another_term_at_prev_log_index_it_is_refused() {
    let mut core = follower(1, 3, 3, &[1, 2, 2]);
    let ready = core.request(append(2, 3, (3, 3), &[3], 3)).unwrap();
    let (term, index) = (Some(2), 2);
    assert_eq!(outcome(&ready), AppendOutcome::Conflict { term, index });
    // The refusal itself erases and commits nothing.
    assert_eq!((terms(core.log()), core.commit_index()), (vec![1, 2, 2], 0));
    assert_eq!(ready.save, None);
}

#[test]
fn append_3_an_entry_that_conflicts_goes_with_all_that_follow_it() {
    let mut core = follower(1, 3, 3, &[1, 2, 2, 2]);
    let ready = core.request(append(2, 3, (1, 1), &[2, 3], 0)).unwrap();
    assert_eq!(outcome(&ready), AppendOutcome::Matched(3));
    assert_eq!(terms(core.log()), [1, 2, 3]);
    // Only from the conflict on is anything written.
    assert_eq!(saved_entries(&ready), [(3, 3)]);
}

#[test]
fn append_3_without_a_conflict_nothing_is_erased() {
    let whole = [1, 1, 2, 2];
    for request in [
        append(2, 2, (0, 0), &whole, 0),
        append(2, 2, (0, 0), &whole[..2], 0),
        append(2, 2, (1, 1), &whole[1..3], 0),
        append(2, 2, (1, 1), &[], 0),
        append(2, 2, (0, 0), &[], 0),
        append(2, 2, (4, 2), &[], 0),
    ] {
        let mut core = follower(1, 3, 2, &whole);
        let ready = core.request(request.clone()).unwrap();
        let Request::AppendEntries(request) = request else {
            unreachable!("only appends are listed")
        };
        // It answers for this request only, not for what it holds beyond.
        let end = request.prev_log_index + request.entries.len() as u64;
        assert_eq!(outcome(&ready), AppendOutcome::Matched(end));
        assert_eq!(terms(core.log()), whole);
        assert_eq!(ready.save, None);
    }
}

#[test]
fn append_4_entries_that_are_missing_are_added_and_those_present_are_not_added_twice() {
    let mut core = follower(1, 3, 2, &[1, 1]);
    let ready = core.request(append(2, 2, (1, 1), &[1, 2, 2], 0)).unwrap();
    assert_eq!(outcome(&ready), AppendOutcome::Matched(4));
    assert_eq!(terms(core.log()), [1, 1, 2, 2]);
    assert_eq!(saved_entries(&ready), [(3, 2), (4, 2)]);
}

#[test]
fn append_5_the_commit_index_is_the_leaders_but_not_beyond_the_last_entry_checked() {
    // Where the request starts, its entries, leader_commit, and what is then committed; all in a log
    // of 1 1 1.
    for (prev, entries, leader_commit, expected) in [
        ((3, 1), vec![], 2, 2),
        ((3, 1), vec![], 9, 3),
        ((1, 1), vec![], 3, 1),
        ((1, 1), vec![1], 3, 2),
        ((3, 1), vec![1, 1], 4, 4),
        ((0, 0), vec![], 3, 0),
    ] {
        let mut core = follower(1, 3, 1, &[1, 1, 1]);
        let request = append(2, 1, prev, &entries, leader_commit);
        let ready = core.request(request.clone()).unwrap();
        assert_eq!(core.commit_index(), expected, "{request:?}");
        assert_eq!(committed(&ready), Vec::from_iter(1..=expected));
    }
}

#[test]
fn append_5_a_refused_request_commits_nothing() {
    let mut core = follower(1, 3, 2, &[1, 1, 1]);
    let _ = core.request(append(2, 2, (3, 2), &[], 3)).unwrap();
    let _ = core.request(append(2, 2, (4, 2), &[], 3)).unwrap();
    assert_eq!(core.commit_index(), 0);
}

#[test]
fn vote_1_an_earlier_term_gets_no_vote_and_is_told_the_term() {
    let mut core = follower(1, 3, 5, &[]);
    let ready = core.request(vote(2, 4, (9, 3))).unwrap();
    assert!(!votes(&ready));
    assert_eq!(ready.reply.unwrap().term(), 5);
    assert_eq!(core.voted_for(), None);
}

#[test]
fn vote_2_the_first_candidate_of_a_term_gets_the_vote_and_the_second_does_not() {
    let mut core = follower(1, 5, 4, &[]);
    assert!(votes(&core.request(vote(2, 5, (0, 0))).unwrap()));
    assert!(!votes(&core.request(vote(3, 5, (0, 0))).unwrap()));
    // However good its log.
    assert!(!votes(&core.request(vote(4, 5, (99, 4))).unwrap()));
    assert_eq!(core.voted_for(), Some(2));
}

#[test]
fn vote_2_the_same_candidate_gets_the_same_vote_again() {
    let mut core = follower(1, 3, 0, &[]);
    assert!(votes(&core.request(vote(2, 1, (0, 0))).unwrap()));
    assert!(votes(&core.request(vote(2, 1, (0, 0))).unwrap()));
}

#[test]
fn vote_2_a_candidate_and_a_leader_have_voted_for_themselves() {
    let (mut core, _) = candidate(3, 2, &[1]);
    assert!(!votes(&core.request(vote(2, 2, (1, 1))).unwrap()));
    let mut core = settled(3, 2, &[1]);
    assert!(!votes(&core.request(vote(2, 2, (9, 1))).unwrap()));
    assert_eq!(core.role(), RoleName::Leader);
}

/// Section 5.4.1: the last term decides, then the length.
#[test]
fn vote_2_only_a_log_that_is_at_least_as_up_to_date_gets_the_vote() {
    // The voter's log ends at index 3 in term 2.
    for (last, expected) in [
        ((3, 2), true),
        ((4, 2), true),
        ((2, 2), false),
        ((1, 3), true),
        ((3, 3), true),
        ((99, 1), false),
        ((3, 1), false),
        ((0, 0), false),
    ] {
        let mut core = follower(1, 3, 3, &[1, 2, 2]);
        let ready = core.request(vote(2, 4, last)).unwrap();
        assert_eq!(votes(&ready), expected, "{last:?}");
        assert_eq!(core.voted_for(), expected.then_some(2));
        assert_eq!(core.current_term(), 4);
    }
}

#[test]
fn vote_2_a_refusal_leaves_the_vote_free_for_a_better_candidate() {
    let mut core = follower(1, 3, 1, &[1, 1]);
    assert!(!votes(&core.request(vote(2, 2, (1, 1))).unwrap()));
    let ready = core.request(vote(3, 2, (2, 1))).unwrap();
    assert!(votes(&ready));
    // The term is saved already; the vote is not.
    assert_eq!(saved_state(&ready), Some((2, Some(3))));
}
