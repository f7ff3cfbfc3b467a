//! Our own metrics: what there is, and how it gets to Envoy.
//!
//! Values are counted where things happen, in atomics that nobody else writes at that moment, and
//! passed on to Envoy on its main thread now and then: Envoy's own counters cost a hash lookup and
//! a lock for every label, which a request should not pay.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};

use parking_lot::Mutex;

/// What Envoy makes of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MetricKind {
    /// Only grows.
    Counter,
    /// Any value.
    Gauge,
    /// A distribution of values.
    Histogram,
}

/// A metric of ours. All have the label `plugin`: `<namespace>.<name>`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "see their names and the table in the README")]
pub enum Metric {
    State,
    Generation,
    Requests,
    Failures,
    CallMicroseconds,
    MemoryBytes,
    Instances,
    FetchAttempts,
    CacheHits,
    CacheMisses,
    CompileMilliseconds,
    LogsDropped,
}

impl Metric {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 12] = [
        Self::State,
        Self::Generation,
        Self::Requests,
        Self::Failures,
        Self::CallMicroseconds,
        Self::MemoryBytes,
        Self::Instances,
        Self::FetchAttempts,
        Self::CacheHits,
        Self::CacheMisses,
        Self::CompileMilliseconds,
        Self::LogsDropped,
    ];

    /// Its name behind the module's `metrics_namespace`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::State => "plugin_state",
            Self::Generation => "plugin_generation",
            Self::Requests => "plugin_requests",
            Self::Failures => "plugin_failures",
            Self::CallMicroseconds => "plugin_call_microseconds",
            Self::MemoryBytes => "plugin_memory_bytes",
            Self::Instances => "plugin_instances",
            Self::FetchAttempts => "fetch_attempts",
            Self::CacheHits => "cache_hits",
            Self::CacheMisses => "cache_misses",
            Self::CompileMilliseconds => "compile_milliseconds",
            Self::LogsDropped => "logs_dropped",
        }
    }

    /// What it is to Envoy.
    pub const fn kind(self) -> MetricKind {
        match self {
            Self::State | Self::Generation | Self::MemoryBytes | Self::Instances => {
                MetricKind::Gauge
            }
            Self::CallMicroseconds | Self::CompileMilliseconds => MetricKind::Histogram,
            Self::Requests
            | Self::Failures
            | Self::FetchAttempts
            | Self::CacheHits
            | Self::CacheMisses
            | Self::LogsDropped => MetricKind::Counter,
        }
    }

    /// Its labels.
    pub const fn labels(self) -> &'static [&'static str] {
        match self {
            Self::Failures => &["plugin", "cause"],
            Self::FetchAttempts => &["plugin", "result"],
            _ => &["plugin"],
        }
    }
}

/// Takes values on their way to Envoy.
pub trait StatSink {
    /// A counter has grown, a gauge has this value, or a histogram another one.
    fn tell(&mut self, metric: Metric, labels: &[&str], value: u64);
}

/// What is counted of a plugin, over all its versions.
#[derive(Debug)]
pub struct PluginStats {
    plugin: String,
    workers: Box<[WorkerStats]>,
    /// Cache hits.
    pub cache_hits: AtomicU64,
    /// Cache misses.
    pub cache_misses: AtomicU64,
    /// Lines that were dropped.
    pub logs_dropped: AtomicU64,
    rare: Mutex<Rare>,
    told: Mutex<Told>,
}

/// What a worker counts, apart from what others do.
#[derive(Debug)]
#[repr(align(128))]
pub struct WorkerStats {
    requests: AtomicU64,
    /// Calls so far, to time one of [`SAMPLE`].
    calls: AtomicU32,
    /// Written by the worker, read by the main thread: a ring.
    samples: [AtomicU32; RING],
    written: AtomicUsize,
}

/// One in so many calls of guests is timed: reading the clock twice costs about as much as a short
/// call.
const SAMPLE: u32 = 16;

/// Times that wait to be told; more are not told.
const RING: usize = 64;

/// What happens too rarely to need more than a lock.
#[derive(Debug, Default)]
struct Rare {
    failures: BTreeMap<&'static str, u64>,
    fetches: BTreeMap<&'static str, u64>,
    compilations: Vec<u64>,
}

/// What Envoy knows.
#[derive(Debug, Default)]
struct Told {
    values: BTreeMap<(Metric, &'static str), u64>,
    /// How far the rings have been read.
    read: Vec<usize>,
}

/// The state of a plugin now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gauges {
    /// A number of [`PluginState`].
    pub state: u64,
    /// The generation that it came with.
    pub generation: u64,
    /// Living instances, of all versions.
    pub instances: u64,
    /// Their linear memory.
    pub memory: u64,
}

/// How a plugin is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum PluginState {
    /// No filter entry wants it any more.
    #[default]
    Removed,
    /// It is being loaded for the first time.
    Loading,
    /// It runs on all workers.
    Running,
    /// It runs in an earlier version: the wanted one cannot.
    LastGood,
    /// It cannot run; its fail strategy rules.
    Unavailable,
    /// It has failed on a worker at least, where its fail strategy rules.
    Failed,
    /// It fails again and again, and rests.
    Quarantined,
}

impl PluginState {
    /// The value of `plugin_state`.
    pub const fn number(self) -> u64 {
        self as u64
    }

    /// In words.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Removed => "removed",
            Self::Loading => "loading",
            Self::Running => "running",
            Self::LastGood => "last-good",
            Self::Unavailable => "unavailable",
            Self::Failed => "failed",
            Self::Quarantined => "quarantined",
        }
    }
}

/// A clock was started for a call.
pub type Timed = Option<std::time::Instant>;

impl WorkerStats {
    fn new() -> Self {
        Self {
            requests: AtomicU64::new(0),
            calls: AtomicU32::new(0),
            samples: [const { AtomicU32::new(0) }; RING],
            written: AtomicUsize::new(0),
        }
    }

    /// A stream has come to the plugin. By one thread at a time.
    #[inline]
    pub fn count_request(&self) {
        // One writer: no locked addition is needed.
        let requests = self.requests.load(Ordering::Relaxed);
        self.requests
            .store(requests.wrapping_add(1), Ordering::Relaxed);
    }

    /// A call begins. By one thread at a time.
    #[inline]
    pub fn begin_call(&self) -> Timed {
        let calls = self.calls.load(Ordering::Relaxed);
        self.calls.store(calls.wrapping_add(1), Ordering::Relaxed);
        calls.is_multiple_of(SAMPLE).then(std::time::Instant::now)
    }

    /// The call has ended. By the thread that began it.
    #[inline]
    pub fn end_call(&self, timed: Timed) {
        if let Some(begin) = timed {
            self.record(begin.elapsed());
        }
    }

    #[cold]
    fn record(&self, took: std::time::Duration) {
        let written = self.written.load(Ordering::Relaxed);
        if let Some(sample) = self.samples.get(written % RING) {
            let micros = u32::try_from(took.as_micros()).unwrap_or(u32::MAX);
            sample.store(micros, Ordering::Relaxed);
            self.written
                .store(written.wrapping_add(1), Ordering::Release);
        }
    }

    /// The times since `read`.
    fn samples_since(&self, read: usize) -> (impl Iterator<Item = u64>, usize) {
        let written = self.written.load(Ordering::Acquire);
        let first = read.max(written.saturating_sub(RING));
        let samples = (first..written).filter_map(|at| {
            let sample = self.samples.get(at % RING)?;
            Some(u64::from(sample.load(Ordering::Relaxed)))
        });
        (samples, written)
    }
}

impl PluginStats {
    /// Of `plugin`, on `workers` workers.
    pub fn new(plugin: String, workers: u32) -> Arc<Self> {
        let workers: Box<[_]> = (0..workers).map(|_| WorkerStats::new()).collect();
        Arc::new(Self {
            plugin,
            cache_hits: AtomicU64::new(0),
            cache_misses: AtomicU64::new(0),
            logs_dropped: AtomicU64::new(0),
            rare: Mutex::default(),
            told: Mutex::new(Told {
                read: vec![0; workers.len()],
                ..Told::default()
            }),
            workers,
        })
    }

    /// `<namespace>.<name>`.
    pub fn plugin(&self) -> &str {
        &self.plugin
    }

    /// What `worker` counts.
    #[inline]
    pub fn worker(&self, worker: u32) -> Option<&WorkerStats> {
        self.workers.get(usize::try_from(worker).ok()?)
    }

    /// The plugin has failed, for this cause.
    pub fn count_failure(&self, cause: &'static str) {
        *self.rare.lock().failures.entry(cause).or_default() += 1;
    }

    /// So many attempts to fetch the plugin's module had this result.
    pub fn count_attempts(&self, result: &'static str, count: u64) {
        *self.rare.lock().fetches.entry(result).or_default() += count;
    }

    /// The plugin's module was compiled, which took this long.
    pub fn record_compilation(&self, milliseconds: u64) {
        self.rare.lock().compilations.push(milliseconds);
    }

    /// Streams so far.
    pub fn requests(&self) -> u64 {
        let workers = self.workers.iter();
        workers
            .map(|worker| worker.requests.load(Ordering::Relaxed))
            .sum()
    }

    /// Failures so far, by cause.
    pub fn failures(&self) -> BTreeMap<&'static str, u64> {
        self.rare.lock().failures.clone()
    }

    /// Tells what Envoy does not know yet. One thread at a time.
    pub fn flush(&self, gauges: Gauges, sink: &mut dyn StatSink) {
        let told = &mut *self.told.lock();
        let plugin = self.plugin.as_str();
        let rare = {
            let mut rare = self.rare.lock();
            let compilations = std::mem::take(&mut rare.compilations);
            Rare {
                failures: rare.failures.clone(),
                fetches: rare.fetches.clone(),
                compilations,
            }
        };
        for (metric, value) in [
            (Metric::State, gauges.state),
            (Metric::Generation, gauges.generation),
            (Metric::Instances, gauges.instances),
            (Metric::MemoryBytes, gauges.memory),
        ] {
            // Also at first: a gauge of 0 is to be seen.
            if told.values.insert((metric, ""), value) != Some(value) {
                sink.tell(metric, &[plugin], value);
            }
        }
        let mut count = |metric, label: &'static str, value: u64| {
            let known = told.values.insert((metric, label), value).unwrap_or(0);
            if value > known {
                let labels = [plugin, label];
                let labels = if label.is_empty() {
                    &labels[..1]
                } else {
                    &labels[..]
                };
                sink.tell(metric, labels, value - known);
            }
        };
        count(Metric::Requests, "", self.requests());
        count(
            Metric::CacheHits,
            "",
            self.cache_hits.load(Ordering::Relaxed),
        );
        count(
            Metric::CacheMisses,
            "",
            self.cache_misses.load(Ordering::Relaxed),
        );
        count(
            Metric::LogsDropped,
            "",
            self.logs_dropped.load(Ordering::Relaxed),
        );
        for (cause, value) in rare.failures {
            count(Metric::Failures, cause, value);
        }
        for (result, value) in rare.fetches {
            count(Metric::FetchAttempts, result, value);
        }
        for milliseconds in rare.compilations {
            sink.tell(Metric::CompileMilliseconds, &[plugin], milliseconds);
        }
        for (worker, read) in self.workers.iter().zip(&mut told.read) {
            let (samples, written) = worker.samples_since(*read);
            for micros in samples {
                sink.tell(Metric::CallMicroseconds, &[plugin], micros);
            }
            *read = written;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Told(Vec<String>);

    impl StatSink for Told {
        fn tell(&mut self, metric: Metric, labels: &[&str], value: u64) {
            self.0
                .push(format!("{} {} {value}", metric.name(), labels.join(",")));
        }
    }

    fn flush(stats: &PluginStats, gauges: Gauges) -> Vec<String> {
        let mut told = Told::default();
        stats.flush(gauges, &mut told);
        told.0
    }

    #[test]
    fn what_changed_is_told_once() {
        let stats = PluginStats::new("default.demo".to_owned(), 2);
        let gauges = Gauges {
            state: 2,
            ..Gauges::default()
        };
        assert_eq!(
            flush(&stats, gauges),
            [
                "plugin_state default.demo 2",
                "plugin_generation default.demo 0",
                "plugin_instances default.demo 0",
                "plugin_memory_bytes default.demo 0",
            ]
        );
        stats.worker(0).unwrap().count_request();
        stats.worker(1).unwrap().count_request();
        stats.count_failure("trap");
        stats.record_compilation(7);
        assert_eq!(
            flush(&stats, gauges),
            [
                "plugin_requests default.demo 2",
                "plugin_failures default.demo,trap 1",
                "compile_milliseconds default.demo 7",
            ]
        );
        assert_eq!(flush(&stats, gauges), [""; 0]);
    }

    #[test]
    fn one_call_in_some_is_timed_and_a_full_ring_loses_the_oldest() {
        let stats = PluginStats::new("default.demo".to_owned(), 1);
        let worker = stats.worker(0).unwrap();
        let timed = (0..SAMPLE * 2)
            .filter(|_| worker.begin_call().is_some())
            .count();
        assert_eq!(timed, 2);
        for micros in 0..RING as u64 + 3 {
            worker.record(std::time::Duration::from_micros(micros));
        }
        let told = flush(&stats, Gauges::default());
        let calls: Vec<_> = told
            .iter()
            .filter(|line| line.starts_with("plugin_call"))
            .collect();
        assert_eq!(calls.len(), RING);
        assert_eq!(calls[0], "plugin_call_microseconds default.demo 3");
    }
}
