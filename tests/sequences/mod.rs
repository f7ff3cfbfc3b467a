//! Sequences of host function calls: a guest that makes any calls with any arguments in any of its
//! callbacks, for streams of a proxy that checks the rules of Envoy's ABI.
//!
//! One input says everything: what the guests do, and what happens to the streams. The fuzzer's
//! target and the tests run the same.

mod coverage;
mod envoy;
mod functions;
mod guest;
mod host;
mod plugin;
mod program;
mod text;
mod written;

use std::sync::Arc;
use std::time::{Duration, Instant};

use envoy::Envoy;
use plugin::Plugins;
use program::{Event, Input};

#[allow(unused_imports, reason = "the tests ask, the fuzzer shows counts")]
pub(crate) use coverage::{Coverage, coverage};
#[allow(
    unused_imports,
    reason = "the tests keep them, the fuzzer has them as seeds"
)]
pub(crate) use written::written;

/// Runs an input. Panics where a rule is broken.
pub(crate) fn run(bytes: &[u8]) {
    run_input(&Input::read(bytes));
}

/// Has a guest hand `text` to every function that reads some. Panics where a rule is broken.
#[allow(dead_code, reason = "a target of its own")]
pub(crate) fn hand_over(text: &[u8]) {
    run_input(&text::input(text));
}

/// How long a request takes that meets the guest `wasm`, which must not outlive it. None if it does.
#[allow(dead_code, reason = "for deadlines")]
pub(crate) fn time_to_end(wasm: &[u8], deadline: Duration, memory: u64) -> Option<Duration> {
    let plugins = Plugins::alone(&plugin::load(wasm), deadline, memory);
    let plugin = Arc::clone(&plugins.all[0]);
    assert!(plugin.lives(), "the guest does not start");
    let mut envoy = Envoy::new(plugins);
    envoy.on(&Event::Open);
    let begin = Instant::now();
    envoy.on(&Event::Headers {
        stream: 0,
        response: false,
        end: true,
    });
    let taken = begin.elapsed();
    (!plugin.lives()).then_some(taken)
}

fn run_input(input: &Input) {
    let plugins = Plugins::start(input);
    let mut envoy = Envoy::new(plugins);
    for event in &input.events {
        envoy.on(event);
    }
    envoy.end();
}
