//! Files of resources: several documents, lists, and what ConfigMaps and Secrets hold.
//!
//! A file is what `kubectl apply -f` takes and what `kubectl get -o yaml` prints: a document is a
//! resource, a list of them (`kind: List` and the like), or a ConfigMap or Secret whose keys end in
//! `.yaml`, `.yml` or `.json` and hold such documents themselves. Any other kind is an error, so
//! that a misspelt kind never goes unnoticed.

use super::decode::Field;
use super::document::{self, Document, Node, Source, Value};
use super::portable;
use super::problem::{Problem, Problems};
use super::report::Report;
use super::resource::{self, Names, Resource};
use super::shape::{Kind, TEXT};
use base64ct::{Base64, Encoding as _};

/// What the names of files of resources end in, in directories and in ConfigMaps.
const EXTENSIONS: [&str; 3] = [".yaml", ".yml", ".json"];

/// The items of a list.
static ITEMS: Kind = Kind::List(&Kind::Resource, usize::MAX);

/// What a ConfigMap or Secret holds.
static DATA: Kind = Kind::Map(&TEXT, None);

/// Whether a file of this name holds resources. Hidden files never do: Kubernetes keeps its own
/// in mounted volumes.
pub fn is_manifest(name: &str) -> bool {
    !name.starts_with('.') && EXTENSIONS.iter().any(|end| name.ends_with(end))
}

/// Reads files of resources one after the other.
#[derive(Debug, Default)]
pub struct ResourceReader {
    names: Names,
    checks_portability: bool,
}

impl ResourceReader {
    /// One for which it is a problem, too, that Istio would refuse something or do it differently.
    pub fn of_portable() -> Self {
        Self {
            checks_portability: true,
            ..Self::default()
        }
    }

    /// The resources of `text`, the content of `file`, and everything that is wrong in it;
    /// resources that stand beside a wrong one are good. A resource that names no namespace
    /// belongs to `namespace`. A name that an earlier file holds is a problem, too.
    pub fn read(&mut self, text: &str, file: &str, namespace: &str) -> (Vec<Resource>, Problems) {
        let mut file = File {
            file,
            namespace,
            names: &mut self.names,
            checks_portability: self.checks_portability,
            resources: Vec::new(),
            inner: Vec::new(),
        };
        let mut report = Report::of_file(file.file);
        file.documents(text, true, &mut report);
        let File {
            resources, inner, ..
        } = file;
        let mut problems = report.finish();
        problems.0.extend(inner);
        (resources, problems)
    }
}

/// A file that is being read.
struct File<'a> {
    file: &'a str,
    namespace: &'a str,
    names: &'a mut Names,
    checks_portability: bool,
    resources: Vec<Resource>,
    /// Problems of the texts in ConfigMaps and Secrets.
    inner: Vec<Problem>,
}

impl File<'_> {
    /// Reads all documents of `text`, which may hold wrappers if it is no wrapped one itself.
    fn documents(&mut self, text: &str, wrappers: bool, report: &mut Report) {
        let documents = document::parse(text, Source::File, report);
        if documents.is_empty() && report.len() == 0 {
            report.text(Source::File, None, "holds no resource");
        }
        for (i, Document { node, is_sound }) in documents.iter().enumerate() {
            let place = format!("document {}", i + 1);
            let good = self.resources.len();
            match items(node) {
                Some(list) => {
                    let list = Field::new("items", list, &ITEMS);
                    for item in list.list(report).unwrap_or_default() {
                        let place = format!("{place}, {}", item.path);
                        self.document(item.node, &place, wrappers, report);
                    }
                }
                None => self.document(node, &place, wrappers, report),
            }
            if !is_sound {
                self.resources.truncate(good);
            }
        }
    }

    fn document(&mut self, node: &Node, place: &str, wrappers: bool, report: &mut Report) {
        let kind = node.get("kind").and_then(Node::text);
        match kind {
            Some(kind @ ("ConfigMap" | "Secret")) if wrappers && is_core(node) => {
                report.within(name(node, kind, place), |report| {
                    self.wrapper(node, kind, report);
                });
            }
            _ => {
                let (names, namespace) = (&mut *self.names, self.namespace);
                let found =
                    resource::decode(node, place, namespace, Some(self.file), names, report);
                let place = match &found {
                    Some(resource) => resource.title(),
                    None => place.to_owned(),
                };
                self.resources.extend(found);
                if self.checks_portability {
                    report.within(place, |report| portable::notes(node, report));
                }
            }
        }
    }

    /// Reads the texts of a ConfigMap or Secret.
    fn wrapper(&mut self, node: &Node, kind: &str, report: &mut Report) {
        let encoded = if kind == "Secret" {
            "data"
        } else {
            "binaryData"
        };
        let plain = if kind == "Secret" {
            "stringData"
        } else {
            "data"
        };
        let mut found = false;
        for (name, is_encoded) in [(plain, false), (encoded, true)] {
            let Some(data) = node.get(name) else {
                continue;
            };
            if matches!(data.value, Value::Null) {
                continue;
            }
            let data = Field::new(name, data, &DATA);
            for (entry, field) in data.entries(report).unwrap_or_default() {
                if !is_manifest(&entry.name) {
                    continue;
                }
                found = true;
                let Some(text) = field.text(report) else {
                    continue;
                };
                if !is_encoded {
                    self.wrapped(text, &entry.name);
                    continue;
                }
                match decoded(text) {
                    Ok(text) => self.wrapped(&text, &entry.name),
                    Err(message) => report.place(&field.path, field.node.mark, message),
                }
            }
        }
        if !found {
            let message = "holds no key that ends in .yaml, .yml or .json";
            report.place("data", node.mark, message);
        }
    }

    /// Reads the text that stands under `key`.
    fn wrapped(&mut self, text: &str, key: &str) {
        let file = format!("{}[{key}]", self.file);
        let mut report = Report::of_file(&file);
        let outer = std::mem::take(&mut self.inner);
        let mut inside = File {
            file: &file,
            namespace: self.namespace,
            names: self.names,
            checks_portability: self.checks_portability,
            resources: std::mem::take(&mut self.resources),
            inner: outer,
        };
        inside.documents(text, false, &mut report);
        let (resources, inner) = (inside.resources, inside.inner);
        self.resources = resources;
        self.inner = inner;
        self.inner.extend(report.finish().0);
    }
}

/// The items of a list, as `kubectl get` prints several objects.
fn items(node: &Node) -> Option<&Node> {
    let kind = node.get("kind")?.text()?;
    ["List", "WasmPluginList", "TrafficExtensionList"]
        .contains(&kind)
        .then(|| node.get("items"))
        .flatten()
}

fn is_core(node: &Node) -> bool {
    node.get("apiVersion").and_then(Node::text) == Some("v1")
}

fn name(node: &Node, kind: &str, place: &str) -> String {
    let name = node
        .get("metadata")
        .and_then(|metadata| metadata.get("name"));
    match name.and_then(Node::text) {
        Some(name) => format!("{kind} {name:.253?}"),
        None => place.to_owned(),
    }
}

/// The text of a Secret's entry, whose line breaks do not count.
fn decoded(text: &str) -> Result<String, &'static str> {
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    let bytes = Base64::decode_vec(&text).map_err(|_| "not base64")?;
    String::from_utf8(bytes).map_err(|_| "not UTF-8 once decoded")
}

#[cfg(test)]
mod tests;
