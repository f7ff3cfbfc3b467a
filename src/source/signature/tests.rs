//! Over the fixtures that real tools made (`tests/fixtures/signatures`). Images, and everything
//! that was tampered with, are in `tests/signatures.rs`, in a real registry.

use std::cell::Cell;
use std::fs;
use std::path::PathBuf;

use ed25519_dalek::Signer as _;
use sha2::{Digest as _, Sha512};

use super::*;
use crate::source::{FetchError, Fetched, Registry, Sidecar};

fn fixture(path: &str) -> PathBuf {
    let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.join("tests/fixtures/signatures").join(path)
}

fn read(path: &str) -> Vec<u8> {
    fs::read(fixture(path)).unwrap()
}

fn pem(name: &str) -> String {
    String::from_utf8(read(&format!("keys/{name}"))).unwrap()
}

fn keys(name: &str) -> Keys {
    Keys::read(&fixture(&format!("keys/{name}.pub"))).unwrap()
}

fn private(name: &str) -> sign::PrivateKey {
    sign::PrivateKey::parse(&pem(&format!("{name}.pem"))).unwrap()
}

const fn file(module: &[u8]) -> Subject<'_> {
    Subject {
        module,
        images: &[],
    }
}

/// The keys that sign fixtures.
const NAMES: [&str; 5] = ["p256", "p384", "ed25519", "rsa2048", "rsa4096"];

#[test]
fn signatures_beside_files_are_valid_for_their_key_and_file_alone() {
    let (module, other) = (read("mark.wasm"), read("other.wasm"));
    let mut count = 0;
    for entry in fs::read_dir(fixture("files")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some(key) = NAMES.into_iter().find(|key| name.contains(key)) else {
            continue;
        };
        count += 1;
        let evidence = Evidence::Sidecar(read(&format!("files/{name}")));
        let check = |module, key| evidence.check(&file(module), &keys(key)).map(Key::kind);
        assert!(check(&module, key).is_ok(), "{name}");
        assert!(check(&other, key).is_err(), "{name}");
        for wrong in NAMES.into_iter().filter(|name| *name != key) {
            assert_eq!(check(&module, wrong), Err(Reason::NoFit(1)), "{name}");
        }
    }
    assert!(count >= 25, "{count} files");
}

#[test]
fn signatures_inside_modules_are_valid_for_their_key_alone() {
    for (name, good) in [
        ("signed", &["ed25519"][..]),
        ("signed-twice", &["ed25519", "ed25519-other"]),
        ("signed-in-parts", &["ed25519"]),
    ] {
        let module = read(&format!("embedded/{name}.wasm"));
        for key in ["ed25519", "ed25519-other", "p256"] {
            let keys = keys(key);
            let result = Evidence::Embedded.check(&file(&module), &keys);
            assert_eq!(
                result.is_ok(),
                good.contains(&key),
                "{name} {key}: {result:?}"
            );
        }
    }
    let keys = keys("ed25519");
    let unsigned = Evidence::Embedded.check(&file(&read("mark.wasm")), &keys);
    assert_eq!(unsigned.unwrap_err(), Reason::Missing);
}

#[test]
fn every_bit_of_a_signed_module_counts() {
    let module = read("embedded/signed.wasm");
    let keys = keys("ed25519");
    // The key's name is for people: nothing hangs on it.
    let info = wasmsign2::signature_info_from_reader(&mut &module[..], None).unwrap();
    let name = &info.key_ids()[0];
    let start = module
        .windows(name.len())
        .position(|part| part == name.as_slice());
    let name = start.unwrap()..start.unwrap() + name.len();
    for at in (8..module.len()).filter(|at| !name.contains(at)) {
        let mut changed = module.clone();
        changed[at] ^= 1;
        let result = Evidence::Embedded.check(&file(&changed), &keys);
        assert!(result.is_err(), "byte {at}");
    }
    for length in 0..module.len() {
        let result = Evidence::Embedded.check(&file(&module[..length]), &keys);
        assert!(result.is_err(), "{length} bytes");
    }
}

#[test]
fn a_part_of_a_signed_module_is_not_the_module() {
    let module = read("embedded/signed-in-parts.wasm");
    let keys = keys("ed25519");
    // Cut off where a part ends, which the convention allows.
    let end = wasmparser::Parser::new(0)
        .parse_all(&module)
        .find_map(|payload| match payload.unwrap() {
            wasmparser::Payload::CustomSection(section)
                if section.name() == "signature_delimiter" =>
            {
                Some(section.range().end)
            }
            _ => None,
        });
    let part = &module[..end.unwrap()];
    let public = wasmsign2::PublicKey::from_pem(&pem("ed25519.pub")).unwrap();
    assert!(
        public.verify(&mut &part[..], None).is_ok(),
        "others take it"
    );
    let reason = Evidence::Embedded.check(&file(part), &keys).unwrap_err();
    assert!(matches!(reason, Reason::Changed { .. }), "{reason}");
    let grown = [&module[..], &[0, 2, 1, b'x']].concat();
    let reason = Evidence::Embedded.check(&file(&grown), &keys).unwrap_err();
    assert!(matches!(reason, Reason::Changed { .. }), "{reason}");
}

#[test]
fn what_we_sign_is_verified() {
    let module = read("mark.wasm");
    for name in NAMES {
        let (key, keys) = (private(name), keys(name));
        let detached = sign::detach(&module, &key).unwrap();
        let bundle = sign::bundle(&module, &key).unwrap();
        for sidecar in [detached, bundle] {
            let evidence = Evidence::Sidecar(sidecar.into_bytes());
            evidence.check(&file(&module), &keys).unwrap();
        }
        let embedded = sign::embed(&module, &key);
        assert_eq!(embedded.is_ok(), name == "ed25519", "{name}");
    }
    let first = sign::embed(&module, &private("ed25519")).unwrap();
    let both = sign::embed(&first, &private("ed25519-other")).unwrap();
    for key in ["ed25519", "ed25519-other"] {
        Evidence::Embedded.check(&file(&both), &keys(key)).unwrap();
        let public = wasmsign2::PublicKey::from_pem(&pem(&format!("{key}.pub"))).unwrap();
        public.verify(&mut &both[..], None).unwrap();
    }
    assert_eq!(sign::embed(&first, &private("ed25519")).unwrap(), first);
}

#[test]
fn a_new_key_does_for_everything() {
    let key = sign::PrivateKey::generate().unwrap();
    let again = sign::PrivateKey::parse(&key.private().unwrap()).unwrap();
    assert_eq!(again.public().unwrap(), key.public().unwrap());
    let keys = Keys::parse(&key.public().unwrap()).unwrap();
    let module = sign::embed(&read("mark.wasm"), &key).unwrap();
    Evidence::Embedded.check(&file(&module), &keys).unwrap();
}

#[test]
fn ed25519_of_a_hash_is_verified_as_well() {
    let module = read("mark.wasm");
    let seed = [7; 32];
    let key = ed25519_dalek::SigningKey::from_bytes(&seed);
    let public = {
        use rsa::pkcs8::EncodePublicKey as _;
        key.verifying_key()
            .to_public_key_pem(rsa::pkcs8::LineEnding::LF)
    };
    let keys = Keys::parse(&public.unwrap()).unwrap();
    let prehashed = key
        .sign_prehashed(Sha512::new_with_prefix(&module), None)
        .unwrap();
    let check = |signature: ed25519_dalek::Signature| {
        let evidence = Evidence::Sidecar(signature.to_bytes().to_vec());
        evidence.check(&file(&module), &keys).map(Key::kind)
    };
    assert!(check(prehashed).is_ok());
    // The plain signature of a hash is one of another text.
    assert!(check(key.sign(&Sha512::digest(&module))).is_err());
}

#[test]
fn keys_are_taken_or_refused_by_name() {
    for name in NAMES {
        let keys = Keys::parse(&pem(&format!("{name}.pub"))).unwrap();
        assert_eq!(keys.iter().count(), 1, "{name}");
    }
    for (name, word) in [
        ("p224", "ECDSA P-224"),
        ("p521", "ECDSA P-521"),
        ("secp256k1", "ECDSA secp256k1"),
        ("rsa1024", "RSA keys of 1024 bits"),
        ("rsa-pss", "RSASSA-PSS"),
        ("ed448", "Ed448"),
        ("x25519", "X25519"),
    ] {
        let error = Keys::parse(&pem(&format!("{name}.pub"))).unwrap_err();
        assert!(error.to_string().contains(word), "{name}: {error}");
    }
    let private = Keys::parse(&pem("p256.pem")).unwrap_err().to_string();
    assert!(private.contains("\"PRIVATE KEY\""), "{private}");
    // One wrong key among good ones is a mistake, not a key less.
    let mixed = pem("p256.pub") + &pem("p521.pub");
    assert!(Keys::parse(&mixed).is_err());
    let many = pem("p256.pub").repeat(17);
    assert!(Keys::parse(&many).is_err());
    let cut = pem("p256.pub").replace("MFkw", "MFkx");
    assert!(matches!(Keys::parse(&cut), Err(KeyError::Malformed)));
}

#[test]
fn any_of_several_keys_will_do() {
    let module = read("mark.wasm");
    let keys =
        Keys::parse(&(pem("p256-other.pub") + "# the old one\n" + &pem("p256.pub"))).unwrap();
    let evidence = Evidence::Sidecar(read("files/cosign-v3.1.3-p256.bundle.sig"));
    let signer = evidence.check(&file(&module), &keys).unwrap();
    assert_eq!(
        signer.fingerprint(),
        keys.iter().nth(1).unwrap().fingerprint()
    );
    let evidence = Evidence::Sidecar(read("files/cosign-v3.1.3-p384.bundle.sig"));
    let reason = evidence.check(&file(&module), &keys).unwrap_err();
    assert_eq!(reason, Reason::NoFit(2));
}

#[test]
fn a_file_of_keys_is_read_anew() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("key.pub");
    assert!(matches!(Keys::read(&path), Err(KeyError::File { .. })));
    fs::write(&path, pem("p256.pub")).unwrap();
    let first = Keys::read(&path).unwrap();
    fs::write(&path, pem("p384.pub")).unwrap();
    let second = Keys::read(&path).unwrap();
    let kind = |keys: &Keys| keys.iter().next().unwrap().kind();
    assert_eq!(
        (kind(&first), kind(&second)),
        ("ECDSA P-256", "ECDSA P-384")
    );
    fs::write(&path, "x".repeat(MAX_KEY_BYTES + 1)).unwrap();
    assert!(matches!(Keys::read(&path), Err(KeyError::TooLong)));
    assert!(matches!(
        Keys::read(directory.path()),
        Err(KeyError::File { .. })
    ));
}

/// A file that is signed beside it, or not; counts how often that is asked.
struct Beside {
    content: Option<Vec<u8>>,
    asked: Cell<usize>,
}

impl Nearby for Beside {
    fn sidecar(&self) -> Option<Sidecar> {
        self.asked.set(self.asked.get() + 1);
        Some(Sidecar {
            place: "x.wasm.sig".to_owned(),
            content: Ok(self.content.clone()),
        })
    }

    fn registry(&self) -> Result<Box<dyn Registry + '_>, FetchError> {
        Err(FetchError::NotWasm("a file"))
    }
}

#[test]
fn results_are_kept_by_module_and_key() {
    let fetched = || Fetched::check(read("mark.wasm"), None, "").unwrap();
    let signed = Beside {
        content: Some(read("files/cosign-v3.1.3-p256.bundle.sig")),
        asked: Cell::default(),
    };
    let unsigned = Beside {
        content: None,
        asked: Cell::default(),
    };
    let verifier = Verifier::default();
    let verify = |nearby: &Beside, keys: Option<&Keys>| verifier.verify(fetched(), nearby, keys);
    // Loaded without a key, which proves nothing for later.
    let verified = verify(&unsigned, None).unwrap();
    assert_eq!(*verified.verification(), Verification::NotAsked);
    let (right, wrong) = (keys("p256"), keys("p256-other"));
    let refused = verify(&unsigned, Some(&right)).unwrap_err().to_string();
    assert_eq!(
        refused,
        "not verified: the module's section \"signature\": none found; x.wasm.sig: none found"
    );
    let first = verify(&signed, Some(&right)).unwrap();
    let second = verify(&unsigned, Some(&right)).unwrap();
    assert_eq!(first.verification(), second.verification());
    assert_eq!((signed.asked.get(), unsigned.asked.get()), (1, 1));
    // Another key, alone: what is known does not help it.
    assert!(verify(&signed, Some(&wrong)).is_err());
    assert_eq!(signed.asked.get(), 2);
    // As after a restart.
    assert!(
        Verifier::default()
            .verify(fetched(), &unsigned, Some(&right))
            .is_err()
    );
}

#[test]
fn anything_can_be_read() {
    // A little fuzzing: good files with bytes changed, cut and doubled, the same each time.
    let mut state: u32 = 1;
    let mut random = |below: usize| {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as usize % below
    };
    for path in [
        "files/cosign-v3.1.3-p256.bundle.sig",
        "files/cosign-v2.6.5-p256.local-bundle.sig",
        "files/attestation.sig",
        "files/cosign-v2.6.5-p256.binary.sig",
        "embedded/signed-twice.wasm",
        "keys/rsa2048.pub",
        "keys/p384.pem",
    ] {
        let good = read(path);
        for _ in 0..300 {
            let mut data = good.clone();
            for _ in 0..=random(3) {
                let at = random(data.len());
                match random(4) {
                    0 => data.truncate(at + 1),
                    1 => data[at] = random(256) as u8,
                    2 => data[at] ^= 1 << random(8),
                    _ => data.extend_from_within(at..),
                }
            }
            assert!(!read_anything(&data), "{path}");
        }
    }
    assert!(!read_anything(b""));
}
