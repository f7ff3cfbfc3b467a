//! Deadlines of guest calls, by wasmtime epochs.
//!
//! A ticker thread advances the engine's epoch every [`TICK`]; a call sets its store's deadline
//! in ticks from now, which costs one load and one store. Deadlines are wall clock: time that
//! the guest spends in host functions counts. They do not stop a host function itself; ours
//! are bounded by the sizes that they are given, and those that take long look at the [`Clock`].
//!
//! An idle process must not wake up for nothing: the ticker parks once no call has begun for
//! longer than the longest deadline in use (a call still running then has met its deadline),
//! and the next call wakes it. Starts may take much longer than calls, so they are counted instead,
//! while they run: see [`Start`].

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

/// The resolution of deadlines. Finer ticks cost wake-ups; the shortest useful call deadline is
/// some milliseconds.
pub const TICK: Duration = Duration::from_millis(5);

/// The most ticks that end at once, where the ticker comes late: on a busy machine it sleeps longer
/// than it asked for, and deadlines would become as much longer. More at once would end calls early
/// that have just begun.
const AT_ONCE: u64 = 2;

/// A deadline in ticks, as wasmtime counts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadline(u64);

impl Deadline {
    /// At least `limit` from the moment a call begins, and less than three ticks more.
    pub fn after(limit: Duration) -> Self {
        let ticks = limit.as_nanos().div_ceil(TICK.as_nanos());
        // What ends at once, just after the beginning, does not count.
        Self(
            u64::try_from(ticks)
                .unwrap_or(u64::MAX / 2)
                .saturating_add(AT_ONCE),
        )
    }

    /// In ticks of the engine's epoch.
    pub const fn ticks(self) -> u64 {
        self.0
    }
}

/// The time in ticks. It stands still while nothing is called.
#[derive(Clone, Debug)]
pub struct Clock(Arc<Shared>);

impl Clock {
    /// Ticks so far.
    #[inline]
    pub fn now(&self) -> u64 {
        self.0.now.load(Ordering::Relaxed)
    }
}

/// Keeps the ticker going, for a call that may take longer than others.
#[derive(Debug)]
pub struct Start(Arc<Shared>);

impl Drop for Start {
    fn drop(&mut self) {
        self.0.starts.fetch_sub(1, Ordering::Release);
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
    /// Starts that run.
    starts: AtomicUsize,
    now: AtomicU64,
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

    pub(super) fn clock(&self) -> Clock {
        Clock(Arc::clone(&self.shared))
    }

    pub(super) fn begin_start(&self) -> Start {
        self.shared.starts.fetch_add(1, Ordering::Relaxed);
        self.touch();
        Start(Arc::clone(&self.shared))
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
        // When the last tick ended.
        let mut last = Instant::now();
        while !self.stop.load(Ordering::Acquire) {
            thread::sleep(TICK.saturating_sub(last.elapsed()));
            let mut ticks = 0;
            while ticks < AT_ONCE && last.elapsed() >= TICK {
                last += TICK;
                ticks += 1;
                engine.increment_epoch();
            }
            if last.elapsed() >= TICK {
                last = Instant::now();
            }
            self.now.fetch_add(ticks, Ordering::Relaxed);
            let is_called = self.called.swap(false, Ordering::AcqRel);
            if is_called || self.starts.load(Ordering::Acquire) > 0 {
                idle = 0;
                continue;
            }
            idle += ticks;
            if idle > self.longest.load(Ordering::Relaxed).saturating_add(1) {
                while !self.called.load(Ordering::Acquire) && !self.stop.load(Ordering::Acquire) {
                    thread::park();
                }
                last = Instant::now();
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
    fn deadlines_round_up_and_skip_the_ticks_that_end_at_once() {
        assert_eq!(Deadline::after(Duration::from_millis(100)).ticks(), 22);
        assert_eq!(Deadline::after(Duration::from_millis(1)).ticks(), 3);
        assert_eq!(Deadline::after(Duration::ZERO).ticks(), 2);
    }

    /// Waits until the clock stands still for longer than any tick takes.
    fn standstill(clock: &Clock) -> u64 {
        let limit = Instant::now() + Duration::from_secs(30);
        loop {
            let before = clock.now();
            thread::sleep(TICK * 10);
            if clock.now() == before {
                return before;
            }
            assert!(Instant::now() < limit, "the ticker never parks");
        }
    }

    #[test]
    fn the_ticker_parks_when_nothing_is_called_and_outlasts_the_longest_deadline() {
        let ticker = Ticker::start(wasmtime::Engine::default()).unwrap();
        let clock = ticker.clock();
        let deadline = Deadline::after(Duration::from_millis(100));
        ticker.note(deadline);
        let begin = clock.now();
        ticker.touch();
        let end = standstill(&clock);
        assert!(end > begin + deadline.ticks(), "{begin} to {end}");
        assert_eq!(standstill(&clock), end);
        ticker.touch();
        assert!(standstill(&clock) > end);
    }

    #[test]
    fn a_start_keeps_the_ticker_going_as_long_as_it_takes() {
        let ticker = Ticker::start(wasmtime::Engine::default()).unwrap();
        let clock = ticker.clock();
        let start = ticker.begin_start();
        let begin = clock.now();
        let limit = Instant::now() + Duration::from_secs(30);
        while clock.now() < begin + 50 {
            assert!(Instant::now() < limit, "the ticker stopped");
            thread::sleep(TICK);
        }
        drop(start);
        standstill(&clock);
    }
}
