//! Images as directories of the OCI layout, for `skopeo` to push.

use std::fs;
use std::io::Write;
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::{Value, json};
use wasmplugin_host::source::Digest;

pub(crate) const OCI_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(crate) const OCI_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
pub(crate) const SOLO_CONFIG: &str = "application/vnd.module.wasm.config.v1+json";
pub(crate) const SOLO_LAYER: &str = "application/vnd.module.wasm.content.layer.v1+wasm";
pub(crate) const CNCF_CONFIG: &str = "application/vnd.wasm.config.v0+json";
pub(crate) const CNCF_LAYER: &str = "application/wasm";

const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";

/// An image: media types and contents.
#[derive(Clone, Debug)]
pub(crate) struct Image {
    pub(crate) config: (String, Vec<u8>),
    pub(crate) layers: Vec<(String, Vec<u8>)>,
    pub(crate) subject: Option<Value>,
}

impl Image {
    /// An OCI image whose only layer is `files`, packed as `packing` says: "", "+gzip", "+zstd".
    pub(crate) fn oci(files: &[(&str, &[u8])], packing: &str) -> Self {
        let tar = tar(files);
        let packed = match packing {
            "" => tar.clone(),
            "+gzip" => gzip(&tar),
            "+zstd" => zstd(&tar),
            other => panic!("no packing {other}"),
        };
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [oci(&tar)] },
            "history": [],
        });
        Self {
            config: (OCI_CONFIG.to_owned(), config.to_string().into_bytes()),
            layers: vec![(format!("{OCI_LAYER}{packing}"), packed)],
            subject: None,
        }
    }

    /// An artifact.
    pub(crate) fn artifact(config: (&str, &[u8]), layers: &[(&str, &[u8])]) -> Self {
        let own = |(kind, bytes): &(&str, &[u8])| ((*kind).to_owned(), bytes.to_vec());
        Self {
            config: own(&config),
            layers: layers.iter().map(own).collect(),
            subject: None,
        }
    }

    /// Writes it to `directory` under the name `latest`. Its manifest's descriptor.
    pub(crate) fn write(&self, directory: &Path) -> Value {
        let manifest = self.blobs(directory);
        index_file(directory, &manifest);
        manifest
    }

    fn blobs(&self, directory: &Path) -> Value {
        let layers = self.layers.iter();
        let layers: Vec<_> = layers
            .map(|(kind, bytes)| blob(directory, kind, bytes))
            .collect();
        let mut manifest = json!({
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": blob(directory, &self.config.0, &self.config.1),
            "layers": layers,
        });
        if let Some(subject) = &self.subject {
            manifest["subject"] = subject.clone();
        }
        blob(directory, OCI_MANIFEST, manifest.to_string().as_bytes())
    }
}

/// Writes an index of `images`, each with a platform and annotations, under the name `latest`. Its
/// descriptor, and those of the images.
pub(crate) fn write_index(
    directory: &Path,
    images: &[(Image, Value, Value)],
) -> (Value, Vec<Value>) {
    let manifests: Vec<_> = images
        .iter()
        .map(|(image, platform, annotations)| {
            let mut manifest = image.blobs(directory);
            manifest["platform"] = platform.clone();
            manifest["annotations"] = annotations.clone();
            manifest
        })
        .collect();
    let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests });
    let index = blob(directory, OCI_INDEX, index.to_string().as_bytes());
    index_file(directory, &index);
    (index, manifests)
}

/// The hex digits of a descriptor's digest.
pub(crate) fn hex(descriptor: &Value) -> String {
    let digest = descriptor["digest"].as_str().expect("a digest");
    digest.strip_prefix("sha256:").expect("sha256").to_owned()
}

pub(crate) fn tar(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = tar::Header::new_ustar();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, name, *bytes)
            .expect("a tar");
    }
    builder.into_inner().expect("a tar")
}

pub(crate) fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes).expect("memory");
    encoder.finish().expect("memory")
}

fn zstd(bytes: &[u8]) -> Vec<u8> {
    ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
}

fn oci(bytes: &[u8]) -> String {
    format!("sha256:{}", Digest::of(bytes))
}

fn blob(directory: &Path, kind: &str, bytes: &[u8]) -> Value {
    let blobs = directory.join("blobs/sha256");
    fs::create_dir_all(&blobs).expect("a directory");
    fs::write(blobs.join(Digest::of(bytes).to_string()), bytes).expect("a blob");
    json!({ "mediaType": kind, "digest": oci(bytes), "size": bytes.len() })
}

fn index_file(directory: &Path, manifest: &Value) {
    let mut manifest = manifest.clone();
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(directory.join("index.json"), index.to_string()).expect("an index");
    let version = r#"{"imageLayoutVersion": "1.0.0"}"#;
    fs::write(directory.join("oci-layout"), version).expect("a file");
}
