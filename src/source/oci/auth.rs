//! Who we are, in the words that a registry wants: basic authentication, or a token from the
//! server that the registry names.
//!
//! The server is named by whoever answers for the registry, and gets our credentials: so it must be
//! reached by TLS unless the registry itself is insecure, and a registry on the internet may not
//! name one inside of our network.

use std::net::SocketAddr;

use base64ct::{Base64, Encoding};
use http_auth::{ChallengeRef, parse_challenges};
use reqwest::header::HeaderValue;
use reqwest::{Method, Url};
use serde::Deserialize;

use crate::plugin::FetchSettings;
use crate::source::FetchError;
use crate::source::net::client::{Answer, Ask, Client};
use crate::source::secret::Credentials;

/// A token server's answer.
const TOKEN_BYTES: (u64, &str) = (1 << 20, "the largest answer of a token server");

/// A registry that wants to know who we are.
pub(super) struct Challenge<'a> {
    pub(super) settings: &'a FetchSettings,
    pub(super) credentials: &'a Credentials,
    /// Where the registry is.
    pub(super) url: &'a Url,
    pub(super) peer: Option<SocketAddr>,
    pub(super) repository: &'a str,
    /// What was asked for, for errors.
    pub(super) what: &'a str,
}

#[derive(Deserialize)]
struct Token {
    token: Option<String>,
    access_token: Option<String>,
}

impl Challenge<'_> {
    /// The header that answers the challenge of `answer`.
    pub(super) async fn answer(&self, answer: &Answer) -> Result<HeaderValue, FetchError> {
        let headers = answer.headers.get_all("www-authenticate");
        let headers: Vec<_> = headers.iter().filter_map(|h| h.to_str().ok()).collect();
        let challenges: Vec<_> = headers
            .iter()
            .filter_map(|header| parse_challenges(header).ok())
            .flatten()
            .collect();
        let named = |scheme: &str| {
            challenges
                .iter()
                .find(|challenge| challenge.scheme.eq_ignore_ascii_case(scheme))
        };
        let credentials = self.credentials;
        if let Some(challenge) = named("bearer") {
            let token = match &*credentials.registry_token {
                "" => self.token(challenge).await?,
                token => token.to_owned(),
            };
            return self.header(format!("Bearer {token}"));
        }
        if named("basic").is_none() {
            return Err(self.refused("it wants neither a token nor a password"));
        }
        if credentials.username.is_empty() {
            return Err(self.refused(if credentials.is_empty() {
                "it wants a password; imagePullSecret names none"
            } else {
                "it wants a password; the pull secret holds tokens only"
            }));
        }
        self.header(basic(credentials))
    }

    /// Gets a token from the server that `challenge` names.
    async fn token(&self, challenge: &ChallengeRef<'_>) -> Result<String, FetchError> {
        let parameter = |name: &str| {
            let mut all = challenge.params.iter();
            all.find(|(key, _)| key.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.to_unescaped())
        };
        let realm = parameter("realm").unwrap_or_default();
        let Ok(mut url) = Url::parse(&realm) else {
            return Err(self.refused("its token server has no URL"));
        };
        if url.scheme() != "https" && self.url.scheme() == "https" {
            return Err(self.refused("its token server does not use https://"));
        }
        let scope =
            parameter("scope").unwrap_or_else(|| format!("repository:{}:pull", self.repository));
        let service = parameter("service");
        let credentials = self.credentials;
        let mut ask = Ask {
            method: Method::GET,
            url: url.clone(),
            what: "the registry's token server",
            accept: "application/json",
            authorization: None,
            form: None,
            known: None,
            limit: TOKEN_BYTES,
            shown: false,
        };
        if credentials.identity_token.is_empty() {
            let mut query = url.query_pairs_mut();
            query.append_pair("scope", &scope);
            if let Some(service) = &service {
                query.append_pair("service", service);
            }
            drop(query);
            ask.url = url;
            if !credentials.username.is_empty() {
                ask.authorization = Some(self.header(basic(credentials))?);
            }
        } else {
            let mut form = url.clone();
            form.query_pairs_mut()
                .clear()
                .append_pair("grant_type", "refresh_token")
                .append_pair("client_id", "wasmplugin")
                .append_pair("scope", &scope)
                .append_pair("service", service.as_deref().unwrap_or_default())
                .append_pair("refresh_token", &credentials.identity_token);
            ask.method = Method::POST;
            ask.form = form.query().map(str::to_owned);
        }
        let what = ask.what;
        // A client of its own, since connections to it are guarded otherwise.
        let client = Client::for_realms(self.settings, self.peer)?;
        let answer = client.send(ask).await?.success(what)?;
        let token: Token = serde_json::from_slice(&answer.body)
            .map_err(|_| self.refused("its token server answers something else than a token"))?;
        match token.token.or(token.access_token) {
            Some(token) if !token.is_empty() => Ok(token),
            _ => Err(self.refused("its token server gives no token")),
        }
    }

    fn header(&self, value: String) -> Result<HeaderValue, FetchError> {
        let mut value = HeaderValue::from_str(&value)
            .map_err(|_| self.refused("the pull secret holds control characters"))?;
        value.set_sensitive(true);
        Ok(value)
    }

    pub(super) fn refused(&self, reason: &str) -> FetchError {
        FetchError::Unauthorized {
            what: self.what.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

fn basic(credentials: &Credentials) -> String {
    let Credentials {
        username, password, ..
    } = credentials;
    let encoded = Base64::encode_string(format!("{username}:{password}").as_bytes());
    format!("Basic {encoded}")
}
