//! What users write (settings and resources) and what it means (a plan).
//!
//! Bytes come in, either a [`Plan`] or *all* [`Problems`] of the text come out. Nothing here
//! touches the network, wasm or Envoy; the only file ever read is `configFile`, through a
//! function that the caller passes in.
//!
//! # Resources that come and go
//!
//! A [`Plan`] holds the resources of the settings. Those of `pluginsDir` and the labels of
//! `labelsFile` change while Envoy runs, so the caller reads these files and hands over what they
//! hold, at start and after every change:
//!
//! ```
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! use wasmplugin_host::plugin::{self, Directory};
//!
//! let settings = "pluginsDir: /plugins\nworkload: {labelsFile: /labels}\n";
//! let plan = plugin::plan(settings.as_bytes(), &|path| std::fs::read_to_string(path))?;
//!
//! // Kept from change to change: it remembers what was last good.
//! let mut directory = Directory::default();
//! let file = ("/plugins/a.yaml".to_owned(), Ok("kind: WasmPlugn".to_owned()));
//! if directory.update([file], &plan.workload.namespace) {
//!     println!("{}", directory.problems());
//! }
//! let labels = plugin::labels("app=\"web\"\n", "/labels")?;
//! assert_eq!(plan.plugins_with(&directory, &labels), []);
//! # Ok(())
//! # }
//! ```
//!
//! Comparing the new list with the old one, plugin by plugin, tells what has changed. Where labels
//! cannot be read, the last good ones go on.
//!
//! The way of a text: `guard` measures it, `document` makes it a tree with places, `decode` takes
//! the tree apart with the rules of `settings` and `resource`, `order` selects and sorts. Every
//! step reports to `report` and goes on, so that one run tells everything.

mod annotation;
pub mod case;
mod decode;
pub mod defaults;
mod directory;
mod document;
mod fields;
mod guard;
mod json;
mod labels;
mod manifest;
mod names;
mod order;
mod pages;
mod policy;
mod portable;
mod problem;
mod report;
mod resource;
pub mod route;
mod schema;
mod settings;
mod shape;
mod spec;
mod target;
mod timestamp;
mod traffic;
mod units;
mod url;

#[cfg(test)]
mod tests;

pub use directory::Directory;
pub use labels::labels;
pub use manifest::{ResourceReader, is_manifest};
pub use order::{Absence, Arrangement, Because, LeftOut, Placed, Workload, arrange};
pub use pages::{annotation_rows, fields_page, settings_rows};
pub use problem::{Position, Problem, Problems};
pub use resource::Resource;
pub use schema::schemas;
pub use settings::WorkloadType;
pub use spec::{
    EnvValue, FailStrategy, FetchSettings, Limits, LogLevel, ModuleUrl, Phase, PhaseSet, Plan,
    PluginSpec, PullPolicy, VerificationKey,
};
pub use target::Target;

use decode::Field;
use document::{Mark, Node, Source, Value};
use fields::{SETTINGS, SETTINGS_KIND};
use report::Report;
use resource::Names;
use std::collections::BTreeMap;
use std::io;

/// Reads the configuration of a filter entry.
///
/// `config` is YAML or JSON, empty for all defaults. If it names a `configFile`, `read_file` reads
/// that; what `config` says itself wins, field by field.
///
/// # Errors
///
/// All problems of both texts.
pub fn plan(
    config: &[u8],
    read_file: &dyn Fn(&str) -> io::Result<String>,
) -> Result<Plan, Problems> {
    let mut report = Report::of_settings();
    let inline = match std::str::from_utf8(config) {
        Ok(text) => settings_document(text, Source::Inline, &mut report),
        Err(error) => {
            let at = error.valid_up_to();
            report.text(Source::Inline, None, format!("not UTF-8 at byte {at}"));
            None
        }
    };
    let inline = inline.unwrap_or_else(|| empty(Source::Inline));
    let merged = match config_file(&inline, read_file, &mut report) {
        Some(base) => settings::merge(base, inline),
        None => inline,
    };
    let (settings, plugins) = settings::decode(&merged, &mut report);
    let mut names = Names::default();
    let mut resources = Vec::with_capacity(plugins.len());
    for (i, node) in plugins.iter().enumerate() {
        let place = format!("plugins[{i}]");
        let namespace = &settings.workload.namespace;
        resources.extend(resource::decode(
            node,
            &place,
            namespace,
            None,
            &mut names,
            &mut report,
        ));
    }
    if report.len() > 0 {
        return Err(report.finish());
    }
    let mut plan = Plan {
        phases: settings.phases,
        key: settings::key(&merged, &[]),
        lineage: settings::key(&merged, &["plugins"]),
        plugins: Vec::new(),
        resources,
        workload: settings.workload,
        limits: settings.limits,
        startup_wait: settings.startup_wait,
        fetch: settings.fetch,
        plugins_dir: settings.plugins_dir,
        labels_file: settings.labels_file,
    };
    plan.plugins = plan.plugins_with(&Directory::default(), &BTreeMap::new());
    Ok(plan)
}

/// Whether `text` looks like settings rather than resources: an object with a field of settings and
/// none that every resource has.
pub fn is_settings(text: &str) -> bool {
    let documents = document::parse(text, Source::Inline, &mut Report::of_settings());
    let Some(Value::Object(entries)) = documents.first().map(|first| &first.node.value) else {
        return false;
    };
    let has = |names: &[&str]| entries.iter().any(|e| names.contains(&e.name.as_str()));
    has(&SETTINGS.names()) && !has(&["apiVersion", "kind", "metadata", "spec"])
}

impl Plan {
    /// The plugins that apply when `pluginsDir` holds `directory` and `labelsFile` holds `labels`,
    /// in the order in which requests meet them.
    pub fn plugins_with(
        &self,
        directory: &Directory,
        labels: &BTreeMap<String, String>,
    ) -> Vec<PluginSpec> {
        let arrangement = self.arrange(directory, labels);
        let placed = arrangement.placed.iter();
        placed.map(|placed| self.spec(placed.resource)).collect()
    }

    /// As [`Self::plugins_with`], with the reasons. A resource of the settings comes before one of
    /// the same name in the directory, a label of the settings before one of the file.
    pub fn arrange<'r>(
        &'r self,
        directory: &'r Directory,
        labels: &BTreeMap<String, String>,
    ) -> Arrangement<'r> {
        self.arrange_on_route(directory, labels, [])
    }

    /// As [`Self::arrange`], with resources that a route brings ([`route::MetadataValue::Add`]).
    pub fn arrange_on_route<'r>(
        &'r self,
        directory: &'r Directory,
        labels: &BTreeMap<String, String>,
        added: impl IntoIterator<Item = &'r Resource>,
    ) -> Arrangement<'r> {
        let workload = self.workload_with(labels);
        let resources = self.resources.iter().chain(directory.resources());
        arrange(resources, added, &workload)
    }

    /// Who this proxy is when `labelsFile` holds `labels`.
    pub fn workload_with(&self, labels: &BTreeMap<String, String>) -> Workload {
        let mut workload = self.workload.clone();
        for (name, value) in labels {
            let labels = &mut workload.labels;
            labels.entry(name.clone()).or_insert_with(|| value.clone());
        }
        workload
    }

    /// The plugin of `resource`, wherever that comes from.
    pub fn spec(&self, resource: &Resource) -> PluginSpec {
        resource.spec(self.limits, self.workload.kind)
    }
}

/// The one document of settings in `text`; none if there is none or it is broken.
fn settings_document(text: &str, source: Source, report: &mut Report) -> Option<Node> {
    let mut documents = document::parse(text, source, report).into_iter();
    let document = documents.next()?.node;
    if let Some(second) = documents.next() {
        let message = "settings are one document, this is a second one";
        report.text(source, Some(second.node.mark), message);
    }
    // Merging settings that are no object would hide them.
    if source == Source::File && !matches!(document.value, Value::Object(_)) {
        Field::new("", &document, &SETTINGS_KIND).object(report);
        return None;
    }
    Some(document)
}

/// The settings of the file that `inline` names, if it names one that can be used.
fn config_file(
    inline: &Node,
    read_file: &dyn Fn(&str) -> io::Result<String>,
    report: &mut Report,
) -> Option<Node> {
    let node = inline.get("configFile")?;
    if matches!(node.value, Value::Null) {
        return None;
    }
    let shape = SETTINGS.field("configFile")?;
    let path = Field::new(shape.name, node, &shape.kind).text(report)?;
    report.name_file(path);
    let text = match read_file(path) {
        Ok(text) => text,
        Err(error) => {
            report.text(Source::File, None, format!("cannot be read: {error}"));
            return None;
        }
    };
    let document = settings_document(&text, Source::File, report)?;
    if let Some(node) = document.get("configFile") {
        let message = "a settings file cannot name another one";
        report.field("configFile", node, message);
    }
    Some(document)
}

fn empty(source: Source) -> Node {
    let mark = Mark {
        source,
        line: 1,
        column: 1,
    };
    Node {
        mark,
        value: Value::Object(Vec::new()),
    }
}
