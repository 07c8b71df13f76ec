//! The other state machine: a store of keys and values.
//!
//! The key-value store is what most people build on Raft first. It shows that nothing below it knows of
//! a game: the same core, the same log, the same snapshots, with `machine = "kv"` in the configuration.
//!
//! A key is text, a [`Datum`] is text, a 64-bit integer or bytes, and stays of the type that was put.
//! An [`Operation`] is one write. As a command it is a word and its operands in JSON, so that
//! `orders.log` can be read: `put "colour" "red"`, `incr "n"`, `append "blob" {"base64":"AAE="}`. Reads
//! are no commands: a node answers them from its own state once that is recent enough ([`Store::get`],
//! [`Store::list`]).
//!
//! Promises: within the limits below nothing is refused for its size, whatever is in it, and what is
//! refused changes nothing. Text has only the characters that XML can carry: whatever has others is bytes. What a whole store takes in a snapshot is bounded.
//!
//! Left out: ranges of keys, transactions over several keys, keys that expire. (A clock would have to be
//! an entry, too.)
//!
//! Where to read on: [`client`], for programs that use a store.

pub mod client;

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Bound;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use crate::machine::StateMachine;

/// Longest key, in bytes of UTF-8. A key has at least one.
pub const MAX_KEY_BYTES: usize = 1024;
/// Longest value: of a text in UTF-8, or of bytes.
pub const MAX_VALUE_BYTES: usize = 256 * 1024;
/// How much a whole store may take in a snapshot.
pub const MAX_STORE_BYTES: usize = 64 << 20;
/// Most keys in one list.
pub const MAX_LISTED: usize = 1_000;
/// How many bytes of keys are in one list at most; one key always is.
pub const MAX_LISTED_BYTES: usize = 128 * 1024;

/// What is compared by its digest, because two long values would not fit into one command.
const COMPARED_BY_DIGEST: usize = 1024;
/// What a line of a snapshot takes besides its key and its value.
const LINE_BYTES: usize = 24;

/// A value. Clones share what is long.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Datum {
    /// Text.
    Text(Arc<str>),
    /// A number.
    Int(i64),
    /// Any bytes.
    Bytes(Arc<[u8]>),
}

impl From<&str> for Datum {
    fn from(text: &str) -> Datum {
        Datum::Text(text.into())
    }
}

impl From<i64> for Datum {
    fn from(number: i64) -> Datum {
        Datum::Int(number)
    }
}

impl From<&[u8]> for Datum {
    fn from(bytes: &[u8]) -> Datum {
        Datum::Bytes(bytes.into())
    }
}

impl Datum {
    /// Length in bytes; a number has 8.
    pub fn len(&self) -> usize {
        match self {
            Datum::Text(text) => text.len(),
            Datum::Int(_) => 8,
            Datum::Bytes(bytes) => bytes.len(),
        }
    }

    /// Whether it is an empty text or no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// In JSON: a string, a number, `{"base64":"..."}`; and `{"text":"..."}`, in base64, for a text
    /// that would be longer as a string.
    pub fn to_json(&self) -> Json {
        let encoded = |name: &str, bytes: &[u8]| {
            let text = Json::String(BASE64.encode(bytes));
            Json::Object([(name.to_string(), text)].into_iter().collect())
        };
        match self {
            Datum::Int(number) => Json::from(*number),
            Datum::Text(text) => match json_len(text) > text.len() / 3 * 4 + 16 {
                true => encoded("text", text.as_bytes()),
                false => Json::from(&**text),
            },
            Datum::Bytes(bytes) => encoded("base64", bytes),
        }
    }

    /// The value that `to_json` has written, or one sentence about why there is none like it.
    pub fn from_json(json: &Json) -> Result<Datum, String> {
        let datum = match json {
            Json::String(text) => Datum::Text(text.as_str().into()),
            Json::Number(number) => Datum::Int(
                number
                    .as_i64()
                    .ok_or("a number is a signed 64-bit integer")?,
            ),
            Json::Object(members) if members.len() == 1 => {
                let decoded = |name: &str| {
                    let text = members.get(name)?.as_str()?;
                    BASE64.decode(text).ok()
                };
                let text = || String::from_utf8(decoded("text")?).ok();
                match (decoded("base64"), text()) {
                    (Some(bytes), _) => Datum::Bytes(bytes.into()),
                    (None, Some(text)) => Datum::Text(text.into()),
                    (None, None) => return Err(NO_VALUE.to_string()),
                }
            }
            _ => return Err(NO_VALUE.to_string()),
        };
        datum.check().map(|()| datum)
    }

    /// Whether this can be a value, or one sentence about why not.
    pub fn check(&self) -> Result<(), String> {
        if let Datum::Text(text) = self
            && !text.chars().all(is_xml)
        {
            return Err("a text has characters that XML cannot carry: put it as bytes".to_string());
        }
        match self.len() > MAX_VALUE_BYTES {
            true => Err(format!(
                "a value has at most {MAX_VALUE_BYTES} bytes, this one has {}",
                self.len()
            )),
            false => Ok(()),
        }
    }

    /// What it takes in a snapshot, without writing it.
    fn json_len(&self) -> usize {
        match self {
            Datum::Int(_) => 20,
            Datum::Text(text) => json_len(text).min(text.len().div_ceil(3) * 4 + 16),
            Datum::Bytes(bytes) => bytes.len().div_ceil(3) * 4 + 16,
        }
    }

    /// SHA-256 over its type and its bytes, in hex.
    fn digest(&self) -> String {
        let number;
        let (kind, bytes): (u8, &[u8]) = match self {
            Datum::Text(text) => (b't', text.as_bytes()),
            Datum::Int(n) => {
                number = n.to_be_bytes();
                (b'i', &number)
            }
            Datum::Bytes(bytes) => (b'b', bytes),
        };
        let hash = Sha256::new().chain_update([kind]).chain_update(bytes);
        let hash = hash.finalize();
        hash.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

const NO_VALUE: &str = "a value is text, an integer or bytes";

/// Whether XML 1.0 has that character.
fn is_xml(c: char) -> bool {
    !matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{fffe}' | '\u{ffff}')
}

/// The length of a text as a JSON string.
fn json_len(text: &str) -> usize {
    let escaped = |b: u8| match b {
        b'"' | b'\\' | b'\n' | b'\r' | b'\t' | 8 | 12 => 2,
        0..=31 => 6,
        _ => 1,
    };
    text.bytes().map(escaped).sum::<usize>() + 2
}

/// What a compare-and-set expects to find.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// No value.
    Absent,
    /// This one, of the same type.
    Is(Datum),
    /// One with this digest: a long value travels by it.
    Digest(String),
}

impl Expected {
    /// That value, or none.
    pub fn of(value: Option<Datum>) -> Expected {
        match value {
            None => Expected::Absent,
            Some(value) if value.len() > COMPARED_BY_DIGEST => Expected::Digest(value.digest()),
            Some(value) => Expected::Is(value),
        }
    }

    fn matches(&self, found: Option<&Datum>) -> bool {
        match (self, found) {
            (Expected::Absent, None) => true,
            (Expected::Is(wanted), Some(found)) => wanted == found,
            (Expected::Digest(wanted), Some(found)) => found.digest() == *wanted,
            _ => false,
        }
    }

    fn to_json(&self) -> Json {
        match self {
            Expected::Absent => Json::Null,
            Expected::Is(value) => value.to_json(),
            Expected::Digest(digest) => serde_json::json!({ "sha256": digest }),
        }
    }

    fn from_json(json: &Json) -> Result<Expected, String> {
        if json.is_null() {
            return Ok(Expected::Absent);
        }
        match json.get("sha256").and_then(Json::as_str) {
            Some(digest) => Ok(Expected::Digest(digest.to_string())),
            None => Datum::from_json(json).map(Expected::Is),
        }
    }
}

/// A write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// The key has this value. Outcome: `ok`.
    Put(String, Datum),
    /// The key has none. Outcome: `true` where it had one, `false` elsewhere.
    Delete(String),
    /// The key has this value if it has the expected one. Outcome: `true` or `false`.
    Cas(String, Expected, Datum),
    /// Text goes to the end of a text, bytes to that of bytes; to nothing, where there is no value.
    /// Outcome: the new length in bytes.
    Append(String, Datum),
    /// One more; 1, where there is no value. Outcome: the new number.
    Incr(String),
}

impl fmt::Display for Operation {
    /// As a command.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, operands) = match self {
            Operation::Put(key, value) => ("put", vec![Json::from(&**key), value.to_json()]),
            Operation::Delete(key) => ("delete", vec![Json::from(&**key)]),
            Operation::Cas(key, expected, new) => (
                "cas",
                vec![Json::from(&**key), expected.to_json(), new.to_json()],
            ),
            Operation::Append(key, value) => ("append", vec![Json::from(&**key), value.to_json()]),
            Operation::Incr(key) => ("incr", vec![Json::from(&**key)]),
        };
        f.write_str(word)?;
        operands
            .iter()
            .try_for_each(|operand| write!(f, " {operand}"))
    }
}

impl Operation {
    /// What a command means, or one sentence about what is wrong with it.
    pub fn parse(text: &str) -> Result<Operation, String> {
        let unknown = || {
            "the store knows put KEY VALUE, delete KEY, cas KEY EXPECTED NEW, append KEY VALUE and \
             incr KEY, each operand in JSON"
                .to_string()
        };
        let (word, rest) = text.split_once(' ').ok_or_else(unknown)?;
        // One more than any has, so that what is too much is not overlooked.
        let operands = serde_json::Deserializer::from_str(rest)
            .into_iter::<Json>()
            .take(4)
            .collect::<Result<Vec<Json>, _>>()
            .map_err(|_| unknown())?;
        let key = |json: &Json| match json {
            Json::String(key) => check_key(key).map(|()| key.clone()),
            _ => Err("a key is text".to_string()),
        };
        match (word, &*operands) {
            ("put", [k, value]) => Ok(Operation::Put(key(k)?, Datum::from_json(value)?)),
            ("delete", [k]) => Ok(Operation::Delete(key(k)?)),
            ("cas", [k, expected, new]) => Ok(Operation::Cas(
                key(k)?,
                Expected::from_json(expected)?,
                Datum::from_json(new)?,
            )),
            ("append", [k, value]) => match Datum::from_json(value)? {
                Datum::Int(_) => Err("text or bytes can be appended, a number cannot".to_string()),
                value => Ok(Operation::Append(key(k)?, value)),
            },
            ("incr", [k]) => Ok(Operation::Incr(key(k)?)),
            _ => Err(unknown()),
        }
    }
}

/// Whether this can be a key, or one sentence about why not.
pub fn check_key(key: &str) -> Result<(), String> {
    match key.len() {
        _ if !key.chars().all(is_xml) => {
            Err("a key has characters that XML cannot carry".to_string())
        }
        0 => Err("a key has at least one character".to_string()),
        1..=MAX_KEY_BYTES => Ok(()),
        len => Err(format!(
            "a key has at most {MAX_KEY_BYTES} bytes, this one has {len}"
        )),
    }
}

/// What an outcome begins with that is no result but a reason.
const REFUSED: &str = "refused: ";

/// What came of an operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is done.
    Done,
    /// Whether it was so.
    Said(bool),
    /// The new number, or length.
    Number(i64),
    /// It could not be done, and nothing was changed: one sentence.
    Refused(String),
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Done => f.write_str("ok"),
            Outcome::Said(yes) => yes.fmt(f),
            Outcome::Number(number) => number.fmt(f),
            Outcome::Refused(reason) => write!(f, "{REFUSED}{reason}"),
        }
    }
}

impl Outcome {
    /// An order's outcome.
    pub fn parse(text: &str) -> Outcome {
        match text {
            "ok" => Outcome::Done,
            "true" => Outcome::Said(true),
            "false" => Outcome::Said(false),
            _ => match text.parse() {
                Ok(number) => Outcome::Number(number),
                Err(_) => Outcome::Refused(text.strip_prefix(REFUSED).unwrap_or(text).to_string()),
            },
        }
    }
}

/// Every key and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Store {
    values: BTreeMap<String, Datum>,
    /// What they take in a snapshot.
    bytes: usize,
}

impl Store {
    /// A store of these, which a snapshot holds, or one sentence about why there is none like it.
    pub fn restored(values: impl IntoIterator<Item = (String, Datum)>) -> Result<Store, String> {
        let mut store = Store::default();
        for (key, value) in values {
            check_key(&key)?;
            let last = store.values.last_key_value();
            if last.is_some_and(|(last, _)| *last >= key) {
                return Err("its keys are not in order".to_string());
            }
            store.set(key, value)?;
        }
        Ok(store)
    }

    /// Every key and its value, in the order of the keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Datum)> {
        self.values.iter().map(|(key, value)| (&**key, value))
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Datum> {
        self.values.get(key)
    }

    /// The keys that begin with `prefix` and come after `after`, in order: [`MAX_LISTED`] of them at
    /// most, and [`MAX_LISTED_BYTES`].
    pub fn list(&self, prefix: &str, after: Option<&str>) -> Vec<String> {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let mut bytes = 0;
        self.values
            .range::<str, _>((from, Bound::Unbounded))
            .map(|(key, _)| key)
            .take_while(|key| key.starts_with(prefix))
            .enumerate()
            .take_while(|(count, key)| {
                bytes += key.len();
                *count == 0 || (*count < MAX_LISTED && bytes <= MAX_LISTED_BYTES)
            })
            .map(|(_, key)| key.clone())
            .collect()
    }

    fn set(&mut self, key: String, value: Datum) -> Result<(), String> {
        let line = |key: &str, value: &Datum| LINE_BYTES + json_len(key) + value.json_len();
        let before = self.values.get(&key).map_or(0, |before| line(&key, before));
        let bytes = self.bytes - before + line(&key, &value);
        // Whatever makes it smaller is welcome.
        if bytes > MAX_STORE_BYTES && bytes > self.bytes {
            return Err(format!(
                "the store is full: it has {} MiB, delete something",
                MAX_STORE_BYTES >> 20
            ));
        }
        self.bytes = bytes;
        self.values.insert(key, value);
        Ok(())
    }

    fn remove(&mut self, key: &str) -> bool {
        let Some(value) = self.values.remove(key) else {
            return false;
        };
        self.bytes -= LINE_BYTES + json_len(key) + value.json_len();
        true
    }

    fn carry_out(&mut self, operation: Operation) -> Result<Outcome, String> {
        Ok(match operation {
            Operation::Put(key, value) => {
                self.set(key, value)?;
                Outcome::Done
            }
            Operation::Delete(key) => Outcome::Said(self.remove(&key)),
            Operation::Cas(key, expected, new) => {
                let matches = expected.matches(self.get(&key));
                if matches {
                    self.set(key, new)?;
                }
                Outcome::Said(matches)
            }
            Operation::Append(key, more) => {
                let value = match (self.get(&key), more) {
                    (None, more) => more,
                    (Some(Datum::Text(text)), Datum::Text(more)) => {
                        Datum::Text([&**text, &more].concat().into())
                    }
                    (Some(Datum::Bytes(bytes)), Datum::Bytes(more)) => {
                        Datum::Bytes([&**bytes, &more].concat().into())
                    }
                    _ => return Err("it is of another type than what is appended".to_string()),
                };
                let len = value.len();
                if len > MAX_VALUE_BYTES {
                    return Err(format!(
                        "a value has at most {MAX_VALUE_BYTES} bytes, this one would have {len}"
                    ));
                }
                self.set(key, value)?;
                Outcome::Number(i64::try_from(len).unwrap_or(i64::MAX))
            }
            Operation::Incr(key) => {
                let number = match self.get(&key) {
                    None => 1,
                    Some(Datum::Int(number)) => number
                        .checked_add(1)
                        .ok_or("it is the largest number that there is")?,
                    Some(_) => return Err("it is no number".to_string()),
                };
                self.set(key, Datum::Int(number))?;
                Outcome::Number(number)
            }
        })
    }
}

impl StateMachine for Store {
    fn check(&self, text: &str) -> Result<(), String> {
        Operation::parse(text).map(|_| ())
    }

    fn apply(&mut self, text: &str) -> String {
        Operation::parse(text)
            .and_then(|operation| self.carry_out(operation))
            .unwrap_or_else(Outcome::Refused)
            .to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Datum {
        Datum::from(text)
    }

    fn apply(store: &mut Store, operation: Operation) -> Outcome {
        let command = operation.to_string();
        assert_eq!(Operation::parse(&command), Ok(operation), "{command}");
        assert_eq!(store.check(&command), Ok(()));
        Outcome::parse(&store.apply(&command))
    }

    fn put(store: &mut Store, key: &str, value: Datum) -> Outcome {
        apply(store, Operation::Put(key.to_string(), value))
    }

    #[test]
    fn a_value_comes_back_as_it_was_put() {
        let mut store = Store::default();
        let long = "é".repeat(MAX_VALUE_BYTES / 2);
        let quotes = "\"\n".repeat(MAX_VALUE_BYTES / 2);
        let bytes: Vec<u8> = (0..=255).collect();
        let values = [
            text("red"),
            text(""),
            text("7"),
            text(&long),
            text(&quotes),
            Datum::Int(7),
            Datum::Int(i64::MIN),
            Datum::from(&bytes[..]),
            Datum::Bytes(vec![0; MAX_VALUE_BYTES].into()),
        ];
        for value in values {
            let command = Operation::Put("k".to_string(), value.clone()).to_string();
            assert!(command.len() < crate::command::MAX_TEXT_BYTES);
            assert_eq!(put(&mut store, "k", value.clone()), Outcome::Done);
            assert_eq!(store.get("k"), Some(&value));
        }
    }

    #[test]
    fn compare_and_set_compares_type_and_value_however_long() {
        let mut store = Store::default();
        let mut cas = |expected: Option<Datum>, new: Datum| {
            let expected = Expected::of(expected);
            let outcome = apply(&mut store, Operation::Cas("k".into(), expected, new));
            outcome == Outcome::Said(true)
        };
        assert!(!cas(Some(text("a")), text("b")));
        assert!(cas(None, Datum::Int(1)));
        assert!(!cas(None, Datum::Int(2)));
        assert!(!cas(Some(text("1")), Datum::Int(2)));
        let long = text(&"x".repeat(MAX_VALUE_BYTES));
        let bytes = Datum::Bytes(vec![b'x'; MAX_VALUE_BYTES].into());
        assert!(cas(Some(Datum::Int(1)), long.clone()));
        assert!(!cas(Some(bytes.clone()), text("no")));
        assert!(cas(Some(long), bytes));
    }

    #[test]
    fn what_is_counted_is_a_number_and_what_is_appended_to_is_none() {
        let mut store = Store::default();
        let incr = |store: &mut Store| apply(store, Operation::Incr("n".into()));
        let append = |store: &mut Store, key: &str, more: Datum| {
            apply(store, Operation::Append(key.into(), more))
        };
        assert_eq!(incr(&mut store), Outcome::Number(1));
        assert_eq!(incr(&mut store), Outcome::Number(2));
        let refused = append(&mut store, "n", text("x"));
        assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
        assert_eq!(append(&mut store, "t", text("é")), Outcome::Number(2));
        assert_eq!(append(&mut store, "t", text("!")), Outcome::Number(3));
        assert_eq!(store.get("t"), Some(&text("é!")));
        put(&mut store, "n", Datum::Int(i64::MAX));
        let refused = incr(&mut store);
        assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
        assert_eq!(store.get("n"), Some(&Datum::Int(i64::MAX)));
        let long = "x".repeat(MAX_VALUE_BYTES);
        put(&mut store, "t", text(&long));
        let refused = append(&mut store, "t", text("!"));
        assert!(matches!(refused, Outcome::Refused(_)), "{refused:?}");
        assert_eq!(store.get("t"), Some(&text(&long)));
    }

    #[test]
    fn a_delete_says_whether_there_was_something_and_a_list_is_in_order() {
        let mut store = Store::default();
        for key in ["b", "a2", "a1", "a", "aé"] {
            put(&mut store, key, Datum::Int(0));
        }
        assert_eq!(store.list("a", None), ["a", "a1", "a2", "aé"]);
        assert_eq!(store.list("a", Some("a1")), ["a2", "aé"]);
        assert_eq!(store.list("", Some("aé")), ["b"]);
        assert!(store.list("c", None).is_empty());
        let delete = |store: &mut Store| apply(store, Operation::Delete("a1".into()));
        assert_eq!(delete(&mut store), Outcome::Said(true));
        assert_eq!(delete(&mut store), Outcome::Said(false));
        assert_eq!(store.list("a1", None), [""; 0]);
    }

    #[test]
    fn a_list_is_bounded_and_goes_on_where_it_ended() {
        let mut store = Store::default();
        for i in 0..2 * MAX_LISTED {
            put(&mut store, &format!("{i:05}"), Datum::Int(0));
        }
        let first = store.list("", None);
        assert_eq!(first.len(), MAX_LISTED);
        let second = store.list("", first.last().map(|last| &**last));
        assert_eq!(second[0], format!("{MAX_LISTED:05}"));
        for i in 0..200 {
            let key = format!("z{i:03}{}", "z".repeat(MAX_KEY_BYTES - 4));
            put(&mut store, &key, Datum::Int(0));
        }
        let bytes = |keys: Vec<String>| keys.iter().map(String::len).sum::<usize>();
        assert_eq!(bytes(store.list("z", None)), MAX_LISTED_BYTES);
    }

    #[test]
    fn a_full_store_takes_what_makes_it_smaller() {
        let mut store = Store::default();
        let large = Datum::Bytes(vec![0; MAX_VALUE_BYTES].into());
        let mut count = 0;
        while put(&mut store, &format!("k{count}"), large.clone()) == Outcome::Done {
            count += 1;
        }
        assert!(store.bytes <= MAX_STORE_BYTES && count > 100, "{count}");
        assert_eq!(put(&mut store, "k0", text("small")), Outcome::Done);
        for i in 0..count {
            apply(&mut store, Operation::Delete(format!("k{i}")));
        }
        assert_eq!(store.bytes, 0);
    }

    #[test]
    fn what_a_snapshot_line_takes_is_not_more_than_was_counted() {
        for value in [
            text("\"\\\n\u{7f}é"),
            text(&"\n".repeat(50)),
            Datum::Int(i64::MIN),
            Datum::from(&b"abcd"[..]),
        ] {
            let len = value.to_json().to_string().len();
            assert!(len <= value.json_len(), "{value:?}: {len}");
        }
    }

    #[test]
    fn what_is_no_operation_is_refused() {
        let mut store = Store::default();
        let long_key = format!("put \"{}\" 1", "k".repeat(MAX_KEY_BYTES + 1));
        let long = format!("put \"k\" \"{}\"", "x".repeat(MAX_VALUE_BYTES + 1));
        for command in [
            "",
            "put",
            "put ",
            "put \"k\"",
            "put \"\" 1",
            "put 1 1",
            "put \"k\" 1.5",
            "put \"k\" 9223372036854775808",
            "put \"k\" null",
            "put \"k\" true",
            "put \"k\" \"\\u0001\"",
            "put \"\\u0001\" 1",
            "put \"k\" [1]",
            "put \"k\" {\"base64\":\"?\"}",
            "put \"k\" {\"text\":\"gA==\"}",
            "put \"k\" 1 2",
            "put \"k\" 1 2 3 4 5",
            "put \"k\" 1 x",
            "append \"k\" 1",
            "incr \"k\" 1",
            "attack 3",
            &long_key,
            &long,
        ] {
            assert!(store.check(command).is_err(), "{command}");
            assert!(store.apply(command).starts_with(REFUSED), "{command}");
        }
        assert_eq!(store, Store::default());
    }
}
