//! What a registry answered before, for the time when it is away.
//!
//! A signed module that is in the store must come back after a restart like any other, and its
//! signatures are in the registry. So their manifests and blobs are kept, too. Whoever verifies
//! checks them as if they came from the registry, so that nothing can be forged here.

use std::sync::Arc;

use super::registry::{Descriptor, Manifest};
use crate::source::digest::Digest;
use crate::source::store::Store;

/// The answers to the questions of one request.
pub(crate) struct Answers {
    store: Arc<Store>,
    /// The request: who may not ask the registry may not ask here.
    key: Digest,
}

/// Something that can be kept.
pub(crate) trait Answer: Sized {
    fn write(&self) -> Option<Vec<u8>>;
    fn read(bytes: Vec<u8>) -> Option<Self>;
}

impl Answers {
    pub(crate) const fn new(store: Arc<Store>, key: Digest) -> Self {
        Self { store, key }
    }

    /// Keeps the answer to `question`.
    pub(crate) fn keep(&self, question: &str, answer: &impl Answer) {
        if let Some(bytes) = answer.write() {
            self.store.remember(self.place(question), &bytes);
        }
    }

    /// The last answer to `question`.
    pub(crate) fn find<T: Answer>(&self, question: &str) -> Option<T> {
        T::read(self.store.recall(self.place(question))?)
    }

    fn place(&self, question: &str) -> Digest {
        Digest::of(format!("answer {} {question}", self.key).as_bytes())
    }
}

/// The media type in a line of its own, and the bytes; nothing for none.
impl Answer for Option<Manifest> {
    fn write(&self) -> Option<Vec<u8>> {
        let Some(manifest) = self else {
            return Some(Vec::new());
        };
        let mut bytes = manifest.media_type.clone().into_bytes();
        bytes.push(b'\n');
        bytes.extend_from_slice(&manifest.bytes);
        Some(bytes)
    }

    fn read(mut bytes: Vec<u8>) -> Option<Self> {
        if bytes.is_empty() {
            return Some(None);
        }
        let end = bytes.iter().position(|byte| *byte == b'\n')?;
        let json = bytes.split_off(end + 1);
        bytes.pop();
        Some(Some(Manifest {
            media_type: String::from_utf8(bytes).ok()?,
            digest: Digest::of(&json),
            bytes: json,
        }))
    }
}

impl Answer for Vec<u8> {
    fn write(&self) -> Option<Vec<u8>> {
        Some(self.clone())
    }

    fn read(bytes: Vec<u8>) -> Option<Self> {
        Some(bytes)
    }
}

impl Answer for Vec<Descriptor> {
    fn write(&self) -> Option<Vec<u8>> {
        serde_json::to_vec(self).ok()
    }

    fn read(bytes: Vec<u8>) -> Option<Self> {
        serde_json::from_slice(&bytes).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn manifests_come_back_as_they_were() {
        let manifest = |bytes: &[u8]| Manifest {
            media_type: "a/b".to_owned(),
            digest: Digest::of(bytes),
            bytes: bytes.to_vec(),
        };
        for answer in [None, Some(manifest(b"")), Some(manifest(b"{\n}\n"))] {
            let kept = answer.write().unwrap();
            assert_eq!(Option::<Manifest>::read(kept), Some(answer));
        }
        assert_eq!(Option::<Manifest>::read(b"no line".to_vec()), None);
    }
}
