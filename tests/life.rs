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
use std::io::Write as _;
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use support::bootstrap::{Bootstrap, discover_filter};
use support::envoy::{Envoy, Launch, complaints};
use support::faulty::{Answer, Server};
use support::guests::{Guests, document, marks, plugin, plugin_from};
use support::http;
use support::upstream::Upstream;
use support::witness::{self, Marks, Met, Over, PAUSE};
use support::{ENVOYS, NEWEST, module, wait_for};

/// Long: a request that the former plugin holds goes on only when its client gives up.
const LIMIT: Duration = Duration::from_secs(60);

#[test]
fn a_plugin_that_wants_time_to_go_gets_it() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("plugins.yaml");
    fs::write(&file, document("slow", &guests.farewell(), "")).expect("a file");
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

#[test]
fn a_hot_restart_loses_nothing() {
    let guests = Guests::new();
    let module = guests.file("witness.wasm", &witness::guest(0));
    let upstream = Upstream::marks();
    let cache = tempfile::tempdir().expect("a directory");
    let config = witness::config("here");
    let settings = format!(
        "cacheDir: {}\nplugins:\n{}",
        cache.path().display(),
        plugin("one", &module, &format!("pluginConfig: {config}"))
    );
    let bootstrap = Bootstrap::new(upstream.port()).filter(&settings);
    let (port, yaml) = (bootstrap.port(), bootstrap.render());
    for version in ENVOYS {
        let launch = || Launch::new(version).drain(Duration::from_secs(2));
        let mut parent = launch().start(&yaml);
        let is_over = AtomicBool::new(false);
        let pace = Duration::from_millis(10);
        let mut met = Met::default();
        let child = thread::scope(|scope| {
            let over = Over(&is_over);
            let clients: Vec<_> = [&[][..], &[], &[PAUSE], &[PAUSE]]
                .into_iter()
                .map(|headers| witness::client(scope, port, headers, pace, &is_over))
                .collect();
            let child = launch().after(&parent).start(&yaml);
            wait_for("the end of the parent", LIMIT, || parent.exited());
            wait_for("requests of the child", LIMIT, || {
                (child.stat("http.edge.downstream_rq_2xx") > 100).then_some(())
            });
            drop(over);
            for client in clients {
                met.add(client.join().expect("no failure in a client"));
            }
            child
        });
        println!(
            "Envoy {version}: {} requests, slowest {:?}",
            met.answered(),
            met.slowest
        );
        assert_eq!(met.lost, [""; 0]);
        let marks: Vec<_> = met.marks.into_keys().collect();
        assert_eq!(marks, [Marks::of(&["here".to_owned()])]);
        // Compiled by the parent at the latest.
        assert!(child.log_contains("mapped compiled"), "{}", child.log());
    }
}

/// A registry that does not answer holds neither Envoy's discovery nor the requests of what runs.
#[test]
fn a_discovered_filter_does_not_wait_for_the_network() {
    let guests = Guests::new();
    let upstream = Upstream::echo();
    let silent = Server::start(|_| Answer::Silence);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("filter.yaml");
    let mark = |n: u32| {
        plugin(
            "one",
            &guests.mark(),
            &format!("pluginConfig: {{ id: {n} }}"),
        )
    };
    let with = |others: &str, n| {
        let settings = "fetch: { timeout: 3s, attempts: 1 }\nplugins:";
        discover_filter(&file, &format!("{settings}\n{others}{}", mark(n)));
    };
    with("", 0);
    let bootstrap = Bootstrap::new(upstream.port()).discovered_filter(&file);
    for version in ENVOYS {
        with("", 0);
        let envoy = Envoy::start(version, &bootstrap.render());
        let shown = || {
            let response = http::get(bootstrap.port(), "/");
            assert_eq!(response.status, 200);
            marks(&response)
        };
        assert_eq!(shown(), r#"{"id":0}"#);
        let away = plugin_from("away", &silent.url("/away.wasm"), "failStrategy: FAIL_OPEN");
        with(&away, 1);
        wait_for("the request for the module", LIMIT, || {
            (silent.gets("away.wasm") > 0).then_some(())
        });
        let begin = Instant::now();
        assert_eq!(envoy.admin("/ready").status, 200);
        // The new version may be there already; until then, the former one goes on.
        let marks = shown();
        assert!(
            [r#"{"id":0}"#, r#"{"id":1}"#].contains(&marks.as_str()),
            "{marks}"
        );
        let took = begin.elapsed();
        assert!(took < Duration::from_secs(2), "{took:?}");
        wait_for("the other plugin", LIMIT, || {
            (shown() == r#"{"id":1}"#).then_some(())
        });
        silent.forget();
    }
}

/// A plugin that runs `program`, which `tests/guests/probe` describes.
fn probe(guests: &Guests, program: &str) -> String {
    let module = guests.file("probe.wasm", &module::guest("probe-0_2_1"));
    let program = serde_json::Value::from(program);
    let annotations =
        format!("metadata: {{ annotations: {{ wasmplugin.io/raw-plugin-config: {program} }},");
    plugin("probe", &module, "").replace("metadata: {", &annotations)
}

/// What a stream of [`a_stream_has_nothing_of_one_before_it`] does.
const PROGRAM: &str = r#"
mute: context_create vm_start configure request_headers request_body response_headers response_body log done delete http_call_response
request_headers: quiet get 0 "x-kind"; set kind $out; quiet get 0 "x-id"; set id $out; quiet add 0 "x-mark" $id
  if $kind == "keep" { quiet set_property "mine" $id; quiet add 0 "x-mark" "kept" }
  if $kind == "reply" { quiet reply 403 "no" $id "" -1; ret 1 }
  if $kind == "pause" { quiet set_property "mine" $id; ret 1 }
request_body: ret 1
response_headers: quiet get_property "mine"; if $status == 0 { quiet add 2 "x-kept" $out }
"#;

/// What streams need is kept from those that have ended. So streams that end in every way, and
/// leave something behind, are mixed with others that would show it.
#[test]
fn a_stream_has_nothing_of_one_before_it() {
    let guests = Guests::new();
    let upstream = Upstream::marks();
    let plugins = probe(&guests, PROGRAM);
    let bootstrap = Bootstrap::new(upstream.port()).filter(&format!("plugins:\n{plugins}"));
    let port = bootstrap.port();
    for version in ENVOYS {
        let envoy = Envoy::start(version, &bootstrap.render());
        thread::scope(|scope| {
            for client in 0..8 {
                scope.spawn(move || (0..STREAMS).for_each(|n| one_of_many(port, client, n)));
            }
        });
        assert_eq!(complaints(&envoy.log()), [""; 0]);
    }
}

/// Streams of each client.
const STREAMS: usize = 300;

/// Stream `n` of a client: what it does depends on both.
fn one_of_many(port: u16, client: usize, n: usize) {
    let id = format!("{client}-{n}");
    let ask = |kind, body: &[u8], patience| {
        let headers = [("x-id", id.as_str()), ("x-kind", kind)];
        let mut connection = http::Connection::open(port)?.patience(patience)?;
        connection.request("POST", "/", &headers, body)
    };
    let (patient, hasty) = (LIMIT, Duration::from_millis(5));
    match (client + n) % 5 {
        0 => assert!(ask("pause", b"", hasty).is_err(), "gone while paused"),
        1 => assert!(
            ask("body", b"held", hasty).is_err(),
            "gone with its body held"
        ),
        2 => {
            let response = ask("reply", b"", patient).expect("a reply");
            assert_eq!((response.status, response.text()), (403, id.clone()));
            assert_eq!(response.header("x-kept"), None);
        }
        3 => {
            let response = ask("keep", b"", patient).expect("an answer");
            assert_eq!(
                (response.status, response.text()),
                (200, format!("{id}, kept"))
            );
            assert_eq!(response.joined("x-kept"), id);
        }
        _ => {
            let response = ask("plain", b"", patient).expect("an answer");
            assert_eq!((response.status, response.text()), (200, id.clone()));
            assert_eq!(response.header("x-kept"), None);
        }
    }
}

/// Calls that no stream carries are carried by a configuration. One that is discovered ends where its
/// last stream does, on a worker, while its calls are the main thread's.
#[test]
fn a_discovered_filter_goes_while_its_calls_are_open() {
    let guests = Guests::new();
    let silent = Server::start(|_| Answer::Silence);
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("filter.yaml");
    let write = |n: u32| {
        let plugins = probe(&guests, &CALLS.replace("VERSION", &n.to_string()));
        discover_filter(&file, &format!("plugins:\n{plugins}"));
    };
    let await_calls = |n: u32| {
        wait_for("calls of the version", LIMIT, || {
            (silent.gets(&format!("/call/{n}/")) >= MANY).then_some(())
        });
    };
    for version in ENVOYS {
        write(0);
        let bootstrap = Bootstrap::new(silent.port()).discovered_filter(&file);
        let envoy = Envoy::start(version, &bootstrap.render());
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            let over = Over(&is_over);
            for _ in 0..4 {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        let mut client =
                            TcpStream::connect(("127.0.0.1", bootstrap.port())).expect("Envoy");
                        client
                            .write_all(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                            .expect("to send");
                        // Nobody answers; then it leaves, and its stream ends.
                        thread::sleep(Duration::from_millis(30));
                    }
                });
            }
            await_calls(0);
            for n in 1..20 {
                write(n);
                await_calls(n);
            }
            drop(over);
        });
        let (status, log) = envoy.quit();
        assert!(status.success(), "{status}:\n{log}");
        silent.forget();
    }
}

/// Calls that are open when the next version comes.
const MANY: usize = 50;

/// What the plugin of [`a_discovered_filter_goes_while_its_calls_are_open`] does.
const CALLS: &str = r#"
mute: context_create vm_start configure request_headers request_body response_headers response_body log done delete http_call_response tick
configure: tick 5
tick: quiet http_call "callouts" {":method"=GET, ":path"="/call/VERSION/", ":authority"=a} "" "" 1000
"#;
