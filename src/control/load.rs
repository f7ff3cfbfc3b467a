//! From a resource to something that can be started: fetch, verify, compile, link.

use std::env;
use std::fmt::Display;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use thiserror::Error;

use super::Process;
use crate::cache::{self, CodeDirectory, Compiled};
use crate::plugin::{EnvValue, FetchSettings, ModuleUrl, PluginSpec};
use crate::proxy_wasm::{
    Address, Capabilities, Caps, Guest, Instance, Limits, LinkError, Plugin, StartError,
};
use crate::source::signature::{KeyError, Keys, Refused, Surroundings, Verification, Verified};
use crate::source::{Digest, FetchError, Fetched, Freshness, Lease, Origin, Request};
use crate::telemetry::flood::{self, Limited};
use crate::telemetry::{Level, PluginStats};
use crate::vm::{CompileError, InstanceLimits};

/// Why a plugin cannot run.
#[derive(Debug, Error)]
pub enum LoadError {
    /// The module cannot be had, or is not the one that was asked for.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// `verificationKey` cannot be used.
    #[error("verificationKey: {0}")]
    Key(#[from] KeyError),
    /// It is not signed by one of the keys that it must be signed with.
    #[error(transparent)]
    Unverified(#[from] Refused),
    /// It cannot be compiled.
    #[error(transparent)]
    Compile(#[from] CompileError),
    /// It is no plugin, or wants what we do not have.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// It does not start.
    #[error(transparent)]
    Start(#[from] StartError),
}

impl LoadError {
    /// How long to leave it at least before the next attempt to load `spec`.
    pub(super) fn retry_after(&self, spec: &PluginSpec) -> Duration {
        match (self, &spec.url) {
            // To look at a file again costs nobody anything.
            (_, ModuleUrl::File(_)) => Duration::ZERO,
            (Self::Fetch(error), _) => error.retry_after(),
            (
                Self::Key(_)
                | Self::Unverified(_)
                | Self::Compile(_)
                | Self::Link(_)
                | Self::Start(_),
                _,
            ) => Duration::ZERO,
        }
    }

    /// One word, for the metric `plugin_failures`.
    pub const fn cause(&self) -> &'static str {
        match self {
            Self::Fetch(_) => "fetch",
            Self::Key(_) | Self::Unverified(_) => "verify",
            Self::Compile(_) => "compile",
            Self::Link(_) => "link",
            Self::Start(_) => "start",
        }
    }
}

/// A plugin whose instances can be started.
#[derive(Debug)]
pub(super) struct Loaded {
    pub(super) module: Module,
    plugin: Arc<Plugin>,
    caps: Caps,
}

/// A module that was fetched, verified, compiled and linked: all of a plugin but what it is told.
#[derive(Clone, Debug)]
pub(super) struct Module {
    pub(super) guest: Guest,
    pub(super) digest: Digest,
    pub(super) verification: Verification,
    /// Keeps the code for those who want the same module later.
    _compiled: Arc<Compiled>,
    /// Keeps the module in the store.
    _lease: Option<Arc<Lease>>,
}

/// Fetches, verifies, compiles and links the module of `spec`. Blocks.
pub(super) fn module(
    process: &Arc<Process>,
    spec: &PluginSpec,
    fetch: &FetchSettings,
    stats: &PluginStats,
) -> Result<Module, LoadError> {
    // First of all: without keys, there is nothing to fetch for.
    let keys = spec.verification_key.as_ref().map(Keys::load).transpose()?;
    let request = Request::from(spec);
    let fetched = fetch_module(process, &request, fetch, Freshness::Policy, stats)?;
    if let Origin::LastGood(error) = fetched.origin() {
        let line = format!(
            "plugin {}: {error}; it goes on with the module {} that was fetched before",
            spec.resource(),
            fetched.digest()
        );
        process.log.write(Level::Warn, line.as_bytes());
    }
    let surroundings = Surroundings {
        fetcher: &process.fetcher,
        request: &request,
        settings: fetch,
    };
    let module = process
        .verifier
        .verify(fetched, &surroundings, keys.as_ref())?;
    let compiled = compile(process, fetch, &module, stats)?;
    let capabilities = match &spec.capabilities {
        Some(names) => Capabilities::only(names.iter().cloned()),
        None => Capabilities::ALL,
    };
    let guest = process
        .runtime
        .plugin(module.bytes(), &compiled.module, &capabilities)?;
    Ok(Module {
        guest,
        digest: module.digest(),
        verification: module.verification().clone(),
        _compiled: compiled,
        _lease: module.fetched().lease(),
    })
}

/// Fetches a module, and counts the attempts that it takes. Blocks.
pub(super) fn fetch_module(
    process: &Process,
    request: &Request,
    settings: &FetchSettings,
    freshness: Freshness,
    stats: &PluginStats,
) -> Result<Fetched, FetchError> {
    let outcome = process.fetcher.ask(request, settings, freshness);
    for (label, count) in outcome.stats.results() {
        stats.count_attempts(label.as_str(), count);
    }
    outcome.result
}

/// The compiled form of a module, from wherever it is: of a verified one, and of no other.
fn compile(
    process: &Process,
    fetch: &FetchSettings,
    module: &Verified,
    stats: &PluginStats,
) -> Result<Arc<Compiled>, LoadError> {
    let warn = |problem: &dyn Display| {
        let line = format!("cacheDir: compiled code: {problem}");
        process.log.write(Level::Warn, line.as_bytes());
    };
    let cache = fetch.cache_dir.as_ref().map(Path::new);
    let directory = match cache.map(CodeDirectory::open).transpose() {
        Ok(directory) => directory,
        Err(error) => {
            warn(&error);
            None
        }
    };
    let (digest, bytes) = (module.digest(), module.bytes());
    let (compiled, origin) = process.modules.get_kept(
        &process.engine,
        directory.as_ref(),
        digest.bytes(),
        bytes,
        &|error| warn(&format_args!("{digest}: {error}; compiling it anew")),
    )?;
    match origin {
        cache::Origin::Compiled(_) => &stats.cache_misses,
        cache::Origin::Memory | cache::Origin::Disk(_) => &stats.cache_hits,
    }
    .fetch_add(1, Ordering::Relaxed);
    let what = match origin {
        cache::Origin::Memory => return Ok(compiled),
        cache::Origin::Compiled(took) => {
            let milliseconds = u64::try_from(took.as_millis()).unwrap_or(u64::MAX);
            stats.record_compilation(milliseconds);
            format!("compiled {digest} in {milliseconds} ms")
        }
        cache::Origin::Disk(took) => {
            format!("mapped compiled {digest} in {} ms", took.as_millis())
        }
    };
    let line = format!("{what} ({} bytes)", bytes.len());
    process.log.write(Level::Info, line.as_bytes());
    Ok(compiled)
}

impl Loaded {
    /// `module` as the plugin of `spec`.
    pub(super) fn new(
        process: &Arc<Process>,
        spec: &PluginSpec,
        stats: &Arc<PluginStats>,
        module: Module,
    ) -> Self {
        let limits = &spec.limits;
        Self {
            module,
            plugin: Arc::new(plugin(process, spec, stats)),
            caps: Caps {
                call_deadline: limits.call_deadline,
                start_deadline: limits.start_deadline,
                limits: InstanceLimits {
                    memory: limits.memory,
                    table_elements: limits.table_elements,
                },
            },
        }
    }

    /// Starts an instance. Blocks up to the start deadlines.
    pub(super) fn start(
        &self,
        process: &Process,
        address: Address,
    ) -> Result<Instance, StartError> {
        let plugin = Arc::clone(&self.plugin);
        Instance::start(
            &process.engine,
            &self.module.guest,
            plugin,
            address,
            &self.caps,
        )
    }
}

/// What guests and hostcalls know of the plugin.
fn plugin(process: &Arc<Process>, spec: &PluginSpec, stats: &Arc<PluginStats>) -> Plugin {
    let vm_id = spec.vm_id.clone();
    Plugin {
        name: spec.plugin_name(),
        root_id: spec.root_id.clone(),
        shared_data: process.shared_data.space(&vm_id),
        metrics: process.metrics.of(&spec.plugin_name()),
        shared_queues: Arc::clone(&process.shared_queues),
        vm_id,
        config: spec.config.clone(),
        vm_config: spec.vm_config.clone().into_bytes(),
        env: environment(&spec.env),
        log: log(process, spec, stats),
        limits: Limits {
            open_callouts: bytes(spec.limits.open_callouts.into()),
            shared_data: bytes(spec.limits.shared_data),
        },
    }
}

/// A limit of the host's own.
fn bytes(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}

/// The log of a plugin. Its timer outlives the plugin by a few seconds.
fn log(process: &Arc<Process>, spec: &PluginSpec, stats: &Arc<PluginStats>) -> Arc<Limited> {
    let (owner, stats) = (Arc::downgrade(process), Arc::clone(stats));
    let later = move |log: Arc<Limited>| {
        let Some(process) = owner.upgrade() else {
            return;
        };
        let (owner, stats) = (Weak::clone(&owner), Arc::clone(&stats));
        process.timers.run_in(flood::REPORT_AFTER, move || {
            stats
                .logs_dropped
                .fetch_add(log.report(), Ordering::Relaxed);
            if let Some(process) = owner.upgrade() {
                process.flush_metrics_soon();
            }
        });
    };
    Limited::new(Arc::clone(&process.log), spec.resource(), later)
}

/// `NAME=VALUE` of each variable that has a value.
fn environment(variables: &[(String, EnvValue)]) -> Vec<String> {
    let value = |name: &String, value: &EnvValue| match value {
        EnvValue::Inline(value) => Some(value.clone()),
        EnvValue::Host => env::var(name).ok(),
    };
    variables
        .iter()
        .filter_map(|(name, of)| Some(format!("{name}={}", value(name, of)?)))
        .collect()
}
