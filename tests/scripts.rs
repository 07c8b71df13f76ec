//! Golden scripts: what a cluster of cores does, step by step, as a file that can be read.
//!
//! Each file in `tests/scripts` is named after the sentence that it proves. In it, a line that
//! starts with `>` is a command to a simulated cluster (see `raft/mod.rs`), and the lines below are
//! all that came of it. Empty lines and `#` comments are for the reader. This runner carries the
//! commands out and compares. With `UPDATE_SCRIPTS=1` it writes what it saw into the files
//! instead; read the difference before you believe it.
//!
//! ```text
//! cluster N [slow] [batch=N] [backlog=N] [bytes=N] [part=N] [lag=N] [pre-vote] [check-quorum] [founds]
//!                        N new nodes; slow: saves finish when told to; part: most bytes of a
//!                        snapshot at once; lag: how many entries more are kept while one is sent;
//!                        founds: the first leader writes down who the members are
//! disk 2 term=3 [vote=1] [log=1,1,3]       node 2 starts again, from a disk that holds this
//!
//! tick 1 50              50 ms pass on node 1
//! campaign 1             node 1's clock runs until it starts an election
//! heartbeat 1            a heartbeat interval passes on node 1
//! propose 1 a; b         two commands are put to node 1 at once
//!
//! join 4 1,2             a new node 4, which knows nobody but that 1 and 2 are members
//! introduce 2 4          node 2 hears that 4 is a member
//! change 1 [add=4,5] [promote=4] [remove=3]         node 1 is asked to change the members
//! transfer 1 [2]         node 1 is asked to hand the leadership over, to 2
//! read 1                 node 1 is asked for an index to read at
//!
//! snapshot 1 [keep=N]    node 1 writes its state down, and keeps the last N entries before
//! full 1 / room 1        node 1's disk is full / has room again
//!
//! deliver                everything under way arrives, and what comes of it
//! deliver 1->2 2->1      the oldest message from 1 to 2 arrives, then the one back
//! drop 1->2              the oldest message is lost, and the caller told so
//! drop                   everything under way is lost
//! expire 1->2            1 loses patience with its call to 2; the message goes on
//! duplicate 1->2         the oldest message will arrive twice
//! delay 1->2             the oldest message is overtaken by all others
//! cut 1->2 3-4           nothing passes from 1 to 2, nor between 3 and 4
//! partition 1 2 | 3      only nodes of one group can talk
//! heal                   all can talk to all
//!
//! inject 1 vote from=2 term=3 last=1@1 [pre] [transfer]           a forged request arrives,
//! inject 1 append from=2 term=3 prev=1@1 [log=2,3] [commit=1]     its answer goes nowhere
//! inject 1 install from=2 term=3 snapshot=5@2 offset=0 data=abc [done]
//! inject 1 timeout from=2 term=3
//!
//! save / save 1          all saves finish / node 1's oldest does
//! crash 1                and its unfinished saves are lost
//! restart 1              from its disk
//!
//! status / status 1      role, term, leader, vote, last entry, commit index, peers
//! log / log 1            all entries; those before the bar are known to be committed
//! members / members 1    who belongs to the cluster, as each node's log has it: 4 comes (+4), 3 goes
//!                        (-3), 5 is a learner (~5)
//! wire                   what is under way
//!
//! quietly COMMAND        the same, and nobody tells
//! ```
//!
//! `3@2` is index 3 of term 2. `1->2` sends, `1=>2` arrives, with its effects below it. They are
//! listed in the order in which they happen: what is sent before a save stands before it.

// Helpers of tests are tests, too: they may fail with a panic.
#![allow(clippy::unwrap_used)]

mod raft;

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use raft::{Cluster, entries, notation};
use raftian::raft::{
    AppendEntries, Change, Configuration, HardState, InstallSnapshot, NodeId, NotProposed, Request,
    RequestVote, TimeoutNow,
};

#[test]
fn every_script_ends_as_it_says() {
    let update = std::env::var_os("UPDATE_SCRIPTS").is_some();
    let mut failures = String::new();
    for path in scripts() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        match run(&name, &text) {
            Ok(()) => {}
            Err(wrong) if update => fs::write(&path, wrong.actual).unwrap(),
            Err(wrong) => failures += &wrong.difference,
        }
    }
    assert!(failures.is_empty(), "\n{failures}");
}

#[test]
fn a_script_with_a_wrong_expectation_fails_and_shows_the_difference() {
    let right = "> cluster 1\n\n> status\n1 follower term=0 leader=- vote=- last=0@0 commit=0\n";
    assert!(run("right", right).is_ok());
    let wrong = run("wrong", &right.replace("follower", "leader")).unwrap_err();
    assert_eq!(wrong.actual, right);
    assert_eq!(
        wrong.difference,
        "wrong:3: > status\n\
         - 1 leader term=0 leader=- vote=- last=0@0 commit=0\n\
         + 1 follower term=0 leader=- vote=- last=0@0 commit=0\n"
    );
}

/// Every script, in order.
fn scripts() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scripts");
    let mut paths: Vec<PathBuf> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "txt"))
        .collect();
    assert!(!paths.is_empty(), "there are scripts");
    paths.sort();
    paths
}

/// A script whose commands did something else.
#[derive(Debug)]
struct Wrong {
    /// The script as it should be.
    actual: String,
    /// What differs, command by command.
    difference: String,
}

fn run(name: &str, script: &str) -> Result<(), Wrong> {
    let mut cluster = Cluster::new(0);
    let mut actual = String::new();
    let mut difference = String::new();
    let mut lines = script.lines().enumerate().peekable();
    while let Some((number, line)) = lines.next() {
        writeln!(actual, "{line}").unwrap();
        let Some(command) = line.strip_prefix("> ") else {
            continue;
        };
        let is_output = |line: &str| !line.is_empty() && !line.starts_with(['>', '#']);
        let mut expected = Vec::new();
        while let Some((_, line)) = lines.next_if(|(_, line)| is_output(line)) {
            expected.push(line.to_string());
        }
        let place = format!("{name}:{}: {line}", number + 1);
        println!("{place}");
        let Some(output) = execute(&mut cluster, command) else {
            panic!("this is no command; the top of tests/scripts.rs lists them");
        };
        if output != expected {
            writeln!(difference, "{place}").unwrap();
            // Where only the order differs, every line is shown on both sides.
            let is_order = output.iter().all(|line| expected.contains(line))
                && expected.iter().all(|line| output.contains(line));
            let differs = |line: &String, other: &[String]| is_order || !other.contains(line);
            for line in &expected {
                let sign = if differs(line, &output) { '-' } else { ' ' };
                writeln!(difference, "{sign} {line}").unwrap();
            }
            for line in output.iter().filter(|line| differs(line, &expected)) {
                writeln!(difference, "+ {line}").unwrap();
            }
        }
        for line in output {
            writeln!(actual, "{line}").unwrap();
        }
    }
    if difference.is_empty() {
        Ok(())
    } else {
        Err(Wrong { actual, difference })
    }
}

/// What a command says and does; `None` when it is none.
fn execute(cluster: &mut Cluster, command: &str) -> Option<Vec<String>> {
    let words: Vec<&str> = command.split_whitespace().collect();
    let mut said = Vec::new();
    if let Some(command) = command.strip_prefix("quietly ") {
        return execute(cluster, command).map(|_| Vec::new());
    }
    match words[..] {
        ["cluster", nodes, ref options @ ..] => {
            let nodes = nodes.parse().ok()?;
            *cluster = Cluster::with(nodes, |config| {
                config.max_batch_entries =
                    option(options, "batch").unwrap_or(config.max_batch_entries);
                config.max_uncommitted =
                    option(options, "backlog").unwrap_or(config.max_uncommitted);
                config.max_uncommitted_bytes =
                    option(options, "bytes").unwrap_or(config.max_uncommitted_bytes);
                config.pre_vote = options.contains(&"pre-vote");
                config.check_quorum = options.contains(&"check-quorum");
                config.founds = options.contains(&"founds");
                config.max_part_bytes = option(options, "part").unwrap_or(config.max_part_bytes);
                config.keep_while_sending =
                    option(options, "lag").unwrap_or(config.keep_while_sending);
            });
            cluster.slow_disks = options.contains(&"slow");
        }
        ["disk", id, ref options @ ..] => {
            let hard_state = HardState {
                current_term: option(options, "term")?,
                voted_for: option(options, "vote"),
            };
            cluster.replace_disk(node(cluster, id)?, hard_state, &terms(options));
        }
        ["tick", id, ms] => cluster.tick(node(cluster, id)?, ms.parse().ok()?),
        ["campaign", id] => cluster.campaign(node(cluster, id)?),
        ["heartbeat", id] => cluster.tick(node(cluster, id)?, raft::HEARTBEAT),
        ["propose", id, ..] => {
            let texts = command.splitn(3, ' ').nth(2)?;
            let texts: Vec<&str> = texts.split("; ").collect();
            said.push(match cluster.propose(node(cluster, id)?, &texts) {
                Ok(proposed) => format!("placed from {}@{} on", proposed.index, proposed.term),
                Err(NotProposed::NotLeader(leader)) => {
                    format!("not placed: the leader is {}", notation::number(leader))
                }
                Err(NotProposed::Full) => "not placed: too much is uncommitted".to_string(),
                Err(NotProposed::HandingOver) => {
                    "not placed: the leader is handing over".to_string()
                }
            });
        }
        ["join", id, known] => cluster.join(id.parse().ok()?, &ids(known)),
        ["introduce", id, known] => cluster.introduce(node(cluster, id)?, &ids(known)),
        ["change", id, ref options @ ..] => {
            let list = |name| ids(text(options, name).unwrap_or_default());
            let new = |id| (id, (format!("node{id}"), format!("node{id}:1")));
            let change = Change {
                add: list("add").into_iter().map(new).collect(),
                promote: list("promote").into_iter().collect(),
                remove: list("remove").into_iter().collect(),
            };
            said.push(match cluster.change(node(cluster, id)?, &change) {
                Ok(proposed) => format!("placed at {}@{}", proposed.index, proposed.term),
                Err(not) => format!("not changed: {not}"),
            });
        }
        ["transfer", id, ref to @ ..] => {
            let to = to.first().map(|to| to.parse().ok());
            let to = match to {
                None => None,
                Some(to) => Some(to?),
            };
            if let Err(not) = cluster.transfer(node(cluster, id)?, to) {
                said.push(format!("not handed over: {not}"));
            }
        }
        ["read", id] => said.push(match cluster.read(node(cluster, id)?) {
            Ok(read) => format!("read {read}"),
            Err(not) => format!("not read: {not:?}"),
        }),
        ["snapshot", id, ref options @ ..] => {
            cluster.snapshot(node(cluster, id)?, option(options, "keep").unwrap_or(0));
        }
        ["full" | "room", id] => cluster.disk_full(node(cluster, id)?, words[0] == "full"),
        ["deliver"] => cluster.deliver(),
        ["deliver", ref links @ ..] => each(links, |from, to| cluster.deliver_one(from, to))?,
        ["drop"] => cluster.drop_all(),
        ["drop", ref links @ ..] => each(links, |from, to| cluster.drop_one(from, to))?,
        ["expire", ref links @ ..] => each(links, |from, to| cluster.expire(from, to))?,
        ["duplicate", ref links @ ..] => each(links, |from, to| cluster.duplicate(from, to))?,
        ["delay", ref links @ ..] => each(links, |from, to| cluster.delay(from, to))?,
        ["cut", ref links @ ..] => each(links, |from, to| cluster.cut(from, to))?,
        ["partition", ref words @ ..] => {
            let mut groups: Vec<Vec<NodeId>> = Vec::new();
            for group in words.split(|&word| word == "|") {
                groups.push(
                    group
                        .iter()
                        .map(|id| node(cluster, id))
                        .collect::<Option<_>>()?,
                );
            }
            let groups: Vec<&[NodeId]> = groups.iter().map(Vec::as_slice).collect();
            cluster.partition(&groups);
        }
        ["heal"] => cluster.heal(),
        ["inject", id, kind, ref options @ ..] => {
            cluster.inject(node(cluster, id)?, request(kind, options)?);
        }
        ["save"] => while cluster.ids().into_iter().any(|id| cluster.finish_save(id)) {},
        ["save", id] => {
            if !cluster.finish_save(node(cluster, id)?) {
                said.push("nothing is being saved".to_string());
            }
        }
        ["crash", id] => cluster.crash(node(cluster, id)?),
        ["restart", id] => cluster.restart(node(cluster, id)?),
        ["status" | "log" | "members", ref ids @ ..] => {
            for id in cluster.ids() {
                if ids.is_empty() || ids.contains(&id.to_string().as_str()) {
                    said.push(match cluster.running(id) {
                        None => format!("{id} is down"),
                        Some(core) if words[0] == "log" => notation::log(core),
                        Some(core) if words[0] == "members" => notation::members(core),
                        Some(core) => notation::status(core),
                    });
                }
            }
        }
        ["wire"] if cluster.wire.is_empty() => said.push("nothing is under way".to_string()),
        ["wire"] => said.extend(cluster.wire.iter().map(notation::packet)),
        _ => return None,
    }
    let mut output = std::mem::take(&mut cluster.events);
    output.extend(said);
    Some(output)
}

/// A forged request.
fn request(kind: &str, options: &[&str]) -> Option<Request> {
    let (from, term) = (option(options, "from")?, option(options, "term")?);
    Some(match kind {
        "append" => {
            let (prev_log_index, prev_log_term) = position(options, "prev")?;
            Request::AppendEntries(AppendEntries {
                term,
                leader_id: from,
                prev_log_index,
                prev_log_term,
                entries: entries(prev_log_index + 1, &terms(options)),
                leader_commit: option(options, "commit").unwrap_or(0),
            })
        }
        "vote" => {
            let (last_log_index, last_log_term) = position(options, "last")?;
            Request::RequestVote(RequestVote {
                term,
                candidate_id: from,
                last_log_index,
                last_log_term,
                pre_vote: options.contains(&"pre"),
                transfer: options.contains(&"transfer"),
            })
        }
        "install" => {
            let (last_included_index, last_included_term) = position(options, "snapshot")?;
            Request::InstallSnapshot(InstallSnapshot {
                term,
                leader_id: from,
                last_included_index,
                last_included_term,
                configuration: Configuration::of_voters(1..=3).into(),
                offset: option(options, "offset")?,
                // A word cannot have a space in it.
                data: text(options, "data")?.replace('_', " ").into_bytes(),
                done: options.contains(&"done"),
            })
        }
        "timeout" => Request::TimeoutNow(TimeoutNow {
            term,
            leader_id: from,
        }),
        _ => return None,
    })
}

/// `1,2`.
fn ids(list: &str) -> Vec<NodeId> {
    list.split(',').filter_map(|id| id.parse().ok()).collect()
}

fn node(cluster: &Cluster, id: &str) -> Option<NodeId> {
    id.parse().ok().filter(|id| cluster.ids().contains(id))
}

fn text<'a>(options: &[&'a str], name: &str) -> Option<&'a str> {
    options
        .iter()
        .find_map(|option| option.strip_prefix(name)?.strip_prefix('='))
}

fn option<T: std::str::FromStr>(options: &[&str], name: &str) -> Option<T> {
    text(options, name)?.parse().ok()
}

/// `prev=3@2`.
fn position(options: &[&str], name: &str) -> Option<(u64, u64)> {
    let (index, term) = text(options, name)?.split_once('@')?;
    Some((index.parse().ok()?, term.parse().ok()?))
}

/// `log=1,1,3`: the terms of entries one after another.
fn terms(options: &[&str]) -> Vec<u64> {
    let terms = text(options, "log").unwrap_or_default();
    terms
        .split(',')
        .filter_map(|term| term.parse().ok())
        .collect()
}

/// Calls `f` for `1->2`, and both ways for `1-2`.
fn each(links: &[&str], mut f: impl FnMut(NodeId, NodeId)) -> Option<()> {
    for link in links {
        let (from, to) = link.split_once("->").or_else(|| link.split_once('-'))?;
        let (from, to) = (from.parse().ok()?, to.parse().ok()?);
        f(from, to);
        if !link.contains('>') {
            f(to, from);
        }
    }
    Some(())
}
