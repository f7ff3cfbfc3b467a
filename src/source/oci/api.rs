//! The distribution API of one repository, as far as reading goes.

use parking_lot::Mutex;

use oci_spec::image::{Descriptor, ImageIndex};
use reqwest::header::HeaderValue;
use reqwest::{Method, Url};

use super::auth::Challenge;
use super::reference::Reference;
use super::registry::Manifest;
use crate::plugin::FetchSettings;
use crate::source::FetchError;
use crate::source::digest::Digest;
use crate::source::net::client::{Answer, Ask, Client};
use crate::source::secret::Credentials;

/// What the distribution specification wants registries to take at least.
const MANIFEST_BYTES: (u64, &str) = (4 << 20, "the largest manifest");

/// What sets the size of blobs.
const BLOB_LIMIT: &str = "fetch.maxModuleBytes";

/// Pages of referrers; the first has all but in the strangest repository.
const PAGES: usize = 20;

/// Every kind of manifest.
const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json";

pub(crate) struct Api<'a> {
    client: &'a Client,
    settings: &'a FetchSettings,
    reference: &'a Reference,
    credentials: &'a Credentials,
    state: &'a State,
}

/// What is known of a registry after the first requests.
#[derive(Default)]
pub(crate) struct State {
    /// It answers no TLS, and need not.
    plain: Mutex<bool>,
    /// What it wants to hear.
    authorization: Mutex<Option<HeaderValue>>,
}

/// What is asked for.
struct Part<'p> {
    method: Method,
    /// After `/v2/<repository>/`.
    path: &'p str,
    what: &'p str,
    accept: &'p str,
    limit: (u64, &'static str),
    shown: bool,
}

impl<'a> Api<'a> {
    pub(crate) const fn new(
        client: &'a Client,
        settings: &'a FetchSettings,
        reference: &'a Reference,
        credentials: &'a Credentials,
        state: &'a State,
    ) -> Self {
        Self {
            client,
            settings,
            reference,
            credentials,
            state,
        }
    }

    /// The reference that this is about.
    pub(crate) const fn reference(&self) -> &Reference {
        self.reference
    }

    /// `fetch.maxModuleBytes`.
    pub(crate) const fn max_bytes(&self) -> u64 {
        self.settings.max_module_bytes
    }

    /// The digest of the manifest called `name`, if the registry tells it without the manifest.
    pub(crate) async fn digest(&self, name: &str) -> Result<Option<Digest>, FetchError> {
        let what = self.name(name);
        let path = format!("manifests/{name}");
        let part = self.manifest_part(Method::HEAD, &path, &what);
        let answer = self.request(part).await?.success(&what)?;
        let digest = answer.header("docker-content-digest");
        Ok(digest.and_then(Digest::of_oci))
    }

    /// The manifest called `name`, a tag or `sha256:…`; its digest is checked.
    pub(crate) async fn manifest(&self, name: &str) -> Result<Manifest, FetchError> {
        let what = self.name(name);
        let path = format!("manifests/{name}");
        let part = self.manifest_part(Method::GET, &path, &what);
        let answer = self.request(part).await?.success(&what)?;
        let got = Digest::of(&answer.body);
        let told = answer
            .header("docker-content-digest")
            .and_then(Digest::of_oci);
        if let Some(want) = Digest::of_oci(name).or(told)
            && want != got
        {
            return Err(FetchError::BlobDigest { what, want, got });
        }
        Ok(Manifest {
            media_type: media_type(&answer),
            digest: got,
            bytes: answer.body,
        })
    }

    /// The content of `blob`, with size and digest checked.
    pub(crate) async fn blob(&self, blob: &Descriptor, kind: &str) -> Result<Vec<u8>, FetchError> {
        let digest = blob.digest().to_string();
        let what = format!("{kind} {digest} of {}", self.reference);
        let Some(want) = Digest::of_oci(&digest) else {
            return Err(FetchError::Manifest {
                what,
                reason: "only sha256 digests can be checked".to_owned(),
            });
        };
        let limit = self.max_bytes();
        if blob.size() > limit {
            return Err(FetchError::TooLarge {
                what,
                size: Some(blob.size()),
                limit,
                limit_name: BLOB_LIMIT,
            });
        }
        let part = Part {
            method: Method::GET,
            path: &format!("blobs/{digest}"),
            what: &what,
            accept: "*/*",
            limit: (limit, BLOB_LIMIT),
            shown: true,
        };
        let answer = self.request(part).await?.success(&what)?;
        let (length, got) = (answer.body.len() as u64, Digest::of(&answer.body));
        if length != blob.size() {
            return Err(FetchError::Length {
                what,
                want: blob.size(),
                got: length,
            });
        }
        if got != want {
            return Err(FetchError::BlobDigest { what, want, got });
        }
        Ok(answer.body)
    }

    /// See [`super::Registry::referrers`].
    pub(crate) async fn referrers(&self, subject: Digest) -> Result<Vec<Descriptor>, FetchError> {
        let what = format!("referrers of sha256:{subject} in {}", self.reference);
        let mut found = Vec::new();
        let mut path = format!("referrers/sha256:{subject}");
        for _ in 0..PAGES {
            let answer = self
                .request(self.manifest_part(Method::GET, &path, &what))
                .await?;
            // A registry that does not know the API says so in various ways.
            if matches!(answer.status, 400 | 404 | 405 | 406 | 501) {
                break;
            }
            let answer = answer.success(&what)?;
            let index = self.index(&answer.body, &what)?;
            found.extend(index.manifests().iter().cloned());
            match next_page(answer.header("link"), &self.reference.repository) {
                Some(next) => path = next,
                None => break,
            }
        }
        if found.is_empty() {
            let name = format!("sha256-{subject}");
            match self.manifest(&name).await {
                Ok(manifest) => {
                    let index = self.index(&manifest.bytes, &what)?;
                    found.extend(index.manifests().iter().cloned());
                }
                Err(FetchError::Status { status: 404, .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(found)
    }

    fn index(&self, bytes: &[u8], what: &str) -> Result<ImageIndex, FetchError> {
        serde_json::from_slice(bytes).map_err(|error| FetchError::Manifest {
            what: what.to_owned(),
            reason: format!("not an index: {error}"),
        })
    }

    fn name(&self, name: &str) -> String {
        let separator = if name.starts_with("sha256:") {
            '@'
        } else {
            ':'
        };
        let Reference {
            registry,
            repository,
            ..
        } = self.reference;
        format!("manifest {registry}/{repository}{separator}{name}")
    }

    const fn manifest_part<'p>(&self, method: Method, path: &'p str, what: &'p str) -> Part<'p> {
        Part {
            method,
            path,
            what,
            accept: MANIFESTS,
            limit: MANIFEST_BYTES,
            shown: false,
        }
    }

    /// Asks, by TLS if the registry can, and tells who we are if it wants to know.
    async fn request(&self, part: Part<'_>) -> Result<Answer, FetchError> {
        let scheme = if *self.state.plain.lock() {
            "http"
        } else {
            "https"
        };
        let url = self.url(scheme, part.path)?;
        let secure = self.authorized(&part, url.clone()).await;
        let may_be_plain = scheme == "https" && self.client.is_insecure(&url);
        match secure {
            Err(
                FetchError::PlainHttp { .. } | FetchError::Tls { .. } | FetchError::Connect { .. },
            ) if may_be_plain => {
                let answer = self.authorized(&part, self.url("http", part.path)?).await?;
                *self.state.plain.lock() = true;
                Ok(answer)
            }
            other => other,
        }
    }

    async fn authorized(&self, part: &Part<'_>, url: Url) -> Result<Answer, FetchError> {
        let ask = |authorization| Ask {
            method: part.method.clone(),
            url: url.clone(),
            what: part.what,
            accept: part.accept,
            authorization,
            form: None,
            known: None,
            limit: part.limit,
            shown: part.shown,
        };
        let known = self.state.authorization.lock().clone();
        let answer = self.client.send(ask(known)).await?;
        if answer.status != 401 {
            return Ok(answer);
        }
        let challenge = Challenge {
            settings: self.settings,
            credentials: self.credentials,
            url: &url,
            peer: answer.peer,
            repository: &self.reference.repository,
            what: part.what,
        };
        let authorization = challenge.answer(&answer).await?;
        let answer = self.client.send(ask(Some(authorization.clone()))).await?;
        if answer.status == 401 {
            return Err(challenge.refused(if self.credentials.is_empty() {
                "without imagePullSecret it gives nothing"
            } else {
                "it does not accept what the pull secret says"
            }));
        }
        *self.state.authorization.lock() = Some(authorization);
        Ok(answer)
    }

    fn url(&self, scheme: &str, path: &str) -> Result<Url, FetchError> {
        let Reference {
            host, repository, ..
        } = self.reference;
        let url = format!("{scheme}://{host}/v2/{repository}/{path}");
        Url::parse(&url).map_err(|error| FetchError::Url {
            url: format!("oci://{}", self.reference),
            reason: error.to_string(),
        })
    }
}

/// The content type without parameters.
fn media_type(answer: &Answer) -> String {
    let kind = answer.header("content-type").unwrap_or_default();
    kind.split(';').next().unwrap_or_default().trim().to_owned()
}

/// What follows `/v2/<repository>/` in the `Link` header's next page.
pub(crate) fn next_page(link: Option<&str>, repository: &str) -> Option<String> {
    let link = link?;
    let (target, rest) = link.strip_prefix('<')?.split_once('>')?;
    if !rest.contains("next") {
        return None;
    }
    let (_, path) = target.split_once(&format!("/v2/{repository}/"))?;
    Some(path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_next_page_stays_in_the_repository() {
        let next = |link: &str| next_page(Some(link), "a/b");
        for (link, path) in [
            (
                r#"</v2/a/b/referrers/x?n=2>; rel="next""#,
                Some("referrers/x?n=2"),
            ),
            (
                r#"<https://other/v2/a/b/referrers/x>; rel=next"#,
                Some("referrers/x"),
            ),
            (r#"</v2/c/referrers/x>; rel="next""#, None),
            (r#"</v2/a/b/referrers/x>; rel="prev""#, None),
            ("nonsense", None),
        ] {
            assert_eq!(next(link).as_deref(), path, "{link}");
        }
        assert_eq!(next_page(None, "a/b"), None);
    }
}
