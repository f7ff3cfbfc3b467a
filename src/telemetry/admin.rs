//! How all plugins are doing, for `/wasmplugin` of Envoy's admin interface: a page for people, JSON
//! for programs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde_json::{Value, json};

use super::PluginState;

/// One plugin of one deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct PluginReport {
    /// Counts the deployments of the process: filter entries of equal settings share one.
    pub deployment: usize,
    /// Its place in the order in which requests meet plugins, from 1.
    pub place: usize,
    /// `<namespace>/<name>`.
    pub resource: String,
    /// The phase, as resources spell it.
    pub phase: &'static str,
    /// The priority, if it has one.
    pub priority: Option<i32>,
    /// Where the module comes from.
    pub url: String,
    /// The digest of what runs: `sha256:` and 64 hex digits; none where nothing does.
    pub digest: Option<String>,
    /// How the module's signature was checked.
    pub verification: String,
    /// The generation that new requests meet.
    pub generation: u64,
    /// How it is doing.
    pub state: PluginState,
    /// What went wrong last; empty if nothing did.
    pub last_error: String,
    /// Requests so far.
    pub requests: u64,
    /// Failures so far, by cause.
    pub failures: BTreeMap<&'static str, u64>,
    /// Living instances.
    pub instances: u64,
    /// Their linear memory.
    pub memory_bytes: u64,
}

/// All plugins, for programs.
pub fn report_json(plugins: &[PluginReport]) -> String {
    let plugins: Vec<Value> = plugins.iter().map(PluginReport::json).collect();
    format!("{:#}\n", json!({ "plugins": plugins }))
}

/// All plugins, for people.
pub fn report_html(plugins: &[PluginReport]) -> String {
    let mut page = String::from(HEAD);
    for plugin in plugins {
        plugin.row(&mut page);
    }
    if plugins.is_empty() {
        page.push_str("<tr><td colspan=\"12\">no plugin</td></tr>\n");
    }
    page.push_str("</tbody></table>\n<p><a href=\"?format=json\">JSON</a></p>\n");
    page
}

const HEAD: &str = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><title>wasmplugin</title>\n\
<style>body{font:14px sans-serif;margin:2em}table{border-collapse:collapse}\
th,td{border-bottom:1px solid #ccc;padding:.3em .7em;text-align:left;vertical-align:top}\
td.n{text-align:right}code{font-size:12px;word-break:break-all}\
.running{color:#060}.loading,.last-good{color:#960}\
.unavailable,.failed,.quarantined{color:#b00}</style>\n\
<h1>Plugins</h1>\n<table><thead><tr><th>#</th><th>plugin</th><th>phase</th><th>priority</th>\
<th>state</th><th>source</th><th>verification</th><th>generation</th><th>requests</th>\
<th>failures</th><th>instances</th><th>memory</th></tr></thead><tbody>\n";

impl PluginReport {
    fn json(&self) -> Value {
        json!({
            "deployment": self.deployment,
            "place": self.place,
            "resource": self.resource,
            "phase": self.phase,
            "priority": self.priority,
            "url": self.url,
            "digest": self.digest,
            "verification": self.verification,
            "generation": self.generation,
            "state": self.state.as_str(),
            "last_error": self.last_error,
            "requests": self.requests,
            "failures": self.failures,
            "instances": self.instances,
            "memory_bytes": self.memory_bytes,
        })
    }

    fn row(&self, page: &mut String) {
        let state = self.state.as_str();
        let priority = self.priority.map(|priority| priority.to_string());
        let failures: Vec<_> = self
            .failures
            .iter()
            .map(|(c, n)| format!("{c}: {n}"))
            .collect();
        // A string takes everything.
        let _always = writeln!(
            page,
            "<tr><td class=\"n\">{deployment}.{place}</td><td>{resource}</td><td>{phase}</td>\
             <td class=\"n\">{priority}</td><td class=\"{state}\">{state}<br>{error}</td>\
             <td><code>{url}<br>{digest}</code></td><td>{verification}</td>\
             <td class=\"n\">{generation}</td><td class=\"n\">{requests}</td><td>{failures}</td>\
             <td class=\"n\">{instances}</td><td class=\"n\">{memory} KiB</td></tr>",
            deployment = self.deployment,
            place = self.place,
            resource = escape(&self.resource),
            phase = self.phase,
            priority = priority.unwrap_or_default(),
            error = escape(&self.last_error),
            url = escape(&self.url),
            digest = self.digest.as_deref().unwrap_or_default(),
            verification = escape(&self.verification),
            generation = self.generation,
            requests = self.requests,
            failures = failures.join(", "),
            instances = self.instances,
            memory = self.memory_bytes / 1024,
        );
    }
}

/// Text as HTML: what resources and guests say is not ours.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report() -> PluginReport {
        PluginReport {
            deployment: 1,
            place: 1,
            resource: "default/demo".to_owned(),
            phase: "AUTHN",
            priority: None,
            url: "file:///demo.wasm".to_owned(),
            digest: None,
            verification: "none asked for".to_owned(),
            generation: 1,
            state: PluginState::Unavailable,
            last_error: "<script>".to_owned(),
            requests: 3,
            failures: BTreeMap::from([("trap", 2)]),
            instances: 0,
            memory_bytes: 0,
        }
    }

    #[test]
    fn programs_get_json() {
        let report: Value = serde_json::from_str(&report_json(&[report()])).unwrap();
        let plugin = &report["plugins"][0];
        assert_eq!(plugin["state"], "unavailable");
        assert_eq!(plugin["failures"]["trap"], 2);
        assert_eq!(plugin["digest"], Value::Null);
    }

    #[test]
    fn people_get_a_page_in_which_nothing_foreign_is_markup() {
        let page = report_html(&[report()]);
        assert!(page.contains("default/demo") && page.contains("trap: 2"));
        assert!(page.contains("&lt;script&gt;") && !page.contains("<script>"));
        assert!(report_html(&[]).contains("no plugin"));
    }
}
