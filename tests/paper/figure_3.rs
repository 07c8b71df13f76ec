//! Figure 3: the five properties, on small clusters that have a hard time.
//!
//! The walks are random but for their seed. Each looks at one property after every step; the first
//! and the last of the five are checked by the cluster itself at each step as well.

use std::collections::BTreeMap;

use raftian::raft::{Entry, NodeId, RoleName};
use rand::rngs::Xoshiro256PlusPlus;
use rand::{RngExt, SeedableRng};

use super::raft::Cluster;
use super::*;

/// Takes clusters of 3 and 5 through many steps, and calls `check` before and after each.
fn walk(mut check: impl FnMut(&Cluster, &mut Seen)) {
    let mut commits = 0;
    let mut terms = 0;
    for seed in 0..60 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let nodes = [3, 5][seed as usize % 2];
        let mut cluster = Cluster::with(nodes, |config| config.max_batch_entries = 2);
        cluster.slow_disks = seed % 3 == 0;
        let mut seen = Seen::default();
        for _ in 0..600 {
            step(&mut cluster, &mut rng);
            check(&cluster, &mut seen);
        }
        commits += cluster.committed.len();
        terms += cluster.leaders.len();
    }
    assert!(
        commits > 500 && terms > 200,
        "{commits} commits, {terms} leaders: too quiet a walk"
    );
}

/// What a check remembers of earlier steps.
#[derive(Default)]
struct Seen {
    leaders: BTreeMap<u64, NodeId>,
    logs: BTreeMap<(NodeId, u64), Vec<Entry>>,
    applied: BTreeMap<u64, Entry>,
}

/// One step of a cluster that has a hard time.
pub(super) fn step(cluster: &mut Cluster, rng: &mut Xoshiro256PlusPlus) {
    let ids = cluster.ids();
    let id = ids[rng.random_range(0..ids.len())];
    let is_up = cluster.running(id).is_some();
    match rng.random_range(0..100) {
        0..8 if is_up => cluster.tick(id, rng.random_range(1..100)),
        8..14 if is_up => {
            let _ = cluster.propose(id, &["x"]);
        }
        14 if is_up => cluster.crash(id),
        14..20 if !is_up => cluster.restart(id),
        20..35 => {
            let _ = cluster.finish_save(id);
        }
        35..38 => {
            if let Some((from, to)) = first_on_wire(cluster) {
                cluster.drop_one(from, to);
            }
        }
        38..41 => {
            if let Some((from, to)) = first_on_wire(cluster) {
                cluster.duplicate(from, to);
            }
        }
        41..45 => {
            if let Some((from, to)) = first_on_wire(cluster) {
                cluster.delay(from, to);
            }
        }
        _ => {
            if let Some((from, to)) = first_on_wire(cluster) {
                cluster.deliver_one(from, to);
            } else if is_up {
                cluster.tick(id, 50);
            }
        }
    }
}

fn first_on_wire(cluster: &Cluster) -> Option<(NodeId, NodeId)> {
    cluster.wire.front().map(|packet| (packet.from, packet.to))
}

fn running(cluster: &Cluster) -> impl Iterator<Item = &Raft> {
    cluster
        .ids()
        .into_iter()
        .filter_map(|id| cluster.running(id))
}

fn leaders(cluster: &Cluster) -> impl Iterator<Item = &Raft> {
    running(cluster).filter(|core| core.role() == RoleName::Leader)
}

#[test]
fn election_safety_a_term_has_at_most_one_leader() {
    walk(|cluster, seen| {
        for core in leaders(cluster) {
            let leader = *seen.leaders.entry(core.current_term()).or_insert(core.id());
            assert_eq!(leader, core.id());
        }
    });
}

#[test]
fn leader_append_only_a_leader_changes_nothing_in_its_log() {
    walk(|cluster, seen| {
        for core in leaders(cluster) {
            let key = (core.id(), core.current_term());
            let log = core.log().from(1).to_vec();
            let before = seen.logs.insert(key, log.clone()).unwrap_or_default();
            assert!(log.starts_with(&before));
        }
    });
}

#[test]
fn log_matching_logs_that_agree_at_an_index_agree_before_it() {
    walk(|cluster, _| {
        for a in running(cluster) {
            for b in running(cluster) {
                let (a, b) = (a.log().from(1), b.log().from(1));
                let agree = a.iter().zip(b).rposition_term();
                assert_eq!(a[..agree], b[..agree]);
            }
        }
    });
}

/// How many entries there are up to the last pair with the same index and term.
trait LastAgreement {
    fn rposition_term(self) -> usize;
}

impl<'a, I: Iterator<Item = (&'a Entry, &'a Entry)>> LastAgreement for I {
    fn rposition_term(self) -> usize {
        (1..)
            .zip(self)
            .filter(|(_, (a, b))| (a.index, a.term) == (b.index, b.term))
            .last()
            .map_or(0, |(count, _)| count)
    }
}

#[test]
fn leader_completeness_leaders_of_later_terms_have_all_that_is_committed() {
    walk(|cluster, _| {
        for core in leaders(cluster) {
            for (entry, term) in cluster.committed.values() {
                if core.current_term() > *term {
                    assert_eq!(core.log().get(entry.index), Some(entry));
                }
            }
        }
    });
}

#[test]
fn state_machine_safety_no_two_nodes_apply_different_entries_at_one_index() {
    walk(|cluster, seen| {
        for id in cluster.ids() {
            for (index, entry) in (1..).zip(cluster.applied(id)) {
                assert_eq!(entry.index, index, "applied in order, from the first");
                let first = seen.applied.entry(index).or_insert_with(|| entry.clone());
                assert_eq!(first, entry);
            }
        }
    });
}
