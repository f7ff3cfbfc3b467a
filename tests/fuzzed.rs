//! What the fuzzer is given, and what it found: seeds and findings of its targets, once each.
//!
//! A target is a function of bytes that panics where something does not hold; `make fuzz` runs the
//! same ones. Seeds are in `fuzz/seeds/TARGET`, findings in `fuzz/found/TARGET`; what the tests have
//! elsewhere serves as seeds, too. Sequences of host function calls have tests of their own.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "hostile/assembler.rs"]
#[allow(dead_code, reason = "only its tables are of use here")]
mod assembler;
#[path = "fuzzed/images.rs"]
mod images;
#[path = "sequences/mod.rs"]
#[allow(dead_code, reason = "only one of its inputs is of use here")]
mod sequences;
#[path = "fuzzed/settings.rs"]
mod settings;
#[path = "fuzzed/signatures.rs"]
mod signatures;

use std::fs;
use std::path::Path;

#[test]
fn settings() {
    let folders = ["tests/cases/valid", "tests/cases/invalid"];
    replay("settings", &folders, settings::run);
}

#[test]
fn text() {
    replay("text", &[], sequences::hand_over);
}

#[test]
fn images() {
    replay("images", &["tests/fixtures/signatures/images"], images::run);
}

#[test]
fn signatures() {
    let folders = ["embedded", "files", "keys"].map(|f| format!("tests/fixtures/signatures/{f}"));
    let folders = folders.each_ref().map(String::as_str);
    replay("signatures", &folders, signatures::run);
}

/// Runs everything that there is for a target.
fn replay(target: &str, folders: &[&str], run: fn(&[u8])) {
    let own = ["seeds", "found"].map(|kind| format!("fuzz/{kind}/{target}"));
    let own = own.each_ref().map(String::as_str);
    let mut count = 0;
    for folder in own.iter().chain(folders) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
        // A target without findings has no folder for them.
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.expect("an entry").path();
            if path.is_file() {
                // Shown where it fails.
                println!("{}", path.display());
                run(&fs::read(&path).expect("a readable input"));
                count += 1;
            }
        }
    }
    assert!(count > 0, "no input for {target}");
}
