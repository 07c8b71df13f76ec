//! Why a node's data cannot be opened: each reason is one line that says what to do.

use std::fmt;
use std::io;

use crate::raft::NodeId;

use super::SaveError;

/// Why a [`Store`](super::Store) was not opened. Except where the disk itself failed on the way,
/// nothing in the folder has been changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Another process has the folder.
    Locked {
        /// The folder.
        dir: String,
    },
    /// The data of a node of another cluster.
    OtherCluster {
        /// The file that says so.
        file: String,
        /// The cluster that it belongs to.
        found: String,
        /// The cluster of this node.
        wanted: String,
    },
    /// The data of another node.
    OtherNode {
        /// The file that says so.
        file: String,
        /// The node that it belongs to.
        found: NodeId,
        /// This node.
        wanted: NodeId,
    },
    /// Written by a later version of this program.
    NewerFormat {
        /// The file that says so.
        file: String,
        /// Its format.
        found: u64,
    },
    /// Something that was on the disk is not there any more as it was.
    Corrupt {
        /// Where.
        file: String,
        /// At which byte.
        offset: u64,
        /// What is wrong there.
        what: String,
    },
    /// There is a log or a snapshot, and no term and vote.
    NoHardState {
        /// Where they should be.
        file: String,
    },
    /// There is no room to set the folder in order.
    Full(String),
    /// The disk failed.
    Io(String),
}

/// An earlier copy of the folder will not do: the node would have forgotten votes and entries that
/// others count on.
const UNLESS_RESTORED: &str = "nothing was changed; unless the folder can be brought back as the \
    node left it, the node needs a new id and an empty folder";

impl fmt::Display for OpenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            OpenError::Locked { dir } => write!(
                f,
                "{dir}: another process uses this folder: stop that one first"
            ),
            OpenError::OtherCluster {
                file,
                found,
                wanted,
            } => write!(
                f,
                "{file}: this is the data of cluster {found:?}, not of {wanted:?}: give each \
                 cluster its own data folder"
            ),
            OpenError::OtherNode {
                file,
                found,
                wanted,
            } => write!(
                f,
                "{file}: this is the data of node {found}, not of node {wanted}: give each node its \
                 own data folder"
            ),
            OpenError::NewerFormat { file, found } => write!(
                f,
                "{file}: format {found} is newer than this program, which knows format {}: use a \
                 newer raftian",
                super::FORMAT
            ),
            OpenError::Corrupt { file, offset, what } => write!(
                f,
                "{file}: damaged at byte {offset}: {what}; {UNLESS_RESTORED}"
            ),
            OpenError::NoHardState { file } => write!(
                f,
                "{file}: missing beside a log, and a node that has forgotten its vote might vote \
                 twice; {UNLESS_RESTORED}"
            ),
            OpenError::Full(what) => write!(f, "{what}: make room and start again"),
            OpenError::Io(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for OpenError {}

impl From<SaveError> for OpenError {
    fn from(error: SaveError) -> OpenError {
        match error {
            SaveError::Full(what) => OpenError::Full(what),
            SaveError::Failed(what) => OpenError::Io(what),
        }
    }
}

/// Whether there was no room, which is no failure of the disk.
pub(super) fn is_full(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded
    )
}
