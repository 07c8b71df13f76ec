//! What one register does, one operation after the other.
//!
//! A register has a value or none, and a value is a text, an integer or bytes. Most operations take
//! whatever is there. Two do not:
//!
//! - `append` wants a text. Where there is no value it finds the empty text.
//! - `incr` wants an integer. Where there is no value it finds 0.
//!
//! On a value of any other kind they give [`Answer::Refused`] and change nothing; so does an `incr`
//! of the greatest integer. `cas` compares kind and value, so that the text "1" is not the integer 1,
//! and the empty text is not the same as no value; a `cas` that finds something else answers no, and
//! is not refused.

use std::fmt;

/// What a register can hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Value {
    Text(String),
    Int(i64),
    Bytes(Vec<u8>),
}

/// What a client can ask for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    Put(Value),
    Get,
    Delete,
    /// Puts `new` if the register holds `expected`.
    Cas {
        expected: Register,
        new: Value,
    },
    Append(String),
    Incr,
}

/// What a client can be told.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Answer {
    /// To put, delete and append.
    Done,
    /// To get.
    Found(Register),
    /// To cas: whether it put the new value.
    Swapped(bool),
    /// To incr: the new value.
    Number(i64),
    /// The value is of the wrong kind, and stays as it is.
    Refused,
}

/// One register.
pub type Register = Option<Value>;

/// Does it.
pub fn apply(register: &mut Register, action: &Action) -> Answer {
    match action {
        Action::Put(value) => {
            *register = Some(value.clone());
            Answer::Done
        }
        Action::Get => Answer::Found(register.clone()),
        Action::Delete => {
            *register = None;
            Answer::Done
        }
        Action::Cas { expected, new } => {
            let swapped = register == expected;
            if swapped {
                *register = Some(new.clone());
            }
            Answer::Swapped(swapped)
        }
        Action::Append(piece) => match register {
            None => {
                *register = Some(Value::Text(piece.clone()));
                Answer::Done
            }
            Some(Value::Text(text)) => {
                text.push_str(piece);
                Answer::Done
            }
            Some(Value::Int(_) | Value::Bytes(_)) => Answer::Refused,
        },
        Action::Incr => {
            let new = match register {
                None => Some(1),
                Some(Value::Int(number)) => number.checked_add(1),
                Some(Value::Text(_) | Value::Bytes(_)) => None,
            };
            match new {
                Some(number) => {
                    *register = Some(Value::Int(number));
                    Answer::Number(number)
                }
                None => Answer::Refused,
            }
        }
    }
}

/// Whether an operation that was answered like this has left the register as it was, whatever that
/// was.
pub fn changed_nothing(action: &Action, answer: &Answer) -> bool {
    matches!(action, Action::Get) || matches!(answer, Answer::Swapped(false) | Answer::Refused)
}

/// Longer values are printed without their middle.
const PRINTED: usize = 60;

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Text(text) => write_text(f, text),
            Value::Int(number) => write!(f, "{number}"),
            Value::Bytes(bytes) => {
                let digits: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
                f.write_str("0x")?;
                write_ends(f, &digits, bytes.len())
            }
        }
    }
}

fn write_text(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    write_ends(f, &format!("{text:?}"), text.len())
}

/// Both ends are shown, because texts that were appended to begin alike.
fn write_ends(f: &mut fmt::Formatter<'_>, printed: &str, bytes: usize) -> fmt::Result {
    let characters: Vec<char> = printed.chars().collect();
    if characters.len() <= PRINTED {
        return f.write_str(printed);
    }
    let head: String = characters[..PRINTED / 2].iter().collect();
    let tail: String = characters[characters.len() - PRINTED / 2..]
        .iter()
        .collect();
    write!(f, "{head}...{tail} ({bytes} bytes)")
}

/// A register, for printing.
struct Shown<'a>(&'a Register);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(value) => value.fmt(f),
            None => f.write_str("nothing"),
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Put(value) => write!(f, "put {value}"),
            Action::Get => f.write_str("get"),
            Action::Delete => f.write_str("delete"),
            Action::Cas { expected, new } => write!(f, "cas {} to {new}", Shown(expected)),
            Action::Append(piece) => {
                f.write_str("append ")?;
                write_text(f, piece)
            }
            Action::Incr => f.write_str("incr"),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Answer::Done => f.write_str("done"),
            Answer::Found(register) => Shown(register).fmt(f),
            Answer::Swapped(true) => f.write_str("yes"),
            Answer::Swapped(false) => f.write_str("no"),
            Answer::Number(number) => write!(f, "{number}"),
            Answer::Refused => f.write_str("refused"),
        }
    }
}
