//! What Envoy knows of a stream, what it shows of it to plugins, and the rules for both.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use wasmplugin_host::proxy_wasm::{
    Attributes, Bodies, CallError, CallRef, Callouts, Datum, Direction, Fields, FilterState,
    Headers, Map, Metadata, Number, Source, Span, Text,
};

/// Envoy's buffer limit.
pub(super) const BUFFER: usize = 4096;

/// Bounds that guests must not get past: those of the host, and what arrives from outside.
const HEADERS: usize = (1 << 20) + (64 << 10);
const STATE: usize = (1 << 20) + (64 << 10);

/// What Envoy knows of a stream.
#[derive(Default)]
pub(super) struct State {
    pub(super) sides: [Side; 2],
    pub(super) bodies: [Vec<u8>; 2],
    filter_state: BTreeMap<Vec<u8>, Vec<u8>>,
    pub(super) calls: Vec<u64>,
    last_call: u64,
    /// The direction whose hook runs.
    pub(super) hook: Option<Direction>,
    pub(super) answered: bool,
    pub(super) completed: bool,
}

#[derive(Default)]
pub(super) struct Side {
    pub(super) headers: bool,
    pub(super) ended: bool,
    pub(super) stopped: bool,
    out: bool,
}

pub(super) const fn at(direction: Direction) -> usize {
    match direction {
        Direction::Request => 0,
        Direction::Response => 1,
    }
}

impl State {
    /// `continue_decoding`, `continue_encoding`.
    pub(super) fn go_on(&mut self, direction: Direction) {
        assert_ne!(self.hook, Some(direction), "continued in its own hook");
        assert!(!self.answered, "continued though it was answered");
        let side = &mut self.sides[at(direction)];
        assert!(side.headers, "continued before it began: Envoy crashes");
        assert!(side.stopped, "continued though nothing was stopped");
        side.stopped = false;
        self.send(direction);
    }

    pub(super) fn send(&mut self, direction: Direction) {
        self.sides[at(direction)].out = true;
        self.bodies[at(direction)].clear();
    }

    fn check(&self) {
        assert!(!self.completed || self.hook.is_none(), "a hook at the end");
        let state = self.filter_state.iter();
        let bytes: usize = state.map(|(name, value)| name.len() + value.len()).sum();
        assert!(bytes <= STATE, "{bytes} bytes of filter state");
    }
}

/// What the host sees of a stream.
pub(super) struct Host {
    state: Arc<Mutex<State>>,
    maps: [Fields; 4],
}

impl Host {
    pub(super) fn new(state: Arc<Mutex<State>>) -> Self {
        Self {
            state,
            maps: Default::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        let state = self.state.lock().expect("no panic before");
        state.check();
        state
    }
}

impl Headers for Host {
    fn header(&self, map: Map, name: &[u8]) -> Option<&[u8]> {
        let mut of = self.maps[map as usize].iter();
        let found = of.find(|(key, _)| key.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_slice())
    }

    fn header_count(&self, map: Map) -> usize {
        self.maps[map as usize].len()
    }

    fn visit_headers(&self, map: Map, visit: &mut dyn FnMut(&[u8], &[u8])) {
        for (name, value) in &self.maps[map as usize] {
            visit(name, value);
        }
    }

    fn add_header(&mut self, map: Map, name: &[u8], value: &[u8]) {
        assert!(!self.state().completed, "a header at the end");
        let entries = &mut self.maps[map as usize];
        entries.push((name.to_ascii_lowercase(), value.to_vec()));
        let bytes: usize = entries
            .iter()
            .map(|(name, value)| name.len() + value.len())
            .sum();
        assert!(bytes <= HEADERS, "{bytes} bytes of headers");
    }

    fn set_header(&mut self, map: Map, name: &[u8], value: &[u8]) {
        self.remove_header(map, name);
        self.add_header(map, name, value);
    }

    fn remove_header(&mut self, map: Map, name: &[u8]) {
        assert!(!self.state().completed, "a header at the end");
        self.maps[map as usize].retain(|(key, _)| !key.eq_ignore_ascii_case(name));
    }
}

impl Bodies for Host {
    fn body_len(&self, direction: Direction) -> usize {
        self.state().bodies[at(direction)].len()
    }

    fn read_body(&self, direction: Direction, start: usize, out: &mut [u8]) {
        let state = self.state();
        let body = &state.bodies[at(direction)];
        out.copy_from_slice(&body[start..start + out.len()]);
    }

    fn splice_body(&mut self, direction: Direction, start: usize, remove: usize, insert: &[u8]) {
        let mut state = self.state();
        assert!(!state.completed, "a body at the end");
        let body = &mut state.bodies[at(direction)];
        let grows = insert.len() > remove;
        drop(body.splice(start..start + remove, insert.iter().copied()));
        assert!(
            !grows || body.len() <= BUFFER,
            "a body of {} bytes",
            body.len()
        );
    }

    fn buffer_limit(&self) -> usize {
        BUFFER
    }
}

impl Attributes for Host {
    fn text(&self, attribute: Text) -> Option<&[u8]> {
        let _checked = self.state();
        match attribute {
            Text::SourceAddress | Text::UpstreamAddress => Some(b"10.0.0.1:80"),
            Text::RequestId | Text::RouteName => None,
            _ => Some(b"text"),
        }
    }

    fn number(&self, number: Number) -> Option<u64> {
        let _checked = self.state();
        (number == Number::RequestTotalSize).then_some(7)
    }

    fn mtls(&self) -> Option<bool> {
        Some(false)
    }

    fn start_time(&self) -> Option<i64> {
        Some(1)
    }

    fn duration(&self) -> Option<i64> {
        self.state().completed.then_some(1)
    }

    fn clear_route_cache(&mut self) {
        assert!(!self.state().completed, "a route at the end");
    }
}

/// One namespace, with a value of each kind.
impl Metadata for Host {
    fn metadata(&self, source: Source, namespace: &[u8], key: &[u8]) -> Option<Datum<'_>> {
        let _checked = self.state();
        if source == Source::UpstreamHost || namespace != b"ns" {
            return None;
        }
        Some(match key {
            b"text" => Datum::Text(b"value"),
            b"number" => Datum::Number(1.5),
            b"flag" => Datum::Flag(true),
            b"list" => Datum::List(vec![Datum::Text(b"a"), Datum::Unreadable]),
            b"nothing" => Datum::Unreadable,
            _ => return None,
        })
    }

    fn visit_namespaces(&self, _: Source, visit: &mut dyn FnMut(&[u8])) {
        visit(b"ns");
    }

    fn visit_keys(&self, _: Source, _: &[u8], visit: &mut dyn FnMut(&[u8])) {
        for key in ["text", "number", "flag", "list", "nothing"] {
            visit(key.as_bytes());
        }
    }

    fn typed_metadata(&self, _: Source, namespace: &[u8]) -> Option<&[u8]> {
        (namespace == b"typed").then_some(b"\x0a\x01a")
    }
}

impl FilterState for Host {
    fn filter_state(&self, name: &[u8]) -> Option<Cow<'_, [u8]>> {
        let found = self.state().filter_state.get(name).cloned();
        found.map(Cow::Owned)
    }

    fn set_filter_state(&mut self, name: &[u8], value: &[u8], _: Span) -> bool {
        let mut state = self.state();
        state.filter_state.insert(name.to_vec(), value.to_vec());
        state.check();
        true
    }
}

impl Callouts for Host {
    fn call(&mut self, call: &CallRef<'_>) -> Result<u64, CallError> {
        let mut state = self.state();
        assert!(!state.completed, "a call at the end");
        if call.cluster != b"upstream" {
            return Err(CallError::ClusterNotFound);
        }
        assert!(call.is_complete(), "Envoy would refuse this call");
        state.last_call += 1;
        let id = state.last_call;
        state.calls.push(id);
        Ok(id)
    }

    fn send(&mut self, id: u64, _: &[u8], _: bool) -> bool {
        self.state().calls.contains(&id)
    }

    fn check(&mut self, cluster: &[u8]) -> Result<(), CallError> {
        match cluster {
            b"upstream" => Ok(()),
            _ => Err(CallError::ClusterNotFound),
        }
    }
}
