//! What may prove that a module is signed, and the check of it.
//!
//! Finding evidence needs registries and servers, checking it needs nothing: all checks are here,
//! as a function of evidence, subject and keys.

use base64ct::{Base64, Encoding as _};

use super::bundle::{self, Content, FileSignature};
use super::keys::{Key, Keys};
use super::reason::Reason;
use super::{embedded, simple};
use crate::source::Digest;

/// What has to be signed.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The bytes of the module.
    pub module: &'a [u8],
    /// The digests of the image that the module came in, if it came in one: of its manifest, and
    /// of the index that led to the manifest.
    pub images: &'a [Digest],
}

/// Something that may be a signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Evidence {
    /// A section of the module itself.
    Embedded,
    /// A file beside the module: a signature, or a bundle of one.
    Sidecar(Vec<u8>),
    /// A simple-signing document and its signature, which is base64.
    Simple {
        /// The document.
        payload: Vec<u8>,
        /// The signature.
        signature: String,
    },
    /// A bundle that a registry has for an image.
    Bundle(Vec<u8>),
}

impl Evidence {
    /// Which of `keys` signed `subject`, if this evidence shows it.
    pub fn check<'k>(&self, subject: &Subject<'_>, keys: &'k Keys) -> Result<&'k Key, Reason> {
        match self {
            Self::Embedded => embedded::find(subject.module)
                .ok_or(Reason::Missing)?
                .verify(keys),
            Self::Sidecar(content) => sidecar(content)?.verify(subject.module, keys),
            Self::Simple { payload, signature } => {
                let signature = Base64::decode_vec(signature.trim())
                    .map_err(|_| Reason::malformed("the signature", "not base64"))?;
                let signer = keys
                    .signer(payload, &signature)
                    .ok_or(Reason::NoFit(keys.count()))?;
                let signed = simple::subject(payload)?;
                subject.is_any_of(&[signed]).map(|()| signer)
            }
            Self::Bundle(json) => match bundle::read(json)? {
                Content::Statement(envelope) => {
                    let (signer, signed) = envelope.verify(keys)?;
                    subject.is_any_of(&signed).map(|()| signer)
                }
                Content::File(_) => Err(Reason::Kind {
                    what: "content",
                    want: "dsseEnvelope, as for an image",
                    got: "messageSignature".to_owned(),
                }),
            },
        }
    }

    /// Its name.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Embedded => "embedded signature",
            Self::Sidecar(_) => "signature beside the file",
            Self::Simple { .. } => "cosign signature",
            Self::Bundle(_) => "Sigstore bundle",
        }
    }
}

impl Subject<'_> {
    fn is_any_of(&self, signed: &[String]) -> Result<(), Reason> {
        let images: Vec<_> = self
            .images
            .iter()
            .map(|digest| format!("sha256:{digest}"))
            .collect();
        if images.iter().any(|image| signed.contains(image)) {
            return Ok(());
        }
        Err(Reason::OtherSubject {
            signed: match signed {
                [] => "nothing with a sha256".to_owned(),
                signed => signed.join(", "),
            },
            wanted: match images.as_slice() {
                [] => "a file".to_owned(),
                images => images.join(" or "),
            },
        })
    }
}

/// `cosign sign-blob` writes base64, bytes with `--b64=false`, or a bundle. Neither base64 nor a
/// signature in DER begins with a brace; a signature of Ed25519 or RSA may, and is no JSON then.
fn sidecar(content: &[u8]) -> Result<FileSignature, Reason> {
    let text = content.trim_ascii();
    if text.starts_with(b"{") && std::str::from_utf8(text).is_ok() {
        return match bundle::read(text)? {
            Content::File(signature) => Ok(signature),
            Content::Statement(_) => Err(Reason::Kind {
                what: "content",
                want: "messageSignature, as for a file",
                got: "dsseEnvelope".to_owned(),
            }),
        };
    }
    let base64: Vec<u8> = text
        .iter()
        .copied()
        .filter(|byte| !byte.is_ascii_whitespace())
        .collect();
    let decoded = std::str::from_utf8(&base64)
        .ok()
        .and_then(|base64| Base64::decode_vec(base64).ok());
    Ok(FileSignature::raw(
        decoded.unwrap_or_else(|| content.to_vec()),
    ))
}
