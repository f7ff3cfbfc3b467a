//! `http://` and `https://`: the body, taken out of what it is packed in.

use reqwest::{Method, Url};

use super::net::client::{Ask, Client};
use super::net::validators::Validators;
use super::{FetchError, unbox};

/// What sets the size of a body.
const LIMIT_NAME: &str = "fetch.maxModuleBytes";

/// What a server has.
pub(super) enum Found {
    /// What is known already.
    Same,
    /// This module, and how to ask for another one next time.
    Module(Vec<u8>, Option<Validators>),
}

/// Fetches and unpacks the module at `url`, unless it is the one that is `known`.
pub(super) async fn fetch(
    client: &Client,
    url: &str,
    max_bytes: u64,
    known: Option<&Validators>,
) -> Result<Found, FetchError> {
    let what = without_secrets(url);
    let parsed = Url::parse(url).map_err(|error| FetchError::Url {
        url: what.clone(),
        reason: error.to_string(),
    })?;
    let ask = Ask {
        method: Method::GET,
        // User information becomes the header of basic authentication, for the first hop.
        url: parsed,
        what: &what,
        accept: "application/wasm, */*",
        authorization: None,
        form: None,
        known,
        limit: (max_bytes, LIMIT_NAME),
        shown: true,
    };
    let answer = client.send(ask).await?;
    if answer.status == 304 && known.is_some() {
        return Ok(Found::Same);
    }
    let answer = answer.success(&what)?;
    let module = unbox::module(answer.body, &what, max_bytes)?;
    Ok(Found::Module(module, answer.validators))
}

/// `url` as messages may show it: without user information, query and fragment, which is where
/// people put secrets.
pub(super) fn without_secrets(url: &str) -> String {
    let Ok(mut url) = Url::parse(url) else {
        return url.split(['?', '#']).next().unwrap_or_default().to_owned();
    };
    let has_query = url.query().is_some();
    // Only URLs without a host cannot lose these.
    let _cannot_be = url.set_username("").and_then(|()| url.set_password(None));
    url.set_query(None);
    url.set_fragment(None);
    let dots = if has_query { "?…" } else { "" };
    format!("{url}{dots}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_show_no_secrets() {
        for (url, shown) in [
            ("https://u:p@x/a.wasm", "https://x/a.wasm"),
            ("https://x/a?token=1#f", "https://x/a?…"),
            ("https://x:8443/a", "https://x:8443/a"),
        ] {
            assert_eq!(without_secrets(url), shown);
        }
    }
}
