//! The methods that a node answers: their names, their help, and what they ask of the node.
//!
//! [`read()`] turns a document into a [`Question`] for the driver, [`write()`] turns the driver's
//! answer into a document. Both are plain functions of bytes, so that the simulator sends exactly
//! what a real node sends. The same for the other direction: [`call`] and [`decode_reply`] are a
//! peer's call and its answer.

use crate::command::Command;
use crate::kv::{Expected, Operation};
use crate::node::event::{Errand, PeerReply, PeerRequest, Query, Question, Refusal, Response};
use crate::raft::{Change, Reply, Request};

use super::codec::{self, decode_number, decode_text, wrong};
use super::value::{Call, Fault, Value};
use super::xml;

/// One method, as `system.*` describe it.
struct Method {
    name: &'static str,
    /// Each with the result first, then the parameters.
    signatures: &'static [&'static [&'static str]],
    help: &'static str,
    /// Whether only nodes call it.
    by_peers: bool,
    read: fn(&[Value]) -> Result<Asked, Fault>,
}

/// What a document asks for.
#[derive(Debug)]
pub enum Asked {
    /// Something that the driver must answer.
    Question(Question),
    /// Something about the methods themselves: the answer is here.
    Known(Value),
}

const METHODS: &[Method] = &[
    Method {
        name: "append_entries_rpc",
        signatures: &[&["struct", "struct"]],
        help: "Raft's AppendEntries (figure 2 of the paper), for nodes only. \
               {term, leader_id, prev_log_index, prev_log_term, entries, leader_commit} gives \
               {term, success} and match_index on success, conflict_index and conflict_term \
               otherwise. An entry is {index, term, client, serial, command}; a leader's no-op \
               is {index, term}, with founding in the very first; a change of the members is \
               {index, term, members}.",
        by_peers: true,
        read: |params| {
            let [request] = parameters(params)?;
            let request = codec::decode_append_entries(request)?;
            Ok(question(Question::Raft(Request::AppendEntries(request))))
        },
    },
    Method {
        name: "request_vote_rpc",
        signatures: &[&["struct", "struct"]],
        help: "Raft's RequestVote (figure 2 of the paper), for nodes only. \
               {term, candidate_id, last_log_index, last_log_term} gives {term, vote_granted}. \
               With pre_vote it is asked only whether there would be a vote; with transfer the \
               leader has asked for this election.",
        by_peers: true,
        read: |params| {
            let [request] = parameters(params)?;
            let request = codec::decode_request_vote(request)?;
            Ok(question(Question::Raft(Request::RequestVote(request))))
        },
    },
    Method {
        name: "install_snapshot_rpc",
        signatures: &[&["struct", "struct"]],
        help: "Raft's InstallSnapshot (figure 13 of the paper), for nodes only. \
               {term, leader_id, last_included_index, last_included_term, configuration, offset, \
               data, done} gives {term, installed} and, while parts are missing, next_offset. data is base64.",
        by_peers: true,
        read: |params| {
            let [request] = parameters(params)?;
            let request = codec::decode_install_snapshot(request)?;
            Ok(question(Question::Raft(Request::InstallSnapshot(request))))
        },
    },
    Method {
        name: "forward_rpc",
        signatures: &[&["struct", "struct"]],
        help: "A follower's commands for the leader, for nodes only. \
               {sender_id, commands: [{client, serial, command}]} gives {term, index}, the place \
               of the first one in the leader's log, or {leader} when nothing was appended.",
        by_peers: true,
        read: |params| {
            let [forward] = parameters(params)?;
            Ok(question(Question::Forward(codec::decode_forward(forward)?)))
        },
    },
    Method {
        name: "timeout_now_rpc",
        signatures: &[&["struct", "struct"]],
        help: "Leadership transfer (section 3.10 of the dissertation), for nodes only: start an \
               election at once. {term, leader_id} gives {term, campaigns}.",
        by_peers: true,
        read: |params| {
            let [request] = parameters(params)?;
            let request = codec::decode_timeout_now(request)?;
            Ok(question(Question::Raft(Request::TimeoutNow(request))))
        },
    },
    Method {
        name: "errand_rpc",
        signatures: &[&["struct", "struct"]],
        help: "What a follower asks of the leader on a client's behalf and what is no command, for \
               nodes only. {sender_id, errand} with errand \"change\" (and add, promote, remove), \
               \"transfer\" (and to) or \"read\" gives {term, index}, {term}, or {read_index}; \
               {leader} where this node does not lead, {refused} where it cannot be done.",
        by_peers: true,
        read: |params| {
            let [errand] = parameters(params)?;
            let (sender_id, errand) = codec::decode_errand(errand)?;
            Ok(question(Question::Errand { sender_id, errand }))
        },
    },
    Method {
        name: "submit_rpc",
        signatures: &[&["struct", "string", "int", "string"]],
        help: "submit_rpc(client, serial, command): applies a command, such as \"attack 3\", \
               exactly once, and returns {index, term, outcome} when it is applied. client is a \
               name of your own, 1 to 64 characters; serial numbers your commands. Sent again \
               with the same client and serial it is not applied again and gets the first \
               answer. After 5 s: a fault, outcome unknown; repeat with the same client and \
               serial.",
        by_peers: false,
        read: |params| {
            let [client, serial, text] = parameters(params)?;
            let command = command(client, serial, decode_text(text)?)?;
            Ok(question(Question::Submit(command)))
        },
    },
    Method {
        name: "game.attack",
        signatures: &[&["struct", "int"]],
        help: "game.attack(player): attacks a player in this node's name and returns \
               {index, term, outcome} when it is applied. Not exactly once: a library that sends \
               a request again when the reply is lost, as Python's xmlrpc.client does, attacks \
               twice. Use submit_rpc where that matters.",
        by_peers: false,
        read: |params| {
            let [player] = parameters(params)?;
            Ok(question(Question::Attack(decode_number(player, "player")?)))
        },
    },
    Method {
        name: "game.state",
        signatures: &[&["struct"], &["struct", "struct"]],
        help: "game.state(): the board as this node has it: {players: [{id, name, hp, alive}], \
               index, digest}. index is the last entry applied, digest identifies the whole \
               history up to it. game.state({\"stale\": \
               false}) is linearizable: it shows all that was applied anywhere before it was \
               asked; it waits for a majority, at most 5 s.",
        by_peers: false,
        read: |params| {
            let stale = match params {
                [] => true,
                _ => {
                    let [options] = parameters(params)?;
                    codec::decode_stale(options, true)?
                }
            };
            Ok(read_of(Query::State, stale))
        },
    },
    Method {
        name: "game.board",
        signatures: &[&["struct"]],
        help: "game.board(): who stands where, as this node has it: {size, players: [{id, name, \
               square}], ruins: [{id, name, square}], index, digest}. A square is [column, row], \
               both from 0 to size - 1. A ruin is what is left of a player who has left for good.",
        by_peers: false,
        read: |params| {
            let [] = parameters(params)?;
            Ok(read_of(Query::Board, true))
        },
    },
    Method {
        name: "kv.put",
        signatures: &[
            &["boolean", "string", "int", "string", "string"],
            &["boolean", "string", "int", "string", "int"],
            &["boolean", "string", "int", "string", "base64"],
        ],
        help: "kv.put(client, serial, key, value): the key has this value, which is a string, an \
               integer or base64, of at most 256 KiB; a key has 1 to 1024 bytes. Returns true. \
               client and serial are those of submit_rpc, for all that write: sent again with the \
               same ones, nothing is written twice, and the first answer comes again. Only where \
               machine is \"kv\", like all of kv.*.",
        by_peers: false,
        read: |params| {
            let [client, serial, key, value] = parameters(params)?;
            let operation = Operation::Put(
                codec::decode_key(key)?,
                codec::decode_datum(value, "value")?,
            );
            write_of(client, serial, &operation)
        },
    },
    Method {
        name: "kv.get",
        signatures: &[
            &["string", "string"],
            &["int", "string"],
            &["base64", "string"],
            &["nil", "string"],
            &["string", "string", "struct"],
        ],
        help: "kv.get(key): the key's value, of the type that was put, or nil where there is none. \
               It is linearizable: it shows all that was applied anywhere before it was asked; it \
               waits for a majority, at most 5 s. kv.get(key, {\"stale\": true}) is what this node \
               has, which may be behind, at once.",
        by_peers: false,
        read: |params| {
            let (key, stale) = match params {
                [key, options] => (key, codec::decode_stale(options, false)?),
                _ => {
                    let [key] = parameters(params)?;
                    (key, false)
                }
            };
            Ok(read_of(Query::Get(codec::decode_key(key)?), stale))
        },
    },
    Method {
        name: "kv.delete",
        signatures: &[&["boolean", "string", "int", "string"]],
        help: "kv.delete(client, serial, key): the key has no value. Returns whether it had one.",
        by_peers: false,
        read: |params| {
            let [client, serial, key] = parameters(params)?;
            let operation = Operation::Delete(codec::decode_key(key)?);
            write_of(client, serial, &operation)
        },
    },
    Method {
        name: "kv.cas",
        signatures: &[
            &["boolean", "string", "int", "string", "string", "string"],
            &["boolean", "string", "int", "string", "int", "int"],
            &["boolean", "string", "int", "string", "base64", "base64"],
            &["boolean", "string", "int", "string", "nil", "string"],
        ],
        help: "kv.cas(client, serial, key, expected, new): the key has the value new if it has the \
               value expected, of the same type, or, where expected is nil, if it has none. Returns \
               whether it was so.",
        by_peers: false,
        read: |params| {
            let [client, serial, key, expected, new] = parameters(params)?;
            let expected = match expected {
                Value::Nil => None,
                value => Some(codec::decode_datum(value, "expected")?),
            };
            let operation = Operation::Cas(
                codec::decode_key(key)?,
                Expected::of(expected),
                codec::decode_datum(new, "new")?,
            );
            write_of(client, serial, &operation)
        },
    },
    Method {
        name: "kv.append",
        signatures: &[
            &["int", "string", "int", "string", "string"],
            &["int", "string", "int", "string", "base64"],
        ],
        help: "kv.append(client, serial, key, value): a string goes to the end of a string, base64 \
               to that of base64; where there is nothing, it is put. Returns the new length in \
               bytes.",
        by_peers: false,
        read: |params| {
            let [client, serial, key, value] = parameters(params)?;
            let operation = Operation::Append(
                codec::decode_key(key)?,
                codec::decode_datum(value, "value")?,
            );
            write_of(client, serial, &operation)
        },
    },
    Method {
        name: "kv.incr",
        signatures: &[&["int", "string", "int", "string"]],
        help: "kv.incr(client, serial, key): adds one to an integer of 64 bits; where there is \
               nothing, it becomes 1. Returns the new number.",
        by_peers: false,
        read: |params| {
            let [client, serial, key] = parameters(params)?;
            let operation = Operation::Incr(codec::decode_key(key)?);
            write_of(client, serial, &operation)
        },
    },
    Method {
        name: "kv.list",
        signatures: &[&["array", "string"], &["array", "string", "struct"]],
        help: "kv.list(prefix): the keys that begin with prefix, in order, at most 1000 of them and \
               128 KiB. kv.list(prefix, {\"after\": key}) is those after that one: the rest of a \
               long list. Linearizable, and with {\"stale\": true} not, like kv.get.",
        by_peers: false,
        read: |params| {
            let (prefix, stale, after) = match params {
                [prefix, options] => (
                    prefix,
                    codec::decode_stale(options, false)?,
                    codec::decode_after(options)?,
                ),
                _ => {
                    let [prefix] = parameters(params)?;
                    (prefix, false, None)
                }
            };
            let prefix = codec::decode_prefix(prefix)?;
            Ok(read_of(Query::List { prefix, after }, stale))
        },
    },
    Method {
        name: "cluster.status",
        signatures: &[&["struct"]],
        help: "cluster.status(): how this node stands: {id, name, role, term, leader, \
               commit_index, last_applied, last_index, digest, peers: [{id, name, address, \
               match_index, next_index, rtt_ms}]}. leader is nil while none is known; \
               match_index and next_index are nil unless this node leads.",
        by_peers: false,
        read: |params| {
            let [] = parameters(params)?;
            Ok(question(Question::Status))
        },
    },
    Method {
        name: "cluster.members",
        signatures: &[&["struct"]],
        help: "cluster.members(): who belongs to the cluster, as this node knows it: {cluster, machine, id, \
               leader, term, index, committed, joint, members: [{id, name, address, standing, \
               match_index}], heartbeat_ms, election_timeout_ms, snapshot_entries}. standing is \
               voter, learner, or, while voters change, incoming or outgoing.",
        by_peers: false,
        read: |params| {
            let [] = parameters(params)?;
            Ok(question(Question::Members))
        },
    },
    Method {
        name: "cluster.add",
        signatures: &[
            &["struct", "array"],
            &["struct", "struct"],
            &["struct", "int", "string", "string"],
        ],
        help: "cluster.add([{id, name, address}, ...]), or one such struct, or cluster.add(id, \
               name, address): makes nodes members, all or none. They begin as learners, which \
               get the log and do not vote. Returns cluster.members() when it is done. Not \
               exactly once: sent again, it is refused, because they are members already.",
        by_peers: false,
        read: |params| change(codec::decode_added(params)?, &[], &[]),
    },
    Method {
        name: "cluster.promote",
        signatures: &[
            &["struct", "int"],
            &["struct", "array"],
            &["struct", "array", "array"],
        ],
        help: "cluster.promote(id), or cluster.promote([ids]): makes learners voters, once they \
               have caught up. cluster.promote([ids], [others]) removes others in the same step: \
               a replacement. Returns cluster.members() when it is done.",
        by_peers: false,
        read: |params| match params {
            [ids, others] => change(
                Default::default(),
                &codec::decode_ids(ids)?,
                &codec::decode_ids(others)?,
            ),
            _ => {
                let [ids] = parameters(params)?;
                change(Default::default(), &codec::decode_ids(ids)?, &[])
            }
        },
    },
    Method {
        name: "cluster.remove",
        signatures: &[&["struct", "int"], &["struct", "array"]],
        help: "cluster.remove(id), or cluster.remove([ids]): members leave, all or none. The last \
               voter cannot. Returns cluster.members() when it is done.",
        by_peers: false,
        read: |params| {
            let [ids] = parameters(params)?;
            change(Default::default(), &[], &codec::decode_ids(ids)?)
        },
    },
    Method {
        name: "cluster.transfer",
        signatures: &[&["struct"], &["struct", "int"]],
        help: "cluster.transfer(id): hands the leadership over to that voter; cluster.transfer(): \
               to whoever lags behind least. Returns {leader, term} when another node leads.",
        by_peers: false,
        read: |params| {
            let to = match params {
                [] => None,
                _ => {
                    let [to] = parameters(params)?;
                    Some(decode_number(to, "id")?)
                }
            };
            Ok(question(Question::Do(Errand::Transfer(to))))
        },
    },
    Method {
        name: "system.listMethods",
        signatures: &[&["array"]],
        help: "system.listMethods(): the names of all methods.",
        by_peers: false,
        read: |params| {
            let [] = parameters(params)?;
            let names = METHODS.iter().map(|method| string(method.name));
            Ok(Asked::Known(Value::Array(names.collect())))
        },
    },
    Method {
        name: "system.methodHelp",
        signatures: &[&["string", "string"]],
        help: "system.methodHelp(name): what a method does.",
        by_peers: false,
        read: |params| {
            let [name] = parameters(params)?;
            Ok(Asked::Known(string(named(name)?.help)))
        },
    },
    Method {
        name: "system.methodSignature",
        signatures: &[&["array", "string"]],
        help: "system.methodSignature(name): the method's signatures, each an array of type \
               names: the result's, then the parameters'.",
        by_peers: false,
        read: |params| {
            let [name] = parameters(params)?;
            let types = |types: &&[&str]| types.iter().map(|name| string(name)).collect();
            let signatures = named(name)?.signatures.iter();
            let signatures = signatures.map(|signature| Value::Array(types(signature)));
            Ok(Asked::Known(Value::Array(signatures.collect())))
        },
    },
];

/// Reads a request's body. The flag says whether it is a call that only nodes make.
pub fn read(body: &[u8]) -> (Result<Asked, Fault>, bool) {
    let Call { method, params } = match xml::decode_call(body) {
        Ok(call) => call,
        Err(fault) => return (Err(fault), false),
    };
    match METHODS.iter().find(|known| known.name == method) {
        Some(method) => ((method.read)(&params), method.by_peers),
        None => {
            let message = format!(
                "there is no method {:?}, system.listMethods names them all",
                method.chars().take(64).collect::<String>()
            );
            (Err(Fault::new(Fault::NO_SUCH_METHOD, message)), false)
        }
    }
}

/// Writes the body of the answer.
pub fn write(answer: Result<Response, Refusal>) -> Vec<u8> {
    xml::encode_response(&answer.map(response).map_err(fault))
}

/// The body of a call to a peer.
pub fn call(request: &PeerRequest) -> Vec<u8> {
    let (method, params) = method_and_params(request);
    xml::encode_call(method, &params)
}

/// Which method a request is, and with what.
pub fn method_and_params(request: &PeerRequest) -> (&'static str, Vec<Value>) {
    match request {
        PeerRequest::Raft(Request::AppendEntries(request)) => {
            ("append_entries_rpc", vec![codec::append_entries(request)])
        }
        PeerRequest::Raft(Request::RequestVote(request)) => {
            ("request_vote_rpc", vec![codec::request_vote(request)])
        }
        PeerRequest::Raft(Request::InstallSnapshot(request)) => (
            "install_snapshot_rpc",
            vec![codec::install_snapshot(request)],
        ),
        PeerRequest::Raft(Request::TimeoutNow(request)) => {
            ("timeout_now_rpc", vec![codec::timeout_now(request)])
        }
        PeerRequest::Forward(forward) => ("forward_rpc", vec![codec::forward(forward)]),
        PeerRequest::Errand { sender_id, errand } => {
            ("errand_rpc", vec![codec::errand(*sender_id, errand)])
        }
        PeerRequest::Status => ("cluster.status", vec![]),
        PeerRequest::Members => ("cluster.members", vec![]),
    }
}

/// Which of the answers a peer may give to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReplyKind {
    /// To AppendEntries.
    AppendEntries,
    /// To RequestVote.
    RequestVote,
    /// To InstallSnapshot.
    InstallSnapshot,
    /// To TimeoutNow.
    TimeoutNow,
    /// To a forward.
    Forward,
    /// To a status call.
    Status,
    /// To a question about the members.
    Members,
    /// To an errand.
    Errand,
}

impl ReplyKind {
    /// The kind that answers this request.
    pub fn of(request: &PeerRequest) -> ReplyKind {
        match request {
            PeerRequest::Raft(Request::AppendEntries(_)) => ReplyKind::AppendEntries,
            PeerRequest::Raft(Request::RequestVote(_)) => ReplyKind::RequestVote,
            PeerRequest::Raft(Request::InstallSnapshot(_)) => ReplyKind::InstallSnapshot,
            PeerRequest::Raft(Request::TimeoutNow(_)) => ReplyKind::TimeoutNow,
            PeerRequest::Forward(_) => ReplyKind::Forward,
            PeerRequest::Status => ReplyKind::Status,
            PeerRequest::Members => ReplyKind::Members,
            PeerRequest::Errand { .. } => ReplyKind::Errand,
        }
    }
}

/// What a peer answered to a request of that kind.
pub fn decode_reply(kind: ReplyKind, value: &Value) -> Result<PeerReply, Fault> {
    Ok(match kind {
        ReplyKind::AppendEntries => PeerReply::Raft(Reply::AppendEntries(
            codec::decode_append_entries_reply(value)?,
        )),
        ReplyKind::RequestVote => {
            PeerReply::Raft(Reply::RequestVote(codec::decode_request_vote_reply(value)?))
        }
        ReplyKind::InstallSnapshot => PeerReply::Raft(Reply::InstallSnapshot(
            codec::decode_install_snapshot_reply(value)?,
        )),
        ReplyKind::TimeoutNow => {
            PeerReply::Raft(Reply::TimeoutNow(codec::decode_timeout_now_reply(value)?))
        }
        ReplyKind::Members => PeerReply::Members(codec::decode_members(value)?),
        ReplyKind::Errand => PeerReply::Errand(codec::decode_errand_reply(value)?),
        ReplyKind::Forward => PeerReply::Forward(codec::decode_forward_reply(value)?),
        ReplyKind::Status => PeerReply::Status(codec::decode_status(value)?),
    })
}

fn response(response: Response) -> Value {
    match response {
        Response::Raft(Reply::AppendEntries(reply)) => codec::append_entries_reply(&reply),
        Response::Raft(Reply::RequestVote(reply)) => codec::request_vote_reply(&reply),
        Response::Raft(Reply::InstallSnapshot(reply)) => codec::install_snapshot_reply(&reply),
        Response::Raft(Reply::TimeoutNow(reply)) => codec::timeout_now_reply(&reply),
        Response::Members(members) => codec::members(&members),
        Response::Leads { leader, term } => codec::leads(leader, term),
        Response::Errand(reply) => codec::errand_reply(&reply),
        Response::Forward(reply) => codec::forward_reply(&reply),
        Response::Applied(answer) => codec::answer(&answer),
        Response::State(state) => codec::state(&state),
        Response::Board(state) => codec::board(&state),
        Response::Value(value) => value.into(),
        Response::Keys(keys) => {
            let keys: Vec<Value> = keys.into_iter().map(Value::from).collect();
            keys.into()
        }
        Response::Written(outcome) => codec::written(&outcome),
        Response::Status(status) => codec::status(&status),
    }
}

fn fault(refusal: Refusal) -> Fault {
    let code = match &refusal {
        Refusal::Invalid(_) => Fault::WRONG_PARAMETERS,
        Refusal::OtherMachine(_) => Fault::NO_SUCH_METHOD,
        Refusal::Rejected(_)
        | Refusal::NoLeader
        | Refusal::OutcomeUnknown
        | Refusal::SerialTooOld
        | Refusal::Full
        | Refusal::NotDone(_)
        | Refusal::ChangeUnknown
        | Refusal::NotConfirmed
        | Refusal::DiskFull => Fault::APPLICATION,
    };
    Fault::new(code, refusal.to_string())
}

/// A change of the members.
fn change(add: codec::Added, promote: &[u64], remove: &[u64]) -> Result<Asked, Fault> {
    let change = Change {
        add,
        promote: promote.iter().copied().collect(),
        remove: remove.iter().copied().collect(),
    };
    Ok(question(Question::Do(Errand::Change(change))))
}

/// A write to the store.
fn write_of(client: &Value, serial: &Value, operation: &Operation) -> Result<Asked, Fault> {
    let command = command(client, serial, operation.to_string())?;
    Ok(question(Question::Write(command)))
}

/// A client's command.
fn command(client: &Value, serial: &Value, text: String) -> Result<Command, Fault> {
    let Value::String(client) = client else {
        return Err(wrong("client: a string is wanted"));
    };
    let serial = decode_number(serial, "serial")?;
    Command::new(client, serial, text).map_err(|error| wrong(error.to_string()))
}

fn read_of(query: Query, stale: bool) -> Asked {
    question(Question::Read { query, stale })
}

fn question(question: Question) -> Asked {
    Asked::Question(question)
}

fn string(text: &str) -> Value {
    Value::String(text.to_string())
}

/// Exactly so many parameters.
fn parameters<const N: usize>(params: &[Value]) -> Result<&[Value; N], Fault> {
    params
        .try_into()
        .map_err(|_| wrong(format!("parameters: {N} wanted, {} came", params.len())))
}

fn named(name: &Value) -> Result<&'static Method, Fault> {
    METHODS
        .iter()
        .find(|method| matches!(name, Value::String(name) if name == method.name))
        .ok_or_else(|| wrong("there is no method of that name, system.listMethods names them all"))
}
