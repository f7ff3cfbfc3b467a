//! Golden cases: drop a document into `tests/cases/valid` or `tests/cases/invalid`, run with
//! `UPDATE_GOLDEN=1`, read what was written beside it, and you have a test.
//!
//! - `NAME.k8s.yaml` (or `.k8s.json`) is a file of resources, as written for Kubernetes.
//! - `NAME.route.yaml` is a route.
//! - Any other `NAME.yaml` is what a filter entry hands over; its `configFile` is looked up beside
//!   it (such files end in `.settings`).
//!
//! Beside it stands `NAME.plan`, what it means in words, or `NAME.err`, every problem in its exact
//! words. `tests/cases/beyond-schemas.txt` lists the invalid ones that the JSON Schemas take.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "support/schemas.rs"]
mod schemas;

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use schemas::Schemas;
use wasmplugin_host::plugin::route::{self, Route};
use wasmplugin_host::plugin::{
    FailStrategy, Limits, Phase, Plan, PluginSpec, Problems, PullPolicy, ResourceReader, Target,
    defaults, plan,
};

/// The fewest cases that must be found, lest a folder lose some.
const LEAST: usize = 150;

#[test]
fn valid_documents_make_their_plan() {
    check("valid", "plan", |meaning| match meaning {
        Ok(words) => Ok(words),
        Err(problems) => Err(format!("should be valid:\n{problems}")),
    });
}

#[test]
fn invalid_documents_tell_all_problems() {
    check("invalid", "err", |meaning| match meaning {
        Ok(words) => Err(format!("should be invalid:\n{words}")),
        Err(problems) => Ok(format!("{problems}\n")),
    });
}

/// What editors say by the schemas is right: they take all that is valid. And they refuse what is
/// not, but for the cases in `beyond-schemas.txt`, which are about more than a schema can say.
#[test]
fn schemas_know_the_cases() {
    let schemas = Schemas::load();
    let take = |case: &Path| {
        let text = fs::read_to_string(case).ok()?;
        let form = stem(case).rsplit_once('.').map(|(_, form)| form);
        schemas.take(form, &text)
    };
    let mut known = 0;
    for case in cases("valid") {
        match take(&case) {
            Some(Err(error)) => panic!("{}: {error}", case.display()),
            found => known += usize::from(found.is_some()),
        }
    }
    assert!(known >= LEAST, "only {known} cases were of a schema");
    let invalid = cases("invalid");
    let taken = invalid.iter().filter(|case| take(case) == Some(Ok(())));
    let taken: String = taken.map(|case| format!("{}\n", stem(case))).collect();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases/beyond-schemas.txt");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&golden, &taken).expect("a writable folder");
    }
    let wanted = fs::read_to_string(golden).unwrap_or_default();
    assert_eq!(taken, wanted);
}

/// Debug builds check that readers and tables agree whatever the text, so this is about more than
/// panics.
#[test]
fn damaged_documents_are_read_to_their_end() {
    let signs = b":-,{}[]\"'# \n&*!|>%0a\xff";
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = |below: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        usize::try_from(random % (below.max(1) as u64)).expect("below a usize")
    };
    for case in cases("valid").into_iter().chain(cases("invalid")) {
        let text = fs::read(&case).expect("a readable case");
        for _ in 0..4 {
            let mut damaged = text.clone();
            for _ in 0..=next(3) {
                let at = next(damaged.len());
                match next(4) {
                    0 => damaged.truncate(at),
                    1 if at < damaged.len() => {
                        damaged.remove(at);
                    }
                    2 => damaged.insert(at, signs[next(signs.len())]),
                    _ => {
                        let line = damaged.split(|b| *b == b'\n').nth(next(12));
                        let line = line.unwrap_or_default().to_vec();
                        damaged.splice(at..at, line);
                    }
                }
            }
            let _ = plan(&damaged, &beside(&case));
            let _ = route::route(&damaged);
            let _ = route::per_filter_config(&damaged);
            let damaged = String::from_utf8_lossy(&damaged);
            let _ = route::metadata_value("shop/a", &damaged);
            let _ = ResourceReader::of_portable().read(&damaged, "damaged", "shop");
        }
    }
}

fn check(
    folder: &str,
    extension: &str,
    rendered: impl Fn(Result<String, Problems>) -> Result<String, String>,
) {
    let cases = cases(folder);
    let found = cases.len();
    assert!(found >= LEAST, "only {found} cases in {folder}");
    let mut failures = String::new();
    for case in cases {
        let golden = case.with_extension(extension);
        let outcome = match rendered(meaning(&case)) {
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
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "json")) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// What a case means, in words.
fn meaning(case: &Path) -> Result<String, Problems> {
    let text = fs::read(case).expect("a readable case");
    let stem = stem(case);
    if stem.ends_with(".k8s") {
        resources_in_words(case, &text)
    } else if stem.ends_with(".route") {
        route::route(&text).map(|route| route_in_words(&route))
    } else {
        plan(&text, &beside(case)).map(|plan| plan_in_words(&plan))
    }
}

/// The name of a case.
fn stem(case: &Path) -> &str {
    let stem = case.file_stem().and_then(|stem| stem.to_str());
    stem.expect("a name in UTF-8")
}

/// Reads files that stand beside a case.
fn beside(case: &Path) -> impl Fn(&str) -> io::Result<String> {
    let folder = case.parent().expect("a folder").to_owned();
    move |path| {
        // The system's own words differ; the cases must not.
        let missing = |_| io::Error::new(io::ErrorKind::NotFound, "no such file");
        fs::read_to_string(folder.join(path)).map_err(missing)
    }
}

/// All resources of a file, whether or not they apply to some workload.
fn resources_in_words(case: &Path, text: &[u8]) -> Result<String, Problems> {
    let text = String::from_utf8(text.to_vec()).expect("a case in UTF-8");
    let file = case.file_name().and_then(|name| name.to_str());
    let file = file.expect("a name in UTF-8");
    let (resources, problems) = ResourceReader::default().read(&text, file, "default");
    if !problems.0.is_empty() {
        return Err(problems);
    }
    let plan = unwritten();
    let mut told = Told::default();
    for resource in &resources {
        plugin_in_words(&plan.spec(resource), &plan.limits, &mut told);
        told.indented = true;
        told.changed("selector", resource.selector(), &BTreeMap::new());
        for target in resource.targets() {
            told.line("target", &target_in_words(target));
        }
        told.indented = false;
    }
    Ok(told.text)
}

fn route_in_words(route: &Route) -> String {
    let mut told = Told::default();
    for (resource, change) in &route.changes {
        let _ = writeln!(told.text, "change {resource}");
        told.indented = true;
        told.some("enabled", change.enabled.as_ref());
        let config = change.config.as_ref();
        told.some(
            "config",
            config.map(|c| String::from_utf8_lossy(c)).as_ref(),
        );
        told.indented = false;
    }
    let plan = unwritten();
    for resource in &route.added {
        plugin_in_words(&plan.spec(resource), &plan.limits, &mut told);
    }
    told.text
}

/// A plan in words. What holds because nothing was written is left out, so that a snapshot shows
/// what its case is about.
fn plan_in_words(plan: &Plan) -> String {
    let unwritten = unwritten();
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
    let (workload, none) = (&plan.workload, &unwritten.workload);
    told.changed("namespace", &workload.namespace, &none.namespace);
    told.changed(
        "root namespace",
        &workload.root_namespace,
        &none.root_namespace,
    );
    told.changed("labels", &workload.labels, &none.labels);
    told.changed("type", &workload.kind, &none.kind);
    for target in &workload.targets {
        told.line("stands for", &target_in_words(target));
    }
    limits_in_words(&plan.limits, &unwritten.limits, &mut told);
    for plugin in &plan.plugins {
        plugin_in_words(plugin, &plan.limits, &mut told);
    }
    if plan.plugins.is_empty() {
        told.text.push_str("no plugin\n");
    }
    told.text
}

fn plugin_in_words(plugin: &PluginSpec, limits: &Limits, told: &mut Told) {
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
    limits_in_words(&plugin.limits, limits, told);
    told.indented = false;
}

/// Limits other than those that hold anyway.
fn limits_in_words(limits: &Limits, held: &Limits, told: &mut Told) {
    told.changed("call deadline", &limits.call_deadline, &held.call_deadline);
    told.changed(
        "start deadline",
        &limits.start_deadline,
        &held.start_deadline,
    );
    told.changed("memory", &limits.memory, &held.memory);
    told.changed(
        "table elements",
        &limits.table_elements,
        &held.table_elements,
    );
    told.changed("max body", &limits.max_body, &held.max_body);
    told.changed("open callouts", &limits.open_callouts, &held.open_callouts);
    told.changed("shared data", &limits.shared_data, &held.shared_data);
}

fn target_in_words(target: &Target) -> String {
    format!("{} {} of {:?}", target.kind, target.name, target.group)
}

/// What holds where nothing is written.
fn unwritten() -> Plan {
    plan(b"", &|_| Err(io::ErrorKind::NotFound.into())).expect("no settings")
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
