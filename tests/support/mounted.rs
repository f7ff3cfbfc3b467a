//! Directories as Kubernetes mounts them.

use std::fs;
use std::path::Path;

use tempfile::TempDir;

/// A directory of resources, replaced as Kubernetes replaces a mounted ConfigMap: files are links
/// into `..data`, itself a link that one rename replaces.
pub(crate) struct Mounted {
    directory: TempDir,
    version: u32,
}

impl Mounted {
    pub(crate) fn new(files: &[(&str, &str)]) -> Self {
        let mut mounted = Self {
            directory: tempfile::tempdir().expect("a directory"),
            version: 0,
        };
        mounted.replace(files);
        mounted
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }

    pub(crate) fn replace(&mut self, files: &[(&str, &str)]) {
        let root = self.path().to_owned();
        let old = format!("..{}", self.version);
        self.version += 1;
        let name = format!("..{}", self.version);
        fs::create_dir(root.join(&name)).expect("a directory");
        for (file, text) in files {
            fs::write(root.join(&name).join(file), text).expect("a file");
        }
        let link = |target: &str, name: &str| {
            let link = root.join(name);
            std::os::unix::fs::symlink(target, &link).expect("a link");
            link
        };
        let swap = link(&name, "..data_tmp");
        fs::rename(swap, root.join("..data")).expect("a rename");
        for entry in fs::read_dir(&root).expect("a directory").flatten() {
            let file = entry.file_name().into_string().expect("UTF-8");
            if !file.starts_with("..") && !files.iter().any(|(name, _)| *name == file) {
                fs::remove_file(entry.path()).expect("to remove");
            }
        }
        for (file, _) in files {
            if !root.join(file).exists() {
                link(&format!("..data/{file}"), file);
            }
        }
        // Left where it is not there yet.
        let _absent = fs::remove_dir_all(root.join(old));
    }
}
