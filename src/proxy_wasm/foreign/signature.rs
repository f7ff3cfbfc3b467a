//! `verify_signature` and `sign`, as Envoy does with BoringSSL's `EVP_DigestVerify` and
//! `EVP_DigestSign`: RSA with PKCS#1 v1.5 padding, ECDSA with signatures in DER.
//!
//! A signature that does not fit is a good answer that says so, and so is a key that cannot be
//! imported. A bad argument is one without a key, or with two.

use p256::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use sha1::Sha1;
use sha2::{Digest as _, Sha224, Sha256, Sha384, Sha512};

use super::Outcome;
use super::keys::{PrivateKey, PublicKey};
use crate::proxy_wasm::message::{self, Field, Malformed, Message};
use crate::proxy_wasm::status::Status;

/// What a signature is over.
enum Hash {
    Sha1,
    Sha224,
    Sha256,
    Sha384,
    Sha512,
}

impl Hash {
    fn named(name: &str) -> Option<Self> {
        Some(match name.to_ascii_lowercase().as_str() {
            "sha1" => Self::Sha1,
            "sha224" => Self::Sha224,
            "sha256" => Self::Sha256,
            "sha384" => Self::Sha384,
            "sha512" => Self::Sha512,
            _ => return None,
        })
    }

    fn of(&self, text: &[u8]) -> Vec<u8> {
        match self {
            Self::Sha1 => Sha1::digest(text).to_vec(),
            Self::Sha224 => Sha224::digest(text).to_vec(),
            Self::Sha256 => Sha256::digest(text).to_vec(),
            Self::Sha384 => Sha384::digest(text).to_vec(),
            Self::Sha512 => Sha512::digest(text).to_vec(),
        }
    }
}

impl PublicKey {
    fn verifies(&self, hash: &Hash, text: &[u8], signature: &[u8]) -> bool {
        let digest = hash.of(text);
        match self {
            Self::Rsa(key) => match hash {
                Hash::Sha1 => key.pkcs1v15_verify_prehash::<Sha1>(&digest, signature),
                Hash::Sha224 => key.pkcs1v15_verify_prehash::<Sha224>(&digest, signature),
                Hash::Sha256 => key.pkcs1v15_verify_prehash::<Sha256>(&digest, signature),
                Hash::Sha384 => key.pkcs1v15_verify_prehash::<Sha384>(&digest, signature),
                Hash::Sha512 => key.pkcs1v15_verify_prehash::<Sha512>(&digest, signature),
            }
            .is_ok(),
            Self::P256(key) => p256::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&digest, &signature).is_ok()),
            Self::P384(key) => p384::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&digest, &signature).is_ok()),
            Self::P521(key) => p521::ecdsa::Signature::from_der(signature)
                .is_ok_and(|signature| key.verify_prehash(&digest, &signature).is_ok()),
        }
    }
}

impl PrivateKey {
    fn sign(&self, hash: &Hash, text: &[u8]) -> Option<Vec<u8>> {
        let digest = hash.of(text);
        match self {
            Self::Rsa(key) => match hash {
                Hash::Sha1 => key.pkcs1v15_sign_prehash::<Sha1>(&digest),
                Hash::Sha224 => key.pkcs1v15_sign_prehash::<Sha224>(&digest),
                Hash::Sha256 => key.pkcs1v15_sign_prehash::<Sha256>(&digest),
                Hash::Sha384 => key.pkcs1v15_sign_prehash::<Sha384>(&digest),
                Hash::Sha512 => key.pkcs1v15_sign_prehash::<Sha512>(&digest),
            }
            .ok(),
            Self::P256(key) => {
                let signature: p256::ecdsa::Signature = key.sign_prehash(&digest).ok()?;
                Some(signature.to_der().as_bytes().to_vec())
            }
            Self::P384(key) => {
                let signature: p384::ecdsa::Signature = key.sign_prehash(&digest).ok()?;
                Some(signature.to_der().as_bytes().to_vec())
            }
            Self::P521(key) => {
                let signature: p521::ecdsa::Signature = key.sign_prehash(&digest).ok()?;
                Some(signature.to_der().as_bytes().to_vec())
            }
        }
    }
}

/// Answers `{result 1, error 2}`.
pub(super) fn verify(argument: &[u8]) -> Outcome {
    match VerifyArguments::read(argument) {
        Ok(arguments) => arguments.run(),
        Err(Malformed) => Status::BadArgument.into(),
    }
}

/// Answers `{result 1, signature 2, error 3}`.
pub(super) fn sign(argument: &[u8]) -> Outcome {
    match SignArguments::read(argument) {
        Ok(arguments) => arguments.run(),
        Err(Malformed) => Status::BadArgument.into(),
    }
}

#[derive(Default)]
struct VerifyArguments<'a> {
    hash: &'a str,
    der: &'a [u8],
    signature: &'a [u8],
    text: &'a [u8],
    pem: &'a [u8],
}

impl<'a> VerifyArguments<'a> {
    fn read(argument: &'a [u8]) -> Result<Self, Malformed> {
        let mut this = Self::default();
        message::read(argument, |number, field| {
            match (number, field) {
                (1, Field::Bytes(hash)) => this.hash = message::text(hash)?,
                (2, Field::Bytes(der)) => this.der = der,
                (3, Field::Bytes(signature)) => this.signature = signature,
                (4, Field::Bytes(text)) => this.text = text,
                (5, Field::Bytes(pem)) => this.pem = pem,
                _ => {}
            }
            Ok(())
        })?;
        Ok(this)
    }

    fn run(&self) -> Outcome {
        let key = match (self.der, self.pem) {
            ([], []) => return Status::BadArgument.into(),
            (der, []) => PublicKey::from_der(der),
            ([], pem) => PublicKey::from_pem(pem),
            _ => return Status::BadArgument.into(),
        };
        let answer = Message::default();
        let answer = match (Hash::named(self.hash), key) {
            (None, _) => answer.with(2, unsupported(self.hash).as_bytes()),
            (_, None) => answer.with(2, b"Failed to initialize digest verify."),
            (Some(hash), Some(key)) if key.verifies(&hash, self.text, self.signature) => {
                answer.with_bool(1, true)
            }
            _ => answer.with(2, b"Failed to verify digest. Error code: 0"),
        };
        Outcome::ok(answer.into_bytes())
    }
}

#[derive(Default)]
struct SignArguments<'a> {
    hash: &'a str,
    der: &'a [u8],
    text: &'a [u8],
    pem: &'a [u8],
}

impl<'a> SignArguments<'a> {
    fn read(argument: &'a [u8]) -> Result<Self, Malformed> {
        let mut this = Self::default();
        message::read(argument, |number, field| {
            match (number, field) {
                (1, Field::Bytes(hash)) => this.hash = message::text(hash)?,
                (2, Field::Bytes(der)) => this.der = der,
                (3, Field::Bytes(text)) => this.text = text,
                (4, Field::Bytes(pem)) => this.pem = pem,
                _ => {}
            }
            Ok(())
        })?;
        Ok(this)
    }

    fn run(&self) -> Outcome {
        let key = match (self.der, self.pem) {
            ([], []) => return Status::BadArgument.into(),
            (der, []) => PrivateKey::from_der(der),
            ([], pem) => PrivateKey::from_pem(pem),
            _ => return Status::BadArgument.into(),
        };
        let answer = Message::default();
        let answer = match (Hash::named(self.hash), key) {
            (None, _) => answer.with(3, unsupported(self.hash).as_bytes()),
            (_, None) => {
                const NO_KEY: &str =
                    "Invalid key type: private key required for signing operation.";
                answer.with(3, NO_KEY.as_bytes())
            }
            (Some(hash), Some(key)) => match key.sign(&hash, self.text) {
                Some(signature) => answer.with_bool(1, true).with(2, &signature),
                None => answer.with(3, b"Failed to create signature."),
            },
        };
        Outcome::ok(answer.into_bytes())
    }
}

fn unsupported(hash: &str) -> String {
    format!("{hash} is not supported.")
}

#[cfg(test)]
mod tests;
