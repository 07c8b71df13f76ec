//! One connection, from its first byte to its last, in its own thread.

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::request::{Head, Refusal, parse_head};
use super::table::Place;
use super::{Caller, Limits, Shared};

/// Serves requests until there are no more.
pub(super) fn serve(shared: &Shared, stream: &TcpStream, addr: SocketAddr, place: &Place) {
    // Without it, a reply of more than one segment waits for the acknowledgement of the first.
    if stream.set_nodelay(true).is_err() {
        return;
    }
    let mut wire = Wire {
        stream,
        limits: &shared.limits,
        buffer: Vec::new(),
    };
    loop {
        let head = match wire.receive(place) {
            Ok(head) => head,
            Err(Ending::Gone) => return,
            Err(Ending::Refused(refusal)) => {
                tracing::debug!("refused a request from {addr}: {}", refusal.text);
                // From here on whoever needs the place may have it.
                if place.idle() {
                    wire.refuse(refusal);
                }
                return;
            }
        };
        if !place.serving() {
            return;
        }
        let mut caller = Caller { addr, peer: false };
        let body = &wire.buffer[head.len..];
        let reply = shared.service.call(body, &mut caller);
        if caller.peer && addr.ip().to_canonical().is_loopback() {
            place.mark_peer();
        }
        if wire.reply(&head, &reply).is_err() || !head.keep_alive || !place.idle() {
            return;
        }
    }
}

/// Why a connection ends before a request is complete.
enum Ending {
    /// The other end has left, or was silent for too long, or was asked to leave.
    Gone,
    /// It gets told why.
    Refused(Refusal),
}

impl From<Refusal> for Ending {
    fn from(refusal: Refusal) -> Ending {
        Ending::Refused(refusal)
    }
}

/// A socket and what has been read from it.
struct Wire<'a> {
    stream: &'a TcpStream,
    limits: &'a Limits,
    buffer: Vec<u8>,
}

impl Wire<'_> {
    /// Reads one request, and nothing after it: the buffer then holds its head and its body.
    fn receive(&mut self, place: &Place) -> Result<Head, Ending> {
        const HEAD_CHUNK: usize = 4 * 1024;
        const BODY_CHUNK: usize = 64 * 1024;
        // A long request is rare, and its memory is not kept for the next.
        if self.buffer.capacity() > BODY_CHUNK {
            self.buffer = Vec::new();
        }
        self.buffer.clear();

        // Silence is no request, so that it ends without a reply.
        self.read(HEAD_CHUNK, Instant::now() + self.limits.idle)
            .map_err(|_| Ending::Gone)?;
        let deadline = Instant::now() + self.limits.head_time;
        let head = loop {
            if let Some(head) = parse_head(&self.buffer, self.limits)? {
                break head;
            }
            place.receiving();
            self.read_more(HEAD_CHUNK, deadline)?;
        };

        let end = head.len + head.body;
        if self.buffer.len() < end {
            place.receiving();
            if head.expects_continue {
                self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
                    .map_err(|_| Ending::Gone)?;
            }
            let deadline = Instant::now() + self.limits.body_time;
            while self.buffer.len() < end {
                // One byte more than is due, to notice who does not wait for the reply.
                let due = end - self.buffer.len() + 1;
                self.read_more(due.min(BODY_CHUNK), deadline)?;
            }
        }
        if self.buffer.len() > end {
            return Err(Refusal::PIPELINED.into());
        }
        Ok(head)
    }

    /// Reads on in the middle of a request.
    fn read_more(&mut self, chunk: usize, deadline: Instant) -> Result<(), Ending> {
        self.read(chunk, deadline)
            .map_err(|error| match error.kind() {
                io::ErrorKind::TimedOut => Refusal::TOO_SLOW.into(),
                _ => Ending::Gone,
            })
    }

    /// Appends to the buffer whatever comes next, at least one byte and at most `chunk`.
    fn read(&mut self, chunk: usize, deadline: Instant) -> io::Result<()> {
        let len = self.buffer.len();
        self.buffer.resize(len + chunk, 0);
        let result = read_until(self.stream, &mut self.buffer[len..], deadline);
        let got = *result.as_ref().unwrap_or(&0);
        self.buffer.truncate(len + got);
        match result? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }

    /// Sends the service's reply in one write.
    fn reply(&self, head: &Head, body: &[u8]) -> io::Result<()> {
        let connection = match head {
            Head {
                keep_alive: false, ..
            } => "Connection: close\r\n",
            Head {
                say_keep_alive: true,
                ..
            } => "Connection: keep-alive\r\n",
            _ => "",
        };
        let mut message = Vec::with_capacity(128 + body.len());
        write!(
            message,
            "HTTP/1.1 200 OK\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n{connection}\r\n",
            body.len()
        )?;
        message.extend_from_slice(body);
        self.write(&message)
    }

    /// Says why, and stays for a moment: closing while the other end is still sending would reset
    /// the connection and destroy the reply on its way.
    fn refuse(&self, refusal: Refusal) {
        const PATIENCE: Duration = Duration::from_secs(2);
        const MOST: usize = 8 * 1024 * 1024;
        let Refusal { status, text } = refusal;
        let allow = if status.starts_with("405") {
            "Allow: POST\r\n"
        } else {
            ""
        };
        let message = format!(
            "HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {}\r\n{allow}\
             Connection: close\r\n\r\n{text}\n",
            text.len() + 1
        );
        if self.write(message.as_bytes()).is_err() || self.stream.shutdown(Shutdown::Write).is_err()
        {
            return;
        }
        let deadline = Instant::now() + PATIENCE;
        let mut taken = 0;
        let mut scratch = [0; 8 * 1024];
        while taken < MOST {
            match read_until(self.stream, &mut scratch, deadline) {
                Ok(0) | Err(_) => break,
                Ok(got) => taken += got,
            }
        }
    }

    /// Sends all of it before the deadline for replies.
    fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        let deadline = Instant::now() + self.limits.write_time;
        while !bytes.is_empty() {
            self.stream.set_write_timeout(Some(left(deadline)?))?;
            match { self.stream }.write(bytes) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(sent) => bytes = &bytes[sent..],
                Err(error) if passes(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// One read that ends at the deadline, with `TimedOut`.
fn read_until(mut stream: &TcpStream, bytes: &mut [u8], deadline: Instant) -> io::Result<usize> {
    loop {
        stream.set_read_timeout(Some(left(deadline)?))?;
        match stream.read(bytes) {
            Err(error) if passes(&error) => {}
            result => return result,
        }
    }
}

/// How long until the deadline; `TimedOut` after it.
fn left(deadline: Instant) -> io::Result<Duration> {
    let left = deadline.saturating_duration_since(Instant::now());
    if left.is_zero() {
        return Err(io::ErrorKind::TimedOut.into());
    }
    // The system counts in milliseconds or so, and takes zero for "never".
    Ok(left.max(Duration::from_millis(1)))
}

/// Whether an error only means to look at the clock and try again.
fn passes(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut | io::ErrorKind::Interrupted
    )
}
