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

/// As zlib's `compress` with its default level.
pub(super) fn compress(argument: &[u8]) -> Outcome {
    let mut encoder = ZlibEncoder::new(Vec::new(), Compression::default());
    let written = encoder.write_all(argument);
    match written.and_then(|()| encoder.finish()) {
        Ok(stream) => Outcome::ok(stream),
        Err(_) => Status::SerializationFailure.into(),
    }
}

/// As zlib's `uncompress`: what follows the stream does not matter, but the stream must end.
pub(super) fn uncompress(argument: &[u8]) -> Outcome {
    let mut plain = Vec::new();
    let limit = MAX_UNCOMPRESSED as u64 + 1;
    let read = ZlibDecoder::new(argument)
        .take(limit)
        .read_to_end(&mut plain);
    match read {
        Ok(len) if len <= MAX_UNCOMPRESSED => Outcome::ok(plain),
        _ => Status::SerializationFailure.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
    fn a_bomb_is_defused() {
        let bomb = good(compress(&vec![0; MAX_UNCOMPRESSED + 1]));
        assert_eq!(uncompress(&bomb).status, Status::SerializationFailure);
        let large = good(compress(&vec![0; MAX_UNCOMPRESSED]));
        assert_eq!(good(uncompress(&large)).len(), MAX_UNCOMPRESSED);
    }
}
