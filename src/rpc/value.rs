//! XML-RPC values, calls and faults: what a document says, apart from how it is written.
//!
//! A [`Value`] is built with `From` and read with the `as_` methods, each of which answers `None`
//! for a value of another type: whoever reads a peer's struct decides what a missing or a
//! misshapen member means. Nothing here panics on what a peer sent.
//!
//! Numbers are signed 64-bit integers, XML-RPC's widest. An unsigned number above `i64::MAX` has no
//! XML-RPC form, so there is `TryFrom<u64>` and no `From<u64>`: it cannot wrap unseen.
//!
//! Caveats: looking a member up walks the struct, which is right for the dozen members that
//! anything here has and wrong for thousands; a date stays the text that it came as.

use std::borrow::Cow;
use std::collections::HashSet;
use std::fmt;
use std::num::TryFromIntError;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

/// One XML-RPC value. <http://xmlrpc.com/spec.md>, with the usual extensions `i8` and `nil`.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `<nil/>`: nothing.
    Nil,
    /// `<boolean>`.
    Bool(bool),
    /// `<int>` where the number fits in 32 bits, `<i8>` where it does not.
    Int(i64),
    /// `<double>`; never NaN or infinite.
    Double(f64),
    /// `<string>`, or text without a type.
    String(String),
    /// `<dateTime.iso8601>`, as it was written; read, never sent by a node.
    DateTime(String),
    /// `<base64>`: any bytes.
    Base64(Vec<u8>),
    /// `<array>`.
    Array(Vec<Value>),
    /// `<struct>`.
    Struct(Struct),
}

impl Value {
    /// The integer.
    pub fn as_int(&self) -> Option<i64> {
        match self {
            Value::Int(n) => Some(*n),
            _ => None,
        }
    }

    /// The integer, when it is not negative.
    pub fn as_u64(&self) -> Option<u64> {
        self.as_int().and_then(|n| u64::try_from(n).ok())
    }

    /// The boolean.
    pub fn as_bool(&self) -> Option<bool> {
        match self {
            Value::Bool(yes) => Some(*yes),
            _ => None,
        }
    }

    /// The double; an integer is one, too.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Value::Double(x) => Some(*x),
            Value::Int(n) => Some(*n as f64),
            _ => None,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Value::String(text) => Some(text),
            _ => None,
        }
    }

    /// The bytes of a base64 value.
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Base64(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// The items of an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        match self {
            Value::Array(items) => Some(items),
            _ => None,
        }
    }

    /// The members.
    pub fn as_struct(&self) -> Option<&Struct> {
        match self {
            Value::Struct(members) => Some(members),
            _ => None,
        }
    }

    /// Whether there is nothing.
    pub fn is_nil(&self) -> bool {
        matches!(self, Value::Nil)
    }

    /// The XML-RPC name of the type, for messages about wrong parameters.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Nil => "nil",
            Value::Bool(_) => "boolean",
            Value::Int(_) => "int",
            Value::Double(_) => "double",
            Value::String(_) => "string",
            Value::DateTime(_) => "dateTime.iso8601",
            Value::Base64(_) => "base64",
            Value::Array(_) => "array",
            Value::Struct(_) => "struct",
        }
    }

    /// The same as JSON. Dates become strings, and bytes become strings of base64.
    pub fn to_json(&self) -> serde_json::Value {
        use serde_json::Value as Json;
        match self {
            Value::Nil => Json::Null,
            Value::Bool(yes) => Json::from(*yes),
            Value::Int(n) => Json::from(*n),
            Value::Double(x) => Json::from(*x),
            Value::String(text) | Value::DateTime(text) => Json::from(text.as_str()),
            Value::Base64(bytes) => Json::from(BASE64.encode(bytes)),
            Value::Array(items) => items.iter().map(Value::to_json).collect(),
            Value::Struct(members) => members
                .iter()
                .map(|(name, value)| (name.to_owned(), value.to_json()))
                .collect::<serde_json::Map<_, _>>()
                .into(),
        }
    }
}

impl From<bool> for Value {
    fn from(yes: bool) -> Value {
        Value::Bool(yes)
    }
}

impl From<i32> for Value {
    fn from(n: i32) -> Value {
        Value::Int(n.into())
    }
}

impl From<u32> for Value {
    fn from(n: u32) -> Value {
        Value::Int(n.into())
    }
}

impl From<i64> for Value {
    fn from(n: i64) -> Value {
        Value::Int(n)
    }
}

impl TryFrom<u64> for Value {
    type Error = TryFromIntError;

    fn try_from(n: u64) -> Result<Value, TryFromIntError> {
        i64::try_from(n).map(Value::Int)
    }
}

/// XML-RPC has no NaN and no infinity; they become nil.
impl From<f64> for Value {
    fn from(x: f64) -> Value {
        if x.is_finite() {
            Value::Double(x)
        } else {
            Value::Nil
        }
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Value {
        Value::String(text.to_owned())
    }
}

impl From<String> for Value {
    fn from(text: String) -> Value {
        Value::String(text)
    }
}

impl From<Vec<Value>> for Value {
    fn from(items: Vec<Value>) -> Value {
        Value::Array(items)
    }
}

impl From<Struct> for Value {
    fn from(members: Struct) -> Value {
        Value::Struct(members)
    }
}

impl<T: Into<Value>> From<Option<T>> for Value {
    fn from(maybe: Option<T>) -> Value {
        maybe.map_or(Value::Nil, Into::into)
    }
}

/// Named members, in the order in which they were added; each name once.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Struct(Vec<(Cow<'static, str>, Value)>);

impl Struct {
    /// The member of that name.
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.0.iter().find(|(n, _)| n == name).map(|(_, v)| v)
    }

    /// The members in order.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_ref(), value))
    }

    /// How many members there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a member; false, and no change, when the name is taken.
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> bool {
        let name = name.into();
        if self.get(&name).is_some() {
            return false;
        }
        self.0.push((name, value.into()));
        true
    }

    /// A struct of these members, or the first name that comes twice.
    pub fn from_members(members: Vec<(Cow<'static, str>, Value)>) -> Result<Struct, String> {
        // Comparing each with each is the fastest for a few, and what a stranger could make us
        // do for hours with thousands.
        const FEW: usize = 16;
        let twice = if members.len() <= FEW {
            (1..members.len()).find(|&i| members[..i].iter().any(|(n, _)| *n == members[i].0))
        } else {
            let mut seen = HashSet::with_capacity(members.len());
            members.iter().position(|(name, _)| !seen.insert(name))
        };
        match twice {
            Some(i) => Err(members[i].0.to_string()),
            None => Ok(Struct(members)),
        }
    }
}

/// For structs whose names are written in the source: a name that comes twice is a bug, and panics.
impl<const N: usize> From<[(&'static str, Value); N]> for Struct {
    fn from(members: [(&'static str, Value); N]) -> Struct {
        let members = members.map(|(name, value)| (Cow::Borrowed(name), value));
        Struct::from_members(members.into()).expect("each name is written once")
    }
}

/// The standard way of saying no: a code and a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// One of the interop codes below.
    pub code: i32,
    /// What is wrong and, where it helps, what to do.
    pub message: String,
}

impl Fault {
    /// The document is not well formed.
    pub const NOT_WELL_FORMED: i32 = -32700;
    /// The document is well formed and not XML-RPC.
    pub const NOT_XML_RPC: i32 = -32600;
    /// There is no such method.
    pub const NO_SUCH_METHOD: i32 = -32601;
    /// The parameters do not fit the method.
    pub const WRONG_PARAMETERS: i32 = -32602;
    /// Our own failure.
    pub const INTERNAL: i32 = -32603;
    /// The application refuses: no leader, unknown member, outcome unknown.
    pub const APPLICATION: i32 = -32500;

    /// A fault with that code.
    pub fn new(code: i32, message: impl Into<String>) -> Fault {
        Fault {
            code,
            message: message.into(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} (fault {})", self.message, self.code)
    }
}

impl std::error::Error for Fault {}

/// A request: which method, with what.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// Such as `append_entries_rpc`.
    pub method: String,
    /// In order.
    pub params: Vec<Value>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_above_the_signed_range_does_not_become_a_value() {
        assert_eq!(Value::try_from(i64::MAX as u64), Ok(Value::Int(i64::MAX)));
        assert!(Value::try_from(i64::MAX as u64 + 1).is_err());
        assert_eq!(Value::Int(-1).as_u64(), None);
    }

    #[test]
    fn a_struct_holds_each_name_once_however_many_there_are() {
        for count in [2, 16, 17, 500] {
            let mut members: Vec<_> = (0..count)
                .map(|i| (Cow::Owned(format!("n{i}")), Value::Int(i)))
                .collect();
            assert!(Struct::from_members(members.clone()).is_ok());
            members.push(("n1".into(), Value::Nil));
            assert_eq!(Struct::from_members(members), Err("n1".to_owned()));
        }
    }

    #[test]
    fn what_has_no_number_becomes_nil_rather_than_nan() {
        assert_eq!(Value::from(f64::NAN), Value::Nil);
        assert_eq!(Value::from(1.5), Value::Double(1.5));
        assert_eq!(Value::from(None::<bool>), Value::Nil);
    }

    #[test]
    fn json_keeps_types_and_names() {
        let value = Value::from(Struct::from([
            ("term", 3.into()),
            ("leader", Value::Nil),
            ("bytes", Value::Base64(vec![0, 255])),
            (
                "peers",
                vec![Value::from("a"), 1.5.into(), true.into()].into(),
            ),
        ]));
        assert_eq!(
            value.to_json(),
            serde_json::json!({"term": 3, "leader": null, "bytes": "AP8=", "peers": ["a", 1.5, true]})
        );
    }
}
