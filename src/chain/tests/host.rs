//! A stream over vectors.

use std::sync::Arc;

use parking_lot::Mutex;

use crate::chain::flow::Both;
use crate::proxy_wasm::{
    Attributes, Bodies, CallError, CallRef, Callouts, Direction, FilterState, Headers, Map,
    Metadata, Number, Text,
};

/// What happened, as words.
#[derive(Clone, Default)]
pub(crate) struct Trace(Arc<Mutex<Vec<String>>>);

impl Trace {
    pub(super) fn say(&self, word: impl Into<String>) {
        self.0.lock().push(word.into());
    }

    /// What was said since the last time.
    pub(super) fn take(&self) -> String {
        std::mem::take(&mut *self.0.lock()).join(" ")
    }
}

/// The proxy's side.
#[derive(Default)]
pub(crate) struct Host {
    maps: [Vec<(Vec<u8>, Vec<u8>)>; 4],
    bodies: Both<Vec<u8>>,
    calls: u64,
    trace: Trace,
}

impl Host {
    pub(crate) fn new(trace: Trace) -> Self {
        Self {
            trace,
            ..Self::default()
        }
    }
}

impl Headers for Host {
    fn header(&self, map: Map, name: &[u8]) -> Option<&[u8]> {
        let found = self.maps[map as usize].iter().find(|(key, _)| key == name);
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
        self.maps[map as usize].push((name.to_vec(), value.to_vec()));
    }

    fn set_header(&mut self, map: Map, name: &[u8], value: &[u8]) {
        self.remove_header(map, name);
        self.add_header(map, name, value);
    }

    fn remove_header(&mut self, map: Map, name: &[u8]) {
        self.maps[map as usize].retain(|(key, _)| key != name);
    }
}

impl Bodies for Host {
    fn body_len(&self, direction: Direction) -> usize {
        self.bodies.of(direction).len()
    }

    fn read_body(&self, direction: Direction, start: usize, out: &mut [u8]) {
        out.copy_from_slice(&self.bodies.of(direction)[start..start + out.len()]);
    }

    fn splice_body(&mut self, direction: Direction, start: usize, remove: usize, insert: &[u8]) {
        let range = start..start + remove;
        let body = self.bodies.of_mut(direction);
        drop(body.splice(range, insert.iter().copied()));
    }
}

impl Attributes for Host {
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

    fn clear_route_cache(&mut self) {
        self.trace.say("route");
    }
}

impl Metadata for Host {}

impl FilterState for Host {}

impl Callouts for Host {
    fn call(&mut self, _: &CallRef<'_>) -> Result<u64, CallError> {
        self.calls += 1;
        Ok(self.calls)
    }
}
