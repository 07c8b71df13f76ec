//! The grammar of XML-RPC, over the pieces of a well-formed document.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::tokens::{Token, Tokens, is_blank, is_white, not_xml_rpc};
use super::{MAX_DEPTH, MAX_VALUES};
use crate::rpc::value::{Call, Fault, Struct, Value};

/// The call that a document makes.
pub fn decode_call(document: &[u8]) -> Result<Call, Fault> {
    decode(document, |decoder| {
        decoder.start("methodCall")?;
        decoder.start("methodName")?;
        let method = decoder.text()?.into_owned();
        let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | ':' | '/');
        if method.is_empty() || !method.chars().all(named) {
            return Err(not_xml_rpc("a method name is made of a-z A-Z 0-9 _ . : /"));
        }
        let mut params = Vec::new();
        if decoder.start_or_end("params")? {
            while decoder.start_or_end("param")? {
                decoder.start("value")?;
                params.push(decoder.value(1)?);
                decoder.end()?;
            }
            decoder.end()?;
        }
        Ok(Call { method, params })
    })
}

/// What a document answers: a value, or the fault of whoever answered. The outer error is ours: the
/// document answers nothing that we understand.
pub fn decode_response(document: &[u8]) -> Result<Result<Value, Fault>, Fault> {
    decode(document, |decoder| {
        decoder.start("methodResponse")?;
        match decoder.any_start()? {
            Some("params") => {
                decoder.start("param")?;
                decoder.start("value")?;
                let value = decoder.value(1)?;
                decoder.end()?;
                decoder.end()?;
                decoder.end()?;
                Ok(Ok(value))
            }
            Some("fault") => {
                decoder.start("value")?;
                let value = decoder.value(1)?;
                decoder.end()?;
                decoder.end()?;
                let member = |name| value.as_struct().and_then(|members| members.get(name));
                let code = member("faultCode")
                    .and_then(Value::as_int)
                    .and_then(|code| i32::try_from(code).ok())
                    .ok_or_else(|| not_xml_rpc("a fault has a faultCode of 32 bits"))?;
                let message = member("faultString")
                    .and_then(Value::as_str)
                    .ok_or_else(|| not_xml_rpc("a fault has a faultString"))?;
                Ok(Err(Fault::new(code, message)))
            }
            _ => Err(not_xml_rpc("a methodResponse has params or a fault")),
        }
    })
}

/// Reads one document with `read`, to its end in any case, so that what is not well formed is
/// called so wherever it is.
fn decode<'a, T>(
    document: &'a [u8],
    read: impl FnOnce(&mut Decoder<'a>) -> Result<T, Fault>,
) -> Result<T, Fault> {
    let mut decoder = Decoder {
        tokens: Tokens::new(document)?,
        values: 0,
    };
    let result = read(&mut decoder);
    match result {
        // Each way of reading takes the root's end tag, so only the end can follow.
        Ok(_) => decoder.tokens.finish()?,
        Err(ref fault) if fault.code == Fault::NOT_XML_RPC => decoder.tokens.finish()?,
        Err(_) => {}
    }
    result
}

/// The grammar of XML-RPC, by recursive descent. Each method takes what it names, and whatever is
/// blank before it.
struct Decoder<'a> {
    tokens: Tokens<'a>,
    values: usize,
}

impl<'a> Decoder<'a> {
    /// What follows a value's start tag, up to and with its end tag.
    fn value(&mut self, depth: usize) -> Result<Value, Fault> {
        if depth > MAX_DEPTH {
            return Err(not_xml_rpc(format!("values nest at most {MAX_DEPTH} deep")));
        }
        self.values += 1;
        if self.values > MAX_VALUES {
            return Err(not_xml_rpc(format!("at most {MAX_VALUES} values")));
        }
        let mut text = Cow::Borrowed("");
        loop {
            match self.tokens.next()? {
                Token::Text(more) => append(&mut text, more),
                Token::Char(c) => text.to_mut().push(c),
                Token::Start(name) => {
                    if !is_blank(&text) {
                        return Err(not_xml_rpc("text beside a value's type"));
                    }
                    let value = self.typed(name, depth)?;
                    self.end()?;
                    return Ok(value);
                }
                Token::End => return Ok(Value::String(text.into_owned())),
                Token::Eof => return Err(not_xml_rpc("a value without an end")),
            }
        }
    }

    /// What follows a type's start tag, up to and with its end tag.
    fn typed(&mut self, name: &str, depth: usize) -> Result<Value, Fault> {
        match name {
            "struct" => {
                let mut members = Vec::new();
                while self.start_or_end("member")? {
                    self.start("name")?;
                    let name = self.text()?;
                    let name = familiar(&name).unwrap_or_else(|| Cow::Owned(name.into_owned()));
                    self.start("value")?;
                    members.push((name, self.value(depth + 1)?));
                    self.end()?;
                }
                let members = Struct::from_members(members).map_err(|name| {
                    let name: String = name.chars().take(40).collect();
                    not_xml_rpc(format!("a struct has the member {name:?} twice"))
                })?;
                Ok(Value::Struct(members))
            }
            "array" => {
                let mut items = Vec::new();
                self.start("data")?;
                while self.start_or_end("value")? {
                    items.push(self.value(depth + 1)?);
                }
                self.end()?;
                Ok(Value::Array(items))
            }
            "string" => Ok(Value::String(self.text()?.into_owned())),
            "int" | "i4" => match self.text()?.parse::<i32>() {
                Ok(n) => Ok(Value::Int(n.into())),
                Err(_) => Err(not_xml_rpc("an int is a number of 32 bits")),
            },
            "i8" | "ex:i8" => match self.text()?.parse::<i64>() {
                Ok(n) => Ok(Value::Int(n)),
                Err(_) => Err(not_xml_rpc("an i8 is a number of 64 bits")),
            },
            "boolean" => match &*self.text()? {
                "0" => Ok(Value::Bool(false)),
                "1" => Ok(Value::Bool(true)),
                _ => Err(not_xml_rpc("a boolean is 0 or 1")),
            },
            "double" => double(&self.text()?)
                .map(Value::Double)
                .ok_or_else(|| not_xml_rpc("a double is a finite decimal number")),
            "dateTime.iso8601" => {
                let text = self.text()?;
                if !is_date(&text) {
                    return Err(not_xml_rpc("a date looks like 19980717T14:08:55"));
                }
                Ok(Value::DateTime(text.into_owned()))
            }
            "base64" => {
                let mut text = self.text()?.into_owned();
                text.retain(|c| !is_white(c));
                match BASE64.decode(text) {
                    Ok(bytes) => Ok(Value::Base64(bytes)),
                    Err(_) => Err(not_xml_rpc("base64 that does not decode")),
                }
            }
            "nil" | "ex:nil" => {
                self.end()?;
                Ok(Value::Nil)
            }
            _ => Err(not_xml_rpc("a value of an unknown type")),
        }
    }

    /// The start tag of this element.
    fn start(&mut self, name: &'static str) -> Result<(), Fault> {
        if self.start_or_end(name)? {
            return Ok(());
        }
        Err(not_xml_rpc(format!("<{name}> is missing")))
    }

    /// Either the start tag of this element (true), or the end of the one around it (false).
    fn start_or_end(&mut self, name: &'static str) -> Result<bool, Fault> {
        match self.any_start()? {
            Some(found) if found == name => Ok(true),
            None => Ok(false),
            Some(_) => Err(not_xml_rpc(format!("not <{name}> where it should be"))),
        }
    }

    /// Either a start tag, or the end of the element around.
    fn any_start(&mut self) -> Result<Option<&'static str>, Fault> {
        loop {
            match self.tokens.next()? {
                Token::Start(name) => return Ok(Some(name)),
                Token::End => return Ok(None),
                Token::Text(text) if is_blank(&text) => {}
                Token::Char(c) if is_white(c) => {}
                Token::Text(_) | Token::Char(_) => {
                    return Err(not_xml_rpc("text between elements"));
                }
                Token::Eof => return Err(not_xml_rpc("the document ends too early")),
            }
        }
    }

    /// The end tag of the element around.
    fn end(&mut self) -> Result<(), Fault> {
        match self.any_start()? {
            None => Ok(()),
            Some(_) => Err(not_xml_rpc("one element too many")),
        }
    }

    /// The text of an element that has nothing else, and its end tag.
    fn text(&mut self) -> Result<Cow<'a, str>, Fault> {
        let mut text = Cow::Borrowed("");
        loop {
            match self.tokens.next()? {
                Token::Text(more) => append(&mut text, more),
                Token::Char(c) => text.to_mut().push(c),
                Token::End => return Ok(text),
                Token::Start(_) => return Err(not_xml_rpc("an element where text should be")),
                Token::Eof => return Err(not_xml_rpc("the document ends too early")),
            }
        }
    }
}

/// The names that each entry of an AppendEntries repeats need no memory of their own.
fn familiar(name: &str) -> Option<Cow<'static, str>> {
    ["term", "index", "client", "serial", "command"]
        .into_iter()
        .find(|known| *known == name)
        .map(Cow::Borrowed)
}

/// Appends without a copy in the usual case of one piece.
fn append<'a>(text: &mut Cow<'a, str>, more: Cow<'a, str>) {
    if text.is_empty() {
        *text = more;
    } else {
        text.to_mut().push_str(&more);
    }
}

/// A decimal number; an exponent is taken, because Python and others write one.
fn double(text: &str) -> Option<f64> {
    let decimal = |c: char| c.is_ascii_digit() || matches!(c, '+' | '-' | '.' | 'e' | 'E');
    if !text.chars().all(decimal) {
        return None;
    }
    text.parse().ok().filter(|x: &f64| x.is_finite())
}

/// A date, roughly: the alphabet of ISO 8601's forms, and a year at the start.
fn is_date(text: &str) -> bool {
    const LONGEST: usize = "1998-07-17T14:08:55.123456789+00:00".len();
    (8..=LONGEST).contains(&text.len())
        && text.bytes().take(4).all(|b| b.is_ascii_digit())
        && text
            .bytes()
            .all(|b| b.is_ascii_digit() || matches!(b, b'T' | b'Z' | b':' | b'-' | b'+' | b'.'))
}
