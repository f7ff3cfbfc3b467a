//! Runs Istio `WasmPlugin` resources as Proxy-Wasm plugins: everything but the Envoy binding.

pub mod plugin;
