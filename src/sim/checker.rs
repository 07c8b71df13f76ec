//! What must hold after every step, whatever happens (figure 3 of the paper, and a little more).
//!
//! The checker sees everything: each node's log and state, each vote that leaves, each answer that
//! a client gets. It keeps its own small model of the truth (which leader each term had, which
//! entries are committed, what the board must be) and compares.
//!
//! To be fast it looks at what changed in a step. Log matching is checked entry by entry: all
//! entries of one index and term must say the same and follow an entry of the same term, which by
//! induction is the paper's property.

use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

use crate::command::Command;
use crate::game::Game;
use crate::machine::{Answer, Order, Session, StateMachine, WINDOW, chain};
use crate::node::driver::Driver;
use crate::raft::{AppendOutcome, InstallOutcome, NodeId, Payload, Reply, RoleName};
use crate::snapshot::Document;
use crate::storage::Memory;

use super::disk::Disk;

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
    hp: Vec<u32>,
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
    /// A run that starts with this board.
    pub fn new(model: Game) -> Checker {
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
        }
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
    pub fn elections(&self) -> usize {
        self.leaders.len()
    }

    /// A node has stopped: what it kept in memory only may go back.
    pub fn stopped(&mut self, node: NodeId) {
        self.nodes.remove(&node);
    }

    /// A node has started, and goes on where its snapshot ends.
    pub fn started<T>(&mut self, driver: &Driver<T>) -> Checked {
        let id = driver.raft().id();
        let covered = driver.machine().last_applied();
        if driver.raft().voters().len() == 1 {
            // A lone node leads before its term is saved. What it then loses, nobody has seen, and
            // it may have the same term again.
            let saved = driver.raft().current_term();
            self.entries.retain(|&(_, term), _| term <= saved);
            self.leaders.retain(|&term, _| term <= saved);
        }
        let seen = self.nodes.entry(id).or_default();
        seen.commit_index = covered;
        seen.recorded = covered;
        self.snapshot(driver)?;
        let log = self.committed[..covered as usize].iter();
        let log = log.map(|entry| entry.term).collect();
        self.nodes.entry(id).or_default().log = log;
        self.node(driver)
    }

    /// A snapshot that is new on this node: it says what replaying all entries would have said.
    fn snapshot<T>(&mut self, driver: &Driver<T>) -> Checked {
        let raft = driver.raft();
        let id = raft.id();
        let seen = self.nodes.entry(id).or_default();
        let Some(snapshot) = raft.snapshot() else {
            return Ok(());
        };
        if seen.snapshot == snapshot.last_index {
            return Ok(());
        }
        seen.snapshot = snapshot.last_index;
        let index = snapshot.last_index;
        let is_committed = self
            .committed
            .get(index as usize - 1)
            .is_some_and(|known| known.term == snapshot.last_term);
        if !is_committed {
            return Err(violated(
                "a snapshot replaces committed entries only",
                format!("node {id}: {snapshot:?}"),
            ));
        }
        let differs = |what: String| Err(violated("a snapshot equals a replay", what));
        let document = match Document::of_snapshot(snapshot) {
            Ok(document) => document,
            Err(why) => return differs(format!("node {id}: {snapshot:?}: {why}")),
        };
        let Some(Line { digest, hp, .. }) = self.lines.get(index as usize - 1) else {
            return differs(format!("node {id}: nobody has applied {index} yet"));
        };
        let servers = document.servers.iter().map(|server| server.hp);
        if document.digest != *digest || !servers.eq(hp.iter().copied()) {
            return differs(format!(
                "node {id}, index {index}: {} {:?}, expected {digest} {hp:?}",
                document.digest, document.servers
            ));
        }
        let sessions = self.sessions_at(index);
        let found: BTreeMap<&str, &Session> = document.sessions.iter().collect();
        if found.len() != sessions.len()
            || sessions
                .iter()
                .any(|(client, s)| found.get(client) != Some(&s))
        {
            return differs(format!(
                "node {id}, index {index}: {found:?}, expected {sessions:?}"
            ));
        }
        Ok(())
    }

    /// What the model remembers of each client after that entry.
    fn sessions_at(&self, index: u64) -> BTreeMap<&str, Session> {
        let mut sessions: BTreeMap<&str, Session> = BTreeMap::new();
        for (position, entry) in (1..=index).zip(&self.committed) {
            let Payload::Command(command) = &entry.payload else {
                continue;
            };
            let session = sessions.entry(&command.client).or_default();
            session.last_index = position;
            let identity = (command.client.clone(), command.serial);
            // Only the first time counts; later ones are repeats.
            if let Some(answer) = self.applied.get(&identity)
                && answer.index == position
            {
                session.answers.insert(command.serial, answer.clone());
                let floor = (command.serial + 1).saturating_sub(WINDOW);
                session.floor = session.floor.max(floor);
            }
        }
        for session in sessions.values_mut() {
            session.answers = session.answers.split_off(&session.floor);
        }
        sessions
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
        if covered > seen.recorded {
            seen.recorded = covered;
            self.installs += 1;
        }
        let led_before = seen.role == Some(RoleName::Leader) && seen.term == term;
        let committed_before = seen.commit_index;
        self.snapshot(driver)?;
        self.log(driver, led_before)?;
        self.commits(driver, committed_before)?;
        if raft.role() == RoleName::Leader && !led_before {
            self.leader(driver)?;
        }
        let seen = self.nodes.entry(id).or_default();
        seen.term = term;
        seen.commit_index = commit_index;
        seen.role = Some(raft.role());
        Ok(())
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
        if is_leader && same < seen.len() {
            return Err(violated(
                "leader append-only",
                format!("leader {id} changed its log after index {same}"),
            ));
        }
        seen.truncate(same);
        for entry in log.from(same as u64 + 1) {
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

    /// A leader has committed something: an entry of its own term (5.4.2) that a majority has on
    /// disk.
    pub fn commitment<'a, T>(
        &self,
        driver: &Driver<T>,
        disks: impl ExactSizeIterator<Item = &'a Memory>,
    ) -> Checked {
        let raft = driver.raft();
        let (index, nodes) = (raft.commit_index(), disks.len());
        let term = raft.log().term_at(index);
        let holders = disks.filter(|disk| disk.has(index, term)).count();
        if term == Some(raft.current_term()) && 2 * holders > nodes {
            return Ok(());
        }
        Err(violated(
            "a leader commits what is of its term and on a majority's disks",
            format!(
                "node {} committed {index} of term {term:?} in term {}; {holders} of {nodes} have \
                 saved it",
                raft.id(),
                raft.current_term()
            ),
        ))
    }

    /// Election safety, and leader completeness.
    fn leader<T>(&mut self, driver: &Driver<T>) -> Checked {
        let raft = driver.raft();
        let (id, term) = (raft.id(), raft.current_term());
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
            Reply::RequestVote(_) => {}
        }
        Ok(())
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

    /// A node applied an entry: every node the same line, and the line that the rules demand.
    pub fn order(&mut self, node: NodeId, order: &Order) -> Checked {
        let line = order.line();
        let position = order.index as usize - 1;
        let recorded = &mut self.nodes.entry(node).or_default().recorded;
        if order.index != *recorded + 1 {
            return Err(violated(
                "every order is recorded once, in order",
                format!("node {node} recorded {line:?} after line {recorded}"),
            ));
        }
        *recorded = order.index;
        if let Some(Line { text, .. }) = self.lines.get(position) {
            if *text != line {
                return Err(violated(
                    "state-machine safety",
                    format!("node {node} applied {line:?}, elsewhere {text:?}"),
                ));
            }
            return Ok(());
        }
        if position != self.lines.len() || order.index > self.committed() {
            return Err(violated(
                "state-machine safety",
                format!("node {node} applied {} too early", order.index),
            ));
        }
        let outcome = self.expected_outcome(order);
        self.digest = chain(
            &self.digest,
            order.index,
            order.term,
            &order.command,
            &outcome,
        );
        if outcome != order.outcome || self.digest != order.digest {
            return Err(violated(
                "each command is applied once",
                format!("node {node} applied {line:?}, expected {outcome:?}"),
            ));
        }
        self.lines.push(Line {
            text: line,
            digest: self.digest.clone(),
            hp: self
                .model
                .players()
                .iter()
                .map(|player| player.hp)
                .collect(),
        });
        Ok(())
    }

    /// A node has carried a step out: what is committed is applied, and what is applied recorded.
    pub fn recorded<T>(&self, driver: &Driver<T>) -> Checked {
        let (id, commit_index) = (driver.raft().id(), driver.raft().commit_index());
        let recorded = self.nodes.get(&id).map_or(0, |seen| seen.recorded);
        if recorded != commit_index || driver.machine().last_applied() != commit_index {
            return Err(violated(
                "every order is recorded once, in order",
                format!("node {id}: committed {commit_index}, recorded {recorded}"),
            ));
        }
        Ok(())
    }

    /// What the model says of the entry.
    fn expected_outcome(&mut self, order: &Order) -> String {
        let Some(identity) = &order.origin else {
            return "ok".to_string();
        };
        let floor = self.floors.entry(identity.0.clone()).or_default();
        if identity.1 < *floor {
            self.refused.insert(identity.clone());
            return "refused: serial too old".to_string();
        }
        *floor = (*floor).max((identity.1 + 1).saturating_sub(WINDOW));
        if let Some(first) = self.applied.get(identity) {
            return format!("duplicate of {}", first.index);
        }
        let outcome = self.model.apply(&order.command);
        let answer = Answer {
            index: order.index,
            term: order.term,
            outcome: outcome.clone(),
        };
        self.applied.insert(identity.clone(), answer);
        outcome
    }

    /// A client is told the outcome of its command.
    pub fn answer(&mut self, command: &Command, answer: &Answer) -> Checked {
        let committed = answer
            .index
            .checked_sub(1)
            .and_then(|position| self.committed.get(position as usize));
        let is_it = committed.is_some_and(|entry| {
            entry.term == answer.term
                && matches!(&entry.payload, Payload::Command(known) if **known == *command)
        });
        if !is_it {
            return Err(violated(
                "no answer before it is committed",
                format!("{command:?} was answered {answer:?}"),
            ));
        }
        let identity = (command.client.clone(), command.serial);
        match self.applied.get(&identity) {
            Some(first) if first == answer => Ok(()),
            first => Err(violated(
                "a repeat gets the first answer",
                format!("{command:?} was answered {answer:?}, the first was {first:?}"),
            )),
        }
    }

    /// A client is told that its serial is too old.
    pub fn refused(&self, command: &Command) -> Checked {
        let identity = (command.client.clone(), command.serial);
        if self.refused.contains(&identity) {
            return Ok(());
        }
        Err(violated(
            "a serial is refused when it is too old",
            format!("{command:?} was refused"),
        ))
    }

    /// A client was told that nothing was appended, and gave the command up.
    pub fn denied(&mut self, command: &Command) {
        self.denied.insert((command.client.clone(), command.serial));
    }

    /// At the end: whoever was told that nothing was appended was told the truth.
    pub fn finish(&self) -> Checked {
        match self
            .denied
            .iter()
            .find(|denied| self.applied.contains_key(denied))
        {
            None => Ok(()),
            Some(denied) => Err(violated(
                "a denied command is never applied",
                format!("{denied:?} was applied"),
            )),
        }
    }
}
