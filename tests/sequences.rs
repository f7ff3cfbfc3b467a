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

/// Functions that have nothing to do in what streams meet: plugins that go say that they are done.
const NEVER_DONE: [&str; 1] = ["proxy_done"];

const SEEDS: &str = "fuzz/seeds/sequences";

/// Seeds of the fuzzer that are made of text: `UPDATE_GOLDEN=1` writes them.
#[test]
fn seeds_are_as_written() {
    for (name, input) in sequences::written() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(SEEDS)
            .join(format!("written-{name}"));
        if env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&path, &input).expect("a seed");
        }
        let kept = fs::read(&path).unwrap_or_default();
        assert!(
            kept == input,
            "{} is out of date: UPDATE_GOLDEN=1",
            path.display()
        );
    }
}

#[test]
fn no_sequence_breaks_a_rule_of_the_abi() {
    for folder in [SEEDS, "fuzz/found/sequences"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
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
            let is_done = function.statuses.contains_key(&0);
            let is_expected = function.module == "env" && !NEVER_DONE.contains(&function.name);
            assert!(is_done || !is_expected, "never done: {function}");
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
