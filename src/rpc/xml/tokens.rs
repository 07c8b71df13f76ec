//! The pieces of a document, and that they make a well-formed one: what quick-xml leaves to its
//! caller is checked here.

use std::borrow::Cow;
use std::collections::HashSet;

use quick_xml::errors::IllFormedError;
use quick_xml::events::{BytesStart, Event};
use quick_xml::reader::Reader;

use super::MAX_DEPTH;
use crate::rpc::value::Fault;

/// How deep elements may nest. The deepest that XML-RPC can say within [`MAX_DEPTH`] is three
/// elements around the parameters, then value, struct and member at each level, then the type.
const MAX_ELEMENTS: usize = 64;
const _: () = assert!(3 + 3 * MAX_DEPTH < MAX_ELEMENTS);

/// A piece of a well-formed document.
pub(super) enum Token<'a> {
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
pub(super) struct Tokens<'a> {
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
    pub(super) fn new(document: &'a [u8]) -> Result<Tokens<'a>, Fault> {
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
    pub(super) fn next(&mut self) -> Result<Token<'a>, Fault> {
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
    pub(super) fn finish(&mut self) -> Result<(), Fault> {
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
    macro_rules! known {
        ($($name:literal)*) => {
            match tag.name().into_inner() {
                $($name => $name,)*
                unknown if is_name(unknown) => "?",
                _ => return Err(not_well_formed("an element without a proper name")),
            }
        };
    }
    let name = known!(
        "value" "name" "member" "int" "string" "i8" "struct" "base64" "array" "data" "boolean"
        "nil" "i4" "double" "param" "params" "methodName" "methodCall" "methodResponse" "fault"
        "dateTime.iso8601" "ex:nil" "ex:i8"
    );
    let attributes = tag.attributes_raw();
    if !attributes.is_empty() && !is_blank(attributes) {
        check_attributes(attributes)?;
    }
    Ok(name)
}

/// Reads all of them before it says that there should be none: what is not well formed comes first.
fn check_attributes(attributes: &str) -> Result<(), Fault> {
    let mut names = HashSet::new();
    let mut declarations = true;
    for attribute in Attributes(attributes) {
        let (name, value) = attribute?;
        let mut references = value.split('&').skip(1);
        let known = references.all(|rest| {
            rest.split_once(';')
                .is_some_and(|(name, _)| character(name).is_some())
        });
        if value.contains('<') || !known || !is_name(name) || !names.insert(name) {
            return Err(not_well_formed("an attribute out of form"));
        }
        declarations &= name == "xmlns" || name.starts_with("xmlns:");
    }
    if !declarations {
        return Err(not_xml_rpc("elements have no attributes"));
    }
    Ok(())
}

/// What follows a name in a tag or a declaration: names and values. quick-xml has this, too, and
/// takes attributes without white space between them.
struct Attributes<'a>(&'a str);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<(&'a str, &'a str), Fault>;

    fn next(&mut self) -> Option<Self::Item> {
        let rest = self.0.trim_start_matches(is_white);
        if rest.is_empty() {
            return None;
        }
        let separate = rest.len() < self.0.len();
        let read = || {
            let (name, rest) = rest.split_once('=')?;
            let rest = rest.trim_start_matches(is_white);
            let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''))?;
            let (value, rest) = rest[1..].split_once(quote)?;
            Some((name.trim_end_matches(is_white), value, rest))
        };
        match read().filter(|_| separate) {
            Some((name, value, rest)) => {
                self.0 = rest;
                Some(Ok((name, value)))
            }
            None => Some(Err(not_well_formed("an attribute out of form"))),
        }
    }
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
    let attributes = Attributes(declaration.strip_prefix("xml").unwrap_or_default());
    // Which pseudo-attributes may still come: they have an order.
    let mut next = 0;
    for attribute in attributes {
        let (name, value) = attribute.map_err(|_| not_well_formed(REFUSED))?;
        let (place, right) = match name {
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

/// Whether XML 1.0 allows the character that begins at `bytes[i]`, in valid UTF-8. Bytes within a
/// character are allowed. What remains to refuse: control characters, U+FFFE and U+FFFF.
pub(super) fn is_allowed(bytes: &[u8], i: usize) -> bool {
    match bytes[i] {
        b'\t' | b'\n' | b'\r' => true,
        0..0x20 => false,
        0xef => !matches!(bytes[i..], [_, 0xbf, 0xbe | 0xbf, ..]),
        _ => true,
    }
}

/// White space as XML means it.
pub(super) fn is_white(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

pub(super) fn is_blank(text: &str) -> bool {
    text.chars().all(is_white)
}

pub(super) fn not_xml_rpc(what: impl Into<String>) -> Fault {
    Fault::new(Fault::NOT_XML_RPC, format!("not XML-RPC: {}", what.into()))
}

pub(super) fn not_well_formed(what: &str) -> Fault {
    Fault::new(Fault::NOT_WELL_FORMED, format!("not well formed: {what}"))
}
