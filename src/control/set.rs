//! The plugins of one configuration, shared by all filter entries that have it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Process;
use super::load::LoadError;
use super::runner::Runner;
use crate::chain::Filter;
use crate::plugin::{PhaseSet, Plan};

/// A set of plugins, in the order in which requests meet them.
#[derive(Debug)]
pub struct PluginSet {
    runners: Vec<Arc<Runner>>,
    first_load: Arc<FirstLoad>,
}

/// How many plugins have not finished their first attempt, good or bad.
#[derive(Debug)]
struct FirstLoad {
    pending: Mutex<usize>,
    done: Condvar,
}

impl PluginSet {
    /// Begins to load all plugins of `plan` for `workers` workers, and returns at once.
    pub(super) fn start(process: &Arc<Process>, plan: &Plan, workers: u32) -> Self {
        let set = Self::new(process, plan, workers);
        for runner in &set.runners {
            let runner = Arc::clone(runner);
            let first_load = Arc::clone(&set.first_load);
            process.jobs.run_in(Duration::ZERO, move || {
                // Also when the load panics.
                let _finished = Finish(first_load);
                runner.load_until_ready(1);
            });
        }
        set
    }

    /// Loads each plugin of `plan` once and tells what is wrong. Blocks.
    pub(super) fn check(process: &Arc<Process>, plan: &Plan) -> Vec<(String, LoadError)> {
        let failed = |runner: Arc<Runner>| {
            let error = runner.load().err()?;
            Some((runner.spec().resource(), error))
        };
        let set = Self::new(process, plan, 1);
        set.runners.into_iter().filter_map(failed).collect()
    }

    fn new(process: &Arc<Process>, plan: &Plan, workers: u32) -> Self {
        let fetch = Arc::new(plan.fetch.clone());
        let runner = |spec: &_| Runner::new(process, Clone::clone(spec), &fetch, workers);
        let runners: Vec<_> = plan.plugins.iter().map(runner).collect();
        Self {
            first_load: Arc::new(FirstLoad {
                pending: Mutex::new(runners.len()),
                done: Condvar::new(),
            }),
            runners,
        }
    }

    /// Waits up to `limit` until each plugin is ready or has failed once. Whether they all have.
    pub fn wait(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        let mut pending = self.first_load.pending.lock();
        while *pending > 0 {
            if self
                .first_load
                .done
                .wait_until(&mut pending, deadline)
                .timed_out()
            {
                break;
            }
        }
        *pending == 0
    }

    /// The plugins of `phases`, in order.
    pub fn filters(&self, phases: PhaseSet) -> Arc<[Arc<dyn Filter>]> {
        let runners = self.runners.iter();
        runners
            .filter(|runner| phases.contains(runner.spec().phase))
            .map(|runner| Arc::clone(runner) as Arc<dyn Filter>)
            .collect()
    }
}

/// Counts a first attempt as finished when dropped.
struct Finish(Arc<FirstLoad>);

impl Drop for Finish {
    fn drop(&mut self) {
        *self.0.pending.lock() -= 1;
        self.0.done.notify_all();
    }
}
