//! In Envoy: who is signed serves, who is not is left to the fail strategy.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::repository::{Repository, fixture, read};
use super::support::bootstrap::{Bootstrap, indent};
use super::support::envoy::Envoy;
use super::support::registry::Registry;
use super::support::upstream::Upstream;
use super::support::{NEWEST, http};
use super::tampered::{self, pem};
use wasmplugin_host::source::Digest;

/// A `WasmPlugin` that marks requests with its own name; `rest` is YAML of its metadata.
pub(super) fn plugin(name: &str, url: &str, rest: &str, spec: &str) -> String {
    format!(
        "- apiVersion: extensions.istio.io/v1alpha1\n  \
           kind: WasmPlugin\n  \
           metadata: {{ name: {name}, namespace: default{rest} }}\n  \
           spec:\n    \
             url: {url}\n    \
             pluginConfig: {{ name: {name} }}\n{}\n",
        indent(spec, 4)
    )
}

pub(super) fn key(pem: &str) -> String {
    format!("verificationKey: |\n{}", indent(pem, 2))
}

pub(super) fn settings(plugins: &str) -> String {
    format!(
        "fetch: {{ insecureRegistries: ['*'], attempts: 1 }}\nplugins:\n{}",
        indent(plugins, 0)
    )
}

/// The marks that a request got.
fn marks(port: u16) -> (u16, String) {
    let answer = http::get(port, "/");
    (answer.status, answer.text())
}

#[test]
fn signed_plugins_serve() {
    let registry = Registry::plain();
    let upstream = Upstream::echo();
    let mut plugins = String::new();
    let names = ["cosign-v2.6.5-p256", "cosign-v3.1.3-p256"];
    for (n, name) in names.iter().enumerate() {
        Repository::new(name).push(registry.port(), name, false);
        let url = format!("oci://{}/{name}:1", registry.host());
        plugins += &plugin(&format!("image-{n}"), &url, "", &key(&pem(&["p256"])));
    }
    let url = format!("file://{}", fixture("embedded/signed.wasm").display());
    plugins += &plugin("inside", &url, "", &key(&pem(&["p256", "ed25519"])));
    // The other place of a key, which the guest does not get to see.
    let directory = tempfile::tempdir().expect("a temporary directory");
    let module = directory.path().join("beside.wasm");
    fs::write(&module, read("mark.wasm")).expect("a file");
    let sidecar = read("files/cosign-v3.1.3-ed25519.bundle.sig");
    fs::write(directory.path().join("beside.wasm.sig"), sidecar).expect("a file");
    let file = fixture("keys/ed25519.pub");
    let rest = format!(
        ", annotations: {{ wasmplugin.io/verification-key-file: {} }}",
        file.display()
    );
    let url = format!("file://{}", module.display());
    plugins += &plugin("beside", &url, &rest, "");
    let config = Bootstrap::new(upstream.port()).filter(&settings(&plugins));
    let envoy = Envoy::start(NEWEST, &config.render());
    let (status, text) = marks(config.port());
    assert_eq!(status, 200, "{}", envoy.log());
    for name in ["image-0", "image-1", "inside", "beside"] {
        let mark = format!("{{\\\"name\\\":\\\"{name}\\\"}}");
        assert!(text.contains(&mark), "{name}: {text}\n{}", envoy.log());
    }
}

#[test]
fn what_was_tampered_with_is_never_compiled() {
    let registry = Registry::plain();
    let upstream = Upstream::echo();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cases = tampered::all();
    let mut plugins = String::new();
    for case in &cases {
        let url = case.publish(directory.path(), registry.port());
        let spec = format!("failStrategy: FAIL_OPEN\n{}", key(&case.pem()));
        plugins += &plugin(&case.name, &url, "", &spec);
    }
    let closed = unsigned(directory.path(), "FAIL_CLOSE", "closed");
    let reloaded = unsigned(directory.path(), "FAIL_RELOAD", "reloaded");
    let config = Bootstrap::new(upstream.port())
        .filter(&settings(&plugins))
        .listener()
        .filter(&settings(&closed))
        .listener()
        .filter(&settings(&reloaded));
    let envoy = Envoy::start(NEWEST, &config.render());
    let ports = config.ports();
    let (status, text) = marks(ports[0]);
    assert_eq!(status, 200, "{}", envoy.log());
    assert!(!text.contains("x-mark"), "{text}");
    for port in &ports[1..] {
        assert_eq!(marks(*port).0, 503);
    }
    envoy.wait_for_log("wasmplugin.unavailable{default/closed}");
    let log = envoy.log();
    let mut wrong = String::new();
    for case in &cases {
        let resource = format!("default/{}", case.name);
        let told = log
            .lines()
            .any(|line| line.contains(&format!("{resource}:")) && line.contains(case.reason));
        if !told {
            let _ = writeln!(wrong, "{resource}: no {:?}", case.reason);
        }
    }
    assert!(wrong.is_empty(), "{wrong}{log}");
    let compiled: Vec<_> = log
        .lines()
        .filter(|line| line.contains("compiled "))
        .collect();
    assert!(compiled.is_empty(), "{compiled:?}");
}

/// A module without a signature that should have one.
fn unsigned(directory: &Path, strategy: &str, name: &str) -> String {
    let module = directory.join(format!("{name}.wasm"));
    fs::write(&module, read("mark.wasm")).expect("a file");
    let spec = format!("failStrategy: {strategy}\n{}", key(&pem(&["p256"])));
    plugin(name, &format!("file://{}", module.display()), "", &spec)
}

#[test]
fn a_module_in_use_without_a_key_is_still_verified_for_those_with_one() {
    let upstream = Upstream::echo();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let closed = unsigned(directory.path(), "FAIL_OPEN", "with-key");
    let url = format!(
        "file://{}",
        directory.path().join("with-key.wasm").display()
    );
    let free = plugin("without-key", &url, "", "");
    let config = Bootstrap::new(upstream.port()).filter(&settings(&(free + &closed)));
    let envoy = Envoy::start(NEWEST, &config.render());
    let (status, text) = marks(config.port());
    assert_eq!(status, 200);
    assert!(
        text.contains("without-key") && !text.contains("with-key\\"),
        "{text}"
    );
    let log = envoy.log();
    let digest = Digest::of(&read("mark.wasm"));
    assert!(log.contains(&format!("compiled {digest}")), "{log}");
    assert!(
        log.contains("default/with-key") && log.contains("not verified"),
        "{log}"
    );
}
