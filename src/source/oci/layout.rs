//! The layouts in which images carry a module, and which layer it is in.
//!
//! | layout | layer | made by |
//! |---|---|---|
//! | Docker image | a tar with `plugin.wasm` | `docker build` |
//! | OCI image ("compat") | the same | `buildah`, `buildkit` |
//! | artifact of solo.io | the module, next to a layer of configuration or alone | `wasme`, `oras` |
//! | artifact of the CNCF | the module | `wkg`, `oras` |
//!
//! Istio knows the first three, wants two layers in the third, gzip in the first two, and looks
//! into the last layer only. Here the layers of an image are searched from the last to the first,
//! as they would cover each other.

use std::fmt;

use oci_spec::image::{Descriptor, ImageManifest, MediaType};

/// Types of layers that are a module themselves.
const SOLO: [&str; 2] = [
    "application/vnd.module.wasm.content.layer.v1+wasm",
    "application/vnd.wasm.content.layer.v1+wasm",
];
const CNCF: &str = "application/wasm";

/// solo.io's type of configurations, also seen as a layer.
const SOLO_CONFIG: &str = "application/vnd.module.wasm.config.v1+json";

/// Docker's types.
const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
const DOCKER_LAYER: &str = "application/vnd.docker.image.rootfs.diff.tar";

/// Types of layers that an error tells.
const TYPES: usize = 5;

const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// How an image carries its module.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Layout {
    /// An image as Docker makes it.
    Docker,
    /// An OCI image, "compat variant".
    Oci,
    /// An artifact of solo.io's specification.
    Solo,
    /// An artifact of the CNCF's specification.
    Cncf,
}

impl Layout {
    /// As `inspect` prints it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Docker => "Docker image",
            Self::Oci => "OCI image",
            Self::Solo => "solo.io artifact",
            Self::Cncf => "CNCF artifact",
        }
    }
}

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Where the module is.
#[derive(Debug)]
pub(super) enum Place<'m> {
    /// This layer is the module.
    Layer(Layout, &'m Descriptor),
    /// In one of these, the first one first.
    Inside(Layout, Vec<&'m Descriptor>),
}

impl<'m> Place<'m> {
    /// Finds out where `manifest`, which the registry calls `media_type`, has its module; or tells
    /// what it has instead.
    pub(super) fn of(manifest: &'m ImageManifest, media_type: &str) -> Result<Self, String> {
        let layers = manifest.layers();
        let raw: Vec<_> = layers
            .iter()
            .filter(|layer| is(layer, CNCF) || SOLO.iter().any(|solo| is(layer, solo)))
            .collect();
        match raw.as_slice() {
            [] => {}
            [layer] => {
                let layout = if is(layer, CNCF) {
                    Layout::Cncf
                } else {
                    Layout::Solo
                };
                return Ok(Self::Layer(layout, layer));
            }
            several => {
                return Err(format!(
                    "it has {} layers that are modules each, and nothing tells which one is meant",
                    several.len()
                ));
            }
        }
        let tars: Vec<_> = layers.iter().rev().filter(|layer| is_tar(layer)).collect();
        if tars.is_empty() {
            return Err(found(manifest));
        }
        let config = manifest.config().media_type().as_ref();
        let layout = if media_type == DOCKER_MANIFEST || config == DOCKER_CONFIG {
            Layout::Docker
        } else {
            Layout::Oci
        };
        Ok(Self::Inside(layout, tars))
    }
}

/// What `manifest` is made of, for an error.
fn found(manifest: &ImageManifest) -> String {
    let config = manifest.config().media_type();
    let layers = manifest.layers();
    if layers.is_empty() {
        let config = config.as_ref().escape_debug();
        return format!("it has no layers, and a configuration of type {config}");
    }
    let types: Vec<_> = layers
        .iter()
        .take(TYPES)
        .map(|layer| layer.media_type().as_ref())
        .collect();
    let hint = if config.as_ref() == SOLO_CONFIG {
        " (an artifact of solo.io without its module)"
    } else {
        ""
    };
    // Somebody else chose these, and they go into logs.
    let config = config.as_ref().escape_debug();
    let types = types.join(", ");
    let types = types.escape_debug();
    format!(
        "its configuration is of type {config}, its layers are of type {types}{hint}; wanted is a \
         layer of type {CNCF} or {}, or a tar with the file {}",
        SOLO.join(" or "),
        crate::source::unbox::PLUGIN,
    )
}

fn is(layer: &Descriptor, media_type: &str) -> bool {
    layer.media_type().as_ref() == media_type
}

/// Whether a layer is a tar, packed or not. How it is packed is told by its content.
fn is_tar(layer: &Descriptor) -> bool {
    let MediaType::Other(media_type) = layer.media_type() else {
        return layer.media_type().as_ref().starts_with(OCI_LAYER);
    };
    let packing = media_type
        .strip_prefix(DOCKER_LAYER)
        .or_else(|| media_type.strip_prefix(OCI_LAYER));
    packing.is_some_and(|packing| matches!(packing, "" | ".gzip" | ".zstd" | "+gzip" | "+zstd"))
}
