//! `targetRefs`: what a resource is attached to, and what a workload stands for.

use super::decode::Field;
use super::report::Report;
use std::collections::BTreeMap;

/// What plugins can be attached to: group and kind.
const KINDS: [(&str, &str); 4] = [
    (GATEWAY_API, "Gateway"),
    (GATEWAY_API, "GatewayClass"),
    ("networking.istio.io", "ServiceEntry"),
    ("", "Service"),
];

const GATEWAY_API: &str = "gateway.networking.k8s.io";

/// The label by which Kubernetes' Gateway API tells pods which gateway they serve.
const GATEWAY_LABEL: &str = "gateway.networking.k8s.io/gateway-name";

/// An object that resources can be attached to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Target {
    /// The API group; empty for the core one.
    pub group: String,
    /// `Gateway`, `GatewayClass`, `Service` or `ServiceEntry`.
    pub kind: String,
    /// The name of the object.
    pub name: String,
}

impl Target {
    /// The gateway that the `labels` of a workload name.
    pub(super) fn of_labels(labels: &BTreeMap<String, String>) -> Option<Self> {
        let name = labels.get(GATEWAY_LABEL)?;
        Some(Self {
            group: GATEWAY_API.to_owned(),
            kind: "Gateway".to_owned(),
            name: name.clone(),
        })
    }

    /// Whether the objects of this kind belong to no namespace, so that resources attached to
    /// them stand in the root namespace.
    pub(super) fn is_cluster_wide(&self) -> bool {
        self.kind == "GatewayClass"
    }
}

/// Reads a list of references.
pub(super) fn decode_list(field: &Field<'_>, report: &mut Report) -> Vec<Target> {
    let items = field.list(report).unwrap_or_default();
    let targets = items.iter().filter_map(|item| decode(item, report));
    targets.collect()
}

/// Reads one reference.
pub(super) fn decode(field: &Field<'_>, report: &mut Report) -> Option<Target> {
    let mut fields = field.object(report)?;
    let before = report.len();
    let group = fields.take("group", report);
    let group = group.and_then(|field| field.text(report));
    let kind_field = fields.take("kind", report);
    let kind = kind_field.as_ref().and_then(|field| field.text(report));
    let name = fields.take("name", report);
    let name = name.and_then(|field| field.text(report));
    if let Some(field) = fields.take("namespace", report) {
        field.text(report);
    }
    fields.finish(report);
    let (kind_field, kind) = (kind_field?, kind?);
    let group = group.unwrap_or_default();
    // Both spellings mean the core group.
    let group = if group == "core" { "" } else { group };
    if report.len() == before && !KINDS.contains(&(group, kind)) {
        let known: Vec<_> = KINDS.iter().map(kind_of_group).collect();
        let message = format!(
            "no kind of the group {group:?} that plugins can be attached to; these are {}",
            known.join(", ")
        );
        kind_field.refuse(report, message);
        return None;
    }
    Some(Target {
        group: group.to_owned(),
        kind: kind.to_owned(),
        name: name?.to_owned(),
    })
}

fn kind_of_group((group, kind): &(&str, &str)) -> String {
    match *group {
        "" => format!("{kind} (of the core group)"),
        group => format!("{kind} of {group}"),
    }
}

/// The name of a kind.
pub(super) fn is_kind(text: &str) -> bool {
    let legal = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && !text.ends_with('-')
        && text.bytes().all(legal)
}
