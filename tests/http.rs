//! The HTTP server and client against each other, against clients who follow no rules, and against
//! their limits.

// Everything here is a test, helpers too.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Receiver, Sender};
use std::sync::{Arc, Barrier, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use raftian::rpc::client::{CallError, Client};
use raftian::rpc::http::{Caller, Limits, Peers, Server, Service, bind};
use raftian::rpc::value::Value;
use raftian::rpc::xml;

// ------------------------------------------------------------------------------------- helpers

/// A service made of a function.
struct Answer<F>(F);

impl<F: Fn(&[u8], &mut Caller) -> Vec<u8> + Send + Sync + 'static> Service for Answer<F> {
    fn call(&self, body: &[u8], caller: &mut Caller) -> Vec<u8> {
        (self.0)(body, caller)
    }
}

/// A server that sends back what it is sent; whoever sends "peer" is a peer.
fn echo(limits: Limits) -> Server {
    serve(limits, |body, caller| {
        if body.starts_with(b"peer") {
            caller.mark_peer();
        }
        body.to_vec()
    })
}

fn serve(
    limits: Limits,
    answer: impl Fn(&[u8], &mut Caller) -> Vec<u8> + Send + Sync + 'static,
) -> Server {
    Server::start(listen(), limits, Peers::default(), Arc::new(Answer(answer))).unwrap()
}

fn listen() -> TcpListener {
    bind("127.0.0.1:0".parse().unwrap()).unwrap()
}

/// Limits with few places and a grace that nobody waits for unless the test is about it.
fn few(max_connections: usize, reserved: usize) -> Limits {
    Limits {
        max_connections,
        reserved,
        grace: Duration::from_millis(100),
        ..Limits::default()
    }
}

/// A connection that fails a test rather than hanging it.
fn connect(server: &Server) -> TcpStream {
    let stream = TcpStream::connect(server.local_addr()).unwrap();
    prepare(&stream);
    stream
}

fn prepare(stream: &TcpStream) {
    let patience = Some(Duration::from_secs(20));
    stream.set_read_timeout(patience).unwrap();
    stream.set_write_timeout(patience).unwrap();
    stream.set_nodelay(true).unwrap();
}

fn request(body: &str) -> String {
    let len = body.len();
    format!(
        "POST /RPC2 HTTP/1.1\r\nHost: x\r\nContent-Type: text/xml\r\nContent-Length: {len}\r\n\r\n{body}"
    )
}

/// A reply's status line and headers, and its body. `None` when the connection ends before it.
fn read_reply(mut stream: &TcpStream) -> Option<(String, String)> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        match stream.read(&mut byte) {
            Ok(1) => head.push(byte[0]),
            Ok(_) => return None,
            Err(error) if error.kind() == ErrorKind::ConnectionReset => return None,
            Err(error) => panic!("{error} after {:?}", String::from_utf8_lossy(&head)),
        }
    }
    let head = String::from_utf8(head).unwrap();
    let len = head
        .lines()
        .find_map(|line| line.strip_prefix("Content-Length: "))
        .map_or(0, |len| len.parse().unwrap());
    let mut body = vec![0; len];
    stream.read_exact(&mut body).unwrap();
    Some((head, String::from_utf8(body).unwrap()))
}

/// Sends bytes as they are; the other end may have closed meanwhile.
fn send(mut stream: &TcpStream, bytes: impl AsRef<[u8]>) {
    let _ = stream.write_all(bytes.as_ref());
}

/// A whole exchange: true when the body came back.
fn echoes(stream: &TcpStream, body: &str) -> bool {
    send(stream, request(body));
    match read_reply(stream) {
        Some((head, back)) => head.starts_with("HTTP/1.1 200 OK\r\n") && back == body,
        None => false,
    }
}

/// The status of what comes next, such as 413; 0 when nothing comes.
fn status(stream: &TcpStream) -> u16 {
    read_reply(stream).map_or(0, |(head, _)| head[9..12].parse().unwrap())
}

/// Whether the connection ends here.
fn ends(mut stream: &TcpStream) -> bool {
    match stream.read(&mut [0; 64]) {
        Ok(n) => n == 0,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "not within 20 s: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

// -------------------------------------------------------------------------- requests and replies

#[test]
fn a_connection_serves_one_request_after_another() {
    let server = echo(Limits::default());
    let stream = connect(&server);
    for i in 0..100 {
        assert!(echoes(&stream, &format!("request {i}")));
    }
    assert!(echoes(&stream, ""));
    assert!(echoes(&stream, &"x".repeat(1024 * 1024)));
    assert!(echoes(&stream, "small again"));
    assert_eq!(server.connections(), 1);
}

#[test]
fn a_request_may_come_in_any_pieces() {
    let server = echo(Limits::default());
    let stream = connect(&server);
    for body in ["", "a body"] {
        for byte in request(body).bytes() {
            send(&stream, [byte]);
        }
        assert_eq!(read_reply(&stream).unwrap().1, body);
    }
}

#[test]
fn what_is_served_and_what_is_refused() {
    let calls = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&calls);
    let server = serve(Limits::default(), move |body, _| {
        counter.fetch_add(1, Ordering::SeqCst);
        body.to_vec()
    });
    let xml = "Content-Type: text/xml\r\n";
    let short = "Content-Type: text/xml\r\nContent-Length: 2\r\n";
    let long_header = format!("{short}X: {}\r\n", "x".repeat(9000));
    let many_headers = format!("{short}{}", "X: y\r\n".repeat(200));
    let header = |line: &str| format!("{short}{line}\r\n");
    let length = |value: &str| format!("{xml}Content-Length: {value}\r\n");
    let kind = |value: &str| format!("Content-Type: {value}\r\nContent-Length: 2\r\n");
    let post = "POST /RPC2 HTTP/1.1";
    for (line, headers, expected) in [
        (post, short.to_owned(), 200),
        ("POST / HTTP/1.1", short.to_owned(), 200),
        ("POST http://bob1:8001/RPC2 HTTP/1.1", short.to_owned(), 200),
        ("POST http://bob1:8001 HTTP/1.1", short.to_owned(), 200),
        ("POST /RPC2 HTTP/1.0", short.to_owned(), 200),
        (post, kind("application/xml"), 200),
        (post, kind("TEXT/XML; charset=utf-8"), 200),
        (post, length("02"), 200),
        (post, short.to_uppercase(), 200),
        (post, header("Transfer-encodin: chunked"), 200),
        ("POST /other HTTP/1.1", short.to_owned(), 404),
        ("POST /RPC2/ HTTP/1.1", short.to_owned(), 404),
        ("POST /rpc2 HTTP/1.1", short.to_owned(), 404),
        ("POST /RPC2?x HTTP/1.1", short.to_owned(), 404),
        ("POST * HTTP/1.1", short.to_owned(), 404),
        ("GET /RPC2 HTTP/1.1", String::new(), 405),
        ("OPTIONS * HTTP/1.1", String::new(), 405),
        ("post /RPC2 HTTP/1.1", short.to_owned(), 405),
        (post, header("Origin: http://evil.example"), 403),
        (post, header("origin: null"), 403),
        (post, header("ORIGIN:"), 403),
        (post, "Content-Length: 2\r\n".to_owned(), 415),
        (post, kind("text/plain"), 415),
        (post, kind("application/x-www-form-urlencoded"), 415),
        (post, kind("text/xmlish"), 415),
        (post, header("Content-Type: text/xml"), 415),
        (post, xml.to_owned(), 411),
        (post, length("1048577"), 413),
        (post, length("70368744177664"), 413),
        (post, length("18446744073709551616"), 413),
        (post, length("99999999999999999999"), 413),
        (post, length("000000000000000000002"), 400),
        (post, length("-2"), 400),
        (post, length("+2"), 400),
        (post, length("2, 2"), 400),
        (post, length("2 2"), 400),
        (post, length("0x2"), 400),
        (post, length("2.0"), 400),
        (post, length(""), 400),
        (post, header("Content-Length: 2"), 400),
        (post, header("Content-Length: 3"), 400),
        (post, header("content-length: 0"), 400),
        (post, header("Transfer-Encoding: chunked"), 400),
        (post, header("transfer-encoding: identity"), 400),
        (post, format!("{xml}Transfer-Encoding: chunked\r\n"), 411),
        (post, header("Expect: the-best"), 417),
        (post, long_header, 431),
        (post, many_headers, 431),
        ("POST /RPC2 HTTP/2.0", short.to_owned(), 505),
        ("PRI * HTTP/2.0", String::new(), 505),
        ("POST /RPC2", short.to_owned(), 400),
        ("POST  /RPC2 HTTP/1.1", short.to_owned(), 400),
        ("hello", String::new(), 400),
        ("\u{16}\u{3}\u{1}", String::new(), 400),
        (post, header("no colon"), 400),
        (post, header("Space : before"), 400),
        (post, header("X: \u{1}"), 400),
        (post, header(" folded"), 400),
    ] {
        let before = calls.load(Ordering::SeqCst);
        let stream = connect(&server);
        send(&stream, format!("{line}\r\n{headers}\r\n"));
        if !headers.to_lowercase().contains("transfer-encoding") {
            send(&stream, "hi");
        }
        let what = format!("{line} {headers:.100}");
        let (head, body) = read_reply(&stream).unwrap_or_else(|| panic!("no reply: {what}"));
        assert_eq!(head[9..12], expected.to_string(), "{what}: {body}");
        let served = calls.load(Ordering::SeqCst) - before;
        assert_eq!(served, usize::from(expected == 200), "{what}");
        if expected != 200 {
            assert!(head.contains("\r\nConnection: close\r\n"), "{head}");
            assert_eq!(
                head.contains("\r\nAllow: POST\r\n"),
                expected == 405,
                "{head}"
            );
            assert!(ends(&stream), "{what}");
        }
    }
}

#[test]
fn a_second_request_before_the_first_reply_is_refused_with_the_first() {
    let server = serve(Limits::default(), |_, _| panic!("nothing is served"));
    for first in ["", "first", &"x".repeat(100_000)] {
        let stream = connect(&server);
        send(&stream, [request(first), request("second")].concat());
        assert_eq!(status(&stream), 400);
        assert!(ends(&stream));
    }
}

#[test]
fn a_client_that_asks_before_it_sends_the_body_is_told_to_go_on() {
    let server = echo(Limits::default());
    let stream = connect(&server);
    for _ in 0..2 {
        send(
            &stream,
            "POST / HTTP/1.1\r\nContent-Type: text/xml\r\nContent-Length: 4\r\nExpect: 100-Continue\r\n\r\n",
        );
        assert_eq!(
            read_reply(&stream).unwrap().0,
            "HTTP/1.1 100 Continue\r\n\r\n"
        );
        send(&stream, "body");
        assert_eq!(read_reply(&stream).unwrap().1, "body");
    }
}

#[test]
fn a_client_that_would_send_too_much_is_refused_before_it_does() {
    let server = echo(Limits::default());
    let stream = connect(&server);
    send(
        &stream,
        "POST / HTTP/1.1\r\nContent-Type: text/xml\r\nContent-Length: 70368744177664\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(status(&stream), 413);
}

#[test]
fn a_refusal_reaches_a_client_that_is_still_sending() {
    let server = echo(Limits::default());
    for _ in 0..10 {
        let stream = connect(&server);
        send(
            &stream,
            "POST / HTTP/1.1\r\nContent-Type: text/xml\r\nContent-Length: 3000000\r\n\r\n",
        );
        // A client that sends everything before it listens must not find the connection reset.
        (&stream).write_all(&vec![b'x'; 3_000_000]).unwrap();
        assert_eq!(status(&stream), 413);
    }
}

#[test]
fn a_connection_stays_open_only_as_the_client_says() {
    let server = echo(Limits::default());
    let with = |version: &str, header: &str| {
        let stream = connect(&server);
        send(
            &stream,
            format!(
                "POST / HTTP/{version}\r\nContent-Type: text/xml\r\nContent-Length: 1\r\n{header}\r\nx"
            ),
        );
        let (head, _) = read_reply(&stream).unwrap();
        (stream, head)
    };
    for (version, header, open) in [
        ("1.1", "", true),
        ("1.1", "Connection: keep-alive\r\n", true),
        ("1.1", "Connection: Close\r\n", false),
        ("1.1", "Connection: te, close\r\n", false),
        ("1.0", "", false),
        ("1.0", "Connection: Keep-Alive\r\n", true),
        ("1.0", "Connection: keep-alive, close\r\n", false),
    ] {
        let (stream, head) = with(version, header);
        assert_eq!(
            head.contains("Connection: close"),
            !open,
            "{version} {header}"
        );
        let said = head.contains("Connection: keep-alive");
        assert_eq!(said, open && version == "1.0", "{version} {header}");
        if open {
            assert!(echoes(&stream, "again"), "{version} {header}");
        } else {
            assert!(ends(&stream), "{version} {header}");
        }
    }
}

#[test]
fn a_thousand_hostile_requests_change_nothing() {
    let server = echo(Limits::default());
    // A small generator of its own, so that a failure can be repeated.
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    let mut random = move |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed % below as u64) as usize
    };
    const PIECES: [&[u8]; 20] = [
        b"POST ",
        b"/RPC2",
        b" HTTP/1.1",
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b"Content-Length:",
        b"70368744177664",
        b"-1",
        b"5",
        b": ",
        b"Transfer-Encoding: chunked\r\n",
        b"Content-Type: text/xml\r\n",
        b"Expect: 100-continue\r\n",
        b"\0",
        b"\xff\xfe",
        b" ",
        b"Content-Length: 5\r\n",
        b"hello",
    ];
    for round in 0..1000 {
        let mut stream = connect(&server);
        let mut bytes = Vec::new();
        if round % 2 == 0 {
            bytes.extend_from_slice(b"POST /RPC2 HTTP/1.1\r\n");
        }
        for _ in 0..random(30) {
            match random(8) {
                0 => bytes.extend((0..random(40)).map(|_| random(256) as u8)),
                _ => bytes.extend_from_slice(PIECES[random(PIECES.len())]),
            }
        }
        send(&stream, &bytes);
        if random(2) == 0 {
            let _ = stream.shutdown(std::net::Shutdown::Write);
            let mut reply = Vec::new();
            let _ = stream.read_to_end(&mut reply);
            assert!(
                reply.is_empty() || reply.starts_with(b"HTTP/1.1 "),
                "{bytes:?}"
            );
        }
    }
    assert!(echoes(&connect(&server), "still here"));
}

// ------------------------------------------------------------------------------------ deadlines

/// Sends a byte every few milliseconds for as long as the other end takes them; what comes back.
fn drip(server: &Server, start: &str, byte: u8) -> (u16, Duration) {
    let stream = connect(server);
    send(&stream, start);
    let begun = Instant::now();
    let feeder = stream.try_clone().unwrap();
    let feeding = thread::spawn(move || {
        while (&feeder).write_all(&[byte]).is_ok() && begun.elapsed() < Duration::from_secs(15) {
            thread::sleep(Duration::from_millis(5));
        }
    });
    let status = status(&stream);
    let took = begun.elapsed();
    drop(stream);
    feeding.join().unwrap();
    (status, took)
}

#[test]
fn a_head_that_drips_is_refused_at_the_deadline() {
    let server = echo(Limits {
        head_time: Duration::from_millis(200),
        ..Limits::default()
    });
    let (status, took) = drip(&server, "POST /RPC2 HTTP/1.1\r\nX: ", b'x');
    assert_eq!(status, 408);
    assert!(took >= Duration::from_millis(200), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_body_that_drips_is_refused_at_the_deadline() {
    let server = echo(Limits {
        body_time: Duration::from_millis(200),
        ..Limits::default()
    });
    let head = "POST / HTTP/1.1\r\nContent-Type: text/xml\r\nContent-Length: 100000\r\n\r\n";
    let (status, took) = drip(&server, head, b'x');
    assert_eq!(status, 408);
    assert!(took >= Duration::from_millis(200), "{took:?}");
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[test]
fn a_silent_connection_ends_without_a_word() {
    let server = echo(Limits {
        idle: Duration::from_millis(200),
        ..Limits::default()
    });
    let fresh = connect(&server);
    let used = connect(&server);
    assert!(echoes(&used, "once"));
    let begun = Instant::now();
    assert!(ends(&fresh) && ends(&used));
    assert!(begun.elapsed() < Duration::from_secs(5));
    eventually("no connection is left", || server.connections() == 0);
}

#[test]
fn a_client_that_does_not_take_its_reply_is_left() {
    let limits = Limits {
        write_time: Duration::from_millis(200),
        ..Limits::default()
    };
    // More than the buffers of two sockets hold.
    let server = serve(limits, |_, _| vec![b'x'; 32 << 20]);
    let stream = connect(&server);
    send(&stream, request("much, please"));
    eventually("it is connected", || server.connections() == 1);
    eventually("no connection is left", || server.connections() == 0);
    drop(stream);
}

#[test]
fn a_long_call_is_not_idle() {
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let limits = Limits {
        idle: Duration::from_millis(50),
        ..few(1, 0)
    };
    let server = serve(limits, move |body, _| {
        if body == b"slow" {
            wait.lock().unwrap().recv().unwrap();
        }
        body.to_vec()
    });
    let slow = connect(&server);
    send(&slow, request("slow"));
    eventually("it is served", || server.connections() == 1);
    // Somebody else wants the only place, for longer than grace and idle time together.
    let next = connect(&server);
    send(&next, request("next"));
    next.set_read_timeout(Some(Duration::from_millis(400)))
        .unwrap();
    assert!(
        (&next).read(&mut [0]).is_err(),
        "served although there was no place"
    );
    go.send(()).unwrap();
    assert_eq!(read_reply(&slow).unwrap().1, "slow");
    prepare(&next);
    assert_eq!(read_reply(&next).unwrap().1, "next");
}

// --------------------------------------------------------------------------------------- places

#[test]
fn two_hundred_and_fifty_six_clients_that_connect_at_once_are_all_served() {
    let server = echo(Limits::default());
    let addr = server.local_addr();
    let clients = 256;
    let start = Arc::new(Barrier::new(clients));
    let threads: Vec<_> = (0..clients)
        .map(|i| {
            let start = Arc::clone(&start);
            thread::spawn(move || {
                start.wait();
                let stream = TcpStream::connect(addr).unwrap();
                prepare(&stream);
                let first = echoes(&stream, &format!("{i}"));
                // Nobody leaves before all have been served.
                start.wait();
                first && echoes(&stream, &format!("{i} again"))
            })
        })
        .collect();
    for thread in threads {
        assert!(thread.join().unwrap());
    }
}

#[test]
fn connections_that_were_all_opened_before_the_first_request_are_all_served() {
    let server = echo(Limits::default());
    let streams: Vec<_> = (0..256).map(|_| connect(&server)).collect();
    for (i, stream) in streams.iter().enumerate() {
        assert!(echoes(stream, &format!("{i}")));
    }
}

#[test]
fn many_more_clients_than_places_are_served_one_after_another() {
    let server = echo(few(8, 2));
    let mut kept = Vec::new();
    for i in 0..200 {
        let stream = connect(&server);
        assert!(echoes(&stream, &format!("{i}")));
        assert!(server.connections() <= 8);
        kept.push(stream);
    }
}

#[test]
fn a_peer_never_makes_room() {
    let server = echo(few(4, 2));
    let peers = [connect(&server), connect(&server)];
    for peer in &peers {
        assert!(echoes(peer, "peer"));
    }
    for i in 0..20 {
        assert!(echoes(&connect(&server), &format!("{i}")));
    }
    let strangers: Vec<_> = (0..10)
        .map(|i| {
            let stream = connect(&server);
            assert!(echoes(&stream, &format!("{i}")));
            stream
        })
        .collect();
    for peer in &peers {
        assert!(echoes(peer, "peer again"));
    }
    drop(strangers);
}

#[test]
fn a_peer_gets_in_while_strangers_hold_every_place_in_silence() {
    let server = echo(few(6, 2));
    let silent: Vec<_> = (0..6).map(|_| connect(&server)).collect();
    eventually("all places are taken", || server.connections() == 6);
    let begun = Instant::now();
    assert!(echoes(&connect(&server), "peer"));
    assert!(begun.elapsed() < Duration::from_secs(5));
    drop(silent);
}

#[test]
fn peers_get_their_reserved_places_while_strangers_send_slowly() {
    let server = echo(few(6, 2));
    let slow: Vec<_> = (0..6).map(|_| connect(&server)).collect();
    for stream in &slow {
        send(stream, "POST /RPC2 HTTP/1.1\r\nX: ");
    }
    eventually("all places are taken", || server.connections() == 6);
    let peers = [connect(&server), connect(&server)];
    for peer in &peers {
        assert!(echoes(peer, "peer"));
    }
    // Only the borrowed places were taken back: the other four requests may take their time.
    let rest = "y\r\nContent-Type: text/xml\r\nContent-Length: 2\r\n\r\nhi";
    let served = slow
        .iter()
        .filter(|stream| {
            send(stream, rest);
            read_reply(stream).is_some_and(|(_, body)| body == "hi")
        })
        .count();
    assert_eq!(served, 4);
}

#[test]
fn a_newcomer_is_safe_until_its_grace_is_over() {
    let limits = Limits {
        grace: Duration::from_secs(60),
        ..few(2, 0)
    };
    let server = echo(limits);
    let fresh = [connect(&server), connect(&server)];
    eventually("both are in", || server.connections() == 2);
    let third = connect(&server);
    send(&third, request("third"));
    for stream in &fresh {
        assert!(echoes(stream, "hello"));
    }
    // Now they are idle, and the one that was served first makes room.
    assert_eq!(read_reply(&third).unwrap().1, "third");
    assert!(ends(&fresh[0]));
    assert!(echoes(&fresh[1], "still here"));
}

#[test]
fn a_panic_in_the_service_costs_its_connection_and_nothing_else() {
    let server = serve(few(1, 0), |body, _| {
        assert!(body != b"bug", "a bug of ours, as the test wants it");
        body.to_vec()
    });
    for _ in 0..3 {
        let stream = connect(&server);
        send(&stream, request("bug"));
        assert!(read_reply(&stream).is_none());
        assert!(echoes(&connect(&server), "fine"));
    }
}

// --------------------------------------------------------------------------- starting and stopping

#[test]
fn a_port_in_use_is_an_error_and_a_port_that_was_in_use_is_not() {
    let mut server = echo(Limits::default());
    let addr = server.local_addr();
    assert_eq!(bind(addr).unwrap_err().kind(), ErrorKind::AddrInUse);
    let stream = connect(&server);
    assert!(echoes(&stream, "so that the port has been used"));
    server.stop();
    assert!(bind(addr).is_ok());
}

#[test]
fn stopping_ends_every_connection_and_frees_the_port() {
    let (entered, enter) = mpsc::channel();
    let (go, wait) = mpsc::channel::<()>();
    let wait = Mutex::new(wait);
    let mut server = serve(few(3, 0), move |body, _| {
        if body == b"slow" {
            entered.send(()).unwrap();
            let _ = wait.lock().unwrap().recv();
        }
        body.to_vec()
    });
    let (idle, half, slow) = (connect(&server), connect(&server), connect(&server));
    assert!(echoes(&idle, "hello"));
    send(&half, "POST ");
    send(&slow, request("slow"));
    enter.recv().unwrap();
    let begun = Instant::now();
    server.stop();
    server.stop();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(ends(&idle) && ends(&half) && ends(&slow));
    assert!(TcpStream::connect(server.local_addr()).is_err());
    drop(go);
    eventually("no connection is left", || server.connections() == 0);
}

#[test]
fn stopping_does_not_wait_for_a_place() {
    let limits = Limits {
        grace: Duration::from_secs(60),
        ..few(1, 0)
    };
    let mut server = echo(limits);
    let silent = connect(&server);
    eventually("it is in", || server.connections() == 1);
    let waiting: Vec<_> = (0..3).map(|_| connect(&server)).collect();
    let begun = Instant::now();
    server.stop();
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(ends(&silent));
    drop(waiting);
}

#[test]
fn a_server_listens_on_every_address_and_stops() {
    for addr in ["0.0.0.0:0", "[::1]:0"] {
        let listener = match bind(addr.parse().unwrap()) {
            Ok(listener) => listener,
            // A machine without IPv6.
            Err(error) if addr.starts_with('[') && error.kind() != ErrorKind::AddrInUse => continue,
            Err(error) => panic!("{addr}: {error}"),
        };
        let answer = Answer(|body: &[u8], _: &mut Caller| body.to_vec());
        let mut server = Server::start(
            listener,
            Limits::default(),
            Peers::default(),
            Arc::new(answer),
        )
        .unwrap();
        let mut to = server.local_addr();
        if to.ip().is_unspecified() {
            to.set_ip("127.0.0.1".parse().unwrap());
        }
        let stream = TcpStream::connect(to).unwrap();
        prepare(&stream);
        assert!(echoes(&stream, addr));
        server.stop();
    }
}

/// In a process of its own, which may open few files.
#[cfg(unix)]
#[test]
fn running_out_of_files_is_survived() {
    if !with_few_files("running_out_of_files_is_survived") {
        return;
    }
    let server = echo(Limits::default());
    let clients: Vec<_> = (0..3).map(|_| socket()).collect();
    let files = all_files();
    for client in &clients {
        client.connect(&server.local_addr().into()).unwrap();
    }
    let clients: Vec<TcpStream> = clients.into_iter().map(TcpStream::from).collect();
    for client in &clients {
        prepare(client);
        // Peers, because an idle stranger would make room.
        send(client, request("peer"));
    }
    // The first may have got in: a system may set a file aside before it waits for a connection.
    let last = &clients[2];
    last.set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    assert!((&*last).read(&mut [0]).is_err(), "accepted without a file");
    drop(files);
    prepare(last);
    for client in &clients {
        assert_eq!(read_reply(client).unwrap().1, "peer");
    }
}

/// In a process of its own, which may open few files.
#[cfg(unix)]
#[test]
fn an_idle_stranger_makes_room_when_there_are_no_more_files() {
    if !with_few_files("an_idle_stranger_makes_room_when_there_are_no_more_files") {
        return;
    }
    let server = echo(Limits::default());
    let clients: Vec<_> = (0..4).map(|_| socket()).collect();
    let stranger = connect(&server);
    assert!(echoes(&stranger, "hello"));
    let files = all_files();
    for client in &clients {
        client.connect(&server.local_addr().into()).unwrap();
    }
    // All stay: each is let in with the file of one that came before.
    let clients: Vec<TcpStream> = clients.into_iter().map(TcpStream::from).collect();
    for client in &clients {
        prepare(client);
        assert!(echoes(client, "hello"));
    }
    drop(files);
}

/// True in a process that may open few files; otherwise runs the test of that name in one.
#[cfg(unix)]
fn with_few_files(test: &str) -> bool {
    const INSIDE: &str = "RAFTIAN_TEST_FEW_FILES";
    if std::env::var_os(INSIDE).is_some() {
        return true;
    }
    // With one thread, nobody else in that process opens or closes files.
    let script = format!("ulimit -n 64 && exec \"$0\" --exact {test} --test-threads=1");
    let output = std::process::Command::new("sh")
        .arg("-c")
        .arg(script)
        .arg(std::env::current_exe().unwrap())
        .env(INSIDE, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && said.contains("1 passed"),
        "{said}{errors}"
    );
    false
}

/// A socket that will need no further file to connect.
#[cfg(unix)]
fn socket() -> socket2::Socket {
    socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap()
}

/// Every file that this process may still open.
#[cfg(unix)]
fn all_files() -> Vec<std::fs::File> {
    std::iter::from_fn(|| std::fs::File::open("/dev/null").ok()).collect()
}

// --------------------------------------------------------------------------------------- client

/// A server that tells which connections its calls came over.
fn counting(limits: Limits) -> (Server, Arc<Mutex<BTreeSet<SocketAddr>>>) {
    let seen = Arc::new(Mutex::new(BTreeSet::new()));
    let server = {
        let seen = Arc::clone(&seen);
        serve(limits, move |body, caller| {
            seen.lock().unwrap().insert(caller.addr());
            xml::encode_response(&xml::decode_call(body).map(|call| call.params.into()))
        })
    };
    (server, seen)
}

const PATIENT: Duration = Duration::from_secs(20);

#[test]
fn a_hundred_calls_take_one_connection() {
    let (server, seen) = counting(Limits::default());
    let port = server.local_addr().port();
    for host in ["127.0.0.1", "localhost"] {
        seen.lock().unwrap().clear();
        let client = Client::new(&format!("{host}:{port}"), PATIENT);
        for i in 0..100 {
            let reply = client.call("m", &[i.into(), "x".repeat(100 * i as usize).into()]);
            assert_eq!(reply.unwrap().as_array().unwrap()[0], i.into());
        }
        assert_eq!(seen.lock().unwrap().len(), 1, "{host}");
    }
}

#[test]
fn a_fault_does_not_cost_the_connection() {
    let (server, seen) = counting(Limits::default());
    let client = Client::new(&server.local_addr().to_string(), PATIENT);
    for _ in 0..10 {
        // Our server refuses this name, politely: with a fault.
        let error = client.call("a name", &[]).unwrap_err();
        assert!(
            matches!(error, CallError::Fault(_)) && error.reached(),
            "{error}"
        );
    }
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[test]
fn a_connection_that_the_server_closed_meanwhile_is_not_used() {
    let (mut server, seen) = counting(Limits::default());
    let addr = server.local_addr();
    let client = Client::new(&addr.to_string(), PATIENT);
    for _ in 0..3 {
        assert!(client.call("m", &[]).is_ok());
        server.stop();
        let error = client.call("m", &[]).unwrap_err();
        assert!(
            matches!(error, CallError::Connect(_)) && !error.reached(),
            "{error}"
        );
        let listener = bind(addr).unwrap();
        let seen = Arc::clone(&seen);
        let answer = Answer(move |_: &[u8], caller: &mut Caller| {
            seen.lock().unwrap().insert(caller.addr());
            xml::encode_response(&Ok(Value::Nil))
        });
        server = Server::start(
            listener,
            Limits::default(),
            Peers::default(),
            Arc::new(answer),
        )
        .unwrap();
    }
    assert!(client.call("m", &[]).is_ok());
}

/// A server that answers each connection with what it is given, in turn, whatever it is asked.
fn canned(replies: Vec<Vec<u8>>) -> (SocketAddr, Receiver<usize>) {
    let listener = listen();
    let addr = listener.local_addr().unwrap();
    let (count, counted): (Sender<usize>, _) = mpsc::channel();
    thread::spawn(move || {
        for reply in replies {
            let (mut stream, _) = listener.accept().unwrap();
            prepare(&stream);
            let mut request = Vec::new();
            while !request.ends_with(b"</methodCall>") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.push(byte[0]);
            }
            send(&stream, &reply);
            let _ = stream.shutdown(std::net::Shutdown::Write);
            // Until the client has closed: how much it still had to say.
            let rest = stream.read_to_end(&mut Vec::new()).unwrap_or(0);
            let _ = count.send(rest);
        }
    });
    (addr, counted)
}

#[test]
fn what_is_no_reply_is_an_error_that_says_so() {
    let reply = |status: &str, headers: &str, body: &str| {
        format!(
            "HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )
    };
    let good = String::from_utf8(xml::encode_response(&Ok(Value::Nil))).unwrap();
    let huge = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 999999999999\r\n\r\n{}",
        "x".repeat(3_000_000)
    );
    let far = "Location: http://127.0.0.1:1/RPC2\r\n";
    for (canned_reply, expected) in [
        (reply("200 OK", "", &good), "Ok(Nil)"),
        (format!("HTTP/1.0 200 OK\r\n\r\n{good}"), "Ok(Nil)"),
        (
            format!(
                "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{good}\r\n0\r\n\r\n",
                good.len()
            ),
            "Ok(Nil)",
        ),
        (reply("200 OK", "", "<html/>"), "NotXmlRpc"),
        (reply("200 OK", "", ""), "NotXmlRpc"),
        (reply("404 Not Found", "", "no"), "Status(404)"),
        (reply("500 Oops", "", &good), "Status(500)"),
        (reply("302 Found", far, ""), "Status(302)"),
        (reply("307 Temporary Redirect", far, ""), "Status(307)"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort".into(),
            "Broken",
        ),
        ("SSH-2.0-x\r\n".into(), "Broken"),
        (String::new(), "Broken"),
        (
            format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(100_000)),
            "Broken",
        ),
        (huge, "Broken"),
    ] {
        let (addr, _) = canned(vec![canned_reply.clone().into_bytes()]);
        let client = Client::new(&addr.to_string(), PATIENT);
        let result = client.call("m", &[]);
        let shown = format!("{result:?}");
        assert!(shown.contains(expected), "{canned_reply:.80}: {shown}");
        if let Err(error) = result {
            assert!(error.reached());
            let line = error.to_string();
            assert!(!line.contains('\n') && line.len() < 200, "{line}");
        }
    }
}

#[test]
fn a_call_ends_at_its_timeout_whatever_the_other_end_does() {
    let short = Duration::from_millis(300);
    let in_time = |addr: SocketAddr| {
        let begun = Instant::now();
        let error = Client::new(&addr.to_string(), short)
            .call("m", &[])
            .unwrap_err();
        assert!(matches!(error, CallError::TimedOut), "{error:?}");
        assert!(error.reached());
        assert!(begun.elapsed() >= short && begun.elapsed() < Duration::from_secs(10));
    };
    // One that accepts and says nothing: the system does so for a listener that nobody serves.
    let silent = listen();
    in_time(silent.local_addr().unwrap());

    // One that answers a byte at a time, in the head and in the body.
    for start in [
        "HTTP/1.1 200 OK\r\nX: ",
        "HTTP/1.1 200 OK\r\nContent-Length: 10000\r\n\r\n",
    ] {
        let listener = listen();
        let addr = listener.local_addr().unwrap();
        let dripping = thread::spawn(move || {
            let (stream, _) = listener.accept().unwrap();
            prepare(&stream);
            send(&stream, start);
            while (&stream).write_all(b"x").is_ok() {
                thread::sleep(Duration::from_millis(5));
            }
        });
        in_time(addr);
        dripping.join().unwrap();
    }
}

#[test]
fn an_address_where_nobody_listens_was_not_reached() {
    let free = listen().local_addr().unwrap().to_string();
    for address in [&*free, "no such host:1", "", "x", "127.0.0.1:99999"] {
        let error = Client::new(address, PATIENT).call("m", &[]).unwrap_err();
        assert!(
            matches!(error, CallError::Connect(_)),
            "{address}: {error:?}"
        );
        assert!(!error.reached());
        assert!(!error.to_string().contains('\n'));
    }
}
