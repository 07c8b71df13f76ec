//! What `strace -f -ttt -T` writes, as events: a call begins, a call ends.
//!
//! The lines stand in the order in which the tracer saw things happen. A thread goes on only after
//! its line is written, so what one thread does because of another stands behind it.

use std::collections::BTreeMap;

/// Whether a call begins or has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    Begins,
    Ends,
}

/// A call of the system.
#[derive(Clone, Debug)]
pub struct Call {
    /// From 1.
    pub line: usize,
    pub thread: u64,
    /// When it happened, in seconds: the end's own time at the end.
    pub time: f64,
    pub name: String,
    /// As written. At the beginning those that the system fills in may be missing.
    pub arguments: Vec<String>,
    /// What it returned; -1 for an error.
    pub result: i64,
}

impl Call {
    /// A descriptor, or another number.
    pub fn number(&self, position: usize) -> i64 {
        let text = self.arguments.get(position).map_or("", String::as_str);
        text.parse().unwrap_or(-1)
    }

    /// The bytes of all texts among the arguments.
    pub fn bytes(&self) -> Vec<u8> {
        self.arguments
            .iter()
            .flat_map(|argument| texts(argument))
            .flatten()
            .collect()
    }

    /// The text at this position.
    pub fn text(&self, position: usize) -> String {
        let bytes = self.arguments.get(position).map(|argument| texts(argument));
        let bytes = bytes.unwrap_or_default().concat();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    pub fn flags(&self) -> String {
        self.arguments.join(" ")
    }
}

/// All events of a trace. A call that never ended has a beginning only.
pub fn events(trace: &str) -> Vec<(Phase, Call)> {
    let mut events = Vec::new();
    let mut unfinished: BTreeMap<u64, String> = BTreeMap::new();
    for (line, text) in (1..).zip(trace.lines()) {
        let Some((thread, rest)) = text.trim_start().split_once(' ') else {
            continue;
        };
        let Some((time, rest)) = rest.trim_start().split_once(' ') else {
            continue;
        };
        let (Ok(thread), Ok(time)) = (thread.parse(), time.parse::<f64>()) else {
            continue;
        };
        let at = |time, (name, arguments, result)| Call {
            line,
            thread,
            time,
            name,
            arguments,
            result,
        };
        if let Some(begun) = rest.strip_suffix("<unfinished ...>") {
            if let Some(call) = parse(begun) {
                events.push((Phase::Begins, at(time, call)));
            }
            unfinished.insert(thread, begun.to_string());
        } else if let Some((_, end)) = rest.split_once(" resumed>")
            && rest.starts_with("<... ")
        {
            let begun = unfinished.remove(&thread).unwrap_or_default();
            if let Some(call) = parse(&(begun + end)) {
                events.push((Phase::Ends, at(time, call)));
            }
        } else if let Some(call) = parse(rest) {
            let took = rest
                .rsplit_once('<')
                .and_then(|(_, took)| took.strip_suffix('>'));
            let took: f64 = took.and_then(|took| took.parse().ok()).unwrap_or(0.0);
            events.push((Phase::Begins, at(time, call.clone())));
            events.push((Phase::Ends, at(time + took, call)));
        }
    }
    events
}

/// `name(argument, argument) = result`, or as much of it as is there.
fn parse(text: &str) -> Option<(String, Vec<String>, i64)> {
    let (name, rest) = text.split_once('(')?;
    if !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_') {
        return None;
    }
    let mut arguments = Vec::new();
    let (mut depth, mut quoted, mut escaped) = (0, false, false);
    let mut from = 0;
    let mut end = rest.len();
    for (at, c) in rest.bytes().enumerate() {
        match c {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            _ if quoted => {}
            b'(' | b'[' | b'{' => depth += 1,
            b')' if depth == 0 => {
                end = at;
                break;
            }
            b')' | b']' | b'}' => depth -= 1,
            b',' if depth == 0 => {
                arguments.push(rest[from..at].trim().to_string());
                from = at + 1;
            }
            _ => {}
        }
    }
    arguments.push(rest[from..end].trim().to_string());
    let result = rest[end..]
        .split_once("= ")
        .map_or("", |(_, result)| result);
    let digits = result.split([' ', '<']).next().unwrap_or_default();
    Some((name.to_string(), arguments, digits.parse().unwrap_or(-1)))
}

/// The texts in an argument, without their escapes.
fn texts(argument: &str) -> Vec<Vec<u8>> {
    let mut texts = Vec::new();
    let mut bytes = argument.bytes().peekable();
    while bytes.by_ref().any(|b| b == b'"') {
        let mut text = Vec::new();
        while let Some(byte) = bytes.next().filter(|&b| b != b'"') {
            if byte != b'\\' {
                text.push(byte);
                continue;
            }
            match bytes.next().unwrap_or(b'\\') {
                b'n' => text.push(b'\n'),
                b't' => text.push(b'\t'),
                b'r' => text.push(b'\r'),
                b'v' => text.push(11),
                b'f' => text.push(12),
                digit @ b'0'..=b'7' => {
                    let mut value = u32::from(digit - b'0');
                    for _ in 0..2 {
                        let Some(digit) = bytes.next_if(|b| (b'0'..=b'7').contains(b)) else {
                            break;
                        };
                        value = value * 8 + u32::from(digit - b'0');
                    }
                    text.push(value as u8);
                }
                other => text.push(other),
            }
        }
        assert!(
            bytes.peek() != Some(&b'.'),
            "strace cut a text: {argument:.80}"
        );
        texts.push(text);
    }
    texts
}

/// The text as strace writes it.
pub fn quoted(bytes: &[u8]) -> String {
    let mut out = String::from("\"");
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => out.extend(['\\', char::from(byte)]),
            b'\n' => out.push_str("\\n"),
            b' '..=b'~' => out.push(char::from(byte)),
            _ => out.push_str(&format!("\\{byte:03o}")),
        }
    }
    out + "\""
}
