//! Metrics in Envoy's statistics.
//!
//! Envoy lets a module define metrics only while it reads a configuration. Ours are
//! [`Metric::ALL`]. What guests define later is told in three metrics with labels: `guest_counter`, `guest_gauge` and `guest_histogram` under
//! the module's `metrics_namespace`, with the labels `plugin` (`<namespace>.<name>`) and `metric`
//! (the guest's name for it). `/stats` appends labels to the name:
//! `wasmplugin.guest_counter.plugin.default.demo.metric.requests`; Prometheus has them as labels:
//! `envoy_wasmplugin_guest_counter{plugin="default.demo",metric="requests"}`.

use wasmplugin_host::proxy_wasm::MetricSink;
use wasmplugin_host::telemetry::{Metric, MetricKind, StatSink};

use crate::abi::*;
use crate::lookup::{Callbacks, ConfigMetricCallback, ConfigMetrics};

/// A callback that tells a metric's value through a stream.
type StreamMetricCallback =
    unsafe extern "C" fn(FilterEnvoyPtr, usize, *mut ModuleBuffer, usize, u64) -> u32;

/// Metrics as a configuration knows them: by Envoy's ids.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct MetricIds {
    guest_counter: usize,
    guest_gauge: usize,
    guest_histogram: usize,
    /// In the order of [`Metric::ALL`].
    ours: [usize; Metric::ALL.len()],
}

/// Who tells Envoy.
#[derive(Clone, Copy, Debug)]
enum Teller {
    Config(ConfigEnvoyPtr),
    Stream(FilterEnvoyPtr),
}

/// Takes values for Envoy.
#[derive(Debug)]
pub(crate) struct EnvoyMetrics {
    ids: MetricIds,
    teller: Teller,
}

impl MetricIds {
    /// Defines them.
    ///
    /// # Safety
    ///
    /// In `http_filter_config_new` of `config`.
    pub(crate) unsafe fn define(config: ConfigEnvoyPtr) -> Self {
        let mut ids = Self::default();
        let labels = &["plugin", "metric"];
        let define = |kind, name, labels| {
            // SAFETY: the caller's word.
            unsafe { define(config, kind, name, labels) }
        };
        ids.guest_counter = define(MetricKind::Counter, "guest_counter", labels);
        ids.guest_gauge = define(MetricKind::Gauge, "guest_gauge", labels);
        ids.guest_histogram = define(MetricKind::Histogram, "guest_histogram", labels);
        for (metric, id) in Metric::ALL.into_iter().zip(&mut ids.ours) {
            *id = define(metric.kind(), metric.name(), metric.labels());
        }
        ids
    }

    /// Tells through the configuration; none where this Envoy cannot.
    ///
    /// # Safety
    ///
    /// In a hook of `config`, whose metrics these are.
    pub(crate) unsafe fn of_config(self, config: ConfigEnvoyPtr) -> Option<EnvoyMetrics> {
        Callbacks::get()
            .config_metrics
            .is_some()
            .then_some(EnvoyMetrics {
                ids: self,
                teller: Teller::Config(config),
            })
    }

    /// Tells through a stream, where this Envoy cannot without.
    ///
    /// # Safety
    ///
    /// In a hook of `stream`, whose configuration's metrics these are.
    pub(crate) unsafe fn of_stream(self, stream: FilterEnvoyPtr) -> Option<EnvoyMetrics> {
        Callbacks::get()
            .config_metrics
            .is_none()
            .then_some(EnvoyMetrics {
                ids: self,
                teller: Teller::Stream(stream),
            })
    }
}

/// Defines a metric. One that cannot be defined has id 0, which Envoy never gives out and refuses.
///
/// # Safety
///
/// In `http_filter_config_new` of `config`.
unsafe fn define(config: ConfigEnvoyPtr, kind: MetricKind, name: &str, labels: &[&str]) -> usize {
    let name = ModuleBuffer::new(name.as_bytes());
    let mut labels: Vec<_> = labels
        .iter()
        .map(|label| ModuleBuffer::new(label.as_bytes()))
        .collect();
    let (labels, count) = (labels.as_mut_ptr(), labels.len());
    let mut id = 0;
    // SAFETY: the caller's word; Envoy copies names and labels.
    unsafe {
        match kind {
            MetricKind::Counter => envoy_dynamic_module_callback_http_filter_config_define_counter(
                config,
                name,
                labels,
                count,
                &raw mut id,
            ),
            MetricKind::Gauge => envoy_dynamic_module_callback_http_filter_config_define_gauge(
                config,
                name,
                labels,
                count,
                &raw mut id,
            ),
            MetricKind::Histogram => {
                envoy_dynamic_module_callback_http_filter_config_define_histogram(
                    config,
                    name,
                    labels,
                    count,
                    &raw mut id,
                )
            }
        }
    };
    id
}

impl EnvoyMetrics {
    /// Tells a value, by the callback that a configuration or a stream has for it.
    fn pass_on(
        &self,
        by_config: impl FnOnce(&ConfigMetrics) -> ConfigMetricCallback,
        by_stream: StreamMetricCallback,
        id: usize,
        labels: &mut [ModuleBuffer],
        value: u64,
    ) {
        let (labels, count) = (labels.as_mut_ptr(), labels.len());
        // SAFETY: see `of_config` and `of_stream`; the labels outlive the call.
        unsafe {
            match (self.teller, &Callbacks::get().config_metrics) {
                (Teller::Config(config), Some(callbacks)) => {
                    by_config(callbacks)(config, id, labels, count, value);
                }
                (Teller::Stream(stream), _) => {
                    by_stream(stream, id, labels, count, value);
                }
                (Teller::Config(_), None) => {}
            }
        }
    }
}

impl MetricSink for EnvoyMetrics {
    fn add(&mut self, plugin: &str, metric: &[u8], increment: u64) {
        self.pass_on(
            |callbacks| callbacks.increment_counter,
            envoy_dynamic_module_callback_http_filter_increment_counter,
            self.ids.guest_counter,
            &mut [plugin.as_bytes(), metric].map(ModuleBuffer::new),
            increment,
        );
    }

    fn set(&mut self, plugin: &str, metric: &[u8], value: u64) {
        self.pass_on(
            |callbacks| callbacks.set_gauge,
            envoy_dynamic_module_callback_http_filter_set_gauge,
            self.ids.guest_gauge,
            &mut [plugin.as_bytes(), metric].map(ModuleBuffer::new),
            value,
        );
    }

    fn record(&mut self, plugin: &str, metric: &[u8], value: u64) {
        self.pass_on(
            |callbacks| callbacks.record_histogram_value,
            envoy_dynamic_module_callback_http_filter_record_histogram_value,
            self.ids.guest_histogram,
            &mut [plugin.as_bytes(), metric].map(ModuleBuffer::new),
            value,
        );
    }
}

impl StatSink for EnvoyMetrics {
    fn tell(&mut self, metric: Metric, labels: &[&str], value: u64) {
        let mut texts = [ModuleBuffer::new(b""); 2];
        let mut count = 0;
        for (text, label) in texts.iter_mut().zip(labels) {
            *text = ModuleBuffer::new(label.as_bytes());
            count += 1;
        }
        let (Some(id), Some(labels)) = (
            self.ids.ours.get(metric as usize).copied(),
            texts.get_mut(..count),
        ) else {
            return;
        };
        match metric.kind() {
            MetricKind::Counter => self.pass_on(
                |callbacks| callbacks.increment_counter,
                envoy_dynamic_module_callback_http_filter_increment_counter,
                id,
                labels,
                value,
            ),
            MetricKind::Gauge => self.pass_on(
                |callbacks| callbacks.set_gauge,
                envoy_dynamic_module_callback_http_filter_set_gauge,
                id,
                labels,
                value,
            ),
            MetricKind::Histogram => self.pass_on(
                |callbacks| callbacks.record_histogram_value,
                envoy_dynamic_module_callback_http_filter_record_histogram_value,
                id,
                labels,
                value,
            ),
        }
    }
}
