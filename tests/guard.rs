//! The guard of the Envoy binding: a panic ends there, and is told in Envoy's log.
//!
//! `tests/panics.rs` shows it in real Envoys.
#![allow(clippy::panic, reason = "a test fails by panicking")]

#[path = "../envoy/src/guard.rs"]
mod guard;

use std::panic::panic_any;

use guard::guard;

/// In place of the binding's, which writes to Envoy's log.
mod log {
    use std::cell::RefCell;

    use wasmplugin_host::telemetry::{Level, Log};

    thread_local! {
        pub(crate) static LINES: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
    }

    pub(crate) struct EnvoyLog;

    pub(crate) fn enter() {}

    impl Log for EnvoyLog {
        fn enabled(&self, _: Level) -> bool {
            true
        }

        fn threshold(&self) -> Option<Level> {
            None
        }

        fn write(&self, level: Level, line: &[u8]) {
            assert_eq!(level, Level::Critical);
            let line = String::from_utf8_lossy(line).into_owned();
            LINES.with_borrow_mut(|lines| lines.push(line));
        }
    }
}

/// Panics when it is dropped.
struct Bomb;

impl Drop for Bomb {
    fn drop(&mut self) {
        panic!("dropped");
    }
}

#[test]
fn a_panic_becomes_the_fallback_and_a_line() {
    let lines = || log::LINES.take();
    assert_eq!(guard("fine", 1, || 2), 2);
    assert_eq!(lines(), [""; 0]);
    assert_eq!(guard("plain", 1, || panic!("text")), 1);
    assert_eq!(guard("formatted", 1, || panic!("number {}", 3)), 1);
    assert_eq!(guard("odd", 1, || panic_any(4)), 1);
    // Its payload is never dropped.
    assert_eq!(guard("bomb", 1, || panic_any(Bomb)), 1);
    assert_eq!(
        lines(),
        [
            "bug in wasmplugin: panic in plain: text",
            "bug in wasmplugin: panic in formatted: number 3",
            "bug in wasmplugin: panic in odd: no message",
            "bug in wasmplugin: panic in bomb: no message",
        ]
    );
}
