//! What stands beside a module that is a file: `<url>.sig`.

use std::io;

use reqwest::{Method, Url};

use super::http::without_secrets;
use super::net::client::Ask;
use super::net::session::{Patience, Session};
use super::oci::answers::Answers;
use super::{FetchError, file};
use crate::plugin::FetchSettings;

/// What stands beside a file.
#[derive(Debug)]
pub struct Sidecar {
    /// Its path or URL, without secrets.
    pub place: String,
    /// What is there, if there is something.
    pub content: Result<Option<Vec<u8>>, FetchError>,
}

/// What is added to the module's URL.
const SUFFIX: &str = ".sig";

/// What it is kept under.
const QUESTION: &str = "sidecar";

/// What the limit is called in errors.
const LIMIT_NAME: &str = "the most that a signature may have";

/// The path of the file beside `path`.
pub(super) fn path(path: &str) -> String {
    format!("{path}{SUFFIX}")
}

/// The URL of the file beside `url`: its path gets the suffix, not its query, which may hold what
/// lets us in.
pub(super) fn url(url: &str) -> Result<Url, FetchError> {
    let mut url = Url::parse(url).map_err(|error| FetchError::Url {
        url: without_secrets(url),
        reason: error.to_string(),
    })?;
    let path = format!("{}{SUFFIX}", url.path());
    url.set_path(&path);
    Ok(url)
}

/// Reads the file at `path`, if there is one of `limit` bytes at most.
pub(super) fn read(
    path: &str,
    settings: &FetchSettings,
    limit: u64,
) -> Result<Option<Vec<u8>>, FetchError> {
    let settings = FetchSettings {
        max_module_bytes: limit,
        ..settings.clone()
    };
    match file::read(path, &settings) {
        Ok(content) => Ok(Some(content)),
        Err(FetchError::File { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
            Ok(None)
        }
        Err(FetchError::TooLarge { what, size, .. }) => Err(FetchError::TooLarge {
            what,
            size,
            limit,
            limit_name: LIMIT_NAME,
        }),
        Err(error) => Err(error),
    }
}

/// Fetches the file at `url`, if there is one of `limit` bytes at most. What is there is kept in
/// `answers`, for the time when the server is away.
pub(super) fn fetch(
    session: &Session,
    answers: &Answers,
    url: &Url,
    limit: u64,
) -> Result<Option<Vec<u8>>, FetchError> {
    let what = without_secrets(url.as_str());
    let known: Option<Vec<u8>> = answers.find(QUESTION);
    let mut patience = Patience::of(session.settings());
    if known.is_some() {
        patience = patience.little();
    }
    let result = session.persist(&what, patience, async || {
        let ask = Ask {
            method: Method::GET,
            url: url.clone(),
            what: &what,
            accept: "*/*",
            authorization: None,
            form: None,
            known: None,
            limit: (limit, LIMIT_NAME),
            shown: false,
        };
        let answer = session.client().send(ask).await?.success(&what)?;
        Ok(answer.body)
    });
    match result {
        Ok(content) => {
            answers.keep(QUESTION, &content);
            Ok(Some(content))
        }
        Err(FetchError::Status {
            status: 404 | 410, ..
        }) => Ok(None),
        Err(error) if error.is_transient() && known.is_some() => Ok(known),
        Err(error) => Err(error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_gets_the_suffix() {
        for (module, sidecar) in [
            ("https://x/a.wasm", "https://x/a.wasm.sig"),
            ("https://u:p@x:1/a?token=1", "https://u:p@x:1/a.sig?token=1"),
        ] {
            assert_eq!(url(module).unwrap().as_str(), sidecar);
        }
        assert!(url("https://").is_err());
    }
}
