//! Signing with a private key in a file: what [`super`] verifies, without other tools.
//!
//! | what | who else takes it |
//! |---|---|
//! | [`embed`]: the module's section `signature` | `wasmsign2 verify` |
//! | [`detach`]: a signature in base64 | `cosign verify-blob --signature` |
//! | [`bundle()`]: a Sigstore bundle | `cosign verify-blob --bundle` |
//!
//! Keys are unencrypted PEM, as `openssl` writes them: PKCS#8, and SEC1 and PKCS#1 for the kinds
//! that have these. What verifies is decided by the key here, too.

use std::fmt;

use base64ct::{Base64, Encoding as _};
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use p256::ecdsa::signature::{Keypair as _, Signer as _};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs1v15;
use rsa::pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::io::Cursor;
use thiserror::Error;

use super::keys::{KeyError, Keys};
use super::{bundle, pem};

/// Why something cannot be signed.
#[derive(Debug, Error)]
pub enum SignError {
    /// The key cannot be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// A public key, or something else.
    #[error("a PEM block {0:?}, where a private key is wanted (-----BEGIN PRIVATE KEY-----)")]
    Label(String),
    /// We don't ask for passphrases.
    #[error(
        "the private key is encrypted (PEM block {0:?}): decrypt it first, or sign with the tool \
         that made it"
    )]
    Encrypted(String),
    /// Not a key of a kind that is taken.
    #[error("the private key cannot be decoded, or is none of those that verificationKey takes")]
    Malformed,
    /// Sections are signed with Ed25519.
    #[error("an embedded signature takes an Ed25519 key, and this is an {0} key")]
    NeedsEd25519(&'static str),
    /// Not a module.
    #[error("not a WebAssembly module that can be signed: {0}")]
    Module(String),
    /// The algorithm failed.
    #[error("signing failed")]
    Failed,
    /// No random numbers.
    #[error("no random numbers: {0}")]
    Random(String),
}

/// A key that signs.
pub struct PrivateKey(Kind);

enum Kind {
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    Ed25519(Box<ed25519_dalek::SigningKey>),
    Rsa(Box<pkcs1v15::SigningKey<Sha256>>),
}

impl PrivateKey {
    /// Reads the first PEM block of `text`.
    pub fn parse(text: &str) -> Result<Self, SignError> {
        let blocks = pem::blocks(text).map_err(KeyError::from)?;
        // `openssl ecparam -genkey` writes the curve's name in front.
        let block = blocks.iter().find(|block| block.label != "EC PARAMETERS");
        let block = block.ok_or(SignError::Malformed)?;
        let key = match block.label {
            "PRIVATE KEY" => Self::from_pkcs8(&block.content),
            "EC PRIVATE KEY" => Self::from_sec1(&block.content),
            "RSA PRIVATE KEY" => rsa::PrivateKey::from_pkcs1_der(&block.content)
                .ok()
                .map(Self::rsa),
            label if label.contains("ENCRYPTED") => {
                return Err(SignError::Encrypted(label.to_owned()));
            }
            label => return Err(SignError::Label(label.to_owned())),
        };
        let key = key.ok_or(SignError::Malformed)?;
        // What nobody would verify is not signed.
        Keys::parse(&key.public()?)?;
        Ok(key)
    }

    /// A new Ed25519 key, which does for everything here.
    pub fn generate() -> Result<Self, SignError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(|error| SignError::Random(error.to_string()))?;
        let key = ed25519_dalek::SigningKey::from_bytes(&seed);
        Ok(Self(Kind::Ed25519(Box::new(key))))
    }

    /// As PEM.
    pub fn private(&self) -> Result<String, SignError> {
        let pem = match &self.0 {
            Kind::P256(key) => key.to_pkcs8_pem(LineEnding::LF),
            Kind::P384(key) => key.to_pkcs8_pem(LineEnding::LF),
            // Without the public half, with which OpenSSL 3.0 cannot read it.
            Kind::Ed25519(key) => ed25519_dalek::pkcs8::KeypairBytes {
                secret_key: key.to_bytes(),
                public_key: None,
            }
            .to_pkcs8_pem(LineEnding::LF),
            Kind::Rsa(key) => key.to_pkcs8_pem(LineEnding::LF),
        };
        pem.map(|pem| pem.to_string())
            .map_err(|_| SignError::Failed)
    }

    /// The public key, as PEM: what `verificationKey` holds.
    pub fn public(&self) -> Result<String, SignError> {
        let pem = match &self.0 {
            Kind::P256(key) => key.verifying_key().to_public_key_pem(LineEnding::LF),
            Kind::P384(key) => key.verifying_key().to_public_key_pem(LineEnding::LF),
            Kind::Ed25519(key) => key.verifying_key().to_public_key_pem(LineEnding::LF),
            Kind::Rsa(key) => key.verifying_key().to_public_key_pem(LineEnding::LF),
        };
        pem.map_err(|_| SignError::Failed)
    }

    /// What kind of key it is.
    pub const fn kind(&self) -> &'static str {
        match self.0 {
            Kind::P256(_) => "ECDSA P-256",
            Kind::P384(_) => "ECDSA P-384",
            Kind::Ed25519(_) => "Ed25519",
            Kind::Rsa(_) => "RSA",
        }
    }

    fn from_pkcs8(der: &[u8]) -> Option<Self> {
        // Each refuses the keys of others.
        if let Ok(key) = p256::ecdsa::SigningKey::from_pkcs8_der(der) {
            Some(Self(Kind::P256(key)))
        } else if let Ok(key) = p384::ecdsa::SigningKey::from_pkcs8_der(der) {
            Some(Self(Kind::P384(key)))
        } else if let Ok(key) = ed25519_dalek::SigningKey::from_pkcs8_der(der) {
            Some(Self(Kind::Ed25519(Box::new(key))))
        } else {
            rsa::PrivateKey::from_pkcs8_der(der).ok().map(Self::rsa)
        }
    }

    fn from_sec1(der: &[u8]) -> Option<Self> {
        if let Ok(key) = p256::SecretKey::from_sec1_der(der) {
            Some(Self(Kind::P256(key.into())))
        } else {
            let key = p384::SecretKey::from_sec1_der(der).ok()?;
            Some(Self(Kind::P384(key.into())))
        }
    }

    fn rsa(key: rsa::PrivateKey) -> Self {
        Self(Kind::Rsa(Box::new(pkcs1v15::SigningKey::new(key))))
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        match &self.0 {
            Kind::P256(key) => {
                let signature: Result<p256::ecdsa::DerSignature, _> = key.try_sign(message);
                signature.map(|signature| signature.as_bytes().to_vec())
            }
            Kind::P384(key) => {
                // Not SHA-384: cosign signs with that, but verifies with this alone.
                let digest = Sha256::digest(message);
                let signature: Result<p384::ecdsa::DerSignature, _> = key.sign_prehash(&digest);
                signature.map(|signature| signature.as_bytes().to_vec())
            }
            Kind::Ed25519(key) => key
                .try_sign(message)
                .map(|signature| signature.to_bytes().to_vec()),
            Kind::Rsa(key) => key
                .try_sign(message)
                .map(|signature| Box::<[u8]>::from(signature).to_vec()),
        }
        .map_err(|_| SignError::Failed)
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} private key", self.kind())
    }
}

/// `module` with a signature of `key` in front, beside those that it has.
pub fn embed(module: &[u8], key: &PrivateKey) -> Result<Vec<u8>, SignError> {
    let Kind::Ed25519(signing) = &key.0 else {
        return Err(SignError::NeedsEd25519(key.kind()));
    };
    let refused = |error: wasmsign2::WSError| SignError::Module(error.to_string());
    // That crate's own form of keys: its number for Ed25519, then the key pair.
    let pair = [&[0x81], signing.to_keypair_bytes().as_slice()].concat();
    let secret = wasmsign2::SecretKey::from_bytes(&pair).map_err(refused)?;
    let public = [&[0x01], signing.verifying_key().as_bytes().as_slice()].concat();
    let public = wasmsign2::PublicKey::from_bytes(&public).map_err(refused)?;
    let key_id = public.attach_default_key_id().key_id;
    let parsed = wasmsign2::Module::deserialize(&mut Cursor::new(module)).map_err(refused)?;
    match secret.sign_multi(parsed, key_id.as_ref(), false, false) {
        Ok((signed, _)) => {
            let mut bytes = Vec::new();
            signed.serialize(&mut bytes).map_err(refused)?;
            Ok(bytes)
        }
        // Ed25519 has one signature for one text: it is there.
        Err(wasmsign2::WSError::DuplicateSignature) => Ok(module.to_vec()),
        Err(error) => Err(refused(error)),
    }
}

/// A signature of `file`, in base64, for a file beside it.
pub fn detach(file: &[u8], key: &PrivateKey) -> Result<String, SignError> {
    Ok(Base64::encode_string(&key.sign(file)?))
}

/// A Sigstore bundle of a signature of `file`, as JSON, for a file beside it.
pub fn bundle(file: &[u8], key: &PrivateKey) -> Result<String, SignError> {
    let keys = Keys::parse(&key.public()?)?;
    let hints = keys.iter().map(|key| key.fingerprint().bytes());
    let hint = hints.map(|hint| Base64::encode_string(&hint)).next();
    let bundle = json!({
        "mediaType": bundle::MEDIA_TYPE,
        "verificationMaterial": { "publicKey": { "hint": hint } },
        "messageSignature": {
            "messageDigest": {
                "algorithm": "SHA2_256",
                "digest": Base64::encode_string(&Sha256::digest(file)),
            },
            "signature": detach(file, key)?,
        },
    });
    Ok(bundle.to_string())
}
