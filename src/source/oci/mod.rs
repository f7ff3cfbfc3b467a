//! Modules in OCI registries: a reference becomes a manifest, the manifest a layer, the layer a
//! module, and each step checks the digest that the one before named.

pub(super) mod answers;
pub(super) mod api;
mod auth;
pub(super) mod image;
mod layout;
pub(super) mod reference;
mod registry;
pub(super) mod repository;

pub use image::Image;
pub use layout::Layout;
pub use registry::{Descriptor, Manifest, Registry};
