//! Takes modules out of what they are packed in: gzip, zstd and tar, in any nesting.
//!
//! Whoever packed it is not trusted. What comes out is counted as it comes, and one byte more than
//! allowed is an error; sizes that headers announce are compared with the limits before anything
//! is made of them. Names inside of archives are compared and never used as paths.

use std::io::{self, Cursor, Read};

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::StreamingDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use tar::{Archive, EntryType, PaxExtensions};

use super::FetchError;

/// The file of an image's layer that is the module.
pub(super) const PLUGIN: &str = "plugin.wasm";

/// The file beside it that says what is in it.
pub(super) const RUNTIME_CONFIG: &str = "runtime-config.json";

/// Boxes in boxes. Istio takes any number; nobody is known to use three.
const DEPTH: usize = 8;

/// Entries of a tar; images have a few, and a whole operating system has some ten thousand.
const ENTRIES: usize = 100_000;

/// Bytes that a tar may have besides the module: headers, padding, files next to it.
const AROUND: u64 = 1 << 20;

/// A tar's extended header, which we read whole. Go writes some 100 bytes.
const EXTENDED: u64 = 64 << 10;

/// `runtime-config.json`; real ones have some 100 bytes.
const RUNTIME_CONFIG_BYTES: u64 = 64 << 10;

/// What a zstd stream may make us remember: what `zstd --ultra` uses.
const ZSTD_WINDOW: u64 = 128 << 20;

/// Names of other files that an error tells.
const NAMES: usize = 5;

/// What sets the size of everything that is unpacked.
const LIMIT_NAME: &str = "fetch.maxModuleBytes";

/// What was found in a layer.
#[derive(Debug, Default)]
pub(super) struct Layer {
    pub(super) module: Option<Vec<u8>>,
    pub(super) runtime_config: Option<Vec<u8>>,
    /// The first names, to tell what is there instead.
    pub(super) names: Vec<String>,
}

/// The module in `bytes`, which `what` is, as Istio finds it: any nesting of gzip and tar, of
/// which the first file counts whatever its name.
pub(super) fn module(mut bytes: Vec<u8>, what: &str, max: u64) -> Result<Vec<u8>, FetchError> {
    for _ in 0..DEPTH {
        let unpacked = match Packing::of(&bytes) {
            Packing::None => return Ok(bytes),
            Packing::Tar => {
                let mut first = None;
                walk(&bytes[..], what, max, |file| {
                    first = Some(file.read(max)?);
                    Ok(false)
                })?;
                first.ok_or_else(|| FetchError::Archive {
                    what: what.to_owned(),
                    reason: "the tar holds no file".to_owned(),
                })?
            }
            Packing::Gzip | Packing::Zstd => {
                let reader = &mut reader(&bytes, max);
                read(reader, max).map_err(|error| told(error, what, max))?
            }
        };
        bytes = unpacked;
    }
    Err(FetchError::Archive {
        what: what.to_owned(),
        reason: format!("more than {DEPTH} boxes in each other"),
    })
}

/// Looks for the module and its description in a layer, whatever directory they are in.
pub(super) fn layer(bytes: &[u8], what: &str, max: u64) -> Result<Layer, FetchError> {
    let mut found = Layer::default();
    walk(reader(bytes, max + AROUND), what, max, |file| {
        match file.name.rsplit('/').next() {
            Some(PLUGIN) => found.module = Some(file.read(max)?),
            Some(RUNTIME_CONFIG) => {
                found.runtime_config = Some(file.read(RUNTIME_CONFIG_BYTES)?);
            }
            _ if found.names.len() < NAMES => found.names.push(file.name),
            _ => {}
        }
        Ok(found.module.is_none() || found.runtime_config.is_none())
    })?;
    Ok(found)
}

/// What bytes are packed in, by their first ones.
enum Packing {
    None,
    Gzip,
    Zstd,
    Tar,
}

impl Packing {
    fn of(bytes: &[u8]) -> Self {
        if bytes.starts_with(&[0x1f, 0x8b]) {
            Self::Gzip
        } else if bytes.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
            Self::Zstd
        } else if bytes.get(257..262) == Some(b"ustar") {
            Self::Tar
        } else {
            Self::None
        }
    }
}

/// `bytes` unpacked, but at most `max` of them.
fn reader(bytes: &[u8], max: u64) -> impl Read {
    let inner: Box<dyn Read + '_> = match Packing::of(bytes) {
        Packing::Gzip => Box::new(MultiGzDecoder::new(bytes)),
        // Also where a frame to be skipped comes first.
        Packing::Zstd => Box::new(Zstd::new(bytes)),
        Packing::None if is_skippable(bytes) => Box::new(Zstd::new(bytes)),
        Packing::None | Packing::Tar => Box::new(bytes),
    };
    Capped { inner, left: max }
}

fn is_skippable(bytes: &[u8]) -> bool {
    matches!(bytes, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}

/// A file in a tar.
struct File<'e> {
    name: String,
    size: u64,
    content: &'e mut dyn Read,
}

impl File<'_> {
    fn read(self, max: u64) -> io::Result<Vec<u8>> {
        let bytes = read(self.content, max)?;
        // The library takes the end of the tar for the end of the file.
        if bytes.len() as u64 == self.size {
            Ok(bytes)
        } else {
            Err(io::ErrorKind::UnexpectedEof.into())
        }
    }
}

/// Hands each file of a tar to `visit`, until that says false.
fn walk(
    tar: impl Read,
    what: &str,
    max: u64,
    mut visit: impl FnMut(File<'_>) -> io::Result<bool>,
) -> Result<(), FetchError> {
    let walk = || -> io::Result<()> {
        let mut archive = Archive::new(tar);
        let mut long_name = None;
        // Raw: the library would read extended headers of any size.
        for (number, entry) in archive.entries()?.raw(true).enumerate() {
            if number >= ENTRIES {
                return Err(io::Error::other(format!("more than {ENTRIES} entries")));
            }
            let mut entry = entry?;
            match entry.header().entry_type() {
                EntryType::XHeader => {
                    let header = read(&mut entry, EXTENDED)?;
                    long_name = path_of(&header);
                }
                EntryType::GNULongName => {
                    let name = read(&mut entry, EXTENDED)?;
                    let name = String::from_utf8_lossy(&name);
                    long_name = Some(name.trim_end_matches('\0').to_owned());
                }
                EntryType::Regular | EntryType::Continuous => {
                    let size = entry.header().entry_size()?;
                    let name = long_name.take().unwrap_or_else(|| {
                        String::from_utf8_lossy(&entry.path_bytes()).into_owned()
                    });
                    if size > max {
                        return Err(io::Error::other(TooLarge { size: Some(size) }));
                    }
                    let file = File {
                        name,
                        size,
                        content: &mut entry,
                    };
                    if !visit(file)? {
                        return Ok(());
                    }
                }
                _ => long_name = None,
            }
        }
        Ok(())
    };
    walk().map_err(|error| told(error, what, max))
}

/// The name in a PAX header.
fn path_of(header: &[u8]) -> Option<String> {
    PaxExtensions::new(header)
        .flatten()
        .find(|extension| extension.key_bytes() == b"path")
        .map(|extension| String::from_utf8_lossy(extension.value_bytes()).into_owned())
}

/// Reads to the end, which must come within `max` bytes.
fn read(reader: &mut dyn Read, max: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    reader.take(max.saturating_add(1)).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max {
        return Err(io::Error::other(TooLarge { size: None }));
    }
    Ok(bytes)
}

/// Fails where `Take` would end.
struct Capped<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Capped<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(count as u64)
            .ok_or_else(|| io::Error::other(TooLarge { size: None }))?;
        Ok(count)
    }
}

/// All frames of a zstd stream. The library reads one, and stops at frames to be skipped, of which
/// images in the format `zstd:chunked` have some.
struct Zstd<'b> {
    frame: Option<StreamingDecoder<Cursor<&'b [u8]>, ruzstd::decoding::FrameDecoder>>,
    rest: Cursor<&'b [u8]>,
}

impl<'b> Zstd<'b> {
    const fn new(bytes: &'b [u8]) -> Self {
        Self {
            frame: None,
            rest: Cursor::new(bytes),
        }
    }

    /// Begins the next frame, if there is one.
    fn next(&mut self) -> io::Result<bool> {
        loop {
            let at = self.rest.position();
            if at >= self.rest.get_ref().len() as u64 {
                return Ok(false);
            }
            let source = self.rest.clone();
            match StreamingDecoder::new_with_max_window_size(source, ZSTD_WINDOW) {
                Ok(frame) => {
                    self.frame = Some(frame);
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    // The header of such a frame has 8 bytes.
                    self.rest.set_position(at + 8 + u64::from(length));
                }
                Err(error) => return Err(io::Error::other(error.to_string())),
            }
        }
    }
}

impl Read for Zstd<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if let Some(frame) = &mut self.frame {
                let count = frame.read(buffer)?;
                if count > 0 || buffer.is_empty() {
                    return Ok(count);
                }
                if let Some(ended) = self.frame.take() {
                    self.rest = ended.into_inner();
                }
            }
            if !self.next()? {
                return Ok(0);
            }
        }
    }
}

/// More than is allowed, on its way through the errors of libraries.
#[derive(Debug, thiserror::Error)]
#[error("too large")]
struct TooLarge {
    size: Option<u64>,
}

fn told(error: io::Error, what: &str, max: u64) -> FetchError {
    let mut next: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(current) = next {
        let inner = current
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        let found = current
            .downcast_ref::<TooLarge>()
            .or_else(|| inner.and_then(|inner| inner.downcast_ref()));
        if let Some(TooLarge { size }) = found {
            return FetchError::TooLarge {
                what: format!("{what}, unpacked,"),
                size: *size,
                limit: max,
                limit_name: LIMIT_NAME,
            };
        }
        next = match inner {
            Some(inner) => Some(inner),
            None => current.source(),
        };
    }
    FetchError::Archive {
        what: what.to_owned(),
        reason: error.to_string(),
    }
}

#[cfg(test)]
mod tests;
