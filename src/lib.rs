//! Raftian: a terminal strategy game in which every player is a Raft node.
pub mod command;
pub mod game;
pub mod machine;
pub mod node;
pub mod raft;
pub mod rpc;
pub mod ui;
