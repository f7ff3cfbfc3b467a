//! Guests made with the SDKs of other languages, in the module and in Envoy's own Wasm filter.
//!
//! Each of `tests/guests/{go,cpp,assemblyscript}` is the same plugin in another language, so that
//! one test serves all:
//!
//! - It takes texts from its configuration: `header`, `value`, `from`, `to`, and perhaps `callout`.
//! - A request with `x-deny` is answered with 403 and what that says.
//! - Any other gets `header: value` in place of what the client sent, its path as a property has it
//!   in `x-path`, and the time in `x-time`. Requests are counted in shared data.
//! - The response gets `header: value` and the count in `x-count`. Its body is held back to its
//!   end; then `to` stands where `from` stood.
//! - At the end, the log has the status, from a property that is a number.
//! - With `callout`, the request waits for an answer of that cluster, whose status is in
//!   `x-callout`. A metric counts the answers, and the log has the first tick of a timer.
//!
//! Envoy's own filter is the yardstick: a guest that is wrong itself fails there too.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use support::bootstrap::Bootstrap;
use support::envoy::{Envoy, Launch, complaints};
use support::guests::{Guests, plugin};
use support::upstream::Upstream;
use support::{ENVOYS, NEWEST, http, module, wait_for};

/// `tests/guests/wasm/tour-<name>.wasm`. C++ comes in two ABI versions.
const GUESTS: [&str; 4] = ["go", "cpp", "cpp-0-1-0", "assemblyscript"];

/// What runs a guest.
#[derive(Clone, Copy, PartialEq)]
enum Host {
    Module,
    /// Envoy's own filter.
    Builtin,
}

/// The guests side by side: one Envoy, and a listener for each.
struct Tour {
    envoy: Envoy,
    upstream: Upstream,
    ports: Vec<u16>,
}

impl Tour {
    /// `more` is JSON of further configuration.
    fn start(version: &str, host: Host, more: &str) -> Self {
        let files = Guests::new();
        let upstream = Upstream::echo();
        let mut bootstrap = Bootstrap::new(upstream.port());
        for (number, guest) in GUESTS.into_iter().enumerate() {
            if number > 0 {
                bootstrap = bootstrap.listener();
            }
            let name = format!("tour-{guest}");
            let file = files.file(&format!("{name}.wasm"), &module::guest(&name));
            let config = format!(
                r#"{{"header":"x-tour","value":"{guest}","from":"cat","to":"tiger"{more}}}"#
            );
            bootstrap = match host {
                Host::Module => {
                    let spec = format!("pluginName: tour\npluginConfig: {config}");
                    let plugins = plugin(&name, &file, &spec);
                    bootstrap.filter(&format!("plugins:\n{plugins}"))
                }
                Host::Builtin => bootstrap.envoy_filter(&format!(
                    r#"- name: wasm
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm
    config:
      name: default.{name}
      root_id: tour
      vm_config:
        runtime: envoy.wasm.runtime.v8
        code: {{ local: {{ filename: {file} }} }}
      configuration:
        "@type": type.googleapis.com/google.protobuf.StringValue
        value: '{config}'"#,
                    file = file.display(),
                )),
            };
        }
        Self {
            envoy: Launch::new(version)
                .log_levels("dynamic_modules:info,wasm:info")
                .start(&bootstrap.render()),
            upstream,
            ports: bootstrap.ports(),
        }
    }

    fn guests(&self) -> impl Iterator<Item = (&'static str, u16)> {
        GUESTS.into_iter().zip(self.ports.iter().copied())
    }

    /// Waits until the log has what `guest` said of a stream.
    fn wait_for_word(&self, guest: &str, text: &str) {
        let line = format!("wasm log default.tour-{guest} tour: {text}");
        self.envoy.wait_for_log(&line);
    }

    /// The request that arrived at the upstream with `path`.
    fn arrived(&self, path: &str) -> support::upstream::Seen {
        let mut seen = self.upstream.seen();
        seen.retain(|request| request.path == path);
        assert_eq!(seen.len(), 1, "{path}: {seen:?}");
        seen.remove(0)
    }

    fn assert_headers_and_body(&self, guest: &str, port: u16) {
        let path = format!("/{guest}?a=1");
        // Comes back in many pieces, and longer.
        let body = "a cat and ".repeat(10_000);
        let start = nanoseconds();
        let headers = [("x-tour", "client")];
        let response = http::request(port, "POST", &path, &headers, body.as_bytes());
        let end = nanoseconds();

        assert_eq!(response.status, 200, "{guest}");
        assert_eq!(response.header("x-tour"), Some(guest));
        assert_eq!(response.header("x-count"), Some("1"), "{guest}");
        assert_eq!(response.header("content-length"), None, "{guest}");
        let rewritten = body.replace("cat", "tiger");
        assert!(response.json()["body"] == rewritten, "{guest}: the body");

        let request = self.arrived(&path);
        let values: Vec<_> = request
            .headers
            .iter()
            .filter(|(name, _)| name == "x-tour")
            .map(|(_, value)| value)
            .collect();
        assert_eq!(values, [guest]);
        assert_eq!(request.header("x-path"), Some(path.as_str()), "{guest}");
        let time = request.header("x-time").and_then(|time| time.parse().ok());
        let time: u128 = time.unwrap_or_else(|| panic!("{guest}: no time in {request:?}"));
        assert!(start <= time && time <= end, "{guest}: {time}");
        assert!(request.body == body.as_bytes(), "{guest}: the request's");
    }

    fn assert_count(&self, guest: &str, port: u16) {
        // At the same time and over all workers, so that guests meet in shared data.
        let counts = || {
            let requests = (0..25).map(|_| http::get(port, &format!("/{guest}")));
            let count = |response: http::Response| response.header("x-count")?.parse().ok();
            requests.map(count).collect::<Vec<Option<u32>>>()
        };
        let mut counts = thread::scope(|scope| {
            let clients = [(); 4].map(|()| scope.spawn(counts));
            let counts = clients.map(|client| client.join().expect("answers"));
            counts.concat()
        });
        counts.sort_unstable();
        // 1 was before.
        assert_eq!(counts, (2..102).map(Some).collect::<Vec<_>>(), "{guest}");
        self.wait_for_word(guest, "finished: 200");
    }

    /// The guest's own callbacks see its answer too.
    fn assert_denial(&self, guest: &str, port: u16) {
        let path = format!("/{guest}/denied");
        let response = http::request(port, "GET", &path, &[("x-deny", "no cats")], b"");
        assert_eq!(response.status, 403, "{guest}");
        assert_eq!(response.header("x-denied-by"), Some(guest));
        assert_eq!(response.header("x-tour"), Some(guest));
        assert_eq!(response.header("x-count"), Some("0"), "{guest}");
        assert_eq!(response.text(), "denied: no tigers\n", "{guest}");
        let mut seen = self.upstream.seen().into_iter();
        assert!(!seen.any(|request| request.path == path), "{guest}");
        self.wait_for_word(guest, "denied: no cats");
        self.wait_for_word(guest, "finished: 403");
    }

    fn assert_callouts(&self, guest: &str, port: u16) {
        for request in 1..=2 {
            let path = format!("/{guest}/{request}");
            let response = http::request(port, "POST", &path, &[], b"a cat");
            assert_eq!(response.status, 200, "{guest}");
            assert_eq!(response.json()["body"], "a tiger", "{guest}");
            let status = self.arrived(&path).header("x-callout").map(str::to_owned);
            assert_eq!(status.as_deref(), Some("200"), "{guest}");
        }
        // What stands before the name is the host's.
        let stat = format!("tour.{guest}.callouts: 2\n");
        wait_for(&stat, Duration::from_secs(10), || {
            let stats = self.envoy.admin("/stats").text();
            stats.contains(&stat).then_some(())
        });
        self.wait_for_word(guest, "callout answered with ");
        // Plugins have no name in the log, only streams.
        self.envoy
            .wait_for_log(&format!("wasm log tour: {guest} ticks"));
    }
}

fn nanoseconds() -> u128 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.expect("after 1970").as_nanos()
}

fn run(version: &str, host: Host) {
    let tour = Tour::start(version, host, "");
    for (guest, port) in tour.guests() {
        tour.assert_headers_and_body(guest, port);
        tour.assert_count(guest, port);
        tour.assert_denial(guest, port);
    }
    if host == Host::Module {
        let log = tour.envoy.log();
        let mut complaints = complaints(&log);
        // Of a guest, and meant to be there.
        complaints.retain(|line| !line.ends_with(": denied: no cats"));
        assert_eq!(complaints, [""; 0], "Envoy {version}");
        let (status, _) = tour.envoy.quit();
        assert!(status.success(), "Envoy {version} ends with {status}");
    }
}

fn run_callouts(version: &str, host: Host) {
    let tour = Tour::start(version, host, r#","callout":"upstream""#);
    for (guest, port) in tour.guests() {
        tour.assert_callouts(guest, port);
    }
    if host == Host::Module {
        let log = tour.envoy.log();
        assert_eq!(complaints(&log), [""; 0], "Envoy {version}");
    }
}

#[test]
fn every_guest_runs() {
    for version in [ENVOYS[0], NEWEST] {
        run(version, Host::Module);
    }
}

#[test]
fn every_guest_runs_callouts() {
    for version in [ENVOYS[0], NEWEST] {
        run_callouts(version, Host::Module);
    }
}

#[test]
fn every_guest_runs_in_envoys_own_filter() {
    run(NEWEST, Host::Builtin);
}

#[test]
fn every_guest_runs_in_envoys_own_filter_callouts() {
    run_callouts(NEWEST, Host::Builtin);
}
