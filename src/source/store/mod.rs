//! Modules that were fetched before, by content; and an index that tells which URL had which.
//!
//! On disk below `cacheDir`, for all Envoys of the machine and across restarts, or in memory where
//! there is no such directory, or none that can be written. Nothing here is trusted on its word:
//! a module is read with its digest checked, and an entry of the index that cannot be read is none.

mod disk;
mod entry;
mod memory;
mod purge;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

pub use disk::Lease;
use disk::{Disk, Lock};
pub(super) use entry::Entry;
use memory::Memory;

use super::digest::Digest;
use crate::telemetry::{Level, Log};

/// How often the store is tidied.
const PURGE_EVERY: Duration = Duration::from_secs(3600);

pub(crate) struct Store {
    disk: Option<Disk>,
    memory: Mutex<Memory>,
    log: Arc<dyn Log>,
    /// The one warning about the disk was given.
    warned: AtomicBool,
    purged: Mutex<Option<Instant>>,
}

/// A module as it is in the store.
pub(super) struct Stored {
    pub(super) bytes: Arc<Vec<u8>>,
    pub(super) lease: Option<Lease>,
}

impl Store {
    /// The store in `cache_dir`, or in memory. Cannot fail: what is wrong with the directory is
    /// logged, once.
    pub(super) fn open(cache_dir: Option<&str>, log: Arc<dyn Log>) -> Self {
        let store = |disk| Self {
            disk,
            memory: Mutex::default(),
            log: Arc::clone(&log),
            warned: AtomicBool::new(false),
            purged: Mutex::new(None),
        };
        let Some(directory) = cache_dir else {
            return store(None);
        };
        match Disk::open(Path::new(directory)) {
            Ok(disk) => store(Some(disk)),
            Err(error) => {
                let store = store(None);
                store.warn(&format!("cacheDir {directory:?}: {error}"));
                store
            }
        }
    }

    /// What is known of `key`.
    pub(super) fn find(&self, key: Digest) -> Option<Entry> {
        let on_disk = self.disk.as_ref().and_then(|disk| disk.find(key));
        on_disk.or_else(|| self.memory.lock().find(key))
    }

    /// The module `digest`, if it is there and no larger than `max` bytes.
    pub(super) fn load(&self, digest: Digest, max: u64) -> Option<Stored> {
        if let Some(disk) = &self.disk {
            match disk.load(digest, max) {
                Ok(Some((bytes, lease))) => {
                    return Some(Stored {
                        bytes: Arc::new(bytes),
                        lease: Some(lease),
                    });
                }
                Ok(None) => {}
                Err(reason) => {
                    let line = format!("cacheDir: module {digest}: {reason}; it is fetched again");
                    self.log.write(Level::Warn, line.as_bytes());
                }
            }
        }
        let bytes = self.memory.lock().load(digest)?;
        Some(Stored { bytes, lease: None })
    }

    /// Keeps a module, and that all of `keys` mean it.
    pub(super) fn keep(
        &self,
        keys: &[Digest],
        entry: &Entry,
        bytes: &Arc<Vec<u8>>,
    ) -> Option<Lease> {
        if let Some(disk) = &self.disk {
            match disk.keep(keys, entry, bytes) {
                Ok(lease) => return lease,
                Err(error) => self.warn(&format!("cacheDir: {error}")),
            }
        }
        self.memory.lock().keep(keys, entry, bytes);
        None
    }

    /// Keeps that `key` means what is in the store already.
    pub(super) fn note(&self, key: Digest, entry: &Entry) {
        if let Some(disk) = &self.disk {
            match disk.note(key, entry) {
                Ok(()) => return,
                Err(error) => self.warn(&format!("cacheDir: {error}")),
            }
        }
        self.memory.lock().note(key, entry);
    }

    /// Keeps what a registry said, on disk only: who runs already does not ask again.
    pub(super) fn remember(&self, key: Digest, answer: &[u8]) {
        let Some(disk) = &self.disk else { return };
        if let Err(error) = disk.remember(key, answer) {
            self.warn(&format!("cacheDir: {error}"));
        }
    }

    /// What was kept.
    pub(super) fn recall(&self, key: Digest) -> Option<Vec<u8>> {
        self.disk.as_ref()?.recall(key)
    }

    /// Waits until no other process fetches what `key` means, up to `limit`. None where there is
    /// nothing to lock, or it takes too long: then both fetch, which is wasteful and not wrong.
    pub(super) fn lock(&self, key: Digest, limit: Duration) -> Option<Lock> {
        self.disk.as_ref()?.lock(key, limit)
    }

    /// Deletes what is old or too much, from time to time.
    pub(super) fn tidy(&self) {
        let Some(disk) = &self.disk else { return };
        {
            let mut purged = self.purged.lock();
            if purged.is_some_and(|at| at.elapsed() < PURGE_EVERY) {
                return;
            }
            *purged = Some(Instant::now());
        }
        disk.purge();
    }

    fn warn(&self, what: &str) {
        if !self.warned.swap(true, Ordering::Relaxed) {
            let line =
                format!("{what}; modules are kept in memory and fetched again after a restart");
            self.log.write(Level::Warn, line.as_bytes());
        }
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("disk", &self.disk)
            .finish_non_exhaustive()
    }
}
