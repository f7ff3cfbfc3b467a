//! Thousands of failures in one Envoy: it lives, keeps nothing of them, and plugins beside are as
//! quick as before.
//!
//! A plugin that failed has no instance on that worker any more, and comes back with a new
//! configuration: so all of them get one again and again. `FAILURES_ROUNDS=100` makes 10,000 traps,
//! 1,000 deadlines and 1,000 memory caps of it.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use support::bootstrap::Bootstrap;
use support::envoy::{Envoy, Launch};
use support::guests::{Guests, document, marks, plugin};
use support::http::{self, Connection};
use support::mounted::Mounted;
use support::upstream::Upstream;
use support::{NEWEST, asked, wait_for};

const LIMIT: Duration = Duration::from_secs(60);

const WORKERS: u64 = 2;

/// Ways to fail in each request: the cause as the metric names it, how the guest does it, and plugins
/// that do.
const CAUSES: [(&str, &str, u64); 3] = [
    ("trap", "unreachable", 50),
    ("deadline", "(loop (br 0))", 5),
    (
        "memory",
        "(loop (br_if 0 (i32.ne (memory.grow (i32.const 16)) (i32.const -1)))) unreachable",
        5,
    ),
];

/// Rounds until arenas and caches are there.
const WARM_UP: u64 = 5;

fn guest(failing: &str) -> Vec<u8> {
    let text = format!(
        r#"(module (memory (export "memory") 1)
         (func (export "proxy_abi_version_0_2_1"))
         (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
         (func (export "proxy_on_context_create") (param i32 i32))
         (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
           {failing} (i32.const 0)))"#
    );
    wat::parse_str(text).expect("a guest")
}

#[test]
fn many_failures_leave_nothing() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    let mut failing = Vec::new();
    for (cause, failure, count) in CAUSES {
        let file = guests.file(&format!("{cause}.wasm"), &guest(failure));
        failing.extend((0..count).map(|n| (format!("{cause}-{n}"), file.clone())));
    }
    let annotations =
        "annotations: { wasmplugin.io/memory-limit: 1Mi, wasmplugin.io/call-deadline: 10ms }";
    let round = |number: u64| {
        let of = |(name, file): &(String, PathBuf)| {
            let spec = format!("failStrategy: FAIL_OPEN\npluginConfig: {{ round: {number} }}");
            let name_only = format!("name: {name},");
            let annotated = format!("{name_only} {annotations},");
            document(name, file, &spec).replace(&name_only, &annotated)
        };
        failing.iter().map(of).collect::<String>()
    };
    let mut mounted = Mounted::new(&[("plugins.yaml", &round(0))]);
    let healthy = plugin("healthy", &guests.mark(), "pluginConfig: { id: healthy }");
    let bootstrap = Bootstrap::new(upstream.port())
        .filter(&format!("plugins:\n{healthy}"))
        .listener()
        .filter(&format!("pluginsDir: {}", mounted.path().display()))
        .filter(&format!("plugins:\n{healthy}"));
    let launch = Launch::new(NEWEST).log_levels("dynamic_modules:critical");
    let envoy = launch.start(&bootstrap.render());
    let ports = bootstrap.ports();
    let before = latency(ports[0]);
    let rounds = asked("FAILURES_ROUNDS", 10);
    let begin = Instant::now();
    let mut memory = 0;
    for number in 0..rounds {
        if number > 0 {
            mounted.replace(&[("plugins.yaml", &round(number))]);
        }
        wait_for(&format!("failures of round {number}"), LIMIT, || {
            // Each worker has instances of its own, and a connection goes to either.
            let response = http::get(ports[1], "/");
            assert_eq!(response.status, 200);
            assert_eq!(marks(&response), r#"{"id":"healthy"}"#);
            let counted = failures(&envoy);
            let all = CAUSES.map(|(_, _, count)| count * WORKERS * (number + 1));
            (counted == all).then_some(())
        });
        if number + 1 == WARM_UP {
            memory = envoy.memory();
        }
    }
    let after = latency(ports[0]);
    println!(
        "{:?} failures in {:.1} s, resident {memory} then {} bytes, latency of a plugin beside \
         {before:?} then {after:?} (ratio {:.2})",
        failures(&envoy),
        begin.elapsed().as_secs_f64(),
        envoy.memory(),
        after.as_secs_f64() / before.as_secs_f64(),
    );
    assert!(
        envoy.memory() < memory + memory / 10,
        "memory grew from {memory} to {} bytes",
        envoy.memory()
    );
    // Other tests run beside this one: a guard against what grows with each failure, not a measure.
    assert!(after < before * 5, "{before:?} became {after:?}");
    let instances = |name: &str| {
        envoy.stat(&format!(
            "wasmplugin.plugin_instances.plugin.default.{name}"
        ))
    };
    wait_for("no instance that failed", LIMIT, || {
        http::get(ports[0], "/");
        failing
            .iter()
            .all(|(name, _)| instances(name) == 0)
            .then_some(())
    });
    assert_eq!(instances("healthy"), WORKERS);
}

/// What is counted of each cause, over all plugins.
fn failures(envoy: &Envoy) -> [u64; 3] {
    let stats = envoy.admin("/stats?filter=plugin_failures").text();
    CAUSES.map(|(cause, ..)| {
        let end = format!("cause.{cause}");
        let of = stats.lines().filter_map(|line| {
            let (name, value) = line.split_once(": ")?;
            name.ends_with(&end).then(|| value.parse::<u64>().ok())?
        });
        of.sum()
    })
}

/// The median time of a request.
fn latency(port: u16) -> Duration {
    let mut connection = Connection::open(port).expect("a connection");
    let mut all: Vec<_> = (0..500)
        .map(|_| {
            let begin = Instant::now();
            connection.request("GET", "/", &[], b"").expect("an answer");
            begin.elapsed()
        })
        .collect();
    all.sort();
    all[all.len() / 2]
}
