//! A cluster of real processes for the tests: `raftian serve` on free ports, in a temporary folder.
//!
//! A [`Cluster`] writes a configuration and starts no node by itself. The test starts, stops, kills,
//! pauses and restarts them by id, asks them how they stand, and waits for conditions. A wait that
//! takes too long fails with what every node last said, and how its log ends. Whatever still runs is
//! killed when the cluster is dropped, also when the test fails.
//!
//! Ports: the system chooses them, and on Linux a socket that is bound and never listens holds each
//! of them until the cluster is dropped. So a node that is not running keeps its port, and no other
//! test gets it in between.
//!
//! Caveats: elsewhere a port is free from the moment in which it was chosen until its node listens.
//! A test process that is killed leaves its nodes running.

// Each test binary uses a part of this.
#![allow(dead_code, clippy::unwrap_used)]

pub mod docker;
pub mod links;
pub mod terminal;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use raftian::machine::Answer;
use raftian::node::event::Members;
use raftian::raft::{RoleName, Standing};
use raftian::rpc::client::{CallError, Client};
use raftian::rpc::codec;
use raftian::rpc::value::{Fault, Value};
use raftian::status::Status;
use rustix::process::{Pid, Signal, kill_process};
use socket2::{Domain, Socket, Type};
use tempfile::TempDir;

use links::Links;

/// How long a condition may take. It is long because it only matters when a test fails.
pub const DEADLINE: Duration = Duration::from_secs(40);
/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How long a question to a node may take; a paused one never answers.
const STATUS_WITHIN: Duration = Duration::from_secs(2);
/// Longer than a node lets a client wait.
const SUBMIT_WITHIN: Duration = Duration::from_secs(20);

/// How patient a cluster is, in milliseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timing {
    pub heartbeat: u64,
    pub election_timeout: (u64, u64),
}

/// Twice the default: on a busy machine a process can easily wait for 150 ms.
pub const PATIENT: Timing = Timing {
    heartbeat: 50,
    election_timeout: (300, 600),
};

/// For tests in which an election that nobody asked for would be a failure.
pub const VERY_PATIENT: Timing = Timing {
    heartbeat: 50,
    election_timeout: (600, 1200),
};

/// Nodes 1 to n, named bob1 to bobn.
pub struct Cluster {
    dir: TempDir,
    /// The keys of the table `[storage]`.
    storage: String,
    ports: Vec<Port>,
    nodes: BTreeMap<u64, Node>,
    /// What is between the nodes, if not nothing. They end after the nodes.
    links: Option<Links>,
}

/// A node's address, and what keeps it.
struct Port {
    address: SocketAddr,
    _kept: Option<Socket>,
}

/// A process.
struct Node {
    child: Child,
    paused: bool,
    /// How many lines this node's processes had printed before this one.
    printed_before: usize,
    clients: Clients,
}

struct Clients {
    status: Client,
    submit: Client,
}

impl Cluster {
    /// The configuration of a cluster, none of whose nodes is running.
    pub fn new(nodes: usize, timing: Timing) -> Cluster {
        Cluster::with_storage(nodes, timing, "")
    }

    /// The same with these keys of the table `[storage]`.
    pub fn with_storage(nodes: usize, timing: Timing, storage: &str) -> Cluster {
        let cluster = Cluster {
            dir: tempfile::tempdir().unwrap(),
            ports: (0..nodes).map(|_| free_port()).collect(),
            storage: storage.to_string(),
            nodes: BTreeMap::new(),
            links: None,
        };
        cluster.set_timing(timing);
        cluster
    }

    /// The same with a link between each two nodes, which the test can cut.
    pub fn linked(nodes: usize, timing: Timing, storage: &str, seed: u64) -> Cluster {
        let mut cluster = Cluster::with_storage(nodes, timing, storage);
        let ports = cluster.ports.iter().map(|port| port.address);
        cluster.links = Some(Links::new(&(1..).zip(ports).collect(), seed));
        cluster.set_timing(timing);
        cluster
    }

    /// What is between the nodes of [`Cluster::linked`].
    pub fn links(&self) -> &Links {
        self.links.as_ref().expect("a cluster with links")
    }

    /// Nodes that are started from now on are this patient.
    pub fn set_timing(&self, timing: Timing) {
        let write = |file: &str, seen_from| {
            fs::write(self.dir().join(file), self.config_text(timing, seen_from)).unwrap();
        };
        write("test.toml", None);
        if self.links.is_some() {
            for id in self.ids() {
                write(&self.config_of(id), Some(id));
            }
        }
    }

    /// The file with which a node is started.
    fn config_of(&self, id: u64) -> String {
        match &self.links {
            None => "test.toml".to_string(),
            Some(_) => format!("seen-from-bob{id}.toml"),
        }
    }

    /// A cluster whose nodes are all running and follow one leader.
    pub fn started(nodes: usize, timing: Timing) -> Cluster {
        let mut cluster = Cluster::new(nodes, timing);
        for id in cluster.ids() {
            cluster.start(id);
        }
        cluster.wait_for_leader();
        cluster
    }

    /// With links: where a node finds the others, and itself where it is.
    fn config_text(&self, timing: Timing, seen_from: Option<u64>) -> String {
        let Timing {
            heartbeat,
            election_timeout: (low, high),
        } = timing;
        let mut text = format!(
            "[cluster]\n\
             name = \"test\"\n\
             heartbeat_ms = {heartbeat}\n\
             election_timeout_ms = [{low}, {high}]\n\
             logs = \"logs\"\n\
             data = \"data\"\n\
             \n[storage]\n{}",
            self.storage
        );
        for id in self.ids() {
            let address = match (&self.links, seen_from) {
                (Some(links), Some(from)) if from != id => links.address(from, id).to_string(),
                _ => self.address(id),
            };
            text +=
                &format!("\n[[node]]\nid = {id}\nname = \"bob{id}\"\naddress = \"{address}\"\n");
        }
        text
    }

    // Where things are

    /// All ids, running or not.
    pub fn ids(&self) -> Vec<u64> {
        (1..=self.ports.len() as u64).collect()
    }

    /// The folder in which the processes run.
    pub fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// The configuration file.
    pub fn config(&self) -> PathBuf {
        self.dir().join("test.toml")
    }

    /// `HOST:PORT` of a node.
    pub fn address(&self, id: u64) -> String {
        self.ports[id as usize - 1].address.to_string()
    }

    /// The line of the configuration in which a node's address stands.
    pub fn address_line(&self, id: u64) -> usize {
        let line = format!("address = \"{}\"", self.address(id));
        let text = fs::read_to_string(self.config()).unwrap();
        1 + text.lines().position(|other| other == line).unwrap()
    }

    /// A node's folder for log files.
    pub fn logs(&self, id: u64) -> PathBuf {
        self.dir().join(format!("logs/bob{id}"))
    }

    /// A node's folder for what it must not forget.
    pub fn data(&self, id: u64) -> PathBuf {
        self.dir().join(format!("data/bob{id}"))
    }

    /// What a node has written to orders.log.
    pub fn orders(&self, id: u64) -> String {
        read(&self.logs(id).join("orders.log"))
    }

    /// What a node has written to node.log.
    pub fn node_log(&self, id: u64) -> String {
        read(&self.logs(id).join("node.log"))
    }

    /// Everything that the processes of a node have printed as errors.
    pub fn errors(&self, id: u64) -> String {
        read(&self.output(id, "err"))
    }

    /// Everything that the processes of a node have printed.
    pub fn printed(&self, id: u64) -> String {
        read(&self.output(id, "out"))
    }

    fn output(&self, id: u64, which: &str) -> PathBuf {
        self.dir().join(format!("bob{id}.{which}"))
    }

    // Processes

    /// The program in this cluster's folder, without the variables of whoever runs the tests.
    pub fn raftian(&self, arguments: &[&str]) -> Command {
        let mut command = self.ours(Command::new(env!("CARGO_BIN_EXE_raftian")));
        command.args(arguments);
        command
    }

    fn ours(&self, mut command: Command) -> Command {
        for name in raftian_variables() {
            command.env_remove(name);
        }
        command.current_dir(self.dir()).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end, which must come: a node that starts although it should not
    /// would run for ever.
    pub fn run(&self, arguments: &[&str]) -> Output {
        let mut command = self.raftian(arguments);
        let mut child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
        let deadline = Instant::now() + DEADLINE;
        while child.try_wait().unwrap().is_none() {
            if Instant::now() >= deadline {
                child.kill().unwrap();
                let output = child.wait_with_output().unwrap();
                panic!("{arguments:?} does not end: {output:?}\n{}", self.report());
            }
            thread::sleep(LOOK_EVERY);
        }
        child.wait_with_output().unwrap()
    }

    /// Starts a node and waits until it says that it is ready.
    pub fn start(&mut self, id: u64) {
        self.start_with(id, &[]);
    }

    /// Starts a node with more options.
    pub fn start_with(&mut self, id: u64, options: &[&str]) {
        self.launch(id, &[], options);
        self.wait_until_ready(id);
    }

    /// Starts a node and does not wait. Words before the program's name start it in their own way,
    /// as long as they become it in the end: the process that was started is the node.
    pub fn launch(&mut self, id: u64, before: &[&str], options: &[&str]) {
        let (id_text, config) = (id.to_string(), self.config_of(id));
        let serve = ["serve", "--config", &config, "--id", &id_text];
        self.launch_as(id, before, &[&serve, options].concat());
    }

    /// Starts a new node that joins the cluster by way of another, and waits until it says that it
    /// is ready. Returns its id.
    pub fn join(&mut self, contact: u64) -> u64 {
        let id = self.grow();
        self.join_again(id, contact);
        id
    }

    /// Room for one more node, which the configuration does not name. Returns its id.
    pub fn grow(&mut self) -> u64 {
        self.ports.push(free_port());
        self.ports.len() as u64
    }

    /// The same for a node that has been a member before.
    pub fn join_again(&mut self, id: u64, contact: u64) {
        let (contact, address) = (self.address(contact), self.address(id));
        let (id_text, screen) = (id.to_string(), "--no-screen");
        let join = [
            "join",
            &contact,
            "--id",
            &id_text,
            "--address",
            &address,
            screen,
        ];
        self.launch_as(id, &[], &join);
        self.wait_until_ready(id);
    }

    /// A node is lost with all that it has kept. It leaves the cluster, and a new one comes in its place,
    /// under a new id, which is returned. With links: the new one has none of its own.
    pub fn replace(&mut self, id: u64, contact: u64) -> u64 {
        self.kill(id);
        self.forget(id);
        let lost = Value::Int(id as i64);
        self.wait_for("the lost node has left", |cluster| {
            let left = cluster.call(contact, "cluster.remove", std::slice::from_ref(&lost));
            let members = cluster.members(contact).members;
            (left.is_ok() || members.iter().all(|member| member.id != id)).then_some(())
        });
        self.join(contact)
    }

    /// Starts the program as a node, in any way in which it can be one.
    fn launch_as(&mut self, id: u64, before: &[&str], arguments: &[&str]) {
        assert!(!self.nodes.contains_key(&id), "bob{id} is running");
        let open = |which| {
            let path = self.output(id, which);
            let mut options = OpenOptions::new();
            options.append(true).create(true).open(path).unwrap()
        };
        let mut command = match before.split_first() {
            None => self.raftian(arguments),
            Some((program, words)) => {
                let mut command = self.ours(Command::new(program));
                let raftian = env!("CARGO_BIN_EXE_raftian");
                command.args(words).arg(raftian).args(arguments);
                command
            }
        };
        command.stdout(open("out")).stderr(open("err"));
        let printed_before = self.printed(id).lines().count();
        let child = spawn(&mut command);
        let address = self.address(id);
        let clients = Clients {
            status: Client::new(&address, STATUS_WITHIN),
            submit: Client::new(&address, SUBMIT_WITHIN),
        };
        let node = Node {
            child,
            paused: false,
            printed_before,
            clients,
        };
        self.nodes.insert(id, node);
    }

    /// Waits until a node that was launched says that it is ready.
    pub fn wait_until_ready(&self, id: u64) {
        let before = self.nodes[&id].printed_before;
        self.wait_until(&format!("bob{id} is ready"), |cluster| {
            cluster.printed(id).lines().count() > before
        });
    }

    /// The process of a node.
    pub fn pid(&self, id: u64) -> u32 {
        self.nodes[&id].child.id()
    }

    /// Waits until a node has ended by itself.
    pub fn wait_until_ended(&mut self, id: u64) -> ExitStatus {
        let mut node = self.nodes.remove(&id).expect("it is running");
        self.wait_for(&format!("bob{id} has ended"), |_| {
            node.child.try_wait().unwrap()
        })
    }

    /// Kills a node without a warning.
    pub fn kill(&mut self, id: u64) {
        let mut node = self.nodes.remove(&id).expect("it is running");
        node.child.kill().unwrap();
        node.child.wait().unwrap();
    }

    /// Asks a node to end, and waits until it has.
    pub fn stop(&mut self, id: u64, signal: Signal) -> ExitStatus {
        let mut node = self.nodes.remove(&id).expect("it is running");
        node.signal(signal);
        self.wait_for(&format!("bob{id} has ended"), |_| {
            node.child.try_wait().unwrap()
        })
    }

    /// Removes what a node that is not running has kept on disk, its logs excepted: when it starts
    /// again, it starts with nothing.
    pub fn forget(&self, id: u64) {
        assert!(!self.nodes.contains_key(&id), "bob{id} is running");
        let data = self.data(id);
        if data.exists() {
            fs::remove_dir_all(data).unwrap();
        }
    }

    /// Stops a node in its tracks; its port still accepts connections.
    pub fn pause(&mut self, id: u64) {
        let node = self.nodes.get_mut(&id).expect("it is running");
        node.signal(Signal::STOP);
        node.paused = true;
    }

    /// Lets a paused node go on.
    pub fn resume(&mut self, id: u64) {
        let node = self.nodes.get_mut(&id).expect("it is running");
        node.signal(Signal::CONT);
        node.paused = false;
    }

    /// The ids of the nodes that run and are not paused.
    pub fn running(&self) -> Vec<u64> {
        let awake = self.nodes.iter().filter(|(_, node)| !node.paused);
        awake.map(|(&id, _)| id).collect()
    }

    // Questions

    /// How a node stands; `None` when it does not say.
    pub fn status(&self, id: u64) -> Option<Status> {
        let node = self.nodes.get(&id)?;
        let value = node.clients.status.call("cluster.status", &[]).ok()?;
        Some(codec::decode_status(&value).expect("a node speaks the documented language"))
    }

    /// Who belongs to the cluster, as a node knows it.
    pub fn members(&self, id: u64) -> Members {
        let value = self.call(id, "cluster.members", &[]).unwrap();
        codec::decode_members(&value).expect("a node speaks the documented language")
    }

    /// Ids and standings, as a node knows them: `1 2 -3 +4 ~9`.
    pub fn standings(&self, id: u64) -> String {
        let members = self.members(id).members.into_iter().map(|member| {
            let sign = match member.standing {
                Standing::Voter => "",
                Standing::Incoming => "+",
                Standing::Outgoing => "-",
                Standing::Learner => "~",
            };
            format!("{sign}{}", member.id)
        });
        members.collect::<Vec<_>>().join(" ")
    }

    /// How all nodes stand that run; `None` when one does not say.
    pub fn statuses(&self) -> Option<Vec<Status>> {
        self.running()
            .into_iter()
            .map(|id| self.status(id))
            .collect()
    }

    /// Calls a method of a node.
    pub fn call(&self, id: u64, method: &str, params: &[Value]) -> Result<Value, CallError> {
        self.nodes[&id].clients.submit.call(method, params)
    }

    /// Calls a method of a node that answers with a fault.
    pub fn fault(&self, id: u64, method: &str, params: &[Value]) -> Fault {
        match self.call(id, method, params) {
            Err(CallError::Fault(fault)) => fault,
            other => panic!("{method} of bob{id} should be a fault: {other:?}"),
        }
    }

    /// Submits a command, once.
    pub fn submit(
        &self,
        id: u64,
        client: &str,
        serial: u64,
        text: &str,
    ) -> Result<Answer, CallError> {
        submit(&self.nodes[&id].clients.submit, client, serial, text)
    }

    /// How many elections were won since the logs began, as node.log tells it.
    pub fn victories(&self) -> usize {
        let won = |id| victories(&self.node_log(id));
        self.ids().into_iter().map(won).sum()
    }

    // Waiting

    /// Waits until there is an answer. Fails with what everyone says when that takes too long.
    pub fn wait_for<T>(&self, what: &str, mut look: impl FnMut(&Cluster) -> Option<T>) -> T {
        wait_for(what, || look(self), || self.report())
    }

    /// Waits until a condition holds.
    pub fn wait_until(&self, what: &str, mut holds: impl FnMut(&Cluster) -> bool) {
        self.wait_for(what, |cluster| holds(cluster).then_some(()));
    }

    /// Waits until all nodes that run follow one of them in the same term; its id and the term.
    pub fn wait_for_leader(&self) -> (u64, u64) {
        self.wait_for("a leader whom all follow", |cluster| {
            whom_all_follow(&cluster.statuses()?)
        })
    }

    /// Waits until all nodes that run have applied the same entries, every one that there is.
    /// Returns their number.
    pub fn wait_until_equal(&self) -> u64 {
        self.wait_for("the same entries applied everywhere", |cluster| {
            what_all_have_applied(&cluster.statuses()?)
        })
    }

    /// Asserts that the log files agree, as `raftian verify` and as `diff` see it.
    pub fn verify(&self) {
        let output = self.run(&["verify", "logs"]);
        assert!(
            output.status.success(),
            "{}{}\n{}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
            self.report()
        );
        let orders: Vec<String> = self.ids().iter().map(|&id| self.orders(id)).collect();
        let longest = orders.iter().max_by_key(|text| text.len()).unwrap();
        for text in &orders {
            assert!(longest.starts_with(text.as_str()), "{}", self.report());
        }
    }

    /// Asserts that `raftian verify` passes, and returns what it says. Unlike [`Cluster::verify`]
    /// it lets a file leave out what came with a snapshot.
    pub fn verified(&self) -> String {
        let output = self.run(&["verify", "logs"]);
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{said}\n{}", self.report());
        said
    }

    /// What everyone says and how their logs end.
    pub fn report(&self) -> String {
        let mut report = String::new();
        for id in self.ids() {
            let paused = self.nodes.get(&id).map(|node| node.paused);
            let stands = match paused {
                None => "not running".to_string(),
                Some(true) => "paused".to_string(),
                Some(false) => match self.status(id) {
                    Some(s) => format!(
                        "{} in term {}, leader {:?}, commit {}, applied {}, last {}",
                        s.role, s.term, s.leader, s.commit_index, s.last_applied, s.last_index
                    ),
                    None => "does not answer".to_string(),
                },
            };
            report += &format!("bob{id}: {stands}\n");
            for (name, text) in [
                ("stderr", self.errors(id)),
                ("node.log", self.node_log(id)),
                ("orders.log", self.orders(id)),
            ] {
                let lines: Vec<&str> = text.lines().collect();
                for line in &lines[lines.len().saturating_sub(8)..] {
                    report += &format!("  {name}: {line}\n");
                }
            }
        }
        report
    }
}

impl Node {
    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until there is an answer. Fails with a report when that takes too long.
pub fn wait_for<T>(
    what: &str,
    mut look: impl FnMut() -> Option<T>,
    report: impl Fn() -> String,
) -> T {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(answer) = look() {
            return answer;
        }
        if Instant::now() >= deadline {
            panic!("waited in vain for: {what}\n{}", report());
        }
        thread::sleep(LOOK_EVERY);
    }
}

/// How many elections a node has won, as its node.log tells it.
pub fn victories(node_log: &str) -> usize {
    let won = |line: &&str| line.contains("leader in term");
    node_log.lines().filter(won).count()
}

/// The leader whom all of these follow in the same term, and the term.
pub fn whom_all_follow(statuses: &[Status]) -> Option<(u64, u64)> {
    let leader = statuses.iter().find(|s| s.role == RoleName::Leader)?;
    let follows = |s: &Status| (s.term, s.leader) == (leader.term, Some(leader.id));
    let agreed = statuses.iter().all(follows) && leader.commit_index > 0;
    agreed.then_some((leader.id, leader.term))
}

/// The last index, if all of these have applied the same entries, every one that there is.
pub fn what_all_have_applied(statuses: &[Status]) -> Option<u64> {
    let first = statuses.first()?;
    let same = |s: &Status| {
        (s.last_applied, s.last_index, &s.digest)
            == (first.last_index, first.last_index, &first.digest)
    };
    statuses.iter().all(same).then_some(first.last_index)
}

/// Submits a command, once.
pub fn submit(client: &Client, name: &str, serial: u64, text: &str) -> Result<Answer, CallError> {
    let params = [name.into(), Value::Int(serial as i64), text.into()];
    let value = client.call("submit_rpc", &params)?;
    Ok(codec::decode_answer(&value).expect("an answer has the documented form"))
}

/// That a program failed with exit code 1 and one line, which is returned.
pub fn one_line(output: &Output) -> String {
    let said = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!(said.matches('\n').count(), 1, "{said}");
    assert!(said.starts_with("raftian: "), "{said}");
    assert_eq!(text(&output.stdout), "");
    said
}

/// What is written on the standard output or error.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The variables that would change what the program does.
pub fn raftian_variables() -> Vec<std::ffi::OsString> {
    let names = std::env::vars_os().map(|(name, _)| name);
    names
        .filter(|name| name.to_string_lossy().starts_with("RAFTIAN_"))
        .collect()
}

/// A program of tests/support, run by Python to its end with these arguments.
pub fn python(program: &str, arguments: &[String]) -> Output {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(program);
    let mut command = Command::new("python3");
    finish(command.arg(path).args(arguments).stdin(Stdio::null()))
}

/// Starts a process. One at a time, because a process that starts while a terminal is being made
/// would inherit it and keep it open.
pub fn spawn(command: &mut Command) -> Child {
    let _alone = alone();
    let program = command.get_program().to_owned();
    command
        .spawn()
        .unwrap_or_else(|error| panic!("this test needs {program:?} in the PATH: {error}"))
}

/// Runs a process to its end.
pub fn finish(command: &mut Command) -> Output {
    let child = spawn(command.stdout(Stdio::piped()).stderr(Stdio::piped()));
    child.wait_with_output().unwrap()
}

/// The right to start a process.
fn alone() -> impl Drop {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn free_port() -> Port {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    // Two sockets may share a port this way as long as only one of them listens.
    socket.set_reuse_address(true).unwrap();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    socket.bind(&any.into()).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    Port {
        address,
        _kept: cfg!(target_os = "linux").then_some(socket),
    }
}

/// A file that may not be there yet.
fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_default()
}
