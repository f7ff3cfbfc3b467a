//! Streams that end in every way there is, through a real guest in a real Envoy: nothing of them
//! stays.
//!
//! `SOAK_STREAMS` says how many; the usual number is for CI, 100,000 for a release.

use std::env;
use std::fs;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use crate::support::bootstrap::{Bootstrap, indent};
use crate::support::envoy::{Envoy, Launch, complaints};
use crate::support::{NEWEST, module, wait_for};

const STREAMS: usize = 5_000;

const CLIENTS: usize = 8;

/// How long a client waits for an answer that may never come.
const PATIENCE: Duration = Duration::from_millis(40);

const LIMIT: Duration = Duration::from_secs(60);

const WORKERS: u32 = 2;

/// Does what a header says, of which each stream has one.
const PROGRAM: &str = r#"mute: context_create request_headers request_body response_headers response_body log done delete http_call_response
request_headers: quiet get 0 "x-kind"; set kind $out
  if $kind == "pause" { ret 1 }
  if $kind == "reply" { quiet reply 403 "no" "denied" {x-a=b} -1 }
  if $kind == "close" { quiet close_stream 0 }
  if $kind == "call" { quiet http_call "callouts" {":method"=GET, ":path"="/", ":authority"=a} "" "" 1000; set s $0; ret 1 }
  if $kind == "slow" { quiet http_call "callouts" {":method"=GET, ":path"="/hang", ":authority"=a} "" "" 20; set s $0; ret 1 }
  if $kind == "lost" { quiet http_call "callouts" {":method"=GET, ":path"="/break", ":authority"=a} "" "" 1000; set s $0; ret 1 }
  if $kind == "send" { quiet http_call "callouts" {":method"=GET, ":path"="/hang", ":authority"=a} "" "" 20 }
request_body: quiet setbuf 0 0 100 "more"; ret 1
response_headers: quiet add 2 "x-b" "c"; if $kind == "late" { ret 1 }
http_call_response: quiet effective $s; quiet resume 0
log: if $kind == "log" { quiet http_call "callouts" {":method"=GET, ":path"="/", ":authority"=a} "" "" 1000 }
"#;

const KINDS: [&str; 10] = [
    "pass", "pause", "reply", "close", "call", "slow", "lost", "send", "late", "log",
];

/// What the upstream does, and what the client.
const PATHS: [&str; 3] = ["/", "/hang", "/break"];

#[derive(Clone, Copy)]
enum Client {
    /// Waits for the answer, but not for ever.
    Waits,
    /// Is gone at once.
    Leaves,
    /// Is gone in the middle of the body.
    Breaks,
}

#[test]
fn nothing_stays_of_streams_that_ended() {
    let streams = match env::var("SOAK_STREAMS") {
        Ok(number) => number.parse().expect("SOAK_STREAMS: a number"),
        Err(_) => STREAMS,
    };
    let upstream = upstream();
    let directory = tempfile::tempdir().expect("a directory");
    let resource = directory.path().join("plugins.yaml");
    fs::write(&resource, plugin(directory.path())).expect("a file");
    // A busy machine must not look like a bad plugin.
    let settings = format!(
        "limits: {{ callDeadline: 20s }}\npluginsDir: {}",
        directory.path().display()
    );
    let bootstrap = Bootstrap::new(upstream).filter(&settings);
    let launch = Launch::new(NEWEST).concurrency(WORKERS);
    let envoy = launch.start(&bootstrap.render());

    run(bootstrap.port(), streams / 5);
    let before = quiet(&envoy);
    run(bootstrap.port(), streams);
    let after = quiet(&envoy);
    assert_eq!(after, before, "bytes of guests' memory");

    fs::remove_file(&resource).expect("to remove");
    for worker in 0..WORKERS {
        let stops = format!("plugin default/ends: worker {worker} stops: held ");
        let line = envoy.wait_for_log(&stops);
        assert!(line.contains("held 0 streams, 0 calls, "), "{line}");
    }
    let instances = "wasmplugin.plugin_instances.plugin.default.ends";
    wait_for("the end of the instances", LIMIT, || {
        (envoy.stat(instances) == 0).then_some(())
    });
    assert_eq!(complaints(&envoy.log()), [""; 0]);
}

/// The resource, with the module beside it.
fn plugin(directory: &Path) -> String {
    let path = directory.join("ends.wasm");
    fs::write(&path, module::guest("probe-0_2_1")).expect("a module");
    format!(
        "apiVersion: extensions.istio.io/v1alpha1\nkind: WasmPlugin\nmetadata:\n  name: ends\n  \
         namespace: default\n  annotations:\n    wasmplugin.io/raw-plugin-config: |\n{}\n\
         spec:\n  url: file://{}\n",
        indent(PROGRAM, 6),
        path.display()
    )
}

/// The memory of all instances, once no call is under way.
fn quiet(envoy: &Envoy) -> u64 {
    for cluster in ["upstream", "callouts"] {
        let active = format!("cluster.{cluster}.upstream_rq_active");
        wait_for("calls to end", LIMIT, || {
            (envoy.stat(&active) == 0).then_some(())
        });
    }
    let memory = "wasmplugin.plugin_memory_bytes.plugin.default.ends";
    // Metrics reach Envoy now and then.
    let mut last = 0;
    wait_for("a metric that stands", LIMIT, || {
        thread::sleep(Duration::from_millis(500));
        let now = envoy.stat(memory);
        (std::mem::replace(&mut last, now) == now && now > 0).then_some(now)
    })
}

fn run(port: u16, streams: usize) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut connection = None;
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= streams {
                        break;
                    }
                    // An error is an end like any other.
                    connection = request(port, number, connection.take()).unwrap_or(None);
                }
            });
        }
    });
}

/// One stream; its connection, if that lives on.
fn request(
    port: u16,
    number: usize,
    connection: Option<TcpStream>,
) -> io::Result<Option<TcpStream>> {
    let kind = KINDS[number % KINDS.len()];
    let path = PATHS[number / KINDS.len() % PATHS.len()];
    let client = match number / KINDS.len() / PATHS.len() % 3 {
        0 => Client::Waits,
        1 => Client::Leaves,
        _ => Client::Breaks,
    };
    let mut stream = match connection {
        Some(stream) => stream,
        None => TcpStream::connect((Ipv4Addr::LOCALHOST, port))?,
    };
    stream.set_read_timeout(Some(PATIENCE))?;
    let head = format!("POST {path} HTTP/1.1\r\nhost: a\r\nx-kind: {kind}\r\n");
    match client {
        Client::Breaks => write!(stream, "{head}content-length: 8\r\n\r\nbody")?,
        _ => write!(stream, "{head}content-length: 4\r\n\r\nbody")?,
    }
    if !matches!(client, Client::Waits) {
        return Ok(None);
    }
    let mut reader = BufReader::new(stream);
    let headers = head_of(&mut reader)?;
    let length = headers.iter().find_map(|line| {
        let value = line.strip_prefix("content-length: ")?;
        value.parse::<u64>().ok()
    });
    let Some(length) = length else {
        return Ok(None);
    };
    io::copy(&mut reader.by_ref().take(length), &mut io::sink())?;
    let closes = headers.iter().any(|line| line == "connection: close");
    Ok((!closes).then(|| reader.into_inner()))
}

/// Lines up to the first empty one.
fn head_of(reader: &mut impl BufRead) -> io::Result<Vec<String>> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let line = line.trim_end();
        if line.is_empty() {
            return Ok(lines);
        }
        lines.push(line.to_ascii_lowercase());
    }
}

/// Answers, hangs or breaks, as the path says; its port.
fn upstream() -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            // An error is the peer's end of the connection.
            thread::spawn(move || drop(serve(stream)));
        }
    });
    port
}

fn serve(stream: TcpStream) -> io::Result<()> {
    let mut reader = BufReader::new(stream);
    loop {
        let head = head_of(&mut reader)?;
        let path = head.first().and_then(|line| line.split(' ').nth(1));
        match path {
            Some("/hang") => {
                io::copy(&mut reader, &mut io::sink())?;
                return Ok(());
            }
            Some("/break") => return Ok(()),
            _ => {}
        }
        let length = head
            .iter()
            .find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
        io::copy(
            &mut reader.by_ref().take(length.unwrap_or(0)),
            &mut io::sink(),
        )?;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        reader.get_mut().write_all(answer)?;
    }
}
