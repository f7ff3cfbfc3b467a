//! What may go wrong on the way to a module: where, what, and how it is told.

use std::io::Write as _;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;
use wasmplugin_host::source::Label;

use super::EMPTY;
use super::support::faulty::{Answer, Ask, Server, forward};
use super::support::images::{Image, gzip, tar};
use super::support::registry::Registry;

/// The first bytes of a tar whose file has `size` bytes, as its header says.
pub(super) fn promise(size: u64) -> Vec<u8> {
    let mut header = tar::Header::new_gnu();
    header.set_path("plugin.wasm").expect("a path");
    header.set_size(size);
    header.set_cksum();
    header.as_bytes().to_vec()
}

/// Zeros, packed: a thousandth of their size.
pub(super) fn bomb(mebibytes: usize) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let zeros = vec![0; 1 << 20];
    for _ in 0..mebibytes {
        encoder.write_all(&zeros).expect("memory");
    }
    encoder.finish().expect("memory")
}

/// A name, what happens, and how it is told.
pub(super) type Fault = (&'static str, Answer, Label, &'static [&'static str]);

/// What a server may do wrong: where, what, and how it is told.
pub(super) fn faults_of_a_server() -> Vec<Fault> {
    let status = |status: u16| Answer::status(status, &[], b"");
    let huge = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "y".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "x: y\r\n".repeat(1000));
    let second = Duration::from_secs(1);
    vec![
        ("silence", Answer::Silence, Label::Timeout, &["silence"]),
        (
            "slow",
            Answer::slowly(EMPTY, 1, second / 2),
            Label::Timeout,
            &["2000 ms"],
        ),
        (
            "cut",
            Answer::of_length(100, EMPTY),
            Label::CutOff,
            &["cut off after 8 bytes"],
        ),
        (
            "cut-head",
            Answer::Raw(b"HTTP/1.1 200".to_vec()),
            Label::CutOff,
            &["cut off after 0"],
        ),
        (
            "too-long",
            Answer::of_length(2 << 20, b""),
            Label::TooLarge,
            &["2097152", "maxModuleBytes"],
        ),
        (
            "garbage",
            Answer::Raw(b"SSH-2.0-x\r\n\r\n".to_vec()),
            Label::Protocol,
            &["HTTP"],
        ),
        (
            "huge-header",
            Answer::Raw(huge.into_bytes()),
            Label::Protocol,
            &["HTTP"],
        ),
        (
            "many-headers",
            Answer::Raw(many.into_bytes()),
            Label::Protocol,
            &["HTTP"],
        ),
        ("400", status(400), Label::ClientError, &["400 Bad Request"]),
        (
            "401",
            status(401),
            Label::Unauthorized,
            &["401 Unauthorized"],
        ),
        ("403", status(403), Label::Forbidden, &["403 Forbidden"]),
        ("404", status(404), Label::NotFound, &["404 Not Found"]),
        (
            "429",
            Answer::status(429, &[("retry-after", "7")], b""),
            Label::RateLimited,
            &["429 Too Many Requests"],
        ),
        ("500", status(500), Label::ServerError, &["500 Internal"]),
        ("503", status(503), Label::ServerError, &["503 Service"]),
        (
            "loop",
            Answer::to("/loop"),
            Label::Redirect,
            &["more than 10 redirects"],
        ),
        (
            "metadata",
            Answer::to("http://169.254.169.254/latest/meta-data"),
            Label::BlockedAddress,
            &["169.254.169.254", "blockedCidrs"],
        ),
        (
            "metadata-as-number",
            Answer::to("http://2852039166/"),
            Label::BlockedAddress,
            &["169.254.169.254"],
        ),
        (
            "metadata-mapped",
            Answer::to("http://[::ffff:a9fe:a9fe]/"),
            Label::BlockedAddress,
            &["blockedCidrs"],
        ),
        (
            "scheme",
            Answer::to("file:///etc/passwd"),
            Label::Redirect,
            &["\"file\""],
        ),
        ("nowhere", status(302), Label::Redirect, &["nowhere"]),
        (
            "bomb",
            Answer::ok(&bomb(64)),
            Label::TooLarge,
            &["unpacked", "maxModuleBytes"],
        ),
        (
            "tar-bomb",
            Answer::ok(&gzip(&tar(&[("x", &vec![0; 8 << 20])]))),
            Label::TooLarge,
            &["unpacked"],
        ),
        (
            "promise",
            Answer::ok(&promise(10 << 30)),
            Label::TooLarge,
            &["10737418240"],
        ),
        (
            "half-gzip",
            Answer::ok(&gzip(EMPTY)[..12]),
            Label::Archive,
            &["unpacked"],
        ),
        (
            "page",
            Answer::ok(b"<html></html>"),
            Label::NotWasm,
            &["\\0asm"],
        ),
        (
            "component",
            Answer::ok(b"\0asm\x0d\0\x01\0"),
            Label::NotWasm,
            &["component"],
        ),
        ("short", Answer::ok(b"\0asm"), Label::NotWasm, &["shorter"]),
    ]
}

/// A server that has each of `faults` under its name.
pub(super) fn faulty(faults: &[Fault]) -> Server {
    let answers: Vec<_> = faults
        .iter()
        .map(|(name, answer, ..)| (format!("/{name}"), answer.clone()))
        .collect();
    Server::start(move |ask| {
        let found = answers.iter().find(|(path, _)| *path == ask.path);
        found.map_or_else(
            || Answer::status(404, &[], b""),
            |(_, answer)| answer.clone(),
        )
    })
}

/// What stands between a registry and us may change its answers.
#[derive(Clone, Copy)]
pub(super) struct RegistryFault {
    /// The repository that it concerns.
    pub(super) name: &'static str,
    harm: Harm,
    pub(super) label: Label,
    pub(super) words: &'static [&'static str],
}

#[derive(Clone, Copy)]
enum Harm {
    /// To answers to paths with this part, of which the body is known.
    Answer(&'static str, fn(&Ask, Vec<u8>) -> Answer),
    /// In the registry itself: the layer of the image.
    Layer(fn() -> Vec<u8>),
}

/// What a registry may do wrong.
pub(super) fn faults_of_a_registry() -> Vec<RegistryFault> {
    let fault = |name, part, change, label, words| RegistryFault {
        name,
        harm: Harm::Answer(part, change),
        label,
        words,
    };
    let layer = |name, layer, words| RegistryFault {
        name,
        harm: Harm::Layer(layer),
        label: Label::TooLarge,
        words,
    };
    vec![
        fault(
            "silence",
            "/blobs/",
            |_, _| Answer::Silence,
            Label::Timeout,
            &["layer sha256:", "silence"],
        ),
        fault(
            "slow",
            "/blobs/",
            |_, bytes| Answer::slowly(&bytes, 1, Duration::from_millis(500)),
            Label::Timeout,
            &["2000 ms"],
        ),
        fault(
            "wrong-digest",
            "/blobs/",
            |_, mut bytes| {
                bytes[20] ^= 1;
                Answer::ok(&bytes)
            },
            Label::WrongDigest,
            &["layer sha256:", "instead of"],
        ),
        fault(
            "wrong-length",
            "/blobs/",
            |_, bytes| Answer::ok(&bytes[..bytes.len() - 1]),
            Label::WrongLength,
            &["its descriptor says"],
        ),
        fault(
            "cut",
            "/blobs/",
            |_, bytes| Answer::of_length(bytes.len() as u64, &bytes[..10]),
            Label::CutOff,
            &["cut off after 10"],
        ),
        fault(
            "metadata",
            "/blobs/",
            |_, _| Answer::to("http://169.254.169.254/blob"),
            Label::BlockedAddress,
            &["169.254.169.254"],
        ),
        fault(
            "loop",
            "/blobs/",
            |ask, _| Answer::to(&ask.path),
            Label::Redirect,
            &["more than 10 redirects"],
        ),
        fault(
            "endless",
            "/blobs/",
            |_, _| Answer::Endless(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), vec![0; 1 << 16]),
            Label::TooLarge,
            &["maxModuleBytes"],
        ),
        layer(
            "bomb",
            || gzip(&tar(&[("x", &vec![0; 64 << 20])])),
            &["unpacked", "maxModuleBytes"],
        ),
        layer("promise", || gzip(&promise(10 << 30)), &["10737418240"]),
        fault(
            "no-manifest",
            "/manifests/",
            |_, _| Answer::ok(b"{}"),
            Label::Manifest,
            &["cannot be read"],
        ),
        fault(
            "no-json",
            "/manifests/",
            |_, _| Answer::ok(b"not JSON"),
            Label::Manifest,
            &["manifest"],
        ),
        fault(
            "large-manifest",
            "/manifests/",
            |_, _| Answer::ok(&vec![b' '; 5 << 20]),
            Label::TooLarge,
            &["the largest manifest"],
        ),
        fault(
            "404",
            "/manifests/",
            |_, _| {
                let body =
                    br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#;
                Answer::status(404, &[], body)
            },
            Label::NotFound,
            &["404 Not Found", "MANIFEST_UNKNOWN"],
        ),
        fault(
            "401",
            "/v2/",
            |_, _| Answer::status(401, &[("www-authenticate", "Negotiate")], b""),
            Label::Unauthorized,
            &["neither a token nor a password"],
        ),
        fault(
            "password",
            "/v2/",
            |_, _| Answer::status(401, &[("www-authenticate", "Basic realm=\"x\"")], b""),
            Label::Unauthorized,
            &["imagePullSecret names none"],
        ),
        fault(
            "realm",
            "/v2/",
            |_, _| {
                let challenge = r#"Bearer realm="http://169.254.169.254/token""#;
                Answer::status(401, &[("www-authenticate", challenge)], b"")
            },
            Label::BlockedAddress,
            &["169.254.169.254"],
        ),
        fault(
            "403",
            "/v2/",
            |_, _| Answer::status(403, &[], b""),
            Label::Forbidden,
            &["403 Forbidden"],
        ),
        fault(
            "429",
            "/v2/",
            |_, _| Answer::status(429, &[("retry-after", "7")], b""),
            Label::RateLimited,
            &["429 Too Many Requests"],
        ),
        fault(
            "500",
            "/v2/",
            |_, _| Answer::status(500, &[], b""),
            Label::ServerError,
            &["500 Internal"],
        ),
        fault(
            "503",
            "/v2/",
            |_, _| Answer::status(503, &[], b""),
            Label::ServerError,
            &["503 Service"],
        ),
    ]
}

/// A front of the registry that answers for each fault's repository with the image `good:1`, and
/// does it harm.
pub(super) fn faulty_front(registry: &Registry, faults: &[RegistryFault]) -> Server {
    for fault in faults {
        if let Harm::Layer(layer) = fault.harm {
            let directory = tempfile::tempdir().expect("a temporary directory");
            let mut image = Image::oci(&[("plugin.wasm", EMPTY)], "+gzip");
            image.layers[0].1 = layer();
            image.write(directory.path());
            let name = format!("{}:1", fault.name);
            registry.push(directory.path(), &name, &["--preserve-digests"]);
        }
    }
    let (behind, faults) = (registry.port(), faults.to_vec());
    Server::start(move |ask| {
        let fault = faults
            .iter()
            .find(|fault| Some(fault.name) == repository(ask));
        match fault.map(|fault| fault.harm) {
            None => Answer::status(404, &[], b""),
            Some(Harm::Layer(_)) => forward(behind, ask),
            Some(Harm::Answer(part, change)) => match good(behind, ask) {
                Answer::Reply { body, .. } if ask.path.contains(part) => change(ask, body),
                answer => answer,
            },
        }
    })
}

/// The answer to `ask` about the image `good:1`, whatever repository it names.
pub(super) fn good(behind: u16, ask: &Ask) -> Answer {
    let name = repository(ask).unwrap_or_default();
    let path = ask.path.replacen(&format!("/v2/{name}/"), "/v2/good/", 1);
    forward(
        behind,
        &Ask {
            path,
            ..ask.clone()
        },
    )
}

/// The repository of a request to a registry.
fn repository(ask: &Ask) -> Option<&str> {
    ask.path.strip_prefix("/v2/")?.split('/').next()
}
