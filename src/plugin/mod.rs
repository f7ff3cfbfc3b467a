//! What users write (settings and resources) and what it means (a plan).
//!
//! Bytes come in, either a [`Plan`] or *all* [`Problems`] of the text come out. Nothing here
//! touches the network, wasm or Envoy; the only file ever read is `configFile`, through a
//! function that the caller passes in.

mod problem;
mod spec;

pub use problem::{Problem, Problems};
pub use spec::{
    EnvValue, FailStrategy, Limits, ModuleUrl, Phase, PhaseSet, Plan, PluginSpec,
};
