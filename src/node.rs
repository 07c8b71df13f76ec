//! A node.
pub mod driver;
pub mod event;
pub mod queues;
pub mod submissions;
