//! The page of all fields, and the rows of the README's tables, from [`super::fields`].

use super::fields::{ANNOTATIONS, CASES, PREFIX, ROUTE, SETTINGS, TRAFFIC_EXTENSION, WASM_PLUGIN};
use super::shape::{FieldShape, Kind, Need, Preset, Rule, Shape};
use super::units;
use std::fmt::Write as _;

const HEAD: &str = "# Fields\n\n\
    What can be written, and what it means. Generated from the tables that the decoder reads by \
    (`src/plugin/fields`), as the JSON Schemas beside this page are; `UPDATE_GOLDEN=1 cargo test \
    --test readme` writes both.\n\n\
    Durations are written as in Go (`100ms`, `1h30m`), sizes as in Kubernetes (`128Mi`, `64M`). \
    `null` is the same as no field. An unknown field is an error that names the nearest known \
    one.\n";

/// The page, in Markdown.
pub fn fields_page() -> String {
    let mut page = HEAD.to_owned();
    for (shape, prefix) in [
        (&SETTINGS, ""),
        (&WASM_PLUGIN, ""),
        (&TRAFFIC_EXTENSION, ""),
        (&ANNOTATIONS, PREFIX),
        (&ROUTE, ""),
        (&CASES, ""),
    ] {
        let _ = write!(page, "\n## {}\n\n{}\n", shape.name, shape.doc);
        page.push_str("\n| field | type | default | meaning |\n|---|---|---|---|\n");
        let mut notes = Vec::new();
        rows(shape, prefix, &mut page, &mut notes);
        for note in notes {
            let _ = write!(page, "\n{note}\n");
        }
    }
    page
}

/// The rows of a table of all settings: field, default, meaning.
pub fn settings_rows() -> Vec<[String; 3]> {
    let mut rows = Vec::new();
    settings(&SETTINGS, "", &mut rows);
    rows
}

/// The rows of a table of annotations: key, default, meaning.
pub fn annotation_rows() -> Vec<[String; 3]> {
    let fields = ANNOTATIONS.fields.iter();
    fields.map(|field| row(field, "")).collect()
}

fn settings(shape: &Shape, path: &str, rows: &mut Vec<[String; 3]>) {
    for field in shape.fields {
        match &field.kind {
            Kind::Object(inner) => settings(inner, &format!("{path}{}.", field.name), rows),
            _ => rows.push(row(field, path)),
        }
    }
}

fn row(field: &FieldShape, path: &str) -> [String; 3] {
    let default = match &field.need {
        Need::Required => "required".to_owned(),
        Need::Optional => "none".to_owned(),
        Need::Default(Preset::Words(words)) => (*words).to_owned(),
        Need::Default(preset) => format!("`{preset}`"),
    };
    let name = format!("`{path}{}`", field.name);
    [name, default, field.doc.replace('|', "\\|")]
}

/// Rows of all fields, also of objects in objects; what stands below the table goes to `notes`.
fn rows(shape: &Shape, path: &str, page: &mut String, notes: &mut Vec<String>) {
    let mut ignored = Vec::new();
    for field in shape.fields {
        if matches!(field.kind, Kind::Ignored) {
            ignored.push(format!("`{path}{}`", field.name));
            continue;
        }
        let [name, default, mut doc] = row(field, path);
        if !field.istio.is_empty() {
            let _ = write!(doc, " *In Istio: {}.*", field.istio);
        }
        let _ = writeln!(
            page,
            "| {name} | {} | {default} | {doc} |",
            words(&field.kind)
        );
        if let Some((inner, step)) = inner(&field.kind) {
            rows(inner, &format!("{path}{}{step}.", field.name), page, notes);
        }
    }
    for rule in shape.rules {
        let (count, verb, names) = match rule {
            Rule::AtMostOne(names) => ("At most", "may", names),
            Rule::ExactlyOne(names) => ("Exactly", "must", names),
        };
        let names: Vec<_> = names.iter().map(|name| format!("`{path}{name}`")).collect();
        notes.push(format!(
            "{count} one of {} {verb} be written.",
            names.join(", ")
        ));
    }
    if !ignored.is_empty() {
        notes.push(format!("Not looked at: {}.", ignored.join(", ")));
    }
}

/// The shape of the objects in a value, and how a path gets there.
fn inner(kind: &Kind) -> Option<(&'static Shape, String)> {
    let (kind, step) = match kind {
        Kind::Object(shape) => return Some((shape, String::new())),
        Kind::List(kind, _) => (kind, "[]"),
        Kind::Map(kind, _) => (kind, "[…]"),
        _ => return None,
    };
    let (shape, rest) = inner(kind)?;
    Some((shape, format!("{step}{rest}")))
}

/// The type of a value.
fn words(kind: &Kind) -> String {
    let duration = |duration| units::Written(duration).to_string();
    match kind {
        Kind::Text(text) => match (text.length.start(), text.length.end()) {
            (0, &usize::MAX) => "string".to_owned(),
            (_, &usize::MAX) => "string, not empty".to_owned(),
            (0, most) => format!("string of at most {most} characters"),
            (least, most) => format!("string of {least} to {most} characters"),
        },
        Kind::Choice(spellings) => {
            let names = spellings.names();
            let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
            names.join(", ")
        }
        Kind::Boolean => "`true`, `false`".to_owned(),
        Kind::Whole(range) => format!("{} to {}", range.start(), range.end()),
        Kind::Duration(range) => {
            let (least, most) = (duration(*range.start()), duration(*range.end()));
            format!("duration, {least} to {most}")
        }
        Kind::Size(range) => {
            let (least, most) = (Preset::Size(*range.start()), Preset::Size(*range.end()));
            format!("size, {least} to {most}")
        }
        Kind::Object(_) | Kind::Free => "object".to_owned(),
        Kind::List(kind, most) => match (&**kind, *most) {
            (Kind::Object(_), usize::MAX) => "list".to_owned(),
            (Kind::Object(_), most) => format!("list, at most {most}"),
            (kind, _) => format!("list of {}", words(kind)),
        },
        Kind::Map(kind, _) => format!("map of {}", words(kind)),
        Kind::Ignored => "any".to_owned(),
        Kind::Resource => "resources".to_owned(),
        Kind::Quoted(kind) => format!("string: {}", words(kind)),
    }
}
