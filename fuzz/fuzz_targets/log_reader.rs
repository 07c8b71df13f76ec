//! Any bytes against `properties::log_reader`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    properties::log_reader::check(bytes);
});
