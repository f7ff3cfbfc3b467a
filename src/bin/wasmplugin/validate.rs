//! `wasmplugin validate`: files of resources, all problems at once.

use crate::{Outcome, Output};
use serde_json::json;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use wasmplugin_host::plugin::{Problem, ResourceReader, defaults};

/// What a directory's files of resources end in.
const EXTENSIONS: [&str; 3] = ["yaml", "yml", "json"];

/// Check files of WasmPlugin resources.
///
/// Prints every problem as FILE:LINE:COLUMN: and exits with 1 if there is one.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files, or directories whose *.yaml, *.yml and *.json are read
    #[arg(required = true, value_name = "FILE|DIR")]
    paths: Vec<PathBuf>,
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
    let mut reader = ResourceReader::default();
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
                    let (good, wrong) = reader.read(&text, &name, defaults::NAMESPACE);
                    resources += good.len();
                    problems.extend(wrong.0.into_iter().map(|problem| (name.clone(), problem)));
                }
                Err(error) => problems.push(of_file(&file, format!("cannot be read: {error}"))),
            }
        }
    }
    match args.output {
        Output::Text => {
            for (file, problem) in &problems {
                writeln!(out, "{}", line(file, problem))?;
            }
            let found = match problems.len() {
                0 => "no problem".to_owned(),
                1 => "1 problem".to_owned(),
                n => format!("{n} problems"),
            };
            let (f, r) = (plural(files, "file"), plural(resources, "good resource"));
            writeln!(out, "{f}, {r}, {found}")?;
        }
        Output::Json => {
            let problems: Vec<_> = problems.iter().map(|(f, p)| as_json(f, p)).collect();
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

/// The files that `path` stands for, by name.
fn listed(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let extension = file.extension().and_then(|extension| extension.to_str());
        if extension.is_some_and(|extension| EXTENSIONS.contains(&extension)) && file.is_file() {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

fn of_file(path: &Path, message: String) -> (String, Problem) {
    let file = path.display().to_string();
    let problem = Problem {
        resource: file.clone(),
        field: String::new(),
        value: String::new(),
        message,
        position: None,
    };
    (file, problem)
}

/// A problem as compilers print theirs.
fn line(file: &str, problem: &Problem) -> String {
    let place = match &problem.position {
        Some(position) => format!("{file}:{}:{}", position.line, position.column),
        None => file.to_owned(),
    };
    // A problem of the whole file needs no second mention of it.
    let text = if problem.resource == file {
        problem.message.clone()
    } else {
        problem.text()
    };
    format!("{place}: {text}")
}

fn as_json(file: &str, problem: &Problem) -> serde_json::Value {
    let position = problem.position.as_ref();
    json!({
        "file": file,
        "line": position.map(|position| position.line),
        "column": position.map(|position| position.column),
        "resource": problem.resource,
        "field": problem.field,
        "value": problem.value,
        "message": problem.message,
    })
}

fn plural(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
