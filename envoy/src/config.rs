//! A filter entry's configuration.

use std::fs;
use std::io;
use std::sync::{Arc, OnceLock};

use wasmplugin_host::chain::Filter;
use wasmplugin_host::control::{PluginSet, Process};
use wasmplugin_host::plugin;
use wasmplugin_host::telemetry::{Level, Log as _};

use crate::abi::*;
use crate::log::EnvoyLog;

/// The `filter_name` that we answer to.
const FILTER: &[u8] = b"wasmplugin";

/// A filter entry. Dropped on whatever thread its last stream ends.
pub(crate) struct Config {
    filters: Arc<[Arc<dyn Filter>]>,
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
    /// On Envoy's main thread.
    pub(crate) unsafe fn new(name: &[u8], settings: &[u8]) -> Option<Self> {
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
        Some(Self {
            filters: set.filters(plan.phases),
            set: Some(set),
            process: Arc::clone(process),
        })
    }

    /// The plugins of this entry, in order.
    pub(crate) fn filters(&self) -> &[Arc<dyn Filter>] {
        &self.filters
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        self.filters = Arc::new([]);
        if let Some(set) = self.set.take() {
            self.process.release(set);
        }
    }
}

/// What all entries share, started with the first one.
fn process() -> Option<&'static Arc<Process>> {
    static PROCESS: OnceLock<Option<Arc<Process>>> = OnceLock::new();
    let process = PROCESS.get_or_init(|| match Process::start(Arc::new(EnvoyLog)) {
        Ok(process) => Some(process),
        Err(problem) => {
            error(&format!("wasmplugin cannot run here: {problem}"));
            None
        }
    });
    process.as_ref()
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
