//! The first line of a file: what it is, in which format, and whose.
//!
//! ```text
//! magic TAB format TAB cluster TAB node TAB ... TAB crc NEWLINE
//! ```
//!
//! The format comes before anything that a later format might do otherwise, so that a file of a
//! later format is known for what it is.

use std::fmt;

use crate::command::printable;
use crate::raft::NodeId;

use super::error::OpenError;
use super::{FORMAT, Identity, line};

/// Longest first line that is looked at.
pub(super) const MAX_HEADER: usize = 4096;

/// Why a file cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BadFile {
    /// It has a later format than this program knows.
    Newer(u64),
    /// It is damaged.
    Damaged {
        /// At which byte.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
}

impl BadFile {
    pub(super) fn at(offset: usize, what: impl fmt::Display) -> BadFile {
        BadFile::Damaged {
            offset: offset as u64,
            what: what.to_string(),
        }
    }

    /// The same as a reason not to open the store.
    pub(super) fn into_error(self, file: String) -> OpenError {
        match self {
            BadFile::Newer(found) => OpenError::NewerFormat { file, found },
            BadFile::Damaged { offset, what } => OpenError::Corrupt { file, offset, what },
        }
    }
}

/// The first line of a file: magic, format, whose, and then these fields.
pub(super) fn header(magic: &str, identity: &Identity, fields: &[String]) -> Vec<u8> {
    let cluster = printable(&identity.cluster);
    let mut out = format!("{magic}\t{FORMAT}\t{cluster}\t{}", identity.node).into_bytes();
    for field in fields {
        out.push(b'\t');
        out.extend_from_slice(field.as_bytes());
    }
    line::seal(&mut out, 0);
    out
}

/// Whose file this is, the header's other fields, and its length.
pub(super) fn read<'a>(
    magic: &str,
    bytes: &'a [u8],
) -> Result<(Identity, Vec<&'a str>, usize), BadFile> {
    let damaged = || BadFile::at(0, "its first line is not as it was written");
    let start = &bytes[..bytes.len().min(MAX_HEADER)];
    let rest = start
        .strip_prefix(magic.as_bytes())
        .and_then(|rest| rest.strip_prefix(b"\t"))
        .ok_or_else(damaged)?;
    let format = rest.split(|&byte| byte == b'\t').next().unwrap_or_default();
    let format = str::from_utf8(format).ok().and_then(line::number);
    match format {
        Some(FORMAT) => {}
        Some(newer) if newer > FORMAT => return Err(BadFile::Newer(newer)),
        _ => return Err(damaged()),
    }
    let end = start.iter().position(|&byte| byte == b'\n');
    let end = end.ok_or_else(damaged)?;
    let body = line::unseal(&start[..end]).ok_or_else(damaged)?;
    let mut fields = body.split('\t').skip(2);
    let mut whose = || {
        let cluster = line::original(fields.next()?)?.into_owned();
        let node: NodeId = line::number(fields.next()?)?;
        Some(Identity { cluster, node })
    };
    let identity = whose().ok_or_else(damaged)?;
    Ok((identity, fields.collect(), end + 1))
}

/// Whose file of any kind this is.
pub(super) fn whose(bytes: &[u8]) -> Option<Identity> {
    let magic = bytes.split(|&byte| byte == b'\t').next()?;
    let (identity, _, _) = read(str::from_utf8(magic).ok()?, bytes).ok()?;
    Some(identity)
}

/// Refuses a file of another cluster or another node.
pub(super) fn belongs(found: &Identity, wanted: &Identity, file: String) -> Result<(), OpenError> {
    if found.cluster != wanted.cluster {
        return Err(OpenError::OtherCluster {
            file,
            found: found.cluster.clone(),
            wanted: wanted.cluster.clone(),
        });
    }
    if found.node != wanted.node {
        return Err(OpenError::OtherNode {
            file,
            found: found.node,
            wanted: wanted.node,
        });
    }
    Ok(())
}
