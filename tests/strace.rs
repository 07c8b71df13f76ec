//! No promise leaves a node before what it promises is on its disk: read off the calls that real
//! nodes make of the system.
//!
//! `kill -9` cannot show a missing fsync, because the system keeps what a killed process has
//! written. So strace watches the nodes of a real cluster through elections, restarts, snapshots
//! and commands, and `strace/reader.rs` reads what it wrote. The same walk with `fsync = false` is
//! the proof that the reader would see it; and so are small traces in which one line is missing, in
//! the wrong place, or says something else.

// In a test an error is a panic, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

#[path = "strace/calls.rs"]
mod calls;
#[path = "strace/reader.rs"]
mod reader;

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use calls::quoted;
use raftian::machine::Answer;
use raftian::node::event::{PeerRequest, Response};
use raftian::raft::{
    AppendEntries, AppendEntriesReply, AppendOutcome, Entry, HardState, Payload, Reply, Request,
    RequestVote, RequestVoteReply, Save,
};
use raftian::rpc::client::Client;
use raftian::rpc::methods;
use raftian::snapshot::Document;
use raftian::storage::{Disk, Identity, MemoryDisk, Options, Storage as _, Store};
use reader::{Reader, unbacked};
use rustix::process::Signal;
use support::{Cluster, Timing, submit};

// ----------------------------------------------------------------------- a real cluster

/// A node under strace is slow.
const TIMING: Timing = Timing {
    heartbeat: 100,
    election_timeout: (1000, 2000),
};

/// A cluster whose nodes are all watched.
struct Watched {
    cluster: Cluster,
    readers: Vec<Reader>,
    lives: BTreeMap<u64, u64>,
    answers: u64,
}

impl Watched {
    fn new(storage: &str) -> Watched {
        let cluster = Cluster::with_storage(3, TIMING, storage);
        let reader = |id| Reader::new("test", id, &format!("data/bob{id}"));
        let readers = cluster.ids().into_iter().map(reader).collect();
        let mut watched = Watched {
            cluster,
            readers,
            lives: BTreeMap::new(),
            answers: 0,
        };
        for id in watched.cluster.ids() {
            watched.start(id);
        }
        watched.cluster.wait_for_leader();
        watched
    }

    fn trace(&self, id: u64) -> PathBuf {
        let life = self.lives[&id];
        self.cluster.dir().join(format!("bob{id}.{life}.strace"))
    }

    fn start(&mut self, id: u64) {
        const CALLS: &str = "trace=openat,close,lseek,write,writev,pwrite64,read,recvfrom,sendto,\
                             sendmsg,fdatasync,fsync,rename,unlink,ftruncate,accept4,socket";
        *self.lives.entry(id).or_default() += 1;
        let trace = self.trace(id);
        let trace = trace.to_str().unwrap();
        let words = [
            // The tracer is a grandchild, so that the process that is started is the node.
            "strace",
            "-D",
            "-f",
            "-q",
            "-ttt",
            "-T",
            "-s",
            "4000000",
            "-e",
            "signal=SIGKILL",
            "-e",
            CALLS,
            "-o",
            trace,
        ];
        self.cluster.launch(id, &words, &[]);
        self.cluster.wait_until_ready(id);
    }

    /// A node has ended: reads its trace, and what it has left.
    fn read(&mut self, id: u64, pid: u32) {
        let path = self.trace(id);
        // The process is the last of its threads to end.
        let trace = self.cluster.wait_for("the end of the trace", |_| {
            let trace = fs::read_to_string(&path).unwrap();
            let has_ended = trace
                .lines()
                .rev()
                .any(|line| line.starts_with(&format!("{pid} ")) && line.contains(" +++ "));
            has_ended.then_some(trace)
        });
        let reader = &mut self.readers[id as usize - 1];
        reader.follow(&trace);
        let mut contents = BTreeMap::new();
        for entry in fs::read_dir(self.cluster.data(id)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_str().unwrap().to_string();
            contents.insert(name, fs::read(path).unwrap());
        }
        reader.left(contents);
    }

    fn kill(&mut self, id: u64) {
        let pid = self.cluster.pid(id);
        self.cluster.kill(id);
        self.read(id, pid);
    }

    fn commands(&mut self, count: u64) {
        let running = self.cluster.running();
        for serial in self.answers + 1..=self.answers + count {
            let id = running[serial as usize % running.len()];
            let client = Client::new(&self.cluster.address(id), Duration::from_secs(10));
            self.cluster.wait_for("an answer", |_| {
                submit(&client, "c", serial, "attack 1").ok()
            });
        }
        self.answers += count;
    }

    fn someone_else(&self, than: u64) -> u64 {
        let ids = self.cluster.ids();
        ids.into_iter().find(|&id| id != than).unwrap()
    }

    fn end(mut self) -> Vec<Reader> {
        self.cluster.wait_until_equal();
        for id in self.cluster.running() {
            let pid = self.cluster.pid(id);
            self.cluster.stop(id, Signal::TERM);
            self.read(id, pid);
        }
        self.readers
    }
}

#[test]
fn no_vote_and_no_acknowledgement_of_a_real_node_leaves_before_what_it_promises_is_synced() {
    let mut watched = Watched::new("segment_kib = 4\nsnapshot_entries = 40\n");
    watched.commands(30);
    let (leader, _) = watched.cluster.wait_for_leader();
    watched.kill(leader);
    watched.cluster.wait_for_leader();
    watched.commands(10);
    watched.start(leader);
    watched.cluster.wait_until_equal();

    // Long enough away to need a snapshot.
    let (leader, _) = watched.cluster.wait_for_leader();
    let away = watched.someone_else(leader);
    watched.kill(away);
    watched.commands(100);
    watched.start(away);
    watched.cluster.wait_until_equal();

    let (leader, term) = watched.cluster.wait_for_leader();
    watched.cluster.pause(leader);
    let (_, later) = watched.cluster.wait_for_leader();
    assert!(later > term);
    watched.commands(5);
    watched.cluster.resume(leader);
    watched.cluster.wait_for_leader();
    watched.commands(5);
    let answered = watched.answers;
    let readers = watched.end();

    let sum = |count: fn(&Reader) -> usize| readers.iter().map(count).sum::<usize>();
    let (votes, requests) = (sum(|r| r.votes), sum(|r| r.vote_requests));
    let (acknowledged, installed) = (sum(|r| r.acknowledgements), sum(|r| r.installed));
    let answers = sum(Reader::answers);
    println!(
        "{votes} votes, {requests} requests for votes, {acknowledged} acknowledgements, \
         {installed} installed snapshots, {answers} answers"
    );
    for reader in &readers {
        assert!(reader.violations.is_empty(), "{:#?}", reader.violations);
    }
    assert_eq!(unbacked(&readers), Vec::<String>::new());
    // Otherwise the trace was not read as it was meant to be.
    assert!(votes >= 3 && requests >= 3 && installed >= 1);
    assert!(acknowledged >= 150 && answers >= answered as usize);
}

#[test]
fn without_fsync_every_kind_of_promise_of_a_real_node_is_seen_to_be_broken() {
    let mut watched = Watched::new("fsync = false\n");
    watched.commands(10);
    let readers = watched.end();
    let violations: Vec<_> = readers
        .iter()
        .flat_map(|reader| &reader.violations)
        .collect();
    for what in [
        ": a vote of term",
        ": a request for votes of term",
        ": entries up to ",
    ] {
        assert!(
            violations.iter().any(|v| v.contains(what)),
            "{violations:#?}"
        );
    }
    assert!(unbacked(&readers).len() >= 10);
    let acknowledged: usize = readers.iter().map(|reader| reader.acknowledgements).sum();
    assert!(violations.len() > acknowledged, "none was kept");
}

// -------------------------------------------------------------------------- small traces

/// Writes what a process does as strace would.
#[derive(Clone, Default)]
struct Script {
    lines: Arc<Mutex<Vec<String>>>,
}

impl Script {
    fn written(&self) -> Vec<String> {
        self.lines.lock().unwrap().clone()
    }

    fn call(&self, call: &str, result: usize) {
        let mut lines = self.lines.lock().unwrap();
        let time = lines.len();
        lines.push(format!("7 {time}.0 {call} = {result} <0.1>"));
    }

    /// A request and the reply to it, over a new connection.
    fn replies(&self, request: Request, reply: Reply) {
        let request = http(&methods::call(&PeerRequest::Raft(request)));
        let reply = http(&methods::write(Ok(Response::Raft(reply))));
        self.call("accept4(3, NULL, NULL, SOCK_CLOEXEC)", 9);
        let received = format!("recvfrom(9, {}, 4096, 0, NULL, NULL)", quoted(&request));
        self.call(&received, request.len());
        self.call(
            &format!("sendto(9, {}, 1, 0, NULL, 0)", quoted(&reply)),
            reply.len(),
        );
        self.call("close(9)", 0);
    }

    /// A request to another node.
    fn asks(&self, request: Request) {
        let request = http(&methods::call(&PeerRequest::Raft(request)));
        self.call("socket(AF_INET, SOCK_STREAM, IPPROTO_IP)", 9);
        self.call(
            &format!("sendto(9, {}, 1, 0, NULL, 0)", quoted(&request)),
            request.len(),
        );
        self.call("close(9)", 0);
    }
}

fn http(body: &[u8]) -> Vec<u8> {
    let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// A disk that writes down what is asked of it.
struct Scripted {
    disk: MemoryDisk,
    script: Script,
}

impl Scripted {
    fn with_file(&self, name: &str, flags: &str, calls: &[(String, usize)]) {
        let name = format!("data/bob1/{name}");
        let name = name.trim_end_matches('/');
        self.script
            .call(&format!("openat(AT_FDCWD, \"{name}\", {flags})"), 5);
        for (call, result) in calls {
            self.script.call(call, *result);
        }
        self.script.call("close(5)", 0);
    }
}

impl Disk for Scripted {
    fn lock(&mut self) -> io::Result<bool> {
        self.disk.lock()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        self.disk.read(name)
    }

    fn create(&mut self, name: &str) -> io::Result<()> {
        self.with_file(name, "O_WRONLY|O_CREAT|O_TRUNC|O_CLOEXEC, 0666", &[]);
        self.disk.create(name)
    }

    fn append(&mut self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let end = self.disk.read(name)?.len();
        self.write_at(name, end as u64, bytes)
    }

    fn write_at(&mut self, name: &str, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let write = format!("write(5, {}, {})", quoted(bytes), bytes.len());
        let seek = (format!("lseek(5, {offset}, SEEK_SET)"), offset as usize);
        self.with_file(name, "O_WRONLY|O_CLOEXEC", &[seek, (write, bytes.len())]);
        match offset as usize == self.disk.read(name)?.len() {
            true => self.disk.append(name, bytes),
            false => self.disk.write_at(name, offset, bytes),
        }
    }

    fn sync(&mut self, name: &str) -> io::Result<()> {
        self.with_file(
            name,
            "O_WRONLY|O_CLOEXEC",
            &[("fdatasync(5)".to_string(), 0)],
        );
        self.disk.sync(name)
    }

    fn rename(&mut self, from: &str, to: &str) -> io::Result<()> {
        let call = format!("rename(\"data/bob1/{from}\", \"data/bob1/{to}\")");
        self.script.call(&call, 0);
        self.disk.rename(from, to)
    }

    fn remove(&mut self, name: &str) -> io::Result<()> {
        self.script
            .call(&format!("unlink(\"data/bob1/{name}\")"), 0);
        self.disk.remove(name)
    }

    fn sync_dir(&mut self) -> io::Result<()> {
        self.with_file("", "O_RDONLY|O_CLOEXEC", &[("fsync(5)".to_string(), 0)]);
        self.disk.sync_dir()
    }
}

/// Node 1 promises one thing of each kind: it votes for node 2 in term 1, acknowledges its entries,
/// so many that they need a second file, and asks for votes in term 2.
fn good() -> Vec<String> {
    let script = Script::default();
    let disk = Scripted {
        disk: MemoryDisk::default(),
        script: script.clone(),
    };
    let identity = Identity {
        cluster: "test".to_string(),
        node: 1,
    };
    let options = Options {
        fsync: true,
        segment_bytes: 1024,
    };
    let (mut store, _) = Store::open(disk, &identity, options, Document::read_snapshot).unwrap();
    let mut save = |save| store.save_all(&mut vec![save]).unwrap();
    let state = |current_term, voted_for| Save {
        hard_state: Some(HardState {
            current_term,
            voted_for: Some(voted_for),
        }),
        ..Save::default()
    };
    save(state(1, 2));
    let vote = |term, candidate_id, last_log_index, last_log_term| {
        Request::RequestVote(RequestVote {
            term,
            candidate_id,
            last_log_index,
            last_log_term,
            pre_vote: false,
            transfer: false,
        })
    };
    let granted = RequestVoteReply {
        term: 1,
        vote_granted: true,
    };
    script.replies(vote(1, 2, 0, 0), Reply::RequestVote(granted));

    let entries: Vec<Entry> = (1..=20)
        .map(|index| Entry {
            index,
            term: 1,
            payload: Payload::Noop,
        })
        .collect();
    save(Save {
        entries: entries.clone(),
        ..Save::default()
    });
    let append = AppendEntries {
        term: 1,
        leader_id: 2,
        prev_log_index: 0,
        prev_log_term: 0,
        entries,
        leader_commit: 0,
    };
    let matched = AppendEntriesReply {
        term: 1,
        outcome: AppendOutcome::Matched(20),
    };
    script.replies(
        Request::AppendEntries(append),
        Reply::AppendEntries(matched),
    );

    save(state(2, 1));
    script.asks(vote(2, 1, 20, 1));
    script.written()
}

fn judge(lines: &[String]) -> Reader {
    let mut reader = Reader::new("test", 1, "data/bob1");
    reader.follow(&lines.join("\n"));
    reader
}

/// Where the three promises leave, and what is said of each when it is broken.
fn promises(lines: &[String]) -> Vec<(usize, &'static str)> {
    let sends = lines
        .iter()
        .enumerate()
        .filter(|(_, line)| line.contains(" sendto("));
    let said = [
        ": a vote of term 1",
        ": entries up to 20",
        ": a request for votes of term 2",
    ];
    let sends: Vec<usize> = sends.map(|(at, _)| at).collect();
    assert_eq!(sends.len(), 3);
    sends.into_iter().zip(said).collect()
}

/// Changes the trace for each of its promises in turn, given where it leaves and where the last
/// fdatasync before it stands, and asserts that this promise is seen to be broken.
fn assert_seen(change: impl Fn(&mut Vec<String>, usize, usize)) {
    let lines = good();
    for (sent, said) in promises(&lines) {
        let is_sync = |line: &String| line.contains(" fdatasync(");
        let sync = lines[..sent].iter().rposition(is_sync).unwrap();
        let mut changed = lines.clone();
        change(&mut changed, sent, sync);
        let violations = judge(&changed).violations;
        assert!(
            violations.iter().any(|v| v.contains(said)),
            "{said}: {violations:#?}"
        );
    }
}

#[test]
fn a_trace_in_which_everything_is_synced_first_has_no_violation() {
    let reader = judge(&good());
    assert_eq!(reader.violations, Vec::<String>::new());
    let seen = (reader.votes, reader.acknowledgements, reader.vote_requests);
    assert_eq!(seen, (1, 1, 1));
}

#[test]
fn a_promise_that_leaves_before_its_fdatasync_is_seen() {
    assert_seen(|lines, sent, sync| {
        let line = lines.remove(sync);
        lines.insert(sent, line);
    });
}

#[test]
fn a_promise_without_an_fdatasync_is_seen() {
    assert_seen(|lines, _, sync| drop(lines.remove(sync)));
}

#[test]
fn a_promise_after_an_fdatasync_that_failed_is_seen() {
    assert_seen(|lines, _, sync| {
        lines[sync] = lines[sync].replace(" = 0 ", " = -1 EIO (Input/output error) (INJECTED) ");
    });
}

#[test]
fn a_promise_after_an_fdatasync_of_another_file_is_seen() {
    assert_seen(|lines, _, sync| {
        let opened = lines[..sync]
            .iter()
            .rposition(|line| line.contains(" openat("));
        let opened = opened.unwrap();
        let own = lines[opened].split('"').nth(1).unwrap().to_string();
        lines[opened] = lines[opened].replace(&own, "data/bob2/hard-state");
    });
}

#[test]
fn a_promise_after_an_fdatasync_that_began_before_the_write_is_seen() {
    assert_seen(|lines, _, sync| {
        let written = lines[..sync].iter().position(|_| true).unwrap();
        let last = lines[..sync]
            .iter()
            .rposition(|line| line.contains(" write("));
        let file = |lines: &[String], before: usize| {
            let opened = lines[..before]
                .iter()
                .rposition(|line| line.contains(" openat("));
            lines[opened.unwrap()].clone()
        };
        // Every write since the sync before it: term and vote are written twice.
        let earlier = lines[..sync]
            .iter()
            .rposition(|line| line.contains(" fdatasync("));
        let from = earlier.unwrap_or(written) + 2;
        assert!(from < last.unwrap());
        let open = file(lines, sync).replace(" = 5 ", " = 6 ");
        lines[sync] = "8 1.0 <... fdatasync resumed>) = 0 <9.0>".to_string();
        lines.insert(from, "8 1.0 fdatasync(6 <unfinished ...>".to_string());
        lines.insert(from, open);
    });
}

#[test]
fn a_promise_while_its_fdatasync_is_still_under_way_is_seen() {
    assert_seen(|lines, sent, sync| {
        lines[sync] = "8 1.0 fdatasync(5 <unfinished ...>".to_string();
        lines.insert(
            sent + 1,
            "8 1.0 <... fdatasync resumed>) = 0 <9.0>".to_string(),
        );
    });
}

#[test]
fn a_promise_that_rests_on_a_file_whose_name_is_not_synced_is_seen() {
    let lines = good();
    let (sent, said) = promises(&lines)[1];
    let renamed = lines[..sent]
        .iter()
        .rposition(|line| line.contains(" rename("))
        .unwrap();
    let mut changed = lines[..renamed + 1].to_vec();
    let rest = lines[renamed + 1..].iter();
    changed.extend(rest.filter(|line| !line.contains(" fsync(")).cloned());
    let violations = judge(&changed).violations;
    assert!(
        violations.iter().any(|v| v.contains(said)),
        "{violations:#?}"
    );
}

#[test]
fn an_answer_that_leaves_before_a_majority_has_synced_the_entry_is_seen() {
    let lines = good();
    let answer = Answer {
        index: 20,
        term: 1,
        outcome: "ok".to_string(),
    };
    let reply = http(&methods::write(Ok(Response::Applied(answer))));
    let params = ["c".into(), 1.into(), "attack 1".into()];
    let request = http(&raftian::rpc::xml::encode_call("submit_rpc", &params));
    let synced = lines
        .iter()
        .rposition(|line| line.contains(" accept4("))
        .unwrap() as f64;
    let broken = |had: usize, time: f64| {
        let mut nodes: Vec<Reader> = (0..had).map(|_| judge(&lines)).collect();
        nodes.resize_with(3, || Reader::new("test", 3, "data/bob3"));
        nodes[2].follow(&answered(&request, &reply, time));
        assert_eq!(nodes[2].answers(), 1);
        unbacked(&nodes).len()
    };
    assert_eq!(broken(2, synced), 0);
    assert_eq!(broken(1, synced), 1);
    assert_eq!(broken(2, 0.0), 1);
}

/// A client's request and the answer, at that time.
fn answered(request: &[u8], reply: &[u8], time: f64) -> String {
    [
        "accept4(3, NULL, NULL, SOCK_CLOEXEC) = 9".to_string(),
        format!(
            "recvfrom(9, {}, 1, 0, NULL, NULL) = {}",
            quoted(request),
            request.len()
        ),
        format!(
            "sendto(9, {}, 1, 0, NULL, 0) = {}",
            quoted(reply),
            reply.len()
        ),
    ]
    .map(|call| format!("7 {time} {call} <0.1>"))
    .join("\n")
}
