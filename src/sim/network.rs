//! A network that loses, repeats, delays and reorders, and whose links can be cut one way.

use std::collections::BTreeSet;

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt};

use crate::raft::NodeId;

/// How badly the network behaves, drawn once for a run.
#[derive(Clone, Debug)]
pub struct Weather {
    /// A message does not arrive, in 1000.
    pub loss: u32,
    /// A message arrives twice, in 1000.
    pub duplication: u32,
    /// A message is delayed by up to ten election timeouts, in 1000.
    pub long_delay: u32,
    /// The usual delay, in milliseconds, is 0 to this.
    pub delay: u64,
}

impl Weather {
    /// Anything from calm to awful.
    pub fn draw(rng: &mut Xoshiro256PlusPlus) -> Weather {
        let mut one_of = |choices: [u32; 4]| choices[rng.random_range(0..4)];
        Weather {
            loss: one_of([0, 10, 100, 300]),
            duplication: one_of([0, 10, 50, 200]),
            long_delay: one_of([0, 5, 20, 100]),
            delay: u64::from(one_of([1, 5, 20, 60])),
        }
    }

    /// Everything arrives, once and soon.
    pub fn calm() -> Weather {
        Weather {
            loss: 0,
            duplication: 0,
            long_delay: 0,
            delay: 2,
        }
    }
}

/// The links between nodes.
#[derive(Clone, Debug)]
pub struct Network {
    pub weather: Weather,
    /// Directions that are cut: (from, to).
    cut: BTreeSet<(NodeId, NodeId)>,
    longest_delay: u64,
}

impl Network {
    pub fn new(weather: Weather, longest_delay: u64) -> Network {
        Network {
            weather,
            cut: BTreeSet::new(),
            longest_delay,
        }
    }

    /// After how many milliseconds each copy of a message arrives; none: it is lost.
    pub fn fate(&self, rng: &mut Xoshiro256PlusPlus) -> Vec<u64> {
        let mut copies = 1;
        if rng.random_ratio(self.weather.loss, 1000) {
            copies -= 1;
        }
        if rng.random_ratio(self.weather.duplication, 1000) {
            copies += 1;
        }
        (0..copies)
            .map(|_| {
                let longest = if rng.random_ratio(self.weather.long_delay, 1000) {
                    self.longest_delay
                } else {
                    self.weather.delay
                };
                rng.random_range(0..=longest)
            })
            .collect()
    }

    /// Whether a message from `from` reaches `to` now.
    pub fn connects(&self, from: NodeId, to: NodeId) -> bool {
        !self.cut.contains(&(from, to))
    }

    /// Restores every link.
    pub fn heal(&mut self) {
        self.cut.clear();
    }

    /// Cuts links in one of the ways that are known to hurt.
    pub fn partition(&mut self, nodes: &[NodeId], rng: &mut Xoshiro256PlusPlus) -> &'static str {
        self.heal();
        if nodes.len() < 2 {
            return "no";
        }
        let mut nodes = nodes.to_vec();
        for i in (1..nodes.len()).rev() {
            nodes.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
        }
        let middle = rng.random_range(1..nodes.len());
        match rng.random_range(0..5) {
            0 => {
                self.separate(&nodes[..middle], &nodes[middle..]);
                "symmetric"
            }
            1 => {
                for &to in &nodes[1..] {
                    self.cut.insert((nodes[0], to));
                }
                "mute"
            }
            2 => {
                for &from in &nodes[1..] {
                    self.cut.insert((from, nodes[0]));
                }
                "deaf"
            }
            3 => {
                self.cut.insert((nodes[0], nodes[1]));
                "one-way"
            }
            _ => {
                // Two halves that only the first node connects.
                let (bridge, rest) = nodes.split_at(1);
                let half = rest.len() / 2;
                self.separate(&rest[..half], &rest[half..]);
                assert!(self.connects(bridge[0], rest[0]));
                "bridge"
            }
        }
    }

    /// Cuts links so that at least one node can still talk to a majority, both ways.
    pub fn half_connect(&mut self, nodes: &[NodeId], rng: &mut Xoshiro256PlusPlus) -> &'static str {
        self.heal();
        let mut nodes = nodes.to_vec();
        for i in (1..nodes.len()).rev() {
            nodes.swap(i, (rng.next_u64() % (i as u64 + 1)) as usize);
        }
        match rng.random_range(0..4) {
            0 => {
                for &to in &nodes[1..] {
                    self.cut.insert((nodes[0], to));
                }
                "mute"
            }
            1 => {
                for &from in &nodes[1..] {
                    self.cut.insert((from, nodes[0]));
                }
                "deaf"
            }
            2 => {
                self.cut.insert((nodes[0], nodes[1]));
                "one-way"
            }
            _ => {
                let (_, rest) = nodes.split_at(1);
                let half = rest.len() / 2;
                self.separate(&rest[..half], &rest[half..]);
                "bridge"
            }
        }
    }

    /// Leaves a node with less than half of the others.
    pub fn strand(&mut self, node: NodeId, nodes: &[NodeId], rng: &mut Xoshiro256PlusPlus) {
        self.heal();
        let (mut with, mut without) = (vec![node], Vec::new());
        for &other in nodes.iter().filter(|&&other| other != node) {
            let has_room = 2 * (with.len() + 1) < nodes.len();
            if has_room && rng.random_ratio(1, 2) {
                with.push(other);
            } else {
                without.push(other);
            }
        }
        self.separate(&with, &without);
    }

    fn separate(&mut self, one: &[NodeId], other: &[NodeId]) {
        for &a in one {
            for &b in other {
                self.cut.insert((a, b));
                self.cut.insert((b, a));
            }
        }
    }
}
