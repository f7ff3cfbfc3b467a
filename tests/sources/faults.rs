//! What goes wrong on the way: each fault has its text and its label, and none costs memory.

use std::net::TcpListener;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use wasmplugin_host::source::Label;

use super::fault::{
    bomb, faults_of_a_registry, faults_of_a_server, faulty, faulty_front, good, promise,
};
use super::support::faulty::{Answer, Server};
use super::support::free_port;
use super::support::images::Image;
use super::support::registry::{Registry, certificate};
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

#[test]
fn every_fault_of_a_server_has_its_text_and_label() {
    let faults = faults_of_a_server();
    let server = faulty(&faults);
    let client = Client::impatient();
    for (name, _, label, words) in &faults {
        refused(&client, &server.url(&format!("/{name}")), *label, words);
    }
    assert_eq!(client.lines.take().len(), 0);
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
    registry.push(image.path(), "good:1", &["--preserve-digests"]);
    let faults = faults_of_a_registry();
    let front = faulty_front(&registry, &faults);
    let url = |name: &str| format!("oci://127.0.0.1:{}/{name}:1", front.port());
    for fault in &faults {
        refused(
            &Client::impatient(),
            &url(fault.name),
            fault.label,
            fault.words,
        );
    }
    let behind = registry.port();
    front.now(move |ask| good(behind, ask));
    for fault in &faults {
        assert!(Client::impatient().fetch(&url(fault.name)).is_ok());
    }
    let plain = Client::new("fetch: { attempts: 1 }");
    refused(
        &plain,
        &url("good"),
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
    let dates = [
        ("date", "Wed, 21 Oct 2015 07:20:00 GMT"),
        ("retry-after", "Wed, 21 Oct 2015 07:30:00 GMT"),
    ];
    server.now(move |_| Answer::status(503, &dates, b""));
    let error = client.fetch(&server.url("/c")).expect_err("a refusal");
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
