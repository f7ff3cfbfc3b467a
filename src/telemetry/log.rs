//! Log lines on their way to the proxy's log.
//!
//! A trait instead of a global, so that tests see exactly the lines of what they run.

/// Severity, numbered as in Proxy-Wasm and in Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Level {
    /// Every step.
    Trace,
    /// What an author needs who looks for a fault.
    Debug,
    /// What happens once in a while and is as it should be.
    Info,
    /// Something to look at that works all the same.
    Warn,
    /// Something that does not work.
    Error,
    /// Something that keeps the proxy from working.
    Critical,
}

impl Level {
    /// Level number `level`, if there is one.
    pub const fn from_number(level: u32) -> Option<Self> {
        Some(match level {
            0 => Self::Trace,
            1 => Self::Debug,
            2 => Self::Info,
            3 => Self::Warn,
            4 => Self::Error,
            5 => Self::Critical,
            _ => return None,
        })
    }
}

/// Where lines go. Called from any thread; must not block for long.
pub trait Log: Send + Sync {
    /// Whether a line of `level` would be kept: ask before building a costly one.
    fn enabled(&self, level: Level) -> bool;

    /// The lowest level that is kept, or none when the log is off.
    fn threshold(&self) -> Option<Level>;

    /// Lines that were dropped so far, because they were too many.
    fn dropped(&self) -> u64 {
        0
    }

    /// Writes one line. Not necessarily UTF-8: guests say what they like.
    fn write(&self, level: Level, line: &[u8]);
}
