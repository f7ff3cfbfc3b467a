//! Keeps the directory of compiled code from growing for ever.
//!
//! Engines, settings and modules change, and nobody says when the last process has used an entry.
//! So those that were not used for the longest time go once all together are too large. A process
//! that has one of them mapped keeps it.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::directory::SUFFIX;

/// Begins the names of files that are being written.
pub(super) const PREFIX: &str = ".new-";

/// Entries together: some hundred large modules. Beyond it, the oldest go.
const MAX_BYTES: u64 = 4 << 30;

/// A file that was being written so long ago was left behind by a process that died.
const STALE: Duration = Duration::from_secs(3600);

/// Tidies `directory` up, as far as it can.
pub(super) fn prune(directory: &Path) {
    prune_to(directory, MAX_BYTES, SystemTime::now());
}

fn prune_to(directory: &Path, most: u64, now: SystemTime) {
    let Ok(files) = fs::read_dir(directory) else {
        return;
    };
    let mut entries: Vec<(SystemTime, u64, PathBuf)> = Vec::new();
    for file in files.flatten() {
        let (path, metadata) = (file.path(), file.metadata());
        let Some(modified) = metadata.as_ref().ok().and_then(|m| m.modified().ok()) else {
            continue;
        };
        let is_new = file
            .file_name()
            .as_encoded_bytes()
            .starts_with(PREFIX.as_bytes());
        let age = now.duration_since(modified).unwrap_or_default();
        if is_new && age > STALE {
            let _removed = fs::remove_file(path);
        } else if path
            .extension()
            .is_some_and(|extension| extension == SUFFIX)
        {
            let len = metadata.map_or(0, |metadata| metadata.len());
            entries.push((modified, len, path));
        }
    }
    entries.sort_unstable_by(|(a, ..), (b, ..)| b.cmp(a));
    let mut total = 0_u64;
    for (_, len, path) in entries {
        total = total.saturating_add(len);
        if total > most {
            let _removed = fs::remove_file(path);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_entries_go_first_and_the_remains_of_crashes_too() {
        let directory = tempfile::tempdir().unwrap();
        let now = SystemTime::now();
        let put = |name: &str, age: u64| {
            let path = directory.path().join(name);
            fs::write(&path, [0; 10]).unwrap();
            let file = fs::File::open(&path).unwrap();
            file.set_modified(now - Duration::from_secs(age)).unwrap();
        };
        put("old.cwasm", 30);
        put("middle.cwasm", 20);
        put("new.cwasm", 10);
        put("key", 40);
        put(".new-crashed", 7200);
        put(".new-writing", 10);
        prune_to(directory.path(), 20, now);
        let files = fs::read_dir(directory.path()).unwrap();
        let mut left: Vec<_> = files.map(|f| f.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, [".new-writing", "key", "middle.cwasm", "new.cwasm"]);
    }
}
