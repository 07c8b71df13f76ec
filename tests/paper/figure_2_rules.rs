//! Figure 2, "Rules for Servers".

use raftian::raft::{Raft, RoleName};

use super::raft::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, command};
use super::*;

const FOLLOWER: RoleName = RoleName::Follower;

// All servers

#[test]
fn all_what_is_committed_is_handed_out_once_and_in_order() {
    let mut core = follower(1, 3, 1, &[1, 1, 1, 1]);
    let mut applied = Vec::new();
    for commit in [0, 2, 2, 3, 1, 4, 4] {
        let ready = core.request(append(2, 1, (4, 1), &[], commit)).unwrap();
        applied.extend(committed(&ready));
        assert_eq!(core.last_applied(), core.commit_index());
    }
    assert_eq!(applied, [1, 2, 3, 4]);
}

#[test]
fn all_a_request_of_a_higher_term_makes_a_follower_of_anyone() {
    let roles: [fn() -> Raft; 3] = [
        || follower(1, 3, 2, &[]),
        || candidate(3, 2, &[]).0,
        || settled(3, 2, &[]),
    ];
    for role in roles {
        for request in [vote(2, 7, (0, 0)), append(2, 7, (9, 7), &[], 0)] {
            let mut core = role();
            let ready = core.request(request).unwrap();
            assert_eq!((core.role(), core.current_term()), (FOLLOWER, 7));
            assert_eq!(saved_state(&ready).unwrap().0, 7);
        }
    }
}

#[test]
fn all_a_reply_of_a_higher_term_makes_a_follower_of_a_candidate_and_of_a_leader() {
    for reply in [vote_reply(7, false), vote_reply(7, true)] {
        let (mut core, ready) = candidate(3, 2, &[]);
        let send = sent(&ready.after_save, 2);
        let ready = core.reply(2, send.call, reply);
        assert_eq!((core.role(), core.current_term()), (FOLLOWER, 7));
        assert_eq!(saved_state(&ready), Some((7, None)));
    }
    for reply in [conflict(7, None, 1), matched(7, 1)] {
        let mut core = settled(3, 2, &[]);
        let (_, ready) = core.propose([command(1, "a")]).unwrap();
        let send = sent(&ready.send, 2);
        let ready = core.reply(2, send.call, reply);
        assert_eq!((core.role(), core.current_term()), (FOLLOWER, 7));
        assert_eq!(saved_state(&ready), Some((7, None)));
        assert_eq!(ready.send, []);
    }
}

#[test]
fn all_a_former_leader_has_a_new_election_timeout() {
    let mut core = settled(3, 2, &[]);
    let now = core.deadline().unwrap();
    let _ = core.tick(now);
    let _ = core.request(vote(2, 7, (0, 0))).unwrap();
    let (min, max) = ELECTION_TIMEOUT;
    assert!((now + min..=now + max).contains(&core.deadline().unwrap()));
}

// Followers

#[test]
fn followers_answer_candidates_and_leaders_and_say_nothing_else() {
    let mut core = follower(1, 3, 0, &[]);
    for request in [vote(2, 1, (0, 0)), append(2, 1, (0, 0), &[1], 0)] {
        let ready = core.request(request).unwrap();
        assert!(ready.reply.is_some());
        assert!(ready.send.is_empty() && ready.after_save.is_empty());
    }
}

#[test]
fn followers_campaign_when_the_timeout_passes_without_a_leader_or_a_vote() {
    let mut core = follower(1, 3, 4, &[]);
    let deadline = core.deadline().unwrap();
    assert_eq!(core.tick(deadline - 1), Ready::default());
    assert_eq!(core.role(), FOLLOWER);
    let _ = core.tick(deadline);
    assert_eq!((core.role(), core.current_term()), (RoleName::Candidate, 5));
}

#[test]
fn followers_wait_anew_after_each_word_of_the_leader_and_each_vote_given() {
    let (min, max) = ELECTION_TIMEOUT;
    for request in [
        append(2, 5, (1, 1), &[], 0),
        // A refusal for the log's sake is a word of the leader all the same.
        append(2, 5, (9, 5), &[], 0),
        vote(2, 5, (1, 1)),
    ] {
        let mut core = follower(1, 3, 4, &[1]);
        let now = core.deadline().unwrap() - 1;
        let _ = core.tick(now);
        let _ = core.request(request).unwrap();
        assert!((now + min..=now + max).contains(&core.deadline().unwrap()));
    }
}

#[test]
fn followers_do_not_wait_anew_after_anything_else() {
    let mut core = follower(1, 3, 4, &[1]);
    let _ = core.request(append(2, 4, (1, 1), &[], 0)).unwrap();
    let before = core.deadline();
    let _ = core.tick(before.unwrap() - 1);
    for request in [
        append(2, 3, (1, 1), &[], 0),
        vote(3, 3, (1, 1)),
        vote(3, 4, (0, 0)),
        vote(3, 5, (0, 0)),
    ] {
        let _ = core.request(request).unwrap();
        assert_eq!(core.deadline(), before);
    }
    let _ = core.reply(3, 1, vote_reply(6, false));
    assert_eq!(core.deadline(), before);
}

// Candidates

#[test]
fn candidates_begin_with_the_next_term_their_own_vote_a_new_timeout_and_requests_to_all() {
    let mut core = follower(2, 5, 3, &[1, 3]);
    let now = core.deadline().unwrap();
    let ready = core.tick(now);
    assert_eq!((core.current_term(), core.voted_for()), (4, Some(2)));
    assert_eq!(saved_state(&ready), Some((4, Some(2))));
    assert_eq!(core.leader(), None);
    let to: Vec<_> = ready.after_save.iter().map(|send| send.to).collect();
    assert_eq!(to, [1, 3, 4, 5]);
    for send in &ready.after_save {
        assert_eq!(send.request, vote(2, 4, (2, 3)));
    }
    assert_eq!(ready.send, []);
    // The timeout is a new one: it does not pass at once.
    let _ = core.tick(now + ELECTION_TIMEOUT.0 - 1);
    assert_eq!(core.current_term(), 4);
    let _ = core.tick(now + ELECTION_TIMEOUT.1);
    assert_eq!(core.current_term(), 5);
}

#[test]
fn candidates_lead_with_the_votes_of_a_majority_and_not_before() {
    for nodes in 2..=9 {
        let (mut core, ready) = candidate(nodes, 1, &[]);
        for (votes, send) in (1..).zip(&ready.after_save) {
            let is_majority = 2 * votes > nodes;
            let role = if is_majority {
                RoleName::Leader
            } else {
                RoleName::Candidate
            };
            assert_eq!(core.role(), role, "{votes} of {nodes}");
            let _ = core.reply(send.to, send.call, vote_reply(1, true));
        }
        assert_eq!(core.role(), RoleName::Leader);
    }
}

#[test]
fn candidates_count_no_refusal_and_no_vote_twice() {
    let (mut core, ready) = candidate(5, 1, &[]);
    let (yes, no) = (sent(&ready.after_save, 2), sent(&ready.after_save, 3));
    for _ in 0..3 {
        let _ = core.reply(2, yes.call, vote_reply(1, true));
        let _ = core.reply(3, no.call, vote_reply(1, false));
    }
    // One peer's vote does not come in another's name.
    let _ = core.reply(4, yes.call, vote_reply(1, true));
    assert_eq!(core.role(), RoleName::Candidate);
}

#[test]
fn candidates_follow_the_leader_of_their_term() {
    let (mut core, _) = candidate(3, 2, &[1]);
    let _ = core.request(append(3, 2, (1, 1), &[], 0)).unwrap();
    assert_eq!((core.role(), core.leader()), (FOLLOWER, Some(3)));
    // The vote stays given.
    assert_eq!((core.current_term(), core.voted_for()), (2, Some(1)));
}

#[test]
fn candidates_ignore_a_leader_of_an_earlier_term() {
    let (mut core, _) = candidate(3, 2, &[1]);
    let _ = core.request(append(3, 1, (1, 1), &[], 0)).unwrap();
    assert_eq!(core.role(), RoleName::Candidate);
}

#[test]
fn candidates_start_another_election_when_the_timeout_passes() {
    let (mut core, first) = candidate(3, 2, &[]);
    let (_, second) = next_election(&mut core);
    assert_eq!(saved_state(&second), Some((3, Some(1))));
    assert_eq!(second.after_save.len(), 2);
    // Votes of the first election do not count in the second.
    for send in first.after_save {
        let _ = core.reply(send.to, send.call, vote_reply(2, true));
        let _ = core.reply(send.to, send.call, vote_reply(3, true));
    }
    assert_eq!(core.role(), RoleName::Candidate);
}

// Leaders

#[test]
fn leaders_speak_to_everyone_at_once_and_again_whenever_a_heartbeat_is_due() {
    let (_, ready) = elected(5, 2, &[1]);
    assert_eq!(ready.send.len(), 4);

    let mut core = settled(5, 2, &[1]);
    for _ in 0..3 {
        let due = core.deadline().unwrap();
        assert_eq!(core.tick(due - 1), Ready::default());
        let ready = core.tick(due);
        assert_eq!(ready.send.len(), 4);
        for send in &ready.send {
            assert_eq!(send.request, append(1, 2, (2, 2), &[], 2));
        }
        assert_eq!(answer_all(&mut core, &ready.send), []);
        assert_eq!(core.deadline(), Some(due + HEARTBEAT));
    }
}

#[test]
fn leaders_append_a_command_and_hand_it_out_when_it_is_committed() {
    let mut core = settled(3, 1, &[]);
    let (proposed, ready) = core.propose([command(1, "a")]).unwrap();
    assert_eq!((proposed.index, proposed.term), (2, 1));
    assert_eq!(saved_entries(&ready), [(2, 1)]);
    assert_eq!(committed(&ready), NOTHING);
    let send = sent(&ready.send, 2);
    assert_eq!(
        committed(&core.saved(ready.save.unwrap().mark().unwrap())),
        NOTHING
    );
    let ready = core.reply(2, send.call, matched(1, 2));
    assert_eq!(committed(&ready), [2]);
}

#[test]
fn leaders_send_what_follows_next_index() {
    let mut core = settled(3, 1, &[]);
    let (_, ready) = core.propose([command(1, "a"), command(2, "b")]).unwrap();
    let send = sent(&ready.send, 2);
    let request = appended(&send);
    assert_eq!((request.prev_log_index, request.prev_log_term), (1, 1));
    assert_eq!(request.entries, core.log().from(2));
}

#[test]
fn leaders_move_next_and_match_index_forward_on_success() {
    let mut core = settled(3, 1, &[]);
    let (_, ready) = core.propose([command(1, "a"), command(2, "b")]).unwrap();
    assert_eq!(core.progress(2), Some((1, 2)));
    let _ = core.reply(2, sent(&ready.send, 2).call, matched(1, 3));
    assert_eq!(core.progress(2), Some((3, 4)));
    assert_eq!(core.progress(3), Some((1, 2)));
}

#[test]
fn leaders_go_back_and_try_again_at_once_on_refusal() {
    let (mut core, ready) = elected(3, 3, &[1, 1, 2]);
    let send = sent(&ready.send, 2);
    let ready = core.reply(2, send.call, conflict(3, None, 2));
    assert_eq!(core.progress(2), Some((0, 2)));
    let request = appended(&sent(&ready.send, 2)).clone();
    assert_eq!((request.prev_log_index, request.prev_log_term), (1, 1));
    assert_eq!(request.entries, core.log().from(2));
}

#[test]
fn leaders_commit_what_a_majority_holds_and_not_before() {
    for nodes in 2..=9 {
        let mut core = settled(nodes, 1, &[]);
        let (_, ready) = core.propose([command(1, "a")]).unwrap();
        let _ = core.saved(ready.save.unwrap().mark().unwrap());
        for (holders, send) in (1..).zip(&ready.send) {
            let expected = if 2 * holders > nodes { 2 } else { 1 };
            assert_eq!(core.commit_index(), expected, "{holders} of {nodes}");
            let _ = core.reply(send.to, send.call, matched(1, 2));
        }
        assert_eq!(core.commit_index(), 2);
    }
}

#[test]
fn leaders_tell_of_a_new_commit_index_without_waiting_for_a_heartbeat() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    cluster.propose(1, &["a"]).unwrap();
    cluster.deliver();
    for id in 1..=3 {
        assert_eq!(cluster.core(id).commit_index(), 2, "node {id}");
    }
}
