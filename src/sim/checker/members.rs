//! Who belongs to the cluster: the committed configurations, and which one counts on a node.

use std::collections::BTreeSet;
use std::sync::Arc;

use crate::raft::{Configuration, NodeId, Raft, RoleName, Standing};

use super::super::markers::Marker;
use super::{Checked, Checker, violated};

impl Checker {
    /// The configuration that was committed last, and its index.
    pub fn configuration(&self) -> (u64, &Arc<Configuration>) {
        let last = self.configurations.last_key_value();
        last.map_or((0, &self.founders), |(index, c)| (*index, c))
    }

    /// How many configurations have been committed after the first.
    pub fn changes(&self) -> u64 {
        (self.configurations.len() as u64).saturating_sub(1)
    }

    /// The one that counted after that committed entry.
    pub(super) fn configuration_at(&self, index: u64) -> &Arc<Configuration> {
        let last = self.configurations.range(..=index).next_back();
        last.map_or(&self.founders, |(_, c)| c)
    }

    /// Whether it was a member once and is none any more.
    pub fn is_removed(&self, id: NodeId) -> bool {
        let (_, configuration) = self.configuration();
        let mut earlier = self.configurations.values();
        !configuration.contains(id)
            && (self.founders.contains(id) || earlier.any(|c| c.contains(id)))
    }

    /// The latest configuration in a log counts, committed or not (section 6).
    pub(super) fn configured(&mut self, raft: &Raft) -> Checked {
        let id = raft.id();
        let mut entries = raft.log().from(1).iter().rev();
        let latest = entries.find_map(|entry| Some((entry.index, entry.payload.configuration()?)));
        let covered = raft.snapshot().map(|s| (s.last_index, &s.configuration));
        let expected = match (latest, covered) {
            // A tail is kept before the snapshot's end.
            (Some((index, _)), Some((covered, configuration))) if index <= covered => configuration,
            (Some((_, latest)), _) => latest,
            (None, Some((_, configuration))) => configuration,
            (None, None) if self.founders.contains(id) => &self.founders,
            (None, None) => &Arc::default(),
        };
        if **raft.configuration() != **expected {
            return Err(violated(
                "the latest configuration in a log counts",
                format!("node {id}: {}, expected {expected}", raft.configuration()),
            ));
        }
        let (index, configuration) = (raft.configured_at(), raft.configuration());
        let is_out = index <= raft.commit_index() && !configuration.is_voter(id);
        if raft.role() == RoleName::Leader && is_out {
            return Err(violated(
                "a leader that the members have left out steps down",
                format!("node {id} leads {configuration}, committed at {index}"),
            ));
        }
        let now = (raft.configured_at(), raft.configuration().clone());
        let seen = self.nodes.entry(id).or_default();
        let before = std::mem::replace(&mut seen.configured, now.clone());
        if now.0 < before.0 {
            self.mark(Marker::ConfigurationOverwritten);
            if before.1.is_joint() {
                self.mark(Marker::JointOverwritten);
            }
        }
        Ok(())
    }

    /// A configuration has been committed.
    pub(super) fn changed(&mut self, now: &Configuration, of_a_predecessor: bool) {
        let (_, before) = self.configuration();
        let before = before.clone();
        let stands = |c: &Configuration, standing| {
            let members = c
                .members()
                .iter()
                .filter(move |(_, m)| m.standing == standing);
            members.map(|(&id, _)| id).collect::<BTreeSet<_>>()
        };
        let (incoming, outgoing) = (
            stands(now, Standing::Incoming),
            stands(now, Standing::Outgoing),
        );
        let has_come = |id: &NodeId| before.standing(*id) == Some(Standing::Incoming);
        let has_gone = |id: &NodeId| !now.contains(*id);
        for (happened, marker) in [
            (
                stands(now, Standing::Learner)
                    .iter()
                    .any(|id| !before.contains(*id)),
                Marker::LearnerAdded,
            ),
            (now.is_joint(), Marker::Joint),
            (
                !incoming.is_empty() && !outgoing.is_empty(),
                Marker::Replaced,
            ),
            (
                before.is_joint() && now.voters().any(|id| has_come(&id)),
                Marker::Promoted,
            ),
            (
                before.is_joint() && before.voters().any(|id| has_gone(&id)),
                Marker::Removed,
            ),
            (now.is_joint() && of_a_predecessor, Marker::JointFinished),
        ] {
            if happened {
                self.mark(marker);
            }
        }
    }
}
