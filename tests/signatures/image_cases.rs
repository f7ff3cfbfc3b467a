//! Images that must be refused.

use base64ct::{Base64, Encoding as _};
use serde_json::{Value, json};
use wasmplugin_host::source::signature::sign::{self, PrivateKey};

use super::repository::{Repository, contains, oci_digest, read, read_text};
use super::tampered::{Case, Module, changed};

const SIGNATURE: &str = "dev.cosignproject.cosign/signature";

/// Parts of contents that tell them from others.
const PAYLOAD: &str = "critical";
const SIMPLE: &str = "simplesigning";
const BUNDLE: &str = "dsseEnvelope";
const BUNDLE_MANIFEST: &str = "dev.sigstore.bundle.content";

fn is_module(blob: &[u8]) -> bool {
    blob.starts_with(b"\0asm")
}

fn private() -> PrivateKey {
    PrivateKey::parse(&read_text("keys/p256.pem")).expect("a key")
}

fn signed(message: &[u8]) -> String {
    sign::detach(message, &private()).expect("a signature")
}

/// Another module in place of the signed one, and signatures that are said to be its own.
fn other_module(name: &str) -> Repository {
    Repository::new(name).blob(is_module, |blob| *blob = read("other.wasm"))
}

/// Simple signing, of cosign 1 and 2.
pub(crate) fn simple() -> Vec<Case> {
    let base = || Repository::new("cosign-v2.6.5-p256");
    let case = |name: &str, repository: Repository, reason| {
        let name = format!("simple-{name}");
        Case::new(&name, Module::Image(repository), &["p256"], reason)
    };
    let layer =
        |change: fn(&mut Value)| base().manifest(SIMPLE, |json| change(&mut json["layers"][0]));
    let signature = |to: &str| {
        base().manifest(SIMPLE, |json| {
            json["layers"][0]["annotations"][SIGNATURE] = json!(to)
        })
    };
    // A document of our own, with a good signature.
    let own = |payload: &str| {
        let good = signed(payload.as_bytes());
        base()
            .blob(
                |blob| contains(blob, PAYLOAD),
                |blob| *blob = payload.as_bytes().to_vec(),
            )
            .manifest(SIMPLE, |json| {
                json["layers"][0]["annotations"][SIGNATURE] = json!(good)
            })
    };
    let image = base().image();
    let document = |kind: &str| {
        json!({ "critical": {
            "identity": { "docker-reference": "x" },
            "image": { "docker-manifest-digest": image },
            "type": kind,
        } })
        .to_string()
    };
    let evil = other_module("unsigned").image();
    let huge = " ".repeat(2 << 20);
    let index_of_image = {
        let mut repository = base();
        let manifest = repository.manifests.last_mut().expect("the signature");
        let tags = std::mem::take(&mut manifest.tags);
        let mut index = manifest.clone();
        "application/vnd.oci.image.index.v1+json".clone_into(&mut index.media_type);
        index.content =
            json!({ "schemaVersion": 2, "mediaType": index.media_type, "manifests": [] })
                .to_string();
        index.tags = tags;
        repository.manifests.push(index);
        repository
    };
    let mut cases = vec![
        case("unsigned", Repository::new("unsigned"), "none found"),
        case(
            "module",
            other_module("cosign-v2.6.5-p256"),
            "it signs sha256:",
        ),
        case(
            "module-flipped",
            base().blob(is_module, |blob| *blob = changed(blob.clone(), 300)),
            "it signs sha256:",
        ),
        case(
            "manifest",
            base().manifest("vnd.wasm.config", |json| {
                json["annotations"] = json!({ "a": "b" })
            }),
            "it signs sha256:",
        ),
        case(
            "payload-flipped",
            base().blob(
                |blob| contains(blob, PAYLOAD),
                |blob| *blob = changed(blob.clone(), 100),
            ),
            "does not fit",
        ),
        case(
            "payload-renamed",
            other_module("cosign-v2.6.5-p256").replaced(&image, &evil),
            "does not fit",
        ),
        case(
            "payload-type",
            own(&document("atomic container signature")),
            "critical.type is",
        ),
        case(
            "payload-of-other",
            own(&document("cosign container image signature").replace(&image, &evil)),
            "it signs sha256:",
        ),
        case(
            "payload-text",
            own("critical"),
            "the payload cannot be decoded",
        ),
        case(
            "payload-two-digests",
            own(&document("cosign container image signature").replace(
                "\"docker-manifest-digest\"",
                "\"docker-manifest-digest\":\"x\",\"docker-manifest-digest\"",
            )),
            "duplicate field",
        ),
        case(
            "payload-huge",
            base().replaced("\"optional\":null", &format!("\"optional\":null{huge}")),
            "the most that a signature",
        ),
        case("signature-flipped", signature("MEQ="), "does not fit"),
        case("signature-empty", signature(""), "does not fit"),
        case("signature-text", signature("not base64!"), "not base64"),
        case(
            "signature-missing",
            layer(|layer| layer["annotations"] = json!({})),
            "it lacks dev.cosignproject.cosign/signature",
        ),
        case(
            "layer-type",
            layer(|layer| layer["mediaType"] = json!("text/plain")),
            "media type is \"text/plain\"",
        ),
        case(
            "index-as-signature",
            index_of_image,
            "the manifest cannot be decoded",
        ),
        case(
            "too-many",
            base().manifest(SIMPLE, |json| {
                let layer = json["layers"][0].clone();
                json["layers"] = vec![layer; 65].into();
            }),
            "65 signatures are more than",
        ),
        case(
            "swapped",
            base().with_signatures_of(&Repository::new("cosign-v2.6.5-other")),
            "it signs sha256:",
        ),
        case(
            "index-child",
            other_module("cosign-v2.6.5-index"),
            "it signs sha256:",
        ),
        case(
            "referrer",
            other_module("cosign-v2.6.5-referrer"),
            "it signs sha256:",
        ),
    ];
    for (name, keys) in [
        ("wrong-key", &["p256-other"][..]),
        ("ed25519-key", &["ed25519"]),
        ("rsa-key", &["rsa4096"]),
    ] {
        let module = Module::Image(base());
        cases.push(Case::new(
            &format!("simple-{name}"),
            module,
            keys,
            "does not fit",
        ));
    }
    cases
}

/// Bundles, of cosign 3.
pub(crate) fn bundles() -> Vec<Case> {
    let base = || Repository::new("cosign-v3.1.3-p256");
    let case = |name: &str, repository: Repository, reason| {
        let name = format!("bundle-{name}");
        Case::new(&name, Module::Image(repository), &["p256"], reason)
    };
    let bundle = |change: &dyn Fn(&mut Value)| {
        base().blob(
            |blob| contains(blob, BUNDLE),
            |blob| {
                let mut json = serde_json::from_slice(blob).expect("JSON");
                change(&mut json);
                *blob = json.to_string().into_bytes();
            },
        )
    };
    let envelope = |change: &dyn Fn(&mut Value)| bundle(&|json| change(&mut json[BUNDLE]));
    let image = base().image();
    let hex = image.trim_start_matches("sha256:").to_owned();
    // A statement of our own, with a good signature.
    let own = |statement: &Value| {
        let statement = statement.to_string();
        let kind = "application/vnd.in-toto+json";
        let message = format!(
            "DSSEv1 {} {kind} {} {statement}",
            kind.len(),
            statement.len()
        );
        let good = signed(message.as_bytes());
        let payload = Base64::encode_string(statement.as_bytes());
        envelope(&|json| {
            json["payload"] = json!(payload);
            json["signatures"] = json!([{ "sig": good }]);
        })
    };
    let statement = |subject: Value| {
        json!({
            "_type": "https://in-toto.io/Statement/v1",
            "predicateType": "https://sigstore.dev/cosign/sign/v1",
            "subject": [{ "digest": subject }],
            "predicate": {},
        })
    };
    let with = |field: &str, value: &str| {
        let mut statement = statement(json!({ "sha256": hex }));
        statement[field] = json!(value);
        statement
    };
    let evil = other_module("unsigned").image();
    let renamed = |json: &mut Value| {
        let payload = json["payload"].as_str().expect("a payload");
        let payload = Base64::decode_vec(payload).expect("base64");
        let payload = String::from_utf8(payload).expect("text");
        let payload = payload.replace(&hex, evil.trim_start_matches("sha256:"));
        json["payload"] = json!(Base64::encode_string(payload.as_bytes()));
    };
    let of_payload_alone = {
        let statement = statement(json!({ "sha256": hex })).to_string();
        let good = signed(statement.as_bytes());
        envelope(&|json| {
            json["payload"] = json!(Base64::encode_string(statement.as_bytes()));
            json["signatures"] = json!([{ "sig": good }]);
        })
    };
    // A bundle of a file: the image's manifest, as if it were one.
    let of_file = {
        let repository = base();
        let manifest = &repository.image_manifest().content;
        assert_eq!(oci_digest(manifest.as_bytes()), image);
        let of_manifest = sign::bundle(manifest.as_bytes(), &private()).expect("a bundle");
        repository.clone().blob(
            |blob| contains(blob, BUNDLE),
            |blob| *blob = of_manifest.clone().into_bytes(),
        )
    };
    let huge = format!("\"mediaType\":{}", " ".repeat(2 << 20));
    let mut cases = vec![
        case(
            "module",
            other_module("cosign-v3.1.3-p256"),
            "it signs sha256:",
        ),
        case(
            "index-child",
            other_module("cosign-v3.1.3-index"),
            "it signs sha256:",
        ),
        case(
            "swapped",
            base().with_signatures_of(&Repository::new("cosign-v3.1.3-other")),
            "it signs sha256:",
        ),
        case("payload-renamed", envelope(&renamed), "does not fit"),
        case(
            "payload-text",
            envelope(&|json| json["payload"] = json!("?")),
            "not base64",
        ),
        case(
            "signature-flipped",
            envelope(&|json| json["signatures"][0]["sig"] = json!("MEQ=")),
            "does not fit",
        ),
        case(
            "signatures-none",
            envelope(&|json| json["signatures"] = json!([])),
            "does not fit",
        ),
        case(
            "signatures-many",
            envelope(&|json| json["signatures"] = vec![json["signatures"][0].clone(); 17].into()),
            "17 signatures are more than",
        ),
        case(
            "payload-type",
            envelope(&|json| json["payloadType"] = json!("application/json")),
            "payloadType is \"application/json\"",
        ),
        case("payload-alone-signed", of_payload_alone, "does not fit"),
        case(
            "attestation",
            Repository::new("attestation"),
            "predicateType is",
        ),
        case(
            "predicate",
            own(&with("predicateType", "https://slsa.dev/provenance/v1")),
            "predicateType is",
        ),
        case(
            "statement-type",
            own(&with("_type", "https://in-toto.io/Link/v1")),
            "_type is",
        ),
        case(
            "subject-of-other",
            own(&statement(json!({ "sha256": evil }))),
            "it signs sha256:",
        ),
        case(
            "subject-sha512",
            own(&statement(json!({ "sha512": hex }))),
            "nothing with a sha256",
        ),
        case(
            "statement-text",
            own(&json!("text")),
            "the statement cannot be decoded",
        ),
        case("file-signature", of_file, "content is \"messageSignature\""),
        case(
            "media-type",
            bundle(&|json| json["mediaType"] = json!("text/plain")),
            "mediaType is",
        ),
        case(
            "two-kinds",
            bundle(&|json| json["messageSignature"] = json!({ "signature": "" })),
            "two kinds of signatures",
        ),
        case(
            "no-kind",
            bundle(&|json| drop(json.as_object_mut().map(|json| json.remove(BUNDLE)))),
            "it has no signature",
        ),
        case(
            "cut",
            base().blob(|blob| contains(blob, BUNDLE), |blob| blob.truncate(300)),
            "the bundle cannot be decoded",
        ),
        case(
            "payload-twice",
            base().replaced("\"payload\":", "\"payload\":\"\",\"payload\":"),
            "duplicate field",
        ),
        case(
            "huge",
            base().replaced("\"mediaType\":", &huge),
            "the most that a signature",
        ),
        case(
            "two-layers",
            base().manifest(BUNDLE_MANIFEST, |json| {
                json["layers"] = vec![json["layers"][0].clone(); 2].into();
            }),
            "it has 2 layers",
        ),
        case(
            "notation",
            Repository::new("notation"),
            "a Notation signature, which is not supported",
        ),
    ];
    for (name, keys) in [
        ("wrong-key", &["p256-other"][..]),
        ("p384-key", &["p384"]),
        ("rsa-key", &["rsa2048"]),
    ] {
        let module = Module::Image(base());
        cases.push(Case::new(
            &format!("bundle-{name}"),
            module,
            keys,
            "does not fit",
        ));
    }
    cases
}
