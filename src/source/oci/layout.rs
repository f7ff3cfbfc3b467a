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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// The layout of a manifest with these types, and the sizes of the layers to look into.
    fn place(manifest: &str, config: &str, layers: &[&str]) -> Result<(Layout, Vec<u64>), String> {
        let descriptor = |(size, kind): (usize, &&str)| {
            let digest = format!("sha256:{}", "0".repeat(64));
            json!({ "mediaType": kind, "digest": digest, "size": size })
        };
        let layers: Vec<_> = layers.iter().enumerate().map(descriptor).collect();
        let config = descriptor((0, &config));
        let text = json!({ "schemaVersion": 2, "config": config, "layers": layers });
        let parsed: ImageManifest = serde_json::from_value(text).unwrap();
        Ok(match Place::of(&parsed, manifest)? {
            Place::Layer(layout, layer) => (layout, vec![layer.size()]),
            Place::Inside(layout, layers) => {
                (layout, layers.iter().map(|layer| layer.size()).collect())
            }
        })
    }

    #[test]
    fn layouts_are_told_by_their_types() {
        let oci = |packing: &str| format!("{OCI_LAYER}{packing}");
        let docker = |packing: &str| format!("{DOCKER_LAYER}{packing}");
        let oci_config = "application/vnd.oci.image.config.v1+json";
        for (manifest, config, layers, found) in [
            (
                DOCKER_MANIFEST,
                DOCKER_CONFIG,
                vec![docker(".gzip"), docker(".gzip")],
                (Layout::Docker, vec![1, 0]),
            ),
            (
                "",
                DOCKER_CONFIG,
                vec![docker("")],
                (Layout::Docker, vec![0]),
            ),
            (
                "",
                oci_config,
                vec![oci("+gzip"), oci("+zstd"), oci("")],
                (Layout::Oci, vec![2, 1, 0]),
            ),
            (
                "",
                SOLO_CONFIG,
                vec![SOLO_CONFIG.to_owned(), SOLO[0].to_owned()],
                (Layout::Solo, vec![1]),
            ),
            (
                "",
                SOLO_CONFIG,
                vec![SOLO[1].to_owned()],
                (Layout::Solo, vec![0]),
            ),
            (
                "",
                "application/vnd.wasm.config.v0+json",
                vec![CNCF.to_owned()],
                (Layout::Cncf, vec![0]),
            ),
        ] {
            let layers: Vec<_> = layers.iter().map(String::as_str).collect();
            assert_eq!(place(manifest, config, &layers), Ok(found), "{layers:?}");
        }
    }

    #[test]
    fn what_is_no_layout_is_told() {
        for (layers, told) in [
            (&[][..], "no layers"),
            (&["application/x\n"], "application/x\\n"),
            (&["application/vnd.oci.image.layer.v1.tar+x"], "tar+x"),
            (&[CNCF, CNCF], "2 layers"),
            (&[SOLO_CONFIG], "without its module"),
        ] {
            let error = place("", SOLO_CONFIG, layers).unwrap_err();
            assert!(error.contains(told), "{layers:?}: {error}");
        }
    }
}
