//! Starting nodes, for the commands that run some.

use std::io;
use std::net::{SocketAddr, TcpListener, ToSocketAddrs};
use std::path::{Path, PathBuf};

use tracing::level_filters::LevelFilter;

use super::Failure;
use crate::application::Kind;
use crate::command::printable;
use crate::config::{Config, NodeConfig};
use crate::logging::NodeLog;
use crate::node::queues::Orders;
use crate::node::{Node, Setup};
use crate::orders_log::OrdersLog;
use crate::raft::Payload;
use crate::rpc::http;
use crate::snapshot::Document;
use crate::storage::{Identity, Options, RealDisk, Recovered, Store};
use crate::trace::TraceFile;

/// Listens at a node's address. A name stands for the first of its addresses that can be used.
pub(super) fn listen(config: &Config, node: &NodeConfig) -> Result<TcpListener, Failure> {
    let bind = || -> io::Result<TcpListener> {
        let mut failed = io::Error::new(io::ErrorKind::NotFound, "there is no host of that name");
        for address in node.listens_at().to_socket_addrs()? {
            match http::bind(address) {
                Ok(listener) => return Ok(listener),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    };
    bind().map_err(|error| Failure::new(config.explain_bind(node.id, &error)))
}

/// Listens on a free port of this machine.
pub(super) fn listen_anywhere() -> io::Result<(TcpListener, SocketAddr)> {
    let listener = http::bind(SocketAddr::from(([127, 0, 0, 1], 0)))?;
    let address = listener.local_addr()?;
    Ok((listener, address))
}

/// What a node is started with, besides its configuration.
pub(super) struct Start {
    pub listener: TcpListener,
    /// The cluster is there already, and the node joins it.
    pub joins: bool,
    /// How many players there must be in the data of an earlier run.
    pub players: Option<usize>,
    pub view: Option<Box<dyn Orders>>,
    pub level: LevelFilter,
    /// The file for the trace, if there is to be one.
    pub trace: Option<PathBuf>,
    pub max_connections: usize,
    /// Told in one line, when the node's disk has failed and the node has ended.
    pub on_failure: Box<dyn FnOnce(&str) + Send>,
}

/// Starts a node with its data and its log files. Where the log files cannot be made, it runs
/// without them: a full disk is no reason not to play. Without its data it does not run at all.
pub(super) fn node(config: &Config, node: &NodeConfig, start: Start) -> Result<Node, Failure> {
    let identity = Identity {
        cluster: config.cluster.name.clone(),
        node: node.id,
    };
    let options = Options {
        fsync: config.storage.fsync,
        segment_bytes: config.storage.segment_kib * 1024,
    };
    let dir = config.data_of(node);
    let disk =
        RealDisk::open(&dir).map_err(|error| Failure::new(format!("{}: {error}", shown(&dir))))?;
    let (store, recovered) =
        Store::open(disk, &identity, options, Document::read_snapshot).map_err(Failure::new)?;

    let open = |path: &PathBuf| {
        TraceFile::create(path).map_err(|error| Failure::new(format!("{}: {error}", shown(path))))
    };
    let trace = start.trace.as_ref().map(open).transpose()?;
    let logs = config.logs_of(node);
    if let Some(players) = start.players
        && let Some(found) = players_of(&recovered)
        && found != players
    {
        return Err(Failure::new(format!(
            "{}: a game of {found} players, not of {players}: say --players {found}, or give it \
             another folder",
            shown(&dir)
        )));
    }
    if let Some(other) = other_machine(&recovered, config.cluster.machine) {
        return Err(Failure::new(format!(
            "{}: a node of {other} has lived here, and the configuration says machine = \"{}\": \
             change it, or give the node another folder",
            shown(&dir),
            config.cluster.machine.as_str()
        )));
    }
    // A node that knows of no term has no past: an orders.log that is there is another game's.
    let orders_log = match recovered.hard_state.current_term {
        0 => OrdersLog::create(&logs),
        _ => OrdersLog::resume(&logs),
    };
    let orders_log = orders_log.unwrap_or_else(|error| OrdersLog::without_file(&logs, &error));
    let log = NodeLog::create(&logs, start.level).unwrap_or_else(|_| NodeLog::off());
    let setup = Setup {
        config,
        node,
        joins: start.joins,
        listener: start.listener,
        view: start.view,
        storage: Box::new(store),
        recovered,
        on_failure: start.on_failure,
        orders_log,
        log,
        trace,
        max_connections: start.max_connections,
    };
    Node::start(setup).map_err(|error| Failure::new(format!("{}: {error}", node.name)))
}

/// How many players the game has that a node remembers.
fn players_of(recovered: &Recovered) -> Option<usize> {
    let entries = recovered.log.from(1).iter().rev();
    let mut configurations = entries.filter_map(|entry| entry.payload.configuration());
    let snapshot = recovered.snapshot.as_ref();
    let latest = configurations
        .next()
        .or(snapshot.map(|snapshot| &snapshot.configuration))?;
    Some(latest.new_voters().count())
}

/// Which machine a node remembers, if it is not this one. What says neither tells nothing.
fn other_machine(recovered: &Recovered, machine: Kind) -> Option<Kind> {
    let snapshot = recovered.snapshot.as_ref();
    let snapshot = snapshot.and_then(|snapshot| Document::of_snapshot(snapshot).ok());
    let kind = snapshot.map(|document| document.state.kind());
    let spoken = || {
        let entries = recovered.log.from(1).iter();
        let mut commands = entries.filter_map(|entry| match &entry.payload {
            Payload::Command(command) => Some(command),
            _ => None,
        });
        let first = commands.next()?;
        Kind::ALL.into_iter().find(|kind| kind.speaks(&first.text))
    };
    kind.or_else(spoken).filter(|kind| *kind != machine)
}

fn shown(dir: &Path) -> String {
    printable(&dir.to_string_lossy()).into_owned()
}
