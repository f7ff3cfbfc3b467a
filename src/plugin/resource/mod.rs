//! A `WasmPlugin` or `TrafficExtension` as written, and the rules it must keep.
//!
//! The two differ in shape only: what `WasmPlugin` has in one object, `TrafficExtension` parts into
//! the place in the chain and, below `wasm`, the module. The rules are those of Istio's custom
//! resource definitions, so that what passes here passes in a cluster, with one exception: a port
//! in a URL without scheme.

mod environment;
mod metadata;
mod module;
mod place;

pub(super) use environment::VALUE_SOURCES;
pub(super) use module::{FAIL_STRATEGIES, PLUGIN_TYPES, PULL_POLICIES, hidden_key, plugin_config};

use super::annotation::Extensions;
use super::decode::Field;
use super::defaults;
use super::document::{Mark, Node};
use super::fields::{ANY_KIND, TRAFFIC_EXTENSION_KIND, WASM_PLUGIN_KIND};
use super::order::Rank;
use super::problem::{Position, Problem};
use super::report::Report;
use super::settings::WorkloadType;
use super::shape::Choices;
use super::spec::{Limits, ModuleUrl, PluginSpec, PullPolicy, VerificationKey};
use super::target::Target;
use super::traffic::{Reach, Traffic};
use metadata::Metadata;
use module::{Described, Module};
use place::Place;
use std::collections::{BTreeMap, BTreeSet, HashMap};

/// Which of the two a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    WasmPlugin,
    TrafficExtension,
}

const WASM_PLUGIN: (&str, Kind) = ("WasmPlugin", Kind::WasmPlugin);
const TRAFFIC_EXTENSION: (&str, Kind) = ("TrafficExtension", Kind::TrafficExtension);

pub(super) static KINDS: Choices<Kind> = Choices(&[WASM_PLUGIN, TRAFFIC_EXTENSION]);
pub(super) static WASM_PLUGINS: Choices<Kind> = Choices(&[WASM_PLUGIN]);
pub(super) static TRAFFIC_EXTENSIONS: Choices<Kind> = Choices(&[TRAFFIC_EXTENSION]);
pub(super) static VERSIONS: Choices<()> = Choices(&[("extensions.istio.io/v1alpha1", ())]);

/// A resource that keeps all rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    kind: Kind,
    position: Position,
    metadata: Metadata,
    place: Place,
    module: Module,
    /// The field of `verificationKey`, which has two names.
    key: Option<(String, Position)>,
}

impl Resource {
    /// `<namespace>/<name>`.
    pub fn resource(&self) -> String {
        format!("{}/{}", self.namespace(), self.name())
    }

    /// Where it is written. Without a file, that is the text that Envoy handed over.
    pub fn position(&self) -> &Position {
        &self.position
    }

    /// `verificationKey`: what is known to be PEM, and has yet to be decoded.
    pub fn verification_key(&self) -> Option<&str> {
        self.module.verification_key.as_deref()
    }

    /// A problem of that key.
    pub fn key_problem(&self, message: impl Into<String>) -> Problem {
        let (field, position) = self.key.clone().unzip();
        Problem {
            resource: self.title(),
            field: field.unwrap_or_default(),
            value: String::new(),
            message: message.into(),
            position,
        }
    }

    /// The same for every workload and all of its requests, with the module at `url` if there is
    /// one: as it is tested.
    #[must_use]
    pub fn under_test(mut self, url: Option<ModuleUrl>) -> Self {
        self.place.selector.clear();
        self.place.targets.clear();
        self.place.traffic = Traffic::default();
        if let Some(url) = url {
            self.module.url = url;
            self.module.sha256 = None;
        }
        self
    }

    /// As messages name it.
    pub(super) fn title(&self) -> String {
        let kind = match self.kind {
            Kind::WasmPlugin => WASM_PLUGIN.0,
            Kind::TrafficExtension => TRAFFIC_EXTENSION.0,
        };
        format!("{kind} {:?}", self.resource())
    }

    /// `metadata.namespace`, or what holds where it is not written.
    pub fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// `selector`: labels that a workload must have.
    pub fn selector(&self) -> &BTreeMap<String, String> {
        &self.place.selector
    }

    /// `targetRefs`: what it is attached to; if that is anything, the selector is empty.
    pub fn targets(&self) -> &[Target] {
        &self.place.targets
    }

    pub(super) fn traffic(&self) -> &Traffic {
        &self.place.traffic
    }

    pub(super) fn rank(&self) -> Rank<'_> {
        Rank {
            phase: self.place.phase,
            priority: self.place.priority,
            namespace: self.namespace(),
            created: self.metadata.created,
            name: self.name(),
        }
    }

    /// Whether both have the same name.
    pub(super) fn has_name_of(&self, other: &Self) -> bool {
        (self.namespace(), self.name()) == (other.namespace(), other.name())
    }

    /// The plugin, with `limits` where the resource sets none.
    pub(super) fn spec(&self, limits: Limits, workload: WorkloadType) -> PluginSpec {
        let ports = match self.traffic().reach(workload) {
            Reach::Nothing => Some(BTreeSet::new()),
            Reach::Ports(ports) => Some(ports),
            Reach::Everything => None,
        };
        let metadata = self.metadata.clone();
        let extensions = metadata.extensions;
        let module = self.module.clone();
        let raw = extensions.raw_plugin_config.map(String::into_bytes);
        let key_file = extensions.verification_key_file;
        let key_file = key_file.map(VerificationKey::File);
        let repulls = module.pull_policy == PullPolicy::Always;
        PluginSpec {
            namespace: metadata.namespace,
            name: metadata.name,
            phase: self.place.phase,
            priority: self.place.priority,
            url: module.url,
            sha256: module.sha256,
            pull_policy: module.pull_policy,
            resource_version: metadata.version.filter(|_| repulls),
            refresh_interval: extensions.refresh_interval,
            pull_secret: module.pull_secret,
            verification_key: module
                .verification_key
                .map(VerificationKey::Pem)
                .or(key_file),
            config: raw.unwrap_or(module.config),
            root_id: module.root_id,
            vm_id: extensions.vm_id.unwrap_or_default(),
            vm_config: extensions.vm_config.unwrap_or_default(),
            hold_headers: extensions.hold_headers.unwrap_or(false),
            env: module.env,
            fail: module.fail,
            fail_status: extensions.fail_status.unwrap_or(defaults::FAIL_STATUS),
            limits: Limits {
                call_deadline: extensions.call_deadline.unwrap_or(limits.call_deadline),
                start_deadline: extensions.start_deadline.unwrap_or(limits.start_deadline),
                memory: extensions.memory.unwrap_or(limits.memory),
                ..limits
            },
            ports,
            log_level: extensions.log_level,
            capabilities: extensions.capabilities,
            enabled_by_default: extensions.enabled_by_default.unwrap_or(true),
        }
    }
}

/// Resources by name, to find the second of a name.
#[derive(Debug, Default)]
pub(super) struct Names(HashMap<(String, String), (Mark, Option<String>)>);

/// Reads one resource. `place` names it in messages as long as it has no name; `namespace` is
/// its own when it names none; `file` is the file that it stands in, if that is to be told.
pub(super) fn decode(
    node: &Node,
    place: &str,
    namespace: &str,
    file: Option<&str>,
    seen: &mut Names,
    report: &mut Report,
) -> Option<Resource> {
    let name = node.get("metadata").and_then(|metadata| {
        let name = metadata.get("name")?.text()?;
        let namespace = metadata
            .get("namespace")
            .and_then(Node::text)
            .unwrap_or(namespace);
        Some((namespace.to_owned(), name.to_owned()))
    });
    let kind = match node.get("kind").and_then(Node::text) {
        Some("TrafficExtension") => "TrafficExtension",
        _ => "WasmPlugin",
    };
    let owner = match &name {
        Some((namespace, name)) => {
            let named: String = format!("{namespace}/{name}").chars().take(320).collect();
            format!("{kind} {named:?}")
        }
        None => place.to_owned(),
    };
    report.within(owner, |report| {
        let before = report.len();
        let resource = whole(node, namespace, report);
        if let Some(name) = name {
            let mark = node.mark;
            let first = seen.0.get(&name);
            if let Some((first, in_file)) = first {
                let in_file = in_file
                    .as_ref()
                    .map(|file| format!("{file}:"))
                    .unwrap_or_default();
                let (line, column) = (first.line, first.column);
                report.place(
                    "metadata.name",
                    node.get("metadata")
                        .and_then(|m| m.get("name"))
                        .map_or(mark, |n| n.mark),
                    format!(
                        "a second resource of this name; the first is at {in_file}{line}:{column}"
                    ),
                );
            } else {
                seen.0.insert(name, (mark, file.map(str::to_owned)));
            }
        }
        resource.filter(|_| report.len() == before)
    })
}

/// Reads all fields. What is returned is good only if no problem was reported.
fn whole(node: &Node, namespace: &str, report: &mut Report) -> Option<Resource> {
    // Without knowing the kind, all else would be guessing.
    let kind = match node.get("kind") {
        Some(node) => Field::new("kind", node, &ANY_KIND).choice(&KINDS, report)?,
        None => Kind::WasmPlugin,
    };
    let shape = match kind {
        Kind::WasmPlugin => &WASM_PLUGIN_KIND,
        Kind::TrafficExtension => &TRAFFIC_EXTENSION_KIND,
    };
    let mut fields = Field::new("", node, shape).object(report)?;
    fields.take("kind", report);
    if let Some(field) = fields.take("apiVersion", report) {
        field.choice(&VERSIONS, report);
    }
    let metadata = fields.take("metadata", report);
    let metadata = metadata.and_then(|field| metadata::decode(&field, namespace, report));
    let spec = fields.take("spec", report);
    let spec = spec.and_then(|field| match kind {
        Kind::WasmPlugin => wasm_plugin(&field, report),
        Kind::TrafficExtension => traffic_extension(&field, report),
    });
    fields.finish(report);

    let (metadata, spec) = (metadata?, spec?);
    exclusions(&metadata.extensions, &spec, report);
    let key = spec.module.key;
    Some(Resource {
        kind,
        position: report.position(node.mark),
        metadata,
        place: spec.place,
        module: spec.module.module,
        key: key.map(|(path, mark)| (path, report.position(mark))),
    })
}

/// Annotations and fields that say the same.
fn exclusions(extensions: &Extensions, spec: &Spec, report: &mut Report) {
    let module = &spec.module;
    for (field, annotation, is_set) in [
        (
            &module.config,
            "raw-plugin-config",
            extensions.raw_plugin_config.is_some(),
        ),
        (
            &module.key,
            "verification-key-file",
            extensions.verification_key_file.is_some(),
        ),
    ] {
        if let (Some((path, mark)), true) = (field, is_set) {
            let message = format!("excludes the annotation wasmplugin.io/{annotation}; keep one");
            report.place(path, *mark, message);
        }
    }
}

struct Spec {
    place: Place,
    module: Described,
}

fn wasm_plugin(field: &Field<'_>, report: &mut Report) -> Option<Spec> {
    let mut fields = field.object(report)?;
    let module = module::decode(&mut fields, report);
    let mut place = place::decode(&mut fields, report);
    if let Some(field) = fields.take("targetRef", report) {
        place.targets.extend(super::target::decode(&field, report));
    }
    fields.finish(report);
    Some(Spec {
        place,
        module: module?,
    })
}

fn traffic_extension(field: &Field<'_>, report: &mut Report) -> Option<Spec> {
    let mut fields = field.object(report)?;
    let place = place::decode(&mut fields, report);
    let module = fields.take("wasm", report).and_then(|field| {
        let mut fields = field.object(report)?;
        let module = module::decode(&mut fields, report);
        fields.finish(report);
        module
    });
    if let Some(field) = fields.take("lua", report) {
        let message = "Lua is not supported; wasmplugin runs WebAssembly only";
        report.place(&field.path, field.node.mark, message);
    }
    fields.finish(report);
    Some(Spec {
        place,
        module: module?,
    })
}
