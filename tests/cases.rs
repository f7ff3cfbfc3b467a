//! Golden cases: drop a settings document into `tests/cases/valid` or `tests/cases/invalid`, run
//! with `UPDATE_GOLDEN=1`, read what was written beside it, and you have a test.
//!
//! `NAME.yaml` is what a filter entry hands over; its `configFile` is looked up beside it (such
//! files end in `.settings`). Beside it stands `NAME.plan`, the plan in words, or `NAME.err`,
//! every problem in its exact words.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fmt::{Debug, Write as _};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use wasmplugin_host::plugin::{
    FailStrategy, Phase, Plan, PluginSpec, Problems, PullPolicy, defaults, plan,
};

/// The fewest cases that must be found, lest an empty folder pass.
const LEAST: [(&str, usize); 2] = [("valid", 25), ("invalid", 40)];

#[test]
fn valid_documents_make_their_plan() {
    check("valid", "plan", |result| match result {
        Ok(plan) => Ok(told(&plan)),
        Err(problems) => Err(format!("should be valid:\n{problems}")),
    });
}

#[test]
fn invalid_documents_tell_all_problems() {
    check("invalid", "err", |result| match result {
        Ok(plan) => Err(format!("should be invalid:\n{}", told(&plan))),
        Err(problems) => Ok(format!("{problems}\n")),
    });
}

fn check(
    folder: &str,
    extension: &str,
    rendered: impl Fn(Result<Plan, Problems>) -> Result<String, String>,
) {
    let cases = cases(folder);
    let least = LEAST.iter().find(|(name, _)| *name == folder);
    let (_, least) = least.expect("a folder");
    assert!(
        cases.len() >= *least,
        "only {} cases in {folder}",
        cases.len()
    );
    let mut failures = String::new();
    for case in cases {
        let directory = case.parent().expect("a directory").to_owned();
        let read_file = |path: &str| -> io::Result<String> {
            // The system's own words differ; the cases must not.
            fs::read_to_string(directory.join(path))
                .map_err(|_| io::Error::new(io::ErrorKind::NotFound, "no such file"))
        };
        let config = fs::read(&case).expect("a readable case");
        let golden = case.with_extension(extension);
        let outcome = match rendered(plan(&config, &read_file)) {
            Ok(text) if std::env::var_os("UPDATE_GOLDEN").is_some() => {
                fs::write(&golden, text).expect("a writable folder");
                continue;
            }
            Ok(text) => {
                let wanted = fs::read_to_string(&golden).unwrap_or_default();
                if text == wanted {
                    continue;
                }
                format!("wanted:\n{wanted}\ngot:\n{text}")
            }
            Err(message) => message,
        };
        let _ = write!(failures, "\n== {}\n{outcome}", case.display());
    }
    assert!(
        failures.is_empty(),
        "{failures}\nIf this is as it should be, run again with UPDATE_GOLDEN=1."
    );
}

fn cases(folder: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/cases")
        .join(folder);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of cases") {
        let path = entry.expect("an entry").path();
        if path
            .extension()
            .is_some_and(|extension| extension == "yaml")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A plan in words. What holds because nothing was written is left out, so that a snapshot shows
/// what its case is about.
fn told(plan: &Plan) -> String {
    let mut told = Told::default();
    let fetch = &plan.fetch;
    let phases = Phase::ALL.into_iter().filter(|p| plan.phases.contains(*p));
    let phases: Vec<_> = phases.map(Phase::as_str).collect();
    told.changed(
        "phases",
        &phases.join(", "),
        &Phase::ALL.map(Phase::as_str).join(", "),
    );
    told.some("plugins dir", plan.plugins_dir.as_ref());
    told.some("labels file", plan.labels_file.as_ref());
    told.some("secrets dir", fetch.secrets_dir.as_ref());
    told.some("cache dir", fetch.cache_dir.as_ref());
    told.changed("startup wait", &plan.startup_wait, &defaults::STARTUP_WAIT);
    told.changed("fetch timeout", &fetch.timeout, &defaults::FETCH_TIMEOUT);
    told.changed("fetch attempts", &fetch.attempts, &defaults::FETCH_ATTEMPTS);
    told.changed(
        "max module bytes",
        &fetch.max_module_bytes,
        &defaults::MAX_MODULE_BYTES,
    );
    told.changed(
        "insecure registries",
        &fetch.insecure_registries,
        &Vec::new(),
    );
    told.some("CA file", fetch.ca_file.as_ref());
    let blocked = fetch.blocked_cidrs.get(defaults::BLOCKED_CIDRS.len()..);
    told.changed(
        "blocked beyond the built-in",
        &blocked.expect("built-in ones").to_vec(),
        &Vec::new(),
    );
    told.some("file roots", fetch.allow_file_roots.as_ref());
    for plugin in &plan.plugins {
        plugin_in_words(plugin, &mut told);
    }
    if plan.plugins.is_empty() {
        told.text.push_str("no plugin\n");
    }
    told.text
}

fn plugin_in_words(plugin: &PluginSpec, told: &mut Told) {
    let limits = &plugin.limits;
    let _ = writeln!(told.text, "plugin {}", plugin.resource());
    told.indented = true;
    told.changed("phase", &plugin.phase, &Phase::Unspecified);
    told.some("priority", plugin.priority.as_ref());
    told.line("url", &plugin.url.to_string());
    told.some("sha256", plugin.sha256.as_ref());
    told.changed(
        "pull policy",
        &plugin.pull_policy,
        &PullPolicy::IfNotPresent,
    );
    told.some("resource version", plugin.resource_version.as_ref());
    told.some("refreshed every", plugin.refresh_interval.as_ref());
    told.some("pull secret", plugin.pull_secret.as_ref());
    told.some("verified with", plugin.verification_key.as_ref());
    told.line(
        "config",
        &format!("{:?}", String::from_utf8_lossy(&plugin.config)),
    );
    told.changed("root id", &plugin.root_id, &String::new());
    told.changed("vm id", &plugin.vm_id, &String::new());
    told.changed("vm config", &plugin.vm_config, &String::new());
    for (name, value) in &plugin.env {
        told.line(&format!("env {name}"), &format!("{value:?}"));
    }
    told.changed("fail", &plugin.fail, &FailStrategy::Close);
    told.changed("fail status", &plugin.fail_status, &defaults::FAIL_STATUS);
    told.changed("hold headers", &plugin.hold_headers, &false);
    told.changed("enabled by default", &plugin.enabled_by_default, &true);
    told.some("ports", plugin.ports.as_ref());
    told.some("log level", plugin.log_level.as_ref());
    told.some("capabilities", plugin.capabilities.as_ref());
    told.changed(
        "call deadline",
        &limits.call_deadline,
        &defaults::CALL_DEADLINE,
    );
    told.changed(
        "start deadline",
        &limits.start_deadline,
        &defaults::START_DEADLINE,
    );
    told.changed("memory", &limits.memory, &defaults::MEMORY);
    told.changed(
        "table elements",
        &limits.table_elements,
        &defaults::TABLE_ELEMENTS,
    );
    told.some("max body", limits.max_body.as_ref());
    told.changed(
        "open callouts",
        &limits.open_callouts,
        &defaults::OPEN_CALLOUTS,
    );
    told.changed("shared data", &limits.shared_data, &defaults::SHARED_DATA);
    told.indented = false;
}

#[derive(Default)]
struct Told {
    text: String,
    indented: bool,
}

impl Told {
    fn line(&mut self, name: &str, value: &str) {
        let indent = if self.indented { "  " } else { "" };
        let _ = writeln!(self.text, "{indent}{name}: {value}");
    }

    fn some(&mut self, name: &str, value: Option<&impl Debug>) {
        if let Some(value) = value {
            self.line(name, &format!("{value:?}"));
        }
    }

    fn changed<T: Debug + PartialEq>(&mut self, name: &str, value: &T, unwritten: &T) {
        self.some(name, (value != unwritten).then_some(value));
    }
}
