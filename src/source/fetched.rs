//! Bytes whose digest and header were checked.

use std::sync::Arc;

use super::FetchError;
use super::digest::Digest;
use super::oci::Image;
use super::store::Lease;

/// The bytes of a module. Only the checks of this module make one, so whoever holds it need
/// not ask whether they ran.
#[derive(Clone, Debug)]
pub struct Fetched {
    bytes: Arc<Vec<u8>>,
    digest: Digest,
    image: Option<Image>,
    origin: Origin,
    lease: Option<Arc<Lease>>,
}

/// Where a module came from this time.
#[derive(Clone, Debug)]
pub enum Origin {
    /// From a file, a server or a registry, just now.
    Source,
    /// From the store: it was fetched before.
    Store,
    /// From the store, because its server or registry is away, for this reason.
    LastGood(Arc<FetchError>),
}

impl Fetched {
    /// Checks the digest first: a wrong file's other faults are not worth telling.
    pub(super) fn check(
        bytes: Vec<u8>,
        want: Option<&str>,
        hashed: &'static str,
    ) -> Result<Self, FetchError> {
        let digest = Digest::of(&bytes);
        if let Some(want) = want
            && want != digest.to_string()
        {
            return Err(FetchError::Checksum {
                want: want.to_owned(),
                hashed,
                got: digest.to_string(),
            });
        }
        Self::check_header(&bytes)?;
        Ok(Self {
            bytes: Arc::new(bytes),
            digest,
            image: None,
            origin: Origin::Source,
            lease: None,
        })
    }

    /// Checks the header alone.
    pub(super) fn check_header(bytes: &[u8]) -> Result<(), FetchError> {
        match bytes.get(..8) {
            None => Err(FetchError::NotWasm("shorter than a module's header")),
            Some(header) if !header.starts_with(b"\0asm") => {
                Err(FetchError::NotWasm("it does not start with \\0asm"))
            }
            Some(header) if !header.ends_with(&[1, 0, 0, 0]) => Err(FetchError::NotWasm(
                "its version is not 1 (a component is no Proxy-Wasm plugin)",
            )),
            Some(_) => Ok(()),
        }
    }

    /// What the store has, whose digest it has checked.
    pub(super) fn check_shared(bytes: Arc<Vec<u8>>, digest: Digest) -> Result<Self, FetchError> {
        Self::check_header(&bytes)?;
        Ok(Self {
            bytes,
            digest,
            image: None,
            origin: Origin::Store,
            lease: None,
        })
    }

    pub(super) fn with_image(mut self, image: Option<Image>) -> Self {
        self.image = image;
        self
    }

    pub(super) fn with_origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    pub(super) fn with_lease(mut self, lease: Option<Lease>) -> Self {
        self.lease = lease.map(Arc::new);
        self
    }

    /// The module.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    pub(super) const fn shared_bytes(&self) -> &Arc<Vec<u8>> {
        &self.bytes
    }

    /// Its digest.
    pub const fn digest(&self) -> Digest {
        self.digest
    }

    /// The image that it came in, if it came from a registry.
    pub const fn image(&self) -> Option<&Image> {
        self.image.as_ref()
    }

    /// Where it came from.
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Keeps the module in the store as long as it lives, also after `self` is gone. None where
    /// there is no store.
    pub fn lease(&self) -> Option<Arc<Lease>> {
        self.lease.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

    fn check(bytes: &[u8], want: Option<&str>) -> Result<Fetched, FetchError> {
        Fetched::check(bytes.to_vec(), want, "the file")
    }

    #[test]
    fn a_right_digest_passes_and_a_wrong_one_prints_both() {
        let digest = Digest::of(EMPTY).to_string();
        assert!(check(EMPTY, Some(&digest)).is_ok());
        let error = check(EMPTY, Some(&"0".repeat(64))).unwrap_err().to_string();
        assert!(error.contains(&digest) && error.contains("0000"), "{error}");
    }

    #[test]
    fn what_is_no_module_is_refused_by_reason() {
        for (bytes, reason) in [
            (&b""[..], "shorter"),
            (b"<html></html>", "\\0asm"),
            (b"\0asm\x0d\0\x01\0", "component"),
        ] {
            let error = check(bytes, None).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
