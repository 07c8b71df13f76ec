//! Raftian: a terminal strategy game in which every player is a Raft node.
#[macro_use]
mod planted;

pub mod command;
pub mod game;
pub mod machine;
pub mod node;
pub mod raft;
pub mod rpc;
pub mod sim;
pub mod status;
pub mod storage;
