//! The configuration: which nodes make up the cluster, where they listen, how patient they are.
//!
//! A file is read in two steps. The raw one knows keys, types and lines; [`Config`] holds only what
//! has been judged: ids, names and addresses are unique, times are in range, an election timeout
//! exceeds the heartbeat. So nobody else needs to check again. Whatever is wrong is one line that
//! names the file, the line and the key, and says what to write instead; when several things are
//! wrong, the first that was found is told.
//!
//! The defaults are in the code; `config/local.toml` repeats them with comments and is compiled
//! in, so that an installed binary works in any folder. A file of that name in the working
//! directory comes first.
//!
//! Caveats: nothing compares the files of two machines, which must list the same nodes. Addresses
//! are checked by their form only: a name that does not resolve, or two names of the same machine,
//! show when the node starts. IPv6 zones (`fe80::1%eth0`) are not supported.

mod address;
mod raw;

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

pub use address::parse_address;

use crate::application::Kind;
use crate::command::printable;
use crate::game::MAX_PLAYERS;
use crate::raft::NodeId;
use raw::{At, RawConfig, quote};

/// What is read when no file is named.
pub const DEFAULT_PATH: &str = "config/local.toml";
/// The same, for folders in which there is no such file.
const BUILT_IN: &str = include_str!("../config/local.toml");
/// A configuration is short; more than this is another file named by mistake.
const MAX_BYTES: u64 = 1 << 20;

const MAX_HEARTBEAT_MS: u64 = 10_000;
const MAX_ELECTION_TIMEOUT_MS: u64 = 60_000;
const MAX_SNAPSHOT_ENTRIES: u64 = 1_000_000;
/// The smallest piece of the log holds its head and a few entries.
const SEGMENT_KIB: (u64, u64) = (4, 65_536);

/// A configuration that has been checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// What all nodes share.
    pub cluster: Cluster,
    /// How a node keeps what it must not forget.
    pub storage: Storage,
    /// 1 to 9 nodes, in the order of their ids.
    pub nodes: Vec<NodeConfig>,
    /// The file it came from, or what stands for it in messages.
    pub source: PathBuf,
}

/// What all nodes share.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    /// The cluster's name.
    pub name: String,
    /// What the nodes replicate.
    pub machine: Kind,
    /// Milliseconds between a leader's heartbeats; at least 1.
    pub heartbeat_ms: u64,
    /// Milliseconds, shortest and longest; the shortest exceeds the heartbeat.
    pub election_timeout_ms: (u64, u64),
    /// The folder below which each node has its own, named after it.
    pub logs: PathBuf,
    /// The same for what a node must not forget.
    pub data: PathBuf,
}

/// How a node keeps what it must not forget.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// Whether a save waits until the disk itself has it. Without, a machine that loses power can
    /// lose what was acknowledged.
    pub fsync: bool,
    /// After so many entries a node writes a snapshot and cuts its log; at least 1.
    pub snapshot_entries: u64,
    /// The size of a piece of the log, in KiB; at least 4.
    pub segment_kib: u64,
}

/// One node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeConfig {
    /// 1 to 9; unique.
    pub id: NodeId,
    /// 1 to 32 letters, digits, `-` and `_`; unique, and its folder's name.
    pub name: String,
    /// `HOST:PORT`, where the others call it; unique.
    pub address: String,
    /// Where it listens, if not there.
    pub listen: Option<String>,
    /// The line of the address in the file, from 1; 0 when it came from elsewhere.
    pub line: usize,
}

impl NodeConfig {
    /// `HOST:PORT`, where it listens.
    pub fn listens_at(&self) -> &str {
        self.listen.as_ref().unwrap_or(&self.address)
    }
}

impl Default for Cluster {
    fn default() -> Cluster {
        Cluster {
            name: "local".to_string(),
            machine: Kind::Game,
            heartbeat_ms: 50,
            // The range of the Raftian report and of the Raft paper (9.3).
            election_timeout_ms: (150, 300),
            logs: PathBuf::from("logs"),
            data: PathBuf::from("data"),
        }
    }
}

impl Default for Storage {
    fn default() -> Storage {
        Storage {
            fsync: true,
            snapshot_entries: 10_000,
            segment_kib: 1_024,
        }
    }
}

impl Config {
    /// The file that was named; without one, `config/local.toml`, or its copy in this binary where
    /// there is no such file.
    pub fn locate(path: Option<&Path>) -> Result<Config, ConfigError> {
        let default = Path::new(DEFAULT_PATH);
        match path {
            Some(path) => Config::load(path),
            // A dangling link is there too, and is better complained about than passed over.
            None if default.symlink_metadata().is_ok() => Config::load(default),
            None => Config::built_in(),
        }
    }

    /// Reads and checks a file.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        let file = printable(&path.to_string_lossy()).into_owned();
        let broken = |message: &str| ConfigError::new(&file, None, message);
        let mut bytes = Vec::new();
        File::open(path)
            .and_then(|file| file.take(MAX_BYTES + 1).read_to_end(&mut bytes))
            .map_err(|error| match error.kind() {
                io::ErrorKind::NotFound => broken(
                    "no such file; name another with --config FILE, or leave the option out \
                     to play on this machine",
                ),
                io::ErrorKind::IsADirectory => broken("a folder; name a file in it"),
                _ => broken(&format!("cannot be read: {error}")),
            })?;
        if bytes.len() as u64 > MAX_BYTES {
            return Err(broken("longer than 1 MiB, which no configuration is"));
        }
        match String::from_utf8(bytes) {
            Ok(text) => Config::parse(&text, path),
            Err(error) => {
                let valid = &error.as_bytes()[..error.utf8_error().valid_up_to()];
                let line = 1 + valid.iter().filter(|&&b| b == b'\n').count();
                Err(ConfigError::new(&file, Some(line), "not UTF-8 text"))
            }
        }
    }

    /// Checks a file's text; `path` is what errors call it.
    pub fn parse(text: &str, path: &Path) -> Result<Config, ConfigError> {
        let file = printable(&path.to_string_lossy()).into_owned();
        let raw = RawConfig::parse(text, &file)?;
        let judge = Judge { file: &file };
        let cluster = judge.cluster(&raw)?;
        let storage = judge.storage(&raw)?;
        let nodes = judge.nodes(&raw, text)?;
        Ok(Config {
            cluster,
            storage,
            nodes,
            source: path.to_path_buf(),
        })
    }

    /// The configuration that the binary carries: five nodes on this machine.
    pub fn built_in() -> Result<Config, ConfigError> {
        Config::parse(BUILT_IN, Path::new("config/local.toml (built in)"))
    }

    /// A game within one process: nodes 1 and up, named bob1 and up, at these addresses.
    pub fn embedded(addresses: Vec<String>) -> Config {
        assert!(
            (1..=MAX_PLAYERS as usize).contains(&addresses.len()),
            "a game has 1 to {MAX_PLAYERS} players"
        );
        let node = |(id, address)| NodeConfig {
            id,
            name: format!("bob{id}"),
            address,
            listen: None,
            line: 0,
        };
        Config {
            cluster: Cluster::default(),
            storage: Storage::default(),
            nodes: (1..).zip(addresses).map(node).collect(),
            source: PathBuf::from("the embedded game"),
        }
    }

    /// The node of that id.
    pub fn node(&self, id: NodeId) -> Option<&NodeConfig> {
        self.nodes.iter().find(|node| node.id == id)
    }

    /// Where this node's orders.log and node.log go.
    pub fn logs_of(&self, node: &NodeConfig) -> PathBuf {
        self.cluster.logs.join(&node.name)
    }

    /// Where this node keeps what it must not forget.
    pub fn data_of(&self, node: &NodeConfig) -> PathBuf {
        self.cluster.data.join(&node.name)
    }

    /// Has a node listen elsewhere than where the others call it (`--address`).
    pub fn listen_at(&mut self, id: NodeId, address: String) -> Result<(), ConfigError> {
        let place = address::place(&address);
        let taken = |node: &&NodeConfig| node.id != id && address::place(&node.address) == place;
        if let Some(other) = self.nodes.iter().find(taken) {
            return Err(ConfigError(format!(
                "--address {address}: that is {}'s address in {}",
                other.name,
                self.file()
            )));
        }
        if let Some(node) = self.nodes.iter_mut().find(|node| node.id == id) {
            node.listen = Some(address);
            node.line = 0;
        }
        Ok(())
    }

    /// Why a node cannot listen at its address: one line for whoever started it.
    pub fn explain_bind(&self, id: NodeId, error: &io::Error) -> String {
        let Some(node) = self.node(id) else {
            return format!("{}: node {id}: {error}", self.file());
        };
        let (name, address) = (&node.name, node.listens_at());
        let why = match error.kind() {
            io::ErrorKind::AddrInUse => format!("is in use: is {name} already running?"),
            io::ErrorKind::AddrNotAvailable => {
                "is not an address of this machine: start the node where it is, or change it"
                    .to_string()
            }
            io::ErrorKind::PermissionDenied => {
                "may not be used by you: choose a port from 1024 up".to_string()
            }
            _ => format!("cannot be listened on: {}", printable(&error.to_string())),
        };
        match node.line {
            0 => format!("{name}'s address {address} {why}"),
            line => format!("{}:{line}: node.address {address} {why}", self.file()),
        }
    }

    /// The source as messages show it.
    pub fn file(&self) -> String {
        printable(&self.source.to_string_lossy()).into_owned()
    }
}

/// What is wrong with a configuration: one line that names the file, the line and the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(String);

impl ConfigError {
    fn new(file: &str, line: Option<usize>, message: &str) -> ConfigError {
        ConfigError(match line {
            Some(line) => format!("{file}:{line}: {message}"),
            None => format!("{file}: {message}"),
        })
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

/// Judges raw values.
struct Judge<'a> {
    file: &'a str,
}

impl Judge<'_> {
    fn cluster(&self, raw: &RawConfig) -> Result<Cluster, ConfigError> {
        let default = Cluster::default();
        let machine = match &raw.machine {
            Some(At { value, line }) => Kind::parse(value).ok_or_else(|| {
                let message = format!("{} is unknown; write \"game\" or \"kv\"", quote(value));
                self.error(*line, "cluster.machine", &message)
            })?,
            None => default.machine,
        };
        let (heartbeat_ms, election_timeout_ms) = self.times(raw, &default)?;
        Ok(Cluster {
            name: match &raw.name {
                Some(name) => self.name("cluster.name", name)?,
                None => default.name,
            },
            machine,
            heartbeat_ms,
            election_timeout_ms,
            logs: self.folder("cluster.logs", &raw.logs, default.logs)?,
            data: self.folder("cluster.data", &raw.data, default.data)?,
        })
    }

    fn times(&self, raw: &RawConfig, default: &Cluster) -> Result<(u64, (u64, u64)), ConfigError> {
        const HEARTBEAT: &str = "cluster.heartbeat_ms";
        const TIMEOUT: &str = "cluster.election_timeout_ms";
        let heartbeat = match &raw.heartbeat_ms {
            Some(at) => self.number(HEARTBEAT, at.line, at.value, 1, MAX_HEARTBEAT_MS)?,
            None => default.heartbeat_ms,
        };
        let (low, high) = match &raw.election_timeout_ms {
            Some(At {
                value: (low, high),
                line,
            }) => (
                self.number(TIMEOUT, *line, *low, 1, MAX_ELECTION_TIMEOUT_MS)?,
                self.number(TIMEOUT, *line, *high, 1, MAX_ELECTION_TIMEOUT_MS)?,
            ),
            None => default.election_timeout_ms,
        };
        let timeout_line = raw.election_timeout_ms.as_ref().map(|at| at.line);
        if low > high {
            let message = format!("the shortest comes first: [{high}, {low}]");
            return Err(self.error(timeout_line.unwrap_or(1), TIMEOUT, &message));
        }
        if low <= heartbeat {
            // Told where it was written: the other of the two may be a default.
            let heartbeat_line = raw.heartbeat_ms.as_ref().map(|at| at.line);
            let (line, key, message) = match (timeout_line, heartbeat_line) {
                (None, Some(line)) => (
                    line,
                    HEARTBEAT,
                    format!("must be below the shortest election_timeout_ms, {low} ms"),
                ),
                (line, _) => (
                    line.unwrap_or(1),
                    TIMEOUT,
                    format!("must exceed heartbeat_ms, {heartbeat} ms; {low} ms does not"),
                ),
            };
            return Err(self.error(line, key, &message));
        }
        Ok((heartbeat, (low, high)))
    }

    fn storage(&self, raw: &RawConfig) -> Result<Storage, ConfigError> {
        let default = Storage::default();
        let number = |key, at: &Option<At<i128>>, (min, max), default| match at {
            Some(at) => self.number(key, at.line, at.value, min, max),
            None => Ok(default),
        };
        Ok(Storage {
            fsync: raw.fsync.as_ref().map_or(default.fsync, |at| at.value),
            snapshot_entries: number(
                "storage.snapshot_entries",
                &raw.snapshot_entries,
                (1, MAX_SNAPSHOT_ENTRIES),
                default.snapshot_entries,
            )?,
            segment_kib: number(
                "storage.segment_kib",
                &raw.segment_kib,
                SEGMENT_KIB,
                default.segment_kib,
            )?,
        })
    }

    fn nodes(&self, raw: &RawConfig, text: &str) -> Result<Vec<NodeConfig>, ConfigError> {
        if raw.nodes.is_empty() {
            let message = "there is none; add a [[node]] with id, name and address";
            return Err(self.error(text.lines().count().max(1), "node", message));
        }
        let mut nodes: Vec<NodeConfig> = Vec::new();
        for node in &raw.nodes {
            let id = self.number("node.id", node.id.line, node.id.value, 1, MAX_PLAYERS)?;
            let name = self.name("node.name", &node.name)?;
            let address = parse_address(&node.address.value).map_err(|why| {
                let message = format!("{}: {why}", quote(&node.address.value));
                self.error(node.address.line, "node.address", &message)
            })?;
            for other in &nodes {
                if other.id == id {
                    let message = format!("{id} is {}'s id already", other.name);
                    return Err(self.error(node.id.line, "node.id", &message));
                }
                // Some file systems take Bob1 and bob1 for the same folder.
                if other.name.eq_ignore_ascii_case(&name) {
                    let message = format!("{name:?} is the name of node {} already", other.id);
                    return Err(self.error(node.name.line, "node.name", &message));
                }
                if address::place(&other.address) == address::place(&address) {
                    let message = format!("{address} is {}'s address already", other.name);
                    return Err(self.error(node.address.line, "node.address", &message));
                }
            }
            nodes.push(NodeConfig {
                id,
                name,
                address,
                listen: None,
                line: node.address.line,
            });
        }
        nodes.sort_by_key(|node| node.id);
        Ok(nodes)
    }

    fn number(
        &self,
        key: &str,
        line: usize,
        value: i128,
        low: u64,
        high: u64,
    ) -> Result<u64, ConfigError> {
        match u64::try_from(value) {
            Ok(number) if (low..=high).contains(&number) => Ok(number),
            _ => {
                let message = format!("{value} is out of range; write {low} to {high}");
                Err(self.error(line, key, &message))
            }
        }
    }

    /// A name is a folder and stands in log lines.
    fn name(&self, key: &str, name: &At<String>) -> Result<String, ConfigError> {
        let fits = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
        if !(1..=32).contains(&name.value.len()) || !name.value.bytes().all(fits) {
            let message = format!(
                "{}: write 1 to 32 letters, digits, - and _ (it names a folder)",
                quote(&name.value)
            );
            return Err(self.error(name.line, key, &message));
        }
        Ok(name.value.clone())
    }

    fn folder(
        &self,
        key: &str,
        folder: &Option<At<String>>,
        default: PathBuf,
    ) -> Result<PathBuf, ConfigError> {
        match folder {
            None => Ok(default),
            Some(At { value, line }) if value.is_empty() || value.contains('\0') => {
                Err(self.error(*line, key, "write the path of a folder, such as \".\""))
            }
            Some(At { value, .. }) => Ok(PathBuf::from(value)),
        }
    }

    fn error(&self, line: usize, key: &str, message: &str) -> ConfigError {
        ConfigError::new(self.file, Some(line), &format!("{key}: {message}"))
    }
}
