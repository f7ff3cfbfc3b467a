//! Compiled code on disk: `compiled/` of the cache directory.
//!
//! What is mapped from there runs without a further look, so a file that anybody else could have
//! written must never be. Three locks, each of which is enough against another user:
//!
//! - The directory, the key and the entries belong to the user of this process and are open to
//!   nobody else.
//! - An entry ends in an HMAC-SHA256 over its own name and all that comes before, by a random key
//!   that lies beside the entries. The name says for which module and which engine (version,
//!   settings, processor) the code is, so that no entry passes for another.
//! - The file whose bytes were checked is the one that is mapped: it is opened once. Entries are
//!   never written in place; they come and go by renaming, whoever has one mapped keeps it.
//!
//! What is wrong in any way is thrown away, and compiled again. Whoever can write files as this
//! user is not kept out: they could replace the process itself.

use std::fs::{self, DirBuilder, File, Permissions};
use std::hash::{Hash as _, Hasher};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::{Digest as _, Sha256};
use thiserror::Error;
use wasmtime::Module;

use super::Key;
use super::owner::User;
use super::prune::{self, PREFIX};
use crate::vm::Engine;

/// Of the cache directory.
const DIRECTORY: &str = "compiled";

/// Of [`DIRECTORY`].
const SECRET: &str = "key";

/// Ends the names of entries.
pub(super) const SUFFIX: &str = "cwasm";

/// Bytes of the secret: as many as HMAC takes in without hashing them first.
const SECRET_LENGTH: usize = 64;

/// Bytes of the tag at the end of an entry.
const TAG_LENGTH: usize = 32;

/// Compiled code that outlives the process.
pub struct CodeDirectory {
    path: PathBuf,
    user: User,
    secret: [u8; SECRET_LENGTH],
}

/// Why a directory is not used. The code is compiled in memory instead.
#[derive(Debug, Error)]
pub enum DirectoryError {
    /// It cannot be read or written.
    #[error("{}: {error}", path.display())]
    Io {
        /// Which file or directory.
        path: PathBuf,
        /// What the system says.
        error: io::Error,
    },
    /// It is not ours alone.
    #[error("{}: not used, since it does not belong to the user of this process alone", .0.display())]
    Foreign(PathBuf),
}

/// Why an entry is not used.
#[derive(Debug, Error)]
pub enum EntryError {
    /// It cannot be read or written.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// It is not ours alone.
    #[error("it does not belong to the user of this process alone")]
    Foreign,
    /// It was cut or changed.
    #[error("its content is not what was written")]
    Tampered,
    /// The engine does not take it.
    #[error("it cannot be mapped: {0}")]
    Unusable(String),
}

impl CodeDirectory {
    /// Opens the directory in `cache`, and makes it where it is missing.
    pub fn open(cache: &Path) -> Result<Self, DirectoryError> {
        let path = cache.join(DIRECTORY);
        let user = User::current().map_err(at(&path))?;
        let mut builder = DirBuilder::new();
        builder
            .recursive(true)
            .mode(0o700)
            .create(&path)
            .map_err(at(&path))?;
        let metadata = fs::symlink_metadata(&path).map_err(at(&path))?;
        if !metadata.is_dir() || !user.owns(&metadata) {
            return Err(DirectoryError::Foreign(path));
        }
        if !user.owns_alone(&metadata) {
            let only_us = Permissions::from_mode(0o700);
            fs::set_permissions(&path, only_us).map_err(at(&path))?;
        }
        let secret = secret(&path, user)?;
        Ok(Self { path, user, secret })
    }

    /// The code of the module `key`, if it is there. What is wrong is thrown away.
    pub fn load(&self, engine: &Engine, key: Key) -> Result<Option<Module>, EntryError> {
        let name = self.name(engine, key);
        let path = self.path.join(&name);
        match self.open_entry(engine, &path, &name) {
            Ok(module) => Ok(Some(module)),
            Err(EntryError::Io(error)) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => {
                let _removed = fs::remove_file(&path);
                Err(error)
            }
        }
    }

    fn open_entry(&self, engine: &Engine, path: &Path, name: &str) -> Result<Module, EntryError> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        if !metadata.is_file() || !self.user.owns_alone(&metadata) {
            return Err(EntryError::Foreign);
        }
        self.check(&mut file, metadata.len(), name)?;
        // For those who look for what nobody uses; on a read-only file system nobody does.
        let _touched = file.set_modified(SystemTime::now());
        map(engine, file)
    }

    /// Compares the tag at the end of `file` with its content.
    fn check(&self, file: &mut File, len: u64, name: &str) -> Result<(), EntryError> {
        const BLOCK: usize = 1 << 18;
        let tag = u64::try_from(TAG_LENGTH).unwrap_or(u64::MAX);
        let code = len.checked_sub(tag).ok_or(EntryError::Tampered)?;
        let mut mac = self.mac(name);
        let mut reader = (&mut *file).take(code);
        let mut block = vec![0; BLOCK];
        loop {
            let count = reader.read(&mut block)?;
            if count == 0 {
                break;
            }
            mac.update(block.get(..count).unwrap_or_default());
        }
        let mut tag = Vec::new();
        file.read_to_end(&mut tag)?;
        mac.verify_slice(&tag).map_err(|_| EntryError::Tampered)
    }

    /// Keeps the code of the module `key`, and gives the one back that is mapped from there.
    pub(super) fn store(
        &self,
        engine: &Engine,
        key: Key,
        module: &Module,
    ) -> Result<Module, EntryError> {
        let code = module.serialize();
        let code = code.map_err(|error| EntryError::Unusable(format!("{error:#}")))?;
        let name = self.name(engine, key);
        let mut mac = self.mac(&name);
        mac.update(&code);
        let mut file = new_file(&self.path)?;
        file.write_all(&code)?;
        file.write_all(&mac.finalize().into_bytes())?;
        drop(code);
        let path = self.path.join(&name);
        file.persist(&path).map_err(|error| error.error)?;
        prune::prune(&self.path);
        // Through the door that everybody takes: what was written may not be what is read.
        self.open_entry(engine, &path, &name)
    }

    /// The name of an entry: everything that its code depends on.
    fn name(&self, engine: &Engine, key: Key) -> String {
        let mut all = Hashing(Sha256::new());
        all.write(&key);
        engine
            .wasmtime()
            .precompile_compatibility_hash()
            .hash(&mut all);
        let mut name = String::with_capacity(2 * TAG_LENGTH + 1 + SUFFIX.len());
        for byte in all.0.finalize() {
            for digit in [byte >> 4, byte & 15] {
                name.extend(char::from_digit(digit.into(), 16));
            }
        }
        name.push('.');
        name.push_str(SUFFIX);
        name
    }

    fn mac(&self, name: &str) -> Hmac<Sha256> {
        let mut mac = Hmac::new(&self.secret.into());
        mac.update(name.as_bytes());
        mac
    }
}

impl std::fmt::Debug for CodeDirectory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CodeDirectory")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Hashes what engines say of themselves.
struct Hashing(Sha256);

impl Hasher for Hashing {
    fn write(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    fn finish(&self) -> u64 {
        // Nobody asks: the digest is taken whole.
        0
    }
}

/// The secret in `directory`; whoever comes first makes it.
fn secret(directory: &Path, user: User) -> Result<[u8; SECRET_LENGTH], DirectoryError> {
    let path = directory.join(SECRET);
    if let Some(secret) = read_secret(&path, user)? {
        return Ok(secret);
    }
    make_secret(directory, &path).map_err(at(&path))?;
    let secret = read_secret(&path, user)?;
    secret.ok_or_else(|| at(&path)(io::ErrorKind::NotFound.into()))
}

/// None where there is none, or none that is whole.
fn read_secret(path: &Path, user: User) -> Result<Option<[u8; SECRET_LENGTH]>, DirectoryError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(at(path)(error)),
    };
    let metadata = file.metadata().map_err(at(path))?;
    if !metadata.is_file() || !user.owns_alone(&metadata) {
        return Err(DirectoryError::Foreign(path.to_owned()));
    }
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes).map_err(at(path))?;
    if let Ok(secret) = bytes.try_into() {
        return Ok(Some(secret));
    }
    // Cut short by a crash of the machine: the entries go with it.
    fs::remove_file(path).map_err(at(path))?;
    Ok(None)
}

/// Says at which path the system found what wrong.
fn at(path: &Path) -> impl Fn(io::Error) -> DirectoryError {
    move |error| DirectoryError::Io {
        path: path.to_owned(),
        error,
    }
}

fn make_secret(directory: &Path, path: &Path) -> io::Result<()> {
    let mut secret = [0; SECRET_LENGTH];
    getrandom::fill(&mut secret).map_err(io::Error::other)?;
    let mut file = new_file(directory)?;
    file.write_all(&secret)?;
    file.as_file().sync_all()?;
    match file.persist_noclobber(path) {
        // Somebody else was first: theirs counts.
        Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error.error),
        Ok(_) => Ok(()),
    }
}

/// A new file in `directory` that nobody knows yet, open to its owner alone.
fn new_file(directory: &Path) -> io::Result<tempfile::NamedTempFile> {
    tempfile::Builder::new()
        .prefix(PREFIX)
        .permissions(Permissions::from_mode(0o600))
        .tempfile_in(directory)
}

/// Maps code that was checked.
#[allow(unsafe_code, reason = "wasmtime cannot know where the file is from")]
fn map(engine: &Engine, file: File) -> Result<Module, EntryError> {
    // SAFETY: wasmtime asks for a file that it wrote itself and that nobody changes while it is
    // mapped. The tag says the first (see the module's documentation); for the second, the file is
    // never written after it got its name, and belongs to this process's user alone.
    let module = unsafe { Module::deserialize_open_file(engine.wasmtime(), file) };
    module.map_err(|error| EntryError::Unusable(format!("{error:#}")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, symlink};

    use super::*;

    const KEY: Key = [7; 32];

    /// A module of one function, compiled.
    fn module(engine: &Engine) -> Module {
        let text = r#"(module (func (export "f") (result i32) (i32.const 42)))"#;
        engine.compile(&wat::parse_str(text).unwrap()).unwrap()
    }

    /// A cache with that module in it, and the module's file.
    fn filled(engine: &Engine) -> (tempfile::TempDir, CodeDirectory, PathBuf) {
        let cache = tempfile::tempdir().unwrap();
        let directory = CodeDirectory::open(cache.path()).unwrap();
        directory.store(engine, KEY, &module(engine)).unwrap();
        let file = directory.path.join(directory.name(engine, KEY));
        (cache, directory, file)
    }

    fn is_there(engine: &Engine, directory: &CodeDirectory) -> bool {
        directory.load(engine, KEY).unwrap().is_some()
    }

    #[test]
    fn code_is_found_again_by_whoever_opens_the_directory() {
        let engine = Engine::new().unwrap();
        let (cache, _, file) = filled(&engine);
        let again = CodeDirectory::open(cache.path()).unwrap();
        let found = again.load(&engine, KEY).unwrap().unwrap();
        assert!(found.get_export("f").is_some());
        assert!(again.load(&engine, [8; 32]).unwrap().is_none());
        assert!(
            is_there(&Engine::new().unwrap(), &again),
            "another engine like it"
        );
        let mode = |path: &Path| fs::metadata(path).unwrap().mode() & 0o777;
        assert_eq!(mode(&again.path), 0o700);
        assert_eq!(mode(&file), 0o600);
        assert_eq!(mode(&again.path.join(SECRET)), 0o600);
    }

    #[test]
    fn what_was_changed_or_cut_is_thrown_away() {
        let engine = Engine::new().unwrap();
        let (_cache, directory, file) = filled(&engine);
        let good = fs::read(&file).unwrap();
        let last = good.len() - 1;
        let change = |at: usize| {
            let mut bytes = good.clone();
            bytes[at] ^= 1;
            bytes
        };
        let longer = [&good[..], b"x"].concat();
        let wrong = [
            change(0),
            change(good.len() / 2),
            change(last),
            good[..last].to_vec(),
            good[..10].to_vec(),
            Vec::new(),
            longer,
        ];
        for bytes in wrong {
            fs::write(&file, bytes).unwrap();
            fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
            let error = directory.load(&engine, KEY).unwrap_err();
            assert!(matches!(error, EntryError::Tampered), "{error}");
            assert!(!is_there(&engine, &directory), "it was removed");
        }
        directory.store(&engine, KEY, &module(&engine)).unwrap();
        assert!(is_there(&engine, &directory));
    }

    #[test]
    fn an_entry_does_not_pass_for_another() {
        let engine = Engine::new().unwrap();
        let (_cache, directory, file) = filled(&engine);
        let other = [8; 32];
        fs::copy(&file, directory.path.join(directory.name(&engine, other))).unwrap();
        let error = directory.load(&engine, other).unwrap_err();
        assert!(matches!(error, EntryError::Tampered), "{error}");
    }

    #[test]
    fn an_entry_made_with_another_key_is_thrown_away() {
        let engine = Engine::new().unwrap();
        let (_cache, directory, file) = filled(&engine);
        let (_other, _, foreign) = filled(&engine);
        fs::copy(&foreign, &file).unwrap();
        let error = directory.load(&engine, KEY).unwrap_err();
        assert!(matches!(error, EntryError::Tampered), "{error}");
    }

    #[test]
    fn entries_and_keys_that_others_may_touch_are_not_used() {
        let engine = Engine::new().unwrap();
        let (cache, directory, file) = filled(&engine);
        fs::set_permissions(&file, Permissions::from_mode(0o620)).unwrap();
        let error = directory.load(&engine, KEY).unwrap_err();
        assert!(matches!(error, EntryError::Foreign), "{error}");
        let secret = directory.path.join(SECRET);
        fs::set_permissions(&secret, Permissions::from_mode(0o604)).unwrap();
        let error = CodeDirectory::open(cache.path()).unwrap_err();
        assert!(matches!(error, DirectoryError::Foreign(path) if path == secret));
    }

    #[test]
    fn a_directory_is_closed_to_others_and_a_link_is_none() {
        let cache = tempfile::tempdir().unwrap();
        let path = cache.path().join(DIRECTORY);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o777)).unwrap();
        CodeDirectory::open(cache.path()).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o700);

        let elsewhere = tempfile::tempdir().unwrap();
        symlink(&path, elsewhere.path().join(DIRECTORY)).unwrap();
        let error = CodeDirectory::open(elsewhere.path()).unwrap_err();
        assert!(matches!(error, DirectoryError::Foreign(_)), "{error}");
    }

    #[test]
    fn a_key_that_was_cut_short_is_made_anew() {
        let engine = Engine::new().unwrap();
        let (cache, directory, _) = filled(&engine);
        let secret = directory.path.join(SECRET);
        fs::write(&secret, b"short").unwrap();
        let directory = CodeDirectory::open(cache.path()).unwrap();
        assert!(
            directory.load(&engine, KEY).is_err(),
            "its entries went with it"
        );
        directory.store(&engine, KEY, &module(&engine)).unwrap();
        assert!(is_there(&engine, &directory));
    }

    #[test]
    fn many_at_once_agree_on_the_key_and_find_whole_entries() {
        let engine = Engine::new().unwrap();
        let cache = tempfile::tempdir().unwrap();
        let module = module(&engine);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let directory = CodeDirectory::open(cache.path()).unwrap();
                    for _ in 0..10 {
                        directory.store(&engine, KEY, &module).unwrap();
                        assert!(is_there(&engine, &directory));
                    }
                });
            }
        });
    }
}
