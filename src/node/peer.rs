//! The fan-out pool: one worker a peer, so that a dead peer delays nobody but itself.
//!
//! A worker makes one call at a time. Every call that is put into its mailbox ends in one event,
//! because the driver counts on it. Workers come and go with the members of the cluster.

use std::collections::BTreeMap;
use std::net::ToSocketAddrs;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tracing::{debug, error, info};

use crate::logging::NodeLog;
use crate::raft::{CallId, NodeId};
use crate::rpc::client::{CallError, Client};
use crate::rpc::http::Peers;
use crate::rpc::methods::{self, ReplyKind};

use super::event::{Event, PeerReply, PeerRequest};
use super::runner::Input;

/// How many calls may wait for a worker. The core has one under way, the driver a few.
const MAILBOX: usize = 8;

/// A call on its way to a worker.
type Call = (CallId, PeerRequest);

/// Every worker.
pub struct Pool {
    mailboxes: BTreeMap<NodeId, SyncSender<Call>>,
    threads: Vec<JoinHandle<()>>,
    inbox: Sender<Input>,
    log: NodeLog,
    /// After so long a call is given up.
    patience: Duration,
    /// For the server, which keeps places for peers.
    peers: Peers,
}

impl Pool {
    /// No worker yet. What comes of their calls goes to that inbox.
    pub fn new(inbox: Sender<Input>, log: NodeLog, patience: Duration, peers: Peers) -> Pool {
        Pool {
            mailboxes: BTreeMap::new(),
            threads: Vec::new(),
            inbox,
            log,
            patience,
            peers,
        }
    }

    /// A worker for this peer. Without a thread for it, every call to it is lost, and said to be.
    pub fn meet(&mut self, id: NodeId, name: String, address: String) {
        self.threads.retain(|thread| !thread.is_finished());
        let (mailbox, calls) = mpsc::sync_channel(MAILBOX);
        let client = Client::new(&address, self.patience);
        let (inbox, peers) = (self.inbox.clone(), self.peers.clone());
        let spawned = super::spawn(&format!("peer {name}"), &self.log, move || {
            // Looking a name up may take long, and holds up nobody here but its own peer.
            if let Ok(found) = address.to_socket_addrs() {
                peers.set(
                    id,
                    found.map(|found| found.ip()).filter(|ip| !ip.is_loopback()),
                );
            }
            work(id, &name, &client, &calls, &inbox);
        });
        match spawned {
            Ok(thread) => {
                self.threads.push(thread);
                self.mailboxes.insert(id, mailbox);
            }
            Err(error) => error!("no thread for the calls to node {id}: {error}"),
        }
    }

    /// That peer is not called any more. The call under way ends as always.
    pub fn part(&mut self, id: NodeId) {
        self.mailboxes.remove(&id);
        self.peers.remove(id);
    }

    /// Hands a call over, or says that it cannot.
    pub fn call(&self, to: NodeId, call: CallId, request: PeerRequest) -> bool {
        let mailbox = self.mailboxes.get(&to);
        mailbox.is_some_and(|mailbox| mailbox.try_send((call, request)).is_ok())
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.mailboxes.clear();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Makes the calls that arrive until the mailbox is closed.
fn work(peer: NodeId, name: &str, client: &Client, calls: &Receiver<Call>, inbox: &Sender<Input>) {
    let mut is_silent = false;
    while let Ok((call, request)) = calls.recv() {
        let started = Instant::now();
        let event = match ask(client, &request) {
            Ok(reply) => {
                if is_silent {
                    info!("{name} answers again");
                }
                is_silent = false;
                Event::Answered {
                    from: peer,
                    call,
                    reply,
                    // To the microsecond: more digits mean nothing.
                    rtt_ms: Some(started.elapsed().as_micros() as f64 / 1000.0),
                }
            }
            Err(error) => {
                // Once for each silence: a dead peer is called twenty times a second.
                if is_silent {
                    debug!("{name} does not answer: {error}");
                } else {
                    info!("{name} does not answer: {error}");
                }
                is_silent = true;
                Event::Lost {
                    to: peer,
                    call,
                    reached: error.reached(),
                }
            }
        };
        if inbox.send(Input::Event(event)).is_err() {
            return;
        }
    }
}

fn ask(client: &Client, request: &PeerRequest) -> Result<PeerReply, CallError> {
    let (method, params) = methods::method_and_params(request);
    let value = client.call(method, &params)?;
    methods::decode_reply(ReplyKind::of(request), &value).map_err(CallError::NotXmlRpc)
}
