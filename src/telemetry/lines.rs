//! A log that is kept in memory, for those who look at it afterwards.

use parking_lot::Mutex;

use super::{Level, Log};

/// Lines that were written. They grow until somebody takes them.
#[derive(Debug)]
pub struct Lines {
    least: Level,
    lines: Mutex<Vec<(Level, String)>>,
}

impl Lines {
    /// Keeps lines of this level and those that matter more.
    pub fn from(least: Level) -> Self {
        Self {
            least,
            lines: Mutex::default(),
        }
    }

    /// Those since the last time.
    pub fn take(&self) -> Vec<(Level, String)> {
        std::mem::take(&mut *self.lines.lock())
    }
}

/// Keeps all lines.
impl Default for Lines {
    fn default() -> Self {
        Self::from(Level::Trace)
    }
}

impl Log for Lines {
    fn enabled(&self, level: Level) -> bool {
        level >= self.least
    }

    fn threshold(&self) -> Option<Level> {
        Some(self.least)
    }

    fn write(&self, level: Level, line: &[u8]) {
        if self.enabled(level) {
            let line = String::from_utf8_lossy(line).into_owned();
            self.lines.lock().push((level, line));
        }
    }
}
