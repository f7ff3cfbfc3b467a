//! Envoy's own life: listeners that come and go while streams are held, plugins that want time to go,
//! the end of the process in the middle of everything.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::thread;
use std::time::Duration;

use support::bootstrap::Bootstrap;
use support::envoy::{Envoy, Launch};
use support::guests::{Guests, marks, plugin};
use support::http;
use support::upstream::Upstream;
use support::{ENVOYS, NEWEST, wait_for};

/// Long: a request that the former plugin holds goes on only when its client gives up.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_plugin_that_wants_time_to_go_gets_it() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("plugins.yaml");
    let resource = plugin("slow", &guests.farewell(), "");
    let resource: String = resource
        .lines()
        .map(|line| line.get(2..).unwrap_or_default().to_owned() + "\n")
        .collect();
    fs::write(&file, resource).expect("a file");
    let settings = format!("pluginsDir: {}", directory.path().display());
    let bootstrap = Bootstrap::new(upstream.port()).filter(&settings);
    let launch = Launch::new(NEWEST).log_levels("dynamic_modules:info");
    let envoy = launch.concurrency(1).start(&bootstrap.render());
    assert_eq!(http::get(bootstrap.port(), "/").status, 200);
    fs::remove_file(&file).expect("to remove");
    envoy.wait_for_log("wasm log: not yet");
    envoy.wait_for_log("wasm log: farewell");
    let instances = "wasmplugin.plugin_instances.plugin.default.slow";
    wait_for("the end of the instance", LIMIT, || {
        (envoy.stat(instances) == 0).then_some(())
    });
    assert_eq!(envoy.stat("wasmplugin.plugin_state.plugin.default.slow"), 0);
}

#[test]
fn listeners_change_while_streams_are_held() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("listeners.yaml");
    let with = |module, n: u32| plugin("one", module, &format!("pluginConfig: {{ id: {n} }}"));
    let (hold, mark) = (guests.hold(), guests.mark());
    let plugins = |module, n| format!("plugins:\n{}", with(module, n));
    for version in ENVOYS {
        let empty = Bootstrap::new(upstream.port());
        let bootstrap = |module, n| empty.clone().filter(&plugins(module, n));
        bootstrap(&hold, 0).discover(&file);
        let envoy = Envoy::start(version, &empty.render_discovering(&file));
        thread::scope(|scope| {
            let held: Vec<_> = (0..5)
                .map(|_| scope.spawn(|| http::try_request(empty.port(), "GET", "/held", &[], b"")))
                .collect();
            wait_for("held streams", LIMIT, || {
                (envoy.stat("http.edge.downstream_rq_active") == 5).then_some(())
            });
            for n in 1..=5 {
                bootstrap(&mark, n).discover(&file);
                // The plugin's former version may stand in for the new one until that is loaded.
                wait_for("the new listener", LIMIT, || {
                    let response = http::try_request(empty.port(), "GET", "/", &[], b"").ok()?;
                    let id = format!(r#"{{"id":{n}}}"#);
                    (response.status == 200 && marks(&response) == id).then_some(())
                });
            }
            for held in held {
                // Envoy ends them when it has drained their listener.
                assert!(
                    !held
                        .join()
                        .expect("no panic")
                        .is_ok_and(|r| r.status == 200)
                );
            }
        });
        let instances = "wasmplugin.plugin_instances.plugin.default.one";
        if version == NEWEST {
            wait_for("the end of former instances", LIMIT, || {
                // Something has to happen for metrics to be told.
                http::get(empty.port(), "/");
                (envoy.stat(instances) == 2).then_some(())
            });
        }
        let (status, log) = envoy.quit();
        assert!(
            status.success(),
            "Envoy {version} ends with {status}: {log}"
        );
    }
}

#[test]
fn envoy_ends_while_streams_are_held() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    for version in ENVOYS {
        let bootstrap = Bootstrap::new(upstream.port())
            .filter(&format!("plugins:\n{}", plugin("one", &guests.hold(), "")));
        let envoy = Envoy::start(version, &bootstrap.render());
        let port = bootstrap.port();
        let held: Vec<_> = (0..5)
            .map(|_| thread::spawn(move || http::try_request(port, "GET", "/", &[], b"").is_ok()))
            .collect();
        wait_for("held streams", LIMIT, || {
            (envoy.stat("http.edge.downstream_rq_active") == 5).then_some(())
        });
        let (status, log) = envoy.quit();
        assert!(
            status.success(),
            "Envoy {version} ends with {status}: {log}"
        );
        for held in held {
            assert!(!held.join().expect("no panic"));
        }
    }
}
