//! The suite behind `tests/conformance.rs`; what it is for stands there.

pub(crate) mod case;
pub(crate) mod client;
pub(crate) mod configuration;
pub(crate) mod differences;
pub(crate) mod observation;
pub(crate) mod random;
pub(crate) mod record;
pub(crate) mod roots;
pub(crate) mod run;
pub(crate) mod server;
pub(crate) mod tls;
