//! What operators see of us: log lines, by now.
//!
//! A leaf: every part may report, so nothing here knows any of them.

mod log;

pub use log::{Level, Log};
