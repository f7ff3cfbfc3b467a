//! What changes while Envoy serves: resources, labels, modules. Nothing is lost, nothing is mixed, and
//! nothing that is worse replaces what is good.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use support::bootstrap::Bootstrap;
use support::envoy::{Envoy, Launch, complaints};
use support::guests::{Guests, marks};
use support::http::{self, Connection};
use support::upstream::Upstream;
use support::{ENVOYS, NEWEST, wait_for};
use tempfile::TempDir;

const LIMIT: Duration = Duration::from_secs(20);

/// A directory of resources, replaced as Kubernetes replaces a mounted ConfigMap: files are links
/// into `..data`, itself a link that one rename replaces.
struct Mounted {
    directory: TempDir,
    version: u32,
}

impl Mounted {
    fn new(files: &[(&str, &str)]) -> Self {
        let mut mounted = Self {
            directory: tempfile::tempdir().expect("a directory"),
            version: 0,
        };
        mounted.replace(files);
        mounted
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn replace(&mut self, files: &[(&str, &str)]) {
        let root = self.path().to_owned();
        let old = format!("..{}", self.version);
        self.version += 1;
        let name = format!("..{}", self.version);
        fs::create_dir(root.join(&name)).expect("a directory");
        for (file, text) in files {
            fs::write(root.join(&name).join(file), text).expect("a file");
        }
        let link = |target: &str, name: &str| {
            let link = root.join(name);
            std::os::unix::fs::symlink(target, &link).expect("a link");
            link
        };
        let swap = link(&name, "..data_tmp");
        fs::rename(swap, root.join("..data")).expect("a rename");
        for entry in fs::read_dir(&root).expect("a directory").flatten() {
            let file = entry.file_name().into_string().expect("UTF-8");
            if !file.starts_with("..") && !files.iter().any(|(name, _)| *name == file) {
                fs::remove_file(entry.path()).expect("to remove");
            }
        }
        for (file, _) in files {
            if !root.join(file).exists() {
                link(&format!("..data/{file}"), file);
            }
        }
        // Left where it is not there yet.
        let _absent = fs::remove_dir_all(root.join(old));
    }
}

fn resource(name: &str, module: &Path, spec: &str) -> String {
    format!(
        "---\napiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\n\
         metadata: {{ name: {name}, namespace: default }}\n\
         spec:\n  url: file://{}\n{}\n",
        module.display(),
        support::bootstrap::indent(spec, 2)
    )
}

fn mark(name: &str, module: &Path, phase: &str, mark: &str) -> String {
    let spec = format!("phase: {phase}\npluginConfig: {{ id: {mark} }}");
    resource(name, module, &spec)
}

/// Entries before and after each other, as around Envoy's own filters.
fn three_entries(upstream: u16, directory: &Path) -> Bootstrap {
    ["AUTHN", "AUTHZ", "STATS, UNSPECIFIED_PHASE"]
        .into_iter()
        .fold(Bootstrap::new(upstream), |bootstrap, phases| {
            let directory = directory.display();
            bootstrap.filter(&format!("phases: [{phases}]\npluginsDir: {directory}"))
        })
}

/// How many updates: more on demand, with `RELOAD_UPDATES`.
fn updates() -> usize {
    let asked = std::env::var("RELOAD_UPDATES");
    asked.ok().and_then(|n| n.parse().ok()).unwrap_or(20)
}

#[test]
fn updates_under_load_lose_nothing_and_show_whole() {
    let guests = Guests::new();
    let modules = [guests.mark(), guests.tell()];
    let upstream = Upstream::echo();
    // In each version: other configurations and code, an order of its own, and a plugin that comes
    // and goes.
    let version = |n: usize| {
        let module = &modules[n % 2];
        let mut text = mark("first", module, "AUTHN", &format!("v{n}"));
        text += &mark("second", &modules[0], "AUTHZ", &format!("v{n}"));
        let phase = ["STATS", "UNSPECIFIED_PHASE"][n / 2 % 2];
        text += &mark("third", &modules[0], phase, &format!("v{n}"));
        if n.is_multiple_of(3) {
            text += &mark("fourth", &modules[0], "AUTHZ", &format!("v{n}"));
        }
        text
    };
    let mut mounted = Mounted::new(&[("plugins.yaml", &version(0))]);
    let bootstrap = three_entries(upstream.port(), mounted.path());
    let envoy = Launch::new(NEWEST)
        .concurrency(2)
        .start(&bootstrap.render());
    let is_over = AtomicBool::new(false);
    let mut memory = 0;
    let seen: Vec<String> = thread::scope(|scope| {
        let client = || {
            let mut seen: Vec<String> = Vec::new();
            let mut connection = Connection::open(bootstrap.port()).expect("a connection");
            while !is_over.load(Ordering::Relaxed) {
                let response = connection.request("GET", "/", &[], b"").expect("an answer");
                assert_eq!(response.status, 200, "{}", response.text());
                let marks = marks(&response);
                if seen.last() != Some(&marks) {
                    seen.push(marks);
                }
            }
            seen
        };
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        for n in 1..=updates() {
            mounted.replace(&[("plugins.yaml", &version(n))]);
            wait_for("the new version", LIMIT, || {
                let marks = marks(&http::get(bootstrap.port(), "/"));
                marks.contains(&format!("\"v{n}\"")).then_some(())
            });
            if n == 10 {
                memory = envoy.memory();
            }
        }
        is_over.store(true, Ordering::Relaxed);
        let seen = clients.into_iter().map(|client| client.join());
        seen.flat_map(|seen| seen.expect("no failure in a client"))
            .collect()
    });
    for marks in seen {
        let mut of: Vec<_> = marks.split(", ").collect();
        let count = of.len();
        of.dedup();
        assert_eq!(of.len(), 1, "mixed: {marks}");
        let n: usize = of[0]
            .trim_matches(|c: char| !c.is_ascii_digit())
            .parse()
            .expect("a number");
        assert_eq!(count, if n.is_multiple_of(3) { 4 } else { 3 }, "{marks}");
    }
    let after = envoy.memory();
    assert!(
        after < memory + memory / 10,
        "memory grew from {memory} to {after} bytes"
    );
    assert_eq!(complaints(&envoy.log()), [""; 0]);
}

#[test]
fn what_gets_worse_replaces_nothing() {
    let guests = Guests::new();
    let module = guests.mark();
    let upstream = Upstream::echo();
    let good = mark("one", &module, "AUTHN", "good");
    let mut mounted = Mounted::new(&[("one.yaml", &good)]);
    let bootstrap = three_entries(upstream.port(), mounted.path());
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
    let bootstrap = three_entries(upstream.port(), mounted.path());
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
        resource(app, &module, &spec)
    };
    let mounted = Mounted::new(&[("both.yaml", &(selected("web") + &selected("shop")))]);
    let mut labels = Mounted::new(&[("labels", "app=\"web\"\n")]);
    let settings = format!(
        "pluginsDir: {}\nworkload: {{ labelsFile: {}/labels }}",
        mounted.path().display(),
        labels.path().display()
    );
    let bootstrap = Bootstrap::new(upstream.port()).filter(&settings);
    let _envoy = Envoy::start(NEWEST, &bootstrap.render());
    let get = || marks(&http::get(bootstrap.port(), "/"));
    assert_eq!(get(), r#"{"id":"web"}"#);
    labels.replace(&[("labels", "app=\"shop\"\n")]);
    wait_for("the other label", LIMIT, || {
        (get() == r#"{"id":"shop"}"#).then_some(())
    });
    labels.replace(&[("labels", "no label")]);
    thread::sleep(Duration::from_millis(500));
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
        let mounted = Mounted::new(&[("hold.yaml", &resource("hold", &guests.hold(), &spec))]);
        let bootstrap = three_entries(upstream.port(), mounted.path());
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
    let bootstrap = three_entries(upstream.port(), mounted.path());
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

const EXTENSION: &str = r#"bootstrap_extensions:
- name: wasmplugin
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.bootstrap.dynamic_modules.v3.DynamicModuleBootstrapExtension
    dynamic_module_config: { name: wasmplugin, do_not_close: true, metrics_namespace: wasmplugin }
    extension_name: wasmplugin
"#;

#[test]
fn the_bootstrap_extension_holds_the_start_and_shows_plugins() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    let missing = PathBuf::from("/nonexistent/module.wasm");
    let plugins = mark("there", &guests.mark(), "AUTHN", "there")
        + &resource("away", &missing, "failStrategy: FAIL_OPEN");
    let mounted = Mounted::new(&[("plugins.yaml", &plugins)]);
    for version in ENVOYS {
        let bootstrap = three_entries(upstream.port(), mounted.path());
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
