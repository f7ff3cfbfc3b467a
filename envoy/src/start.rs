//! Envoy's start: listeners are not to answer before their plugins are ready.
//!
//! Reading a configuration may hold Envoy's main thread, but only while Envoy starts: later, that
//! thread has everything else to do. Envoy does not tell when it has started. It has when a stream
//! is opened, and in any case when the first configuration's `startup.wait` is over. Where the
//! bootstrap extension is configured, it holds Envoy instead.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wasmplugin_host::control::Deployment;
use wasmplugin_host::telemetry::{Level, Log as _};

use crate::log::EnvoyLog;

/// The bootstrap extension will wait.
static IS_LEFT: AtomicBool = AtomicBool::new(false);

/// Whether the bootstrap extension will wait for the plugins of configurations that are read.
pub(crate) fn leave_to_bootstrap(is_left: bool) {
    IS_LEFT.store(is_left, Ordering::Relaxed);
}

/// Holds Envoy until the plugins of `deployment` are ready, as long as Envoy starts.
pub(crate) fn hold(deployment: &Deployment) {
    static BEGIN: OnceLock<Instant> = OnceLock::new();
    let begin = BEGIN.get_or_init(Instant::now);
    let limit = deployment.startup_wait();
    let is_free = deployment.is_serving() || IS_LEFT.load(Ordering::Relaxed);
    let left = match is_free {
        true => Duration::ZERO,
        false => limit.saturating_sub(begin.elapsed()),
    };
    if left.is_zero() || deployment.wait(left) {
        return;
    }
    warn(limit);
}

/// Says that plugins are not ready in time.
pub(crate) fn warn(limit: Duration) {
    let line = format!(
        "not all plugins are ready after startup.wait ({} ms); until they are, their fail \
         strategies rule",
        limit.as_millis()
    );
    EnvoyLog.write(Level::Warn, line.as_bytes());
}
