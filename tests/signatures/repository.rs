//! What a registry has of a signed image, read from a fixture, changed, and pushed elsewhere.

use std::fs;
use std::path::PathBuf;

use base64ct::{Base64, Encoding as _};
use serde::Deserialize;
use serde_json::Value;
use wasmplugin_host::source::Digest;

use super::support::http;
use super::support::module::root;

/// The tag of the image in every fixture.
const TAG: &str = "1";

/// A repository's content.
#[derive(Clone)]
pub(crate) struct Repository {
    pub(crate) blobs: Vec<Vec<u8>>,
    /// In an order in which they can be pushed.
    pub(crate) manifests: Vec<Manifest>,
}

#[derive(Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Manifest {
    pub(crate) media_type: String,
    pub(crate) tags: Vec<String>,
    pub(crate) content: String,
}

#[derive(Deserialize)]
struct Fixture {
    blobs: Vec<Blob>,
    manifests: Vec<Manifest>,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Blob {
    Text(String),
    Base64(String),
}

impl Manifest {
    fn is_image(&self) -> bool {
        self.tags.iter().any(|tag| tag == TAG)
    }
}

/// A file of `tests/fixtures/signatures`.
pub(crate) fn fixture(path: &str) -> PathBuf {
    root().join("tests/fixtures/signatures").join(path)
}

pub(crate) fn read(path: &str) -> Vec<u8> {
    fs::read(fixture(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

pub(crate) fn read_text(path: &str) -> String {
    String::from_utf8(read(path)).expect("text")
}

/// `sha256:<hex>`.
pub(crate) fn oci_digest(content: &[u8]) -> String {
    format!("sha256:{}", Digest::of(content))
}

impl Repository {
    /// The fixture of that name.
    pub(crate) fn new(name: &str) -> Self {
        let text = read_text(&format!("images/{name}.json"));
        let fixture: Fixture = serde_json::from_str(&text).expect("a fixture");
        let blobs = fixture.blobs.into_iter().map(|blob| match blob {
            Blob::Text(text) => text.into_bytes(),
            Blob::Base64(text) => Base64::decode_vec(&text).expect("base64"),
        });
        Self {
            blobs: blobs.collect(),
            manifests: fixture.manifests,
        }
    }

    /// The image's manifest, which may be an index.
    pub(crate) fn image_manifest(&self) -> &Manifest {
        let image = self.manifests.iter().find(|manifest| manifest.is_image());
        image.expect("an image")
    }

    /// Its digest.
    pub(crate) fn image(&self) -> String {
        oci_digest(self.image_manifest().content.as_bytes())
    }

    /// Puts another blob in place of the only one that `is` it, and changes all that names it, and
    /// what names that, down to tags: what a clever attacker would do.
    #[must_use]
    pub(crate) fn blob(
        mut self,
        is: impl Fn(&[u8]) -> bool,
        change: impl Fn(&mut Vec<u8>),
    ) -> Self {
        let mut found: Vec<_> = self.blobs.iter_mut().filter(|blob| is(blob)).collect();
        let [blob] = found.as_mut_slice() else {
            panic!("{} blobs are it", found.len());
        };
        let before = oci_digest(blob);
        change(blob);
        let (after, size) = (oci_digest(blob), blob.len());
        self.renamed(&before, &after, size);
        self
    }

    /// As [`Self::blob`], for the only blob that holds `part`: each `part` becomes `with`.
    #[must_use]
    pub(crate) fn replaced(self, part: &str, with: &str) -> Self {
        self.blob(
            |blob| contains(blob, part),
            |blob| {
                let text = String::from_utf8(blob.clone()).expect("text");
                *blob = text.replace(part, with).into_bytes();
            },
        )
    }

    /// Changes the JSON of the only manifest that holds `part`, and all that names it.
    #[must_use]
    pub(crate) fn manifest(mut self, part: &str, change: impl Fn(&mut Value)) -> Self {
        let mut found: Vec<_> = self
            .manifests
            .iter_mut()
            .filter(|manifest| manifest.content.contains(part))
            .collect();
        let [manifest] = found.as_mut_slice() else {
            panic!("{} manifests hold {part}", found.len());
        };
        let before = oci_digest(manifest.content.as_bytes());
        let mut json: Value = serde_json::from_str(&manifest.content).expect("JSON");
        change(&mut json);
        manifest.content = json.to_string();
        let after = oci_digest(manifest.content.as_bytes());
        let size = manifest.content.len();
        self.renamed(&before, &after, size);
        self
    }

    /// Takes the signatures of another image, and says that they are this one's.
    #[must_use]
    pub(crate) fn with_signatures_of(mut self, other: &Self) -> Self {
        let (ours, theirs) = (self.image(), other.image());
        let size = self.image_manifest().content.len();
        let mut other = other.clone();
        other.manifests.retain(|manifest| !manifest.is_image());
        other.renamed(&theirs, &ours, size);
        self.manifests.retain(Manifest::is_image);
        self.manifests.extend(other.manifests);
        self.blobs.extend(other.blobs);
        self
    }

    fn renamed(&mut self, before: &str, after: &str, size: usize) {
        let hex = |digest: &str| digest.replace(':', "-");
        let mut changed = Vec::new();
        for manifest in &mut self.manifests {
            for tag in &mut manifest.tags {
                *tag = tag.replace(&hex(before), &hex(after));
            }
            if !manifest.content.contains(before) {
                continue;
            }
            let old = oci_digest(manifest.content.as_bytes());
            let mut json: Value = serde_json::from_str(&manifest.content).expect("JSON");
            rename(&mut json, before, after, size);
            manifest.content = json.to_string();
            let content = manifest.content.as_bytes();
            changed.push((old, oci_digest(content), content.len()));
        }
        for (before, after, size) in changed {
            self.renamed(&before, &after, size);
        }
    }

    /// Pushes all of it to `name` in the registry on this port; a registry that knows referrers
    /// gets no tags that stand in for them.
    pub(crate) fn push(&self, port: u16, name: &str, has_referrers: bool) {
        for blob in &self.blobs {
            let path = format!("/v2/{name}/blobs/uploads/");
            let answer = http::request(port, "POST", &path, &[], b"");
            assert_eq!(answer.status, 202, "{}", answer.text());
            let location = answer.header("location").expect("a location");
            let path = match location.split_once("://") {
                Some((_, rest)) => &rest[rest.find('/').expect("a path")..],
                None => location,
            };
            let mark = if path.contains('?') { '&' } else { '?' };
            let path = format!("{path}{mark}digest={}", oci_digest(blob));
            let kind = [("content-type", "application/octet-stream")];
            let answer = http::request(port, "PUT", &path, &kind, blob);
            assert_eq!(answer.status, 201, "{}", answer.text());
        }
        for manifest in &self.manifests {
            let content = manifest.content.as_bytes();
            let stands_in = |tag: &&String| tag.starts_with("sha256-") && !tag.ends_with(".sig");
            let tags: Vec<_> = manifest
                .tags
                .iter()
                .filter(|tag| !(has_referrers && stands_in(tag)))
                .cloned()
                .collect();
            if tags.is_empty() && !manifest.tags.is_empty() {
                continue;
            }
            let names = if tags.is_empty() {
                vec![oci_digest(content)]
            } else {
                tags
            };
            for reference in names {
                let path = format!("/v2/{name}/manifests/{reference}");
                let kind = [("content-type", manifest.media_type.as_str())];
                let answer = http::request(port, "PUT", &path, &kind, content);
                assert_eq!(answer.status, 201, "{name}: {}", answer.text());
            }
        }
    }
}

/// In every descriptor of `before`.
fn rename(json: &mut Value, before: &str, after: &str, size: usize) {
    match json {
        Value::Object(fields) => {
            if fields.get("digest").and_then(Value::as_str) == Some(before) {
                fields.insert("digest".to_owned(), after.into());
                fields.insert("size".to_owned(), size.into());
            }
            for value in fields.values_mut() {
                rename(value, before, after, size);
            }
        }
        Value::Array(items) => {
            for item in items {
                rename(item, before, after, size);
            }
        }
        _ => {}
    }
}

pub(crate) fn contains(content: &[u8], part: &str) -> bool {
    content
        .windows(part.len())
        .any(|window| window == part.as_bytes())
}
