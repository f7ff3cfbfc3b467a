//! README.md says what the code does.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::Duration;

use wasmplugin_host::plugin::defaults;

#[test]
fn the_defaults_are_those_of_the_code() {
    let mebi = |bytes: u64| format!("{}Mi", bytes >> 20);
    let seconds = |time: Duration| format!("{}s", time.as_secs());
    let table = settings();
    for (field, default) in [
        ("workload.namespace", defaults::NAMESPACE.to_owned()),
        ("rootNamespace", defaults::ROOT_NAMESPACE.to_owned()),
        ("fetch.maxModuleBytes", mebi(defaults::MAX_MODULE_BYTES)),
        (
            "limits.callDeadline",
            format!("{}ms", defaults::CALL_DEADLINE.as_millis()),
        ),
        ("limits.startDeadline", seconds(defaults::START_DEADLINE)),
        ("limits.memory", mebi(defaults::MEMORY)),
        ("limits.tableElements", defaults::TABLE_ELEMENTS.to_string()),
        ("startup.wait", seconds(defaults::STARTUP_WAIT)),
    ] {
        assert_eq!(table.get(field), Some(&default), "{field}");
    }
}

/// The table of settings: fields and defaults.
fn settings() -> BTreeMap<String, String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(path).expect("README.md");
    let cell = |cell: &str| cell.trim().trim_matches('`').to_owned();
    text.lines()
        .skip_while(|line| !line.starts_with("| field |"))
        .take_while(|line| line.starts_with('|'))
        .filter_map(|line| {
            let mut cells = line.trim_matches('|').split('|');
            Some((cell(cells.next()?), cell(cells.next()?)))
        })
        .collect()
}
