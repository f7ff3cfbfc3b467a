//! The guest: an interpreter of [`super::program`].
//!
//! Its configuration is a memory image: [`DATA`] bytes of anything, then instructions. Each callback
//! goes through all of them and does those that are its own.

use std::fmt::Write as _;

use super::program::{ALLOCATE, FUNCTIONS, GROW, INSTRUCTION, RETURN, TRAP};
use crate::assembler::{CALLBACKS, types};

/// Where the image is in the guest's memory.
pub(super) const IMAGE: u32 = 0x1_0000;

/// Bytes of data in front of the instructions.
pub(super) const DATA: u32 = 0x2000;

/// Where the allocator begins.
const HEAP: u32 = 0x4_0000;

/// The module.
pub(super) fn assemble() -> Vec<u8> {
    let mut text = String::from("(module\n");
    for (name, shape) in FUNCTIONS {
        let from = if name.starts_with("proxy_") {
            "env"
        } else {
            "wasi_snapshot_preview1"
        };
        let _ = writeln!(
            text,
            "(import \"{from}\" \"{name}\" (func ${name} (param {}) (result i32)))",
            types(shape).join(" ")
        );
    }
    let _ = write!(
        text,
        r#"
(memory (export "memory") 8)
(global $end (mut i32) (i32.const 0))
(global $next (mut i32) (i32.const {HEAP}))
(global $allocator (mut i32) (i32.const 0))
(func (export "proxy_abi_version_0_2_1"))
(func $malloc (export "malloc") (param $size i32) (result i32) (local $at i32)
  (if (i32.eq (global.get $allocator) (i32.const 1)) (then (return (i32.const 0))))
  (if (i32.eq (global.get $allocator) (i32.const 2)) (then (return (i32.const -16))))
  (if (i32.eq (global.get $allocator) (i32.const 3)) (then unreachable))
  (if (i32.eq (global.get $allocator) (i32.const 4))
    (then (drop (call $proxy_done))))
  (if (i32.eq (global.get $allocator) (i32.const 5))
    (then (drop (call $proxy_log (i32.const 2) (i32.const {IMAGE}) (i32.const 8)))))
  (if (i32.eq (global.get $allocator) (i32.const 6)) (then (return (i32.const {IMAGE}))))
  (local.set $at (global.get $next))
  (if (i32.gt_u (i32.add (local.get $at) (local.get $size))
        (i32.mul (memory.size) (i32.const 65536)))
    (then (drop (memory.grow
      (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 1))))))
  (global.set $next (i32.add (local.get $at) (local.get $size)))
  (local.get $at))
(func $dispatch (param $function i32) (param $a i32)
"#
    );
    // A block for each function, the last one outermost.
    for number in (0..FUNCTIONS.len()).rev() {
        let _ = writeln!(text, "(block $f{number}");
    }
    let labels: Vec<_> = (0..FUNCTIONS.len()).map(|n| format!("$f{n}")).collect();
    let _ = writeln!(
        text,
        "(if (i32.ge_u (local.get $function) (i32.const {})) (then (return)))\n\
         (br_table {} (local.get $function))",
        FUNCTIONS.len(),
        labels.join(" ")
    );
    for (name, shape) in FUNCTIONS {
        let arguments = types(shape).into_iter().enumerate().map(|(index, ty)| {
            let load = format!("(i32.load offset={} (local.get $a))", 4 * index);
            match ty {
                "i64" => format!("(i64.extend_i32_s {load})"),
                _ => load,
            }
        });
        let arguments: Vec<_> = arguments.collect();
        let _ = writeln!(
            text,
            ") (drop (call ${name} {})) (return)",
            arguments.join(" ")
        );
    }
    let _ = write!(
        text,
        r#")
(func $run (param $callback i32) (param $result i32) (result i32) (local $p i32) (local $f i32)
  (local.set $p (i32.const {}))
  (loop $next
    (if (i32.ge_u (local.get $p) (global.get $end)) (then (return (local.get $result))))
    (if (i32.eq (i32.load8_u (local.get $p)) (local.get $callback)) (then
      (local.set $f (i32.load8_u offset=1 (local.get $p)))
      (if (i32.eq (local.get $f) (i32.const {RETURN}))
        (then (local.set $result (i32.load offset=4 (local.get $p)))))
      (if (i32.eq (local.get $f) (i32.const {ALLOCATE}))
        (then (global.set $allocator (i32.load offset=4 (local.get $p)))))
      (if (i32.eq (local.get $f) (i32.const {TRAP})) (then unreachable))
      (if (i32.eq (local.get $f) (i32.const {GROW}))
        (then (drop (memory.grow (i32.and (i32.const 31) (i32.load offset=4 (local.get $p)))))))
      ;; Says which, for those who count.
      (if (i32.lt_u (local.get $f) (i32.const {})) (then
        (i32.store8 (i32.const 16) (local.get $f))
        (drop (call $proxy_log (i32.const 0) (i32.const 16) (i32.const 1)))))
      (call $dispatch (local.get $f) (i32.add (local.get $p) (i32.const 4)))))
    (local.set $p (i32.add (local.get $p) (i32.const {INSTRUCTION})))
    (br $next))
  (unreachable))
"#,
        IMAGE + DATA,
        FUNCTIONS.len(),
    );
    for (number, (name, parameters, result)) in CALLBACKS.iter().enumerate() {
        let declared = "i32 ".repeat(*parameters);
        let ty = if result.is_some() { "(result i32)" } else { "" };
        let configure = if *name == "proxy_on_configure" {
            // The image is where the allocator puts it, until it is moved.
            format!(
                "(drop (call $proxy_get_buffer_bytes (i32.const 7) (i32.const 0) (local.get 1) \
                 (i32.const 8) (i32.const 12)))\n\
                 (memory.copy (i32.const {IMAGE}) (i32.load (i32.const 8)) (local.get 1))\n\
                 (global.set $end (i32.add (i32.const {IMAGE}) (local.get 1)))\n"
            )
        } else {
            String::new()
        };
        let run = format!(
            "(call $run (i32.const {number}) (i32.const {}))",
            result.unwrap_or_default()
        );
        let run = if result.is_some() {
            run
        } else {
            format!("(drop {run})")
        };
        let _ = writeln!(
            text,
            "(func (export \"{name}\") (param {declared}) {ty} {configure} {run})"
        );
    }
    text.push(')');
    wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
}
