//! What plugins share with all that runs in Envoy's process: its signals, its address space.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use support::bootstrap::Bootstrap;
use support::envoy::{Envoy, Launch};
use support::guests::{Guests, plugin};
use support::http;
use support::upstream::Upstream;
use support::{NEWEST, wait_for};

/// Backoffs between failures included.
const LIMIT: Duration = Duration::from_secs(60);

/// How often each guest traps.
const TRAPS: u64 = 3;

/// Bytes of address space that containers are given at the least.
const SCARCE: u64 = 8 << 30;

/// Traps that are signals in V8, or could be: an instruction that is none, a stack and a
/// memory that end.
const TRAPPING: &[(&str, &str)] = &[
    ("unreachable", "(unreachable)"),
    ("overflow", "(call $recurse)"),
    ("outside", "(drop (i32.load (i32.const -8)))"),
];

/// A guest that does `code` with each request.
fn guest(guests: &Guests, name: &str, code: &str) -> PathBuf {
    let text = format!(
        r#"(module
  (memory (export "memory") 1)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func $recurse (call $recurse))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    {code} (i32.const 0)))"#
    );
    let module = wat::parse_str(&text).unwrap_or_else(|error| panic!("{name}: {error}"));
    guests.file(&format!("{name}.wasm"), &module)
}

/// Envoy's own Wasm filter, which has V8 run the guest.
fn v8(name: &str, module: &Path) -> String {
    format!(
        r#"- name: wasm
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
    config:
      name: {name}
      failure_policy: FAIL_RELOAD
      reload_config: {{ backoff: {{ base_interval: 0.1s, max_interval: 0.2s }} }}
      vm_config:
        vm_id: {name}
        runtime: envoy.wasm.runtime.v8
        code: {{ local: {{ filename: {} }} }}"#,
        module.display()
    )
}

/// V8 has a handler of signals; ours must neither need nor disturb it, whoever comes first.
#[test]
fn guests_trap_here_and_in_v8_in_one_process() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    for v8_first in [true, false] {
        let mut bootstrap = Bootstrap::new(upstream.port());
        for is_v8 in [v8_first, !v8_first] {
            for (name, code) in TRAPPING {
                let module = guest(&guests, name, code);
                bootstrap = bootstrap.listener();
                bootstrap = if is_v8 {
                    bootstrap.envoy_filter(&v8(name, &module))
                } else {
                    let plugin = plugin(name, &module, "failStrategy: FAIL_RELOAD");
                    bootstrap.filter(&format!("plugins:\n{plugin}"))
                };
            }
        }
        let envoy = Envoy::start(NEWEST, &bootstrap.render());
        wait_for("traps", LIMIT, || {
            // At the same time, on both workers.
            let ports = bootstrap.ports();
            thread::scope(|scope| {
                for port in &ports[1..] {
                    scope.spawn(|| assert_eq!(http::get(*port, "/").status, 503));
                }
            });
            let log = envoy.log();
            let ours = |name: &str, cause: &str| {
                let name =
                    format!("wasmplugin.plugin_failures.plugin.default.{name}.cause.{cause}");
                envoy.stat(&name)
            };
            let in_v8 = |reason: &str| log.matches(reason).count() as u64;
            let counts = [
                ours("unreachable", "trap"),
                ours("overflow", "stack overflow"),
                ours("outside", "trap"),
                in_v8("RuntimeError: unreachable"),
                in_v8("Maximum call stack size exceeded"),
                in_v8("memory access out of bounds"),
            ];
            counts.iter().all(|count| *count >= TRAPS).then_some(())
        });
        assert_eq!(http::get(bootstrap.port(), "/").status, 200);
        let (status, log) = envoy.quit();
        assert!(status.success(), "{status}:\n{log}");
    }
}

/// A plugin takes what it needs, not what would be fastest: see `vm::engine`.
#[test]
fn twenty_plugins_run_in_8_gib_of_address_space() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    let mut plugins = String::new();
    for number in 0..20 {
        // Modules of their own, each with a copy for each worker.
        let code = format!("(drop (i32.const {number}))");
        let module = guest(&guests, &format!("plugin{number}"), &code);
        let _ = write!(plugins, "{}", plugin(&format!("p{number}"), &module, ""));
    }
    let bootstrap = Bootstrap::new(upstream.port()).filter(&format!("plugins:\n{plugins}"));
    let launch = Launch::new(NEWEST).address_space(SCARCE);
    let envoy = launch.start(&bootstrap.render());
    for _ in 0..20 {
        assert_eq!(http::get(bootstrap.port(), "/").status, 200);
    }
    let instances = "wasmplugin.plugin_instances.plugin.default.p19";
    wait_for("its instances", LIMIT, || {
        (envoy.stat(instances) == 2).then_some(())
    });
    println!("{} MiB of address space", envoy.address_space() >> 20);
    let (status, log) = envoy.quit();
    assert!(status.success(), "{status}:\n{log}");
}
