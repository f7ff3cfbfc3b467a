//! Pairs, as they cross guest memory: `u32` count, the sizes of each name and value, then each
//! name and value with a NUL behind it. All numbers are little endian.

use thiserror::Error;

/// The most bytes that are decoded: what Envoy's host allows, and far beyond what HTTP lets pass.
pub(super) const MAX_BYTES: usize = 1 << 20;

/// The most pairs that are decoded: as above.
pub(super) const MAX_PAIRS: usize = 1024;

/// Bytes of one `u32`.
const WORD: usize = 4;

/// Not pairs, or too many.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("malformed pairs")]
pub(super) struct Malformed;

/// Measures first, then writes into a buffer of exactly that size.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Size {
    count: usize,
    bytes: usize,
}

impl Size {
    pub(super) const fn add(&mut self, name: &[u8], value: &[u8]) {
        self.count += 1;
        self.bytes += name.len() + value.len();
    }

    /// Bytes that the pairs take.
    pub(super) const fn encoded(self) -> usize {
        WORD + self.count * (2 * WORD + 2) + self.bytes
    }

    /// Bytes of names and values alone.
    pub(super) const fn bytes(self) -> usize {
        self.bytes
    }

    pub(super) const fn is_empty(self) -> bool {
        self.count == 0
    }
}

/// Writes pairs into a buffer of [`Size::encoded`] bytes. Says whether they fit; if they do not
/// (the pairs changed meanwhile), the buffer is good for nothing.
pub(super) struct Writer<'a> {
    /// What is left of the table of sizes.
    sizes: &'a mut [u8],
    /// What is left of the names and values.
    content: &'a mut [u8],
    fits: bool,
}

impl<'a> Writer<'a> {
    pub(super) fn new(size: Size, out: &'a mut [u8]) -> Self {
        let count = u32::try_from(size.count).unwrap_or(u32::MAX);
        let mut fits = false;
        let (mut sizes, mut content): (&mut [u8], &mut [u8]) = (&mut [], &mut []);
        if let Some((head, rest)) = out.split_at_mut_checked(WORD)
            && let Some(split) = rest.split_at_mut_checked(size.count * 2 * WORD)
        {
            head.copy_from_slice(&count.to_le_bytes());
            (sizes, content) = split;
            fits = true;
        }
        Self {
            sizes,
            content,
            fits,
        }
    }

    pub(super) fn add(&mut self, name: &[u8], value: &[u8]) {
        for part in [name, value] {
            let length = u32::try_from(part.len()).unwrap_or(u32::MAX);
            self.fits &= put(&mut self.sizes, &length.to_le_bytes());
            self.fits &= put(&mut self.content, part);
            self.fits &= put(&mut self.content, &[0]);
        }
    }

    /// Whether everything has its place.
    pub(super) fn complete(&self) -> bool {
        self.fits && self.sizes.is_empty() && self.content.is_empty()
    }
}

/// Copies `bytes` to the front of `out` and moves it on.
fn put(out: &mut &mut [u8], bytes: &[u8]) -> bool {
    match std::mem::take(out).split_at_mut_checked(bytes.len()) {
        Some((head, rest)) => {
            head.copy_from_slice(bytes);
            *out = rest;
            true
        }
        None => false,
    }
}

/// A name and its value.
pub type Pair<'a> = (&'a [u8], &'a [u8]);

/// Reads pairs. Every byte must have its place.
pub(super) fn decode(bytes: &[u8]) -> Result<Vec<Pair<'_>>, Malformed> {
    if bytes.len() > MAX_BYTES {
        return Err(Malformed);
    }
    let (count, rest) = word(bytes)?;
    if count > MAX_PAIRS {
        return Err(Malformed);
    }
    let (mut sizes, mut content) = rest.split_at_checked(count * 2 * WORD).ok_or(Malformed)?;
    let mut pairs = Vec::with_capacity(count);
    for _ in 0..count {
        let name_len;
        let value_len;
        (name_len, sizes) = word(sizes)?;
        (value_len, sizes) = word(sizes)?;
        let name;
        let value;
        (name, content) = terminated(content, name_len)?;
        (value, content) = terminated(content, value_len)?;
        pairs.push((name, value));
    }
    if content.is_empty() {
        Ok(pairs)
    } else {
        Err(Malformed)
    }
}

fn word(bytes: &[u8]) -> Result<(usize, &[u8]), Malformed> {
    let (word, rest) = bytes.split_first_chunk::<WORD>().ok_or(Malformed)?;
    let word = usize::try_from(u32::from_le_bytes(*word)).map_err(|_| Malformed)?;
    Ok((word, rest))
}

fn terminated(bytes: &[u8], len: usize) -> Result<(&[u8], &[u8]), Malformed> {
    let (part, rest) = bytes.split_at_checked(len).ok_or(Malformed)?;
    match rest.split_first() {
        Some((0, rest)) => Ok((part, rest)),
        _ => Err(Malformed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encode(pairs: &[(&[u8], &[u8])]) -> Vec<u8> {
        let mut size = Size::default();
        pairs.iter().for_each(|(name, value)| size.add(name, value));
        let mut out = vec![0xAA; size.encoded()];
        let mut writer = Writer::new(size, &mut out);
        pairs
            .iter()
            .for_each(|(name, value)| writer.add(name, value));
        assert!(writer.complete());
        out
    }

    #[test]
    fn known_bytes() {
        assert_eq!(
            encode(&[(b"a", b"bc"), (b"", b"")]),
            b"\x02\0\0\0\x01\0\0\0\x02\0\0\0\0\0\0\0\0\0\0\0a\0bc\0\0\0"
        );
        assert_eq!(encode(&[]), b"\0\0\0\0");
    }

    #[test]
    fn what_is_written_is_read() {
        let pairs: [(&[u8], &[u8]); 3] = [(b":path", b"/"), (b"x", b""), (b"y\0z", b"\xff\0")];
        assert_eq!(decode(&encode(&pairs)).unwrap(), pairs);
        assert!(decode(&encode(&[])).unwrap().is_empty());
    }

    #[test]
    fn everything_else_is_malformed() {
        let good = encode(&[(b"name", b"value")]);
        for cut in 0..good.len() {
            assert_eq!(decode(&good[..cut]), Err(Malformed), "cut at {cut}");
        }
        let mut long = good.clone();
        long.push(0);
        assert_eq!(decode(&long), Err(Malformed));
        let mut wrong = good.clone();
        *wrong.last_mut().unwrap() = 1;
        assert_eq!(decode(&wrong), Err(Malformed));
        assert_eq!(decode(&[0xff; 64]), Err(Malformed));
        let many = vec![(&b""[..], &b""[..]); MAX_PAIRS + 1];
        assert_eq!(decode(&encode(&many)), Err(Malformed));
        assert_eq!(decode(&vec![0; MAX_BYTES + 1]), Err(Malformed));
    }

    #[test]
    fn a_writer_of_the_wrong_size_says_so() {
        let mut size = Size::default();
        size.add(b"a", b"b");
        let mut out = vec![0; size.encoded()];
        let mut writer = Writer::new(size, &mut out);
        writer.add(b"a", b"longer");
        assert!(!writer.complete());
    }
}
