//! Raft.
mod message;
mod role;
pub use message::*;
pub use role::RoleName;
/// A node's id: 1 and up, unique in its cluster.
pub type NodeId = u64;
