//! `libwasmplugin.so`: the Envoy dynamic module that hosts wasmplugin.
//!
//! A thin layer: [`hooks`] is what Envoy calls, [`abi`] what we call, [`host`] puts Envoy's side
//! of a stream behind the traits of the host crate, [`stream`] carries out what the chain decides,
//! and [`threads`] leads to Envoy's threads from others. Everything that can be decided without
//! Envoy is decided in `wasmplugin-host`.
//!
//! All unsafe code is here, and every hook is guarded: no panic of ours reaches Envoy.

mod abi;
mod bootstrap;
mod callout;
mod carried;
mod config;
mod guard;
mod hooks;
mod host;
mod idle;
mod log;
mod lookup;
mod metrics;
mod optional;
mod pin;
mod route;
mod start;
mod stream;
mod threads;
