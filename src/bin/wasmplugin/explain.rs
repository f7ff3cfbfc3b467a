//! `wasmplugin explain`: which resources apply to a proxy, in which order, and why.
//!
//! Reads what Envoy would read, with the code that Envoy's module reads it by, and prints the
//! arrangement with its reasons. With a route, also what the route makes of it.

use crate::files::{as_json, line, listed};
use crate::{Outcome, Output};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use wasmplugin_host::plugin::route::{self, Route};
use wasmplugin_host::plugin::{
    self, Arrangement, Directory, LeftOut, Phase, PhaseSet, Placed, Plan, PluginSpec, Problem,
    Resource, Workload,
};

/// Show which resources apply to a proxy, in which order, and the rule behind each place.
///
/// Exits with 1 if settings or resources have a problem.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// The settings, as Envoy's configFile names them
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Labels of the proxy, besides those of the settings, which they replace: k=v,…
    #[arg(long, value_name = "LABELS", value_delimiter = ',', value_parser = label)]
    labels: Vec<(String, String)>,
    /// A route as Envoy has it, its filter configuration, or its metadata for wasmplugin
    #[arg(long, value_name = "FILE")]
    route: Option<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

fn label(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() => Ok((name.to_owned(), value.to_owned())),
        _ => Err("must be a label, as in app=web".to_owned()),
    }
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<Outcome> {
    let name = args.config.display().to_string();
    let mut problems = Vec::new();
    let Some(mut plan) = settings(&args.config, &mut problems) else {
        tell(&[], &problems, &name, args.output, out)?;
        return Ok(Outcome::ProblemFound);
    };
    plan.workload.labels.extend(args.labels.iter().cloned());
    let directory = directory(&plan, &mut problems);
    let labels = labels(&plan, &mut problems);
    let route = args.route.as_ref().map(|path| route(path, &mut problems));
    let added = route.iter().flat_map(|route| &route.added);
    let arrangement = plan.arrange_on_route(&directory, &labels, added);
    let view = View {
        settings: &name,
        workload: plan.workload_with(&labels),
        plan: &plan,
        arrangement: &arrangement,
        route: route.as_ref(),
    };
    match args.output {
        Output::Text => tell(&view.lines(), &problems, &name, args.output, out)?,
        Output::Json => {
            let problems: Vec<_> = problems.iter().map(|p| as_json(p, &name)).collect();
            let mut result = view.json();
            if let Some(result) = result.as_object_mut() {
                result.insert("problems".to_owned(), problems.into());
            }
            writeln!(out, "{result:#}")?;
        }
    }
    Ok(if problems.is_empty() {
        Outcome::Good
    } else {
        Outcome::ProblemFound
    })
}

fn tell(
    lines: &[String],
    problems: &[Problem],
    file: &str,
    output: Output,
    out: &mut dyn Write,
) -> io::Result<()> {
    if output == Output::Json {
        let problems: Vec<_> = problems.iter().map(|p| as_json(p, file)).collect();
        return writeln!(out, "{:#}", json!({ "problems": problems }));
    }
    for line in lines {
        writeln!(out, "{line}")?;
    }
    for problem in problems {
        writeln!(out, "{}", line(problem, file))?;
    }
    Ok(())
}

fn settings(path: &Path, problems: &mut Vec<Problem>) -> Option<Plan> {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(unreadable(path, &error));
            return None;
        }
    };
    match plugin::plan(&text, &|path| fs::read_to_string(path)) {
        Ok(plan) => Some(plan),
        Err(found) => {
            problems.extend(found.0);
            None
        }
    }
}

fn directory(plan: &Plan, problems: &mut Vec<Problem>) -> Directory {
    let mut directory = Directory::default();
    let Some(path) = &plan.plugins_dir else {
        return directory;
    };
    match listed(Path::new(path)) {
        Ok(files) => {
            let files = files
                .into_iter()
                .map(|file| (file.display().to_string(), fs::read_to_string(&file)));
            directory.update(files, &plan.workload.namespace);
            problems.extend(directory.problems().0);
        }
        Err(error) => problems.push(unreadable(Path::new(path), &error)),
    }
    directory
}

fn labels(plan: &Plan, problems: &mut Vec<Problem>) -> BTreeMap<String, String> {
    let Some(path) = &plan.labels_file else {
        return BTreeMap::new();
    };
    match fs::read_to_string(path) {
        Ok(text) => plugin::labels(&text, path).unwrap_or_else(|found| {
            problems.extend(found.0);
            BTreeMap::new()
        }),
        Err(error) => {
            problems.push(unreadable(Path::new(path), &error));
            BTreeMap::new()
        }
    }
}

fn route(path: &Path, problems: &mut Vec<Problem>) -> Route {
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) => {
            problems.push(unreadable(path, &error));
            return Route::default();
        }
    };
    route::route(&text).unwrap_or_else(|found| {
        let file = path.display().to_string();
        problems.extend(found.0.into_iter().map(|mut problem| {
            if let Some(position) = &mut problem.position {
                position.file = Some(file.clone());
            }
            problem
        }));
        Route::default()
    })
}

fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let file = path.display().to_string();
    Problem::of_file(&file, format!("cannot be read: {error}"))
}

/// What is shown.
struct View<'a> {
    /// The file of settings.
    settings: &'a str,
    workload: Workload,
    plan: &'a Plan,
    arrangement: &'a Arrangement<'a>,
    route: Option<&'a Route>,
}

impl View<'_> {
    /// Where a resource is written.
    fn place(&self, resource: &Resource) -> String {
        let position = resource.position();
        let file = position.file.as_deref().unwrap_or(self.settings);
        format!("{file}:{}", position.line)
    }

    fn lines(&self) -> Vec<String> {
        let workload = &self.workload;
        let labels: Vec<_> = workload
            .labels
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        let mut lines = vec![format!(
            "workload: namespace {}, root namespace {}, type {}, labels {}",
            workload.namespace,
            workload.root_namespace,
            workload.kind.as_str(),
            if labels.is_empty() {
                "none".to_owned()
            } else {
                labels.join(",")
            },
        )];
        if self.plan.phases != PhaseSet::ALL {
            let phases = Phase::ALL
                .into_iter()
                .filter(|p| self.plan.phases.contains(*p));
            let phases: Vec<_> = phases.map(Phase::as_str).collect();
            lines.push(format!("this entry runs: {}", phases.join(", ")));
        }
        let mut phase = None;
        for (place, placed) in (1..).zip(&self.arrangement.placed) {
            let spec = self.plan.spec(placed.resource);
            if phase != Some(spec.phase) {
                phase = Some(spec.phase);
                lines.push(String::new());
                let runs = self.plan.phases.contains(spec.phase);
                let note = if runs { "" } else { " (not of this entry)" };
                lines.push(format!("{}{note}", spec.phase));
            }
            lines.extend(self.plugin(place, placed, &spec));
        }
        if self.arrangement.placed.is_empty() {
            lines.push(String::new());
            lines.push("no resource applies".to_owned());
        }
        if !self.arrangement.left_out.is_empty() {
            lines.push(String::new());
            lines.push("do not apply".to_owned());
            for LeftOut { resource, why } in &self.arrangement.left_out {
                let (name, place) = (resource.resource(), self.place(resource));
                lines.push(format!("  {name} ({place}): {why}"));
            }
        }
        lines
    }

    /// The lines of a plugin.
    fn plugin(&self, place: usize, placed: &Placed<'_>, spec: &PluginSpec) -> Vec<String> {
        let priority = match spec.priority {
            Some(priority) => format!("priority {priority}"),
            None => "no priority, which is the lowest".to_owned(),
        };
        let ports = match &spec.ports {
            Some(ports) => {
                let ports: Vec<_> = ports.iter().map(u16::to_string).collect();
                format!(", ports {}", ports.join(", "))
            }
            None => String::new(),
        };
        let mut lines = vec![
            format!(
                "  {place}. {} ({})",
                spec.resource(),
                self.place(placed.resource)
            ),
            format!("     {priority}{ports}; {}", placed.because),
        ];
        match self.on_route(spec) {
            Some(on_route) => lines.push(format!("     on this route: {on_route}")),
            None if !spec.enabled_by_default => {
                lines.push("     runs only where a route enables it".to_owned());
            }
            None => {}
        }
        lines
    }

    /// What the route makes of a plugin, if there is a route.
    fn on_route(&self, spec: &PluginSpec) -> Option<String> {
        let route = self.route?;
        let name = spec.resource();
        if route.added.iter().any(|added| added.resource() == name) {
            return Some("brought by the route".to_owned());
        }
        let change = route.changes.get(&name);
        let said = change.and_then(|change| change.enabled);
        let mut text = match (said, spec.enabled_by_default) {
            (Some(true), _) => "enabled".to_owned(),
            (Some(false), _) => "disabled".to_owned(),
            (None, true) => "runs".to_owned(),
            (None, false) => "does not run, as no route enables it".to_owned(),
        };
        if let Some(config) = change.and_then(|change| change.config.as_ref()) {
            text += &match String::from_utf8_lossy(config) {
                empty if empty.is_empty() => ", with an empty pluginConfig".to_owned(),
                config => format!(", with pluginConfig {config}"),
            };
        }
        Some(text)
    }

    fn json(&self) -> Value {
        let workload = &self.workload;
        let targets: Vec<_> = workload
            .targets
            .iter()
            .map(
                |target| json!({ "group": target.group, "kind": target.kind, "name": target.name }),
            )
            .collect();
        let plugins: Vec<_> = self
            .arrangement
            .placed
            .iter()
            .map(|p| self.plugin_json(p))
            .collect();
        let left_out: Vec<_> = self
            .arrangement
            .left_out
            .iter()
            .map(|left| {
                let mut value = self.resource_json(left.resource);
                insert(&mut value, "why", left.why.to_string());
                value
            })
            .collect();
        json!({
            "workload": {
                "namespace": workload.namespace,
                "rootNamespace": workload.root_namespace,
                "labels": workload.labels,
                "type": workload.kind.as_str(),
                "targetRefs": targets,
            },
            "plugins": plugins,
            "leftOut": left_out,
        })
    }

    fn resource_json(&self, resource: &Resource) -> Value {
        let position = resource.position();
        json!({
            "resource": resource.resource(),
            "file": position.file.as_deref().unwrap_or(self.settings),
            "line": position.line,
        })
    }

    fn plugin_json(&self, placed: &Placed<'_>) -> Value {
        let spec = self.plan.spec(placed.resource);
        let mut value = self.resource_json(placed.resource);
        insert(&mut value, "phase", spec.phase.as_str());
        insert(
            &mut value,
            "ofThisEntry",
            self.plan.phases.contains(spec.phase),
        );
        insert(&mut value, "priority", spec.priority);
        insert(&mut value, "because", placed.because.to_string());
        insert(&mut value, "url", spec.url.to_string());
        let ports = spec.ports.as_ref();
        insert(
            &mut value,
            "ports",
            ports.map(|ports| ports.iter().copied().collect::<Vec<_>>()),
        );
        insert(&mut value, "enabledByDefault", spec.enabled_by_default);
        if let Some(route) = self.route {
            let name = spec.resource();
            let change = route.changes.get(&name);
            let config = change.and_then(|change| change.config.as_ref());
            let is_added = route.added.iter().any(|added| added.resource() == name);
            let enabled = change.and_then(|change| change.enabled);
            let runs = enabled.unwrap_or(is_added || spec.enabled_by_default);
            let on_route = json!({
                "runs": runs,
                "added": is_added,
                "pluginConfig": config.map(|config| String::from_utf8_lossy(config)),
            });
            insert(&mut value, "route", on_route);
        }
        value
    }
}

fn insert(object: &mut Value, name: &str, value: impl Into<Value>) {
    if let Some(object) = object.as_object_mut() {
        object.insert(name.to_owned(), value.into());
    }
}
