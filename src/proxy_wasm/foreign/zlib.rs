//! `compress` and `uncompress`: zlib streams (RFC 1950).

use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::ZlibDecoder;
use flate2::write::ZlibEncoder;

use super::Outcome;
use crate::proxy_wasm::status::Status;

/// The most that [`uncompress`] yields, in bytes. Envoy has no such limit, and a few kilobytes can
/// become gigabytes. 16 MiB is far more than a plugin handles at once and takes well below a tenth
/// of a second; what it does not bound is how often a plugin does it.
pub(in crate::proxy_wasm) const MAX_UNCOMPRESSED: usize = 16 << 20;

/// Bytes that are handled between two looks at the clock.
const STEP: usize = 64 << 10;

/// As zlib's `compress` with its default level, unless it gets too late meanwhile.
pub(super) fn compress(argument: &[u8], is_late: impl Fn() -> bool) -> Outcome {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    for part in argument.chunks(STEP) {
        if encoder.write_all(part).is_err() || is_late() {
            return Status::SerializationFailure.into();
        }
    }
    match encoder.finish() {
        Ok(stream) => Outcome::ok(stream),
        Err(_) => Status::SerializationFailure.into(),
    }
}

/// As zlib's `uncompress`: what follows the stream does not matter, but the stream must end.
pub(super) fn uncompress(argument: &[u8], is_late: impl Fn() -> bool) -> Outcome {
    let mut plain = Vec::new();
    let mut decoder = ZlibDecoder::new(argument);
    loop {
        let read = decoder.by_ref().take(STEP as u64).read_to_end(&mut plain);
        match read {
            Ok(0) => return Outcome::ok(plain),
            Ok(_) if plain.len() <= MAX_UNCOMPRESSED && !is_late() => {}
            _ => return Status::SerializationFailure.into(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compress(argument: &[u8]) -> Outcome {
        super::compress(argument, || false)
    }

    fn uncompress(argument: &[u8]) -> Outcome {
        super::uncompress(argument, || false)
    }

    fn good(outcome: Outcome) -> Vec<u8> {
        assert_eq!(outcome.status, Status::Ok);
        outcome.result
    }

    #[test]
    fn there_and_back() {
        assert_eq!(
            good(compress(b"")),
            [0x78, 0x9c, 0x03, 0, 0, 0, 0, 1],
            "zlib's empty stream"
        );
        let text = b"wasm ".repeat(10_000);
        let packed = good(compress(&text));
        assert!(packed.len() < 500);
        assert_eq!(good(uncompress(&packed)), text);
        let mut followed = packed;
        followed.extend_from_slice(b"something else");
        assert_eq!(good(uncompress(&followed)), text);
        assert_eq!(good(uncompress(&good(compress(b"")))), b"");
    }

    #[test]
    fn garbage_and_what_does_not_end_fail() {
        let packed = good(compress(b"some text that is long enough"));
        let mut broken = packed.clone();
        *broken.last_mut().unwrap() ^= 1;
        for bad in [
            &b"garbage"[..],
            b"",
            &packed[..packed.len() - 1],
            &packed[..9],
            &broken,
        ] {
            let outcome = uncompress(bad);
            assert_eq!(outcome.status, Status::SerializationFailure, "{bad:?}");
            assert!(outcome.result.is_empty());
        }
    }

    #[test]
    fn a_guest_past_its_deadline_gets_nothing() {
        let late = super::compress(b"text", || true);
        assert_eq!(late.status, Status::SerializationFailure);
        let late = super::uncompress(&good(compress(b"text")), || true);
        assert_eq!(late.status, Status::SerializationFailure);
    }

    #[test]
    fn a_bomb_is_defused() {
        let bomb = good(compress(&vec![0; MAX_UNCOMPRESSED + 1]));
        assert_eq!(uncompress(&bomb).status, Status::SerializationFailure);
        let large = good(compress(&vec![0; MAX_UNCOMPRESSED]));
        assert_eq!(good(uncompress(&large)).len(), MAX_UNCOMPRESSED);
    }
}
