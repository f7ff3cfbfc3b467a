//! Traffic that tells by which plugins each request and each response went.
//!
//! The guest marks both with its configuration. Clients keep their connections as HTTP allows: one
//! that the other side is about to close, or has closed, is replaced before anything is sent on it.
//! So whatever fails is a request that was lost.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::{Duration, Instant};

use super::http::{Connection, Response};

/// How long a paused request waits for the call of each plugin, in milliseconds.
const WAIT: &str = "50";

/// Requests with this header are paused.
pub(crate) const PAUSE: (&str, &str) = ("x-pause", "1");

/// Adds its plugin configuration as a header `x-mark` to requests, and to responses. Pauses requests
/// with a header `x-pause` until a call to the cluster `callouts` is answered.
const GUEST: &str = r#"(module
  (import "env" "proxy_add_header_map_value"
    (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_value"
    (func $get (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes"
    (func $buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_http_call"
    (func $call (param i32 i32 i32 i32 i32 i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_effective_context" (func $effective (param i32) (result i32)))
  (import "env" "proxy_continue_stream" (func $continue (param i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "x-mark")
  (data (i32.const 32) "x-pause")
  (data (i32.const 48) "callouts")
  (data (i32.const 256) "%PAIRS")
  (data (i32.const 512) "build %BUILD")
  (global $heap (mut i32) (i32.const 4096))
  (global $config (mut i32) (i32.const 0))
  (global $config_size (mut i32) (i32.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (global.get $heap))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_configure") (param $context i32) (param $size i32) (result i32)
    (drop (call $buffer (i32.const 7) (i32.const 0) (local.get $size)
      (i32.const 64) (i32.const 68)))
    (global.set $config (i32.load (i32.const 64)))
    (global.set $config_size (i32.load (i32.const 68)))
    (global.set $heap (i32.const 16384))
    (i32.const 1))
  (func $mark (param $map i32)
    (drop (call $add (local.get $map) (i32.const 16) (i32.const 6)
      (global.get $config) (global.get $config_size))))
  (func (export "proxy_on_request_headers")
    (param $context i32) (param $headers i32) (param $end i32) (result i32)
    (call $mark (i32.const 0))
    (if (call $get (i32.const 0) (i32.const 32) (i32.const 7) (i32.const 64) (i32.const 68))
      (then (return (i32.const 0))))
    (if (call $call (i32.const 48) (i32.const 8) (i32.const 256) (i32.const %SIZE)
        (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 10000) (i32.const 72))
      (then unreachable))
    (i32.store (call $slot (i32.load (i32.const 72))) (local.get $context))
    (i32.const 1))
  ;; Where the context stands that waits for a call.
  (func $slot (param $call i32) (result i32)
    (i32.add (i32.const 32768)
      (i32.mul (i32.const 4) (i32.and (local.get $call) (i32.const 1023)))))
  (func (export "proxy_on_http_call_response") (param $context i32) (param $call i32)
    (param i32 i32 i32)
    (drop (call $effective (i32.load (call $slot (local.get $call)))))
    (drop (call $continue (i32.const 0))))
  (func (export "proxy_on_response_headers")
    (param $context i32) (param $headers i32) (param $end i32) (result i32)
    (call $mark (i32.const 2))
    (i32.const 0)))
"#;

/// The guest. Those of different `build` differ in nothing but that.
pub(crate) fn guest(build: usize) -> Vec<u8> {
    let headers = [
        (":method", "GET"),
        (":path", "/"),
        (":authority", "callouts"),
        ("x-wait", WAIT),
    ];
    // As Proxy-Wasm has maps: the count, all lengths, then all texts, each with a zero.
    let number = |n: usize| u32::try_from(n).expect("a short text").to_le_bytes();
    let mut pairs = number(headers.len()).to_vec();
    for (name, value) in headers {
        pairs.extend(number(name.len()));
        pairs.extend(number(value.len()));
    }
    for text in headers.iter().flat_map(|(name, value)| [name, value]) {
        pairs.extend(text.as_bytes());
        pairs.push(0);
    }
    let mut escaped = String::new();
    for byte in &pairs {
        let _ = write!(escaped, "\\{byte:02x}");
    }
    let text = GUEST
        .replace("%PAIRS", &escaped)
        .replace("%SIZE", &pairs.len().to_string())
        .replace("%BUILD", &build.to_string());
    wat::parse_str(text).expect("a guest")
}

/// What a request and its response went by.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Marks {
    pub(crate) request: String,
    pub(crate) response: String,
}

impl Marks {
    /// Of an exchange that met plugins with these ids (see [`config`]), in this order.
    pub(crate) fn of(ids: &[String]) -> Self {
        let marks: Vec<_> = ids.iter().map(|id| format!(r#"{{"id":"{id}"}}"#)).collect();
        let backwards: Vec<_> = marks.iter().rev().cloned().collect();
        Self {
            request: marks.join(", "),
            response: backwards.join(", "),
        }
    }

    /// Of an answer of [`super::upstream::Upstream::marks`].
    pub(crate) fn shown_by(response: &Response) -> Self {
        Self {
            request: response.text(),
            response: response.joined("x-mark"),
        }
    }
}

/// The plugin configuration that makes a guest show `id`.
pub(crate) fn config(id: &str) -> String {
    format!("{{ id: {id} }}")
}

/// What clients met.
#[derive(Debug, Default)]
pub(crate) struct Met {
    pub(crate) marks: BTreeMap<Marks, u64>,
    /// Requests that were not answered with 200, and why.
    pub(crate) lost: Vec<String>,
    pub(crate) slowest: Duration,
}

impl Met {
    pub(crate) fn answered(&self) -> u64 {
        self.marks.values().sum()
    }

    pub(crate) fn add(&mut self, other: Self) {
        for (marks, count) in other.marks {
            *self.marks.entry(marks).or_default() += count;
        }
        self.lost.extend(other.lost);
        self.slowest = self.slowest.max(other.slowest);
    }
}

/// Ends the clients also where a check fails.
pub(crate) struct Over<'f>(pub(crate) &'f AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// A client in a thread of `scope` that repeats GET / with `headers`, one request each `pace`, until
/// `is_over`.
pub(crate) fn client<'scope>(
    scope: &'scope Scope<'scope, '_>,
    port: u16,
    headers: &'scope [(&str, &str)],
    pace: Duration,
    is_over: &'scope AtomicBool,
) -> ScopedJoinHandle<'scope, Met> {
    scope.spawn(move || {
        let mut met = Met::default();
        let mut kept = None;
        let mut next = Instant::now();
        while !is_over.load(Ordering::Relaxed) {
            thread::sleep(next.saturating_duration_since(Instant::now()));
            // Late requests are not made up for: they would come all at once.
            next = Instant::now().max(next + pace);
            let begin = Instant::now();
            match exchange(kept.take(), port, headers) {
                Ok((response, connection)) => {
                    *met.marks.entry(Marks::shown_by(&response)).or_default() += 1;
                    kept = connection;
                }
                Err(why) => met.lost.push(why),
            }
            met.slowest = met.slowest.max(begin.elapsed());
        }
        met
    })
}

/// One request; the connection is given back if it is good for another.
fn exchange(
    kept: Option<Connection>,
    port: u16,
    headers: &[(&str, &str)],
) -> Result<(Response, Option<Connection>), String> {
    let kept = kept.filter(Connection::is_idle);
    let is_new = kept.is_none();
    let mut connection = match kept {
        Some(kept) => kept,
        None => Connection::open(port).map_err(|error| format!("connect: {error}"))?,
    };
    let response = connection
        .request("GET", "/", headers, b"")
        .map_err(|error| format!("{error}, new connection: {is_new}"))?;
    if response.status != 200 {
        return Err(format!("{} {}", response.status, response.text()));
    }
    let closes = response.header("connection") == Some("close");
    Ok((response, (!closes).then_some(connection)))
}
