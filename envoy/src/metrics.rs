//! Metrics in Envoy's statistics.
//!
//! Envoy lets a module define metrics only while it reads a configuration. What guests define later
//! is told in three metrics with labels: `guest_counter`, `guest_gauge` and `guest_histogram` under
//! the module's `metrics_namespace`, with the labels `plugin` (`<namespace>.<name>`) and `metric`
//! (the guest's name for it). `/stats` appends labels to the name:
//! `wasmplugin.guest_counter.plugin.default.demo.metric.requests`; Prometheus has them as labels:
//! `envoy_wasmplugin_guest_counter{plugin="default.demo",metric="requests"}`.

use wasmplugin_host::proxy_wasm::MetricSink;

use crate::abi::*;
use crate::lookup::{Callbacks, ConfigMetricCallback, ConfigMetrics};

/// A callback that tells a metric's value through a stream.
type StreamMetricCallback =
    unsafe extern "C" fn(FilterEnvoyPtr, usize, *mut ModuleBuffer, usize, u64) -> u32;

/// The metrics of guests, as a configuration knows them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct GuestMetrics {
    counter: usize,
    gauge: usize,
    histogram: usize,
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
    metrics: GuestMetrics,
    teller: Teller,
}

impl GuestMetrics {
    /// Defines them.
    ///
    /// # Safety
    ///
    /// In `http_filter_config_new` of `config`.
    pub(crate) unsafe fn define(config: ConfigEnvoyPtr) -> Self {
        let mut metrics = Self::default();
        let mut labels = [ModuleBuffer::new(b"plugin"), ModuleBuffer::new(b"metric")];
        // One that cannot be defined keeps id 0, which Envoy never gives out and refuses.
        // SAFETY: the caller's word; Envoy copies names and labels.
        unsafe {
            envoy_dynamic_module_callback_http_filter_config_define_counter(
                config,
                ModuleBuffer::new(b"guest_counter"),
                labels.as_mut_ptr(),
                labels.len(),
                &raw mut metrics.counter,
            );
            envoy_dynamic_module_callback_http_filter_config_define_gauge(
                config,
                ModuleBuffer::new(b"guest_gauge"),
                labels.as_mut_ptr(),
                labels.len(),
                &raw mut metrics.gauge,
            );
            envoy_dynamic_module_callback_http_filter_config_define_histogram(
                config,
                ModuleBuffer::new(b"guest_histogram"),
                labels.as_mut_ptr(),
                labels.len(),
                &raw mut metrics.histogram,
            );
        }
        metrics
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
                metrics: self,
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
                metrics: self,
                teller: Teller::Stream(stream),
            })
    }
}

impl EnvoyMetrics {
    /// Tells a value, by the callback that a configuration or a stream has for it.
    fn tell(
        &self,
        by_config: impl FnOnce(&ConfigMetrics) -> ConfigMetricCallback,
        by_stream: StreamMetricCallback,
        id: usize,
        labels: (&str, &[u8]),
        value: u64,
    ) {
        let mut labels = [labels.0.as_bytes(), labels.1].map(ModuleBuffer::new);
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
        self.tell(
            |callbacks| callbacks.increment_counter,
            envoy_dynamic_module_callback_http_filter_increment_counter,
            self.metrics.counter,
            (plugin, metric),
            increment,
        );
    }

    fn set(&mut self, plugin: &str, metric: &[u8], value: u64) {
        self.tell(
            |callbacks| callbacks.set_gauge,
            envoy_dynamic_module_callback_http_filter_set_gauge,
            self.metrics.gauge,
            (plugin, metric),
            value,
        );
    }

    fn record(&mut self, plugin: &str, metric: &[u8], value: u64) {
        self.tell(
            |callbacks| callbacks.record_histogram_value,
            envoy_dynamic_module_callback_http_filter_record_histogram_value,
            self.metrics.histogram,
            (plugin, metric),
            value,
        );
    }
}
