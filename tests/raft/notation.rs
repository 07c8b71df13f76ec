//! How entries, messages and nodes are written down, one line each.
//!
//! `3@2` is index 3 of term 2, throughout. A message that is sent reads `1->2 append term=1 ...`,
//! and `1=>2 append` when it arrives.

use raftian::raft::{
    AppendOutcome, Entry, InstallOutcome, LogAfterSnapshot, Payload, Raft, Reply, Request,
    RoleName, Save, SaveSnapshot,
};

use super::{Message, Packet};

pub fn entry(entry: &Entry) -> String {
    let what = match &entry.payload {
        Payload::Noop => "noop".to_string(),
        Payload::Command(command) => command.text.clone(),
        Payload::Founding(configuration) => format!("noop, {configuration}"),
        Payload::Configuration(configuration) => configuration.to_string(),
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
    if let Some(SaveSnapshot { snapshot, log }) = &save.snapshot {
        let log = match log {
            LogAfterSnapshot::KeepFrom(index) => format!("log from {index} on"),
            LogAfterSnapshot::Discard => "no log".to_string(),
        };
        let (index, term) = (snapshot.last_index, snapshot.last_term);
        parts.push(format!("snapshot {index}@{term}, {log}"));
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
        Message::Request(Request::RequestVote(request)) if request.pre_vote => "pre-vote?",
        Message::Request(Request::RequestVote(request)) if request.transfer => "vote at once?",
        Message::Request(Request::RequestVote(_)) => "vote?",
        Message::Request(Request::TimeoutNow(_)) => "timeout now",
        Message::Reply(Reply::TimeoutNow(reply)) if reply.campaigns => "campaigns",
        Message::Reply(Reply::TimeoutNow(_)) => "does not campaign",
        Message::Reply(Reply::AppendEntries(reply)) => match reply.outcome {
            AppendOutcome::Matched(_) => "matched",
            AppendOutcome::Conflict { .. } => "conflict",
        },
        Message::Reply(Reply::RequestVote(reply)) if reply.vote_granted => "vote yes",
        Message::Reply(Reply::RequestVote(_)) => "vote no",
        Message::Request(Request::InstallSnapshot(_)) => "install",
        Message::Reply(Reply::InstallSnapshot(reply)) => match reply.outcome {
            InstallOutcome::Installed => "installed",
            InstallOutcome::Next(_) => "staged",
        },
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
        Message::Request(Request::TimeoutNow(request)) => format!("{kind} term={}", request.term),
        Message::Reply(Reply::TimeoutNow(reply)) => format!("{kind} term={}", reply.term),
        Message::Request(Request::InstallSnapshot(request)) => format!(
            "{kind} term={} snapshot={}@{} offset={} {:?}{}",
            request.term,
            request.last_included_index,
            request.last_included_term,
            request.offset,
            String::from_utf8_lossy(&request.data),
            if request.done { " done" } else { "" }
        ),
        Message::Reply(Reply::InstallSnapshot(reply)) => match reply.outcome {
            InstallOutcome::Installed => format!("{kind} term={}", reply.term),
            InstallOutcome::Next(offset) => format!("{kind} term={} upto={offset}", reply.term),
        },
        Message::Fault => kind.to_string(),
    }
}

/// Role, term and leader.
pub fn standing(core: &Raft) -> String {
    let (id, role, term) = (core.id(), core.role(), core.current_term());
    match core.role() {
        RoleName::Follower | RoleName::Learner => {
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
    for peer in core.acquaintances() {
        if let Some((match_index, next_index)) = core.progress(peer) {
            line += &format!(", {peer}: match={match_index} next={next_index}");
        }
    }
    line
}

/// The configuration that counts, and where it comes from.
pub fn members(core: &Raft) -> String {
    let (id, index) = (core.id(), core.configured_at());
    let state = match index {
        0 => "from the start".to_string(),
        _ if index <= core.commit_index() => format!("since {index}, committed"),
        _ => format!("since {index}"),
    };
    format!("{id} {} ({state})", core.configuration())
}

/// What is kept of the log; what stands before the bar is known to be committed.
pub fn log(core: &Raft) -> String {
    let base = core.log().base_index();
    let committed = (core.commit_index() - base) as usize;
    let (committed, rest) = core.log().from(base + 1).split_at(committed);
    let kept = format!("{} | {}", entries(committed), entries(rest));
    match core.snapshot() {
        Some(snapshot) => format!(
            "{} snapshot {}@{}, {kept}",
            core.id(),
            snapshot.last_index,
            snapshot.last_term
        ),
        None => format!("{} {kept}", core.id()),
    }
}
