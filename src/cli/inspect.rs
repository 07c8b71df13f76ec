//! `raftian inspect`: what is in a node's data folder?

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::{Failure, print};
use crate::snapshot::Document;
use crate::storage::segment::Rest;
use crate::storage::{FORMAT, Inspected, OpenError, RealDisk, inspect};

/// Print a node's data: term and vote, snapshots, and its log record by record
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  raftian inspect data/bob1               everything
  raftian inspect data/bob1 --tail 20     the log's last 20 records only

Changes nothing, and may be used while the node runs. Prints `ok`, or says which file is damaged
and where.")]
pub(super) struct Args {
    /// The node's folder
    #[arg(value_name = "DIR")]
    dir: PathBuf,
    /// Print only the last N records of the log
    #[arg(long, value_name = "N")]
    tail: Option<usize>,
}

pub(super) fn run(args: &Args) -> Result<(), Failure> {
    let inspected = read(&args.dir)?;
    print(&text(
        &args.dir,
        &inspected,
        args.tail.unwrap_or(usize::MAX),
    ))?;
    match inspected.verdict {
        Ok(_) => print("ok\n"),
        Err(error) => Err(Failure::new(error)),
    }
}

/// A node that runs may have changed a file between two that were read. So damage counts when it
/// is still there a little later.
fn read(dir: &Path) -> Result<Inspected, Failure> {
    let none = || {
        let dir = dir.display();
        Failure::new(format!(
            "{dir} holds no node's data: give a folder such as data/bob1"
        ))
    };
    let mut attempts = 5;
    loop {
        let disk = match RealDisk::existing(dir) {
            Ok(disk) => disk,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return Err(Failure::new(format!("{}: {error}", dir.display())));
            }
            Err(_) => return Err(none()),
        };
        attempts -= 1;
        match inspect(&disk, Document::read_snapshot) {
            Ok(None) => return Err(none()),
            Ok(Some(inspected)) if inspected.verdict.is_ok() || attempts == 0 => {
                return Ok(inspected);
            }
            Err(error) if attempts == 0 => return Err(Failure::new(error)),
            _ => thread::sleep(Duration::from_millis(20)),
        }
    }
}

fn text(dir: &Path, inspected: &Inspected, tail: usize) -> String {
    let mut files = Vec::new();
    match &inspected.state {
        None => files.push(["hard-state".to_string(), "missing".to_string()]),
        Some(Err(error)) => files.push(["hard-state".to_string(), what(error)]),
        Some(Ok(found)) => {
            let state = found.state;
            let vote = state
                .voted_for
                .map_or("nobody".to_string(), |id| id.to_string());
            let bad = found.whole.iter().filter(|whole| !**whole).count();
            let whole = match bad {
                0 => "ok".to_string(),
                bad => format!("ok ({bad} of 4 copies damaged)"),
            };
            let term = state.current_term;
            let line = format!("term {term}, voted for {vote}  {whole}");
            files.push(["hard-state".to_string(), line]);
        }
    }
    for (name, snapshot) in &inspected.snapshots {
        let line = match snapshot {
            Err(error) => what(error),
            Ok(snapshot) => format!(
                "up to index {}, term {}, {} bytes  ok",
                snapshot.last_index,
                snapshot.last_term,
                snapshot.data.len()
            ),
        };
        files.push([name.clone(), line]);
    }
    for (name, bytes, segment) in &inspected.segments {
        let line = match segment {
            Err(error) => what(error),
            Ok(segment) => {
                let header = &segment.header;
                let anew = if header.anew { ", starts anew" } else { "" };
                let rest = match &segment.rest {
                    Rest::Clean => "ok".to_string(),
                    Rest::Torn(range) => format!(
                        "torn tail at byte {}: {} bytes that were never finished",
                        range.start,
                        range.len()
                    ),
                    Rest::Damaged { offset, what } => format!("damaged at byte {offset}: {what}"),
                };
                format!(
                    "after index {}, term {}{anew}, {} of {} bytes  {rest}",
                    header.base_index,
                    header.base_term,
                    segment.end(),
                    bytes.len(),
                )
            }
        };
        files.push([name.clone(), line]);
    }
    let whose = match &inspected.identity {
        Some(identity) => format!("node {} of cluster {}", identity.node, identity.cluster),
        None => "a node".to_string(),
    };
    let mut text = format!("{}: {whose}, format {FORMAT}\n\n", dir.display());
    text.push_str(&aligned(&files, &[]));
    let records = records(inspected);
    if !records.is_empty() {
        let head = [
            "INDEX",
            "TERM",
            "KIND",
            "MARK",
            "DIGEST",
            "CRC",
            "SEGMENT:BYTE",
            "TEXT",
        ];
        let mut rows = vec![head.map(str::to_string)];
        rows.extend(records.into_iter().rev().take(tail).rev());
        text.push('\n');
        text.push_str(&aligned(&rows, &[0, 1]));
    }
    text.push('\n');
    text
}

/// A row for each record, in the order in which they were written.
fn records(inspected: &Inspected) -> Vec<[String; 8]> {
    let mut rows = Vec::new();
    let mut indexes = Vec::new();
    for (_, bytes, segment) in &inspected.segments {
        let Ok(segment) = segment else {
            continue;
        };
        let mut start = segment.start;
        for (end, record) in &segment.records {
            // The last field, before the line break.
            let crc = String::from_utf8_lossy(&bytes[end - 9..end - 1]);
            rows.push([
                record.index.to_string(),
                record.term.to_string(),
                record.kind().to_string(),
                format!("{}@{}", record.mark.index, record.mark.offset),
                format!("{:016x}", record.digest),
                crc.into_owned(),
                format!("{}:{start}", segment.header.number),
                record.text(),
            ]);
            indexes.push(record.payload.as_ref().map(|_| record.index));
            start = *end;
        }
    }
    let mut lowest = u64::MAX;
    for (row, index) in rows.iter_mut().zip(indexes).rev() {
        if let Some(index) = index {
            if index >= lowest {
                row[7] = format!("(replaced) {}", row[7]);
            }
            lowest = lowest.min(index);
        }
    }
    rows
}

/// The file is named beside it.
fn what(error: &OpenError) -> String {
    match error {
        OpenError::Corrupt { offset, what, .. } => format!("damaged at byte {offset}: {what}"),
        OpenError::NewerFormat { found, .. } => format!("format {found}, newer than this program"),
        error => error.to_string(),
    }
}

/// Columns of the same width, these to the right; the last one is as long as it is.
fn aligned<const N: usize>(rows: &[[String; N]], right: &[usize]) -> String {
    let width = |column: usize| {
        let widths = rows.iter().map(|row| row[column].chars().count());
        widths.max().unwrap_or(0)
    };
    let widths: [usize; N] = std::array::from_fn(width);
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (column, cell) in row.iter().enumerate() {
            let width = widths[column];
            match right.contains(&column) {
                true => line.push_str(&format!("{cell:>width$}  ")),
                false if column + 1 < N => line.push_str(&format!("{cell:<width$}  ")),
                false => line.push_str(cell),
            }
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
