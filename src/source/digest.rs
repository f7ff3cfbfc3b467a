//! Digests, and bytes whose digest and header were checked.

use std::fmt;

use sha2::{Digest as _, Sha256};

use super::FetchError;

/// A SHA-256 digest; shown as 64 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Digest([u8; 32]);

impl Digest {
    /// The digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Its bytes.
    pub const fn bytes(self) -> [u8; 32] {
        self.0
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// The bytes of a module. Only the checks of this module make one, so whoever holds it need
/// not ask whether they ran.
#[derive(Debug)]
pub struct Fetched {
    bytes: Vec<u8>,
    digest: Digest,
}

impl Fetched {
    /// Checks the digest first: a wrong file's other faults are not worth telling.
    pub(super) fn check(bytes: Vec<u8>, want: Option<&str>) -> Result<Self, FetchError> {
        let digest = Digest::of(&bytes);
        if let Some(want) = want
            && want != digest.to_string()
        {
            return Err(FetchError::Digest {
                want: want.to_owned(),
                got: digest,
            });
        }
        match bytes.get(..8) {
            None => return Err(FetchError::NotWasm("shorter than a module's header")),
            Some(header) if !header.starts_with(b"\0asm") => {
                return Err(FetchError::NotWasm("it does not start with \\0asm"));
            }
            Some(header) if !header.ends_with(&[1, 0, 0, 0]) => {
                return Err(FetchError::NotWasm(
                    "its version is not 1 (a component is no Proxy-Wasm plugin)",
                ));
            }
            Some(_) => {}
        }
        Ok(Self { bytes, digest })
    }

    /// The module.
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Its digest.
    pub const fn digest(&self) -> Digest {
        self.digest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

    #[test]
    fn a_right_digest_passes_and_a_wrong_one_prints_both() {
        let digest = Digest::of(EMPTY).to_string();
        assert!(Fetched::check(EMPTY.to_vec(), Some(&digest)).is_ok());
        let error = Fetched::check(EMPTY.to_vec(), Some(&"0".repeat(64))).unwrap_err();
        assert!(error.to_string().contains(&digest) && error.to_string().contains("0000"));
    }

    #[test]
    fn what_is_no_module_is_refused_by_reason() {
        for (bytes, reason) in [
            (&b""[..], "shorter"),
            (b"<html></html>", "\\0asm"),
            (b"\0asm\x0d\0\x01\0", "component"),
        ] {
            let error = Fetched::check(bytes.to_vec(), None).unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
        }
    }
}
