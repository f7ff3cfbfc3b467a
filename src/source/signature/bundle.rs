//! Sigstore bundles: a signature with what belongs to it, as JSON.
//!
//! cosign writes one per image as a referrer in the registry, and one per file with `sign-blob`.
//! Of the parts we look at the signature alone. The bundle's own mention of a key or certificate
//! is no reason to trust either; proofs of a transparency log need the log's keys, which
//! a `verificationKey` does not have.

use serde::Deserialize;

use super::keys::{Key, Keys};
use super::reason::Reason;
use super::statement::{Envelope, decode};
use crate::source::Digest;
use sha2::{Digest as _, Sha384, Sha512};

/// The media type of today's bundles.
pub(super) const MEDIA_TYPE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";

/// Earlier ones: their signatures are written in the same way.
const EARLIER: [&str; 3] = [
    "application/vnd.dev.sigstore.bundle+json;version=0.3",
    "application/vnd.dev.sigstore.bundle+json;version=0.2",
    "application/vnd.dev.sigstore.bundle+json;version=0.1",
];

/// Whether `media_type` is a bundle's.
pub(super) fn is_media_type(media_type: &str) -> bool {
    media_type == MEDIA_TYPE || EARLIER.contains(&media_type)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Bundle {
    media_type: String,
    message_signature: Option<MessageSignature>,
    dsse_envelope: Option<Envelope>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct MessageSignature {
    message_digest: Option<MessageDigest>,
    signature: String,
}

/// cosign leaves both out for Ed25519 keys.
#[derive(Deserialize)]
struct MessageDigest {
    #[serde(default)]
    algorithm: String,
    #[serde(default)]
    digest: String,
}

/// What cosign 2 writes with `sign-blob --bundle`.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct LocalBundle {
    base64_signature: String,
}

/// What a bundle is a signature of.
pub(super) enum Content {
    /// A file.
    File(FileSignature),
    /// A statement about something.
    Statement(Envelope),
}

/// A signature of a file.
pub(super) struct FileSignature {
    digest: Option<MessageDigest>,
    signature: Vec<u8>,
}

/// Reads a bundle, of whatever version.
pub(super) fn read(json: &[u8]) -> Result<Content, Reason> {
    // Which of the two it is must not depend on which of them fails to decode.
    let fields: std::collections::BTreeMap<String, serde::de::IgnoredAny> = decoded(json)?;
    if fields.contains_key("base64Signature") && !fields.contains_key("mediaType") {
        let bundle: LocalBundle = decoded(json)?;
        return Ok(Content::File(FileSignature {
            digest: None,
            signature: decode("the bundle's signature", &bundle.base64_signature)?,
        }));
    }
    let bundle: Bundle = decoded(json)?;
    if !is_media_type(&bundle.media_type) {
        return Err(Reason::Kind {
            what: "mediaType",
            want: MEDIA_TYPE,
            got: bundle.media_type,
        });
    }
    match (bundle.message_signature, bundle.dsse_envelope) {
        (Some(message), None) => Ok(Content::File(FileSignature {
            signature: decode("the bundle's signature", &message.signature)?,
            digest: message.message_digest,
        })),
        (None, Some(envelope)) => Ok(Content::Statement(envelope)),
        (None, None) => Err(Reason::malformed("the bundle", "it has no signature")),
        (Some(_), Some(_)) => Err(Reason::malformed(
            "the bundle",
            "it has two kinds of signatures",
        )),
    }
}

fn decoded<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, Reason> {
    serde_json::from_slice(json).map_err(|error| Reason::malformed("the bundle", error))
}

impl FileSignature {
    /// Takes a signature as it is, without a bundle around it.
    pub(super) const fn raw(signature: Vec<u8>) -> Self {
        Self {
            digest: None,
            signature,
        }
    }

    /// Which of `keys` signed `file`.
    pub(super) fn verify<'k>(&self, file: &[u8], keys: &'k Keys) -> Result<&'k Key, Reason> {
        if let Some(digest) = &self.digest {
            digest.check(file)?;
        }
        keys.signer(file, &self.signature)
            .ok_or(Reason::NoFit(keys.count()))
    }
}

impl MessageDigest {
    /// A hint and no more, but it tells a signature of another file from a wrong key.
    fn check(&self, file: &[u8]) -> Result<(), Reason> {
        if self.algorithm.is_empty() && self.digest.is_empty() {
            return Ok(());
        }
        let signed = decode("the bundle's digest", &self.digest)?;
        let found = match self.algorithm.as_str() {
            "SHA2_256" => Digest::of(file).bytes().to_vec(),
            "SHA2_384" => Sha384::digest(file).to_vec(),
            "SHA2_512" => Sha512::digest(file).to_vec(),
            other => {
                return Err(Reason::Kind {
                    what: "messageDigest.algorithm",
                    want: "SHA2_256",
                    got: other.to_owned(),
                });
            }
        };
        if signed == found {
            return Ok(());
        }
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect::<String>();
        Err(Reason::OtherSubject {
            signed: format!("a file with {} {}", self.algorithm, hex(&signed)),
            wanted: format!("this one with {}", hex(&found)),
        })
    }
}
