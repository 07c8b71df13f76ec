//! What goes wrong, and how it ends.

use rand::RngExt;

use crate::raft::NodeId;

use super::super::markers::Marker;
use super::super::network::Weather;
use super::{Checked, Happening, LEADER_WITHIN, World};

impl World<'_> {
    pub(super) fn fault(&mut self) -> Checked {
        if self.is_calm {
            return Ok(());
        }
        let ids = self.ids();
        let id = ids[self.rng.random_range(0..ids.len())];
        match self.rng.random_range(0..7) {
            0 | 1 => {
                self.faults += 1;
                let World { network, rng, .. } = self;
                let kind = network.partition(&ids, rng);
                self.checker.markers.mark(match kind {
                    "symmetric" | "no" => Marker::Partition,
                    "bridge" => Marker::Bridge,
                    _ => Marker::OneWay,
                });
                self.note(|| format!("{kind} partition"));
                let heal = self.rng.random_range(50..LEADER_WITHIN);
                self.after(heal, Happening::Heal);
            }
            2 | 3 => {
                if self.node(id).driver.is_some() {
                    self.crash(id);
                }
            }
            4 => {
                self.faults += 1;
                let until = self.now + self.rng.random_range(10..LEADER_WITHIN);
                // What waits for the end of a longer pause is not awake before it.
                let node = self.node(id);
                let until = node.paused_until.max(until);
                node.paused_until = until;
                self.note(|| format!("node {id} pauses until {until}"));
                self.checker.markers.mark(Marker::Paused);
            }
            5 if self.node(id).driver.is_some() => {
                self.faults += 1;
                let bytes = self.rng.random_range(0..4_000);
                self.node(id).disk.fill(bytes);
                self.note(|| format!("node {id} has room for {bytes} bytes"));
                let room = self.rng.random_range(50..LEADER_WITHIN);
                self.after(room, Happening::Room(id));
            }
            _ => {
                // The leader is where it hurts.
                let leader = self.leaders().first().copied();
                match leader {
                    Some(leader) if self.rng.random_ratio(1, 2) => self.crash(leader),
                    Some(leader) => {
                        self.faults += 1;
                        let World { network, rng, .. } = self;
                        network.strand(leader, &ids, rng);
                        self.note(|| format!("leader {leader} is cut off from a majority"));
                        self.checker.markers.mark(Marker::Stranded);
                        let heal = self.rng.random_range(50..LEADER_WITHIN);
                        self.after(heal, Happening::Heal);
                    }
                    None => {}
                }
            }
        }
        let next = self.rng.random_range(20..self.fault_every);
        self.after(next, Happening::Fault);
        Ok(())
    }

    /// The faults end: links are whole, nodes are up and awake, disks are fast.
    pub(super) fn calm(&mut self) -> Checked {
        self.is_calm = true;
        self.note(|| "the faults end".to_string());
        self.network.heal();
        self.network.weather = Weather::calm();
        self.retire_the_removed()?;
        for id in self.ids() {
            let node = self.node(id);
            node.paused_until = 0;
            // Its wake-up may have been put off to the end of a pause that ends now.
            node.wake_at = u64::MAX;
            node.disk.make_room();
            // A bit that has flipped is noticed, and flipped back.
            for _ in 0..2 {
                self.start(id)?;
            }
            self.drive(id, |driver, now| driver.tick(now))?;
        }
        Ok(())
    }

    /// The paper's bare algorithm lets whoever was removed disturb the others: section 6 withholds
    /// votes for that. So in a world without that rule they stop. Whoever knows nobody else is started
    /// again, and told who the members are now.
    pub(super) fn retire_the_removed(&mut self) -> Checked {
        if self.check_quorum {
            return Ok(());
        }
        let mut retired = false;
        for id in self.ids() {
            let is_removed = self.checker.is_removed(id);
            let node = self.node(id);
            if !is_removed || node.is_gone {
                continue;
            }
            retired = true;
            node.is_gone = true;
            if node.driver.is_some() {
                self.crash(id);
            }
        }
        for id in self.ids() {
            let knows_nobody = self.nodes[&id].driver.as_ref().is_some_and(|driver| {
                let raft = driver.raft();
                // Whoever is the only voter needs nobody.
                let is_alone = raft.is_voter() && raft.configuration().members().len() == 1;
                let known = raft.acquaintances();
                !is_alone && known.iter().all(|other| self.nodes[other].is_gone)
            });
            if retired && knows_nobody {
                self.node(id).is_told = true;
                self.crash(id);
                self.start(id)?;
            }
        }
        Ok(())
    }

    /// An entry that makes one of them a member again may have been on its way.
    pub(super) fn return_the_added(&mut self) -> Checked {
        let gone = self.nodes.iter().filter(|(_, node)| node.is_gone);
        let gone: Vec<NodeId> = gone.map(|(&id, _)| id).collect();
        for id in gone {
            if !self.checker.is_removed(id) {
                self.node(id).is_gone = false;
                self.start(id)?;
            }
        }
        Ok(())
    }
}
