//! JSON Schemas of what users write, from the tables of [`super::fields`].
//!
//! `envoy/schema/` holds them for editors; a test compares. They take whatever decoding takes and
//! refuse most of what it refuses: rules that tie several fields together stay with decoding,
//! unless the schema language has a word for them.

use super::fields::{ANNOTATIONS, CASES, PREFIX, ROUTE, SETTINGS, TRAFFIC_EXTENSION, WASM_PLUGIN};
use super::shape::{FieldShape, Kind, Need, Preset, Rule, Shape, Text};
use serde_json::{Map, Value, json};

/// Go's durations.
const DURATION: &str = r"^(0|([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h)(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))*)$";

/// Kubernetes' quantities, those that can be sizes.
const SIZE: &str = r"^([0-9]+(\.[0-9]*)?|\.[0-9]+)(k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei|[eE]\+?[0-9]+)?$";

/// The schemas: a file name and its content each.
pub fn schemas() -> Vec<(String, String)> {
    [&SETTINGS, &WASM_PLUGIN, &TRAFFIC_EXTENSION, &ROUTE, &CASES]
        .into_iter()
        .map(|shape| {
            let schema = document(shape);
            (file_name(shape.name), format!("{schema:#}\n"))
        })
        .collect()
}

fn file_name(name: &str) -> String {
    format!("{name}.json")
}

fn document(shape: &'static Shape) -> Value {
    let mut schema = Map::new();
    let version = "https://json-schema.org/draft/2020-12/schema";
    schema.insert("$schema".to_owned(), version.into());
    schema.insert("title".to_owned(), shape.name.into());
    schema.extend(object(shape));
    Value::Object(schema)
}

fn object(shape: &'static Shape) -> Map<String, Value> {
    let mut properties = Map::new();
    let mut required = Vec::new();
    for field in shape.fields {
        if matches!(field.need, Need::Required) {
            required.push(field.name);
        }
        properties.insert(field.name.to_owned(), Value::Object(self::field(field)));
    }
    let mut schema = Map::new();
    schema.insert("description".to_owned(), shape.doc.into());
    schema.insert("type".to_owned(), "object".into());
    schema.insert("properties".to_owned(), properties.into());
    schema.insert("additionalProperties".to_owned(), false.into());
    if !required.is_empty() {
        schema.insert("required".to_owned(), required.into());
    }
    let rules: Vec<_> = shape.rules.iter().flat_map(rule).collect();
    if !rules.is_empty() {
        schema.insert("allOf".to_owned(), rules.into());
    }
    schema
}

fn rule(rule: &Rule) -> Vec<Value> {
    let (Rule::AtMostOne(names) | Rule::ExactlyOne(names)) = rule;
    let set = |name: &&str| {
        let is_set = json!({ "not": { "type": "null" } });
        json!({ "required": [name], "properties": { *name: is_set } })
    };
    let mut rules = Vec::new();
    for (i, a) in names.iter().enumerate() {
        for b in names.iter().skip(i + 1) {
            rules.push(json!({ "not": { "allOf": [set(a), set(b)] } }));
        }
    }
    if let Rule::ExactlyOne(_) = rule {
        let sets: Vec<_> = names.iter().map(set).collect();
        rules.push(json!({ "anyOf": sets }));
    }
    rules
}

fn field(field: &'static FieldShape) -> Map<String, Value> {
    let mut schema = match (field.name, &field.kind) {
        ("annotations", Kind::Map(..)) => annotations(),
        (_, kind) => self::kind(kind),
    };
    if !matches!(field.need, Need::Required) {
        or_null(&mut schema);
    }
    schema.insert("description".to_owned(), field.doc.into());
    if let Need::Default(preset) = &field.need
        && let Some(value) = preset_value(preset, &field.kind)
    {
        schema.insert("default".to_owned(), value);
    }
    schema
}

/// As Kubernetes has it, an absent field may be written as null.
fn or_null(schema: &mut Map<String, Value>) {
    match schema.get_mut("type") {
        Some(Value::Array(types)) => types.push("null".into()),
        Some(Value::String(kind)) => {
            let types = json!([kind, "null"]);
            schema.insert("type".to_owned(), types);
        }
        _ => {}
    }
    if let Some(Value::Array(choices)) = schema.get_mut("enum") {
        choices.push(Value::Null);
    }
}

fn preset_value(preset: &Preset, kind: &Kind) -> Option<Value> {
    Some(match (preset, kind) {
        (Preset::Words(_), _) => return None,
        (Preset::Number(number), Kind::Whole(_)) => json!(number),
        (Preset::Boolean(value), Kind::Boolean) => json!(value),
        (Preset::Text(_), Kind::List(..)) => json!([]),
        (Preset::Text(_), Kind::Map(..)) => json!({}),
        (Preset::Text("\"\""), _) => json!(""),
        (preset, _) => json!(preset.to_string()),
    })
}

fn kind(kind: &'static Kind) -> Map<String, Value> {
    let schema = match kind {
        Kind::Text(rule) => return text(rule),
        Kind::Choice(spellings) => json!({ "type": "string", "enum": spellings.names() }),
        Kind::Boolean => json!({ "type": "boolean" }),
        Kind::Whole(range) => {
            let (least, most) = (number(*range.start()), number(*range.end()));
            json!({ "type": "integer", "minimum": least, "maximum": most })
        }
        // The only number that needs no unit.
        Kind::Duration(_) => json!({
            "type": ["string", "integer"],
            "pattern": DURATION,
            "minimum": 0,
            "maximum": 0,
        }),
        Kind::Size(range) => json!({
            "type": ["string", "integer"],
            "pattern": SIZE,
            "minimum": range.start(),
            "maximum": range.end(),
        }),
        Kind::Object(shape) => return object(shape),
        Kind::List(items, most) => {
            let mut schema = json!({ "type": "array", "items": self::kind(items) });
            if let (Some(schema), true) = (schema.as_object_mut(), *most < usize::MAX) {
                schema.insert("maxItems".to_owned(), json!(most));
            }
            schema
        }
        Kind::Map(values, names) => {
            let mut schema = json!({
                "type": "object",
                "additionalProperties": self::kind(values),
            });
            if let (Some(schema), Some(form)) = (schema.as_object_mut(), names) {
                let pattern = json!({ "pattern": form.pattern });
                schema.insert("propertyNames".to_owned(), pattern);
            }
            schema
        }
        Kind::Free => json!({ "type": "object" }),
        Kind::Ignored => json!({}),
        Kind::Resource => {
            let reference = |shape: &Shape| json!({ "$ref": file_name(shape.name) });
            json!({ "oneOf": [reference(&WASM_PLUGIN), reference(&TRAFFIC_EXTENSION)] })
        }
        Kind::Quoted(inner) => return quoted(inner),
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

fn text(rule: &Text) -> Map<String, Value> {
    let mut schema = Map::new();
    schema.insert("type".to_owned(), "string".into());
    if *rule.length.start() > 0 {
        schema.insert("minLength".to_owned(), json!(rule.length.start()));
    }
    if *rule.length.end() < usize::MAX {
        schema.insert("maxLength".to_owned(), json!(rule.length.end()));
    }
    if let Some(form) = rule.form {
        schema.insert("pattern".to_owned(), form.pattern.into());
    }
    schema
}

/// A string that holds what `inner` describes.
fn quoted(inner: &'static Kind) -> Map<String, Value> {
    let mut schema = match inner {
        Kind::Choice(_) => kind(inner),
        _ => Map::new(),
    };
    schema.insert("type".to_owned(), "string".into());
    let pattern = match inner {
        Kind::Boolean => "^(true|false)$",
        Kind::Whole(_) => "^-?[0-9]+$",
        Kind::Duration(_) => DURATION,
        Kind::Size(_) => SIZE,
        _ => return schema,
    };
    schema.insert("pattern".to_owned(), pattern.into());
    schema
}

/// Annotations of others are free; under our prefix, there are those of the table.
fn annotations() -> Map<String, Value> {
    let (mut properties, mut names) = (Map::new(), Vec::new());
    for annotation in ANNOTATIONS.fields {
        let mut schema = kind(&annotation.kind);
        schema.insert("description".to_owned(), annotation.doc.into());
        let name = format!("{PREFIX}{}", annotation.name);
        names.push(Value::from(name.as_str()));
        properties.insert(name, Value::Object(schema));
    }
    // No pattern that looks ahead: many validators have none.
    let ours = format!("^{}", PREFIX.replace('.', r"\."));
    let schema = json!({
        "type": "object",
        "properties": properties,
        "propertyNames": { "anyOf": [{ "enum": names }, { "not": { "pattern": ours } }] },
        "additionalProperties": { "type": "string" },
    });
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}

/// A bound. All of ours fit.
fn number(value: i128) -> Value {
    i64::try_from(value).map_or(Value::Null, Value::from)
}

#[cfg(test)]
mod tests;
