//! Guests that call one host function over and over, written for that.

use std::fs;
use std::path::{Path, PathBuf};

/// Calls of a family's host function a request.
pub(crate) const CALLS: u64 = 1000;

/// A family of host functions: its name, and the call, given in WebAssembly's text form. Text is at
/// 16 (`x-api-key`), 32 (`request.path`, as a path), 48 (`a-key`), 96 (a map of one header); results
/// go to 64 and 68.
pub(crate) const FAMILIES: [(&str, &str); 10] = [
    (
        "get a header",
        "(call $get_header (i32.const 0) (i32.const 16) (i32.const 9) (i32.const 64) (i32.const 68))",
    ),
    (
        "set a header",
        "(call $set_header (i32.const 0) (i32.const 16) (i32.const 9) (i32.const 48) (i32.const 5))",
    ),
    (
        "get all headers",
        "(call $get_pairs (i32.const 0) (i32.const 64) (i32.const 68))",
    ),
    (
        "set all headers",
        "(call $set_pairs (i32.const 0) (i32.const 96) (i32.const 28))",
    ),
    (
        "get a property",
        "(call $get_property (i32.const 32) (i32.const 12) (i32.const 64) (i32.const 68))",
    ),
    (
        "read the configuration",
        "(call $get_buffer (i32.const 6) (i32.const 0) (i32.const 10) (i32.const 64) (i32.const 68))",
    ),
    (
        "get shared data",
        "(call $get_shared (i32.const 48) (i32.const 5) (i32.const 64) (i32.const 68) (i32.const 72))",
    ),
    (
        "increment a metric",
        "(call $increment (global.get $metric) (i64.const 1))",
    ),
    ("read the time", "(call $time (i32.const 64))"),
    (
        "log below the level",
        "(call $log (i32.const 0) (i32.const 16) (i32.const 9))",
    ),
];

const GUEST: &str = r#"(module
  (import "env" "proxy_get_header_map_value"
    (func $get_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_replace_header_map_value"
    (func $set_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_header_map_pairs" (func $get_pairs (param i32 i32 i32) (result i32)))
  (import "env" "proxy_set_header_map_pairs" (func $set_pairs (param i32 i32 i32) (result i32)))
  (import "env" "proxy_get_property" (func $get_property (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes"
    (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_shared_data"
    (func $get_shared (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_set_shared_data"
    (func $set_shared (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_define_metric" (func $define (param i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_increment_metric" (func $increment (param i32 i64) (result i32)))
  (import "env" "proxy_get_current_time_nanoseconds" (func $time (param i32) (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 2)
  (data (i32.const 16) "x-api-key")
  (data (i32.const 32) "request\00path")
  (data (i32.const 48) "a-key")
  (data (i32.const 96) "\01\00\00\00\09\00\00\00\05\00\00\00x-api-key\00value\00")
  (global $metric (mut i32) (i32.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 65536))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_configure") (param i32 i32) (result i32)
    (drop (call $set_shared
      (i32.const 48) (i32.const 5) (i32.const 16) (i32.const 9) (i32.const 0)))
    (drop (call $define (i32.const 0) (i32.const 48) (i32.const 5) (i32.const 64)))
    (global.set $metric (i32.load (i32.const 64)))
    (i32.const 1))
  (func (export "proxy_on_request_headers") (param i32 i32 i32) (result i32)
    (local $left i32)
    (local.set $left (i32.const COUNT))
    (block $done
      (loop $next
        (br_if $done (i32.eqz (local.get $left)))
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (drop CALL)
        (br $next)))
    (i32.const 0)))
"#;

/// Writes the guest that makes `call` [`CALLS`] times at request headers into `directory`.
pub(crate) fn repeating(directory: &Path, call: &str) -> PathBuf {
    guest(directory, call, CALLS)
}

/// Writes a guest that does nothing at request headers into `directory`.
pub(crate) fn idle(directory: &Path) -> PathBuf {
    guest(directory, "(i32.const 0)", 0)
}

fn guest(directory: &Path, call: &str, count: u64) -> PathBuf {
    let text = GUEST
        .replace("COUNT", &count.to_string())
        .replace("CALL", call);
    let wasm = wat::parse_str(&text).expect("a module");
    let digest = wasm.iter().fold(0_u64, |sum, byte| {
        sum.wrapping_mul(31).wrapping_add(u64::from(*byte))
    });
    let path = directory.join(format!("{digest:x}.wasm"));
    fs::write(&path, wasm).expect("a file");
    path
}
