//! `targetRefs`: what a resource is attached to, and what a workload stands for.

use super::decode::Field;
use super::names;
use super::report::Report;
use std::ops::RangeInclusive;

/// Istio's bound.
const MAX_TARGETS: usize = 16;

const KIND: RangeInclusive<usize> = 1..=63;

/// Group, kind.
const KINDS: [(&str, &str); 5] = [
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("networking.istio.io", "ServiceEntry"),
    ("core", "Service"),
    ("", "Service"),
];

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
    pub(super) fn of_labels(labels: &std::collections::BTreeMap<String, String>) -> Option<Self> {
        let name = labels.get(GATEWAY_LABEL)?;
        Some(Self {
            group: "gateway.networking.k8s.io".to_owned(),
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
pub(super) fn decode_list(field: &Field<'_>, report: &mut Report) -> Option<Vec<Target>> {
    let items = field.list(report)?;
    if items.len() > MAX_TARGETS {
        field.refuse(report, format!("must have at most {MAX_TARGETS} entries"));
        return None;
    }
    let targets = items.iter().filter_map(|item| decode(item, report));
    Some(targets.collect())
}

/// Reads one reference.
pub(super) fn decode(field: &Field<'_>, report: &mut Report) -> Option<Target> {
    let mut fields = field.object(report)?;
    let group = fields.take("group").and_then(|field| field.text(report));
    let kind = fields.require("kind", report);
    let kind_text = kind
        .as_ref()
        .and_then(|field| field.bounded_text(KIND, report));
    let name = fields
        .require("name", report)
        .and_then(|field| names::object(&field, report));
    if let Some(field) = fields.take("namespace") {
        // Istio's definition has the field, and refuses any value.
        if field.text(report).is_some_and(|text| !text.is_empty()) {
            field.refuse(
                report,
                "must be empty: only objects of the resource's own namespace",
            );
        }
    }
    fields.finish(report);
    let (kind_field, kind) = (kind?, kind_text?);
    let group = group.unwrap_or_default();
    if !KINDS.contains(&(group, kind)) {
        let known: Vec<_> = KINDS
            .iter()
            .map(|(group, kind)| format!("{kind} of {group:?}"))
            .collect();
        kind_field.refuse(
            report,
            format!(
                "no kind of the group {group:.64?} that plugins can be attached to; these are {}",
                known.join(", ")
            ),
        );
        return None;
    }
    Some(Target {
        // Both spellings mean the core group.
        group: if group == "core" {
            String::new()
        } else {
            group.to_owned()
        },
        kind: kind.to_owned(),
        name: name?,
    })
}
