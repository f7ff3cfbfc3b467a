//! The WebAssembly engine, configured for a proxy.
//!
//! One [`Engine`] serves the process. It compiles modules, keeps time for the deadlines of
//! guest calls and says what an instance may hold. It knows nothing of Proxy-Wasm.

mod deadline;
mod engine;
mod limits;

pub use deadline::{Clock, Deadline, Start, TICK};
pub use engine::{CompileError, Engine};
pub use limits::{InstanceLimits, Limiter};
