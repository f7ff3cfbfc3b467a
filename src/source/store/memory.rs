//! The store of a process that has no directory.
//!
//! Compiled code is what runs; the bytes are of use only until the same module is wanted again, so
//! little is kept.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::Entry;
use crate::source::digest::Digest;

/// A few ordinary modules, or one large one.
const BYTES: usize = 32 << 20;

#[derive(Default)]
pub(super) struct Memory {
    index: HashMap<Digest, Entry>,
    /// The last one used is the last.
    modules: VecDeque<(Digest, Arc<Vec<u8>>)>,
}

impl Memory {
    pub(super) fn find(&self, key: Digest) -> Option<Entry> {
        self.index.get(&key).cloned()
    }

    pub(super) fn load(&mut self, digest: Digest) -> Option<Arc<Vec<u8>>> {
        let at = self
            .modules
            .iter()
            .position(|(other, _)| *other == digest)?;
        let module = self.modules.remove(at)?;
        let bytes = Arc::clone(&module.1);
        self.modules.push_back(module);
        Some(bytes)
    }

    pub(super) fn keep(&mut self, keys: &[Digest], entry: &Entry, bytes: &Arc<Vec<u8>>) {
        for key in keys {
            self.note(*key, entry);
        }
        self.modules.retain(|(other, _)| *other != entry.module);
        self.modules.push_back((entry.module, Arc::clone(bytes)));
        let size = |modules: &VecDeque<(Digest, Arc<Vec<u8>>)>| -> usize {
            modules.iter().map(|(_, bytes)| bytes.len()).sum()
        };
        while size(&self.modules) > BYTES {
            if let Some((gone, _)) = self.modules.pop_front() {
                self.index.retain(|_, entry| entry.module != gone);
            }
        }
    }

    pub(super) fn note(&mut self, key: Digest, entry: &Entry) {
        self.index.insert(key, entry.clone());
    }
}
