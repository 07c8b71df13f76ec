//! Scenarios that others have written down, on real processes: the manual scenarios of the project on
//! which this game is modelled, the tests of the course in which most people meet Raft, and what a
//! leader goes through that is paused or half deaf.
//!
//! Each scenario is a function of a [`World`](world::World): nodes that can be started, killed and
//! paused, and links between them that can lose requests or replies. The world here is made of
//! processes and of the proxies of `tests/support/links.rs`. The manual scenarios and the troubled
//! leaders ask for no more than the trait has, and `tests/docker.rs` tells the same functions of nodes in
//! containers. The scenarios of the course also need unreliable links and are for processes only.
//!
//! Every scenario waits for conditions. That nothing happens for a time is shown by what the nodes
//! themselves write down meanwhile: so many ticks of their clocks, so many requests for votes.
//!
//! Not here: members that come and go (tests/members.rs), disks (tests/durability.rs), and schedules
//! that nobody has thought of (the simulator).

// In a test an error is a panic, in its helpers too.
#![allow(clippy::unwrap_used)]

mod support;

#[path = "scenarios/course.rs"]
mod course;
#[path = "scenarios/harness.rs"]
mod harness;
#[path = "scenarios/manual.rs"]
mod manual;
#[path = "scenarios/processes.rs"]
mod processes;
#[path = "scenarios/troubled_leader.rs"]
mod troubled_leader;
#[path = "scenarios/world.rs"]
mod world;
