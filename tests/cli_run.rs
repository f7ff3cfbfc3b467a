//! `wasmplugin run`: a local Envoy with plugins.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use support::http;
use support::upstream::Upstream;
use support::{NEWEST, module, wait_for};

const LIMIT: Duration = Duration::from_secs(30);

/// The command as a child process; killed when dropped.
struct Run {
    child: Child,
    port: u16,
    admin: u16,
}

/// The command, in the root of the repository.
fn command() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmplugin"));
    command
        .current_dir(module::root())
        .arg("run")
        .arg("--module-dir")
        .arg(module::directory())
        .env("ENVOY", module::envoy(NEWEST))
        .stderr(Stdio::null());
    command
}

impl Run {
    fn start(args: &[&str]) -> Self {
        let mut child = command()
            .args(["--output", "json"])
            .args(args)
            .stdout(Stdio::piped())
            .spawn()
            .expect("the command starts");
        let mut line = String::new();
        let out = child.stdout.take().expect("its output");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let told: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        let port = |name: &str| {
            let url = told[name].as_str().expect("a URL");
            let port = url.rsplit(':').next().and_then(|port| port.parse().ok());
            port.expect("a port")
        };
        let (port, admin) = (port("url"), port("admin"));
        Self { child, port, admin }
    }

    /// Ends it as Ctrl-C does; it and its Envoy are gone, well.
    fn interrupt(mut self, signal: &str) {
        let pid = self.child.id().to_string();
        let sent = Command::new("kill").args([signal, &pid]).status();
        assert!(sent.expect("kill").success());
        let status = wait_for("the end", LIMIT, || self.child.try_wait().expect("a child"));
        assert_eq!(status.code(), Some(0));
        for port in [self.port, self.admin] {
            assert!(http::try_request(port, "GET", "/", &[], b"").is_err());
        }
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

#[test]
fn requests_meet_the_plugins_and_come_back() {
    let api_key = "examples/api-key/plugin.yaml";
    let run = Run::start(&["--plugin", api_key, "examples/rewrite-body/plugin.yaml"]);
    assert_eq!(http::get(run.port, "/orders").status, 401);
    let headers = [("x-api-key", "bob-key"), ("x-auth-user", "alice")];
    let body = b"see intranet.example";
    let answer = http::request(run.port, "POST", "/orders", &headers, body);
    assert_eq!(answer.status, 200);
    let text = answer.text();
    assert!(text.starts_with("POST /orders HTTP/1.1\r\n"), "{text}");
    assert!(text.contains("x-auth-user: bob\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\nsee www.example"), "{text}");
    let report = http::get(run.admin, "/wasmplugin?format=json").json();
    let plugins = report["plugins"].as_array().expect("plugins");
    assert_eq!(plugins.len(), 2);
    assert!(plugins.iter().all(|plugin| plugin["state"] == "running"));
    run.interrupt("-INT");
}

#[test]
fn requests_go_to_the_upstream_and_changes_are_followed() {
    let upstream = Upstream::echo();
    let address = format!("127.0.0.1:{}", upstream.port());
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("plugin.yaml");
    let path = module::root().join("examples/api-key/plugin.yaml");
    let example = fs::read_to_string(path).expect("an example");
    // Another namespace than the usual one.
    let example = example.replace("namespace: default", "namespace: shop");
    fs::write(&file, &example).expect("a file");
    let plugin = file.display().to_string();
    let run = Run::start(&["--plugin", &plugin, "--upstream", &address]);
    let status = |key: &str| {
        let answer = http::request(run.port, "GET", "/", &[("x-api-key", key)], b"");
        (answer.status == 200).then(|| answer.json()["headers"]["x-auth-user"].clone())
    };
    assert_eq!(status("bob-key").expect("an answer"), "bob");
    fs::write(&file, example.replace("bob-key", "new-key")).expect("a file");
    let user = wait_for("the new key", LIMIT, || status("new-key"));
    assert_eq!(user, "bob");
    run.interrupt("-TERM");
}

#[test]
fn what_is_missing_is_named() {
    let empty = tempfile::tempdir().expect("a temporary directory");
    let plugin = ["--plugin", "examples/api-key/plugin.yaml"];
    let said = |command: &mut Command| {
        let output = command.stderr(Stdio::piped()).output().expect("it runs");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said)
    };
    let (code, text) = said(command().args(plugin).env_remove("ENVOY").env("PATH", "/"));
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("--envoy") && text.contains("PATH"), "{text}");
    let (code, text) = said(
        Command::new(env!("CARGO_BIN_EXE_wasmplugin"))
            .current_dir(module::root())
            .args(["run", "--envoy", "README.md", "--module-dir"])
            .arg(empty.path())
            .args(plugin),
    );
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("libwasmplugin.so"), "{text}");
    let wrong = empty.path().join("wrong.yaml");
    fs::write(&wrong, "kind: WasmPlugn\n").expect("a file");
    let (code, text) = said(command().arg("--plugin").arg(&wrong));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("wrong.yaml:1:7: "), "{text}");
    let (code, text) = said(command().args(plugin).args(["--envoy", "/bin/false"]));
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("Envoy has ended"), "{text}");
}
