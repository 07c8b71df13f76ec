//! Any bytes against `properties::xmlrpc`.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    properties::xmlrpc::check(bytes);
});
