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

/// Every entry above.
pub(crate) const OPTIONAL: &[Optional] = &[HTTP_GET_TIMING_INFO, GET_LOG_LEVEL];
