//! A filter entry's configuration.

use std::fs;
use std::io;
use std::sync::{Arc, OnceLock};

use wasmplugin_host::chain::Filter;
use wasmplugin_host::control::{PluginSet, Process, ProcessError};
use wasmplugin_host::plugin;
use wasmplugin_host::proxy_wasm::CallEvent;
use wasmplugin_host::telemetry::{Level, Log as _};

use crate::abi::*;
use crate::callout::ConfigCallouts;
use crate::log::EnvoyLog;
use crate::metrics::GuestMetrics;
use crate::threads::threads;

/// The `filter_name` that we answer to.
const FILTER: &[u8] = b"wasmplugin";

/// A filter entry. Dropped on whatever thread its last stream ends.
pub(crate) struct Config {
    /// Names this configuration among all of the process.
    number: u64,
    filters: Arc<[Arc<dyn Filter>]>,
    metrics: GuestMetrics,
    /// Taken when dropped.
    set: Option<Arc<PluginSet>>,
    process: Arc<Process>,
}

impl Config {
    /// Reads a configuration, and waits for its plugins as long as the settings allow. None if it
    /// is refused; the log says why, since Envoy has no way to be told.
    ///
    /// # Safety
    ///
    /// In `http_filter_config_new` of `config`.
    pub(crate) unsafe fn new(config: ConfigEnvoyPtr, name: &[u8], settings: &[u8]) -> Option<Self> {
        if name != FILTER {
            let name = String::from_utf8_lossy(name);
            error(&format!(
                "configuration refused: filter_name: {name:?}: must be \"wasmplugin\""
            ));
            return None;
        }
        let process = process()?;
        let plan = match plugin::plan(settings, &read_file) {
            Ok(plan) => plan,
            Err(problems) => {
                for problem in problems.0 {
                    error(&format!("configuration refused: {problem}"));
                }
                return None;
            }
        };
        // SAFETY: on the main thread.
        if unsafe { envoy_dynamic_module_callback_is_validation_mode() } {
            let problems = process.check(&plan);
            for (resource, problem) in &problems {
                error(&format!(
                    "configuration refused: plugin {resource}: {problem}"
                ));
            }
            if !problems.is_empty() {
                return None;
            }
        }
        // SAFETY: on the main thread.
        let workers = unsafe { envoy_dynamic_module_callback_get_concurrency() };
        let set = process.plugins(&plan, workers);
        if !set.wait(plan.startup_wait) {
            let line = format!(
                "not all plugins are ready after startup.wait ({} ms); until they are, their fail \
                 strategies rule",
                plan.startup_wait.as_millis()
            );
            EnvoyLog.write(Level::Warn, line.as_bytes());
        }
        let number = process.next_number();
        // SAFETY: the caller's word.
        unsafe { threads().add_config(number, config) };
        Some(Self {
            number,
            // SAFETY: the caller's word.
            metrics: unsafe { GuestMetrics::define(config) },
            filters: set.filters(plan.phases),
            set: Some(set),
            process: Arc::clone(process),
        })
    }

    /// The main thread is here, on behalf of this configuration.
    ///
    /// # Safety
    ///
    /// In `http_filter_config_scheduled` of `config`, which is this one.
    pub(crate) unsafe fn on_main_thread(&self, config: ConfigEnvoyPtr) {
        threads().came();
        // SAFETY: the caller's word.
        if let Some(mut metrics) = unsafe { self.metrics.of_config(config) } {
            self.process.flush_metrics(&mut metrics);
        }
        // SAFETY: the caller's word.
        let callouts = unsafe { ConfigCallouts::new(config) };
        self.process
            .run_tasks(self.number, &mut Some(Box::new(callouts)));
    }

    /// A call that this configuration carried has come to its end.
    ///
    /// # Safety
    ///
    /// In `http_filter_config_http_callout_done` of `config`, which is this one.
    pub(crate) unsafe fn on_call(&self, config: ConfigEnvoyPtr, id: u64, event: CallEvent) {
        // SAFETY: the caller's word.
        let callouts = unsafe { ConfigCallouts::new(config) };
        self.process
            .on_call(self.number, id, event, &mut Some(Box::new(callouts)));
    }

    /// A stream of this configuration ends. Where Envoy takes metrics from streams alone, it is time
    /// to tell them.
    ///
    /// # Safety
    ///
    /// In a hook of `stream`.
    pub(crate) unsafe fn on_stream_end(&self, stream: FilterEnvoyPtr) {
        // SAFETY: the caller's word.
        if let Some(mut metrics) = unsafe { self.metrics.of_stream(stream) } {
            self.process.flush_metrics(&mut metrics);
        }
    }

    /// What all entries share.
    pub(crate) const fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// The plugins of this entry, in order.
    pub(crate) fn filters(&self) -> &[Arc<dyn Filter>] {
        &self.filters
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        threads().remove_config(self.number);
        self.process.lose_calls(self.number);
        self.filters = Arc::new([]);
        if let Some(set) = self.set.take() {
            self.process.release(set);
        }
    }
}

/// What all entries share, started with the first one.
fn process() -> Option<&'static Arc<Process>> {
    static PROCESS: OnceLock<Option<Arc<Process>>> = OnceLock::new();
    let process = PROCESS.get_or_init(|| match start() {
        Ok(process) => Some(process),
        Err(problem) => {
            error(&format!("wasmplugin cannot run here: {problem}"));
            None
        }
    });
    process.as_ref()
}

fn start() -> Result<Arc<Process>, ProcessError> {
    let threads = Arc::clone(threads());
    Process::start(Arc::new(EnvoyLog), threads)
}

fn read_file(path: &str) -> io::Result<String> {
    if !fs::metadata(path)?.is_file() {
        // A pipe or device would block Envoy for ever.
        return Err(io::Error::other("not a regular file"));
    }
    fs::read_to_string(path)
}

pub(crate) fn error(line: &str) {
    EnvoyLog.write(Level::Error, line.as_bytes());
}
