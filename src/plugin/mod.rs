//! What users write (settings and resources) and what it means (a plan).
//!
//! Bytes come in, either a [`Plan`] or *all* [`Problems`] of the text come out. Nothing here
//! touches the network, wasm or Envoy; the only file ever read is `configFile`, through a
//! function that the caller passes in.
//!
//! The way of a text: `guard` measures it, `document` makes it a tree with places, `decode` takes
//! the tree apart with the rules of `settings` and `resource`, `order` selects and sorts. Every
//! step reports to `report` and goes on, so that one run tells everything.

mod annotation;
mod decode;
pub mod defaults;
mod document;
mod guard;
mod json;
mod names;
mod order;
mod policy;
mod problem;
mod report;
mod resource;
mod settings;
mod spec;
mod target;
mod timestamp;
mod traffic;
mod units;
mod url;

#[cfg(test)]
mod tests;

pub use problem::{Position, Problem, Problems};
pub use resource::Resource;
pub use settings::WorkloadType;
pub use spec::{
    EnvValue, FailStrategy, FetchSettings, Limits, LogLevel, ModuleUrl, Phase, PhaseSet, Plan,
    PluginSpec, PullPolicy, VerificationKey,
};
pub use target::Target;

use decode::Field;
use document::{Mark, Node, Source, Value};
use report::Report;
use resource::Names;
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
    let workload = &settings.workload;
    resources.retain(|resource| {
        workload.selects(&resource.namespace, &resource.selector, &resource.targets)
    });
    resources.sort_by(|a, b| workload.compare(&a.rank(), &b.rank()));
    let specs = resources
        .into_iter()
        .filter_map(|resource| resource.into_spec(settings.limits, workload.kind));
    Ok(Plan {
        phases: settings.phases,
        key: settings::key(&merged),
        plugins: specs.collect(),
        startup_wait: settings.startup_wait,
        fetch: settings.fetch,
        plugins_dir: settings.plugins_dir,
        labels_file: settings.labels_file,
    })
}

/// Reads files of resources one after the other, as `wasmplugin validate` does.
#[derive(Debug, Default)]
pub struct ResourceReader {
    names: Names,
}

impl ResourceReader {
    /// The resources of `text`, the content of `file`, and everything that is wrong in it;
    /// resources that stand beside a wrong one are good. A resource that names no namespace
    /// belongs to `namespace`. A name that an earlier file holds is a problem, too.
    pub fn read(&mut self, text: &str, file: &str, namespace: &str) -> (Vec<Resource>, Problems) {
        let mut report = Report::of_file(file);
        let documents = document::parse(text, Source::File, &mut report);
        if documents.is_empty() && report.len() == 0 {
            report.text(Source::File, None, "holds no resource");
        }
        let mut resources = Vec::with_capacity(documents.len());
        for (i, node) in documents.iter().enumerate() {
            let place = format!("document {}", i + 1);
            resources.extend(resource::decode(
                node,
                &place,
                namespace,
                Some(file),
                &mut self.names,
                &mut report,
            ));
        }
        (resources, report.finish())
    }
}

/// The one document of settings in `text`; none if there is none or it is broken.
fn settings_document(text: &str, source: Source, report: &mut Report) -> Option<Node> {
    let mut documents = document::parse(text, source, report).into_iter();
    let document = documents.next()?;
    if let Some(second) = documents.next() {
        let message = "settings are one document, this is a second one";
        report.text(source, Some(second.mark), message);
    }
    // Merging settings that are no object would hide them.
    if source == Source::File && !matches!(document.value, Value::Object(_)) {
        Field::root(&document).object(report);
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
    let field = Field {
        path: "configFile".to_owned(),
        node,
    };
    if matches!(node.value, Value::Null) {
        return None;
    }
    let path = field.text(report)?;
    if path.is_empty() {
        field.refuse(report, "names no file");
        return None;
    }
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
