//! wasmtime's engine with our settings.

use std::time::Duration;

use thiserror::Error;
use wasmtime::{Config, Module};

use super::deadline::{Clock, Deadline, Start, Ticker};

/// Stack of a guest call. wasmtime's default, and well below the stack of an Envoy worker
/// (8 MiB with the usual limits), which the call shares.
const GUEST_STACK: usize = 512 * 1024;

/// The process's WebAssembly engine.
#[derive(Debug)]
pub struct Engine {
    inner: wasmtime::Engine,
    ticker: Ticker,
}

/// Why a file is no module that we can run.
#[derive(Debug, Error)]
#[error("cannot be compiled: {0}")]
pub struct CompileError(String);

impl Engine {
    /// Starts the engine and its ticker thread.
    pub fn new() -> Result<Self, CompileError> {
        let mut config = Config::new();
        config.epoch_interruption(true).max_wasm_stack(GUEST_STACK);
        let inner = wasmtime::Engine::new(&config).map_err(|e| CompileError(format!("{e:#}")))?;
        let ticker = Ticker::start(inner.clone()).map_err(|e| CompileError(e.to_string()))?;
        Ok(Self { inner, ticker })
    }

    /// Compiles a module. Blocks for milliseconds to seconds: never on a thread of Envoy that
    /// serves traffic.
    pub fn compile(&self, bytes: &[u8]) -> Result<Module, CompileError> {
        Module::from_binary(&self.inner, bytes).map_err(|e| CompileError(format!("{e:#}")))
    }

    /// wasmtime's own engine.
    pub const fn wasmtime(&self) -> &wasmtime::Engine {
        &self.inner
    }

    /// Begins a start, which may take longer than any call.
    pub fn begin_start(&self) -> Start {
        self.ticker.begin_start()
    }

    /// The time in ticks.
    pub fn clock(&self) -> Clock {
        self.ticker.clock()
    }

    /// A deadline for calls; remembered, so that the ticker outlasts it.
    pub fn deadline(&self, limit: Duration) -> Deadline {
        let deadline = Deadline::after(limit);
        self.ticker.note(deadline);
        deadline
    }

    /// To be called before every guest call.
    #[inline]
    pub fn touch(&self) {
        self.ticker.touch();
    }
}
