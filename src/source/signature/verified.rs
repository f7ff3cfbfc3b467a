//! The proof that a module may be compiled.

use std::collections::HashMap;
use std::fmt;

use parking_lot::Mutex;

use super::evidence::Subject;
use super::keys::Keys;
use super::nearby::Nearby;
use super::reason::Refused;
use super::search;
use crate::source::{Digest, Fetched};

/// The most results that are remembered; a process has a handful of modules and keys.
const MAX_RESULTS: usize = 4096;

/// A module that may be compiled: whoever configured it asked for no signature, or it has a valid
/// one. The bytes are those that were checked. Only [`Verifier::verify`] makes one.
#[derive(Debug)]
pub struct Verified {
    fetched: Fetched,
    verification: Verification,
}

impl Verified {
    /// The module.
    pub fn bytes(&self) -> &[u8] {
        self.fetched.bytes()
    }

    /// Its digest.
    pub const fn digest(&self) -> Digest {
        self.fetched.digest()
    }

    /// As it was fetched.
    pub const fn fetched(&self) -> &Fetched {
        &self.fetched
    }

    /// What was checked.
    pub const fn verification(&self) -> &Verification {
        &self.verification
    }
}

/// What was checked of a module's signatures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verification {
    /// Nothing: no key is configured.
    NotAsked,
    /// A signature is valid.
    Signed(Signature),
}

/// A valid signature.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signature {
    /// The SHA-256 digest of the key, in DER.
    pub key: Digest,
    /// What kind of key it is.
    pub key_kind: &'static str,
    /// What kind of signature it is.
    pub kind: &'static str,
    /// Where it was found.
    pub place: String,
}

impl fmt::Display for Verification {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAsked => f.write_str("none asked for"),
            Self::Signed(signature) => write!(
                f,
                "{} by {} key {} ({})",
                signature.kind, signature.key_kind, signature.key, signature.place
            ),
        }
    }
}

/// Checks signatures, and remembers the good ones as long as it lives.
///
/// A result holds for one module, one key and one image. Whoever asks with another key is not
/// answered from it, and a module that was loaded without a key has none. Nothing is kept over
/// a restart, where everything is checked again.
#[derive(Debug, Default)]
pub struct Verifier {
    results: Mutex<HashMap<Checked, Signature>>,
}

/// What a result holds for.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Checked {
    module: Digest,
    key: Digest,
    /// The image that it came in, and its index. A module that was signed as one image is not signed
    /// as another, though it may be in both.
    images: Vec<Digest>,
}

impl Verifier {
    /// Checks that `fetched` is signed by one of `keys`; without keys there is nothing to check.
    /// Blocks while it asks the registry or server.
    pub fn verify(
        &self,
        fetched: Fetched,
        nearby: &dyn Nearby,
        keys: Option<&Keys>,
    ) -> Result<Verified, Refused> {
        let Some(keys) = keys else {
            return Ok(Verified {
                fetched,
                verification: Verification::NotAsked,
            });
        };
        let module = fetched.digest();
        let images: Vec<_> = match fetched.image() {
            Some(image) => [Some(image.manifest), image.index]
                .into_iter()
                .flatten()
                .collect(),
            None => Vec::new(),
        };
        let signature = match self.known(module, &images, keys) {
            Some(known) => known,
            None => {
                let subject = Subject {
                    module: fetched.bytes(),
                    images: &images,
                };
                let found = search::search(&subject, nearby, keys)?;
                let signature = Signature {
                    key: found.key.fingerprint(),
                    key_kind: found.key.kind(),
                    kind: found.evidence.name(),
                    place: found.place,
                };
                self.remember(module, images, &signature);
                signature
            }
        };
        Ok(Verified {
            fetched,
            verification: Verification::Signed(signature),
        })
    }

    fn known(&self, module: Digest, images: &[Digest], keys: &Keys) -> Option<Signature> {
        let results = self.results.lock();
        keys.iter().find_map(|key| {
            let checked = Checked {
                module,
                key: key.fingerprint(),
                images: images.to_vec(),
            };
            results.get(&checked).cloned()
        })
    }

    fn remember(&self, module: Digest, images: Vec<Digest>, signature: &Signature) {
        let mut results = self.results.lock();
        if results.len() >= MAX_RESULTS {
            results.clear();
        }
        let checked = Checked {
            module,
            key: signature.key,
            images,
        };
        results.insert(checked, signature.clone());
    }
}
