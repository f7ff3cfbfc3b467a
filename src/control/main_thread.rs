//! What has to happen on Envoy's main thread, and the way there and back.
//!
//! Any thread posts a [`Task`]; the binding wakes the main thread through the scheduler of a filter
//! configuration, and comes back with [`Process::run_tasks`]. Calls that are sent there belong to
//! the configuration that lent itself: when that goes, its calls are lost, and their plugins told.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::Process;
use super::runner::Runner;
use crate::proxy_wasm::{Actions, Address, Call, CallEvent, MetricSink, RootHost};

/// Envoy's threads, as far as other threads can reach them.
pub trait Threads: Send + Sync {
    /// Has [`Process::run_tasks`] called on the main thread. Any thread may ask; asking twice is
    /// as good as once.
    fn wake_main_thread(&self);

    /// Hands a letter to the stream with this key, on its worker; lost where the stream is gone, or
    /// was never paused.
    fn send_to_stream(&self, key: u64, letter: Letter);
}

/// What a guest asked of a stream while it ran elsewhere.
#[derive(Debug)]
pub struct Letter {
    /// The guest's instance.
    pub instance: u64,
    /// Its context for the stream.
    pub context: u32,
    /// What it asked for.
    pub actions: Actions,
}

/// Something to be done on the main thread.
#[derive(Debug)]
pub(super) enum Task {
    /// A tick is due.
    Tick { address: Address, epoch: u64 },
    /// A queue has a new item.
    Ready { address: Address, token: u32 },
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
    /// Nobody wants to hear of a call any more.
    Cancel { address: Address, token: u32 },
}

impl Task {
    const fn address(&self) -> Address {
        match self {
            Self::Tick { address, .. }
            | Self::Ready { address, .. }
            | Self::Call { address, .. }
            | Self::Answer { address, .. }
            | Self::Cancel { address, .. } => *address,
        }
    }
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
        let process = Arc::downgrade(self);
        self.timers.run_in(METRICS_DELAY, move || {
            if let Some(process) = process.upgrade() {
                process.threads.wake_main_thread();
            }
        });
    }

    /// Tells what changed in the metrics of guests. On the main thread; also elsewhere, where
    /// Envoy takes metrics there.
    pub fn flush_metrics(&self, sink: &mut dyn MetricSink) {
        // First: what changes from here on asks for another time.
        self.is_flushing.store(false, Ordering::Release);
        if self.metrics.has_changes() {
            self.metrics.flush(sink);
        }
    }

    /// Does what waits for the main thread, on it. `config` names the filter configuration that
    /// lends itself, and `host` is what sends its calls.
    pub fn run_tasks(&self, config: u64, host: &mut RootHost) {
        // Tasks may post others: those wait for the next time, so that Envoy gets its turn.
        let tasks = std::mem::take(&mut *self.tasks.lock());
        for task in tasks {
            if let Some(runner) = self.runner(task.address().plugin) {
                runner.run(task, config, host);
            }
        }
    }

    /// The call that configuration `config` knows by the number `id` has come to its end. On the
    /// main thread.
    pub fn on_call(&self, config: u64, id: u64, event: CallEvent, host: &mut RootHost) {
        let expected = if event.is_last() {
            self.answers.lock().remove(&(config, id))
        } else {
            self.answers.lock().get(&(config, id)).copied()
        };
        if let Some((address, token)) = expected
            && let Some(runner) = self.runner(address.plugin)
        {
            let task = Task::Answer {
                address,
                token,
                event,
            };
            runner.run(task, config, host);
        }
    }

    /// Configuration `config` is going, and its calls with it.
    pub fn lose_calls(&self, config: u64) {
        let mut lost = Vec::new();
        self.answers.lock().retain(|(of, _), answer| {
            if *of == config {
                lost.push(*answer);
            }
            *of != config
        });
        for (address, token) in lost {
            self.post(Task::Answer {
                address,
                token,
                event: CallEvent::Lost,
            });
        }
    }

    pub(super) fn post(&self, task: Task) {
        self.tasks.lock().push(task);
        self.threads.wake_main_thread();
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

    pub(super) fn introduce(&self, number: u64, runner: &Arc<Runner>) {
        self.runners.lock().insert(number, Arc::downgrade(runner));
    }

    pub(super) fn forget(&self, number: u64) {
        self.runners.lock().remove(&number);
    }

    fn runner(&self, number: u64) -> Option<Arc<Runner>> {
        self.runners.lock().get(&number)?.upgrade()
    }
}
