//! In Envoy: whatever goes wrong on the way to modules is told by name, requests flow as the fail
//! strategies say, and everything comes back by itself once it is over.

use std::fs;
use std::path::Path;
use std::time::Duration;

use wasmplugin_host::source::Label;

use super::fault::{faults_of_a_registry, faults_of_a_server, faulty, faulty_front, good};
use super::support::bootstrap::Bootstrap;
use super::support::envoy::Envoy;
use super::support::faulty::{Answer, Server, forward};
use super::support::guests::{Guests, marks, plugin_from};
use super::support::images::{Image, gzip};
use super::support::registry::{Registry, certificate};
use super::support::upstream::Upstream;
use super::support::{NEWEST, http, wait_for};

/// A plugin whose module cannot be had, and how that is told.
struct Case {
    name: String,
    url: String,
    label: Label,
    words: &'static [&'static str],
}

/// Debian's registry with the module as `good:1`.
fn registry_with(module: &Path) -> Registry {
    let registry = Registry::plain();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let module = fs::read(module).expect("a guest");
    Image::oci(&[("plugin.wasm", &module)], "+gzip").write(directory.path());
    registry.push(directory.path(), "good:1", &["--preserve-digests"]);
    registry
}

/// The plugins that have marked a request to `port`.
fn count(port: u16) -> usize {
    let response = http::get(port, "/");
    assert_eq!(response.status, 200);
    let marks = marks(&response);
    marks.split(", ").filter(|mark| !mark.is_empty()).count()
}

#[test]
fn requests_flow_through_every_fault_and_plugins_come_back() {
    let guests = Guests::new();
    let module = fs::read(guests.mark()).expect("a guest");
    let of_servers = faults_of_a_server();
    let server = faulty(&of_servers);
    let registry = registry_with(&guests.mark());
    let behind = registry.port();
    let of_registries = faults_of_a_registry();
    let front = faulty_front(&registry, &of_registries);
    let [trusted, unknown] = [(); 2].map(|()| {
        let directory = tempfile::tempdir().expect("a temporary directory");
        certificate(directory.path());
        directory
    });
    let secure = Server::with_tls(unknown.path(), move |ask| forward(behind, ask));

    let of_servers = of_servers.iter().map(|(name, _, label, words)| Case {
        name: format!("server-{name}"),
        url: server.url(&format!("/{name}")),
        label: *label,
        words,
    });
    let of_registries = of_registries.iter().map(|fault| Case {
        name: format!("registry-{}", fault.name),
        url: format!("oci://127.0.0.1:{}/{}:1", front.port(), fault.name),
        label: fault.label,
        words: fault.words,
    });
    let of_tls = Case {
        name: "registry-tls".to_owned(),
        url: format!("oci://localhost:{}/good:1", secure.port()),
        label: Label::Tls,
        words: &["TLS with localhost", "invalid peer certificate"],
    };
    let cases: Vec<_> = of_servers.chain(of_registries).chain([of_tls]).collect();

    let upstream = Upstream::echo();
    let plugins = cases.iter().map(|case| {
        let spec = "pluginConfig: { n: 1 }\nfailStrategy: FAIL_OPEN";
        plugin_from(&case.name, &case.url, spec)
    });
    let settings = format!(
        "startup: {{ wait: 1s }}\nfetch: {{ attempts: 1, timeout: 2s, maxModuleBytes: 1Mi, \
         insecureRegistries: [127.0.0.1], caFile: {}/ca.pem }}\nplugins:\n{}",
        trusted.path().display(),
        plugins.collect::<String>()
    );
    let bootstrap = Bootstrap::new(upstream.port()).filter(&settings);
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    let memory = envoy.memory();
    for Case {
        name, label, words, ..
    } in &cases
    {
        let line = envoy.wait_for_log(&format!("plugin default/{name}: cannot run"));
        for word in *words {
            assert!(line.contains(word), "{name}: {word:?} is not in {line:?}");
        }
        let metric = format!("wasmplugin.fetch_attempts.plugin.default.{name}.result.{label}");
        wait_for(&metric, Duration::from_secs(10), || {
            (envoy.stat(&metric) > 0).then_some(())
        });
        assert_eq!(count(bootstrap.port()), 0);
    }
    let after = envoy.memory();
    assert!(after < memory + (64 << 20), "{memory}, {after}");
    let limited = envoy.wait_for_log("default/registry-429: cannot run");
    let wait = limited.split("trying again after ").nth(1);
    let wait = wait.and_then(|wait| wait.strip_suffix(" ms"));
    let wait: u64 = wait.and_then(|wait| wait.parse().ok()).expect("a wait");
    assert!(wait >= 7000, "as the registry asks: {limited}");

    server.now(move |_| Answer::ok(&module));
    front.now(move |ask| good(behind, ask));
    secure.certify(trusted.path());
    // What was refused is asked for again after a minute.
    wait_for("all plugins", Duration::from_secs(180), || {
        (count(bootstrap.port()) == cases.len()).then_some(())
    });
}

#[test]
fn requests_flow_by_fail_strategy_and_recover_by_themselves() {
    let guests = Guests::new();
    let module = fs::read(guests.mark()).expect("a guest");
    let registry = registry_with(&guests.mark());
    let behind = registry.port();
    let server = Server::start(|_| Answer::status(500, &[], b""));
    let front = Server::start(|_| Answer::status(500, &[], b""));
    let image = format!("oci://127.0.0.1:{}/good:1", front.port());
    let upstream = Upstream::echo();
    let cases = [
        ("server-closed", server.url("/"), "FAIL_CLOSE"),
        ("server-open", server.url("/"), "FAIL_OPEN"),
        ("server-reload", server.url("/"), "FAIL_RELOAD"),
        ("registry-closed", image.clone(), "FAIL_CLOSE"),
        ("registry-open", image.clone(), "FAIL_OPEN"),
        ("registry-reload", image, "FAIL_RELOAD"),
    ];
    let mut bootstrap = Bootstrap::new(upstream.port());
    for (n, (name, url, fail)) in cases.iter().enumerate() {
        let spec = format!("pluginConfig: {{ n: {name} }}\nfailStrategy: {fail}");
        let settings = format!(
            "startup: {{ wait: 1s }}\n\
             fetch: {{ attempts: 2, insecureRegistries: [127.0.0.1] }}\nplugins:\n{}",
            plugin_from(name, url, &spec)
        );
        if n > 0 {
            bootstrap = bootstrap.listener();
        }
        bootstrap = bootstrap.filter(&settings);
    }
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    let ports = bootstrap.ports();
    for (port, (name, _, fail)) in ports.iter().zip(&cases) {
        let line = envoy.wait_for_log(&format!("default/{name}: cannot run"));
        assert!(line.contains("500 Internal Server Error"), "{line}");
        let response = http::get(*port, "/");
        match *fail {
            "FAIL_OPEN" => {
                assert_eq!(response.status, 200, "{name}");
                assert_eq!(marks(&response), "");
            }
            _ => assert_eq!(response.status, 503, "{name}"),
        }
        // Each attempt counts, not each fetch.
        let metric = format!("wasmplugin.fetch_attempts.plugin.default.{name}.result.server_error");
        wait_for(&metric, Duration::from_secs(10), || {
            (envoy.stat(&metric) >= 2).then_some(())
        });
    }
    server.now(move |_| Answer::ok(&gzip(&module)));
    front.now(move |ask| forward(behind, ask));
    for (port, (name, ..)) in ports.iter().zip(&cases) {
        let told = format!(r#"{{"n":"{name}"}}"#);
        wait_for(name, Duration::from_secs(30), || {
            let response = http::get(*port, "/");
            (response.status == 200 && marks(&response) == told).then_some(())
        });
    }
}
