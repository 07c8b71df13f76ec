//! XML-RPC documents: [`Value`]s to XML and back.
//!
//! **Writing** appends straight to one buffer. Nothing that can be put into a [`Value`] makes an
//! ill-formed document: text is escaped (a carriage return too, which a parser would otherwise turn
//! into a newline), the characters that XML 1.0 cannot carry at all become U+FFFD, and a double
//! that is not finite becomes nil. The nodes' own messages contain neither (arbitrary bytes travel
//! as base64), so the replacements are the last resort for a text that a stranger gave us and that
//! we quote back to them.
//!
//! **Reading** trusts nobody. A document is refused
//!
//! * with [`Fault::NOT_WELL_FORMED`] when it is not well-formed XML in UTF-8, and also when it has
//!   a DOCTYPE, a processing instruction, an entity beyond the five predefined ones, an encoding
//!   other than UTF-8, or a character that XML 1.0 does not allow (control characters, U+FFFE);
//! * with [`Fault::NOT_XML_RPC`] when it is well formed and says something that XML-RPC does not:
//!   a missing or surplus element, a number outside its type's range, the same member twice, more
//!   than [`MAX_VALUES`] values, values nested more than [`MAX_DEPTH`] deep.
//!
//! The first has precedence wherever it occurs: a document that stops being XML-RPC is still read
//! to its end to see whether it is XML. Only one that is nested too deeply is left at that point.
//! So reading costs time and memory in proportion to the document, whatever it contains, and the
//! recursion is at most [`MAX_DEPTH`] levels deep.
//!
//! Between elements white space and comments are skipped; in text, comments are skipped and CDATA
//! sections are text. Text keeps its white space, leading and trailing too. `int`, `i4`, `i8`,
//! `boolean` and `double` have none: the specification permits none.
//!
//! Caveats: quick-xml reports markup and leaves much of well-formedness to its caller; what matters
//! here is checked in `Tokens`, where the names of elements may have any character beyond ASCII.
//! Attributes are refused, except the namespace declarations that go with `ex:nil` and `ex:i8`. A
//! date is checked for its alphabet only.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use quick_xml::errors::IllFormedError;
use quick_xml::events::attributes::Attributes;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::value::{Call, Fault, Struct, Value};

/// How deep values may nest: a parameter has depth 1, the items of an array and the members of a
/// struct are one deeper than it.
pub const MAX_DEPTH: usize = 16;

/// How many values a document may have, arrays and structs counted as well as what is in them.
pub const MAX_VALUES: usize = 10_000;

/// How deep elements may nest. The deepest that XML-RPC can say within [`MAX_DEPTH`] is three
/// elements around the parameters, then value, struct and member at each level, then the type.
const MAX_ELEMENTS: usize = 64;
const _: () = assert!(3 + 3 * MAX_DEPTH < MAX_ELEMENTS);

// ------------------------------------------------------------------------------------ writing

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

/// Whether XML 1.0 allows the character that begins at `bytes[i]`, in valid UTF-8. Bytes within a
/// character are allowed. What remains to refuse: control characters, U+FFFE and U+FFFF.
fn is_allowed(bytes: &[u8], i: usize) -> bool {
    match bytes[i] {
        b'\t' | b'\n' | b'\r' => true,
        0..0x20 => false,
        0xef => !matches!(bytes[i..], [_, 0xbf, 0xbe | 0xbf, ..]),
        _ => true,
    }
}

// ------------------------------------------------------------------------------------ reading

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

fn not_xml_rpc(what: impl Into<String>) -> Fault {
    Fault::new(Fault::NOT_XML_RPC, format!("not XML-RPC: {}", what.into()))
}

fn not_well_formed(what: &str) -> Fault {
    Fault::new(Fault::NOT_WELL_FORMED, format!("not well formed: {what}"))
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

/// White space as XML means it.
fn is_white(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_blank(text: &str) -> bool {
    text.chars().all(is_white)
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

/// A piece of a well-formed document.
enum Token<'a> {
    /// A start tag. Names that XML-RPC does not have are all `"?"`.
    Start(&'static str),
    /// The end tag of the element that started last.
    End,
    /// Text, its line ends made `\n`.
    Text(Cow<'a, str>),
    /// A character written as a reference.
    Char(char),
    /// The end of the document, after its root.
    Eof,
}

/// The pieces of a document, and that they make a well-formed one.
struct Tokens<'a> {
    reader: Reader<&'a [u8]>,
    /// Elements begun and not ended.
    open: usize,
    /// Whether the root has begun.
    rooted: bool,
    /// Whether anything has been read.
    begun: bool,
    /// Given up, because it nests too deeply.
    abandoned: bool,
}

impl<'a> Tokens<'a> {
    fn new(document: &'a [u8]) -> Result<Tokens<'a>, Fault> {
        let text = std::str::from_utf8(document).map_err(|_| not_well_formed("not UTF-8"))?;
        if !all_allowed(document) {
            return Err(not_well_formed("a character that XML does not allow"));
        }
        let mut reader = Reader::from_str(text);
        let config = reader.config_mut();
        config.enable_all_checks(true);
        config.expand_empty_elements = true;
        Ok(Tokens {
            reader,
            open: 0,
            rooted: false,
            begun: false,
            abandoned: false,
        })
    }

    /// The next piece.
    fn next(&mut self) -> Result<Token<'a>, Fault> {
        loop {
            let event = self.reader.read_event().map_err(not_xml)?;
            let first = !std::mem::replace(&mut self.begun, true);
            match event {
                Event::Start(tag) => {
                    if self.open == 0 && std::mem::replace(&mut self.rooted, true) {
                        return Err(not_well_formed("a second root element"));
                    }
                    self.open += 1;
                    if self.open > MAX_ELEMENTS {
                        self.abandoned = true;
                        return Err(not_xml_rpc(format!(
                            "elements nest at most {MAX_ELEMENTS} deep"
                        )));
                    }
                    return Ok(Token::Start(element(&tag)?));
                }
                Event::End(_) => {
                    self.open -= 1;
                    return Ok(Token::End);
                }
                Event::Text(text) => {
                    // One pass finds what is rare: line ends to normalise, and "]]>".
                    let rare = text.bytes().any(|b| matches!(b, b'\r' | b'>'));
                    if rare && text.contains("]]>") {
                        return Err(not_well_formed("]]> in text"));
                    }
                    if self.open > 0 {
                        return Ok(Token::Text(if rare {
                            text.xml10_content()
                        } else {
                            text.into_inner()
                        }));
                    }
                    if !is_blank(&text) {
                        return Err(not_well_formed("text outside the root element"));
                    }
                }
                Event::CData(text) if self.open > 0 => {
                    return Ok(Token::Text(text.xml10_content()));
                }
                Event::GeneralRef(name) if self.open > 0 => {
                    return match character(&name) {
                        Some(c) => Ok(Token::Char(c)),
                        None => Err(not_well_formed("an unknown entity or character")),
                    };
                }
                Event::CData(_) | Event::GeneralRef(_) => {
                    return Err(not_well_formed("text outside the root element"));
                }
                Event::Comment(_) => {}
                Event::Decl(declaration) if first => check_declaration(&declaration)?,
                Event::Decl(_) => {
                    return Err(not_well_formed(
                        "an XML declaration is the very first thing",
                    ));
                }
                Event::PI(_) => return Err(not_well_formed("processing instructions are refused")),
                Event::DocType(_) => return Err(not_well_formed("a DOCTYPE is refused")),
                Event::Empty(_) => unreachable!("the reader was told to expand these"),
                Event::Eof if self.open > 0 => {
                    return Err(not_well_formed("it ends within an element"));
                }
                Event::Eof if !self.rooted => return Err(not_well_formed("no root element")),
                Event::Eof => return Ok(Token::Eof),
            }
        }
    }

    /// Reads to the end, for the sake of well-formedness alone.
    fn finish(&mut self) -> Result<(), Fault> {
        while !self.abandoned {
            match self.next() {
                Ok(Token::Eof) => break,
                Ok(_) => {}
                Err(fault) if fault.code == Fault::NOT_WELL_FORMED => return Err(fault),
                Err(_) => {}
            }
        }
        Ok(())
    }
}

/// The name of an element, if it is one of XML-RPC's. The tag may have attributes only to declare
/// the namespace of `ex:nil`.
fn element(tag: &BytesStart<'_>) -> Result<&'static str, Fault> {
    let attributes = tag.attributes_raw();
    if !attributes.is_empty() && !is_blank(attributes) {
        check_attributes(tag)?;
    }
    macro_rules! known {
        ($($name:literal)*) => {
            match tag.name().into_inner() {
                $($name => return Ok($name),)*
                unknown => unknown,
            }
        };
    }
    let name = known!(
        "value" "name" "member" "int" "string" "i8" "struct" "base64" "array" "data" "boolean"
        "nil" "i4" "double" "param" "params" "methodName" "methodCall" "methodResponse" "fault"
        "dateTime.iso8601" "ex:nil" "ex:i8"
    );
    if is_name(name) {
        return Ok("?");
    }
    Err(not_well_formed("an element without a proper name"))
}

fn check_attributes(tag: &BytesStart<'_>) -> Result<(), Fault> {
    // A handful of declarations is plenty, and looking for duplicates compares each with each.
    const MANY: usize = 8;
    for (i, attribute) in tag.attributes().enumerate() {
        let attribute = attribute.map_err(|_| not_well_formed("an attribute out of form"))?;
        if attribute.value.contains('<') || !is_name(attribute.key.into_inner()) {
            return Err(not_well_formed("an attribute out of form"));
        }
        let declares = attribute.key.into_inner().starts_with("xmlns");
        if i >= MANY || !declares || attribute.value.contains('&') {
            return Err(not_xml_rpc("elements have no attributes"));
        }
    }
    Ok(())
}

/// Whether this may name an element. Beyond ASCII everything may.
fn is_name(name: &str) -> bool {
    name.chars().enumerate().all(|(i, c)| match c {
        '_' | ':' => true,
        '-' | '.' | '0'..='9' => i > 0,
        c => c.is_ascii_alphabetic() || !c.is_ascii(),
    }) && !name.is_empty()
}

/// `<?xml version="1.0" encoding="utf-8" standalone="yes"?>`, of which the version alone is needed.
fn check_declaration(declaration: &str) -> Result<(), Fault> {
    const REFUSED: &str = "the XML declaration has version 1.0 and encoding UTF-8, if any";
    let attributes = Attributes::new(declaration, "xml".len());
    // Which pseudo-attributes may still come: they have an order.
    let mut next = 0;
    for attribute in attributes {
        let attribute = attribute.map_err(|_| not_well_formed(REFUSED))?;
        let value = &*attribute.value;
        let (place, right) = match attribute.key.into_inner() {
            "version" => (0, value == "1.0"),
            "encoding" => (1, value.eq_ignore_ascii_case("utf-8")),
            "standalone" => (2, matches!(value, "yes" | "no")),
            _ => (0, false),
        };
        if !right || place < next || (next == 0 && place > 0) {
            return Err(not_well_formed(REFUSED));
        }
        next = place + 1;
    }
    if next == 0 {
        return Err(not_well_formed(REFUSED));
    }
    Ok(())
}

/// The character that a reference such as `&lt;` or `&#13;` stands for.
fn character(name: &str) -> Option<char> {
    let number = match name {
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "amp" => return Some('&'),
        "apos" => return Some('\''),
        "quot" => return Some('"'),
        _ => name.strip_prefix('#')?,
    };
    let (digits, radix) = match number.strip_prefix('x') {
        Some(hex) => (hex, 16),
        None => (number, 10),
    };
    // The standard parser takes a sign; XML does not.
    if !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    let c = char::from_u32(u32::from_str_radix(digits, radix).ok()?)?;
    all_allowed(c.encode_utf8(&mut [0; 4]).as_bytes()).then_some(c)
}

fn not_xml(error: quick_xml::Error) -> Fault {
    // The texts of the reader's errors quote the document, at any length.
    match error {
        quick_xml::Error::Syntax(error) => not_well_formed(&error.to_string()),
        quick_xml::Error::IllFormed(error) => not_well_formed(match error {
            IllFormedError::MismatchedEndTag { .. } | IllFormedError::UnmatchedEndTag(_) => {
                "an end tag that does not match its start tag"
            }
            IllFormedError::DoubleHyphenInComment => "-- in a comment",
            IllFormedError::UnclosedReference => "& without ;",
            _ => "markup out of form",
        }),
        _ => not_well_formed("markup out of form"),
    }
}

/// Whether XML 1.0 allows all characters of this valid UTF-8. Written so that the usual text is
/// looked at many bytes at a time.
fn all_allowed(bytes: &[u8]) -> bool {
    let suspect = |b: u8| (b < 0x20 && !matches!(b, b'\t' | b'\n' | b'\r')) || b == 0xef;
    let suspicious = bytes.iter().fold(false, |any, &b| any | suspect(b));
    !suspicious || (0..bytes.len()).all(|i| is_allowed(bytes, i))
}
