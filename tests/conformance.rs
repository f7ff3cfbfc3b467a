//! The same guests, configurations and requests for Envoy's built-in Wasm filter and for ours, in
//! one Envoy: what clients, upstreams and guests see must be equal.
//!
//! Cases are `tests/conformance/cases/<topic>/*.case`; `tests/conformance/README.md` describes
//! them. A topic is a test: `cargo test --test conformance -- headers` runs one. The environment
//! variable `CONFORMANCE_CASE` selects cases by a part of their name, `CONFORMANCE_SHOW=1` prints
//! what was seen. Known differences stand in `tests/conformance/differences.txt`, each with its
//! reason.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "conformance/mod.rs"]
mod suite;
mod support;

use std::env;

use suite::{case, differences, random, roots, run};
use support::module;

macro_rules! topics {
    ($($name:ident)*) => {
        $(
            #[test]
            fn $name() {
                run::topic(stringify!($name));
            }
        )*

        #[test]
        fn every_topic_is_run() {
            let known = [$(stringify!($name)),*];
            let cases = module::root().join("tests/conformance/cases");
            for entry in std::fs::read_dir(cases).expect("cases") {
                let name = entry.expect("an entry").file_name();
                let name = name.to_string_lossy().into_owned();
                assert!(known.contains(&name.as_str()), "{name} is not in topics! here");
            }
        }
    };
}

topics! {
    abi
    bodies
    buffers
    callouts
    contexts
    ends
    failures
    filter_state
    foreign
    grpc
    headers
    logs
    metrics
    pauses
    properties
    queues
    replies
    shared_data
    startup
    ticks
    wasi
}

#[test]
fn roots_of_two_workers() {
    let (case, outcome) = roots::compare();
    run::check_outcome(&case, &outcome);
}

/// `CONFORMANCE_RANDOM` says how many, `CONFORMANCE_SEED` where to begin.
#[test]
fn random_programs() {
    let number = |name: &str, default: u64| match env::var(name) {
        Ok(text) => text
            .parse()
            .unwrap_or_else(|_| panic!("{name} is no number")),
        Err(_) => default,
    };
    let (seed, count) = (
        number("CONFORMANCE_SEED", 1),
        number("CONFORMANCE_RANDOM", 500),
    );
    eprintln!("seeds {seed} to {}", seed + count - 1);
    run::check("random", &random::cases(seed, count), &differences::read());
}

/// `CONFORMANCE_PLUGINS` is a directory with modules of others and cases for them.
#[test]
fn plugins_from_elsewhere() {
    match case::elsewhere() {
        Some(directory) => run::elsewhere(&directory),
        None => eprintln!("CONFORMANCE_PLUGINS is not set"),
    }
}
