//! Makes files of the store that guard themselves as they should, out of any bytes.
//!
//! It follows what the program's documents say of the files, and shares no code with the program but
//! the digest of an entry. So where the two disagree about a file, one of them is wrong.

use std::collections::BTreeMap;

use raftian::command::printable;
use raftian::raft::{MAX_TERM, Payload};
use raftian::storage::Identity;
use raftian::storage::record::{self, Record};

const LOG: &[u8] = b"raftian-log\t";
const STATE: &[u8] = b"raftian-state\t";

/// Length of a page of `hard-state`.
pub const PAGE: usize = 4096;

/// A file, in its whole length.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum File {
    /// A segment of the log.
    Log(Vec<u8>),
    /// Term and vote.
    State(Vec<u8>),
}

/// How much is set right.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Help {
    /// Nothing.
    None,
    /// The CRC of each line.
    Crc,
    /// Also digests, where a segment begins, the length of a payload, and marks that lie behind.
    All,
}

/// The files that these bytes hold.
pub fn files(bytes: &[u8], help: Help) -> Vec<File> {
    let mut chain = Chain::default();
    split(bytes)
        .into_iter()
        .map(|file| match file.starts_with(STATE) {
            true => File::State(pages(&lines(file, |line, _| {
                (help != Help::None).then(|| sealed(&unsealed(line)))
            }))),
            false => File::Log(in_length(lines(file, |line, at| match help {
                Help::None => None,
                Help::Crc => Some(sealed(&unsealed(line))),
                Help::All => Some(chain.right(line, at)),
            }))),
        })
        .collect()
}

/// Cuts before each first line.
fn split(bytes: &[u8]) -> Vec<&[u8]> {
    let begins = |at: &usize| bytes[*at..].starts_with(LOG) || bytes[*at..].starts_with(STATE);
    let letters = (0..bytes.len()).filter(|&at| bytes[at] == LOG[0]);
    let mut starts: Vec<usize> = letters.filter(begins).collect();
    if starts.first() != Some(&0) {
        starts.insert(0, 0);
    }
    let ends = starts.iter().skip(1).copied().chain([bytes.len()]);
    let ends: Vec<usize> = ends.collect();
    starts
        .iter()
        .zip(ends)
        .map(|(&start, end)| &bytes[start..end])
        .collect()
}

/// The file with each line as `change` wants it, which is told the line and where it goes. Zeros are
/// no part of a line, nor is what no line break ends.
fn lines(file: &[u8], mut change: impl FnMut(&[u8], usize) -> Option<Vec<u8>>) -> Vec<u8> {
    let mut out = Vec::with_capacity(file.len());
    for piece in file.split_inclusive(|&byte| byte == b'\n') {
        let zeros = piece.iter().take_while(|&&byte| byte == 0).count();
        let (zeros, line) = piece.split_at(zeros);
        out.extend_from_slice(zeros);
        let changed = match line.strip_suffix(b"\n") {
            Some(line) => change(line, out.len()),
            None => None,
        };
        out.extend_from_slice(changed.as_deref().unwrap_or(line));
    }
    out
}

/// The lines of a state file, each at the start of its page.
fn pages(lines: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    for (page, line) in lines
        .split_inclusive(|&byte| byte == b'\n')
        .take(5)
        .enumerate()
    {
        out.resize(page * PAGE, 0);
        out.extend_from_slice(&line[..line.len().min(PAGE)]);
    }
    out.resize(5 * PAGE, 0);
    out
}

/// The segment with as many zeros at its end as its first line asks for, if that is not too many.
fn in_length(mut segment: Vec<u8>) -> Vec<u8> {
    const MOST: usize = 16 * 1024;
    let first = segment.split(|&byte| byte == b'\n').next();
    let length = first.and_then(|line| line.split(|&byte| byte == b'\t').nth(5));
    let length: Option<usize> = length.and_then(|digits| str::from_utf8(digits).ok()?.parse().ok());
    if let Some(length) = length
        && length <= MOST
    {
        let used = segment.iter().rposition(|&byte| byte != 0);
        segment.truncate(length.max(used.map_or(0, |last| last + 1)));
        segment.resize(length.max(segment.len()), 0);
    }
    segment
}

/// Term and vote of a node that has seen every term.
pub fn state(identity: &Identity) -> Vec<u8> {
    let cluster = printable(&identity.cluster);
    let mut lines = sealed(format!("raftian-state\t1\t{cluster}\t{}", identity.node).as_bytes());
    for number in [0, 0, 1, 1] {
        lines.extend(sealed(format!("{number}\t{MAX_TERM}\t-").as_bytes()));
    }
    pages(&lines)
}

/// The one line that a record is written as.
pub fn record(record: &Record) -> Vec<u8> {
    let length = match &record.payload {
        Some(Payload::Command(command)) => {
            format!("{}\t{}\t{}", command.client, command.serial, command.text).len()
        }
        _ => 0,
    };
    sealed(
        format!(
            "{}\t{}\t{}\t{}@{}\t{length}\t{}\t{:016x}",
            record.index,
            record.term,
            record.kind(),
            record.mark.index,
            record.mark.offset,
            record.text(),
            record.digest
        )
        .as_bytes(),
    )
}

/// Whether this is one line with the right CRC, and no zero in it.
pub fn is_line(line: &[u8]) -> bool {
    let Some(inside) = line.strip_suffix(b"\n") else {
        return false;
    };
    !inside.contains(&b'\n') && !inside.contains(&0) && sealed(&unsealed(inside)) == line
}

/// The line before its CRC.
fn unsealed(line: &[u8]) -> Vec<u8> {
    let end = line.iter().rposition(|&byte| byte == b'\t');
    line[..end.unwrap_or(line.len())].to_vec()
}

fn sealed(body: &[u8]) -> Vec<u8> {
    let mut line = [body, b"\t"].concat();
    let crc = format!("{:08x}\n", crc_32c(&line));
    line.extend_from_slice(crc.as_bytes());
    line
}

/// CRC-32C, byte by byte.
fn crc_32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    const OF_A_BYTE: [u32; 256] = {
        let mut table = [0; 256];
        let mut byte = 0;
        while byte < 256 {
            let mut crc = byte as u32;
            let mut bit = 0;
            while bit < 8 {
                crc = (crc >> 1) ^ (POLYNOMIAL * (crc & 1));
                bit += 1;
            }
            table[byte] = crc;
            byte += 1;
        }
        table
    };
    !bytes.iter().fold(!0, |crc, &byte| {
        (crc >> 8) ^ OF_A_BYTE[((crc ^ u32::from(byte)) & 0xff) as usize]
    })
}

/// The log so far, for what follows from it.
#[derive(Default)]
struct Chain {
    /// Term and digest by index, the base's too.
    links: BTreeMap<u64, (u64, u64)>,
}

impl Chain {
    /// The line with all set right that can be.
    fn right(&mut self, line: &[u8], at: usize) -> Vec<u8> {
        let body = unsealed(line);
        let Ok(text) = std::str::from_utf8(&body) else {
            return sealed(&body);
        };
        let mut fields: Vec<String> = text.split('\t').map(str::to_string).collect();
        match fields.len() {
            10 if text.as_bytes().starts_with(LOG) => self.header(&mut fields),
            7 => self.record(&mut fields, at),
            _ => None,
        };
        sealed(fields.join("\t").as_bytes())
    }

    fn header(&mut self, fields: &mut [String]) -> Option<()> {
        if let Some((last, (term, digest))) = self.links.last_key_value()
            && fields[9] == "follows"
        {
            fields[6] = last.to_string();
            fields[7] = term.to_string();
            fields[8] = format!("{digest:016x}");
            return Some(());
        }
        let digest = u64::from_str_radix(&fields[8], 16).ok()?;
        let base = (fields[6].parse().ok()?, fields[7].parse().ok()?);
        self.links = BTreeMap::from([(base.0, (base.1, digest))]);
        Some(())
    }

    fn record(&mut self, fields: &mut [String], at: usize) -> Option<()> {
        let (index, term) = (fields[0].parse().ok()?, fields[1].parse().ok()?);
        let (mark, offset) = fields[3].split_once('@')?;
        let (last, _) = self.links.last_key_value()?;
        let mark = mark.parse().map_or(*last, |mark: u64| mark.min(*last));
        let offset = offset.parse().map_or(at, |offset: usize| offset.min(at));
        fields[3] = format!("{mark}@{offset}");
        if !fields[5].contains('\\') {
            fields[4] = fields[5].len().to_string();
        }
        let digest = if fields[2] == "mark" {
            self.links.get(&index)?.1
        } else {
            let (_, before) = self.links.get(&u64::checked_sub(index, 1)?)?;
            let digest = record::chain(*before, index, term, &fields[2], &fields[5]);
            self.links.split_off(&index);
            self.links.insert(index, (term, digest));
            digest
        };
        fields[6] = format!("{digest:016x}");
        Some(())
    }
}
