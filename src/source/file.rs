//! `file://`: read whole, refused when larger than the limit.

use std::fs::File;
use std::io::{self, Read};

use super::FetchError;
use crate::plugin::ModuleUrl;

pub(super) fn read(path: &str, url: &ModuleUrl, max_bytes: u64) -> Result<Vec<u8>, FetchError> {
    let fail = |source: io::Error| FetchError::File {
        path: path.to_owned(),
        source,
    };
    let file = File::open(path).map_err(fail)?;
    let metadata = file.metadata().map_err(fail)?;
    if !metadata.is_file() {
        // A pipe or device would block the reader for ever.
        return Err(fail(io::Error::other("not a regular file")));
    }
    let mut bytes = Vec::new();
    // One byte past the limit tells a file that grew from one that fits.
    file.take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    if bytes.len() as u64 > max_bytes {
        return Err(FetchError::TooLarge {
            url: url.to_string(),
            size: metadata.len().max(bytes.len() as u64),
            limit: max_bytes,
        });
    }
    Ok(bytes)
}
