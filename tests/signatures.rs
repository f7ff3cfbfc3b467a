//! `verificationKey`: what real tools signed is verified, in real registries; what was tampered
//! with is refused for the right reason, never compiled, and left to the fail strategy.
//!
//! The fixtures and the commands that made them are in `tests/fixtures/signatures`. `tampered` and
//! `image_cases` list what is changed about them; there is a key for each, so that the cases can
//! also sign what they should not.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "signatures/changes.rs"]
mod changes;
#[path = "signatures/command.rs"]
mod command;
#[path = "signatures/image_cases.rs"]
mod image_cases;
#[path = "signatures/proxy.rs"]
mod proxy;
#[path = "signatures/repository.rs"]
mod repository;
mod support;
#[path = "signatures/tampered.rs"]
mod tampered;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Arc;

use wasmplugin_host::plugin::FetchSettings;
use wasmplugin_host::source::signature::{Keys, Surroundings, Verification, Verified, Verifier};
use wasmplugin_host::source::{Fetcher, Request};
use wasmplugin_host::telemetry::Lines;

use repository::{Repository, fixture, read};
use support::faulty::{Answer, Server};
use support::fetch_settings;
use support::registry::Registry;
use tampered::pem;

/// Fetches and verifies, as a proxy that has just started.
struct Client {
    fetcher: Fetcher,
    settings: FetchSettings,
}

impl Client {
    fn new() -> Self {
        Self::with("")
    }

    /// With further settings, in YAML.
    fn with(settings: &str) -> Self {
        let settings = format!("fetch: {{ insecureRegistries: ['*'], timeout: 20s }}\n{settings}");
        Self {
            fetcher: Fetcher::new(Arc::<Lines>::default()),
            settings: fetch_settings(&settings),
        }
    }

    fn verify(&self, url: &str, keys: &str) -> Result<Verified, String> {
        let request = Request::new(url.parse().expect("a URL"));
        let fetched = self
            .fetcher
            .fetch(&request, &self.settings)
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        let surroundings = Surroundings {
            fetcher: &self.fetcher,
            request: &request,
            settings: &self.settings,
        };
        let keys = Keys::parse(keys).expect("keys");
        Verifier::default()
            .verify(fetched, &surroundings, Some(&keys))
            .map_err(|refused| refused.to_string())
    }
}

/// The kind of signature that was found.
fn kind(verified: &Verified) -> &'static str {
    match verified.verification() {
        Verification::Signed(signature) => signature.kind,
        Verification::NotAsked => panic!("not asked"),
    }
}

/// The images that were signed well, and with which key.
fn signed_images() -> Vec<(String, &'static str)> {
    let keys = ["p256", "p384", "ed25519", "rsa2048", "rsa4096"];
    let not_signed = ["unsigned", "attestation", "notation"];
    let mut images: Vec<_> = fs::read_dir(fixture("images"))
        .expect("fixtures")
        .map(|entry| {
            let name = entry.expect("a file").file_name();
            let name = name.to_string_lossy();
            name.trim_end_matches(".json").to_owned()
        })
        .filter(|name| !not_signed.contains(&name.as_str()))
        .map(|name| {
            let key = keys.into_iter().find(|key| name.ends_with(key));
            (name, key.unwrap_or("p256"))
        })
        .collect();
    images.sort();
    images
}

#[test]
fn what_cosign_signed_is_verified_in_a_registry_without_referrers() {
    verify_images(&Registry::plain(), false);
}

#[test]
fn what_cosign_signed_is_verified_in_a_registry_with_referrers() {
    verify_images(&Registry::with_referrers(), true);
}

fn verify_images(registry: &Registry, has_referrers: bool) {
    let client = Client::new();
    let mut kinds = BTreeSet::new();
    let images = signed_images();
    assert!(images.len() >= 18, "{images:?}");
    for (name, key) in images {
        let repository = Repository::new(&name);
        repository.push(registry.port(), &name, has_referrers);
        let host = registry.host();
        let digest = repository.image();
        for url in [
            format!("oci://{host}/{name}:1"),
            format!("oci://{host}/{name}@{digest}"),
        ] {
            let verified = client.verify(&url, &pem(&[key]));
            let verified = verified.unwrap_or_else(|refused| panic!("{url}: {refused}"));
            kinds.insert(kind(&verified));
        }
    }
    let all = ["Sigstore bundle", "cosign signature"];
    assert_eq!(kinds.into_iter().collect::<Vec<_>>(), all);
}

#[test]
fn keys_can_be_rotated() {
    let registry = Registry::plain();
    let client = Client::new();
    for (name, keys) in [
        // The image has two signatures, and each key does.
        ("cosign-v2.6.5-two-keys", &["p256"][..]),
        ("cosign-v2.6.5-two-keys", &["p256-other"]),
        ("cosign-v3.1.3-two-keys", &["p256"]),
        ("cosign-v3.1.3-two-keys", &["p256-other"]),
        // One signature, and the resource has the old key and the new one.
        ("cosign-v2.6.5-p256", &["ed25519", "p256"]),
        ("cosign-v3.1.3-p256", &["p256-other", "p256"]),
    ] {
        Repository::new(name).push(registry.port(), name, false);
        let url = format!("oci://{}/{name}:1", registry.host());
        let verified = client.verify(&url, &pem(keys));
        verified.unwrap_or_else(|refused| panic!("{name} {keys:?}: {refused}"));
    }
}

#[test]
fn a_module_that_is_signed_inside_is_verified_wherever_it_comes_from() {
    let registry = Registry::plain();
    let client = Client::new();
    let image = Repository::new("unsigned").blob(
        |blob| blob.starts_with(b"\0asm"),
        |blob| *blob = read("embedded/signed.wasm"),
    );
    image.push(registry.port(), "inside", false);
    for url in [
        format!("oci://{}/inside:1", registry.host()),
        format!("file://{}", fixture("embedded/signed.wasm").display()),
    ] {
        let verified = client.verify(&url, &pem(&["ed25519"]));
        let verified = verified.unwrap_or_else(|refused| panic!("{url}: {refused}"));
        assert_eq!(kind(&verified), "embedded signature");
    }
}

#[test]
fn a_restart_with_the_registry_gone_checks_what_was_found_before() {
    let registry = Registry::plain();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let settings = format!("cacheDir: {}", directory.path().display());
    let names = ["cosign-v2.6.5-p256", "cosign-v3.1.3-p256"];
    let host = registry.host();
    let url = |name: &str| format!("oci://{host}/{name}:1");
    for name in names {
        Repository::new(name).push(registry.port(), name, false);
        let verified = Client::with(&settings).verify(&url(name), &pem(&["p256"]));
        verified.unwrap_or_else(|refused| panic!("{name}: {refused}"));
    }
    drop(registry);
    let mut client = Client::with(&settings);
    client.settings.attempts = 1;
    for name in names {
        let verified = client.verify(&url(name), &pem(&["p256"]));
        verified.unwrap_or_else(|refused| panic!("{name}: {refused}"));
        let refused = client.verify(&url(name), &pem(&["p256-other"]));
        let refused = refused.expect_err("another key");
        assert!(refused.contains("does not fit"), "{refused}");
    }
}

#[test]
fn a_module_from_a_server_is_signed_beside_it() {
    let server = Server::start(|ask| match ask.path.as_str() {
        "/a.wasm.sig?x=1" => Answer::ok(&read("files/cosign-v3.1.3-p256.bundle.sig")),
        "/large.wasm.sig" => Answer::ok(&vec![b' '; 2 << 20]),
        "/away.wasm.sig" => Answer::status(503, &[], b""),
        "/unsigned.wasm.sig" => Answer::status(404, &[], b""),
        _ => Answer::ok(&read("mark.wasm")),
    });
    let directory = tempfile::tempdir().expect("a temporary directory");
    let settings = format!("cacheDir: {}", directory.path().display());
    let client = || {
        let mut client = Client::with(&settings);
        client.settings.attempts = 1;
        client
    };
    let verify = |path: &str| client().verify(&server.url(path), &pem(&["p256"]));
    let verified = verify("/a.wasm?x=1").expect("it is signed");
    assert_eq!(kind(&verified), "signature beside the file");
    for (path, reason) in [
        ("/unsigned.wasm", "/unsigned.wasm.sig: none found"),
        ("/large.wasm", "the most that a signature may have"),
        ("/away.wasm", "503"),
    ] {
        let refused = verify(path).expect_err("no signature");
        assert!(refused.contains(reason), "{path}: {refused}");
    }
    // After a restart, with the server in trouble.
    server.now(|_| Answer::status(503, &[], b""));
    let verified = verify("/a.wasm?x=1").expect("it was signed");
    assert_eq!(kind(&verified), "signature beside the file");
    assert!(verify("/unsigned.wasm").is_err());
}

#[test]
fn what_was_tampered_with_is_refused_with_the_reason() {
    let registry = Registry::plain();
    let client = Client::new();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cases = tampered::all();
    assert!(cases.len() >= 40, "{} cases", cases.len());
    let mut wrong = Vec::new();
    for case in &cases {
        let url = case.publish(directory.path(), registry.port());
        match client.verify(&url, &case.pem()) {
            Ok(verified) => wrong.push(format!("{}: {}", case.name, verified.verification())),
            Err(refused) if refused.contains(case.reason) => {}
            Err(refused) => {
                wrong.push(format!("{}: no {:?} in {refused}", case.name, case.reason));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    println!("{} tampered modules refused", cases.len());
}

#[test]
fn the_child_of_a_signed_index_is_not_signed_by_itself() {
    let registry = Registry::plain();
    let client = Client::new();
    for name in ["cosign-v2.6.5-index", "cosign-v3.1.3-index"] {
        let repository = Repository::new(name);
        repository.push(registry.port(), name, false);
        let child = repository
            .manifests
            .iter()
            .find(|m| m.content.contains("application/wasm"));
        let child = repository::oci_digest(child.expect("a child").content.as_bytes());
        let url = format!("oci://{}/{name}@{child}", registry.host());
        let refused = client.verify(&url, &pem(&["p256"])).expect_err("unsigned");
        assert!(refused.contains("none found"), "{refused}");
    }
}
