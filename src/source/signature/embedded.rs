//! Signatures inside of modules: the custom section `signature` of the WebAssembly tool
//! conventions, as wasmsign2 writes it.
//!
//! The section comes first. It holds sets of hashes, each with signatures over all hashes of the
//! set. A hash is one of everything behind the section, up to the end of the module or to a
//! section `signature_delimiter`: that allows to add sections later, which the signature does not
//! cover. The convention leaves it to the verifier which parts it wants covered. We want all: the
//! last hash must be that of the whole rest. Otherwise a module could be cut off at a delimiter, or
//! grow code that nobody signed.
//!
//! The signed text names no length and no algorithm but those of version 1, which are fixed:
//! SHA-256 and Ed25519.

use wasmparser::{BinaryReader, BinaryReaderError, Parser, Payload};

use super::keys::{Key, Keys};
use super::reason::Reason;
use crate::source::Digest;

/// The section's name.
const SECTION: &str = "signature";

/// What is signed begins with this: a domain, version 1, content 1 (a module), hash 1 (SHA-256).
const DOMAIN: &[u8] = b"wasmsig\x01\x01\x01";
const VERSION: u32 = 1;
const CONTENT_MODULE: u32 = 1;
const HASH_SHA256: u32 = 1;
const ALGORITHM_ED25519: u8 = 1;
const HASH_LENGTH: usize = 32;

/// The most sets, and hashes and signatures of a set, that are looked at. wasmsign2 takes as many
/// hashes.
const MAX_ITEMS: usize = 64;

/// The most bytes of the section.
const MAX_BYTES: usize = 64 << 10;

/// A signed module.
pub(super) struct Embedded<'a> {
    section: &'a [u8],
    /// What is behind the section.
    content: &'a [u8],
}

/// Hashes, and who signed them.
struct Set<'a> {
    /// One behind the other.
    hashes: &'a [u8],
    signatures: Vec<&'a [u8]>,
}

/// The signature section of `module`, if it has one.
pub(super) fn find(module: &[u8]) -> Option<Embedded<'_>> {
    // The version, then the first section.
    let first = Parser::new(0).parse_all(module).nth(1)?.ok()?;
    let Payload::CustomSection(section) = first else {
        return None;
    };
    (section.name() == SECTION).then_some(Embedded {
        section: section.data(),
        content: module.get(section.range().end..)?,
    })
}

impl Embedded<'_> {
    /// Which of `keys` signed the whole module.
    pub(super) fn verify<'k>(&self, keys: &'k Keys) -> Result<&'k Key, Reason> {
        if self.section.len() > MAX_BYTES {
            return Err(Reason::TooLarge {
                size: self.section.len() as u64,
                limit: MAX_BYTES as u64,
            });
        }
        let sets = sets(self.section)?;
        if !keys.iter().any(Key::is_ed25519) {
            return Err(Reason::NeedsEd25519);
        }
        let got = Digest::of(self.content);
        let mut reason = Reason::NoFit(keys.count());
        for set in sets {
            let message = [DOMAIN, set.hashes].concat();
            let signer = keys.iter().find(|key| {
                set.signatures
                    .iter()
                    .any(|signature| key.verifies_ed25519(&message, signature))
            });
            match signer {
                Some(signer) if set.hashes.ends_with(&got.bytes()) => return Ok(signer),
                // A better reason than that of other sets.
                Some(_) => reason = Reason::Changed { got },
                None => {}
            }
        }
        Err(reason)
    }
}

fn sets(section: &[u8]) -> Result<Vec<Set<'_>>, Reason> {
    let mut reader = Reader::new(section);
    for (what, want, name) in [
        ("version", VERSION, "1"),
        ("content type", CONTENT_MODULE, "1 (a module)"),
        ("hash function", HASH_SHA256, "1 (SHA-256)"),
    ] {
        let got = reader.number()?;
        if got != want {
            return Err(Reason::Kind {
                what,
                want: name,
                got: got.to_string(),
            });
        }
    }
    let sets = (0..reader.count()?)
        .map(|_| set(reader.part()?))
        .collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(sets)
}

fn set(part: &[u8]) -> Result<Set<'_>, Reason> {
    let mut reader = Reader::new(part);
    let hashes = reader.count()? * HASH_LENGTH;
    let hashes = reader.bytes(hashes)?;
    let signatures = (0..reader.count()?)
        .map(|_| signature(reader.part()?))
        .collect::<Result<_, _>>()?;
    reader.end()?;
    Ok(Set { hashes, signatures })
}

fn signature(part: &[u8]) -> Result<&[u8], Reason> {
    let mut reader = Reader::new(part);
    // The name of the key, which whoever wrote the module could choose.
    reader.part()?;
    let algorithm = reader.byte()?;
    if algorithm != ALGORITHM_ED25519 {
        return Err(Reason::Kind {
            what: "signature algorithm",
            want: "1 (Ed25519)",
            got: algorithm.to_string(),
        });
    }
    let signature = reader.part()?;
    reader.end()?;
    Ok(signature)
}

/// Reads the section's encoding: numbers in LEB128, parts with their length in front.
struct Reader<'a>(BinaryReader<'a>);

impl<'a> Reader<'a> {
    fn new(bytes: &'a [u8]) -> Self {
        Self(BinaryReader::new(bytes, 0))
    }

    fn number(&mut self) -> Result<u32, Reason> {
        self.0.read_var_u32().map_err(malformed)
    }

    fn count(&mut self) -> Result<usize, Reason> {
        let count = self.number()? as usize;
        if count > MAX_ITEMS {
            return Err(Reason::TooMany {
                count,
                limit: MAX_ITEMS,
            });
        }
        Ok(count)
    }

    fn byte(&mut self) -> Result<u8, Reason> {
        self.0.read_u8().map_err(malformed)
    }

    fn bytes(&mut self, count: usize) -> Result<&'a [u8], Reason> {
        self.0.read_bytes(count).map_err(malformed)
    }

    fn part(&mut self) -> Result<&'a [u8], Reason> {
        let length = self.number()? as usize;
        self.bytes(length)
    }

    fn end(&self) -> Result<(), Reason> {
        if self.0.eof() {
            Ok(())
        } else {
            Err(Reason::malformed(WHAT, "there is more than it says"))
        }
    }
}

const WHAT: &str = "the section";

#[expect(clippy::needless_pass_by_value, reason = "for map_err")]
fn malformed(error: BinaryReaderError) -> Reason {
    Reason::malformed(WHAT, error.message())
}
