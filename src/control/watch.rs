//! Notices changes of files.
//!
//! Each file's directory is watched, not the file: editors and Kubernetes replace files, and a watch
//! would stay with what is gone. Kubernetes mounts a ConfigMap as links into `..data`, itself a link
//! that one rename replaces: that rename is an event of the directory, too.
//!
//! Whatever the event is, all that matters is looked at again, once things are quiet. A system
//! without room for another watch, a directory that is not there yet, or a file system that tells
//! of nothing (NFS) is looked at now and then instead.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use parking_lot::Mutex;

use super::Process;

/// How long changes gather: an update of several files is to be seen as one.
const QUIET: Duration = Duration::from_millis(200);

/// How often is looked that nothing was missed.
const ROUND: Duration = Duration::from_secs(10);

/// Looks at files and directories when they change, as long as it lives.
pub(super) struct Watch {
    shared: Arc<Shared>,
    watching: Mutex<Watching>,
}

#[derive(Default)]
struct Watching {
    watcher: Option<RecommendedWatcher>,
    directories: BTreeSet<PathBuf>,
}

struct Shared {
    process: Weak<Process>,
    is_due: AtomicBool,
    look: Box<dyn Fn() + Send + Sync>,
}

impl Watch {
    /// Calls `look` on a thread of `process` when something may have changed. Nothing is watched
    /// yet.
    pub(super) fn new(process: &Arc<Process>, look: impl Fn() + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            process: Arc::downgrade(process),
            is_due: AtomicBool::new(false),
            look: Box::new(look),
        });
        Shared::go_round(&shared);
        Self {
            shared,
            watching: Mutex::default(),
        }
    }

    /// Watches `directories`, and nothing that was watched before.
    pub(super) fn set(&self, directories: BTreeSet<PathBuf>) {
        let watching = &mut *self.watching.lock();
        if watching.watcher.is_none() && !directories.is_empty() {
            let shared = Arc::downgrade(&self.shared);
            let tell = move |event: notify::Result<Event>| {
                let is_read = event.is_ok_and(|event| matches!(event.kind, EventKind::Access(_)));
                if let Some(shared) = shared.upgrade().filter(|_| !is_read) {
                    Shared::look_soon(&shared);
                }
            };
            watching.watcher = notify::recommended_watcher(tell).ok();
        }
        // What cannot be watched is looked at in every round.
        let Some(watcher) = &mut watching.watcher else {
            return;
        };
        for gone in watching.directories.difference(&directories) {
            let _unknown = watcher.unwatch(gone);
        }
        // Also those that are watched: another directory may have the name by now.
        for directory in &directories {
            let _unwatched = watcher.watch(directory, RecursiveMode::NonRecursive);
        }
        watching.directories = directories;
    }
}

/// The directory to watch for the file at `path`.
pub(super) fn directory_of(path: &str) -> PathBuf {
    match Path::new(path).parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    }
}

impl Shared {
    fn look_soon(this: &Arc<Self>) {
        if this.is_due.swap(true, Ordering::AcqRel) {
            return;
        }
        let weak = Arc::downgrade(this);
        if let Some(process) = this.process.upgrade() {
            process.jobs.run_in(QUIET, move || {
                if let Some(this) = weak.upgrade() {
                    // First: what changes from here on asks for another look.
                    this.is_due.store(false, Ordering::Release);
                    (this.look)();
                }
            });
        }
    }

    fn go_round(this: &Arc<Self>) {
        let weak = Arc::downgrade(this);
        if let Some(process) = this.process.upgrade() {
            process.jobs.run_in(ROUND, move || {
                if let Some(this) = weak.upgrade() {
                    (this.look)();
                    Self::go_round(&this);
                }
            });
        }
    }
}

impl std::fmt::Debug for Watch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Watch")
            .field("directories", &self.watching.lock().directories)
            .finish_non_exhaustive()
    }
}
