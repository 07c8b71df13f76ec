//! Any bytes against `properties::snapshot_reader`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    properties::snapshot_reader::check(bytes);
});
