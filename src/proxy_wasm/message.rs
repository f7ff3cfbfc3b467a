//! Protobuf's wire form, as far as foreign functions and metadata need it.
//!
//! By hand: a handful of flat messages does not pay for a code generator. Reading follows the
//! parsers that Envoy has: unknown fields and fields of an unexpected type are passed over, the
//! last value of a field wins, and whatever does not end where it says spoils the whole.

/// Not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// The value of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Field<'a> {
    Varint(u64),
    Fixed64(u64),
    Bytes(&'a [u8]),
    Fixed32(u32),
}

/// Calls `visit` with each field and its number.
pub(super) fn read<'a>(
    mut bytes: &'a [u8],
    mut visit: impl FnMut(u64, Field<'a>) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    while !bytes.is_empty() {
        let tag;
        (tag, bytes) = varint(bytes)?;
        let field;
        (field, bytes) = match tag & 7 {
            0 => {
                let (number, rest) = varint(bytes)?;
                (Field::Varint(number), rest)
            }
            1 => {
                let (word, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
                (Field::Fixed64(u64::from_le_bytes(*word)), rest)
            }
            2 => {
                let (len, rest) = varint(bytes)?;
                let len = usize::try_from(len).map_err(|_| Malformed)?;
                let (content, rest) = rest.split_at_checked(len).ok_or(Malformed)?;
                (Field::Bytes(content), rest)
            }
            5 => {
                let (word, rest) = bytes.split_first_chunk().ok_or(Malformed)?;
                (Field::Fixed32(u32::from_le_bytes(*word)), rest)
            }
            // Groups are from before proto3.
            _ => return Err(Malformed),
        };
        match tag >> 3 {
            0 => return Err(Malformed),
            number => visit(number, field)?,
        }
    }
    Ok(())
}

/// Text of a `string` field, which proto3 wants to be UTF-8.
pub(super) fn text(bytes: &[u8]) -> Result<&str, Malformed> {
    std::str::from_utf8(bytes).map_err(|_| Malformed)
}

fn varint(bytes: &[u8]) -> Result<(u64, &[u8]), Malformed> {
    /// Bytes of the largest number.
    const LONGEST: usize = 10;
    let mut number = 0_u64;
    for (at, byte) in bytes.iter().take(LONGEST).enumerate() {
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return Ok((number, bytes.get(at + 1..).unwrap_or_default()));
        }
    }
    Err(Malformed)
}

/// Writes a message, field by field. As in proto3, a scalar that has its default is left out.
#[derive(Debug, Default)]
pub(super) struct Message(Vec<u8>);

impl Message {
    /// A field of bytes, text or a message, also where it is empty.
    #[must_use]
    pub(super) fn with(mut self, number: u8, content: &[u8]) -> Self {
        self.tag(number, 2);
        self.varint(content.len() as u64);
        self.0.extend_from_slice(content);
        self
    }

    /// A field of bytes or text.
    #[must_use]
    pub(super) fn with_bytes(self, number: u8, content: &[u8]) -> Self {
        if content.is_empty() {
            self
        } else {
            self.with(number, content)
        }
    }

    /// A boolean, also where it is false.
    #[must_use]
    pub(super) fn with_bool(mut self, number: u8, value: bool) -> Self {
        self.tag(number, 0);
        self.0.push(u8::from(value));
        self
    }

    /// A `double`, also where it is 0.
    #[must_use]
    pub(super) fn with_double(mut self, number: u8, value: f64) -> Self {
        self.tag(number, 1);
        self.0.extend_from_slice(&value.to_le_bytes());
        self
    }

    /// The message in its wire form.
    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn tag(&mut self, number: u8, wire_type: u8) {
        self.varint(u64::from(number) << 3 | u64::from(wire_type));
    }

    fn varint(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number.to_le_bytes()[0] | 0x80);
            number >>= 7;
        }
        self.0.push(number.to_le_bytes()[0]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(bytes: &[u8]) -> Result<Vec<(u64, Field<'_>)>, Malformed> {
        let mut fields = Vec::new();
        read(bytes, |number, field| {
            fields.push((number, field));
            Ok(())
        })?;
        Ok(fields)
    }

    #[test]
    fn what_is_written_is_read() {
        let long = vec![b'x'; 300];
        let bytes = Message::default()
            .with(1, b"name")
            .with_bool(2, true)
            .with_double(3, 1.5)
            .with_bytes(4, b"")
            .with_bytes(15, &long)
            .into_bytes();
        assert_eq!(
            all(&bytes).unwrap(),
            [
                (1, Field::Bytes(b"name")),
                (2, Field::Varint(1)),
                (3, Field::Fixed64(1.5_f64.to_bits())),
                (15, Field::Bytes(&long)),
            ]
        );
        assert_eq!(&Message::default().with_bool(1, true).into_bytes(), &[8, 1]);
    }

    #[test]
    fn what_does_not_end_is_malformed() {
        let bytes = Message::default()
            .with(1, b"name")
            .with_double(2, 0.0)
            .into_bytes();
        for cut in [1, 2, 5, 7, 9, bytes.len() - 1] {
            assert_eq!(all(&bytes[..cut]), Err(Malformed), "cut at {cut}");
        }
        assert_eq!(all(&[0x0b]), Err(Malformed), "a group");
        assert_eq!(all(&[0x02, 0]), Err(Malformed), "field 0");
        assert_eq!(all(&[0xff; 11]), Err(Malformed), "an endless number");
        assert_eq!(all(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0x0f]), Err(Malformed));
        assert_eq!(all(&[]), Ok(vec![]));
        assert_eq!(text(b"\xff"), Err(Malformed));
    }
}
