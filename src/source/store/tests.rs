use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::SystemTime;

use super::purge::{Bounds, purge};
use super::*;
use crate::telemetry::Lines;

const MAX: u64 = 1 << 20;

struct Fixture {
    directory: tempfile::TempDir,
    log: Arc<Lines>,
}

impl Fixture {
    fn new() -> Self {
        Self {
            directory: tempfile::tempdir().unwrap(),
            log: Arc::default(),
        }
    }

    fn store(&self) -> Store {
        Store::open(self.directory.path().to_str(), Arc::clone(&self.log) as _)
    }

    fn disk(&self) -> Disk {
        Disk::open(self.directory.path()).unwrap()
    }

    fn module(&self, digest: Digest) -> std::path::PathBuf {
        self.directory.path().join(format!("modules/{digest}.wasm"))
    }
}

fn keep(store: &Store, key: &str, bytes: &[u8]) -> (Digest, Option<Lease>) {
    let digest = Digest::of(bytes);
    let entry = Entry::new(key.to_owned(), digest, None);
    let lease = store.keep(
        &[Digest::of(key.as_bytes())],
        &entry,
        &Arc::new(bytes.to_vec()),
    );
    (digest, lease)
}

fn find(store: &Store, key: &str) -> Option<Vec<u8>> {
    let entry = store.find(Digest::of(key.as_bytes()))?;
    Some(store.load(entry.module, MAX)?.bytes.to_vec())
}

#[test]
fn what_is_kept_is_found_after_a_restart_and_by_others() {
    let fixture = Fixture::new();
    let (one, other) = (fixture.store(), fixture.store());
    keep(&one, "a", b"module");
    assert_eq!(find(&other, "a").unwrap(), b"module");
    assert_eq!(find(&fixture.store(), "a").unwrap(), b"module");
    assert!(find(&one, "b").is_none());
    keep(&other, "a", b"newer");
    assert_eq!(find(&one, "a").unwrap(), b"newer");
    assert_eq!(fixture.log.take().len(), 0);
}

#[test]
fn corrupt_and_foreign_files_are_replaced() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let (digest, lease) = keep(&store, "a", b"module");
    drop(lease);
    let path = fixture.module(digest);
    let break_it: [&dyn Fn(); 4] = [
        &|| fs::write(&path, b"modulE").unwrap(),
        &|| fs::write(&path, b"").unwrap(),
        &|| fs::write(&path, vec![0; MAX as usize + 1]).unwrap(),
        &|| {
            fs::remove_file(&path).unwrap();
            fs::create_dir_all(path.join("foreign")).unwrap();
        },
    ];
    for (case, break_it) in break_it.iter().enumerate() {
        break_it();
        assert!(find(&store, "a").is_none(), "{case}");
        keep(&store, "a", b"module");
        assert_eq!(find(&store, "a").unwrap(), b"module", "{case}");
    }
    let entry = fixture
        .directory
        .path()
        .join(format!("index/{}.json", Digest::of(b"a")));
    for text in ["", "{", "{\"format\": 2}", "null"] {
        fs::write(&entry, text).unwrap();
        assert!(find(&store, "a").is_none(), "{text}");
        keep(&store, "a", b"module");
        assert_eq!(find(&store, "a").unwrap(), b"module", "{text}");
    }
}

#[test]
fn a_directory_that_cannot_be_written_costs_one_warning() {
    let fixture = Fixture::new();
    let file = fixture.directory.path().join("file");
    fs::write(&file, b"").unwrap();
    // Not by permissions, which do not stop root.
    let store = Store::open(file.to_str(), Arc::clone(&fixture.log) as _);
    keep(&store, "a", b"module");
    assert_eq!(find(&store, "a").unwrap(), b"module");
    let store = fixture.store();
    fs::remove_dir_all(fixture.directory.path().join("modules")).unwrap();
    for key in ["a", "b"] {
        keep(&store, key, b"module");
        assert_eq!(find(&store, key).unwrap(), b"module");
    }
    let lines = fixture.log.take();
    assert_eq!(lines.len(), 2, "one for each store: {lines:?}");
    assert!(
        lines.iter().all(|(_, line)| line.contains("cacheDir")),
        "{lines:?}"
    );
}

#[test]
fn only_this_user_may_look_in() {
    let fixture = Fixture::new();
    fixture.disk();
    for part in ["modules", "index", "answers", "locks"] {
        let metadata = fs::metadata(fixture.directory.path().join(part)).unwrap();
        assert_eq!(metadata.permissions().mode() & 0o777, 0o700, "{part}");
    }
}

#[test]
fn the_purge_spares_what_is_in_use() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let (used, lease) = keep(&store, "used", b"used");
    let (old, _) = keep(&store, "old", b"old");
    assert!(lease.is_some());
    let unfinished = fixture.directory.path().join("modules/.new-1");
    fs::write(&unfinished, b"").unwrap();
    let bounds = Bounds::default();
    let disk = fixture.disk();
    purge(&disk, SystemTime::now(), &bounds);
    assert!(fixture.module(old).exists() && unfinished.exists());
    purge(&disk, SystemTime::now() + bounds.age * 2, &bounds);
    assert!(fixture.module(used).exists() && !fixture.module(old).exists());
    assert!(!unfinished.exists());
    assert!(
        store.find(Digest::of(b"old")).is_none(),
        "its entry goes with it"
    );
    drop(lease);
    purge(&disk, SystemTime::now() + bounds.age * 2, &bounds);
    assert!(!fixture.module(used).exists());
}

#[test]
fn the_purge_takes_the_longest_unused_first() {
    let fixture = Fixture::new();
    let store = fixture.store();
    let digests: Vec<_> = (0..4_u8)
        .map(|number| {
            let (digest, _) = keep(&store, &number.to_string(), &[number; 100]);
            let file = fs::File::options()
                .write(true)
                .open(fixture.module(digest))
                .unwrap();
            let age = Duration::from_secs(100 - u64::from(number));
            file.set_modified(SystemTime::now() - age).unwrap();
            digest
        })
        .collect();
    // A use makes it the youngest.
    assert!(store.load(digests[0], MAX).is_some());
    let bounds = Bounds {
        bytes: 250,
        ..Bounds::default()
    };
    purge(&fixture.disk(), SystemTime::now(), &bounds);
    let left: Vec<_> = digests
        .iter()
        .map(|digest| fixture.module(*digest).exists())
        .collect();
    assert_eq!(left, [true, false, false, true]);
}

#[test]
fn a_lock_is_for_one_and_goes_with_its_holder() {
    let fixture = Fixture::new();
    let (one, other) = (fixture.disk(), fixture.disk());
    let key = Digest::of(b"a");
    let lock = one.lock(key, Duration::ZERO);
    assert!(lock.is_some());
    assert!(other.lock(key, Duration::ZERO).is_none());
    drop(lock);
    assert!(other.lock(key, Duration::ZERO).is_some());
}

#[test]
fn memory_keeps_the_last_used_within_its_bound() {
    let store = Store::open(None, Arc::new(Lines::default()));
    let large = vec![1; 20 << 20];
    keep(&store, "a", &large);
    keep(&store, "b", b"small");
    assert!(find(&store, "a").is_some());
    keep(&store, "c", &vec![2; 20 << 20]);
    assert!(find(&store, "b").is_none() && find(&store, "a").is_none());
    assert!(find(&store, "c").is_some());
}
