//! The links of a cluster, which a test can cut: a small proxy for each ordered pair of nodes.
//!
//! The link from one node to another carries the requests that the first makes and the replies that
//! come back. Each node is given a file of its own, in which the addresses of the others are those of
//! its links ([`Cluster::linked`](super::Cluster::linked)), so the program needs no switch for it. A
//! link reads whole requests and whole replies, and looks at its [`Mode`] for each of them: what it is
//! told holds from the next message on, also on a connection that has been there for long. Whatever is
//! drawn, is drawn from a seed.
//!
//! Nothing gets around the links, because an address in a node's file counts more than the one in the
//! log, and the founding configuration (which has the first leader's links in it) is read as addresses
//! by nobody whose file names the node. Two things to know:
//!
//! - A node that joins later is in nobody's file. It calls the others by way of its contact's links,
//!   and they call it where it is. [`Links::set`] refuses such a pair.
//! - The node at the end of a link that is not running looks like one that hangs up, not like one that
//!   refuses connections: what was sent to it may have reached it, as far as the sender can tell.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

/// A reply that takes longer is waited for by nobody: whoever sent the request has given up.
const REPLY_WITHIN: Duration = Duration::from_secs(30);

/// What a link does with what it is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// It carries everything.
    Open,
    /// Requests vanish, as in a network that is cut: whoever sent one waits until they give up.
    RequestsLost,
    /// Requests arrive and have their effect; the replies vanish.
    RepliesLost,
    /// It carries everything, and is long: each request, and each reply, takes so many milliseconds.
    Slow(u64),
    /// Whoever sends something is hung up on at once.
    HangsUp,
    /// So many requests of a hundred vanish, and so many replies; each of those that are left takes up
    /// to so many milliseconds. So a request may arrive after one that was sent later.
    Unreliable {
        requests: u32,
        replies: u32,
        longest: u64,
    },
}

/// A link for each ordered pair of nodes.
pub struct Links {
    links: BTreeMap<(u64, u64), Link>,
}

struct Link {
    address: SocketAddr,
    shared: Arc<Shared>,
    accepts: Option<JoinHandle<()>>,
}

struct Shared {
    to: SocketAddr,
    ended: AtomicBool,
    state: Mutex<State>,
}

struct State {
    mode: Mode,
    rng: StdRng,
}

impl Links {
    /// Open links between nodes that listen at these addresses.
    pub fn new(nodes: &BTreeMap<u64, SocketAddr>, seed: u64) -> Links {
        let mut links = BTreeMap::new();
        for &from in nodes.keys() {
            for (&to, &address) in nodes.iter().filter(|(to, _)| **to != from) {
                links.insert((from, to), Link::new(address, seed + 100 * from + to));
            }
        }
        Links { links }
    }

    /// Where the first calls the second.
    pub fn address(&self, from: u64, to: u64) -> SocketAddr {
        self.link(from, to).address
    }

    /// What the link from one node to another does from now on.
    pub fn set(&self, from: u64, to: u64, mode: Mode) {
        self.link(from, to).shared.state().mode = mode;
    }

    fn link(&self, from: u64, to: u64) -> &Link {
        let link = self.links.get(&(from, to));
        link.unwrap_or_else(|| panic!("no link from node {from} to node {to}"))
    }
}

impl Link {
    fn new(to: SocketAddr, seed: u64) -> Link {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            to,
            ended: AtomicBool::new(false),
            state: Mutex::new(State {
                mode: Mode::Open,
                rng: StdRng::seed_from_u64(seed),
            }),
        });
        let theirs = shared.clone();
        let accepts = thread::spawn(move || {
            for stream in listener.incoming() {
                if theirs.ended.load(Ordering::SeqCst) {
                    return;
                }
                let shared = theirs.clone();
                // It ends when either end of the connection does, at the latest with the nodes.
                thread::spawn(move || stream.and_then(|stream| shared.carry(stream)));
            }
        });
        Link {
            address,
            shared,
            accepts: Some(accepts),
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // The thread sees the flag when it has somebody to accept.
        if TcpStream::connect(self.address).is_ok()
            && let Some(accepts) = self.accepts.take()
        {
            let _ = accepts.join();
        }
    }
}

/// What becomes of a message.
enum Fate {
    Lost,
    HungUp,
    Carried(Duration),
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries what comes over one connection. There is one message on it at a time, because nodes
    /// send no second request before they have a reply.
    fn carry(&self, mut near: TcpStream) -> io::Result<()> {
        near.set_nodelay(true)?;
        let mut far: Option<TcpStream> = None;
        loop {
            let request = receive(&mut near)?;
            match self.state().fate_of_request() {
                Fate::HungUp => return Ok(()),
                // Nobody sends another one here: without a reply the connection is given up.
                Fate::Lost => continue,
                Fate::Carried(delay) => thread::sleep(delay),
            }
            // A node that was started again does not know the connections of the one before.
            if far.as_ref().is_none_or(is_closed) {
                let stream = TcpStream::connect(self.to)?;
                stream.set_nodelay(true)?;
                stream.set_read_timeout(Some(REPLY_WITHIN))?;
                far = Some(stream);
            }
            let Some(far) = &mut far else { return Ok(()) };
            far.write_all(&request)?;
            let reply = receive(far)?;
            match self.state().fate_of_reply() {
                Fate::HungUp => return Ok(()),
                Fate::Lost => continue,
                Fate::Carried(delay) => thread::sleep(delay),
            }
            near.write_all(&reply)?;
        }
    }
}

impl State {
    fn fate_of_request(&mut self) -> Fate {
        match self.mode {
            Mode::Open | Mode::RepliesLost => Fate::Carried(Duration::ZERO),
            Mode::Slow(ms) => Fate::Carried(Duration::from_millis(ms)),
            Mode::RequestsLost => Fate::Lost,
            Mode::HangsUp => Fate::HungUp,
            Mode::Unreliable {
                requests, longest, ..
            } => self.chance(requests, longest),
        }
    }

    /// The link may have been cut while the reply was under way.
    fn fate_of_reply(&mut self) -> Fate {
        match self.mode {
            Mode::Open => Fate::Carried(Duration::ZERO),
            Mode::Slow(ms) => Fate::Carried(Duration::from_millis(ms)),
            Mode::RequestsLost | Mode::RepliesLost => Fate::Lost,
            Mode::HangsUp => Fate::HungUp,
            Mode::Unreliable {
                replies, longest, ..
            } => self.chance(replies, longest),
        }
    }

    fn chance(&mut self, lost: u32, longest: u64) -> Fate {
        match self.rng.random_range(0..100) < lost {
            true => Fate::Lost,
            false => Fate::Carried(Duration::from_millis(self.rng.random_range(0..=longest))),
        }
    }
}

/// One message of HTTP: its head, and as much behind it as the head says.
fn receive(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    const END: &[u8] = b"\r\n\r\n";
    let mut message = Vec::new();
    let mut length = None;
    let mut chunk = [0; 16 * 1024];
    while length.is_none_or(|length| message.len() < length) {
        let count = stream.read(&mut chunk)?;
        if count == 0 {
            return Err(ErrorKind::UnexpectedEof.into());
        }
        message.extend_from_slice(&chunk[..count]);
        if length.is_none()
            && let Some(head) = message.windows(END.len()).position(|bytes| bytes == END)
        {
            length = Some(head + END.len() + content_length(&message[..head])?);
        }
    }
    Ok(message)
}

fn content_length(head: &[u8]) -> io::Result<usize> {
    let head = String::from_utf8_lossy(head).to_ascii_lowercase();
    let value = head
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"));
    let length = value.and_then(|value| value.trim().parse().ok());
    length.ok_or_else(|| ErrorKind::InvalidData.into())
}

/// Whether the other end is seen to have closed an idle connection.
fn is_closed(stream: &TcpStream) -> bool {
    let waits = stream.set_nonblocking(true).and_then(|()| {
        let peeked = stream.peek(&mut [0]);
        stream.set_nonblocking(false)?;
        peeked
    });
    !matches!(waits, Err(error) if error.kind() == ErrorKind::WouldBlock)
}
