//! A node: the driver, and the threads that give it a world.
//!
//! ```text
//!  view ----commands----+                     +--> orders ----> view
//!  HTTP connections ----+                     |
//!  peer workers --------+--> inbox --> driver +--> mailboxes --> peer workers (one a peer)
//!  disk ----------------+                     +--> saves ------> disk
//!                                             +--> answers ----> HTTP connections
//! ```
//!
//! The [`driver`] decides everything and waits for nothing but its inbox. Each thread has one inbox
//! of its own, because std's channels have no select. What the driver sends never blocks it: a
//! peer's mailbox that is full counts as a lost call, a view that does not read loses updates. So a
//! dead peer holds up its own worker only, a slow disk only what depends on the save, and a
//! stranger only one connection.
//!
//! | thread | what it does | module |
//! |---|---|---|
//! | driver | runs [`driver::Driver`] and carries its actions out | `runner` |
//! | disk | makes saves durable, as many at a time as have gathered | `disk` |
//! | peer x (n-1) | one call at a time to its peer | `peer` |
//! | trace, if there is one | takes the trace to the disk | [`crate::trace::file`] |
//! | HTTP | reads a question, waits for the answer, writes it | `endpoint`, [`crate::rpc::http`] |
//!
//! A node whose disk fails ends: it tells whoever started it, and answers nothing any more.
//!
//! Caveat: nothing authenticates a peer. Whoever reaches the port can pass for a member.

mod disk;
pub mod driver;
mod endpoint;
pub mod event;
mod peer;
pub mod queues;
mod runner;
mod saves;
pub mod submissions;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener, ToSocketAddrs};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::{info, warn};

use crate::config::{Config, NodeConfig};
use crate::game::Game;
use crate::logging::NodeLog;
use crate::machine::Machine;
use crate::orders_log::OrdersLog;
use crate::raft::{self, CheckSnapshot, Raft, Snapshot};
use crate::rpc::client::Client;
use crate::rpc::codec;
use crate::rpc::http::{Limits, Server};
use crate::snapshot::{self, Document};
use crate::storage::{Recovered, Storage};
use crate::trace::{Recorder, TraceFile};

use driver::{Driver, Parts, Peer};
use queues::{Commands, Orders};
use runner::{Input, Runner};

/// Most entries that a leader takes in beyond its commit index.
const MAX_UNCOMMITTED: u64 = 8_192;

/// What a node is started with.
pub struct Setup<'a> {
    /// The whole cluster.
    pub config: &'a Config,
    /// Which of its nodes this is.
    pub node: &'a NodeConfig,
    /// Where it listens: bound already, so that a port in use is found out before anything starts.
    pub listener: TcpListener,
    /// Who is shown what happens, if anyone.
    pub view: Option<Box<dyn Orders>>,
    /// Where the node keeps what it must not forget.
    pub storage: Box<dyn Storage>,
    /// What it has not forgotten.
    pub recovered: Recovered,
    /// Told why, when the node ends because its disk has failed.
    pub on_failure: Box<dyn FnOnce(&str) + Send>,
    /// The node's orders.log.
    pub orders_log: OrdersLog,
    /// The node's node.log.
    pub log: NodeLog,
    /// Where the node writes down what its core is told, if anywhere.
    pub trace: Option<TraceFile>,
    /// Most connections to serve at once; fewer where the process may open fewer files.
    pub max_connections: usize,
}

/// A running node. Dropping it stops it.
pub struct Node {
    inbox: Sender<Input>,
    server: Server,
    threads: Vec<JoinHandle<()>>,
}

impl Node {
    /// Starts the node's threads.
    pub fn start(setup: Setup) -> io::Result<Node> {
        let Setup {
            config,
            node,
            listener,
            view,
            storage,
            recovered,
            on_failure,
            orders_log,
            log,
            trace,
            max_connections,
        } = setup;
        let _guard = log.enter();
        info!(
            "{} (node {}) of cluster {:?} starts at {}",
            node.name, node.id, config.cluster.name, node.address
        );
        for note in &recovered.notes {
            warn!("{note}");
        }
        let Recovered {
            hard_state,
            snapshot,
            log: entries,
            ..
        } = recovered;
        info!(
            "recovered term {}, a snapshot of index {}, a log up to {}",
            hard_state.current_term,
            snapshot.as_ref().map_or(0, |snapshot| snapshot.last_index),
            entries.last_index()
        );
        let game = Game::new(config.nodes.iter().map(|n| (n.id, n.name.clone())));
        let machine = restored(game, snapshot.as_ref()).map_err(io::Error::other)?;
        let core = core_config(config, node, machine.state());
        let mut driver = Driver::new(Parts {
            raft: Raft::new(core, hard_state, snapshot, entries),
            machine,
            snapshot_entries: config.storage.snapshot_entries,
            address: node.address.clone(),
            name: node.name.clone(),
            client: format!("{}-{:016x}", node.name, rand::random::<u64>()),
            peers: others(config, node)
                .map(|peer| (peer.id, Peer::new(&*peer.name, &*peer.address)))
                .collect(),
            has_view: view.is_some(),
        });
        if let Some(trace) = trace {
            driver.record(Recorder::new(trace));
        }

        let (inbox, events) = mpsc::channel();
        let mut threads = Vec::new();
        let (saves, to_save) = mpsc::channel();
        threads.push(spawn("disk", &log, {
            let inbox = inbox.clone();
            move || disk::work(storage, &to_save, &inbox)
        })?);
        let mut mailboxes = BTreeMap::new();
        // What has not been answered in the shortest election timeout is of no use any more.
        let patience = Duration::from_millis(config.cluster.election_timeout_ms.0);
        for to in others(config, node) {
            let (mailbox, calls) = mpsc::sync_channel(peer::MAILBOX);
            let client = Client::new(&to.address, patience);
            let (id, name, inbox) = (to.id, to.name.clone(), inbox.clone());
            threads.push(spawn(&format!("peer {name}"), &log, move || {
                peer::work(id, &name, &client, &calls, &inbox);
            })?);
            mailboxes.insert(to.id, mailbox);
        }
        let runner = Runner::new(driver, mailboxes, saves, view, orders_log);
        threads.push(spawn("driver", &log, move || {
            if let Some(reason) = runner.run(&events) {
                on_failure(&reason);
            }
        })?);

        let limits = Limits {
            max_connections,
            // A peer's worker keeps one connection; after a restart the old one may linger.
            reserved: 2 * (config.nodes.len() - 1),
            ..Limits::default()
        }
        .here();
        let patient = limits.max_connections - limits.reserved;
        let endpoint = endpoint::Endpoint::new(inbox.clone(), patient);
        let peers = peer_addresses(config, node);
        let server = Server::start(listener, limits, peers, Arc::new(endpoint))?;
        Ok(Node {
            inbox,
            server,
            threads,
        })
    }

    /// The view's end of the commands queue.
    pub fn commands(&self) -> Commands {
        let inbox = self.inbox.clone();
        Commands::new(move |text| inbox.send(Input::wanted(text)).is_ok())
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.server.local_addr()
    }

    /// Stops it, and waits until its threads have ended.
    pub fn stop(&mut self) {
        self.server.stop();
        // An error means that the driver is gone already.
        let _ = self.inbox.send(Input::Stop);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The state machine after the snapshot, or after nothing; or why the snapshot is of no use.
fn restored(game: Game, snapshot: Option<&Snapshot>) -> Result<Machine<Game>, String> {
    let Some(snapshot) = snapshot else {
        return Ok(Machine::new(game));
    };
    Document::of_snapshot(snapshot)
        .and_then(|document| document.machine(&game))
        .map_err(|why| {
            format!("its snapshot is of another game: {why}; give it another folder with --data")
        })
}

/// What the driver's core is told. Snapshots must be of this game.
fn core_config(config: &Config, node: &NodeConfig, game: &Game) -> raft::Config {
    let game = game.clone();
    let check = move |snapshot: &Snapshot| {
        let document = Document::of_snapshot(snapshot)?;
        document.machine(&game).map(|_| ())
    };
    raft::Config {
        id: node.id,
        voters: config.nodes.iter().map(|node| node.id).collect(),
        election_timeout: config.cluster.election_timeout_ms,
        heartbeat: config.cluster.heartbeat_ms,
        pre_vote: true,
        check_quorum: true,
        seed: rand::random(),
        max_batch_entries: codec::MAX_BATCH_ENTRIES,
        max_batch_bytes: codec::MAX_BATCH_BYTES,
        max_uncommitted: MAX_UNCOMMITTED,
        max_part_bytes: codec::MAX_PART_BYTES,
        max_snapshot_bytes: snapshot::MAX_BYTES,
        keep_while_sending: 4 * config.storage.snapshot_entries,
        check_snapshot: CheckSnapshot(Arc::new(check)),
    }
}

fn others<'a>(config: &'a Config, node: &NodeConfig) -> impl Iterator<Item = &'a NodeConfig> {
    let own = node.id;
    config.nodes.iter().filter(move |other| other.id != own)
}

/// The addresses of the cluster's other machines, as far as they resolve now. A machine that does
/// not is served all the same, among the strangers.
fn peer_addresses(config: &Config, node: &NodeConfig) -> Vec<IpAddr> {
    others(config, node)
        .filter_map(|peer| peer.address.to_socket_addrs().ok())
        .flatten()
        .map(|address| address.ip())
        .filter(|ip| !ip.is_loopback())
        .collect()
}

fn spawn(
    name: &str,
    log: &NodeLog,
    work: impl FnOnce() + Send + 'static,
) -> io::Result<JoinHandle<()>> {
    let log = log.clone();
    thread::Builder::new()
        .name(name.to_string())
        .spawn(move || {
            let _guard = log.enter();
            work();
        })
}
