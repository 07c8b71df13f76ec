//! Histories that can be read: one operation a line.
//!
//! ```text
//! client invoked returned operation [= answer]
//! ```
//!
//! *returned* is `?` where the outcome is unknown and `!` where the operation failed. The operations
//! are `put V`, `get`, `delete`, `cas V V`, `append T`, `incr`. Without an answer it is `done`; others
//! are `V` to get, `yes` and `no` to cas, a number to incr, and `refused`. A value is an integer, bytes
//! (`0x0aff`), a text (anything else), or `-`, which is none. The key is x, or what stands in front of
//! the operation: `y:get`.

use crate::linearizability::{Action, Answer, Operation, Outcome, Register, Value};

pub fn history(script: &str) -> Vec<Operation> {
    let lines = script.lines().map(str::trim);
    let lines = lines.filter(|line| !line.is_empty());
    lines
        .map(|line| operation(line).unwrap_or_else(|| panic!("what is this? {line}")))
        .collect()
}

fn operation(line: &str) -> Option<Operation> {
    let (asked, answer) = line.split_once('=').unwrap_or((line, "done"));
    let mut words = asked.split_whitespace();
    let client = words.next()?.parse().ok()?;
    let invoked = words.next()?.parse().ok()?;
    let returned = words.next()?;
    let name = words.next()?;
    let (key, name) = name.split_once(':').unwrap_or(("x", name));
    let action = match name {
        "put" => Action::Put(register(words.next()?)?),
        "get" => Action::Get,
        "delete" => Action::Delete,
        "cas" => Action::Cas {
            expected: register(words.next()?),
            new: register(words.next()?)?,
        },
        "append" => Action::Append(words.next()?.to_string()),
        "incr" => Action::Incr,
        _ => return None,
    };
    if words.next().is_some() {
        return None;
    }
    let outcome = match returned {
        "?" => Outcome::Unknown,
        "!" => Outcome::Failed,
        returned => Outcome::Completed {
            returned: returned.parse().ok()?,
            answer: match (&action, answer.trim()) {
                (_, "refused") => Answer::Refused,
                (Action::Get, value) => Answer::Found(register(value)),
                (Action::Incr, number) => Answer::Number(number.parse().ok()?),
                (Action::Cas { .. }, "yes") => Answer::Swapped(true),
                (Action::Cas { .. }, "no") => Answer::Swapped(false),
                (Action::Put(_) | Action::Delete | Action::Append(_), "done") => Answer::Done,
                _ => return None,
            },
        },
    };
    Some(Operation {
        client,
        key: key.to_string(),
        action,
        invoked,
        outcome,
    })
}

fn register(word: &str) -> Register {
    if word == "-" {
        return None;
    }
    if let Ok(number) = word.parse() {
        return Some(Value::Int(number));
    }
    let Some(digits) = word.strip_prefix("0x") else {
        return Some(Value::Text(word.to_string()));
    };
    let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16);
    let bytes = (0..digits.len()).step_by(2).map(byte);
    Some(Value::Bytes(bytes.collect::<Result<_, _>>().unwrap()))
}
