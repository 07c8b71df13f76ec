//! Our HTTP server beside tiny_http, in one run and from the same clients; and what the XML costs.
//!
//! `cargo bench --bench http` prints three tables within 15 seconds:
//!
//! * round trips a second, and how long the middle and the slowest hundredth took, for small
//!   replies and for replies of 4 kB, with one client and with eight, each on a connection that it
//!   keeps;
//! * how many of five clients are served that connect at once and stay;
//! * microseconds to write and to read one entry of a large AppendEntries document.
//!
//! Clients and servers share one machine, so the numbers are for comparing, not for quoting.

#![allow(missing_docs)]
// A benchmark that cannot go on has nothing better to do than to stop.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use raftian::rpc::http::{Caller, Limits, Peers, Server, Service, bind};
use raftian::rpc::value::{Struct, Value};
use raftian::rpc::xml::{decode_call, encode_call};

/// How long each row is measured.
const MEASURED: Duration = Duration::from_millis(1200);
/// What a reply of so many bytes is asked for with: the number.
const SIZES: [usize; 2] = [200, 4096];

fn main() {
    println!(
        "{:<10} {:>8} {:>8} {:>12} {:>10} {:>10}",
        "server", "reply", "clients", "calls/s", "p50 us", "p99 us"
    );
    for size in SIZES {
        for clients in [1, 8] {
            for (name, start) in SERVERS {
                let mut times = load(start(), clients, size);
                times.sort_unstable();
                let at = |share: f64| {
                    let place = (times.len() as f64 * share) as usize;
                    times.get(place).map_or(0.0, |t| t.as_secs_f64() * 1e6)
                };
                println!(
                    "{name:<10} {size:>6} B {clients:>8} {:>12.0} {:>10.0} {:>10.0}",
                    times.len() as f64 / MEASURED.as_secs_f64(),
                    at(0.50),
                    at(0.99),
                );
            }
        }
    }
    println!("\nfive clients connect at once and stay");
    for (name, start) in SERVERS {
        println!("{name:<10} serves {} of them", stay(start(), 5));
    }
    println!();
    codec();
}

// ------------------------------------------------------------------------------------- servers

type Start = fn() -> SocketAddr;
const SERVERS: [(&str, Start); 2] = [("raftian", ours), ("tiny_http", tiny)];

/// A reply of as many bytes as the request asks for.
fn reply(body: &[u8]) -> Vec<u8> {
    let size = std::str::from_utf8(body).unwrap().parse().unwrap();
    vec![b'x'; size]
}

fn ours() -> SocketAddr {
    struct Reply;
    impl Service for Reply {
        fn call(&self, body: &[u8], _: &mut Caller) -> Vec<u8> {
            reply(body)
        }
    }
    let listener = bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let server = Server::start(
        listener,
        Limits::default(),
        Peers::default(),
        Arc::new(Reply),
    )
    .unwrap();
    let addr = server.local_addr();
    // It serves until the process ends, as the other one does.
    std::mem::forget(server);
    addr
}

fn tiny() -> SocketAddr {
    let server = Arc::new(tiny_http::Server::http("127.0.0.1:0").unwrap());
    let addr = server.server_addr().to_ip().unwrap();
    for _ in 0..8 {
        let server = Arc::clone(&server);
        thread::spawn(move || {
            while let Ok(mut request) = server.recv() {
                let mut body = Vec::new();
                request.as_reader().read_to_end(&mut body).unwrap();
                let _ = request.respond(tiny_http::Response::from_data(reply(&body)));
            }
        });
    }
    addr
}

// ------------------------------------------------------------------------------------- clients

/// How long each call took, of all that `clients` could make one after another.
fn load(addr: SocketAddr, clients: usize, size: usize) -> Vec<Duration> {
    let start = Arc::new(Barrier::new(clients));
    let threads: Vec<_> = (0..clients)
        .map(|_| {
            let start = Arc::clone(&start);
            thread::spawn(move || {
                let mut connection = Connection::open(addr);
                let mut times = Vec::new();
                start.wait();
                let end = Instant::now() + MEASURED;
                loop {
                    let begun = Instant::now();
                    if begun >= end || !connection.call(size) {
                        return times;
                    }
                    times.push(begun.elapsed());
                }
            })
        })
        .collect();
    let times = threads.into_iter().map(|thread| thread.join().unwrap());
    times.flatten().collect()
}

/// How many of so many clients get a reply while all keep their connections.
fn stay(addr: SocketAddr, clients: usize) -> usize {
    let start = Arc::new(Barrier::new(clients));
    let threads: Vec<_> = (0..clients)
        .map(|_| {
            let start = Arc::clone(&start);
            thread::spawn(move || {
                start.wait();
                let mut connection = Connection::open(addr);
                let served = connection.call(SIZES[0]);
                start.wait();
                served
            })
        })
        .collect();
    let served = threads.into_iter().map(|thread| thread.join().unwrap());
    served.filter(|served| *served).count()
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Connection {
    fn open(addr: SocketAddr) -> Connection {
        let stream = TcpStream::connect(addr).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(1)))
            .unwrap();
        Connection {
            stream,
            buffer: vec![0; 64 * 1024],
        }
    }

    /// Asks for a reply of `size` bytes; false when none comes within a second.
    fn call(&mut self, size: usize) -> bool {
        let body = size.to_string();
        let request = format!(
            "POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.write_all(request.as_bytes()).unwrap();
        let mut got = 0;
        loop {
            match self.stream.read(&mut self.buffer[got..]) {
                Ok(0) | Err(_) => return false,
                Ok(more) => got += more,
            }
            let head = self.buffer[..got].windows(4).position(|w| w == b"\r\n\r\n");
            if head.is_some_and(|head| got >= head + 4 + size) {
                return true;
            }
        }
    }
}

// ----------------------------------------------------------------------------------------- XML

/// A document like the largest AppendEntries that a leader sends: six values an entry.
fn codec() {
    const ENTRIES: i64 = 1600;
    const ROUNDS: usize = 300;
    let entries: Vec<Value> = (0..ENTRIES)
        .map(|i| {
            Value::from(Struct::from([
                ("term", 7.into()),
                ("index", (100_000 + i).into()),
                ("client", "bob1-4611686018427387904".into()),
                ("serial", i.into()),
                ("command", "attack 3".into()),
            ]))
        })
        .collect();
    let params = [Value::from(Struct::from([
        ("term", 7.into()),
        ("leader_id", 1.into()),
        ("prev_log_index", 99_999.into()),
        ("prev_log_term", 7.into()),
        ("entries", entries.into()),
        ("leader_commit", 99_990.into()),
    ]))];
    let document = encode_call("append_entries_rpc", &params);
    assert_eq!(decode_call(&document).unwrap().params, params);
    println!(
        "AppendEntries of {ENTRIES} entries, {} bytes",
        document.len()
    );
    let per_entry = |work: &dyn Fn()| {
        let mut best = Duration::MAX;
        for _ in 0..ROUNDS {
            let begun = Instant::now();
            work();
            best = best.min(begun.elapsed());
        }
        best.as_secs_f64() * 1e6 / ENTRIES as f64
    };
    let write = per_entry(&|| {
        black_box(encode_call("append_entries_rpc", black_box(&params)));
    });
    let read = per_entry(&|| {
        black_box(decode_call(black_box(&document))).unwrap();
    });
    println!("write {write:.2} us an entry, read {read:.2} us an entry");
}
