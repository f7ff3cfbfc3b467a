//! The settings of a filter entry: those handed over, those of `configFile`, and what both mean.

use super::decode::{Field, Fields};
use super::defaults;
use super::document::{Entry, Node, Value};
use super::order::Workload;
use super::report::Report;
use super::spec::{FetchSettings, Limits, Phase, PhaseSet};
use super::target;
use super::{json, names};
use ipnet::IpNet;
use std::collections::BTreeMap;
use std::time::Duration;

/// Settings with everything filled in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) phases: PhaseSet,
    pub(super) workload: Workload,
    pub(super) limits: Limits,
    pub(super) startup_wait: Duration,
    pub(super) fetch: FetchSettings,
    pub(super) plugins_dir: Option<String>,
    pub(super) labels_file: Option<String>,
}

/// What a proxy is to Istio: which traffic the entries of `match` see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WorkloadType {
    /// At the edge.
    Gateway,
    /// Beside a service, for requests to it.
    SidecarInbound,
    /// Beside a service, for requests of it.
    SidecarOutbound,
}

impl WorkloadType {
    /// The spelling of the settings.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::SidecarInbound => "sidecar-inbound",
            Self::SidecarOutbound => "sidecar-outbound",
        }
    }
}

const WORKLOAD_TYPES: &[(&str, WorkloadType)] = &[
    ("gateway", WorkloadType::Gateway),
    ("sidecar-inbound", WorkloadType::SidecarInbound),
    ("sidecar-outbound", WorkloadType::SidecarOutbound),
];

/// The spellings of phases.
pub(super) const PHASES: &[(&str, Phase)] = &[
    (Phase::Authn.as_str(), Phase::Authn),
    (Phase::Authz.as_str(), Phase::Authz),
    (Phase::Stats.as_str(), Phase::Stats),
    (Phase::Unspecified.as_str(), Phase::Unspecified),
];

/// Lays `over` upon `base`: objects field by field, all else whole. `null` leaves what is below.
pub(super) fn merge(base: Node, over: Node) -> Node {
    let Node { mark, value } = over;
    match (base.value, value) {
        (base_value, Value::Null) => Node {
            mark: base.mark,
            value: base_value,
        },
        (Value::Object(below), Value::Object(above)) => {
            let below = below.into_iter().map(|entry| (entry.name.clone(), entry));
            let mut merged: BTreeMap<_, _> = below.collect();
            for entry in above {
                let entry = match merged.remove(&entry.name) {
                    Some(below) => Entry {
                        node: merge(below.node, entry.node),
                        ..entry
                    },
                    None => entry,
                };
                merged.insert(entry.name.clone(), entry);
            }
            let value = Value::Object(merged.into_values().collect());
            Node { mark, value }
        }
        (_, value) => Node { mark, value },
    }
}

/// The identity of merged settings: all but the phases.
pub(super) fn key(settings: &Node) -> String {
    let Value::Object(entries) = &settings.value else {
        return "{}".to_owned();
    };
    let part = |name: &str| name != "phases" && name != "configFile";
    let kept = entries
        .iter()
        .filter(|entry| part(&entry.name) && !matches!(entry.node.value, Value::Null));
    json::text(&Node {
        mark: settings.mark,
        value: Value::Object(kept.cloned().collect()),
    })
}

/// What holds where nothing is written.
fn unwritten() -> Settings {
    Settings {
        phases: PhaseSet::ALL,
        workload: Workload {
            namespace: defaults::NAMESPACE.to_owned(),
            labels: BTreeMap::new(),
            root_namespace: defaults::ROOT_NAMESPACE.to_owned(),
            kind: WorkloadType::Gateway,
            targets: Vec::new(),
        },
        limits: Limits {
            call_deadline: defaults::CALL_DEADLINE,
            start_deadline: defaults::START_DEADLINE,
            memory: defaults::MEMORY,
            table_elements: defaults::TABLE_ELEMENTS,
            max_body: None,
            open_callouts: defaults::OPEN_CALLOUTS,
            shared_data: defaults::SHARED_DATA,
        },
        startup_wait: defaults::STARTUP_WAIT,
        fetch: FetchSettings {
            timeout: defaults::FETCH_TIMEOUT,
            attempts: defaults::FETCH_ATTEMPTS,
            max_module_bytes: defaults::MAX_MODULE_BYTES,
            insecure_registries: Vec::new(),
            ca_file: None,
            blocked_cidrs: defaults::BLOCKED_CIDRS
                .iter()
                .filter_map(|cidr| cidr.parse().ok())
                .collect(),
            allow_file_roots: None,
            secrets_dir: None,
            cache_dir: None,
        },
        plugins_dir: None,
        labels_file: None,
    }
}

/// Reads merged settings. The field `plugins` is left to the caller.
pub(super) fn decode(node: &Node, report: &mut Report) -> (Settings, Vec<Node>) {
    let mut settings = unwritten();
    let Some(mut fields) = Field::root(node).object(report) else {
        return (settings, Vec::new());
    };
    // Resolved before: see `super::plan`.
    fields.ignore(&["configFile"]);
    if let Some(field) = fields.take("phases") {
        set(&mut settings.phases, phases(&field, report));
    }
    let plugins = fields.take("plugins").and_then(|field| field.list(report));
    settings.plugins_dir = path(&mut fields, "pluginsDir", report);
    if let Some(field) = fields.take("workload") {
        workload(&field, &mut settings, report);
    }
    if let Some(field) = fields.take("rootNamespace") {
        let name = names::namespace(&field, report);
        set(&mut settings.workload.root_namespace, name);
    }
    if let Some(field) = fields.take("limits") {
        limits(&field, &mut settings.limits, report);
    }
    if let Some(field) = fields.take("fetch") {
        fetch(&field, &mut settings.fetch, report);
    }
    settings.fetch.secrets_dir = path(&mut fields, "secretsDir", report);
    settings.fetch.cache_dir = path(&mut fields, "cacheDir", report);
    if let Some(mut startup) = object(&mut fields, "startup", report) {
        if let Some(field) = startup.take("wait") {
            let wait = field.duration(&defaults::WAITS, report);
            set(&mut settings.startup_wait, wait);
        }
        startup.finish(report);
    }
    fields.finish(report);
    let plugins = plugins.unwrap_or_default();
    (settings, plugins.iter().map(|f| f.node.clone()).collect())
}

fn phases(field: &Field<'_>, report: &mut Report) -> Option<PhaseSet> {
    let items = field.list(report)?;
    if items.is_empty() {
        field.refuse(report, "names no phase; leave the field out to run all");
        return None;
    }
    let mut phases = PhaseSet::EMPTY;
    for item in items {
        if let Some(phase) = item.choice(PHASES, report) {
            if phases.contains(phase) {
                item.refuse(report, "stands twice");
            }
            phases = phases.with(phase);
        }
    }
    Some(phases)
}

fn workload(field: &Field<'_>, settings: &mut Settings, report: &mut Report) {
    let Some(mut fields) = field.object(report) else {
        return;
    };
    let workload = &mut settings.workload;
    if let Some(field) = fields.take("namespace") {
        set(&mut workload.namespace, names::namespace(&field, report));
    }
    if let Some(field) = fields.take("labels") {
        set(&mut workload.labels, field.labels(report));
    }
    if let Some(field) = fields.take("type") {
        set(&mut workload.kind, field.choice(WORKLOAD_TYPES, report));
    }
    if let Some(field) = fields.take("targetRefs") {
        set(&mut workload.targets, target::decode_list(&field, report));
    }
    settings.labels_file = path(&mut fields, "labelsFile", report);
    fields.finish(report);
}

fn limits(field: &Field<'_>, limits: &mut Limits, report: &mut Report) {
    let Some(mut fields) = field.object(report) else {
        return;
    };
    if let Some(field) = fields.take("callDeadline") {
        let deadline = field.duration(&defaults::DEADLINES, report);
        set(&mut limits.call_deadline, deadline);
    }
    if let Some(field) = fields.take("startDeadline") {
        let deadline = field.duration(&defaults::DEADLINES, report);
        set(&mut limits.start_deadline, deadline);
    }
    if let Some(field) = fields.take("memory") {
        set(&mut limits.memory, field.size(&defaults::MEMORIES, report));
    }
    if let Some(field) = fields.take("tableElements") {
        let elements = field.int(defaults::TABLES, report);
        let elements = elements.and_then(|elements| u32::try_from(elements).ok());
        set(&mut limits.table_elements, elements);
    }
    if let Some(field) = fields.take("maxBody") {
        limits.max_body = field.size(&defaults::BODIES, report);
    }
    if let Some(field) = fields.take("openCallouts") {
        let callouts = field.int(defaults::CALLOUTS, report);
        let callouts = callouts.and_then(|callouts| u32::try_from(callouts).ok());
        set(&mut limits.open_callouts, callouts);
    }
    if let Some(field) = fields.take("sharedData") {
        let size = field.size(&defaults::SHARED, report);
        set(&mut limits.shared_data, size);
    }
    fields.finish(report);
}

fn fetch(field: &Field<'_>, fetch: &mut FetchSettings, report: &mut Report) {
    let Some(mut fields) = field.object(report) else {
        return;
    };
    if let Some(field) = fields.take("timeout") {
        let timeout = field.duration(&defaults::DEADLINES, report);
        set(&mut fetch.timeout, timeout);
    }
    if let Some(field) = fields.take("attempts") {
        let attempts = field.int(defaults::ATTEMPTS, report);
        let attempts = attempts.and_then(|attempts| u32::try_from(attempts).ok());
        set(&mut fetch.attempts, attempts);
    }
    if let Some(field) = fields.take("maxModuleBytes") {
        let size = field.size(&defaults::MODULES, report);
        set(&mut fetch.max_module_bytes, size);
    }
    if let Some(field) = fields.take("insecureRegistries") {
        fetch.insecure_registries = each(&field, registry, report);
    }
    fetch.ca_file = path(&mut fields, "caFile", report);
    if let Some(field) = fields.take("blockedCidrs") {
        fetch.blocked_cidrs.extend(each(&field, cidr, report));
    }
    if let Some(field) = fields.take("allowFileRoots") {
        fetch.allow_file_roots = Some(each(&field, root, report));
    }
    fields.finish(report);
}

/// The items of a list of texts.
fn each<T>(
    field: &Field<'_>,
    read: impl Fn(&str) -> Result<T, &'static str>,
    report: &mut Report,
) -> Vec<T> {
    let mut values = Vec::new();
    for item in field.list(report).unwrap_or_default() {
        let Some(text) = item.text(report) else {
            continue;
        };
        match read(text) {
            Ok(value) => values.push(value),
            Err(message) => item.refuse(report, message),
        }
    }
    values
}

fn registry(text: &str) -> Result<String, &'static str> {
    let legal = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
    if text == "*" || (!text.is_empty() && text.chars().all(legal)) {
        Ok(text.to_owned())
    } else {
        Err("must be a registry's host, or host:port, or * for all")
    }
}

fn cidr(text: &str) -> Result<IpNet, &'static str> {
    text.parse()
        .map_err(|_| "must be a range of addresses such as 10.0.0.0/8 or fd00::/8")
}

fn root(text: &str) -> Result<String, &'static str> {
    if text.starts_with('/') {
        Ok(text.to_owned())
    } else {
        Err("must be an absolute path of a directory")
    }
}

/// A field that names a file or directory.
fn path(fields: &mut Fields<'_>, name: &'static str, report: &mut Report) -> Option<String> {
    let field = fields.take(name)?;
    let path = field.text(report)?;
    if path.is_empty() {
        field.refuse(report, "names no path; leave the field out");
        return None;
    }
    Some(path.to_owned())
}

fn object<'n>(
    fields: &mut Fields<'n>,
    name: &'static str,
    report: &mut Report,
) -> Option<Fields<'n>> {
    fields.take(name).and_then(|field| field.object(report))
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}
