//! In Envoy: a version or a key that does not verify replaces nothing that runs, and a better one
//! takes its place by itself.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use tempfile::TempDir;

use super::proxy::{key, plugin, settings};
use super::repository::{Repository, read};
use super::support::bootstrap::Bootstrap;
use super::support::envoy::Envoy;
use super::support::guests::marks;
use super::support::registry::Registry;
use super::support::upstream::Upstream;
use super::support::{NEWEST, http, wait_for};
use super::tampered::pem;
use wasmplugin_host::source::Digest;

/// Longer than two refreshes take.
const LIMIT: Duration = Duration::from_secs(40);

/// The values of `plugin_state`.
const RUNNING: u64 = 2;
const LAST_GOOD: u64 = 3;

/// An Envoy whose only plugin is `default/signed`, which refuses requests where it cannot run.
struct Proxy {
    envoy: Envoy,
    port: u16,
    _upstream: Upstream,
}

impl Proxy {
    fn start(plugin: &str) -> Self {
        let upstream = Upstream::echo();
        let config = Bootstrap::new(upstream.port()).filter(&settings(plugin));
        let envoy = Envoy::start(NEWEST, &config.render());
        Self {
            envoy,
            port: config.port(),
            _upstream: upstream,
        }
    }

    /// Waits for the state, and expects that the plugin serves in it.
    fn serves_as(&self, state: u64) {
        let metric = "wasmplugin.plugin_state.plugin.default.signed";
        wait_for(&format!("the state {state}"), LIMIT, || {
            (self.envoy.stat(metric) == state).then_some(())
        });
        for _ in 0..10 {
            let response = http::get(self.port, "/");
            assert_eq!(response.status, 200);
            assert_eq!(marks(&response), r#"{"name":"signed"}"#);
        }
    }

    /// Expects that the plugin goes on as it was, and that `reason` is told.
    fn goes_on_despite(&self, reason: &str) {
        self.serves_as(LAST_GOOD);
        let line = self.envoy.wait_for_log(reason);
        assert!(line.contains("default/signed: cannot run"), "{line}");
        let failures = "wasmplugin.plugin_failures.plugin.default.signed.cause.verify";
        assert!(self.envoy.stat(failures) > 0);
    }
}

/// A module in a file, with a signature beside it and the key in a file.
struct Files(TempDir);

impl Files {
    fn new() -> Self {
        let files = Self(tempfile::tempdir().expect("a temporary directory"));
        files.write("module.wasm.sig", &signature("ed25519"));
        files.write("module.wasm", &read("mark.wasm"));
        files.write("key.pem", pem(&["ed25519"]).as_bytes());
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Puts a file in place, as deployments do: whole.
    fn write(&self, name: &str, content: &[u8]) {
        let next = self.path("next");
        fs::write(&next, content).expect("a file");
        fs::rename(next, self.path(name)).expect("a rename");
    }

    fn plugin(&self) -> String {
        let annotation = format!(
            ", annotations: {{ wasmplugin.io/verification-key-file: {} }}",
            self.path("key.pem").display()
        );
        let url = format!("file://{}", self.path("module.wasm").display());
        plugin("signed", &url, &annotation, "")
    }
}

/// cosign's signature of `mark.wasm`.
fn signature(key: &str) -> Vec<u8> {
    read(&format!("files/cosign-v3.1.3-{key}.bundle.sig"))
}

#[test]
fn a_newer_file_that_is_not_signed_replaces_nothing() {
    let files = Files::new();
    let proxy = Proxy::start(&files.plugin());
    proxy.serves_as(RUNNING);
    let other = read("other.wasm");
    files.write("module.wasm", &other);
    proxy.goes_on_despite("not verified");
    let compiled = format!("compiled {}", Digest::of(&other));
    assert!(!proxy.envoy.log_contains(&compiled));
    files.write("module.wasm", &read("mark.wasm"));
    proxy.serves_as(RUNNING);
}

#[test]
fn a_newer_image_that_is_not_signed_replaces_nothing() {
    let registry = Registry::plain();
    let signed = Repository::new("cosign-v2.6.5-p256");
    signed.push(registry.port(), "moving", false);
    let url = format!("oci://{}/moving:1", registry.host());
    let often = ", annotations: { wasmplugin.io/refresh-interval: 10s }";
    let proxy = Proxy::start(&plugin("signed", &url, often, &key(&pem(&["p256"]))));
    proxy.serves_as(RUNNING);
    let other = read("other.wasm");
    let unsigned = Repository::new("unsigned").blob(
        |blob| blob.starts_with(b"\0asm"),
        |blob| blob.clone_from(&other),
    );
    unsigned.push(registry.port(), "moving", false);
    proxy.goes_on_despite("not verified");
    let compiled = format!("compiled {}", Digest::of(&other));
    assert!(!proxy.envoy.log_contains(&compiled));
    signed.push(registry.port(), "moving", false);
    proxy.serves_as(RUNNING);
}

#[test]
fn a_key_file_is_reread_and_a_wrong_one_replaces_nothing() {
    let files = Files::new();
    let proxy = Proxy::start(&files.plugin());
    proxy.serves_as(RUNNING);
    for (content, reason) in [
        (pem(&["p256"]), "not verified"),
        (pem(&["rsa1024"]), "1024"),
        ("no key at all".to_owned(), "verificationKey: "),
    ] {
        files.write("key.pem", content.as_bytes());
        proxy.goes_on_despite(reason);
    }
    // Whoever holds the new key signs the module, which has not changed.
    files.write("key.pem", pem(&["p256"]).as_bytes());
    files.write("module.wasm.sig", &signature("p256"));
    proxy.serves_as(RUNNING);
    // In the middle of a rotation there are both.
    files.write("key.pem", pem(&["p384", "p256"]).as_bytes());
    proxy.serves_as(RUNNING);
    files.write("key.pem", pem(&["p384"]).as_bytes());
    proxy.goes_on_despite("not verified");
}
