//! Envoy's logger for modules, `dynamic_modules`.
//!
//! Envoy takes lines from any thread, but takes its log down when it ends, while our own threads may
//! still be at work: a plugin that is tried again, one that shuts down. So these write only as long as
//! a configuration lives, which Envoy ends before its log; what they have to say later concerns
//! nobody. Envoy's own threads write whenever they are here.

use std::cell::Cell;

use parking_lot::RwLock;
use wasmplugin_host::telemetry::{Level, Log};

use crate::abi::{
    ModuleBuffer, envoy_dynamic_module_callback_log, envoy_dynamic_module_callback_log_enabled,
};
use crate::lookup::Callbacks;

/// Writes to Envoy's log. Envoy numbers levels as we do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnvoyLog;

/// Whether threads of ours may write. Held while one does.
static OPEN: RwLock<bool> = RwLock::new(false);

thread_local! {
    /// This thread is one of Envoy's.
    static IS_ENVOYS: Cell<bool> = const { Cell::new(false) };
}

/// A hook runs on this thread.
pub(crate) fn enter() {
    IS_ENVOYS.set(true);
}

/// Lets threads of ours write from here on.
pub(crate) fn open() {
    *OPEN.write() = true;
}

/// Keeps them from it, unless `is_needed`: when this returns, none of them is writing any more.
pub(crate) fn close_unless(is_needed: impl FnOnce() -> bool) {
    let mut open = OPEN.write();
    *open = is_needed();
}

/// Runs `work` if this thread may use the log now.
fn with_log<T>(otherwise: T, work: impl FnOnce() -> T) -> T {
    if IS_ENVOYS.get() {
        return work();
    }
    let is_open = OPEN.read();
    if *is_open { work() } else { otherwise }
}

impl Log for EnvoyLog {
    fn enabled(&self, level: Level) -> bool {
        // SAFETY: takes a number, any thread.
        with_log(false, || unsafe {
            envoy_dynamic_module_callback_log_enabled(level as u32)
        })
    }

    fn threshold(&self) -> Option<Level> {
        if let Some(get) = Callbacks::get().get_log_level {
            // SAFETY: takes nothing, any thread.
            return with_log(None, || Level::from_number(unsafe { get() }));
        }
        let all = (0..).map_while(Level::from_number);
        all.into_iter().find(|level| self.enabled(*level))
    }

    fn write(&self, level: Level, line: &[u8]) {
        // SAFETY: Envoy copies the line before it returns; any thread.
        with_log((), || unsafe {
            envoy_dynamic_module_callback_log(level as u32, ModuleBuffer::new(line));
        });
    }
}
