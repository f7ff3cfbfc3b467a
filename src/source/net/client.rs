//! GET, guarded and bounded: the only way in which bytes get in from the network.
//!
//! Redirects are followed here rather than by the HTTP library, because each hop is a new URL to be
//! checked. Answers are read up to a limit, and one that is larger is refused, never cut.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use reqwest::header::{self, HeaderMap, HeaderValue};
use reqwest::{Method, Response, Url, redirect};

use super::fault::{authority, fault};
use super::guard::{Blocked, Guard, is_private};
use super::tls;
use super::validators::Validators;
use crate::plugin::FetchSettings;
use crate::source::{FetchError, Progress};

/// As many as browsers and Go follow.
const REDIRECTS: usize = 10;

/// What we read of an answer that is an error, to quote it.
const ERROR_BYTES: u64 = 4 << 10;

/// Fields of an answer's head; ten times what registries and their caches send.
const HEADERS: usize = 200;

/// An answer's head over HTTP/2. Over HTTP/1 the library itself stops at some 400 KiB.
const HEADER_BYTES: u32 = 64 << 10;

/// The longest that the server's silence is borne.
const SILENCE: Duration = Duration::from_secs(15);

/// What we call ourselves.
const AGENT: &str = concat!("wasmplugin/", env!("CARGO_PKG_VERSION"));

/// An HTTP client. Belongs to the runtime that first uses it.
pub(crate) struct Client {
    verified: reqwest::Client,
    unverified: Option<reqwest::Client>,
    insecure: Arc<[String]>,
    guard: Guard,
    silence: Duration,
    progress: Option<Arc<dyn Progress>>,
}

/// A request, and what its answer may be like.
pub(crate) struct Ask<'a> {
    pub(crate) method: Method,
    pub(crate) url: Url,
    /// What is asked for, for errors.
    pub(crate) what: &'a str,
    pub(crate) accept: &'a str,
    pub(crate) authorization: Option<HeaderValue>,
    /// A form to post.
    pub(crate) form: Option<String>,
    /// What is there already: the answer may be that it is the same (304).
    pub(crate) known: Option<&'a Validators>,
    /// The most bytes that an answer may have, and what sets this limit.
    pub(crate) limit: (u64, &'static str),
    /// Whether to show the progress.
    pub(crate) shown: bool,
}

/// An answer that was read to its end. Of one that is no success, only the beginning is there.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
    pub(crate) peer: Option<SocketAddr>,
    /// What to ask with next time.
    pub(crate) validators: Option<Validators>,
}

impl Client {
    pub(super) fn new(
        settings: &FetchSettings,
        progress: Option<Arc<dyn Progress>>,
    ) -> Result<Self, FetchError> {
        let guard = Guard::new(&settings.blocked_cidrs);
        let silence = (settings.timeout / 2).min(SILENCE);
        let verified = build(tls::verified(settings.ca_file.as_deref())?, &guard, silence)?;
        let unverified = if settings.insecure_registries.is_empty() {
            None
        } else {
            Some(build(tls::unverified()?, &guard, silence)?)
        };
        Ok(Self {
            verified,
            unverified,
            insecure: settings.insecure_registries.clone().into(),
            guard,
            silence,
            progress,
        })
    }

    /// A client for the token servers that a registry names: a registry on the internet must not
    /// send our credentials, or us, to the inside of our network.
    pub(crate) fn for_realms(
        settings: &FetchSettings,
        registry: Option<SocketAddr>,
    ) -> Result<Self, FetchError> {
        let inside = registry.is_some_and(|address| is_private(address.ip()));
        let mut client = Self::new(settings, None)?;
        if !inside {
            client.guard = client.guard.public_only();
            let tls = tls::verified(settings.ca_file.as_deref())?;
            client.verified = build(tls, &client.guard, client.silence)?;
            client.unverified = None;
        }
        Ok(client)
    }

    /// Whether `fetch.insecureRegistries` lists `url`'s host.
    pub(crate) fn is_insecure(&self, url: &Url) -> bool {
        let host = url.host_str().unwrap_or_default();
        let authority = authority(url);
        self.insecure
            .iter()
            .any(|entry| entry == "*" || entry == host || *entry == authority)
    }

    /// Sends `ask`, follows redirects, and reads the answer.
    pub(crate) async fn send(&self, mut ask: Ask<'_>) -> Result<Answer, FetchError> {
        for _ in 0..=REDIRECTS {
            let response = self.hop(&ask).await?;
            let Some(next) = location(&response, &ask)? else {
                return self.read(response, &ask).await;
            };
            if ask.form.is_some() {
                // What is in it is for the server that was asked.
                return Err(FetchError::Redirect {
                    what: ask.what.to_owned(),
                    reason: "a redirect of what was posted".to_owned(),
                });
            }
            if next.host_str() != ask.url.host_str() || next.port() != ask.url.port() {
                ask.authorization = None;
            }
            ask.url = next;
        }
        Err(FetchError::Redirect {
            what: ask.what.to_owned(),
            reason: format!("more than {REDIRECTS} redirects"),
        })
    }

    async fn hop(&self, ask: &Ask<'_>) -> Result<Response, FetchError> {
        let host = ask.url.host_str().unwrap_or_default();
        if let Err(Blocked { host, address }) = self.guard.check_host(host) {
            return Err(FetchError::Blocked { host, address });
        }
        let client = match &self.unverified {
            Some(client) if self.is_insecure(&ask.url) => client,
            _ => &self.verified,
        };
        let mut request = client
            .request(ask.method.clone(), ask.url.clone())
            .header(header::ACCEPT, ask.accept);
        if let Some(authorization) = &ask.authorization {
            request = request.header(header::AUTHORIZATION, authorization);
        }
        if let Some(form) = &ask.form {
            let kind = "application/x-www-form-urlencoded";
            request = request
                .header(header::CONTENT_TYPE, kind)
                .body(form.clone());
        }
        let conditions = ask.known.into_iter();
        for (name, value) in conditions.flat_map(|known| known.conditions(&ask.url)) {
            request = request.header(name, value);
        }
        request
            .send()
            .await
            .map_err(|error| self.fault(&error, ask, 0))
    }

    async fn read(&self, mut response: Response, ask: &Ask<'_>) -> Result<Answer, FetchError> {
        let good = response.status().is_success();
        let (limit, limit_name) = ask.limit;
        let too_large = |size| FetchError::TooLarge {
            what: ask.what.to_owned(),
            size,
            limit,
            limit_name,
        };
        let length = response.content_length();
        if good && length.is_some_and(|length| length > limit) && ask.method != Method::HEAD {
            return Err(too_large(length));
        }
        let progress = self.progress.as_ref().filter(|_| good && ask.shown);
        if let Some(progress) = progress {
            progress.begin(ask.what, length);
        }
        let mut answer = Answer {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: Vec::new(),
            peer: response.remote_addr(),
            validators: Validators::of(&ask.url, response.headers()),
        };
        loop {
            let got = answer.body.len() as u64;
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                // What a refusal says further does not matter.
                Err(_) if !good => break,
                Err(error) => return Err(self.fault(&error, ask, got)),
            };
            if good && got + chunk.len() as u64 > limit {
                return Err(too_large(None));
            }
            answer.body.extend_from_slice(&chunk);
            if let Some(progress) = progress {
                progress.advance(chunk.len() as u64);
            }
            if !good && got > ERROR_BYTES {
                break;
            }
        }
        Ok(answer)
    }

    fn fault(&self, error: &reqwest::Error, ask: &Ask<'_>, got: u64) -> FetchError {
        if error.is_timeout() {
            return FetchError::Timeout {
                what: format!("{}: silence", ask.what),
                limit: self.silence,
                last: None,
            };
        }
        fault(error, ask.what, &ask.url, got)
    }
}

impl Answer {
    /// This answer if it is a success, the error that it stands for otherwise.
    pub(crate) fn success(self, what: &str) -> Result<Self, FetchError> {
        if (200..300).contains(&self.status) {
            return Ok(self);
        }
        Err(FetchError::Status {
            what: what.to_owned(),
            status: self.status,
            retry_after: self.retry_after(),
            message: self.message(),
        })
    }

    /// The value of a header, if it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// `Retry-After`: seconds, or a date, which counts from the answer's own, since clocks differ.
    fn retry_after(&self) -> Option<Duration> {
        let text = self.header("retry-after")?.trim();
        if let Ok(seconds) = text.parse() {
            return Some(Duration::from_secs(seconds));
        }
        let until = timestamp(text)?;
        let now = self.header("date").and_then(timestamp).or_else(now)?;
        Some(Duration::from_secs(until.saturating_sub(now)))
    }

    /// What a registry says in its JSON of errors. Other text is not quoted: it is a page for
    /// people, or anything at all.
    fn message(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        let error = body.get("errors").and_then(|errors| errors.get(0));
        let part = |name: &str| {
            let text = error.and_then(|error| error.get(name)?.as_str());
            text.unwrap_or_default().to_owned()
        };
        let message = match (part("code"), part("message")) {
            (code, message) if message.is_empty() => code,
            (code, message) if code.is_empty() => message,
            (code, message) => format!("{code}: {message}"),
        };
        message.chars().take(200).collect()
    }
}

/// Seconds since 1970 of a date as HTTP writes it now; older forms must not be sent any more.
fn timestamp(date: &str) -> Option<u64> {
    let date = DateTime::parse_from_rfc2822(date.trim()).ok()?;
    u64::try_from(date.timestamp()).ok()
}

fn now() -> Option<u64> {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.ok().map(|since| since.as_secs())
}

fn build(
    tls: rustls::ClientConfig,
    guard: &Guard,
    silence: Duration,
) -> Result<reqwest::Client, FetchError> {
    reqwest::Client::builder()
        .tls_backend_preconfigured(tls)
        .dns_resolver(Arc::new(guard.clone()))
        .redirect(redirect::Policy::none())
        // Through a proxy, its resolver would decide where we end up.
        .no_proxy()
        .user_agent(AGENT)
        .referer(false)
        .http1_max_headers(HEADERS)
        .http2_max_header_list_size(HEADER_BYTES)
        .connect_timeout(silence)
        .read_timeout(silence)
        .build()
        .map_err(|error| FetchError::Setting {
            field: "fetch",
            reason: error.to_string(),
        })
}

/// Where `response` redirects to, if it does.
fn location(response: &Response, ask: &Ask<'_>) -> Result<Option<Url>, FetchError> {
    let refuse = |reason: String| FetchError::Redirect {
        what: ask.what.to_owned(),
        reason,
    };
    if !matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308) {
        return Ok(None);
    }
    let text = response.headers().get(header::LOCATION);
    let text = text.and_then(|text| text.to_str().ok());
    let text = text.ok_or_else(|| refuse("a redirect to nowhere".to_owned()))?;
    let mut next = ask
        .url
        .join(text)
        .map_err(|error| refuse(format!("a redirect to no URL: {error}")))?;
    match (ask.url.scheme(), next.scheme()) {
        ("https", "http") => {
            let host = authority(&next);
            return Err(refuse(format!(
                "a redirect from https:// to http:// at {host}"
            )));
        }
        (_, "http" | "https") => {}
        (_, scheme) => return Err(refuse(format!("a redirect to the scheme {scheme:?}"))),
    }
    if !next.username().is_empty() || next.password().is_some() {
        // Nobody but the user says who we are.
        let _cannot_be = next.set_username("").and_then(|()| next.set_password(None));
    }
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wait(headers: &[(&'static str, &str)]) -> Option<u64> {
        let header = |(name, value): &(&'static str, &str)| {
            let name = header::HeaderName::from_static(name);
            (name, HeaderValue::from_str(value).unwrap())
        };
        let answer = Answer {
            status: 429,
            headers: headers.iter().map(header).collect(),
            body: Vec::new(),
            peer: None,
            validators: None,
        };
        answer.retry_after().map(|wait| wait.as_secs())
    }

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let date = ("date", "Wed, 21 Oct 2015 07:28:00 GMT");
        for (text, seconds) in [
            ("7", Some(7)),
            (" 120 ", Some(120)),
            ("Wed, 21 Oct 2015 07:28:30 GMT", Some(30)),
            ("Wed, 21 Oct 2015 07:27:00 GMT", Some(0)),
            ("Thu, 22 Oct 2015 07:28:00 GMT", Some(86_400)),
            ("soon", None),
            ("-1", None),
            ("Wed, 21 Oct 1915 07:28:00 GMT", None),
        ] {
            assert_eq!(wait(&[("retry-after", text), date]), seconds, "{text}");
        }
        assert_eq!(wait(&[date]), None);
        // Without a date of its own, our clock counts.
        let past = ("retry-after", "Wed, 21 Oct 2015 07:28:30 GMT");
        assert_eq!(wait(&[past]), Some(0));
    }
}
