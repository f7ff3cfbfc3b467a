//! When a failed plugin may start again.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use super::backoff::backoff;

/// Failures within [`WINDOW`] that tell a plugin which fails at every other request from one that had
/// a bad moment. Backoff alone lets a single worker come to about as many in that time.
const FAILURES: usize = 10;

/// The time that failures count.
const WINDOW: Duration = Duration::from_secs(5 * 60);

/// How long a plugin rests that fails again and again: each start costs a CPU, and each failure a
/// request.
const QUARANTINE: Duration = Duration::from_secs(5 * 60);

/// Failures of a plugin, on all workers.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    recent: VecDeque<Instant>,
    resting_until: Option<Instant>,
}

/// When to start again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Restart {
    /// After a backoff.
    In(Duration),
    /// Not for long: it fails again and again.
    Quarantined(Duration),
}

impl Restart {
    /// How long to wait, for an instance that has lived so long. As in Envoy, a backoff counts from
    /// the last start: who has run well is back at once.
    pub(super) const fn wait(self, lived: Duration) -> Duration {
        match self {
            Self::In(wait) => wait.saturating_sub(lived),
            Self::Quarantined(wait) => wait,
        }
    }
}

impl Breaker {
    /// Notes a failure, the one that makes `in_a_row` on its worker.
    pub(super) fn note(&mut self, now: Instant, in_a_row: u32) -> Restart {
        if let Some(until) = self.resting_until {
            if now < until {
                return Restart::Quarantined(until - now);
            }
            self.resting_until = None;
        }
        self.recent.push_back(now);
        while let Some(first) = self.recent.front()
            && now.saturating_duration_since(*first) > WINDOW
        {
            self.recent.pop_front();
        }
        if self.recent.len() < FAILURES {
            return Restart::In(backoff(in_a_row));
        }
        self.recent.clear();
        self.resting_until = Some(now + QUARANTINE);
        Restart::Quarantined(QUARANTINE)
    }

    /// Whether the plugin rests.
    pub(super) fn is_quarantined(&self, now: Instant) -> bool {
        self.resting_until.is_some_and(|until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn rare_failures_are_never_quarantined() {
        let mut breaker = Breaker::default();
        let start = Instant::now();
        for i in 0..100 {
            let restart = breaker.note(start + WINDOW / 5 * i, 1);
            assert!(matches!(restart, Restart::In(_)), "{i}: {restart:?}");
        }
    }

    #[test]
    fn the_tenth_failure_in_a_window_is_one_too_many() {
        let mut breaker = Breaker::default();
        let start = Instant::now();
        for i in 0..9 {
            assert!(matches!(
                breaker.note(start + SECOND * i, i),
                Restart::In(_)
            ));
        }
        let last = start + SECOND * 9;
        assert_eq!(breaker.note(last, 1), Restart::Quarantined(QUARANTINE));
        assert!(breaker.is_quarantined(last + SECOND));
        let other_worker = breaker.note(last + SECOND, 1);
        assert_eq!(other_worker, Restart::Quarantined(QUARANTINE - SECOND));
    }

    #[test]
    fn after_the_quarantine_the_count_begins_anew() {
        let mut breaker = Breaker::default();
        let start = Instant::now();
        for _ in 0..FAILURES {
            breaker.note(start, 1);
        }
        let later = start + QUARANTINE;
        assert!(!breaker.is_quarantined(later));
        assert!(matches!(breaker.note(later, 1), Restart::In(_)));
    }
}
