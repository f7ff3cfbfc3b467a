//! `vmConfig`: the environment variables of a guest.

use super::super::decode::{Field, Fields};
use super::super::report::Report;
use super::super::shape::Choices;
use super::super::spec::EnvValue;
use std::collections::HashSet;

/// Where a variable's value comes from.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum ValueFrom {
    Inline,
    Host,
}

pub(in super::super) static VALUE_SOURCES: Choices<ValueFrom> =
    Choices(&[("INLINE", ValueFrom::Inline), ("HOST", ValueFrom::Host)]);

/// Reads `vmConfig`.
pub(super) fn decode(field: &Field<'_>, report: &mut Report) -> Option<Vec<(String, EnvValue)>> {
    let mut fields = field.object(report)?;
    let field = fields.take("env", report);
    fields.finish(report);
    let mut seen = HashSet::new();
    let mut env = Vec::new();
    for item in field?.list(report)? {
        if let Some(fields) = item.object(report) {
            env.extend(variable(fields, &mut seen, report));
        }
    }
    Some(env)
}

fn variable(
    mut fields: Fields<'_>,
    seen: &mut HashSet<String>,
    report: &mut Report,
) -> Option<(String, EnvValue)> {
    let name = fields.take("name", report).and_then(|field| {
        let name = field.text(report)?;
        if name.contains('=') {
            field.refuse(report, "must not hold =, which ends a name");
        } else if !seen.insert(name.to_owned()) {
            field.refuse(report, "stands twice");
        }
        Some(name.to_owned())
    });
    let from = match fields.take("valueFrom", report) {
        Some(field) => field.choice(&VALUE_SOURCES, report),
        None => Some(ValueFrom::Inline),
    };
    let value = fields.take("value", report);
    let text = value.as_ref().and_then(|field| field.text(report));
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
