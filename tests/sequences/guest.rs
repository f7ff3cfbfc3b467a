//! The guest: an interpreter of [`super::program`].
//!
//! Its configuration is a memory image: [`DATA`] bytes of anything, then instructions. Each callback
//! goes through all of them and does those that are its own.

use std::fmt::Write as _;

use wasmplugin_host::proxy_wasm::AbiVersion;

use super::coverage::{BEGINS, TELLS};
use super::functions::{Function, functions};
use super::program::{ALLOCATE, GROW, INSTRUCTION, RETURN, TRAP};
use crate::assembler::{CALLBACKS, types};

/// Where the image is in the guest's memory.
pub(super) const IMAGE: u32 = 0x1_0000;

/// Bytes of data in front of the instructions.
pub(super) const DATA: u32 = 0x2000;

/// Where the allocator begins.
const HEAP: u32 = 0x4_0000;

/// The module, for a version of the ABI.
pub(super) fn assemble(version: AbiVersion) -> Vec<u8> {
    let mut text = String::from("(module\n");
    for function in functions().iter().filter(|f| f.is_in(version)) {
        let Function { module, name, .. } = function;
        let result = if function.has_status {
            "(result i32)"
        } else {
            ""
        };
        let _ = writeln!(
            text,
            "(import \"{module}\" \"{name}\" (func ${module}.{name} (param {}) {result}))",
            types(&function.shape).join(" ")
        );
    }
    let _ = write!(
        text,
        r#"
(memory (export "memory") 8)
(global $end (mut i32) (i32.const 0))
(global $next (mut i32) (i32.const {HEAP}))
(global $allocator (mut i32) (i32.const 0))
(func (export "proxy_abi_version_{}"))
(func $malloc (export "malloc") (param $size i32) (result i32) (local $at i32)
  (if (i32.eq (global.get $allocator) (i32.const 1)) (then (return (i32.const 0))))
  (if (i32.eq (global.get $allocator) (i32.const 2)) (then (return (i32.const -16))))
  (if (i32.eq (global.get $allocator) (i32.const 3)) (then unreachable))
  (if (i32.eq (global.get $allocator) (i32.const 4))
    (then (drop (call $env.proxy_done))))
  (if (i32.eq (global.get $allocator) (i32.const 5))
    (then (drop (call $env.proxy_log (i32.const 2) (i32.const {IMAGE}) (i32.const 8)))))
  (if (i32.eq (global.get $allocator) (i32.const 6)) (then (return (i32.const {IMAGE}))))
  (local.set $at (global.get $next))
  (if (i32.gt_u (i32.add (local.get $at) (local.get $size))
        (i32.mul (memory.size) (i32.const 65536)))
    (then (drop (memory.grow
      (i32.add (i32.shr_u (local.get $size) (i32.const 16)) (i32.const 1))))))
  (global.set $next (i32.add (local.get $at) (local.get $size)))
  (local.get $at))
;; Tells those who count what becomes of a call.
(func $tell (param $function i32) (param $what i32)
  (i64.store (i32.const 16) (i64.const {TELLS}))
  (i32.store8 (i32.const 22) (local.get $function))
  (i32.store8 (i32.const 23) (local.get $what))
  (drop (call $env.proxy_log (i32.const 0) (i32.const 16) (i32.const 8))))
(func $dispatch (param $function i32) (param $a i32) (local $status i32)
"#,
        version.as_str().replace('.', "_"),
    );
    // A block for each function, the last one outermost.
    let count = functions().len();
    for number in (0..count).rev() {
        let _ = writeln!(text, "(block $f{number}");
    }
    let labels: Vec<_> = (0..count).map(|n| format!("$f{n}")).collect();
    let _ = writeln!(
        text,
        "(if (i32.ge_u (local.get $function) (i32.const {count})) (then (return)))\n\
         (br_table {} (local.get $function))",
        labels.join(" ")
    );
    for (number, function) in functions().iter().enumerate() {
        let call = if function.is_in(version) {
            call(number, function)
        } else {
            String::new()
        };
        let _ = writeln!(text, ") {call} (return)");
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
      (call $dispatch (local.get $f) (i32.add (local.get $p) (i32.const 4)))))
    (local.set $p (i32.add (local.get $p) (i32.const {INSTRUCTION})))
    (br $next))
  (unreachable))
"#,
        IMAGE + DATA,
    );
    for (number, (name, parameters, result)) in CALLBACKS.iter().enumerate() {
        // The first version does not tell whether headers end the stream.
        let is_short = version == AbiVersion::V0_1_0 && name.ends_with("_headers");
        let declared = "i32 ".repeat(*parameters - usize::from(is_short));
        let ty = if result.is_some() { "(result i32)" } else { "" };
        let configure = if *name == "proxy_on_configure" {
            // The image is where the allocator puts it, until it is moved.
            format!(
                "(drop (call $env.proxy_get_buffer_bytes (i32.const 7) (i32.const 0) (local.get 1) \
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

/// A call whose arguments are at `$a`, and what is told of it.
fn call(number: usize, function: &Function) -> String {
    let arguments = types(&function.shape).into_iter().enumerate();
    let arguments = arguments.map(|(index, ty)| {
        let load = format!("(i32.load offset={} (local.get $a))", 4 * index);
        match ty {
            "i64" => format!("(i64.extend_i32_s {load})"),
            _ => load,
        }
    });
    let arguments: Vec<_> = arguments.collect();
    let call = format!(
        "(call ${}.{} {})",
        function.module,
        function.name,
        arguments.join(" ")
    );
    let call = if function.has_status {
        format!("(local.set $status {call})")
    } else {
        call
    };
    let tell = |what: &str| format!("(call $tell (i32.const {number}) {what})");
    let begins = tell(&format!("(i32.const {BEGINS})"));
    format!("{begins} {call} {}", tell("(local.get $status)"))
}
