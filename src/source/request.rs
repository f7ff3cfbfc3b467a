//! What to fetch, and under which conditions.

use std::path::PathBuf;

use super::digest::Digest;
use super::http::without_secrets;
use super::secret::SecretName;
use crate::plugin::{FetchSettings, ModuleUrl, PluginSpec, PullPolicy};

/// What is wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// From where.
    pub url: ModuleUrl,
    /// What it must be: see [`super::Image::manifest`] for images, the module's digest else.
    pub sha256: Option<String>,
    /// Whether an earlier fetch will do.
    pub pull_policy: PullPolicy,
    /// Who we are to a registry.
    pub pull_secret: Option<SecretName>,
}

impl Request {
    /// A request for `url`, without conditions.
    pub const fn new(url: ModuleUrl) -> Self {
        Self {
            url,
            sha256: None,
            pull_policy: PullPolicy::IfNotPresent,
            pull_secret: None,
        }
    }

    /// The place in the index. Whoever uses another secret has another place: what one may have,
    /// the other may not.
    pub(super) fn key(&self) -> Digest {
        let secret = self.pull_secret.as_ref();
        let secret = secret.map(|secret| (&secret.namespace, &secret.name));
        Digest::of(format!("{} {secret:?}", full(&self.url)).as_bytes())
    }

    /// The file of the pull secret, if there is one to find.
    pub fn secret_file(&self, settings: &FetchSettings) -> Option<PathBuf> {
        let secret = self.pull_secret.as_ref()?;
        secret.path(settings.secrets_dir.as_deref()?)
    }

    /// The URL for messages and for people: without the secrets that may be in it.
    pub fn shown(&self) -> String {
        match &self.url {
            ModuleUrl::Http(url) => without_secrets(url),
            url => url.to_string(),
        }
    }
}

impl From<&PluginSpec> for Request {
    fn from(spec: &PluginSpec) -> Self {
        Self {
            url: spec.url.clone(),
            sha256: spec.sha256.clone(),
            pull_policy: spec.pull_policy,
            pull_secret: spec.pull_secret.as_ref().map(|name| SecretName {
                namespace: spec.namespace.clone(),
                name: name.clone(),
            }),
        }
    }
}

/// The URL with everything that tells it from others.
fn full(url: &ModuleUrl) -> String {
    match url {
        ModuleUrl::File(path) => format!("file {path}"),
        ModuleUrl::Http(url) => format!("http {url}"),
        ModuleUrl::Oci(reference) => format!("oci {reference}"),
    }
}
