//! References to images: `registry/repository:tag@digest`, with Docker's short forms.

use std::fmt;
use std::str::FromStr;

use oci_spec::distribution;

use crate::source::digest::Digest;
use crate::source::{FetchError, SecretName};

/// A parsed reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    /// Host and port, as in the reference: who the credentials are for.
    pub(crate) registry: String,
    /// Host and port that are asked.
    pub(crate) host: String,
    pub(crate) repository: String,
    /// `latest` where neither tag nor digest is written.
    pub(crate) tag: Option<String>,
    pub(crate) digest: Option<Digest>,
}

impl Reference {
    pub(crate) fn parse(text: &str) -> Result<Self, FetchError> {
        let wrong = |reason: String| FetchError::Url {
            url: format!("oci://{text}"),
            reason,
        };
        // The library knows no addresses of IPv6.
        let (bracketed, rest) = match text.split_once('/') {
            Some((host, rest)) if host.starts_with('[') => {
                (Some(host), format!("localhost/{rest}"))
            }
            _ => (None, text.to_owned()),
        };
        let parsed = distribution::Reference::from_str(&rest);
        let parsed = parsed.map_err(|error| wrong(error.to_string()))?;
        let digest = match parsed.digest() {
            None => None,
            Some(digest) => Some(Digest::of_oci(digest).ok_or_else(|| {
                wrong("only digests of the form sha256:<64 hex digits> can be checked".to_owned())
            })?),
        };
        Ok(Self {
            registry: bracketed.unwrap_or(parsed.registry()).to_owned(),
            host: bracketed.unwrap_or(parsed.resolve_registry()).to_owned(),
            repository: parsed.repository().to_owned(),
            tag: parsed.tag().map(str::to_owned),
            digest,
        })
    }

    /// What to ask the registry for: the digest, if there is one.
    pub(crate) fn wanted(&self) -> String {
        match (self.digest, &self.tag) {
            (Some(digest), _) => format!("sha256:{digest}"),
            (None, Some(tag)) => tag.clone(),
            (None, None) => "latest".to_owned(),
        }
    }

    /// Reads the credentials of `secret` for this repository.
    pub(crate) fn credentials(
        &self,
        secret: Option<&SecretName>,
        secrets_dir: Option<&str>,
    ) -> Result<crate::source::secret::Credentials, FetchError> {
        secret.map_or_else(
            || Ok(Default::default()),
            |secret| secret.read(secrets_dir, &self.registry, &self.repository),
        )
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        if let Some(digest) = &self.digest {
            write!(f, "@sha256:{digest}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_in_all_forms() {
        let zeros = "0".repeat(64);
        for (text, registry, host, repository, wanted) in [
            ("r.example/a", "r.example", "r.example", "a", "latest"),
            ("r.example/a/b:1", "r.example", "r.example", "a/b", "1"),
            (
                "localhost:5000/a:1",
                "localhost:5000",
                "localhost:5000",
                "a",
                "1",
            ),
            (
                "127.0.0.1:5000/a",
                "127.0.0.1:5000",
                "127.0.0.1:5000",
                "a",
                "latest",
            ),
            ("[::1]:5000/a:1", "[::1]:5000", "[::1]:5000", "a", "1"),
            ("a", "docker.io", "index.docker.io", "library/a", "latest"),
            ("org/a:2", "docker.io", "index.docker.io", "org/a", "2"),
            (
                &format!("r.example/a@sha256:{zeros}"),
                "r.example",
                "r.example",
                "a",
                &format!("sha256:{zeros}"),
            ),
            (
                &format!("r.example/a:1@sha256:{zeros}"),
                "r.example",
                "r.example",
                "a",
                &format!("sha256:{zeros}"),
            ),
        ] {
            let parsed = Reference::parse(text).unwrap();
            assert_eq!(parsed.registry, registry, "{text}");
            assert_eq!(parsed.host, host, "{text}");
            assert_eq!(parsed.repository, repository, "{text}");
            assert_eq!(parsed.wanted(), wanted, "{text}");
        }
        for text in [
            "r.example/A",
            "r.example/a@sha256:00",
            "r.example/a:b c",
            "",
            "r.example/",
        ] {
            assert!(Reference::parse(text).is_err(), "{text}");
        }
    }
}
