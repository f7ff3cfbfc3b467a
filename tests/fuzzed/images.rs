//! What registries and servers send: manifests, layers, boxes in boxes.

use wasmplugin_host::source;

/// The most that is unpacked. Small, so that going beyond it is found soon.
const MAX: u64 = 64 << 10;

/// Reads `bytes` as everything that they could be. Panics where something does not hold.
pub(crate) fn run(bytes: &[u8]) {
    if let Some(module) = source::read_anything(bytes, MAX) {
        let len = module.len() as u64;
        // What is in no box was bounded while it was fetched.
        assert!(len <= MAX || module == bytes, "{len} bytes unpacked");
    }
}
