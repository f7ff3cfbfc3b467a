//! What the host keeps for one instance, in its store.

use std::collections::HashSet;
use std::sync::Arc;

use parking_lot::Mutex;
use wasmtime::{Memory, TypedFunc};

use super::exchange::Exchange;
use super::shared_data::Space;
use crate::telemetry::{Level, Log};
use crate::vm::Limiter;

/// What a plugin is, for every instance of it.
pub struct Plugin {
    /// `<namespace>.<name>`, the property `plugin_name`.
    pub name: String,
    /// `pluginName`.
    pub root_id: String,
    /// Scope of shared data; empty unless the resource says otherwise.
    pub vm_id: String,
    /// What `proxy_on_configure` reads.
    pub config: Vec<u8>,
    /// What `proxy_on_vm_start` reads.
    pub vm_config: Vec<u8>,
    /// The guest's environment: `NAME=VALUE`, resolved.
    pub env: Vec<String>,
    /// Where its lines go.
    pub log: Arc<dyn Log>,
    /// The data that it shares.
    pub shared_data: Arc<Space>,
    /// Host functions that we do not have yet, as far as they were called.
    pub missing: Mutex<HashSet<&'static str>>,
}

impl Plugin {
    /// Whether the missing host function `name` is called for the first time.
    pub(super) fn first_use(&self, name: &'static str) -> bool {
        self.missing.lock().insert(name)
    }
}

impl std::fmt::Debug for Plugin {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // The configuration may hold secrets.
        f.debug_struct("Plugin")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

/// What the guest may call now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Everything.
    Running,
    /// `_initialize`, `_start`, `main`: there is no plugin context yet.
    Starting,
    /// The guest's allocator, called by a hostcall: another hostcall in there could change what
    /// the first one is about to read.
    Allocating,
}

/// The data of a store.
pub(super) struct State {
    pub(super) plugin: Arc<Plugin>,
    pub(super) limiter: Limiter,
    pub(super) memory: Option<Memory>,
    pub(super) allocator: Option<TypedFunc<u32, u32>>,
    pub(super) mode: Mode,
    /// The plugin configuration can be read (`proxy_on_configure` runs).
    pub(super) configuring: bool,
    /// The root context; 0 before there is one.
    pub(super) root: u32,
    /// Stream contexts that live.
    pub(super) streams: HashSet<u32>,
    /// The context of the running callback, and of `exchange`.
    pub(super) current: u32,
    /// The context that hostcalls act on: `current` unless the guest chose another.
    pub(super) effective: u32,
    /// The stream of `current`, lent for the running callback.
    pub(super) exchange: Option<Box<Exchange>>,
    /// Log lines are put together here.
    line: Vec<u8>,
}

impl State {
    pub(super) fn new(plugin: Arc<Plugin>, limiter: Limiter) -> Self {
        Self {
            plugin,
            limiter,
            memory: None,
            allocator: None,
            mode: Mode::Running,
            configuring: false,
            root: 0,
            streams: HashSet::new(),
            current: 0,
            effective: 0,
            exchange: None,
            line: Vec::new(),
        }
    }

    /// The exchange of the effective context; none for root contexts.
    ///
    /// A stream other than the running callback's has none either: its maps and bodies belong to
    /// its own worker's events.
    pub(super) fn exchange(&mut self) -> Option<&mut Exchange> {
        if self.effective == self.current {
            self.exchange.as_deref_mut()
        } else {
            None
        }
    }

    /// Logs a guest's line as Envoy's Wasm filter does: streams with the plugin's name, root
    /// contexts without, nothing before there is a context.
    pub(super) fn log(&mut self, level: Level, message: &[u8]) {
        if !self.plugin.log.enabled(level) {
            return;
        }
        let plugin = &self.plugin;
        let line = &mut self.line;
        line.clear();
        line.extend_from_slice(b"wasm log");
        let is_stream = self.streams.contains(&self.effective);
        let name = if is_stream { plugin.name.as_str() } else { "" };
        let ids = if self.root == 0 {
            ["", "", ""]
        } else {
            [name, &plugin.root_id, &plugin.vm_id]
        };
        for part in ids.into_iter().filter(|part| !part.is_empty()) {
            line.push(b' ');
            line.extend_from_slice(part.as_bytes());
        }
        line.extend_from_slice(b": ");
        line.extend_from_slice(message);
        plugin.log.write(level, line);
    }
}
