//! Envoy's start: listeners are not to answer before their plugins are ready.
//!
//! Reading a configuration may hold Envoy's main thread while Envoy starts: later, that thread has
//! everything else to do. Envoy does not tell when it has started. It has when a stream is opened,
//! and in any case when the first configuration's `startup.wait` is over. Where the bootstrap
//! extension is configured, it holds Envoy instead.
//!
//! A listener, filter or route that changes later takes effect as soon as it has been read, and
//! nothing in Envoy waits for us. So that no request meets a plugin that is not there yet, reading
//! it takes a moment where a moment is enough: see [`hold_update`].

use std::cell::Cell;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use wasmplugin_host::control::{Deployment, Process};
use wasmplugin_host::telemetry::{Level, Log as _};

use crate::carried::reset_ending;
use crate::log::EnvoyLog;

/// The bootstrap extension will wait.
static IS_LEFT: AtomicBool = AtomicBool::new(false);

/// Whether the bootstrap extension will wait for the plugins of configurations that are read.
pub(crate) fn leave_to_bootstrap(is_left: bool) {
    IS_LEFT.store(is_left, Ordering::Relaxed);
}

/// The longest that an update may hold the main thread: enough to compile what is of usual size, and
/// little to those who wait for that thread. Workers go on meanwhile.
const UPDATE_WAIT: Duration = Duration::from_secs(1);

/// How long the main thread is deaf meanwhile.
const STEP: Duration = Duration::from_millis(5);

/// Holds Envoy, which serves, until those plugins are ready that nobody has to fetch; the others
/// come in the background. An update may be of many configurations, and others may follow: all of
/// them together get [`UPDATE_WAIT`], and no more than half of the main thread's time.
pub(crate) fn hold_update(process: &Process) {
    thread_local! {
        /// When the last wait ended, and what it left of the time that there was.
        static LAST: Cell<Option<(Instant, Duration)>> = const { Cell::new(None) };
    }
    if !process.is_serving() {
        return;
    }
    let begin = Instant::now();
    let limit = LAST.get().map_or(UPDATE_WAIT, |(end, left)| {
        UPDATE_WAIT.min(left + begin.saturating_duration_since(end))
    });
    let deadline = begin + limit;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if process.wait_nearby(left.min(STEP)) || left.is_zero() {
            break;
        }
        // Workers may wait for this thread meanwhile.
        reset_ending();
    }
    let end = Instant::now();
    let left = limit.saturating_sub(end.saturating_duration_since(begin));
    LAST.set(Some((end, left)));
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
