//! Several processes with one cacheDir, and what is left when one of them is killed.

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wasmplugin_host::source::{Digest, Origin};

use super::support::bootstrap::Bootstrap;
use super::support::envoy::Envoy;
use super::support::faulty::{Answer, Server, forward};
use super::support::guests::{Guests, plugin_from};
use super::support::images::Image;
use super::support::registry::Registry;
use super::support::upstream::Upstream;
use super::support::{NEWEST, http, wait_for};
use super::{Client, EMPTY};

/// Points of a download at which it is killed.
const KILLS: u64 = 50;

/// A module of some size: nothing but a custom section of it.
fn large(size: u32) -> Vec<u8> {
    let mut module = EMPTY.to_vec();
    module.push(0);
    let mut left = size;
    loop {
        let low = u8::try_from(left & 0x7f).expect("seven bits");
        left >>= 7;
        module.push(if left == 0 { low } else { low | 0x80 });
        if left == 0 {
            break;
        }
    }
    module.extend([1, b'x']);
    // Not compressible, so that there is something to download.
    let mut state = 1_u32;
    module.extend((2..size).map(|_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        state.to_be_bytes()[0]
    }));
    module
}

fn settings(cache: &Path, more: &str) -> String {
    format!(
        "cacheDir: {}\nfetch: {{ insecureRegistries: ['*'] }}\n{more}",
        cache.display()
    )
}

#[test]
fn two_envoys_that_start_at_once_download_once() {
    let guests = Guests::new();
    let registry = Registry::plain();
    let image = tempfile::tempdir().expect("a temporary directory");
    let module = fs::read(guests.mark()).expect("a guest");
    Image::oci(&[("plugin.wasm", &module)], "+gzip").write(image.path());
    registry.push(image.path(), "a:latest", &[]);
    let behind = registry.port();
    let front = Server::front(behind);
    front.now(move |ask| {
        if ask.path.contains("/blobs/") {
            // Long enough that both want it at the same time.
            thread::sleep(Duration::from_millis(500));
        }
        forward(behind, ask)
    });
    let cache = tempfile::tempdir().expect("a temporary directory");
    let upstream = Upstream::echo();
    // The tag makes it Always: both ask for the manifest.
    let url = format!("oci://127.0.0.1:{}/a:latest", front.port());
    let plugin = plugin_from("mark", &url, "pluginConfig: { n: 1 }");
    let settings = settings(cache.path(), &format!("plugins:\n{plugin}"));
    let bootstraps = [(); 2].map(|()| Bootstrap::new(upstream.port()).filter(&settings));
    thread::scope(|scope| {
        let starts = bootstraps.each_ref().map(|bootstrap| {
            scope.spawn(|| {
                let envoy = Envoy::start(NEWEST, &bootstrap.render());
                let echo = http::get(bootstrap.port(), "/").json();
                assert_eq!(echo["headers"]["x-mark"], r#"{"n":1}"#);
                envoy
            })
        });
        let envoys = starts.map(|start| start.join().expect("an Envoy"));
        assert_eq!(front.gets("/blobs/"), 1);
        drop(envoys);
    });
}

#[test]
fn a_kill_at_any_point_leaves_a_store_that_can_be_used() {
    let module = large(300_000);
    let served = module.clone();
    let server = Server::start(move |_| Answer::slowly(&served, 10_000, Duration::from_millis(2)));
    let cache = tempfile::tempdir().expect("a temporary directory");
    let config = tempfile::NamedTempFile::new().expect("a file");
    fs::write(config.path(), settings(cache.path(), "")).expect("a file");
    let pull = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wasmplugin"));
        command
            .args(["pull", &server.url("/a")])
            .arg("--config")
            .arg(config.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    };
    let begin = Instant::now();
    assert!(pull().status().expect("a command").success());
    let whole = begin.elapsed();
    let digest = Digest::of(&module);
    let kept = cache.path().join(format!("modules/{digest}.wasm"));
    let client = Client::new(&settings(cache.path(), ""));
    let mut unfinished = 0;
    for number in 0..KILLS {
        // Now and then a store that has it already.
        if number % 5 > 0 {
            // It may be that not even the directory was made.
            drop(fs::remove_dir_all(cache.path()));
        }
        let mut child = pull().spawn().expect("a command");
        // Spread over the download and what follows, off a regular grid.
        let at = whole.mul_f64((number as f64 * 0.618_034).fract() * 1.1);
        thread::sleep(at);
        drop(child.kill());
        drop(child.wait());
        match fs::read(&kept) {
            Ok(bytes) => assert_eq!(Digest::of(&bytes), digest, "{number}: whole or not at all"),
            Err(_) => unfinished += 1,
        }
    }
    assert!(
        unfinished > KILLS / 4,
        "{unfinished} kills came before the end"
    );
    let fetched = client.fetch(&server.url("/a")).expect("a module");
    assert_eq!(fetched.bytes(), module);
    let asked = server.asked().len();
    let again = Client::new(&settings(cache.path(), ""));
    let again = again.fetch(&server.url("/a")).expect("a module");
    assert!(matches!(again.origin(), Origin::Store));
    assert_eq!(server.asked().len(), asked, "the store has it");
    assert_eq!(client.lines.take().len(), 0);
}

#[test]
fn an_envoy_that_is_killed_while_it_downloads_leaves_it_to_the_next() {
    let guests = Guests::new();
    let module = fs::read(guests.mark()).expect("a guest");
    let first = AtomicBool::new(true);
    let server = Server::start(move |_| {
        if first.swap(false, Ordering::SeqCst) {
            // Never through: it ends with the one who asked.
            Answer::slowly(&vec![0; 1 << 20], 1, Duration::from_millis(50))
        } else {
            Answer::ok(&module)
        }
    });
    let cache = tempfile::tempdir().expect("a temporary directory");
    let upstream = Upstream::echo();
    let plugin = plugin_from("mark", &server.url("/a"), "pluginConfig: { n: 1 }");
    let start = |wait: &str| {
        let more = format!("startup: {{ wait: {wait} }}\nplugins:\n{plugin}");
        let bootstrap = Bootstrap::new(upstream.port()).filter(&settings(cache.path(), &more));
        (bootstrap.port(), Envoy::start(NEWEST, &bootstrap.render()))
    };
    let (port, killed) = start("0s");
    wait_for("a download", Duration::from_secs(10), || {
        (server.asked().len() == 1).then_some(())
    });
    assert_eq!(http::get(port, "/").status, 503);
    let (port, _envoy) = thread::scope(|scope| {
        // An Envoy ends with the thread that started it: so this one starts them both.
        scope.spawn(|| drop(killed));
        start("60s")
    });
    assert_eq!(
        http::get(port, "/").json()["headers"]["x-mark"],
        r#"{"n":1}"#
    );
    assert_eq!(server.asked().len(), 2);
}

#[test]
fn a_full_disk_costs_one_warning() {
    let module = large(300_000);
    let server = Server::start(move |_| Answer::ok(&module));
    let cache = tempfile::tempdir().expect("a temporary directory");
    let config = tempfile::NamedTempFile::new().expect("a file");
    fs::write(config.path(), settings(cache.path(), "")).expect("a file");
    // No file may have more than 100 KiB: to write more fails as on a disk that is full.
    let output = Command::new("sh")
        .args([
            "-c",
            "trap '' XFSZ; ulimit -f 200; exec \"$0\" pull \"$1\" --config \"$2\"",
        ])
        .arg(env!("CARGO_BIN_EXE_wasmplugin"))
        .arg(server.url("/a"))
        .arg(config.path())
        .output()
        .expect("a shell");
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(said.matches("warning: cacheDir").count(), 1, "{said}");
    let left = fs::read_dir(cache.path().join("modules")).expect("a directory");
    assert_eq!(left.count(), 0, "nothing half is left");
}

#[test]
fn what_was_changed_in_the_store_is_fetched_again() {
    let server = Server::start(|_| Answer::ok(EMPTY));
    let cache = tempfile::tempdir().expect("a temporary directory");
    let client = Client::new(&settings(cache.path(), ""));
    let url = server.url("/a");
    drop(client.fetch(&url).expect("a module"));
    let kept = cache
        .path()
        .join(format!("modules/{}.wasm", Digest::of(EMPTY)));
    fs::write(&kept, b"something else").expect("a file");
    assert_eq!(client.fetch(&url).expect("a module").bytes(), EMPTY);
    assert_eq!(server.asked().len(), 2);
    assert_eq!(fs::read(&kept).expect("a file"), EMPTY);
    let lines = client.lines.take();
    assert!(
        lines.len() == 1 && lines[0].1.contains("corrupt"),
        "{lines:?}"
    );
}

#[test]
fn a_module_is_downloaded_again_only_if_its_server_has_another_one() {
    let cache = tempfile::tempdir().expect("a temporary directory");
    let other = [EMPTY, b"\0\x02\x01x"].concat();
    let tag = |tag: &str, body: &[u8]| Answer::status(200, &[("etag", tag)], body);
    let date = ("last-modified", "Wed, 21 Oct 2015 07:28:00 GMT");
    let server = Server::start(move |ask| match ask.path.as_str() {
        "/latest" => Answer::to("/v1"),
        _ if ask.header("if-none-match") == Some("\"1\"") => Answer::status(304, &[], b""),
        _ if ask.header("if-modified-since") == Some(date.1) => Answer::status(304, &[], b""),
        "/dated" => Answer::status(200, &[date], EMPTY),
        "/plain" => Answer::ok(EMPTY),
        _ => tag("\"1\"", EMPTY),
    });
    for path in ["/tagged", "/dated", "/latest", "/plain"] {
        for run in 0..3 {
            // As if the proxy had been restarted.
            let fetched = Client::new(&settings(cache.path(), "")).always(&server.url(path));
            let fetched = fetched.unwrap_or_else(|error| panic!("{path}: {error}"));
            assert_eq!(fetched.bytes(), EMPTY, "{path}");
            let is_known = matches!(fetched.origin(), Origin::Store);
            assert_eq!(is_known, run > 0 && path != "/plain", "{path}, {run}");
        }
    }
    // What a tag says holds for its URL alone, wherever a redirect led to.
    server.now(move |ask| match ask.path.as_str() {
        "/latest" => Answer::to("/v2"),
        _ if ask.header("if-none-match").is_some() => Answer::status(304, &[], b""),
        _ => tag("\"1\"", &other),
    });
    let client = Client::new(&settings(cache.path(), ""));
    assert_eq!(
        client
            .always(&server.url("/tagged"))
            .expect("a module")
            .bytes(),
        EMPTY
    );
    assert_ne!(
        client
            .always(&server.url("/latest"))
            .expect("a module")
            .bytes(),
        EMPTY
    );
    // A store that has lost the module asks for all of it.
    fs::remove_dir_all(cache.path().join("modules")).expect("modules");
    let client = Client::new(&settings(cache.path(), ""));
    assert_ne!(
        client
            .always(&server.url("/tagged"))
            .expect("a module")
            .bytes(),
        EMPTY
    );
}
