//! XML-RPC documents: everything that a node makes of the bytes of a body.
//!
//! The bytes are taken for a call, as the server takes them, and for a response, as the client
//! does. Then:
//!
//! * **Round trips.** The call or the value that was read is written and read again: it is the
//!   same. So are the question to the driver, and the reply of a peer, as each kind of reply that
//!   it could be.
//! * **Refusals.** A document that is refused is refused with a code of those that are documented,
//!   in one sentence of bounded length, and the fault arrives at the caller as it was.
//! * **Well-formedness comes first.** It does not depend on what the document is taken for, and a
//!   second reader that knows nothing of the first (`well_formed`) says the same. Only where elements
//!   nest too deeply does the second one not know.
//! * **Nothing beyond the end.** A document that is cut off, anywhere, is not read as another one.
//! * **No accepted entry is unsendable.** The entries of an AppendEntries take no more bytes than
//!   the core counts for them.

use std::collections::BTreeSet;

use raftian::command::Command;
use raftian::kv::{Expected, Operation};
use raftian::node::event::{Errand, PeerReply, PeerRequest, Query, Question, Response};
use raftian::raft::{AppendEntries, Reply, Request};
use raftian::rpc::codec;
use raftian::rpc::methods::{self, Asked, ReplyKind};
use raftian::rpc::value::{Fault, Struct, Value};
use raftian::rpc::xml::{
    MAX_DEPTH, MAX_VALUES, decode_call, decode_response, encode_call, encode_response,
};

use super::well_formed::well_formed;
use super::{cuts, sum};

/// At how many places an input is cut, of those that are possible.
const CUTS: usize = 8;

/// Longest sentence of a fault, in bytes. The longest quotes 64 characters, escaped.
const MAX_MESSAGE: usize = 1024;

/// Panics unless these bytes are read as promised. Says whether they are a call or a response.
pub fn check(bytes: &[u8]) -> bool {
    let call = decode_call(bytes);
    let response = decode_response(bytes);

    let is_ill_formed = |fault: &Fault| fault.code == Fault::NOT_WELL_FORMED;
    let ill_formed = call.as_ref().is_err_and(is_ill_formed);
    assert_eq!(
        ill_formed,
        response.as_ref().is_err_and(is_ill_formed),
        "{call:?} {response:?}"
    );
    if let Some(well_formed) = well_formed(bytes) {
        assert_ne!(ill_formed, well_formed, "{call:?}");
    }
    for fault in call
        .as_ref()
        .err()
        .into_iter()
        .chain(response.as_ref().err())
    {
        refused(fault, &[Fault::NOT_WELL_FORMED, Fault::NOT_XML_RPC]);
    }
    assert!(call.is_err() || response.is_err(), "a call and a response");

    if let Ok(call) = &call {
        bounded(&call.params);
        let document = encode_call(&call.method, &call.params);
        assert_eq!(decode_call(&document).as_ref(), Ok(call));
    }
    if let Ok(answer) = &response {
        let document = encode_response(answer);
        assert_eq!(decode_response(&document).as_ref(), Ok(answer));
        if let Ok(value) = answer {
            bounded(std::slice::from_ref(value));
            replied(value);
        }
    }
    if call.is_ok() || response.is_ok() {
        for cut in cuts(bytes.len(), sum(bytes), CUTS) {
            let shorter = &bytes[..cut];
            let (earlier, answer) = (decode_call(shorter), decode_response(shorter));
            assert!(earlier.is_err() || earlier == call, "cut at {cut}");
            assert!(answer.is_err() || answer == response, "cut at {cut}");
        }
    }
    asked(bytes);
    call.is_ok() || response.is_ok()
}

/// No more values, and no deeper, than the reader promises.
fn bounded(values: &[Value]) {
    fn count(value: &Value, depth: usize) -> usize {
        assert!(depth <= MAX_DEPTH);
        1 + match value {
            Value::Array(items) => items.iter().map(|item| count(item, depth + 1)).sum(),
            Value::Struct(members) => members.iter().map(|(_, m)| count(m, depth + 1)).sum(),
            _ => 0,
        }
    }
    let counted: usize = values.iter().map(|value| count(value, 1)).sum();
    assert!(counted <= MAX_VALUES);
}

/// The bytes as a request to a node.
fn asked(bytes: &[u8]) {
    let (asked, by_peers) = methods::read(bytes);
    let question = match asked {
        Ok(Asked::Question(question)) => question,
        Ok(Asked::Known(value)) => {
            let document = encode_response(&Ok(value.clone()));
            assert_eq!(decode_response(&document), Ok(Ok(value)));
            return;
        }
        Err(fault) => {
            return refused(
                &fault,
                &[
                    Fault::NOT_WELL_FORMED,
                    Fault::NOT_XML_RPC,
                    Fault::NO_SUCH_METHOD,
                    Fault::WRONG_PARAMETERS,
                ],
            );
        }
    };
    let document = match &question {
        Question::Raft(request) => {
            if let Request::AppendEntries(request) = request {
                counted(request);
            }
            methods::call(&PeerRequest::Raft(request.clone()))
        }
        Question::Forward(forward) => methods::call(&PeerRequest::Forward(forward.clone())),
        Question::Status => methods::call(&PeerRequest::Status),
        Question::Members => methods::call(&PeerRequest::Members),
        Question::Errand { sender_id, errand } => methods::call(&PeerRequest::Errand {
            sender_id: *sender_id,
            errand: errand.clone(),
        }),
        Question::Do(errand) => administered(errand),
        Question::Read { query, stale } => {
            let mut options = Struct::default();
            options.insert("stale", Value::Bool(*stale));
            match query {
                Query::State => encode_call("game.state", &[options.into()]),
                Query::Board => encode_call("game.board", &[]),
                Query::Get(key) => encode_call("kv.get", &[key.as_str().into(), options.into()]),
                Query::List { prefix, after } => {
                    if let Some(after) = after {
                        options.insert("after", after.as_str());
                    }
                    encode_call("kv.list", &[prefix.as_str().into(), options.into()])
                }
            }
        }
        Question::Write(command) => written(command),
        Question::Attack(player) => encode_call("game.attack", &[number(*player)]),
        Question::Submit(command) => encode_call(
            "submit_rpc",
            &[
                command.client.as_str().into(),
                number(command.serial),
                // Any text arrives as bytes.
                Value::Base64(command.text.as_bytes().to_vec()),
            ],
        ),
    };
    let again = methods::read(&document);
    assert_eq!(again.1, by_peers);
    match again.0 {
        Ok(Asked::Question(again)) => assert_eq!(again, question),
        other => panic!("{question:?} arrives as {other:?}"),
    }
}

/// A change or a transfer, as a client asks for it.
/// A write to the store, as a client sends it.
fn written(command: &Command) -> Vec<u8> {
    let operation = Operation::parse(&command.text).expect("a write is an operation");
    let (method, mut operands) = match operation {
        Operation::Put(key, value) => ("kv.put", vec![key.into(), value.into()]),
        Operation::Delete(key) => ("kv.delete", vec![key.into()]),
        Operation::Cas(key, expected, new) => {
            let expected = match expected {
                Expected::Absent => Value::Nil,
                Expected::Is(value) => value.into(),
                // What it was cannot be told from its digest.
                Expected::Digest(_) => Value::Int(0),
            };
            ("kv.cas", vec![key.into(), expected, new.into()])
        }
        Operation::Append(key, value) => ("kv.append", vec![key.into(), value.into()]),
        Operation::Incr(key) => ("kv.incr", vec![key.into()]),
    };
    let mut params = vec![command.client.as_str().into(), number(command.serial)];
    params.append(&mut operands);
    encode_call(method, &params)
}

fn administered(errand: &Errand) -> Vec<u8> {
    let ids = |ids: &BTreeSet<u64>| Value::Array(ids.iter().map(|&id| number(id)).collect());
    match errand {
        Errand::Transfer(None) => encode_call("cluster.transfer", &[]),
        Errand::Transfer(Some(to)) => encode_call("cluster.transfer", &[number(*to)]),
        Errand::Change(change) if !change.add.is_empty() => {
            let member = |(&id, (name, address)): (&u64, &(String, String))| {
                let mut member = Struct::default();
                member.insert("id", number(id));
                member.insert("name", Value::from(name.as_str()));
                member.insert("address", Value::from(address.as_str()));
                Value::Struct(member)
            };
            let added = change.add.iter().map(member);
            encode_call("cluster.add", &[Value::Array(added.collect())])
        }
        Errand::Change(change) if change.promote.is_empty() => {
            encode_call("cluster.remove", &[ids(&change.remove)])
        }
        Errand::Change(change) => {
            let params = [ids(&change.promote), ids(&change.remove)];
            encode_call("cluster.promote", &params)
        }
        Errand::Read => panic!("no client can ask for it"),
    }
}

/// Entries that were accepted fit into what the core counts for them.
fn counted(request: &AppendEntries) {
    let size = |request: &AppendEntries| {
        let request = Request::AppendEntries(request.clone());
        methods::call(&PeerRequest::Raft(request)).len()
    };
    let empty = AppendEntries {
        entries: Vec::new(),
        ..request.clone()
    };
    let counted: usize = request
        .entries
        .iter()
        .map(|entry| entry.encoded_len())
        .sum();
    assert!(size(request) - size(&empty) <= counted);
}

/// The value as a peer's reply of each kind, and as what a client is told.
fn replied(value: &Value) {
    for kind in [
        ReplyKind::AppendEntries,
        ReplyKind::RequestVote,
        ReplyKind::InstallSnapshot,
        ReplyKind::TimeoutNow,
        ReplyKind::Forward,
        ReplyKind::Status,
        ReplyKind::Members,
        ReplyKind::Errand,
    ] {
        let reply = match methods::decode_reply(kind, value) {
            Ok(reply) => reply,
            Err(fault) => {
                refused(&fault, &[Fault::WRONG_PARAMETERS]);
                continue;
            }
        };
        let response = match reply.clone() {
            PeerReply::Raft(reply) => {
                let right = match &reply {
                    Reply::AppendEntries(_) => ReplyKind::AppendEntries,
                    Reply::RequestVote(_) => ReplyKind::RequestVote,
                    Reply::InstallSnapshot(_) => ReplyKind::InstallSnapshot,
                    Reply::TimeoutNow(_) => ReplyKind::TimeoutNow,
                };
                assert_eq!(right, kind);
                Response::Raft(reply)
            }
            PeerReply::Forward(reply) => Response::Forward(reply),
            PeerReply::Status(status) => Response::Status(status),
            PeerReply::Members(members) => Response::Members(members),
            PeerReply::Errand(reply) => Response::Errand(reply),
        };
        let value = read_back(&methods::write(Ok(response)));
        assert_eq!(methods::decode_reply(kind, &value), Ok(reply));
    }
    match codec::decode_answer(value) {
        Ok(answer) => {
            let value = read_back(&methods::write(Ok(Response::Applied(answer.clone()))));
            assert_eq!(codec::decode_answer(&value), Ok(answer));
        }
        Err(fault) => refused(&fault, &[Fault::WRONG_PARAMETERS]),
    }
    // What `raftian status --json` prints.
    let json = value.to_json().to_string();
    assert!(!json.contains('\n'));
}

fn read_back(document: &[u8]) -> Value {
    match decode_response(document) {
        Ok(Ok(value)) => value,
        other => panic!("what was written is read as {other:?}"),
    }
}

/// A fault with one of these codes, that says something and can be sent.
fn refused(fault: &Fault, codes: &[i32]) {
    assert!(codes.contains(&fault.code), "{fault}");
    assert!(
        !fault.message.is_empty() && fault.message.len() <= MAX_MESSAGE,
        "{fault}"
    );
    let document = encode_response(&Err(fault.clone()));
    assert_eq!(decode_response(&document).as_ref(), Ok(&Err(fault.clone())));
}

fn number(number: u64) -> Value {
    Value::try_from(number).expect("it came as a signed number")
}
