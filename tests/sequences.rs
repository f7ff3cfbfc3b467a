//! Sequences of host function calls, as the fuzzer makes them: from seeds, and those that it found.
//!
//! Together they call every host function, of every version of the ABI. `SEQUENCES` says how many
//! random ones, `SEQUENCES_SEED` where they begin.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "hostile/assembler.rs"]
#[allow(dead_code, reason = "only its tables are of use here")]
mod assembler;
#[path = "sequences/mod.rs"]
mod sequences;

use std::env;
use std::fs;
use std::path::Path;

/// Bytes of a random input.
const LENGTH: u64 = 1500;

#[test]
fn no_sequence_breaks_a_rule_of_the_abi() {
    for folder in ["seeds/sequences", "found/sequences"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("fuzz")
            .join(folder);
        for entry in fs::read_dir(&folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            println!("{}", path.display());
            sequences::run(&fs::read(&path).expect("a readable input"));
        }
    }
    let number = |name: &str, default: u64| {
        let text = env::var(name).ok();
        text.map_or(default, |text| text.parse().expect("a number"))
    };
    let (first, count) = (number("SEQUENCES_SEED", 1), number("SEQUENCES", 2000));
    for seed in first..first + count {
        // Shown where it fails.
        println!("SEQUENCES_SEED={seed}");
        sequences::run(&random(seed));
    }
    let coverage = sequences::coverage();
    for function in &coverage {
        println!("{function}");
    }
    if count >= 2000 {
        for function in &coverage {
            assert!(function.calls > 0, "never called: {function}");
        }
    }
}

/// Bytes of a seed.
fn random(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    let length = next() % LENGTH;
    let functions = assembler::IMPORTS.len() as u64;
    // The interpreter's numbers are small, and those of the functions that matter the smallest.
    (0..length)
        .map(|_| match next() % 3 {
            0 => (next() >> 32) as u8,
            1 => ((next() >> 32) % functions) as u8,
            _ => ((next() >> 32) % 24) as u8,
        })
        .collect()
}
