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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::plugin;
    use crate::source::Label;

    fn settings(roots: &str) -> FetchSettings {
        let text = format!("fetch: {{ maxModuleBytes: 100, allowFileRoots: {roots} }}");
        let no_file = |_: &str| Err(io::ErrorKind::NotFound.into());
        plugin::plan(text.as_bytes(), &no_file).unwrap().fetch
    }

    #[test]
    fn files_are_read_below_the_roots_only() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name).display().to_string();
        for name in ["in", "out", "in-not"] {
            fs::create_dir(at(name)).unwrap();
            fs::write(at(&format!("{name}/file")), name).unwrap();
        }
        symlink(at("out/file"), at("in/link-out")).unwrap();
        symlink(at("in/file"), at("out/link-in")).unwrap();
        symlink(at("in"), at("link")).unwrap();
        for root in [at("in"), at("link")] {
            let settings = settings(&format!("[{root:?}]"));
            for good in ["in/file", "link/file", "out/link-in", "in/../in/file"] {
                assert_eq!(read(&at(good), &settings).unwrap(), b"in", "{good}");
            }
            for bad in ["out/file", "in/link-out", "in-not/file", "in/../out/file"] {
                let error = read(&at(bad), &settings).unwrap_err();
                assert_eq!(error.label(), Label::FileRoot, "{bad}: {error}");
            }
        }
        let none = read(&at("in/file"), &settings("[]")).unwrap_err();
        assert_eq!(none.label(), Label::FileRoot);
    }

    #[test]
    fn what_is_no_file_or_too_large_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        let any = FetchSettings {
            allow_file_roots: None,
            ..settings("[]")
        };
        assert_eq!(read(&path(""), &any).unwrap_err().label(), Label::File);
        assert_eq!(read(&path("x"), &any).unwrap_err().label(), Label::File);
        fs::write(path("large"), [0; 101]).unwrap();
        let error = read(&path("large"), &any).unwrap_err();
        assert_eq!(error.label(), Label::TooLarge);
        assert!(error.to_string().contains("101 bytes"), "{error}");
    }
}
