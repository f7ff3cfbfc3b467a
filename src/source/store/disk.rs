//! The store's files.
//!
//! ```text
//! <cacheDir>/modules/<sha256>.wasm    what it is called is what is in it
//!            index/<sha256>.json      of a URL or manifest: which module that was
//!            answers/<sha256>        what a registry said besides
//!            locks/<00..ff>           who is fetching
//! ```
//!
//! Everybody writes to a file of another name, syncs it and renames it, so that a reader finds a
//! whole file or none, wherever a process or the machine was stopped. Locks are the kernel's own
//! (`flock`), which go with the process. A module that is in use is locked as well, shared, which
//! is how [`purge`] knows.

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io::{self, Read, Write};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use tempfile::NamedTempFile;

use super::{Entry, purge};
use crate::source::digest::Digest;

/// Starts the names of files that are being written.
pub(super) const UNFINISHED: &str = ".new-";

/// Entries of the index are far smaller.
const ENTRY_BYTES: u64 = 64 << 10;

/// Answers of registries that are larger are not kept; signatures have some thousand bytes.
const ANSWER_BYTES: u64 = 4 << 20;

/// How often to look whether a lock is free: the kernel's own waiting has no limit.
const LOCK_POLL: Duration = Duration::from_millis(20);

#[derive(Debug)]
pub(super) struct Disk {
    root: PathBuf,
}

/// Keeps a module's file from being purged, by any process.
#[derive(Debug)]
pub struct Lease {
    _file: File,
}

/// Keeps other processes from fetching the same.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

impl Disk {
    /// Makes the directories. Only this user may enter: who can write here decides what runs.
    pub(super) fn open(root: &Path) -> io::Result<Self> {
        let disk = Self {
            root: root.to_owned(),
        };
        for part in [disk.modules(), disk.index(), disk.answers(), disk.locks()] {
            DirBuilder::new().recursive(true).mode(0o700).create(part)?;
        }
        Ok(disk)
    }

    pub(super) fn modules(&self) -> PathBuf {
        self.root.join("modules")
    }

    pub(super) fn index(&self) -> PathBuf {
        self.root.join("index")
    }

    pub(super) fn answers(&self) -> PathBuf {
        self.root.join("answers")
    }

    fn locks(&self) -> PathBuf {
        self.root.join("locks")
    }

    fn module(&self, digest: Digest) -> PathBuf {
        self.modules().join(format!("{digest}.wasm"))
    }

    fn entry(&self, key: Digest) -> PathBuf {
        self.index().join(format!("{key}.json"))
    }

    pub(super) fn find(&self, key: Digest) -> Option<Entry> {
        read_entry(&self.entry(key))
    }

    /// The module, if there is one. What is there in its place and is not it, is removed.
    pub(super) fn load(
        &self,
        digest: Digest,
        max: u64,
    ) -> Result<Option<(Vec<u8>, Lease)>, String> {
        let path = self.module(digest);
        let Ok(mut file) = File::open(&path) else {
            return Ok(None);
        };
        // Before reading: what is read should still be there afterwards.
        let _purged_meanwhile = file.try_lock_shared();
        let mut bytes = Vec::new();
        let read = (&mut file)
            .take(max.saturating_add(1))
            .read_to_end(&mut bytes);
        let reason = match read {
            Err(error) => format!("cannot be read: {error}"),
            Ok(_) if bytes.len() as u64 > max => "is larger than fetch.maxModuleBytes".to_owned(),
            Ok(_) if Digest::of(&bytes) != digest => "is corrupt".to_owned(),
            Ok(_) => {
                // Used now: the purge goes by this. A file of another user cannot be touched.
                let _unchanged = file.set_modified(SystemTime::now());
                return Ok(Some((bytes, Lease { _file: file })));
            }
        };
        remove(&path);
        Err(reason)
    }

    pub(super) fn keep(
        &self,
        keys: &[Digest],
        entry: &Entry,
        bytes: &[u8],
    ) -> io::Result<Option<Lease>> {
        let path = self.module(entry.module);
        let is_there = fs::metadata(&path).is_ok_and(|found| {
            // The content was checked if it came from here; anything of another size is foreign.
            found.is_file() && found.len() == bytes.len() as u64
        }) && fs::read(&path).is_ok_and(|found| found == bytes);
        if !is_there {
            write(&path, bytes)?;
        }
        // Entries last: what they name is there.
        for key in keys {
            self.note(*key, entry)?;
        }
        let file = File::open(&path)?;
        let locked = file.try_lock_shared().is_ok();
        Ok(locked.then_some(Lease { _file: file }))
    }

    pub(super) fn note(&self, key: Digest, entry: &Entry) -> io::Result<()> {
        if self.find(key).as_ref() == Some(entry) {
            return Ok(());
        }
        let json = serde_json::to_vec_pretty(entry)?;
        write(&self.entry(key), &json)
    }

    pub(super) fn remember(&self, key: Digest, answer: &[u8]) -> io::Result<()> {
        if answer.len() as u64 > ANSWER_BYTES || self.recall(key).as_deref() == Some(answer) {
            return Ok(());
        }
        write(&self.answers().join(key.to_string()), answer)
    }

    pub(super) fn recall(&self, key: Digest) -> Option<Vec<u8>> {
        let file = File::open(self.answers().join(key.to_string())).ok()?;
        let mut answer = Vec::new();
        (&file).take(ANSWER_BYTES).read_to_end(&mut answer).ok()?;
        // Used now, as with modules.
        let _unchanged = file.set_modified(SystemTime::now());
        Some(answer)
    }

    /// One of 256 locks, so that their number does not grow. Two URLs may share one: then one
    /// waits for the other.
    pub(super) fn lock(&self, key: Digest, limit: Duration) -> Option<Lock> {
        let [first, ..] = key.bytes();
        let path = self.locks().join(format!("{first:02x}"));
        let options = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path);
        let file = options.ok()?;
        let end = Instant::now() + limit;
        loop {
            match file.try_lock() {
                Ok(()) => return Some(Lock { _file: file }),
                Err(TryLockError::WouldBlock) if Instant::now() < end => thread::sleep(LOCK_POLL),
                // Some file systems know no locks.
                Err(_) => return None,
            }
        }
    }

    pub(super) fn purge(&self) {
        purge::purge(self, SystemTime::now(), &purge::Bounds::default());
    }
}

/// Reads an entry of the index; none if it cannot be one.
pub(super) fn read_entry(path: &Path) -> Option<Entry> {
    let mut json = Vec::new();
    let file = File::open(path).ok()?;
    file.take(ENTRY_BYTES).read_to_end(&mut json).ok()?;
    Entry::read(&json)
}

/// Puts `bytes` at `path`, whole or not at all, and on the disk before it returns.
fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file: NamedTempFile = tempfile::Builder::new()
        .prefix(UNFINISHED)
        .tempfile_in(directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    if let Err(error) = file.persist(path) {
        // Something foreign that cannot be replaced, such as a directory.
        if !path.is_dir() {
            return Err(error.error);
        }
        fs::remove_dir_all(path)?;
        error.file.persist(path).map_err(|error| error.error)?;
    }
    File::open(directory)?.sync_all()
}

/// Removes what is not what its name says.
fn remove(path: &Path) {
    // Where that fails, writing replaces it.
    let _stays = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
}
