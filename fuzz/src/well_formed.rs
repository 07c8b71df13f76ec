//! Whether a document is well-formed, by a second reader.
//!
//! It knows nothing of the first one, and is written for being read beside the specification rather
//! than for speed: one function for each production that XML-RPC needs, which takes what it names
//! from the front of the text. What the node refuses altogether (DOCTYPE, processing instructions,
//! other encodings than UTF-8, other entities than the five) is ill-formed here, too.
//! <https://www.w3.org/TR/xml/>

use std::collections::BTreeSet;

/// How deep elements may nest before the node gives up.
const MAX_ELEMENTS: usize = 64;

/// What is left of a document. `None` from a method: ill-formed.
struct Reader<'a>(&'a str);

/// Whether the document is well-formed; `None` when it nests too deeply to be read to its end.
pub fn well_formed(document: &[u8]) -> Option<bool> {
    let Ok(text) = std::str::from_utf8(document) else {
        return Some(false);
    };
    if !text.chars().all(is_char) {
        return Some(false);
    }
    let mut reader = Reader(text);
    let mut open = Vec::new();
    let mut rooted = false;
    reader.take("\u{feff}");
    if reader.0.starts_with("<?") && reader.declaration().is_none() {
        return Some(false);
    }
    while !reader.0.is_empty() {
        let within = !open.is_empty();
        let fine = if reader.take("<!--") {
            reader.until("--").is_some() && reader.take(">")
        } else if reader.take("<![CDATA[") {
            within && reader.until("]]>").is_some()
        } else if reader.take("</") {
            let name = reader.name();
            reader.white();
            name.is_some() && name == open.pop() && reader.take(">")
        } else if reader.take("<") {
            if open.len() == MAX_ELEMENTS {
                return None;
            }
            let second_root = rooted && !within;
            rooted = true;
            reader.start(&mut open).is_some() && !second_root
        } else if reader.take("&") {
            within && reader.reference().is_some()
        } else {
            let text = reader.until_any(&['<', '&']);
            !text.contains("]]>") && (within || text.chars().all(is_white))
        };
        if !fine {
            return Some(false);
        }
    }
    Some(rooted && open.is_empty())
}

impl<'a> Reader<'a> {
    /// Takes this, if it comes next.
    fn take(&mut self, what: &str) -> bool {
        match self.0.strip_prefix(what) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    /// Takes what comes before this, and this.
    fn until(&mut self, what: &str) -> Option<&'a str> {
        let (before, after) = self.0.split_once(what)?;
        self.0 = after;
        Some(before)
    }

    /// Takes what comes before any of these, or all there is.
    fn until_any(&mut self, what: &[char]) -> &'a str {
        let end = self.0.find(what).unwrap_or(self.0.len());
        let (before, after) = self.0.split_at(end);
        self.0 = after;
        before
    }

    /// Takes white space; says whether there was any.
    fn white(&mut self) -> bool {
        let rest = self.0.trim_start_matches(is_white);
        let any = rest.len() < self.0.len();
        self.0 = rest;
        any
    }

    /// Of names beyond ASCII, the node takes all for good.
    fn name(&mut self) -> Option<&'a str> {
        let starts = |c: char| c.is_ascii_alphabetic() || matches!(c, '_' | ':') || !c.is_ascii();
        let goes_on = |c: char| starts(c) || c.is_ascii_digit() || matches!(c, '-' | '.');
        if !self.0.starts_with(starts) {
            return None;
        }
        let end = self.0.find(|c| !goes_on(c)).unwrap_or(self.0.len());
        let (name, rest) = self.0.split_at(end);
        self.0 = rest;
        Some(name)
    }

    /// What follows the `<` of a start tag or of an empty element.
    fn start(&mut self, open: &mut Vec<&'a str>) -> Option<()> {
        let name = self.name()?;
        let mut attributes = BTreeSet::new();
        loop {
            let white = self.white();
            if self.take("/>") {
                return Some(());
            }
            if self.take(">") {
                open.push(name);
                return Some(());
            }
            let attribute = self.name().filter(|_| white)?;
            attributes.insert(attribute).then_some(())?;
            let mut value = Reader(self.quoted()?);
            while !value.0.is_empty() {
                if value.take("&") {
                    value.reference()?;
                } else if value.until_any(&['<', '&']).is_empty() {
                    return None;
                }
            }
        }
    }

    /// `= "..."` or `= '...'`.
    fn quoted(&mut self) -> Option<&'a str> {
        self.white();
        self.take("=").then(|| self.white())?;
        let quote = if self.take("\"") { "\"" } else { "'" };
        if quote == "'" && !self.take("'") {
            return None;
        }
        self.until(quote)
    }

    /// What follows the `&` of a reference.
    fn reference(&mut self) -> Option<()> {
        let name = self.until(";")?;
        let (digits, radix) = match name.strip_prefix('#') {
            None => return matches!(name, "lt" | "gt" | "amp" | "apos" | "quot").then_some(()),
            Some(number) => match number.strip_prefix('x') {
                Some(digits) => (digits, 16),
                None => (number, 10),
            },
        };
        let mut number: u32 = 0;
        for digit in digits.chars() {
            let digit = digit.to_digit(radix)?;
            number = number.checked_mul(radix)?.checked_add(digit)?;
        }
        let c = char::from_u32(number)?;
        (!digits.is_empty() && is_char(c)).then_some(())
    }

    /// The XML declaration.
    fn declaration(&mut self) -> Option<()> {
        self.take("<?xml").then_some(())?;
        let mut white = self.white();
        (white && self.take("version") && self.quoted()? == "1.0").then_some(())?;
        white = self.white();
        if white && self.take("encoding") {
            self.quoted()?.eq_ignore_ascii_case("utf-8").then_some(())?;
            white = self.white();
        }
        if white && self.take("standalone") {
            matches!(self.quoted()?, "yes" | "no").then_some(())?;
            self.white();
        }
        self.take("?>").then_some(())
    }
}

fn is_white(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\r' | '\n')
}

/// Production 2, `Char`.
fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{d7ff}' | '\u{e000}'..='\u{fffd}' | '\u{10000}'..)
}
