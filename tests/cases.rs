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

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use wasmplugin_host::plugin::{EnvValue, Phase, Plan, PluginSpec, Problems, plan};

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

/// A plan in words.
fn told(plan: &Plan) -> String {
    let phases = Phase::ALL.into_iter().filter(|p| plan.phases.contains(*p));
    let phases: Vec<_> = phases.map(Phase::as_str).collect();
    let mut text = format!(
        "phases: {}\nkey: {}\nstartup wait: {:?}\nmax module bytes: {}\n",
        phases.join(", "),
        plan.key,
        plan.startup_wait,
        plan.max_module_bytes,
    );
    for plugin in &plan.plugins {
        text += &told_plugin(plugin);
    }
    text
}

fn told_plugin(plugin: &PluginSpec) -> String {
    let limits = &plugin.limits;
    let mut text = format!("\nplugin {}\n", plugin.resource());
    let mut line = |name: &str, value: String| {
        let _ = writeln!(text, "  {name}: {value}");
    };
    line("phase", plugin.phase.to_string());
    let priority = plugin.priority.map(|priority| priority.to_string());
    line("priority", priority.unwrap_or_else(|| "unset".to_owned()));
    line("url", plugin.url.to_string());
    line(
        "sha256",
        plugin.sha256.clone().unwrap_or_else(|| "none".to_owned()),
    );
    line(
        "config",
        format!("{:?}", String::from_utf8_lossy(&plugin.config)),
    );
    line("root id", format!("{:?}", plugin.root_id));
    for (name, value) in &plugin.env {
        let value = match value {
            EnvValue::Inline(value) => format!("{value:?}"),
            EnvValue::Host => "from the host".to_owned(),
        };
        line(&format!("env {name}"), value);
    }
    line(
        "fail",
        format!("{:?}, status {}", plugin.fail, plugin.fail_status),
    );
    line("call deadline", format!("{:?}", limits.call_deadline));
    line("start deadline", format!("{:?}", limits.start_deadline));
    line("memory", limits.memory.to_string());
    line("table elements", limits.table_elements.to_string());
    text
}
