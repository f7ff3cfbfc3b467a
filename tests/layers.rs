//! The parts of the host import each other in one direction only.
//!
//! Every directory of `src/` is a layer. The table says what each may import; the rest of this
//! file reads the sources and compares. Unsafe code has no place in `src/` but where wasmtime asks
//! for it.
#![allow(clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Layer, and the layers it may import.
const IMPORTS: &[(&str, &[&str])] = &[
    ("plugin", &[]),
    ("source", &["plugin", "telemetry"]),
    ("vm", &[]),
    ("telemetry", &[]),
    ("cache", &["vm"]),
    ("proxy_wasm", &["vm", "telemetry"]),
    ("chain", &["proxy_wasm"]),
    (
        "control",
        &[
            "plugin",
            "source",
            "vm",
            "cache",
            "proxy_wasm",
            "chain",
            "telemetry",
        ],
    ),
];

/// Files of `src/` that may hold unsafe code.
const UNSAFE: &[&str] = &["cache/directory.rs"];

#[test]
fn layers_import_downwards_only() {
    let mut problems = Vec::new();
    for (path, code) in sources() {
        let Some(layer) = layer(&path) else { continue };
        let Some((_, allowed)) = IMPORTS.iter().find(|(name, _)| *name == layer) else {
            problems.push(format!(
                "{}: {layer} is not in the table of tests/layers.rs",
                path.display()
            ));
            continue;
        };
        for import in imports(&code) {
            let known = IMPORTS.iter().any(|(name, _)| *name == import);
            if known && import != layer && !allowed.contains(&import.as_str()) {
                problems.push(format!(
                    "{}: {layer} must not import {import}; it may import {allowed:?}",
                    path.display()
                ));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn source_and_vm_do_not_know_each_other() {
    // The heart of the table, in words: what is fetched and what runs meet in `control` alone.
    let allowed = |layer: &str| {
        IMPORTS
            .iter()
            .find(|(name, _)| *name == layer)
            .map(|(_, allowed)| *allowed)
            .expect("a layer")
    };
    assert!(!allowed("source").contains(&"vm"));
    assert!(!allowed("vm").contains(&"plugin"));
    assert!(!allowed("plugin").contains(&"source"));
}

#[test]
fn unsafe_code_stays_in_the_envoy_binding() {
    let offenders: Vec<_> = sources()
        .into_iter()
        .filter(|(path, code)| {
            words(code).any(|word| word == "unsafe") && !UNSAFE.iter().any(|ok| path.ends_with(ok))
        })
        .map(|(path, _)| path)
        .collect();
    assert!(offenders.is_empty(), "unsafe code in {offenders:?}");
}

#[test]
fn comments_and_strings_are_not_code() {
    let code = scrub(
        "use crate::a; // crate::b\n/* crate::c /* crate::d */ */ \"crate::e \\\" crate::f\" \
         r#\"crate::g \" crate::h\"# '\"' crate::i::<'static> b'\\'' crate::{j, k::{l, m}, self}",
    );
    let found: Vec<_> = imports(&code).into_iter().collect();
    assert_eq!(found, ["a", "i", "j", "k", "self"]);
}

/// Every Rust file of `src/` with its code, comments and literals blanked.
fn sources() -> Vec<(PathBuf, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    let mut open = vec![root];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(&directory).expect("a readable directory") {
            let path = entry.expect("an entry").path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a readable file");
                found.push((path, scrub(&text)));
            }
        }
    }
    assert!(!found.is_empty(), "no sources under src/");
    found.sort();
    found
}

/// The layer that `path` belongs to; none for `lib.rs` and the command.
fn layer(path: &Path) -> Option<String> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let first = path.strip_prefix(root).ok()?.components().next()?;
    let name = Path::new(first.as_os_str()).file_stem()?.to_str()?;
    (name != "lib" && name != "bin").then(|| name.to_owned())
}

/// What follows `crate::` in scrubbed code, groups opened up.
fn imports(code: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = code.get(at + "crate::".len()..).expect("a boundary");
        if let Some(group) = rest.trim_start().strip_prefix('{') {
            let mut depth = 0_usize;
            let mut first = true;
            for token in tokens(group) {
                match token {
                    "{" => depth += 1,
                    "}" if depth == 0 => break,
                    "}" => depth -= 1,
                    "," if depth == 0 => first = true,
                    word if first && depth == 0 => {
                        found.insert(word.to_owned());
                        first = false;
                    }
                    _ => {}
                }
            }
        } else if let Some(word) = words(rest).next() {
            found.insert(word.to_owned());
        }
    }
    found
}

/// Identifiers of scrubbed code.
fn words(code: &str) -> impl Iterator<Item = &str> {
    code.split(|c: char| !c.is_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// Identifiers, braces and commas of scrubbed code.
fn tokens(code: &str) -> impl Iterator<Item = &str> {
    code.split_inclusive(|c: char| !c.is_alphanumeric() && c != '_')
        .flat_map(|piece| {
            let split = piece
                .char_indices()
                .next_back()
                .filter(|(_, c)| !c.is_alphanumeric() && *c != '_')
                .map_or(piece.len(), |(at, _)| at);
            let (word, mark) = piece.split_at(split);
            [word, mark]
        })
        .filter(|token| !token.trim().is_empty())
}

/// `text` without comments, strings and character literals.
fn scrub(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut code = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let previous = code.chars().next_back().unwrap_or(' ');
        let in_word = previous.is_alphanumeric() || previous == '_';
        match at(i) {
            '/' if at(i + 1) == '/' => {
                while i < chars.len() && at(i) != '\n' {
                    i += 1;
                }
            }
            '/' if at(i + 1) == '*' => {
                let mut depth = 0_usize;
                while i < chars.len() {
                    match (at(i), at(i + 1)) {
                        ('/', '*') => {
                            depth += 1;
                            i += 2;
                        }
                        ('*', '/') => {
                            depth -= 1;
                            i += 2;
                            if depth == 0 {
                                break;
                            }
                        }
                        _ => i += 1,
                    }
                }
            }
            'r' if !in_word && matches!(at(i + 1), '"' | '#') && raw_hashes(&at, i).is_some() => {
                let hashes = raw_hashes(&at, i).expect("just seen");
                i += 2 + hashes;
                while i < chars.len() && !(at(i) == '"' && (1..=hashes).all(|n| at(i + n) == '#')) {
                    i += 1;
                }
                i += 1 + hashes;
            }
            '"' => {
                i += 1;
                while i < chars.len() && at(i) != '"' {
                    i += if at(i) == '\\' { 2 } else { 1 };
                }
                i += 1;
            }
            // A character, not a lifetime.
            '\'' if at(i + 1) == '\\' || at(i + 2) == '\'' => {
                i += if at(i + 1) == '\\' { 3 } else { 2 };
                while i < chars.len() && at(i) != '\'' {
                    i += 1;
                }
                i += 1;
            }
            c => {
                code.push(c);
                i += 1;
                continue;
            }
        }
        code.push(' ');
    }
    code
}

/// How many `#` open the raw string at `i`, if one starts there.
fn raw_hashes(at: &impl Fn(usize) -> char, i: usize) -> Option<usize> {
    let hashes = (1..).take_while(|n| at(i + n) == '#').count();
    (at(i + 1 + hashes) == '"').then_some(hashes)
}
