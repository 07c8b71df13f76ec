//! Writing a trace.
//!
//! A trace without one of its lines would be a false one. So it ends where a line cannot be written:
//! that is told once, and the node goes on.

use std::fmt;
use std::io::{self, Write};

use crc::{CRC_32_ISCSI, Crc, Table};
use serde::Serialize;
use serde_json::Serializer;
use serde_json::ser::Formatter;
use tracing::error;

use crate::raft::{Disk, Raft, Ready, Rejected};

use super::input::{Input, Output};
use super::{Header, MAX_LINE};

/// CRC-32C, as in the log's files.
static CRC_32C: Crc<u32, Table<16>> = Crc::<u32, Table<16>>::new(&CRC_32_ISCSI);

/// How much room is kept for the next line.
const USUAL_LINE: usize = 1 << 20;

/// Writes the trace of one core.
pub struct Recorder {
    /// `None` once the trace has ended.
    out: Option<Box<dyn Write + Send>>,
    line: Vec<u8>,
    /// The time of the last tick that was left out, unless a later one is written.
    left_out: Option<u64>,
    /// The time that was written last.
    now: u64,
    disk: Disk,
}

impl Recorder {
    /// A recorder that hands each line over in one piece.
    pub fn new(out: impl Write + Send + 'static) -> Recorder {
        Recorder {
            out: Some(Box::new(out)),
            line: Vec::new(),
            left_out: None,
            now: 0,
            disk: Disk::Ready,
        }
    }

    pub(super) fn begin(&mut self, raft: &Raft) {
        let header = Header::of(raft);
        self.write(|line| json(line, &header, Bytes::Full));
    }

    /// Writes one call, before which the core had this deadline.
    pub(super) fn record(&mut self, deadline: Option<u64>, input: &Input, output: &Output) {
        if self.out.is_none() {
            return;
        }
        let asks = !is_nothing(output);
        match *input {
            Input::Tick(now) if !asks && deadline.is_none_or(|at| now < at) => {
                self.left_out = (now > self.now).then_some(now);
                return;
            }
            Input::Tick(now) => (self.now, self.left_out) = (now, None),
            Input::SetDisk(disk) if !asks && disk == self.disk => return,
            Input::SetDisk(disk) => self.disk = disk,
            _ => {}
        }
        self.write_left_out();
        self.write(|line| {
            line.extend_from_slice(b"{\"input\":");
            json(line, input, Bytes::Full)?;
            if let Output::Rejected(Rejected::BadSnapshot(why)) = output {
                line.extend_from_slice(b",\"refused\":");
                json(line, why, Bytes::Full)?;
            }
            if asks {
                line.extend_from_slice(b",\"output\":");
                json(line, output, Bytes::Summed)?;
            }
            line.push(b'}');
            Ok(())
        });
    }

    /// The time at which what comes next happens.
    fn write_left_out(&mut self) {
        if let Some(now) = self.left_out.take() {
            self.now = now;
            self.write(|line| {
                line.extend_from_slice(b"{\"input\":");
                json(line, &Input::Tick(now), Bytes::Full)?;
                line.push(b'}');
                Ok(())
            });
        }
    }

    fn write(&mut self, write: impl FnOnce(&mut Vec<u8>) -> io::Result<()>) {
        let Some(out) = &mut self.out else {
            return;
        };
        self.line.clear();
        let result = write(&mut self.line).and_then(|()| {
            self.line.push(b'\n');
            match self.line.len() <= MAX_LINE {
                true => out.write_all(&self.line),
                false => Err(io::Error::other("a line is too long")),
            }
        });
        self.line.shrink_to(USUAL_LINE);
        if let Err(error) = result {
            error!("the trace ends here, and the node goes on without: {error}");
            self.out = None;
        }
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        self.write_left_out();
    }
}

impl fmt::Debug for Recorder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Recorder")
    }
}

fn is_nothing(output: &Output) -> bool {
    matches!(output, Output::Ready(ready) if **ready == Ready::default())
}

/// The output as it stands in a trace; `None` where nothing was asked for.
pub(super) fn output(output: &Output) -> Option<String> {
    if is_nothing(output) {
        return None;
    }
    let mut text = Vec::new();
    json(&mut text, output, Bytes::Summed).expect("plain data can be written into memory");
    Some(String::from_utf8(text).expect("JSON is text"))
}

fn json(line: &mut Vec<u8>, value: &impl Serialize, bytes: Bytes) -> io::Result<()> {
    value.serialize(&mut Serializer::with_formatter(line, bytes))?;
    Ok(())
}

/// How bytes are written.
#[derive(Clone, Copy)]
enum Bytes {
    /// So that they can be read back: as text where they are text.
    Full,
    /// So that they can be compared.
    Summed,
}

impl Formatter for Bytes {
    fn write_byte_array<W: ?Sized + Write>(
        &mut self,
        writer: &mut W,
        bytes: &[u8],
    ) -> io::Result<()> {
        match self {
            Bytes::Full => match str::from_utf8(bytes) {
                Ok(text) => serde_json::to_writer(writer, text)?,
                // Plain numbers: this formatter is not asked again.
                Err(_) => serde_json::to_writer(writer, &bytes)?,
            },
            Bytes::Summed => {
                let sum = CRC_32C.checksum(bytes);
                write!(writer, "\"{} bytes, CRC-32C {sum:08x}\"", bytes.len())?;
            }
        }
        Ok(())
    }
}
