//! From a reference to a module: the index if there is one, the manifest, the layer.

use oci_spec::image::{Descriptor, ImageIndex, ImageManifest};
use serde::{Deserialize, Serialize};

use super::api::Api;
use super::layout::{Layout, Place};
use super::registry::Manifest;
use crate::source::FetchError;
use crate::source::digest::Digest;
use crate::source::unbox;

/// Indexes in indexes; one level is in use.
const DEPTH: usize = 3;

const INDEXES: [&str; 2] = [
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
];

/// The image that a module came in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Image {
    /// The digest of the manifest: what `sha256` of a resource means.
    pub manifest: Digest,
    /// The digest of the index that led to it, where the reference named an index.
    pub index: Option<Digest>,
    /// How it carries the module.
    pub layout: Layout,
    /// `pluginName`s that the module says it serves (`runtime-config.json`).
    pub root_ids: Vec<String>,
}

impl Image {
    /// Compares with `sha256` of a resource.
    pub(crate) fn check(&self, want: Option<&str>) -> Result<(), FetchError> {
        check(want, self.manifest, self.index)
    }
}

/// A manifest, and how it was found.
pub(crate) struct Resolved {
    manifest: Manifest,
    index: Option<Digest>,
}

impl Resolved {
    /// Asks for the manifest of `api`'s reference; of an index, for the one that fits.
    pub(crate) async fn ask(api: &Api<'_>) -> Result<Self, FetchError> {
        let mut manifest = api.manifest(&api.reference().wanted()).await?;
        let mut index = None;
        for _ in 0..DEPTH {
            let what = format!("manifest {}", api.reference());
            let unreadable = |error: serde_json::Error| FetchError::Manifest {
                what: what.clone(),
                reason: error.to_string(),
            };
            let kind = kind(&manifest).map_err(unreadable)?;
            if !INDEXES.contains(&kind.as_str()) {
                manifest.media_type = kind;
                return Ok(Self { manifest, index });
            }
            // The outermost one is what the reference names.
            index.get_or_insert(manifest.digest);
            let list: ImageIndex = serde_json::from_slice(&manifest.bytes).map_err(unreadable)?;
            let best = best(list.manifests()).ok_or_else(|| FetchError::Manifest {
                what: what.clone(),
                reason: "it lists no image".to_owned(),
            })?;
            manifest = api.manifest(best.digest().as_ref()).await?;
        }
        Err(FetchError::Manifest {
            what: format!("index {}", api.reference()),
            reason: format!("more than {DEPTH} indexes in each other"),
        })
    }

    /// The digest of the manifest.
    pub(crate) const fn manifest(&self) -> Digest {
        self.manifest.digest
    }

    /// The digest of the index, if there was one.
    pub(crate) const fn index(&self) -> Option<Digest> {
        self.index
    }

    /// Compares with `sha256` of a resource.
    pub(crate) fn check(&self, want: Option<&str>) -> Result<(), FetchError> {
        check(want, self.manifest.digest, self.index)
    }

    /// Fetches the module.
    pub(crate) async fn pull(&self, api: &Api<'_>) -> Result<(Vec<u8>, Image), FetchError> {
        let what = format!("manifest {}", api.reference());
        let manifest: ImageManifest =
            serde_json::from_slice(&self.manifest.bytes).map_err(|error| FetchError::Manifest {
                what,
                reason: format!(
                    "a manifest of type {:?} that cannot be read: {error}",
                    self.manifest.media_type
                ),
            })?;
        let image = |layout, root_ids| Image {
            manifest: self.manifest.digest,
            index: self.index,
            layout,
            root_ids,
        };
        let no_module = |found: String| FetchError::Layout {
            what: format!("image {}", api.reference()),
            found,
        };
        let place = Place::of(&manifest, &self.manifest.media_type).map_err(no_module)?;
        match place {
            Place::Layer(layout, layer) => {
                let bytes = api.blob(layer, "layer").await?;
                Ok((bytes, image(layout, Vec::new())))
            }
            Place::Inside(layout, layers) => {
                let mut names = Vec::new();
                for layer in layers {
                    let what = format!("layer {} of {}", layer.digest(), api.reference());
                    let packed = api.blob(layer, "layer").await?;
                    let found = unbox::layer(&packed, &what, api.max_bytes())?;
                    if let Some(module) = found.module {
                        let root_ids = root_ids(found.runtime_config.as_deref());
                        return Ok((module, image(layout, root_ids)));
                    }
                    names.extend(found.names);
                }
                Err(no_module(format!(
                    "it has the layout \"{layout}\", and no layer has the file {}; it has {}",
                    unbox::PLUGIN,
                    if names.is_empty() {
                        "no file".to_owned()
                    } else {
                        // Somebody else chose them, and this goes into logs.
                        names.join(", ").escape_debug().to_string()
                    }
                )))
            }
        }
    }
}

/// For fuzzing: reads `bytes` as a manifest, an index and what says which plugins a module serves.
pub(crate) fn read_anything(bytes: &[u8]) {
    let manifest = Manifest {
        media_type: String::new(),
        digest: Digest::of(bytes),
        bytes: bytes.to_vec(),
    };
    let _kind = kind(&manifest);
    if let Ok(list) = serde_json::from_slice::<ImageIndex>(bytes) {
        let _best = best(list.manifests());
    }
    if let Ok(manifest) = serde_json::from_slice::<ImageManifest>(bytes) {
        let _place = Place::of(&manifest, "");
    }
    drop(root_ids(Some(bytes)));
}

/// Compares `sha256` of a resource with the manifest's digest, as Istio has it, and with that of the
/// index, which is what people see and copy.
fn check(want: Option<&str>, manifest: Digest, index: Option<Digest>) -> Result<(), FetchError> {
    let Some(want) = want else { return Ok(()) };
    let got = [Some(manifest), index];
    let got: Vec<_> = got.iter().flatten().map(Digest::to_string).collect();
    if got.iter().any(|digest| digest == want) {
        return Ok(());
    }
    Err(FetchError::Checksum {
        want: want.to_owned(),
        hashed: if index.is_some() {
            "the image's manifest or its index"
        } else {
            "the image's manifest"
        },
        got: got.join(" or "),
    })
}

/// What a manifest says it is; else what the registry says.
fn kind(manifest: &Manifest) -> Result<String, serde_json::Error> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        media_type: Option<String>,
        manifests: Option<serde::de::IgnoredAny>,
    }
    let kind: Kind = serde_json::from_slice(&manifest.bytes)?;
    // An index may leave its type out, and a server of files knows no types.
    let is_index = kind.manifests.is_some();
    let stated = kind
        .media_type
        .unwrap_or_else(|| manifest.media_type.clone());
    Ok(match INDEXES {
        [oci, _] if is_index && !INDEXES.contains(&stated.as_str()) => oci.to_owned(),
        _ => stated,
    })
}

/// The image of an index to take: one for WebAssembly if there is one, else what Istio takes
/// (linux/amd64), else the first. Attestations are no images.
fn best(manifests: &[Descriptor]) -> Option<&Descriptor> {
    let rank = |descriptor: &Descriptor| match descriptor.platform() {
        Some(platform) => match (
            platform.architecture().to_string(),
            platform.os().to_string(),
        ) {
            (architecture, os) if architecture.starts_with("wasm") || os.starts_with("was") => 0,
            (architecture, os) if architecture == "amd64" && os == "linux" => 1,
            _ => 3,
        },
        None => 2,
    };
    let is_image = |descriptor: &&Descriptor| {
        let annotations = descriptor.annotations().as_ref();
        let attested = annotations.is_some_and(|all| all.contains_key("vnd.docker.reference.type"));
        !attested
    };
    // The first of the best.
    manifests
        .iter()
        .filter(is_image)
        .min_by_key(|one| rank(one))
}

/// `config.rootIds` of a `runtime-config.json`. A hint, so that one that cannot be read is none.
fn root_ids(runtime_config: Option<&[u8]>) -> Vec<String> {
    let config = runtime_config.and_then(|text| serde_json::from_slice(text).ok());
    let config: serde_json::Value = config.unwrap_or_default();
    let ids = ["rootIds", "root_ids"].iter().find_map(|name| {
        config
            .get("config")
            .unwrap_or(&config)
            .get(name)?
            .as_array()
    });
    ids.into_iter()
        .flatten()
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn descriptor(number: u8, platform: Value, annotations: Value) -> Descriptor {
        let descriptor = json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": format!("sha256:{}", Digest::of(&[number])),
            "size": number,
            "platform": platform,
            "annotations": annotations,
        });
        serde_json::from_value(descriptor).unwrap()
    }

    #[test]
    fn the_image_for_webassembly_is_taken_before_the_one_that_istio_takes() {
        let platform =
            |architecture: &str, os: &str| json!({ "architecture": architecture, "os": os });
        let attested = json!({ "vnd.docker.reference.type": "attestation-manifest" });
        let all = [
            descriptor(0, platform("wasm", "wasip1"), attested),
            descriptor(1, platform("arm64", "linux"), Value::Null),
            descriptor(2, Value::Null, Value::Null),
            descriptor(3, platform("amd64", "linux"), Value::Null),
            descriptor(4, platform("amd64", "linux"), Value::Null),
            descriptor(5, platform("wasm", "wasip1"), Value::Null),
        ];
        for (count, taken) in [
            (1, None),
            (2, Some(1)),
            (3, Some(2)),
            (5, Some(3)),
            (6, Some(5)),
        ] {
            let best = best(&all[..count]).map(Descriptor::size);
            assert_eq!(best, taken, "of {count}");
        }
    }

    #[test]
    fn an_index_is_told_by_what_it_has() {
        let kind = |text: &str, media_type: &str| {
            let manifest = Manifest {
                media_type: media_type.to_owned(),
                digest: Digest::of(text.as_bytes()),
                bytes: text.as_bytes().to_vec(),
            };
            INDEXES.contains(&kind(&manifest).unwrap().as_str())
        };
        assert!(kind(r#"{"manifests": []}"#, "application/json"));
        assert!(kind(&format!(r#"{{"mediaType": "{}"}}"#, INDEXES[1]), ""));
        assert!(kind("{}", INDEXES[0]));
        assert!(!kind(r#"{"layers": []}"#, "application/json"));
    }

    #[test]
    fn root_ids_are_a_hint() {
        for (text, ids) in [
            (r#"{"config": {"rootIds": ["a", "b", 1]}}"#, &["a", "b"][..]),
            (
                r#"{"type": "envoy_proxy", "config": {"root_ids": ["c"]}}"#,
                &["c"],
            ),
            ("{}", &[]),
            ("[", &[]),
        ] {
            assert_eq!(root_ids(Some(text.as_bytes())), ids, "{text}");
        }
        assert!(root_ids(None).is_empty());
    }
}
