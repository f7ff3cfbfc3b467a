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
use crate::plugin::{FetchSettings, PluginSpec, PullPolicy};
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
        let mut of = leases.get(&resource).into_iter().flatten();
        let module = of.find_map(|lease| lease.upgrade()?.runner.module_for(&wanted));
        leases.retain(|_, of| {
            of.retain(|lease| lease.strong_count() > 0);
            !of.is_empty()
        });
        let runner = Runner::new(process, wanted, workers, module);
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

    /// Whether a plugin that is this is what `wanted` asks for. Where and on which streams a plugin
    /// stands is not a part of it; and a file that is gone is no better one.
    fn serves(&self, wanted: &Self) -> bool {
        let spec = PluginSpec {
            phase: self.spec.phase,
            priority: self.spec.priority,
            ports: self.spec.ports.clone(),
            enabled_by_default: self.spec.enabled_by_default,
            ..wanted.spec.clone()
        };
        self.spec == spec && self.has_source_of(wanted)
    }

    /// Whether the module of a plugin that is this is, beyond doubt, the one that `wanted` would
    /// load: then nobody need fetch, verify or compile it again. Where the pull policy is `Always`
    /// and nothing tells whether the resource changed, there is a doubt.
    pub(super) fn has_module_of(&self, wanted: &Self) -> bool {
        let (own, spec) = (&self.spec, &wanted.spec);
        let is_certain = spec.pull_policy != PullPolicy::Always
            || spec.sha256.is_some()
            || spec.resource_version.is_some();
        is_certain
            && own.url == spec.url
            && own.sha256 == spec.sha256
            && own.pull_policy == spec.pull_policy
            && own.resource_version == spec.resource_version
            && own.pull_secret == spec.pull_secret
            && own.verification_key == spec.verification_key
            && own.capabilities == spec.capabilities
            && self.has_source_of(wanted)
    }

    /// Whether what both name is the same now.
    fn has_source_of(&self, wanted: &Self) -> bool {
        let mut stamps = self.stamps.iter().zip(&wanted.stamps);
        self.fetch == wanted.fetch
            && self.revision == wanted.revision
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plugin::plan;

    fn wanted(spec: &str) -> Wanted {
        let settings = format!(
            "plugins: [{{apiVersion: extensions.istio.io/v1alpha1, kind: WasmPlugin, \
             metadata: {{name: a}}, spec: {{url: 'oci://registry.example/a:1', {spec}}}}}]"
        );
        let plan = plan(settings.as_bytes(), &|_| {
            Err(std::io::ErrorKind::NotFound.into())
        });
        let plan = plan.unwrap();
        Wanted::new(plan.plugins[0].clone(), plan.fetch.clone(), None)
    }

    #[test]
    fn a_module_is_shared_where_nobody_need_be_asked() {
        let shares = |one: &str, other: &str| wanted(one).has_module_of(&wanted(other));
        let (one, two) = ("pluginConfig: {x: 1}", "pluginConfig: {x: 2}");
        assert!(shares(one, two) && !wanted(one).serves(&wanted(two)));
        assert!(!shares(one, "imagePullSecret: other"));
        let always = |spec: &str| format!("imagePullPolicy: Always, {spec}");
        assert!(!shares(&always(one), &always(two)));
        let pinned = |spec: &str| always(&format!("sha256: {}, {spec}", "a".repeat(64)));
        assert!(shares(&pinned(one), &pinned(two)));
    }
}
