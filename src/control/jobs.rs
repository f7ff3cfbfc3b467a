//! The threads on which blocking work happens: fetching, compiling, starting, tearing down.
//!
//! Envoy's threads hand it over and go on.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

/// The queue and its threads, which end with it.
#[derive(Debug)]
pub(super) struct Jobs {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Queue {
    jobs: BinaryHeap<Job>,
    count: u64,
    stopped: bool,
}

struct Job {
    due: Instant,
    number: u64,
    work: Box<dyn FnOnce() + Send>,
}

impl Jobs {
    pub(super) fn start(name: &str, threads: usize) -> std::io::Result<Self> {
        let jobs = Self {
            shared: Arc::default(),
        };
        for _ in 0..threads {
            let shared = Arc::clone(&jobs.shared);
            thread::Builder::new()
                .name(name.to_owned())
                .spawn(move || shared.run())?;
        }
        Ok(jobs)
    }

    /// Runs `work` on one of the threads, not before `delay` has passed.
    pub(super) fn run_in(&self, delay: Duration, work: impl FnOnce() + Send + 'static) {
        let mut queue = self.shared.queue.lock();
        queue.count += 1;
        let number = queue.count;
        queue.jobs.push(Job {
            due: Instant::now() + delay,
            number,
            work: Box::new(work),
        });
        drop(queue);
        self.shared.wake.notify_one();
    }
}

impl Drop for Jobs {
    fn drop(&mut self) {
        // Not joined: the last owner may be one of the threads.
        self.shared.queue.lock().stopped = true;
        self.shared.wake.notify_all();
    }
}

impl Shared {
    fn run(&self) {
        while let Some(job) = self.next() {
            // A panic is a bug of ours; its message is out, and the other jobs go on.
            let _panicked = catch_unwind(AssertUnwindSafe(job.work));
        }
    }

    fn next(&self) -> Option<Job> {
        let mut queue = self.queue.lock();
        loop {
            if queue.stopped {
                return None;
            }
            match queue.jobs.peek().map(|job| job.due) {
                None => self.wake.wait(&mut queue),
                Some(due) if due <= Instant::now() => return queue.jobs.pop(),
                Some(due) => {
                    self.wake.wait_until(&mut queue, due);
                }
            }
        }
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job")
            .field("due", &self.due)
            .finish_non_exhaustive()
    }
}

// The first one due is the greatest.
impl Ord for Job {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}

impl PartialOrd for Job {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Job {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Job {}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn jobs_run_in_the_order_of_their_time_and_survive_a_panic() {
        let jobs = Jobs::start("test", 2).unwrap();
        let (done, results) = mpsc::channel();
        let (late, early) = (done.clone(), done);
        jobs.run_in(Duration::from_millis(60), move || late.send(2).unwrap());
        jobs.run_in(Duration::ZERO, || panic!("a test's panic"));
        jobs.run_in(Duration::from_millis(10), move || early.send(1).unwrap());
        assert_eq!(results.iter().collect::<Vec<_>>(), [1, 2]);
    }
}
