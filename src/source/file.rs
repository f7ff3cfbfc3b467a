//! `file://`: read whole, refused when larger than the limit or outside of the allowed roots.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::FetchError;
use crate::plugin::FetchSettings;

pub(super) fn read(path: &str, settings: &FetchSettings) -> Result<Vec<u8>, FetchError> {
    let fail = |source: io::Error| FetchError::File {
        path: path.to_owned(),
        source: Arc::new(source),
    };
    let max_bytes = settings.max_module_bytes;
    let real = match &settings.allow_file_roots {
        None => PathBuf::from(path),
        Some(roots) => {
            // What is opened below is what was checked, and not what a link says by then.
            let real = fs::canonicalize(path).map_err(fail)?;
            if !roots.iter().any(|root| contains(root, &real)) {
                return Err(FetchError::FileRoot {
                    path: path.to_owned(),
                    real: real.display().to_string(),
                });
            }
            real
        }
    };
    let metadata = fs::metadata(&real).map_err(fail)?;
    if !metadata.is_file() {
        // A pipe or device would block the reader for ever.
        return Err(fail(io::Error::other("not a regular file")));
    }
    let file = File::open(&real).map_err(fail)?;
    let mut bytes = Vec::new();
    // One byte past the limit tells a file that grew from one that fits.
    file.take(max_bytes.saturating_add(1))
        .read_to_end(&mut bytes)
        .map_err(fail)?;
    if bytes.len() as u64 > max_bytes {
        return Err(FetchError::TooLarge {
            what: format!("file://{path}"),
            size: Some(metadata.len().max(bytes.len() as u64)),
            limit: max_bytes,
            limit_name: "fetch.maxModuleBytes",
        });
    }
    Ok(bytes)
}

/// Whether `real` lies in the directory `root`, whatever links lead there.
fn contains(root: &str, real: &Path) -> bool {
    fs::canonicalize(root).is_ok_and(|root| real.starts_with(root))
}
