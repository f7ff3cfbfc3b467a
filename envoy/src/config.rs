//! A filter entry's configuration.

use std::sync::{Arc, OnceLock};

use wasmplugin_host::control::{
    self, Deployment, Filters, Generation, Process, ProcessError, RouteKey,
};
use wasmplugin_host::plugin::PhaseSet;
use wasmplugin_host::proxy_wasm::CallEvent;
use wasmplugin_host::telemetry::{Level, Log as _};

use crate::abi::*;
use crate::callout::ConfigCallouts;
use crate::carried::{Carried, reset_ending};
use crate::log::{self, EnvoyLog};
use crate::metrics::MetricIds;
use crate::start;
use crate::threads::threads;

/// The `filter_name` that we answer to.
const FILTER: &[u8] = b"wasmplugin";

/// A filter entry. Dropped on whatever thread its last stream ends.
pub(crate) struct Config {
    /// Names this configuration among all of the process.
    number: u64,
    phases: PhaseSet,
    metrics: MetricIds,
    calls: Arc<Carried>,
    /// Taken when dropped.
    deployment: Option<Arc<Deployment>>,
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
        // From here on threads of ours have something to say.
        log::open();
        let process = process()?;
        // SAFETY: on the main thread.
        if unsafe { envoy_dynamic_module_callback_is_validation_mode() } {
            let problems = process.check(settings);
            for problem in &problems {
                error(&format!("configuration refused: {problem}"));
            }
            if !problems.is_empty() {
                return None;
            }
        }
        // SAFETY: on the main thread.
        let workers = unsafe { envoy_dynamic_module_callback_get_concurrency() };
        let (deployment, phases) = match process.deploy(settings, workers) {
            Ok(deployed) => deployed,
            Err(problems) => {
                for problem in problems.0 {
                    error(&format!("configuration refused: {problem}"));
                }
                return None;
            }
        };
        start::hold(&deployment);
        start::hold_update(process);
        let number = process.next_number();
        // SAFETY: the caller's word.
        unsafe { threads().add_config(number, config) };
        // The last one before may have gone meanwhile.
        log::open();
        Some(Self {
            number,
            // SAFETY: the caller's word.
            metrics: unsafe { MetricIds::define(config) },
            // SAFETY: the caller's word.
            calls: unsafe { Carried::new(config) },
            phases,
            deployment: Some(deployment),
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
        reset_ending();
        // SAFETY: the caller's word.
        if let Some(mut metrics) = unsafe { self.metrics.of_config(config) } {
            self.process.flush_metrics(&mut metrics);
        }
        // SAFETY: the caller's word.
        let callouts = unsafe { ConfigCallouts::new(&self.calls) };
        self.process
            .run_tasks(self.number, &mut Some(Box::new(callouts)));
    }

    /// Something has happened to a call that this configuration carries. After its last event, the
    /// configuration may be gone when this returns.
    pub(crate) fn on_call(&self, id: u64, event: CallEvent) {
        let is_last = event.is_last();
        let calls = Arc::clone(&self.calls);
        self.process.on_call(self.number, id, event);
        if is_last {
            calls.remove(id);
        }
    }

    /// Envoy lets go of this configuration.
    pub(crate) fn end(&self) {
        // First: it leads nobody to the main thread any more.
        threads().remove_config(self.number);
        self.calls.end();
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

    /// What a new stream runs.
    pub(crate) fn generation(&self) -> Option<Arc<Generation>> {
        let deployment = self.deployment.as_ref()?;
        Some(control::open(deployment, self.number))
    }

    /// The plugins of this entry for a stream of `generation`, whose route says what `key` names.
    pub(crate) fn filters(
        &self,
        generation: &Arc<Generation>,
        key: &RouteKey,
        port: impl FnOnce() -> Option<u16>,
    ) -> Filters {
        let routed = match &self.deployment {
            Some(deployment) if !key.is_empty() => Some(deployment.lineup(generation, key)),
            _ => None,
        };
        let lineup = routed.as_ref().unwrap_or_else(|| generation.base());
        match lineup.has_ports().then(port).flatten() {
            Some(port) => lineup.filters_on(self.phases, port),
            None => lineup.filters(self.phases),
        }
    }
}

impl Drop for Config {
    fn drop(&mut self) {
        log::close_unless(|| threads().has_configs());
        self.process.lose_calls(self.number);
        if let Some(deployment) = self.deployment.take() {
            self.process.release(deployment);
        }
    }
}

/// What all entries share, started with the first one.
pub(crate) fn process() -> Option<&'static Arc<Process>> {
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

pub(crate) fn error(line: &str) {
    EnvoyLog.write(Level::Error, line.as_bytes());
}
