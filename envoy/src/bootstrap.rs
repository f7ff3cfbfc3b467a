//! The bootstrap extension: Envoy's start waits for plugins, and its admin interface shows them.
//!
//! Configured, it holds Envoy's initialisation until every plugin has come up or failed once, or
//! `startup.wait` is over, and the main thread stays free meanwhile. It takes no settings: those of
//! the filter entries say everything.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use parking_lot::Mutex;
use wasmplugin_host::control::Process;
use wasmplugin_host::telemetry::{Level, Log as _, report_html, report_json};

use crate::abi::*;
use crate::config::{error, process};
use crate::log::EnvoyLog;
use crate::start;

/// The `extension_name` that we answer to.
const EXTENSION: &[u8] = b"wasmplugin";

/// Where the admin interface shows plugins.
const PATH: &[u8] = b"/wasmplugin";

/// The extension. Lives as long as Envoy.
#[derive(Debug)]
pub(crate) struct Bootstrap {
    process: Arc<Process>,
    scheduler: Arc<Scheduler>,
    /// Envoy was told that we are done.
    is_done: AtomicBool,
}

/// The way to the main thread, closed when the extension ends: Envoy's own scheduler does not notice
/// that what it wakes is gone.
#[derive(Debug)]
struct Scheduler(Mutex<Option<BootstrapSchedulerPtr>>);

// SAFETY: Envoy lets any thread commit to and delete a scheduler.
unsafe impl Send for Scheduler {}
// SAFETY: as above; the lock is held meanwhile.
unsafe impl Sync for Scheduler {}

impl Scheduler {
    fn commit(&self) {
        if let Some(scheduler) = *self.0.lock() {
            // SAFETY: it lives as long as it is here, where the lock is held; any thread.
            unsafe {
                envoy_dynamic_module_callback_bootstrap_extension_config_scheduler_commit(
                    scheduler, 0,
                );
            };
        }
    }

    fn close(&self) {
        if let Some(scheduler) = self.0.lock().take() {
            // SAFETY: made by Envoy, deleted once.
            unsafe {
                envoy_dynamic_module_callback_bootstrap_extension_config_scheduler_delete(
                    scheduler,
                );
            };
        }
    }
}

impl Drop for Bootstrap {
    fn drop(&mut self) {
        self.scheduler.close();
    }
}

impl Bootstrap {
    /// The extension; none if it is refused.
    ///
    /// # Safety
    ///
    /// In `bootstrap_extension_config_new` of `config`.
    pub(crate) unsafe fn new(config: BootstrapEnvoyPtr, name: &[u8]) -> Option<Self> {
        if name != EXTENSION {
            let name = String::from_utf8_lossy(name);
            error(&format!(
                "configuration refused: extension_name: {name:?}: must be \"wasmplugin\""
            ));
            return None;
        }
        let process = process()?;
        // SAFETY: the caller's word; Envoy copies the texts.
        let (scheduler, is_registered) = unsafe {
            (
                envoy_dynamic_module_callback_bootstrap_extension_config_scheduler_new(config),
                envoy_dynamic_module_callback_bootstrap_extension_register_admin_handler(
                    config,
                    ModuleBuffer::new(PATH),
                    ModuleBuffer::new(b"Wasm plugins and how they are doing (?format=json)"),
                    false,
                    false,
                ),
            )
        };
        if !is_registered {
            let line =
                "the admin interface does not show /wasmplugin: it is off, or the path taken";
            EnvoyLog.write(Level::Warn, line.as_bytes());
        }
        start::leave_to_bootstrap(true);
        Some(Self {
            process: Arc::clone(process),
            scheduler: Arc::new(Scheduler(Mutex::new(Some(scheduler)))),
            is_done: AtomicBool::new(false),
        })
    }

    /// Listeners are built: waits for their plugins, elsewhere.
    pub(crate) fn on_server_initialized(&self) {
        // What comes later (by discovery) is waited for where it is read.
        start::leave_to_bootstrap(false);
        let (process, scheduler) = (Arc::clone(&self.process), Arc::clone(&self.scheduler));
        let wait = move || {
            let limit = process.startup_wait();
            if !process.wait(limit) {
                start::warn(limit);
            }
            scheduler.commit();
        };
        let waiter = thread::Builder::new().name("wasmplugin-start".to_owned());
        if waiter.spawn(wait).is_err() {
            error("cannot start a thread: Envoy does not wait for plugins");
            self.scheduler.commit();
        }
    }

    /// The wait is over.
    ///
    /// # Safety
    ///
    /// In `bootstrap_extension_config_scheduled` of `config`, which is this one.
    pub(crate) unsafe fn on_scheduled(&self, config: BootstrapEnvoyPtr) {
        if !self.is_done.swap(true, Ordering::Relaxed) {
            // SAFETY: the caller's word; once.
            unsafe {
                envoy_dynamic_module_callback_bootstrap_extension_config_signal_init_complete(
                    config,
                );
            };
        }
    }

    /// Answers a request to the admin interface. Its status.
    ///
    /// # Safety
    ///
    /// In `bootstrap_extension_admin_request` of `config`, which is this one.
    pub(crate) unsafe fn on_admin(&self, config: BootstrapEnvoyPtr, path: &[u8]) -> u32 {
        let query = path.splitn(2, |byte| *byte == b'?').nth(1);
        let mut parameters = query.unwrap_or_default().split(|byte| *byte == b'&');
        let report = self.process.report();
        let body = match parameters.any(|parameter| parameter == b"format=json") {
            true => report_json(&report),
            false => report_html(&report),
        };
        // SAFETY: the caller's word; Envoy copies the body.
        unsafe {
            envoy_dynamic_module_callback_bootstrap_extension_admin_set_response(
                config,
                ModuleBuffer::new(body.as_bytes()),
            );
        };
        200
    }
}
