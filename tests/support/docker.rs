//! A cluster of containers for the tests: `raftian serve`, each in a network namespace of its own.
//!
//! An [`Engine`] has a network, containers and their volumes, and starts none by itself. It is to
//! containers what [`super::Cluster`] and its links are to processes. Their network can be cut in two ways:
//!
//! * [`Engine::unplug`] takes a container off its network, as a pulled plug does; [`Engine::plug_in`] puts
//!   it back at its old address. Connections that were open know nothing of it;
//! * [`Engine::lose_requests`] and [`Engine::lose_replies`] drop packets of one direction between two
//!   nodes, by iptables in the namespace of the container that they come to. The kernel drops them, and a
//!   node that sends again after [`Engine::heal`], as TCP does, is heard late. The rules end with the
//!   container that has them.
//!
//! Each node writes a trace, and [`Engine::file`] fetches its files, running or not: with a trace a test can
//! tell how long a node has lived by its own clock.
//!
//! Promises: names begin with `raftian-test-` and a number of this process; containers, networks and
//! volumes have the label `raftian.test`. All of them are removed when the `Engine` is dropped, also
//! when the test fails; what a killed test leaves behind, `make test-docker` removes by the label. The
//! network is one that neither Docker nor this machine's routes know yet.
//!
//! Caveats: the engine must be this machine's own, because nodes are called at their addresses, and
//! rules for packets need `nsenter`, `iptables` and root (or sudo without a password).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

use raftian::rpc::client::Client;
use raftian::rpc::codec;
use raftian::status::Status;
use tempfile::TempDir;

use super::{STATUS_WITHIN, Timing, finish, text};

/// Where each node writes its trace: in its volume for log files.
const TRACE: &str = "/logs/trace";

/// Nodes 1 to n, named bob1 to bobn, in containers.
pub struct Engine {
    /// What every name of it begins with.
    prefix: String,
    /// The first three numbers of every address.
    subnet: [u8; 3],
    ids: Vec<u64>,
    timing: Timing,
    /// Where files go that come from containers.
    dir: TempDir,
    status: BTreeMap<u64, Client>,
    /// Who runs, and the first process in each container.
    running: BTreeMap<u64, u32>,
    paused: BTreeSet<u64>,
    unplugged: BTreeSet<u64>,
    rules: Mutex<Vec<Rule>>,
}

/// Packets that are dropped: what one node asks of another, or is answered.
struct Rule {
    from: u64,
    to: u64,
    /// In whose namespace.
    inside: u64,
    /// What iptables drops there.
    matches: String,
}

/// Runs `docker`, which must succeed; what it printed.
pub fn docker(arguments: &[&str]) -> String {
    run("docker", arguments).unwrap_or_else(|said| panic!("docker {arguments:?}: {said}"))
}

fn run(program: &str, arguments: &[&str]) -> Result<String, String> {
    let output = finish(Command::new(program).args(arguments).stdin(Stdio::null()));
    match output.status.success() {
        true => Ok(text(&output.stdout)),
        false => Err(text(&output.stderr)),
    }
}

impl Engine {
    /// The containers of a cluster, none of which is running.
    pub fn new(nodes: u64, timing: Timing) -> Engine {
        Engine::made(nodes, timing, &["serve"], &[])
    }

    /// The same of the key-value store.
    pub fn of_the_store(nodes: u64, timing: Timing) -> Engine {
        Engine::made(nodes, timing, &["serve", "--machine", "kv"], &[])
    }

    /// The same with a player's screen in each.
    pub fn with_screens(nodes: u64, timing: Timing) -> Engine {
        Engine::made(nodes, timing, &["play"], &["--tty", "--interactive"])
    }

    fn made(nodes: u64, timing: Timing, command: &[&str], options: &[&str]) -> Engine {
        static COUNT: Mutex<u32> = Mutex::new(0);
        let image = std::env::var("RAFTIAN_IMAGE").expect("run it by `make test-docker`");
        let label = std::env::var("RAFTIAN_TEST_LABEL").unwrap_or_else(|_| "here".to_string());
        let label = format!("raftian.test={label}");
        let mut count = COUNT.lock().unwrap();
        *count += 1;
        let prefix = format!("raftian-test-{}-{count}", std::process::id());
        let subnet = create_network(&prefix, &label);
        drop(count);
        let mut engine = Engine {
            prefix,
            subnet,
            ids: (1..=nodes).collect(),
            timing,
            dir: tempfile::tempdir().unwrap(),
            status: BTreeMap::new(),
            running: BTreeMap::new(),
            paused: BTreeSet::new(),
            unplugged: BTreeSet::new(),
            rules: Mutex::default(),
        };
        let config = engine.dir.path().join("raftian.toml");
        fs::write(&config, engine.config()).unwrap();
        for id in engine.ids() {
            let (name, ip) = (engine.name(id), engine.ip(id).to_string());
            let client = Client::new(&engine.address(id), STATUS_WITHIN);
            engine.status.insert(id, client);
            let volume = |what: &str| format!("{name}-{what}:/{what}");
            for what in ["data", "logs"] {
                let volume = format!("{name}-{what}");
                docker(&["volume", "create", "--label", &label, &volume]);
            }
            // It listens everywhere, so that it can be asked from inside while it is cut off.
            #[rustfmt::skip]
            let create = [
                "create", "--name", &name, "--label", &label,
                "--network", &engine.prefix, "--ip", &ip,
                "--volume", &volume("data"), "--volume", &volume("logs"), "--cap-drop", "ALL",
            ];
            let id = id.to_string();
            let node = ["--id", &id, "--address", "0.0.0.0:8001", "--trace", TRACE];
            docker(&[&create[..], options, &[&image], command, &node].concat());
            let file = config.to_str().unwrap();
            docker(&["cp", "--quiet", file, &format!("{name}:/etc/raftian.toml")]);
        }
        engine
    }

    fn config(&self) -> String {
        let (low, high) = self.timing.election_timeout;
        let mut text = format!(
            "[cluster]\nname = \"test\"\nheartbeat_ms = {}\nelection_timeout_ms = [{low}, {high}]\n",
            self.timing.heartbeat
        );
        for &id in &self.ids {
            let address = self.address(id);
            text += &format!("[[node]]\nid = {id}\nname = \"bob{id}\"\naddress = \"{address}\"\n");
        }
        text
    }

    /// All ids, running or not.
    pub fn ids(&self) -> Vec<u64> {
        self.ids.clone()
    }

    /// How patient the nodes are.
    pub fn timing(&self) -> Timing {
        self.timing
    }

    /// The name of a node's container.
    pub fn name(&self, id: u64) -> String {
        format!("{}-{id}", self.prefix)
    }

    fn ip(&self, id: u64) -> Ipv4Addr {
        let [a, b, c] = self.subnet;
        Ipv4Addr::new(a, b, c, 10 + id as u8)
    }

    /// `HOST:PORT` of a node.
    pub fn address(&self, id: u64) -> String {
        format!("{}:8001", self.ip(id))
    }

    fn names(&self, ids: &[u64]) -> Vec<String> {
        ids.iter().map(|&id| self.name(id)).collect()
    }

    // Nodes that go and come

    /// Starts a node, and waits until it answers.
    pub fn start(&mut self, id: u64) {
        let name = self.name(id);
        docker(&["start", &name]);
        let pid = docker(&["inspect", "--format={{.State.Pid}}", &name]);
        let pid = pid.trim().parse().unwrap();
        assert!(pid > 0, "bob{id} has ended at once\n{}", self.report());
        self.running.insert(id, pid);
        super::wait_for(
            &format!("an answer of bob{id}"),
            || self.status(id),
            || self.report(),
        );
    }

    /// Kills a node without a warning.
    pub fn kill(&mut self, id: u64) {
        docker(&["kill", &self.name(id)]);
        self.gone(id);
    }

    /// Asks a node to end, as `docker stop` does; the exit code.
    pub fn stop(&mut self, id: u64) -> String {
        docker(&["stop", &self.name(id)]);
        self.ended(id)
    }

    /// Waits until a node has ended by itself; the exit code.
    pub fn ended(&mut self, id: u64) -> String {
        docker(&["wait", &self.name(id)]);
        self.gone(id);
        let format = "--format={{.State.ExitCode}}";
        docker(&["inspect", format, &self.name(id)])
            .trim()
            .to_string()
    }

    /// A container that has ended has no rules any more.
    fn gone(&mut self, id: u64) {
        self.running.remove(&id);
        self.rules().retain(|rule| rule.inside != id);
    }

    /// Stops a node in its tracks.
    pub fn pause(&mut self, id: u64) {
        docker(&["pause", &self.name(id)]);
        self.paused.insert(id);
    }

    /// Lets a paused node go on.
    pub fn resume(&mut self, id: u64) {
        docker(&["unpause", &self.name(id)]);
        self.paused.remove(&id);
    }

    // Networks that fail and heal

    /// Takes a node off the network.
    pub fn unplug(&mut self, id: u64) {
        docker(&["network", "disconnect", &self.prefix, &self.name(id)]);
        self.unplugged.insert(id);
    }

    /// Puts it back.
    pub fn plug_in(&mut self, id: u64) {
        let (ip, name) = (self.ip(id).to_string(), self.name(id));
        docker(&["network", "connect", "--ip", &ip, &self.prefix, &name]);
        self.unplugged.remove(&id);
    }

    /// Drops what one node asks of another, on its way in, whether the connection is old or new.
    pub fn lose_requests(&self, from: u64, to: u64) {
        let matches = format!("--source {} --dport 8001", self.ip(from));
        self.block(from, to, to, matches);
    }

    /// Drops what the second node answers the first, on its way in. Connections are made, and requests
    /// acknowledged: those packets carry no data (60 bytes at most), and those that do are dropped.
    pub fn lose_replies(&self, from: u64, to: u64) {
        let to_ip = self.ip(to);
        let matches = format!("--source {to_ip} --sport 8001 -m length --length 61:65535");
        self.block(from, to, from, matches);
    }

    fn block(&self, from: u64, to: u64, inside: u64, matches: String) {
        self.iptables(inside, "-A", &matches);
        self.rules().push(Rule {
            from,
            to,
            inside,
            matches,
        });
    }

    /// Drops nothing any more of what one node asks of another or is answered.
    pub fn heal(&self, from: u64, to: u64) {
        for rule in self
            .rules()
            .extract_if(.., |rule| (rule.from, rule.to) == (from, to))
        {
            self.iptables(rule.inside, "-D", &rule.matches);
        }
    }

    fn rules(&self) -> std::sync::MutexGuard<'_, Vec<Rule>> {
        self.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds or deletes a rule in the namespace of a container.
    fn iptables(&self, inside: u64, what: &str, matches: &str) {
        let pid = self.running.get(&inside).expect("it is running");
        let script = format!(
            "PATH=$PATH:/usr/sbin:/sbin; [ $(id -u) = 0 ] || sudo='sudo -n'; \
             $sudo nsenter --target {pid} --net iptables -w {what} INPUT -p tcp {matches} -j DROP"
        );
        if let Err(said) = run("sh", &["-c", &script]) {
            panic!("to cut a link needs nsenter, iptables and root: {script}: {said}");
        }
    }

    // Questions

    /// Those that run, are not paused, and can be reached.
    pub fn awake(&self) -> Vec<u64> {
        let gone = |id| self.paused.contains(id) || self.unplugged.contains(id);
        let awake = self.running.keys().filter(|id| !gone(id));
        awake.copied().collect()
    }

    /// How a node stands; `None` when it does not say.
    pub fn status(&self, id: u64) -> Option<Status> {
        // Nobody at an address takes long to be found out.
        if !self.awake().contains(&id) {
            return None;
        }
        let value = self.status[&id].call("cluster.status", &[]).ok()?;
        Some(codec::decode_status(&value).expect("a node speaks the documented language"))
    }

    /// Runs the program in a node's container, next to the node; what it printed.
    pub fn exec(&self, id: u64, arguments: &[&str]) -> String {
        docker(&[&["exec", &self.name(id), "/raftian"], arguments].concat())
    }

    /// A file of a container, whether it runs or not; `None` if it is not there.
    pub fn file(&self, id: u64, path: &str) -> Option<String> {
        let copy = self.dir.path().join("file");
        let (from, to) = (format!("{}:{path}", self.name(id)), copy.to_str().unwrap());
        match run("docker", &["cp", "--quiet", &from, to]) {
            Ok(_) => Some(text(&fs::read(copy).unwrap())),
            Err(said) if said.contains("Could not find the file") => None,
            Err(said) => panic!("docker cp {from}: {said}"),
        }
    }

    /// What a node has written to one of its log files.
    pub fn log(&self, id: u64, name: &str) -> String {
        let path = format!("/logs/bob{id}/{name}");
        self.file(id, &path).unwrap_or_default()
    }

    /// The trace of a node's present life.
    pub fn trace(&self, id: u64) -> String {
        self.file(id, TRACE).unwrap_or_default()
    }

    /// How many elections were won since the logs began, as node.log tells it.
    pub fn victories(&self) -> usize {
        let won = |id| super::victories(&self.log(id, "node.log"));
        self.ids().into_iter().map(won).sum()
    }

    /// Copies the log files of all nodes to this machine; the folder that has them.
    fn logs(&self) -> PathBuf {
        let logs = self.dir.path().join("logs");
        let _ = fs::remove_dir_all(&logs);
        fs::create_dir(&logs).unwrap();
        for id in self.ids() {
            let from = format!("{}:/logs/bob{id}", self.name(id));
            // A node that has never run has none.
            let _ = run("docker", &["cp", "--quiet", &from, logs.to_str().unwrap()]);
        }
        logs
    }

    /// Asserts that `raftian verify` passes on the log files of all.
    pub fn verify(&self) {
        let program = Path::new(env!("CARGO_BIN_EXE_raftian"));
        let output = finish(Command::new(program).arg("verify").arg(self.logs()));
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{said}\n{}", self.report());
    }

    /// What everyone says and how their logs end.
    pub fn report(&self) -> String {
        let logs = self.logs();
        let mut report = String::new();
        for id in self.ids() {
            let stands = match self.status(id) {
                Some(s) => format!(
                    "{} in term {}, leader {:?}, commit {}, applied {}, last {}",
                    s.role, s.term, s.leader, s.commit_index, s.last_applied, s.last_index
                ),
                None if !self.running.contains_key(&id) => "not running".to_string(),
                None if self.paused.contains(&id) => "paused".to_string(),
                None if self.unplugged.contains(&id) => "unplugged".to_string(),
                None => "does not answer".to_string(),
            };
            report += &format!("bob{id}: {stands}\n");
            for name in ["node.log", "orders.log"] {
                let text = super::read(&logs.join(format!("bob{id}/{name}")));
                let lines: Vec<&str> = text.lines().collect();
                for line in &lines[lines.len().saturating_sub(8)..] {
                    report += &format!("  {name}: {line}\n");
                }
            }
        }
        report
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let names = self.names(&self.ids);
        let volumes: Vec<String> = names
            .iter()
            .flat_map(|name| [format!("{name}-data"), format!("{name}-logs")])
            .collect();
        for (command, what) in [
            (&["rm", "--force"][..], &names),
            (&["network", "rm"], &vec![self.prefix.clone()]),
            (&["volume", "rm", "--force"], &volumes),
        ] {
            let what: Vec<&str> = what.iter().map(String::as_str).collect();
            if let Err(said) = run("docker", &[command, &what].concat()) {
                eprintln!("docker {command:?} {what:?}: {said}");
            }
        }
    }
}

/// A bridge with a subnet that nobody uses; its first three numbers. Docker knows its own networks
/// and refuses what overlaps with them; what else this machine reaches stands in its routes.
fn create_network(name: &str, label: &str) -> [u8; 3] {
    let routes = fs::read_to_string("/proc/net/route").unwrap_or_default();
    let routed: Vec<(u32, u32)> = routes
        .lines()
        .skip(1)
        .filter_map(|line| {
            let columns: Vec<&str> = line.split_whitespace().collect();
            let number = |i: usize| u32::from_str_radix(columns.get(i)?, 16).ok();
            // They are in the order of the network, and read here as this machine's.
            Some((number(1)?.swap_bytes(), number(7)?.swap_bytes()))
        })
        .filter(|&(_, mask)| mask != 0)
        .collect();
    let mut refused = String::new();
    for c in 0..=255 {
        let subnet = [10, 213, c];
        let address = u32::from_be_bytes([10, 213, c, 0]);
        let overlaps = |&(to, mask): &(u32, u32)| {
            let mask = mask & 0xffff_ff00;
            address & mask == to & mask
        };
        if routed.iter().any(overlaps) {
            continue;
        }
        let cidr = format!("10.213.{c}.0/24");
        #[rustfmt::skip]
        let made = run("docker", &[
            "network", "create", "--label", label, "--subnet", &cidr, name,
        ]);
        match made {
            Ok(_) => return subnet,
            Err(said) => refused = said,
        }
    }
    panic!("no subnet of 10.213.0.0/16 is free: {refused}");
}
