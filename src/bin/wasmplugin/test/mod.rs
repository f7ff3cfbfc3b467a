//! `wasmplugin test`: requests to plugins, and what is to come of them, without Envoy.
//!
//! Plugins are fetched, verified, compiled, started and driven by the code that does so in Envoy;
//! [`proxy`] is what stands in Envoy's place.

mod check;
mod host;
mod proxy;

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use wasmplugin_host::plugin::case::{Case, Cases, cases};
use wasmplugin_host::plugin::{
    self, Directory, ModuleUrl, Plan, Problem, Resource, ResourceReader, defaults,
};

use crate::files::{as_json, line, plural};
use crate::{Outcome, Output};
use check::Failure;
use proxy::Proxy;

/// Run cases: requests to plugins, and what is to come of them. Needs no Envoy.
///
/// A file of cases names plugins and requests, and what the upstream and the client are to get.
/// Exits with 1 if a case fails or cannot be run.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files of cases, or directories in which *.test.yaml, *.test.yml and *.test.json are looked
    /// for, at any depth
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What files of cases end in.
const ENDINGS: [&str; 3] = [".test.yaml", ".test.yml", ".test.json"];

/// A file of cases, and how they went.
struct Tried {
    file: String,
    problems: Vec<Problem>,
    cases: Vec<(Case, Vec<Failure>)>,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<Outcome> {
    let missing: Vec<_> = args.paths.iter().filter(|path| !path.exists()).collect();
    if !missing.is_empty() {
        for path in missing {
            eprintln!("error: {}: no such file or directory", path.display());
        }
        return Ok(Outcome::WrongUsage);
    }
    let mut all = Vec::new();
    let mut add = |tried: Tried| {
        if args.output == Output::Text {
            tried.tell(out)?;
        }
        all.push(tried);
        io::Result::Ok(())
    };
    for path in &args.paths {
        let mut files = Vec::new();
        find(path, &mut files)?;
        if files.is_empty() {
            add(Tried::nothing(path))?;
        }
        for file in files {
            add(Tried::run(&file))?;
        }
    }
    let cases = all.iter().flat_map(|tried| &tried.cases);
    let failed = cases.clone().filter(|(_, failures)| !failures.is_empty());
    let (count, failed) = (cases.clone().count(), failed.count());
    match args.output {
        Output::Text => {
            let (files, cases) = (plural(all.len(), "file"), plural(count, "case"));
            writeln!(out, "{files}, {cases}, {failed} failed")?;
        }
        Output::Json => {
            let files: Vec<_> = all.iter().map(Tried::json).collect();
            let result = json!({ "cases": count, "failed": failed, "files": files });
            writeln!(out, "{result:#}")?;
        }
    }
    let has_problem = all.iter().any(|tried| !tried.problems.is_empty());
    Ok(if failed > 0 || has_problem {
        Outcome::ProblemFound
    } else {
        Outcome::Good
    })
}

/// The files of cases that `path` stands for, by name: itself, or those below a directory.
fn find(path: &Path, found: &mut Vec<PathBuf>) -> io::Result<()> {
    if !path.is_dir() {
        found.push(path.to_owned());
        return Ok(());
    }
    let entries = fs::read_dir(path)?.map(|entry| Ok(entry?.path()));
    let mut entries = entries.collect::<io::Result<Vec<_>>>()?;
    entries.sort();
    for entry in entries {
        let name = entry.file_name().and_then(|name| name.to_str());
        let is_cases = |name: &str| ENDINGS.iter().any(|ending| name.ends_with(ending));
        // A link to a directory may lead back here.
        if entry.is_dir() && !entry.is_symlink() || name.is_some_and(is_cases) {
            find(&entry, found)?;
        }
    }
    Ok(())
}

impl Tried {
    /// A directory without a file of cases.
    fn nothing(path: &Path) -> Self {
        let file = path.display().to_string();
        let message = format!("holds no *{}", ENDINGS.join(", *"));
        Self {
            problems: vec![Problem::of_file(&file, message)],
            file,
            cases: Vec::new(),
        }
    }

    fn run(path: &Path) -> Self {
        let file = path.display().to_string();
        let result = prepare(path, &file).and_then(|(cases, plan)| {
            let proxy = Proxy::start(plan).map_err(|reasons| {
                let problem = |reason| Problem::of_file(&file, reason);
                reasons.into_iter().map(problem).collect::<Vec<_>>()
            })?;
            Ok((cases, proxy))
        });
        let (problems, cases) = match result {
            Err(problems) => (problems, Vec::new()),
            Ok((cases, proxy)) => {
                let tried = cases.cases.into_iter().map(|case| {
                    let failures = check::failures(&case.expect, &proxy.pass(&case));
                    (case, failures)
                });
                (Vec::new(), tried.collect())
            }
        };
        Self {
            file,
            problems,
            cases,
        }
    }

    fn tell(&self, out: &mut dyn Write) -> io::Result<()> {
        for problem in &self.problems {
            writeln!(out, "{}", line(problem, &self.file))?;
        }
        for (case, failures) in &self.cases {
            for Failure { position, message } in failures {
                writeln!(out, "{position}: {}: {message}", case.name)?;
            }
        }
        out.flush()
    }

    fn json(&self) -> Value {
        let problems: Vec<_> = self
            .problems
            .iter()
            .map(|p| as_json(p, &self.file))
            .collect();
        let cases = self.cases.iter().map(|(case, failures)| {
            let failures = failures.iter().map(|Failure { position, message }| {
                json!({ "line": position.line, "column": position.column, "message": message })
            });
            json!({
                "name": case.name,
                "line": case.position.line,
                "passed": failures.len() == 0,
                "failures": failures.collect::<Vec<_>>(),
            })
        });
        let cases: Vec<_> = cases.collect();
        json!({ "file": self.file, "problems": problems, "cases": cases })
    }
}

/// Reads a file of cases and all that it names.
fn prepare(path: &Path, file: &str) -> Result<(Cases, Plan), Vec<Problem>> {
    let text = read(path)?;
    let cases = cases(&text, file).map_err(|problems| problems.0)?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let mut reader = ResourceReader::default();
    let (mut resources, mut problems) = (Vec::new(), Vec::new());
    for plugins in &cases.plugins {
        let path = directory.join(plugins);
        let (found, wrong) = match read(&path) {
            Ok(text) => reader.read(&text, &path.display().to_string(), defaults::NAMESPACE),
            Err(wrong) => (Vec::new(), plugin::Problems(wrong)),
        };
        resources.extend(found);
        problems.extend(wrong.0);
    }
    let mut plan = plugin::plan(b"", &|_| Err(io::ErrorKind::NotFound.into()))
        .map_err(|problems| problems.0)?;
    let unknown = |name: &&String| !resources.iter().any(|r: &Resource| r.resource() == **name);
    for name in cases.modules.keys().filter(unknown) {
        let message = format!("modules: none of the plugins is {name}");
        problems.push(Problem::of_file(file, message));
    }
    if let Some(first) = resources.first() {
        first.namespace().clone_into(&mut plan.workload.namespace);
    }
    let tested = resources.into_iter().map(|resource| {
        let module = cases.modules.get(&resource.resource());
        let module = module.map(|module| directory.join(module).display().to_string());
        resource.under_test(module.map(ModuleUrl::File))
    });
    plan.resources = tested.collect();
    for left in plan
        .arrange(&Directory::default(), &BTreeMap::new())
        .left_out
    {
        let message = format!(
            "{} does not take part: {}",
            left.resource.resource(),
            left.why
        );
        problems.push(Problem::of_file(file, message));
    }
    if problems.is_empty() {
        Ok((cases, plan))
    } else {
        Err(problems)
    }
}

fn read(path: &Path) -> Result<String, Vec<Problem>> {
    fs::read_to_string(path).map_err(|error| {
        let file = path.display().to_string();
        vec![Problem::of_file(&file, format!("cannot be read: {error}"))]
    })
}
