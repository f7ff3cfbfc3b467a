//! Files of resources, as commands take them.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use wasmplugin_host::plugin::{Problem, is_manifest};

/// The files that `path` stands for: itself, or those of a directory that hold resources, by name.
pub(crate) fn listed(path: &Path) -> io::Result<Vec<PathBuf>> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut found = Vec::new();
    for entry in fs::read_dir(path)? {
        let file = entry?.path();
        let name = file.file_name().and_then(|name| name.to_str());
        if name.is_some_and(is_manifest) && file.is_file() {
            found.push(file);
        }
    }
    found.sort();
    Ok(found)
}

/// A problem as compilers print theirs.
pub(crate) fn line(problem: &Problem, file: &str) -> String {
    let (place, position) = match &problem.position {
        Some(position) => {
            let file = position.file.as_deref().unwrap_or(file);
            (file, format!(":{}:{}", position.line, position.column))
        }
        None => (file, String::new()),
    };
    // A problem of the whole file needs no second mention of it.
    let text = if problem.resource == place {
        problem.message.clone()
    } else {
        problem.text()
    };
    format!("{place}{position}: {text}")
}

/// A problem for programs.
pub(crate) fn as_json(problem: &Problem, file: &str) -> serde_json::Value {
    let position = problem.position.as_ref();
    let file = position
        .and_then(|position| position.file.as_deref())
        .unwrap_or(file);
    serde_json::json!({
        "file": file,
        "line": position.map(|position| position.line),
        "column": position.map(|position| position.column),
        "resource": problem.resource,
        "field": problem.field,
        "value": problem.value,
        "message": problem.message,
    })
}

/// A count and what is counted.
pub(crate) fn plural(n: usize, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}
