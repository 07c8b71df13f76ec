//! The model in words: packets, actions, and how the servers stand, for a person who reads a trace.

use crate::raft::{Entry, Payload, Reply, Request};

use super::{Action, Message, Packet, World};

impl Packet {
    /// In a few words, for a person who reads a trace.
    pub fn describe(&self) -> String {
        let Packet {
            caller,
            callee,
            waits,
            message,
        } = self;
        let late = if waits.is_none() {
            ", for which nobody waits"
        } else {
            ""
        };
        match message {
            Message::Request(Request::RequestVote(r)) => format!(
                "{caller} asks {callee} for its vote in term {}, with a log that ends at {}@{}{late}",
                r.term, r.last_log_index, r.last_log_term
            ),
            Message::Request(Request::AppendEntries(r)) => format!(
                "{caller} sends {callee} in term {} after {}@{} {}, commit {}{late}",
                r.term,
                r.prev_log_index,
                r.prev_log_term,
                entries(&r.entries),
                r.leader_commit
            ),
            Message::Reply(Reply::RequestVote(r)) => format!(
                "{callee} answers {caller} in term {}: {}",
                r.term,
                if r.vote_granted { "a vote" } else { "no vote" }
            ),
            Message::Reply(Reply::AppendEntries(r)) => format!(
                "{callee} answers {caller} in term {}: {:?}",
                r.term, r.outcome
            ),
            other => format!("{other:?}"),
        }
    }
}

/// Entries in a few characters: index@term, with a star for a command.
fn entries(entries: &[Entry]) -> String {
    let words: Vec<String> = entries
        .iter()
        .map(|entry| {
            let star = match entry.payload {
                Payload::Noop => "",
                Payload::Command(_) => "*",
                Payload::Founding(_) | Payload::Configuration(_) => "!",
            };
            format!("{}@{}{star}", entry.index, entry.term)
        })
        .collect();
    format!("[{}]", words.join(" "))
}

impl World {
    /// What an action does, in one line.
    pub fn describe(&self, action: Action) -> String {
        match action {
            Action::Timeout(id) => format!("node {id} times out"),
            Action::Beat(id) => format!("a heartbeat interval passes on node {id}"),
            Action::Propose(id) => format!("node {id} is asked for something"),
            Action::Change(id, change) => {
                let configuration = self.node(id).core.configuration();
                match configuration.changed(&change) {
                    Ok(changed) => format!("node {id} is asked for {changed}"),
                    Err(refusal) => format!("node {id} is asked for what cannot be: {refusal}"),
                }
            }
            Action::Saved(id) => format!("node {id} has saved"),
            Action::Deliver(at) => format!("arrives: {}", self.wire[at].describe()),
            Action::GiveUp(at) => format!("given up: {}", self.wire[at].describe()),
            Action::GiveUpEarly(id, at) => {
                format!(
                    "given up before it left: {}",
                    self.node(id).held[at].1.describe()
                )
            }
            Action::Lose(at) => format!("no room for: {}", self.wire[at].describe()),
            Action::Vanish(at) => format!("lost: {}", self.wire[at].describe()),
            Action::Crash(id) => format!("node {id} crashes and starts again"),
        }
    }

    /// How the servers stand, one line each.
    pub fn standing(&self) -> String {
        let lines = self.nodes.iter().map(|node| {
            let core = &node.core;
            format!(
                "  {} {:<9} term {} vote {} log {} commit {} {}; on disk: term {} log {}\n",
                core.id(),
                core.role().as_str(),
                core.current_term(),
                core.voted_for().unwrap_or(0),
                entries(core.log().from(1)),
                core.commit_index(),
                core.configuration(),
                node.disk.hard_state.current_term,
                entries(node.disk.log.from(1)),
            )
        });
        lines.collect()
    }
}
