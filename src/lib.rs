//! Raftian: a terminal strategy game in which every player is a Raft node.
pub mod cli;
pub mod command;
pub mod config;
pub mod game;
pub mod logging;
pub mod machine;
pub mod node;
pub mod orders_log;
pub mod raft;
pub mod rpc;
