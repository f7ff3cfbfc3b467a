//! One instance of a plugin: its store, its contexts, and every call into it.
//!
//! An instance is used by one thread at a time, any thread. Each call lends it the stream that
//! the call is about (see [`super::exchange`]), has a deadline, and either returns or ends the
//! instance: after a [`Failure`] nothing may be called any more, since nobody knows in which state
//! a trap left the guest's memory. The caller drops it.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use wasmtime::{Store, Trap, TypedFunc, WasmParams, WasmResults};

use super::exchange::Exchange;
use super::exports::{Exports, HeadersCallback, WrongExport, export};
use super::guest::Guest;
use super::host::Direction;
use super::state::{Mode, Plugin, State};
use crate::vm::{Deadline, Engine, InstanceLimits, Limiter};

/// The id of the context that stands for the VM; the parent of root contexts.
const VM_CONTEXT: u32 = 0;

/// What an instance may take.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// The longest that a call about a stream may take.
    pub call_deadline: Duration,
    /// The longest that start and configuration together may take, each.
    pub start_deadline: Duration,
    /// What it may hold.
    pub limits: InstanceLimits,
}

/// A started and configured plugin.
pub struct Instance {
    engine: Arc<Engine>,
    store: Store<State>,
    exports: Exports,
    call_deadline: Deadline,
    root: u32,
    next_context: u32,
}

/// Something that happens to a stream, for one plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// Headers have arrived.
    Headers {
        /// Which way.
        direction: Direction,
        /// How many entries they have.
        count: usize,
        /// No body and no trailers follow.
        end: bool,
    },
    /// A part of the body has arrived.
    Body {
        /// Which way.
        direction: Direction,
        /// Bytes that the plugin sees.
        len: usize,
        /// No more of the body and no trailers follow.
        end: bool,
    },
    /// Trailers have arrived.
    Trailers {
        /// Which way.
        direction: Direction,
        /// How many entries they have.
        count: usize,
    },
}

/// Why an instance ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind, for those who count.
    pub cause: Cause,
    /// The guest's function that was called.
    pub function: &'static str,
    /// What the engine says, with the guest's stack.
    pub reason: String,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The guest trapped.
    Trap,
    /// The guest ran past its deadline.
    Deadline,
    /// The guest trapped after it was refused memory.
    Memory,
    /// The guest called too deep.
    StackOverflow,
}

impl Cause {
    /// One word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::StackOverflow => "stack overflow",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in {}: {}",
            self.cause.as_str(),
            self.function,
            self.reason
        )
    }
}

/// Why an instance could not be started.
#[derive(Debug, Error)]
pub enum StartError {
    /// Not even instantiated: memory or tables larger than allowed, most likely.
    #[error("cannot be instantiated: {0}")]
    Instantiate(String),
    /// An export has another type than its name says.
    #[error(transparent)]
    Export(#[from] WrongExport),
    /// No allocator.
    #[error("exports neither malloc nor proxy_on_memory_allocate")]
    Allocator,
    /// Trapped or took too long.
    #[error("failed to start: {0}")]
    Failed(Failure),
    /// `proxy_on_vm_start` said no.
    #[error("refused to start (proxy_on_vm_start returned false)")]
    VmStart,
    /// `proxy_on_configure` said no.
    #[error("refused its configuration (proxy_on_configure returned false)")]
    Configure,
}

impl Instance {
    /// Instantiates, starts and configures. Blocks up to the start deadlines: never on a worker.
    pub fn start(
        engine: &Arc<Engine>,
        guest: &Guest,
        plugin: Arc<Plugin>,
        caps: &Caps,
    ) -> Result<Self, StartError> {
        let start_deadline = engine.deadline(caps.start_deadline);
        let state = State::new(plugin, Limiter::new(caps.limits));
        let mut store = Store::new(engine.wasmtime(), state);
        store.limiter(|state| &mut state.limiter);
        store.epoch_deadline_trap();
        store.set_epoch_deadline(start_deadline.ticks());
        engine.touch();

        store.data_mut().mode = Mode::Starting;
        let instance = guest.instance.instantiate(&mut store);
        let instance = instance.map_err(|e| StartError::Instantiate(format!("{e:#}")))?;
        store.data_mut().memory = instance.get_memory(&mut store, "memory");
        // Emscripten's standalone modules have malloc, which counts when both are there.
        let allocator = match export(&mut store, &instance, "malloc")? {
            Some(allocator) => allocator,
            None => export(&mut store, &instance, "proxy_on_memory_allocate")?
                .ok_or(StartError::Allocator)?,
        };
        store.data_mut().allocator = Some(allocator);
        let exports = Exports::find(&mut store, &instance, guest.abi)?;

        if let Some(initialize) = export::<(), ()>(&mut store, &instance, "_initialize")? {
            call(&mut store, &initialize, (), "_initialize").map_err(StartError::Failed)?;
            if let Ok(Some(main)) = export::<(u32, u32), u32>(&mut store, &instance, "main") {
                call(&mut store, &main, (0, 0), "main").map_err(StartError::Failed)?;
            } else if let Some(main) = export::<(), u32>(&mut store, &instance, "__main_void")? {
                call(&mut store, &main, (), "__main_void").map_err(StartError::Failed)?;
            }
        } else if let Some(start) = export::<(), ()>(&mut store, &instance, "_start")? {
            call(&mut store, &start, (), "_start").map_err(StartError::Failed)?;
        }
        store.data_mut().mode = Mode::Running;

        let mut started = Self {
            engine: Arc::clone(engine),
            store,
            exports,
            call_deadline: engine.deadline(caps.call_deadline),
            root: VM_CONTEXT,
            next_context: 1,
        };
        started.configure(start_deadline)?;
        Ok(started)
    }

    fn configure(&mut self, deadline: Deadline) -> Result<(), StartError> {
        let plugin = Arc::clone(&self.store.data().plugin);
        let root = self.new_context();
        self.root = root;
        let state = self.store.data_mut();
        state.root = root;
        state.current = root;
        state.effective = root;
        state.configuring = true;
        self.store.set_epoch_deadline(deadline.ticks());
        if let Some(create) = &self.exports.context_create {
            let ids = (root, VM_CONTEXT);
            call(&mut self.store, create, ids, "proxy_on_context_create")
                .map_err(StartError::Failed)?;
        }
        self.store.data_mut().configuring = false;
        if let Some(vm_start) = &self.exports.vm_start {
            self.store.data_mut().effective = root;
            let parameters = (root, size(plugin.vm_config.len()));
            let started = call(&mut self.store, vm_start, parameters, "proxy_on_vm_start");
            if started.map_err(StartError::Failed)? == 0 {
                return Err(StartError::VmStart);
            }
        }
        self.store.set_epoch_deadline(deadline.ticks());
        if let Some(configure) = &self.exports.configure {
            let state = self.store.data_mut();
            state.effective = root;
            state.configuring = true;
            let parameters = (root, size(plugin.config.len()));
            let configured = call(&mut self.store, configure, parameters, "proxy_on_configure");
            self.store.data_mut().configuring = false;
            if configured.map_err(StartError::Failed)? == 0 {
                return Err(StartError::Configure);
            }
        }
        Ok(())
    }

    /// Makes a context for a stream.
    pub fn create_stream(&mut self, exchange: &mut Option<Box<Exchange>>) -> Result<u32, Failure> {
        let id = self.new_context();
        self.store.data_mut().streams.insert(id);
        if let Some(create) = self.exports.context_create.clone() {
            let ids = (id, self.root);
            self.lend(id, exchange, |store| {
                call(store, &create, ids, "proxy_on_context_create")
            })?;
        }
        Ok(id)
    }

    /// Tells the stream `id` of an event. What comes back is the guest's action, a number that
    /// newer ABIs may give new meanings.
    pub fn on_event(
        &mut self,
        id: u32,
        event: &Event,
        exchange: &mut Option<Box<Exchange>>,
    ) -> Result<u32, Failure> {
        use Direction::{Request, Response};
        const CONTINUE: u32 = 0;
        match *event {
            Event::Headers {
                direction,
                count,
                end,
            } => {
                let (callback, name) = match direction {
                    Request => (&self.exports.request_headers, "proxy_on_request_headers"),
                    Response => (&self.exports.response_headers, "proxy_on_response_headers"),
                };
                match callback {
                    None => Ok(CONTINUE),
                    Some(HeadersCallback::WithEnd(callback)) => {
                        let callback = callback.clone();
                        let parameters = (id, size(count), u32::from(end));
                        self.lend(id, exchange, |store| {
                            call(store, &callback, parameters, name)
                        })
                    }
                    Some(HeadersCallback::WithoutEnd(callback)) => {
                        let callback = callback.clone();
                        let parameters = (id, size(count));
                        self.lend(id, exchange, |store| {
                            call(store, &callback, parameters, name)
                        })
                    }
                }
            }
            Event::Body {
                direction,
                len,
                end,
            } => {
                let (callback, name) = match direction {
                    Request => (&self.exports.request_body, "proxy_on_request_body"),
                    Response => (&self.exports.response_body, "proxy_on_response_body"),
                };
                let Some(callback) = callback.clone() else {
                    return Ok(CONTINUE);
                };
                let parameters = (id, size(len), u32::from(end));
                self.lend(id, exchange, |store| {
                    call(store, &callback, parameters, name)
                })
            }
            Event::Trailers { direction, count } => {
                let (callback, name) = match direction {
                    Request => (&self.exports.request_trailers, "proxy_on_request_trailers"),
                    Response => (
                        &self.exports.response_trailers,
                        "proxy_on_response_trailers",
                    ),
                };
                let Some(callback) = callback.clone() else {
                    return Ok(CONTINUE);
                };
                let parameters = (id, size(count));
                self.lend(id, exchange, |store| {
                    call(store, &callback, parameters, name)
                })
            }
        }
    }

    /// `proxy_on_log`.
    pub fn log_stream(
        &mut self,
        id: u32,
        exchange: &mut Option<Box<Exchange>>,
    ) -> Result<(), Failure> {
        match self.exports.log.clone() {
            Some(log) => self.lend(id, exchange, |store| call(store, &log, id, "proxy_on_log")),
            None => Ok(()),
        }
    }

    /// `proxy_on_done` and `proxy_on_delete`; the context is gone afterwards.
    pub fn delete_stream(
        &mut self,
        id: u32,
        exchange: &mut Option<Box<Exchange>>,
    ) -> Result<(), Failure> {
        if let Some(done) = self.exports.done.clone() {
            // A stream cannot put off its end: what it returns does not matter.
            self.lend(id, exchange, |store| {
                call(store, &done, id, "proxy_on_done")
            })?;
        }
        if let Some(delete) = self.exports.delete.clone() {
            self.lend(id, exchange, |store| {
                call(store, &delete, id, "proxy_on_delete")
            })?;
        }
        self.store.data_mut().streams.remove(&id);
        Ok(())
    }

    /// Bytes of linear memory in use.
    pub fn memory(&self) -> usize {
        self.store.data().limiter.memory()
    }

    /// An id that no living context has.
    fn new_context(&mut self) -> u32 {
        loop {
            let id = self.next_context;
            self.next_context = self.next_context.wrapping_add(1);
            let taken = id == VM_CONTEXT
                || (id == self.root && self.root != VM_CONTEXT)
                || self.store.data().streams.contains(&id);
            if !taken {
                return id;
            }
        }
    }

    /// Runs `work` with `exchange` in the store, for the context `id` and with the call deadline.
    fn lend<T>(
        &mut self,
        id: u32,
        exchange: &mut Option<Box<Exchange>>,
        work: impl FnOnce(&mut Store<State>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.engine.touch();
        self.store.set_epoch_deadline(self.call_deadline.ticks());
        let state = self.store.data_mut();
        state.current = id;
        state.effective = id;
        state.exchange = exchange.take();
        let result = work(&mut self.store);
        *exchange = self.store.data_mut().exchange.take();
        result
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("plugin", &self.store.data().plugin)
            .finish_non_exhaustive()
    }
}

fn call<P: WasmParams, R: WasmResults>(
    store: &mut Store<State>,
    function: &TypedFunc<P, R>,
    parameters: P,
    name: &'static str,
) -> Result<R, Failure> {
    store.data_mut().limiter.forget_refusal();
    function
        .call(&mut *store, parameters)
        .map_err(|error| failure(&error, name, store.data().limiter.refused()))
}

fn failure(error: &wasmtime::Error, function: &'static str, was_refused_memory: bool) -> Failure {
    let cause = match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => Cause::Deadline,
        Some(Trap::StackOverflow) => Cause::StackOverflow,
        _ if was_refused_memory => Cause::Memory,
        _ => Cause::Trap,
    };
    Failure {
        cause,
        function,
        reason: format!("{error:?}"),
    }
}

/// A size as the ABI counts it. Nothing that guests are told of reaches 4 GiB.
fn size(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
