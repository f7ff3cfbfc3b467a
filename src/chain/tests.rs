//! Tables of events for the state machine, without WebAssembly and without Envoy.
//!
//! A row is what it shows, a script for each plugin ([`script`]), and steps: what arrives, and
//! what that comes to ([`envoy`]). Plugins are called A, B, C in the order of requests.
//!
//! Requests are written small and responses in capitals: `h` headers, `b=text` a part of the
//! body, `t` trailers; a dot behind says that the message ends there. So `A:b=hi.` is plugin A
//! seeing the body "hi" and its end, and `<H` are response headers that reach the client.

mod bodies;
mod ends;
mod envoy;
mod headers;
pub(crate) mod host;
mod random;
mod replies;
mod script;
mod trailers;
mod views;

use std::fmt::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};

use envoy::Envoy;

/// What the row shows, the plugins' scripts, and steps with what they come to.
type Row<'a> = (&'a str, &'a [&'a str], &'a [(&'a str, &'a str)]);

/// Plays all rows, and fails with those that differ.
fn play(rows: &[Row<'_>]) {
    let mut report = String::new();
    for (name, scripts, steps) in rows {
        let mut envoy = Envoy::new(scripts);
        for (step, expected) in *steps {
            let found = catch_unwind(AssertUnwindSafe(|| envoy.step(step)));
            let found = found.unwrap_or_else(|_| format!("{} PANIC", envoy.trace.take()));
            if found != *expected {
                writeln!(report, "\n{name} {scripts:?}\n   step: {step}").unwrap();
                writeln!(report, "expects: {expected}\n  found: {found}").unwrap();
                break;
            }
        }
    }
    assert!(report.is_empty(), "{report}");
}
