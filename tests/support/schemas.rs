//! The shipped JSON Schemas, as an editor would use them.

use std::fs;
use std::path::Path;

use boon::{Compiler, SchemaIndex};
use saphyr::{LoadableYamlNode as _, Scalar, Yaml};
use serde_json::{Map, Value};

/// The schemas of `envoy/schema/`.
pub(crate) struct Schemas {
    compiled: boon::Schemas,
    settings: SchemaIndex,
    route: SchemaIndex,
    kinds: [(&'static str, SchemaIndex); 2],
}

impl Schemas {
    pub(crate) fn load() -> Self {
        let mut compiled = boon::Schemas::new();
        let mut compiler = Compiler::new();
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy/schema");
        // All of them first: they name each other.
        for name in ["Settings", "Route", "WasmPlugin", "TrafficExtension"] {
            let text = fs::read_to_string(folder.join(format!("{name}.json")));
            let schema = serde_json::from_str(&text.expect("a schema")).expect("JSON");
            let added = compiler.add_resource(&url(name), schema);
            added.expect("a new name");
        }
        let mut of = |name: &str| {
            let compiled = compiler.compile(&url(name), &mut compiled);
            compiled.unwrap_or_else(|error| panic!("{name}: {error:#}"))
        };
        let (settings, route) = (of("Settings"), of("Route"));
        let kinds = ["WasmPlugin", "TrafficExtension"].map(|kind| (kind, of(kind)));
        Self {
            compiled,
            settings,
            route,
            kinds,
        }
    }

    /// Whether the schemas take all of a file of `form` (`k8s`, `route`, or else settings). None
    /// where there is nothing that they are about: no YAML, or other kinds.
    pub(crate) fn take(&self, form: Option<&str>, text: &str) -> Option<Result<(), String>> {
        let documents = Yaml::load_from_str(text).ok()?;
        let documents: Vec<_> = documents.iter().map(json).collect::<Option<_>>()?;
        let all = match form {
            Some("k8s") => documents.iter().flat_map(|of| self.resources(of)).collect(),
            Some("route") => documents
                .iter()
                .filter(|of| of.get("plugins").is_some())
                .map(|of| (self.route, of))
                .collect(),
            _ => documents
                .iter()
                .map(|of| (self.settings, of))
                .collect::<Vec<_>>(),
        };
        let mut results = all.into_iter().map(|(schema, value)| {
            let result = self.compiled.validate(value, schema);
            result.map_err(|error| format!("{error:#}"))
        });
        let first = results.next()?;
        Some(results.fold(first, Result::and))
    }

    /// What there is of our kinds in a document of Kubernetes, and the schema of each.
    fn resources<'v>(&self, document: &'v Value) -> Vec<(SchemaIndex, &'v Value)> {
        let kind = document.get("kind").and_then(Value::as_str);
        if let Some(Value::Array(items)) = document.get("items") {
            return items.iter().flat_map(|item| self.resources(item)).collect();
        }
        let of = self.kinds.iter().find(|(name, _)| kind == Some(name));
        of.map(|(_, schema)| (*schema, document))
            .into_iter()
            .collect()
    }
}

/// Where a schema is, for others that name it.
fn url(name: &str) -> String {
    format!("file:///{name}.json")
}

/// None where JSON has no word for it.
fn json(yaml: &Yaml<'_>) -> Option<Value> {
    Some(match yaml {
        Yaml::Value(Scalar::Null) => Value::Null,
        Yaml::Value(Scalar::Boolean(value)) => (*value).into(),
        Yaml::Value(Scalar::Integer(value)) => (*value).into(),
        Yaml::Value(Scalar::FloatingPoint(value)) => value.into_inner().into(),
        Yaml::Value(Scalar::String(value)) => value.as_ref().into(),
        Yaml::Sequence(items) => items.iter().map(json).collect::<Option<_>>()?,
        Yaml::Mapping(pairs) => {
            let pairs = pairs
                .iter()
                .map(|(name, value)| Some((name.as_str()?.to_owned(), json(value)?)));
            Value::Object(pairs.collect::<Option<Map<_, _>>>()?)
        }
        _ => return None,
    })
}
