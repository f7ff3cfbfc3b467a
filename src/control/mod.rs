//! Puts everything together: a plan becomes plugins that run.
//!
//! One [`Process`] serves all filter entries. Entries of equal settings share one [`Deployment`],
//! whose current [`Generation`] new streams run; equal plugins are shared by all that want them, and
//! equal modules have one compilation. All blocking work happens on the job threads of
//! the process; Envoy's threads only ever wait for the first load, as long as the settings allow, and
//! for a moment while Envoy changes its configuration: see [`Process::wait_nearby`].

mod backoff;
mod breaker;
mod deployment;
mod generation;
mod inputs;
mod jobs;
mod lease;
mod lineup;
mod load;
mod route;
mod runner;
#[cfg(test)]
mod soak;
mod status;
mod tasks;
mod threads;
mod watch;

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use thiserror::Error;

pub use deployment::Deployment;
pub use generation::{Generation, open, opened};
pub use lineup::{Filters, Lineup};
pub use load::LoadError;
pub use route::{RouteKey, route_key};
pub use tasks::TURN;
pub use threads::{Letter, Task, Threads};

use crate::cache::Modules;
use crate::plugin::route::Changes;
use crate::plugin::{PhaseSet, Plan, Problems};
use crate::proxy_wasm::{Address, LinkError, Metrics, Runtime, SharedData, SharedQueues, property};
use crate::source::signature::Verifier;
use crate::source::{Digest, Fetcher};
use crate::telemetry::{Level, Log, PluginStats};
use crate::vm::{CompileError, Engine};
use inputs::Inputs;
use jobs::Jobs;
use lease::Leases;
use runner::Runner;
use tasks::Tasks;
use threads::Work;
use watch::Watches;

/// Threads for what else may block: restarts and endings. More than one, so that a guest that takes
/// its whole deadline does not hold up the others.
const JOB_THREADS: usize = 2;

/// Threads that load plugins: so many can wait for a registry at once, or compile.
const LOAD_THREADS: usize = 4;

/// What lives as long as the process.
pub struct Process {
    engine: Arc<Engine>,
    runtime: Runtime,
    modules: Modules,
    fetcher: Fetcher,
    verifier: Verifier,
    shared_data: SharedData,
    shared_queues: Arc<SharedQueues>,
    metrics: Metrics,
    /// What is counted of plugins; outlives them, since a counter never starts anew.
    stats: Mutex<BTreeMap<String, Arc<PluginStats>>>,
    /// Changed metrics are about to be told.
    is_flushing: AtomicBool,
    log: Arc<dyn Log>,
    threads: Arc<dyn Threads>,
    jobs: Jobs,
    /// Apart from `jobs`, so that no slow registry holds up a restart.
    loads: Jobs,
    /// Apart from `jobs`, so that no compilation holds up a tick.
    timers: Jobs,
    /// The main thread is going to come for tasks.
    is_pacing: AtomicBool,
    /// A stream was opened.
    is_serving: AtomicBool,
    /// Names of hosts that plugins want to know; apart, since a lookup may take long.
    lookups: Jobs,
    /// The last number given to a plugin or instance.
    last_number: AtomicU64,
    deployments: Mutex<HashMap<String, Weak<Deployment>>>,
    leases: Leases,
    watches: Watches,
    /// What modules were found to be when they were looked up again, by resource.
    revisions: Mutex<HashMap<String, Digest>>,
    /// What routes say in `typed_per_filter_config`.
    routes: Mutex<BTreeMap<u64, Arc<Changes>>>,
    runners: Mutex<HashMap<u64, Arc<Runner>>>,
    /// Plugins that were tried; told to those who wait for one.
    tries: Mutex<u64>,
    progress: Condvar,
    /// What waits for the main thread.
    tasks: Mutex<Tasks>,
    /// Calls of the main thread that have no answer yet, by configuration and its number for them.
    answers: Mutex<HashMap<(u64, u64), (Address, u32)>>,
}

/// Why nothing can run in this process.
#[derive(Debug, Error)]
pub enum ProcessError {
    /// The engine does not start.
    #[error("the WebAssembly engine does not start: {0}")]
    Engine(#[from] CompileError),
    /// Our own host functions do not fit.
    #[error("the host functions do not link: {0}")]
    Link(#[from] LinkError),
    /// No threads.
    #[error("cannot start threads: {0}")]
    Threads(#[from] std::io::Error),
}

impl Process {
    /// Starts the engine and the job threads.
    pub fn start(log: Arc<dyn Log>, threads: Arc<dyn Threads>) -> Result<Arc<Self>, ProcessError> {
        let engine = Engine::new()?;
        // Here rather than on a worker, where a plugin asks for it: it reads a file.
        property::read_node();
        Ok(Arc::new(Self {
            runtime: Runtime::new(&engine)?,
            engine: Arc::new(engine),
            modules: Modules::default(),
            fetcher: Fetcher::new(Arc::clone(&log)),
            verifier: Verifier::default(),
            shared_data: SharedData::default(),
            shared_queues: Arc::default(),
            metrics: Metrics::default(),
            stats: Mutex::default(),
            is_flushing: AtomicBool::new(false),
            log,
            threads,
            jobs: Jobs::start("wasmplugin-job", JOB_THREADS)?,
            loads: Jobs::start("wasmplugin-load", LOAD_THREADS)?,
            timers: Jobs::start("wasmplugin-time", 1)?,
            is_pacing: AtomicBool::new(false),
            is_serving: AtomicBool::new(false),
            lookups: Jobs::start("wasmplugin-dns", 1)?,
            last_number: AtomicU64::new(0),
            deployments: Mutex::default(),
            leases: Leases::default(),
            watches: Watches::default(),
            revisions: Mutex::default(),
            routes: Mutex::default(),
            tries: Mutex::default(),
            progress: Condvar::new(),
            runners: Mutex::default(),
            tasks: Mutex::default(),
            answers: Mutex::default(),
        }))
    }

    /// What a filter entry with these settings runs, on `workers` workers: what equal settings have
    /// already, or plugins that begin to load. And the phases that the entry runs.
    ///
    /// # Errors
    ///
    /// What is wrong with the settings.
    pub fn deploy(
        self: &Arc<Self>,
        settings: &[u8],
        workers: u32,
    ) -> Result<(Arc<Deployment>, PhaseSet), Problems> {
        let inputs = Inputs::read(settings)?;
        let phases = inputs.plan.phases;
        let key = inputs.plan.key.clone();
        let deployed = self.deployments.lock().get(&key).and_then(Weak::upgrade);
        if let Some(deployed) = deployed {
            return Ok((deployed, phases));
        }
        for problem in inputs.problems() {
            self.log.write(Level::Error, problem.as_bytes());
        }
        let deployment = self.start_deployment(key, inputs, workers);
        deployment.watch();
        Ok((deployment, phases))
    }

    /// Runs the resources of `plan` on `workers` workers. Nothing is watched.
    pub fn deploy_plan(self: &Arc<Self>, plan: Plan, workers: u32) -> Arc<Deployment> {
        self.start_deployment(plan.key.clone(), Inputs::of(plan), workers)
    }

    fn start_deployment(
        self: &Arc<Self>,
        key: String,
        inputs: Inputs,
        workers: u32,
    ) -> Arc<Deployment> {
        let deployment = Deployment::start(self, inputs, workers);
        let mut deployments = self.deployments.lock();
        deployments.retain(|_, deployment| deployment.strong_count() > 0);
        deployments.insert(key, Arc::downgrade(&deployment));
        drop(deployments);
        // Its plugins may have come up before it was known here.
        deployment.publish();
        deployment
    }

    /// Whether streams are served yet.
    pub fn is_serving(&self) -> bool {
        self.is_serving.load(Ordering::Relaxed)
    }

    /// A stream is opened.
    fn serve(&self) {
        // Not written to again and again: workers share it.
        if !self.is_serving() {
            self.is_serving.store(true, Ordering::Relaxed);
        }
    }

    /// What runs under settings that new ones of this lineage may follow. Envoy does not tell which
    /// configuration takes the place of which, so a plugin counts only if all agree about it: that is
    /// asked later. And before anything is served, nothing can be followed.
    fn predecessors(&self, lineage: &str) -> Vec<Arc<Generation>> {
        if !self.is_serving() {
            return Vec::new();
        }
        let deployments = self.living_deployments();
        let of = deployments
            .iter()
            .filter(|deployment| deployment.is_of(lineage));
        of.map(|deployment| deployment.current()).collect()
    }

    /// A route says `changes` of plugins. The number by which streams name it.
    pub fn add_route(&self, changes: Changes) -> u64 {
        let number = self.next_number();
        self.routes.lock().insert(number, Arc::new(changes));
        for deployment in self.living_deployments() {
            deployment.add_configured_route(number);
        }
        number
    }

    /// A route is gone.
    pub fn remove_route(self: &Arc<Self>, number: u64) {
        self.routes.lock().remove(&number);
        let process = Arc::clone(self);
        self.jobs.run_in(Duration::ZERO, move || {
            for deployment in process.living_deployments() {
                deployment.remove_configured_route(number);
            }
        });
    }

    /// The module of `resource` was looked up again, and is another one.
    fn revise(&self, resource: String, digest: Digest) {
        self.revisions.lock().insert(resource, digest);
        for deployment in self.living_deployments() {
            deployment.aim_again();
        }
    }

    fn revision(&self, resource: &str) -> Option<Digest> {
        self.revisions.lock().get(resource).copied()
    }

    fn configured_route(&self, number: u64) -> Option<Arc<Changes>> {
        self.routes.lock().get(&number).map(Arc::clone)
    }

    fn configured_routes(&self) -> Vec<u64> {
        self.routes.lock().keys().copied().collect()
    }

    fn living_deployments(&self) -> Vec<Arc<Deployment>> {
        let deployments = self.deployments.lock();
        deployments.values().filter_map(Weak::upgrade).collect()
    }

    /// A plugin was tried: tells those who wait for it.
    fn progress(self: &Arc<Self>) {
        for deployment in self.living_deployments() {
            deployment.publish();
        }
        *self.tries.lock() += 1;
        self.progress.notify_all();
        self.flush_metrics_soon();
    }

    /// Waits up to `limit` until each plugin that can be loaded without the network has come up or
    /// failed once. Whether they have.
    pub fn wait_nearby(&self, limit: Duration) -> bool {
        let is_done = || {
            let deployments = self.living_deployments();
            deployments.iter().all(|of| of.is_tried_nearby())
        };
        self.wait_for_progress(Instant::now() + limit, is_done)
    }

    /// Waits until `is_done`, which is asked again after each progress. Whether it is.
    fn wait_for_progress(&self, deadline: Instant, is_done: impl Fn() -> bool) -> bool {
        let mut tries = self.tries.lock();
        loop {
            if is_done() {
                return true;
            }
            if self.progress.wait_until(&mut tries, deadline).timed_out() {
                return is_done();
            }
        }
    }

    /// A number that nothing else of the process has.
    pub fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Lets go of plugins elsewhere: if nobody else uses them, that takes a while.
    pub fn release(&self, deployment: Arc<Deployment>) {
        self.jobs.run_in(Duration::ZERO, move || drop(deployment));
    }

    /// Loads the plugins of `settings` as if to run them, and says what is wrong. Blocks.
    pub fn check(self: &Arc<Self>, settings: &[u8]) -> Vec<String> {
        let inputs = match Inputs::read(settings) {
            Ok(inputs) => inputs,
            Err(problems) => return problems.0.iter().map(ToString::to_string).collect(),
        };
        let failed = Deployment::check(self, &inputs).into_iter();
        let failed = failed.map(|(resource, error)| format!("plugin {resource}: {error}"));
        inputs.problems().iter().cloned().chain(failed).collect()
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").finish_non_exhaustive()
    }
}
