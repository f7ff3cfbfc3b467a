//! Compiled modules: each compiled once a process, whatever number of plugins, filter entries,
//! listeners and workers use it; and once a machine, where there is a directory to keep it in.

mod directory;
mod memory;
mod owner;
mod prune;

pub use directory::{CodeDirectory, DirectoryError, EntryError};
pub use memory::{Compiled, Key, Modules, Origin};
