//! What Ongaro's dissertation adds to the paper: leadership transfer (3.10), how members come and go
//! (4), leaders that hear no majority (6.2), reads without an entry (6.4), and votes that are asked for
//! in advance (9.6).

use raftian::raft::{
    Disk, NotChanged, NotProposed, NotRead, NotTransferred, ReadAt, Rejected, RoleName, TimeoutNow,
    TimeoutNowReply,
};

use super::raft::{Cluster, ELECTION_TIMEOUT, HEARTBEAT, command, state_after};
use super::*;

/// Term, vote, leader, role and timer.
type Standing = (u64, Option<NodeId>, Option<NodeId>, RoleName, Option<u64>);

fn standing(core: &Raft) -> Standing {
    let (term, vote) = (core.current_term(), core.voted_for());
    (term, vote, core.leader(), core.role(), core.deadline())
}

/// With PreVote and CheckQuorum, as nodes run it.
fn guarded(config: Config) -> Config {
    Config {
        pre_vote: true,
        check_quorum: true,
        ..config
    }
}

/// The same without PreVote.
fn checking_quorum(config: Config) -> Config {
    Config {
        check_quorum: true,
        ..config
    }
}

fn in_advance(request: Request) -> Request {
    let Request::RequestVote(request) = request else {
        panic!("no request for a vote: {request:?}");
    };
    Request::RequestVote(RequestVote {
        pre_vote: true,
        ..request
    })
}

/// What a request for a vote asks: term, whether in advance, whether for a transfer.
fn asks(send: &Send) -> (u64, bool, bool) {
    match &send.request {
        Request::RequestVote(request) => (request.term, request.pre_vote, request.transfer),
        other => panic!("no request for a vote: {other:?}"),
    }
}

fn timeout_now(from: NodeId, term: u64) -> Request {
    Request::TimeoutNow(TimeoutNow {
        term,
        leader_id: from,
    })
}

/// Who is told to campaign.
fn told_to_campaign(ready: &Ready) -> Vec<NodeId> {
    let sends = ready.send.iter();
    let sends = sends.filter(|send| matches!(send.request, Request::TimeoutNow(_)));
    sends.map(|send| send.to).collect()
}

// 3.10 Leadership transfer

/// While it hands over, a leader takes nothing that its successor would have to catch up with.
#[test]
fn a_leader_that_hands_over_takes_neither_commands_nor_changes() {
    let mut core = settling(started(among(1, "1 2 3 ~4"), 0, &[]));
    let _ = core.transfer(Some(2)).unwrap();
    assert!(core.is_handing_over());
    let not = core.propose([command(1, "a")]).unwrap_err();
    assert_eq!(not, NotProposed::HandingOver);
    for change in [
        change(&[5], &[], &[]),
        change(&[], &[4], &[]),
        change(&[], &[], &[3]),
    ] {
        assert_eq!(core.change(&change).unwrap_err(), NotChanged::NotYet);
    }
    assert_eq!(core.log().last_index(), 1);
}

/// The successor is told to campaign when it has all that the leader has, and once.
#[test]
fn a_leader_tells_its_successor_to_campaign_when_their_logs_are_equal_and_not_before() {
    let mut config = config(1, 3);
    config.max_batch_entries = 1;
    let mut core = settling(started(config, 0, &[]));
    let (_, mut ready) = core.propose([command(1, "a"), command(2, "b")]).unwrap();
    let handed = core.transfer(Some(2)).unwrap();
    assert_eq!(told_to_campaign(&handed), NOTHING);
    for expected in [&NOTHING[..], &[2]] {
        ready = agree(&mut core, &ready.send, 2);
        assert_eq!(told_to_campaign(&ready), expected);
    }
    assert_eq!(core.progress(2), Some((3, 4)));
    // It is under way now, and is not sent twice.
    assert_eq!(told_to_campaign(&core.tick(10_000)), NOTHING);
}

/// TimeoutNow is as good as an election timeout. The server asks nobody in advance, and its requests
/// say on whose behalf it campaigns.
#[test]
fn a_server_that_is_told_to_campaigns_at_once() {
    let mut core = started(guarded(config(1, 3)), 1, &entries(1, &[1]));
    let _ = core.request(append(2, 1, (1, 1), &[], 1)).unwrap();
    let ready = core.request(timeout_now(2, 1)).unwrap();
    assert_eq!((core.role(), core.current_term()), (RoleName::Candidate, 2));
    assert_eq!(saved_state(&ready), Some((2, Some(1))));
    assert_eq!(receivers(&ready.after_save), [2, 3]);
    for send in &ready.after_save {
        assert_eq!(asks(send), (2, false, true));
    }
    assert_eq!(ready.send, []);
    let (term, campaigns) = (2, true);
    let reply = Reply::TimeoutNow(TimeoutNowReply { term, campaigns });
    assert_eq!(ready.reply, Some(reply));
}

/// Whoever cannot lead does not disturb the one who does.
#[test]
fn a_server_that_cannot_lead_stays_where_it_is_when_it_is_told_to_campaign() {
    for (members, disk) in [
        ("1 2 3", Disk::Busy),
        ("1 2 3", Disk::Full),
        ("2 3 ~1", Disk::Ready),
        ("2 3", Disk::Ready),
    ] {
        let mut core = started(among(1, members), 1, &entries(1, &[1]));
        let _ = core.request(append(2, 1, (1, 1), &[], 1));
        let _ = core.set_disk(disk);
        let before = standing(&core);
        let ready = core.request(timeout_now(2, 1)).unwrap();
        let (term, campaigns) = (1, false);
        let reply = Reply::TimeoutNow(TimeoutNowReply { term, campaigns });
        assert_eq!(ready.reply, Some(reply));
        assert_eq!(
            (standing(&core), ready.save),
            (before, None),
            "{members} {disk:?}"
        );
    }
}

/// TimeoutNow has a term like every request, and counts in it only.
#[test]
fn a_leader_of_the_past_makes_nobody_campaign() {
    let mut core = follower(1, 3, 3, &[1]);
    let before = standing(&core);
    let ready = core.request(timeout_now(2, 2)).unwrap();
    assert_eq!(ready.reply.unwrap().term(), 3);
    assert_eq!(standing(&core), before);
    // Nor does whoever is not the leader of the term.
    let _ = core.request(append(2, 3, (1, 1), &[], 0)).unwrap();
    let before = standing(&core);
    let second = core.request(timeout_now(3, 3)).unwrap_err();
    assert_eq!(second, Rejected::SecondLeader { from: 3, term: 3 });
    assert_eq!(standing(&core), before);
}

/// Until a later term reaches it, the leader leads: the others go on hearing it.
#[test]
fn a_leader_goes_on_speaking_to_the_others_while_it_hands_over() {
    let mut core = settled(3, 1, &[]);
    let ready = core.transfer(Some(2)).unwrap();
    assert_eq!(told_to_campaign(&ready), [2]);
    for _ in 0..3 {
        let ready = core.tick(core.deadline().unwrap());
        assert_eq!(receivers(&ready.send), [3]);
        let _ = agree(&mut core, &ready.send, 3);
        assert_eq!(core.role(), RoleName::Leader);
    }
}

/// Only a server that votes afterwards can take over, be it new; one that goes cannot.
#[test]
fn in_a_joint_configuration_only_the_new_voters_can_take_over() {
    for (to, expected) in [
        (2, Err(NotTransferred::NoVoter(2))),
        (3, Err(NotTransferred::NoVoter(3))),
        (4, Ok(())),
        (5, Ok(())),
        (6, Err(NotTransferred::NoVoter(6))),
    ] {
        let (mut core, _) = leading(started(among(1, "1 -2 -3 +4 +5 ~6"), 0, &[]));
        assert_eq!(core.transfer(Some(to)).map(|_| ()), expected, "{to}");
    }
}

/// Nobody's election timeout passes, though everybody hears the leader: this is what the transfer is
/// for.
#[test]
fn a_hand_over_waits_for_no_election_timeout() {
    let mut cluster = Cluster::with(3, |config| *config = guarded(config.clone()));
    cluster.tick(1, ELECTION_TIMEOUT.1);
    cluster.deliver();
    cluster.heartbeat(1);
    assert_eq!(cluster.core(1).role(), RoleName::Leader);
    cluster.transfer(1, Some(3)).unwrap();
    cluster.deliver();
    let core = cluster.core(3);
    assert_eq!((core.role(), core.current_term()), (RoleName::Leader, 2));
    for id in 1..=3 {
        assert_eq!(cluster.core(id).leader(), Some(3), "{id}");
    }
}

// 4.1, 4.3 What a change is

/// Whoever decides is exchanged by way of a joint configuration, were it one server only. Whoever
/// decides nothing comes and goes in one step.
#[test]
fn a_change_of_voters_is_joint_and_a_change_of_learners_is_not() {
    for (change, expected) in [
        (change(&[], &[4], &[]), "1 2 3 +4 ~5"),
        (change(&[], &[], &[3]), "1 2 -3 ~4 ~5"),
        (change(&[], &[4], &[3]), "1 2 -3 +4 ~5"),
        (change(&[6], &[4, 5], &[1, 2, 3]), "-1 -2 -3 +4 +5 ~6"),
        (change(&[6], &[], &[3, 5]), "1 2 -3 ~4 ~6"),
        (change(&[6, 7], &[], &[]), "1 2 3 ~4 ~5 ~6 ~7"),
        (change(&[], &[], &[4, 5]), "1 2 3"),
        (change(&[6], &[], &[5]), "1 2 3 ~4 ~6"),
    ] {
        let mut core = settling(started(among(1, "1 2 3 ~4 ~5"), 0, &[]));
        let _ = core.change(&change).unwrap();
        assert_eq!(known_members(&core), expected);
        let decides = expected.contains(['+', '-']);
        assert_eq!(core.configuration().is_joint(), decides, "{expected}");
    }
}

/// All voters at once can be exchanged for others.
#[test]
fn a_whole_cluster_is_replaced_in_one_change() {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for id in [4, 5, 6] {
        cluster.join(id, &[1, 2, 3]);
    }
    cluster.change(1, &change(&[4, 5, 6], &[], &[])).unwrap();
    cluster.deliver();
    cluster.heartbeat(1);
    cluster
        .change(1, &change(&[], &[4, 5, 6], &[1, 2, 3]))
        .unwrap();
    cluster.deliver();
    let leads = |cluster: &Cluster, id| cluster.core(id).role() == RoleName::Leader;
    let leader = [4, 5, 6].into_iter().find(|&id| leads(&cluster, id));
    let leader = leader.expect("one of the new servers has taken over");
    for id in [1, 2, 3] {
        cluster.crash(id);
    }
    let placed = cluster.propose(leader, &["a"]).unwrap();
    cluster.deliver();
    for id in [4, 5, 6] {
        assert_eq!(known_members(cluster.core(id)), "4 5 6");
        assert_eq!(cluster.core(id).commit_index(), placed.index);
    }
}

/// A server that lags behind a change may meet a leader or a candidate that its log does not know.
/// Here it is told first that these are members: a stranger by mistake is kept out.
#[test]
fn a_server_that_the_log_does_not_know_is_heard_once_it_is_introduced() {
    for request in [append(4, 2, (1, 1), &[2], 0), vote(4, 2, (1, 1))] {
        let mut core = follower(1, 3, 1, &[1]);
        let refused = core.request(request.clone()).unwrap_err();
        assert_eq!(refused, Rejected::NotAMember(4));
        assert_eq!(core.introduce([4]), Ready::default());
        let ready = core.request(request).unwrap();
        assert_eq!((ready.reply.unwrap().term(), core.current_term()), (2, 2));
        // Being heard is all: it is not a member by that.
        assert_eq!(known_members(&core), "1 2 3");
    }
}

/// A server votes for whoever asks rightly, though it may not be a voter by its own log.
#[test]
fn a_server_votes_though_it_takes_itself_for_a_learner_or_for_none() {
    for members in ["2 3 ~1", "2 3"] {
        let mut core = started(among(1, members), 1, &entries(1, &[1]));
        let ready = core.request(vote(2, 2, (1, 1))).unwrap();
        assert!(votes(&ready), "{members}");
        assert_eq!(saved_state(&ready), Some((2, Some(2))));
    }
}

// 4.2.1 Catching up

/// A learner has caught up when one more request is enough, and it answers.
#[test]
fn a_learner_is_promoted_when_one_request_takes_it_to_the_end_of_the_log() {
    let batch = 4;
    let mut config = among(1, "1 2 ~3");
    config.max_batch_entries = batch;
    let settled = settling(started(config, 0, &[]));
    let promote = change(&[], &[3], &[]);
    for (lag, expected) in [(0, true), (1, true), (batch, true), (batch + 1, false)] {
        let mut core = settled.clone();
        if lag > 0 {
            let commands = (1..=lag as u64).map(|serial| command(serial, "a"));
            let _ = core.propose(commands).unwrap();
        }
        let result = core.change(&promote).map(|_| ());
        let expected = if expected {
            Ok(())
        } else {
            Err(NotChanged::Behind(3))
        };
        assert_eq!(result, expected, "{lag} entries behind");
    }
    // One that does not answer could hold up every decision.
    let mut core = settled;
    let (_, ready) = core.propose([command(1, "a")]).unwrap();
    let _ = core.lost(3, sent(&ready.send, 3).call);
    assert_eq!(core.change(&promote).unwrap_err(), NotChanged::Behind(3));
}

/// Nothing is known of a learner that has not answered yet, and one that gets a snapshot is far behind.
#[test]
fn a_learner_that_has_not_answered_or_gets_a_snapshot_has_not_caught_up() {
    let promote = change(&[], &[3], &[]);
    let mut core = settling(started(among(1, "1 2"), 0, &[]));
    let (_, ready) = core.change(&change(&[3], &[], &[])).unwrap();
    let _ = core.saved(ready.save.unwrap().mark().unwrap());
    let _ = agree(&mut core, &ready.send, 2);
    assert_eq!(
        (core.is_changing(), core.progress(3)),
        (false, Some((0, 3)))
    );
    assert_eq!(core.change(&promote).unwrap_err(), NotChanged::Behind(3));

    let last_index = core.last_applied();
    let snapshot = raftian::raft::Snapshot {
        last_index,
        last_term: 1,
        configuration: core.configuration_at(last_index).clone(),
        data: state_after(last_index).into(),
    };
    let _ = core.compact(snapshot, last_index + 1);
    let send = sent(&ready.send, 3);
    let ready = core.reply(3, send.call, conflict(1, None, 1));
    assert!(matches!(
        sent(&ready.send, 3).request,
        Request::InstallSnapshot(_)
    ));
    assert_eq!(core.change(&promote).unwrap_err(), NotChanged::Behind(3));
}

/// What was known of whoever has left counts for nothing when the same id returns: it may be another
/// machine, with nothing on its disk. Nor does an answer to what its predecessor was asked.
#[test]
fn of_a_learner_that_returns_under_its_old_id_nothing_is_known() {
    let mut core = settling(started(among(1, "1 ~3"), 0, &[]));
    let (placed, ready) = core.propose([command(1, "a")]).unwrap();
    let asked = sent(&ready.send, 3).call;
    let _ = core.saved(ready.save.unwrap().mark().unwrap());
    assert!(core.progress(3).unwrap().0 > 0);
    for change in [change(&[], &[], &[3]), change(&[3], &[], &[])] {
        let (_, ready) = core.change(&change).unwrap();
        let _ = core.saved(ready.save.unwrap().mark().unwrap());
    }
    assert_eq!(
        (known_members(&core).as_str(), core.is_changing()),
        ("1 ~3", false)
    );
    assert_eq!(core.progress(3).unwrap().0, 0);
    let _ = core.reply(3, asked, matched(1, placed.index));
    assert_eq!(core.progress(3).unwrap().0, 0);
    let promote = change(&[], &[3], &[]);
    assert_eq!(core.change(&promote).unwrap_err(), NotChanged::Behind(3));
}

// 4.2.2 Servers that leave

/// Server 1 of four, which has in its log that it leaves, up to C_new; so much of it is committed.
fn left(commit: u64) -> Raft {
    let mut core = started(among(1, "1 2 3 4"), 1, &entries(1, &[1]));
    let change = vec![configured(2, 1, "-1 2 3 4"), configured(3, 1, "2 3 4")];
    let request = append_these(2, 1, (1, 1), change, commit);
    let _ = core.request(request).unwrap();
    core
}

/// Its log may be the only one with which C_new can still win, so it may campaign as long as it does
/// not know C_new to be committed.
#[test]
fn a_server_that_is_left_out_campaigns_until_it_knows_that_to_be_committed() {
    for commit in [0, 1, 2] {
        let (core, ready) = campaigning(left(commit));
        assert_eq!(core.role(), RoleName::Candidate, "{commit}");
        assert_eq!(receivers(&ready.after_save), [2, 3, 4]);
    }
    let mut core = left(3);
    for _ in 0..20 {
        assert_eq!(core.tick(core.deadline().unwrap()), Ready::default());
    }
    assert_eq!((core.role(), core.current_term()), (RoleName::Learner, 1));
}

/// It campaigns for the others, and its own vote is none of theirs.
#[test]
fn a_candidate_that_is_left_out_does_not_count_its_own_vote() {
    let (mut core, ready) = campaigning(left(2));
    for (from, role) in [(2, RoleName::Candidate), (3, RoleName::Leader)] {
        let send = sent(&ready.after_save, from);
        let _ = core.reply(from, send.call, vote_reply(2, true));
        assert_eq!(core.role(), role);
    }
}

/// As its last act, a leader that leaves lets one of the others take over at once.
#[test]
fn a_leader_that_leaves_tells_whoever_has_everything_to_campaign() {
    let mut core = settling(started(among(1, "1 2 3 4"), 0, &[]));
    let (_, joint) = core.change(&change(&[], &[], &[1])).unwrap();
    let _ = core.saved(joint.save.unwrap().mark().unwrap());
    let _ = agree(&mut core, &joint.send, 2);
    let c_new = agree(&mut core, &joint.send, 3);
    let _ = agree(&mut core, &c_new.send, 2);
    let ready = agree(&mut core, &c_new.send, 3);
    assert_eq!(core.role(), RoleName::Learner);
    // Node 4 lacks the change.
    assert_eq!(told_to_campaign(&ready), [3]);
}

// 4.2.3 Votes that are withheld

/// A vote that is withheld is not given later either: term, vote and timer are as if nobody had asked.
#[test]
fn a_request_for_a_vote_that_is_withheld_changes_nothing() {
    let mut core = started(checking_quorum(config(1, 3)), 1, &entries(1, &[1]));
    let _ = core.request(append(2, 1, (1, 1), &[], 1)).unwrap();
    let now = ELECTION_TIMEOUT.0 - 1;
    let _ = core.tick(now);
    let before = standing(&core);
    for request in [
        vote(3, 2, (1, 1)),
        vote(3, 9, (9, 8)),
        in_advance(vote(3, 2, (1, 1))),
    ] {
        let ready = core.request(request).unwrap();
        assert!(!votes(&ready));
        assert_eq!((ready.reply.unwrap().term(), ready.save), (1, None));
        assert_eq!(standing(&core), before);
    }
    // The leader has been silent for the shortest election timeout.
    let _ = core.tick(now + 1);
    assert!(votes(&core.request(vote(3, 2, (1, 1))).unwrap()));
}

/// A leader is heard by itself only as long as it hears a majority. One that does not withholds
/// nothing, though it has not stepped down yet.
#[test]
fn a_leader_that_no_majority_answers_withholds_its_vote_no_longer() {
    let core = started(checking_quorum(config(1, 3)), 0, &[]);
    let elected_at = core.deadline().unwrap();
    let mut core = settling(core);
    for (after, expected) in [(149, (RoleName::Leader, 1)), (150, (RoleName::Follower, 9))] {
        let _ = core.tick(elected_at + after);
        assert_eq!(core.role(), RoleName::Leader);
        let ready = core.request(vote(3, 9, (1, 1))).unwrap();
        assert_eq!(votes(&ready), after == 150);
        assert_eq!((core.role(), core.current_term()), expected);
    }
}

/// A server that has just started has heard nobody, and a leader that was told of a candidate's term
/// is no leader of that term: both vote.
#[test]
fn a_server_that_has_heard_no_leader_of_its_term_withholds_no_vote() {
    let mut core = started(checking_quorum(config(1, 3)), 1, &entries(1, &[1]));
    assert!(votes(&core.request(vote(3, 2, (1, 1))).unwrap()));
    assert!(votes(&core.request(vote(2, 3, (1, 1))).unwrap()));
}

// 6.2 Leaders that hear no majority

/// A leader of five that hears one other for an election timeout steps down, not a moment earlier, in
/// the same term and with the same vote, and falls silent. One that hears two others leads on.
#[test]
fn a_leader_that_hears_no_majority_for_an_election_timeout_steps_down() {
    for who in [&[2][..], &[2, 5]] {
        let core = started(checking_quorum(config(1, 5)), 0, &[]);
        let elected_at = core.deadline().unwrap();
        let mut core = settling(core);
        let ready = core.tick(elected_at + 100);
        for &id in who {
            let _ = agree(&mut core, &ready.send, id);
        }
        let last = elected_at + ELECTION_TIMEOUT.1 + if who.len() == 2 { 100 } else { 0 };
        let _ = core.tick(last - 1);
        assert_eq!(core.role(), RoleName::Leader, "{who:?}");
        assert_eq!(core.deadline(), Some(last));
        let ready = core.tick(last);
        assert_eq!((ready.send, ready.save), (vec![], None));
        let (term, vote, leader, role, _) = standing(&core);
        assert_eq!(
            (term, vote, leader, role),
            (1, Some(1), None, RoleName::Follower)
        );
    }
}

/// Learners decide nothing, and keep nobody in office.
#[test]
fn a_leader_that_hears_only_learners_steps_down() {
    let core = started(checking_quorum(among(1, "1 2 3 ~4 ~5")), 0, &[]);
    let elected_at = core.deadline().unwrap();
    let mut core = settling(core);
    for after in [100, 200] {
        let ready = core.tick(elected_at + after);
        for id in [4, 5] {
            let _ = agree(&mut core, &ready.send, id);
        }
    }
    let _ = core.tick(elected_at + ELECTION_TIMEOUT.1 - 1);
    assert_eq!(core.role(), RoleName::Leader);
    let _ = core.tick(elected_at + ELECTION_TIMEOUT.1);
    assert_eq!(core.role(), RoleName::Follower);
}

/// In a joint configuration a leader must hear a majority of the old voters and one of the new.
#[test]
fn a_leader_that_hears_one_of_two_majorities_steps_down() {
    for who in [[2, 3], [4, 5]] {
        let core = started(checking_quorum(among(1, "1 -2 -3 +4 +5")), 0, &[]);
        let elected_at = core.deadline().unwrap();
        let (mut core, ready) = leading(core);
        let _ = core.tick(elected_at + 100);
        for id in who {
            let _ = agree(&mut core, &ready.send, id);
        }
        assert_eq!(core.commit_index(), 0);
        let _ = core.tick(elected_at + ELECTION_TIMEOUT.1);
        assert_eq!(core.role(), RoleName::Follower, "{who:?}");
    }
}

/// A majority of one is always heard.
#[test]
fn a_lone_voter_never_steps_down() {
    let mut core = settling(started(checking_quorum(among(1, "1 ~2")), 0, &[]));
    let _ = core.tick(1_000_000);
    assert_eq!(core.role(), RoleName::Leader);
}

// 6.4 Reads without an entry

/// A leader with a change under way, of which so much has been agreed to by all: nothing.
fn changing() -> (Raft, Ready) {
    let mut core = settling(started(among(1, "1 2 3 ~4 ~5"), 0, &[]));
    let (_, ready) = core.change(&change(&[], &[4, 5], &[2, 3])).unwrap();
    let _ = core.saved(ready.save.as_ref().unwrap().mark().unwrap());
    (core, ready)
}

/// In a joint configuration two majorities must say that this node still leads.
#[test]
fn in_a_joint_configuration_a_read_is_confirmed_by_both_majorities() {
    for (first, second) in [([2, 3], 4), ([4, 5], 2)] {
        let (mut core, ready) = changing();
        // What is under way was sent before the read.
        assert_eq!(core.read(7).unwrap(), Ready::default());
        for id in first {
            // Once for the change, which answers an earlier request, and once for the read.
            let next = agree(&mut core, &ready.send, id);
            assert_eq!(next.reads, []);
            assert_eq!(agree(&mut core, &next.send, id).reads, []);
        }
        let next = agree(&mut core, &ready.send, second);
        assert_eq!(core.commit_index(), 2);
        // C_new decides from now on: servers 1, 4 and 5.
        let reads = match second {
            4 => agree(&mut core, &next.send, 4).reads,
            _ => next.reads,
        };
        assert_eq!(reads, [ReadAt { id: 7, index: 2 }]);
    }
}

/// A learner's answer says nothing about who leads, and it is not asked.
#[test]
fn a_learner_confirms_no_read() {
    let mut core = settling(started(among(1, "1 2 3 ~4 ~5"), 0, &[]));
    let ready = core.read(7).unwrap();
    assert_eq!(receivers(&ready.send), [2, 3]);
    let heartbeats = core.tick(core.deadline().unwrap());
    assert_eq!(receivers(&heartbeats.send), [4, 5]);
    for id in [4, 5] {
        assert_eq!(agree(&mut core, &heartbeats.send, id).reads, []);
    }
    let ready = agree(&mut core, &ready.send, 3);
    assert_eq!(ready.reads, [ReadAt { id: 7, index: 1 }]);
}

/// Whoever answers in the leader's term takes it for the leader, though their logs may not agree.
#[test]
fn an_answer_that_refuses_the_entries_confirms_a_read_all_the_same() {
    let mut core = settled(3, 1, &[]);
    let ready = core.read(7).unwrap();
    let send = sent(&ready.send, 2);
    let ready = core.reply(2, send.call, conflict(1, None, 1));
    assert_eq!(ready.reads, [ReadAt { id: 7, index: 1 }]);
}

/// A call that was lost confirms nothing, and the next answer of the same peer does.
#[test]
fn a_read_outlives_a_lost_call() {
    let mut core = settled(3, 1, &[]);
    let ready = core.read(7).unwrap();
    for id in [2, 3] {
        let lost = core.lost(id, sent(&ready.send, id).call);
        assert_eq!(lost, Ready::default());
    }
    let ready = core.tick(core.deadline().unwrap());
    let ready = agree(&mut core, &ready.send, 2);
    assert_eq!(ready.reads, [ReadAt { id: 7, index: 1 }]);
}

/// A leader that loses its office forgets what waits. It does not serve it in a later office.
#[test]
fn reads_that_wait_are_forgotten_with_the_office() {
    let mut core = settled(3, 1, &[]);
    let _ = core.read(7).unwrap();
    let _ = core.request(vote(3, 5, (0, 0))).unwrap();
    assert_eq!(core.read(8).unwrap_err(), NotRead::NotLeader(None));
    let mut core = settling(core);
    let ready = core.read(9).unwrap();
    let ready = agree(&mut core, &ready.send, 2);
    let (id, index) = (9, core.commit_index());
    assert_eq!(ready.reads, [ReadAt { id, index }]);
}

/// What waits is kept in memory, so there is an end to it.
#[test]
fn a_leader_takes_no_more_reads_than_it_can_remember() {
    let mut core = settled(3, 1, &[]);
    let first = core.read(0).unwrap();
    let taken = (1..100_000).take_while(|&id| core.read(id).is_ok()).count();
    assert_eq!(core.read(0).unwrap_err(), NotRead::Full);
    let next = agree(&mut core, &first.send, 2);
    assert_eq!(next.reads.len(), 1);
    assert_eq!(agree(&mut core, &next.send, 2).reads.len(), taken);
    assert!(core.read(0).is_ok());
}

// 9.6 PreVote

/// Node 1, which asks who would vote for it in the next term, and the step in which it asked.
fn asking(nodes: u64, term: u64, terms: &[u64]) -> (Raft, Ready) {
    let config = guarded(config(1, nodes));
    let mut core = started(config, term, &entries(1, terms));
    let ready = core.tick(core.deadline().unwrap());
    (core, ready)
}

/// Asking in advance is not campaigning: term and vote stay, nothing is saved, and so nothing waits for
/// a disk.
#[test]
fn whoever_asks_in_advance_stays_in_its_term() {
    let (core, ready) = asking(5, 3, &[1, 3]);
    assert_eq!((core.current_term(), core.voted_for()), (3, None));
    assert_eq!((core.role(), core.leader()), (RoleName::Candidate, None));
    assert_eq!((&ready.save, &ready.after_save), (&None, &vec![]));
    assert_eq!(receivers(&ready.send), [2, 3, 4, 5]);
    for send in &ready.send {
        assert_eq!(send.request, in_advance(vote(1, 4, (2, 3))));
    }
}

/// However often it asks: without a majority that would vote for it, it enters no term.
#[test]
fn whoever_asks_in_vain_asks_again_and_stays_in_its_term() {
    let (mut core, mut ready) = asking(3, 3, &[1]);
    for _ in 0..50 {
        for send in std::mem::take(&mut ready.send) {
            assert_eq!(asks(&send), (4, true, false));
            let _ = match send.to {
                2 => core.reply(2, send.call, vote_reply(3, false)),
                _ => core.lost(send.to, send.call),
            };
        }
        ready = core.tick(core.deadline().unwrap());
        assert_eq!((core.current_term(), ready.save.clone()), (3, None));
    }
}

/// A majority that would vote for it makes it a candidate in earnest, who asks all of them again.
#[test]
fn whoever_would_win_campaigns_and_not_before() {
    for nodes in 2..=9 {
        let (mut core, ready) = asking(nodes, 0, &[]);
        let mut campaign = None;
        for (votes, send) in (1..).zip(&ready.send) {
            assert_eq!(
                core.current_term() == 1,
                2 * votes > nodes,
                "{votes} of {nodes}"
            );
            let ready = core.reply(send.to, send.call, vote_reply(0, true));
            if core.current_term() == 1 {
                campaign.get_or_insert(ready);
            }
        }
        let campaign = campaign.unwrap();
        assert_eq!(saved_state(&campaign), Some((1, Some(1))));
        assert_eq!(campaign.after_save.len() as u64, nodes - 1);
        for send in &campaign.after_save {
            assert_eq!(asks(send), (1, false, false));
        }
        // Who would vote has not voted.
        assert_eq!(core.role(), RoleName::Candidate);
    }
}

/// A promise binds nobody: it is made to anyone whose log would do, and nothing is remembered of it.
#[test]
fn a_vote_that_is_asked_for_in_advance_is_not_given() {
    let mut core = started(guarded(config(1, 5)), 3, &entries(1, &[1, 2]));
    let before = standing(&core);
    for (from, last, expected) in [
        (2, (2, 2), true),
        (3, (2, 2), true),
        (4, (1, 3), true),
        (5, (1, 2), false),
        (2, (9, 1), false),
    ] {
        let ready = core.request(in_advance(vote(from, 4, last))).unwrap();
        assert_eq!(votes(&ready), expected, "{last:?}");
        assert_eq!((ready.reply.unwrap().term(), ready.save), (3, None));
        assert_eq!(standing(&core), before);
    }
    // And its vote in earnest is free.
    assert!(votes(&core.request(vote(3, 4, (2, 2))).unwrap()));
}

/// It is a vote in the next term that is asked for. In a term that has begun it may be given already.
#[test]
fn a_vote_is_promised_for_a_later_term_only() {
    let mut core = follower(1, 3, 5, &[1]);
    for (term, expected) in [(4, false), (5, false), (6, true)] {
        let ready = core.request(in_advance(vote(2, term, (1, 1)))).unwrap();
        assert_eq!(votes(&ready), expected, "{term}");
        // It is told how far the terms are, so that it can catch up.
        assert_eq!(ready.reply.unwrap().term(), 5);
    }
}

/// An answer of a later term is like any other: whoever hears it enters the term and follows.
#[test]
fn whoever_asks_in_advance_and_hears_of_a_later_term_follows() {
    for granted in [false, true] {
        let (mut core, ready) = asking(3, 3, &[1]);
        let send = sent(&ready.send, 2);
        let ready = core.reply(2, send.call, vote_reply(7, granted));
        assert_eq!((core.role(), core.current_term()), (RoleName::Follower, 7));
        assert_eq!(saved_state(&ready), Some((7, None)));
    }
}

/// A server that lags behind in terms can say all the same for whom it would vote.
#[test]
fn an_answer_of_an_earlier_term_counts_for_whoever_asks_in_advance() {
    let (mut core, ready) = asking(3, 3, &[1]);
    let send = sent(&ready.send, 2);
    let ready = core.reply(2, send.call, vote_reply(1, true));
    assert_eq!(saved_state(&ready), Some((4, Some(1))));
    // In earnest it does not: nobody votes in a term that it has not entered.
    let send = sent(&ready.after_save, 2);
    let _ = core.reply(2, send.call, vote_reply(3, true));
    assert_eq!(core.role(), RoleName::Candidate);
}

/// Whoever asks in advance still hears the leader of its term, and goes back to following it.
#[test]
fn whoever_asks_in_advance_follows_the_leader_that_it_hears() {
    let (mut core, ready) = asking(3, 3, &[1]);
    let _ = core.request(append(3, 3, (1, 1), &[], 0)).unwrap();
    let (term, vote, leader, role, _) = standing(&core);
    assert_eq!(
        (term, vote, leader, role),
        (3, None, Some(3), RoleName::Follower)
    );
    // What it asked for does not matter any more.
    let late = core.reply(2, sent(&ready.send, 2).call, vote_reply(3, true));
    assert_eq!((late, core.current_term()), (Ready::default(), 3));
}

/// Whoever asks in advance has not voted yet, and lets another go first: in its own term or in the next.
#[test]
fn whoever_asks_in_advance_still_votes_for_another() {
    for term in [3, 4] {
        let (mut core, _) = asking(3, 3, &[1]);
        let asked_at = core.deadline().unwrap() - HEARTBEAT;
        let ready = core.request(vote(2, term, (1, 1))).unwrap();
        assert!(votes(&ready), "{term}");
        let role = (core.role(), core.voted_for());
        assert_eq!(role, (RoleName::Follower, Some(2)));
        let (min, max) = ELECTION_TIMEOUT;
        assert!((asked_at + min..=asked_at + max).contains(&core.deadline().unwrap()));
    }
}
