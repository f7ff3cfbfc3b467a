//! Simple signing: what cosign 1 and 2 sign for an image, a JSON document that names its digest.

use serde::Deserialize;

use super::reason::Reason;

/// The media type of a payload in a registry.
pub(super) const MEDIA_TYPE: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// The annotation of a payload's descriptor that holds the signature, in base64.
pub(super) const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// What `critical.type` must be. Others sign other things with the same document.
const TYPE: &str = "cosign container image signature";

#[derive(Deserialize)]
struct Payload {
    critical: Critical,
}

#[derive(Deserialize)]
struct Critical {
    image: Image,
    r#type: String,
}

#[derive(Deserialize)]
struct Image {
    // The specification spells it one way, cosign the other.
    #[serde(rename = "docker-manifest-digest", alias = "Docker-manifest-digest")]
    digest: String,
}

/// The digest of the image that `payload` is about, as `sha256:<hex>`. The name of the image is
/// not looked at, as in cosign: a copy of an image in another registry is the same image.
pub(super) fn subject(payload: &[u8]) -> Result<String, Reason> {
    let payload: Payload =
        serde_json::from_slice(payload).map_err(|error| Reason::malformed("the payload", error))?;
    let critical = payload.critical;
    if critical.r#type != TYPE {
        return Err(Reason::Kind {
            what: "critical.type",
            want: TYPE,
            got: critical.r#type,
        });
    }
    Ok(critical.image.digest)
}
