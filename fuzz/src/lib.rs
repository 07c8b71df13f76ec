//! What must hold of any bytes, for each reader that a stranger's bytes reach.
//!
//! One module for each reader, and in it one function, `check`, that takes any bytes and panics
//! when a promise is broken. That the reader does not panic is only the first promise; the others
//! are those of the documents: what is read can be written and read again, what is refused is
//! refused in one of the known ways, and how the bytes arrived makes no difference.
//!
//! Two programs call these functions: the fuzz targets with bytes that they make up (`make fuzz`),
//! and `tests/fuzz_seeds.rs` with each file in `seeds`, on each test run. So a check is quick and
//! decides everything from its bytes alone: the same bytes give the same result, and a finding can
//! be replayed.

pub mod forge;
pub mod http_head;
pub mod log_reader;
pub mod snapshot_reader;
mod well_formed;
pub mod xmlrpc;

/// A check of any bytes, which says whether they are such as a node takes.
pub type Check = fn(&[u8]) -> bool;

/// Every target: its name, which is that of its folder in `seeds`, and its check.
pub const TARGETS: &[(&str, Check)] = &[
    ("xmlrpc", xmlrpc::check),
    ("http_head", http_head::check),
    ("log_reader", log_reader::check),
    ("snapshot_reader", snapshot_reader::check),
];

/// Places at which to cut bytes of this length: each where there are no more than `most`, and
/// otherwise so many that depend on nothing but the length and the number `seed`.
fn cuts(len: usize, seed: usize, most: usize) -> impl Iterator<Item = usize> {
    // An odd step that is no fraction of anything wanders over all lengths.
    const STEP: usize = 0x9e37_79b1;
    (0..len.min(most)).map(move |i| match len <= most {
        true => i,
        false => seed.wrapping_add(i).wrapping_mul(STEP) % len,
    })
}

/// A number made of the bytes: other bytes, other cuts.
fn sum(bytes: &[u8]) -> usize {
    bytes.iter().fold(bytes.len(), |sum, &byte| {
        sum.wrapping_mul(31).wrapping_add(usize::from(byte))
    })
}
