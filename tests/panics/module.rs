//! The binding with a bug: the hook panics that a file names, and so does whoever logs [`MARKER`].
//!
//! All of the binding is here as it is, but for two of its modules, which get a layer around them.
//! An example for cargo, so that it is a library of its own next to the one that all else loads.
#![allow(
    clippy::panic,
    unreachable_pub,
    reason = "panics are what it is for, and modules are elsewhere as they are"
)]

#[path = "../../envoy/src/abi.rs"]
mod abi;
#[path = "../../envoy/src/guard.rs"]
mod binding_guard;
#[path = "../../envoy/src/log.rs"]
mod binding_log;
#[path = "../../envoy/src/bootstrap.rs"]
mod bootstrap;
#[path = "../../envoy/src/callout.rs"]
mod callout;
#[path = "../../envoy/src/carried.rs"]
mod carried;
#[path = "../../envoy/src/config.rs"]
mod config;
#[path = "../../envoy/src/hooks.rs"]
mod hooks;
#[path = "../../envoy/src/host/mod.rs"]
mod host;
#[path = "../../envoy/src/idle.rs"]
mod idle;
#[path = "../../envoy/src/lookup.rs"]
mod lookup;
#[path = "../../envoy/src/metrics.rs"]
mod metrics;
#[path = "../../envoy/src/optional.rs"]
mod optional;
#[path = "../../envoy/src/pin.rs"]
mod pin;
#[path = "../../envoy/src/route.rs"]
mod route;
#[path = "../../envoy/src/start.rs"]
mod start;
#[path = "../../envoy/src/stream.rs"]
mod stream;
#[path = "../../envoy/src/threads.rs"]
mod threads;

/// The environment variable that names the file that names the hook.
const FILE: &str = "WASMPLUGIN_PANIC_IN";

/// A plugin that logs this has the host panic in the middle of its call.
const MARKER: &[u8] = b"let the host panic";

/// The guard, around bodies that may panic before they begin.
mod guard {
    use crate::{FILE, binding_guard};

    pub(crate) fn guard<T>(name: &str, fallback: T, body: impl FnOnce() -> T) -> T {
        binding_guard::guard(name, fallback, || {
            let asked = std::env::var_os(FILE).and_then(|file| std::fs::read_to_string(file).ok());
            if asked.as_deref() == Some(name.trim_start_matches("envoy_dynamic_module_on_")) {
                panic!("asked for");
            }
            body()
        })
    }
}

/// The log, which panics at a line.
mod log {
    pub(crate) use crate::binding_log::{close_unless, enter, open};

    use wasmplugin_host::telemetry::{Level, Log};

    use crate::{MARKER, binding_log};

    #[derive(Clone, Copy, Debug)]
    pub(crate) struct EnvoyLog;

    impl Log for EnvoyLog {
        fn enabled(&self, level: Level) -> bool {
            binding_log::EnvoyLog.enabled(level)
        }

        fn threshold(&self) -> Option<Level> {
            binding_log::EnvoyLog.threshold()
        }

        fn write(&self, level: Level, line: &[u8]) {
            if line.windows(MARKER.len()).any(|part| part == MARKER) {
                panic!("asked for by a plugin");
            }
            binding_log::EnvoyLog.write(level, line);
        }
    }
}
