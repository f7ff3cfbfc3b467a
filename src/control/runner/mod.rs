//! One plugin at run time: an instance per worker, and what happens when it fails.
//!
//! Each worker has a slot with a lock around its instance. A stream's events come from its own
//! worker, so the lock is free in normal running; the job threads take it for the moment in which
//! they put in an instance that they made. An instance that failed is taken out at once, and with
//! it the contexts of all its streams: each instance has a number, which a context remembers.
//!
//! Events that belong to no stream (ticks, queues, answers to calls of root contexts) take the same
//! lock, mostly on Envoy's main thread: see [`root`]. A worker that meets one waits at most for the
//! call deadline, which no event may exceed.

mod filter;
mod root;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Process;
use super::backoff::backoff;
use super::load::{self, LoadError, Loaded};
use crate::chain::Outage;
use crate::plugin::{FailStrategy, FetchSettings, PluginSpec};
use crate::proxy_wasm::{Address, Failure, Instance, StartError};
use crate::source::Request;
use crate::telemetry::Level;

/// An instance that has lived this long starts its count of failures anew.
const STEADY: Duration = Duration::from_secs(60);

/// A plugin on all workers.
pub(super) struct Runner {
    me: Weak<Self>,
    /// Names this plugin among all of the process.
    number: u64,
    process: Arc<Process>,
    spec: PluginSpec,
    fetch: Arc<FetchSettings>,
    slots: Box<[Mutex<Slot>]>,
    loaded: OnceLock<Loaded>,
    /// What was reported last, so that only news are told.
    last_error: Mutex<String>,
    /// All workers have had an instance.
    ready: AtomicBool,
}

/// A worker's place for an instance.
#[derive(Debug, Default)]
struct Slot {
    instance: Option<Instance>,
    tick: root::Tick,
    started: Option<Instant>,
    /// Failures in a row.
    failures: u32,
}

impl Runner {
    pub(super) fn new(
        process: &Arc<Process>,
        spec: PluginSpec,
        fetch: &Arc<FetchSettings>,
        workers: u32,
    ) -> Arc<Self> {
        let runner = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            number: process.next_number(),
            process: Arc::clone(process),
            spec,
            fetch: Arc::clone(fetch),
            slots: (0..workers).map(|_| Mutex::default()).collect(),
            loaded: OnceLock::new(),
            last_error: Mutex::default(),
            ready: AtomicBool::new(false),
        });
        process.introduce(runner.number, &runner);
        runner
    }

    pub(super) const fn spec(&self) -> &PluginSpec {
        &self.spec
    }

    /// Loads the module and starts an instance for each worker. Blocks.
    pub(super) fn load(&self) -> Result<(), LoadError> {
        let begin = Instant::now();
        let loaded = load::load(&self.process, &self.spec, &self.fetch)?;
        // All or none: a plugin that runs on some workers only would confuse everybody.
        let workers = (0..).zip(&self.slots);
        let instances = workers.map(|(worker, slot)| {
            let instance = self.start(&loaded, worker)?;
            Ok((worker, slot, instance))
        });
        let instances = instances.collect::<Result<Vec<_>, StartError>>()?;
        for (worker, slot, instance) in instances {
            self.put(worker, &mut slot.lock(), instance);
        }
        let about = format!(
            "plugin {}: ready: {} from {}, {} instances in {} ms",
            self.spec.resource(),
            loaded.digest,
            Request::from(&self.spec).shown(),
            self.slots.len(),
            begin.elapsed().as_millis()
        );
        // A plugin is loaded once.
        let _first = self.loaded.set(loaded);
        self.ready.store(true, Ordering::Release);
        self.process.log.write(Level::Info, about.as_bytes());
        Ok(())
    }

    /// Loads, and again later if that fails, as long as anybody uses the plugin.
    pub(super) fn load_until_ready(&self, attempt: u32) {
        let Err(error) = self.load() else { return };
        let wait = backoff(attempt).max(error.retry_after(&self.spec));
        self.tell(&format!("cannot run: {error}"), wait);
        let me = Weak::clone(&self.me);
        self.process.jobs.run_in(wait, move || {
            if let Some(me) = me.upgrade() {
                me.load_until_ready(attempt.saturating_add(1));
            }
        });
    }

    /// Says what is wrong and what happens next, unless it was the last thing said.
    fn tell(&self, what: &str, wait: Duration) {
        let mut last = self.last_error.lock();
        if *last == what {
            return;
        }
        what.clone_into(&mut last);
        let then = match self.spec.fail {
            FailStrategy::Close | FailStrategy::Reload => {
                format!("requests get {}", self.spec.fail_status)
            }
            FailStrategy::Open => "requests go on without it".to_owned(),
        };
        let line = format!(
            "plugin {}: {what}; {then} ({}); trying again after {} ms",
            self.spec.resource(),
            self.spec.fail.as_str(),
            wait.as_millis()
        );
        self.process.log.write(Level::Error, line.as_bytes());
    }

    /// What a stream gets while there is no instance for it.
    fn outage(&self) -> Outage {
        let word = if self.ready.load(Ordering::Acquire) {
            "failed"
        } else {
            "unavailable"
        };
        match self.spec.fail {
            FailStrategy::Open => Outage::Skip,
            FailStrategy::Close | FailStrategy::Reload => Outage::Refuse {
                status: self.spec.fail_status,
                details: format!("wasmplugin.{word}{{{}}}", self.spec.resource()),
            },
        }
    }

    /// Takes the failed instance out. With `FAIL_RELOAD`, another one follows.
    #[cold]
    fn fail(&self, worker: u32, slot: &mut Slot, failure: &Failure) -> Outage {
        let instance = slot.take();
        // Unmapping its memory takes a while.
        self.process
            .jobs
            .run_in(Duration::ZERO, move || drop(instance));
        let resource = self.spec.resource();
        let strategy = self.spec.fail.as_str();
        let then = match self.spec.fail {
            FailStrategy::Open => "requests of this worker go on without it".to_owned(),
            FailStrategy::Close => {
                format!("requests of this worker get {}", self.spec.fail_status)
            }
            FailStrategy::Reload => {
                let wait = backoff(slot.failures);
                self.restart_in(wait, worker);
                let status = self.spec.fail_status;
                let wait = wait.as_millis();
                format!("requests of this worker get {status} until it restarts in {wait} ms")
            }
        };
        let line = format!("plugin {resource}: failed: {failure}\n{then} ({strategy})");
        self.process.log.write(Level::Error, line.as_bytes());
        self.outage()
    }

    fn restart_in(&self, wait: Duration, worker: u32) {
        let me = Weak::clone(&self.me);
        self.process.jobs.run_in(wait, move || {
            if let Some(me) = me.upgrade() {
                me.restart(worker);
            }
        });
    }

    fn restart(&self, worker: u32) {
        let (Some(loaded), Some(slot)) = (self.loaded.get(), self.slot(worker)) else {
            return;
        };
        match self.start(loaded, worker) {
            Ok(instance) => {
                self.put(worker, &mut slot.lock(), instance);
                let line = format!(
                    "plugin {}: restarted on worker {worker}",
                    self.spec.resource()
                );
                self.process.log.write(Level::Info, line.as_bytes());
            }
            Err(error) => {
                let wait = {
                    let slot = &mut *slot.lock();
                    slot.failures = slot.failures.saturating_add(1);
                    backoff(slot.failures)
                };
                self.tell(&format!("cannot restart: {error}"), wait);
                self.restart_in(wait, worker);
            }
        }
    }

    fn slot(&self, worker: u32) -> Option<&Mutex<Slot>> {
        self.slots.get(usize::try_from(worker).ok()?)
    }

    fn start(&self, loaded: &Loaded, worker: u32) -> Result<Instance, StartError> {
        let address = Address {
            plugin: self.number,
            worker,
            instance: self.process.next_number(),
        };
        loaded.start(&self.process, address)
    }

    /// Puts in an instance, and does what its start asked for.
    fn put(&self, worker: u32, slot: &mut Slot, instance: Instance) {
        slot.instance = Some(instance);
        slot.started = Some(Instant::now());
        slot.tick = root::Tick::default();
        self.empty_outbox(worker, slot, root::Place::Start);
    }
}

impl Slot {
    fn take(&mut self) -> Option<Instance> {
        let was_steady = self.started.is_some_and(|at| at.elapsed() > STEADY);
        self.failures = if was_steady {
            1
        } else {
            self.failures.saturating_add(1)
        };
        self.instance.take()
    }
}

impl Drop for Runner {
    fn drop(&mut self) {
        self.process.forget(self.number);
        let slots = std::mem::take(&mut self.slots).into_iter();
        let instances: Vec<_> = slots
            .filter_map(|slot| slot.into_inner().instance)
            .collect();
        if instances.is_empty() {
            return;
        }
        // Not here: this may be a worker, at the end of the last stream.
        self.process.jobs.run_in(Duration::ZERO, || {
            for mut instance in instances {
                // Nobody is left whom a failure could concern.
                let _ended = instance.shut_down();
            }
        });
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("plugin", &self.spec.resource())
            .finish_non_exhaustive()
    }
}
