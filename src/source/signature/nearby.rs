//! Where the search for signatures asks.

use super::search::MAX_EVIDENCE_BYTES;
use crate::plugin::FetchSettings;
use crate::source::{FetchError, Fetcher, Registry, Request, Sidecar};

/// Asks where a module came from for what belongs to it. A trait, so that the search can be tested
/// without a registry.
pub trait Nearby {
    /// What stands beside the file, at `<url>.sig`. Nothing for images.
    fn sidecar(&self) -> Option<Sidecar>;
    /// The repository of the image. An error for files.
    fn registry(&self) -> Result<Box<dyn Registry + '_>, FetchError>;
}

/// Asks with the fetcher that the module came through.
#[derive(Debug)]
pub struct Surroundings<'a> {
    /// Whose client it is.
    pub fetcher: &'a Fetcher,
    /// What was fetched.
    pub request: &'a Request,
    /// How it was fetched.
    pub settings: &'a FetchSettings,
}

impl Nearby for Surroundings<'_> {
    fn sidecar(&self) -> Option<Sidecar> {
        self.fetcher
            .sidecar(self.request, self.settings, MAX_EVIDENCE_BYTES)
    }

    fn registry(&self) -> Result<Box<dyn Registry + '_>, FetchError> {
        let repository = self.fetcher.repository(self.request, self.settings)?;
        Ok(Box::new(repository))
    }
}
