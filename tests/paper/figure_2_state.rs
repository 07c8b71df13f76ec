//! Figure 2, "State".

use raftian::raft::{HardState, Log, Raft, RoleName};

use super::raft::{Cluster, command, config, terms};
use super::*;

#[test]
fn a_new_node_is_a_follower_in_term_0_without_a_vote_or_an_entry() {
    let core = Raft::new(config(1, 3), HardState::default(), None, Log::default());
    assert_eq!(core.role(), RoleName::Follower);
    assert_eq!((core.current_term(), core.voted_for()), (0, None));
    assert_eq!((core.log().last_index(), core.log().last_term()), (0, 0));
}

#[test]
fn the_term_only_grows() {
    let mut core = follower(1, 3, 5, &[]);
    for request in [append(2, 4, (0, 0), &[], 0), vote(3, 4, (0, 0))] {
        let ready = core.request(request).unwrap();
        assert_eq!(ready.reply.unwrap().term(), 5);
        assert_eq!(core.current_term(), 5);
    }
    let _ = core.request(vote(3, 7, (0, 0))).unwrap();
    assert_eq!(core.current_term(), 7);
}

#[test]
fn the_vote_is_free_again_in_a_new_term() {
    let mut core = follower(1, 3, 0, &[]);
    let _ = core.request(vote(2, 1, (0, 0))).unwrap();
    assert_eq!(core.voted_for(), Some(2));
    let ready = core.request(append(3, 2, (0, 0), &[], 0)).unwrap();
    assert_eq!(core.voted_for(), None);
    assert_eq!(saved_state(&ready), Some((2, None)));
}

#[test]
fn entries_are_numbered_from_1_without_gaps_and_carry_the_term_of_their_leader() {
    let mut core = settled(3, 3, &[]);
    let (proposed, ready) = core.propose([command(1, "a"), command(2, "b")]).unwrap();
    assert_eq!((proposed.index, proposed.term), (2, 3));
    assert_eq!(saved_entries(&ready), [(2, 3), (3, 3)]);
    assert_eq!(core.log().get(1).unwrap().index, 1);
}

#[test]
fn term_vote_and_entries_are_saved_in_the_step_whose_reply_depends_on_them() {
    let mut core = follower(1, 3, 0, &[]);
    let ready = core.request(vote(2, 1, (0, 0))).unwrap();
    assert!(votes(&ready));
    assert_eq!(saved_state(&ready), Some((1, Some(2))));

    let ready = core.request(append(2, 1, (0, 0), &[1, 1], 0)).unwrap();
    assert_eq!(outcome(&ready), AppendOutcome::Matched(2));
    assert_eq!(saved_entries(&ready), [(1, 1), (2, 1)]);

    // A refusal speaks of a new term, too.
    let ready = core.request(vote(3, 2, (0, 0))).unwrap();
    assert!(!votes(&ready));
    assert_eq!(saved_state(&ready), Some((2, None)));
    let ready = core.request(append(3, 4, (9, 4), &[], 0)).unwrap();
    assert!(matches!(outcome(&ready), AppendOutcome::Conflict { .. }));
    assert_eq!(saved_state(&ready), Some((4, None)));
}

#[test]
fn what_changes_nothing_is_not_saved() {
    let mut core = follower(1, 3, 0, &[]);
    let _ = core.request(vote(2, 2, (0, 0))).unwrap();
    let _ = core.request(append(2, 2, (0, 0), &[2], 0)).unwrap();
    for request in [
        vote(2, 1, (0, 0)),
        vote(3, 2, (9, 1)),
        append(2, 2, (0, 0), &[2], 0),
        append(2, 2, (1, 2), &[], 1),
    ] {
        let ready = core.request(request).unwrap();
        assert_eq!(ready.save, None);
        assert!(ready.reply.is_some());
    }
}

#[test]
fn a_restarted_node_has_its_term_vote_and_log_and_nothing_else() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, &["a"]).unwrap();
    cluster.deliver();
    assert_eq!(cluster.core(2).commit_index(), 2);
    cluster.crash(2);
    cluster.restart(2);
    let core = cluster.core(2);
    assert_eq!((core.current_term(), core.voted_for()), (1, Some(1)));
    assert_eq!(terms(core.log()), [1, 1]);
    assert_eq!((core.role(), core.leader()), (RoleName::Follower, None));
    assert_eq!((core.commit_index(), core.last_applied()), (0, 0));
}

#[test]
fn the_commit_index_only_grows() {
    let mut core = follower(1, 3, 1, &[1, 1, 1]);
    let ready = core.request(append(2, 1, (3, 1), &[], 3)).unwrap();
    assert_eq!((committed(&ready), core.commit_index()), (vec![1, 2, 3], 3));
    let ready = core.request(append(2, 1, (3, 1), &[], 1)).unwrap();
    assert_eq!((committed(&ready), core.commit_index()), (vec![], 3));
    let ready = core.request(append(2, 1, (1, 1), &[], 9)).unwrap();
    assert_eq!((committed(&ready), core.commit_index()), (vec![], 3));
}

#[test]
fn a_new_leader_guesses_that_its_peers_have_all_and_knows_of_nothing() {
    let (core, ready) = elected(3, 2, &[1, 1, 1]);
    for peer in [2, 3] {
        // The no-op at 4 came after the guess.
        assert_eq!(core.progress(peer), Some((0, 4)));
        assert_eq!(appended(&sent(&ready.send, peer)).prev_log_index, 3);
    }
    assert_eq!(core.progress(1), None);
}

#[test]
fn next_and_match_index_are_set_anew_after_each_election() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, &["a", "b"]).unwrap();
    cluster.deliver();
    assert_eq!(cluster.core(1).progress(2), Some((3, 4)));
    cluster.inject(1, vote(3, 5, (0, 0)));
    assert_eq!(cluster.core(1).progress(2), None);
    cluster.campaign(1);
    cluster.deliver_one(1, 2);
    cluster.deliver_one(2, 1);
    assert_eq!(cluster.core(1).role(), RoleName::Leader);
    assert_eq!(cluster.core(1).progress(2), Some((0, 4)));
}

#[test]
fn a_match_index_does_not_go_down_with_a_reply_that_says_less() {
    let mut core = settled(3, 1, &[]);
    let (_, ready) = core.propose([command(1, "a")]).unwrap();
    let send = sent(&ready.send, 2);
    let _ = core.reply(2, send.call, matched(1, 0));
    assert_eq!(core.progress(2).unwrap().0, 1);
}
