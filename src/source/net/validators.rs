//! What tells whether something has changed without downloading it again.

use reqwest::Url;
use reqwest::header::{self, HeaderMap, HeaderName};
use serde::{Deserialize, Serialize};

use crate::source::digest::Digest;

/// What a server said of a version of something: `ETag` and `Last-Modified`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Validators {
    /// The URL that it holds for, behind all redirects: a tag means nothing elsewhere. Only the
    /// digest, since the query may hold secrets.
    at: Digest,
    etag: Option<String>,
    modified: Option<String>,
}

impl Validators {
    /// Those of an answer, if it has any.
    pub(super) fn of(url: &Url, headers: &HeaderMap) -> Option<Self> {
        let text = |name: HeaderName| headers.get(name)?.to_str().ok().map(str::to_owned);
        let (etag, modified) = (text(header::ETAG), text(header::LAST_MODIFIED));
        (etag.is_some() || modified.is_some()).then(|| Self {
            at: place(url),
            etag,
            modified,
        })
    }

    /// The headers that ask `url` for another version only. A server that knows both looks at the
    /// first alone.
    pub(super) fn conditions(&self, url: &Url) -> impl Iterator<Item = (HeaderName, &str)> {
        let conditions = [
            (header::IF_NONE_MATCH, &self.etag),
            (header::IF_MODIFIED_SINCE, &self.modified),
        ];
        let holds = self.at == place(url);
        let conditions = conditions.into_iter().filter(move |_| holds);
        conditions.filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

fn place(url: &Url) -> Digest {
    Digest::of(url.as_str().as_bytes())
}
