//! `wasmplugin pull` and `inspect`.

use std::fs;
use std::process::{Command, Output};

use serde_json::{Value, json};
use wasmplugin_host::source::Digest;

use super::EMPTY;
use super::support::faulty::{Answer, Server};
use super::support::guests::Guests;
use super::support::images::{Image, SOLO_CONFIG, SOLO_LAYER, gzip};
use super::support::registry::Registry;

fn wasmplugin(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wasmplugin"));
    command.args(arguments).output().expect("a command")
}

fn json(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {output:?}"))
}

fn insecure() -> tempfile::NamedTempFile {
    let config = tempfile::NamedTempFile::new().expect("a file");
    fs::write(
        config.path(),
        "fetch: { insecureRegistries: ['*'], attempts: 1 }",
    )
    .expect("a file");
    config
}

#[test]
fn pull_writes_what_the_proxy_would_run() {
    let server = Server::start(|ask| match ask.path.as_str() {
        "/a.wasm.gz" => Answer::ok(&gzip(EMPTY)),
        _ => Answer::status(404, &[], b""),
    });
    let directory = tempfile::tempdir().expect("a temporary directory");
    let file = directory.path().join("a.wasm");
    let file = file.to_str().expect("a path");
    let url = server.url("/a.wasm.gz");
    let output = wasmplugin(&["pull", &url, "-o", file, "--output", "json"]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let digest = Digest::of(EMPTY).to_string();
    assert_eq!(
        json(&output),
        json!({ "module": digest, "size": 8, "image": null })
    );
    assert!(
        output.stderr.is_empty(),
        "no progress without a terminal: {output:?}"
    );
    assert_eq!(fs::read(file).expect("a file"), EMPTY);

    let wrong = "0".repeat(64);
    for (arguments, code, words) in [
        (vec!["pull", &url, "--sha256", &wrong], 1, "sha256 mismatch"),
        (vec!["pull", &server.url("/none")], 1, "404 Not Found"),
        (vec!["pull", "ftp://x/y"], 2, "unknown scheme"),
        (
            vec!["pull", &url, "--sha256", "0"],
            2,
            "64 lower-case hex digits",
        ),
        (
            vec!["pull", &url, "--config", "/no/such/file"],
            1,
            "/no/such/file",
        ),
    ] {
        let output = wasmplugin(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {said}");
        assert!(said.contains(words), "{arguments:?}: {said}");
    }
}

#[test]
fn inspect_tells_what_a_module_is_and_whether_it_would_run() {
    let guests = Guests::new();
    let path = guests.mark();
    let module = fs::read(&path).expect("a guest");
    let output = wasmplugin(&[
        "inspect",
        path.to_str().expect("a path"),
        "--output",
        "json",
    ]);
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    let told = json(&output);
    assert_eq!(told["abi"], "0.2.1");
    assert_eq!(told["module"], Digest::of(&module).to_string());
    assert_eq!(
        told["memories"],
        json!([{ "minimumPages": 1, "maximumPages": null }])
    );
    assert_eq!(told["problems"], json!([]));

    let registry = Registry::plain();
    let image = tempfile::tempdir().expect("a temporary directory");
    let layers: [(&str, &[u8]); 1] = [(SOLO_LAYER, &module)];
    Image::artifact((SOLO_CONFIG, b"{}"), &layers).write(image.path());
    let digest = registry.push(image.path(), "a:1", &["--preserve-digests"]);
    let config = insecure();
    let config = config.path().to_str().expect("a path");
    let url = format!("{}/a:1", registry.host());
    let output = wasmplugin(&["inspect", &url, "--config", config, "--output", "json"]);
    let told = json(&output);
    assert_eq!(told["image"]["manifest"], digest);
    assert_eq!(told["image"]["layout"], "solo");
    assert_eq!(
        told["notPortable"].as_array().map(Vec::len),
        Some(2),
        "{told}"
    );
    let text = wasmplugin(&["inspect", &url, "--config", config]);
    let text = String::from_utf8_lossy(&text.stdout).into_owned();
    for part in [
        "0.2.1",
        "solo.io artifact",
        &digest,
        "proxy_on_request_headers",
        "64 KiB",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }

    let lacking = guests.unknown_import();
    let output = wasmplugin(&["inspect", lacking.to_str().expect("a path")]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("env.proxy_no_such_function"), "{text}");
    let nothing = wasmplugin(&["inspect", "/no/such/file"]);
    assert_eq!(nothing.status.code(), Some(1), "{nothing:?}");
}
