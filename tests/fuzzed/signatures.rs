//! What says who signed a module: signatures, bundles, keys in PEM.

use wasmplugin_host::source::signature;

/// Reads `bytes` as everything that they could be. Panics where something does not hold.
pub(crate) fn run(bytes: &[u8]) {
    assert!(!signature::read_anything(bytes), "signed by nobody");
}
