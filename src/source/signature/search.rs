//! Where signatures of a module are looked for, one place after the other, until one is valid.
//!
//! In the module itself; beside a file, at `<url>.sig`; for an image in its registry: the tag
//! `sha256-<hex>.sig` of cosign 1 and 2, and the referrers of cosign 3, each for the image's
//! manifest and for the index that led to it.
//!
//! What a registry says is never trusted, only looked at: it may hide a signature, and with it
//! the plugin, but not make one.

use std::time::{Duration, Instant};

use oci_spec::image::ImageManifest;

use super::evidence::{Evidence, Subject};
use super::keys::{Key, Keys};
use super::nearby::Nearby;
use super::reason::{Attempt, Reason, Refused};
use super::{bundle, embedded, simple};
use crate::source::{Descriptor, Digest, FetchError, Registry, Sidecar};

/// The most bytes of a manifest, payload, bundle or file beside a module. A bundle with all proofs
/// has some 10 KiB.
pub const MAX_EVIDENCE_BYTES: u64 = 1 << 20;

/// The most signatures of one image and kind that are looked at. Each costs a request or two.
const MAX_SIGNATURES: usize = 64;

/// The longest that one search goes on asking. A request may take `fetch.timeout`; a registry that
/// dawdles must not keep the thread that other plugins wait for.
const LONGEST: Duration = Duration::from_secs(60);

/// `artifactType` of simple signing as a referrer, which cosign 2 can do.
const SIMPLE_ARTIFACT: &str = "application/vnd.dev.cosign.artifact.sig.v1+json";

/// What cosign 2 and registries made of the same library say of an artifact in place of its type:
/// the type of its configuration, which is empty.
const EMPTY_CONFIG: &str = "application/vnd.oci.empty.v1+json";

/// `artifactType` of Notation's.
const NOTATION_ARTIFACT: &str = "application/vnd.cncf.notary.signature";

/// A valid signature: who made it, and what showed it.
pub(super) struct Found<'k> {
    pub(super) key: &'k Key,
    pub(super) place: String,
    pub(super) evidence: Evidence,
}

/// Looks for a valid signature of `subject`. Blocks.
pub(super) fn search<'k>(
    subject: &Subject<'_>,
    nearby: &dyn Nearby,
    keys: &'k Keys,
) -> Result<Found<'k>, Refused> {
    let mut search = Search {
        subject,
        keys,
        attempts: Vec::new(),
        begin: Instant::now(),
    };
    match search.run(nearby) {
        Some(found) => Ok(found),
        None => Err(Refused(search.attempts)),
    }
}

struct Search<'a, 'k> {
    subject: &'a Subject<'a>,
    keys: &'k Keys,
    attempts: Vec<Attempt>,
    begin: Instant,
}

impl<'k> Search<'_, 'k> {
    fn run(&mut self, nearby: &dyn Nearby) -> Option<Found<'k>> {
        let is_image = !self.subject.images.is_empty();
        // Images are rarely signed inside as well: no word about it where there is nothing.
        if !is_image || embedded::find(self.subject.module).is_some() {
            let found = self.check("the module's section \"signature\"", Evidence::Embedded);
            if found.is_some() {
                return found;
            }
        }
        if is_image {
            self.image(nearby)
        } else {
            self.file(nearby)
        }
    }

    fn file(&mut self, nearby: &dyn Nearby) -> Option<Found<'k>> {
        let Sidecar { place, content } = nearby.sidecar()?;
        match content.map_err(|error| failed(&error)).and_then(present) {
            Ok(content) => self.check(&place, Evidence::Sidecar(content)),
            Err(reason) => self.fail(&place, reason),
        }
    }

    fn image(&mut self, nearby: &dyn Nearby) -> Option<Found<'k>> {
        let registry = match nearby.registry() {
            Ok(registry) => registry,
            Err(error) => return self.fail("the registry", failed(&error)),
        };
        let images = self.subject.images;
        for image in images {
            for look in [Self::tag, Self::referrers] {
                let found = look(self, &*registry, *image);
                if found.is_some() || self.is_over() {
                    return found;
                }
            }
        }
        None
    }

    fn check(&mut self, place: &str, evidence: Evidence) -> Option<Found<'k>> {
        match evidence.check(self.subject, self.keys) {
            Ok(key) => Some(Found {
                key,
                place: place.to_owned(),
                evidence,
            }),
            Err(reason) => self.fail(place, reason),
        }
    }

    fn fail<T>(&mut self, place: &str, reason: Reason) -> Option<T> {
        self.attempts.push(Attempt {
            place: place.to_owned(),
            reason,
        });
        None
    }

    /// Whether to stop asking: whoever does not answer now keeps us waiting the next time, too.
    fn is_over(&mut self) -> bool {
        let last = self.attempts.last();
        if last.is_some_and(|last| matches!(last.reason, Reason::Away(_) | Reason::TooSlow(_))) {
            return true;
        }
        let is_slow = self.begin.elapsed() > LONGEST;
        if is_slow {
            self.fail::<()>("the registry", Reason::TooSlow(LONGEST));
        }
        is_slow
    }

    /// The tag of cosign 1 and 2.
    fn tag(&mut self, registry: &dyn Registry, image: Digest) -> Option<Found<'k>> {
        let tag = format!("sha256-{image}.sig");
        let place = format!("tag {tag}");
        match manifest(registry, &tag) {
            Ok(manifest) => self.simple(registry, &place, &manifest),
            Err(reason) => self.fail(&place, reason),
        }
    }

    /// The layers of a manifest of simple signatures: each is a signature.
    fn simple(
        &mut self,
        registry: &dyn Registry,
        place: &str,
        manifest: &ImageManifest,
    ) -> Option<Found<'k>> {
        let layers = manifest.layers();
        if let Err(reason) = few(layers) {
            return self.fail(place, reason);
        }
        for (at, layer) in layers.iter().enumerate() {
            let place = numbered(place, at, layers.len());
            let found = match simple_evidence(registry, layer) {
                Ok(evidence) => self.check(&place, evidence),
                Err(reason) => self.fail(&place, reason),
            };
            if found.is_some() || self.is_over() {
                return found;
            }
        }
        None
    }

    /// Manifests that name the image as their subject.
    fn referrers(&mut self, registry: &dyn Registry, image: Digest) -> Option<Found<'k>> {
        let place = format!("referrers of sha256:{image}");
        let mut referrers = match registry.referrers(image) {
            Ok(referrers) => referrers,
            Err(error) => return self.fail(&place, failed(&error)),
        };
        // A descriptor may leave the type out; then the manifest has it.
        referrers.retain(|descriptor| match descriptor.artifact_type() {
            Some(kind) => kind.as_ref() == EMPTY_CONFIG || is_signature(kind.as_ref()),
            None => true,
        });
        if let Err(reason) = few(&referrers) {
            return self.fail(&place, reason);
        }
        let before = self.attempts.len();
        for (at, descriptor) in referrers.iter().enumerate() {
            let place = numbered(&place, at, referrers.len());
            let found = self.referrer(registry, &place, descriptor);
            if found.is_some() || self.is_over() {
                return found;
            }
        }
        if self.attempts.len() == before {
            return self.fail(&place, Reason::Missing);
        }
        None
    }

    fn referrer(
        &mut self,
        registry: &dyn Registry,
        place: &str,
        descriptor: &Descriptor,
    ) -> Option<Found<'k>> {
        let manifest = bounded(descriptor.size())
            .and_then(|()| manifest(registry, descriptor.digest().as_ref()));
        let manifest = match manifest {
            Ok(manifest) => manifest,
            Err(reason) => return self.fail(place, reason),
        };
        let kind = match manifest.artifact_type() {
            Some(kind) => kind,
            None => manifest.config().media_type(),
        };
        match kind.as_ref() {
            NOTATION_ARTIFACT => self.fail(place, Reason::Unsupported("a Notation signature")),
            SIMPLE_ARTIFACT => self.simple(registry, place, &manifest),
            kind if bundle::is_media_type(kind) => match bundle_evidence(registry, &manifest) {
                Ok(evidence) => self.check(place, evidence),
                Err(reason) => self.fail(place, reason),
            },
            // Something else about the image: an SBOM, for example.
            _ => None,
        }
    }
}

fn is_signature(artifact: &str) -> bool {
    [SIMPLE_ARTIFACT, NOTATION_ARTIFACT].contains(&artifact) || bundle::is_media_type(artifact)
}

/// The manifest of a tag or digest.
fn manifest(registry: &dyn Registry, reference: &str) -> Result<ImageManifest, Reason> {
    let answer = registry
        .manifest(reference)
        .map_err(|error| failed(&error))?;
    let bytes = present(answer)?.bytes;
    bounded(bytes.len() as u64)?;
    ImageManifest::from_reader(bytes.as_slice())
        .map_err(|error| Reason::malformed("the manifest", error))
}

fn simple_evidence(registry: &dyn Registry, layer: &Descriptor) -> Result<Evidence, Reason> {
    let kind = layer.media_type().as_ref();
    if kind != simple::MEDIA_TYPE {
        return Err(Reason::Kind {
            what: "media type",
            want: simple::MEDIA_TYPE,
            got: kind.to_owned(),
        });
    }
    let annotations = layer.annotations().as_ref();
    let signature = annotations.and_then(|annotations| annotations.get(simple::SIGNATURE));
    let signature = signature.ok_or_else(|| {
        Reason::malformed("the manifest", format!("it lacks {}", simple::SIGNATURE))
    })?;
    Ok(Evidence::Simple {
        payload: blob(registry, layer)?,
        signature: signature.clone(),
    })
}

fn bundle_evidence(registry: &dyn Registry, manifest: &ImageManifest) -> Result<Evidence, Reason> {
    match manifest.layers().as_slice() {
        [layer] => Ok(Evidence::Bundle(blob(registry, layer)?)),
        layers => Err(Reason::malformed(
            "the manifest",
            format!("it has {} layers, where a bundle has one", layers.len()),
        )),
    }
}

/// A blob; its digest was checked by the registry's client.
fn blob(registry: &dyn Registry, descriptor: &Descriptor) -> Result<Vec<u8>, Reason> {
    bounded(descriptor.size())?;
    let bytes = registry.blob(descriptor).map_err(|error| failed(&error))?;
    bounded(bytes.len() as u64).map(|()| bytes)
}

fn failed(error: &FetchError) -> Reason {
    if let FetchError::TooLarge { size, limit, .. } = error {
        return Reason::TooLarge {
            size: size.unwrap_or(limit + 1),
            limit: *limit,
        };
    }
    if error.is_transient() {
        Reason::Away(error.to_string())
    } else {
        Reason::Unreachable(error.to_string())
    }
}

fn bounded(size: u64) -> Result<(), Reason> {
    if size > MAX_EVIDENCE_BYTES {
        return Err(Reason::TooLarge {
            size,
            limit: MAX_EVIDENCE_BYTES,
        });
    }
    Ok(())
}

fn present<T>(answer: Option<T>) -> Result<T, Reason> {
    answer.ok_or(Reason::Missing)
}

fn few(items: &[Descriptor]) -> Result<(), Reason> {
    if items.len() > MAX_SIGNATURES {
        return Err(Reason::TooMany {
            count: items.len(),
            limit: MAX_SIGNATURES,
        });
    }
    Ok(())
}

/// Which of several, where there are several.
fn numbered(place: &str, at: usize, count: usize) -> String {
    if count > 1 {
        format!("{place}, {} of {count}", at + 1)
    } else {
        place.to_owned()
    }
}
