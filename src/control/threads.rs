//! What belongs to no stream, and the way to a thread of Envoy's that can do it.
//!
//! Any thread posts a [`Task`]. If the worker whose instance it is about has a paused stream, the
//! task goes there, by the way of that stream: the guest may act on any of the streams that it
//! holds, which are that worker's alone to touch. If there is none, there is nothing to act on, and
//! the task goes to the main thread: the binding wakes it through the scheduler of a filter
//! configuration, and comes back with [`Process::run_tasks`].
//!
//! Calls are sent on the main thread alone. They belong to the configuration that lent itself: when
//! that goes, its calls are lost, and their plugins told.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::Process;
use super::runner::Runner;
use super::tasks::{Next, TURN};
use crate::proxy_wasm::{Actions, Address, Call, CallEvent, MetricSink, Notice, RootHost, look_up};
use crate::telemetry::StatSink;

/// Envoy's threads, as far as other threads can reach them.
pub trait Threads: Send + Sync {
    /// Has [`Process::run_tasks`] called on the main thread. Any thread may ask; asking twice is
    /// as good as once.
    fn wake_main_thread(&self);

    /// Hands a letter to the stream with this key on `worker`; lost where the stream is gone, or was
    /// never paused.
    fn send_to_stream(&self, worker: u32, key: u64, letter: Letter);

    /// Has [`Process::run_on_worker`] called on `worker`; gives the task back where no stream there
    /// leads to it.
    fn send_to_worker(&self, worker: u32, task: Task) -> Result<(), Task>;
}

/// What a stream has to be told.
#[derive(Debug)]
pub enum Letter {
    /// A guest asked something of it while it ran elsewhere.
    Asked {
        /// The guest's instance.
        instance: u64,
        /// Its context for the stream.
        context: u32,
        /// What it asked for.
        actions: Actions,
    },
    /// An instance has failed: its plugin will not resume the stream any more.
    Gone {
        /// The instance.
        instance: u64,
    },
}

/// Something to be done on one of Envoy's threads.
#[derive(Debug)]
pub struct Task(Box<Work>);

impl Task {
    pub(super) fn new(work: Work) -> Self {
        Self(Box::new(work))
    }

    /// The number of the plugin that it is about.
    pub(super) fn plugin(&self) -> u64 {
        self.0.address().plugin
    }
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Work {
    /// A tick is due.
    Tick { address: Address, epoch: u64 },
    /// A queue has a new item.
    Ready {
        address: Address,
        token: u32,
        notice: Notice,
    },
    /// A call is to be sent.
    Call {
        address: Address,
        token: u32,
        call: Call,
    },
    /// A call has come to its end.
    Answer {
        address: Address,
        token: u32,
        event: CallEvent,
    },
    /// A name has been looked up.
    Resolved {
        address: Address,
        token: u32,
        found: Vec<u8>,
    },
    /// Nobody wants to hear of a call any more.
    Cancel { address: Address, token: u32 },
}

impl Work {
    const fn address(&self) -> Address {
        match self {
            Self::Tick { address, .. }
            | Self::Ready { address, .. }
            | Self::Call { address, .. }
            | Self::Answer { address, .. }
            | Self::Resolved { address, .. }
            | Self::Cancel { address, .. } => *address,
        }
    }
}

/// The number of no configuration.
const NO_CONFIG: u64 = 0;

/// A task that takes no longer costs its plugin nothing.
const SHORT: Duration = Duration::from_millis(1);

/// How long Envoy's threads are left alone between tasks. What is scheduled on a thread in the middle
/// of its own event is run before that thread looks at its sockets again: tasks that post others
/// would keep it from them for ever. So these are scheduled from elsewhere, and a moment later.
const GAP: Duration = Duration::from_millis(1);

/// Tasks at a time, so that a worker that gets them has time for its streams.
const BATCH: usize = 64;

thread_local! {
    /// A task runs on this thread.
    static IS_RUNNING: Cell<bool> = const { Cell::new(false) };
}

/// How long changes of metrics gather before they are told: not longer than a person waits who
/// looks at them, not so often that it costs anything.
const METRICS_DELAY: Duration = Duration::from_millis(100);

impl Process {
    /// Has changed metrics told soon, on the main thread.
    pub(super) fn flush_metrics_soon(self: &Arc<Self>) {
        let is_set = self.is_flushing.load(Ordering::Relaxed);
        if is_set || self.is_flushing.swap(true, Ordering::AcqRel) {
            return;
        }
        self.wake_in(METRICS_DELAY);
    }

    /// Tells what changed in the metrics of guests and in ours. On the main thread; also elsewhere,
    /// where Envoy takes metrics there.
    pub fn flush_metrics(&self, sink: &mut (impl MetricSink + StatSink)) {
        // First: what changes from here on asks for another time.
        self.is_flushing.store(false, Ordering::Release);
        if self.metrics.has_changes() {
            self.metrics.flush(sink);
        }
        self.flush_stats(sink);
    }

    /// Does what waits for the main thread, on it. `config` names the filter configuration that
    /// lends itself, and `host` is what sends its calls.
    pub fn run_tasks(self: &Arc<Self>, config: u64, host: &mut RootHost) {
        let start = Instant::now();
        let mut now = start;
        // Tasks may post others: those wait for the next time, so that Envoy gets its turn.
        let count = self.tasks.lock().len().min(BATCH);
        for _ in 0..count {
            if now.saturating_duration_since(start) > TURN {
                break;
            }
            let next = self.tasks.lock().next(now);
            let task = match next {
                Next::Task(task) => task,
                Next::Wait(wait) => return self.wake_in(wait),
                Next::Nothing => return,
            };
            // What is to act on a stream may have been posted while that was about to pause.
            if let Err(task) = self.send_to_worker(task) {
                now = self.run(*task.0, config, host);
            }
        }
        if self.tasks.lock().len() > 0 {
            self.pace(now.saturating_duration_since(start).max(GAP));
        }
    }

    /// Has the main thread come again after `wait`, unless it is to come anyway.
    fn pace(self: &Arc<Self>, wait: Duration) {
        if self.is_pacing.swap(true, Ordering::AcqRel) {
            return;
        }
        let process = Arc::downgrade(self);
        self.timers.run_in(wait, move || {
            if let Some(process) = process.upgrade() {
                // First: what is posted from here on asks for another time.
                process.is_pacing.store(false, Ordering::Release);
                process.threads.wake_main_thread();
            }
        });
    }

    /// Has the main thread come after `wait`.
    fn wake_in(self: &Arc<Self>, wait: Duration) {
        let process = Arc::downgrade(self);
        self.timers.run_in(wait, move || {
            if let Some(process) = process.upgrade() {
                process.threads.wake_main_thread();
            }
        });
    }

    /// Does a task on the worker that it was sent to.
    pub fn run_on_worker(&self, task: Task) {
        self.run(*task.0, NO_CONFIG, &mut None);
    }

    /// A task that was sent to a worker did not get there.
    pub fn send_again(self: &Arc<Self>, task: Task) {
        self.post(*task.0);
    }

    /// Does a task. When it had been done.
    fn run(&self, work: Work, config: u64, host: &mut RootHost) -> Instant {
        let begin = Instant::now();
        let plugin = work.address().plugin;
        let outer = IS_RUNNING.replace(true);
        if let Work::Cancel { address, token } = work {
            let id = self.forget_answer(config, address, token);
            if let (Some(id), Some(host)) = (id, host) {
                host.reset(id);
            }
        } else if let Some(runner) = self.runner(plugin) {
            runner.run(work, config, host);
        }
        IS_RUNNING.set(outer);
        let end = Instant::now();
        let took = end.saturating_duration_since(begin);
        if took > SHORT {
            self.tasks.lock().rest(plugin, end, took);
        }
        end
    }

    /// The call that configuration `config` knows by the number `id` has come to its end. On the
    /// main thread, which tells the plugin when it comes again: a guest may answer with another call,
    /// and where this one fails because Envoy is ending, that would end in a crash.
    pub fn on_call(self: &Arc<Self>, config: u64, id: u64, event: CallEvent) {
        let expected = if event.is_last() {
            self.answers.lock().remove(&(config, id))
        } else {
            self.answers.lock().get(&(config, id)).copied()
        };
        if let Some((address, token)) = expected {
            self.post(Work::Answer {
                address,
                token,
                event,
            });
        }
    }

    /// Configuration `config` is going, and its calls with it.
    pub fn lose_calls(self: &Arc<Self>, config: u64) {
        let mut lost = Vec::new();
        self.answers.lock().retain(|(of, _), answer| {
            if *of == config {
                lost.push(*answer);
            }
            *of != config
        });
        for (address, token) in lost {
            self.post(Work::Answer {
                address,
                token,
                event: CallEvent::Lost,
            });
        }
    }

    pub(super) fn post(self: &Arc<Self>, work: Work) {
        let task = Task::new(work);
        if IS_RUNNING.get() {
            self.tasks.lock().push(task);
            return self.pace(GAP);
        }
        if let Err(task) = self.send_to_worker(task) {
            self.tasks.lock().push(task);
            self.threads.wake_main_thread();
        }
    }

    /// Sends a task to the worker that it is about, if it may be done there and now, and a stream
    /// leads there.
    fn send_to_worker(&self, task: Task) -> Result<(), Task> {
        let is_of_main = matches!(*task.0, Work::Call { .. } | Work::Cancel { .. });
        if is_of_main || self.tasks.lock().has_to_wait(task.plugin(), Instant::now()) {
            return Err(task);
        }
        self.threads.send_to_worker(task.0.address().worker, task)
    }

    /// Has a name looked up, and the plugin told.
    pub(super) fn resolve(self: &Arc<Self>, address: Address, token: u32, name: String) {
        let process = Arc::downgrade(self);
        self.lookups.run_in(Duration::ZERO, move || {
            let found = look_up(&name);
            if let Some(process) = process.upgrade() {
                process.post(Work::Resolved {
                    address,
                    token,
                    found,
                });
            }
        });
    }

    pub(super) fn expect_answer(&self, config: u64, id: u64, address: Address, token: u32) {
        self.answers.lock().insert((config, id), (address, token));
    }

    /// Forgets a call; its number, if it is one of configuration `config`.
    pub(super) fn forget_answer(&self, config: u64, address: Address, token: u32) -> Option<u64> {
        let mut answers = self.answers.lock();
        let found = answers.iter().find(|(_, call)| **call == (address, token));
        let (of, id) = *found?.0;
        answers.remove(&(of, id));
        (of == config).then_some(id)
    }

    /// Cancels the calls that await their answer in the plugin `number`.
    fn cancel_calls(self: &Arc<Self>, number: u64) {
        let answers = self.answers.lock();
        let of = answers
            .values()
            .filter(|(address, _)| address.plugin == number);
        let cancelled: Vec<_> = of.copied().collect();
        drop(answers);
        for (address, token) in cancelled {
            self.post(Work::Cancel { address, token });
        }
    }

    pub(super) fn introduce(&self, number: u64, runner: &Arc<Runner>) {
        self.runners.lock().insert(number, Arc::clone(runner));
    }

    /// A plugin is gone.
    pub(super) fn forget(self: &Arc<Self>, number: u64) {
        let forgotten = self.runners.lock().remove(&number);
        self.cancel_calls(number);
        drop(forgotten);
    }

    /// All plugins that have not ended.
    pub(super) fn all_runners(&self) -> Vec<Arc<Runner>> {
        self.runners.lock().values().map(Arc::clone).collect()
    }

    fn runner(&self, number: u64) -> Option<Arc<Runner>> {
        self.runners.lock().get(&number).map(Arc::clone)
    }
}
