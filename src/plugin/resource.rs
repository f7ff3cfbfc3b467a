//! A `WasmPlugin` as written, and the rules it must keep.
//!
//! The rules are those of Istio's custom resource definition, so that what passes here passes in
//! a cluster, with one exception: a port in a URL without scheme.

use super::annotation::{self, Extensions};
use super::decode::{Field, Fields, unsupported};
use super::document::{Mark, Node, Value};
use super::order::Rank;
use super::report::Report;
use super::settings::PHASES;
use super::spec::{EnvValue, FailStrategy, Limits, ModuleUrl, Phase, PluginSpec};
use super::timestamp::{self, Timestamp};
use super::{defaults, json, names, url};
use std::collections::{BTreeMap, HashMap, HashSet};

const KIND: &str = "WasmPlugin";
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
    "resourceVersion",
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

const FAIL_STRATEGIES: &[(&str, FailStrategy)] = &[
    ("FAIL_CLOSE", FailStrategy::Close),
    ("FAIL_OPEN", FailStrategy::Open),
    ("FAIL_RELOAD", FailStrategy::Reload),
];

/// Nothing depends on it before modules can be pulled.
const PULL_POLICIES: &[(&str, ())] = &[
    ("UNSPECIFIED_POLICY", ()),
    ("IfNotPresent", ()),
    ("Always", ()),
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
    pub(super) selector: BTreeMap<String, String>,
    created: Option<Timestamp>,
    phase: Phase,
    priority: Option<i32>,
    url: ModuleUrl,
    sha256: Option<String>,
    config: Vec<u8>,
    root_id: String,
    env: Vec<(String, EnvValue)>,
    fail: FailStrategy,
    extensions: Extensions,
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

    /// The plugin, with `limits` where the resource sets none.
    pub(super) fn into_spec(self, limits: Limits) -> PluginSpec {
        let Extensions {
            call_deadline,
            start_deadline,
            memory,
            fail_status,
            raw_plugin_config,
            vm_config,
            vm_id,
            hold_headers,
        } = self.extensions;
        PluginSpec {
            namespace: self.namespace,
            name: self.name,
            phase: self.phase,
            priority: self.priority,
            url: self.url,
            sha256: self.sha256,
            config: raw_plugin_config.map_or(self.config, String::into_bytes),
            root_id: self.root_id,
            vm_id,
            vm_config,
            hold_headers,
            env: self.env,
            fail: self.fail,
            fail_status: fail_status.unwrap_or(defaults::FAIL_STATUS),
            limits: Limits {
                call_deadline: call_deadline.unwrap_or(limits.call_deadline),
                start_deadline: start_deadline.unwrap_or(limits.start_deadline),
                memory: memory.unwrap_or(limits.memory),
                table_elements: limits.table_elements,
            },
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
        _ => KIND,
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
    if let Some(field) = fields.require("kind", report) {
        match field.text(report)? {
            KIND => {}
            kind @ "TrafficExtension" => {
                unsupported("kind", field.node.mark, kind, report);
                return None;
            }
            _ => {
                field.choice(&[(KIND, ())], report);
                return None;
            }
        }
    }
    if let Some(field) = fields.require("apiVersion", report) {
        field.choice(&[(API_VERSION, ())], report);
    }
    let metadata = fields.require("metadata", report);
    let metadata = metadata.and_then(|field| self::metadata(&field, namespace, report));
    let spec = fields.require("spec", report);
    let spec = spec.and_then(|field| self::spec(&field, report));
    fields.ignore(&["status"]);
    fields.finish(report);

    let (metadata, spec) = (metadata?, spec?);
    if let (Some(mark), Some(_)) = (spec.config_mark, &metadata.extensions.raw_plugin_config) {
        let message = "excludes the annotation wasmplugin.io/raw-plugin-config; keep one";
        report.place("spec.pluginConfig", mark, message);
    }
    Some(Resource {
        namespace: metadata.namespace,
        name: metadata.name,
        created: metadata.created,
        extensions: metadata.extensions,
        ..spec.resource
    })
}

struct Metadata {
    namespace: String,
    name: String,
    created: Option<Timestamp>,
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
        extensions,
    })
}

struct Spec {
    /// Lacks what `metadata` says.
    resource: Resource,
    config_mark: Option<Mark>,
}

fn spec(field: &Field<'_>, report: &mut Report) -> Option<Spec> {
    let mut fields = field.object(report)?;
    let url = fields.require("url", report).and_then(|field| {
        let url = url::parse(field.text(report)?);
        url.map_err(|message| field.refuse(report, message)).ok()
    });
    let sha256 = fields
        .take("sha256")
        .and_then(|field| digest(&field, report));
    if let Some(field) = fields.take("imagePullPolicy") {
        field.choice(PULL_POLICIES, report);
    }
    if let Some(field) = fields.take("imagePullSecret") {
        field.bounded_text(bound::PULL_SECRET, report);
    }
    let config = fields.take("pluginConfig");
    let config_mark = config.as_ref().map(|field| field.node.mark);
    let config = config.map(|field| plugin_config(&field, report));
    let root_id = fields
        .take("pluginName")
        .and_then(|field| field.bounded_text(bound::PLUGIN_NAME, report));
    let phase = fields
        .take("phase")
        .and_then(|field| field.choice(PHASES, report));
    let priority = fields.take("priority").and_then(|field| {
        let priority = field.int(i32::MIN.into()..=i32::MAX.into(), report)?;
        i32::try_from(priority).ok()
    });
    let fail = fields
        .take("failStrategy")
        .and_then(|field| field.choice(FAIL_STRATEGIES, report));
    let selector = fields
        .take("selector")
        .and_then(|field| selector(&field, report));
    let env = fields
        .take("vmConfig")
        .and_then(|field| vm_config(&field, report));
    if let Some(field) = fields.take("type")
        && let Some(PluginType::Network) = field.choice(PLUGIN_TYPES, report)
    {
        unsupported(&field.path, field.node.mark, "type NETWORK", report);
    }
    let later = ["verificationKey", "match", "targetRef", "targetRefs"];
    fields.unsupported(&later, report);
    fields.finish(report);
    let resource = Resource {
        namespace: String::new(),
        name: String::new(),
        created: None,
        extensions: Extensions::default(),
        selector: selector.unwrap_or_default(),
        phase: phase.unwrap_or(Phase::Unspecified),
        priority,
        url: url?,
        sha256,
        config: config.unwrap_or_default(),
        root_id: root_id.unwrap_or_default().to_owned(),
        env: env.unwrap_or_default(),
        fail: fail.unwrap_or(FailStrategy::Close),
    };
    Some(Spec {
        resource,
        config_mark,
    })
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
fn plugin_config(field: &Field<'_>, report: &mut Report) -> Vec<u8> {
    match &field.node.value {
        Value::Object(entries) if entries.is_empty() => Vec::new(),
        Value::Object(_) => json::text(field.node).into_bytes(),
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
