//! The world of containers: nodes with a network namespace each, links that iptables cuts, and files that
//! `docker cp` fetches. How that is done is explained in `tests/support/docker.rs`.
//!
//! Here a paused node has no time at all, as after SIGSTOP: its whole container is frozen.

use raftian::status::Status;

use crate::support::Timing;
use crate::support::docker::Engine;
use crate::world::World;

/// A cluster whose nodes are all running and follow one leader.
pub fn started(nodes: u64, timing: Timing) -> Engine {
    all_started(Engine::new(nodes, timing))
}

/// The same of containers that are there.
pub fn all_started(mut world: Engine) -> Engine {
    for id in world.ids() {
        world.start(id);
    }
    world.wait_for_leader();
    world
}

// An `Engine` has methods of these names, which are called here.
impl World for Engine {
    fn ids(&self) -> Vec<u64> {
        self.ids()
    }

    fn running(&self) -> Vec<u64> {
        self.awake()
    }

    fn timing(&self) -> Timing {
        self.timing()
    }

    fn address(&self, id: u64) -> String {
        self.address(id)
    }

    fn start(&mut self, id: u64) {
        self.start(id);
    }

    fn kill(&mut self, id: u64) {
        self.kill(id);
    }

    fn pause(&mut self, id: u64) {
        self.pause(id);
    }

    fn resume(&mut self, id: u64) {
        self.resume(id);
    }

    fn lose_requests(&self, from: u64, to: u64) {
        self.lose_requests(from, to);
    }

    fn lose_replies(&self, from: u64, to: u64) {
        self.lose_replies(from, to);
    }

    fn heal(&self, from: u64, to: u64) {
        self.heal(from, to);
    }

    fn status(&self, id: u64) -> Option<Status> {
        self.status(id)
    }

    fn orders(&self, id: u64) -> String {
        self.log(id, "orders.log")
    }

    fn trace(&self, id: u64) -> String {
        self.trace(id)
    }

    fn victories(&self) -> usize {
        self.victories()
    }

    fn verify(&self) {
        self.verify();
    }

    fn report(&self) -> String {
        self.report()
    }
}
