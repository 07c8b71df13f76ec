//! What nodes say to each other, as XML-RPC values.
//!
//! One pair of functions for each message, with the paper's field names. Encoding cannot fail: the
//! core's numbers fit an XML-RPC integer and a [`Command`] is within its limits. Decoding trusts
//! nothing: a member that is missing, of another type or out of range is fault -32602 that names
//! it. Members that are not known are ignored, so that a later version may add some.
//!
//! The size of a document is bounded by [`MAX_BATCH_ENTRIES`], [`MAX_BATCH_BYTES`] and
//! [`MAX_PART_BYTES`], which the core is told: what a leader sends, a follower's limits accept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::application::Kind;
use crate::command::Command;
use crate::config::parse_address;
use crate::game::{BOARD_SIZE, Player, Ruin};
use crate::kv::{Datum, MAX_KEY_BYTES, Outcome, check_key};
use crate::machine::Answer;
use crate::node::event::{
    Errand, ErrandReply, Forward, ForwardReply, MemberStatus, Members as MembersOf, State,
};
use crate::raft::configuration::{MAX_CONFIGURATION_BYTES, MAX_MEMBERS, check_member};
use crate::raft::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Change, Configuration, Entry, InstallOutcome,
    InstallSnapshot, InstallSnapshotReply, NodeId, Payload, RequestVote, RequestVoteReply,
    RoleName, Standing, TimeoutNow, TimeoutNowReply,
};
use crate::status::{PeerStatus, Status};

use super::client;
use super::value::{Fault, Struct, Value};

/// Most entries in one AppendEntries. An entry is six values (the struct, index, term, client,
/// serial, command), and a document may have 10,000.
pub const MAX_BATCH_ENTRIES: usize = 1_600;
const _: () = assert!(MAX_BATCH_ENTRIES * 6 + 16 <= 10_000);

/// Most bytes of encoded entries in one AppendEntries, where it has more than one entry. With the
/// frame around it the body stays below 1 MiB.
pub const MAX_BATCH_BYTES: usize = 512 * 1024;

/// The longest command as base64, its client in full and a frame fit into one body.
const _: () = assert!(crate::command::MAX_TEXT_BYTES / 3 * 4 + 4096 < 1 << 20);

/// Most bytes of a snapshot in one InstallSnapshot: as base64 a third of a body, so that a part does
/// not take a slow link for much longer than entries do.
pub const MAX_PART_BYTES: usize = 256 * 1024;

/// The longest value of the store fits into a reply, though each of its characters may be written as
/// five (`&amp;`): `kv.append` makes values that no single request could carry.
const _: () = assert!((crate::kv::MAX_VALUE_BYTES * 5 + 4096) as u64 <= client::MAX_REPLY);

/// A configuration is one value of a document, however many members it has.
const _: () = assert!(MAX_CONFIGURATION_BYTES < MAX_BATCH_BYTES);

type Decoded<T> = Result<T, Fault>;

/// AppendEntries RPC, arguments.
pub fn append_entries(request: &AppendEntries) -> Value {
    record([
        ("term", int(request.term)),
        ("leader_id", int(request.leader_id)),
        ("prev_log_index", int(request.prev_log_index)),
        (
            "prev_log_term",
            int(if planted!(DropPrevLogTerm) {
                request.term
            } else {
                request.prev_log_term
            }),
        ),
        (
            "entries",
            Value::Array(request.entries.iter().map(entry).collect()),
        ),
        ("leader_commit", int(request.leader_commit)),
    ])
}

/// AppendEntries RPC, arguments.
pub fn decode_append_entries(value: &Value) -> Decoded<AppendEntries> {
    let members = Members::of(value)?;
    Ok(AppendEntries {
        term: members.number("term")?,
        leader_id: members.number("leader_id")?,
        prev_log_index: members.number("prev_log_index")?,
        prev_log_term: members.number("prev_log_term")?,
        entries: members
            .array("entries")?
            .iter()
            .map(decode_entry)
            .collect::<Decoded<_>>()?,
        leader_commit: members.number("leader_commit")?,
    })
}

/// AppendEntries RPC, results: `match_index` on success, `conflict_index` and, where the follower
/// has an entry there, `conflict_term` otherwise.
pub fn append_entries_reply(reply: &AppendEntriesReply) -> Value {
    let mut members = Struct::default();
    members.insert("term", int(reply.term));
    match reply.outcome {
        AppendOutcome::Matched(index) => {
            members.insert("success", Value::Bool(true));
            members.insert("match_index", int(index));
        }
        AppendOutcome::Conflict { term, index } => {
            members.insert("success", Value::Bool(false));
            members.insert("conflict_index", int(index));
            if let Some(term) = term {
                members.insert("conflict_term", int(term));
            }
        }
    }
    Value::Struct(members)
}

/// AppendEntries RPC, results.
pub fn decode_append_entries_reply(value: &Value) -> Decoded<AppendEntriesReply> {
    let members = Members::of(value)?;
    let outcome = if members.boolean("success")? {
        AppendOutcome::Matched(members.number("match_index")?)
    } else {
        AppendOutcome::Conflict {
            term: members.optional_number("conflict_term")?,
            index: members.number("conflict_index")?,
        }
    };
    Ok(AppendEntriesReply {
        term: members.number("term")?,
        outcome,
    })
}

/// RequestVote RPC, arguments.
pub fn request_vote(request: &RequestVote) -> Value {
    let mut members = Struct::default();
    members.insert("term", int(request.term));
    members.insert("candidate_id", int(request.candidate_id));
    members.insert("last_log_index", int(request.last_log_index));
    members.insert("last_log_term", int(request.last_log_term));
    if request.pre_vote {
        members.insert("pre_vote", Value::Bool(true));
    }
    if request.transfer {
        members.insert("transfer", Value::Bool(true));
    }
    Value::Struct(members)
}

/// RequestVote RPC, arguments.
pub fn decode_request_vote(value: &Value) -> Decoded<RequestVote> {
    let members = Members::of(value)?;
    Ok(RequestVote {
        term: members.number("term")?,
        candidate_id: members.number("candidate_id")?,
        last_log_index: members.number("last_log_index")?,
        last_log_term: members.number("last_log_term")?,
        pre_vote: members.optional_boolean("pre_vote")?,
        transfer: members.optional_boolean("transfer")?,
    })
}

/// RequestVote RPC, results.
pub fn request_vote_reply(reply: &RequestVoteReply) -> Value {
    record([
        ("term", int(reply.term)),
        ("vote_granted", Value::Bool(reply.vote_granted)),
    ])
}

/// RequestVote RPC, results.
pub fn decode_request_vote_reply(value: &Value) -> Decoded<RequestVoteReply> {
    let members = Members::of(value)?;
    Ok(RequestVoteReply {
        term: members.number("term")?,
        vote_granted: members.boolean("vote_granted")?,
    })
}

/// InstallSnapshot RPC, arguments.
pub fn install_snapshot(request: &InstallSnapshot) -> Value {
    record([
        ("term", int(request.term)),
        ("leader_id", int(request.leader_id)),
        ("last_included_index", int(request.last_included_index)),
        ("last_included_term", int(request.last_included_term)),
        ("configuration", text(&request.configuration.text())),
        ("offset", int(request.offset)),
        ("data", Value::Base64(request.data.clone())),
        ("done", Value::Bool(request.done)),
    ])
}

/// InstallSnapshot RPC, arguments.
pub fn decode_install_snapshot(value: &Value) -> Decoded<InstallSnapshot> {
    let members = Members::of(value)?;
    Ok(InstallSnapshot {
        term: members.number("term")?,
        leader_id: members.number("leader_id")?,
        last_included_index: members.number("last_included_index")?,
        last_included_term: members.number("last_included_term")?,
        configuration: match members.text("configuration")? {
            "" => Arc::default(),
            text => decode_configuration(text)?,
        },
        offset: members.number("offset")?,
        data: members.bytes("data")?.to_vec(),
        done: members.boolean("done")?,
    })
}

/// InstallSnapshot RPC, results: `next_offset` while parts are missing.
pub fn install_snapshot_reply(reply: &InstallSnapshotReply) -> Value {
    let mut members = Struct::default();
    members.insert("term", int(reply.term));
    match reply.outcome {
        InstallOutcome::Installed => {
            members.insert("installed", Value::Bool(true));
        }
        InstallOutcome::Next(offset) => {
            members.insert("installed", Value::Bool(false));
            members.insert("next_offset", int(offset));
        }
    }
    Value::Struct(members)
}

/// InstallSnapshot RPC, results.
pub fn decode_install_snapshot_reply(value: &Value) -> Decoded<InstallSnapshotReply> {
    let members = Members::of(value)?;
    Ok(InstallSnapshotReply {
        term: members.number("term")?,
        outcome: if members.boolean("installed")? {
            InstallOutcome::Installed
        } else {
            InstallOutcome::Next(members.number("next_offset")?)
        },
    })
}

/// TimeoutNow RPC, arguments.
pub fn timeout_now(request: &TimeoutNow) -> Value {
    record([
        ("term", int(request.term)),
        ("leader_id", int(request.leader_id)),
    ])
}

/// TimeoutNow RPC, arguments.
pub fn decode_timeout_now(value: &Value) -> Decoded<TimeoutNow> {
    let members = Members::of(value)?;
    Ok(TimeoutNow {
        term: members.number("term")?,
        leader_id: members.number("leader_id")?,
    })
}

/// TimeoutNow RPC, results.
pub fn timeout_now_reply(reply: &TimeoutNowReply) -> Value {
    record([
        ("term", int(reply.term)),
        ("campaigns", Value::Bool(reply.campaigns)),
    ])
}

/// TimeoutNow RPC, results.
pub fn decode_timeout_now_reply(value: &Value) -> Decoded<TimeoutNowReply> {
    let members = Members::of(value)?;
    Ok(TimeoutNowReply {
        term: members.number("term")?,
        campaigns: members.boolean("campaigns")?,
    })
}

/// A follower's commands for the leader.
pub fn forward(forward: &Forward) -> Value {
    let commands = forward.commands.iter().map(|command| {
        let mut members = Struct::default();
        add_command(&mut members, command);
        Value::Struct(members)
    });
    record([
        ("sender_id", int(forward.sender_id)),
        ("commands", Value::Array(commands.collect())),
    ])
}

/// A follower's commands for the leader.
pub fn decode_forward(value: &Value) -> Decoded<Forward> {
    let members = Members::of(value)?;
    let commands = members
        .array("commands")?
        .iter()
        .map(|command| Members::of(command)?.command().map(Arc::new))
        .collect::<Decoded<Vec<_>>>()?;
    if commands.is_empty() {
        return Err(wrong("commands: there is none"));
    }
    Ok(Forward {
        sender_id: members.number("sender_id")?,
        commands,
    })
}

/// The leader's answer to a forward: `{term, index}`, or `{leader}` when nothing was appended.
pub fn forward_reply(reply: &ForwardReply) -> Value {
    match *reply {
        ForwardReply::Appended { term, index } => {
            record([("term", int(term)), ("index", int(index))])
        }
        ForwardReply::NotAppended { leader } => {
            record([("leader", leader.map_or(Value::Nil, int))])
        }
    }
}

/// The leader's answer to a forward.
pub fn decode_forward_reply(value: &Value) -> Decoded<ForwardReply> {
    let members = Members::of(value)?;
    Ok(match members.optional_number("term")? {
        Some(term) => ForwardReply::Appended {
            term,
            index: members.number("index")?,
        },
        None => ForwardReply::NotAppended {
            leader: members.optional_number("leader")?,
        },
    })
}

/// What a client is told of its command.
pub fn answer(answer: &Answer) -> Value {
    record([
        ("index", int(answer.index)),
        ("term", int(answer.term)),
        ("outcome", text(&answer.outcome)),
    ])
}

/// What a client is told of its command.
pub fn decode_answer(value: &Value) -> Decoded<Answer> {
    let members = Members::of(value)?;
    Ok(Answer {
        index: members.number("index")?,
        term: members.number("term")?,
        outcome: members.text("outcome")?.to_string(),
    })
}

/// The board.
pub fn state(state: &State) -> Value {
    record([
        (
            "players",
            Value::Array(state.players.iter().map(player).collect()),
        ),
        ("index", int(state.index)),
        ("digest", text(&state.digest)),
    ])
}

fn player(player: &Player) -> Value {
    record([
        ("id", int(player.id)),
        ("name", text(&player.name)),
        ("hp", int(u64::from(player.hp))),
        ("alive", Value::Bool(player.alive())),
    ])
}

/// Who stands where.
pub fn board(state: &State) -> Value {
    let placed = |player: &Player| {
        record([
            ("id", int(player.id)),
            ("name", text(&player.name)),
            ("square", square(player.square)),
        ])
    };
    record([
        ("size", int(BOARD_SIZE)),
        (
            "players",
            Value::Array(state.players.iter().map(placed).collect()),
        ),
        (
            "ruins",
            Value::Array(state.ruins.iter().map(ruin).collect()),
        ),
        ("index", int(state.index)),
        ("digest", text(&state.digest)),
    ])
}

/// Whose ruins stand on a board; nobody's where it is none.
pub fn decode_ruins(board: &Value) -> Vec<NodeId> {
    let ids = || {
        let ruins = Members::of(board)?.array("ruins")?.iter();
        ruins
            .map(|ruin| Members::of(ruin)?.number("id"))
            .collect::<Decoded<_>>()
    };
    ids().unwrap_or_default()
}

fn ruin(ruin: &Ruin) -> Value {
    record([
        ("id", int(ruin.id)),
        ("name", text(&ruin.name)),
        ("square", square(ruin.square)),
    ])
}

/// Column and row.
fn square((column, row): (u16, u16)) -> Value {
    Value::Array(vec![int(column), int(row)])
}

/// The options of a read: whether a stale answer will do.
pub fn decode_stale(value: &Value, default: bool) -> Decoded<bool> {
    let members = Members::of(value)?;
    match members.0.get("stale") {
        None => Ok(default),
        Some(_) => members.boolean("stale"),
    }
}

/// The options of `kv.list`: after which key it begins.
pub fn decode_after(value: &Value) -> Decoded<Option<String>> {
    let members = Members::of(value)?;
    match members.0.get("after") {
        None | Some(Value::Nil) => Ok(None),
        Some(_) => Ok(Some(members.text("after")?.to_string())),
    }
}

/// A key of the store.
pub fn decode_key(value: &Value) -> Decoded<String> {
    let Value::String(key) = value else {
        return Err(wrong("key: a string is wanted"));
    };
    check_key(key).map_err(wrong)?;
    Ok(key.clone())
}

/// What keys begin with.
pub fn decode_prefix(value: &Value) -> Decoded<String> {
    match value {
        Value::String(prefix) if prefix.len() <= MAX_KEY_BYTES => Ok(prefix.clone()),
        _ => Err(wrong(format!(
            "prefix: a string of at most {MAX_KEY_BYTES} bytes is wanted"
        ))),
    }
}

/// A value of the store, as it stands in a document.
impl From<Datum> for Value {
    fn from(datum: Datum) -> Value {
        match datum {
            Datum::Text(text) => Value::String(text.to_string()),
            Datum::Int(number) => Value::Int(number),
            Datum::Bytes(bytes) => Value::Base64(bytes.to_vec()),
        }
    }
}

/// A value of the store; `what` names it where it is none.
pub fn decode_datum(value: &Value, what: &str) -> Decoded<Datum> {
    let datum = match value {
        Value::String(text) => Datum::Text(text.as_str().into()),
        Value::Int(number) => Datum::Int(*number),
        Value::Base64(bytes) => Datum::Bytes(bytes.as_slice().into()),
        _ => {
            return Err(wrong(format!(
                "{what}: a string, an integer or base64 is wanted, {} came",
                value.type_name()
            )));
        }
    };
    datum
        .check()
        .map_err(|why| wrong(format!("{what}: {why}")))?;
    Ok(datum)
}

/// What came of a write.
pub fn written(outcome: &Outcome) -> Value {
    match outcome {
        Outcome::Done => Value::Bool(true),
        Outcome::Said(yes) => Value::Bool(*yes),
        Outcome::Number(number) => Value::Int(*number),
        Outcome::Refused(why) => text(why),
    }
}

/// Who belongs to the cluster.
pub fn members(members: &MembersOf) -> Value {
    let (shortest, longest) = members.election_timeout_ms;
    let list = members.members.iter().map(member);
    record([
        ("cluster", text(&members.cluster)),
        ("machine", text(members.machine.as_str())),
        ("id", int(members.id)),
        ("leader", optional(members.leader)),
        ("term", int(members.term)),
        ("index", int(members.index)),
        ("committed", Value::Bool(members.committed)),
        ("joint", Value::Bool(members.joint)),
        ("members", Value::Array(list.collect())),
        ("heartbeat_ms", int(members.heartbeat_ms)),
        (
            "election_timeout_ms",
            Value::Array(vec![int(shortest), int(longest)]),
        ),
        ("snapshot_entries", int(members.snapshot_entries)),
    ])
}

fn member(member: &MemberStatus) -> Value {
    record([
        ("id", int(member.id)),
        ("name", text(&member.name)),
        ("address", text(&member.address)),
        ("standing", text(member.standing.as_str())),
        ("match_index", optional(member.match_index)),
    ])
}

/// Who belongs to the cluster.
pub fn decode_members(value: &Value) -> Decoded<MembersOf> {
    let members = Members::of(value)?;
    let timeouts = members.array("election_timeout_ms")?;
    let [shortest, longest] = timeouts else {
        return Err(wrong("election_timeout_ms: two integers are wanted"));
    };
    let list = members.array("members")?;
    if list.len() > MAX_MEMBERS {
        return Err(wrong("members: there are too many"));
    }
    Ok(MembersOf {
        cluster: members.text("cluster")?.to_string(),
        machine: Kind::parse(members.text("machine")?)
            .ok_or_else(|| wrong("machine: this version knows none of that name"))?,
        id: members.number("id")?,
        leader: members.optional_number("leader")?,
        term: members.number("term")?,
        index: members.number("index")?,
        committed: members.boolean("committed")?,
        joint: members.boolean("joint")?,
        members: list.iter().map(decode_member).collect::<Decoded<_>>()?,
        heartbeat_ms: members.number("heartbeat_ms")?,
        election_timeout_ms: (
            decode_number(shortest, "election_timeout_ms")?,
            decode_number(longest, "election_timeout_ms")?,
        ),
        snapshot_entries: members.number("snapshot_entries")?,
    })
}

fn decode_member(value: &Value) -> Decoded<MemberStatus> {
    let members = Members::of(value)?;
    let (id, (name, address)) = decode_new_member(value)?;
    Ok(MemberStatus {
        id,
        name,
        address,
        standing: Standing::parse(members.text("standing")?)
            .ok_or_else(|| wrong("standing: not a standing's name"))?,
        match_index: members.optional_number("match_index")?,
    })
}

/// New members: name and address by id.
pub type Added = BTreeMap<NodeId, (String, String)>;

fn decode_new_member(value: &Value) -> Decoded<(NodeId, (String, String))> {
    let members = Members::of(value)?;
    let (id, name) = (members.number("id")?, members.text("name")?);
    let address =
        parse_address(members.text("address")?).map_err(|why| wrong(format!("address: {why}")))?;
    check_member(id, name, &address).map_err(wrong)?;
    Ok((id, (name.to_string(), address)))
}

/// The parameters of `cluster.add`: an array of structs, one struct, or id, name and address.
pub fn decode_added(params: &[Value]) -> Decoded<Added> {
    let structs = match params {
        [Value::Array(list)] => list.clone(),
        [one @ Value::Struct(_)] => vec![one.clone()],
        [id, name, address] => vec![record([
            ("id", id.clone()),
            ("name", name.clone()),
            ("address", address.clone()),
        ])],
        _ => {
            return Err(wrong(
                "parameters: an array of {id, name, address}, one such struct, or the three of them",
            ));
        }
    };
    decode_distinct(&structs)
}

fn decode_distinct(list: &[Value]) -> Decoded<Added> {
    let mut added = Added::new();
    for value in list {
        let (id, member) = decode_new_member(value)?;
        if added.insert(id, member).is_some() {
            return Err(wrong(format!("id: {id} comes twice")));
        }
    }
    Ok(added)
}

/// One id, or an array of some.
pub fn decode_ids(value: &Value) -> Decoded<Vec<NodeId>> {
    match value {
        Value::Array(ids) => ids.iter().map(|id| decode_number(id, "id")).collect(),
        id => Ok(vec![decode_number(id, "id")?]),
    }
}

/// Who leads, after a transfer.
pub fn leads(leader: NodeId, term: u64) -> Value {
    record([("leader", int(leader)), ("term", int(term))])
}

/// Who leads, after a transfer.
pub fn decode_leads(value: &Value) -> Decoded<(NodeId, u64)> {
    let members = Members::of(value)?;
    Ok((members.number("leader")?, members.number("term")?))
}

/// What a follower asks of the leader on a client's behalf.
pub fn errand(sender_id: NodeId, errand: &Errand) -> Value {
    let mut members = Struct::default();
    members.insert("sender_id", int(sender_id));
    let name = match errand {
        Errand::Change(change) => {
            let ids =
                |ids: &BTreeSet<NodeId>| Value::Array(ids.iter().map(|&id| int(id)).collect());
            let added = change.add.iter().map(|(&id, (name, address))| {
                record([
                    ("id", int(id)),
                    ("name", text(name)),
                    ("address", text(address)),
                ])
            });
            members.insert("add", Value::Array(added.collect()));
            members.insert("promote", ids(&change.promote));
            members.insert("remove", ids(&change.remove));
            "change"
        }
        Errand::Transfer(to) => {
            members.insert("to", optional(*to));
            "transfer"
        }
        Errand::Read => "read",
    };
    members.insert("errand", text(name));
    Value::Struct(members)
}

/// What a follower asks of the leader, and which follower.
pub fn decode_errand(value: &Value) -> Decoded<(NodeId, Errand)> {
    let members = Members::of(value)?;
    let errand = match members.text("errand")? {
        "change" => Errand::Change(Change {
            add: decode_distinct(members.array("add")?)?,
            promote: decode_ids(members.get("promote")?)?.into_iter().collect(),
            remove: decode_ids(members.get("remove")?)?.into_iter().collect(),
        }),
        "transfer" => Errand::Transfer(members.optional_number("to")?),
        "read" => Errand::Read,
        _ => return Err(wrong("errand: change, transfer or read is wanted")),
    };
    Ok((members.number("sender_id")?, errand))
}

/// The leader's answer to an errand.
pub fn errand_reply(reply: &ErrandReply) -> Value {
    match reply {
        ErrandReply::Placed { term, index } => {
            record([("term", int(*term)), ("index", int(*index))])
        }
        ErrandReply::HandingOver { term } => record([("term", int(*term))]),
        ErrandReply::ReadAt { index } => record([("read_index", int(*index))]),
        ErrandReply::NotLeader { leader } => record([("leader", optional(*leader))]),
        ErrandReply::Refused(reason) => record([("refused", text(reason))]),
    }
}

/// The leader's answer to an errand.
pub fn decode_errand_reply(value: &Value) -> Decoded<ErrandReply> {
    let members = Members::of(value)?;
    if members.0.get("refused").is_some() {
        return Ok(ErrandReply::Refused(members.text("refused")?.to_string()));
    }
    if let Some(index) = members.optional_number("read_index")? {
        return Ok(ErrandReply::ReadAt { index });
    }
    let (term, index) = (
        members.optional_number("term")?,
        members.optional_number("index")?,
    );
    Ok(match (term, index) {
        (Some(term), Some(index)) => ErrandReply::Placed { term, index },
        (Some(term), None) => ErrandReply::HandingOver { term },
        _ => ErrandReply::NotLeader {
            leader: members.optional_number("leader")?,
        },
    })
}

/// How a node stands.
pub fn status(status: &Status) -> Value {
    record([
        ("id", int(status.id)),
        ("name", text(&status.name)),
        ("role", text(status.role.as_str())),
        ("term", int(status.term)),
        ("leader", optional(status.leader)),
        ("commit_index", int(status.commit_index)),
        ("last_applied", int(status.last_applied)),
        ("last_index", int(status.last_index)),
        ("digest", text(&status.digest)),
        (
            "peers",
            Value::Array(status.peers.iter().map(peer).collect()),
        ),
    ])
}

fn peer(peer: &PeerStatus) -> Value {
    record([
        ("id", int(peer.id)),
        ("name", text(&peer.name)),
        ("address", text(&peer.address)),
        ("match_index", optional(peer.match_index)),
        ("next_index", optional(peer.next_index)),
        ("rtt_ms", peer.rtt_ms.map_or(Value::Nil, Value::Double)),
    ])
}

/// How a node stands.
pub fn decode_status(value: &Value) -> Decoded<Status> {
    let members = Members::of(value)?;
    Ok(Status {
        id: members.number("id")?,
        name: members.text("name")?.to_string(),
        role: RoleName::parse(members.text("role")?)
            .ok_or_else(|| wrong("role: not a role's name"))?,
        term: members.number("term")?,
        leader: members.optional_number("leader")?,
        commit_index: members.number("commit_index")?,
        last_applied: members.number("last_applied")?,
        last_index: members.number("last_index")?,
        digest: members.text("digest")?.to_string(),
        peers: members
            .array("peers")?
            .iter()
            .map(decode_peer)
            .collect::<Decoded<_>>()?,
    })
}

fn decode_peer(value: &Value) -> Decoded<PeerStatus> {
    let members = Members::of(value)?;
    Ok(PeerStatus {
        id: members.number("id")?,
        name: members.text("name")?.to_string(),
        address: members.text("address")?.to_string(),
        match_index: members.optional_number("match_index")?,
        next_index: members.optional_number("next_index")?,
        rtt_ms: match members.0.get("rtt_ms") {
            Some(Value::Double(rtt)) => Some(*rtt),
            _ => None,
        },
    })
}

fn entry(entry: &Entry) -> Value {
    let mut members = Struct::default();
    members.insert("index", int(entry.index));
    members.insert("term", int(entry.term));
    match &entry.payload {
        Payload::Noop => {}
        Payload::Command(command) => add_command(&mut members, command),
        Payload::Founding(configuration) => {
            members.insert("founding", text(&configuration.text()));
        }
        Payload::Configuration(configuration) => {
            members.insert("members", text(&configuration.text()));
        }
    }
    Value::Struct(members)
}

/// An entry that says nothing is a leader's no-op.
fn decode_entry(value: &Value) -> Decoded<Entry> {
    let members = Members::of(value)?;
    Ok(Entry {
        index: members.number("index")?,
        term: members.number("term")?,
        payload: if members.0.get("command").is_some() {
            Payload::Command(Arc::new(members.command()?))
        } else if members.0.get("members").is_some() {
            Payload::Configuration(decode_configuration(members.text("members")?)?)
        } else if members.0.get("founding").is_some() {
            Payload::Founding(decode_configuration(members.text("founding")?)?)
        } else {
            Payload::Noop
        },
    })
}

/// Who belongs to the cluster, as one text: `1 voter bob1 127.0.0.1:8001;2 ...`.
fn decode_configuration(text: &str) -> Decoded<Arc<Configuration>> {
    Configuration::parse(text)
        .map(Arc::new)
        .map_err(|why| wrong(format!("these are no members: {why}")))
}

fn add_command(members: &mut Struct, command: &Command) {
    members.insert("client", text(&command.client));
    members.insert("serial", int(command.serial));
    members.insert(
        "command",
        if command.is_plain() {
            text(&command.text)
        } else {
            Value::Base64(command.text.as_bytes().to_vec())
        },
    );
}

/// A command's text: a string, or UTF-8 in base64.
pub fn decode_text(value: &Value) -> Decoded<String> {
    match value {
        Value::String(text) => Ok(text.clone()),
        Value::Base64(bytes) => {
            String::from_utf8(bytes.clone()).map_err(|_| wrong("command: not UTF-8"))
        }
        _ => Err(wrong("command: a string is wanted")),
    }
}

/// A count, an index, a term or an id: an integer that is not negative.
pub fn decode_number(value: &Value, name: &str) -> Decoded<u64> {
    match value {
        Value::Int(number) => {
            u64::try_from(*number).map_err(|_| wrong(format!("{name}: {number} is negative")))
        }
        _ => Err(wrong(format!("{name}: an integer is wanted"))),
    }
}

/// Fault -32602.
pub fn wrong(message: impl Into<String>) -> Fault {
    Fault::new(Fault::WRONG_PARAMETERS, message)
}

fn record<const N: usize>(members: [(&'static str, Value); N]) -> Value {
    let mut record = Struct::default();
    for (name, value) in members {
        record.insert(name, value);
    }
    Value::Struct(record)
}

fn int(number: impl Into<u64>) -> Value {
    Value::Int(i64::try_from(number.into()).expect("terms, indexes and serials fit in 63 bits"))
}

fn optional(number: Option<NodeId>) -> Value {
    number.map_or(Value::Nil, int)
}

fn text(text: &str) -> Value {
    Value::String(text.to_string())
}

/// A struct that is being read.
struct Members<'a>(&'a Struct);

impl<'a> Members<'a> {
    fn of(value: &'a Value) -> Decoded<Members<'a>> {
        match value {
            Value::Struct(members) => Ok(Members(members)),
            _ => Err(wrong("a struct is wanted")),
        }
    }

    fn get(&self, name: &str) -> Decoded<&'a Value> {
        self.0
            .get(name)
            .ok_or_else(|| wrong(format!("{name}: missing")))
    }

    fn number(&self, name: &str) -> Decoded<u64> {
        decode_number(self.get(name)?, name)
    }

    fn optional_number(&self, name: &str) -> Decoded<Option<u64>> {
        match self.0.get(name) {
            None | Some(Value::Nil) => Ok(None),
            Some(value) => decode_number(value, name).map(Some),
        }
    }

    fn boolean(&self, name: &str) -> Decoded<bool> {
        match self.get(name)? {
            Value::Bool(value) => Ok(*value),
            _ => Err(wrong(format!("{name}: a boolean is wanted"))),
        }
    }

    /// False where it is left out.
    fn optional_boolean(&self, name: &str) -> Decoded<bool> {
        match self.0.get(name) {
            None | Some(Value::Nil) => Ok(false),
            Some(_) => self.boolean(name),
        }
    }

    fn text(&self, name: &str) -> Decoded<&'a str> {
        match self.get(name)? {
            Value::String(text) => Ok(text),
            _ => Err(wrong(format!("{name}: a string is wanted"))),
        }
    }

    fn bytes(&self, name: &str) -> Decoded<&'a [u8]> {
        match self.get(name)? {
            Value::Base64(bytes) => Ok(bytes),
            _ => Err(wrong(format!("{name}: base64 is wanted"))),
        }
    }

    fn array(&self, name: &str) -> Decoded<&'a [Value]> {
        match self.get(name)? {
            Value::Array(values) => Ok(values),
            _ => Err(wrong(format!("{name}: an array is wanted"))),
        }
    }

    fn command(&self) -> Decoded<Command> {
        Command::new(
            self.text("client")?,
            self.number("serial")?,
            decode_text(self.get("command")?)?,
        )
        .map_err(|error| wrong(error.to_string()))
    }
}
