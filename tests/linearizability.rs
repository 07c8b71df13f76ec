//! The linearizability checker, checked: it accepts what is linearizable, rejects what is not, and
//! shows why.
//!
//! `known.rs` has histories that people can judge. `random.rs` has small ones by the thousand, and
//! compares with checkers that try everything (`slow.rs`). `large.rs` has the sizes that tests with
//! real processes will have.

// Everything here is a test, helpers too.
#![allow(clippy::unwrap_used)]

#[path = "linearizability/mod.rs"]
mod linearizability;

#[path = "linearizability/known.rs"]
mod known;
#[path = "linearizability/large.rs"]
mod large;
#[path = "linearizability/random.rs"]
mod random;
#[path = "linearizability/script.rs"]
mod script;
#[path = "linearizability/slow.rs"]
mod slow;
