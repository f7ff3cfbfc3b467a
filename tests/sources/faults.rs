//! What goes wrong on the way: each fault has its text and its label, none costs memory, and
//! everything goes on once it is over.

use std::io::Write as _;
use std::net::TcpListener;
use std::process::Command;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use flate2::Compression;
use flate2::write::GzEncoder;
use wasmplugin_host::source::Label;

use super::support::bootstrap::Bootstrap;
use super::support::envoy::Envoy;
use super::support::faulty::{Answer, Server, forward};
use super::support::guests::{Guests, plugin_from};
use super::support::images::{Image, gzip, tar};
use super::support::registry::{Registry, certificate};
use super::support::upstream::Upstream;
use super::support::{NEWEST, free_port, http, wait_for};
use super::{Client, EMPTY};

/// Expects that `url` cannot be fetched, with `label` and all of `words`.
fn refused(client: &Client, url: &str, label: Label, words: &[&str]) {
    let before = client.count(label);
    let error = match client.fetch(url) {
        Ok(fetched) => panic!("{label}: got {} from {url}", fetched.digest()),
        Err(error) => error,
    };
    let text = error.to_string();
    assert_eq!(error.label(), label, "{text}");
    for word in words {
        assert!(text.contains(word), "{label}: {word:?} is not in {text:?}");
    }
    assert!(client.count(label) > before, "{label} is counted");
}

/// The first bytes of a tar whose file has `size` bytes, as its header says.
fn promise(size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("plugin.wasm").expect("a path");
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Zeros, packed: a thousandth of their size.
fn bomb(mebibytes: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        encoder.write_all(&zeros).expect("memory");
    }
    encoder.finish().expect("memory")
}

/// A name, what happens, and how it is told.
type Fault = (&'static str, Answer, Label, &'static [&'static str]);

/// What a server may do wrong: where, what, and how it is told.
fn faults_of_a_server() -> Vec<Fault> {
    let status = |status: u16| Answer::status(status, &[], b"");
    let huge = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(1000));
    let second = Duration::from_secs(1);
    vec![
        ("silence", Answer::Silence, Label::Timeout, &["silence"]),
        (
            "slow",
            Answer::slowly(EMPTY, 1, second / 2),
            Label::Timeout,
            &["2000 ms"],
        ),
        (
            "cut",
            Answer::of_length(100, EMPTY),
            Label::CutOff,
            &["cut off after 8 bytes"],
        ),
        (
            "cut-head",
            Answer::Raw(b"HTTP/1.1 200".to_vec()),
            Label::CutOff,
            &["cut off after 0"],
        ),
        (
            "too-long",
            Answer::of_length(2 << 20, b""),
            Label::TooLarge,
            &["2097152", "maxModuleBytes"],
        ),
        (
            "garbage",
            Answer::Raw(b"SSH-2.0-x\r\n\r\n".to_vec()),
            Label::Protocol,
            &["HTTP"],
        ),
        (
            "huge-header",
            Answer::Raw(huge.into_bytes()),
            Label::Protocol,
            &["HTTP"],
        ),
        (
            "many-headers",
            Answer::Raw(many.into_bytes()),
            Label::Protocol,
            &["HTTP"],
        ),
        ("400", status(400), Label::ClientError, &["400 Bad Request"]),
        (
            "401",
            status(401),
            Label::Unauthorized,
            &["401 Unauthorized"],
        ),
        ("403", status(403), Label::Forbidden, &["403 Forbidden"]),
        ("404", status(404), Label::NotFound, &["404 Not Found"]),
        (
            "429",
            Answer::status(429, &[("retry-after", "7")], b""),
            Label::RateLimited,
            &["429 Too Many Requests"],
        ),
        ("500", status(500), Label::ServerError, &["500 Internal"]),
        ("503", status(503), Label::ServerError, &["503 Service"]),
        (
            "loop",
            Answer::to("/loop"),
            Label::Redirect,
            &["more than 10 redirects"],
        ),
        (
            "metadata",
            Answer::to("http://169.254.169.254/latest/meta-data"),
            Label::BlockedAddress,
            &["169.254.169.254", "blockedCidrs"],
        ),
        (
            "metadata-as-number",
            Answer::to("http://2852039166/"),
            Label::BlockedAddress,
            &["169.254.169.254"],
        ),
        (
            "metadata-mapped",
            Answer::to("http://[::ffff:a9fe:a9fe]/"),
            Label::BlockedAddress,
            &["blockedCidrs"],
        ),
        (
            "scheme",
            Answer::to("file:///etc/passwd"),
            Label::Redirect,
            &["\"file\""],
        ),
        ("nowhere", status(302), Label::Redirect, &["nowhere"]),
        (
            "bomb",
            Answer::ok(&bomb(64)),
            Label::TooLarge,
            &["unpacked", "maxModuleBytes"],
        ),
        (
            "tar-bomb",
            Answer::ok(&gzip(&tar(&[("x", &vec![0; 8 << 20])]))),
            Label::TooLarge,
            &["unpacked"],
        ),
        (
            "promise",
            Answer::ok(&promise(10 << 30)),
            Label::TooLarge,
            &["10737418240"],
        ),
        (
            "half-gzip",
            Answer::ok(&gzip(EMPTY)[..12]),
            Label::Archive,
            &["unpacked"],
        ),
        (
            "page",
            Answer::ok(b"<html></html>"),
            Label::NotWasm,
            &["\\0asm"],
        ),
        (
            "component",
            Answer::ok(b"\0asm\x0d\0\x01\0"),
            Label::NotWasm,
            &["component"],
        ),
        ("short", Answer::ok(b"\0asm"), Label::NotWasm, &["shorter"]),
    ]
}

/// A server that has each of `faults` under its name.
fn faulty(faults: &[Fault]) -> Server {
    let answers: Vec<_> = faults
        .iter()
        .map(|(name, answer, ..)| (format!("/{name}"), answer.clone()))
        .collect();
    Server::start(move |ask| {
        let found = answers.iter().find(|(path, _)| *path == ask.path);
        found.map_or_else(
            || Answer::status(404, &[], b""),
            |(_, answer)| answer.clone(),
        )
    })
}

#[test]
fn every_fault_of_a_server_has_its_text_and_label() {
    let faults = faults_of_a_server();
    let server = faulty(&faults);
    let client = Client::impatient();
    for (name, _, label, words) in &faults {
        refused(&client, &server.url(&format!("/{name}")), *label, words);
    }
    assert_eq!(client.lines.0.lock().expect("no panic").len(), 0);
}

#[test]
fn requests_flow_through_every_fault_and_plugins_come_back() {
    let guests = Guests::new();
    let module = std::fs::read(guests.mark()).expect("a guest");
    let faults = faults_of_a_server();
    let server = faulty(&faults);
    let upstream = Upstream::echo();
    let plugins = faults.iter().map(|(name, ..)| {
        let spec = "pluginConfig: { n: 1 }\nfailStrategy: FAIL_OPEN";
        plugin_from(&format!("p-{name}"), &server.url(&format!("/{name}")), spec)
    });
    let settings = format!(
        "startup: {{ wait: 1s }}\nfetch: {{ attempts: 1, timeout: 2s, maxModuleBytes: 1Mi }}\nplugins:\n{}",
        plugins.collect::<String>()
    );
    let bootstrap = Bootstrap::new(upstream.port()).filter(&settings);
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    let memory = envoy.memory();
    let marks = || {
        let response = http::get(bootstrap.port(), "/");
        assert_eq!(response.status, 200);
        let marks = response.json()["headers"]["x-mark"].clone();
        marks.as_str().map_or(0, |marks| marks.split(", ").count())
    };
    for (name, _, _, words) in &faults {
        let line = envoy.wait_for_log(&format!("plugin default/p-{name}: cannot run"));
        for word in *words {
            assert!(line.contains(word), "{name}: {word:?} is not in {line:?}");
        }
        assert_eq!(marks(), 0);
    }
    assert!(
        envoy.memory() < memory + (64 << 20),
        "{memory}, {}",
        envoy.memory()
    );
    server.now(move |_| Answer::ok(&module));
    // What was refused is asked for again after a minute.
    wait_for("all plugins", Duration::from_secs(180), || {
        (marks() == faults.len()).then_some(())
    });
}

#[test]
fn every_fault_of_the_network_has_its_text_and_label() {
    let client = Client::impatient();
    let nobody = format!("http://127.0.0.1:{}/", free_port());
    refused(&client, &nobody, Label::Connect, &["cannot connect"]);
    let name = "http://no-such-host.invalid/";
    refused(&client, name, Label::Dns, &["no-such-host.invalid"]);
    let link_local = "http://169.254.1.1/";
    refused(&client, link_local, Label::BlockedAddress, &["169.254.1.1"]);

    let inside = Client::new("fetch: { blockedCidrs: [127.0.0.0/8, '::1/128'], attempts: 1 }");
    let server = Server::start(|_| Answer::ok(EMPTY));
    let by_name = format!("http://localhost:{}/", server.port());
    refused(
        &inside,
        &by_name,
        Label::BlockedAddress,
        &["localhost", "127.0.0.1"],
    );
    assert!(client.fetch(&by_name).is_ok());
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn every_fault_of_tls_has_its_text_and_label() {
    let strict = Client::new("fetch: { attempts: 1 }");
    let plain = Server::start(|_| Answer::ok(EMPTY));
    let url = format!("https://localhost:{}/", plain.port());
    refused(
        &strict,
        &url,
        Label::PlainHttp,
        &["plain HTTP", "insecureRegistries"],
    );
    let hangs_up = TcpListener::bind("127.0.0.1:0").expect("a port");
    let url = format!("https://{}/", hangs_up.local_addr().expect("an address"));
    thread::spawn(move || hangs_up.incoming().for_each(drop));
    refused(&strict, &url, Label::Tls, &["TLS"]);
    let registry = Registry::secure();
    let unknown = format!("https://localhost:{}/", registry.port());
    refused(&strict, &unknown, Label::Tls, &["TLS", "UnknownIssuer"]);
    let trusting = format!(
        "fetch: {{ attempts: 1, caFile: {} }}",
        registry.ca_file().display()
    );
    let trusting = Client::new(&trusting);
    let other_name = format!("https://127.0.0.2:{}/", registry.port());
    let no_connection = trusting
        .fetch(&other_name)
        .expect_err("nobody listens there");
    assert_eq!(no_connection.label(), Label::Connect);
    // The right name, the right authority, and no module.
    let error = trusting.fetch(&unknown).expect_err("no module");
    assert!(!matches!(error.label(), Label::Tls), "{error}");
    let directory = tempfile::tempdir().expect("a temporary directory");
    certificate(directory.path());
    let to_plain = plain.url("/");
    let secure = Server::with_tls(directory.path(), move |ask| match ask.path.as_str() {
        "/down" => Answer::to(&to_plain),
        _ => Answer::ok(EMPTY),
    });
    let trusting = format!("fetch: {{ caFile: {}/ca.pem }}", directory.path().display());
    let trusting = Client::new(&trusting);
    let url = |path: &str| format!("https://localhost:{}{path}", secure.port());
    assert_eq!(trusting.fetch(&url("/")).expect("a module").bytes(), EMPTY);
    refused(
        &trusting,
        &url("/down"),
        Label::Redirect,
        &["https:// to http://"],
    );
    let careless = Client::new("fetch: { insecureRegistries: [localhost] }");
    assert_eq!(careless.fetch(&url("/")).expect("a module").bytes(), EMPTY);
    let no_roots = Client::new("fetch: { attempts: 1, caFile: /no/such/file }");
    refused(&no_roots, &unknown, Label::Setting, &["fetch.caFile"]);
}

#[test]
fn every_fault_of_a_registry_has_its_text_and_label() {
    let registry = Registry::plain();
    let image = tempfile::tempdir().expect("a temporary directory");
    Image::oci(&[("plugin.wasm", EMPTY)], "+gzip").write(image.path());
    registry.push(image.path(), "a:1", &["--preserve-digests"]);
    let behind = registry.port();
    let front = Server::front(behind);
    let url = format!("oci://127.0.0.1:{}/a:1", front.port());
    let body = |answer: Answer| match answer {
        Answer::Reply { body, .. } => body,
        other => panic!("{other:?}"),
    };
    type Change = Arc<dyn Fn(Vec<u8>) -> Answer + Send + Sync>;
    let cases: Vec<(&str, Change, Label, &[&str])> = vec![
        (
            "/blobs/",
            Arc::new(|mut bytes| {
                bytes[20] ^= 1;
                Answer::ok(&bytes)
            }),
            Label::WrongDigest,
            &["layer sha256:", "instead of"],
        ),
        (
            "/blobs/",
            Arc::new(|bytes| Answer::ok(&bytes[..bytes.len() - 1])),
            Label::WrongLength,
            &["its descriptor says"],
        ),
        (
            "/blobs/",
            Arc::new(|bytes| Answer::of_length(bytes.len() as u64, &bytes[..10])),
            Label::CutOff,
            &["cut off after 10"],
        ),
        (
            "/blobs/",
            Arc::new(|_| Answer::to("http://169.254.169.254/blob")),
            Label::BlockedAddress,
            &["169.254.169.254"],
        ),
        (
            "/blobs/",
            Arc::new(|_| Answer::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![0; 1 << 16])),
            Label::TooLarge,
            &["maxModuleBytes"],
        ),
        (
            "/manifests/",
            Arc::new(|_| Answer::ok(b"{}")),
            Label::Manifest,
            &["cannot be read"],
        ),
        (
            "/manifests/",
            Arc::new(|_| Answer::ok(b"not JSON")),
            Label::Manifest,
            &["manifest"],
        ),
        (
            "/manifests/",
            Arc::new(|_| Answer::ok(&vec![b' '; 5 << 20])),
            Label::TooLarge,
            &["the largest manifest"],
        ),
        (
            "/manifests/",
            Arc::new(|_| {
                let body =
                    br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
                Answer::status(404, &[], body)
            }),
            Label::NotFound,
            &["404 Not Found", "MANIFEST_UNKNOWN"],
        ),
        (
            "/v2/",
            Arc::new(|_| Answer::status(401, &[("www-authenticate", "Negotiate")], b"")),
            Label::Unauthorized,
            &["neither a token nor a password"],
        ),
        (
            "/v2/",
            Arc::new(|_| Answer::status(401, &[("www-authenticate", "Basic realm=\"x\"")], b"")),
            Label::Unauthorized,
            &["imagePullSecret names none"],
        ),
        (
            "/v2/",
            Arc::new(|_| {
                let challenge = r#"Bearer realm="http://169.254.169.254/token""#;
                Answer::status(401, &[("www-authenticate", challenge)], b"")
            }),
            Label::BlockedAddress,
            &["169.254.169.254"],
        ),
        (
            "/v2/",
            Arc::new(|_| Answer::status(403, &[], b"")),
            Label::Forbidden,
            &["403"],
        ),
        (
            "/v2/",
            Arc::new(|_| Answer::status(500, &[], b"")),
            Label::ServerError,
            &["500"],
        ),
    ];
    for (part, fault, label, words) in cases {
        front.now(move |ask| {
            let answer = forward(behind, ask);
            if ask.path.contains(part) {
                fault(body(answer))
            } else {
                answer
            }
        });
        refused(&Client::impatient(), &url, label, words);
    }
    front.now(move |ask| forward(behind, ask));
    assert!(Client::impatient().fetch(&url).is_ok());
    let plain = Client::new("fetch: { attempts: 1 }");
    refused(
        &plain,
        &url,
        Label::PlainHttp,
        &["fetch.insecureRegistries"],
    );
    let no_reference = "oci://r.example/UPPER";
    refused(&plain, no_reference, Label::Url, &["r.example/UPPER"]);
}

#[test]
fn what_may_pass_is_tried_again_and_what_may_not_is_not() {
    let server = Server::start(|_| Answer::status(503, &[], b""));
    let mut client = Client::new("fetch: { attempts: 3 }");
    assert!(client.fetch(&server.url("/a")).is_err());
    assert_eq!(server.asked().len(), 3);
    assert_eq!(client.count(Label::ServerError), 3);
    for status in [400, 401, 403, 404, 501] {
        let before = server.asked().len();
        server.now(move |_| Answer::status(status, &[], b""));
        let error = client.fetch(&server.url("/a")).expect_err("a refusal");
        assert_eq!(server.asked().len(), before + 1, "{status} once");
        assert!(error.retry_after() >= Duration::from_secs(60), "{status}");
    }
    // A wait that the server asks for is kept, if there is time for it.
    let begin = Instant::now();
    server.now(move |_| {
        if begin.elapsed() < Duration::from_millis(500) {
            Answer::status(429, &[("retry-after", "1")], b"")
        } else {
            Answer::ok(EMPTY)
        }
    });
    assert!(client.fetch(&server.url("/a")).is_ok());
    assert!(begin.elapsed() >= Duration::from_secs(1));
    client.settings.timeout = Duration::from_secs(2);
    server.now(|_| Answer::status(429, &[("retry-after", "600")], b""));
    let error = client.fetch(&server.url("/b")).expect_err("a refusal");
    assert_eq!(error.retry_after(), Duration::from_secs(600));
}

#[test]
fn those_who_ask_at_once_share_one_download() {
    let server = Server::start(|_| Answer::slowly(EMPTY, 1, Duration::from_millis(100)));
    let client = Client::new("");
    let url = server.url("/a");
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| assert_eq!(client.fetch(&url).expect("a module").bytes(), EMPTY));
        }
    });
    assert_eq!(server.asked().len(), 1);
}

#[test]
fn secrets_of_redirects_stay_with_their_host() {
    let other = Server::start(|_| Answer::ok(EMPTY));
    let target = other.url("/b");
    let server = Server::start(move |_| Answer::to(&target));
    let url = format!("http://user:pass@127.0.0.1:{}/a", server.port());
    assert!(Client::new("").fetch(&url).is_ok());
    let said = |server: &Server| server.asked()[0].header("authorization").map(str::to_owned);
    assert_eq!(said(&server).as_deref(), Some("Basic dXNlcjpwYXNz"));
    assert_eq!(said(&other), None);
    server.now(|_| Answer::status(403, &[], b""));
    let error = Client::new("")
        .fetch(&url)
        .expect_err("a refusal")
        .to_string();
    assert!(!error.contains("pass"), "{error}");
}

#[test]
fn memory_stays_bounded() {
    let bomb = bomb(2048);
    let server = Server::start(move |ask| match ask.path.as_str() {
        "/bomb" => Answer::ok(&bomb),
        "/promise" => Answer::ok(&promise(10 << 30)),
        _ => Answer::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![0; 1 << 16]),
    });
    let settings = tempfile::NamedTempFile::new().expect("a file");
    std::fs::write(
        settings.path(),
        "fetch: { maxModuleBytes: 8Mi, attempts: 1 }",
    )
    .expect("a file");
    for path in ["/bomb", "/promise", "/endless"] {
        // Address space, in KiB: the program itself takes some 20 MiB of it.
        let output = Command::new("sh")
            .args([
                "-c",
                "ulimit -v 200000; exec \"$0\" pull \"$1\" --config \"$2\"",
            ])
            .arg(env!("CARGO_BIN_EXE_wasmplugin"))
            .arg(server.url(path))
            .arg(settings.path())
            .output()
            .expect("a shell");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{path}: {said}");
        assert!(
            said.contains("fetch.maxModuleBytes = 8388608"),
            "{path}: {said}"
        );
    }
}

#[test]
fn requests_flow_by_fail_strategy_and_recover_by_themselves() {
    let guests = Guests::new();
    let module = std::fs::read(guests.mark()).expect("a guest");
    let server = Server::start(|_| Answer::status(500, &[], b""));
    let upstream = Upstream::echo();
    let entry = |name: &str, fail: &str| {
        let spec = format!("pluginConfig: {{ n: {name} }}\nfailStrategy: {fail}");
        format!(
            "startup: {{ wait: 1s }}\nfetch: {{ attempts: 2 }}\nplugins:\n{}",
            plugin_from(name, &server.url(&format!("/{name}")), &spec)
        )
    };
    let bootstrap = Bootstrap::new(upstream.port())
        .filter(&entry("closed", "FAIL_CLOSE"))
        .listener()
        .filter(&entry("open", "FAIL_OPEN"));
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    let [closed, open] = bootstrap.ports()[..] else {
        panic!("two listeners")
    };
    let mark = |port: u16| {
        let response = http::get(port, "/");
        let mark = response.json()["headers"]["x-mark"].clone();
        (response.status, mark.as_str().map(str::to_owned))
    };
    assert_eq!(http::get(closed, "/").status, 503);
    assert_eq!(mark(open), (200, None));
    envoy.wait_for_log("500 Internal Server Error");
    server.now(move |_| Answer::ok(&gzip(&module)));
    for (port, name) in [(closed, "closed"), (open, "open")] {
        wait_for(name, Duration::from_secs(30), || {
            let response = http::get(port, "/");
            (response.status == 200 && response.json()["headers"]["x-mark"].is_string())
                .then_some(())
        });
        let told = format!(r#"{{"n":"{name}"}}"#);
        assert_eq!(mark(port), (200, Some(told)));
    }
}
