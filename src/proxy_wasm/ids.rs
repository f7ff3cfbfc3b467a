//! Maps by numbers of the host's own (contexts, calls, streams), on the path of every call.
//!
//! The host counts them itself, so no guest can choose them to make them collide, and the
//! standard map's guard against that would cost more than the rest of the lookup.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// Values by the number of a context or call.
pub(super) type ById<V> = HashMap<u32, V, BuildHasherDefault<IdHasher>>;

/// Values by the key of a stream.
pub(super) type ByKey<V> = HashMap<u64, V, BuildHasherDefault<IdHasher>>;

/// Spreads consecutive numbers over all bits.
#[derive(Debug, Default)]
pub(super) struct IdHasher(u64);

impl Hasher for IdHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64((*byte).into()));
    }

    fn write_u32(&mut self, id: u32) {
        self.write_u64(id.into());
    }

    fn write_u64(&mut self, number: u64) {
        /// 2^64 by the golden ratio: neighbours end up far apart.
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        self.0 = (self.0 ^ number).wrapping_mul(SPREAD).rotate_left(32);
    }
}
