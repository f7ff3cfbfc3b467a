//! Every way in which a guest fails, in every event of a stream, under every fail strategy: what the
//! client sees, what one sees whose request the plugin holds, and what later ones do.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::fmt::Write as _;
use std::thread;
use std::time::Duration;

use support::bootstrap::Bootstrap;
use support::envoy::{Envoy, Launch};
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
const EVENTS: [(&str, u16); 8] = [
    ("proxy_on_request_headers", 503),
    ("proxy_on_request_body", 503),
    ("proxy_on_request_trailers", 503),
    ("proxy_on_response_headers", 503),
    ("proxy_on_response_body", 0),
    ("proxy_on_response_trailers", 0),
    ("proxy_on_log", 200),
    ("proxy_on_done", 200),
];

/// More headers than this pause a request.
const MANY: usize = 20;

const LIMIT: Duration = Duration::from_secs(30);

const STRATEGIES: [&str; 3] = ["FAIL_CLOSE", "FAIL_OPEN", "FAIL_RELOAD"];

/// A guest that fails by `failing` in `event` of a POST, pauses requests with many headers, and else
/// does nothing.
fn guest(event: &str, failing: &str) -> String {
    let mut exports = String::new();
    for (name, _) in EVENTS {
        let parameters = match name {
            "proxy_on_log" | "proxy_on_done" => "(param i32)",
            "proxy_on_request_trailers" | "proxy_on_response_trailers" => "(param i32 i32)",
            _ => "(param i32 i32 i32)",
        };
        let result = match name {
            "proxy_on_log" => ("", ""),
            "proxy_on_done" => ("(result i32)", "(i32.const 1)"),
            _ => ("(result i32)", "(i32.const 0)"),
        };
        // Armed by a request with a body: the first argument of headers says so.
        let arm = match name {
            "proxy_on_request_headers" => format!(
                "(global.set $armed (i32.eqz (local.get 2)))
                 (if (i32.gt_u (local.get 1) (i32.const {MANY})) (then (return (i32.const 1))))"
            ),
            _ => String::new(),
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

/// A plugin that fails.
struct Case {
    name: String,
    cause: &'static str,
    strategy: &'static str,
    /// What the client sees if the stream is refused.
    refused: u16,
}

impl Case {
    fn path(&self) -> String {
        format!("/{}/", self.name)
    }

    fn expected(&self, refused: u16) -> u16 {
        match self.strategy {
            "FAIL_OPEN" => 200,
            _ => refused,
        }
    }
}

#[test]
fn every_cause_in_every_event_under_every_strategy() {
    let guests = Guests::new();
    let upstream = Upstream::marks_with_trailer();
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
                cases.push(Case {
                    name,
                    cause,
                    strategy,
                    refused,
                });
            }
        }
    }
    let settings = format!("plugins:\n{plugins}");
    let mut bootstrap = Bootstrap::new(upstream.port()).trailers().filter(&settings);
    for Case { name, .. } in &cases {
        let metadata = format!(
            "metadata: {{ filter_metadata: {{ wasmplugin: {{ default/{name}: true }} }} }}"
        );
        bootstrap = bootstrap.route(&format!("/{name}/"), &metadata);
    }
    let launch = Launch::new(NEWEST).concurrency(1);
    let envoy = launch.start(&bootstrap.render());
    let get = |case: &Case| http::get(bootstrap.port(), &case.path()).status;
    let wrong: Vec<_> = cases
        .iter()
        .flat_map(|case| fails(&envoy, bootstrap.port(), case))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    // Together: each takes its time.
    for case in cases.iter().filter(|case| case.strategy == "FAIL_RELOAD") {
        wait_for(&case.name, LIMIT, || (get(case) == 200).then_some(()));
    }
    assert!(envoy.log_contains("503 wasmplugin.failed{default/trap-request-headers-close}"));
}

/// Has the plugin of `case` fail in a request, while it holds another. What is not as it should be.
fn fails(envoy: &Envoy, port: u16, case: &Case) -> Vec<String> {
    let path = case.path();
    let many: Vec<_> = (0..MANY).map(|_| ("x-many", "1")).collect();
    let get = |headers: &[(&str, &str)]| {
        let response = http::try_request(port, "GET", &path, headers, b"");
        response.map_or(0, |response| response.status)
    };
    assert_eq!(get(&[]), 200, "{} before", case.name);
    let (seen, held) = thread::scope(|scope| {
        let held = scope.spawn(|| get(&many));
        wait_for("the held request", LIMIT, || {
            (envoy.stat("http.edge.downstream_rq_active") == 1).then_some(())
        });
        let connection = http::Connection::open(port);
        let response = connection.and_then(|mut open| open.post_with_trailer(&path, "body"));
        let seen = response.map_or(0, |response| response.status);
        (seen, held.join().expect("no panic"))
    });
    // What comes after the response may still be under way.
    wait_for(
        &format!("{} of {} counted", case.cause, case.name),
        LIMIT,
        || {
            let stats = envoy.admin(&format!("/stats?filter=plugin_failures.*{}", case.name));
            let of = format!("cause.{}", case.cause.replace(' ', "_"));
            let stats = stats.text().replace(' ', "_");
            (stats.contains(&of) && stats.contains(":_1")).then_some(())
        },
    );
    let mut all = vec![
        ("failing", seen, case.expected(case.refused)),
        ("paused meanwhile", held, case.expected(503)),
    ];
    if case.strategy != "FAIL_RELOAD" {
        all.push(("later", get(&[]), case.expected(503)));
    }
    all.into_iter()
        .filter(|(_, seen, expected)| seen != expected)
        .map(|(what, seen, expected)| format!("{}, {what}: {seen}, not {expected}", case.name))
        .collect()
}
