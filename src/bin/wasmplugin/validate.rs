//! `wasmplugin validate`: files of resources or settings, all problems at once.

use crate::files::{as_json, line, listed, plural};
use crate::{Outcome, Output};
use serde_json::json;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use wasmplugin_host::plugin::{self, Problem, Problems, Resource, ResourceReader, defaults};
use wasmplugin_host::source::signature::Keys;

/// Check files of WasmPlugin and TrafficExtension resources, and files of settings.
///
/// Resources are what kubectl takes: several documents, lists, and ConfigMaps and Secrets that hold
/// such files. Prints every problem as FILE:LINE:COLUMN: and exits with 1 if there is one.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files, or directories whose *.yaml, *.yml and *.json are read
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
    /// Also tell, by field, what Istio would refuse or do differently, and why
    #[arg(long)]
    portable: bool,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<Outcome> {
    let missing: Vec<_> = args.paths.iter().filter(|path| !path.exists()).collect();
    if !missing.is_empty() {
        for path in missing {
            eprintln!("error: {}: no such file or directory", path.display());
        }
        return Ok(Outcome::WrongUsage);
    }
    let mut reader = if args.portable {
        ResourceReader::of_portable()
    } else {
        ResourceReader::default()
    };
    let mut problems = Vec::new();
    let (mut files, mut resources) = (0, 0);
    for path in &args.paths {
        let found = match listed(path) {
            Ok(found) if found.is_empty() => {
                let message = "holds no *.yaml, *.yml or *.json";
                problems.push(of_file(path, message.to_owned()));
                continue;
            }
            Ok(found) => found,
            Err(error) => {
                problems.push(of_file(path, format!("cannot be read: {error}")));
                continue;
            }
        };
        for file in found {
            files += 1;
            match fs::read_to_string(&file) {
                Ok(text) => {
                    let name = file.display().to_string();
                    let (good, wrong) = if plugin::is_settings(&text) {
                        settings(&text)
                    } else {
                        reader.read(&text, &name, defaults::NAMESPACE)
                    };
                    let keys: Vec<_> = good.iter().filter_map(wrong_key).collect();
                    resources += good.len() - keys.len();
                    let wrong = wrong.0.into_iter().chain(keys);
                    problems.extend(wrong.map(|problem| (name.clone(), problem)));
                }
                Err(error) => problems.push(of_file(&file, format!("cannot be read: {error}"))),
            }
        }
    }
    match args.output {
        Output::Text => {
            for (file, problem) in &problems {
                writeln!(out, "{}", line(problem, file))?;
            }
            let found = match problems.len() {
                0 => "no problem".to_owned(),
                n => plural(n, "problem"),
            };
            let (f, r) = (plural(files, "file"), plural(resources, "good resource"));
            writeln!(out, "{f}, {r}, {found}")?;
        }
        Output::Json => {
            let problems: Vec<_> = problems.iter().map(|(f, p)| as_json(p, f)).collect();
            let result = json!({ "files": files, "resources": resources, "problems": problems });
            writeln!(out, "{result:#}")?;
        }
    }
    Ok(if problems.is_empty() {
        Outcome::Good
    } else {
        Outcome::ProblemFound
    })
}

/// The resources of a file of settings, and what is wrong in it.
fn settings(text: &str) -> (Vec<Resource>, Problems) {
    match plugin::plan(text.as_bytes(), &|path| fs::read_to_string(path)) {
        Ok(plan) => (plan.resources, Problems::default()),
        Err(problems) => (Vec::new(), problems),
    }
}

/// Why the `verificationKey` of `resource` verifies nothing, as a proxy finds it when it loads the
/// module.
fn wrong_key(resource: &Resource) -> Option<Problem> {
    let error = Keys::parse(resource.verification_key()?).err()?;
    Some(resource.key_problem(error.to_string()))
}

fn of_file(path: &Path, message: String) -> (String, Problem) {
    let file = path.display().to_string();
    let problem = Problem::of_file(&file, message);
    (file, problem)
}
