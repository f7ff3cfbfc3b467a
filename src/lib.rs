//! Runs Istio `WasmPlugin` resources as Proxy-Wasm plugins: everything but the Envoy binding.
//!
//! ```text
//!   settings, resources          bytes                module            instance per worker
//!   ──────▶ plugin ──────▶ source ──────▶ vm, cache ──────▶ proxy_wasm ──────▶ control
//!            (plan)        (digest)      (compiled once)     (the ABI)       (keeps all running)
//!
//!   Envoy's hooks ─▶ chain (one machine per stream) ─▶ control ─▶ proxy_wasm ─▶ guest
//!                    ◀─ statuses and effects                       ◀─ hostcalls, over the Host traits
//! ```
//!
//! | part | what it knows | may import |
//! |---|---|---|
//! | [`plugin`] | what users write, and the checked plan made of it | |
//! | [`source`] | where modules come from; bytes with a checked digest | `plugin`, `telemetry` |
//! | [`vm`] | wasmtime's engine, deadlines, limits; no Proxy-Wasm | |
//! | [`cache`] | compiled code, once a process | `vm` |
//! | [`proxy_wasm`] | the ABI: guests, instances, hostcalls, the [`Host`](proxy_wasm::Host) traits | `vm` |
//! | [`chain`] | a stream's way through plugins; no wasm, no Envoy | `proxy_wasm` |
//! | [`control`] | puts these together, on threads of its own | all |
//! | [`telemetry`] | what operators see; everybody may report | |
//!
//! `tests/layers.rs` holds this table. The Envoy binding (`envoy/`) implements the host traits over
//! Envoy's callbacks and carries out the chain's effects. It is a crate of its own because Envoy's
//! callbacks exist only inside Envoy: a test that reached one would not link. All unsafe code is
//! there.
//!
//! Three lifetimes run through all parts: what lives as long as the process (engine, compiled code,
//! shared data), as long as a configuration (plugins and their instances), and as long as a stream
//! (contexts, the chain's machine).

pub mod cache;
pub mod chain;
pub mod control;
pub mod plugin;
pub mod proxy_wasm;
pub mod source;
pub mod telemetry;
pub mod vm;
