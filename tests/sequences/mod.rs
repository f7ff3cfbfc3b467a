//! Sequences of host function calls: a guest that makes any calls with any arguments in any of its
//! callbacks, for streams of a proxy that checks the rules of Envoy's ABI.
//!
//! One input says everything: what the guests do, and what happens to the streams. The fuzzer's
//! target and the tests run the same.

mod envoy;
mod guest;
mod plugin;
mod program;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use envoy::Envoy;
use plugin::Plugins;
use program::Input;

pub(crate) use program::FUNCTIONS;

/// How often each of [`FUNCTIONS`] was called.
pub(crate) fn calls() -> &'static [AtomicU64] {
    static CALLS: OnceLock<Vec<AtomicU64>> = OnceLock::new();
    CALLS.get_or_init(|| FUNCTIONS.iter().map(|_| AtomicU64::new(0)).collect())
}

/// Functions that were never called.
#[allow(dead_code, reason = "the tests ask, the fuzzer shows counts")]
pub(crate) fn uncalled() -> Vec<&'static str> {
    let calls = calls().iter().map(|count| count.load(Ordering::Relaxed));
    let functions = FUNCTIONS.iter().zip(calls);
    let uncalled = functions.filter(|(_, count)| *count == 0);
    uncalled.map(|((name, _), _)| *name).collect()
}

/// Runs an input. Panics where a rule is broken.
pub(crate) fn run(bytes: &[u8]) {
    let input = Input::read(bytes);
    let plugins = Plugins::start(&input);
    let mut envoy = Envoy::new(plugins);
    for event in &input.events {
        envoy.on(event);
    }
    envoy.end();
}
