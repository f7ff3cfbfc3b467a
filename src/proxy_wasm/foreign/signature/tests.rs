//! Against keys and signatures that OpenSSL made: `openssl dgst -sha256 -sign KEY.pem`, over the
//! bytes `the text`.

use base64ct::{Base64, Encoding as _};

use super::*;

const TEXT: &[u8] = b"the text";

struct Key {
    name: &'static str,
    private: &'static str,
    public: &'static str,
}

const KEYS: [Key; 4] = [
    Key {
        name: "rsa",
        private: include_str!("vectors/rsa.pem"),
        public: include_str!("vectors/rsa.pub.pem"),
    },
    Key {
        name: "p256",
        private: include_str!("vectors/p256.pem"),
        public: include_str!("vectors/p256.pub.pem"),
    },
    Key {
        name: "p384",
        private: include_str!("vectors/p384.pem"),
        public: include_str!("vectors/p384.pub.pem"),
    },
    Key {
        name: "p521",
        private: include_str!("vectors/p521.pem"),
        public: include_str!("vectors/p521.pub.pem"),
    },
];

/// Key, hash, signature.
fn signatures() -> Vec<(&'static Key, &'static str, Vec<u8>)> {
    let lines = include_str!("vectors/signatures.txt").lines();
    let signature = |line: &'static str| {
        let words: Vec<_> = line.split(' ').collect();
        let key = KEYS.iter().find(|key| key.name == words[0]).unwrap();
        (key, words[1], Base64::decode_vec(words[2]).unwrap())
    };
    lines.map(signature).collect()
}

fn der(pem: &str) -> Vec<u8> {
    let lines = pem.lines().filter(|line| !line.starts_with("-----"));
    Base64::decode_vec(&lines.collect::<String>()).unwrap()
}

fn ask(hash: &str, key: &[u8], signature: &[u8], text: &[u8], pem: &str) -> Vec<u8> {
    Message::default()
        .with_bytes(1, hash.as_bytes())
        .with_bytes(2, key)
        .with_bytes(3, signature)
        .with_bytes(4, text)
        .with_bytes(5, pem.as_bytes())
        .into_bytes()
}

const GOOD: &[u8] = &[8, 1];

/// The answer, which must be one.
fn answer(outcome: Outcome) -> Vec<u8> {
    assert_eq!(outcome.status, Status::Ok);
    outcome.result
}

#[test]
fn signatures_of_others_are_verified() {
    let all = signatures();
    assert_eq!(all.len(), 12);
    for (key, hash, signature) in all {
        let what = format!("{} {hash}", key.name);
        let by_pem = ask(hash, &[], &signature, TEXT, key.public);
        assert_eq!(answer(verify(&by_pem)), GOOD, "{what}");
        let mut followed = der(key.public);
        followed.extend_from_slice(b"more");
        let by_der = ask(&hash.to_uppercase(), &followed, &signature, TEXT, "");
        assert_eq!(answer(verify(&by_der)), GOOD, "{what}");

        let mut broken = signature.clone();
        *broken.last_mut().unwrap() ^= 1;
        let bad = Message::default().with(2, b"Failed to verify digest. Error code: 0");
        let bad = bad.into_bytes();
        for wrong in [
            ask(hash, &[], &broken, TEXT, key.public),
            ask(hash, &[], &signature, b"another text", key.public),
            ask("sha384", &[], &signature, TEXT, key.public),
            ask(hash, &[], b"", TEXT, key.public),
            ask(hash, &[], b"garbage", TEXT, key.public),
        ] {
            assert_eq!(answer(verify(&wrong)), bad, "{what}");
        }
    }
}

#[test]
fn what_is_signed_is_verified() {
    for key in &KEYS {
        for hash in ["sha1", "sha224", "SHA256", "sha384", "sha512"] {
            let by_pem = Message::default()
                .with(1, hash.as_bytes())
                .with(3, TEXT)
                .with(4, key.private.as_bytes());
            let by_der = Message::default()
                .with(1, hash.as_bytes())
                .with(2, &der(key.private))
                .with(3, TEXT);
            for argument in [by_pem, by_der] {
                let signed = answer(sign(&argument.into_bytes()));
                let mut signature = Vec::new();
                let mut result = 0;
                message::read(&signed, |number, field| {
                    match (number, field) {
                        (1, Field::Varint(number)) => result = number,
                        (2, Field::Bytes(bytes)) => signature = bytes.to_vec(),
                        other => panic!("{other:?}"),
                    }
                    Ok(())
                })
                .unwrap();
                assert_eq!(result, 1);
                let check = ask(hash, &[], &signature, TEXT, key.public);
                assert_eq!(answer(verify(&check)), GOOD, "{} {hash}", key.name);
            }
        }
    }
}

#[test]
fn rsa_signs_as_everybody_does() {
    for (key, hash, signature) in signatures() {
        if key.name == "rsa" {
            let pkcs1 = include_str!("vectors/rsa-pkcs1.pem");
            let private = PrivateKey::from_pem(pkcs1.as_bytes()).unwrap();
            let hash = Hash::named(hash).unwrap();
            assert_eq!(private.sign(&hash, TEXT).unwrap(), signature);
        }
    }
}

#[test]
fn pem_is_taken_as_others_take_it() {
    let sec1 = include_str!("vectors/p256-sec1.pem");
    assert!(matches!(
        PrivateKey::from_pem(sec1.as_bytes()),
        Some(PrivateKey::P256(_))
    ));
    let public = KEYS[0].public;
    let one_line = public.replace('\n', "").replace("KEY-----M", "KEY-----\nM");
    for good in [
        format!("a comment\n{public}another"),
        public.replace('\n', "\r\n"),
        one_line,
    ] {
        assert!(PublicKey::from_pem(good.as_bytes()).is_some(), "{good}");
    }
    for bad in [
        KEYS[0].private,
        "",
        "-----BEGIN PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----",
        "-----BEGIN PUBLIC KEY-----\n????\n-----END PUBLIC KEY-----",
    ] {
        assert!(PublicKey::from_pem(bad.as_bytes()).is_none(), "{bad}");
    }
    assert!(PrivateKey::from_pem(public.as_bytes()).is_none());
}

#[test]
fn arguments_without_one_key_are_bad() {
    let public = KEYS[0].public;
    let mut cut = ask("sha256", &[], b"s", TEXT, public);
    cut.pop();
    for argument in [
        ask("sha256", &[], b"s", TEXT, ""),
        ask("sha256", &der(public), b"s", TEXT, public),
        Message::default().with(1, b"\xff").into_bytes(),
        cut,
    ] {
        assert_eq!(
            verify(&argument).status,
            Status::BadArgument,
            "{argument:?}"
        );
    }
    for argument in [
        Message::default().with(1, b"sha256").with(3, TEXT),
        Message::default().with(2, b"a key").with(4, b"another"),
        Message::default().with(1, b"\xff"),
    ] {
        assert_eq!(sign(&argument.into_bytes()).status, Status::BadArgument);
    }
}

#[test]
fn a_key_that_cannot_be_imported_is_an_answer() {
    let told = Message::default().with(2, b"Failed to initialize digest verify.");
    let told = told.into_bytes();
    for argument in [
        ask("sha256", b"garbage", b"s", TEXT, ""),
        ask("sha256", &[], b"s", TEXT, "garbage"),
        ask("sha256", &der(KEYS[0].private), b"s", TEXT, ""),
    ] {
        assert_eq!(answer(verify(&argument)), told, "{argument:?}");
    }
    let argument = Message::default()
        .with(1, b"sha256")
        .with(2, &der(KEYS[0].public));
    let told = Message::default().with(
        3,
        b"Invalid key type: private key required for signing operation.",
    );
    assert_eq!(answer(sign(&argument.into_bytes())), told.into_bytes());
}

#[test]
fn an_unknown_hash_is_an_answer() {
    let argument = ask("MD5", &[], b"s", TEXT, KEYS[1].public);
    let told = Message::default().with(2, b"MD5 is not supported.");
    assert_eq!(answer(verify(&argument)), told.into_bytes());

    let argument = Message::default().with(4, KEYS[1].private.as_bytes());
    let told = Message::default().with(3, b" is not supported.");
    assert_eq!(answer(sign(&argument.into_bytes())), told.into_bytes());
}
