//! Text of all kinds, handed to every host function that reads some.
#![no_main]

#[path = "../../tests/hostile/assembler.rs"]
#[allow(dead_code, reason = "only its tables are of use here")]
mod assembler;
#[path = "../../tests/sequences/mod.rs"]
#[allow(dead_code, reason = "only one of its inputs is of use here")]
mod sequences;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| sequences::hand_over(bytes));
