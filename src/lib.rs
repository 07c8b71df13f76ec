//! Raftian: a terminal strategy game in which every player is a Raft node.
//!
//! A key press does not change the board. It becomes a *command*; Raft makes it an *entry*; when it
//! is committed, every node applies the same *order* and redraws. Data flows one way:
//!
//! ```text
//! key -> command -> entry -> order -> board
//! ui     node       raft     machine  game, ui
//! ```
//!
//! Who may import whom, from the surface down; docs/ARCHITECTURE.md tells why:
//!
//! | module | what it is |
//! |---|---|
//! | [`cli`] | the command line: puts the rest together |
//! | [`ui`] | the screen, joined to its node by two queues |
//! | [`bot`] | a player without a person |
//! | [`sim`] | the deterministic simulator |
//! | [`node`] | a node: the driver, and the threads that run it |
//! | [`trace`] | what a core was told, written down and done again |
//! | [`rpc`] | XML-RPC: documents, messages, methods, server, client |
//! | [`orders_log`], [`logging`] | orders.log and node.log |
//! | [`storage`] | what survives a node |
//! | [`snapshot`] | a state machine written down |
//! | [`game`] | the board and its rules |
//! | [`machine`] | a state machine, exactly once, with a digest |
//! | [`raft`] | the algorithm, and nothing but the algorithm |
//! | [`config`], [`command`], [`status`] | what the others speak of |

#[macro_use]
mod planted;

pub mod application;
pub mod bot;
pub mod cli;
pub mod command;
pub mod config;
pub mod game;
pub mod kv;
pub mod logging;
pub mod machine;
#[cfg(test)]
mod model;
pub mod node;
pub mod orders_log;
pub mod raft;
pub mod rpc;
pub mod sim;
pub mod snapshot;
pub mod status;
pub mod storage;
pub mod trace;
pub mod ui;
