//! A cluster of containers for the tests: `raftian serve`, each in a network namespace of its own.
//!
//! An [`Engine`] has a network, five containers and their volumes, and starts none by itself. It is to
//! containers what [`super::Cluster`] is to processes; in addition it cuts their network:
//!
//! * [`Engine::cut`] takes a container off its network, as a pulled plug does; [`Engine::heal`] puts it
//!   back at its old address. Connections that were open know nothing of it;
//! * [`Engine::block`] drops some packets on their way into one container, by rules in that container's
//!   own namespace. The rules end with [`Engine::unblock`], or with the process.
//!
//! Promises: names begin with `raftian-test-` and a number of this process; containers, networks and
//! volumes have the label `raftian.test`. All of them are removed when the `Engine` is dropped, also
//! when the test fails; what a killed test leaves behind, `make test-docker` removes by the label. The
//! network is one that neither Docker nor this machine's routes know yet.
//!
//! Caveats: the engine must be this machine's own, because nodes are called at their addresses, and
//! [`Engine::block`] needs `nsenter`, `iptables` and root (or sudo without a password).

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use raftian::raft::RoleName;
use raftian::rpc::client::{CallError, Client};
use raftian::rpc::codec;
use raftian::status::Status;
use tempfile::TempDir;

use super::{DEADLINE, LOOK_EVERY, STATUS_WITHIN, SUBMIT_WITHIN, Timing, finish, submit, text};

/// Nodes 1 to n, named bob1 to bobn, in containers.
pub struct Engine {
    /// What every name of it begins with.
    prefix: String,
    /// The first three numbers of every address.
    subnet: [u8; 3],
    ids: Vec<u64>,
    /// Where files go that come from containers.
    dir: TempDir,
    status: BTreeMap<u64, Client>,
    running: BTreeSet<u64>,
    paused: BTreeSet<u64>,
    cut: BTreeSet<u64>,
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
        Engine::made(nodes, timing, "serve", &[])
    }

    /// The same with a player's screen in each.
    pub fn with_screens(nodes: u64, timing: Timing) -> Engine {
        Engine::made(nodes, timing, "play", &["--tty", "--interactive"])
    }

    fn made(nodes: u64, timing: Timing, command: &str, options: &[&str]) -> Engine {
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
            dir: tempfile::tempdir().unwrap(),
            status: BTreeMap::new(),
            running: BTreeSet::new(),
            paused: BTreeSet::new(),
            cut: BTreeSet::new(),
        };
        let config = engine.dir.path().join("raftian.toml");
        fs::write(&config, engine.config(timing)).unwrap();
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
            let node = [&image, command, "--id", &id, "--address", "0.0.0.0:8001"];
            docker(&[&create[..], options, &node].concat());
            let file = config.to_str().unwrap();
            docker(&["cp", "--quiet", file, &format!("{name}:/etc/raftian.toml")]);
        }
        engine
    }

    /// A cluster whose nodes are all running and follow one leader.
    pub fn started(nodes: u64, timing: Timing) -> Engine {
        let mut engine = Engine::new(nodes, timing);
        engine.start(&engine.ids());
        engine.wait_for_leader();
        engine
    }

    fn config(&self, timing: Timing) -> String {
        let (low, high) = timing.election_timeout;
        let mut text = format!(
            "[cluster]\nname = \"test\"\nheartbeat_ms = {}\nelection_timeout_ms = [{low}, {high}]\n",
            timing.heartbeat
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

    /// All ids but these.
    pub fn others(&self, than: &[u64]) -> Vec<u64> {
        let mut ids = self.ids();
        ids.retain(|id| !than.contains(id));
        ids
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

    /// The same of `docker` for several containers at once.
    fn each(&self, what: &str, ids: &[u64]) {
        let names = self.names(ids);
        let names = names.iter().map(String::as_str);
        docker(&std::iter::once(what).chain(names).collect::<Vec<_>>());
    }

    // Nodes that go and come and bringing them back

    /// Starts nodes, and waits until they answer.
    pub fn start(&mut self, ids: &[u64]) {
        self.each("start", ids);
        self.running.extend(ids);
        for &id in ids {
            self.wait_for("an answer of each that was started", |engine| {
                engine.status(id)
            });
        }
    }

    /// Kills nodes without a warning.
    pub fn kill(&mut self, ids: &[u64]) {
        self.each("kill", ids);
        self.running.retain(|id| !ids.contains(id));
    }

    /// Asks a node to end, as `docker stop` does; the exit code.
    pub fn stop(&mut self, id: u64) -> String {
        self.each("stop", &[id]);
        self.ended(id)
    }

    /// Waits until a node has ended by itself; the exit code.
    pub fn ended(&mut self, id: u64) -> String {
        docker(&["wait", &self.name(id)]);
        self.running.remove(&id);
        let format = "--format={{.State.ExitCode}}";
        docker(&["inspect", format, &self.name(id)])
            .trim()
            .to_string()
    }

    /// Stops a node in its tracks.
    pub fn pause(&mut self, id: u64) {
        self.each("pause", &[id]);
        self.paused.insert(id);
    }

    /// Lets a paused node go on.
    pub fn resume(&mut self, id: u64) {
        self.each("unpause", &[id]);
        self.paused.remove(&id);
    }

    /// Takes a node off the network.
    pub fn cut(&mut self, id: u64) {
        docker(&["network", "disconnect", &self.prefix, &self.name(id)]);
        self.cut.insert(id);
    }

    /// Puts it back.
    pub fn heal(&mut self, id: u64) {
        let ip = self.ip(id).to_string();
        docker(&[
            "network",
            "connect",
            "--ip",
            &ip,
            &self.prefix,
            &self.name(id),
        ]);
        self.cut.remove(&id);
    }

    /// Drops TCP packets that come into a node's container, those that iptables matches by this.
    pub fn block(&self, id: u64, matches: &str) {
        let rule = format!("-A INPUT -p tcp {matches} -j DROP");
        self.inside(id, &format!("iptables {rule}"));
    }

    /// Packets from one node into the container of another: `--source IP`.
    pub fn from(&self, id: u64) -> String {
        format!("--source {}", self.ip(id))
    }

    /// Lets every packet in again.
    pub fn unblock(&self, id: u64) {
        self.inside(id, "iptables -F INPUT");
    }

    /// Runs a command of this machine in the network namespace of a container.
    fn inside(&self, id: u64, command: &str) {
        let pid = docker(&["inspect", "--format={{.State.Pid}}", &self.name(id)]);
        let pid: u32 = pid.trim().parse().unwrap();
        assert!(pid > 1, "bob{id} is not running");
        let script = format!(
            "PATH=$PATH:/usr/sbin:/sbin; [ $(id -u) = 0 ] || sudo='sudo -n'; \
             $sudo nsenter --target {pid} --net {command}"
        );
        if let Err(said) = run("sh", &["-c", &script]) {
            panic!("to cut a link needs nsenter, iptables and root: {command}: {said}");
        }
    }

    // Questions

    /// Those that run, are not paused, and can be reached.
    pub fn awake(&self) -> Vec<u64> {
        let gone = |id| self.paused.contains(id) || self.cut.contains(id);
        let awake = self.running.iter().filter(|id| !gone(id));
        awake.copied().collect()
    }

    /// How a node stands; `None` when it does not say.
    pub fn status(&self, id: u64) -> Option<Status> {
        let value = self.status[&id].call("cluster.status", &[]).ok()?;
        Some(codec::decode_status(&value).expect("a node speaks the documented language"))
    }

    /// How a node stands that no network reaches, as it says in its own container.
    pub fn status_inside(&self, id: u64) -> String {
        let to = "127.0.0.1:8001";
        docker(&["exec", &self.name(id), "/raftian", "status", "--to", to])
    }

    /// How all nodes stand that are awake.
    pub fn statuses(&self) -> Option<Vec<Status>> {
        self.awake().into_iter().map(|id| self.status(id)).collect()
    }

    /// A client that calls a node for longer than a node lets it wait.
    pub fn client(&self, id: u64) -> Client {
        Client::new(&self.address(id), SUBMIT_WITHIN)
    }

    /// Copies the log files of all nodes to this machine; the folder that has them.
    pub fn logs(&self) -> PathBuf {
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

    /// What each node has written to orders.log, after `raftian verify` has found it right.
    pub fn verified(&self) -> Vec<String> {
        let logs = self.logs();
        let program = Path::new(env!("CARGO_BIN_EXE_raftian"));
        let output = finish(Command::new(program).arg("verify").arg(&logs));
        let said = text(&output.stdout) + &text(&output.stderr);
        assert!(output.status.success(), "{said}\n{}", self.report());
        let read = |id| fs::read_to_string(logs.join(format!("bob{id}/orders.log"))).unwrap();
        self.ids().into_iter().map(read).collect()
    }

    // Waiting

    /// Waits until there is an answer. Fails with what everyone says when that takes too long.
    pub fn wait_for<T>(&self, what: &str, mut look: impl FnMut(&Engine) -> Option<T>) -> T {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(answer) = look(self) {
                return answer;
            }
            if Instant::now() >= deadline {
                panic!("waited in vain for: {what}\n{}", self.report());
            }
            thread::sleep(LOOK_EVERY);
        }
    }

    /// Waits until a condition holds.
    pub fn wait_until(&self, what: &str, mut holds: impl FnMut(&Engine) -> bool) {
        self.wait_for(what, |engine| holds(engine).then_some(()));
    }

    /// Waits until all who are awake follow one of them in the same term; its id and the term.
    pub fn wait_for_leader(&self) -> (u64, u64) {
        self.wait_for("a leader whom all follow", |engine| {
            let statuses = engine.statuses()?;
            let leader = statuses.iter().find(|s| s.role == RoleName::Leader)?;
            let follows = |s: &Status| (s.term, s.leader) == (leader.term, Some(leader.id));
            let agreed = statuses.iter().all(follows) && leader.commit_index > 0;
            agreed.then_some((leader.id, leader.term))
        })
    }

    /// Asserts that nobody leads among those who are awake, and nobody comes to: a command is refused
    /// after several election timeouts, and nothing was appended.
    pub fn assert_nobody_leads(&self) {
        // Whoever led takes a moment to see that nobody follows.
        self.wait_until("nobody leads", |engine| {
            let statuses = engine.statuses().unwrap_or_default();
            let mut roles = statuses.iter().map(|status| status.role);
            !statuses.is_empty() && roles.all(|role| role != RoleName::Leader)
        });
        let fault = match submit(&self.client(self.awake()[0]), "nobody", 1, "attack 1") {
            Err(CallError::Fault(fault)) => fault.to_string(),
            other => panic!("somebody leads: {other:?}\n{}", self.report()),
        };
        assert!(fault.contains("no leader"), "{fault}\n{}", self.report());
    }

    /// Waits until all who are awake have applied the same entries, every one that there is. Returns
    /// their number.
    pub fn wait_until_equal(&self) -> u64 {
        self.wait_for("the same entries applied everywhere", |engine| {
            let statuses = engine.statuses()?;
            let first = statuses.first()?;
            let same = |s: &Status| {
                (s.last_applied, s.last_index, &s.digest)
                    == (first.last_index, first.last_index, &first.digest)
            };
            statuses.iter().all(same).then_some(first.last_index)
        })
    }

    /// What everyone says and how their logs end.
    pub fn report(&self) -> String {
        let logs = self.logs();
        let mut report = String::new();
        for id in self.ids() {
            let stands = match (self.running.contains(&id), self.status(id)) {
                (false, _) => "not running".to_string(),
                (true, None) => "does not answer".to_string(),
                (true, Some(s)) => format!(
                    "{} in term {}, leader {:?}, commit {}, applied {}, last {}",
                    s.role, s.term, s.leader, s.commit_index, s.last_applied, s.last_index
                ),
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
