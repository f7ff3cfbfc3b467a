//! What changes while Envoy serves: resources, labels, modules. Nothing that is worse replaces what is
//! good.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use support::bootstrap::{Bootstrap, EXTENSION};
use support::envoy::{Envoy, Launch};
use support::guests::{Guests, document, marks};
use support::http;
use support::mounted::Mounted;
use support::upstream::Upstream;
use support::{ENVOYS, NEWEST, wait_for};

const LIMIT: Duration = Duration::from_secs(20);

fn mark(name: &str, module: &Path, phase: &str, mark: &str) -> String {
    let spec = format!("phase: {phase}\npluginConfig: {{ id: {mark} }}");
    document(name, module, &spec)
}

/// Settings by which all of `mounted` runs.
fn plugins_dir(mounted: &Mounted) -> String {
    format!("pluginsDir: {}", mounted.path().display())
}

#[test]
fn what_gets_worse_replaces_nothing() {
    let guests = Guests::new();
    let module = guests.mark();
    let upstream = Upstream::echo();
    let good = mark("one", &module, "AUTHN", "good");
    let mut mounted = Mounted::new(&[("one.yaml", &good)]);
    let bootstrap = Bootstrap::around(upstream.port(), &plugins_dir(&mounted));
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    let shows = |marked: &str| {
        wait_for(marked, LIMIT, || {
            (marks(&http::get(bootstrap.port(), "/")) == marked).then_some(())
        });
    };
    shows(r#"{"id":"good"}"#);
    let broken = guests.file("broken.wasm", b"no module");
    let missing = PathBuf::from("/nonexistent/module.wasm");
    let cases = [
        ("spec:\n\t- what", "plugins"),
        (&good.replace("AUTHN", "AUTHX"), "AUTHX"),
        (
            &mark("one", &broken, "AUTHN", "broken"),
            "not a WebAssembly module",
        ),
        (
            &mark("one", &missing, "AUTHN", "missing"),
            "/nonexistent/module.wasm",
        ),
        (
            &mark("one", &guests.unknown_import(), "AUTHN", "unknown"),
            "proxy_no_such_function",
        ),
    ];
    for (i, (text, problem)) in cases.into_iter().enumerate() {
        mounted.replace(&[("one.yaml", text)]);
        let problem = if i == 0 { "one.yaml" } else { problem };
        envoy.wait_for_log(problem);
        for _ in 0..10 {
            let response = http::get(bootstrap.port(), "/");
            assert_eq!(
                (response.status, marks(&response).as_str()),
                (200, r#"{"id":"good"}"#)
            );
        }
        if i > 1 {
            let state = "wasmplugin.plugin_state.plugin.default.one";
            wait_for("the state last-good", LIMIT, || {
                (envoy.stat(state) == 3).then_some(())
            });
        }
    }
    mounted.replace(&[("one.yaml", &mark("one", &module, "AUTHZ", "better"))]);
    shows(r#"{"id":"better"}"#);
    mounted.replace(&[]);
    shows("");
}

#[test]
fn a_module_that_changes_in_its_place_is_loaded_anew() {
    let guests = Guests::new();
    let module = guests.file("changing.wasm", &fs::read(guests.trap()).expect("a guest"));
    let upstream = Upstream::echo();
    let mounted = Mounted::new(&[("one.yaml", &mark("one", &module, "AUTHN", "here"))]);
    let bootstrap = Bootstrap::around(upstream.port(), &plugins_dir(&mounted));
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    let post = || http::request(bootstrap.port(), "POST", "/", &[], b"body").status;
    assert_eq!(post(), 503);
    assert_eq!(post(), 503);
    guests.file("changing.wasm", &fs::read(guests.mark()).expect("a guest"));
    wait_for("the better module", LIMIT, || (post() == 200).then_some(()));
    assert!(envoy.log_contains("generation 2 serves new requests: 1 plugins"));
}

#[test]
fn labels_select_while_envoy_runs() {
    let guests = Guests::new();
    let module = guests.mark();
    let upstream = Upstream::echo();
    let selected = |app: &str| {
        let spec =
            format!("selector: {{ matchLabels: {{ app: {app} }} }}\npluginConfig: {{ id: {app} }}");
        document(app, &module, &spec)
    };
    let mounted = Mounted::new(&[("both.yaml", &(selected("web") + &selected("shop")))]);
    let mut labels = Mounted::new(&[("labels", "app=\"web\"\n")]);
    let settings = format!(
        "pluginsDir: {}\nworkload: {{ labelsFile: {}/labels }}",
        mounted.path().display(),
        labels.path().display()
    );
    let bootstrap = Bootstrap::new(upstream.port()).filter(&settings);
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    let get = || marks(&http::get(bootstrap.port(), "/"));
    assert_eq!(get(), r#"{"id":"web"}"#);
    labels.replace(&[("labels", "app=\"shop\"\n")]);
    wait_for("the other label", LIMIT, || {
        (get() == r#"{"id":"shop"}"#).then_some(())
    });
    labels.replace(&[("labels", "no label")]);
    envoy.wait_for_log("what was last good goes on");
    assert_eq!(get(), r#"{"id":"shop"}"#, "the last good labels go on");
}

#[test]
fn streams_that_a_failed_instance_held_learn_of_it() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    for (strategy, status) in [
        ("FAIL_CLOSE", 503),
        ("FAIL_RELOAD", 503),
        ("FAIL_OPEN", 200),
    ] {
        let spec = format!("failStrategy: {strategy}");
        let mounted = Mounted::new(&[("hold.yaml", &document("hold", &guests.hold(), &spec))]);
        let bootstrap = Bootstrap::around(upstream.port(), &plugins_dir(&mounted));
        // Each worker has an instance of its own.
        let launch = Launch::new(NEWEST).concurrency(1);
        let envoy = launch.start(&bootstrap.render());
        thread::scope(|scope| {
            let held: Vec<_> = (0..5)
                .map(|_| scope.spawn(|| http::get(bootstrap.port(), "/held").status))
                .collect();
            wait_for("held streams", LIMIT, || {
                (envoy.stat("http.edge.downstream_rq_active") == 5).then_some(())
            });
            let failing = http::request(bootstrap.port(), "POST", "/fails", &[], b"body");
            assert_eq!(failing.status, status, "{strategy}");
            for held in held {
                assert_eq!(held.join().expect("an answer"), status, "{strategy}");
            }
        });
    }
}

#[test]
fn plugins_are_counted() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    let mounted = Mounted::new(&[("trap.yaml", &mark("trap", &guests.trap(), "AUTHN", "x"))]);
    let bootstrap = Bootstrap::around(upstream.port(), &plugins_dir(&mounted));
    let launch = Launch::new(NEWEST).concurrency(1);
    let envoy = launch.start(&bootstrap.render());
    for _ in 0..3 {
        assert_eq!(http::get(bootstrap.port(), "/").status, 200);
    }
    assert_eq!(
        http::request(bootstrap.port(), "POST", "/", &[], b"body").status,
        503
    );
    let stat = |name: &str| envoy.stat(&format!("wasmplugin.{name}.plugin.default.trap"));
    wait_for("the failure", LIMIT, || {
        (envoy.stat("wasmplugin.plugin_failures.plugin.default.trap.cause.trap") == 1).then_some(())
    });
    assert_eq!(stat("plugin_requests"), 4);
    assert_eq!(stat("plugin_generation"), 1);
    assert_eq!(stat("plugin_state"), 5, "failed");
    assert_eq!(stat("plugin_instances"), 0);
    let prometheus = envoy.admin("/stats/prometheus").text();
    for line in [
        r#"envoy_wasmplugin_plugin_requests{plugin="default.trap"} 4"#,
        r#"envoy_wasmplugin_plugin_failures{plugin="default.trap",cause="trap"} 1"#,
        r#"envoy_wasmplugin_plugin_call_microseconds_count{plugin="default.trap"}"#,
        r#"envoy_wasmplugin_compile_milliseconds_count{plugin="default.trap"}"#,
    ] {
        assert!(prometheus.contains(line), "{line} in:\n{prometheus}");
    }
}

#[test]
fn the_bootstrap_extension_holds_the_start_and_shows_plugins() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    let missing = PathBuf::from("/nonexistent/module.wasm");
    let plugins = mark("there", &guests.mark(), "AUTHN", "there")
        + &document("away", &missing, "failStrategy: FAIL_OPEN");
    let mounted = Mounted::new(&[("plugins.yaml", &plugins)]);
    for version in ENVOYS {
        let bootstrap = Bootstrap::around(upstream.port(), &plugins_dir(&mounted));
        let envoy = Envoy::start(version, &(EXTENSION.to_owned() + &bootstrap.render()));
        assert_eq!(
            marks(&http::get(bootstrap.port(), "/")),
            r#"{"id":"there"}"#
        );
        let report = envoy.admin("/wasmplugin?format=json").json();
        let plugin = |name: &str| {
            let plugins = report["plugins"].as_array().expect("plugins").iter();
            let mut of = plugins.filter(|plugin| plugin["resource"] == name);
            of.next().expect("the plugin").clone()
        };
        assert_eq!(plugin("default/there")["state"], "running");
        assert_eq!(plugin("default/there")["requests"], 1);
        assert_eq!(plugin("default/away")["state"], "unavailable");
        let error = plugin("default/away")["last_error"].to_string();
        assert!(error.contains("/nonexistent/module.wasm"), "{error}");
        let page = envoy.admin("/wasmplugin").text();
        assert!(
            page.starts_with("<!doctype html>") && page.contains("default/there"),
            "{page}"
        );
        let (status, log) = envoy.quit();
        assert!(
            status.success(),
            "Envoy {version} ends with {status}: {log}"
        );
    }
}
