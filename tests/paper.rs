//! The paper, rule by rule: what figures 2, 3 and 13 and sections 5 to 8 demand, and what Ongaro's
//! dissertation adds, asked of the core from outside. Each test is named after the rule, in our words,
//! and says where the rule stands. `docs/RAFT.md` lists the rules in the order of the paper, each with
//! the function that keeps it and the test that shows it.
//!
//! Most tests look at one core and at what one step of it asks for. Where a rule is about several
//! nodes, `raft/mod.rs` joins cores in memory. `scripts.rs` tells longer stories.
//!
//! What is not shown here: that whole clusters hold together on bad days. That is `raftian sim`.

// Helpers of tests are tests, too: they may fail with a panic.
#![allow(clippy::unwrap_used)]

mod raft;

#[path = "paper/beyond.rs"]
mod beyond;
#[path = "paper/commitment.rs"]
mod commitment;
#[path = "paper/dissertation.rs"]
mod dissertation;
#[path = "paper/figure_2_receivers.rs"]
mod figure_2_receivers;
#[path = "paper/figure_2_rules.rs"]
mod figure_2_rules;
#[path = "paper/figure_2_state.rs"]
mod figure_2_state;
#[path = "paper/figure_3.rs"]
mod figure_3;
#[path = "paper/nonsense.rs"]
mod nonsense;
#[path = "paper/section_5_3.rs"]
mod section_5_3;
#[path = "paper/section_6.rs"]
mod section_6;
#[path = "paper/section_7.rs"]
mod section_7;
#[path = "paper/section_8.rs"]
mod section_8;

use raft::{config, entries};
use raftian::raft::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Change, Config, Configuration, Entry,
    HardState, Log, Member, NodeId, Payload, Raft, Ready, Reply, Request, RequestVote,
    RequestVoteReply, RoleName, Send, Standing,
};

/// A follower whose disk holds this term, no vote, and no-ops of these terms.
fn follower(id: NodeId, nodes: u64, term: u64, terms: &[u64]) -> Raft {
    started(config(id, nodes), term, &entries(1, terms))
}

/// A node that starts with this term, no vote, and these entries.
fn started(config: Config, term: u64, entries: &[Entry]) -> Raft {
    let hard_state = HardState {
        current_term: term,
        voted_for: None,
    };
    Raft::new(config, hard_state, None, Log::new(entries.to_vec()))
}

/// Node 1 as a candidate in `term`, and the step that made it one.
fn candidate(nodes: u64, term: u64, terms: &[u64]) -> (Raft, Ready) {
    campaigning(follower(1, nodes, term - 1, terms))
}

/// That node as a candidate in the next term, and the step that made it one.
fn campaigning(mut core: Raft) -> (Raft, Ready) {
    let term = core.current_term() + 1;
    let ready = core.tick(core.deadline().unwrap());
    assert_eq!(
        (core.role(), core.current_term()),
        (RoleName::Candidate, term)
    );
    (core, ready)
}

/// Lets time pass until the core starts an election: when that is, and the step.
fn next_election(core: &mut Raft) -> (u64, Ready) {
    let term = core.current_term();
    for _ in 0..100 {
        let now = core.deadline().unwrap();
        let ready = core.tick(now);
        if core.current_term() > term {
            return (now, ready);
        }
    }
    panic!("it never starts an election");
}

/// Node 1 as the leader of `term`, and the step that made it one; that step's save is under way.
fn elected(nodes: u64, term: u64, terms: &[u64]) -> (Raft, Ready) {
    leading(follower(1, nodes, term - 1, terms))
}

/// That node as the leader of the next term, and the step that made it one.
fn leading(mut core: Raft) -> (Raft, Ready) {
    let term = core.current_term() + 1;
    let mut ready = core.tick(core.deadline().unwrap());
    if core.role() == RoleName::Leader {
        // It is the only voter.
        return (core, ready);
    }
    for send in std::mem::take(&mut ready.after_save) {
        let ready = core.reply(send.to, send.call, vote_reply(term, true));
        if core.role() == RoleName::Leader {
            return (core, ready);
        }
    }
    panic!("all votes are a majority");
}

/// Node 1 as the leader of `term` whose peers all agree with it up to its own no-op, which is
/// saved and committed; nothing is under way.
fn settled(nodes: u64, term: u64, terms: &[u64]) -> Raft {
    settling(follower(1, nodes, term - 1, terms))
}

/// The same of that node, in the next term.
fn settling(core: Raft) -> Raft {
    let (mut core, ready) = leading(core);
    let _ = core.saved(ready.save.unwrap().mark().unwrap());
    // What a lone voter says rests on the vote that it saves in the same step.
    let mut sends = [ready.send, ready.after_save].concat();
    while !sends.is_empty() {
        sends = answer_all(&mut core, &sends);
    }
    assert_eq!(core.commit_index(), core.log().last_index());
    core
}

/// Agrees to the request to `to` among these; what comes of it.
fn agree(core: &mut Raft, sends: &[Send], to: NodeId) -> Ready {
    let send = sent(sends, to);
    core.reply(to, send.call, matched(core.current_term(), end(&send)))
}

/// Every request is agreed to; what the leader sends next.
fn answer_all(core: &mut Raft, sends: &[Send]) -> Vec<Send> {
    let mut next = Vec::new();
    for send in sends {
        let reply = matched(core.current_term(), end(send));
        next.extend(core.reply(send.to, send.call, reply).send);
    }
    next
}

fn append(from: NodeId, term: u64, prev: (u64, u64), terms: &[u64], commit: u64) -> Request {
    let entries = entries(prev.0.wrapping_add(1), terms);
    append_these(from, term, prev, entries, commit)
}

fn append_these(
    from: NodeId,
    term: u64,
    prev: (u64, u64),
    entries: Vec<Entry>,
    commit: u64,
) -> Request {
    Request::AppendEntries(AppendEntries {
        term,
        leader_id: from,
        prev_log_index: prev.0,
        prev_log_term: prev.1,
        entries,
        leader_commit: commit,
    })
}

fn vote(from: NodeId, term: u64, last: (u64, u64)) -> Request {
    Request::RequestVote(RequestVote {
        term,
        candidate_id: from,
        last_log_index: last.0,
        last_log_term: last.1,
        pre_vote: false,
        transfer: false,
    })
}

fn vote_reply(term: u64, vote_granted: bool) -> Reply {
    Reply::RequestVote(RequestVoteReply { term, vote_granted })
}

fn matched(term: u64, index: u64) -> Reply {
    Reply::AppendEntries(AppendEntriesReply {
        term,
        outcome: AppendOutcome::Matched(index),
    })
}

fn conflict(term: u64, hint_term: Option<u64>, index: u64) -> Reply {
    Reply::AppendEntries(AppendEntriesReply {
        term,
        outcome: AppendOutcome::Conflict {
            term: hint_term,
            index,
        },
    })
}

/// Whether the step's reply gives a vote.
fn votes(ready: &Ready) -> bool {
    match &ready.reply {
        Some(Reply::RequestVote(reply)) => reply.vote_granted,
        other => panic!("no answer to a vote request: {other:?}"),
    }
}

/// What the step's reply says of the log.
fn outcome(ready: &Ready) -> AppendOutcome {
    match &ready.reply {
        Some(Reply::AppendEntries(reply)) => reply.outcome,
        other => panic!("no answer to an append: {other:?}"),
    }
}

/// The term and vote that the step saves.
fn saved_state(ready: &Ready) -> Option<(u64, Option<NodeId>)> {
    let hard_state = ready.save.as_ref()?.hard_state?;
    Some((hard_state.current_term, hard_state.voted_for))
}

/// `(index, term)` of the entries that the step saves.
fn saved_entries(ready: &Ready) -> Vec<(u64, u64)> {
    let entries = ready.save.iter().flat_map(|save| &save.entries);
    entries.map(|entry| (entry.index, entry.term)).collect()
}

/// A configuration as people write it: 4 comes (+4), 3 goes (-3), 5 is a learner (~5).
fn members(text: &str) -> Configuration {
    let member = |word: &str| {
        let (standing, id) = match word.split_at(1) {
            ("+", id) => (Standing::Incoming, id),
            ("-", id) => (Standing::Outgoing, id),
            ("~", id) => (Standing::Learner, id),
            _ => (Standing::Voter, word),
        };
        let member = Member {
            name: format!("node{id}"),
            address: format!("node{id}:1"),
            standing,
        };
        (id.parse().unwrap(), member)
    };
    Configuration::new(text.split(' ').map(member).collect()).unwrap()
}

/// What a node of that cluster is told at its start.
fn among(id: NodeId, text: &str) -> Config {
    Config {
        configuration: members(text),
        ..config(id, 1)
    }
}

/// An entry that says who the members are.
fn configured(index: u64, term: u64, text: &str) -> Entry {
    Entry {
        index,
        term,
        payload: Payload::Configuration(members(text).into()),
    }
}

/// Who belongs to the cluster, by that node's log.
fn known_members(core: &Raft) -> String {
    let text = core.configuration().to_string();
    text.trim_start_matches("members ").to_string()
}

/// A change of the members.
fn change(add: &[NodeId], promote: &[NodeId], remove: &[NodeId]) -> Change {
    let new = |&id: &NodeId| (id, (format!("node{id}"), format!("node{id}:1")));
    Change {
        add: add.iter().map(new).collect(),
        promote: promote.iter().copied().collect(),
        remove: remove.iter().copied().collect(),
    }
}

/// Those to whom these are sent.
fn receivers(sends: &[Send]) -> Vec<NodeId> {
    sends.iter().map(|send| send.to).collect()
}

const NOTHING: [u64; 0] = [];

/// The indexes that the step hands out to be applied.
fn committed(ready: &Ready) -> Vec<u64> {
    ready.committed.iter().map(|entry| entry.index).collect()
}

/// The one request to `to` among these.
fn sent(sends: &[Send], to: NodeId) -> Send {
    let mut found = sends.iter().filter(|send| send.to == to);
    let send = found
        .next()
        .unwrap_or_else(|| panic!("nothing is sent to {to}"));
    assert!(found.next().is_none(), "two requests at once");
    send.clone()
}

fn appended(send: &Send) -> &AppendEntries {
    match &send.request {
        Request::AppendEntries(request) => request,
        other => panic!("not an append: {other:?}"),
    }
}

/// The last index that a request speaks of.
fn end(send: &Send) -> u64 {
    let request = appended(send);
    request.prev_log_index + request.entries.len() as u64
}
