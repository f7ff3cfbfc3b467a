//! Modules that must be refused: each has a key, and the reason that must be told.

use std::fs;
use std::path::Path;

use super::image_cases;
use super::repository::{Repository, read, read_text};

/// A module that somebody tampered with, or its signature.
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) module: Module,
    /// Names of public keys.
    pub(crate) keys: &'static [&'static str],
    /// What the reason must hold.
    pub(crate) reason: &'static str,
}

pub(crate) enum Module {
    /// An image, and what else its repository has.
    Image(Repository),
    /// A file, and what stands beside it.
    File(Vec<u8>, Option<Vec<u8>>),
}

impl Case {
    pub(crate) fn new(
        name: &str,
        module: Module,
        keys: &'static [&'static str],
        reason: &'static str,
    ) -> Self {
        Self {
            name: name.to_owned(),
            module,
            keys,
            reason,
        }
    }

    /// Puts the module where a URL can name it, and the URL.
    pub(crate) fn publish(&self, directory: &Path, registry: u16) -> String {
        match &self.module {
            Module::Image(repository) => {
                repository.push(registry, &self.name, false);
                format!("oci://localhost:{registry}/{}:1", self.name)
            }
            Module::File(module, sidecar) => {
                let path = directory.join(format!("{}.wasm", self.name));
                fs::write(&path, module).expect("a file");
                if let Some(sidecar) = sidecar {
                    let path = directory.join(format!("{}.wasm.sig", self.name));
                    fs::write(path, sidecar).expect("a file");
                }
                format!("file://{}", path.display())
            }
        }
    }

    /// `verificationKey`.
    pub(crate) fn pem(&self) -> String {
        pem(self.keys)
    }
}

/// The PEM of public keys.
pub(crate) fn pem(keys: &[&str]) -> String {
    keys.iter()
        .map(|key| read_text(&format!("keys/{key}.pub")))
        .collect()
}

pub(crate) fn all() -> Vec<Case> {
    let mut cases = sidecars();
    cases.extend(embedded());
    cases.extend(image_cases::simple());
    cases.extend(image_cases::bundles());
    cases
}

/// Files with a signature beside them.
fn sidecars() -> Vec<Case> {
    let module = || read("mark.wasm");
    let bundle = || read_text("files/cosign-v3.1.3-p256.bundle.sig");
    let case = |name: &str, module: Vec<u8>, sidecar: Option<Vec<u8>>, reason| {
        let module = Module::File(module, sidecar);
        Case::new(&format!("file-{name}"), module, &["p256"], reason)
    };
    let text = |text: String| Some(text.into_bytes());
    let mut long = read("files/cosign-v3.1.3-p256.raw.sig");
    long.resize(2 << 20, b' ');
    let digest = "\"digest\":\"";
    let mut cases = vec![
        case("unsigned", module(), None, "none found"),
        case("empty", module(), Some(Vec::new()), "does not fit"),
        case(
            "other",
            read("other.wasm"),
            text(bundle()),
            "it signs a file with SHA2_256",
        ),
        case(
            "other-raw",
            read("other.wasm"),
            Some(read("files/cosign-v3.1.3-p256.raw.sig")),
            "does not fit",
        ),
        case(
            "flipped",
            changed(module(), 300),
            Some(read("files/cosign-v2.6.5-p256.local-bundle.sig")),
            "does not fit",
        ),
        case(
            "signature-flipped",
            module(),
            Some(changed(read("files/cosign-v2.6.5-p256.binary.sig"), 40)),
            "does not fit",
        ),
        case(
            "signature-cut",
            module(),
            Some(read("files/cosign-v2.6.5-p256.binary.sig")[..60].to_vec()),
            "does not fit",
        ),
        case(
            "bundle-cut",
            module(),
            text(bundle()[..200].to_owned()),
            "the bundle cannot be decoded",
        ),
        case(
            "huge",
            module(),
            Some(long),
            "the most that a signature may have",
        ),
        case(
            "digest-changed",
            module(),
            text(bundle().replace(digest, "\"digest\":\"AAAA")),
            "it signs a file with SHA2_256",
        ),
        case(
            "weak-hash-named",
            module(),
            text(bundle().replace("SHA2_256", "SHA1")),
            "messageDigest.algorithm is \"SHA1\"",
        ),
        case(
            "media-type",
            module(),
            text(bundle().replace("v0.3+json", "v9+json")),
            "mediaType is",
        ),
        case(
            "signature-twice",
            module(),
            text(bundle().replace("\"signature\":", "\"signature\":\"\",\"signature\":")),
            "duplicate field",
        ),
        case(
            "attestation",
            module(),
            Some(read("files/attestation.sig")),
            "content is \"dsseEnvelope\"",
        ),
        case(
            "wrong-hash",
            module(),
            Some(read("files/wrong-hash.sig")),
            "does not fit",
        ),
        case(
            "fixed-size-signature",
            module(),
            Some(fixed_size(&read("files/cosign-v2.6.5-p256.binary.sig"))),
            "does not fit",
        ),
    ];
    for (name, key) in [
        ("wrong-key", "p256-other"),
        ("p384-key", "p384"),
        ("ed25519-key", "ed25519"),
        ("rsa-key", "rsa2048"),
    ] {
        let module = Module::File(module(), text(bundle()));
        let keys: &[_] = match key {
            "p256-other" => &["p256-other"],
            "p384" => &["p384"],
            "ed25519" => &["ed25519"],
            _ => &["rsa2048"],
        };
        let case = Case::new(&format!("file-{name}"), module, keys, "does not fit");
        cases.push(case);
    }
    cases.push(Case::new(
        "file-wrong-padding",
        Module::File(module(), Some(read("files/wrong-padding.sig"))),
        &["rsa2048"],
        "does not fit",
    ));
    cases.push(Case::new(
        "file-several-wrong-keys",
        Module::File(module(), text(bundle())),
        &["p256-other", "p384", "rsa4096"],
        "does not fit any of the 3 keys",
    ));
    cases
}

/// Modules with a signature inside.
fn embedded() -> Vec<Case> {
    let signed = || read("embedded/signed.wasm");
    let case = |name: &str, module: Vec<u8>, reason| {
        let module = Module::File(module, None);
        Case::new(&format!("embedded-{name}"), module, &["ed25519"], reason)
    };
    let parts = || read("embedded/signed-in-parts.wasm");
    // The section: its header, `signature`, then version, content and hash.
    let name = position(&signed(), b"signature");
    let version = name + b"signature".len();
    let set = |at: usize, value: u8| {
        let mut module = signed();
        module[at] = value;
        module
    };
    let algorithm = position(&signed(), &[1, 64]);
    let first_end = 8 + 1 + 2 + usize::from(signed()[9] & 0x7f) + (usize::from(signed()[10]) << 7);
    let moved = [
        &signed()[..8],
        &signed()[first_end..],
        &signed()[8..first_end],
    ]
    .concat();
    let delimiter = position(&parts(), b"signature_delimiter");
    let part = parts()[..delimiter + b"signature_delimiter".len() + 16].to_vec();
    let mut cases = vec![
        case(
            "flipped",
            changed(signed(), signed().len() - 9),
            "not what was signed",
        ),
        case(
            "signature-flipped",
            changed(signed(), algorithm + 9),
            "does not fit",
        ),
        case(
            "hash-flipped",
            changed(signed(), version + 9),
            "does not fit",
        ),
        case("version", set(version, 2), "version is \"2\""),
        case("content", set(version + 1, 2), "content type is \"2\""),
        case(
            "hash-function",
            set(version + 2, 2),
            "hash function is \"2\"",
        ),
        case(
            "algorithm",
            set(algorithm, 2),
            "signature algorithm is \"2\"",
        ),
        case(
            "many-sets",
            set(version + 3, 0x7f),
            "127 signatures are more than",
        ),
        case(
            "length",
            set(version + 4, 0x7f),
            "the section cannot be decoded",
        ),
        case("moved", moved, "none found"),
        case("cut-at-part", part, "not what was signed"),
        case(
            "grown",
            [&signed()[..], &[0, 2, 1, b'x']].concat(),
            "not what was signed",
        ),
        case("renamed", changed(signed(), name), "none found"),
    ];
    for (name, keys, reason) in [
        ("wrong-key", &["ed25519-other"][..], "does not fit"),
        (
            "other-kind-of-key",
            &["p256", "rsa2048"],
            "with an Ed25519 key",
        ),
    ] {
        let module = Module::File(signed(), None);
        cases.push(Case::new(&format!("embedded-{name}"), module, keys, reason));
    }
    cases
}

/// With one bit of one byte changed.
pub(crate) fn changed(mut bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[at] ^= 1;
    bytes
}

fn position(bytes: &[u8], part: &[u8]) -> usize {
    let found = bytes.windows(part.len()).position(|window| window == part);
    found.expect("it is there")
}

/// A signature of ECDSA in the form of JSON Web Tokens: two numbers, no DER.
fn fixed_size(der: &[u8]) -> Vec<u8> {
    let signature = p256::ecdsa::Signature::from_der(der).expect("DER");
    signature.to_bytes().to_vec()
}
