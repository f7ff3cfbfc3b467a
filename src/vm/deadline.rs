//! Deadlines of guest calls, by wasmtime epochs.
//!
//! A ticker thread advances the engine's epoch every [`TICK`]; a call sets its store's deadline
//! in ticks from now, which costs one load and one store. Deadlines are wall clock: time that
//! the guest spends in host functions counts. They do not stop a host function itself; ours
//! are bounded by the sizes that they are given.
//!
//! An idle process must not wake up for nothing: the ticker parks once no call has begun for
//! longer than the longest deadline in use (a call still running then has met its deadline),
//! and the next call wakes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// The resolution of deadlines. Finer ticks cost wake-ups; the shortest useful call deadline is
/// some milliseconds, and a guest may run up to one tick past it.
pub const TICK: Duration = Duration::from_millis(5);

/// A deadline in ticks, as wasmtime counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(u64);

impl Deadline {
    /// At least `limit` from the moment a call begins, and less than two ticks more.
    pub fn after(limit: Duration) -> Self {
        let ticks = limit.as_nanos().div_ceil(TICK.as_nanos());
        // The tick in progress may end at once, so it does not count.
        Self(
            u64::try_from(ticks)
                .unwrap_or(u64::MAX / 2)
                .saturating_add(1),
        )
    }

    /// In ticks of the engine's epoch.
    pub const fn ticks(self) -> u64 {
        self.0
    }
}

/// The thread that advances the epoch; stopped and joined on drop.
#[derive(Debug)]
pub(super) struct Ticker {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    /// A call has begun since the last tick.
    called: AtomicBool,
    /// The longest deadline in use, in ticks.
    longest: AtomicU64,
    stop: AtomicBool,
}

impl Ticker {
    pub(super) fn start(engine: wasmtime::Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let seen = Arc::clone(&shared);
        let thread = thread::Builder::new()
            .name("wasmplugin-tick".to_owned())
            .spawn(move || seen.run(&engine))?;
        Ok(Self {
            shared,
            thread: Some(thread),
        })
    }

    pub(super) fn note(&self, deadline: Deadline) {
        self.shared
            .longest
            .fetch_max(deadline.ticks(), Ordering::Relaxed);
    }

    /// Says that a call begins. Costs a load while calls are frequent.
    #[inline]
    pub(super) fn touch(&self) {
        if !self.shared.called.load(Ordering::Relaxed) {
            self.shared.called.store(true, Ordering::Release);
            self.wake();
        }
    }

    fn wake(&self) {
        if let Some(thread) = &self.thread {
            thread.thread().unpark();
        }
    }
}

impl Shared {
    fn run(&self, engine: &wasmtime::Engine) {
        let mut idle = 0_u64;
        while !self.stop.load(Ordering::Acquire) {
            thread::sleep(TICK);
            engine.increment_epoch();
            if self.called.swap(false, Ordering::AcqRel) {
                idle = 0;
                continue;
            }
            idle += 1;
            if idle > self.longest.load(Ordering::Relaxed).saturating_add(1) {
                while !self.called.load(Ordering::Acquire) && !self.stop.load(Ordering::Acquire) {
                    thread::park();
                }
                idle = 0;
            }
        }
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Release);
        self.wake();
        if let Some(thread) = self.thread.take() {
            // A ticker that panicked has nothing left to tell.
            let _ended = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_round_up_and_skip_the_tick_in_progress() {
        assert_eq!(Deadline::after(Duration::from_millis(100)).ticks(), 21);
        assert_eq!(Deadline::after(Duration::from_millis(1)).ticks(), 2);
        assert_eq!(Deadline::after(Duration::ZERO).ticks(), 1);
    }
}
