//! The built module against the real Envoys: what it imports they export, what they need it has.
//!
//! Envoy refuses a module as a whole for one unknown import, and a configuration for one missing
//! hook, so both are checked here by name before `tests/e2e.rs` starts anything.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../envoy/src/optional.rs"]
mod optional;
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use object::{Object as _, ObjectSymbol as _};
use support::{ENVOYS, NEWEST, module};

const CALLBACK: &str = "envoy_dynamic_module_callback_";
const HOOK: &str = "envoy_dynamic_module_on_";

/// Hooks that every Envoy wants from a module with an HTTP filter, after [`HOOK`].
const HTTP_REQUIRED: &[&str] = &[
    "program_init",
    "http_filter_config_new",
    "http_filter_config_destroy",
    "http_filter_new",
    "http_filter_request_headers",
    "http_filter_request_body",
    "http_filter_request_trailers",
    "http_filter_response_headers",
    "http_filter_response_body",
    "http_filter_response_trailers",
    "http_filter_stream_complete",
    "http_filter_destroy",
    "http_filter_http_callout_done",
    "http_filter_http_stream_headers",
    "http_filter_http_stream_data",
    "http_filter_http_stream_trailers",
    "http_filter_http_stream_complete",
    "http_filter_http_stream_reset",
    "http_filter_scheduled",
    "http_filter_downstream_above_write_buffer_high_watermark",
    "http_filter_downstream_below_write_buffer_low_watermark",
];

/// Hooks that routes with a configuration for the filter want.
const ROUTE_REQUIRED: &[&str] = &[
    "http_filter_per_route_config_new",
    "http_filter_per_route_config_destroy",
];

/// Hooks of an HTTP filter that may be left out.
const HTTP_OPTIONAL: &[&str] = &[
    "http_filter_local_reply",
    "http_filter_config_scheduled",
    "http_filter_config_http_stream_headers",
    "http_filter_config_http_stream_data",
    "http_filter_config_http_stream_trailers",
    "http_filter_config_http_stream_complete",
    "http_filter_config_http_stream_reset",
];

/// Hooks of a bootstrap extension: all or none.
const BOOTSTRAP: &[&str] = &[
    "bootstrap_extension_config_new",
    "bootstrap_extension_config_destroy",
    "bootstrap_extension_new",
    "bootstrap_extension_server_initialized",
    "bootstrap_extension_worker_thread_initialized",
    "bootstrap_extension_drain_started",
    "bootstrap_extension_shutdown",
    "bootstrap_extension_destroy",
    "bootstrap_extension_config_scheduled",
    "bootstrap_extension_timer_fired",
    "bootstrap_extension_file_changed",
    "bootstrap_extension_cluster_add_or_update",
    "bootstrap_extension_cluster_removal",
    "bootstrap_extension_listener_add_or_update",
    "bootstrap_extension_listener_removal",
    "bootstrap_extension_http_callout_done",
    "bootstrap_extension_admin_request",
];

#[test]
fn every_import_exists_in_every_envoy() {
    let imports = symbols(&module::library()).imports;
    assert!(
        imports.contains("envoy_dynamic_module_callback_log"),
        "this is not our module: it imports {imports:?}"
    );
    for version in ENVOYS {
        let exports = symbols(&module::envoy(version)).exports;
        let missing: Vec<_> = imports.difference(&exports).collect();
        assert!(
            missing.is_empty(),
            "Envoy {version} would refuse the module; move these to envoy/src/optional.rs: \
             {missing:?}"
        );
    }
}

#[test]
fn optional_callbacks_exist_exactly_since_their_version() {
    let imports = symbols(&module::library()).imports;
    for version in ENVOYS {
        let exports = symbols(&module::envoy(version)).exports;
        for callback in optional::OPTIONAL {
            assert!(callback.name.starts_with(CALLBACK), "{callback:?}");
            assert_eq!(
                exports.contains(callback.name),
                minor(version) >= callback.since,
                "{} in Envoy {version}; without it, {}",
                callback.name,
                callback.fallback
            );
            assert!(
                !imports.contains(callback.name),
                "{} is imported, not looked up",
                callback.name
            );
        }
    }
}

#[test]
fn the_module_has_every_required_hook() {
    let exports = symbols(&module::library()).exports;
    let missing: Vec<_> = [HTTP_REQUIRED, ROUTE_REQUIRED]
        .concat()
        .into_iter()
        .filter(|hook| !exports.contains(&format!("{HOOK}{hook}")))
        .collect();
    assert!(missing.is_empty(), "missing hooks: {missing:?}");

    let bootstrap = BOOTSTRAP
        .iter()
        .filter(|hook| exports.contains(&format!("{HOOK}{hook}")))
        .count();
    assert!(
        bootstrap == 0 || bootstrap == BOOTSTRAP.len(),
        "{bootstrap} of {} hooks of a bootstrap extension; Envoy wants all",
        BOOTSTRAP.len()
    );
}

#[test]
fn the_module_has_no_unknown_hook() {
    // A misspelt hook is never called, and nothing says so.
    let known: BTreeSet<_> = [HTTP_REQUIRED, ROUTE_REQUIRED, HTTP_OPTIONAL, BOOTSTRAP]
        .concat()
        .into_iter()
        .collect();
    let unknown: Vec<_> = symbols(&module::library())
        .exports
        .into_iter()
        .filter(|name| {
            name.strip_prefix(HOOK)
                .is_some_and(|hook| !known.contains(hook))
        })
        .collect();
    assert!(unknown.is_empty(), "unknown hooks: {unknown:?}");
}

#[test]
fn the_pinned_envoy_is_the_newest_tested_one() {
    let pinned = fs::read_to_string(module::root().join("envoy/VERSION")).expect("envoy/VERSION");
    assert_eq!(pinned.trim_end(), NEWEST);
    assert_eq!(ENVOYS.last(), Some(&NEWEST));
}

/// The dynamic symbols of a file that belong to the ABI.
struct Symbols {
    imports: BTreeSet<String>,
    exports: BTreeSet<String>,
}

fn symbols(path: &Path) -> Symbols {
    let data = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let file = object::File::parse(&*data).expect("an ELF file");
    let names = |undefined: bool| {
        file.dynamic_symbols()
            .filter(|symbol| symbol.is_undefined() == undefined)
            .filter_map(|symbol| symbol.name().ok())
            .filter(|name| name.starts_with("envoy_dynamic_module_"))
            .map(str::to_owned)
            .collect()
    };
    Symbols {
        imports: names(true),
        exports: names(false),
    }
}

/// `(1, 40)` of `1.40.0`.
fn minor(version: &str) -> (u32, u32) {
    let mut numbers = version.split('.').map(|n| n.parse().expect("a number"));
    let mut next = || numbers.next().expect("major.minor");
    (next(), next())
}
