//! The settings of a filter entry: those handed over, those of `configFile`, and what both mean.

use super::decode::{Field, Fields};
use super::defaults;
use super::document::{Entry, Node, Value};
use super::fields::SETTINGS_KIND;
use super::json;
use super::order::Workload;
use super::report::Report;
use super::shape::Choices;
use super::spec::{FetchSettings, Limits, Phase, PhaseSet};
use super::target;
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

pub(super) static WORKLOAD_TYPES: Choices<WorkloadType> = Choices(&[
    ("gateway", WorkloadType::Gateway),
    ("sidecar-inbound", WorkloadType::SidecarInbound),
    ("sidecar-outbound", WorkloadType::SidecarOutbound),
]);

/// The spellings of phases.
pub(super) static PHASES: Choices<Phase> = Choices(&[
    (Phase::Authn.as_str(), Phase::Authn),
    (Phase::Authz.as_str(), Phase::Authz),
    (Phase::Stats.as_str(), Phase::Stats),
    (Phase::Unspecified.as_str(), Phase::Unspecified),
]);

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

/// The identity of merged settings: all but the phases, and what else is to be left out.
pub(super) fn key(settings: &Node, without: &[&str]) -> String {
    let Value::Object(entries) = &settings.value else {
        return "{}".to_owned();
    };
    let part = |name: &str| name != "phases" && name != "configFile" && !without.contains(&name);
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
                .filter_map(|cidr| cidr.parse::<IpNet>().ok())
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
    let Some(mut fields) = Field::new("", node, &SETTINGS_KIND).object(report) else {
        return (settings, Vec::new());
    };
    // Resolved before: see `super::plan`.
    fields.take("configFile", report);
    if let Some(field) = fields.take("phases", report) {
        set(&mut settings.phases, phases(&field, report));
    }
    let plugins = fields.take("plugins", report);
    let plugins = plugins.and_then(|field| field.list(report));
    settings.plugins_dir = text(&mut fields, "pluginsDir", report);
    if let Some(mut fields) = object(&mut fields, "workload", report) {
        workload(&mut fields, &mut settings, report);
        fields.finish(report);
    }
    let root = text(&mut fields, "rootNamespace", report);
    set(&mut settings.workload.root_namespace, root);
    if let Some(mut fields) = object(&mut fields, "limits", report) {
        limits(&mut fields, &mut settings.limits, report);
        fields.finish(report);
    }
    if let Some(mut fields) = object(&mut fields, "fetch", report) {
        fetch(&mut fields, &mut settings.fetch, report);
        fields.finish(report);
    }
    settings.fetch.secrets_dir = text(&mut fields, "secretsDir", report);
    settings.fetch.cache_dir = text(&mut fields, "cacheDir", report);
    if let Some(mut startup) = object(&mut fields, "startup", report) {
        let wait = duration(&mut startup, "wait", report);
        set(&mut settings.startup_wait, wait);
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
        if let Some(phase) = item.choice(&PHASES, report) {
            if phases.contains(phase) {
                item.refuse(report, "stands twice");
            }
            phases = phases.with(phase);
        }
    }
    Some(phases)
}

fn workload(fields: &mut Fields<'_>, settings: &mut Settings, report: &mut Report) {
    let workload = &mut settings.workload;
    set(&mut workload.namespace, text(fields, "namespace", report));
    if let Some(field) = fields.take("labels", report) {
        set(&mut workload.labels, field.labels(report));
    }
    if let Some(field) = fields.take("type", report) {
        set(&mut workload.kind, field.choice(&WORKLOAD_TYPES, report));
    }
    if let Some(field) = fields.take("targetRefs", report) {
        workload.targets = target::decode_list(&field, report);
    }
    settings.labels_file = text(fields, "labelsFile", report);
}

fn limits(fields: &mut Fields<'_>, limits: &mut Limits, report: &mut Report) {
    let deadline = duration(fields, "callDeadline", report);
    set(&mut limits.call_deadline, deadline);
    let deadline = duration(fields, "startDeadline", report);
    set(&mut limits.start_deadline, deadline);
    set(&mut limits.memory, size(fields, "memory", report));
    if let Some(field) = fields.take("tableElements", report) {
        set(&mut limits.table_elements, field.int(report));
    }
    limits.max_body = size(fields, "maxBody", report);
    if let Some(field) = fields.take("openCallouts", report) {
        set(&mut limits.open_callouts, field.int(report));
    }
    set(&mut limits.shared_data, size(fields, "sharedData", report));
}

fn fetch(fields: &mut Fields<'_>, fetch: &mut FetchSettings, report: &mut Report) {
    set(&mut fetch.timeout, duration(fields, "timeout", report));
    if let Some(field) = fields.take("attempts", report) {
        set(&mut fetch.attempts, field.int(report));
    }
    let most = size(fields, "maxModuleBytes", report);
    set(&mut fetch.max_module_bytes, most);
    let registries = texts(fields, "insecureRegistries", report);
    set(&mut fetch.insecure_registries, registries);
    fetch.ca_file = text(fields, "caFile", report);
    let blocked = texts(fields, "blockedCidrs", report).unwrap_or_default();
    let blocked = blocked.iter().filter_map(|cidr| cidr.parse::<IpNet>().ok());
    fetch.blocked_cidrs.extend(blocked);
    fetch.allow_file_roots = texts(fields, "allowFileRoots", report);
}

fn object<'n>(fields: &mut Fields<'n>, name: &str, report: &mut Report) -> Option<Fields<'n>> {
    fields.take(name, report)?.object(report)
}

fn text(fields: &mut Fields<'_>, name: &str, report: &mut Report) -> Option<String> {
    fields.take(name, report)?.text(report).map(str::to_owned)
}

fn texts(fields: &mut Fields<'_>, name: &str, report: &mut Report) -> Option<Vec<String>> {
    let items = fields.take(name, report)?.list(report)?;
    let texts = items.iter().filter_map(|item| item.text(report));
    Some(texts.map(str::to_owned).collect())
}

fn duration(fields: &mut Fields<'_>, name: &str, report: &mut Report) -> Option<Duration> {
    fields.take(name, report)?.duration(report)
}

fn size(fields: &mut Fields<'_>, name: &str, report: &mut Report) -> Option<u64> {
    fields.take(name, report)?.size(report)
}

fn set<T>(target: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *target = value;
    }
}
