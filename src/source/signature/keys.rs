//! The public keys of `verificationKey`, and what each of them verifies.
//!
//! The key alone decides how a signature is checked: its kind picks the algorithm, and nothing that
//! a signature, envelope or bundle says about algorithms is listened to. That shuts the door to
//! algorithm confusion, where an attacker names a weaker check for somebody else's key.
//!
//! | key | checks |
//! |---|---|
//! | ECDSA P-256 | SHA-256, signature in DER |
//! | ECDSA P-384 | SHA-384, with which cosign signs, or SHA-256, with which it verifies files; in DER |
//! | Ed25519 | the message itself, or its SHA-512 as Ed25519ph (with which newer cosigns sign files) |
//! | RSA, 2048 to 8192 bits | SHA-256, PKCS#1 v1.5 |

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::Path;

use p256::ecdsa::signature::Verifier as _;
use p256::ecdsa::signature::hazmat::PrehashVerifier as _;
use rsa::pkcs1v15;
use rsa::pkcs8::der::Decode as _;
use rsa::pkcs8::{AssociatedOid as _, ObjectIdentifier, SubjectPublicKeyInfoRef};
use sha2::{Digest as _, Sha256, Sha512};
use thiserror::Error;

use super::pem::{self, PemError};
use crate::plugin::VerificationKey;
use crate::source::Digest;

/// The label of a public key's PEM block.
const LABEL: &str = "PUBLIC KEY";

/// The most keys. Rotation takes two; each costs a check of every signature.
const MAX_KEYS: usize = 16;

/// The most text. Sixteen RSA keys of 8192 bits take a quarter of it.
pub const MAX_KEY_BYTES: usize = 64 << 10;

/// Bits of an RSA key. Under 2048 they can be broken; from 8192 on checks take long enough to be
/// a way to keep a thread busy.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const EC: ObjectIdentifier = p256::elliptic_curve::ALGORITHM_OID;

/// Keys that we know and don't take, by name.
const OTHERS: &[(&str, &str)] = &[
    ("1.2.840.10040.4.1", "DSA"),
    ("1.2.840.113549.1.1.10", "RSASSA-PSS"),
    ("1.3.101.110", "X25519"),
    ("1.3.101.111", "X448"),
    ("1.3.101.113", "Ed448"),
    ("1.2.840.10045.3.1.1", "ECDSA P-192"),
    ("1.3.132.0.33", "ECDSA P-224"),
    ("1.3.132.0.35", "ECDSA P-521"),
    ("1.3.132.0.10", "ECDSA secp256k1"),
];

/// What we take, for messages.
const WANTED: &str = "ECDSA P-256 and P-384, Ed25519, and RSA of 2048 to 8192 bits are";

/// Why a `verificationKey` cannot be used.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Not PEM.
    #[error(transparent)]
    Pem(#[from] PemError),
    /// PEM of something else.
    #[error("a PEM block {0:?}, where a public key is wanted (-----BEGIN PUBLIC KEY-----)")]
    Label(String),
    /// Not a key.
    #[error("a public key that cannot be decoded")]
    Malformed,
    /// A kind of key that is not taken.
    #[error("{0} keys are not supported: {WANTED}")]
    Kind(String),
    /// Too short to be safe, or too long.
    #[error("RSA keys of {0} bits are not supported: {WANTED}")]
    RsaBits(usize),
    /// Too many.
    #[error("{0} keys are more than {MAX_KEYS}")]
    TooMany(usize),
    /// Too long a text.
    #[error("more than {MAX_KEY_BYTES} bytes")]
    TooLong,
    /// The file cannot be read.
    #[error("cannot read {path:?}: {source}")]
    File {
        /// Its path.
        path: String,
        /// What the system said.
        source: io::Error,
    },
}

/// A public key.
pub struct Key {
    check: Check,
    fingerprint: Digest,
}

enum Check {
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    Ed25519(Box<ed25519_dalek::VerifyingKey>),
    Rsa(Box<pkcs1v15::VerifyingKey<Sha256>>),
}

impl Key {
    /// Decodes a `SubjectPublicKeyInfo`.
    fn from_der(der: &[u8]) -> Result<Self, KeyError> {
        let info = SubjectPublicKeyInfoRef::from_der(der).map_err(|_| KeyError::Malformed)?;
        let check = match info.algorithm.oid {
            EC => match info.algorithm.parameters_oid() {
                Ok(p256::NistP256::OID) => Check::P256(malformed(info.try_into())?),
                Ok(p384::NistP384::OID) => Check::P384(malformed(info.try_into())?),
                Ok(curve) => return Err(KeyError::Kind(name(&curve, "elliptic curve"))),
                Err(_) => return Err(KeyError::Malformed),
            },
            ED25519 => {
                let key: ed25519_dalek::VerifyingKey = malformed(info.try_into())?;
                if key.is_weak() {
                    return Err(KeyError::Kind("weak Ed25519".to_owned()));
                }
                Check::Ed25519(Box::new(key))
            }
            rsa::pkcs1::ALGORITHM_OID => Check::Rsa(Box::new(rsa_key(info)?)),
            other => return Err(KeyError::Kind(name(&other, "unknown"))),
        };
        Ok(Self {
            check,
            fingerprint: Digest::of(der),
        })
    }

    /// The SHA-256 digest of its DER form.
    pub const fn fingerprint(&self) -> Digest {
        self.fingerprint
    }

    /// What kind of key it is.
    pub const fn kind(&self) -> &'static str {
        match self.check {
            Check::P256(_) => "ECDSA P-256",
            Check::P384(_) => "ECDSA P-384",
            Check::Ed25519(_) => "Ed25519",
            Check::Rsa(_) => "RSA",
        }
    }

    /// Whether `signature` is one of `message` by this key.
    pub(super) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.check {
            Check::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
            Check::P384(key) => {
                p384::ecdsa::Signature::from_der(signature).is_ok_and(|signature| {
                    key.verify(message, &signature).is_ok()
                        || key
                            .verify_prehash(&Sha256::digest(message), &signature)
                            .is_ok()
                })
            }
            Check::Ed25519(key) => {
                ed25519_dalek::Signature::from_slice(signature).is_ok_and(|signature| {
                    key.verify_strict(message, &signature).is_ok()
                        || key
                            .verify_prehashed_strict(
                                Sha512::new_with_prefix(message),
                                None,
                                &signature,
                            )
                            .is_ok()
                })
            }
            Check::Rsa(key) => pkcs1v15::Signature::try_from(signature)
                .is_ok_and(|signature| key.verify(message, &signature).is_ok()),
        }
    }

    /// Whether `signature` is one of `message` by this key, which must be an Ed25519 one.
    pub(super) fn verifies_ed25519(&self, message: &[u8], signature: &[u8]) -> bool {
        match &self.check {
            Check::Ed25519(key) => ed25519_dalek::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify_strict(message, &signature).is_ok()),
            Check::P256(_) | Check::P384(_) | Check::Rsa(_) => false,
        }
    }

    pub(super) const fn is_ed25519(&self) -> bool {
        matches!(self.check, Check::Ed25519(_))
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} key {}", self.kind(), self.fingerprint)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The keys of a `verificationKey`: a signature of any of them is enough.
#[derive(Debug)]
pub struct Keys(Vec<Key>);

impl Keys {
    /// Reads PEM text: one or several public keys.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        if text.len() > MAX_KEY_BYTES {
            return Err(KeyError::TooLong);
        }
        let blocks = pem::blocks(text)?;
        if blocks.len() > MAX_KEYS {
            return Err(KeyError::TooMany(blocks.len()));
        }
        let keys = blocks.iter().map(|block| match block.label {
            LABEL => Key::from_der(&block.content),
            other => Err(KeyError::Label(other.to_owned())),
        });
        keys.collect::<Result<_, _>>().map(Self)
    }

    /// The keys that `written` stands for; a file is read each time. Blocks.
    pub fn load(written: &VerificationKey) -> Result<Self, KeyError> {
        match written {
            VerificationKey::Pem(text) => Self::parse(text),
            VerificationKey::File(path) => Self::read(Path::new(path)),
        }
    }

    /// Reads a file of PEM text. Blocks.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let fail = |source: io::Error| KeyError::File {
            path: path.display().to_string(),
            source,
        };
        let file = File::open(path).map_err(fail)?;
        if !file.metadata().map_err(fail)?.is_file() {
            // A pipe or device would block the reader for ever.
            return Err(fail(io::Error::other("not a regular file")));
        }
        let mut text = String::new();
        file.take(MAX_KEY_BYTES as u64 + 1)
            .read_to_string(&mut text)
            .map_err(fail)?;
        Self::parse(&text)
    }

    /// The keys, in the order of the text.
    pub fn iter(&self) -> impl Iterator<Item = &Key> {
        self.0.iter()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.0.len()
    }

    /// The first key of which `signature` is one of `message`.
    pub(super) fn signer(&self, message: &[u8], signature: &[u8]) -> Option<&Key> {
        self.iter().find(|key| key.verifies(message, signature))
    }
}

fn malformed<T, E>(result: Result<T, E>) -> Result<T, KeyError> {
    result.map_err(|_| KeyError::Malformed)
}

fn rsa_key(info: SubjectPublicKeyInfoRef<'_>) -> Result<pkcs1v15::VerifyingKey<Sha256>, KeyError> {
    let bits = info.subject_public_key.as_bytes().unwrap_or_default();
    let parts = malformed(rsa::pkcs1::RsaPublicKeyRef::from_der(bits))?;
    let modulus = parts.modulus.as_bytes();
    let leading = modulus
        .first()
        .map_or(0, |byte| byte.leading_zeros() as usize);
    let bits = modulus.len() * 8 - leading;
    if !RSA_BITS.contains(&bits) {
        return Err(KeyError::RsaBits(bits));
    }
    let key: rsa::PublicKey = malformed(info.try_into())?;
    Ok(pkcs1v15::VerifyingKey::new(key))
}

/// What people call that algorithm or curve.
fn name(oid: &ObjectIdentifier, kind: &str) -> String {
    let text = oid.to_string();
    match OTHERS.iter().find(|(known, _)| *known == text) {
        Some((_, name)) => (*name).to_owned(),
        None => format!("{kind} ({text})"),
    }
}
