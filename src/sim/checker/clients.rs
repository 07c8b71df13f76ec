//! What clients are told: their commands' outcomes, and what reads show, in an order that real time
//! allows.

use crate::command::Command;
use crate::machine::Answer;
use crate::node::event::State;
use crate::raft::Payload;

use super::super::markers::Marker;
use super::{Checked, Checker, violated};

impl Checker {
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
        self.mark(Marker::Answered);
        // Whatever anybody had been told when the command was first asked for comes before it.
        if self
            .asked
            .get(&identity)
            .is_some_and(|&told| answer.index <= told)
        {
            return Err(violated(
                "reads and writes are linearizable",
                format!(
                    "{command:?} is at {}, and was asked for after {:?} had been told",
                    answer.index,
                    self.asked.get(&identity)
                ),
            ));
        }
        self.told = self.told.max(answer.index);
        match self.applied.get(&identity) {
            Some(first) if first == answer => Ok(()),
            first => Err(violated(
                "a repeat gets the first answer",
                format!("{command:?} was answered {answer:?}, the first was {first:?}"),
            )),
        }
    }

    /// A command arrives at a node: what had been told by then, the first time.
    pub fn asks(&mut self, command: &Command) {
        let identity = (command.client.clone(), command.serial);
        let told = self.told;
        self.asked.entry(identity).or_insert(told);
    }

    /// The latest index that anybody has been told of.
    pub fn told(&self) -> u64 {
        self.told
    }

    /// A linearizable read is answered. It was asked for when `told` had been told.
    pub fn read(&mut self, state: &State, told: u64) -> Checked {
        let wrong = |what: String| Err(violated("reads and writes are linearizable", what));
        if state.index < told {
            return wrong(format!(
                "a read shows {}, and was asked for after {told} had been told",
                state.index
            ));
        }
        self.told = self.told.max(state.index);
        let Some(line) = (state.index as usize).checked_sub(1) else {
            return Ok(());
        };
        match self.lines.get(line) {
            Some(line) if line.digest == state.digest && line.board.players() == state.players => {
                Ok(())
            }
            _ => wrong(format!("a read shows {state:?}, which nobody has applied")),
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
