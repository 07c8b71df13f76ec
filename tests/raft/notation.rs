//! How entries, messages and nodes are written down, one line each.
//!
//! `3@2` is index 3 of term 2, throughout. A message that is sent reads `1->2 append term=1 ...`,
//! and `1=>2 append` when it arrives.

use raftian::raft::{AppendOutcome, Entry, Payload, Raft, Reply, Request, RoleName, Save};

use super::{Message, Packet};

pub fn entry(entry: &Entry) -> String {
    let what = match &entry.payload {
        Payload::Noop => "noop",
        Payload::Command(command) => &command.text,
    };
    format!("{}@{} {what}", entry.index, entry.term)
}

pub fn entries(entries: &[Entry]) -> String {
    let entries: Vec<String> = entries.iter().map(entry).collect();
    format!("[{}]", entries.join(", "))
}

pub fn save(save: &Save) -> String {
    let mut parts = Vec::new();
    if let Some(hard_state) = save.hard_state {
        parts.push(format!("term={}", hard_state.current_term));
        parts.push(format!("vote={}", number(hard_state.voted_for)));
    }
    if !save.entries.is_empty() {
        parts.push(entries(&save.entries));
    }
    parts.join(" ")
}

/// `-` for nobody.
pub fn number(number: Option<u64>) -> String {
    number.map_or("-".to_string(), |number| number.to_string())
}

pub fn packet(packet: &Packet) -> String {
    format!(
        "{}->{} {}",
        packet.from,
        packet.to,
        message(&packet.message)
    )
}

/// A message without its details.
pub fn kind(message: &Message) -> &'static str {
    match message {
        Message::Request(Request::AppendEntries(_)) => "append",
        Message::Request(Request::RequestVote(_)) => "vote?",
        Message::Reply(Reply::AppendEntries(reply)) => match reply.outcome {
            AppendOutcome::Matched(_) => "matched",
            AppendOutcome::Conflict { .. } => "conflict",
        },
        Message::Reply(Reply::RequestVote(reply)) if reply.vote_granted => "vote yes",
        Message::Reply(Reply::RequestVote(_)) => "vote no",
        Message::Fault => "fault",
    }
}

pub fn message(message: &Message) -> String {
    let kind = kind(message);
    match message {
        Message::Request(Request::AppendEntries(request)) => format!(
            "{kind} term={} prev={}@{} {} commit={}",
            request.term,
            request.prev_log_index,
            request.prev_log_term,
            entries(&request.entries),
            request.leader_commit
        ),
        Message::Request(Request::RequestVote(request)) => format!(
            "{kind} term={} last={}@{}",
            request.term, request.last_log_index, request.last_log_term
        ),
        Message::Reply(Reply::AppendEntries(reply)) => match reply.outcome {
            AppendOutcome::Matched(index) => format!("{kind} term={} upto={index}", reply.term),
            AppendOutcome::Conflict { term: None, index } => {
                format!("{kind} term={} no entry from {index} on", reply.term)
            }
            AppendOutcome::Conflict {
                term: Some(term),
                index,
            } => format!("{kind} term={} term {term} from {index} on", reply.term),
        },
        Message::Reply(Reply::RequestVote(reply)) => format!("{kind} term={}", reply.term),
        Message::Fault => kind.to_string(),
    }
}

/// Role, term and leader.
pub fn standing(core: &Raft) -> String {
    let (id, role, term) = (core.id(), core.role(), core.current_term());
    match core.role() {
        RoleName::Follower => {
            format!("{id} {role} term={term} leader={}", number(core.leader()))
        }
        RoleName::Candidate | RoleName::Leader => format!("{id} {role} term={term}"),
    }
}

/// All that a node knows, its peers last.
pub fn status(core: &Raft) -> String {
    let (log, mut line) = (core.log(), standing(core));
    line += &format!(
        " vote={} last={}@{} commit={}",
        number(core.voted_for()),
        log.last_index(),
        log.last_term(),
        core.commit_index()
    );
    for &peer in core.voters() {
        if let Some((match_index, next_index)) = core.progress(peer) {
            line += &format!(", {peer}: match={match_index} next={next_index}");
        }
    }
    line
}

/// The whole log; what stands before the bar is known to be committed.
pub fn log(core: &Raft) -> String {
    let (committed, rest) = core.log().from(1).split_at(core.commit_index() as usize);
    format!("{} {} | {}", core.id(), entries(committed), entries(rest))
}
