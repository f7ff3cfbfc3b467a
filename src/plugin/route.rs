//! What routes say about plugins: on, off, another configuration, or one plugin more.
//!
//! There are two ways to say it. `typed_per_filter_config` holds an object for all plugins, read by
//! [`per_filter_config`]. Route metadata holds a flat text for each, read by [`metadata_value`].
//! Both come to the same [`Change`]; what is equal compares and hashes as equal, so that equal
//! configurations can share one root context.
//!
//! Where a route has both, metadata wins, field by field: see [`Change::lay_over`].

use super::decode::{Field, Fields};
use super::document::{self, Entry, Node, Source, Value};
use super::fields::{CHANGE_KIND, RESOURCE, ROUTE_KIND};
use super::names;
use super::problem::Problems;
use super::report::Report;
use super::resource::{self, Names, Resource};
use std::collections::BTreeMap;

/// The changes of a route, by resource (`<namespace>/<name>`).
pub type Changes = BTreeMap<String, Change>;

/// What a route changes about a plugin.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Change {
    /// Whether the plugin runs here; none for what holds elsewhere.
    pub enabled: Option<bool>,
    /// What the guest reads as its plugin configuration here, in place of its own; equal
    /// configurations are equal bytes, however they were written.
    pub config: Option<Vec<u8>>,
}

impl Change {
    /// Lays `above` over this, which holds where `above` says nothing.
    pub fn lay_over(&mut self, above: Self) {
        self.enabled = above.enabled.or(self.enabled);
        self.config = above.config.or_else(|| self.config.take());
    }
}

/// What a value of route metadata says.
#[derive(Clone, Debug, PartialEq)]
pub enum MetadataValue {
    /// It changes a plugin that there is.
    Change(Change),
    /// It brings a plugin. `selector`, `targetRefs` and namespace do not matter, since the route
    /// itself says where it runs. `Plan::spec` makes a plugin of it.
    Add(Box<Resource>),
}

/// Reads the configuration that a route has for the filter, as YAML or JSON, or as a serialized
/// `Struct`:
/// `{plugins: {<namespace>/<name>: {enabled: …, pluginConfig: {…}}}}`.
///
/// # Errors
///
/// All that is wrong in it.
pub fn per_filter_config(config: &[u8]) -> Result<Changes, Problems> {
    let mut report = Report::of_text("route configuration");
    let json = wire::json(config);
    let node = one(
        json.as_ref().map_or(config, |json| json.as_bytes()),
        &mut report,
    );
    let changes = node.map(|node| filter_config(&node, &mut report));
    finished(changes.unwrap_or_default(), report)
}

/// Reads the value that route metadata (`filter_metadata.wasmplugin`) has under `key`, a
/// resource: `true`, `false`, or YAML or JSON of either `{pluginConfig: {…}}` or a whole resource.
///
/// # Errors
///
/// All that is wrong with the key and the value.
pub fn metadata_value(key: &str, text: &str) -> Result<MetadataValue, Problems> {
    let mut report = Report::of_text(&format!("route metadata {key:.320?}"));
    let Some((namespace, name)) = names::pair(key) else {
        report.text(Source::Inline, None, wanted_key());
        return Err(report.finish());
    };
    let value = one(text.as_bytes(), &mut report)
        .and_then(|node| value(&node, namespace, name, &mut report));
    match value {
        Some(value) if report.len() == 0 => Ok(value),
        _ => {
            if report.len() == 0 {
                report.text(Source::Inline, None, WANTED_VALUE);
            }
            Err(report.finish())
        }
    }
}

/// What a route says, from both of its ways.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Route {
    /// What it changes.
    pub changes: Changes,
    /// What it brings.
    pub added: Vec<Resource>,
}

/// Reads a route as Envoy has it, or one of the two objects that [`per_filter_config`] and
/// [`metadata_value`] read.
///
/// # Errors
///
/// All that is wrong with what is meant for us.
pub fn route(text: &[u8]) -> Result<Route, Problems> {
    let mut report = Report::of_text("route");
    let mut route = Route::default();
    if let Some(node) = one(text, &mut report) {
        route.read(&node, &mut report);
    }
    finished(route, report)
}

impl Route {
    fn read(&mut self, node: &Node, report: &mut Report) {
        let configs = node.get("typed_per_filter_config");
        let metadata = node.get("metadata");
        if configs.is_none() && metadata.is_none() {
            if node.get("plugins").is_some() {
                self.changes = filter_config(node, report);
            } else {
                self.read_metadata(node, report);
            }
            return;
        }
        if let Some(Value::Object(configs)) = configs.map(|node| &node.value) {
            self.read_configs(configs, report);
        }
        let ours = metadata.and_then(|node| node.get("filter_metadata")?.get("wasmplugin"));
        if let Some(node) = ours {
            self.read_metadata(node, report);
        }
    }

    fn read_configs(&mut self, configs: &[Entry], report: &mut Report) {
        for config in configs {
            let config = config.node.get("filter_config");
            let Some(value) = config.and_then(|config| config.get("value")) else {
                continue;
            };
            let inner = match value.text() {
                Some(text) => one(text.as_bytes(), report),
                None => Some(value.clone()),
            };
            // Other filters have other objects.
            if let Some(node) = inner.filter(|node| node.get("plugins").is_some()) {
                self.changes.extend(filter_config(&node, report));
            }
        }
    }

    fn read_metadata(&mut self, node: &Node, report: &mut Report) {
        let Value::Object(entries) = &node.value else {
            report.place(
                "metadata",
                node.mark,
                "must be an object with a key for each resource",
            );
            return;
        };
        for entry in entries {
            let Some((namespace, name)) = names::pair(&entry.name) else {
                report.place(&shown(&entry.name), entry.mark, wanted_key());
                continue;
            };
            let owner = format!("route metadata {}", shown(&entry.name));
            let said = report.within(owner, |report| {
                let before = report.len();
                let inner = match entry.node.text() {
                    Some(text) => one(text.as_bytes(), report),
                    None => Some(entry.node.clone()),
                };
                let said = inner.and_then(|node| value(&node, namespace, name, report));
                if said.is_none() && report.len() == before {
                    report.text(Source::Inline, Some(entry.node.mark), WANTED_VALUE);
                }
                said
            });
            match said {
                Some(MetadataValue::Change(change)) => {
                    let below = self.changes.entry(entry.name.clone()).or_default();
                    below.lay_over(change);
                }
                Some(MetadataValue::Add(resource)) => self.added.push(*resource),
                None => {}
            }
        }
    }
}

fn wanted_key() -> String {
    format!("the name must be {}", RESOURCE.wanted)
}

fn shown(key: &str) -> String {
    format!("{key:.320?}")
}

/// Reads the object of a filter configuration.
fn filter_config(node: &Node, report: &mut Report) -> Changes {
    let mut changes = Changes::new();
    if let Some(mut fields) = Field::new("", node, &ROUTE_KIND).object(report) {
        if let Some(plugins) = fields.take("plugins", report) {
            changes = self::changes(&plugins, report);
        }
        fields.finish(report);
    }
    changes
}

const WANTED_VALUE: &str =
    "must be true, false, {pluginConfig: {…}}, or a WasmPlugin or TrafficExtension";

fn value(node: &Node, namespace: &str, name: &str, report: &mut Report) -> Option<MetadataValue> {
    match &node.value {
        Value::Bool(enabled) => Some(MetadataValue::Change(Change {
            enabled: Some(*enabled),
            config: None,
        })),
        Value::Object(_) if node.get("kind").is_some() || node.get("spec").is_some() => {
            let mut seen = Names::default();
            let place = "the resource";
            let found = resource::decode(node, place, namespace, None, &mut seen, report)?;
            if (found.namespace(), found.name()) != (namespace, name) {
                let message = format!(
                    "the resource is {}, which its key must say",
                    found.resource()
                );
                report.text(Source::Inline, Some(node.mark), message);
            }
            Some(MetadataValue::Add(Box::new(found)))
        }
        Value::Object(_) => {
            let fields = Field::new("", node, &CHANGE_KIND).object(report)?;
            Some(MetadataValue::Change(change(fields, report)))
        }
        _ => None,
    }
}

fn changes(plugins: &Field<'_>, report: &mut Report) -> Changes {
    let mut changes = Changes::new();
    for (entry, field) in plugins.entries(report).unwrap_or_default() {
        if let Some(fields) = field.object(report) {
            changes.insert(entry.name.clone(), change(fields, report));
        }
    }
    changes
}

fn change(mut fields: Fields<'_>, report: &mut Report) -> Change {
    let enabled = fields
        .take("enabled", report)
        .and_then(|field| field.boolean(report));
    let config = fields.take("pluginConfig", report);
    if let Some(hidden) = config.as_ref().and_then(resource::hidden_key) {
        let message = "a route has no say about how the module is verified";
        report.place(&hidden.path, hidden.node.mark, message);
    }
    let config = config.map(|field| resource::plugin_config(&field, report));
    fields.finish(report);
    Change { enabled, config }
}

/// The one document of a text; none if it is empty or broken.
fn one(text: &[u8], report: &mut Report) -> Option<Node> {
    let text = match std::str::from_utf8(text) {
        Ok(text) => text,
        Err(error) => {
            let message = format!("not UTF-8 at byte {}", error.valid_up_to());
            report.text(Source::Inline, None, message);
            return None;
        }
    };
    let mut documents = document::parse(text, Source::Inline, report).into_iter();
    let first = documents.next()?.node;
    if let Some(second) = documents.next() {
        let message = "one document is wanted, this is a second one";
        report.text(Source::Inline, Some(second.node.mark), message);
    }
    Some(first)
}

fn finished<T>(value: T, report: Report) -> Result<T, Problems> {
    if report.len() > 0 {
        return Err(report.finish());
    }
    Ok(value)
}

#[cfg(test)]
mod tests;
mod wire;
