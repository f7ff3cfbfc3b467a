//! `envoy/Dockerfile`, as far as that can be told without building it: the versions it names, what
//! it gets to build from, and what is said where there is nothing to build it with.
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::fs;
use std::path::Path;
use std::process::Command;

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

#[test]
fn versions_are_those_of_the_repository() {
    let dockerfile = read("envoy/Dockerfile");
    let envoy = format!("ARG ENVOY_VERSION={}\n", read("envoy/VERSION").trim());
    assert!(dockerfile.contains(&envoy), "{envoy}");
    let rust = format!("ARG RUST_VERSION={}\n", env!("CARGO_PKG_RUST_VERSION"));
    assert!(dockerfile.contains(&rust), "{rust}");
}

/// The files that reach the builder are a workspace that cargo takes.
#[test]
fn the_context_holds_the_workspace() {
    let context = tempfile::tempdir().expect("a temporary directory");
    let ignore = read("envoy/Dockerfile.dockerignore");
    let wanted: Vec<_> = ignore.lines().filter_map(|l| l.strip_prefix('!')).collect();
    assert!(wanted.contains(&"src"), "{wanted:?}");
    let copied = Command::new("cp")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .arg("-r")
        .args(&wanted)
        .arg(context.path())
        .status();
    assert!(copied.expect("cp").success());
    let output = Command::new(env!("CARGO"))
        .current_dir(context.path())
        .args([
            "metadata",
            "--locked",
            "--offline",
            "--no-deps",
            "--format-version=1",
        ])
        .output()
        .expect("cargo");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let packages = String::from_utf8_lossy(&output.stdout);
    for target in ["\"cdylib\"", "bin/wasmplugin/main.rs"] {
        assert!(packages.contains(target), "{target} in {packages}");
    }
}

#[test]
fn without_a_builder_there_is_one_clear_message() {
    let output = Command::new("make")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["image", "DOCKER=no-such-builder"])
        .output()
        .expect("make");
    assert!(!output.status.success());
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("'no-such-builder' is not there"), "{said}");
}
