//! Values of properties and expressions, and how they cross into a guest.
//!
//! Text and bytes go as they are, numbers as 8 bytes little endian, booleans as one byte, times
//! and durations as nanoseconds, messages in protobuf's wire form, maps and lists as pairs: a
//! list has its elements in the *names* and empty values. Null has no wire form, and neither has a
//! container that holds one, however deep.

use std::borrow::Cow;

use crate::proxy_wasm::pairs::{Size, Writer};

/// A value. What it borrows lives in the proxy.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::proxy_wasm) enum Value<'a> {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Double(f64),
    /// Text of no promised encoding.
    Text(Cow<'a, [u8]>),
    Bytes(Cow<'a, [u8]>),
    /// Nanoseconds since 1970.
    Timestamp(i64),
    /// Nanoseconds.
    Duration(i64),
    /// A message in its wire form.
    Message(Vec<u8>),
    List(Vec<Value<'a>>),
    Map(Vec<(Cow<'a, [u8]>, Value<'a>)>),
}

/// The value has no wire form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy_wasm) struct NoWireForm;

impl<'a> Value<'a> {
    pub(in crate::proxy_wasm) fn text(text: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::Text(text.into())
    }

    pub(in crate::proxy_wasm) fn bytes(bytes: impl Into<Cow<'a, [u8]>>) -> Self {
        Self::Bytes(bytes.into())
    }

    /// Shows the wire form; what is bytes already is not copied.
    pub(in crate::proxy_wasm) fn with_wire_form<T>(
        &self,
        show: impl FnOnce(&[u8]) -> T,
    ) -> Result<T, NoWireForm> {
        Ok(match self {
            Self::Text(bytes) | Self::Bytes(bytes) => show(bytes),
            Self::Message(bytes) => show(bytes),
            Self::Bool(flag) => show(&[u8::from(*flag)]),
            Self::Int(number) | Self::Timestamp(number) | Self::Duration(number) => {
                show(&number.to_le_bytes())
            }
            Self::Uint(number) => show(&number.to_le_bytes()),
            Self::Double(number) => show(&number.to_le_bytes()),
            Self::Null | Self::List(_) | Self::Map(_) => show(&self.wire_form()?),
        })
    }

    /// The wire form.
    pub(in crate::proxy_wasm) fn wire_form(&self) -> Result<Vec<u8>, NoWireForm> {
        match self {
            Self::Null => Err(NoWireForm),
            Self::List(items) => {
                let names = items.iter().map(Self::wire_form);
                let names: Vec<_> = names.collect::<Result<_, _>>()?;
                pairs(names.iter().map(|name| (name.as_slice(), &[][..])))
            }
            Self::Map(entries) => {
                let values = entries.iter().map(|(_, value)| value.wire_form());
                let values: Vec<_> = values.collect::<Result<_, _>>()?;
                let names = entries.iter().map(|(name, _)| name.as_ref());
                pairs(names.zip(values.iter().map(Vec::as_slice)))
            }
            scalar => scalar.with_wire_form(<[u8]>::to_vec),
        }
    }
}

fn pairs<'p>(
    entries: impl Iterator<Item = (&'p [u8], &'p [u8])> + Clone,
) -> Result<Vec<u8>, NoWireForm> {
    let mut size = Size::default();
    entries
        .clone()
        .for_each(|(name, value)| size.add(name, value));
    let mut out = vec![0; size.encoded()];
    let mut writer = Writer::new(size, &mut out);
    entries.for_each(|(name, value)| writer.add(name, value));
    if writer.complete() {
        Ok(out)
    } else {
        Err(NoWireForm)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: Vec<(&'static str, Value<'static>)>) -> Value<'static> {
        let entry = |(name, value): (&'static str, _)| (Cow::Borrowed(name.as_bytes()), value);
        Value::Map(entries.into_iter().map(entry).collect())
    }

    #[test]
    fn scalars() {
        let nanoseconds = 1_700_000_000_000_000_000_i64;
        for (value, bytes) in [
            (Value::Bool(true), vec![1]),
            (Value::Bool(false), vec![0]),
            (Value::Int(-2), (-2_i64).to_le_bytes().to_vec()),
            (Value::Uint(u64::MAX), vec![255; 8]),
            (Value::Double(1.5), 1.5_f64.to_le_bytes().to_vec()),
            (Value::text(&b"a\xff"[..]), b"a\xff".to_vec()),
            (Value::bytes(&b""[..]), vec![]),
            (
                Value::Timestamp(nanoseconds),
                nanoseconds.to_le_bytes().to_vec(),
            ),
            (Value::Duration(-1), vec![255; 8]),
            (Value::Message(vec![8, 1]), vec![8, 1]),
        ] {
            assert_eq!(
                value.wire_form().as_deref(),
                Ok(bytes.as_slice()),
                "{value:?}"
            );
        }
    }

    #[test]
    fn containers_are_pairs() {
        assert_eq!(Value::List(vec![]).wire_form(), Ok(vec![0; 4]));
        assert_eq!(Value::Map(vec![]).wire_form(), Ok(vec![0; 4]));
        assert_eq!(
            Value::List(vec![Value::text(&b"ab"[..]), Value::Bool(true)]).wire_form(),
            Ok(b"\x02\0\0\0\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0ab\0\0\x01\0\0".to_vec())
        );
        let inner = map(vec![("k", Value::text(&b"v"[..]))]);
        let inner_bytes = inner.wire_form().unwrap();
        let outer = map(vec![("m", inner)]).wire_form().unwrap();
        assert_eq!(outer[..4], [1, 0, 0, 0]);
        assert_eq!(outer[4..8], [1, 0, 0, 0]);
        assert_eq!(outer[8], u8::try_from(inner_bytes.len()).unwrap());
        assert_eq!(&outer[12..14], b"m\0");
        assert_eq!(&outer[14..outer.len() - 1], inner_bytes);
    }

    #[test]
    fn null_spoils_everything_around_it() {
        let null = || map(vec![("a", Value::Int(1)), ("b", Value::Null)]);
        for value in [
            Value::Null,
            Value::List(vec![Value::Null]),
            null(),
            map(vec![("deep", Value::List(vec![null()]))]),
        ] {
            assert_eq!(value.wire_form(), Err(NoWireForm), "{value:?}");
        }
    }
}
