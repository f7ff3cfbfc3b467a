//! What registries and servers send.
#![no_main]

#[path = "../../tests/fuzzed/images.rs"]
mod images;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| images::run(bytes));
