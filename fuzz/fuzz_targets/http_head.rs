//! Any bytes against `properties::http_head`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    properties::http_head::check(bytes);
});
