//! What says who signed a module.
#![no_main]

#[path = "../../tests/fuzzed/signatures.rs"]
mod signatures;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| signatures::run(bytes));
