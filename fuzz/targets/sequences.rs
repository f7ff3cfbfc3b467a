//! Sequences of host function calls, with events around them.
#![no_main]

#[path = "../../tests/hostile/assembler.rs"]
#[allow(dead_code, reason = "only its tables are of use here")]
mod assembler;
#[path = "../../tests/sequences/mod.rs"]
#[allow(dead_code, reason = "what only tests ask")]
mod sequences;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sequences::run(bytes));
