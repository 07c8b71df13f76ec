//! A snapshot's document, which comes from a disk or, in parts, from whoever passes for a leader.
//!
//! Each input is read as it is, and once more with the checksum that it should have, since no
//! fuzzer guesses one. Then:
//!
//! * **Round trip.** What is read is written and read again: it is the same. So is the machine that
//!   is made of it, written down once more.
//! * **What was accepted can be lived with.** There are indexes after its last. Every answer in it
//!   can be sent to the client who asks again, and is what that client gets; further commands are
//!   applied, with the smallest serial and with the largest; the sessions stay within their limit.
//! * **Nothing less.** A document that is cut off is refused.
//! * A refusal is one printable line of bounded length, however the document was made.

use std::sync::Arc;

use raftian::application::Application;
use raftian::command::{Command, MAX_SERIAL, printable};
use raftian::machine::{Answer, MAX_SESSIONS, Machine, StateMachine as _};
use raftian::node::event::{Response, State};
use raftian::raft::{Configuration, Entry, MAX_TERM, Payload};
use raftian::rpc::methods;
use raftian::snapshot::Document;
use sha2::{Digest as _, Sha256};

use super::{cuts, sum};

/// At how many places an input is cut, of those that are possible.
const CUTS: usize = 8;

/// Longest refusal, in bytes.
const MAX_REFUSAL: usize = 1024;

/// Panics unless these bytes are read as promised. Says whether they are a snapshot.
pub fn check(bytes: &[u8]) -> bool {
    read(bytes) | read(&sealed(bytes))
}

/// The bytes before the checksum, or all of them, with the checksum that they should have.
pub fn sealed(bytes: &[u8]) -> Vec<u8> {
    const BEFORE: &[u8] = b",\n\"checksum\":\"";
    let end = bytes
        .windows(BEFORE.len())
        .rposition(|window| window == BEFORE);
    let body = &bytes[..end.unwrap_or(bytes.len())];
    let hash: String = Sha256::digest(body)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    [body, BEFORE, hash.as_bytes(), b"\"\n}\n"].concat()
}

fn read(text: &[u8]) -> bool {
    let document = match Document::read(text) {
        Ok(document) => document,
        Err(why) => {
            refused(&why);
            return false;
        }
    };
    assert_eq!(Document::read(&document.write()).as_ref(), Ok(&document));
    assert_eq!(Document::check(&document.snapshot()), Ok(()));
    assert!(
        document.last_index < MAX_TERM,
        "no entry after it can be read"
    );
    for cut in cuts(text.len(), sum(text), CUTS) {
        assert!(Document::read(&text[..cut]).is_err(), "cut at {cut}");
    }
    restored(&document, document.clone().machine());
    true
}

fn restored(document: &Document, machine: Machine<Application>) {
    let members = document.configuration.clone();
    let again = Document::of(&machine, document.last_term, members);
    assert_eq!(again, *document);
    // Whoever has it can go on to the next members.
    let next = Configuration::of_voters([1, 2, 9]);
    let mut state = machine.state().clone();
    state.configure(&next, false);
    if let Application::Game(game) = &state {
        assert_eq!(game.players().len(), 3);
        let _ = methods::write(Ok(Response::State(State {
            players: game.players().to_vec(),
            ruins: game.ruins().to_vec(),
            index: machine.last_applied(),
            digest: machine.digest().to_string(),
        })));
    }

    const CLIENTS: usize = 4;
    for (client, session) in document.sessions.iter() {
        for answer in session.answers.values() {
            sent(answer);
        }
        assert!(Command::new(client, 0, "").is_ok(), "{client:?}");
    }
    for (client, session) in document.sessions.iter().take(CLIENTS) {
        for (serial, first) in session.answers.iter().take(CLIENTS) {
            let answer = applied(&mut machine.clone(), client, *serial);
            assert_eq!(
                answer.as_ref(),
                Some(first),
                "a repeat gets the first answer"
            );
        }
        let mut machine = machine.clone();
        for serial in [0, MAX_SERIAL, 1] {
            applied(&mut machine, client, serial);
        }
    }
    let mut machine = machine.clone();
    assert!(applied(&mut machine, "a client whom nobody knows", 7).is_some());
    assert!(machine.sessions().iter().count() <= MAX_SESSIONS);
}

/// What the client is told of an attack that comes next.
fn applied(machine: &mut Machine<Application>, client: &str, serial: u64) -> Option<Answer> {
    let command = Command::new(client, serial, "attack 1").expect("a command within the limits");
    let order = machine.apply(&Entry {
        index: machine.last_applied() + 1,
        term: MAX_TERM,
        payload: Payload::Command(Arc::new(command)),
    });
    let line = order.line();
    assert!(!line.contains('\n'), "{line:?}");
    let answer = order.answer.ok()?;
    sent(&answer);
    Some(answer)
}

fn sent(answer: &Answer) {
    let _ = methods::write(Ok(Response::Applied(answer.clone())));
}

fn refused(why: &str) {
    assert!(
        !why.is_empty() && why.len() <= MAX_REFUSAL,
        "{} bytes",
        why.len()
    );
    // Quotes are escaped in their own way.
    let plain = why.replace('\\', "");
    assert_eq!(printable(&plain), plain, "it does not print");
}
