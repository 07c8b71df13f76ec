//! Values to bytes, appended to one buffer.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::tokens::is_allowed;
use crate::rpc::value::{Fault, Value};

const DECLARATION: &[u8] = b"<?xml version=\"1.0\"?>";

/// A call as a document.
pub fn encode_call(method: &str, params: &[Value]) -> Vec<u8> {
    let mut out = Vec::with_capacity(256 + 256 * params.len());
    out.extend_from_slice(DECLARATION);
    out.extend_from_slice(b"<methodCall><methodName>");
    write_text(&mut out, method);
    out.extend_from_slice(b"</methodName><params>");
    for param in params {
        out.extend_from_slice(b"<param>");
        write_value(&mut out, param);
        out.extend_from_slice(b"</param>");
    }
    out.extend_from_slice(b"</params></methodCall>");
    out
}

/// What a call came to, as a document.
pub fn encode_response(result: &Result<Value, Fault>) -> Vec<u8> {
    let mut out = Vec::with_capacity(256);
    out.extend_from_slice(DECLARATION);
    out.extend_from_slice(b"<methodResponse>");
    match result {
        Ok(value) => {
            out.extend_from_slice(b"<params><param>");
            write_value(&mut out, value);
            out.extend_from_slice(b"</param></params>");
        }
        Err(fault) => {
            out.extend_from_slice(
                b"<fault><value><struct><member><name>faultCode</name><value><int>",
            );
            write_int(&mut out, fault.code.into());
            out.extend_from_slice(
                b"</int></value></member><member><name>faultString</name><value><string>",
            );
            write_text(&mut out, &fault.message);
            out.extend_from_slice(b"</string></value></member></struct></value></fault>");
        }
    }
    out.extend_from_slice(b"</methodResponse>");
    out
}

/// Appends `<value>...</value>`. The values of a node nest as deep as its own types do, so this
/// recursion has no limit of its own.
fn write_value(out: &mut Vec<u8>, value: &Value) {
    out.extend_from_slice(b"<value>");
    match value {
        Value::Int(n) if i32::try_from(*n).is_ok() => {
            out.extend_from_slice(b"<int>");
            write_int(out, *n);
            out.extend_from_slice(b"</int>");
        }
        Value::Int(n) => {
            out.extend_from_slice(b"<i8>");
            write_int(out, *n);
            out.extend_from_slice(b"</i8>");
        }
        Value::String(text) => {
            out.extend_from_slice(b"<string>");
            write_text(out, text);
            out.extend_from_slice(b"</string>");
        }
        Value::Struct(members) => {
            out.extend_from_slice(b"<struct>");
            for (name, value) in members.iter() {
                out.extend_from_slice(b"<member><name>");
                write_text(out, name);
                out.extend_from_slice(b"</name>");
                write_value(out, value);
                out.extend_from_slice(b"</member>");
            }
            out.extend_from_slice(b"</struct>");
        }
        Value::Array(items) => {
            out.extend_from_slice(b"<array><data>");
            for item in items {
                write_value(out, item);
            }
            out.extend_from_slice(b"</data></array>");
        }
        Value::Bool(true) => out.extend_from_slice(b"<boolean>1</boolean>"),
        Value::Bool(false) => out.extend_from_slice(b"<boolean>0</boolean>"),
        Value::Double(x) if x.is_finite() => {
            out.extend_from_slice(b"<double>");
            // Display writes digits and a point, never an exponent, as the specification asks.
            out.extend_from_slice(x.to_string().as_bytes());
            out.extend_from_slice(b"</double>");
        }
        Value::Nil | Value::Double(_) => out.extend_from_slice(b"<nil/>"),
        Value::DateTime(text) => {
            out.extend_from_slice(b"<dateTime.iso8601>");
            write_text(out, text);
            out.extend_from_slice(b"</dateTime.iso8601>");
        }
        Value::Base64(bytes) => {
            out.extend_from_slice(b"<base64>");
            out.extend_from_slice(BASE64.encode(bytes).as_bytes());
            out.extend_from_slice(b"</base64>");
        }
    }
    out.extend_from_slice(b"</value>");
}

/// Appends a number in digits.
fn write_int(out: &mut Vec<u8>, n: i64) {
    const LONGEST: usize = "-9223372036854775808".len();
    let mut digits = [0; LONGEST];
    let mut at = LONGEST;
    let mut rest = n.unsigned_abs();
    loop {
        at -= 1;
        digits[at] = b'0' + (rest % 10) as u8;
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if n < 0 {
        at -= 1;
        digits[at] = b'-';
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends text so that a parser reads the very same text.
fn write_text(out: &mut Vec<u8>, text: &str) {
    let bytes = text.as_bytes();
    let mut done = 0;
    for (i, &byte) in bytes.iter().enumerate() {
        let instead: &[u8] = match byte {
            b'&' => b"&amp;",
            b'<' => b"&lt;",
            // So that no text contains "]]>".
            b'>' => b"&gt;",
            b'\r' => b"&#13;",
            _ if !is_allowed(bytes, i) => "\u{fffd}".as_bytes(),
            _ => continue,
        };
        out.extend_from_slice(&bytes[done..i]);
        out.extend_from_slice(instead);
        // The two characters of more than one byte that are not allowed have three.
        done = if byte < 0x80 { i + 1 } else { i + 3 };
    }
    out.extend_from_slice(&bytes[done..]);
}
