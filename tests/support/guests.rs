//! Tiny guests written here, and the resources that run them.

use std::fs;
use std::iter;
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use super::bootstrap::indent;
use super::http::Response;

/// What a guest has to export besides what it does; `%` stands for that.
const GUEST: &str = r#"(module
  (import "env" "proxy_add_header_map_value"
    (func $add_header (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_get_buffer_bytes"
    (func $get_buffer (param i32 i32 i32 i32 i32) (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "x-mark")
  (global $config (mut i32) (i32.const 0))
  (global $config_size (mut i32) (i32.const 0))
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32)
    (i32.const 4096))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32)
    (i32.const 1))
  ;; Keeps the plugin configuration (buffer type 7) as the header's value.
  (func (export "proxy_on_configure") (param $context i32) (param $size i32) (result i32)
    (drop (call $get_buffer (i32.const 7) (i32.const 0) (local.get $size)
      (i32.const 64) (i32.const 68)))
    (global.set $config (i32.load (i32.const 64)))
    (global.set $config_size (i32.load (i32.const 68)))
    (i32.const 1))
  (func $mark
    (drop (call $add_header (i32.const 0) (i32.const 16) (i32.const 6)
      (global.get $config) (global.get $config_size))))
  (func (export "proxy_on_request_headers")
    (param $context i32) (param $headers i32) (param $end i32) (result i32)
    %
    (i32.const 0)))
"#;

/// A plugin that wants time to go: it says `proxy_done` in the tick after its end, and logs both.
const FAREWELL: &str = r#"(module
  (import "env" "proxy_set_tick_period_milliseconds" (func $set_tick (param i32) (result i32)))
  (import "env" "proxy_done" (func $done (result i32)))
  (import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 16) "not yet")
  (data (i32.const 32) "farewell")
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "proxy_on_memory_allocate") (param i32) (result i32) (i32.const 4096))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_done") (param i32) (result i32)
    (if (i32.ne (local.get 0) (i32.const 1)) (then (return (i32.const 1))))
    (drop (call $log (i32.const 2) (i32.const 16) (i32.const 7)))
    (drop (call $set_tick (i32.const 50)))
    (i32.const 0))
  (func (export "proxy_on_tick") (param i32)
    (drop (call $done)))
  (func (export "proxy_on_delete") (param i32)
    (if (i32.eq (local.get 0) (i32.const 1))
      (then (drop (call $log (i32.const 2) (i32.const 32) (i32.const 8)))))))
"#;

/// A directory of guests; they go when it is dropped.
pub(crate) struct Guests {
    directory: TempDir,
}

impl Guests {
    pub(crate) fn new() -> Self {
        Self {
            directory: tempfile::tempdir().expect("a temporary directory"),
        }
    }

    /// Adds its plugin configuration to each request as a header `x-mark`.
    pub(crate) fn mark(&self) -> PathBuf {
        self.assemble("mark", &GUEST.replace('%', "(call $mark)"))
    }

    /// As [`Self::mark`], and logs its plugin configuration at level info.
    pub(crate) fn tell(&self) -> PathBuf {
        let log = "(drop (call $log (i32.const 2) (global.get $config) (global.get $config_size)))";
        self.assemble("tell", &GUEST.replace('%', &format!("{log} (call $mark)")))
    }

    /// As [`Self::mark`], but traps on a request with a body.
    pub(crate) fn trap(&self) -> PathBuf {
        let body = "(if (i32.eqz (local.get $end)) (then unreachable)) (call $mark)";
        self.assemble("trap", &GUEST.replace('%', body))
    }

    /// As [`Self::mark`], but never returns from a request with a body.
    pub(crate) fn spin(&self) -> PathBuf {
        let body = "(if (i32.eqz (local.get $end)) (then (loop (br 0)))) (call $mark)";
        self.assemble("spin", &GUEST.replace('%', body))
    }

    /// As [`Self::trap`], and pauses every other request for ever.
    pub(crate) fn hold(&self) -> PathBuf {
        let body = "(if (i32.eqz (local.get $end)) (then unreachable)) (return (i32.const 1))";
        self.assemble("hold", &GUEST.replace('%', body))
    }

    /// Wants time to go, and logs "not yet" and "farewell".
    pub(crate) fn farewell(&self) -> PathBuf {
        self.assemble("farewell", FAREWELL)
    }

    /// Says of no ABI version that it follows it.
    pub(crate) fn without_abi(&self) -> PathBuf {
        let text = GUEST.replace("proxy_abi_version_0_2_1", "something_else");
        self.assemble("without-abi", &text.replace('%', ""))
    }

    /// Wants a function that no host has.
    pub(crate) fn unknown_import(&self) -> PathBuf {
        let text = GUEST.replace("proxy_get_buffer_bytes", "proxy_no_such_function");
        self.assemble("unknown-import", &text.replace('%', ""))
    }

    /// A file with these bytes.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> PathBuf {
        let path = self.directory.path().join(name);
        fs::write(&path, content).expect("a file");
        path
    }

    fn assemble(&self, name: &str, text: &str) -> PathBuf {
        let module = wat::parse_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        self.file(&format!("{name}.wasm"), &module)
    }
}

/// A `WasmPlugin` in namespace `default` as an item of `plugins`; `spec` is YAML of further fields.
pub(crate) fn plugin(name: &str, module: &Path, spec: &str) -> String {
    plugin_from(name, &format!("file://{}", module.display()), spec)
}

/// As [`plugin`], as a document of a file.
pub(crate) fn document(name: &str, module: &Path, spec: &str) -> String {
    let item = plugin(name, module, spec);
    let lines = item.lines().map(|line| line.get(2..).unwrap_or_default());
    iter::once("---")
        .chain(lines)
        .fold(String::new(), |text, line| text + line + "\n")
}

/// As [`plugin`], with the module at `url`.
pub(crate) fn plugin_from(name: &str, url: &str, spec: &str) -> String {
    format!(
        "- apiVersion: extensions.istio.io/v1alpha1\n  \
           kind: WasmPlugin\n  \
           metadata: {{ name: {name}, namespace: default }}\n  \
           spec:\n    \
             url: {url}\n{}\n",
        indent(spec, 4)
    )
}

/// The marks of [`Guests::mark`] that `response`, an echo, shows.
pub(crate) fn marks(response: &Response) -> String {
    response.json()["headers"]["x-mark"]
        .as_str()
        .unwrap_or_default()
        .to_owned()
}
