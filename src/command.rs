//! What a player wants, before Raft has ordered it.
//!
//! A [`Command`] says who asks, which of their requests it is, and what is asked. The pair
//! (client, serial) is its identity: a command that arrives twice, because a network or a library
//! sent it again, is still one command, and the state machine applies it once.
//!
//! What the text means is the state machine's business; this module promises only that a command
//! which exists fits into one message to a peer.

use std::borrow::Cow;
use std::fmt;

use serde::{Deserialize, Serialize};

/// Longest client id, in bytes.
pub const MAX_CLIENT_BYTES: usize = 64;

/// Longest command text, in bytes. As base64 it is two thirds of a message's limit of 1 MiB.
pub const MAX_TEXT_BYTES: usize = 512 * 1024;

/// Serials are XML-RPC integers, which are signed.
pub const MAX_SERIAL: u64 = i64::MAX as u64;

/// One request of one client: an intention, not yet an entry.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Command {
    /// Who asks: 1 to 64 printable characters, chosen by the client, unique among clients.
    pub client: String,
    /// Which of the client's requests this is; 0 to 2^63 - 1, used once by each client.
    pub serial: u64,
    /// What is asked, such as `attack 3`.
    pub text: String,
}

/// Why something cannot be a command. Each message tells the caller what to send instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CommandError {
    /// The client id is empty, too long, or has characters that do not print.
    Client,
    /// The serial is above [`MAX_SERIAL`].
    Serial,
    /// The text is longer than [`MAX_TEXT_BYTES`].
    TooLong(usize),
}

impl fmt::Display for CommandError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CommandError::Client => write!(
                f,
                "a client id is 1 to {MAX_CLIENT_BYTES} bytes of printable text"
            ),
            CommandError::Serial => write!(f, "a serial is a number from 0 to {MAX_SERIAL}"),
            CommandError::TooLong(len) => write!(
                f,
                "a command is at most {MAX_TEXT_BYTES} bytes, this one has {len}"
            ),
        }
    }
}

impl std::error::Error for CommandError {}

impl Command {
    /// A command within the limits, or what is wrong with it.
    pub fn new(
        client: impl Into<String>,
        serial: u64,
        text: impl Into<String>,
    ) -> Result<Command, CommandError> {
        let (client, text) = (client.into(), text.into());
        if !is_client(&client) {
            return Err(CommandError::Client);
        }
        if serial > MAX_SERIAL {
            return Err(CommandError::Serial);
        }
        if text.len() > MAX_TEXT_BYTES {
            return Err(CommandError::TooLong(text.len()));
        }
        Ok(Command {
            client,
            serial,
            text,
        })
    }

    /// Whether the text can stand in XML as it is. Anything else travels as base64, so that the
    /// bytes that arrive are the bytes that were sent.
    pub fn is_plain(&self) -> bool {
        self.text
            .chars()
            .all(|c| prints(c) && !matches!(c, '&' | '<' | '>'))
            && self.text.trim().len() == self.text.len()
    }

    /// An upper bound of the bytes that client and text take in a message, names and tags apart.
    pub fn encoded_len(&self) -> usize {
        const LONGEST_ESCAPE: usize = "&quot;".len();
        self.client.len() * LONGEST_ESCAPE + self.text.len().div_ceil(3) * 4
    }
}

/// Whether this may be a client's id.
pub fn is_client(id: &str) -> bool {
    (1..=MAX_CLIENT_BYTES).contains(&id.len()) && id.chars().all(prints)
}

/// Whether a character may appear raw in a log line or in XML: no control characters, no line or
/// paragraph separators, no noncharacters.
fn prints(c: char) -> bool {
    !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{fffe}' | '\u{ffff}')
}

/// The text as one printable line: backslashes and whatever does not print are escaped.
pub fn printable(text: &str) -> Cow<'_, str> {
    if text.chars().all(|c| prints(c) && c != '\\') {
        return Cow::Borrowed(text);
    }
    let mut line = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\\' => line.push_str("\\\\"),
            '\n' => line.push_str("\\n"),
            '\r' => line.push_str("\\r"),
            '\t' => line.push_str("\\t"),
            c if prints(c) => line.push(c),
            c => line.push_str(&format!("\\u{{{:x}}}", c as u32)),
        }
    }
    Cow::Owned(line)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printable_text_stays_one_line_and_is_unambiguous() {
        assert_eq!(printable("attack 3"), "attack 3");
        assert_eq!(
            printable("a\\n\n\t\u{1b}\u{2028}"),
            "a\\\\n\\n\\t\\u{1b}\\u{2028}"
        );
    }

    #[test]
    fn a_command_within_the_limits_is_accepted_and_one_beyond_is_not() {
        assert!(Command::new("bob1-9", 0, "attack 3").is_ok());
        assert_eq!(Command::new("", 0, "x"), Err(CommandError::Client));
        assert_eq!(Command::new("a\tb", 0, "x"), Err(CommandError::Client));
        assert_eq!(
            Command::new("c", MAX_SERIAL + 1, "x"),
            Err(CommandError::Serial)
        );
        assert!(Command::new("c", 0, "x".repeat(MAX_TEXT_BYTES)).is_ok());
        assert!(Command::new("c", 0, "x".repeat(MAX_TEXT_BYTES + 1)).is_err());
    }

    #[test]
    fn plain_text_is_what_xml_carries_unchanged() {
        let plain = |text: &str| Command::new("c", 1, text).unwrap().is_plain();
        assert!(plain("attack 3") && plain("Grüße 3"));
        assert!(!plain("a\r\n") && !plain("a<b") && !plain(" a") && !plain("\u{fffe}"));
    }
}
