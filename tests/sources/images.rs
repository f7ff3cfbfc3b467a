//! Plugins from registries: every layout and every pull policy, in Envoy.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use tempfile::TempDir;
use wasmplugin_host::plugin::PullPolicy;
use wasmplugin_host::source::{
    Digest, Freshness, Label, Layout, Origin, Registry as _, Repository, Request, SecretName,
};

use super::support::bootstrap::Bootstrap;
use super::support::envoy::{Envoy, complaints};
use super::support::faulty::{Answer, Server, forward};
use super::support::guests::{Guests, plugin_from};
use super::support::images::{
    CNCF_CONFIG, CNCF_LAYER, Image, SOLO_CONFIG, SOLO_LAYER, hex, write_index,
};
use super::support::registry::{PASSWORD, Registry, USER};
use super::support::upstream::Upstream;
use super::support::{NEWEST, http, wait_for};
use super::{Client, EMPTY, request};

/// Where an image is, and what it is like.
struct Pushed {
    /// `repository:tag`.
    name: String,
    digest: String,
    layout: Layout,
}

/// A directory for an image to be.
fn directory() -> TempDir {
    tempfile::tempdir().expect("a temporary directory")
}

/// Pushes `module` in every layout, with a repository for each.
fn push_all(registry: &Registry, module: &[u8]) -> Vec<Pushed> {
    let config = br#"{"config": {"rootIds": ["root"]}}"#;
    let files: [(&str, &[u8]); 3] = [
        ("README", b"not this"),
        ("plugin.wasm", module),
        ("runtime-config.json", config),
    ];
    let cncf = json!({
        "created": "2024-01-01T00:00:00Z",
        "architecture": "wasm",
        "os": "wasip1",
        "layerDigests": [format!("sha256:{}", Digest::of(module))],
    })
    .to_string();
    let solo = (SOLO_CONFIG, &b"{}"[..]);
    let keep: &[&str] = &["--preserve-digests"];
    let images: [(&str, Image, &[&str], Layout); 7] = [
        (
            "docker",
            Image::oci(&files, "+gzip"),
            &["--format", "v2s2"],
            Layout::Docker,
        ),
        ("gzip", Image::oci(&files, "+gzip"), keep, Layout::Oci),
        ("zstd", Image::oci(&files, "+zstd"), keep, Layout::Oci),
        ("tar", Image::oci(&files, ""), keep, Layout::Oci),
        (
            "solo-two",
            Image::artifact(solo, &[(SOLO_CONFIG, b"{}"), (SOLO_LAYER, module)]),
            keep,
            Layout::Solo,
        ),
        (
            "solo-one",
            Image::artifact(solo, &[(SOLO_LAYER, module)]),
            keep,
            Layout::Solo,
        ),
        (
            "cncf",
            Image::artifact((CNCF_CONFIG, cncf.as_bytes()), &[(CNCF_LAYER, module)]),
            keep,
            Layout::Cncf,
        ),
    ];
    let push = |(name, image, options, layout): (&str, Image, &[&str], Layout)| {
        let directory = directory();
        image.write(directory.path());
        let name = format!("team/{name}:1");
        let digest = registry.push(directory.path(), &name, options);
        Pushed {
            name,
            digest,
            layout,
        }
    };
    images.into_iter().map(push).collect()
}

/// An index as `docker buildx` makes it: an image for another platform, one for ours, attestations.
fn push_index(registry: &Registry, name: &str, module: &[u8]) -> (String, String) {
    let image = |module: &[u8]| Image::oci(&[("plugin.wasm", module)], "+gzip");
    let platform = |architecture: &str| json!({ "architecture": architecture, "os": "linux" });
    let attested = json!({ "vnd.docker.reference.type": "attestation-manifest" });
    let unknown = json!({ "architecture": "unknown", "os": "unknown" });
    let images = [
        (
            Image::oci(&[("in-toto.json", b"{}")], "+gzip"),
            unknown,
            attested,
        ),
        (image(EMPTY), platform("arm64"), json!({})),
        (image(module), platform("amd64"), json!({})),
    ];
    let directory = directory();
    let (index, manifests) = write_index(directory.path(), &images);
    let digest = registry.push(directory.path(), name, &["--all", "--preserve-digests"]);
    assert_eq!(digest, hex(&index), "pushed as it is");
    (digest, hex(&manifests[2]))
}

fn mark(guests: &Guests) -> Vec<u8> {
    fs::read(guests.mark()).expect("a guest")
}

/// The marks that plugins leave on a request, in their order.
fn marks(port: u16) -> String {
    let response = http::get(port, "/");
    assert_eq!(response.status, 200, "{}", response.text());
    let marks = response.json()["headers"]["x-mark"].clone();
    marks.as_str().unwrap_or_default().to_owned()
}

#[test]
fn plugins_of_every_layout_and_pull_policy_answer_in_envoy() {
    for registry in [
        Registry::plain(),
        Registry::with_referrers(),
        Registry::secure(),
    ] {
        answer_in_envoy(&registry);
    }
}

fn answer_in_envoy(registry: &Registry) {
    let guests = Guests::new();
    let module = mark(&guests);
    let pushed = push_all(registry, &module);
    let (index, child) = push_index(registry, "team/index:1", &module);
    let host = registry.host();
    let secrets = directory();
    write_secret(secrets.path(), &host, PASSWORD);
    let (trust, secret) = if registry.is_secure() {
        let trust = format!("caFile: {}", registry.ca_file().display());
        (trust, "imagePullSecret: pull")
    } else {
        (format!("insecureRegistries: ['{host}']"), "")
    };
    let mut plugins = Vec::new();
    let mut expected = Vec::new();
    let mut add = |url: String, spec: &str| {
        let name = format!("p{:02}", plugins.len());
        let spec = format!("pluginConfig: {{ n: {name} }}\n{secret}\n{spec}");
        plugins.push(plugin_from(&name, &url, &spec));
        expected.push(format!(r#"{{"n":"{name}"}}"#));
    };
    for image in &pushed {
        let Pushed { name, digest, .. } = image;
        let (repository, _) = name.split_once(':').expect("a tag");
        for policy in ["IfNotPresent", "Always"] {
            let policy = format!("imagePullPolicy: {policy}");
            add(format!("oci://{host}/{name}"), &policy);
            add(format!("{host}/{repository}@sha256:{digest}"), &policy);
        }
        add(format!("oci://{host}/{name}"), &format!("sha256: {digest}"));
    }
    for sha256 in [&index, &child] {
        add(
            format!("oci://{host}/team/index:1"),
            &format!("sha256: {sha256}"),
        );
        add(
            format!("oci://{host}/team/index:1@sha256:{index}"),
            &format!("sha256: {sha256}"),
        );
    }
    let upstream = Upstream::echo();
    let settings = format!(
        "startup: {{ wait: 60s }}\nsecretsDir: {}\nfetch: {{ {trust} }}\nplugins:\n{}",
        secrets.path().display(),
        plugins.concat()
    );
    let bootstrap = Bootstrap::new(upstream.port()).filter(&settings);
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    assert_eq!(marks(bootstrap.port()), expected.join(", "));
    assert_eq!(complaints(&envoy.log()), [""; 0]);
}

#[test]
fn what_is_found_is_told() {
    let registry = Registry::with_referrers();
    let client = Client::new(&format!(
        "fetch: {{ insecureRegistries: ['{}'] }}",
        registry.host()
    ));
    for pushed in push_all(&registry, EMPTY) {
        let url = format!("oci://{}/{}", registry.host(), pushed.name);
        let fetched = client
            .fetch(&url)
            .unwrap_or_else(|error| panic!("{url}: {error}"));
        assert_eq!(fetched.bytes(), EMPTY, "{url}");
        let image = fetched.image().expect("an image");
        assert_eq!(image.manifest.to_string(), pushed.digest, "{url}");
        assert_eq!(image.layout, pushed.layout, "{url}");
        let ids: &[&str] = match pushed.layout {
            Layout::Docker | Layout::Oci => &["root"],
            Layout::Solo | Layout::Cncf => &[],
        };
        assert_eq!(image.root_ids, ids, "{url}");
    }
    let (index, child) = push_index(&registry, "team/index:1", EMPTY);
    let url = format!("oci://{}/team/index:1", registry.host());
    let fetched = client.fetch(&url).expect("a module");
    let image = fetched.image().expect("an image");
    assert_eq!(image.index.expect("an index").to_string(), index);
    assert_eq!(image.manifest.to_string(), child);
    let wrong = "0".repeat(64);
    let request = Request {
        sha256: Some(wrong.clone()),
        ..request(&url)
    };
    let error = client
        .fetcher
        .fetch(&request, &client.settings)
        .expect_err("a mismatch");
    let text = error.to_string();
    for part in [&wrong, &index, &child, "manifest or its index"] {
        assert!(text.contains(part), "{text}");
    }
    assert_eq!(error.label(), Label::ChecksumMismatched);
}

#[test]
fn images_without_a_module_are_told_by_what_they_have() {
    let registry = Registry::plain();
    let client = Client::impatient();
    let files: [(&str, &[u8]); 2] = [("bin/sh", b""), ("plugin.was", b"")];
    let other = ("application/vnd.example.config", &b"{}"[..]);
    let empty = ("application/wasm", EMPTY);
    for (name, image, words) in [
        (
            "files",
            Image::oci(&files, "+gzip"),
            &["OCI image", "plugin.wasm", "bin/sh"][..],
        ),
        (
            "other",
            Image::artifact(other, &[("application/x-thing", b"x")]),
            &["application/x-thing", "vnd.example.config"],
        ),
        (
            "several",
            Image::artifact(other, &[empty, empty]),
            &["2 layers"],
        ),
    ] {
        let directory = directory();
        image.write(directory.path());
        registry.push(
            directory.path(),
            &format!("{name}:1"),
            &["--preserve-digests"],
        );
        let error = client
            .fetch(&format!("oci://{}/{name}:1", registry.host()))
            .expect_err(name);
        assert_eq!(error.label(), Label::Layout, "{error}");
        for word in words {
            assert!(error.to_string().contains(word), "{error}");
        }
    }
}

/// Writes the secret `default/pull` with `password`.
fn write_secret(secrets: &Path, registry: &str, password: &str) {
    let directory = secrets.join("default/pull");
    fs::create_dir_all(&directory).expect("a directory");
    let config = json!({ "auths": { registry: { "username": USER, "password": password } } });
    fs::write(directory.join(".dockerconfigjson"), config.to_string()).expect("a file");
}

/// A request for `url` with that secret.
fn with_secret(url: &str) -> Request {
    Request {
        pull_secret: Some(SecretName {
            namespace: "default".to_owned(),
            name: "pull".to_owned(),
        }),
        ..request(url)
    }
}

/// A client that has the secret for the registry `host`, by plain HTTP, and the secrets.
fn who_has_the_secret(host: &str) -> (TempDir, Client) {
    let secrets = directory();
    write_secret(secrets.path(), host, PASSWORD);
    let client = Client::new(&format!(
        "secretsDir: {}\nfetch: {{ insecureRegistries: ['{host}'] }}",
        secrets.path().display()
    ));
    (secrets, client)
}

#[test]
fn a_registry_with_tls_and_passwords_and_then_none() {
    let guests = Guests::new();
    let registry = Registry::secure();
    let image = directory();
    Image::oci(&[("plugin.wasm", &mark(&guests))], "+gzip").write(image.path());
    registry.push(image.path(), "team/mark:1", &[]);
    let host = registry.host();
    let (secrets, cache) = (directory(), directory());
    write_secret(secrets.path(), &host, "wrong");
    let url = format!("oci://{host}/team/mark:1");
    let upstream = Upstream::echo();
    let settings = format!(
        "startup: {{ wait: 2s }}\nsecretsDir: {}\ncacheDir: {}\nfetch: {{ caFile: {}, attempts: 1 }}\nplugins:\n{}",
        secrets.path().display(),
        cache.path().display(),
        registry.ca_file().display(),
        plugin_from(
            "mark",
            &url,
            "pluginConfig: { n: 1 }\nimagePullSecret: pull\nimagePullPolicy: Always"
        ),
    );
    let bootstrap = Bootstrap::new(upstream.port()).filter(&settings);
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    assert_eq!(http::get(bootstrap.port(), "/").status, 503);
    envoy.wait_for_log("does not accept what the pull secret says");
    assert!(!envoy.log().contains("wrong"), "{}", envoy.log());
    // A registry that refuses is left alone for a minute, unless the secret is another one.
    write_secret(secrets.path(), &host, PASSWORD);
    wait_for("the right secret", Duration::from_secs(15), || {
        (http::get(bootstrap.port(), "/").status == 200).then_some(())
    });
    drop(envoy);

    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    assert_eq!(marks(bootstrap.port()), r#"{"n":1}"#);
    assert!(!envoy.log().contains(PASSWORD));
    drop(envoy);

    // A restart with the registry gone.
    let ca_file = fs::read(registry.ca_file()).expect("a certificate");
    let ca_path = registry.ca_file();
    drop(registry);
    fs::create_dir_all(ca_path.parent().expect("a directory")).expect("a directory");
    fs::write(&ca_path, ca_file).expect("a file");
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    assert_eq!(marks(bootstrap.port()), r#"{"n":1}"#);
    envoy.wait_for_log("goes on with the module");
    drop(fs::remove_dir_all(ca_path.parent().expect("a directory")));
    for file in files_below(cache.path()) {
        let content = fs::read(&file).expect("a file");
        let text = String::from_utf8_lossy(&content);
        assert!(!text.contains(PASSWORD), "{}", file.display());
    }
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => files_below(&path),
            path => vec![path],
        })
        .collect()
}

#[test]
fn who_may_not_ask_does_not_get_it_from_the_store() {
    let registry = Registry::secure();
    let image = directory();
    Image::oci(&[("plugin.wasm", EMPTY)], "+gzip").write(image.path());
    registry.push(image.path(), "team/mark:1", &[]);
    let secrets = directory();
    write_secret(secrets.path(), &registry.host(), PASSWORD);
    let client = Client::new(&format!(
        "secretsDir: {}\nfetch: {{ caFile: {} }}",
        secrets.path().display(),
        registry.ca_file().display()
    ));
    let url = format!("oci://{}/team/mark:1", registry.host());
    let wanted = with_secret(&url);
    assert!(client.fetcher.fetch(&wanted, &client.settings).is_ok());
    let error = client.fetch(&url).expect_err("no secret, no module");
    assert_eq!(error.label(), Label::Unauthorized, "{error}");
}

#[test]
fn tokens_are_fetched_from_the_server_that_the_registry_names() {
    let registry = Registry::plain();
    let image = directory();
    Image::oci(&[("plugin.wasm", EMPTY)], "+gzip").write(image.path());
    registry.push(image.path(), "team/mark:1", &[]);
    let behind = registry.port();
    let front = Server::front(behind);
    let realm = format!("{}?from=realm", front.url("/token"));
    front.now(move |ask| {
        if ask.path.starts_with("/token") {
            let good = ask.header("authorization") == Some("Basic cHVsbGVyOnMzY3JldA==")
                && ask.path.contains("from=realm")
                && ask.path.contains("service=here")
                && ask.path.contains("scope=repository%3Ateam%2Fmark%3Apull");
            let refresh = ask.method == "POST";
            return if good || refresh {
                Answer::ok(br#"{"token": "t0ken"}"#)
            } else {
                Answer::status(401, &[], b"")
            };
        }
        if ask.header("authorization") == Some("Bearer t0ken") {
            return forward(behind, ask);
        }
        let challenge =
            format!(r#"Bearer realm="{realm}",service="here",scope="repository:team/mark:pull""#);
        Answer::status(401, &[("www-authenticate", &challenge)], b"")
    });
    let host = format!("localhost:{}", front.port());
    let (secrets, client) = who_has_the_secret(&host);
    let mut wanted = with_secret(&format!("oci://{host}/team/mark:1"));
    let fetched = client.fetcher.fetch(&wanted, &client.settings);
    assert_eq!(fetched.expect("a module").bytes(), EMPTY);
    assert_eq!(front.gets("/token"), 1, "one token does for all requests");
    let file = secrets.path().join("default/pull/.dockerconfigjson");
    for entry in [
        json!({ "identitytoken": "i" }),
        json!({ "registrytoken": "t0ken" }),
    ] {
        let config = json!({ "auths": { host.clone(): entry } });
        fs::write(&file, config.to_string()).expect("a file");
        wanted.pull_policy = PullPolicy::Always;
        let fetched = client
            .fetcher
            .ask(&wanted, &client.settings, Freshness::Anew)
            .result;
        assert_eq!(fetched.expect("a module").bytes(), EMPTY, "{config}");
    }
}

#[test]
fn tokens_are_for_the_server_that_was_asked() {
    let other = Server::start(|_| Answer::ok(br#"{"token": "t0ken"}"#));
    let front = Server::start(|_| Answer::status(404, &[], b""));
    let (realm, elsewhere) = (front.url("/token"), other.url("/token"));
    front.now(move |ask| {
        if ask.path.starts_with("/token") {
            return Answer::status(307, &[("location", &elsewhere)], b"");
        }
        let challenge = format!(r#"Bearer realm="{realm}""#);
        Answer::status(401, &[("www-authenticate", &challenge)], b"")
    });
    let host = format!("localhost:{}", front.port());
    let (secrets, client) = who_has_the_secret(&host);
    let wanted = with_secret(&format!("oci://{host}/a:1"));
    // A password does not go along; the registry gets a token all the same, and refuses it.
    let error = client
        .fetcher
        .fetch(&wanted, &client.settings)
        .expect_err("no module");
    assert_eq!(error.label(), Label::Unauthorized, "{error}");
    assert_eq!(other.asked()[0].header("authorization"), None);
    // An identity token would go along with the form.
    let file = secrets.path().join("default/pull/.dockerconfigjson");
    let config = json!({ "auths": { host: { "identitytoken": "i" } } });
    fs::write(&file, config.to_string()).expect("a file");
    let error = client
        .fetcher
        .fetch(&wanted, &client.settings)
        .expect_err("no module");
    assert_eq!(error.label(), Label::Redirect, "{error}");
    assert_eq!(other.asked().len(), 1);
}

#[test]
fn always_asks_again_and_if_not_present_does_not() {
    let registry = Registry::plain();
    let front = Server::front(registry.port());
    let push = |bytes: &[u8]| {
        let image = directory();
        Image::oci(&[("plugin.wasm", bytes)], "+gzip").write(image.path());
        registry.push(image.path(), "a:1", &[]);
    };
    push(EMPTY);
    let client = Client::impatient();
    let url = format!("oci://127.0.0.1:{}/a:1", front.port());
    let other = [EMPTY, b"\0\x02\x01x"].concat();
    assert_eq!(client.fetch(&url).expect("a module").bytes(), EMPTY);
    let asked = front.asked().len();
    let again = client.fetch(&url).expect("a module");
    assert!(matches!(again.origin(), Origin::Store));
    assert_eq!(front.asked().len(), asked, "nobody was asked");

    let unchanged = client.always(&url).expect("a module");
    assert!(matches!(unchanged.origin(), Origin::Store));
    assert_eq!(front.gets("/manifests/"), 1, "a HEAD is enough");
    push(&other);
    assert_eq!(client.fetch(&url).expect("a module").bytes(), EMPTY);
    assert_eq!(client.always(&url).expect("a module").bytes(), other);
    assert_eq!(client.fetch(&url).expect("a module").bytes(), other);

    front.now(|_| Answer::status(503, &[], b""));
    let last_good = client.always(&url).expect("a module");
    assert_eq!(last_good.bytes(), other);
    assert!(matches!(last_good.origin(), Origin::LastGood(_)));
    front.now(|_| Answer::status(404, &[], b""));
    assert_eq!(
        client.always(&url).expect_err("gone").label(),
        Label::NotFound
    );
}

#[test]
fn what_refers_to_an_image_is_found_with_and_without_the_api() {
    for registry in [Registry::with_referrers(), Registry::plain()] {
        let cache = directory();
        let mut client = Client::impatient();
        client.settings.cache_dir = Some(cache.path().display().to_string());
        let image = directory();
        let subject = Image::oci(&[("plugin.wasm", EMPTY)], "+gzip").write(image.path());
        registry.push(image.path(), "a:1", &["--preserve-digests"]);
        let signature = directory();
        let mut referrer = Image::artifact(
            ("application/vnd.example.signature", b"{}"),
            &[("application/vnd.example.payload", b"signed")],
        );
        referrer.subject = Some(subject.clone());
        let descriptor = referrer.write(signature.path());
        registry.push(signature.path(), "a:signature", &["--preserve-digests"]);
        let url = format!("oci://{}/a:1", registry.host());
        let repository = client
            .fetcher
            .repository(&request(&url), &client.settings)
            .expect("a repository");
        let subject = Digest::parse(&hex(&subject)).expect("a digest");
        let mut found = repository.referrers(subject).expect("an answer");
        if found.is_empty() {
            // Then the client that signs writes an index under a tag.
            let index = directory();
            write_index(
                index.path(),
                &[(referrer, json!({"architecture": "a", "os": "o"}), json!({}))],
            );
            let tag = format!("a:sha256-{subject}");
            registry.push(index.path(), &tag, &["--all", "--preserve-digests"]);
            found = repository.referrers(subject).expect("an answer");
        }
        let digests: Vec<_> = found
            .iter()
            .map(|found| found.digest().to_string())
            .collect();
        assert_eq!(digests, [format!("sha256:{}", hex(&descriptor))]);
        let signed = |repository: &Repository| {
            let manifest = repository.manifest(&digests[0]).expect("an answer");
            let manifest = manifest.expect("a manifest").bytes;
            let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("JSON");
            let layer = serde_json::from_value(manifest["layers"][0].clone());
            repository
                .blob(&layer.expect("a descriptor"))
                .expect("a blob")
        };
        assert_eq!(signed(&repository), b"signed");
        let nothing = repository.manifest("nothing").expect("an answer");
        assert_eq!(nothing, None);

        // The same questions to a registry that is gone, by somebody new.
        drop(registry);
        let mut later = Client::impatient();
        later.settings.cache_dir = client.settings.cache_dir.clone();
        let repository = later
            .fetcher
            .repository(&request(&url), &later.settings)
            .expect("a repository");
        assert_eq!(repository.referrers(subject).expect("an answer"), found);
        assert_eq!(signed(&repository), b"signed");
        assert_eq!(repository.manifest("nothing").expect("an answer"), None);
        assert!(repository.manifest("other").is_err(), "never asked");
    }
}
