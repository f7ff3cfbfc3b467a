//! For fuzzing: everything here that reads what registries and servers send, but for signatures.

use http_auth::parse_challenges;

use super::oci::{api, image};
use super::unbox;
use crate::source::oci::reference::Reference;

/// Reads `data` as a module in boxes, a layer, a manifest, a reference and the headers of a
/// registry, unpacking `max` bytes at most. Must not panic. The module, if there is one.
pub fn read_anything(data: &[u8], max: u64) -> Option<Vec<u8>> {
    image::read_anything(data);
    if let Ok(text) = std::str::from_utf8(data) {
        let _reference = Reference::parse(text);
        let _next = api::next_page(Some(text), "a");
        // The library's; its parameters are unescaped when they are used.
        for challenge in parse_challenges(text).unwrap_or_default() {
            for (_, value) in &challenge.params {
                drop(value.to_unescaped());
            }
        }
    }
    let layer = unbox::layer(data, "the layer", max);
    let layer = layer.ok().and_then(|layer| layer.module);
    unbox::module(data.to_vec(), "the module", max)
        .ok()
        .or(layer)
}
