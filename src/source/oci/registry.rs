//! What a verifier may ask of the registry that an image came from.

pub use oci_spec::image::Descriptor;

use crate::source::{Digest, FetchError};

/// The repository that an image came from, asked with the client, the credentials and the guards
/// that the image itself was fetched with. Every call blocks, up to `fetch.timeout`. While the
/// registry is away, answers are those of before, where there is a `cacheDir`.
///
/// A trait, so that who verifies can be tested without a registry.
pub trait Registry {
    /// The manifest (or index) called `reference`: a tag, or `sha256:` and 64 hex digits, in which
    /// case its digest was checked. None where the registry has none.
    fn manifest(&self, reference: &str) -> Result<Option<Manifest>, FetchError>;

    /// The content of `blob`, with size and digest checked. It may have `fetch.maxModuleBytes` at
    /// most.
    fn blob(&self, blob: &Descriptor) -> Result<Vec<u8>, FetchError>;

    /// What refers to the manifest `subject`, by the referrers API, and by the tag
    /// `sha256-<digest>` where the registry lacks that API or knows no referrer. Not filtered: the
    /// descriptors carry `artifactType`.
    fn referrers(&self, subject: Digest) -> Result<Vec<Descriptor>, FetchError>;
}

/// A manifest or an index, as its bytes, because these are what digests and signatures are of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// As the registry calls it.
    pub media_type: String,
    /// Of `bytes`.
    pub digest: Digest,
    /// JSON.
    pub bytes: Vec<u8>,
}
