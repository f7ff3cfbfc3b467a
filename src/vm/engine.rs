//! wasmtime's engine with our settings.

use std::fs;
use std::time::Duration;

use thiserror::Error;
use wasmtime::{Config, Module};

use super::deadline::{Clock, Deadline, Start, Ticker};

/// Stack of a guest call. wasmtime's default, and well below the stack of an Envoy worker
/// (8 MiB with the usual limits), which the call shares.
const GUEST_STACK: usize = 512 * 1024;

/// Address space below which guests' memories are not laid out for speed: one takes 4 GiB then, so
/// that it never moves as it grows. That is nothing of 128 TiB, but the end under a limit like
/// `ulimit -v`.
const AMPLE_ADDRESS_SPACE: u64 = 1 << 40;

/// Address space of a guest's memory where that is scarce. Beyond it a memory moves as it grows.
const SCARCE_RESERVATION: u64 = 4 << 20;

/// What follows a memory, in case that its code is wrong.
const SCARCE_GUARD: u64 = 64 << 10;

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
        // Traps are found by comparing, not by signals. V8, in Envoy's own Wasm filter, has a handler
        // of signals that goes for good once it meets a fault that is not V8's; the next guest of
        // V8's that reaches outside of its memory would end Envoy.
        config.signals_based_traps(false);
        if address_space() < AMPLE_ADDRESS_SPACE {
            config
                .memory_reservation(SCARCE_RESERVATION)
                .memory_reservation_for_growth(SCARCE_RESERVATION)
                .memory_guard_size(SCARCE_GUARD);
        }
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

/// Bytes of address space that the process may have.
fn address_space() -> u64 {
    let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
    address_space_in(&limits).unwrap_or(u64::MAX)
}

/// The soft limit in the kernel's table of limits; none for `unlimited`.
fn address_space_in(limits: &str) -> Option<u64> {
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max address space"));
    line?.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_how_much_address_space_there_is() {
        let table = |soft: &str| {
            format!(
                "Max processes   1 2 processes\nMax address space   {soft}   unlimited   bytes\n"
            )
        };
        assert_eq!(address_space_in(&table("8589934592")), Some(8 << 30));
        assert_eq!(address_space_in(&table("unlimited")), None);
        assert_eq!(address_space_in(""), None);
    }
}
