//! Every way in which a guest fails, in every event of a stream, under every fail strategy: what the
//! client sees, and what later ones do.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::fmt::Write as _;
use std::time::Duration;

use support::bootstrap::Bootstrap;
use support::envoy::Launch;
use support::guests::{Guests, plugin};
use support::http;
use support::upstream::Upstream;
use support::{NEWEST, wait_for};

/// Ways to fail: the cause as the metric names it, and how the guest does it.
const CAUSES: [(&str, &str); 4] = [
    ("trap", "unreachable"),
    ("deadline", "(loop (br 0))"),
    (
        "memory",
        "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable",
    ),
    ("stack overflow", "(call $deeper)"),
];

/// Events in which the guest fails, with what the client sees if the stream is refused then: a
/// status, or 0 for a connection that breaks, since the status is out.
const EVENTS: [(&str, u16); 6] = [
    ("proxy_on_request_headers", 503),
    ("proxy_on_request_body", 503),
    ("proxy_on_response_headers", 503),
    ("proxy_on_response_body", 0),
    ("proxy_on_log", 200),
    ("proxy_on_done", 200),
];

const STRATEGIES: [&str; 3] = ["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"];

/// A guest that fails by `failing` in `event` of a POST, and else does nothing.
fn guest(event: &str, failing: &str) -> String {
    let mut exports = String::new();
    for (name, _) in EVENTS {
        let parameters = match name {
            "proxy_on_log" | "proxy_on_done" => "(param i32)",
            _ => "(param i32 i32 i32)",
        };
        let result = match name {
            "proxy_on_log" => ("", ""),
            "proxy_on_done" => ("(result i32)", "(i32.const 1)"),
            _ => ("(result i32)", "(i32.const 0)"),
        };
        // Armed by a request with a body: the first argument of headers says so.
        let arm = match name {
            "proxy_on_request_headers" => "(global.set $armed (i32.eqz (local.get 2)))",
            _ => "",
        };
        let act = if name == event {
            format!("(if (global.get $armed) (then {failing}))")
        } else {
            String::new()
        };
        let _ = write!(
            exports,
            "(func (export \"{name}\") {parameters} {} {arm} {act} {})",
            result.0, result.1
        );
    }
    format!(
        "(module (memory (export \"memory\") 1) (global $armed (mut i32) (i32.const 0))
         (func (export \"proxy_abi_version_0_2_1\"))
         (func (export \"proxy_on_memory_allocate\") (param i32) (result i32) (i32.const 4096))
         (func (export \"proxy_on_context_create\") (param i32 i32))
         (func $deeper (call $deeper) (call $deeper)) {exports})"
    )
}

#[test]
fn every_cause_in_every_event_under_every_strategy() {
    let guests = Guests::new();
    let upstream = Upstream::canned(&[b'x'; 100]);
    let mut plugins = String::new();
    let mut cases = Vec::new();
    for (cause, failing) in CAUSES {
        for (event, refused) in EVENTS {
            let module = wat::parse_str(guest(event, failing)).expect("a guest");
            let short = event.trim_start_matches("proxy_on_").replace('_', "-");
            let name = format!("{}-{short}", cause.replace(' ', "-"));
            let file = guests.file(&format!("{name}.wasm"), &module);
            for strategy in STRATEGIES {
                let end = strategy.trim_start_matches("FAIL_").to_lowercase();
                let name = format!("{name}-{end}");
                let annotations = "annotations: { wasmplugin.io/enabled-by-default: \"false\", \
                    wasmplugin.io/memory-limit: 4Mi, wasmplugin.io/call-deadline: 50ms }";
                plugins += &plugin(&name, &file, &format!("failStrategy: {strategy}")).replace(
                    &format!("name: {name},"),
                    &format!("name: {name}, {annotations},"),
                );
                cases.push((name, cause, strategy, refused));
            }
        }
    }
    let mut bootstrap = Bootstrap::new(upstream.port()).filter(&format!("plugins:\n{plugins}"));
    for (name, ..) in &cases {
        let metadata = format!(
            "metadata: {{ filter_metadata: {{ wasmplugin: {{ default/{name}: true }} }} }}"
        );
        bootstrap = bootstrap.route(&format!("/{name}/"), &metadata);
    }
    let envoy = Launch::new(NEWEST)
        .concurrency(1)
        .start(&bootstrap.render());
    let mut wrong = Vec::new();
    let limit = Duration::from_secs(20);
    for (name, cause, strategy, refused) in &cases {
        let path = format!("/{name}/");
        let get = || http::get(bootstrap.port(), &path).status;
        assert_eq!(get(), 200, "{name} before");
        let response = http::try_request(bootstrap.port(), "POST", &path, &[], b"body");
        let seen = response.map_or(0, |response| response.status);
        let expected = if *strategy == "FAIL_OPEN" {
            200
        } else {
            *refused
        };
        if seen != expected {
            wrong.push(format!("{name}: {seen}, not {expected}"));
        }
        // What comes after the response may still be under way.
        wait_for(&format!("{cause} of {name} counted"), limit, || {
            let stats = envoy.admin(&format!("/stats?filter=plugin_failures.*{name}"));
            let of = format!("cause.{}", cause.replace(' ', "_"));
            let stats = stats.text().replace(' ', "_");
            (stats.contains(&of) && stats.contains(":_1")).then_some(())
        });
        match *strategy {
            "FAIL_CLOSE" if get() != 503 => wrong.push(format!("{name}: served again")),
            "FAIL_OPEN" if get() != 200 => wrong.push(format!("{name}: not served any more")),
            "FAIL_RELOAD" => wait_for(name, limit, || (get() == 200).then_some(())),
            _ => {}
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(envoy.log_contains("503 wasmplugin.failed{default/trap-request-headers-close}"));
}
