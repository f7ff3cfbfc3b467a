//! `google.protobuf.Struct` as it goes over the wire, which is how Envoy 1.38 hands a route's
//! configuration over; later ones make JSON of it.

use serde_json::{Map, Number, Value};

/// How deep values may nest: protobuf's own limit for messages, of which each level has two.
const DEPTH: usize = 50;

/// The JSON of a serialized `Struct`; none where `bytes` are none.
pub(super) fn json(bytes: &[u8]) -> Option<String> {
    structure(bytes, DEPTH).map(|value| value.to_string())
}

fn structure(mut bytes: &[u8], depth: usize) -> Option<Value> {
    let mut object = Map::new();
    while let Some(field) = Field::take(&mut bytes)? {
        let (1, Wire::Bytes(mut entry)) = field.parts() else {
            return None;
        };
        let (mut key, mut of) = (String::new(), Value::Null);
        while let Some(field) = Field::take(&mut entry)? {
            match field.parts() {
                (1, Wire::Bytes(text)) => key = text_of(text)?,
                (2, Wire::Bytes(bytes)) => of = value(bytes, depth.checked_sub(1)?)?,
                _ => return None,
            }
        }
        object.insert(key, of);
    }
    Some(Value::Object(object))
}

fn value(mut bytes: &[u8], depth: usize) -> Option<Value> {
    let mut found = Value::Null;
    while let Some(field) = Field::take(&mut bytes)? {
        found = match field.parts() {
            (1, Wire::Number(_)) => Value::Null,
            (2, Wire::Fixed(bits)) => number(f64::from_bits(bits))?,
            (3, Wire::Bytes(text)) => Value::String(text_of(text)?),
            (4, Wire::Number(flag)) => Value::Bool(flag != 0),
            (5, Wire::Bytes(bytes)) => structure(bytes, depth)?,
            (6, Wire::Bytes(bytes)) => list(bytes, depth)?,
            _ => return None,
        };
    }
    Some(found)
}

fn list(mut bytes: &[u8], depth: usize) -> Option<Value> {
    let mut items = Vec::new();
    while let Some(field) = Field::take(&mut bytes)? {
        let (1, Wire::Bytes(item)) = field.parts() else {
            return None;
        };
        items.push(value(item, depth.checked_sub(1)?)?);
    }
    Some(Value::Array(items))
}

/// A number as JSON writes it: whole ones without a fraction.
fn number(number: f64) -> Option<Value> {
    /// Whole numbers up to here are exact.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    if number.fract() == 0.0 && number.abs() <= EXACT {
        #[allow(clippy::cast_possible_truncation, reason = "a whole number that fits")]
        let whole = number as i64;
        return Some(Value::from(whole));
    }
    Number::from_f64(number).map(Value::Number)
}

fn text_of(bytes: &[u8]) -> Option<String> {
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}

/// A field of a message.
struct Field<'b> {
    number: u64,
    wire: Wire<'b>,
}

#[derive(Clone, Copy)]
enum Wire<'b> {
    Number(u64),
    Fixed(u64),
    Bytes(&'b [u8]),
}

impl<'b> Field<'b> {
    const fn parts(&self) -> (u64, Wire<'b>) {
        (self.number, self.wire)
    }

    /// The next field; `Some(None)` at the end, none where the bytes are no message.
    fn take(bytes: &mut &'b [u8]) -> Option<Option<Self>> {
        if bytes.is_empty() {
            return Some(None);
        }
        let key = varint(bytes)?;
        let wire = match key & 7 {
            0 => Wire::Number(varint(bytes)?),
            1 => {
                let (fixed, rest) = bytes.split_first_chunk()?;
                *bytes = rest;
                Wire::Fixed(u64::from_le_bytes(*fixed))
            }
            2 => {
                let len = usize::try_from(varint(bytes)?).ok()?;
                let (content, rest) = bytes.split_at_checked(len)?;
                *bytes = rest;
                Wire::Bytes(content)
            }
            _ => return None,
        };
        let number = key >> 3;
        Some(Some(Self { number, wire }))
    }
}

fn varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut value = 0_u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        value |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn field(number: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![number << 3 | 2, u8::try_from(content.len()).unwrap()];
        bytes.extend_from_slice(content);
        bytes
    }

    fn entry(key: &str, value: &[u8]) -> Vec<u8> {
        let entry = [field(1, key.as_bytes()), field(2, value)].concat();
        field(1, &entry)
    }

    #[test]
    fn all_kinds_of_values() {
        let half = [&[0x11][..], &0.5_f64.to_le_bytes()].concat();
        let five = [&[0x11][..], &5_f64.to_le_bytes()].concat();
        let list = field(6, &[field(1, &half), field(1, &five)].concat());
        let inner = field(5, &entry("t", &[0x20, 1]));
        let text = field(3, "ä".as_bytes());
        let bytes = [
            entry("a", &text),
            entry("b", &list),
            entry("c", &inner),
            entry("d", &[0x08, 0]),
        ];
        let json = json(&bytes.concat()).unwrap();
        assert_eq!(json, r#"{"a":"ä","b":[0.5,5],"c":{"t":true},"d":null}"#);
    }

    #[test]
    fn texts_and_damaged_messages_are_none() {
        for bytes in [&b"{}"[..], b"plugins: {}", b"\n\x05ab", b"\x0a\xff"] {
            assert_eq!(json(bytes), None, "{bytes:?}");
        }
    }
}
