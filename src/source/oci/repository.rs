//! [`Registry`] over the network.

use super::api::{Api, State};
use super::reference::Reference;
use super::registry::{Descriptor, Manifest, Registry};
use crate::source::FetchError;
use crate::source::digest::Digest;
use crate::source::net::session::Session;
use crate::source::secret::Credentials;

/// A repository that can be asked: see [`Registry`].
pub struct Repository {
    session: Session,
    reference: Reference,
    credentials: Credentials,
    state: State,
}

impl Repository {
    pub(crate) fn new(session: Session, reference: Reference, credentials: Credentials) -> Self {
        Self {
            session,
            reference,
            credentials,
            state: State::default(),
        }
    }

    /// Makes attempts with the registry's API. Blocks.
    pub(crate) fn persist<T>(
        &self,
        attempt: impl AsyncFn(&Api<'_>) -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let api = Api::new(
            self.session.client(),
            self.session.settings(),
            &self.reference,
            &self.credentials,
            &self.state,
        );
        let what = self.reference.to_string();
        self.session.persist(&what, async || attempt(&api).await)
    }
}

impl Registry for Repository {
    fn manifest(&self, reference: &str) -> Result<Option<Manifest>, FetchError> {
        match self.persist(async |api| api.manifest(reference).await) {
            Ok(manifest) => Ok(Some(manifest)),
            Err(FetchError::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn blob(&self, blob: &Descriptor) -> Result<Vec<u8>, FetchError> {
        self.persist(async |api| api.blob(blob, "blob").await)
    }

    fn referrers(&self, subject: Digest) -> Result<Vec<Descriptor>, FetchError> {
        self.persist(async |api| api.referrers(subject).await)
    }
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository({})", self.reference)
    }
}
