//! The fan-out pool: one worker a peer, so that a dead peer delays nobody but itself.
//!
//! A worker makes one call at a time. Every call that is put into its mailbox ends in one event,
//! because the driver counts on it.

use std::sync::mpsc::{Receiver, Sender};
use std::time::Instant;

use tracing::{debug, info};

use crate::raft::{CallId, NodeId};
use crate::rpc::client::{CallError, Client};
use crate::rpc::methods::{self, ReplyKind};

use super::event::{Event, PeerReply, PeerRequest};
use super::runner::Input;

/// How many calls may wait for a worker. The core has one under way, the driver at most two.
pub const MAILBOX: usize = 8;

/// Makes the calls that arrive until the mailbox is closed.
pub fn work(
    peer: NodeId,
    name: &str,
    client: &Client,
    calls: &Receiver<(CallId, PeerRequest)>,
    inbox: &Sender<Input>,
) {
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
