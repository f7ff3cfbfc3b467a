//! `metadata`: who a resource is, and its annotations.

use super::super::annotation::{self, Extensions};
use super::super::decode::Field;
use super::super::report::Report;
use super::super::timestamp::{self, Timestamp};

/// What a resource's metadata says.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Metadata {
    pub(super) namespace: String,
    pub(super) name: String,
    pub(super) created: Option<Timestamp>,
    pub(super) version: Option<String>,
    pub(super) extensions: Extensions,
}

/// Reads `metadata`. A resource that names no namespace belongs to `namespace`.
pub(super) fn decode(field: &Field<'_>, namespace: &str, report: &mut Report) -> Option<Metadata> {
    let mut fields = field.object(report)?;
    let name = fields.take("name", report);
    let name = name.and_then(|field| field.text(report));
    let namespace = match fields.take("namespace", report) {
        Some(field) => field.text(report),
        None => Some(namespace),
    };
    let created = fields.take("creationTimestamp", report).and_then(|field| {
        let created = timestamp::parse(field.text(report)?);
        if created.is_none() {
            field.refuse(report, "must be a time such as 2024-01-31T12:00:00Z");
        }
        created
    });
    let version = fields.take("resourceVersion", report);
    let version = version.and_then(|field| field.text(report));
    if let Some(field) = fields.take("labels", report) {
        field.labels(report);
    }
    let extensions = match fields.take("annotations", report) {
        Some(field) => annotation::decode(&field, report),
        None => Extensions::default(),
    };
    fields.finish(report);
    Some(Metadata {
        namespace: namespace?.to_owned(),
        name: name?.to_owned(),
        created,
        version: version.map(str::to_owned),
        extensions,
    })
}
