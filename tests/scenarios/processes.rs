//! The world of processes: `raftian serve` with a proxy on each link, and the scenarios that need no more
//! than a [`World`], told of it.

use std::fs;

use raftian::status::Status;

use crate::support::links::Mode;
use crate::support::{Cluster, PATIENT, Timing, VERY_PATIENT};
use crate::world::World;
use crate::{manual, troubled_leader};

#[test]
fn scenario_1_election() {
    manual::election(&mut Processes::new(5, VERY_PATIENT));
}

#[test]
fn scenario_2_replication() {
    manual::replication(&mut Processes::new(5, VERY_PATIENT));
}

#[test]
fn scenario_3_conflict() {
    manual::conflict(&mut Processes::new(5, VERY_PATIENT));
}

#[test]
fn a_leader_that_is_paused_for_ten_election_timeouts_answers_nothing_old_when_it_wakes_up() {
    troubled_leader::paused(&mut Processes::started(3, PATIENT));
}

#[test]
fn a_leader_that_wakes_up_where_nobody_reaches_it_answers_no_read() {
    troubled_leader::paused_and_cut_off(&mut Processes::started(3, VERY_PATIENT));
}

#[test]
fn a_leader_that_gets_no_replies_is_replaced_and_each_command_counts_once() {
    troubled_leader::unanswered(&mut Processes::started(3, PATIENT));
}

#[test]
fn a_leader_whose_own_replies_are_lost_leads_on_and_each_command_counts_once() {
    troubled_leader::unheard_answers(&mut Processes::started(3, VERY_PATIENT));
}

#[test]
fn a_link_that_works_one_way_to_one_follower_disturbs_nobody_else() {
    troubled_leader::one_way_to_one(&mut Processes::started(3, VERY_PATIENT));
}

#[test]
fn a_leader_that_hears_all_and_reaches_nobody_is_replaced() {
    troubled_leader::one_way_to_all(&mut Processes::started(3, PATIENT));
}

/// `raftian serve` processes with a proxy on each link.
pub struct Processes {
    pub cluster: Cluster,
    timing: Timing,
}

impl Processes {
    /// So many nodes, none of which is running.
    pub fn new(nodes: usize, timing: Timing) -> Processes {
        Processes::with_storage(nodes, timing, "")
    }

    /// The same with these keys of the table `[storage]`.
    pub fn with_storage(nodes: usize, timing: Timing, storage: &str) -> Processes {
        Processes {
            cluster: Cluster::linked(nodes, timing, storage, 7),
            timing,
        }
    }

    /// The same, with all nodes running and following a leader.
    pub fn started(nodes: usize, timing: Timing) -> Processes {
        let mut world = Processes::new(nodes, timing);
        world.start_all();
        world
    }

    pub fn start_all(&mut self) {
        for id in self.ids() {
            self.start(id);
        }
        self.wait_for_leader();
    }
}

impl World for Processes {
    fn ids(&self) -> Vec<u64> {
        self.cluster.ids()
    }

    fn running(&self) -> Vec<u64> {
        self.cluster.running()
    }

    fn timing(&self) -> Timing {
        self.timing
    }

    fn address(&self, id: u64) -> String {
        self.cluster.address(id)
    }

    fn start(&mut self, id: u64) {
        self.cluster.start_with(id, &["--trace", &trace_of(id)]);
    }

    fn kill(&mut self, id: u64) {
        self.cluster.kill(id);
    }

    fn pause(&mut self, id: u64) {
        self.cluster.pause(id);
    }

    fn resume(&mut self, id: u64) {
        self.cluster.resume(id);
    }

    fn lose_requests(&self, from: u64, to: u64) {
        self.cluster.links().set(from, to, Mode::RequestsLost);
    }

    fn lose_replies(&self, from: u64, to: u64) {
        self.cluster.links().set(from, to, Mode::RepliesLost);
    }

    fn heal(&self, from: u64, to: u64) {
        self.cluster.links().set(from, to, Mode::Open);
    }

    fn status(&self, id: u64) -> Option<Status> {
        self.cluster.status(id)
    }

    fn orders(&self, id: u64) -> String {
        self.cluster.orders(id)
    }

    fn trace(&self, id: u64) -> String {
        fs::read_to_string(self.cluster.dir().join(trace_of(id))).unwrap_or_default()
    }

    fn victories(&self) -> usize {
        self.cluster.victories()
    }

    fn verify(&self) {
        self.cluster.verified();
    }

    fn report(&self) -> String {
        self.cluster.report()
    }
}

/// The file for a node's trace.
fn trace_of(id: u64) -> String {
    format!("bob{id}.trace")
}
