//! Where modules come from: a URL becomes bytes with a checked digest.
//!
//! ```text
//!                  ┌▶ file ───────────────────────────┐
//!   Fetcher ─▶ store ─▶ net ─▶ http ──▶ unbox ────────┼─▶ Fetched (bytes, digest, image)
//!                        └───▶ oci ──▶ layout, unbox ─┘
//! ```
//!
//! | part | what it knows |
//! |---|---|
//! | [`Fetcher`] | when to ask, when the store will do, who waits for whom |
//! | `net` | HTTP with guards: addresses, redirects, sizes, time; attempts |
//! | `oci` | registries: references, tokens, indexes, the layouts of images |
//! | `unbox` | gzip, zstd and tar, with limits |
//! | `secret` | pull secrets as Kubernetes mounts them |
//! | `store` | modules on disk or in memory |
//! | [`signature`] | who signed a module; what may be compiled |
//!
//! Nothing here runs on Envoy's threads, and nothing goes on after a call has returned.

mod digest;
mod error;
mod fetched;
mod fetcher;
mod file;
mod flight;
mod hostile;
mod http;
mod label;
mod net;
mod oci;
mod progress;
mod request;
mod secret;
mod sidecar;
pub mod signature;
mod store;
mod unbox;

pub use digest::Digest;
pub use error::FetchError;
pub use fetched::{Fetched, Origin};
pub use fetcher::{Fetcher, Freshness, Outcome};
pub use hostile::read_anything;
pub use label::{Label, Stats};
pub use oci::{Descriptor, Image, Layout, Manifest, Registry, repository::Repository};
pub use progress::Progress;
pub use request::Request;
pub use secret::SecretName;
pub use sidecar::Sidecar;
pub use store::Lease;
