//! Who uses a plugin: the registry of running plugins, and the leases that keep them.
//!
//! Whoever wants a plugin asks the registry with all that makes it what it is; who asks for the same
//! gets the same, across generations and deployments. So a change of one resource restarts no
//! other, and several filter entries share what is equal. When the last lease goes (with the last
//! stream of the last generation that had it), the plugin is retired.

use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::Process;
use super::inputs::files_of;
use super::runner::Runner;
use crate::chain::Filter;
use crate::plugin::{FetchSettings, PluginSpec};
use crate::source::Digest;

/// Keeps a plugin running.
#[derive(Debug)]
pub(super) struct Lease {
    runner: Arc<Runner>,
}

impl Lease {
    pub(super) const fn runner(&self) -> &Arc<Runner> {
        &self.runner
    }

    pub(super) fn spec(&self) -> &PluginSpec {
        self.runner.spec()
    }

    /// Whether the plugin has come up.
    pub(super) fn is_ready(&self) -> bool {
        self.runner.is_ready()
    }

    /// The plugin, as chains drive it. Lives no longer than the lease.
    pub(super) fn filter(&self) -> Arc<dyn Filter> {
        Arc::clone(&self.runner) as Arc<dyn Filter>
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Not here: this may be a worker, at the end of the last stream.
        let runner = Arc::clone(&self.runner);
        let process = Arc::clone(runner.process());
        process.jobs.run_in(Duration::ZERO, move || runner.retire());
    }
}

/// The plugins that run, by resource; several of one while an update is under way, or where filter
/// entries differ.
#[derive(Debug, Default)]
pub(super) struct Leases(Mutex<HashMap<String, Vec<Weak<Lease>>>>);

impl Leases {
    /// The plugin that `wanted` describes, and whether it is new: then it is to be loaded.
    pub(super) fn lease(
        &self,
        process: &Arc<Process>,
        wanted: Wanted,
        workers: u32,
    ) -> (Arc<Lease>, bool) {
        let mut leases = self.0.lock();
        let resource = wanted.spec.resource();
        let of = leases.get(&resource).into_iter().flatten();
        let mut living = of.filter_map(Weak::upgrade);
        if let Some(lease) = living.find(|lease| lease.runner.wanted().serves(&wanted)) {
            return (lease, false);
        }
        leases.retain(|_, of| {
            of.retain(|lease| lease.strong_count() > 0);
            !of.is_empty()
        });
        let runner = Runner::new(process, wanted, workers);
        let lease = Arc::new(Lease { runner });
        let of = leases.entry(resource).or_default();
        of.push(Arc::downgrade(&lease));
        (lease, true)
    }
}

/// All that makes a plugin what it is.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    pub(super) spec: PluginSpec,
    pub(super) fetch: FetchSettings,
    /// Tell versions of the module's file and of its key's apart.
    stamps: Vec<Option<FileStamp>>,
    /// What the module was found to be when it was last looked up again.
    revision: Option<Digest>,
}

impl Wanted {
    pub(super) fn new(spec: PluginSpec, fetch: FetchSettings, revision: Option<Digest>) -> Self {
        Self {
            stamps: files_of(&spec).map(FileStamp::of).collect(),
            spec,
            fetch,
            revision,
        }
    }
}

impl Wanted {
    /// Whether a plugin that is this is what `wanted` asks for. Where and on which streams a plugin
    /// stands is not a part of it; and a file that is gone is no better one.
    fn serves(&self, wanted: &Self) -> bool {
        let Self {
            spec,
            fetch,
            stamps,
            revision,
        } = wanted;
        let spec = PluginSpec {
            phase: self.spec.phase,
            priority: self.spec.priority,
            ports: self.spec.ports.clone(),
            enabled_by_default: self.spec.enabled_by_default,
            ..spec.clone()
        };
        let mut stamps = self.stamps.iter().zip(stamps);
        self.spec == spec
            && self.fetch == *fetch
            && self.revision == *revision
            && stamps.all(|(own, stamp)| stamp.is_none() || own == stamp)
    }
}

/// What a file's metadata tells of its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
}

impl FileStamp {
    /// Of the file at `path`, if there is one.
    pub(super) fn of(path: impl AsRef<Path>) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
        })
    }
}
