//! XML-RPC values and documents.

use std::borrow::Cow;
use std::fmt;

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

    /// Adds a member; false, and no change, when the name is taken.
    pub fn insert(&mut self, name: impl Into<Cow<'static, str>>, value: impl Into<Value>) -> bool {
        let name = name.into();
        if self.get(&name).is_some() {
            return false;
        }
        self.0.push((name, value.into()));
        true
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
