//! One instance of a plugin: its store, its contexts, and every call into it.
//!
//! An instance is used by one thread at a time, any thread. Each call lends it the stream that
//! the call is about (see [`super::exchange`]), has a deadline, and either returns or ends the
//! instance: after a [`Failure`] nothing may be called any more, since nobody knows in which state
//! a trap left the guest's memory. The caller drops it.
//!
//! What a call leaves to be done elsewhere (a tick to be set, a call to be sent) is in the
//! [`Outbox`], which the caller empties after each call.

mod answers;
mod failure;
mod root;
mod start;
mod stream;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::{Store, TypedFunc, WasmParams, WasmResults};

pub use failure::{Cause, Failure};
pub use root::RootHost;
pub use start::StartError;
pub use stream::Event;

use super::exchange::Exchange;
use super::exports::Exports;
use super::state::{Outbox, State};
use crate::vm::{Deadline, Engine, InstanceLimits};

/// The id of the context that stands for the VM; the parent of root contexts.
const VM_CONTEXT: u32 = 0;

/// What an instance may take.
#[derive(Clone, Copy, Debug)]
pub struct Caps {
    /// The longest that a call about a stream may take.
    pub call_deadline: Duration,
    /// The longest that start and configuration may take, each.
    pub start_deadline: Duration,
    /// What it may hold.
    pub limits: InstanceLimits,
}

/// What an instance holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    /// Contexts of streams that live.
    pub streams: usize,
    /// Calls whose answers are to come.
    pub calls: usize,
    /// Bytes of the guest's memory.
    pub memory: usize,
}

impl fmt::Display for Holdings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            streams,
            calls,
            memory,
        } = self;
        write!(f, "{streams} streams, {calls} calls, {memory} bytes")
    }
}

/// A started and configured plugin.
pub struct Instance {
    vm: Vm,
    exports: Exports,
    root: u32,
    next_context: u32,
}

/// What calls run in. Apart from the exports, so that a call borrows its function: a copy of one
/// counts references that all workers share.
struct Vm {
    engine: Arc<Engine>,
    store: Store<State>,
    call_deadline: Deadline,
}

impl Instance {
    /// Its number, which no other instance of the process has.
    pub fn number(&self) -> u64 {
        self.vm.store.data().address.instance
    }

    /// The keys of the streams that have a context in it.
    pub fn streams(&self) -> impl Iterator<Item = u64> {
        self.vm.store.data().streams.values().copied()
    }

    /// Bytes of its linear memory.
    pub fn memory(&self) -> u64 {
        u64::try_from(self.vm.store.data().limiter.memory()).unwrap_or(u64::MAX)
    }

    /// What it holds now.
    pub fn holdings(&self) -> Holdings {
        let state = self.vm.store.data();
        let (streams, calls) = (state.streams.len(), state.calls.len());
        let memory = state
            .memory
            .map_or(0, |memory| memory.data_size(&self.vm.store));
        Holdings {
            streams,
            calls,
            memory,
        }
    }

    /// What the calls so far left to be done elsewhere, if anything.
    pub fn take_outbox(&mut self) -> Option<Outbox> {
        let outbox = &mut self.vm.store.data_mut().outbox;
        (!outbox.is_empty()).then(|| std::mem::take(outbox))
    }

    /// An id that no living context has.
    fn new_context(&mut self) -> u32 {
        loop {
            let id = self.next_context;
            self.next_context = self.next_context.wrapping_add(1);
            let taken = id == VM_CONTEXT
                || (id == self.root && self.root != VM_CONTEXT)
                || self.vm.store.data().streams.contains_key(&id);
            if !taken {
                return id;
            }
        }
    }
}

impl Vm {
    /// Runs `work` in the context `current`, with `exchange`, the stream of the context `of`, in
    /// the store, and with the call deadline.
    fn lend<T>(
        &mut self,
        current: u32,
        of: u32,
        exchange: &mut Option<Box<Exchange>>,
        work: impl FnOnce(&mut Store<State>) -> Result<T, Failure>,
    ) -> Result<T, Failure> {
        self.engine.touch();
        set_deadline(&mut self.store, self.call_deadline);
        let state = self.store.data_mut();
        state.current = current;
        state.effective = current;
        state.lent = of;
        state.exchange = exchange.take();
        state.replied = 0;
        state.last_buffer = None;
        let result = work(&mut self.store);
        *exchange = self.store.data_mut().exchange.take();
        result
    }
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance")
            .field("plugin", &self.vm.store.data().plugin)
            .finish_non_exhaustive()
    }
}

/// Gives the guest as long as `deadline` from now.
fn set_deadline(store: &mut Store<State>, deadline: Deadline) {
    store.set_epoch_deadline(deadline.ticks());
    let state = store.data_mut();
    state.late_at = state.clock.now().saturating_add(deadline.ticks());
}

fn call<P: WasmParams, R: WasmResults>(
    store: &mut Store<State>,
    function: &TypedFunc<P, R>,
    parameters: P,
    name: &'static str,
) -> Result<R, Failure> {
    store.data_mut().limiter.forget_refusal();
    let result = function.call(&mut *store, parameters);
    let result = match store.data_mut().doom.take() {
        Some(error) => Err(error),
        None => result,
    };
    result.map_err(|error| Failure::new(&error, name, store.data().limiter.refused()))
}

/// A size as the ABI counts it. Nothing that guests are told of reaches 4 GiB.
fn size(len: usize) -> u32 {
    u32::try_from(len).unwrap_or(u32::MAX)
}
