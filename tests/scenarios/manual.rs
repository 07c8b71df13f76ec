//! The manual scenarios of the RPyC project on which this game is modelled: what its authors had a
//! person do at five terminals, and look at.
//!
//! Its fourth scenario, put and get of a key-value store, needs another state machine than the game and
//! has its place at the end of this file.

use raftian::raft::RoleName;

use crate::world::{World, applied};

/// One node after the other starts: there is a leader as soon as three run, and it stays. The leader
/// is killed again and again: there is another one until two nodes are left.
pub fn election(world: &mut impl World) {
    world.start(1);
    assert_no_leader(world);
    world.start(2);
    assert_no_leader(world);

    world.start(3);
    let mut leader = world.wait_for_leader();
    for id in [4, 5] {
        world.start(id);
        world.wait_until("the newcomer follows and has everything", |world| {
            let status = world.status(id);
            status.is_some_and(|status| status.leader.is_some() && status.last_applied > 0)
        });
        assert_leader_stays(world, leader);
    }

    for _ in 0..2 {
        world.kill(leader.0);
        let next = world.wait_for_leader();
        assert!(next.1 > leader.1, "another leader, in a later term");
        assert_leader_stays(world, next);
        leader = next;
    }
    world.kill(leader.0);
    assert_eq!(world.running().len(), 2);
    assert_no_leader(world);
    world.verify();
}

/// Asserts that nobody who runs becomes leader, or enters a new term, for three election timeouts
/// after all have asked for votes.
pub fn assert_no_leader(world: &impl World) {
    let victories = world.victories();
    let running = world.running();
    world.wait_until("all ask for votes", |world| {
        let statuses = world.statuses(&running).unwrap_or_default();
        let mut roles = statuses.iter().map(|status| status.role);
        !statuses.is_empty() && roles.all(|role| role == RoleName::Candidate)
    });
    let term = |world: &_| {
        let statuses = World::statuses(world, &running)?;
        statuses.iter().map(|status| status.term).max()
    };
    let first = world.wait_for("how the nodes stand", term);
    world.time_passes(3, running[0], |world| {
        let statuses = world.statuses(&running).unwrap_or_default();
        let mut roles = statuses.iter().map(|status| status.role);
        assert!(
            roles.all(|role| role != RoleName::Leader),
            "{}",
            world.report()
        );
        assert!(term(world).is_none_or(|latest| latest == first));
    });
    // A leader who came and went between two looks would have left a line behind.
    assert_eq!(world.victories(), victories, "{}", world.report());
}

/// Asserts that all follow this leader in this term for longer than anyone's patience with a leader
/// who is not heard.
fn assert_leader_stays(world: &impl World, leader: (u64, u64)) {
    let victories = world.victories();
    world.time_passes(2, leader.0, |world| {
        assert_eq!(world.wait_for_leader(), leader, "{}", world.report());
    });
    assert_eq!(world.victories(), victories, "{}", world.report());
}

/// Everybody gets every command. Some crash, the leader among them; more commands come; those who
/// return get what they have missed.
pub fn replication(world: &mut impl World) {
    for id in world.ids() {
        world.start(id);
    }
    let (leader, _) = world.wait_for_leader();
    for serial in 1..=10 {
        world.insist(1 + serial % 5, "person", serial, "attack 1");
    }
    world.wait_for_equal_orders();

    let crashed = [leader, 1 + leader % 5];
    for id in crashed {
        world.kill(id);
    }
    world.wait_for_leader();
    let through = world.running();
    for serial in 11..=20 {
        world.insist(through[serial as usize % 3], "person", serial, "attack 2");
    }
    for id in crashed {
        assert!(!world.orders(id).contains("attack 2"));
        world.start(id);
    }
    world.wait_for_leader();
    world.wait_for_equal_orders();
    world.verify();
    let orders = world.orders(leader);
    for command in ["attack 1", "attack 2"] {
        assert_eq!(orders.matches(command).count(), 10, "{orders}");
    }
}

/// A leader and one follower are left alone. What they are asked gets into both logs and is not
/// committed. They crash; the other three go on without them. When the two return, what only they had
/// makes room for what was committed.
pub fn conflict(world: &mut impl World) {
    const LOST: u64 = 5;
    for id in world.ids() {
        world.start(id);
    }
    let (leader, term) = world.wait_for_leader();
    for serial in 1..=3 {
        world.insist(leader, "person", serial, "attack 1");
    }
    world.wait_until_equal();

    let two = [leader, 1 + leader % 5];
    let three: Vec<u64> = world
        .running()
        .into_iter()
        .filter(|id| !two.contains(id))
        .collect();
    for &id in &three {
        world.kill(id);
    }
    let first = world.append(leader, "lost", 1..=LOST, "attack 5");
    let last = first + LOST - 1;
    world.wait_until("both have the entries", |world| {
        let statuses = world.statuses(&two);
        statuses.is_some_and(|both| both.iter().all(|s| s.last_index == last))
    });
    world.time_passes(3, leader, |world| {
        for status in world.statuses(&two).unwrap_or_default() {
            let is_lost = (status.last_index, status.term) == (last, term);
            assert!(is_lost && status.commit_index < first, "{}", world.report());
        }
    });
    for id in two {
        assert!(!world.orders(id).contains("attack 5"));
        world.kill(id);
    }

    for &id in &three {
        world.start(id);
    }
    world.wait_for_leader();
    for serial in 4..4 + LOST {
        world.insist(three[serial as usize % 3], "person", serial, "attack 2");
    }
    for id in two {
        world.start(id);
    }
    world.wait_for_leader();
    world.wait_for_equal_orders();
    world.verify();
    let applied = applied(world);
    for index in first..=last {
        let [later, command, _] = &applied[&index];
        assert!(later.parse::<u64>().unwrap() > term && command != "attack 5");
    }
    assert!(
        applied
            .values()
            .all(|[_, command, _]| command != "attack 5")
    );
}

// The place of scenario 4, put and get of the key-value store.
