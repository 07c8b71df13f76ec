//! What a peer says that cannot be true: a fault, or a call that is lost, and never more.
//!
//! No correct node says any of this. A node of another version, a bad proxy or a stranger may.

use raftian::raft::{
    InstallOutcome, InstallSnapshotReply, MAX_TERM, Rejected, RoleName, TimeoutNowReply,
};

use super::raft::{Cluster, HEARTBEAT, command};
use super::*;

/// A leader of term 5 with two commands to send, the second of which does not fit into the first
/// batch, and the request under way to node 2, for index 2 only.
fn leader_with_a_request_under_way() -> (Raft, Send) {
    let mut config = config(1, 3);
    config.max_batch_entries = 1;
    let hard_state = HardState {
        current_term: 4,
        voted_for: None,
    };
    let mut core = Raft::new(config, hard_state, None, Log::default());
    let ready = core.tick(core.deadline().unwrap());
    let send = sent(&ready.after_save, 3);
    let ready = core.reply(3, send.call, vote_reply(5, true));
    let _ = core.saved(ready.save.unwrap().mark().unwrap());
    let sends = answer_all(&mut core, &ready.send);
    let _ = answer_all(&mut core, &sends);
    assert_eq!(core.commit_index(), 1);
    let (_, ready) = core.propose([command(1, "a"), command(2, "b")]).unwrap();
    let _ = core.saved(ready.save.unwrap().mark().unwrap());
    let send = sent(&ready.send, 2);
    assert_eq!(end(&send), 2);
    (core, send)
}

#[test]
fn a_peer_is_not_believed_to_hold_more_than_it_was_sent() {
    let (mut core, send) = leader_with_a_request_under_way();
    let _ = core.reply(2, send.call, matched(5, 3));
    assert!(core.progress(2).unwrap().0 <= 2);
    assert!(core.commit_index() <= 2, "nobody else was sent index 3");
}

#[test]
fn a_reply_whose_term_cannot_be_true_ends_its_call_all_the_same() {
    for term in [0, 4, MAX_TERM + 1, u64::MAX] {
        for reply in [matched(term, 2), conflict(term, None, 1)] {
            let (mut core, send) = leader_with_a_request_under_way();
            let _ = core.reply(2, send.call, reply);
            assert_eq!((core.role(), core.current_term()), (RoleName::Leader, 5));
            let ready = core.tick(10_000 + HEARTBEAT);
            assert!(
                ready.send.iter().any(|send| send.to == 2),
                "node 2 is never spoken to again after a reply of term {term}"
            );
        }
    }
}

#[test]
fn a_peer_whose_answers_cannot_be_true_is_not_asked_in_a_loop() {
    for reply in [matched(5, 0), conflict(5, None, 9), conflict(5, Some(1), 9)] {
        let (mut core, mut send) = leader_with_a_request_under_way();
        let mut requests = 0;
        while requests < 20 {
            let ready = core.reply(2, send.call, reply.clone());
            let Some(next) = ready.send.into_iter().find(|send| send.to == 2) else {
                break;
            };
            requests += 1;
            send = next;
        }
        assert!(requests < 20, "after {reply:?} the leader never pauses");
    }
}

#[test]
fn an_answer_of_the_wrong_kind_is_none() {
    let install = |outcome| Reply::InstallSnapshot(InstallSnapshotReply { term: 5, outcome });
    for reply in [
        install(InstallOutcome::Installed),
        install(InstallOutcome::Next(0)),
        Reply::TimeoutNow(TimeoutNowReply {
            term: 5,
            campaigns: false,
        }),
    ] {
        let (mut core, send) = leader_with_a_request_under_way();
        let before = core.progress(2);
        let ready = core.reply(2, send.call, reply.clone());
        assert_eq!((core.progress(2), receivers(&ready.send)), (before, vec![]));
        // It is spoken to again, as one that has not answered: without entries.
        let ready = core.tick(10_000 + HEARTBEAT);
        assert_eq!(end(&sent(&ready.send, 2)), 1, "{reply:?}");
    }
}

#[test]
fn whoever_names_many_strangers_makes_the_first_forgotten() {
    let mut core = follower(1, 3, 1, &[1]);
    let _ = core.introduce(10..=74);
    let refused = core.request(vote(10, 2, (1, 1))).unwrap_err();
    assert_eq!(refused, Rejected::NotAMember(10));
    assert!(votes(&core.request(vote(11, 2, (1, 1))).unwrap()));
}

#[test]
fn nobody_leads_or_campaigns_in_term_0() {
    for request in [append(2, 0, (0, 0), &[], 0), vote(2, 0, (0, 0))] {
        let mut core = follower(1, 3, 0, &[]);
        let before = core.deadline();
        let result = core.request(request);
        assert!(matches!(result, Err(Rejected::Malformed(_))), "{result:?}");
        assert_eq!((core.leader(), core.voted_for()), (None, None));
        assert_eq!(core.deadline(), before);
    }
}

#[test]
fn a_vote_request_that_contradicts_itself_is_refused() {
    // A candidate has no entry that is newer than its term, and index 0, and no other, has term 0.
    for last in [(3, 6), (3, 9), (3, 0), (0, 3)] {
        let mut core = follower(1, 3, 3, &[1]);
        let result = core.request(vote(2, 5, last));
        assert!(
            matches!(result, Err(Rejected::Malformed(_))),
            "{last:?}: {result:?}"
        );
        assert_eq!((core.current_term(), core.voted_for()), (3, None));
    }
}

#[test]
fn a_single_request_cannot_end_elections_for_ever() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    // Whoever believes this has no term left to campaign in that others believe.
    cluster.inject(2, vote(3, MAX_TERM, (0, 0)));
    for _ in 0..5 {
        cluster.heartbeat(1);
        for id in [2, 1, 3] {
            if cluster.core(id).role() != RoleName::Leader {
                cluster.campaign(id);
                cluster.deliver();
            }
        }
    }
    let leaders = cluster.ids().into_iter();
    let mut leaders = leaders.filter(|&id| cluster.core(id).role() == RoleName::Leader);
    assert!(leaders.next().is_some(), "there is never a leader again");
}
