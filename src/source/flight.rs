//! Who wants the same at the same time waits for the one who is at it already.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};

use super::digest::Digest;

pub(super) struct Flights<T> {
    under_way: Mutex<HashMap<Digest, Arc<Flight<T>>>>,
}

struct Flight<T> {
    state: Mutex<State<T>>,
    landed: Condvar,
}

enum State<T> {
    UnderWay,
    Landed(T),
    /// Whoever was at it panicked.
    Lost,
}

impl<T: Clone> Flights<T> {
    /// The result of `work`, or of the same work of somebody else that is under way.
    pub(super) fn join(&self, key: Digest, work: impl FnOnce() -> T) -> T {
        loop {
            let mut under_way = self.under_way.lock();
            let Some(flight) = under_way.get(&key).map(Arc::clone) else {
                let flight = Arc::new(Flight {
                    state: Mutex::new(State::UnderWay),
                    landed: Condvar::new(),
                });
                under_way.insert(key, Arc::clone(&flight));
                drop(under_way);
                let pilot = Pilot {
                    flights: self,
                    key,
                    flight,
                };
                let result = work();
                *pilot.flight.state.lock() = State::Landed(result.clone());
                return result;
            };
            drop(under_way);
            let mut state = flight.state.lock();
            while matches!(*state, State::UnderWay) {
                flight.landed.wait(&mut state);
            }
            if let State::Landed(result) = &*state {
                return result.clone();
            }
        }
    }
}

impl<T> Default for Flights<T> {
    fn default() -> Self {
        Self {
            under_way: Mutex::default(),
        }
    }
}

/// Ends a flight, also by a panic.
struct Pilot<'f, T> {
    flights: &'f Flights<T>,
    key: Digest,
    flight: Arc<Flight<T>>,
}

impl<T> Drop for Pilot<'_, T> {
    fn drop(&mut self) {
        self.flights.under_way.lock().remove(&self.key);
        let mut state = self.flight.state.lock();
        if matches!(*state, State::UnderWay) {
            *state = State::Lost;
        }
        drop(state);
        self.flight.landed.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::thread;

    use super::*;

    #[test]
    fn work_at_the_same_time_is_done_once() {
        let flights = Flights::default();
        let key = Digest::of(b"");
        let (count, waiting) = (AtomicU32::new(0), AtomicU32::new(0));
        let work = || {
            // Until the others are on their way to wait.
            while waiting.load(Ordering::SeqCst) < 8 {
                thread::yield_now();
            }
            count.fetch_add(1, Ordering::SeqCst) + 1
        };
        let results: Vec<_> = thread::scope(|scope| {
            let join = || {
                waiting.fetch_add(1, Ordering::SeqCst);
                flights.join(key, work)
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(join)).collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        // A thread may have come when the first was through.
        assert!(results.iter().filter(|result| **result == 1).count() >= 1);
        assert!(count.load(Ordering::SeqCst) <= 8);
        assert!(flights.under_way.lock().is_empty());
    }

    #[test]
    fn a_panic_is_no_flight() {
        let flights = Flights::default();
        let key = Digest::of(b"");
        let lost = catch_unwind(AssertUnwindSafe(|| {
            flights.join(key, || panic!("a test's panic"))
        }));
        assert!(lost.is_err());
        assert_eq!(flights.join(key, || 1), 1);
    }
}
