//! What is applied: each entry once and in order, everywhere with the outcome and the board of the
//! model; and a snapshot says what replaying all of it would have said.

use std::collections::BTreeMap;

use crate::machine::{Answer, Order, Session, StateMachine, WINDOW, chain};
use crate::node::driver::Driver;
use crate::raft::{NodeId, Payload};
use crate::snapshot::Document;

use super::super::markers::Marker;
use super::{Checked, Checker, Line, violated};

impl Checker {
    /// A snapshot that is new on this node: it says what replaying all entries would have said.
    pub(super) fn snapshot<T>(&mut self, driver: &Driver<T>) -> Checked {
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
        let Some(Line { digest, board, .. }) = self.lines.get(index as usize - 1) else {
            return differs(format!("node {id}: nobody has applied {index} yet"));
        };
        if document.digest != *digest || document.state.game() != Some(board) {
            return differs(format!(
                "node {id}, index {index}: {} {:?}, expected {digest} {board:?}",
                document.digest, document.state
            ));
        }
        if document.configuration != *self.configuration_at(index) {
            return differs(format!(
                "node {id}, index {index}: {}, expected {}",
                document.configuration,
                self.configuration_at(index)
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
    pub(super) fn sessions_at(&self, index: u64) -> BTreeMap<&str, Session> {
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
            board: self.model.clone(),
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
    pub(super) fn expected_outcome(&mut self, order: &Order) -> String {
        let Some(identity) = &order.origin else {
            match &self.committed[order.index as usize - 1].payload {
                Payload::Founding(configuration) => self.model.configure(configuration, true),
                Payload::Configuration(configuration) => self.model.configure(configuration, false),
                Payload::Noop | Payload::Command(_) => {}
            }
            return "ok".to_string();
        };
        let floor = self.floors.entry(identity.0.clone()).or_default();
        if identity.1 < *floor {
            self.refused.insert(identity.clone());
            self.markers.mark(Marker::SerialTooOld);
            return "refused: serial too old".to_string();
        }
        *floor = (*floor).max((identity.1 + 1).saturating_sub(WINDOW));
        if let Some(first) = self.applied.get(identity) {
            self.markers.mark(Marker::Repeated);
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
}
