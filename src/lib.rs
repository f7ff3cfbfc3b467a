//! Runs Istio `WasmPlugin` resources as Proxy-Wasm plugins: everything but the Envoy binding.

pub mod cache;
pub mod chain;
pub mod control;
pub mod plugin;
pub mod proxy_wasm;
pub mod source;
pub mod telemetry;
pub mod vm;
