//! What must hold after every step, whatever happens (figure 3 of the paper, and a little more).
//!
//! The checker sees everything: each node's log and state, each vote that leaves, each answer that
//! a client gets. It keeps its own small model of the truth (which leader each term had, which
//! entries are committed, what the board must be) and compares.
//!
//! To be fast it looks at what changed in a step. Log matching is checked entry by entry: all
//! entries of one index and term must say the same and follow an entry of the same term, which by
//! induction is the paper's property.
//!
//! Here are the rules of Raft itself. Three others look at the same run: `members` at who belongs to the
//! cluster, `machine` at what is applied, `clients` at what is told.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::game::Game;
use crate::machine::Answer;
use crate::node::driver::Driver;
use crate::raft::{
    AppendOutcome, Configuration, InstallOutcome, NodeId, Payload, Raft, Reply, RoleName,
};
use crate::storage::Memory;

use super::disk::Disk;
use super::markers::{Marker, Markers};

mod clients;
mod machine;
mod members;

/// A rule that was broken, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The rule.
    pub invariant: &'static str,
    /// What was seen.
    pub detail: String,
}

type Checked = Result<(), Violation>;

/// What is known of the run so far.
pub struct Checker {
    /// By term: who led, and the terms of its log at that moment, from index 1.
    leaders: BTreeMap<u64, (NodeId, Vec<u64>)>,
    /// Every entry ever seen in a log, by (index, term): what it says, and the term before it.
    entries: BTreeMap<(u64, u64), (Payload, u64)>,
    committed: Vec<Committed>,
    /// What was applied, from index 1.
    lines: Vec<Line>,
    /// Who voted for whom: (term, voter) -> candidate.
    votes: BTreeMap<(u64, NodeId), NodeId>,
    nodes: BTreeMap<NodeId, Seen>,
    /// First answers by identity.
    applied: BTreeMap<(String, u64), Answer>,
    /// Commands of which their client was told that nothing was appended.
    denied: BTreeSet<(String, u64)>,
    /// The oldest serial of each client that is not refused.
    floors: BTreeMap<String, u64>,
    /// Commands that were refused for the age of their serial.
    refused: BTreeSet<(String, u64)>,
    model: Game,
    digest: String,
    /// How many snapshots took the place of a node's state.
    installs: u64,
    /// Who belonged to the cluster when it began.
    founders: Arc<Configuration>,
    /// The committed configurations, by the index of their entries.
    configurations: BTreeMap<u64, Arc<Configuration>>,
    /// The latest index that anybody has been told of: whatever is asked from now on must see it.
    told: u64,
    /// What had been told when a command was first asked for.
    asked: BTreeMap<(String, u64), u64>,
    /// What happened.
    pub markers: Markers,
}

/// A committed entry.
struct Committed {
    term: u64,
    payload: Payload,
    /// The term of the leader under which it was first seen committed.
    in_term: u64,
}

/// An applied entry.
struct Line {
    /// The line of orders.log.
    text: String,
    digest: String,
    /// The board after it.
    board: Game,
}

/// What an agreeing reply would say is on the disk of whoever agrees.
#[derive(Clone, Copy, Debug)]
pub enum Verifies {
    /// An entry of this term, at the index that the reply names.
    Entry(u64),
    /// The snapshot of this index and term.
    Snapshot(u64, u64),
    /// Nothing: a vote was asked for in advance.
    PreVote,
}

/// A node as it was after the last step.
#[derive(Default)]
struct Seen {
    term: u64,
    commit_index: u64,
    role: Option<RoleName>,
    /// Terms of the log, from index 1.
    log: Vec<u64>,
    /// The configuration that counted, and its index.
    configured: (u64, Arc<Configuration>),
    /// Index of the last order recorded, or covered by a snapshot.
    recorded: u64,
    /// Last index of its snapshot.
    snapshot: u64,
}

fn violated(invariant: &'static str, detail: impl Into<String>) -> Violation {
    Violation {
        invariant,
        detail: detail.into(),
    }
}

impl Checker {
    /// A run that starts with this board and these members.
    pub fn new(model: Game, founders: Configuration) -> Checker {
        Checker {
            leaders: BTreeMap::new(),
            entries: BTreeMap::new(),
            committed: Vec::new(),
            lines: Vec::new(),
            votes: BTreeMap::new(),
            nodes: BTreeMap::new(),
            applied: BTreeMap::new(),
            denied: BTreeSet::new(),
            floors: BTreeMap::new(),
            refused: BTreeSet::new(),
            model,
            digest: crate::machine::FIRST_DIGEST.to_string(),
            installs: 0,
            founders: Arc::new(founders),
            configurations: BTreeMap::new(),
            told: 0,
            asked: BTreeMap::new(),
            markers: Markers::default(),
        }
    }

    fn mark(&mut self, marker: Marker) {
        self.markers.mark(marker);
    }

    /// How many entries are committed.
    pub fn committed(&self) -> u64 {
        self.committed.len() as u64
    }

    /// How many snapshots took the place of a node's state.
    pub fn installs(&self) -> u64 {
        self.installs
    }

    /// How many terms had a leader.
    pub fn elections(&self) -> u64 {
        self.leaders.len() as u64
    }

    /// A node has stopped: what it kept in memory only may go back.
    pub fn stopped(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// A node has started, and goes on where its snapshot ends.
    pub fn started<T>(&mut self, driver: &Driver<T>) -> Checked {
        let id = driver.raft().id();
        let covered = driver.machine().last_applied();
        if driver.raft().configuration().voters().count() == 1 {
            // A lone node leads before its term is saved. What it then loses, nobody has seen, and
            // it may have the same term again.
            let saved = driver.raft().current_term();
            self.entries.retain(|&(_, term), _| term <= saved);
            self.leaders.retain(|&term, _| term <= saved);
        }
        let seen = self.nodes.entry(id).or_default();
        seen.commit_index = covered;
        seen.recorded = covered;
        if covered > 0 {
            self.mark(Marker::StartFromSnapshot);
        }
        self.snapshot(driver)?;
        let log = self.committed[..covered as usize].iter();
        let log = log.map(|entry| entry.term).collect();
        self.nodes.entry(id).or_default().log = log;
        self.node(driver)
    }

    /// A node after a step.
    pub fn node<T>(&mut self, driver: &Driver<T>) -> Checked {
        let raft = driver.raft();
        let id = raft.id();
        let seen = self.nodes.entry(id).or_default();
        let (term, commit_index) = (raft.current_term(), raft.commit_index());
        if term < seen.term || commit_index < seen.commit_index {
            return Err(violated(
                "term and commit never go back",
                format!(
                    "node {id}: term {} -> {term}, commit {} -> {commit_index}",
                    seen.term, seen.commit_index
                ),
            ));
        }
        // What a snapshot covers is applied at once, and not recorded.
        let covered = raft.snapshot().map_or(0, |s| s.last_index);
        let has_more = seen.snapshot < covered;
        let is_installed = covered > seen.recorded;
        let begins_anew = is_installed && (seen.log.len() as u64) > covered;
        let is_joiner = is_installed && seen.recorded == 0 && !self.founders.contains(id);
        if is_installed {
            seen.recorded = covered;
            self.installs += 1;
        }
        let (role_before, term_before) = (seen.role, seen.term);
        for (happened, marker) in [
            (has_more && !is_installed, Marker::SnapshotTaken),
            (is_installed, Marker::SnapshotInstalled),
            (
                begins_anew && raft.log().last_index() == covered,
                Marker::SnapshotOverConflict,
            ),
            (is_joiner, Marker::JoinerFromSnapshot),
        ] {
            if happened {
                self.mark(marker);
            }
        }
        self.role(raft, role_before, term_before);
        let seen = self.nodes.entry(id).or_default();
        let led_before = seen.role == Some(RoleName::Leader) && seen.term == term;
        let committed_before = seen.commit_index;
        self.snapshot(driver)?;
        self.log(driver, led_before)?;
        self.commits(driver, committed_before)?;
        self.configured(raft)?;
        if raft.role() == RoleName::Leader && !led_before {
            self.leader(driver)?;
        }
        let seen = self.nodes.entry(id).or_default();
        seen.term = term;
        seen.commit_index = commit_index;
        seen.role = Some(raft.role());
        Ok(())
    }

    /// What a change of role shows.
    fn role(&mut self, raft: &Raft, before: Option<RoleName>, term_before: u64) {
        let (role, term) = (raft.role(), raft.current_term());
        let is_candidate = role == RoleName::Candidate;
        let was = |role| before == Some(role);
        if was(RoleName::Leader) && role != RoleName::Leader {
            let is_out = !raft.is_voter();
            self.mark(match term > term_before {
                true => Marker::StepsDownForTerm,
                false if is_out => Marker::LeaderRemoved,
                false => Marker::StepsDownForQuorum,
            });
        }
        if was(RoleName::Candidate) && is_candidate && term == term_before + 1 {
            self.mark(Marker::ElectionFails);
        }
        if is_candidate && !was(RoleName::Candidate) && self.is_removed(raft.id()) {
            self.mark(Marker::RemovedCampaigns);
        }
    }

    /// What is committed stays, leader append-only, and log matching.
    fn log<T>(&mut self, driver: &Driver<T>, is_leader: bool) -> Checked {
        let raft = driver.raft();
        let (id, log) = (raft.id(), raft.log());
        let seen = self.nodes.entry(id).or_default();
        let (committed, seen) = (seen.commit_index, &mut seen.log);
        let mut same = seen.len().min(log.last_index() as usize);
        let base = log.base_index() as usize;
        while same > base && log.term_at(same as u64) != Some(seen[same - 1]) {
            same -= 1;
        }
        if same <= base {
            // What is not kept any more is covered by a snapshot, and so is committed.
            let covered = self.committed[..base].iter().map(|entry| entry.term);
            if !covered
                .clone()
                .zip(&*seen)
                .take(committed as usize)
                .all(|(ours, seen)| ours == *seen)
            {
                return Err(violated(
                    "state-machine safety",
                    format!("node {id} changed what it had committed, by a snapshot"),
                ));
            }
            if log.term_at(base as u64) != Some(covered.clone().next_back().unwrap_or(0)) {
                return Err(violated(
                    "log matching",
                    format!("the log of node {id} begins after another entry {base}"),
                ));
            }
            seen.splice(..base.min(seen.len()), covered);
            same = base;
        }
        if (same as u64) < committed {
            return Err(violated(
                "state-machine safety",
                format!("node {id} changed its log after index {same}, committed to {committed}"),
            ));
        }
        let is_cut = same < seen.len();
        if is_leader && same < seen.len() {
            return Err(violated(
                "leader append-only",
                format!("leader {id} changed its log after index {same}"),
            ));
        }
        seen.truncate(same);
        if is_cut {
            self.markers.mark(Marker::Overwritten);
        }
        for entry in log.from(same as u64 + 1) {
            if is_leader && let Payload::Configuration(changed) = &entry.payload {
                let before = log.from(1).iter().rev().filter(|e| e.index < entry.index);
                let mut before = before.filter_map(|e| Some((e.index, e.payload.configuration()?)));
                // Without one, a snapshot stands for it, and that is committed.
                if let Some((index, previous)) = before.next() {
                    let follows = previous.is_joint() && previous.left() == **changed;
                    let is_done = index <= raft.commit_index();
                    let is_known = log.term_at(raft.commit_index()) == Some(raft.current_term());
                    if !is_done || !is_known || (previous.is_joint() && !follows) {
                        return Err(violated(
                            "one change of the members at a time",
                            format!(
                                "leader {id} appends {changed} at {} after {previous} at {index}, \
                                 committed to {}",
                                entry.index,
                                raft.commit_index()
                            ),
                        ));
                    }
                }
            }
            let before = seen.last().copied().unwrap_or(0);
            seen.push(entry.term);
            let known = self
                .entries
                .entry((entry.index, entry.term))
                .or_insert_with(|| (entry.payload.clone(), before));
            if known.0 != entry.payload || known.1 != before {
                return Err(violated(
                    "log matching",
                    format!(
                        "node {id}, index {}, term {}: {:?} after term {before}, elsewhere {:?} \
                         after term {}",
                        entry.index, entry.term, entry.payload, known.0, known.1
                    ),
                ));
            }
        }
        Ok(())
    }

    /// State-machine safety: no two nodes commit different entries at one index.
    fn commits<T>(&mut self, driver: &Driver<T>, before: u64) -> Checked {
        let raft = driver.raft();
        // What came as a snapshot has been looked at.
        let covered = raft.snapshot().map_or(0, |s| s.last_index);
        for index in before.max(covered) + 1..=raft.commit_index() {
            let Some(entry) = raft.log().get(index) else {
                return Err(violated(
                    "state-machine safety",
                    format!("node {} committed {index}, which it lacks", raft.id()),
                ));
            };
            match self.committed.get(index as usize - 1) {
                Some(known) if known.term == entry.term && known.payload == entry.payload => {}
                Some(known) => {
                    return Err(violated(
                        "state-machine safety",
                        format!(
                            "node {} committed {index} of term {}, elsewhere it is of term {}",
                            raft.id(),
                            entry.term,
                            known.term
                        ),
                    ));
                }
                None => {
                    let later = self.leaders.range(raft.current_term() + 1..);
                    let lacks = |log: &Vec<u64>| log.get(index as usize - 1) != Some(&entry.term);
                    if let Some((term, (leader, _))) = later.clone().find(|(_, (_, l))| lacks(l)) {
                        return Err(violated(
                            "leader completeness",
                            format!(
                                "node {} committed {index} of term {} in term {}; node {leader}, \
                                 which led term {term}, lacked it",
                                raft.id(),
                                entry.term,
                                raft.current_term()
                            ),
                        ));
                    }
                    if entry.term < raft.current_term() && raft.role() == RoleName::Leader {
                        self.markers.mark(Marker::OldTermCommitted);
                    }
                    if let Some(configuration) = entry.payload.configuration() {
                        let configuration = configuration.clone();
                        self.changed(&configuration, entry.term < raft.current_term());
                        self.configurations.insert(index, configuration);
                    }
                    self.committed.push(Committed {
                        term: entry.term,
                        payload: entry.payload.clone(),
                        in_term: raft.current_term(),
                    });
                }
            }
        }
        Ok(())
    }

    /// A leader has committed something: an entry of its own term (5.4.2) that a majority of the
    /// voters has on disk, and in a joint configuration a majority of the old and one of the new.
    /// `last_index` is where its log ended before the step.
    pub fn commitment<'a, T>(
        &self,
        driver: &Driver<T>,
        last_index: u64,
        disk: impl Fn(NodeId) -> Option<&'a Memory>,
    ) -> Checked {
        let raft = driver.raft();
        let index = raft.commit_index();
        let term = raft.log().term_at(index);
        // What the step has appended counts after it, but for a C_new, see below.
        let mut entries = raft.log().from(1).iter().rev();
        let latest = entries.find_map(|entry| {
            let configuration = entry.payload.configuration()?;
            (entry.index <= last_index).then_some((entry.index, configuration))
        });
        let (since, configuration) = match (latest, raft.snapshot()) {
            (Some(latest), _) => latest,
            (None, Some(snapshot)) => (snapshot.last_index, &snapshot.configuration),
            (None, None) => (0, &self.founders),
        };
        let has = |id: NodeId, index: u64| {
            let term = raft.log().term_at(index);
            disk(id).is_some_and(|disk| disk.has(index, term))
        };
        let majority = |voters: Vec<NodeId>, index: u64| {
            2 * voters.iter().filter(|id| has(**id, index)).count() > voters.len()
        };
        let (old, new): (Vec<NodeId>, Vec<NodeId>) = (
            configuration.old_voters().collect(),
            configuration.new_voters().collect(),
        );
        let both = |index| majority(old.clone(), index) && majority(new.clone(), index);
        // Once C_old,new is committed, C_new is in the log and counts, also for what lies between.
        let after_joint = configuration.is_joint() && since <= index && both(since);
        let decided = both(index) || (after_joint && majority(new.clone(), index));
        if term == Some(raft.current_term()) && decided {
            return Ok(());
        }
        let holders: Vec<NodeId> = configuration
            .voters()
            .filter(|id| has(*id, index))
            .collect();
        Err(violated(
            "a leader commits what is of its term and on a majority's disks",
            format!(
                "node {} committed {index} of term {term:?} in term {}; of {configuration}, \
                 {holders:?} have saved it",
                raft.id(),
                raft.current_term()
            ),
        ))
    }

    /// Election safety, and leader completeness.
    fn leader<T>(&mut self, driver: &Driver<T>) -> Checked {
        let raft = driver.raft();
        let (id, term) = (raft.id(), raft.current_term());
        self.mark(Marker::Elected);
        let log = &self.nodes.entry(id).or_default().log;
        let (leader, _) = *self
            .leaders
            .entry(term)
            .or_insert_with(|| (id, log.clone()));
        if leader != id {
            return Err(violated(
                "one leader per term",
                format!("term {term}: nodes {leader} and {id}"),
            ));
        }
        for (index, known) in (1..).zip(&self.committed) {
            let is_kept = index >= raft.log().base_index();
            if is_kept && known.in_term < term && raft.log().term_at(index) != Some(known.term) {
                return Err(violated(
                    "leader completeness",
                    format!(
                        "node {id} leads term {term} without entry {index}, committed in term {}",
                        known.in_term
                    ),
                ));
            }
        }
        Ok(())
    }

    /// A reply leaves a node: one vote a term, and nothing is promised that is not durable.
    pub fn reply(
        &mut self,
        node: NodeId,
        to: NodeId,
        verifies: Option<Verifies>,
        reply: &Reply,
        disk: &Disk,
    ) -> Checked {
        let promise =
            |detail: String| Err(violated("nothing is promised before it is saved", detail));
        if disk.durable().hard_state().current_term < reply.term() {
            return promise(format!("node {node} speaks of term {} first", reply.term()));
        }
        match reply {
            Reply::RequestVote(vote) if !vote.vote_granted => self.mark(Marker::VoteRefused),
            Reply::AppendEntries(append) => match append.outcome {
                AppendOutcome::Conflict { term: Some(_), .. } => self.mark(Marker::ConflictInTerm),
                AppendOutcome::Conflict { .. } => self.mark(Marker::LogTooShort),
                AppendOutcome::Matched(_) => {}
            },
            _ => {}
        }
        match reply {
            Reply::RequestVote(vote)
                if vote.vote_granted && !matches!(verifies, Some(Verifies::PreVote)) =>
            {
                let candidate = *self.votes.entry((vote.term, node)).or_insert(to);
                if candidate != to {
                    return Err(violated(
                        "one vote per term",
                        format!("node {node}, term {}: {candidate} and {to}", vote.term),
                    ));
                }
                let hard_state = disk.durable().hard_state();
                if hard_state.current_term == vote.term && hard_state.voted_for != Some(to) {
                    return promise(format!("node {node} gives a vote that it has not saved"));
                }
            }
            Reply::AppendEntries(append) => {
                if let AppendOutcome::Matched(index) = append.outcome
                    && let Some(Verifies::Entry(term)) = verifies
                    && !disk.has_held(index, term)
                {
                    return promise(format!("node {node} acknowledges {index} of term {term}"));
                }
            }
            Reply::InstallSnapshot(install) => {
                if install.outcome == InstallOutcome::Installed
                    && let Some(Verifies::Snapshot(index, term)) = verifies
                    && !disk.has_held(index, term)
                {
                    return promise(format!("node {node} has not saved the snapshot of {index}"));
                }
            }
            Reply::RequestVote(_) | Reply::TimeoutNow(_) => {}
        }
        Ok(())
    }

    /// A leader's request leaves: nobody hears of a term that it could forget and have again.
    pub fn leader_speaks(&self, node: NodeId, term: u64, disk: &Memory) -> Checked {
        if disk.hard_state().current_term >= term {
            return Ok(());
        }
        Err(violated(
            "nothing is promised before it is saved",
            format!("node {node} leads term {term}, which it has not saved"),
        ))
    }

    /// A candidate or a vote request leaves: its own vote counts too.
    pub fn vote_request(&mut self, node: NodeId, term: u64, disk: &Memory) -> Checked {
        let candidate = *self.votes.entry((term, node)).or_insert(node);
        if candidate != node {
            return Err(violated(
                "one vote per term",
                format!("node {node}, term {term}: {candidate} and itself"),
            ));
        }
        let saved = disk.hard_state();
        let is_saved = match saved.current_term.cmp(&term) {
            Ordering::Less => false,
            Ordering::Equal => saved.voted_for == Some(node),
            Ordering::Greater => true,
        };
        if !is_saved {
            return Err(violated(
                "nothing is promised before it is saved",
                format!("node {node} asks for votes in term {term}"),
            ));
        }
        Ok(())
    }
}
