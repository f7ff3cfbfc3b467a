//! What each layer costs on its own, without Envoy: reading resources, loading plugins, and a
//! stream's events through the chain. `make bench` runs them.
#![allow(
    clippy::expect_used,
    clippy::panic,
    missing_docs,
    reason = "a benchmark that cannot run should say so; criterion's macros write no docs"
)]

use std::fmt::Write as _;
use std::fs;
use std::hint::black_box;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use wasmplugin_host::chain::{Filter, Stream};
use wasmplugin_host::control::{Deployment, Letter, Process, Task, Threads};
use wasmplugin_host::plugin::{self, PhaseSet, Plan};
use wasmplugin_host::proxy_wasm::{
    AbiVersion, Attributes, Bodies, Callouts, Direction, Exchange, FilterState, Headers, Map,
    Metadata, Number, Text,
};
use wasmplugin_host::telemetry::{Level, Log};

/// Keeps nothing.
struct Quiet;

impl Log for Quiet {
    fn enabled(&self, _: Level) -> bool {
        false
    }

    fn threshold(&self) -> Option<Level> {
        None
    }

    fn write(&self, level: Level, line: &[u8]) {
        assert!(level < Level::Warn, "{}", String::from_utf8_lossy(line));
    }
}

/// No other threads.
struct Alone;

impl Threads for Alone {
    fn wake_main_thread(&self) {}

    fn send_to_stream(&self, _: u32, _: u64, _: Letter) {}

    fn send_to_worker(&self, _: u32, task: Task) -> Result<(), Task> {
        Err(task)
    }
}

/// A stream with headers alone.
struct Request(Vec<(&'static [u8], Vec<u8>)>);

impl Request {
    fn new() -> Self {
        let header = |(name, value): (&'static str, &str)| (name.as_bytes(), value.into());
        let headers = [
            (":method", "GET"),
            (":path", "/orders"),
            (":authority", "example.com"),
            ("x-api-key", "alice-key"),
            ("user-agent", "bench"),
            ("accept", "*/*"),
        ];
        Self(headers.into_iter().map(header).collect())
    }
}

impl Headers for Request {
    fn header(&self, _: Map, name: &[u8]) -> Option<&[u8]> {
        let found = self.0.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| value.as_slice())
    }

    fn header_count(&self, _: Map) -> usize {
        self.0.len()
    }

    fn visit_headers(&self, _: Map, visit: &mut dyn FnMut(&[u8], &[u8])) {
        self.0.iter().for_each(|(name, value)| visit(name, value));
    }

    fn add_header(&mut self, _: Map, _: &[u8], value: &[u8]) {
        self.0.push((b"x-added", value.to_vec()));
    }

    fn set_header(&mut self, map: Map, name: &[u8], value: &[u8]) {
        self.add_header(map, name, value);
    }

    fn remove_header(&mut self, _: Map, _: &[u8]) {}
}

impl Bodies for Request {
    fn body_len(&self, _: Direction) -> usize {
        0
    }

    fn read_body(&self, _: Direction, _: usize, _: &mut [u8]) {}

    fn splice_body(&mut self, _: Direction, _: usize, _: usize, _: &[u8]) {}
}

impl Attributes for Request {
    fn text(&self, _: Text) -> Option<&[u8]> {
        None
    }

    fn number(&self, _: Number) -> Option<u64> {
        None
    }

    fn mtls(&self) -> Option<bool> {
        None
    }

    fn start_time(&self) -> Option<i64> {
        None
    }

    fn duration(&self) -> Option<i64> {
        None
    }

    fn clear_route_cache(&mut self) {}
}

impl Metadata for Request {}

impl FilterState for Request {}

impl Callouts for Request {}

fn example(name: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let path = root.join(format!("examples/wasm/{name}.wasm"));
    path.to_str().expect("a UTF-8 path").to_owned()
}

/// Settings of `count` plugins that run the example api-key.
fn settings(count: usize) -> String {
    let url = example("api-key");
    let mut settings = String::from("plugins:\n");
    for i in 0..count {
        write!(
            settings,
            "- apiVersion: extensions.istio.io/v1alpha1\n  kind: WasmPlugin\n  metadata: {{ name: p{i} }}\n  \
             spec:\n    url: file://{url}\n    pluginConfig:\n      \
             keys: {{ alice-key: {{ user: alice, roles: [reader] }} }}\n"
        )
        .expect("a string takes everything");
    }
    settings
}

fn plan(settings: &str) -> Plan {
    let no_file = |_: &str| Err(io::ErrorKind::NotFound.into());
    plugin::plan(settings.as_bytes(), &no_file).expect("good settings")
}

fn process() -> Arc<Process> {
    Process::start(Arc::new(Quiet), Arc::new(Alone)).expect("a process")
}

fn loaded(process: &Arc<Process>, count: usize) -> Arc<Deployment> {
    let deployed = process.deploy(settings(count).as_bytes(), 1);
    let (deployment, _) = deployed.expect("good settings");
    assert!(
        deployment.wait(Duration::from_secs(60)),
        "the example loads"
    );
    deployment
}

fn resources(c: &mut Criterion) {
    let mut group = c.benchmark_group("resources");
    group.sample_size(20);
    let settings = settings(1000);
    group.bench_function("plan of 1000", |b| b.iter(|| plan(black_box(&settings))));
    group.finish();
}

fn loading(c: &mut Criterion) {
    let mut group = c.benchmark_group("loading");
    group.sample_size(10);
    let wasm = fs::read(example("api-key")).expect("the example is built");
    group.bench_function("find the ABI version", |b| {
        b.iter(|| AbiVersion::detect(black_box(&wasm)).expect("a plugin"));
    });
    group.bench_function("first plugin of a module", |b| {
        let fresh = || process();
        b.iter_batched(
            fresh,
            |process| loaded(&process, 1),
            BatchSize::PerIteration,
        );
    });
    let process = process();
    let _kept = loaded(&process, 2);
    group.bench_function("another plugin of the same module", |b| {
        b.iter(|| loaded(&process, 1));
    });
    group.finish();
}

fn streams(c: &mut Criterion) {
    let process = process();
    let mut group = c.benchmark_group("stream");
    for count in [0, 1, 5] {
        let deployment = loaded(&process, count);
        let filters = deployment.current().base().filters(PhaseSet::ALL);
        group.bench_function(format!("headers through {count} plugins"), |b| {
            b.iter(|| stream(&filters));
        });
    }
    group.finish();
}

/// A request and a response, headers only, from its beginning to its end.
fn stream(filters: &[Arc<dyn Filter>]) {
    let exchange = Box::new(Exchange::new(Request::new()));
    let mut stream = Stream::new(0, exchange);
    stream.meet(filters);
    stream.on_headers(Direction::Request, true);
    stream.on_headers(Direction::Response, true);
    stream.complete();
}

criterion_group!(benches, resources, loading, streams);
criterion_main!(benches);
