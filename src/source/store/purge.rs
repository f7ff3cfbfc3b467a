//! What is old or too much goes, but never what is in use.
//!
//! Istio's agent deletes modules a day after they were last looked up, also under a running Envoy.
//! Here every process that uses a module holds a shared lock on its file: what can be locked alone
//! is in nobody's use.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::disk::{Disk, UNFINISHED, read_entry};

/// How much is kept.
pub(super) struct Bounds {
    /// Of all modules.
    pub(super) bytes: u64,
    /// Since its last use.
    pub(super) age: Duration,
    /// For how long a file may be being written.
    pub(super) unfinished: Duration,
}

impl Default for Bounds {
    /// A gibibyte is several hundred ordinary modules. In a month, who comes back has come back.
    fn default() -> Self {
        Self {
            bytes: 1 << 30,
            age: Duration::from_secs(30 * 24 * 3600),
            unfinished: Duration::from_secs(3600),
        }
    }
}

struct Found {
    path: PathBuf,
    used: SystemTime,
    size: u64,
}

/// Deletes modules beyond `bounds`, the longest unused first, then entries that lead nowhere, and
/// what was never finished.
pub(super) fn purge(disk: &Disk, now: SystemTime, bounds: &Bounds) {
    let age = |found: &Found| now.duration_since(found.used).unwrap_or_default();
    let (modules, entries, answers) = (disk.modules(), disk.index(), disk.answers());
    for directory in [&modules, &entries, &answers] {
        for found in files(directory) {
            if is_unfinished(&found.path) && age(&found) > bounds.unfinished {
                delete(&found.path);
            }
        }
    }
    for found in files(&answers) {
        if age(&found) > bounds.age {
            delete(&found.path);
        }
    }
    let mut kept: Vec<_> = files(&modules);
    kept.retain(|found| found.path.extension().is_some_and(|end| end == "wasm"));
    kept.sort_by_key(|found| found.used);
    let mut total: u64 = kept.iter().map(|found| found.size).sum();
    for found in &kept {
        if (total > bounds.bytes || age(found) > bounds.age) && delete_unused(&found.path) {
            total = total.saturating_sub(found.size);
        }
    }
    for found in files(&entries) {
        let is_entry = found.path.extension().is_some_and(|end| end == "json");
        let leads = read_entry(&found.path)
            .is_some_and(|entry| modules.join(format!("{}.wasm", entry.module)).exists());
        // One that is being replaced just now is young.
        if is_entry && !leads && age(&found) > bounds.unfinished {
            delete(&found.path);
        }
    }
}

fn is_unfinished(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.starts_with(UNFINISHED))
}

fn files(directory: &Path) -> Vec<Found> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    let found = entries.filter_map(|entry| {
        let metadata = entry.metadata().ok()?;
        Some(Found {
            path: entry.path(),
            used: metadata.modified().ok()?,
            size: metadata.len(),
        })
    });
    found.collect()
}

/// Deletes a module that nobody holds. Whether it did.
fn delete_unused(path: &Path) -> bool {
    // Held until the file is gone: who opens it meanwhile has it, and who comes later has none.
    match File::open(path).map(|file| file.try_lock().map(|()| file)) {
        Ok(Ok(_alone)) => delete(path),
        _ => false,
    }
}

fn delete(path: &Path) -> bool {
    fs::remove_file(path).is_ok()
}
