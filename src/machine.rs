//! The replicated state machine, and what is remembered of each client.
//!
//! A [`StateMachine`] turns the text of a committed command into an outcome. [`Machine`] wraps one
//! with all that must be the same on every node besides: the sessions that make a command apply
//! once however often it arrives, the index reached, and the digest that chains every order to all
//! before it.
//!
//! Exactly once (Raft dissertation 6.3): each client numbers its commands, and the machine
//! remembers the answers. Forwarding can reorder a client's commands, so serials are remembered
//! one by one within a window of [`WINDOW`]; a serial that has fallen out of the window is refused,
//! because nobody can say any more whether it was applied. At most [`MAX_SESSIONS`] clients are
//! remembered; the one whose last command lies furthest back *in the log* makes room, so that all
//! nodes forget the same one. (A clock would not do: nodes replay the log at different times.)
//!
//! Caveat: a client that repeats a command after it was forgotten in favour of `MAX_SESSIONS`
//! others has it applied again.

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use crate::command::{Command, printable};
use crate::raft::{Configuration, Entry, Payload};

/// How many of a client's latest serials are remembered.
pub const WINDOW: u64 = 1024;
/// How many clients are remembered.
pub const MAX_SESSIONS: usize = 1024;
/// The digest before the first entry.
pub const FIRST_DIGEST: &str = "0000000000000000";
/// What a leader's first entry of a term is called in logs and on screens.
pub const NOOP: &str = "noop";

/// A deterministic application: the same texts in the same order give the same outcomes.
pub trait StateMachine {
    /// Whether a command can be applied at all, or one sentence about why not. Asked before a
    /// command enters the log; may depend on nothing that commands change.
    fn check(&self, text: &str) -> Result<(), String>;

    /// Applies a command and says what came of it. Must not fail.
    fn apply(&mut self, text: &str) -> String;

    /// Whether these can be the cluster's members, or one sentence about why not. Asked before a
    /// change enters the log.
    fn check_members(&self, _: &Configuration) -> Result<(), String> {
        Ok(())
    }

    /// A configuration is committed; `founding`: the cluster's first. Must not fail.
    fn configure(&mut self, _: &Configuration, _founding: bool) {}
}

/// An applied entry: the same on every node, and one line of orders.log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Order {
    /// Position in the log.
    pub index: u64,
    /// The term of the entry.
    pub term: u64,
    /// Who asked, and the serial; `None` for what leaders append. Not part of the line.
    pub origin: Option<(String, u64)>,
    /// Printable: `attack 3`, `noop`, or `members 1 2 -3 +4` (see
    /// [`Configuration`]).
    pub command: String,
    /// Printable: `hp 70`, `already dead`, `ok`, `duplicate of 12`, ...
    pub outcome: String,
    /// The digest after this entry.
    pub digest: String,
    /// What the client is answered: for a repeat, the first answer.
    pub answer: Result<Answer, Refused>,
}

impl Order {
    /// The order's line in orders.log, without the line break.
    pub fn line(&self) -> String {
        format!(
            "{}\t{}\t{}\t{}\t{}",
            self.index, self.term, self.command, self.outcome, self.digest
        )
    }
}

/// The digest after an entry: the first 16 hex digits of SHA-256 over the digest before it and the
/// columns of its line, joined by tabs.
pub fn chain(previous: &str, index: u64, term: u64, command: &str, outcome: &str) -> String {
    let line = format!("{previous}\t{index}\t{term}\t{command}\t{outcome}");
    let hash = Sha256::digest(line.as_bytes());
    hash[..8].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What a client is told of its command: where it stands in the log and what came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The entry's index.
    pub index: u64,
    /// The entry's term.
    pub term: u64,
    /// Such as `hp 70`.
    pub outcome: String,
}

/// The serial has fallen out of its client's window: whether it was applied is not known any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused;

/// What is remembered of one client.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Session {
    /// Answers by serial. Serials below `floor` are forgotten.
    pub answers: BTreeMap<u64, Answer>,
    /// The oldest serial that is not refused.
    pub floor: u64,
    /// Index of the session's latest command: its age, in log positions.
    pub last_index: u64,
}

/// Every client's recent answers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sessions {
    clients: BTreeMap<String, Session>,
    /// (last index, client), to find the one that has been silent for longest.
    by_age: BTreeSet<(u64, String)>,
}

impl Sessions {
    /// The sessions that a snapshot holds, by client.
    pub fn restored(clients: BTreeMap<String, Session>) -> Sessions {
        let age = |(client, session): (&String, &Session)| (session.last_index, client.clone());
        Sessions {
            by_age: clients.iter().map(age).collect(),
            clients,
        }
    }

    /// Every client and its session, in the order of their names.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Session)> {
        self.clients
            .iter()
            .map(|(client, session)| (client.as_str(), session))
    }

    /// What this command was answered, if it was applied and is remembered.
    fn answer(&self, client: &str, serial: u64) -> Option<&Answer> {
        self.clients.get(client)?.answers.get(&serial)
    }

    /// Whether a session that had a command after the entry at `index` may have made room for
    /// others.
    fn may_have_forgotten(&self, index: u64) -> bool {
        let oldest = self.by_age.first();
        self.clients.len() == MAX_SESSIONS && oldest.is_some_and(|(last, _)| *last > index)
    }

    /// The session of `client`, now the youngest. Makes room for it when it is new.
    fn touch(&mut self, client: &str, index: u64) -> &mut Session {
        if !self.clients.contains_key(client)
            && self.clients.len() == MAX_SESSIONS
            && let Some((_, oldest)) = self.by_age.pop_first()
        {
            self.clients.remove(&oldest);
        }
        let session = self.clients.entry(client.to_string()).or_default();
        self.by_age
            .remove(&(session.last_index, client.to_string()));
        self.by_age.insert((index, client.to_string()));
        session.last_index = index;
        session
    }
}

impl Session {
    fn remember(&mut self, serial: u64, answer: Answer) {
        self.answers.insert(serial, answer);
        let floor = (serial + 1).saturating_sub(WINDOW);
        if floor > self.floor {
            self.floor = floor;
            self.answers = self.answers.split_off(&floor);
        }
    }
}

/// A state machine with its sessions, its position and its digest.
#[derive(Clone, Debug)]
pub struct Machine<S> {
    state: S,
    sessions: Sessions,
    last_applied: u64,
    digest: String,
}

impl<S: StateMachine> Machine<S> {
    /// A machine that has applied nothing.
    pub fn new(state: S) -> Machine<S> {
        Machine {
            state,
            sessions: Sessions::default(),
            last_applied: 0,
            digest: FIRST_DIGEST.to_string(),
        }
    }

    /// A machine as it was after the entry at `last_applied`, with that digest.
    pub fn restored(state: S, sessions: Sessions, last_applied: u64, digest: String) -> Machine<S> {
        Machine {
            state,
            sessions,
            last_applied,
            digest,
        }
    }

    /// What is remembered of each client.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// What this command was answered, if it was applied and is remembered.
    pub fn answer(&self, client: &str, serial: u64) -> Option<&Answer> {
        self.sessions.answer(client, serial)
    }

    /// Whether a command that was applied after the entry at `index` may not be remembered any
    /// more.
    pub fn may_have_forgotten(&self, index: u64) -> bool {
        self.sessions.may_have_forgotten(index)
    }

    /// The application, to look at.
    pub fn state(&self) -> &S {
        &self.state
    }

    /// The index of the last entry applied.
    pub fn last_applied(&self) -> u64 {
        self.last_applied
    }

    /// The digest after the last entry applied.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Applies the next committed entry.
    pub fn apply(&mut self, entry: &Entry) -> Order {
        check!(
            entry.index == self.last_applied + 1,
            "entries are applied in order, each once"
        );
        let own = |text: String| {
            let answer = Answer {
                index: entry.index,
                term: entry.term,
                outcome: "ok".to_string(),
            };
            (None, text, "ok".to_string(), Ok(answer))
        };
        let (origin, command, outcome, answer) = match &entry.payload {
            Payload::Noop => own(NOOP.to_string()),
            Payload::Founding(configuration) => {
                self.state.configure(configuration, true);
                own(NOOP.to_string())
            }
            Payload::Configuration(configuration) => {
                self.state.configure(configuration, false);
                own(configuration.to_string())
            }
            Payload::Command(command) => {
                let (outcome, answer) = self.apply_once(entry, command);
                (
                    Some((command.client.clone(), command.serial)),
                    printable(&command.text).into_owned(),
                    printable(&outcome).into_owned(),
                    answer,
                )
            }
        };
        self.last_applied = entry.index;
        self.digest = chain(&self.digest, entry.index, entry.term, &command, &outcome);
        Order {
            index: entry.index,
            term: entry.term,
            origin,
            command,
            outcome,
            digest: self.digest.clone(),
            answer,
        }
    }

    /// The outcome of this entry, and what the client is told: a repeat gets the first answer.
    fn apply_once(
        &mut self,
        entry: &Entry,
        command: &Command,
    ) -> (String, Result<Answer, Refused>) {
        let session = self.sessions.touch(&command.client, entry.index);
        if let Some(first) = session.answers.get(&command.serial)
            && !planted!(ForgetSessions)
        {
            return (format!("duplicate of {}", first.index), Ok(first.clone()));
        }
        if command.serial < session.floor {
            return ("refused: serial too old".to_string(), Err(Refused));
        }
        let answer = Answer {
            index: entry.index,
            term: entry.term,
            outcome: self.state.apply(&command.text),
        };
        session.remember(command.serial, answer.clone());
        (answer.outcome.clone(), Ok(answer))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    /// Counts what it applies.
    struct Counter(u64);

    impl StateMachine for Counter {
        fn check(&self, _: &str) -> Result<(), String> {
            Ok(())
        }
        fn apply(&mut self, _: &str) -> String {
            self.0 += 1;
            self.0.to_string()
        }
    }

    fn apply(machine: &mut Machine<Counter>, client: &str, serial: u64) -> Order {
        let command = Command::new(client, serial, "x").unwrap();
        machine.apply(&Entry {
            index: machine.last_applied() + 1,
            term: 1,
            payload: Payload::Command(Arc::new(command)),
        })
    }

    #[test]
    fn a_repeat_is_not_applied_again_and_gets_the_first_answer() {
        let mut machine = Machine::new(Counter(0));
        let first = apply(&mut machine, "a", 7);
        let other = apply(&mut machine, "b", 7);
        let repeat = apply(&mut machine, "a", 7);
        assert_eq!(other.outcome, "2");
        assert_eq!(repeat.outcome, "duplicate of 1");
        assert_eq!(repeat.answer, first.answer);
        assert_eq!(machine.state().0, 2);
    }

    #[test]
    fn serials_may_arrive_out_of_order_within_the_window_and_older_ones_are_refused() {
        let mut machine = Machine::new(Counter(0));
        apply(&mut machine, "a", WINDOW + 9);
        assert!(apply(&mut machine, "a", 10).answer.is_ok());
        let old = apply(&mut machine, "a", 9);
        assert_eq!(old.answer, Err(Refused));
        assert_eq!(old.outcome, "refused: serial too old");
        assert_eq!(machine.state().0, 2);
    }

    #[test]
    fn the_client_whose_last_command_is_oldest_is_forgotten_first() {
        let mut machine = Machine::new(Counter(0));
        for client in 0..MAX_SESSIONS {
            apply(&mut machine, &format!("c{client}"), 1);
        }
        apply(&mut machine, "c0", 2);
        apply(&mut machine, "new", 1);
        assert_eq!(apply(&mut machine, "c0", 1).outcome, "duplicate of 1");
        let forgotten = apply(&mut machine, "c1", 1);
        assert!(!forgotten.outcome.starts_with("duplicate"));
    }

    #[test]
    fn the_digest_is_the_documented_one() {
        let mut machine = Machine::new(Counter(0));
        let order = machine.apply(&Entry {
            index: 1,
            term: 1,
            payload: Payload::Noop,
        });
        let hash = Sha256::digest(b"0000000000000000\t1\t1\tnoop\tok");
        let hex: String = hash.iter().map(|b| format!("{b:02x}")).collect();
        assert_eq!(order.digest, hex[..16]);
        assert_eq!(order.line(), format!("1\t1\tnoop\tok\t{}", &hex[..16]));
    }
}
