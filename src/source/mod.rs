//! Where modules come from: a URL becomes bytes with a checked digest.
//!
//! This version reads `file://`; http(s) and OCI registries come next and say so in their
//! error until then.

mod digest;
mod file;

pub use digest::{Digest, Fetched};

use thiserror::Error;

use crate::plugin::{ModuleUrl, PluginSpec};

/// Why a module could not be had.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The file cannot be read.
    #[error("cannot read {path:?}: {source}")]
    File {
        /// As written, after `file://`.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// Larger than `fetch.maxModuleBytes`.
    #[error("{url} has {size} bytes, more than fetch.maxModuleBytes = {limit}")]
    TooLarge {
        /// The module.
        url: String,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// Not what `sha256` says.
    #[error("sha256 mismatch: the resource wants {want}, the file's content has {got}")]
    Digest {
        /// `sha256` of the resource.
        want: String,
        /// Of what was read.
        got: Digest,
    },
    /// Not a WebAssembly module.
    #[error("not a WebAssembly module: {0}")]
    NotWasm(&'static str),
    /// A scheme that this version cannot fetch.
    #[error("{0}: this version loads file:// modules only")]
    Scheme(String),
}

/// Reads the module of `plugin`, checks size, digest and header. Blocks.
pub fn fetch(plugin: &PluginSpec, max_bytes: u64) -> Result<Fetched, FetchError> {
    match &plugin.url {
        ModuleUrl::File(path) => {
            let bytes = file::read(path, &plugin.url, max_bytes)?;
            Fetched::check(bytes, plugin.sha256.as_deref())
        }
        url @ (ModuleUrl::Http(_) | ModuleUrl::Oci(_)) => Err(FetchError::Scheme(url.to_string())),
    }
}
