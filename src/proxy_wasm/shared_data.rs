//! Data that the plugins of one `vm_id` share over all workers (`proxy_get_shared_data`).
//!
//! One per process. Values are immutable and counted: a reader takes a reference under the lock
//! and copies without it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

/// What an entry costs beside its key and value. Guests cannot delete entries, so without a bound
/// one that makes up keys fills the proxy's memory.
const ENTRY: usize = 64;

/// The shared data of the process.
#[derive(Debug, Default)]
pub struct SharedData {
    spaces: Mutex<HashMap<String, Arc<Space>>>,
    /// The last compare-and-swap number given out; one sequence for all keys, as in Envoy.
    last_cas: Arc<AtomicU32>,
}

/// The shared data of one `vm_id`.
#[derive(Debug)]
pub struct Space {
    content: Mutex<Content>,
    last_cas: Arc<AtomicU32>,
}

#[derive(Debug, Default)]
struct Content {
    values: HashMap<Box<[u8]>, Value>,
    bytes: usize,
}

/// A value and the number that a compare-and-swap compares.
#[derive(Clone, Debug)]
pub(super) struct Value {
    pub(super) bytes: Arc<[u8]>,
    pub(super) cas: u32,
}

/// Why a value was not stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refused {
    CasMismatch,
    Full,
}

impl SharedData {
    /// The space of `vm_id`, kept as long as someone holds it.
    pub fn space(&self, vm_id: &str) -> Arc<Space> {
        let mut spaces = self.spaces.lock();
        // Only the map holds the others: no plugin of theirs is left.
        spaces.retain(|name, space| name == vm_id || Arc::strong_count(space) > 1);
        let space = spaces.entry(vm_id.to_owned()).or_insert_with(|| {
            Arc::new(Space {
                content: Mutex::default(),
                last_cas: Arc::clone(&self.last_cas),
            })
        });
        Arc::clone(space)
    }
}

impl Space {
    pub(super) fn get(&self, key: &[u8]) -> Option<Value> {
        self.content.lock().values.get(key).cloned()
    }

    /// Stores a value, if all of the space then takes no more than `limit` bytes. `cas` must be 0 or
    /// the number of the present value, and does not matter where there is none.
    pub(super) fn set(
        &self,
        key: &[u8],
        value: &[u8],
        cas: u32,
        limit: usize,
    ) -> Result<(), Refused> {
        // What is long is copied and freed while nobody has to wait.
        let new: Arc<[u8]> = if value.len() > limit {
            return Err(Refused::Full);
        } else {
            value.into()
        };
        let mut content = self.content.lock();
        let old = content.set(key, new, cas, limit, || self.next_cas());
        drop(content);
        old.map(drop)
    }

    fn next_cas(&self) -> u32 {
        // 0 means "do not compare", so it is never given out.
        loop {
            let next = self
                .last_cas
                .fetch_add(1, Ordering::Relaxed)
                .wrapping_add(1);
            if next != 0 {
                return next;
            }
        }
    }
}

impl Content {
    /// As [`Space::set`]; gives the value that was there.
    fn set(
        &mut self,
        key: &[u8],
        value: Arc<[u8]>,
        cas: u32,
        limit: usize,
        next_cas: impl FnOnce() -> u32,
    ) -> Result<Option<Value>, Refused> {
        let replaced = match self.values.get(key) {
            Some(present) if cas != 0 && cas != present.cas => return Err(Refused::CasMismatch),
            Some(present) => present.bytes.len(),
            None => 0,
        };
        let is_new = !self.values.contains_key(key);
        let added = value.len() + if is_new { key.len() + ENTRY } else { 0 };
        let bytes = (self.bytes - replaced).saturating_add(added);
        if bytes > limit {
            return Err(Refused::Full);
        }
        self.bytes = bytes;
        let value = Value {
            bytes: value,
            cas: next_cas(),
        };
        Ok(match self.values.get_mut(key) {
            Some(present) => Some(std::mem::replace(present, value)),
            None => self.values.insert(key.into(), value),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 64 << 20;

    #[test]
    fn compare_and_swap() {
        let data = SharedData::default();
        let space = data.space("");
        assert!(space.get(b"k").is_none());
        // Whatever the number, what is not there is stored.
        space.set(b"k", b"1", 77, LIMIT).unwrap();
        let first = space.get(b"k").unwrap();
        assert_eq!((&*first.bytes, first.cas), (&b"1"[..], 1));
        space.set(b"k", b"2", first.cas, LIMIT).unwrap();
        assert_eq!(
            space.set(b"k", b"3", first.cas, LIMIT),
            Err(Refused::CasMismatch)
        );
        space.set(b"k", b"", 0, LIMIT).unwrap();
        let last = space.get(b"k").unwrap();
        assert_eq!((&*last.bytes, last.cas), (&b""[..], 3));
        space.set(b"", b"the empty key", 0, LIMIT).unwrap();
        assert_eq!(space.get(b"").unwrap().cas, 4);
    }

    #[test]
    fn spaces_are_apart_and_go_with_their_last_holder() {
        let data = SharedData::default();
        let (a, b) = (data.space("a"), data.space("b"));
        a.set(b"k", b"v", 0, LIMIT).unwrap();
        assert!(b.get(b"k").is_none());
        assert!(data.space("a").get(b"k").is_some());
        drop(a);
        drop(data.space("b"));
        assert!(data.space("a").get(b"k").is_none());
    }

    #[test]
    fn a_space_has_a_bound_and_replacing_frees() {
        let space = SharedData::default().space("");
        let half = vec![0; LIMIT / 2];
        space.set(b"a", &half, 0, LIMIT).unwrap();
        assert_eq!(space.set(b"b", &half, 0, LIMIT), Err(Refused::Full));
        assert!(space.get(b"b").is_none());
        space.set(b"a", b"", 0, LIMIT).unwrap();
        space.set(b"b", &half, 0, LIMIT).unwrap();
    }
}
