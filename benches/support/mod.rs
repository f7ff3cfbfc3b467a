//! What the benchmarks of the layers share: a process without Envoy, a request that costs nothing
//! itself, and plugins to run.
#![allow(dead_code, reason = "each benchmark uses a part")]

pub(crate) mod guests;

use std::any::Any;
use std::cell::RefCell;
use std::fmt::Write as _;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use wasmplugin_host::chain::{Context, Filter, Lent, Outage, Stream};
use wasmplugin_host::control::{Deployment, Filters, Letter, Process, Task, Threads};
use wasmplugin_host::plugin::route::Changes;
use wasmplugin_host::plugin::{self, PhaseSet, Plan};
use wasmplugin_host::proxy_wasm::{
    Attributes, Bodies, Callouts, Direction, Event, Exchange, FilterState, Headers, Map, Metadata,
    Number, Text,
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

/// A stream that always looks the same: changes are counted, and not kept. So it neither allocates
/// nor grows while it is used over and over.
#[derive(Default)]
pub(crate) struct Request {
    changes: usize,
    body: &'static [u8],
}

const HEADERS: [(&[u8], &[u8]); 10] = [
    (b":method", b"GET"),
    (b":path", b"/orders/4711?expand=lines"),
    (b":authority", b"shop.example.com"),
    (b":scheme", b"https"),
    (b"user-agent", b"Mozilla/5.0 (X11; Linux x86_64) bench/1.0"),
    (b"accept", b"application/json"),
    (b"accept-encoding", b"gzip, deflate, br"),
    (b"accept-language", b"en-US,en;q=0.5"),
    (b"x-api-key", b"alice-key"),
    (b"cache-control", b"no-cache"),
];

impl Request {
    /// One whose response has this body.
    pub(crate) const fn with_body(body: &'static [u8]) -> Self {
        Self { changes: 0, body }
    }
}

impl Headers for Request {
    fn header(&self, _: Map, name: &[u8]) -> Option<&[u8]> {
        let found = HEADERS.iter().find(|(key, _)| *key == name);
        found.map(|(_, value)| *value)
    }

    fn header_count(&self, _: Map) -> usize {
        HEADERS.len()
    }

    fn visit_headers(&self, _: Map, visit: &mut dyn FnMut(&[u8], &[u8])) {
        HEADERS.iter().for_each(|(name, value)| visit(name, value));
    }

    fn add_header(&mut self, _: Map, _: &[u8], _: &[u8]) {
        self.changes += 1;
    }

    fn set_header(&mut self, _: Map, _: &[u8], _: &[u8]) {
        self.changes += 1;
    }

    fn remove_header(&mut self, _: Map, _: &[u8]) {
        self.changes += 1;
    }
}

impl Bodies for Request {
    fn body_len(&self, direction: Direction) -> usize {
        match direction {
            Direction::Request => 0,
            Direction::Response => self.body.len(),
        }
    }

    fn read_body(&self, _: Direction, start: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.body[start..start + out.len()]);
    }

    fn splice_body(&mut self, _: Direction, _: usize, _: usize, _: &[u8]) {
        self.changes += 1;
    }
}

impl Attributes for Request {
    fn text(&self, _: Text) -> Option<&[u8]> {
        Some(b"/orders/4711?expand=lines")
    }

    fn number(&self, _: Number) -> Option<u64> {
        Some(443)
    }

    fn mtls(&self) -> Option<bool> {
        None
    }

    fn start_time(&self) -> Option<i64> {
        Some(1_700_000_000_000_000_000)
    }

    fn duration(&self) -> Option<i64> {
        None
    }

    fn clear_route_cache(&mut self) {}
}

impl Metadata for Request {}

impl FilterState for Request {}

impl Callouts for Request {}

/// A filter that lets everything pass.
pub(crate) struct Passing;

impl Filter for Passing {
    fn open(&self, worker: u32, _: &mut Lent) -> Result<Context, Outage> {
        Ok(Context {
            worker,
            instance: 1,
            id: 1,
        })
    }

    fn on_event(&self, _: &Context, _: &Event, _: &mut Lent) -> Result<u32, Outage> {
        Ok(0)
    }

    fn wants(&self, _: &Event) -> bool {
        true
    }

    fn outage(&self) -> Outage {
        Outage::Skip
    }

    fn log(&self, _: &Context, _: &mut Lent) {}

    fn delete(&self, _: &Context, _: &mut Lent) {}
}

/// A module in the repository.
pub(crate) fn module(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// Settings of `count` plugins that run `module` with `config`, a line of YAML.
pub(crate) fn settings(count: usize, module: &Path, config: &str) -> String {
    let url = module.display();
    let mut settings = String::from("startup: { wait: 300s }\nplugins:\n");
    for i in 0..count {
        write!(
            settings,
            "- apiVersion: extensions.istio.io/v1alpha1\n  kind: WasmPlugin\n  metadata: {{ name: p{i} }}\n  \
             spec:\n    url: file://{url}\n    pluginConfig: {config}\n"
        )
        .expect("a string takes everything");
    }
    settings
}

/// The guest of the side-by-side benchmark, doing `work`.
pub(crate) fn bench_settings(count: usize, work: &str) -> String {
    let module = module("benches/wasm/guest.wasm");
    settings(count, &module, &format!("{{ work: {work} }}"))
}

/// The plan that settings come to.
pub(crate) fn plan(settings: &str) -> Plan {
    let no_file = |_: &str| Err(io::ErrorKind::NotFound.into());
    plugin::plan(settings.as_bytes(), &no_file).expect("good settings")
}

pub(crate) fn process() -> Arc<Process> {
    Process::start(Arc::new(Quiet), Arc::new(Alone)).expect("a process")
}

/// The plugins of `settings`, ready.
pub(crate) fn loaded(process: &Arc<Process>, settings: &str) -> Arc<Deployment> {
    let deployed = process.deploy(settings.as_bytes(), 1);
    let (deployment, _) = deployed.expect("good settings");
    let is_loaded = deployment.wait(Duration::from_secs(300));
    assert!(is_loaded, "the guests load");
    deployment
}

/// Routes with a say of their own, which change what a deployment runs.
pub(crate) struct Routes<'a> {
    process: &'a Arc<Process>,
    deployment: &'a Deployment,
}

impl<'a> Routes<'a> {
    pub(crate) const fn new(process: &'a Arc<Process>, deployment: &'a Deployment) -> Self {
        Self {
            process,
            deployment,
        }
    }

    pub(crate) fn add(&self) -> u64 {
        self.process.add_route(Changes::default())
    }

    /// Until the generation is another one.
    pub(crate) fn remove(&self, route: u64) {
        let before = self.deployment.current().number();
        self.process.remove_route(route);
        while self.deployment.current().number() == before {
            thread::yield_now();
        }
    }
}

/// The filters of a deployment, in order.
pub(crate) fn filters(deployment: &Deployment) -> Filters {
    deployment.current().base().filters(PhaseSet::ALL)
}

/// A request and a response, headers only, from its beginning to its end.
pub(crate) fn stream(filters: &Filters) {
    with_stream(filters, Request::default(), |stream| {
        stream.on_headers(Direction::Request, true);
        stream.on_headers(Direction::Response, true);
    });
}

/// The same, with a response that has a body.
pub(crate) fn stream_with_body(filters: &Filters, body: &'static [u8]) {
    with_stream(filters, Request::with_body(body), |stream| {
        stream.on_headers(Direction::Request, true);
        stream.on_headers(Direction::Response, false);
        stream.on_body(Direction::Response, true);
    });
}

/// Runs a stream, in the place of the last one as the Envoy binding does it.
fn with_stream(filters: &Filters, request: Request, events: impl FnOnce(&mut Stream)) {
    thread_local! {
        static IDLE: RefCell<Option<Stream>> = const { RefCell::new(None) };
    }
    let mut stream = IDLE.take().unwrap_or_else(|| {
        let exchange = Box::new(Exchange::new(Request::default()));
        Stream::new(0, exchange)
    });
    assert!(stream.renew(0), "the exchange is back");
    let exchange = stream.exchange().expect("the exchange is back");
    let host: &mut dyn Any = exchange.host_mut();
    *host.downcast_mut().expect("a request") = request;
    stream.meet(Arc::clone(filters));
    events(&mut stream);
    stream.complete();
    stream.empty();
    IDLE.set(Some(stream));
}
