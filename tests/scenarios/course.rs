//! The tests of the course in which most people write a Raft of their own (MIT 6.824, now 6.5840), by
//! meaning: six stories, each in three ways.
//!
//! - `over_links`: who is gone is cut off, and comes back as it was.
//! - `with_kill_9`: who was cut off is killed before it comes back, and started with its data; so what
//!   only it had in its log is on its disk.
//! - `with_snapshots`: the same, with a snapshot every five entries, so that who was away for long
//!   gets one.
//!
//! The course's network is a simulated one that cuts nodes off by themselves, loses one message in ten
//! and delays others; here the proxies of the links do that to real connections.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use raftian::raft::RoleName;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};

use crate::processes::Processes;
use crate::support::links::Mode;
use crate::support::{PATIENT, Timing, VERY_PATIENT};
use crate::world::{World, count, insist};

macro_rules! in_three_ways {
    ($($story:ident),*) => { $(
        mod $story {
            use super::*;

            #[test]
            fn over_links() {
                stories::$story(Way::OverLinks);
            }

            #[test]
            fn with_kill_9() {
                stories::$story(Way::WithKill9);
            }

            #[test]
            fn with_snapshots() {
                stories::$story(Way::WithSnapshots);
            }
        }
    )* };
}

in_three_ways!(
    re_election,
    agreement_despite_a_lost_follower,
    no_agreement_without_a_quorum,
    rejoin_of_a_partitioned_leader,
    quick_back_up_over_incorrect_logs,
    figure_8_over_an_unreliable_network
);

/// In which way a story is told.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    OverLinks,
    WithKill9,
    WithSnapshots,
}

/// The default of the program, for a story in which elections are to be many.
const HASTY: Timing = Timing {
    heartbeat: 50,
    election_timeout: (150, 300),
};

/// A world in which nodes can be cut off, alone or in company.
struct Lab {
    world: Processes,
    way: Way,
    /// On which island each node is, by id; 0 is the mainland.
    islands: Vec<u64>,
    /// Links on one island.
    links: Mode,
    serial: u64,
}

impl Lab {
    fn new(nodes: usize, timing: Timing, way: Way) -> Lab {
        let storage = match way {
            Way::WithSnapshots => "snapshot_entries = 5\n",
            _ => "",
        };
        let mut world = Processes::with_storage(nodes, timing, storage);
        world.start_all();
        Lab {
            world,
            way,
            islands: vec![0; nodes + 1],
            links: Mode::Open,
            serial: 0,
        }
    }

    fn set_links(&self) {
        for from in self.world.ids() {
            for to in self.world.ids().into_iter().filter(|&to| to != from) {
                let together = self.islands[from as usize] == self.islands[to as usize];
                let mode = match together {
                    true => self.links,
                    false => Mode::RequestsLost,
                };
                self.world.cluster.links().set(from, to, mode);
            }
        }
    }

    /// These can talk to each other and to nobody else.
    fn cut_off(&mut self, ids: &[u64]) {
        for &id in ids {
            self.islands[id as usize] = ids[0];
        }
        self.set_links();
    }

    /// These come back to the mainland.
    fn bring_back(&mut self, ids: &[u64]) {
        for &id in ids {
            if self.way != Way::OverLinks {
                self.world.kill(id);
                self.world.start(id);
            }
            self.islands[id as usize] = 0;
        }
        self.set_links();
    }

    /// Who is on the mainland.
    fn connected(&self) -> Vec<u64> {
        let ids = self.world.ids().into_iter();
        ids.filter(|&id| self.islands[id as usize] == 0).collect()
    }

    /// The leader whom the mainland follows, and its term.
    fn leader(&self) -> (u64, u64) {
        self.world.wait_for_leader_of(&self.connected())
    }

    /// So many commands, `attack 1`, are committed on the mainland.
    fn commit(&mut self, commands: u64) {
        let connected = self.connected();
        for _ in 0..commands {
            self.serial += 1;
            let through = connected[self.serial as usize % connected.len()];
            self.world
                .insist(through, "student", self.serial, "attack 1");
        }
    }

    /// A leader appends so many commands, `attack 3`, of which nobody is to hear.
    fn append_lost(&mut self, leader: u64, commands: u64) -> u64 {
        let first = self.serial + 1;
        self.serial += commands;
        self.world
            .append(leader, "lost", first..=self.serial, "attack 3")
    }

    /// All are back, agree on one more command, and have the same history.
    fn finish(&mut self) {
        assert_eq!(self.connected(), self.world.ids());
        self.commit(1);
        self.world.wait_until_equal();
        if self.way != Way::OverLinks {
            // What was overwritten must not come back from a disk.
            for id in self.world.ids() {
                self.world.kill(id);
            }
            self.world.start_all();
            self.world.wait_until_equal();
        }
        // A file may leave out what came with a snapshot.
        if self.way != Way::WithSnapshots {
            self.world.wait_for_equal_orders();
        }
        self.world.verify();
    }
}

mod stories {
    use super::*;

    /// TestReElection: a leader is lost and another elected; the old one returns and disturbs nobody;
    /// without a quorum there is no leader; with one there is.
    pub(super) fn re_election(way: Way) {
        let mut lab = Lab::new(3, VERY_PATIENT, way);
        let (first, term) = lab.leader();
        lab.cut_off(&[first]);
        let second = lab.leader();
        assert!(second.1 > term);
        lab.bring_back(&[first]);
        assert_eq!(lab.leader(), second, "{}", lab.world.report());

        let third = (1..=3).find(|id| ![first, second.0].contains(id)).unwrap();
        lab.cut_off(&[second.0]);
        lab.cut_off(&[third]);
        lab.world.wait_until("nobody leads", |world| {
            let statuses = world.statuses(&[1, 2, 3]);
            statuses.is_some_and(|all| all.iter().all(|s| s.role != RoleName::Leader))
        });
        let victories = lab.world.victories();
        // A request that is lost takes as long as the shortest election timeout.
        let until = lab.world.requests(first, third) + 5;
        lab.world.wait_until("five requests for a vote", |world| {
            world.requests(first, third) >= until
        });
        assert_eq!(lab.world.victories(), victories, "{}", lab.world.report());

        lab.bring_back(&[third]);
        let fourth = lab.leader();
        assert!(fourth.1 > second.1);
        lab.bring_back(&[second.0]);
        assert_eq!(lab.leader(), fourth, "{}", lab.world.report());
        lab.finish();
    }

    /// TestFailAgree: a follower is lost, the others agree without it, and it catches up.
    pub(super) fn agreement_despite_a_lost_follower(way: Way) {
        let mut lab = Lab::new(3, PATIENT, way);
        lab.commit(1);
        lab.world.wait_until_equal();
        let (leader, _) = lab.leader();
        let lost = 1 + leader % 3;
        lab.cut_off(&[lost]);
        let before = lab.world.status(lost).unwrap().last_index;
        lab.leader();
        lab.commit(12);
        let status = lab.world.status(lost).unwrap();
        assert!(status.last_index <= before, "{}", lab.world.report());
        lab.bring_back(&[lost]);
        lab.leader();
        lab.commit(3);
        lab.finish();
        assert_eq!(count(&lab.world, "attack 1"), 1 + 12 + 3 + 1);
    }

    /// TestFailNoAgree: with three of five followers lost, nothing is agreed on; when they are back,
    /// everything is.
    pub(super) fn no_agreement_without_a_quorum(way: Way) {
        let mut lab = Lab::new(5, VERY_PATIENT, way);
        lab.commit(1);
        lab.world.wait_until_equal();
        let (leader, _) = lab.leader();
        let lost = [1, 2, 3].map(|step| 1 + (leader - 1 + step) % 5);
        for id in lost {
            lab.cut_off(&[id]);
        }
        let first = lab.append_lost(leader, 3);
        let company = 1 + (leader + 3) % 5;
        lab.world
            .wait_until("its company has the entries", |world| {
                world
                    .status(company)
                    .is_some_and(|s| s.last_index >= first + 2)
            });
        let until = lab.world.requests(leader, lost[0]) + 6;
        lab.world.wait_until("it asks those who are lost", |world| {
            for status in world.statuses(&world.ids()).unwrap_or_default() {
                assert!(status.commit_index < first, "{}", world.report());
            }
            world.requests(leader, lost[0]) >= until
        });
        lab.bring_back(&lost);
        lab.leader();
        lab.commit(10);
        lab.finish();
        // Those two with the three entries may have won or lost the election after that.
        let counted = count(&lab.world, "attack 3");
        assert!([0, 3].contains(&counted), "{counted} of 3");
        assert_eq!(count(&lab.world, "attack 1"), 12);
    }

    /// TestRejoin: a leader is cut off with entries that nobody else has. It comes back when the one
    /// after it is cut off, and must give way.
    pub(super) fn rejoin_of_a_partitioned_leader(way: Way) {
        let mut lab = Lab::new(3, PATIENT, way);
        lab.commit(1);
        lab.world.wait_until_equal();
        let (first, _) = lab.leader();
        lab.cut_off(&[first]);
        lab.append_lost(first, 3);
        let (second, _) = lab.leader();
        lab.commit(8);
        lab.cut_off(&[second]);
        lab.bring_back(&[first]);
        let (third, _) = lab.leader();
        assert!(third != first && third != second, "{}", lab.world.report());
        lab.commit(8);
        lab.bring_back(&[second]);
        lab.leader();
        lab.finish();
        assert_eq!(count(&lab.world, "attack 1"), 1 + 8 + 8 + 1);
        assert_eq!(count(&lab.world, "attack 3"), 0);
    }

    /// TestBackup: leaders leave behind long logs of what was never committed, which others must find
    /// the end of and overwrite.
    pub(super) fn quick_back_up_over_incorrect_logs(way: Way) {
        const LONG: u64 = 50;
        let mut lab = Lab::new(5, VERY_PATIENT, way);
        lab.commit(1);
        lab.world.wait_until_equal();
        let (first, _) = lab.leader();
        let island = [first, 1 + first % 5];
        lab.cut_off(&island);
        let from = lab.append_lost(first, LONG);
        lab.world.wait_until("the island has the entries", |world| {
            world
                .status(island[1])
                .is_some_and(|s| s.last_index >= from + LONG - 1)
        });

        let (second, _) = lab.leader();
        lab.commit(20);
        // The leader there is left with one follower, and appends as much again.
        let alone = lab.connected().into_iter().find(|&id| id != second);
        let alone = alone.unwrap();
        lab.cut_off(&[alone]);
        let from = lab.append_lost(second, LONG);
        let pair = lab.connected();
        lab.world.wait_until("the pair has the entries", |world| {
            let statuses = world.statuses(&pair);
            statuses.is_some_and(|all| all.iter().all(|s| s.last_index >= from + LONG - 1))
        });

        // The one that was alone has everything that is committed, and the island has not.
        lab.cut_off(&pair);
        lab.bring_back(&[alone, island[0], island[1]]);
        let (third, _) = lab.leader();
        assert_eq!(third, alone, "{}", lab.world.report());
        lab.commit(20);
        lab.bring_back(&pair);
        lab.leader();
        lab.finish();
        assert_eq!(count(&lab.world, "attack 1"), 1 + 20 + 20 + 1);
        assert_eq!(count(&lab.world, "attack 3"), 0);
    }

    /// TestFigure8Unreliable: leaders are cut off as soon as they have appended something, now and then
    /// before it has reached anybody, over links that lose, delay and overtake. A client insists all
    /// the while.
    pub(super) fn figure_8_over_an_unreliable_network(way: Way) {
        const ROUNDS: u64 = 8;
        let mut lab = Lab::new(5, HASTY, way);
        let mut rng = StdRng::seed_from_u64(8);
        lab.links = Mode::Unreliable {
            requests: 10,
            replies: 10,
            longest: 25,
        };
        lab.set_links();
        let addresses: Vec<String> = (1..=5).map(|id| lab.world.address(id)).collect();
        let stop = AtomicBool::new(false);
        let (answered, appended) = thread::scope(|scope| {
            let client = scope.spawn(|| {
                let mut serial = 0;
                while !stop.load(Ordering::SeqCst) {
                    serial += 1;
                    insist(&addresses, "patient", serial, "attack 2").unwrap();
                }
                serial
            });
            // Also when this fails, so that the client ends.
            let rounds = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                let mut appended = 0;
                for round in 1..=ROUNDS {
                    let connected = lab.connected();
                    let leader = lab.world.wait_for("a leader", |world| {
                        let statuses = connected.iter().filter_map(|&id| world.status(id));
                        let mut leaders = statuses.filter(|s| s.role == RoleName::Leader);
                        leaders.next().map(|status| status.id)
                    });
                    let serials = 3 * round..=3 * round + 2;
                    let first = lab.world.try_append(leader, "hasty", serials, "attack 3");
                    appended += 3;
                    if let Some(first) = first
                        && rng.random_bool(0.5)
                    {
                        lab.world.wait_until("somebody applies it", |world| {
                            let statuses = connected.iter().filter_map(|&id| world.status(id));
                            statuses.into_iter().any(|s| s.last_applied >= first)
                        });
                    }
                    lab.cut_off(&[leader]);
                    while lab.connected().len() < 4 {
                        let away: Vec<u64> = (1..=5)
                            .filter(|&id| id != leader && !lab.connected().contains(&id))
                            .collect();
                        lab.bring_back(&[*away.choose(&mut rng).unwrap()]);
                    }
                }
                lab.links = Mode::Open;
                let away: Vec<u64> = (1..=5).filter(|id| !lab.connected().contains(id)).collect();
                lab.bring_back(&away);
                lab.leader();
                appended
            }));
            stop.store(true, Ordering::SeqCst);
            let answered = client.join().unwrap();
            match rounds {
                Ok(appended) => (answered, appended),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        });
        lab.finish();
        assert_eq!(count(&lab.world, "attack 2"), answered, "each counts once");
        assert!(count(&lab.world, "attack 3") <= appended);
        println!("{answered} commands were answered meanwhile");
    }
}
