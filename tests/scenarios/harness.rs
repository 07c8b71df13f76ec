//! That the scenarios' own tools do what the scenarios take for granted.

use raftian::raft::RoleName;

use crate::processes::Processes;
use crate::support::links::Mode;
use crate::support::{PATIENT, VERY_PATIENT};
use crate::world::World;

/// Where each node calls the others, as it says itself: all of it must be its own links.
fn assert_by_links_only(world: &Processes, ids: &[u64]) {
    for &from in ids {
        let status = world.wait_for("a status", |world| world.status(from));
        for peer in status.peers.iter().filter(|peer| ids.contains(&peer.id)) {
            let link = world.cluster.links().address(from, peer.id).to_string();
            assert_eq!(peer.address, link, "from {from} to {}", peer.id);
        }
        // A log from the first leader, a snapshot or an introduction could have said otherwise.
        assert!(status.peers.len() >= ids.len() - 1);
    }
}

#[test]
fn nodes_call_each_other_by_way_of_their_links_only_but_for_those_who_join() {
    let mut world = Processes::with_storage(3, PATIENT, "snapshot_entries = 5\n");
    world.start_all();
    assert_by_links_only(&world, &[1, 2, 3]);
    for serial in 1..=12 {
        world.insist(1 + serial % 3, "c", serial, "attack 1");
    }
    for id in [1, 2, 3] {
        world.kill(id);
        world.start(id);
        world.wait_for_leader();
    }
    world.wait_until_equal();
    assert_by_links_only(&world, &[1, 2, 3]);

    let new = world.cluster.replace(3, 1);
    world.wait_until_equal();
    assert_by_links_only(&world, &[1, 2]);
    // Nobody's file names the newcomer, and it has none: it is called where it is, and calls the others
    // by its contact's links.
    let addresses = |from, to| {
        let status = world.status(from).unwrap();
        let peer = status.peers.into_iter().find(|peer| peer.id == to);
        peer.unwrap().address
    };
    assert_eq!(addresses(1, new), world.address(new));
    assert_eq!(addresses(2, new), world.address(new));
    let link = world.cluster.links().address(1, 2).to_string();
    assert_eq!(addresses(new, 2), link);
}

#[test]
fn what_a_link_is_told_holds_at_once_on_connections_that_are_there() {
    let world = Processes::started(3, VERY_PATIENT);
    let (leader, _) = world.wait_for_leader();
    let follower = 1 + leader % 3;
    for mode in [Mode::RequestsLost, Mode::HangsUp] {
        world.wait_until_equal();
        world.cluster.links().set(leader, follower, mode);
        world.insist(leader, "c", 1, "attack 1");
        world.wait_until("it hears no leader", |world| {
            let status = world.status(follower);
            status.is_some_and(|status| status.role == RoleName::Candidate)
        });
        let last = world.status(leader).unwrap().last_index;
        assert!(
            world.status(follower).unwrap().last_index < last,
            "{mode:?}"
        );
        world.heal(leader, follower);
        world.wait_for_leader();
    }
    world.wait_for_equal_orders();
}
