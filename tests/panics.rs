//! Bugs of ours, in real Envoys: a hook that panics ends its stream, is told in the log, and Envoy
//! goes on.
//!
//! Nothing that we know of makes the module panic, so this is the binding with bugs added: see
//! `tests/panics/module.rs`.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::time::Duration;

use support::bootstrap::{Bootstrap, EXTENSION};
use support::envoy::{Envoy, Launch};
use support::guests::{Guests, plugin};
use support::http::{self, Connection};
use support::upstream::Upstream;
use support::{ENVOYS, NEWEST, module, wait_for};
use tempfile::TempDir;

/// Hooks that may panic, with what the client sees: a status, or 0 for a connection that breaks.
const HOOKS: &[(&str, u16)] = &[
    // As Envoy 1.40 answers by itself.
    ("http_filter_new", 500),
    ("http_filter_request_headers", 503),
    ("http_filter_request_body", 503),
    ("http_filter_request_trailers", 503),
    ("http_filter_response_headers", 503),
    // The status is out.
    ("http_filter_response_body", 0),
    ("http_filter_response_trailers", 0),
    // All is out.
    ("http_filter_stream_complete", 200),
    ("http_filter_destroy", 200),
];

/// What the healthy plugin adds to a request, and the upstream answers with.
const MARK: &str = r#"{"say":"here"}"#;

const BUG: &str = "critical dynamic_modules bug in wasmplugin: panic in ";

/// What `tests/panics/module.rs` wants of a line to panic at.
const MARKER: &str = "let the host panic";

/// The module with bugs, where Envoys look for ours.
struct Buggy {
    directory: TempDir,
}

impl Buggy {
    fn new() -> Self {
        let library = module::directory().join("examples/libpanics.so");
        assert!(
            library.is_file(),
            "{} is missing: cargo does not build it for tests; run `make test`",
            library.display()
        );
        let directory = tempfile::tempdir().expect("a temporary directory");
        let link = directory.path().join("libwasmplugin.so");
        symlink(library, link).expect("a link");
        Self { directory }
    }

    /// The file that says which hook panics.
    fn file(&self) -> PathBuf {
        self.directory.path().join("hook")
    }

    fn ask(&self, hook: &str) {
        // Whole at any time.
        let next = self.file().with_extension("next");
        fs::write(&next, hook).expect("a file");
        fs::rename(&next, self.file()).expect("a rename");
    }

    fn launch(&self, version: &str) -> Launch {
        let text = |path: PathBuf| path.into_os_string().into_string().expect("text");
        Launch::new(version)
            .env(
                "ENVOY_DYNAMIC_MODULES_SEARCH_PATH",
                &text(self.directory.path().to_owned()),
            )
            .env("WASMPLUGIN_PANIC_IN", &text(self.file()))
    }
}

/// What a client sees of a request with a body and a trailer.
fn status(port: u16) -> u16 {
    let answer = Connection::open(port).and_then(|mut c| c.post_with_trailer("/", "body"));
    answer.map_or(0, |answer| answer.status)
}

fn bugs(envoy: &Envoy) -> Vec<String> {
    let log = envoy.log();
    let told = log.lines().filter_map(|line| line.strip_prefix(BUG));
    told.map(str::to_owned).collect()
}

/// Waits for the next line about a bug, which is the `count`th.
fn next_bug(envoy: &Envoy, count: usize) -> String {
    wait_for("a line about a bug", Duration::from_secs(10), || {
        bugs(envoy).get(count - 1).cloned()
    })
}

#[test]
fn a_hook_that_panics_ends_its_stream_and_not_envoy() {
    let (guests, buggy) = (Guests::new(), Buggy::new());
    let upstream = Upstream::marks_with_trailer();
    let settings = plugin("mark", &guests.mark(), "pluginConfig: { say: here }");
    let bootstrap = Bootstrap::new(upstream.port())
        .trailers()
        .filter(&format!("plugins:\n{settings}"));
    for version in ENVOYS {
        buggy.ask("");
        let bootstrap_yaml = EXTENSION.to_owned() + &bootstrap.render();
        let envoy = buggy.launch(version).start(&bootstrap_yaml);
        let port = bootstrap.port();
        assert_eq!(status(port), 200, "{version}");
        let mut expected = Vec::new();
        for (hook, seen) in HOOKS {
            buggy.ask(hook);
            assert_eq!(status(port), *seen, "{version}: {hook}");
            expected.push(*hook);
            let line = next_bug(&envoy, expected.len());
            let name = line.trim_start_matches("envoy_dynamic_module_on_");
            assert_eq!(name, format!("{hook}: asked for"), "{version}");
            buggy.ask("");
            let answer = http::get(port, "/");
            assert_eq!(answer.text(), MARK, "{version}: after {hook}");
        }
        buggy.ask("bootstrap_extension_admin_request");
        assert_eq!(envoy.admin("/wasmplugin").status, 500, "{version}");
        buggy.ask("");
        assert_eq!(envoy.admin("/wasmplugin").status, 200, "{version}");
        let (status, _) = envoy.quit();
        assert!(status.success(), "{version}: {status}");
    }
}

/// In the middle of a plugin's call: the panic passes through its frames, and a machine at work.
#[test]
fn a_host_function_that_panics_ends_its_stream_and_not_envoy() {
    let (guests, buggy) = (Guests::new(), Buggy::new());
    let upstream = Upstream::marks();
    let tell = |strategy: &str| {
        let fields = format!("pluginConfig: {{ say: {MARKER} }}\nfailStrategy: {strategy}");
        format!("plugins:\n{}", plugin("tell", &guests.tell(), &fields))
    };
    let healthy = plugin("mark", &guests.mark(), "pluginConfig: { say: here }");
    let bootstrap = Bootstrap::new(upstream.port())
        .filter(&tell("FAIL_CLOSE"))
        .listener()
        .filter(&tell("FAIL_OPEN"))
        .listener()
        .filter(&format!("plugins:\n{healthy}"));
    let envoy = buggy.launch(NEWEST).start(&bootstrap.render());
    let [close, open, healthy] = bootstrap.ports()[..] else {
        panic!("three listeners");
    };
    // A bug of the host is none of the plugin's: nobody gets past it, whatever its strategy.
    for (count, port) in [close, open, close, open].into_iter().enumerate() {
        let answer = http::get(port, "/");
        assert_eq!(answer.status, 503);
        let line = next_bug(&envoy, count + 1);
        assert!(
            line.ends_with("request_headers: asked for by a plugin"),
            "{line}"
        );
        assert_eq!(http::get(healthy, "/").text(), MARK);
    }
    let details = "503 wasmplugin.internal_error";
    envoy.wait_for_log(&format!("access {open} / {details}"));
    let (status, _) = envoy.quit();
    assert!(status.success(), "{status}");
}

#[test]
fn a_configuration_that_panics_is_refused() {
    let (guests, buggy) = (Guests::new(), Buggy::new());
    let settings = plugin("mark", &guests.mark(), "pluginConfig: { say: here }");
    let bootstrap = Bootstrap::new(1).filter(&format!("plugins:\n{settings}"));
    buggy.ask("http_filter_config_new");
    let Err(refusal) = buggy.launch(NEWEST).try_start(&bootstrap.render()) else {
        panic!("Envoy starts");
    };
    // By itself, not by a signal.
    assert_eq!(refusal.status.code(), Some(1), "{}", refusal.log);
    let line = format!("{BUG}http_filter_config_new: asked for");
    assert!(refusal.log.contains(&line), "{}", refusal.log);
}
