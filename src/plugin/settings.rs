//! The settings of a filter entry: those handed over, those of `configFile`, and what both mean.

use super::decode::{Field, Fields};
use super::defaults;
use super::document::{Entry, Node, Value};
use super::order::Workload;
use super::report::Report;
use super::spec::{Limits, Phase, PhaseSet};
use super::{json, names};
use std::collections::BTreeMap;
use std::time::Duration;

/// Settings with everything filled in.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Settings {
    pub(super) phases: PhaseSet,
    pub(super) workload: Workload,
    pub(super) limits: Limits,
    pub(super) startup_wait: Duration,
    pub(super) max_module_bytes: u64,
}

/// What a proxy is to Istio. Nothing depends on it before `match` is served.
#[derive(Clone, Copy)]
enum WorkloadType {
    Gateway,
    SidecarInbound,
    SidecarOutbound,
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

/// Reads merged settings. The field `plugins` is left to the caller.
pub(super) fn decode(node: &Node, report: &mut Report) -> (Settings, Vec<Node>) {
    let mut settings = Settings {
        phases: PhaseSet::ALL,
        workload: Workload {
            namespace: defaults::NAMESPACE.to_owned(),
            labels: BTreeMap::new(),
            root_namespace: defaults::ROOT_NAMESPACE.to_owned(),
        },
        limits: Limits {
            call_deadline: defaults::CALL_DEADLINE,
            start_deadline: defaults::START_DEADLINE,
            memory: defaults::MEMORY,
            table_elements: defaults::TABLE_ELEMENTS,
        },
        startup_wait: defaults::STARTUP_WAIT,
        max_module_bytes: defaults::MAX_MODULE_BYTES,
    };
    let Some(mut fields) = Field::root(node).object(report) else {
        return (settings, Vec::new());
    };
    // Resolved before: see `super::plan`.
    fields.ignore(&["configFile"]);
    if let Some(field) = fields.take("phases") {
        set(&mut settings.phases, phases(&field, report));
    }
    let plugins = fields.take("plugins").and_then(|field| field.list(report));
    if let Some(field) = fields.take("workload") {
        workload(&field, &mut settings.workload, report);
    }
    if let Some(field) = fields.take("rootNamespace") {
        let name = names::namespace(&field, report);
        set(&mut settings.workload.root_namespace, name);
    }
    if let Some(field) = fields.take("limits") {
        limits(&field, &mut settings.limits, report);
    }
    if let Some(field) = fields.take("fetch") {
        fetch(&field, &mut settings.max_module_bytes, report);
    }
    if let Some(mut startup) = object(&mut fields, "startup", report) {
        if let Some(field) = startup.take("wait") {
            let wait = field.duration(&defaults::WAITS, report);
            set(&mut settings.startup_wait, wait);
        }
        startup.finish(report);
    }
    fields.unsupported(&["pluginsDir", "secretsDir", "cacheDir"], report);
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

fn workload(field: &Field<'_>, workload: &mut Workload, report: &mut Report) {
    let Some(mut fields) = field.object(report) else {
        return;
    };
    if let Some(field) = fields.take("namespace") {
        set(&mut workload.namespace, names::namespace(&field, report));
    }
    if let Some(field) = fields.take("labels") {
        set(&mut workload.labels, field.labels(report));
    }
    if let Some(field) = fields.take("type") {
        field.choice(WORKLOAD_TYPES, report);
    }
    fields.unsupported(&["labelsFile"], report);
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
    fields.unsupported(&["maxBody", "openCallouts", "sharedData"], report);
    fields.finish(report);
}

/// Timeout and attempts are checked, and used once modules can come from the network.
fn fetch(field: &Field<'_>, max_module_bytes: &mut u64, report: &mut Report) {
    let Some(mut fields) = field.object(report) else {
        return;
    };
    if let Some(field) = fields.take("timeout") {
        field.duration(&defaults::DEADLINES, report);
    }
    if let Some(field) = fields.take("attempts") {
        field.int(defaults::ATTEMPTS, report);
    }
    if let Some(field) = fields.take("maxModuleBytes") {
        set(max_module_bytes, field.size(&defaults::MODULES, report));
    }
    let later = [
        "insecureRegistries",
        "caFile",
        "blockedCidrs",
        "allowFileRoots",
    ];
    fields.unsupported(&later, report);
    fields.finish(report);
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
