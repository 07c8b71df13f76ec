//! The methods that a node answers: their names, their help, and what they ask of the node.
//!
//! [`read()`] turns a document into a [`Question`] for the driver, [`write()`] turns the driver's
//! answer into a document. Both are plain functions of bytes, so that the simulator sends exactly
//! what a real node sends. The same for the other direction: [`call`] and [`decode_reply`] are a
//! peer's call and its answer.

use crate::command::Command;
use crate::node::event::{PeerReply, PeerRequest, Question, Refusal, Response};
use crate::raft::{Reply, Request};

use super::codec::{self, decode_number, decode_text, wrong};
use super::value::{Call, Fault, Value};
use super::xml;

/// One method, as `system.*` describe it.
struct Method {
    name: &'static str,
    /// Result first, then the parameters.
    signature: &'static [&'static str],
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
        signature: &["struct", "struct"],
        help: "Raft's AppendEntries (figure 2 of the paper), for nodes only. \
               {term, leader_id, prev_log_index, prev_log_term, entries, leader_commit} gives \
               {term, success} and match_index on success, conflict_index and conflict_term \
               otherwise. An entry is {index, term, client, serial, command}; a leader's no-op \
               is {index, term}.",
        by_peers: true,
        read: |params| {
            let [request] = parameters(params)?;
            let request = codec::decode_append_entries(request)?;
            Ok(question(Question::Raft(Request::AppendEntries(request))))
        },
    },
    Method {
        name: "request_vote_rpc",
        signature: &["struct", "struct"],
        help: "Raft's RequestVote (figure 2 of the paper), for nodes only. \
               {term, candidate_id, last_log_index, last_log_term} gives {term, vote_granted}. \
               With pre_vote it is asked only whether there would be a vote.",
        by_peers: true,
        read: |params| {
            let [request] = parameters(params)?;
            let request = codec::decode_request_vote(request)?;
            Ok(question(Question::Raft(Request::RequestVote(request))))
        },
    },
    Method {
        name: "install_snapshot_rpc",
        signature: &["struct", "struct"],
        help: "Raft's InstallSnapshot (figure 13 of the paper), for nodes only. \
               {term, leader_id, last_included_index, last_included_term, offset, data, done} \
               gives {term, installed} and, while parts are missing, next_offset. data is base64.",
        by_peers: true,
        read: |params| {
            let [request] = parameters(params)?;
            let request = codec::decode_install_snapshot(request)?;
            Ok(question(Question::Raft(Request::InstallSnapshot(request))))
        },
    },
    Method {
        name: "forward_rpc",
        signature: &["struct", "struct"],
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
        name: "submit_rpc",
        signature: &["struct", "string", "int", "string"],
        help: "submit_rpc(client, serial, command): applies a command, such as \"attack 3\", \
               exactly once, and returns {index, term, outcome} when it is applied. client is a \
               name of your own, 1 to 64 characters; serial numbers your commands. Sent again \
               with the same client and serial it is not applied again and gets the first \
               answer. After 5 s: a fault, outcome unknown; repeat with the same client and \
               serial.",
        by_peers: false,
        read: |params| {
            let [client, serial, command] = parameters(params)?;
            let Value::String(client) = client else {
                return Err(wrong("client: a string is wanted"));
            };
            let serial = decode_number(serial, "serial")?;
            let command = Command::new(client, serial, decode_text(command)?)
                .map_err(|error| wrong(error.to_string()))?;
            Ok(question(Question::Submit(command)))
        },
    },
    Method {
        name: "game.attack",
        signature: &["struct", "int"],
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
        signature: &["struct"],
        help: "game.state(): the board as this node has it: {players: [{id, name, hp, alive}], \
               index, digest}. index is the last entry applied, digest identifies the whole \
               history up to it.",
        by_peers: false,
        read: |params| {
            let [] = parameters(params)?;
            Ok(question(Question::State))
        },
    },
    Method {
        name: "cluster.status",
        signature: &["struct"],
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
        name: "system.listMethods",
        signature: &["array"],
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
        signature: &["string", "string"],
        help: "system.methodHelp(name): what a method does.",
        by_peers: false,
        read: |params| {
            let [name] = parameters(params)?;
            Ok(Asked::Known(string(named(name)?.help)))
        },
    },
    Method {
        name: "system.methodSignature",
        signature: &["array", "string"],
        help: "system.methodSignature(name): the method's signatures, each an array of type \
               names: the result's, then the parameters'.",
        by_peers: false,
        read: |params| {
            let [name] = parameters(params)?;
            let types = named(name)?.signature.iter().map(|name| string(name));
            let signature = Value::Array(types.collect());
            Ok(Asked::Known(Value::Array(vec![signature])))
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
        PeerRequest::Forward(forward) => ("forward_rpc", vec![codec::forward(forward)]),
        PeerRequest::Status => ("cluster.status", vec![]),
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
    /// To a forward.
    Forward,
    /// To a status call.
    Status,
}

impl ReplyKind {
    /// The kind that answers this request.
    pub fn of(request: &PeerRequest) -> ReplyKind {
        match request {
            PeerRequest::Raft(Request::AppendEntries(_)) => ReplyKind::AppendEntries,
            PeerRequest::Raft(Request::RequestVote(_)) => ReplyKind::RequestVote,
            PeerRequest::Raft(Request::InstallSnapshot(_)) => ReplyKind::InstallSnapshot,
            PeerRequest::Forward(_) => ReplyKind::Forward,
            PeerRequest::Status => ReplyKind::Status,
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
        ReplyKind::Forward => PeerReply::Forward(codec::decode_forward_reply(value)?),
        ReplyKind::Status => PeerReply::Status(codec::decode_status(value)?),
    })
}

fn response(response: Response) -> Value {
    match response {
        Response::Raft(Reply::AppendEntries(reply)) => codec::append_entries_reply(&reply),
        Response::Raft(Reply::RequestVote(reply)) => codec::request_vote_reply(&reply),
        Response::Raft(Reply::InstallSnapshot(reply)) => codec::install_snapshot_reply(&reply),
        Response::Forward(reply) => codec::forward_reply(&reply),
        Response::Applied(answer) => codec::answer(&answer),
        Response::State(state) => codec::state(&state),
        Response::Status(status) => codec::status(&status),
    }
}

fn fault(refusal: Refusal) -> Fault {
    let code = match &refusal {
        Refusal::Invalid(_) => Fault::WRONG_PARAMETERS,
        Refusal::Rejected(_)
        | Refusal::NoLeader
        | Refusal::OutcomeUnknown
        | Refusal::SerialTooOld
        | Refusal::Full
        | Refusal::DiskFull => Fault::APPLICATION,
    };
    Fault::new(code, refusal.to_string())
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
