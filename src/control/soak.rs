//! A hundred thousand streams through a real guest, which end in every way there is: nothing of them
//! stays.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::chain::tests::host::{Host, Trace};
use crate::chain::{Context, Effect, Filter, Lent, Outage, Stream};
use crate::proxy_wasm::{
    Address, Call, CallEvent, Capabilities, Caps, Direction, Event, Exchange, Failure, Instance,
    Limits, Map, Metrics, Plugin, Response, Runtime, SharedData, SharedQueues,
};
use crate::telemetry::{Level, Log};
use crate::vm::{Engine, InstanceLimits};

const STREAMS: usize = 100_000;

/// Until the guest's allocator has what it needs.
const WARM_UP: usize = 2_000;

/// Keeps per-stream state in Rust's collections, and does what a header says.
const GUEST: &str = "tests/guests/wasm/probe-0_2_1.wasm";

const PROGRAM: &str = r#"
mute: context_create request_headers request_body response_headers response_body log done delete http_call_response
request_headers: quiet get 0 "x-kind"; set kind $out
  if $kind == "pause" { ret 1 }
  if $kind == "reply" { quiet reply 403 "no" "denied" {x-a=b} -1 }
  if $kind == "close" { quiet close_stream 0 }
  if $kind == "call" { quiet http_call "c" {":method"=GET, ":path"="/", ":authority"=a} "" "" 1000; set s $0; ret 1 }
  if $kind == "send" { quiet http_call "c" {":method"=GET, ":path"="/", ":authority"=a} "" "" 1000 }
request_body: quiet setbuf 0 0 0 "more"; ret 1
response_headers: quiet add 2 "x-b" "c"; if $kind == "late" { quiet http_call "c" {":method"=GET, ":path"="/", ":authority"=a} "" "" 1000; set s $0; ret 1 }
http_call_response: quiet effective $s; quiet resume 0; quiet resume 1
log: if $kind == "log" { quiet http_call "c" {":method"=GET, ":path"="/", ":authority"=a} "" "" 1000 }
"#;

const KINDS: [&str; 8] = [
    "pass", "pause", "reply", "close", "call", "send", "late", "log",
];

#[test]
fn nothing_stays_of_streams_that_ended() {
    let plugin = Arc::new(Guest::start());
    let mut before = None;
    for number in 0..STREAMS {
        if number == WARM_UP {
            before = Some(plugin.instance.lock().holdings());
        }
        let (kind, way) = (KINDS[number % KINDS.len()], number / KINDS.len() % 4);
        run(&plugin, kind, way);
        if number % 16 == 15 {
            plugin.answer_all();
        }
    }
    let after = plugin.instance.lock().holdings();
    assert_eq!(Some(after), before);
    assert_eq!((after.streams, after.calls), (0, 0));
}

/// A stream of `kind`, which ends in one of four ways.
fn run(plugin: &Arc<Guest>, kind: &str, way: usize) {
    let mut exchange: Box<Exchange> = Box::new(Exchange::new(Host::new(Trace::default())));
    let host = exchange.host_mut();
    host.add_header(Map::RequestHeaders, b":path", b"/");
    host.add_header(Map::RequestHeaders, b"x-kind", kind.as_bytes());
    let plugin = Arc::clone(plugin) as Arc<dyn Filter>;
    let mut stream = Stream::new(0, exchange);
    stream.meet(Arc::new([plugin]));
    // Gone while paused, while the body is held, with a call open, or whole.
    let goes_on = stream.on_headers(Direction::Request, way == 0);
    if way == 1 && goes_on {
        let host = stream.exchange().unwrap().host_mut();
        host.splice_body(Direction::Request, 0, 0, b"body");
        stream.on_body(Direction::Request, false);
    }
    if way >= 2 {
        let calls = stream.exchange().unwrap().calls.clone();
        for call in calls {
            stream.on_call(call.id, answer());
        }
    }
    if way == 3 && !has_ended(&mut stream) {
        let host = stream.exchange().unwrap().host_mut();
        host.add_header(Map::ResponseHeaders, b":status", b"200");
        stream.on_headers(Direction::Response, true);
    }
    stream.complete();
}

fn has_ended(stream: &mut Stream) -> bool {
    let effects = std::iter::from_fn(|| stream.next_effect());
    effects
        .filter(|effect| matches!(effect, Effect::Reply(_) | Effect::Reset { .. }))
        .count()
        > 0
}

fn answer() -> CallEvent {
    CallEvent::Response(Response {
        headers: vec![(b":status".to_vec(), b"200".to_vec())],
        ..Response::default()
    })
}

/// An instance, as a plugin.
struct Guest {
    instance: Mutex<Instance>,
    /// Calls that no stream carries.
    elsewhere: Mutex<Vec<u32>>,
}

impl Guest {
    fn start() -> Self {
        let engine = Arc::new(Engine::new().unwrap());
        let wasm = std::fs::read(GUEST).unwrap();
        let module = engine.compile(&wasm).unwrap();
        let guest = Runtime::new(&engine)
            .unwrap()
            .plugin(&wasm, &module, &Capabilities::ALL)
            .unwrap();
        let plugin = Plugin {
            name: "default.soak".to_owned(),
            root_id: String::new(),
            vm_id: String::new(),
            config: PROGRAM.into(),
            vm_config: Vec::new(),
            env: Vec::new(),
            log: Arc::new(Errors),
            shared_data: SharedData::default().space(""),
            shared_queues: Arc::new(SharedQueues::default()),
            metrics: Metrics::default().of("default.soak"),
            limits: Limits::default(),
        };
        let caps = Caps {
            call_deadline: Duration::from_secs(60),
            start_deadline: Duration::from_secs(60),
            limits: InstanceLimits {
                memory: 64 << 20,
                table_elements: 10_000,
            },
        };
        let address = Address::default();
        let instance = Instance::start(&engine, &guest, Arc::new(plugin), address, &caps).unwrap();
        Self {
            instance: Mutex::new(instance),
            elsewhere: Mutex::default(),
        }
    }

    fn within<T>(&self, work: impl FnOnce(&mut Instance) -> Result<T, Failure>) -> T {
        let mut instance = self.instance.lock();
        let result = work(&mut instance).unwrap();
        if let Some(outbox) = instance.take_outbox() {
            let calls = outbox.calls.into_iter();
            self.elsewhere.lock().extend(calls.map(|(token, _)| token));
        }
        result
    }

    /// Answers the calls that no stream carries.
    fn answer_all(&self) {
        for token in std::mem::take(&mut *self.elsewhere.lock()) {
            self.within(|instance| instance.on_call(token, answer(), 0, &mut None, &mut None));
        }
    }
}

impl Filter for Guest {
    fn open(&self, worker: u32, exchange: &mut Lent) -> Result<Context, Outage> {
        let id = self.within(|instance| instance.create_stream(exchange));
        Ok(Context {
            worker,
            instance: 0,
            id,
        })
    }

    fn on_event(
        &self,
        context: &Context,
        event: &Event,
        exchange: &mut Lent,
    ) -> Result<u32, Outage> {
        Ok(self.within(|instance| instance.on_event(context.id, event, exchange)))
    }

    fn wants(&self, _: &Event) -> bool {
        true
    }

    fn outage(&self) -> Outage {
        Outage::Skip
    }

    fn on_call(
        &self,
        context: &Context,
        token: u32,
        event: CallEvent,
        exchange: &mut Lent,
    ) -> Result<(), Outage> {
        self.within(|instance| instance.on_call(token, event, context.id, exchange, &mut None));
        Ok(())
    }

    fn call_elsewhere(&self, _: &Context, token: u32, _: Call) {
        self.elsewhere.lock().push(token);
    }

    fn log(&self, context: &Context, exchange: &mut Lent) {
        self.within(|instance| instance.log_stream(context.id, exchange));
    }

    fn delete(&self, context: &Context, exchange: &mut Lent) {
        self.within(|instance| instance.delete_stream(context.id, exchange));
    }
}

/// A guest that does not understand its program says so here.
struct Errors;

impl Log for Errors {
    fn enabled(&self, _: Level) -> bool {
        true
    }

    fn threshold(&self) -> Option<Level> {
        None
    }

    fn write(&self, _: Level, line: &[u8]) {
        let line = String::from_utf8_lossy(line);
        assert!(!line.contains("program error"), "{line}");
    }
}
