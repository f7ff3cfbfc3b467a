//! Notices changes of files.
//!
//! Each file's directory is watched, not the file: editors and Kubernetes replace files, and a watch
//! would stay with what is gone. Kubernetes mounts a ConfigMap as links into `..data`, itself a link
//! that one rename replaces: that rename is an event of the directory, too.
//!
//! Whatever the event is, all that matters is looked at again, once things are quiet. A system
//! without room for another watch, a directory that is not there yet, or a file system that tells
//! of nothing (NFS) is looked at now and then instead.

use std::collections::{BTreeMap, BTreeSet};
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

/// Watches files for all deployments: the system has few watchers to give, each with a thread, and
/// Envoy aborts where it gets none for itself.
#[derive(Default)]
pub(super) struct Watches {
    watcher: Mutex<Option<RecommendedWatcher>>,
    /// How many want each directory.
    directories: Mutex<BTreeMap<PathBuf, usize>>,
    watching: Mutex<Vec<Weak<Shared>>>,
}

/// Looks at files and directories when they change, as long as it lives.
pub(super) struct Watch {
    shared: Arc<Shared>,
}

struct Shared {
    process: Weak<Process>,
    directories: Mutex<BTreeSet<PathBuf>>,
    is_due: AtomicBool,
    look: Box<dyn Fn() + Send + Sync>,
}

impl Watches {
    /// Watches `wanted` in place of `former`.
    fn change(process: &Arc<Process>, former: &BTreeSet<PathBuf>, wanted: &BTreeSet<PathBuf>) {
        let watches = &process.watches;
        let watcher = &mut *watches.watcher.lock();
        if watcher.is_none() && !wanted.is_empty() {
            let process = Arc::downgrade(process);
            let tell = move |event: notify::Result<Event>| {
                if let (Ok(event), Some(process)) = (event, process.upgrade()) {
                    process.watches.tell(&event);
                }
            };
            *watcher = notify::recommended_watcher(tell).ok();
        }
        // What cannot be watched is looked at in every round.
        let Some(watcher) = watcher else { return };
        let mut directories = watches.directories.lock();
        for directory in wanted.difference(former) {
            *directories.entry(directory.clone()).or_default() += 1;
        }
        for directory in former.difference(wanted) {
            if let Some(count) = directories.get_mut(directory) {
                *count -= 1;
                if *count == 0 {
                    directories.remove(directory);
                    let _unknown = watcher.unwatch(directory);
                }
            }
        }
        // Also those that are watched: another directory may have the name by now.
        for directory in wanted {
            let _unwatched = watcher.watch(directory, RecursiveMode::NonRecursive);
        }
    }

    /// Something happened: whose directory it is in looks soon.
    fn tell(&self, event: &Event) {
        if matches!(event.kind, EventKind::Access(_)) {
            return;
        }
        let concerns = |directory: &Path| {
            let of = |path: &PathBuf| path == directory || path.parent() == Some(directory);
            // Without a path, something was missed.
            event.paths.is_empty() || event.paths.iter().any(of)
        };
        let mut watching = self.watching.lock();
        watching.retain(|shared| shared.strong_count() > 0);
        let living: Vec<_> = watching.iter().filter_map(Weak::upgrade).collect();
        drop(watching);
        for shared in living {
            let is_concerned = shared.directories.lock().iter().any(|d| concerns(d));
            if is_concerned {
                Shared::look_soon(&shared);
            }
        }
    }
}

impl Watch {
    /// Calls `look` on a thread of `process` when something may have changed. Nothing is watched
    /// yet.
    pub(super) fn new(process: &Arc<Process>, look: impl Fn() + Send + Sync + 'static) -> Self {
        let shared = Arc::new(Shared {
            process: Arc::downgrade(process),
            directories: Mutex::default(),
            is_due: AtomicBool::new(false),
            look: Box::new(look),
        });
        Shared::go_round(&shared);
        let mut watching = process.watches.watching.lock();
        watching.push(Arc::downgrade(&shared));
        drop(watching);
        Self { shared }
    }

    /// Watches `directories`, and nothing that was watched before.
    pub(super) fn set(&self, directories: BTreeSet<PathBuf>) {
        if let Some(process) = self.shared.process.upgrade() {
            let former =
                std::mem::replace(&mut *self.shared.directories.lock(), directories.clone());
            Watches::change(&process, &former, &directories);
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.set(BTreeSet::new());
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
            .field("directories", &self.shared.directories.lock())
            .finish_non_exhaustive()
    }
}
