//! Callbacks newer than the oldest Envoy that we load in: a table, and nothing else.
//!
//! An import that the running Envoy does not export makes it refuse the whole module, so these
//! are looked up by name at run time ([`super::lookup`]). The table stands alone because
//! `tests/abi.rs` includes it and checks `since` against the real binaries.
#![allow(
    dead_code,
    reason = "each of the two places that include this file reads a part of it"
)]

/// One callback that may be absent.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Optional {
    /// Its symbol.
    pub(crate) name: &'static str,
    /// The first Envoy (major, minor) that exports it.
    pub(crate) since: (u32, u32),
    /// What we do without it.
    pub(crate) fallback: &'static str,
}

/// Times of a stream's milestones.
pub(crate) const HTTP_GET_TIMING_INFO: Optional = Optional {
    name: "envoy_dynamic_module_callback_http_get_timing_info",
    since: (1, 40),
    fallback: "the time at which this filter first saw the stream stands in for request.time; \
               other times are absent",
};

/// The effective log level of Envoy's logger for modules.
pub(crate) const GET_LOG_LEVEL: Optional = Optional {
    name: "envoy_dynamic_module_callback_get_log_level",
    since: (1, 39),
    fallback: "log_enabled is asked for one level after another",
};

/// Filter state with a life span.
pub(crate) const HTTP_SET_FILTER_STATE_VALUE: Optional = Optional {
    name: "envoy_dynamic_module_callback_http_set_filter_state_value",
    since: (1, 40),
    fallback: "properties live as long as the filter chain, whatever span they are declared with",
};

/// Typed metadata.
pub(crate) const HTTP_GET_TYPED_METADATA: Optional = Optional {
    name: "envoy_dynamic_module_callback_http_get_typed_metadata",
    since: (1, 40),
    fallback: "typed_filter_metadata is absent",
};

/// What the three below have in common.
const CONFIG_METRICS: &str = "metrics of guests are told at the end of a stream";

/// Counters without a stream.
pub(crate) const CONFIG_INCREMENT_COUNTER: Optional = Optional {
    name: "envoy_dynamic_module_callback_http_filter_config_increment_counter",
    since: (1, 39),
    fallback: CONFIG_METRICS,
};

/// Gauges without a stream.
pub(crate) const CONFIG_SET_GAUGE: Optional = Optional {
    name: "envoy_dynamic_module_callback_http_filter_config_set_gauge",
    since: (1, 39),
    fallback: CONFIG_METRICS,
};

/// Histograms without a stream.
pub(crate) const CONFIG_RECORD_HISTOGRAM_VALUE: Optional = Optional {
    name: "envoy_dynamic_module_callback_http_filter_config_record_histogram_value",
    since: (1, 39),
    fallback: CONFIG_METRICS,
};

/// Every entry above.
pub(crate) const OPTIONAL: &[Optional] = &[
    CONFIG_INCREMENT_COUNTER,
    CONFIG_SET_GAUGE,
    CONFIG_RECORD_HISTOGRAM_VALUE,
    HTTP_GET_TIMING_INFO,
    GET_LOG_LEVEL,
    HTTP_SET_FILTER_STATE_VALUE,
    HTTP_GET_TYPED_METADATA,
];
