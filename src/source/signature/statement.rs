//! DSSE envelopes and the in-toto statements in them: what cosign 3 signs for an image.
//!
//! An envelope signs the type of its payload together with the payload, in an encoding of its own
//! (PAE), so that no payload can be taken for one of another type. The statement says what it is
//! about (`subject`) and what it says (`predicateType`). Signatures are statements of one certain
//! predicate; the same keys also sign others, such as "a scan of this image found that", and none
//! of those says that the image may run.

use base64ct::{Base64, Encoding as _};
use serde::Deserialize;
use std::collections::BTreeMap;

use super::keys::{Key, Keys};
use super::reason::Reason;

const PAYLOAD_TYPE: &str = "application/vnd.in-toto+json";
const STATEMENT_TYPES: [&str; 2] = [
    "https://in-toto.io/Statement/v1",
    "https://in-toto.io/Statement/v0.1",
];
const PREDICATE_TYPE: &str = "https://sigstore.dev/cosign/sign/v1";

/// The most signatures of an envelope that are looked at; cosign makes one.
const MAX_SIGNATURES: usize = 16;

/// A DSSE envelope, as JSON has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Envelope {
    payload: String,
    payload_type: String,
    signatures: Vec<EnvelopeSignature>,
}

#[derive(Deserialize)]
struct EnvelopeSignature {
    sig: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Statement {
    #[serde(rename = "_type")]
    r#type: String,
    predicate_type: String,
    subject: Vec<Subject>,
}

#[derive(Deserialize)]
struct Subject {
    digest: BTreeMap<String, String>,
}

impl Envelope {
    /// Checks the signature first: what is not signed need not be read.
    pub(super) fn verify<'k>(&self, keys: &'k Keys) -> Result<(&'k Key, Vec<String>), Reason> {
        if self.payload_type != PAYLOAD_TYPE {
            return Err(Reason::Kind {
                what: "payloadType",
                want: PAYLOAD_TYPE,
                got: self.payload_type.clone(),
            });
        }
        if self.signatures.len() > MAX_SIGNATURES {
            return Err(Reason::TooMany {
                count: self.signatures.len(),
                limit: MAX_SIGNATURES,
            });
        }
        let payload = decode("the envelope's payload", &self.payload)?;
        let message = pre_authentication(&self.payload_type, &payload);
        let mut signer = None;
        for signature in &self.signatures {
            let signature = decode("the envelope's signature", &signature.sig)?;
            signer = signer.or_else(|| keys.signer(&message, &signature));
        }
        let signer = signer.ok_or(Reason::NoFit(keys.count()))?;
        Ok((signer, subjects(&payload)?))
    }
}

/// The digests that the statement is about, as `sha256:<hex>`.
fn subjects(payload: &[u8]) -> Result<Vec<String>, Reason> {
    let statement: Statement = serde_json::from_slice(payload)
        .map_err(|error| Reason::malformed("the statement", error))?;
    let [want, _] = STATEMENT_TYPES;
    if !STATEMENT_TYPES.contains(&statement.r#type.as_str()) {
        return Err(Reason::Kind {
            what: "statement's _type",
            want,
            got: statement.r#type,
        });
    }
    if statement.predicate_type != PREDICATE_TYPE {
        return Err(Reason::Kind {
            what: "predicateType",
            want: PREDICATE_TYPE,
            got: statement.predicate_type,
        });
    }
    let digests = statement.subject.into_iter().filter_map(|subject| {
        let hex = subject.digest.get("sha256")?;
        Some(format!("sha256:{hex}"))
    });
    Ok(digests.collect())
}

/// What is signed: type and payload, each with its length (PAE of DSSE 1).
fn pre_authentication(payload_type: &str, payload: &[u8]) -> Vec<u8> {
    let head = format!(
        "DSSEv1 {} {payload_type} {} ",
        payload_type.len(),
        payload.len()
    );
    [head.as_bytes(), payload].concat()
}

/// Base64 of a JSON field.
pub(super) fn decode(what: &'static str, text: &str) -> Result<Vec<u8>, Reason> {
    Base64::decode_vec(text).map_err(|_| Reason::malformed(what, "not base64"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_of_the_specification() {
        let encoded = pre_authentication("http://example.com/HelloWorld", b"hello world");
        assert_eq!(
            encoded,
            b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
        );
    }
}
