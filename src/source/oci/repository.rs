//! [`Registry`] over the network, with the answers of before for when it is away.

use std::sync::atomic::{AtomicBool, Ordering};

use super::answers::{Answer, Answers};
use super::api::{Api, State};
use super::reference::Reference;
use super::registry::{Descriptor, Manifest, Registry};
use crate::source::FetchError;
use crate::source::digest::Digest;
use crate::source::net::session::{Patience, Session};
use crate::source::secret::Credentials;

/// A repository that can be asked: see [`Registry`].
pub struct Repository {
    session: Session,
    reference: Reference,
    credentials: Credentials,
    state: State,
    answers: Answers,
    /// It did not answer last time.
    away: AtomicBool,
}

impl Repository {
    pub(crate) fn new(
        session: Session,
        reference: Reference,
        credentials: Credentials,
        answers: Answers,
    ) -> Self {
        Self {
            session,
            reference,
            credentials,
            state: State::default(),
            answers,
            away: AtomicBool::new(false),
        }
    }

    /// Makes attempts with the registry's API. Blocks.
    pub(crate) fn persist<T>(
        &self,
        patience: Patience,
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
        let attempt = async || attempt(&api).await;
        self.session.persist(&what, patience, attempt)
    }

    /// Asks `question`, or falls back on the last answer to it.
    fn ask<T: Answer>(
        &self,
        question: &str,
        attempt: impl AsyncFn(&Api<'_>) -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let patience = Patience::of(self.session.settings());
        let answer = match self.answers.find(question) {
            None => self.persist(patience, attempt)?,
            Some(known) if self.away.load(Ordering::Relaxed) => return Ok(known),
            Some(known) => match self.persist(patience.little(), attempt) {
                Err(error) if error.is_transient() => {
                    self.away.store(true, Ordering::Relaxed);
                    return Ok(known);
                }
                result => result?,
            },
        };
        self.answers.keep(question, &answer);
        Ok(answer)
    }
}

impl Registry for Repository {
    fn manifest(&self, reference: &str) -> Result<Option<Manifest>, FetchError> {
        let question = format!("manifest {reference}");
        // What a digest names does not change.
        if let Some(digest) = Digest::of_oci(reference)
            && let Some(Some(known)) = self.answers.find::<Option<Manifest>>(&question)
            && known.digest == digest
        {
            return Ok(Some(known));
        }
        self.ask(&question, async |api| match api.manifest(reference).await {
            Ok(manifest) => Ok(Some(manifest)),
            Err(FetchError::Status { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        })
    }

    fn blob(&self, blob: &Descriptor) -> Result<Vec<u8>, FetchError> {
        let digest = blob.digest().to_string();
        let question = format!("blob {digest}");
        if let Some(known) = self.answers.find::<Vec<u8>>(&question)
            && Digest::of_oci(&digest) == Some(Digest::of(&known))
            && known.len() as u64 == blob.size()
        {
            return Ok(known);
        }
        let bytes = self.persist(Patience::of(self.session.settings()), async |api| {
            api.blob(blob, "blob").await
        })?;
        self.answers.keep(&question, &bytes);
        Ok(bytes)
    }

    fn referrers(&self, subject: Digest) -> Result<Vec<Descriptor>, FetchError> {
        let question = format!("referrers {subject}");
        self.ask(&question, async |api| api.referrers(subject).await)
    }
}

impl std::fmt::Debug for Repository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Repository({})", self.reference)
    }
}
