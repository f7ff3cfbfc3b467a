//! Metrics that guests define.
//!
//! Envoy lets a module define metrics only while it reads a configuration, guests define theirs at
//! any time. So the values are ours, one set per plugin for all its instances, and they are passed
//! on to Envoy now and then: each change costs a guest an atomic addition, and none of Envoy's
//! locks.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::limits::MAX_NAME;

/// The most metrics of a plugin: names are made up by guests, and Envoy keeps them for ever.
const MAX_METRICS: usize = 10_000;

/// The most values of a plugin's histograms that wait to be passed on, which happens ten times a
/// second. More are lost, and counted: a guest could do nothing about it.
const MAX_WAITING: usize = 1 << 20;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Only grows.
    Counter,
    /// Any value.
    Gauge,
    /// A distribution of values.
    Histogram,
}

impl Kind {
    /// As guests number it; the low bits of a metric's id.
    pub(super) const fn from_number(number: u32) -> Option<Self> {
        match number {
            0 => Some(Self::Counter),
            1 => Some(Self::Gauge),
            2 => Some(Self::Histogram),
            _ => None,
        }
    }
}

/// Takes values on their way to Envoy.
pub trait MetricSink {
    /// A counter has grown.
    fn add(&mut self, plugin: &str, metric: &[u8], increment: u64);

    /// A gauge has a value.
    fn set(&mut self, plugin: &str, metric: &[u8], value: u64);

    /// A histogram has another value.
    fn record(&mut self, plugin: &str, metric: &[u8], value: u64);
}

/// The metrics of all plugins. They outlive the plugins: a counter never starts anew.
#[derive(Debug, Default)]
pub struct Metrics {
    plugins: Mutex<HashMap<String, Arc<PluginMetrics>>>,
    changed: Arc<Mutex<Vec<Arc<Metric>>>>,
}

/// Metrics of a plugin by kind and name: the same name with another kind is another one.
type ByName = HashMap<(Kind, Box<[u8]>), Arc<Metric>>;

/// The metrics of a plugin.
#[derive(Debug)]
pub struct PluginMetrics {
    plugin: Arc<str>,
    metrics: Mutex<ByName>,
    changed: Arc<Mutex<Vec<Arc<Metric>>>>,
    usage: Arc<Usage>,
}

/// What the histograms of a plugin hold.
#[derive(Debug, Default)]
struct Usage {
    /// Values that wait to be passed on.
    waiting: AtomicUsize,
    /// Values that had no place.
    lost: AtomicU64,
}

/// One metric.
#[derive(Debug)]
pub(super) struct Metric {
    plugin: Arc<str>,
    name: Box<[u8]>,
    pub(super) kind: Kind,
    value: AtomicU64,
    /// What Envoy knows of a counter.
    told: AtomicU64,
    /// Values of a histogram that Envoy does not know.
    waiting: Mutex<Vec<u64>>,
    /// It is in the list of those that changed.
    is_listed: AtomicBool,
    changed: Arc<Mutex<Vec<Arc<Metric>>>>,
    usage: Arc<Usage>,
}

impl Metrics {
    /// The metrics of `plugin`.
    pub fn of(&self, plugin: &str) -> Arc<PluginMetrics> {
        let mut plugins = self.plugins.lock();
        let metrics = plugins.entry(plugin.to_owned()).or_insert_with(|| {
            Arc::new(PluginMetrics {
                plugin: plugin.into(),
                metrics: Mutex::default(),
                changed: Arc::clone(&self.changed),
                usage: Arc::default(),
            })
        });
        Arc::clone(metrics)
    }

    /// Whether [`Self::flush`] would have something to tell.
    pub fn has_changes(&self) -> bool {
        !self.changed.lock().is_empty()
    }

    /// Passes on what changed.
    pub fn flush(&self, sink: &mut dyn MetricSink) {
        let changed = std::mem::take(&mut *self.changed.lock());
        for metric in changed {
            metric.flush(sink);
        }
    }
}

impl PluginMetrics {
    /// Values of histograms that were lost because too many came at once.
    pub fn lost(&self) -> u64 {
        self.usage.lost.load(Ordering::Relaxed)
    }

    /// The metric of this kind and name, new or not; none where there are too many, or the name is
    /// too long.
    pub(super) fn define(&self, kind: Kind, name: &[u8]) -> Option<Arc<Metric>> {
        if name.len() > MAX_NAME {
            return None;
        }
        let mut metrics = self.metrics.lock();
        let key = (kind, name.into());
        if let Some(metric) = metrics.get(&key) {
            return Some(Arc::clone(metric));
        }
        if metrics.len() >= MAX_METRICS {
            return None;
        }
        let metric = Arc::new(Metric {
            plugin: Arc::clone(&self.plugin),
            name: name.into(),
            kind,
            value: AtomicU64::new(0),
            told: AtomicU64::new(0),
            waiting: Mutex::default(),
            is_listed: AtomicBool::new(false),
            changed: Arc::clone(&self.changed),
            usage: Arc::clone(&self.usage),
        });
        metrics.insert(key, Arc::clone(&metric));
        // Shows at 0 until something happens.
        metric.list();
        Some(metric)
    }
}

impl Metric {
    pub(super) fn value(&self) -> u64 {
        self.value.load(Ordering::Relaxed)
    }

    /// Adds, or with a gauge subtracts; wraps around as Envoy's does.
    pub(super) fn add(self: &Arc<Self>, offset: i64) {
        self.value
            .fetch_add(offset.cast_unsigned(), Ordering::Relaxed);
        self.list();
    }

    pub(super) fn record(self: &Arc<Self>, value: u64) {
        match self.kind {
            Kind::Counter => {
                self.value.fetch_add(value, Ordering::Relaxed);
            }
            Kind::Gauge => self.value.store(value, Ordering::Relaxed),
            Kind::Histogram => {
                let before = self.usage.waiting.fetch_add(1, Ordering::Relaxed);
                if before < MAX_WAITING {
                    self.waiting.lock().push(value);
                } else {
                    self.usage.waiting.fetch_sub(1, Ordering::Relaxed);
                    self.usage.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        self.list();
    }

    fn list(self: &Arc<Self>) {
        if !self.is_listed.load(Ordering::Relaxed) && !self.is_listed.swap(true, Ordering::AcqRel) {
            self.changed.lock().push(Arc::clone(self));
        }
    }

    fn flush(&self, sink: &mut dyn MetricSink) {
        // First: what changes from here on is for the next time.
        self.is_listed.store(false, Ordering::Release);
        match self.kind {
            Kind::Counter => {
                let value = self.value();
                let told = self.told.swap(value, Ordering::Relaxed);
                sink.add(&self.plugin, &self.name, value.wrapping_sub(told));
            }
            Kind::Gauge => sink.set(&self.plugin, &self.name, self.value()),
            Kind::Histogram => {
                let waiting = std::mem::take(&mut *self.waiting.lock());
                self.usage
                    .waiting
                    .fetch_sub(waiting.len(), Ordering::Relaxed);
                for value in waiting {
                    sink.record(&self.plugin, &self.name, value);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Told(Vec<String>);

    impl Told {
        fn tell(&mut self, what: &str, plugin: &str, metric: &[u8], value: u64) {
            let metric = String::from_utf8_lossy(metric);
            self.0.push(format!("{what} {plugin} {metric} {value}"));
        }
    }

    impl MetricSink for Told {
        fn add(&mut self, plugin: &str, metric: &[u8], increment: u64) {
            self.tell("add", plugin, metric, increment);
        }

        fn set(&mut self, plugin: &str, metric: &[u8], value: u64) {
            self.tell("set", plugin, metric, value);
        }

        fn record(&mut self, plugin: &str, metric: &[u8], value: u64) {
            self.tell("record", plugin, metric, value);
        }
    }

    fn flush(metrics: &Metrics) -> Vec<String> {
        let mut told = Told::default();
        metrics.flush(&mut told);
        told.0
    }

    #[test]
    fn changes_are_told_once() {
        let metrics = Metrics::default();
        let plugin = metrics.of("p");
        let counter = plugin.define(Kind::Counter, b"c").unwrap();
        assert_eq!(flush(&metrics), ["add p c 0"]);
        counter.add(2);
        counter.record(3);
        assert_eq!(counter.value(), 5);
        assert_eq!(flush(&metrics), ["add p c 5"]);
        assert!(!metrics.has_changes());
        counter.add(1);
        assert_eq!(flush(&metrics), ["add p c 1"]);
    }

    #[test]
    fn gauges_and_histograms() {
        let metrics = Metrics::default();
        let plugin = metrics.of("p");
        let gauge = plugin.define(Kind::Gauge, b"x").unwrap();
        let histogram = plugin.define(Kind::Histogram, b"x").unwrap();
        gauge.record(7);
        gauge.add(-8);
        assert_eq!(gauge.value(), u64::MAX);
        histogram.record(1);
        histogram.record(2);
        let max = format!("set p x {}", u64::MAX);
        assert_eq!(
            flush(&metrics),
            [max.as_str(), "record p x 1", "record p x 2"]
        );
    }

    #[test]
    fn values_beyond_the_bound_are_counted_as_lost() {
        let metrics = Metrics::default();
        let plugin = metrics.of("p");
        let histogram = plugin.define(Kind::Histogram, b"h").unwrap();
        for _ in 0..MAX_WAITING + 3 {
            histogram.record(1);
        }
        assert_eq!(flush(&metrics).len(), MAX_WAITING);
        assert_eq!(plugin.lost(), 3);
        histogram.record(1);
        assert_eq!(flush(&metrics), ["record p h 1"]);
        assert!(plugin.define(Kind::Gauge, &[b'n'; MAX_NAME + 1]).is_none());
    }

    #[test]
    fn instances_share_a_metric_and_plugins_do_not() {
        let metrics = Metrics::default();
        let define = |plugin| metrics.of(plugin).define(Kind::Counter, b"c").unwrap();
        define("p").add(1);
        assert_eq!(define("p").value(), 1);
        assert_eq!(define("q").value(), 0);
    }
}
