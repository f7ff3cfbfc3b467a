//! gRPC over HTTP streams: Envoy gives modules no gRPC client, so the framing is done here.

use super::call::Fields;
use super::calls::MAX_ANSWER;

/// `grpc-status` values that we make ourselves.
pub(super) mod code {
    pub(crate) const OK: u32 = 0;
    pub(crate) const UNKNOWN: u32 = 2;
    pub(crate) const RESOURCE_EXHAUSTED: u32 = 8;
    pub(crate) const INTERNAL: u32 = 13;
    pub(crate) const UNAVAILABLE: u32 = 14;
}

/// Bytes in front of each message: a flag for compression, and the length.
const PREFIX: usize = 5;

/// A message with its prefix.
pub(super) fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    let mut frame = Vec::with_capacity(PREFIX + message.len());
    frame.push(0);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(message);
    frame
}

/// Takes messages out of a stream of bytes.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    bytes: Vec<u8>,
}

impl Decoder {
    pub(super) fn push(&mut self, bytes: &[u8]) {
        self.bytes.extend_from_slice(bytes);
    }

    /// The next message that is whole, or the status with which the call fails.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>, u32> {
        let Some((prefix, rest)) = self.bytes.split_first_chunk::<PREFIX>() else {
            return Ok(None);
        };
        let [flag, a, b, c, d] = *prefix;
        let length = u32::from_be_bytes([a, b, c, d]) as usize;
        // Nobody asked for compression; of nothing, it is nothing.
        if flag > 1 || (flag == 1 && length > 0) {
            return Err(code::INTERNAL);
        }
        if length > MAX_ANSWER {
            return Err(code::RESOURCE_EXHAUSTED);
        }
        let Some(message) = rest.get(..length) else {
            return Ok(None);
        };
        let message = message.to_vec();
        self.bytes.drain(..PREFIX + length);
        Ok(Some(message))
    }
}

/// The status of an HTTP answer that has no `grpc-status`, by gRPC's own mapping.
pub(super) fn of_http(status: u32) -> u32 {
    match status {
        400 => code::INTERNAL,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => code::UNAVAILABLE,
        _ => code::UNKNOWN,
    }
}

/// `grpc-status`. As in Envoy, what is none that gRPC knows is -1.
pub(super) fn status(fields: &Fields) -> Option<u32> {
    const LAST: u32 = 16;
    let (_, value) = fields.iter().find(|(name, _)| name == b"grpc-status")?;
    let text = std::str::from_utf8(value).ok();
    let number = text.and_then(|text| text.parse().ok());
    Some(number.filter(|number| *number <= LAST).unwrap_or(u32::MAX))
}

/// The number in a header.
pub(super) fn number(fields: &Fields, name: &[u8]) -> Option<u32> {
    let value = fields.iter().find(|(key, _)| key == name)?;
    std::str::from_utf8(&value.1).ok()?.parse().ok()
}

/// `grpc-message` as it came: Envoy leaves its percent-encoding to the plugin.
pub(super) fn message(fields: &Fields) -> Vec<u8> {
    let message = fields.iter().find(|(name, _)| name == b"grpc-message");
    message.map(|(_, value)| value.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_come_out_as_they_went_in_however_they_are_cut() {
        let all = [frame(b"one"), frame(b""), frame(b"three")].concat();
        for size in 1..all.len() {
            let mut decoder = Decoder::default();
            let mut messages = Vec::new();
            for part in all.chunks(size) {
                decoder.push(part);
                while let Some(message) = decoder.next().unwrap() {
                    messages.push(message);
                }
            }
            assert_eq!(messages, [&b"one"[..], b"", b"three"], "cut every {size}");
        }
    }

    #[test]
    fn compressed_and_giant_messages_are_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&[1, 0, 0, 0, 0, 1, 0, 0, 0, 1]);
        assert_eq!(decoder.next(), Ok(Some(Vec::new())));
        assert_eq!(decoder.next(), Err(code::INTERNAL));
        let mut decoder = Decoder::default();
        decoder.push(&[0, 0xff, 0, 0, 0]);
        assert_eq!(decoder.next(), Err(code::RESOURCE_EXHAUSTED));
    }
}
