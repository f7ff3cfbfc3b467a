//! Compiled modules: each compiled once a process, whatever number of plugins, filter entries,
//! listeners and workers use it.

mod memory;

pub use memory::{Compiled, Key, Modules, Origin};
