//! How often each host function was called, and what came of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Mutex;

use super::functions::functions;

/// How a guest's line about a call begins, as a number; the function and what becomes of the call
/// follow as bytes.
pub(super) const TELLS: u64 = u64::from_le_bytes(*b"\0called\0");

/// The call begins. Every other number is its status.
pub(super) const BEGINS: u8 = 255;

/// How often what became of which function.
static SEEN: Mutex<BTreeMap<(u8, u8), u64>> = Mutex::new(BTreeMap::new());

/// A guest has logged a line.
pub(super) fn told(line: &[u8]) {
    let [start, told] = line.last_chunk().map_or([&[][..]; 2], |words: &[u8; 8]| {
        let (start, told) = words.split_at(6);
        [start, told]
    });
    if let [function, what] = *told
        && TELLS.to_le_bytes().starts_with(start)
    {
        let mut seen = SEEN.lock().expect("no panic while counting");
        *seen.entry((function, what)).or_default() += 1;
    }
}

/// What became of a function's calls.
pub(crate) struct Coverage {
    pub(crate) module: &'static str,
    pub(crate) name: &'static str,
    pub(crate) calls: u64,
    /// How many calls had which status.
    pub(crate) statuses: BTreeMap<u8, u64>,
}

impl fmt::Display for Coverage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}: {} calls", self.module, self.name, self.calls)?;
        for (status, count) in &self.statuses {
            write!(f, ", {status}: {count}")?;
        }
        let trapped = self.calls - self.statuses.values().sum::<u64>();
        if trapped > 0 {
            write!(f, ", trapped: {trapped}")?;
        }
        Ok(())
    }
}

/// What this process has seen of each function.
pub(crate) fn coverage() -> Vec<Coverage> {
    let seen = SEEN.lock().expect("no panic while counting");
    let functions = functions().iter().zip(0..);
    let functions = functions.map(|(function, number)| {
        let mut statuses: BTreeMap<_, _> = seen
            .range((number, 0)..=(number, BEGINS))
            .map(|((_, what), count)| (*what, *count))
            .collect();
        Coverage {
            module: &function.module,
            name: &function.name,
            calls: statuses.remove(&BEGINS).unwrap_or_default(),
            statuses,
        }
    });
    functions.collect()
}
