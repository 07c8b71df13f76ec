//! What anybody can still find out about a register's value.
//!
//! The search compares and remembers states by the hundred thousand, and the values of a test can be
//! long, and can all be different. So a state here is a few numbers, and two values are one state
//! wherever no operation of the history can tell them apart:
//!
//! - A text matters as far as it is the beginning of a text that was *seen*: that a completed get
//!   found, or that some cas expects. Whatever is appended to any other text, nobody sees it. Two
//!   unknown appends in the wrong order are therefore no new state; they are [`State::OtherText`].
//! - An integer matters if one that was seen can be reached from it with the history's incrs.
//! - Bytes matter if just these were seen.
//!
//! Of all others only the kind is kept, which decides what is refused. That is exact: what is merged
//! gives the same answers to every operation of the history, apart from answers that nobody was given,
//! and becomes again what is merged.
//!
//! So are operations: two unknown puts whose values nobody saw are the same move, and the search tries
//! one of them.
//!
//! A part of a history does not begin with a known value. It begins with [`State::Any`], of which an
//! answer may say what it was. That is not exact. It allows for more than is possible, so a violation
//! is one all the same.

use std::cmp::Ordering;

use super::model::{Action, Answer, Register, Value};

/// A register's value, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    Missing,
    /// The first so many bytes of that text; of all seen texts that begin like this it is the first.
    Text {
        text: u32,
        bytes: u32,
    },
    Int(i64),
    Bytes(u32),
    /// Texts, integers and bytes that nobody can recognise.
    OtherText,
    OtherInt,
    OtherBytes,
    /// Whatever there was before a part of a history.
    Any,
    /// That, with this piece behind it.
    AnyWith(u32),
}

/// An action, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Move {
    Put(State),
    Get,
    Delete,
    Cas(State, State),
    /// `None` for a piece that is part of no text that was seen.
    Append(Option<u32>),
    Incr,
}

/// An answer, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    Done,
    Found(State),
    Swapped(bool),
    Number(i64),
    /// A number that nobody was given.
    Other,
    Refused,
}

impl Move {
    /// Whether the same comes of it whatever was there before.
    pub fn is_blind(self) -> bool {
        matches!(self, Move::Put(_) | Move::Delete)
    }
}

/// What a history has seen.
pub struct Seen<'a> {
    /// Sorted, so that those with the same beginning stand together.
    texts: Vec<&'a str>,
    /// For each text how many bytes it shares with the one before.
    shared: Vec<usize>,
    ints: Vec<i64>,
    bytes: Vec<&'a [u8]>,
    /// What is appended.
    pieces: Vec<&'a str>,
    /// How many incrs there are.
    incrs: i128,
}

impl<'a> Seen<'a> {
    /// Of these actions, with the answers of those that were completed.
    pub fn new(history: impl Iterator<Item = (&'a Action, Option<&'a Answer>)>) -> Seen<'a> {
        let mut seen = Seen {
            texts: Vec::new(),
            shared: Vec::new(),
            ints: Vec::new(),
            bytes: Vec::new(),
            pieces: Vec::new(),
            incrs: 0,
        };
        for (action, answer) in history {
            if let Action::Cas { expected, .. } = action {
                seen.see(expected);
            }
            if let Action::Append(piece) = action {
                seen.pieces.push(piece);
            }
            if *action == Action::Incr {
                seen.incrs += 1;
                // Refused, perhaps, because there is no greater one.
                if answer == Some(&Answer::Refused) {
                    seen.ints.push(i64::MAX);
                }
            }
            match answer {
                Some(Answer::Found(register)) => seen.see(register),
                Some(Answer::Number(number)) => seen.ints.push(*number),
                _ => {}
            }
        }
        seen.texts.sort_unstable();
        seen.texts.dedup();
        seen.ints.sort_unstable();
        seen.ints.dedup();
        seen.bytes.sort_unstable();
        seen.bytes.dedup();
        seen.pieces.sort_unstable();
        seen.pieces.dedup();
        let mut before = "";
        for text in &seen.texts {
            let pairs = before.bytes().zip(text.bytes());
            seen.shared.push(pairs.take_while(|(a, b)| a == b).count());
            before = text;
        }
        seen
    }

    fn see(&mut self, register: &'a Register) {
        match register {
            None => {}
            Some(Value::Text(text)) => self.texts.push(text),
            Some(Value::Int(number)) => self.ints.push(*number),
            Some(Value::Bytes(bytes)) => self.bytes.push(bytes),
        }
    }

    pub fn register(&self, register: &Register) -> State {
        register.as_ref().map_or(State::Missing, |v| self.value(v))
    }

    pub fn value(&self, value: &Value) -> State {
        match value {
            Value::Text(text) => self.text("", text),
            Value::Int(number) => self.int(*number),
            Value::Bytes(bytes) => match self.bytes.binary_search(&bytes.as_slice()) {
                Ok(place) => State::Bytes(place as u32),
                Err(_) => State::OtherBytes,
            },
        }
    }

    /// The text `head` with `piece` behind it.
    fn text(&self, head: &str, piece: &str) -> State {
        let order = |text: &&str| compare(text, head, piece);
        let place = self.texts.partition_point(|t| order(t) == Ordering::Less);
        let begins = |text: &&str| {
            let rest = text.strip_prefix(head);
            rest.is_some_and(|rest| rest.starts_with(piece))
        };
        if self.texts.get(place).is_some_and(begins) {
            State::Text {
                text: place as u32,
                bytes: (head.len() + piece.len()) as u32,
            }
        } else {
            State::OtherText
        }
    }

    fn int(&self, number: i64) -> State {
        let above = self.ints.partition_point(|&seen| seen < number);
        match self.ints.get(above) {
            Some(&seen) if i128::from(seen) - i128::from(number) <= self.incrs => {
                State::Int(number)
            }
            _ => State::OtherInt,
        }
    }

    /// An action whose outcome is known.
    pub fn known(&self, action: &Action) -> Move {
        match action {
            Action::Put(value) => Move::Put(self.value(value)),
            Action::Get => Move::Get,
            Action::Delete => Move::Delete,
            Action::Cas { expected, new } => Move::Cas(self.register(expected), self.value(new)),
            Action::Append(piece) => {
                let place = self.pieces.partition_point(|other| *other < piece.as_str());
                Move::Append(Some(place as u32))
            }
            Action::Incr => Move::Incr,
        }
    }

    /// An action whose outcome is not. Those that are one move are worth finding here.
    pub fn unknown(&self, action: &Action) -> Move {
        match action {
            Action::Append(piece) if !self.is_part(piece) => Move::Append(None),
            action => self.known(action),
        }
    }

    /// Whether any text that was seen contains this.
    fn is_part(&self, piece: &str) -> bool {
        // What a text shares with the one before has been looked through there.
        self.texts.iter().zip(&self.shared).any(|(text, &shared)| {
            let fresh = &text.as_bytes()[shared.saturating_sub(piece.len().saturating_sub(1))..];
            piece.is_empty() || fresh.windows(piece.len()).any(|w| w == piece.as_bytes())
        })
    }

    pub fn answer(&self, answer: &Answer) -> Output {
        match answer {
            Answer::Done => Output::Done,
            Answer::Found(register) => Output::Found(self.register(register)),
            Answer::Swapped(swapped) => Output::Swapped(*swapped),
            Answer::Number(number) => Output::Number(*number),
            Answer::Refused => Output::Refused,
        }
    }

    /// The state after an action that was given this answer, if it can have been given it.
    pub fn after_known(&self, state: State, action: Move, answer: Output) -> Option<State> {
        if matches!(state, State::Any | State::AnyWith(_)) && !action.is_blind() {
            return self.guess(state, action, answer);
        }
        let (state, given) = self.apply(state, action);
        (given == answer).then_some(state)
    }

    /// The state after an action of which nobody knows the answer.
    pub fn after_unknown(&self, state: State, action: Move) -> State {
        match (state, action) {
            // It may have found what it expects.
            (State::Any | State::AnyWith(_), Move::Cas(expected, new)) => {
                let swapped = self.guess(state, Move::Cas(expected, new), Output::Swapped(true));
                swapped.unwrap_or(state)
            }
            (State::AnyWith(_), Move::Append(None)) => State::OtherText,
            (State::AnyWith(_), Move::Append(Some(piece))) => State::AnyWith(piece),
            (State::Any | State::AnyWith(_), Move::Append(_) | Move::Incr) => state,
            (state, action) => self.apply(state, action).0,
        }
    }

    /// What there must have been for an action to give this answer, and what there is then. More is
    /// allowed than could be: what an answer says about the time before is forgotten, unless it is
    /// the whole value or its end.
    fn guess(&self, state: State, action: Move, answer: Output) -> Option<State> {
        let can_be = |value: State| match (state, value) {
            (State::AnyWith(piece), State::Text { text, bytes }) => {
                let text = &self.texts[text as usize][..bytes as usize];
                text.ends_with(self.pieces[piece as usize])
            }
            (State::AnyWith(_), _) => false,
            _ => true,
        };
        match (action, answer) {
            (Move::Get, Output::Found(value)) => can_be(value).then_some(value),
            (Move::Cas(expected, new), Output::Swapped(true)) => can_be(expected).then_some(new),
            (Move::Cas(..), Output::Swapped(false)) => Some(state),
            (Move::Append(piece), Output::Done) => {
                Some(piece.map_or(State::OtherText, State::AnyWith))
            }
            (Move::Append(_), Output::Refused) => (state == State::Any).then_some(state),
            (Move::Incr, Output::Number(number)) => (state == State::Any).then(|| self.int(number)),
            (Move::Incr, Output::Refused) => Some(state),
            _ => None,
        }
    }

    /// What [`model::apply`](super::model::apply) does, to states that are values.
    fn apply(&self, state: State, action: Move) -> (State, Output) {
        match action {
            Move::Put(value) => (value, Output::Done),
            Move::Get => (state, Output::Found(state)),
            Move::Delete => (State::Missing, Output::Done),
            Move::Cas(expected, new) if state == expected => (new, Output::Swapped(true)),
            Move::Cas(..) => (state, Output::Swapped(false)),
            Move::Append(piece) => {
                let head = match state {
                    State::Missing => Some(""),
                    State::Text { text, bytes } => {
                        Some(&self.texts[text as usize][..bytes as usize])
                    }
                    State::OtherText => None,
                    _ => return (state, Output::Refused),
                };
                let piece = piece.map(|piece| self.pieces[piece as usize]);
                let text = match (head, piece) {
                    (Some(head), Some(piece)) => self.text(head, piece),
                    _ => State::OtherText,
                };
                (text, Output::Done)
            }
            Move::Incr => match state {
                State::Missing => (self.int(1), Output::Number(1)),
                State::Int(number) => match number.checked_add(1) {
                    Some(new) => (self.int(new), Output::Number(new)),
                    None => (state, Output::Refused),
                },
                // The greatest integer is not among these if an incr was refused.
                State::OtherInt => (state, Output::Other),
                _ => (state, Output::Refused),
            },
        }
    }
}

/// A text against `head` followed by `piece`.
fn compare(text: &str, head: &str, piece: &str) -> Ordering {
    let text = text.as_bytes();
    let (start, rest) = text.split_at(text.len().min(head.len()));
    start
        .cmp(head.as_bytes())
        .then_with(|| rest.cmp(piece.as_bytes()))
}
