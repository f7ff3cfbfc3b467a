//! A log for one plugin, which cannot flood that of the proxy.
//!
//! A guest that logs every step of every request, or panics on each, would have the proxy do nothing
//! but write lines: Envoy writes one at a time, for all of its threads. So each plugin has an
//! allowance that fills up steadily. Beyond it lines are dropped, not held up: the guest goes on as
//! if they had been written, and what was lost is counted and told of once a while.
//!
//! The allowance is the generic cell rate algorithm: one number says when it will be full again, and
//! a line moves it into the future by what the line costs. No lock, whichever thread logs.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::{Level, Log};

/// Lines per second that a plugin may write for ever. A line per request on a busy worker is above
/// it and belongs into an access log; what people read is far below.
pub const LINES_PER_SECOND: u64 = 1000;

/// Lines that a plugin may write at once, beyond that: a start that tells everything it does, a
/// stack trace, a burst of failures.
pub const BURST: u64 = 5000;

/// Bytes that a line may have before it counts as several: what costs is the bytes as well.
pub const LINE: usize = 1024;

/// How long lines are counted that were dropped before their number is told.
pub const REPORT_AFTER: Duration = Duration::from_secs(10);

/// What one line costs, in nanoseconds of the allowance.
const COST: u64 = 1_000_000_000 / LINES_PER_SECOND;

/// Lets through what a plugin may log.
pub struct Limited {
    me: Weak<Self>,
    log: Arc<dyn Log>,
    /// Whose lines these are, for the line that tells of the others.
    name: String,
    start: Instant,
    /// When the allowance will be full again, in nanoseconds since `start`.
    full_at: AtomicU64,
    dropped: AtomicU64,
    /// How many of these were told of.
    told: AtomicU64,
    /// [`Self::report`] is going to be called.
    is_reporting: AtomicBool,
    report_later: Box<Later>,
}

/// Has [`Limited::report`] called after [`REPORT_AFTER`].
type Later = dyn Fn(Arc<Limited>) + Send + Sync;

impl Limited {
    /// A log for `name`. `report_later` is called on any thread when lines begin to be dropped, and
    /// has [`Self::report`] called after [`REPORT_AFTER`].
    pub fn new(
        log: Arc<dyn Log>,
        name: String,
        report_later: impl Fn(Arc<Self>) + Send + Sync + 'static,
    ) -> Arc<Self> {
        Arc::new_cyclic(|me| Self {
            me: Weak::clone(me),
            log,
            name,
            start: Instant::now(),
            full_at: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            told: AtomicU64::new(0),
            is_reporting: AtomicBool::new(false),
            report_later: Box::new(report_later),
        })
    }

    /// Says how many lines were dropped since the last time, and returns it.
    pub fn report(&self) -> u64 {
        // First: what is dropped from here on asks for another time.
        self.is_reporting.store(false, Ordering::Release);
        let dropped = self.dropped();
        let lost = dropped.wrapping_sub(self.told.swap(dropped, Ordering::AcqRel));
        if lost > 0 {
            let line = format!(
                "plugin {}: {lost} log lines were dropped: more than {LINES_PER_SECOND} a second",
                self.name
            );
            self.log.write(Level::Warn, line.as_bytes());
        }
        lost
    }

    /// Takes a line of `len` bytes, written after `now`, off the allowance, if there is enough.
    fn admit(&self, len: usize, now: Duration) -> bool {
        let lines = u64::try_from(len / LINE).unwrap_or(u64::MAX);
        let cost = lines.saturating_add(1).saturating_mul(COST);
        let now = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let taken = self
            .full_at
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, |full_at| {
                let next = full_at.max(now).saturating_add(cost);
                (next - now <= BURST * COST).then_some(next)
            });
        taken.is_ok()
    }

    #[cold]
    fn drop_line(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
        if !self.is_reporting.swap(true, Ordering::AcqRel)
            && let Some(me) = self.me.upgrade()
        {
            (self.report_later)(me);
        }
    }
}

impl Log for Limited {
    fn enabled(&self, level: Level) -> bool {
        self.log.enabled(level)
    }

    fn threshold(&self) -> Option<Level> {
        self.log.threshold()
    }

    fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    fn write(&self, level: Level, line: &[u8]) {
        if !self.log.enabled(level) {
            return;
        }
        if self.admit(line.len(), self.start.elapsed()) {
            self.log.write(level, line);
        } else {
            self.drop_line();
        }
    }
}

impl std::fmt::Debug for Limited {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Limited")
            .field("name", &self.name)
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::Lines;
    use super::*;

    fn limited() -> (Arc<Lines>, Arc<AtomicU64>, Arc<Limited>) {
        let (lines, asked) = (
            Arc::new(Lines::from(Level::Info)),
            Arc::new(AtomicU64::new(0)),
        );
        let (log, count) = (Arc::clone(&lines), Arc::clone(&asked));
        let later = move |_| {
            count.fetch_add(1, Ordering::Relaxed);
        };
        (lines, asked, Limited::new(log, "p".to_owned(), later))
    }

    #[test]
    fn a_burst_passes_and_then_so_many_a_second() {
        let (_, _, log) = limited();
        let admitted = |at: u64, lines: u64| {
            let at = Duration::from_millis(at);
            (0..lines).filter(|_| log.admit(10, at)).count() as u64
        };
        assert_eq!(admitted(0, 10 * BURST), BURST);
        assert_eq!(admitted(500, 10 * BURST), LINES_PER_SECOND / 2);
        assert_eq!(admitted(3_600_000, 10 * BURST), BURST, "no more than full");
    }

    #[test]
    fn long_lines_count_as_several() {
        let (_, _, log) = limited();
        let admitted = (0..BURST).filter(|_| log.admit(9 * LINE, Duration::ZERO));
        assert_eq!(admitted.count() as u64, BURST / 10);
        assert!(!log.admit(usize::MAX, Duration::from_secs(3600)));
    }

    #[test]
    fn what_was_dropped_is_told_once_and_asked_for_once() {
        let (lines, asked, log) = limited();
        let written = 10 * BURST;
        for _ in 0..written {
            log.write(Level::Info, b"line");
            log.write(Level::Debug, b"not kept anyway");
        }
        let kept = lines.take().len() as u64;
        assert!((BURST..written).contains(&kept), "{kept}");
        assert_eq!(log.dropped(), written - kept);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        assert_eq!(log.report(), written - kept);
        assert_eq!(log.report(), 0);
        let told = lines.take();
        assert_eq!(told.len(), 1);
        assert!(told[0].1.contains(&(written - kept).to_string()));
    }
}
