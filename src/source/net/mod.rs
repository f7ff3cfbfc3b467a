//! The way to other hosts: one HTTP client whose every connection is guarded.
//!
//! `oci-client`, the usual crate for registries, was considered and is not used: it builds an HTTP
//! client of its own and lets nobody in at the places that matter here. Plugins' URLs, redirects,
//! and the token servers that registries name come from people who do not own this machine, so
//! every address must be checked after its name was resolved (a name may point anywhere) and at
//! every redirect. That needs our own resolver and our own redirects: see [`guard`] and
//! [`client`]. The types of manifests come from `oci-spec`, challenges are read by `http-auth`.

pub(super) mod client;
mod fault;
pub(super) mod guard;
pub(super) mod session;
mod tls;
pub(super) mod validators;
