//! The storage engine: each rule by its name, and then every fault at every place.

// Everything here is a test, helpers too.
#![allow(clippy::unwrap_used)]

#[path = "storage/support.rs"]
mod support;

#[path = "storage/cost.rs"]
mod cost;
#[path = "storage/document.rs"]
mod document;
#[path = "storage/faults.rs"]
mod faults;
#[path = "storage/rules.rs"]
mod rules;
