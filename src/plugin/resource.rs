//! A `WasmPlugin` or `TrafficExtension` as written, and the rules it must keep.
//!
//! The two differ in shape only: what `WasmPlugin` has in one object, `TrafficExtension` parts into
//! the place in the chain and, below `wasm`, the module. The rules are those of Istio's custom resource definition, so that what passes here passes in
//! a cluster, with one exception: a port in a URL without scheme.

use super::annotation::{self, Extensions};
use super::decode::{Field, Fields};
use super::document::{Mark, Node, Value};
use super::order::Rank;
use super::report::Report;
use super::settings::{PHASES, WorkloadType};
use super::spec::{
    EnvValue, FailStrategy, Limits, ModuleUrl, Phase, PluginSpec, PullPolicy, VerificationKey,
};
use super::target::{self, Target};
use super::timestamp::{self, Timestamp};
use super::traffic::{self, Reach, Traffic};
use super::{defaults, json, names, policy, url};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

/// Which of the two a resource is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    WasmPlugin,
    TrafficExtension,
}

const KINDS: &[(&str, Kind)] = &[
    ("WasmPlugin", Kind::WasmPlugin),
    ("TrafficExtension", Kind::TrafficExtension),
];

const API_VERSION: &str = "extensions.istio.io/v1alpha1";

/// Fields that Kubernetes' servers write; they say nothing about the plugin.
const BOOKKEEPING: &[&str] = &[
    "deletionGracePeriodSeconds",
    "deletionTimestamp",
    "finalizers",
    "generateName",
    "generation",
    "managedFields",
    "ownerReferences",
    "selfLink",
    "uid",
];

/// Bounds of Istio's definition, in characters and entries.
mod bound {
    use std::ops::RangeInclusive;

    pub(super) const PLUGIN_NAME: RangeInclusive<usize> = 1..=256;
    pub(super) const PULL_SECRET: RangeInclusive<usize> = 1..=253;
    pub(super) const ENV_NAME: RangeInclusive<usize> = 1..=256;
    pub(super) const ENV_VALUE: RangeInclusive<usize> = 0..=2048;
    pub(super) const ENV: usize = 256;
    pub(super) const LABELS: usize = 4096;
    pub(super) const LABEL_VALUE: usize = 63;
    pub(super) const DIGEST: usize = 64;
}

/// In `pluginConfig`.
const HIDDEN_KEY: &str = "verificationKey";

const FAIL_STRATEGIES: &[(&str, FailStrategy)] = &[
    ("FAIL_CLOSE", FailStrategy::Close),
    ("FAIL_OPEN", FailStrategy::Open),
    ("FAIL_RELOAD", FailStrategy::Reload),
];

const PULL_POLICIES: &[(&str, Option<PullPolicy>)] = &[
    ("UNSPECIFIED_POLICY", None),
    ("IfNotPresent", Some(PullPolicy::IfNotPresent)),
    ("Always", Some(PullPolicy::Always)),
];

#[derive(Clone, Copy)]
enum PluginType {
    Http,
    Network,
}

const PLUGIN_TYPES: &[(&str, PluginType)] = &[
    ("UNSPECIFIED_PLUGIN_TYPE", PluginType::Http),
    ("HTTP", PluginType::Http),
    ("NETWORK", PluginType::Network),
];

#[derive(Clone, Copy)]
enum ValueFrom {
    Inline,
    Host,
}

const VALUE_SOURCES: &[(&str, ValueFrom)] =
    &[("INLINE", ValueFrom::Inline), ("HOST", ValueFrom::Host)];

/// A resource that keeps all rules.
#[derive(Clone, Debug, PartialEq)]
pub struct Resource {
    pub(super) namespace: String,
    pub(super) name: String,
    created: Option<Timestamp>,
    version: Option<String>,
    extensions: Extensions,
    pub(super) selector: BTreeMap<String, String>,
    pub(super) targets: Vec<Target>,
    phase: Phase,
    priority: Option<i32>,
    pub(super) traffic: Traffic,
    module: Module,
}

/// What is to run.
#[derive(Clone, Debug, PartialEq)]
struct Module {
    url: ModuleUrl,
    sha256: Option<String>,
    pull_policy: PullPolicy,
    pull_secret: Option<String>,
    verification_key: Option<String>,
    config: Vec<u8>,
    root_id: String,
    env: Vec<(String, EnvValue)>,
    fail: FailStrategy,
}

impl Resource {
    /// `<namespace>/<name>`.
    pub fn resource(&self) -> String {
        format!("{}/{}", self.namespace, self.name)
    }

    pub(super) fn rank(&self) -> Rank<'_> {
        Rank {
            phase: self.phase,
            priority: self.priority,
            namespace: &self.namespace,
            created: self.created,
            name: &self.name,
        }
    }

    /// Whether both have the same name.
    pub(super) fn has_name_of(&self, other: &Self) -> bool {
        (&self.namespace, &self.name) == (&other.namespace, &other.name)
    }

    /// The plugin, with `limits` where the resource sets none.
    pub(super) fn spec(&self, limits: Limits, workload: WorkloadType) -> PluginSpec {
        let ports = match self.traffic.reach(workload) {
            Reach::Nothing => Some(BTreeSet::new()),
            Reach::Ports(ports) => Some(ports),
            Reach::Everything => None,
        };
        let extensions = self.extensions.clone();
        let module = self.module.clone();
        let raw = extensions.raw_plugin_config.map(String::into_bytes);
        let key_file = extensions.verification_key_file.map(VerificationKey::File);
        let repulls = module.pull_policy == PullPolicy::Always;
        PluginSpec {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            phase: self.phase,
            priority: self.priority,
            url: module.url,
            sha256: module.sha256,
            pull_policy: module.pull_policy,
            resource_version: self.version.clone().filter(|_| repulls),
            refresh_interval: extensions.refresh_interval,
            pull_secret: module.pull_secret,
            verification_key: module
                .verification_key
                .map(VerificationKey::Pem)
                .or(key_file),
            config: raw.unwrap_or(module.config),
            root_id: module.root_id,
            vm_id: extensions.vm_id,
            vm_config: extensions.vm_config,
            hold_headers: extensions.hold_headers,
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
    let mut fields = Field::root(node).object(report)?;
    let kind = match fields.require("kind", report) {
        // Without knowing the kind, all else would be guessing.
        Some(field) => field.choice(KINDS, report)?,
        None => Kind::WasmPlugin,
    };
    if let Some(field) = fields.require("apiVersion", report) {
        field.choice(&[(API_VERSION, ())], report);
    }
    let metadata = fields.require("metadata", report);
    let metadata = metadata.and_then(|field| self::metadata(&field, namespace, report));
    let spec = fields.require("spec", report);
    let spec = spec.and_then(|field| match kind {
        Kind::WasmPlugin => wasm_plugin(&field, report),
        Kind::TrafficExtension => traffic_extension(&field, report),
    });
    fields.ignore(&["status"]);
    fields.finish(report);

    let (metadata, spec) = (metadata?, spec?);
    exclusions(&metadata.extensions, &spec, report);
    Some(Resource {
        namespace: metadata.namespace,
        name: metadata.name,
        created: metadata.created,
        version: metadata.version,
        extensions: metadata.extensions,
        selector: spec.place.selector,
        targets: spec.place.targets,
        phase: spec.place.phase,
        priority: spec.place.priority,
        traffic: spec.place.traffic,
        module: spec.module.module,
    })
}

/// Annotations and fields that say the same.
fn exclusions(extensions: &Extensions, spec: &Spec, report: &mut Report) {
    if let (Some((path, mark)), Some(_)) = (&spec.module.config, &extensions.raw_plugin_config) {
        let message = "excludes the annotation wasmplugin.io/raw-plugin-config; keep one";
        report.place(path, *mark, message);
    }
    if let (Some((path, mark)), Some(_)) = (&spec.module.key, &extensions.verification_key_file) {
        let message = "excludes the annotation wasmplugin.io/verification-key-file; keep one";
        report.place(path, *mark, message);
    }
}

struct Metadata {
    namespace: String,
    name: String,
    created: Option<Timestamp>,
    version: Option<String>,
    extensions: Extensions,
}

fn metadata(field: &Field<'_>, namespace: &str, report: &mut Report) -> Option<Metadata> {
    let mut fields = field.object(report)?;
    let name = fields.require("name", report);
    let name = name.and_then(|field| names::object(&field, report));
    let namespace = match fields.take("namespace") {
        Some(field) => names::namespace(&field, report),
        None => Some(namespace.to_owned()),
    };
    let created = fields.take("creationTimestamp").and_then(|field| {
        let created = timestamp::parse(field.text(report)?);
        if created.is_none() {
            field.refuse(report, "must be a time such as 2024-01-31T12:00:00Z");
        }
        created
    });
    let version = fields.take("resourceVersion");
    let version = version.and_then(|field| field.text(report));
    if let Some(field) = fields.take("labels") {
        field.labels(report);
    }
    let extensions = match fields.take("annotations") {
        Some(field) => annotation::decode(&field, report),
        None => Extensions::default(),
    };
    fields.ignore(BOOKKEEPING);
    fields.finish(report);
    Some(Metadata {
        namespace: namespace?,
        name: name?,
        created,
        version: version.map(str::to_owned),
        extensions,
    })
}

struct Spec {
    place: Place,
    module: Described,
}

/// Where in the chain, and on which workloads.
struct Place {
    selector: BTreeMap<String, String>,
    targets: Vec<Target>,
    phase: Phase,
    priority: Option<i32>,
    traffic: Traffic,
}

/// A module, and where the fields stand that annotations may exclude.
struct Described {
    module: Module,
    config: Option<(String, Mark)>,
    key: Option<(String, Mark)>,
}

fn wasm_plugin(field: &Field<'_>, report: &mut Report) -> Option<Spec> {
    let mut fields = field.object(report)?;
    let module = module(&mut fields, report);
    let place = place(&mut fields, &["targetRef", "targetRefs"], report);
    fields.finish(report);
    Some(Spec {
        place,
        module: module?,
    })
}

fn traffic_extension(field: &Field<'_>, report: &mut Report) -> Option<Spec> {
    let mut fields = field.object(report)?;
    let place = place(&mut fields, &["targetRefs"], report);
    let (wasm, lua) = (fields.take("wasm"), fields.take("lua"));
    let module = match (wasm, lua) {
        (Some(_), Some(lua)) => {
            lua.refuse(report, "excludes wasm; exactly one of the two must be set");
            None
        }
        (None, Some(lua)) => {
            let message = "Lua is not supported; wasmplugin runs WebAssembly only";
            report.place(&lua.path, lua.node.mark, message);
            None
        }
        (None, None) => {
            fields.require("wasm", report);
            None
        }
        (Some(wasm), None) => wasm.object(report).and_then(|mut fields| {
            let module = module(&mut fields, report);
            fields.finish(report);
            module
        }),
    };
    fields.finish(report);
    Some(Spec {
        place,
        module: module?,
    })
}

/// Reads what both kinds have in `spec`; of `references`, a kind may have some.
fn place(fields: &mut Fields<'_>, references: &[&'static str], report: &mut Report) -> Place {
    let phase = fields
        .take("phase")
        .and_then(|field| field.choice(PHASES, report));
    let priority = fields.take("priority").and_then(|field| {
        let priority = field.int(i32::MIN.into()..=i32::MAX.into(), report)?;
        i32::try_from(priority).ok()
    });
    let traffic = fields
        .take("match")
        .and_then(|field| traffic::decode(&field, report));
    let mut first = fields.take("selector");
    let selector = first
        .as_ref()
        .and_then(|field| selector(field, report))
        .unwrap_or_default();
    let mut targets = Vec::new();
    for name in references {
        let Some(field) = fields.take(name) else {
            continue;
        };
        if let Some(first) = &first {
            let message = format!("excludes {}; keep one", first.path);
            report.place(&field.path, field.node.mark, message);
        }
        match *name {
            "targetRef" => targets.extend(target::decode(&field, report)),
            _ => targets.extend(target::decode_list(&field, report).unwrap_or_default()),
        }
        first.get_or_insert(field);
    }
    Place {
        selector,
        targets,
        phase: phase.unwrap_or(Phase::Unspecified),
        priority,
        traffic: traffic.unwrap_or_default(),
    }
}

/// Reads the module and how it runs.
fn module(fields: &mut Fields<'_>, report: &mut Report) -> Option<Described> {
    let url = fields.require("url", report).and_then(|field| {
        let url = url::parse(field.text(report)?);
        url.map_err(|message| field.refuse(report, message)).ok()
    });
    let sha256 = fields
        .take("sha256")
        .and_then(|field| digest(&field, report));
    let pull_policy = fields
        .take("imagePullPolicy")
        .and_then(|field| field.choice(PULL_POLICIES, report));
    let pull_secret = fields
        .take("imagePullSecret")
        .and_then(|field| field.bounded_text(bound::PULL_SECRET, report));
    let config = fields.take("pluginConfig");
    let config_mark = config.as_ref().map(|f| (f.path.clone(), f.node.mark));
    let hidden_key = config.as_ref().and_then(hidden_key);
    let config = config.map(|field| plugin_config(&field, report));
    let key_field = fields.take("verificationKey");
    if let (Some(field), Some(hidden)) = (&key_field, &hidden_key) {
        field.refuse(report, format!("excludes {}; keep one", hidden.path));
    }
    let key_field = key_field.or(hidden_key);
    let key = key_field.as_ref().and_then(|field| key(field, report));
    let root_id = fields
        .take("pluginName")
        .and_then(|field| field.bounded_text(bound::PLUGIN_NAME, report));
    let fail = fields
        .take("failStrategy")
        .and_then(|field| field.choice(FAIL_STRATEGIES, report));
    let env = fields
        .take("vmConfig")
        .and_then(|field| vm_config(&field, report));
    if let Some(field) = fields.take("type")
        && let Some(PluginType::Network) = field.choice(PLUGIN_TYPES, report)
    {
        field.refuse(report, "not supported; wasmplugin runs HTTP plugins only");
    }
    let url = url?;
    let module = Module {
        sha256,
        pull_policy: policy::resolve(pull_policy.flatten(), &url),
        url,
        pull_secret: pull_secret.map(str::to_owned),
        verification_key: key,
        config: config.unwrap_or_default(),
        root_id: root_id.unwrap_or_default().to_owned(),
        env: env.unwrap_or_default(),
        fail: fail.unwrap_or(FailStrategy::Close),
    };
    Some(Described {
        module,
        config: config_mark,
        key: key_field.map(|field| (field.path, field.node.mark)),
    })
}

/// The other place of a verification key, as OpenShift's documentation has it. It is not for the
/// guest.
pub(super) fn hidden_key<'n>(config: &Field<'n>) -> Option<Field<'n>> {
    let node = config.node.get(HIDDEN_KEY)?;
    let field = Field {
        path: format!("{}.{HIDDEN_KEY}", config.path),
        node,
    };
    (!matches!(node.value, Value::Null)).then_some(field)
}

/// Public keys in PEM. Which keys they are is for the one who verifies.
fn key(field: &Field<'_>, report: &mut Report) -> Option<String> {
    let text = field.text(report)?;
    if text.contains("-----BEGIN PUBLIC KEY-----") && text.contains("-----END PUBLIC KEY-----") {
        return Some(text.to_owned());
    }
    let other = if field.path.ends_with(&format!("pluginConfig.{HIDDEN_KEY}")) {
        "; if it is the plugin's own, write the annotation wasmplugin.io/raw-plugin-config instead"
    } else {
        ""
    };
    field.refuse(
        report,
        format!("must be public keys in PEM, as cosign.pub: -----BEGIN PUBLIC KEY-----{other}"),
    );
    None
}

fn digest(field: &Field<'_>, report: &mut Report) -> Option<String> {
    let text = field.text(report)?;
    let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
    if text.is_empty() {
        return None;
    }
    if text.len() == bound::DIGEST && text.bytes().all(hex) {
        return Some(text.to_owned());
    }
    field.refuse(report, "must be 64 lower-case hex digits, or empty");
    None
}

/// What the guest reads: compact JSON, and nothing at all for `{}`, for which guests test.
pub(super) fn plugin_config(field: &Field<'_>, report: &mut Report) -> Vec<u8> {
    let mark = field.node.mark;
    match &field.node.value {
        Value::Object(entries) => {
            let entries = entries.iter().filter(|entry| entry.name != HIDDEN_KEY);
            let value = Value::Object(entries.cloned().collect());
            match json::text(&Node { mark, value }).into_bytes() {
                empty if empty == b"{}" => Vec::new(),
                text => text,
            }
        }
        other => {
            let message = format!(
                "must be an object, not {}; the annotation wasmplugin.io/raw-plugin-config \
                 takes any text",
                other.kind()
            );
            field.refuse(report, message);
            Vec::new()
        }
    }
}

fn selector(field: &Field<'_>, report: &mut Report) -> Option<BTreeMap<String, String>> {
    let mut fields = field.object(report)?;
    let field = fields.take("matchLabels");
    fields.finish(report);
    let field = field?;
    let labels = field.labels(report)?;
    if labels.len() > bound::LABELS {
        field.refuse(
            report,
            format!("must have at most {} labels", bound::LABELS),
        );
    }
    for (name, value) in &labels {
        let message = if name.is_empty() {
            "a label's name must not be empty".to_owned()
        } else if name.contains('*') || value.contains('*') {
            "labels are compared as they are, a * is no wildcard".to_owned()
        } else if value.chars().count() > bound::LABEL_VALUE {
            format!(
                "a label's value must have at most {} characters",
                bound::LABEL_VALUE
            )
        } else {
            continue;
        };
        let mark = field
            .node
            .get(name)
            .map_or(field.node.mark, |node| node.mark);
        report.place(&format!("{}[{name:.64?}]", field.path), mark, message);
    }
    Some(labels)
}

fn vm_config(field: &Field<'_>, report: &mut Report) -> Option<Vec<(String, EnvValue)>> {
    let mut fields = field.object(report)?;
    let field = fields.take("env");
    fields.finish(report);
    let field = field?;
    let items = field.list(report)?;
    if items.len() > bound::ENV {
        field.refuse(report, format!("must have at most {} entries", bound::ENV));
        return None;
    }
    let mut seen = HashSet::new();
    let mut env = Vec::with_capacity(items.len());
    for item in items {
        if let Some(fields) = item.object(report)
            && let Some((name, value)) = variable(fields, &mut seen, report)
        {
            env.push((name, value));
        }
    }
    Some(env)
}

fn variable(
    mut fields: Fields<'_>,
    seen: &mut HashSet<String>,
    report: &mut Report,
) -> Option<(String, EnvValue)> {
    let name = fields.require("name", report).and_then(|field| {
        let name = field.bounded_text(bound::ENV_NAME, report)?;
        if name.contains('=') {
            field.refuse(report, "must not hold =, which ends a name");
        } else if !seen.insert(name.to_owned()) {
            field.refuse(report, "stands twice");
        }
        Some(name.to_owned())
    });
    let from = fields
        .take("valueFrom")
        .map_or(Some(ValueFrom::Inline), |field| {
            field.choice(VALUE_SOURCES, report)
        });
    let value = fields.take("value");
    let text = value.as_ref().and_then(|field| {
        let text = field.text(report)?;
        if bound::ENV_VALUE.contains(&text.chars().count()) {
            return Some(text);
        }
        // Without the value, which may be a secret.
        let message = format!("must have at most {} characters", bound::ENV_VALUE.end());
        report.place(&field.path, field.node.mark, message);
        None
    });
    if let (Some(ValueFrom::Host), Some(field)) = (from, &value) {
        let message = "excludes valueFrom HOST, which takes the value from Envoy's environment";
        report.place(&field.path, field.node.mark, message);
    }
    fields.finish(report);
    let value = match from? {
        ValueFrom::Inline => EnvValue::Inline(text.unwrap_or_default().to_owned()),
        ValueFrom::Host => EnvValue::Host,
    };
    Some((name?, value))
}
