//! What operators see of us: log lines, metrics, and a page.
//!
//! A leaf: every part may report, so nothing here knows any of them.

mod admin;
pub mod flood;
mod lines;
mod log;
mod metric;

pub use admin::{PluginReport, report_html, report_json};
pub use lines::Lines;
pub use log::{Level, Log};
pub use metric::{
    Gauges, Metric, MetricKind, PluginState, PluginStats, StatSink, Timed, WorkerStats,
};
