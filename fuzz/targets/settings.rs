//! What users write.
#![no_main]

#[path = "../../tests/fuzzed/settings.rs"]
mod settings;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| settings::run(bytes));
