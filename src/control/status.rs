//! How plugins are doing, for metrics and for people.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Process;
use crate::telemetry::{Gauges, PluginReport, PluginState, PluginStats, StatSink};

impl Process {
    /// What is counted of `plugin`.
    pub(super) fn stats_of(&self, plugin: &str, workers: u32) -> Arc<PluginStats> {
        let mut stats = self.stats.lock();
        let of = stats
            .entry(plugin.to_owned())
            .or_insert_with(|| PluginStats::new(plugin.to_owned(), workers));
        Arc::clone(of)
    }

    /// How all plugins are doing.
    pub fn report(&self) -> Vec<PluginReport> {
        let deployments = self.living_deployments();
        let reports = (1..).zip(&deployments);
        reports
            .flat_map(|(number, deployment)| deployment.report(number))
            .collect()
    }

    /// Waits up to `limit`, from now on, until each plugin has come up or failed once.
    pub fn wait(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        self.wait_for_progress(deadline, || {
            let deployments = self.living_deployments();
            deployments.iter().all(|deployment| deployment.is_tried())
        })
    }

    /// How long a first load may hold Envoy's start: the longest that a filter entry allows.
    pub fn startup_wait(&self) -> Duration {
        let deployments = self.living_deployments();
        let waits = deployments
            .iter()
            .map(|deployment| deployment.startup_wait());
        waits.max().unwrap_or_default()
    }

    /// Tells what Envoy does not know of our own metrics.
    pub(super) fn flush_stats(&self, sink: &mut impl StatSink) {
        let stats: Vec<_> = self.stats.lock().values().map(Arc::clone).collect();
        let gauges = self.gauges();
        for of in stats {
            let gauges = gauges.get(of.plugin()).copied().unwrap_or_default();
            of.flush(gauges, sink);
        }
    }

    /// The state of each plugin, by its name. Where deployments differ, the worst one.
    fn gauges(&self) -> BTreeMap<String, Gauges> {
        let mut all: BTreeMap<String, Gauges> = BTreeMap::new();
        for runner in self.all_runners() {
            let gauges = all.entry(runner.spec().plugin_name()).or_default();
            let (instances, memory) = runner.usage();
            gauges.instances += instances;
            gauges.memory += memory;
        }
        for deployment in self.living_deployments() {
            let generation = deployment.current().number();
            for (plugin, state) in deployment.states() {
                let gauges = all.entry(plugin).or_default();
                gauges.state = gauges.state.max(state.number());
                gauges.generation = gauges.generation.max(generation);
            }
        }
        all
    }
}

/// How a plugin is doing of which `own` is the wanted version, and which an earlier one may stand
/// in for.
pub(super) const fn state(own: PluginState, has_stand_in: bool) -> PluginState {
    match own {
        PluginState::Unavailable if has_stand_in => PluginState::LastGood,
        PluginState::Loading if has_stand_in => PluginState::Running,
        own => own,
    }
}
