//! What routes say about plugins, in `typed_per_filter_config` and in metadata.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::time::Duration;

use support::bootstrap::{self, Bootstrap, indent};
use support::envoy::Envoy;
use support::guests::{Guests, marks, plugin};
use support::http;
use support::upstream::Upstream;
use support::{ENVOYS, NEWEST, wait_for};

const LIMIT: Duration = Duration::from_secs(20);

/// `typed_per_filter_config` for the only filter entry.
fn per_filter_config(plugins: &str) -> String {
    bootstrap::per_filter_config(1, plugins)
}

fn metadata(fields: &str) -> String {
    let fields = indent(fields, 6);
    format!("metadata:\n  filter_metadata:\n    wasmplugin:\n{fields}")
}

#[test]
fn routes_enable_disable_override_and_add() {
    let guests = Guests::new();
    let mark = guests.mark();
    let upstream = Upstream::echo();
    let mut plugins = plugin("one", &mark, "pluginConfig: { id: one }\npriority: 2");
    plugins += &plugin("two", &mark, "pluginConfig: { id: two }").replace(
        "name: two,",
        "name: two, annotations: { wasmplugin.io/enabled-by-default: \"false\" },",
    );
    let added = format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata: {{ name: three }}\n\
         spec: {{ url: file://{}, priority: 3, pluginConfig: {{ id: three }} }}\n",
        mark.display()
    );
    let routes = [
        (
            "/without",
            per_filter_config("default/one: { enabled: false }"),
            "",
        ),
        (
            "/both",
            per_filter_config("default/two: { enabled: true }"),
            "one two",
        ),
        (
            "/other",
            per_filter_config("default/one: { pluginConfig: { id: other } }"),
            "other",
        ),
        ("/meta-without", metadata("default/one: false"), ""),
        ("/meta-both", metadata("default/two: \"true\""), "one two"),
        (
            "/meta-other",
            metadata("default/one: \"{pluginConfig: {id: other}}\""),
            "other",
        ),
        (
            "/meta-added",
            metadata(&format!("default/three: |\n{}", indent(&added, 2))),
            "three one",
        ),
        (
            "/over",
            per_filter_config("default/one: { enabled: false }")
                + "\n"
                + &metadata("default/one: \"{pluginConfig: {id: other}}\"\ndefault/two: true"),
            "two",
        ),
    ];
    let mut bootstrap = Bootstrap::new(upstream.port()).filter(&format!("plugins:\n{plugins}"));
    for (path, fields, _) in &routes {
        bootstrap = bootstrap.route(path, fields);
    }
    for version in ENVOYS {
        meets(version, &bootstrap, &routes);
    }
}

/// Whether requests of each route meet the plugins that they should.
fn meets(version: &str, bootstrap: &Bootstrap, routes: &[(&str, String, &str)]) {
    let envoy = Envoy::start(version, &bootstrap.render());
    let get = |path: &str| {
        let response = http::get(bootstrap.port(), path);
        (response.status == 200).then(|| marks(&response))
    };
    assert_eq!(get("/").as_deref(), Some(r#"{"id":"one"}"#));
    for (path, _, names) in routes {
        let expected: Vec<_> = names
            .split_whitespace()
            .map(|name| format!(r#"{{"id":"{name}"}}"#))
            .collect();
        let expected = expected.join(", ");
        // What a route's metadata names first is loaded in the background.
        let marked = wait_for(path, LIMIT, || get(path));
        assert_eq!(marked, expected, "{path}");
    }
    // Envoy logs that a flag is no text, once for each key.
    let log = envoy.log();
    let mut complaints = support::envoy::complaints(&log);
    complaints.retain(|line| !line.contains("is not a"));
    assert_eq!(complaints, [""; 0]);
}

#[test]
fn what_nobody_understands_is_refused() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    let plugins = plugin("one", &guests.mark(), "pluginConfig: { id: one }");
    let bootstrap = Bootstrap::new(upstream.port())
        .filter(&format!("plugins:\n{plugins}"))
        .route("/unclear", &metadata("default/one: perhaps"))
        .route("/nested", &metadata("default/one: { pluginConfig: {} }"));
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    for path in ["/unclear", "/nested"] {
        assert_eq!(http::get(bootstrap.port(), path).status, 503, "{path}");
        let access = envoy.wait_for_log(&format!("{path} 503"));
        assert!(
            access.contains("wasmplugin.unavailable{default/one}"),
            "{access}"
        );
    }
    assert!(envoy.log_contains("default/one"));
    assert_eq!(http::get(bootstrap.port(), "/").status, 200);
    let wrong = Bootstrap::new(upstream.port())
        .filter(&format!("plugins:\n{plugins}"))
        .route("/", &per_filter_config("default/one: { enable: false }"));
    let (is_valid, log) = Envoy::validate(NEWEST, &wrong.render());
    assert!(!is_valid && log.contains("enable"), "{log}");
}
