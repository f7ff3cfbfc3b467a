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
//!
//! A plugin that nobody uses any more is retired: its guests are told, and may ask for more time
//! (`proxy_on_done` returns false, `proxy_done` later), which they get up to [`FAREWELL`].

mod filter;
mod retry;
mod root;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::Process;
use super::backoff::backoff;
use super::breaker::{Breaker, Restart};
use super::lease::Wanted;
use super::load::{self, LoadError, Loaded, Module};
use super::threads::Letter;
use crate::chain::Outage;
use crate::plugin::{FailStrategy, ModuleUrl, PluginSpec};
use crate::proxy_wasm::{Address, Failure, Instance, StartError};
use crate::source::{Freshness, Request};
use crate::telemetry::{Level, PluginState, PluginStats};

/// An instance that has lived this long starts its count of failures anew.
const STEADY: Duration = Duration::from_secs(60);

/// How long a retired plugin that asked for time may take: enough to send what it has gathered.
const FAREWELL: Duration = Duration::from_secs(10);

/// A plugin on all workers.
pub(super) struct Runner {
    me: Weak<Self>,
    /// Names this plugin among all of the process.
    number: u64,
    process: Arc<Process>,
    wanted: Wanted,
    slots: Box<[Mutex<Slot>]>,
    /// The linear memory of each instance when last looked at.
    memory: Box<[Mutex<Option<u64>>]>,
    /// The module, where another plugin has it already.
    at_hand: Option<Module>,
    loaded: OnceLock<Loaded>,
    /// What was reported last, so that only news are told.
    last_error: Mutex<String>,
    breaker: Mutex<Breaker>,
    stats: Arc<PluginStats>,
    /// The next attempt to load, if the last one failed.
    waiting: Mutex<Option<retry::Waiting>>,
    /// The first attempt to load has ended, well or not.
    tried: AtomicBool,
    /// All workers have had an instance.
    ready: AtomicBool,
    /// Nobody uses it any more.
    retired: AtomicBool,
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
    /// A plugin that is to be loaded. `module` is what it would load, where that is at hand.
    pub(super) fn new(
        process: &Arc<Process>,
        wanted: Wanted,
        workers: u32,
        module: Option<Module>,
    ) -> Arc<Self> {
        let stats = process.stats_of(&wanted.spec.plugin_name(), workers);
        let runner = Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            number: process.next_number(),
            process: Arc::clone(process),
            wanted,
            slots: (0..workers).map(|_| Mutex::default()).collect(),
            memory: (0..workers).map(|_| Mutex::default()).collect(),
            at_hand: module,
            loaded: OnceLock::new(),
            last_error: Mutex::default(),
            breaker: Mutex::default(),
            stats,
            waiting: Mutex::default(),
            tried: AtomicBool::new(false),
            ready: AtomicBool::new(false),
            retired: AtomicBool::new(false),
        });
        process.introduce(runner.number, &runner);
        runner
    }

    pub(super) const fn wanted(&self) -> &Wanted {
        &self.wanted
    }

    pub(super) const fn spec(&self) -> &PluginSpec {
        &self.wanted.spec
    }

    pub(super) const fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// The module that this plugin runs, if it is what `wanted` would load.
    pub(super) fn module_for(&self, wanted: &Wanted) -> Option<Module> {
        let loaded = self.loaded.get()?;
        let is_same = self.wanted.has_module_of(wanted);
        is_same.then(|| loaded.module.clone())
    }

    /// Whether it can be loaded without the network.
    pub(super) fn is_near(&self) -> bool {
        self.at_hand.is_some() || matches!(self.spec().url, ModuleUrl::File(_))
    }

    /// Whether it has come up.
    pub(super) fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// Whether the first attempt to load it has ended.
    pub(super) fn is_tried(&self) -> bool {
        self.tried.load(Ordering::Acquire)
    }

    /// What is counted of it.
    pub(super) const fn stats(&self) -> &Arc<PluginStats> {
        &self.stats
    }

    /// The digest of its module, once that is loaded.
    pub(super) fn digest(&self) -> Option<String> {
        let loaded = self.loaded.get()?;
        Some(format!("sha256:{}", loaded.module.digest))
    }

    /// What was checked of its module's signatures, once that is loaded.
    pub(super) fn verification(&self) -> Option<String> {
        let loaded = self.loaded.get()?;
        Some(loaded.module.verification.to_string())
    }

    /// What was wrong last.
    pub(super) fn last_error(&self) -> String {
        self.last_error.lock().clone()
    }

    /// How it is doing by itself.
    pub(super) fn state(&self) -> PluginState {
        if !self.is_ready() {
            return match self.is_tried() {
                true => PluginState::Unavailable,
                false => PluginState::Loading,
            };
        }
        if self.breaker.lock().is_quarantined(Instant::now()) {
            return PluginState::Quarantined;
        }
        // A slot that is in use has an instance.
        let is_empty = |slot: &Mutex<Slot>| {
            let slot = slot.try_lock();
            slot.is_some_and(|slot| slot.instance.is_none())
        };
        match self.slots.iter().any(is_empty) {
            true => PluginState::Failed,
            false => PluginState::Running,
        }
    }

    /// Its instances, and the bytes of linear memory they have.
    pub(super) fn usage(&self) -> (u64, u64) {
        let (mut instances, mut bytes) = (0, 0);
        for (slot, last) in self.slots.iter().zip(&self.memory) {
            // Not worth a worker's waiting: where the instance is in use, what was last seen stands.
            if let Some(slot) = slot.try_lock() {
                let memory = slot.instance.as_ref().map(Instance::memory);
                *last.lock() = memory;
            }
            let memory = *last.lock();
            instances += u64::from(memory.is_some());
            bytes += memory.unwrap_or(0);
        }
        (instances, bytes)
    }

    /// Loads the module and starts an instance for each worker. Blocks.
    pub(super) fn load(&self) -> Result<(), LoadError> {
        let begin = Instant::now();
        let (process, spec, stats) = (&self.process, self.spec(), &self.stats);
        let module = match &self.at_hand {
            Some(module) => module.clone(),
            None => load::module(process, spec, &self.wanted.fetch, stats)?,
        };
        let loaded = Loaded::new(process, spec, stats, module);
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
            self.spec().resource(),
            loaded.module.digest,
            Request::from(self.spec()).shown(),
            self.slots.len(),
            begin.elapsed().as_millis()
        );
        // A plugin is loaded once.
        let _first = self.loaded.set(loaded);
        if self.retired.load(Ordering::Acquire) {
            // Too late: `retire` has been here, or will be.
            self.retire();
        }
        self.ready.store(true, Ordering::Release);
        self.process.log.write(Level::Info, about.as_bytes());
        Ok(())
    }

    /// Loads, and again later if that fails, as long as anybody uses the plugin.
    pub(super) fn load_until_ready(self: &Arc<Self>, attempt: u32) {
        // Also when the load panics.
        let _tried = Tried(self);
        if self.retired.load(Ordering::Acquire) {
            return;
        }
        let secret = self.secret();
        let Err(error) = self.load() else {
            self.refresh_later();
            return;
        };
        let wait = backoff(attempt).max(error.retry_after(self.spec()));
        self.stats.count_failure(error.cause());
        self.tell(&format!("cannot run: {error}"), wait);
        self.load_again(wait, attempt.saturating_add(1), secret);
    }

    /// Looks the module up again after `wasmplugin.io/refresh-interval`, and so on.
    fn refresh_later(&self) {
        let Some(interval) = self.spec().refresh_interval else {
            return;
        };
        let me = Weak::clone(&self.me);
        self.process.loads.run_in(interval, move || {
            if let Some(me) = me
                .upgrade()
                .filter(|me| !me.retired.load(Ordering::Acquire))
            {
                me.refresh();
                me.refresh_later();
            }
        });
    }

    /// Looks the module up again. Blocks.
    fn refresh(&self) {
        let Some(loaded) = self.loaded.get() else {
            return;
        };
        let (request, settings) = (Request::from(self.spec()), &self.wanted.fetch);
        let anew = Freshness::Anew;
        let fetched = load::fetch_module(&self.process, &request, settings, anew, &self.stats);
        let resource = self.spec().resource();
        match fetched {
            Ok(fetched) if fetched.digest() == loaded.module.digest => {}
            Ok(fetched) => self.process.revise(resource, fetched.digest()),
            Err(error) => {
                let what = format!("cannot be looked up again: {error}");
                let mut last = self.last_error.lock();
                if *last != what {
                    let line = format!("plugin {resource}: {what}; the module that runs goes on");
                    self.process.log.write(Level::Warn, line.as_bytes());
                    *last = what;
                }
            }
        }
    }

    /// Says what is wrong and what happens next, unless it was the last thing said.
    fn tell(&self, what: &str, wait: Duration) {
        let mut last = self.last_error.lock();
        if *last == what {
            return;
        }
        what.clone_into(&mut last);
        let then = match self.spec().fail {
            FailStrategy::Close | FailStrategy::Reload => {
                format!("requests get {}", self.spec().fail_status)
            }
            FailStrategy::Open => "requests go on without it".to_owned(),
        };
        let line = format!(
            "plugin {}: {what}; {then} ({}); trying again after {} ms",
            self.spec().resource(),
            self.spec().fail.as_str(),
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
        match self.spec().fail {
            FailStrategy::Open => Outage::Skip,
            FailStrategy::Close | FailStrategy::Reload => Outage::Refuse {
                status: self.spec().fail_status,
                details: format!("wasmplugin.{word}{{{}}}", self.spec().resource()),
            },
        }
    }

    /// Takes the failed instance out. With `FAIL_RELOAD`, another one follows.
    #[cold]
    fn fail(&self, worker: u32, slot: &mut Slot, failure: &Failure) -> Outage {
        self.stats.count_failure(failure.cause.as_str());
        self.process.flush_metrics_soon();
        *self.last_error.lock() = failure.to_string();
        if let Some(instance) = slot.take() {
            // What waits for the plugin would wait for ever.
            for key in instance.streams() {
                let letter = Letter::Gone {
                    instance: instance.number(),
                };
                self.process.threads.send_to_stream(worker, key, letter);
            }
            // Unmapping its memory takes a while.
            self.process
                .jobs
                .run_in(Duration::ZERO, move || drop(instance));
        }
        let resource = self.spec().resource();
        let strategy = self.spec().fail.as_str();
        let then = match self.spec().fail {
            FailStrategy::Open => "requests of this worker go on without it".to_owned(),
            FailStrategy::Close => {
                format!("requests of this worker get {}", self.spec().fail_status)
            }
            FailStrategy::Reload => {
                let restart = self.breaker.lock().note(Instant::now(), slot.failures);
                let lived = slot.started.map_or(Duration::ZERO, |at| at.elapsed());
                let wait = restart.wait(lived);
                self.restart_in(wait, worker);
                let status = self.spec().fail_status;
                let wait = wait.as_millis();
                let why = match restart {
                    Restart::In(_) => "",
                    Restart::Quarantined(_) => "it fails again and again and is quarantined: ",
                };
                format!("{why}requests of this worker get {status} until it restarts in {wait} ms")
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

    /// Ends the plugin, which nobody uses any more. Blocks: tells the guests.
    pub(super) fn retire(&self) {
        self.retired.store(true, Ordering::Release);
        let mut is_waiting = false;
        for (worker, slot) in (0..).zip(&self.slots) {
            let slot = &mut *slot.lock();
            let Some(instance) = &mut slot.instance else {
                continue;
            };
            // Nobody is left whom a failure could concern.
            if instance.shut_down().is_ok_and(|is_done| !is_done) {
                is_waiting = true;
                self.empty_outbox(worker, slot, root::Place::Start);
            } else {
                self.let_go(worker, slot);
            }
        }
        let wait = if is_waiting { FAREWELL } else { Duration::ZERO };
        let me = Weak::clone(&self.me);
        self.process.jobs.run_in(wait, move || {
            if let Some(me) = me.upgrade() {
                me.end();
            }
        });
    }

    /// Drops an instance, and tells those who look for leaks what it held.
    fn let_go(&self, worker: u32, slot: &mut Slot) {
        let Some(instance) = slot.instance.take() else {
            return;
        };
        let log = &self.process.log;
        if log.enabled(Level::Debug) {
            let (resource, held) = (self.spec().resource(), instance.holdings());
            let line = format!("plugin {resource}: worker {worker} stops: held {held}");
            log.write(Level::Debug, line.as_bytes());
        }
    }

    /// Lets go of everything.
    fn end(&self) {
        for (worker, slot) in (0..).zip(&self.slots) {
            self.let_go(worker, &mut slot.lock());
        }
        self.process.forget(self.number);
        self.process.flush_metrics_soon();
    }

    fn restart(&self, worker: u32) {
        if self.retired.load(Ordering::Acquire) {
            return;
        }
        let (Some(loaded), Some(slot)) = (self.loaded.get(), self.slot(worker)) else {
            return;
        };
        match self.start(loaded, worker) {
            Ok(instance) => {
                self.put(worker, &mut slot.lock(), instance);
                let line = format!(
                    "plugin {}: restarted on worker {worker}",
                    self.spec().resource()
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

/// Notes that a plugin was tried when dropped.
struct Tried<'r>(&'r Runner);

impl Drop for Tried<'_> {
    fn drop(&mut self) {
        self.0.tried.store(true, Ordering::Release);
        self.0.process.progress();
    }
}

impl std::fmt::Debug for Runner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Runner")
            .field("plugin", &self.spec().resource())
            .finish_non_exhaustive()
    }
}
