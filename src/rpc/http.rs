//! The HTTP server: one thread a connection, on the standard library's sockets and `httparse`.
//!
//! It serves one thing, a POST of a small XML document to `/RPC2` or `/`, and refuses everything
//! else with a status and one sentence. It promises that a stranger who can reach the port cannot
//! stop a node, whatever they send and however slowly:
//!
//! * **Time.** A head is complete within 5 s of its first byte, a body within 10 s of its head, a
//!   reply is taken within 10 s, and a connection without a request ends after 30 s. These are
//!   deadlines: a byte now and then does not put them off.
//! * **Memory.** A head has at most 8 KiB, a body 1 MiB. Memory is taken for bytes that have
//!   arrived, never for bytes that were announced.
//! * **Places.** At most 256 connections, and never more than half of the file descriptors that the
//!   process may open. When all places are taken, the stranger that has been idle for the longest
//!   makes room for whoever comes next; a connection whose request is being served never does. Some
//!   places are *reserved* for peers: strangers may borrow them while nobody else wants them, but a
//!   borrower has only a short grace to get its request across. So a peer gets in within about a
//!   second of asking, even while strangers hold every place in silence.
//! * **Framing.** `Content-Length` exactly once and in plain digits; `Transfer-Encoding` is refused,
//!   and so is a second request sent before the first was answered. There is one way to read any
//!   bytes, so there is nothing to smuggle.
//! * **Browsers.** A request with an `Origin` header is refused, as is any media type that a web
//!   page can send without asking first. A page that a player has open cannot play for them.
//!
//! Failures of `accept`, such as having run out of file descriptors, are logged and tried again.
//!
//! Who is a peer? A connection from the address of another machine in the cluster, or, on loopback,
//! where all addresses are the same, one that has made a call that only peers make: the service
//! tells with [`Caller::mark_peer`].
//!
//! Caveats. A service that blocks for long on strangers' calls holds their places meanwhile, the
//! borrowed ones too; a service which does that should limit how many it lets wait. Nothing here
//! authenticates: whoever can reach the port can call, and can pass for a peer. A second request
//! that arrives only while the first is being served cannot be told from one that waited its turn,
//! and is served after it. `Host` is not looked at. There is no TLS, and no `Date` header.

mod connection;
mod request;
mod table;

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

pub use request::{Head, Refusal, parse_head};
use table::Table;

/// What the server serves.
pub trait Service: Send + Sync + 'static {
    /// Answers one document with another. It may block, and is called from many threads at once.
    fn call(&self, body: &[u8], caller: &mut Caller) -> Vec<u8>;
}

/// Who makes a call.
#[derive(Debug)]
pub struct Caller {
    addr: SocketAddr,
    peer: bool,
}

impl Caller {
    /// The other end of the connection.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Says that only a peer makes this call. On loopback the connection counts as a peer's from
    /// now on; elsewhere peers are known by their addresses, and this changes nothing.
    pub fn mark_peer(&mut self) {
        self.peer = true;
    }
}

/// What a stranger may take.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Connections in all. Half of the file descriptors allowed is less, where it is less.
    pub max_connections: usize,
    /// How many of those are reserved for peers; at most half of them.
    pub reserved: usize,
    /// How long a new connection, or a slow request on a borrowed place, is safe from making room.
    pub grace: Duration,
    /// Bytes in the request line and headers.
    pub max_head: usize,
    /// From the first byte of a request to the end of its head.
    pub head_time: Duration,
    /// Bytes in a body.
    pub max_body: usize,
    /// From the end of a head to the end of its body.
    pub body_time: Duration,
    /// Without a request.
    pub idle: Duration,
    /// Until the other end has taken a whole reply.
    pub write_time: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            max_connections: 256,
            reserved: 16,
            grace: Duration::from_secs(1),
            max_head: 8 * 1024,
            head_time: Duration::from_secs(5),
            max_body: 1024 * 1024,
            body_time: Duration::from_secs(10),
            idle: Duration::from_secs(30),
            write_time: Duration::from_secs(10),
        }
    }
}

impl Limits {
    /// These limits on this machine: connections take at most half of the file descriptors that
    /// are allowed, and reserved places at most half of the connections.
    pub fn here(mut self) -> Limits {
        if let Some(files) = files_allowed() {
            self.max_connections = self.max_connections.min(files / 2);
        }
        self.max_connections = self.max_connections.max(1);
        self.reserved = self.reserved.min(self.max_connections / 2);
        self
    }
}

/// How many files this process may have open; `None` without a limit.
#[cfg(unix)]
fn files_allowed() -> Option<usize> {
    use rustix::process::{Resource, getrlimit};
    let files = getrlimit(Resource::Nofile).current?;
    Some(usize::try_from(files).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn files_allowed() -> Option<usize> {
    None
}

/// How many connections the system may hold for us before we accept them. The standard library's
/// 128 would turn away some of 256 clients that come at once.
const BACKLOG: i32 = 1024;

/// A listening socket. A port that another process listens on is an error; one that was in use a
/// moment ago is not.
pub fn bind(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
    // On Windows the same option would let two processes share the port.
    #[cfg(unix)]
    socket.set_reuse_address(true)?;
    socket.bind(&addr.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// The cluster's other machines, as far as their addresses are known. Clones are the same list.
///
/// A machine whose address is not known is served all the same, among the strangers.
#[derive(Clone, Debug, Default)]
pub struct Peers(Arc<Mutex<BTreeMap<u64, Vec<IpAddr>>>>);

impl Peers {
    /// That peer is at these addresses, and no others.
    pub fn set(&self, id: u64, ips: impl IntoIterator<Item = IpAddr>) {
        let ips = ips.into_iter().map(|ip| ip.to_canonical());
        self.lock().insert(id, ips.collect());
    }

    /// That peer is none any more.
    pub fn remove(&self, id: u64) {
        self.lock().remove(&id);
    }

    fn contains(&self, ip: IpAddr) -> bool {
        self.lock().values().flatten().any(|&known| known == ip)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<u64, Vec<IpAddr>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What the threads of a server share.
struct Shared {
    limits: Limits,
    peers: Peers,
    service: Arc<dyn Service>,
    table: Arc<Table>,
    /// Where whoever started the server logs: its threads do the same.
    log: tracing::Dispatch,
}

/// A running server. Dropping it stops it.
pub struct Server {
    addr: SocketAddr,
    table: Arc<Table>,
    accept: Option<JoinHandle<()>>,
}

impl Server {
    /// Serves what arrives at `listener` until it is stopped. `peers` are the cluster's other
    /// machines, which may change meanwhile.
    pub fn start(
        listener: TcpListener,
        limits: Limits,
        peers: Peers,
        service: Arc<dyn Service>,
    ) -> io::Result<Server> {
        let addr = listener.local_addr()?;
        let limits = limits.here();
        let table = Arc::new(Table::new(
            limits.max_connections,
            limits.reserved,
            limits.grace,
        ));
        let shared = Arc::new(Shared {
            limits,
            peers,
            service,
            table: Arc::clone(&table),
            log: tracing::dispatcher::get_default(Clone::clone),
        });
        let accept = thread::Builder::new()
            .name("http-accept".into())
            .spawn(move || accept_all(&listener, &shared))?;
        Ok(Server {
            addr,
            table,
            accept: Some(accept),
        })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.addr
    }

    /// How many connections there are.
    pub fn connections(&self) -> usize {
        self.table.len()
    }

    /// Closes the port and every connection. A call that is being served goes on to its end, and
    /// its reply is lost.
    pub fn stop(&mut self) {
        let Some(accept) = self.accept.take() else {
            return;
        };
        self.table.close();
        // The accepting thread may be waiting for a connection, and a connection is what wakes it
        // on every system.
        let ip = match self.addr.ip() {
            ip if !ip.is_unspecified() => ip,
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        };
        let own = SocketAddr::new(ip, self.addr.port());
        while !accept.is_finished() {
            let _ = TcpStream::connect_timeout(&own, Duration::from_millis(100));
            thread::sleep(Duration::from_millis(1));
        }
        if accept.join().is_err() {
            tracing::error!("the accepting thread of {} had panicked", self.addr);
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Gives each connection a place and a thread.
fn accept_all(listener: &TcpListener, shared: &Arc<Shared>) {
    const SHORTEST: Duration = Duration::from_millis(5);
    const LONGEST: Duration = Duration::from_secs(1);
    let mut pause = SHORTEST;
    let _log = tracing::dispatcher::set_default(&shared.log);
    while !shared.table.is_closed() {
        let (stream, addr) = match listener.accept() {
            Ok(accepted) => accepted,
            // They left while they waited.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => continue,
            Err(error) => {
                if pause == SHORTEST {
                    tracing::warn!("no connection can be accepted, trying again: {error}");
                }
                // What is missing is most likely a file descriptor, and an idle stranger has one.
                shared.table.make_room();
                shared.table.sleep(pause);
                pause = (pause * 2).min(LONGEST);
                continue;
            }
        };
        pause = SHORTEST;
        let ip = addr.ip().to_canonical();
        let peer = !ip.is_loopback() && shared.peers.contains(ip);
        let stream = Arc::new(stream);
        // Until there is a place, whoever comes next waits in the system's backlog.
        let Some(place) = shared.table.admit(Arc::clone(&stream), peer) else {
            return;
        };
        let (shared, name) = (Arc::clone(shared), "http".to_owned());
        let spawned = thread::Builder::new().name(name).spawn(move || {
            let _log = tracing::dispatcher::set_default(&shared.log);
            connection::serve(&shared, &stream, addr, &place);
        });
        if let Err(error) = spawned {
            tracing::warn!("no thread for the connection from {addr}: {error}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_take_at_most_half_of_the_files_and_strangers_at_least_half_of_the_places() {
        let greedy = Limits {
            max_connections: usize::MAX,
            reserved: usize::MAX,
            ..Limits::default()
        }
        .here();
        if let Some(files) = files_allowed() {
            assert_eq!(greedy.max_connections, files / 2);
        }
        assert_eq!(greedy.reserved, greedy.max_connections / 2);

        let none = Limits {
            max_connections: 0,
            ..Limits::default()
        }
        .here();
        assert_eq!((none.max_connections, none.reserved), (1, 0));
    }
}
