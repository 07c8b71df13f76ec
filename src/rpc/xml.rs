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
//!
//! [`Value`]: super::value::Value
//! [`Fault::NOT_WELL_FORMED`]: super::value::Fault::NOT_WELL_FORMED
//! [`Fault::NOT_XML_RPC`]: super::value::Fault::NOT_XML_RPC

mod read;
mod tokens;
mod write;

pub use read::{decode_call, decode_response};
pub use write::{encode_call, encode_response};

/// How deep values may nest: a parameter has depth 1, the items of an array and the members of a
/// struct are one deeper than it.
pub const MAX_DEPTH: usize = 16;

/// How many values a document may have, arrays and structs counted as well as what is in them.
pub const MAX_VALUES: usize = 10_000;
