//! `wasmplugin keygen`, `sign` and `verify`: the whole loop, without other tools.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use tempfile::TempDir;

use super::repository::{Repository, fixture, read};
use super::support::registry::Registry;

struct Run {
    status: Option<i32>,
    out: String,
    err: String,
}

fn run(directory: &Path, arguments: &[&str]) -> Run {
    let output = Command::new(env!("CARGO_BIN_EXE_wasmplugin"))
        .args(arguments)
        .current_dir(directory)
        .output()
        .expect("the command");
    Run {
        status: output.status.code(),
        out: String::from_utf8(output.stdout).expect("UTF-8"),
        err: String::from_utf8(output.stderr).expect("UTF-8"),
    }
}

impl Run {
    #[track_caller]
    fn exits(self, status: i32) -> Self {
        assert_eq!(self.status, Some(status), "{}{}", self.out, self.err);
        self
    }
}

fn directory() -> TempDir {
    let directory = tempfile::tempdir().expect("a temporary directory");
    fs::write(directory.path().join("a.wasm"), read("mark.wasm")).expect("a file");
    directory
}

#[test]
fn a_new_key_signs_and_verifies() {
    let directory = directory();
    let at = directory.path();
    run(at, &["keygen", "key"]).exits(0);
    let again = run(at, &["keygen", "key"]).exits(1);
    assert!(again.err.contains("key: "), "{}", again.err);
    let verify = ["verify", "--key", "key.pub", "a.wasm"];
    let refused = run(at, &verify).exits(1);
    assert!(
        refused.err.contains("a.wasm.sig: none found"),
        "{}",
        refused.err
    );
    for form in ["signature", "bundle", "embedded"] {
        run(at, &["sign", "--key", "key", "--form", form, "a.wasm"]).exits(0);
        run(at, &verify).exits(0);
        if form != "embedded" {
            fs::remove_file(at.join("a.wasm.sig")).expect("a sidecar");
        }
    }
    let verified = run(at, &verify).exits(0);
    assert!(
        verified.out.contains("embedded signature"),
        "{}",
        verified.out
    );
    let mut module = fs::read(at.join("a.wasm")).expect("a module");
    *module.last_mut().expect("a byte") ^= 1;
    fs::write(at.join("a.wasm"), module).expect("a file");
    let refused = run(at, &verify).exits(1);
    assert!(
        refused.err.contains("not what was signed"),
        "{}",
        refused.err
    );
}

#[test]
fn keys_of_every_kind_sign_beside_the_module() {
    let directory = directory();
    for name in ["p256", "p384", "rsa2048", "rsa4096", "ed25519"] {
        for form in ["signature", "bundle"] {
            let private = fixture(&format!("keys/{name}.pem"));
            let public = fixture(&format!("keys/{name}.pub"));
            let (private, public) = (private.to_string_lossy(), public.to_string_lossy());
            let sign = ["sign", "--key", &private, "--form", form, "a.wasm"];
            run(directory.path(), &sign).exits(0);
            run(directory.path(), &["verify", "--key", &public, "a.wasm"]).exits(0);
        }
    }
    let p256 = fixture("keys/p256.pem");
    let p256 = p256.to_string_lossy();
    let sign = ["sign", "--key", &p256, "--form", "embedded", "a.wasm"];
    let refused = run(directory.path(), &sign).exits(1);
    assert!(
        refused.err.contains("takes an Ed25519 key"),
        "{}",
        refused.err
    );
}

#[test]
fn verify_prints_json() {
    let registry = Registry::plain();
    let directory = directory();
    let settings = "fetch: { insecureRegistries: ['*'] }";
    fs::write(directory.path().join("settings.yaml"), settings).expect("a file");
    Repository::new("cosign-v3.1.3-p256").push(registry.port(), "signed", false);
    let url = format!("oci://{}/signed:1", registry.host());
    let verify = |key: &str| {
        let key = fixture(&format!("keys/{key}.pub"));
        let key = key.to_string_lossy();
        let arguments = [
            "verify",
            "--key",
            &key,
            "--config",
            "settings.yaml",
            "--output",
            "json",
        ];
        run(directory.path(), &[&arguments[..], &[&url]].concat())
    };
    let json: Value = serde_json::from_str(&verify("p256").exits(0).out).expect("JSON");
    assert_eq!(json["verified"], true);
    assert_eq!(json["signature"]["kind"], "Sigstore bundle");
    assert_eq!(json["signature"]["keyKind"], "ECDSA P-256");
    let json: Value = serde_json::from_str(&verify("p256-other").exits(1).out).expect("JSON");
    assert_eq!(json["verified"], false);
    let problems = json["problems"].as_array().expect("problems");
    assert_eq!(problems.len(), 2, "{problems:?}");
}

#[test]
fn wrong_usage_is_told_from_a_bad_signature() {
    let directory = directory();
    let at = directory.path();
    run(at, &["verify", "a.wasm"]).exits(2);
    run(at, &["verify", "--key", "missing.pub", "a.wasm"]).exits(2);
    let private = fixture("keys/p256.pem");
    let run_ = run(
        at,
        &["verify", "--key", &private.to_string_lossy(), "a.wasm"],
    )
    .exits(2);
    assert!(run_.err.contains("PRIVATE KEY"), "{}", run_.err);
    let p521 = fixture("keys/p521.pub");
    let run_ = run(at, &["verify", "--key", &p521.to_string_lossy(), "a.wasm"]).exits(2);
    assert!(run_.err.contains("ECDSA P-521"), "{}", run_.err);
    let p256 = fixture("keys/p256.pub");
    run(
        at,
        &["verify", "--key", &p256.to_string_lossy(), "missing.wasm"],
    )
    .exits(1);
    run(at, &["sign", "--key", &p256.to_string_lossy(), "a.wasm"]).exits(2);
}
