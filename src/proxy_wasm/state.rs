//! What the host keeps for one instance, in its store.

use std::sync::Arc;

use wasmtime::{Memory, TypedFunc};

use super::abi::BufferType;
use super::call::{Answer, Call, Callouts};
use super::calls::Calls;
use super::exchange::{Actions, Exchange};
use super::foreign::Foreign;
use super::hostcalls::dns::Lookups;
use super::hostcalls::metric::Ids;
use super::ids::ById;
use super::limits::Limits;
use super::metrics::PluginMetrics;
use super::queue::{Notice, SharedQueues};
use super::shared_data::Space;
use crate::telemetry::{Level, Log};
use crate::vm::{Clock, Limiter};

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
    /// The queues of the process.
    pub shared_queues: Arc<SharedQueues>,
    /// The metrics that it defines.
    pub metrics: Arc<PluginMetrics>,
    /// What it may have the host keep.
    pub limits: Limits,
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

/// Where an instance is, for what comes back to it from elsewhere.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Address {
    /// Number of the plugin.
    pub plugin: u64,
    /// Number of the worker.
    pub worker: u32,
    /// Number of the instance: another one may have taken its place.
    pub instance: u64,
}

/// What a call into an instance leaves to be done elsewhere.
#[derive(Debug, Default)]
pub struct Outbox {
    /// The new period of the tick in milliseconds, 0 for none.
    pub tick: Option<u32>,
    /// Queues that have a new item, and who is to be told.
    pub ready: Vec<(Address, u32, Notice)>,
    /// Calls that no stream carries, with their tokens.
    pub calls: Vec<(u32, Call)>,
    /// Calls that the main thread has sent: its number for them, and their tokens.
    pub sent: Vec<(u64, u32)>,
    /// Calls of the main thread that are given up.
    pub cancelled: Vec<u32>,
    /// Names to be looked up, with their tokens.
    pub lookups: Vec<(u32, String)>,
    /// Metrics have changed.
    pub metrics: bool,
    /// What was asked of streams that are not here: their keys, and the context that asked.
    pub asked: Vec<(u64, u32, Actions)>,
}

impl Outbox {
    /// Whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.tick.is_none()
            && self.ready.is_empty()
            && self.calls.is_empty()
            && self.sent.is_empty()
            && self.cancelled.is_empty()
            && self.lookups.is_empty()
            && !self.metrics
            && self.asked.is_empty()
    }
}

/// The result of the last callout, for `proxy_get_status`.
#[derive(Debug, Default)]
pub(super) struct LastStatus {
    pub(super) code: u32,
    /// Only while the callback runs.
    pub(super) message: Vec<u8>,
}

/// The data of a store.
pub(super) struct State {
    pub(super) plugin: Arc<Plugin>,
    pub(super) address: Address,
    pub(super) limiter: Limiter,
    /// For host functions that take long: the guest's deadline does not stop them.
    pub(super) clock: Clock,
    /// When the running call has met its deadline.
    pub(super) late_at: u64,
    pub(super) memory: Option<Memory>,
    pub(super) allocator: Option<TypedFunc<u32, u32>>,
    pub(super) mode: Mode,
    /// The plugin configuration can be read (`proxy_on_configure` runs).
    pub(super) configuring: bool,
    /// The root context waits for `proxy_done`.
    pub(super) finishing: bool,
    /// The root context; 0 before there is one.
    pub(super) root: u32,
    /// Stream contexts that live, and the keys of their exchanges.
    pub(super) streams: ById<u64>,
    /// The context of the running callback.
    pub(super) current: u32,
    /// The context that hostcalls act on: `current` unless the guest chose another.
    pub(super) effective: u32,
    /// The context whose stream `exchange` is.
    pub(super) lent: u32,
    /// The stream that the running callback is about.
    pub(super) exchange: Option<Box<Exchange>>,
    /// Carries calls of the root context, on Envoy's main thread.
    pub(super) callouts: Option<Box<dyn Callouts + Send>>,
    /// Calls whose answers are to come.
    pub(super) calls: Calls,
    /// The answer that the running callback is about.
    pub(super) answer: Option<Answer>,
    /// The data of a call that is none of the ABI's.
    pub(super) call_data: Option<Vec<u8>>,
    pub(super) lookups: Lookups,
    pub(super) status: LastStatus,
    pub(super) outbox: Outbox,
    /// The buffer that the running callback asked for last.
    pub(super) last_buffer: Option<BufferType>,
    /// Bytes of the replies that the running callback made.
    pub(super) replied: usize,
    /// The guest's allocator trapped: the running callback is the last.
    pub(super) doom: Option<wasmtime::Error>,
    pub(super) metrics: Ids,
    /// What foreign functions keep.
    pub(super) foreign: Foreign,
    /// Log lines are put together here.
    line: Vec<u8>,
}

impl State {
    pub(super) fn new(
        plugin: Arc<Plugin>,
        address: Address,
        limiter: Limiter,
        clock: Clock,
    ) -> Self {
        Self {
            plugin,
            address,
            limiter,
            clock,
            late_at: u64::MAX,
            memory: None,
            allocator: None,
            mode: Mode::Running,
            configuring: false,
            finishing: false,
            root: 0,
            streams: ById::default(),
            current: 0,
            effective: 0,
            lent: 0,
            exchange: None,
            callouts: None,
            calls: Calls::default(),
            answer: None,
            call_data: None,
            lookups: Lookups::default(),
            status: LastStatus::default(),
            outbox: Outbox::default(),
            last_buffer: None,
            replied: 0,
            doom: None,
            metrics: Ids::default(),
            foreign: Foreign::default(),
            line: Vec::new(),
        }
    }

    /// Whether the running call has met its deadline.
    pub(super) fn is_late(&self) -> bool {
        self.clock.now() >= self.late_at
    }

    /// What the effective context asks of its stream, which is not here.
    pub(super) fn asked_elsewhere(&mut self) -> Option<&mut Actions> {
        let (context, key) = (self.effective, *self.streams.get(&self.effective)?);
        let asked = &mut self.outbox.asked;
        let known = asked
            .iter()
            .position(|(of, by, _)| (*of, *by) == (key, context));
        let at = known.unwrap_or_else(|| {
            asked.push((key, context, Actions::default()));
            asked.len() - 1
        });
        asked.get_mut(at).map(|(_, _, actions)| actions)
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
        let is_stream = self.streams.contains_key(&self.effective);
        let name = if is_stream { plugin.name.as_str() } else { "" };
        let ids = if self.effective == 0 {
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
