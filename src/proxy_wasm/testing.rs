//! For unit tests: a stream over tables, and hostcalls without a guest that makes them.
//!
//! [`Stream`] is a [`Host`](super::host::Host) whose every answer is put in beforehand and whose
//! every change can be looked at. [`Bench`] runs a closure where a guest would call a hostcall: with
//! real guest memory and a real allocator, so that what is tested is the hostcall itself.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;
use wasmtime::{Caller, Linker, Module, Store, TypedFunc};

use super::abi::Map;
use super::call::{Callouts, Fields};
use super::exchange::{Exchange, Maps};
use super::host::{
    Attributes, Bodies, Datum, Direction, FilterState, Headers, Metadata, Number, Source, Span,
    Text,
};
use super::hostcalls;
use super::limits::Limits;
use super::memory::Guest;
use super::metrics::Metrics;
use super::queue::SharedQueues;
use super::shared_data::SharedData;
use super::state::{Address, Plugin, State};
use super::status::{Hostcall, Status, answer};
use crate::telemetry::{Lines, Log};
use crate::vm::{Engine, InstanceLimits, Limiter};

/// Where metadata is.
pub(super) type Key = (Source, &'static str, &'static str);

/// The proxy's side of a stream. Whatever is not in it is absent.
#[derive(Default)]
pub(super) struct Stream {
    pub(super) maps: HashMap<Map, Fields>,
    pub(super) bodies: [Vec<u8>; 2],
    pub(super) texts: Vec<(Text, &'static str)>,
    pub(super) numbers: Vec<(Number, u64)>,
    pub(super) mtls: Option<bool>,
    pub(super) start_time: Option<i64>,
    pub(super) duration: Option<i64>,
    pub(super) backend_latency: Option<i64>,
    pub(super) cluster_hosts: Option<u64>,
    pub(super) metadata: Vec<(Key, Datum<'static>)>,
    pub(super) typed_metadata: Vec<(Source, &'static str, &'static [u8])>,
    pub(super) filter_state: BTreeMap<Vec<u8>, (Vec<u8>, Span)>,
    /// Objects that can be made, and the one value that they do not take.
    pub(super) objects: Vec<(&'static str, &'static str)>,
    /// How often the route was picked anew.
    pub(super) route_changes: u32,
}

impl Stream {
    /// With these headers.
    pub(super) fn with_headers(mut self, map: Map, headers: &[(&str, &str)]) -> Self {
        let header =
            |(name, value): &(&str, &str)| (name.as_bytes().into(), value.as_bytes().into());
        self.maps.insert(map, headers.iter().map(header).collect());
        self
    }

    /// The stream, to be lent to plugins; every map that is there can be read and written.
    pub(super) fn exchange(self) -> Box<Exchange> {
        let maps = self
            .maps
            .keys()
            .fold(Maps::NONE, |maps, map| maps.with(*map));
        let mut exchange = Exchange::new(self);
        exchange.view.readable = maps;
        exchange.view.writable = maps;
        Box::new(exchange)
    }
}

impl Headers for Stream {
    fn header(&self, map: Map, name: &[u8]) -> Option<&[u8]> {
        let mut headers = self.maps.get(&map)?.iter();
        let found = headers.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_slice())
    }

    fn header_count(&self, map: Map) -> usize {
        self.maps.get(&map).map_or(0, Vec::len)
    }

    fn visit_headers(&self, map: Map, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in self.maps.get(&map).into_iter().flatten() {
            visit(name, value);
        }
    }

    fn add_header(&mut self, map: Map, name: &[u8], value: &[u8]) {
        let headers = self.maps.entry(map).or_default();
        headers.push((name.to_ascii_lowercase(), value.to_vec()));
    }

    fn set_header(&mut self, map: Map, name: &[u8], value: &[u8]) {
        self.remove_header(map, name);
        self.add_header(map, name, value);
    }

    fn remove_header(&mut self, map: Map, name: &[u8]) {
        let headers = self.maps.entry(map).or_default();
        headers.retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }
}

impl Bodies for Stream {
    fn body_len(&self, direction: Direction) -> usize {
        self.bodies[direction as usize].len()
    }

    fn read_body(&self, direction: Direction, start: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.bodies[direction as usize][start..start + out.len()]);
    }

    fn splice_body(&mut self, direction: Direction, start: usize, remove: usize, insert: &[u8]) {
        let body = &mut self.bodies[direction as usize];
        drop(body.splice(start..start + remove, insert.iter().copied()));
    }
}

impl Attributes for Stream {
    fn text(&self, attribute: Text) -> Option<&[u8]> {
        let found = self.texts.iter().find(|(known, _)| *known == attribute);
        found.map(|(_, text)| text.as_bytes())
    }

    fn number(&self, attribute: Number) -> Option<u64> {
        let found = self.numbers.iter().find(|(known, _)| *known == attribute);
        found.map(|(_, number)| *number)
    }

    fn mtls(&self) -> Option<bool> {
        self.mtls
    }

    fn start_time(&self) -> Option<i64> {
        self.start_time
    }

    fn duration(&self) -> Option<i64> {
        self.duration
    }

    fn clear_route_cache(&mut self) {
        self.route_changes += 1;
    }

    fn backend_latency(&self) -> Option<i64> {
        self.backend_latency
    }

    fn cluster_hosts(&self) -> Option<u64> {
        self.cluster_hosts
    }
}

impl Metadata for Stream {
    fn metadata(&self, source: Source, namespace: &[u8], key: &[u8]) -> Option<Datum<'_>> {
        let at = |(known_source, known_namespace, known_key): &Key| {
            *known_source == source
                && known_namespace.as_bytes() == namespace
                && known_key.as_bytes() == key
        };
        let found = self.metadata.iter().find(|(known, _)| at(known));
        found.map(|(_, datum)| datum.clone())
    }

    fn visit_namespaces(&self, source: Source, visit: &mut dyn FnMut(&[u8])) {
        let mut seen = Vec::new();
        for ((known, namespace, _), _) in &self.metadata {
            if *known == source && !seen.contains(namespace) {
                seen.push(*namespace);
                visit(namespace.as_bytes());
            }
        }
    }

    fn visit_keys(&self, source: Source, namespace: &[u8], visit: &mut dyn FnMut(&[u8])) {
        for ((known, known_namespace, key), _) in &self.metadata {
            if *known == source && known_namespace.as_bytes() == namespace {
                visit(key.as_bytes());
            }
        }
    }

    fn typed_metadata(&self, source: Source, namespace: &[u8]) -> Option<&[u8]> {
        let at = |known: Source, name: &str| known == source && name.as_bytes() == namespace;
        let found = self
            .typed_metadata
            .iter()
            .find(|(known, name, _)| at(*known, name));
        found.map(|(_, _, message)| *message)
    }
}

impl FilterState for Stream {
    fn filter_state(&self, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        let found = self.filter_state.get(name);
        found.map(|(value, _)| Cow::Borrowed(value.as_slice()))
    }

    fn set_filter_state(&mut self, name: &[u8], value: &[u8], span: Span) -> bool {
        self.filter_state
            .insert(name.to_vec(), (value.to_vec(), span));
        true
    }

    fn set_filter_state_object(&mut self, name: &[u8], value: &[u8]) -> bool {
        let known = self
            .objects
            .iter()
            .find(|(known, _)| known.as_bytes() == name);
        let takes = known.is_some_and(|(_, refused)| refused.as_bytes() != value);
        takes && self.set_filter_state(name, value, Span::FilterChain)
    }
}

impl Callouts for Stream {}

/// A plugin `default.test` with the root id `root` and the VM id `vm`.
pub(super) fn plugin(log: Arc<dyn Log>) -> Plugin {
    Plugin {
        name: "default.test".to_owned(),
        root_id: "root".to_owned(),
        vm_id: "vm".to_owned(),
        config: b"plugin configuration".to_vec(),
        vm_config: b"VM configuration".to_vec(),
        env: Vec::new(),
        log,
        shared_data: SharedData::default().space("vm"),
        shared_queues: Arc::new(SharedQueues::default()),
        metrics: Metrics::default().of("default.test"),
        limits: Limits::default(),
    }
}

type Job = Box<dyn FnOnce(&mut Guest<'_>) + Send>;

/// An instance that calls back: what is given to [`Bench::run`] runs inside a call of the guest.
pub(super) struct Bench {
    store: Store<State>,
    enter: TypedFunc<(), ()>,
    job: Arc<Mutex<Option<Job>>>,
    pub(super) log: Arc<Lines>,
}

/// The root context of a [`Bench`].
pub(super) const ROOT: u32 = 1;

/// A stream context of a [`Bench`], if it has a stream.
pub(super) const STREAM: u32 = 2;

/// Where a [`Bench`] has results written; below are arguments, above is the allocator's.
const OUT: u32 = 0x8000;

/// One page of memory for arguments and results, and an allocator that hands out what follows.
const GUEST: &str = r#"(module
    (import "test" "enter" (func $enter))
    (memory (export "memory") 1)
    (global $next (mut i32) (i32.const 0x10000))
    (func (export "enter") (call $enter))
    (func (export "malloc") (param $size i32) (result i32)
        (local $at i32)
        (local.set $at (global.get $next))
        (global.set $next (i32.add (local.get $at) (local.get $size)))
        (if (i32.gt_u (global.get $next) (i32.mul (memory.size) (i32.const 0x10000)))
            (then (drop (memory.grow
                (i32.add (i32.div_u (local.get $size) (i32.const 0x10000)) (i32.const 1))))))
        (local.get $at)))"#;

impl Bench {
    /// In a callback of the root context.
    pub(super) fn on_root() -> Self {
        Self::new(None)
    }

    /// In a callback of a stream.
    pub(super) fn on_stream(stream: Stream) -> Self {
        Self::new(Some(stream.exchange()))
    }

    fn new(exchange: Option<Box<Exchange>>) -> Self {
        let engine = Engine::new().unwrap();
        let log = Arc::new(Lines::default());
        let plugin = Arc::new(plugin(Arc::clone(&log) as Arc<dyn Log>));
        let limits = InstanceLimits {
            memory: 256 << 20,
            table_elements: 100,
        };
        let state = State::new(
            plugin,
            Address::default(),
            Limiter::new(limits),
            engine.clock(),
        );
        let mut store = Store::new(engine.wasmtime(), state);
        store.set_epoch_deadline(u64::MAX / 2);

        let job = Arc::new(Mutex::new(None::<Job>));
        let mut linker = Linker::new(engine.wasmtime());
        let taken = Arc::clone(&job);
        let enter = move |mut guest: Caller<'_, State>| {
            let job = taken.lock().take();
            job.expect("a job")(&mut guest);
        };
        linker.func_wrap("test", "enter", enter).unwrap();
        let module = Module::new(engine.wasmtime(), wat::parse_str(GUEST).unwrap()).unwrap();
        let instance = linker.instantiate(&mut store, &module).unwrap();
        let memory = instance.get_memory(&mut store, "memory");
        let malloc = instance.get_typed_func(&mut store, "malloc").unwrap();
        let enter = instance.get_typed_func(&mut store, "enter").unwrap();

        let context = if exchange.is_some() { STREAM } else { ROOT };
        let state = store.data_mut();
        state.memory = memory;
        state.allocator = Some(malloc);
        state.root = ROOT;
        state.current = context;
        state.effective = context;
        if let Some(exchange) = exchange {
            state.streams.insert(STREAM, exchange.key);
            state.lent = STREAM;
            state.exchange = Some(exchange);
        }
        Self {
            store,
            enter,
            job,
            log,
        }
    }

    /// Runs `work` as a hostcall runs.
    pub(super) fn run<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Guest<'_>) -> T + Send + 'static,
    ) -> T {
        let result = Arc::new(Mutex::new(None));
        let given = Arc::clone(&result);
        *self.job.lock() = Some(Box::new(move |guest| *given.lock() = Some(work(guest))));
        self.enter.call(&mut self.store, ()).unwrap();
        result.lock().take().expect("the job has run")
    }

    /// What the host keeps, between calls.
    pub(super) fn state(&mut self) -> &mut State {
        self.store.data_mut()
    }

    /// The stream's host.
    pub(super) fn exchange(&mut self) -> &mut Exchange {
        self.state().exchange.as_deref_mut().expect("a stream")
    }

    /// Writes arguments one behind the other, and calls `call` with their addresses and sizes and
    /// where the result goes. Gives the status, and what is written there if it is.
    pub(super) fn call<const N: usize>(
        &mut self,
        arguments: [&[u8]; N],
        call: impl FnOnce(&mut Guest<'_>, [(u32, u32); N], u32, u32) -> Hostcall + Send + 'static,
    ) -> (Status, Option<Vec<u8>>) {
        const UNTOUCHED: u32 = 0xdead_beef;
        let memory = self.state().memory.expect("a memory");
        let mut at = 8_usize;
        let placed = arguments.map(|argument| {
            // Large ones behind everything else.
            if argument.len() > 0x4000 {
                let pages = argument.len() as u64 / 0x10000 + 1;
                at = (memory.grow(&mut self.store, pages).unwrap() * 0x10000) as usize;
            }
            memory.write(&mut self.store, at, argument).unwrap();
            let place = (at as u32, argument.len() as u32);
            at += argument.len();
            place
        });
        for out in [OUT, OUT + 4] {
            memory
                .write(&mut self.store, out as usize, &UNTOUCHED.to_le_bytes())
                .unwrap();
        }
        let status = self.run(move |guest| answer(call(guest, placed, OUT, OUT + 4)));
        let data = memory.data(&self.store);
        let word = |at: u32| {
            let at = at as usize;
            u32::from_le_bytes(data[at..at + 4].try_into().unwrap())
        };
        let (ptr, len) = (word(OUT), word(OUT + 4));
        let result = (len != UNTOUCHED).then(|| {
            let (ptr, len) = (ptr as usize, len as usize);
            data[ptr..ptr + len].to_vec()
        });
        (status_of(status.unwrap()), result)
    }

    /// `proxy_get_property`; dots stand for what is between components.
    pub(super) fn get_property(&mut self, path: &str) -> Result<Vec<u8>, Status> {
        let path = path.replace('.', "\0");
        let (status, value) = self.call([path.as_bytes()], |guest, [(ptr, len)], out, out_len| {
            hostcalls::property::get(guest, ptr, len, out, out_len)
        });
        assert_eq!(value.is_some(), status == Status::Ok, "{path}");
        value.ok_or(status)
    }

    /// `proxy_set_property`; the path as it is.
    pub(super) fn set_property(&mut self, path: &str, value: &[u8]) -> Status {
        let arguments = [path.as_bytes(), value];
        let (status, _) = self.call(arguments, |guest, [path, value], _, _| {
            hostcalls::property::set(guest, path.0, path.1, value.0, value.1)
        });
        status
    }

    /// `proxy_call_foreign_function`.
    pub(super) fn foreign(&mut self, name: &str, argument: &[u8]) -> (Status, Option<Vec<u8>>) {
        let arguments = [name.as_bytes(), argument];
        self.call(arguments, |guest, [name, argument], out, out_len| {
            hostcalls::foreign::call(guest, name.0, name.1, argument.0, argument.1, out, out_len)
        })
    }
}

fn status_of(number: u32) -> Status {
    let all = [
        Status::Ok,
        Status::NotFound,
        Status::BadArgument,
        Status::SerializationFailure,
        Status::InvalidMemoryAccess,
        Status::Empty,
        Status::CasMismatch,
        Status::InternalFailure,
    ];
    let found = all.into_iter().find(|status| *status as u32 == number);
    found.unwrap_or_else(|| panic!("status {number}"))
}

impl fmt::Debug for Bench {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Bench").finish_non_exhaustive()
    }
}
