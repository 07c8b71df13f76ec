//! Reads the trace of a node and judges its promises.
//!
//! The reader follows two versions of the node's folder: as a process sees it, and as it would be if
//! the machine lost its power now and nothing survived but what was synced. Bytes get from the
//! first to the second when a sync that began after they were written has returned 0; a name, when a
//! sync of the folder has. Whenever a promise begins to leave, the reader opens the second version
//! with the node's own storage code, as a restart would, and looks whether the promise is kept:
//!
//! - a vote, or a request for votes: the term is there, with that vote;
//! - an acknowledged AppendEntries: each of its entries is there;
//! - an installed snapshot: it is there;
//! - any reply to a peer: the term that it names is there.
//!
//! What clients are answered depends on several nodes: see [`unbacked`].
//!
//! Caveats: what a drive does after a sync has returned is not seen. A message is expected to be
//! sent by one call.

use std::collections::BTreeMap;
use std::rc::Rc;

use raftian::node::event::Question;
use raftian::node::event::{PeerReply, PeerRequest};
use raftian::raft::{AppendOutcome, InstallOutcome, Reply, Request};
use raftian::rpc::methods::{self, Asked, ReplyKind};
use raftian::rpc::{codec, xml};
use raftian::snapshot::Document;
use raftian::storage::{Identity, MemoryDisk, Options, Recovered, Store};

use super::calls::{Call, Phase, events};

/// What a node promised, and what it had not kept by then.
#[derive(Default)]
pub struct Reader {
    identity: Option<Identity>,
    /// The node's folder, such as `data/bob1`.
    folder: String,
    files: Vec<File>,
    names: BTreeMap<String, usize>,
    durable_names: BTreeMap<String, usize>,
    open: BTreeMap<i64, Open>,
    /// Syncs under way, by thread.
    syncing: BTreeMap<u64, Sync>,
    durable: Rc<Recovered>,
    /// What was durable from when on.
    history: Vec<(f64, Rc<Recovered>)>,
    /// When which entry was answered to a client: time, index, term.
    answers: Vec<(f64, u64, u64)>,
    pub votes: usize,
    pub vote_requests: usize,
    pub acknowledgements: usize,
    pub installed: usize,
    pub violations: Vec<String>,
}

#[derive(Default)]
struct File {
    now: Vec<u8>,
    durable: Vec<u8>,
}

enum Open {
    File { file: usize, offset: usize },
    Folder,
    Stream(Stream),
}

/// A connection.
struct Stream {
    is_accepted: bool,
    received: Vec<u8>,
    sent: Vec<u8>,
}

/// What a sync makes durable if it succeeds.
enum Sync {
    File(usize, Vec<u8>),
    Folder(BTreeMap<String, usize>),
}

impl Reader {
    pub fn new(cluster: &str, node: u64, folder: &str) -> Reader {
        Reader {
            identity: Some(Identity {
                cluster: cluster.to_string(),
                node,
            }),
            folder: folder.to_string(),
            ..Reader::default()
        }
    }

    /// How many answers to clients were seen.
    pub fn answers(&self) -> usize {
        self.answers.len()
    }

    /// Follows one process from its start to its end.
    pub fn follow(&mut self, trace: &str) {
        self.open.clear();
        self.syncing.clear();
        for (phase, call) in events(trace) {
            match phase {
                Phase::Begins => self.begins(&call),
                Phase::Ends if call.result >= 0 => self.ends(&call),
                Phase::Ends => drop(self.syncing.remove(&call.thread)),
            }
        }
    }

    /// A killed process may have done more than the trace shows: this is what it has left, in the
    /// system's memory at least.
    pub fn left(&mut self, contents: BTreeMap<String, Vec<u8>>) {
        self.names.retain(|name, _| contents.contains_key(name));
        for (name, now) in contents {
            let file = match self.names.get(&name) {
                Some(&file) => file,
                None => self.make(name),
            };
            self.files[file].now = now;
        }
    }

    fn make(&mut self, name: String) -> usize {
        self.files.push(File::default());
        self.names.insert(name, self.files.len() - 1);
        self.files.len() - 1
    }

    /// The name of a file in the node's folder.
    fn name(&self, path: &str) -> Option<String> {
        let name = path.strip_prefix(&self.folder)?.strip_prefix('/')?;
        Some(name.to_string())
    }

    fn begins(&mut self, call: &Call) {
        let descriptor = call.number(0);
        match call.name.as_str() {
            // At once, because the number can be another's before the line has ended.
            "close" => drop(self.open.remove(&descriptor)),
            "fdatasync" | "fsync" => {
                let sync = match self.open.get(&descriptor) {
                    Some(&Open::File { file, .. }) => {
                        Sync::File(file, self.files[file].now.clone())
                    }
                    Some(Open::Folder) => Sync::Folder(self.names.clone()),
                    _ => return,
                };
                self.syncing.insert(call.thread, sync);
            }
            "write" | "writev" | "sendto" | "sendmsg" => {
                if let Some(Open::Stream(stream)) = self.open.get_mut(&descriptor) {
                    stream.sent.extend(call.bytes());
                    self.sent(call);
                }
            }
            _ => {}
        }
    }

    fn ends(&mut self, call: &Call) {
        let descriptor = call.number(0);
        let count = call.result as usize;
        match call.name.as_str() {
            "openat" => self.opened(call),
            "accept4" => self.connected(call.result, true),
            "socket" => self.connected(call.result, false),
            "lseek" => {
                if let Some(Open::File { offset, .. }) = self.open.get_mut(&descriptor) {
                    *offset = count;
                }
            }
            "write" => {
                if let Some(Open::File { file, offset }) = self.open.get_mut(&descriptor) {
                    let now = &mut self.files[*file].now;
                    let end = *offset + count;
                    now.resize(now.len().max(end), 0);
                    now[*offset..end].copy_from_slice(&call.bytes()[..count]);
                    *offset = end;
                }
            }
            "read" | "recvfrom" if !call.flags().contains("MSG_PEEK") => {
                if let Some(Open::Stream(stream)) = self.open.get_mut(&descriptor) {
                    stream.received.extend(&call.bytes()[..count]);
                }
            }
            "fdatasync" | "fsync" => self.synced(call),
            "rename" => {
                let (from, to) = (self.name(&call.text(0)), self.name(&call.text(1)));
                if let (Some(from), Some(to)) = (from, to)
                    && let Some(file) = self.names.remove(&from)
                {
                    self.names.insert(to, file);
                }
            }
            "unlink" => {
                if let Some(name) = self.name(&call.text(0)) {
                    self.names.remove(&name);
                }
            }
            _ => {}
        }
    }

    fn opened(&mut self, call: &Call) {
        let path = call.text(1);
        self.open.remove(&call.result);
        if path == self.folder {
            self.open.insert(call.result, Open::Folder);
        } else if let Some(name) = self.name(&path) {
            let file = match self.names.get(&name) {
                Some(&file) => file,
                None => self.make(name),
            };
            if call.flags().contains("O_TRUNC") {
                self.files[file].now.clear();
            }
            self.open
                .insert(call.result, Open::File { file, offset: 0 });
        }
    }

    fn connected(&mut self, descriptor: i64, is_accepted: bool) {
        let stream = Stream {
            is_accepted,
            received: Vec::new(),
            sent: Vec::new(),
        };
        self.open.insert(descriptor, Open::Stream(stream));
    }

    fn synced(&mut self, call: &Call) {
        match self.syncing.remove(&call.thread) {
            Some(Sync::File(file, bytes)) => self.files[file].durable = bytes,
            Some(Sync::Folder(names)) => self.durable_names = names,
            None => return,
        }
        let mut disk = MemoryDisk::default();
        for (name, &file) in &self.durable_names {
            disk.set(name, self.files[file].durable.clone());
        }
        let identity = self.identity.as_ref().expect("a node has an identity");
        match Store::open(disk, identity, Options::default(), Document::read_snapshot) {
            Ok((_, recovered)) => {
                self.durable = Rc::new(recovered);
                self.history.push((call.time, Rc::clone(&self.durable)));
            }
            Err(error) => self.violations.push(format!(
                "line {}: after a loss of power now the node would not start: {error}",
                call.line
            )),
        }
    }

    // Promises

    /// Something begins to leave over a connection.
    fn sent(&mut self, call: &Call) {
        let Some(Open::Stream(stream)) = self.open.get_mut(&call.number(0)) else {
            return;
        };
        let Some(sent) = take_body(&mut stream.sent) else {
            return;
        };
        if !stream.is_accepted {
            stream.received.clear();
            if let Ok(Asked::Question(Question::Raft(Request::RequestVote(request)))) =
                methods::read(&sent).0
                && !request.pre_vote
            {
                self.vote_requests += 1;
                let what = "a request for votes";
                self.check_vote(call, what, request.term, request.candidate_id);
            }
            return;
        }
        let Some(request) = take_body(&mut stream.received) else {
            return;
        };
        let Ok(Ok(reply)) = xml::decode_response(&sent) else {
            // A fault promises nothing.
            return;
        };
        match methods::read(&request).0 {
            Ok(Asked::Question(Question::Raft(request))) => {
                let kind = ReplyKind::of(&PeerRequest::Raft(request.clone()));
                if let Ok(PeerReply::Raft(reply)) = methods::decode_reply(kind, &reply) {
                    self.check_reply(call, &request, &reply);
                }
            }
            Ok(Asked::Question(Question::Submit(_) | Question::Attack(_))) => {
                let answer = codec::decode_answer(&reply).expect("the documented form");
                self.answers.push((call.time, answer.index, answer.term));
            }
            _ => {}
        }
    }

    fn check_reply(&mut self, call: &Call, request: &Request, reply: &Reply) {
        let known = self.durable.hard_state.current_term;
        if known < reply.term() {
            let what = format!("a reply of term {}, and {known} is there", reply.term());
            self.violation(call, &what);
        }
        match (request, reply) {
            // What is only asked for in advance promises nothing.
            (Request::RequestVote(request), Reply::RequestVote(reply))
                if reply.vote_granted && !request.pre_vote =>
            {
                self.votes += 1;
                self.check_vote(call, "a vote", request.term, request.candidate_id);
            }
            (Request::AppendEntries(request), Reply::AppendEntries(reply)) => {
                let AppendOutcome::Matched(end) = reply.outcome else {
                    return;
                };
                self.acknowledgements += 1;
                let before = (request.prev_log_index, request.prev_log_term);
                let entries = request.entries.iter().map(|e| (e.index, e.term));
                for (index, term) in std::iter::once(before).chain(entries) {
                    if !has(&self.durable, index, term) {
                        let what = format!(
                            "entries up to {end} acknowledged, and {index} of term {term} is not \
                             there"
                        );
                        return self.violation(call, &what);
                    }
                }
            }
            (Request::InstallSnapshot(request), Reply::InstallSnapshot(reply))
                if reply.outcome == InstallOutcome::Installed =>
            {
                self.installed += 1;
                let (index, term) = (request.last_included_index, request.last_included_term);
                if !has(&self.durable, index, term) {
                    let what = format!("a snapshot of {index} is not there");
                    self.violation(call, &what);
                }
            }
            _ => {}
        }
    }

    fn check_vote(&mut self, call: &Call, what: &str, term: u64, candidate: u64) {
        let state = self.durable.hard_state;
        let kept = state.current_term > term
            || (state.current_term, state.voted_for) == (term, Some(candidate));
        if !kept {
            let what = format!("{what} of term {term} for {candidate}, and {state:?} is there");
            self.violation(call, &what);
        }
    }

    fn violation(&mut self, call: &Call, what: &str) {
        self.violations.push(format!("line {}: {what}", call.line));
    }
}

/// Whether the entry is there, or one of a later leader's in its place, or what stands for it.
fn has(recovered: &Recovered, index: u64, term: u64) -> bool {
    let snapshot = recovered.snapshot.as_ref();
    index == 0
        || snapshot.is_some_and(|snapshot| snapshot.last_index >= index)
        || recovered.log.term_at(index) >= Some(term)
}

/// The answers to clients, of any of the nodes, that were given before a majority had the entry.
pub fn unbacked(nodes: &[Reader]) -> Vec<String> {
    let mut found = Vec::new();
    for (time, index, term) in nodes.iter().flat_map(|node| &node.answers) {
        let had = |node: &&Reader| {
            let until = node.history.partition_point(|(at, _)| at < time);
            let last = node.history[..until].last();
            last.is_some_and(|(_, recovered)| has(recovered, *index, *term))
        };
        let count = nodes.iter().filter(had).count();
        if count <= nodes.len() / 2 {
            found.push(format!(
                "at {time}: {index} of term {term} was answered when {count} had it"
            ));
        }
    }
    found
}

/// Takes the first HTTP message out, if it is whole, and returns its body.
fn take_body(bytes: &mut Vec<u8>) -> Option<Vec<u8>> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let (_, length) = text.split_once("content-length:")?;
    let length: usize = length.lines().next()?.trim().parse().ok()?;
    if bytes.len() < head + length {
        return None;
    }
    let body = bytes[head..head + length].to_vec();
    bytes.drain(..head + length);
    Some(body)
}
