//! Keys of `verify_signature` and `sign`, in the formats that Envoy's BoringSSL takes: DER
//! (`SubjectPublicKeyInfo`, PKCS#8) and PEM (as well PKCS#1 and SEC1 for private keys).
//!
//! RSA from 1024 to 8192 bits, and the NIST curves P-256, P-384 and P-521. BoringSSL also takes
//! RSA keys of other sizes and P-224; to us these cannot be imported.

use base64ct::{Base64, Encoding as _};
use rsa::pkcs1::DecodeRsaPrivateKey as _;
use rsa::pkcs8::der::{Decode as _, Header, Reader as _, SliceReader};
use rsa::pkcs8::{
    AssociatedOid as _, ObjectIdentifier, PrivateKeyInfoRef, SubjectPublicKeyInfoRef,
};

/// The algorithm of a key.
const RSA: ObjectIdentifier = rsa::pkcs1::ALGORITHM_OID;
const EC: ObjectIdentifier = p256::elliptic_curve::ALGORITHM_OID;

/// Checks signatures.
pub(super) enum PublicKey {
    Rsa(Box<rsa::PublicKey>),
    P256(p256::ecdsa::VerifyingKey),
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
}

/// Makes signatures.
pub(super) enum PrivateKey {
    Rsa(Box<rsa::PrivateKey>),
    P256(p256::ecdsa::SigningKey),
    P384(p384::ecdsa::SigningKey),
    P521(p521::ecdsa::SigningKey),
}

impl PublicKey {
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        let info = SubjectPublicKeyInfoRef::from_der(first_element(der)?).ok()?;
        Some(match info.algorithm.oid {
            RSA => Self::Rsa(Box::new(info.try_into().ok()?)),
            EC => match info.algorithm.parameters_oid().ok()? {
                p256::NistP256::OID => Self::P256(info.try_into().ok()?),
                p384::NistP384::OID => Self::P384(info.try_into().ok()?),
                p521::NistP521::OID => Self::P521(info.try_into().ok()?),
                _ => return None,
            },
            _ => return None,
        })
    }

    pub(super) fn from_pem(pem: &[u8]) -> Option<Self> {
        Self::from_der(&decode_pem(pem, "PUBLIC KEY")?)
    }
}

impl PrivateKey {
    pub(super) fn from_der(der: &[u8]) -> Option<Self> {
        let info = PrivateKeyInfoRef::from_der(first_element(der)?).ok()?;
        Some(match info.algorithm.oid {
            RSA => Self::Rsa(Box::new(info.try_into().ok()?)),
            EC => match info.algorithm.parameters_oid().ok()? {
                p256::NistP256::OID => Self::P256(info.try_into().ok()?),
                p384::NistP384::OID => Self::P384(info.try_into().ok()?),
                p521::NistP521::OID => Self::P521(info.try_into().ok()?),
                _ => return None,
            },
            _ => return None,
        })
    }

    pub(super) fn from_pem(pem: &[u8]) -> Option<Self> {
        if let Some(der) = decode_pem(pem, "PRIVATE KEY") {
            return Self::from_der(&der);
        }
        if let Some(der) = decode_pem(pem, "RSA PRIVATE KEY") {
            return rsa::PrivateKey::from_pkcs1_der(&der)
                .ok()
                .map(|key| Self::Rsa(Box::new(key)));
        }
        let der = decode_pem(pem, "EC PRIVATE KEY")?;
        // Each refuses a key that names another curve.
        if let Ok(key) = p256::SecretKey::from_sec1_der(&der) {
            Some(Self::P256(key.into()))
        } else if let Ok(key) = p384::SecretKey::from_sec1_der(&der) {
            Some(Self::P384(key.into()))
        } else {
            let key = p521::SecretKey::from_sec1_der(&der).ok()?;
            Some(Self::P521(key.into()))
        }
    }
}

/// The first element of `der`: BoringSSL does not look at what follows.
fn first_element(der: &[u8]) -> Option<&[u8]> {
    let mut reader = SliceReader::new(der).ok()?;
    let header = Header::decode(&mut reader).ok()?;
    let content = usize::try_from(u32::from(header.length())).ok()?;
    let head = usize::try_from(u32::from(reader.position())).ok()?;
    der.get(..head.checked_add(content)?)
}

/// The content of the first block of that label. Text around it does not matter, nor does the
/// length of its lines.
fn decode_pem(pem: &[u8], label: &str) -> Option<Vec<u8>> {
    let pem = std::str::from_utf8(pem).ok()?;
    let (_, rest) = pem.split_once(&format!("-----BEGIN {label}-----"))?;
    let (block, _) = rest.split_once(&format!("-----END {label}-----"))?;
    let block: String = block.split_ascii_whitespace().collect();
    Base64::decode_vec(&block).ok()
}
