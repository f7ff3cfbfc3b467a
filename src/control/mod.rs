//! Puts everything together: a plan becomes plugins that run.
//!
//! One [`Process`] serves all filter entries. Entries of equal settings share one [`PluginSet`],
//! and plugins of equal modules one compilation. All blocking work happens on the job threads of
//! the process; Envoy's threads only ever wait for the first load, and only as long as the
//! settings allow.

mod backoff;
mod jobs;
mod load;
mod runner;
mod set;
mod threads;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use thiserror::Error;

pub use load::LoadError;
pub use set::PluginSet;
pub use threads::{Letter, Task, Threads};

use crate::cache::Modules;
use crate::plugin::Plan;
use crate::proxy_wasm::{Address, LinkError, Metrics, Runtime, SharedData, SharedQueues, property};
use crate::source::Fetcher;
use crate::telemetry::Log;
use crate::vm::{CompileError, Engine};
use jobs::Jobs;
use runner::Runner;
use threads::Work;

/// Threads for blocking work. A few are enough, since compilation is parallel in itself; more than
/// one, so that a guest that takes its whole start deadline does not hold up the others.
const JOB_THREADS: usize = 2;

/// What lives as long as the process.
pub struct Process {
    engine: Arc<Engine>,
    runtime: Runtime,
    modules: Modules,
    fetcher: Fetcher,
    shared_data: SharedData,
    shared_queues: Arc<SharedQueues>,
    metrics: Metrics,
    /// Changed metrics are about to be told.
    is_flushing: AtomicBool,
    log: Arc<dyn Log>,
    threads: Arc<dyn Threads>,
    jobs: Jobs,
    /// Apart from `jobs`, so that no compilation holds up a tick.
    timers: Jobs,
    /// The last number given to a plugin or instance.
    last_number: AtomicU64,
    sets: Mutex<HashMap<String, Weak<PluginSet>>>,
    runners: Mutex<HashMap<u64, Weak<Runner>>>,
    /// What waits for the main thread.
    tasks: Mutex<Vec<Task>>,
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
            shared_data: SharedData::default(),
            shared_queues: Arc::default(),
            metrics: Metrics::default(),
            is_flushing: AtomicBool::new(false),
            log,
            threads,
            jobs: Jobs::start("wasmplugin-job", JOB_THREADS)?,
            timers: Jobs::start("wasmplugin-time", 1)?,
            last_number: AtomicU64::new(0),
            sets: Mutex::default(),
            runners: Mutex::default(),
            tasks: Mutex::default(),
            answers: Mutex::default(),
        }))
    }

    /// The plugins of `plan`, on `workers` workers: those that equal settings have already, or new
    /// ones, which begin to load.
    pub fn plugins(self: &Arc<Self>, plan: &Plan, workers: u32) -> Arc<PluginSet> {
        let mut sets = self.sets.lock();
        sets.retain(|_, set| set.strong_count() > 0);
        if let Some(set) = sets.get(&plan.key).and_then(Weak::upgrade) {
            return set;
        }
        let set = Arc::new(PluginSet::start(self, plan, workers));
        sets.insert(plan.key.clone(), Arc::downgrade(&set));
        set
    }

    /// A number that nothing else of the process has.
    pub fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Lets go of plugins elsewhere: if nobody else uses them, that takes a while.
    pub fn release(&self, set: Arc<PluginSet>) {
        self.jobs.run_in(Duration::ZERO, move || drop(set));
    }

    /// Loads the plugins of `plan` as if to run them, and says what is wrong: the resource, and
    /// why it cannot run. Blocks.
    pub fn check(self: &Arc<Self>, plan: &Plan) -> Vec<(String, LoadError)> {
        PluginSet::check(self, plan)
    }
}

impl std::fmt::Debug for Process {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Process").finish_non_exhaustive()
    }
}
