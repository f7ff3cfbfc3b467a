//! What the index says.

use serde::{Deserialize, Serialize};

use crate::source::digest::Digest;
use crate::source::net::validators::Validators;
use crate::source::oci::Image;

/// The form of entries; those of other forms are unknown.
const FORMAT: u32 = 1;

/// What a URL had when it was asked last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    format: u32,
    /// For people who look into the directory. Without secrets.
    pub(crate) url: String,
    pub(crate) module: Digest,
    pub(crate) image: Option<Image>,
    /// How to ask a server whether it has another one.
    #[serde(default)]
    pub(crate) validators: Option<Validators>,
}

impl Entry {
    pub(crate) const fn new(url: String, module: Digest, image: Option<Image>) -> Self {
        Self {
            format: FORMAT,
            url,
            module,
            image,
            validators: None,
        }
    }

    pub(super) fn read(json: &[u8]) -> Option<Self> {
        let entry: Self = serde_json::from_slice(json).ok()?;
        (entry.format == FORMAT).then_some(entry)
    }

    /// Whether this is what `sha256` of a resource means.
    pub(crate) fn is(&self, want: Option<&str>) -> bool {
        match &self.image {
            Some(image) => image.check(want).is_ok(),
            None => want.is_none_or(|want| want == self.module.to_string()),
        }
    }
}
