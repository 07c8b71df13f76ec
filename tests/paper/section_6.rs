//! Section 6: a cluster changes its members by way of a joint configuration.

use std::collections::BTreeSet;

use raftian::raft::{NotChanged, Rejected, RoleName};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::raft::{Cluster, command};
use super::*;

/// 2 and 3 go, 4 and 5 come, 1 stays: three old voters, three new ones.
const JOINT: &str = "1 -2 -3 +4 +5";
/// The peers of node 1 in it.
const PEERS: [NodeId; 4] = [2, 3, 4, 5];

/// Every set of these.
fn sets(of: &[NodeId]) -> Vec<BTreeSet<NodeId>> {
    let holds = |set: u32, at: usize| set & (1 << at) != 0;
    let set = |set| (0..of.len()).filter(move |&at| holds(set, at));
    (0..1 << of.len())
        .map(|number| set(number).map(|at| of[at]).collect())
        .collect()
}

/// Whether node 1 and those are a majority of the old voters and one of the new.
fn decide(who: &BTreeSet<NodeId>) -> bool {
    let count = |of: [NodeId; 2]| of.iter().filter(|id| who.contains(id)).count();
    count([2, 3]) >= 1 && count([4, 5]) >= 1
}

/// Says that what the step saves is on disk.
fn save(core: &mut Raft, ready: &Ready) -> Ready {
    core.saved(ready.save.as_ref().unwrap().mark().unwrap())
}

/// Three voters, led by node 1, and these learners, who have the log and know the three.
fn cluster(learners: &[NodeId]) -> Cluster {
    let mut cluster = Cluster::new(3);
    cluster.elect(1);
    for &id in learners {
        cluster.join(id, &[1, 2, 3]);
    }
    cluster.change(1, &change(learners, &[], &[])).unwrap();
    cluster.deliver();
    cluster.heartbeat(1);
    cluster
}

// When a configuration counts

/// A server goes by the latest configuration in its log, committed or not.
#[test]
fn a_configuration_counts_on_a_server_from_the_moment_it_is_in_its_log() {
    let mut core = follower(1, 3, 1, &[1]);
    let request = append_these(2, 1, (1, 1), vec![configured(2, 1, JOINT)], 0);
    let _ = core.request(request).unwrap();
    assert_eq!(known_members(&core), JOINT);
    assert_eq!((core.configured_at(), core.commit_index()), (2, 0));
    // The next election is held by it: the old majority alone elects nobody.
    let (mut core, ready) = campaigning(core);
    assert_eq!(receivers(&ready.after_save), PEERS);
    let vote = |core: &mut Raft, from| {
        let send = sent(&ready.after_save, from);
        let _ = core.reply(from, send.call, vote_reply(2, true));
        core.role()
    };
    assert_eq!(vote(&mut core, 2), RoleName::Candidate);
    assert_eq!(vote(&mut core, 3), RoleName::Candidate);
    assert_eq!(vote(&mut core, 4), RoleName::Leader);
}

/// The leader too uses C_old,new from the moment at which it appends it, and for that very entry.
#[test]
fn a_leader_decides_on_a_change_by_the_configuration_that_the_change_makes() {
    let mut core = settling(started(among(1, "1 2 3 ~4 ~5"), 0, &[]));
    let (proposed, ready) = core.change(&change(&[], &[4, 5], &[2, 3])).unwrap();
    assert_eq!(known_members(&core), JOINT);
    let _ = save(&mut core, &ready);
    let _ = agree(&mut core, &ready.send, 2);
    let _ = agree(&mut core, &ready.send, 3);
    assert_eq!(core.commit_index(), proposed.index - 1);
    let _ = agree(&mut core, &ready.send, 5);
    assert_eq!(core.commit_index(), proposed.index);
}

/// The configuration is in the log, so it is on the disk with the log.
#[test]
fn a_restarted_server_goes_by_the_latest_configuration_on_its_disk() {
    let entries = [
        entries(1, &[1]),
        vec![configured(2, 1, "1 2 3 ~4"), configured(3, 1, "1 2 -3 +4")],
    ];
    let core = started(config(2, 3), 1, &entries.concat());
    assert_eq!(known_members(&core), "1 2 -3 +4");
    assert_eq!((core.configured_at(), core.commit_index()), (3, 0));
}

/// A configuration that is overwritten never counted for anything that was decided, and counts no
/// more: however much of a change had been appended.
#[test]
fn whatever_of_a_change_is_overwritten_is_taken_back() {
    let log = || {
        let change = [configured(2, 1, "1 2 -3 +4"), configured(3, 1, "1 2 4")];
        [entries(1, &[1]), change.to_vec()].concat()
    };
    for (prev, expected, at) in [
        ((3, 1), "1 2 4", 3),
        ((2, 1), "1 2 -3 +4", 2),
        ((1, 1), "1 2 3", 0),
    ] {
        let mut core = started(config(1, 3), 1, &log());
        let ready = core.request(append(2, 2, prev, &[2], 0)).unwrap();
        assert_eq!(outcome(&ready), AppendOutcome::Matched(prev.0 + 1));
        assert_eq!(
            (known_members(&core).as_str(), core.configured_at()),
            (expected, at)
        );
    }
}

// The joint configuration

/// Whoever of the others holds an entry: it is committed by a majority of both configurations.
#[test]
fn in_a_joint_configuration_both_majorities_commit_and_nothing_less() {
    let mut commits = 0;
    for who in sets(&PEERS) {
        let (mut core, ready) = leading(started(among(1, JOINT), 0, &[]));
        let _ = save(&mut core, &ready);
        for &id in &who {
            let _ = agree(&mut core, &ready.send, id);
        }
        assert_eq!(core.commit_index() == 1, decide(&who), "{who:?}");
        commits += core.commit_index();
    }
    assert_eq!(commits, 9);
}

/// Whoever of the others votes: an election takes a majority of both configurations.
#[test]
fn in_a_joint_configuration_both_majorities_elect_and_nothing_less() {
    for who in sets(&PEERS) {
        let (mut core, ready) = campaigning(started(among(1, JOINT), 0, &[]));
        for &id in &who {
            let send = sent(&ready.after_save, id);
            let _ = core.reply(id, send.call, vote_reply(1, true));
        }
        let leads = core.role() == RoleName::Leader;
        assert_eq!(leads, decide(&who), "{who:?}");
    }
}

/// Entries are replicated to every server that is in either configuration.
#[test]
fn a_leader_speaks_to_the_servers_of_both_configurations() {
    let mut core = settling(started(among(1, "1 2 3 ~4 ~5"), 0, &[]));
    let (_, ready) = core.change(&change(&[6], &[4, 5], &[2, 3])).unwrap();
    assert_eq!(receivers(&ready.send), [2, 3, 4, 5, 6]);
    let _ = core.propose([command(1, "a")]).unwrap();
    for id in PEERS {
        let sends = agree(&mut core.clone(), &ready.send, id).send;
        assert_eq!(
            appended(&sent(&sends, id)).entries,
            core.log().from(3),
            "{id}"
        );
    }
}

/// Old or new, any voter of the joint configuration may lead.
#[test]
fn a_server_of_either_configuration_can_lead_while_it_is_joint() {
    for id in [1, 2, 3, 4, 5] {
        let (core, ready) = leading(started(among(id, JOINT), 0, &[]));
        assert_eq!(core.role(), RoleName::Leader);
        assert_eq!(ready.send.len(), 4);
    }
}

/// C_new follows when C_old,new is committed, at once and by itself, and until then the next change
/// waits.
#[test]
fn c_new_is_appended_when_c_old_new_is_committed_and_not_before() {
    let mut core = settling(started(among(1, "1 2 3 ~4 ~5"), 0, &[]));
    let (proposed, ready) = core.change(&change(&[], &[4, 5], &[2, 3])).unwrap();
    let _ = save(&mut core, &ready);
    for id in [4, 5] {
        let _ = agree(&mut core, &ready.send, id);
        assert_eq!(core.log().last_index(), proposed.index);
    }
    let ready = agree(&mut core, &ready.send, 3);
    assert_eq!(core.commit_index(), proposed.index);
    assert_eq!(saved_entries(&ready), [(proposed.index + 1, 1)]);
    assert_eq!(
        core.log().get(proposed.index + 1),
        Some(&configured(3, 1, "1 4 5"))
    );
    assert_eq!(known_members(&core), "1 4 5");
    // It is one change until C_new is committed as well.
    let next = core.change(&change(&[7], &[], &[]));
    assert_eq!(next.unwrap_err(), NotChanged::UnderWay);
    assert!(core.is_changing());
}

/// What is committed before C_old,new does not count for it.
#[test]
fn c_new_does_not_follow_the_commit_of_an_earlier_entry() {
    let mut core = settling(started(among(1, "1 2 3 ~4 ~5"), 0, &[]));
    let (earlier, ready) = core.propose([command(1, "a")]).unwrap();
    let (proposed, joint) = core.change(&change(&[], &[4, 5], &[2, 3])).unwrap();
    let _ = save(&mut core, &joint);
    for id in [2, 4] {
        let _ = agree(&mut core, &ready.send, id);
    }
    assert_eq!(core.commit_index(), earlier.index);
    assert_eq!(core.log().last_index(), proposed.index);
    assert_eq!(known_members(&core), JOINT);
}

/// Figure 11: once C_old,new is committed, C_old cannot decide alone any more, whoever still goes by
/// it.
#[test]
fn once_c_old_new_is_committed_a_server_that_knows_only_c_old_is_not_elected() {
    let mut cluster = cluster(&[4, 5]);
    cluster.cut(1, 3);
    cluster.change(1, &change(&[], &[4, 5], &[2, 3])).unwrap();
    for (from, to) in [(1, 2), (2, 1), (1, 4), (4, 1)] {
        cluster.deliver_one(from, to);
    }
    assert_eq!(known_members(cluster.core(1)), "1 4 5");
    assert_eq!(known_members(cluster.core(2)), JOINT);
    assert_eq!(known_members(cluster.core(3)), "1 2 3 ~4 ~5");
    cluster.drop_all();
    cluster.heal();
    for _ in 0..4 {
        cluster.campaign(3);
        cluster.deliver();
        assert_ne!(cluster.core(3).role(), RoleName::Leader);
    }
    // Server 2, which has C_old,new, can be, by the votes of both; and finishes the change.
    cluster.campaign(2);
    cluster.campaign(2);
    cluster.deliver();
    assert!(cluster.leaders.values().any(|&leader| leader == 2));
    assert_eq!(known_members(cluster.core(2)), "1 4 5");
}

/// The same for C_new, which decides nothing before C_old,new is committed.
#[test]
fn before_c_old_new_is_committed_the_new_servers_elect_nobody_among_themselves() {
    let mut cluster = cluster(&[4, 5]);
    cluster
        .change(1, &change(&[], &[4, 5], &[1, 2, 3]))
        .unwrap();
    cluster.deliver_one(1, 4);
    cluster.deliver_one(1, 5);
    cluster.drop_all();
    cluster.partition(&[&[1, 2, 3], &[4, 5]]);
    for _ in 0..4 {
        cluster.campaign(4);
        cluster.deliver();
        assert_eq!(cluster.core(4).role(), RoleName::Candidate);
        assert_eq!(cluster.core(5).voted_for(), Some(4));
    }
}

// New servers

/// New servers join without a vote. What they hold is not counted, and nobody waits for them.
#[test]
fn a_new_server_is_sent_the_log_and_counts_for_no_majority() {
    let mut core = settling(started(among(1, "1 2 3 ~4 ~5"), 0, &[]));
    let (_, ready) = core.propose([command(1, "a")]).unwrap();
    assert_eq!(receivers(&ready.send), PEERS);
    let _ = save(&mut core, &ready);
    for id in [4, 5] {
        let _ = agree(&mut core, &ready.send, id);
        assert_eq!(core.commit_index(), 1);
    }
    let _ = agree(&mut core, &ready.send, 2);
    assert_eq!(core.commit_index(), 2);
}

#[test]
fn a_new_server_neither_campaigns_nor_is_asked_for_its_vote() {
    let mut core = started(among(4, "1 2 3 ~4"), 1, &[]);
    for _ in 0..20 {
        assert_eq!(core.tick(core.deadline().unwrap()), Ready::default());
        assert_eq!((core.role(), core.current_term()), (RoleName::Learner, 1));
    }
    let (_, ready) = campaigning(started(among(1, "1 2 3 ~4"), 0, &[]));
    assert_eq!(receivers(&ready.after_save), [2, 3]);
}

/// A server that has not been told yet of any cluster waits to be filled. It starts none of its own.
#[test]
fn a_server_that_knows_no_configuration_waits_for_one() {
    let config = Config {
        configuration: Configuration::default(),
        founds: true,
        ..config(4, 3)
    };
    let mut core = started(config, 0, &[]);
    for _ in 0..20 {
        assert_eq!(core.tick(core.deadline().unwrap()), Ready::default());
    }
    let _ = core.introduce([1]);
    let entries = vec![configured(1, 1, "1 2 3 ~4")];
    let _ = core
        .request(append_these(1, 1, (0, 0), entries, 1))
        .unwrap();
    assert_eq!(known_members(&core), "1 2 3 ~4");
    assert_eq!((core.role(), core.leader()), (RoleName::Learner, Some(1)));
}

// A leader that C_new leaves out

/// Until C_old,new is committed it is one of the old voters, and counts as one.
#[test]
fn a_leader_that_leaves_counts_itself_among_the_old_voters() {
    let mut core = settling(started(among(1, "1 2 3 4"), 0, &[]));
    let (proposed, ready) = core.change(&change(&[], &[], &[1])).unwrap();
    let _ = agree(&mut core, &ready.send, 2);
    let _ = agree(&mut core, &ready.send, 3);
    // Two of four, and two of three.
    assert_eq!(core.commit_index(), proposed.index - 1);
    let _ = save(&mut core, &ready);
    assert_eq!(core.commit_index(), proposed.index);
}

/// Node 1 of four leads, is to leave, and has just appended C_new; the step that did.
fn leaving() -> (Raft, Ready) {
    let mut core = settling(started(among(1, "1 2 3 4"), 0, &[]));
    let (_, joint) = core.change(&change(&[], &[], &[1])).unwrap();
    let _ = save(&mut core, &joint);
    let _ = agree(&mut core, &joint.send, 2);
    let ready = agree(&mut core, &joint.send, 3);
    assert_eq!(known_members(&core), "2 3 4");
    (core, ready)
}

/// It manages a cluster to which it does not belong, and leaves itself out of the majorities.
#[test]
fn a_leader_that_leaves_does_not_count_itself_for_c_new() {
    let (mut core, ready) = leaving();
    let _ = save(&mut core, &ready);
    let _ = agree(&mut core, &ready.send, 3);
    // One of three.
    assert_eq!((core.role(), core.commit_index()), (RoleName::Leader, 2));
    let _ = agree(&mut core, &ready.send, 2);
    assert_eq!(core.commit_index(), 3);
}

/// It steps down when C_new is committed, whatever its own disk says, and never campaigns again.
#[test]
fn a_leader_that_leaves_steps_down_when_c_new_is_committed() {
    let (mut core, ready) = leaving();
    let _ = agree(&mut core, &ready.send, 3);
    assert_eq!(core.role(), RoleName::Leader);
    let ready = agree(&mut core, &ready.send, 2);
    assert_eq!(committed(&ready), [3]);
    assert_eq!((core.role(), core.leader()), (RoleName::Learner, None));
    let term = core.current_term();
    for _ in 0..20 {
        assert_eq!(core.tick(core.deadline().unwrap()), Ready::default());
    }
    assert_eq!(core.current_term(), term);
}

// Removed servers

/// A server that was removed hears no heartbeats and asks for votes. As long as the others do not
/// know its removal to be committed, they may need it, and answer.
#[test]
fn a_server_that_was_removed_is_heard_until_its_removal_is_known_to_be_committed() {
    for (commit, is_heard) in [(0, true), (2, true), (3, false)] {
        let mut core = started(among(2, "1 2 3 4"), 1, &entries(1, &[1]));
        let change = vec![configured(2, 1, "1 2 3 -4"), configured(3, 1, "1 2 3")];
        let request = append_these(1, 1, (1, 1), change, commit);
        let _ = core.request(request).unwrap();
        let before = (core.current_term(), core.voted_for(), core.deadline());
        let answer = core.request(vote(4, 9, (1, 1)));
        if is_heard {
            assert!(!votes(&answer.unwrap()), "its log lacks the change");
        } else {
            assert_eq!(answer.unwrap_err(), Rejected::NotAMember(4));
            let after = (core.current_term(), core.voted_for(), core.deadline());
            assert_eq!(before, after);
        }
    }
}

/// Whoever hears a leader takes no notice of those who ask for votes, removed or not.
#[test]
fn a_server_that_was_removed_deposes_nobody_while_the_leader_is_heard() {
    let config = Config {
        check_quorum: true,
        ..among(2, "1 2 3 4")
    };
    let mut core = started(config, 1, &entries(1, &[1]));
    let change = vec![configured(2, 1, "1 2 3 -4"), configured(3, 1, "1 2 3")];
    let _ = core.request(append_these(1, 1, (1, 1), change, 2)).unwrap();
    let ready = core.request(vote(4, 9, (9, 8))).unwrap();
    assert!(!votes(&ready));
    assert_eq!((core.current_term(), ready.save), (1, None));
}

// All of it at once

/// Members come, go and are exchanged while messages are lost and servers crash. The cluster itself
/// checks at each step that a term has one leader and that no two servers apply different entries.
#[test]
fn a_term_has_one_leader_and_an_index_one_entry_while_members_come_and_go() {
    let (mut joints, mut removed) = (0, 0);
    for seed in 0..120 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let mut cluster = Cluster::with(3, |config| {
            config.founds = true;
            config.max_batch_entries = 4;
            config.pre_vote = seed % 2 == 0;
            config.check_quorum = seed % 2 == 0;
        });
        cluster.slow_disks = seed % 3 == 0;
        for id in 4..=6 {
            cluster.join(id, &[1, 2, 3]);
        }
        let ids = cluster.ids();
        for _ in 0..3_000 {
            let pick = |rng: &mut Xoshiro256PlusPlus| ids[rng.random_range(0..ids.len())];
            let id = pick(&mut rng);
            match rng.random_range(0..40) {
                0..2 if cluster.running(id).is_some() => {
                    let (one, other) = (pick(&mut rng), pick(&mut rng));
                    let change = match rng.random_range(0..4) {
                        0 => change(&[one], &[], &[]),
                        1 => change(&[], &[one], &[]),
                        2 => change(&[], &[], &[one]),
                        _ => change(&[], &[one], &[other]),
                    };
                    let _ = cluster.change(id, &change);
                }
                // What a node does with strangers: it asks about, and is told.
                2 if cluster.running(id).is_some() => cluster.introduce(id, &ids),
                3 if cluster.running(id).is_some() => drop(cluster.transfer(id, None)),
                _ => figure_3::step(&mut cluster, &mut rng),
            }
        }
        for (entry, _) in cluster.committed.values() {
            if let Some(configuration) = entry.payload.configuration() {
                joints += u64::from(configuration.is_joint());
                removed += u64::from(!configuration.contains(1));
            }
        }
    }
    assert!(
        joints > 100 && removed > 20,
        "{joints} joint configurations, {removed} without node 1: too quiet a walk"
    );
}
