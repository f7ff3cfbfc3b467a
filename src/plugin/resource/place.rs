//! Where in the chain a resource stands, and on which workloads.

use super::super::decode::{Field, Fields};
use super::super::report::Report;
use super::super::settings::PHASES;
use super::super::spec::Phase;
use super::super::target::{self, Target};
use super::super::traffic::{self, Traffic};
use std::collections::BTreeMap;

/// The most labels of a selector, as in Istio's definition.
const MAX_LABELS: usize = 4096;

/// What both kinds have in `spec`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Place {
    pub(super) selector: BTreeMap<String, String>,
    pub(super) targets: Vec<Target>,
    pub(super) phase: Phase,
    pub(super) priority: Option<i32>,
    pub(super) traffic: Traffic,
}

/// Reads the fields of `spec` that say where.
pub(super) fn decode(fields: &mut Fields<'_>, report: &mut Report) -> Place {
    let phase = fields.take("phase", report);
    let phase = phase.and_then(|field| field.choice(&PHASES, report));
    let priority = fields.take("priority", report);
    let priority = priority.and_then(|field| field.int(report));
    let traffic = fields.take("match", report);
    let traffic = traffic.and_then(|field| traffic::decode(&field, report));
    let selector = fields.take("selector", report);
    let selector = selector.and_then(|field| selector_labels(&field, report));
    let targets = fields.take("targetRefs", report);
    let targets = targets.map(|field| target::decode_list(&field, report));
    Place {
        selector: selector.unwrap_or_default(),
        targets: targets.unwrap_or_default(),
        phase: phase.unwrap_or(Phase::Unspecified),
        priority,
        traffic: traffic.unwrap_or_default(),
    }
}

fn selector_labels(field: &Field<'_>, report: &mut Report) -> Option<BTreeMap<String, String>> {
    let mut fields = field.object(report)?;
    let field = fields.take("matchLabels", report);
    fields.finish(report);
    let field = field?;
    let labels = field.labels(report)?;
    if labels.len() > MAX_LABELS {
        field.refuse(report, format!("must have at most {MAX_LABELS} labels"));
    }
    Some(labels)
}
