;; Counts requests in a global, and says the count and its context's number in headers.
(module
  (import "env" "proxy_add_header_map_value" (func $add (param i32 i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (global $count (mut i32) (i32.const 0))
  (data (i32.const 16) "x-countx-context0123456789")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "malloc") (param i32) (result i32) (i32.const 1024))
  (func (export "proxy_on_request_headers") (param $context i32) (param i32 i32) (result i32)
    (global.set $count (i32.add (global.get $count) (i32.const 1)))
    (drop (call $add (i32.const 0) (i32.const 16) (i32.const 7)
      (i32.add (i32.const 32) (global.get $count)) (i32.const 1)))
    (call $add (i32.const 0) (i32.const 23) (i32.const 9)
      (i32.add (i32.const 32) (local.get $context)) (i32.const 1))))
