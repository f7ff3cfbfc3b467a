//! README.md and `envoy/schema/` say what the code does.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use wasmplugin_host::plugin;

#[test]
fn tables_are_those_of_the_code() {
    let path = root().join("README.md");
    let readme = fs::read_to_string(&path).expect("README.md");
    let mut wanted = readme.clone();
    for (head, rows) in [
        ("| field | default | meaning |", plugin::settings_rows()),
        (
            "| annotation | default | meaning |",
            plugin::annotation_rows(),
        ),
    ] {
        wanted = with_table(&wanted, head, &rows);
    }
    compare(&path, &readme, &wanted);
}

#[test]
fn schemas_and_the_page_of_fields_are_current() {
    let folder = root().join("envoy/schema");
    let mut files = plugin::schemas();
    files.push(("FIELDS.md".to_owned(), plugin::fields_page()));
    for (name, wanted) in files {
        let path = folder.join(name);
        let found = fs::read_to_string(&path).unwrap_or_default();
        compare(&path, &found, &wanted);
    }
}

#[test]
fn every_end_of_an_attempt_is_told() {
    let text = fs::read_to_string(root().join("README.md")).expect("README.md");
    for label in wasmplugin_host::source::Label::ALL {
        assert!(text.contains(&format!("`{label}`")), "{label}");
    }
}

/// `text` with these rows in the table that begins with the line `head`.
fn with_table(text: &str, head: &str, rows: &[[String; 3]]) -> String {
    let mut result = String::new();
    let mut lines = text.lines().peekable();
    while let Some(line) = lines.next() {
        result += line;
        result.push('\n');
        if line != head {
            continue;
        }
        while lines.next_if(|line| line.starts_with('|')).is_some() {}
        result += "|---|---|---|\n";
        for [name, default, meaning] in rows {
            let _ = writeln!(result, "| {name} | {default} | {meaning} |");
        }
    }
    assert!(result.contains(head), "no table {head}");
    result
}

fn compare(path: &Path, found: &str, wanted: &str) {
    if found == wanted {
        return;
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        fs::write(path, wanted).expect("a writable file");
        return;
    }
    let lines = found.lines().zip(wanted.lines());
    let (number, (found, wanted)) = (1..)
        .zip(lines)
        .find(|(_, (found, wanted))| found != wanted)
        .unwrap_or((0, ("another length", "")));
    panic!(
        "{}:{number} is not what the code says; UPDATE_GOLDEN=1 writes it\nfound:  {found}\nwanted: {wanted}",
        path.display()
    );
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}
