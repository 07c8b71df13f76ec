//! A node.
pub mod queues;
