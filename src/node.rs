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
//! | peer, one a peer | one call at a time to its peer | `peer` |
//! | trace, if there is one | takes the trace to the disk | [`crate::trace::file`] |
//! | HTTP | reads a question, waits for the answer, writes it | `endpoint`, [`crate::rpc::http`] |
//!
//! A node whose disk fails ends: it tells whoever started it, and answers nothing any more.
//!
//! Caveat: nothing authenticates a peer. Whoever reaches the port can pass for a member.

mod disk;
pub mod driver;
mod endpoint;
mod errands;
pub mod event;
mod peer;
pub mod queues;
mod reads;
mod runner;
mod saves;
mod strangers;
pub mod submissions;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::mpsc::{self, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tracing::{info, warn};

use crate::application::{Application, Kind};
use crate::config::{Config, NodeConfig};
use crate::game::Game;
use crate::kv::Store;
use crate::logging::NodeLog;
use crate::machine::Machine;
use crate::orders_log::OrdersLog;
use crate::raft::{self, CheckSnapshot, Configuration, Member, Raft, Snapshot, Standing};
use crate::rpc::codec;
use crate::rpc::http::{Limits, Peers, Server};
use crate::snapshot::{self, Document};
use crate::storage::{Recovered, Storage};
use crate::trace::{Recorder, TraceFile};

use driver::{Driver, Parts, Peer};
use queues::{Commands, Orders};
use runner::{Input, Runner};

/// Most entries that a leader takes in beyond its commit index, and most bytes of them.
const MAX_UNCOMMITTED: u64 = 8_192;
const MAX_UNCOMMITTED_BYTES: usize = 32 << 20;

/// How many members the server keeps places for, this node not counted.
const RESERVED_FOR: usize = 8;

/// How long a node that stops waits for another to take over.
const RETIRES_WITHIN: Duration = Duration::from_secs(2);

/// What a node is started with.
pub struct Setup<'a> {
    /// The whole cluster.
    pub config: &'a Config,
    /// Which node this is.
    pub node: &'a NodeConfig,
    /// The cluster is there already and this node joins it: the configuration says where its members
    /// are, and not who they are.
    pub joins: bool,
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
            joins,
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
        let machine = match &snapshot {
            None => Machine::new(fresh(config, joins)),
            Some(snapshot) => restored(snapshot).map_err(io::Error::other)?,
        };
        let core = core_config(config, node, joins);
        let others = || config.nodes.iter().filter(|other| other.id != node.id);
        let mut driver = Driver::new(Parts {
            raft: Raft::new(core, hard_state, snapshot, entries),
            machine,
            snapshot_entries: config.storage.snapshot_entries,
            name: node.name.clone(),
            client: format!("{}-{:016x}", node.name, rand::random::<u64>()),
            cluster: config.cluster.name.clone(),
            book: others()
                .map(|peer| (peer.id, Peer::new(&*peer.name, &*peer.address)))
                .collect(),
            introduced: match joins {
                true => others().map(|peer| peer.id).collect(),
                false => Vec::new(),
            },
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
        // What has not been answered in the shortest election timeout is of no use any more.
        let patience = Duration::from_millis(config.cluster.election_timeout_ms.0);
        let peers = Peers::default();
        let pool = peer::Pool::new(inbox.clone(), log.clone(), patience, peers.clone());
        let runner = Runner::new(driver, pool, saves, view, orders_log);
        threads.push(spawn("driver", &log, move || {
            if let Some(reason) = runner.run(&events) {
                on_failure(&reason);
            }
        })?);

        let limits = Limits {
            max_connections,
            // A peer's worker keeps one connection; after a restart the old one may linger.
            reserved: 2 * RESERVED_FOR.max(config.nodes.len() - 1),
            ..Limits::default()
        }
        .here();
        let patient = limits.max_connections - limits.reserved;
        let endpoint = endpoint::Endpoint::new(inbox.clone(), patient);
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

    /// Hands the leadership over, where this node leads and there is somebody who can take it, so
    /// that nobody has to wait for an election timeout when it stops.
    pub fn retire(&self) {
        let (done, retired) = mpsc::sync_channel(1);
        if self.inbox.send(Input::Retire(done)).is_ok() {
            // Whatever the reason is that it does not come: the node stops all the same.
            let _ = retired.recv_timeout(RETIRES_WITHIN);
        }
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

/// A machine that nothing has been done with.
fn fresh(config: &Config, joins: bool) -> Application {
    let players = config.nodes.iter().map(|n| (n.id, n.name.clone()));
    match config.cluster.machine {
        Kind::Game if joins => Game::new([]).into(),
        Kind::Game => Game::new(players).into(),
        Kind::Kv => Store::default().into(),
    }
}

/// The state machine after the snapshot, or why the snapshot is of no use.
fn restored(snapshot: &Snapshot) -> Result<Machine<Application>, String> {
    Document::of_snapshot(snapshot).map(Document::machine)
}

/// What the driver's core is told.
fn core_config(config: &Config, node: &NodeConfig, joins: bool) -> raft::Config {
    let configuration = match joins {
        // Its own log will say.
        true => Configuration::default(),
        false => founders(config),
    };
    raft::Config {
        id: node.id,
        configuration,
        founds: true,
        election_timeout: config.cluster.election_timeout_ms,
        heartbeat: config.cluster.heartbeat_ms,
        pre_vote: true,
        check_quorum: true,
        seed: rand::random(),
        max_batch_entries: codec::MAX_BATCH_ENTRIES,
        max_batch_bytes: codec::MAX_BATCH_BYTES,
        max_uncommitted: MAX_UNCOMMITTED,
        max_uncommitted_bytes: MAX_UNCOMMITTED_BYTES,
        max_part_bytes: codec::MAX_PART_BYTES,
        max_snapshot_bytes: snapshot::MAX_BYTES,
        keep_while_sending: 4 * config.storage.snapshot_entries,
        check_snapshot: CheckSnapshot(Arc::new(Document::check)),
    }
}

/// The members of a cluster that is new: every node of the configuration.
fn founders(config: &Config) -> Configuration {
    let member = |node: &NodeConfig| {
        let member = Member {
            name: node.name.clone(),
            address: node.address.clone(),
            standing: Standing::Voter,
        };
        (node.id, member)
    };
    let members = config.nodes.iter().map(member).collect();
    Configuration::new(members).expect("a configuration's nodes are distinct, and there is one")
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
