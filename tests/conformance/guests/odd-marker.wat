;; The marker is never called: its type does not matter.
(module
  (func (export "proxy_abi_version_0_2_1") (param i64) (result f64) (f64.const 0))
  (func (export "malloc") (param i32) (result i32) (i32.const 0)))
