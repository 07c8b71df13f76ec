//! A leader that is in trouble and does not know it: one that is paused for long, one that wakes up where
//! nobody reaches it, one that gets no replies, one whose own replies are lost, one whose requests are.
//!
//! In each case the others must go on where a majority can, nobody may be told something that is not
//! so, each command counts once, and when the trouble is over all are of one mind.

use std::thread;
use std::time::Duration;

use raftian::raft::RoleName;
use raftian::rpc::client::Client;

use crate::world::{World, count, read};

fn others(world: &impl World, leader: u64) -> Vec<u64> {
    let ids = world.ids().into_iter();
    ids.filter(|&id| id != leader).collect()
}

/// The paused leader, asked in its sleep, must not show a board that is older than what was answered
/// before it was asked; nor must anybody else.
pub fn paused(world: &mut impl World) {
    let (old, term) = world.wait_for_leader();
    let mut written = world.insist(old, "person", 1, "attack 2").index;
    world.pause(old);
    let others = others(world, old);
    let (_, next) = world.wait_for_leader();
    assert!(next > term);

    // As long as the others need for ten elections, had they to.
    let until = world.clock_after(10, others[0]);
    let clients: Vec<Client> = others
        .iter()
        .map(|&id| Client::new(&world.address(id), Duration::from_secs(8)))
        .collect();
    let mut sleepers = Vec::new();
    let mut serial = 1;
    while world.clock(others[0]) < until {
        serial += 1;
        assert!(serial < 100_000, "{}", world.report());
        written = world
            .insist(others[serial as usize % 2], "person", serial, "attack 2")
            .index;
        for client in &clients {
            match read(client) {
                Ok(index) => assert!(index >= written, "{index} is older than {written}"),
                // An election, on a busy machine.
                Err(error) => println!("no read: {error}"),
            }
        }
        if serial % 20 == 0 && sleepers.len() < 20 {
            let client = Client::new(&world.address(old), Duration::from_secs(60));
            sleepers.push((written, thread::spawn(move || read(&client))));
        }
    }
    let asked_at = written;
    let client = Client::new(&world.address(old), Duration::from_secs(60));
    sleepers.push((asked_at, thread::spawn(move || read(&client))));
    world.resume(old);
    for (written, sleeper) in sleepers {
        match sleeper.join().unwrap() {
            Ok(index) => assert!(index >= written, "{index} is older than {written}"),
            Err(error) => println!("the sleeper does not know: {error}"),
        }
    }
    let (_, last) = world.wait_for_leader();
    assert!(last >= next);
    world.insist(old, "person", serial + 1, "attack 2");
    world.wait_for_equal_orders();
    world.verify();
    assert_eq!(count(world, "attack 2"), serial + 1);
}

/// The same where nothing can tell it of its successor: it is cut off when it is paused, and still so when
/// it wakes up. It takes itself for the leader then, and must not answer a read from what it has.
pub fn paused_and_cut_off(world: &mut impl World) {
    let (old, term) = world.wait_for_leader();
    world.insist(old, "person", 1, "attack 2");
    world.wait_until_equal();
    let others = others(world, old);
    for &id in &others {
        world.lose_requests(old, id);
        world.lose_requests(id, old);
    }
    world.pause(old);
    let (new, later) = world.wait_for_leader();
    assert!(later > term);
    world.insist(new, "person", 2, "attack 2");

    let client = Client::new(&world.address(old), Duration::from_secs(20));
    let sleeper = thread::spawn(move || read(&client));
    world.resume(old);
    let seen = sleeper.join().unwrap();
    assert!(seen.is_err(), "{seen:?} is older than what was answered");
    for &id in &others {
        world.heal(old, id);
        world.heal(id, old);
    }
    world.insist(old, "person", 3, "attack 2");
    world.wait_for_leader();
    world.wait_for_equal_orders();
    world.verify();
    assert_eq!(count(world, "attack 2"), 3);
}

/// What it sends is appended everywhere, but it never hears of it.
pub fn unanswered(world: &mut impl World) {
    let (old, term) = world.wait_for_leader();
    world.insist(old, "person", 1, "attack 1");
    world.wait_until_equal();
    let others = others(world, old);
    for &id in &others {
        world.lose_replies(old, id);
    }
    // Everybody gets this one, and the leader must not take it for committed.
    let index = world.append(old, "person", 2..=2, "attack 2");
    world.wait_until("another leads", |world| {
        let status = world.status(old);
        status.is_some_and(|s| s.role == RoleName::Follower && s.leader.is_some() && s.term > term)
    });
    let (new, later) = world.wait_for_leader();
    assert!(new != old && later > term);
    world.insist(new, "person", 3, "attack 3");
    // Said again, it counts once, whether or not the followers had it from the old leader.
    let answer = world.insist(new, "person", 2, "attack 2");
    assert!(answer.index >= index);
    for &id in &others {
        world.heal(old, id);
    }
    world.insist(old, "person", 4, "attack 1");
    world.wait_for_leader();
    world.wait_for_equal_orders();
    world.verify();
    let counts = ["attack 1", "attack 2", "attack 3"].map(|text| count(world, text));
    assert_eq!(counts, [2, 1, 1]);
}

/// Followers forward commands and ask what is committed, and never hear of it; what the leader itself
/// asks is answered.
pub fn unheard_answers(world: &mut impl World) {
    let leader = world.wait_for_leader();
    let others = others(world, leader.0);
    for &id in &others {
        world.lose_replies(id, leader.0);
    }
    for serial in 1..=3 {
        for &id in &others {
            // It learns what came of it from its own log.
            world.insist(id, &format!("person at {id}"), serial, "attack 1");
        }
    }
    let client = Client::new(&world.address(others[0]), Duration::from_secs(8));
    assert!(read(&client).is_err(), "nobody could say what is committed");
    for &id in &others {
        world.heal(id, leader.0);
    }
    assert_eq!(world.wait_for_leader(), leader, "{}", world.report());
    let written = world.insist(others[1], "person", 1, "attack 2").index;
    let seen = world.wait_for("a read", |_| read(&client).ok());
    assert!(seen >= written);
    world.wait_for_equal_orders();
    world.verify();
    assert_eq!(count(world, "attack 1"), 6);
}

/// One follower hears nothing of the leader, and is heard by it.
pub fn one_way_to_one(world: &mut impl World) {
    let leader = world.wait_for_leader();
    let victories = world.victories();
    let [deaf, other] = others(world, leader.0)[..] else {
        panic!("a cluster of three");
    };
    // It has heard that the first entry is committed, and will hear of no other.
    let before = world.wait_until_equal();
    world.lose_requests(leader.0, deaf);
    world.wait_until("it asks for votes", |world| {
        world
            .status(deaf)
            .is_some_and(|s| s.role == RoleName::Candidate)
    });
    // It goes on asking, and is refused by all: they hear a leader.
    let mut serial = 0;
    let until = world.requests(deaf, other) + 6;
    world.wait_until("it asks again and again", |world| {
        serial += 1;
        world.insist(leader.0, "person", serial, "attack 1");
        let now = world.wait_for_leader_of(&[leader.0, other]);
        assert_eq!(now, leader, "{}", world.report());
        world.requests(deaf, other) >= until
    });
    assert_eq!(
        world.status(deaf).unwrap().last_applied,
        before,
        "{}",
        world.report()
    );
    world.heal(leader.0, deaf);
    assert_eq!(world.wait_for_leader(), leader, "{}", world.report());
    world.wait_for_equal_orders();
    world.verify();
    assert_eq!(world.victories(), victories, "nobody else was elected");
    assert_eq!(count(world, "attack 1"), serial);
}

/// The leader's requests are lost, and those of the others reach it.
pub fn one_way_to_all(world: &mut impl World) {
    let (old, term) = world.wait_for_leader();
    world.insist(old, "person", 1, "attack 1");
    world.wait_until_equal();
    let others = others(world, old);
    for &id in &others {
        world.lose_requests(old, id);
    }
    let lost = world.append(old, "lost", 1..=3, "attack 3");
    world.wait_until("it follows another", |world| {
        let status = world.status(old);
        status.is_some_and(|s| s.term > term && s.leader.is_some_and(|id| id != old))
    });
    let (new, _) = world.wait_for_leader();
    assert_ne!(new, old);
    for serial in 2..=6 {
        world.insist(new, "person", serial, "attack 1");
    }
    assert!(world.wait_until_equal() > lost);
    for &id in &others {
        world.heal(old, id);
    }
    world.insist(old, "person", 7, "attack 1");
    world.wait_for_equal_orders();
    world.verify();
    let counts = ["attack 1", "attack 3"].map(|text| count(world, text));
    assert_eq!(counts, [7, 0], "what nobody else had has gone");
}
