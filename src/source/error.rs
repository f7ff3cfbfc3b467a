//! Why a module could not be had, and what to do about it.
//!
//! One variant per fault, because each has another remedy, another [`Label`] in the metrics and
//! another answer to "does it help to try again": see [`FetchError::is_transient`] and
//! [`FetchError::retry_after`]. Errors can be cloned, because all who wait for one download get
//! its error. None holds a secret: URLs come without user information and query.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::digest::Digest;
use super::label::Label;

/// How long to leave a server alone that refused for a reason of ours: soon enough that whoever
/// repairs the cause sees the effect, and too seldom to hurt anybody.
const REFUSED: Duration = Duration::from_secs(60);

/// The longest that a server may tell us to wait.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// Why a module could not be had.
#[derive(Clone, Debug, Error)]
pub enum FetchError {
    /// The file cannot be read.
    #[error("cannot read {path:?}: {source}")]
    File {
        /// As written, after `file://`.
        path: String,
        /// What the system said.
        source: Arc<io::Error>,
    },
    /// The file is not where files may be.
    #[error("{path:?} is {real:?}, which lies in none of fetch.allowFileRoots")]
    FileRoot {
        /// As written, after `file://`.
        path: String,
        /// With symbolic links resolved.
        real: String,
    },
    /// A setting that cannot be used.
    #[error("{field}: {reason}")]
    Setting {
        /// Its name.
        field: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A URL that names no module.
    #[error("{url}: {reason}")]
    Url {
        /// The URL.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The pull secret cannot be used.
    #[error("pull secret {name}: {reason}")]
    Secret {
        /// Its namespace and name.
        name: String,
        /// What is wrong with it; none of its content.
        reason: String,
    },
    /// The host has no address.
    #[error("cannot resolve {host}: {reason}")]
    Resolve {
        /// The name.
        host: String,
        /// What the resolver said.
        reason: String,
    },
    /// The host is one that plugins must not reach.
    #[error("{host} is at {address}, which must not be fetched from (fetch.blockedCidrs)")]
    Blocked {
        /// The name, or the address as written.
        host: String,
        /// Its address.
        address: IpAddr,
    },
    /// Nobody listens, or the network is broken.
    #[error("cannot connect to {host}: {reason}")]
    Connect {
        /// Host and port.
        host: String,
        /// What the system said.
        reason: String,
    },
    /// No secure connection.
    #[error("TLS with {host} fails: {reason}")]
    Tls {
        /// Host and port.
        host: String,
        /// What the TLS library said.
        reason: String,
    },
    /// The server does not talk TLS at all.
    #[error(
        "{host} answers plain HTTP where TLS is expected; if it is a registry that may do that, \
         list it in fetch.insecureRegistries"
    )]
    PlainHttp {
        /// Host and port.
        host: String,
    },
    /// Too slow, or silent.
    #[error("{what}: no end after {} ms{}", .limit.as_millis(), after(.last))]
    Timeout {
        /// What was asked for.
        what: String,
        /// How long we waited.
        limit: Duration,
        /// What went wrong before, if there was more than one attempt.
        last: Option<Arc<FetchError>>,
    },
    /// The server does not want to.
    #[error("{what}: the server answers {status}{}{}", words(*.status), said(.message))]
    Status {
        /// What was asked for.
        what: String,
        /// The HTTP status.
        status: u16,
        /// What the server wants us to wait.
        retry_after: Option<Duration>,
        /// What it says, in its own words.
        message: String,
    },
    /// A registry wants to know who we are, and what we have does not do.
    #[error("{what}: the registry answers 401: {reason}")]
    Unauthorized {
        /// What was asked for.
        what: String,
        /// What we tried.
        reason: String,
    },
    /// A redirect that must not be followed.
    #[error("{what}: {reason}")]
    Redirect {
        /// What was asked for.
        what: String,
        /// Why.
        reason: String,
    },
    /// The connection broke in the middle.
    #[error("{what}: cut off after {got} bytes: {reason}")]
    CutOff {
        /// What was asked for.
        what: String,
        /// How much had come.
        got: u64,
        /// What the HTTP library said.
        reason: String,
    },
    /// Not HTTP, or more of a head than we read.
    #[error("{what}: not an HTTP answer that can be used: {reason}")]
    Protocol {
        /// What was asked for.
        what: String,
        /// What the HTTP library said.
        reason: String,
    },
    /// Not as long as its descriptor says.
    #[error("{what} has {got} bytes, its descriptor says {want}")]
    Length {
        /// The blob.
        what: String,
        /// As the descriptor says.
        want: u64,
        /// As it came.
        got: u64,
    },
    /// Not what its descriptor says.
    #[error("{what}: its content has the digest sha256:{got} instead of sha256:{want}")]
    BlobDigest {
        /// The blob or manifest.
        what: String,
        /// As asked for.
        want: Digest,
        /// As it came.
        got: Digest,
    },
    /// Larger than we take.
    #[error("{what} has {}, more than {limit_name} = {limit}", bytes(*.size))]
    TooLarge {
        /// What it is.
        what: String,
        /// Its size in bytes, where it is known.
        size: Option<u64>,
        /// The limit.
        limit: u64,
        /// What sets the limit.
        limit_name: &'static str,
    },
    /// Not what `sha256` says.
    #[error("sha256 mismatch: the resource wants {want}, {hashed} has {got}")]
    Checksum {
        /// `sha256` of the resource.
        want: String,
        /// What was hashed.
        hashed: &'static str,
        /// The digests, of which one would have done.
        got: String,
    },
    /// A manifest or index that we cannot read, or use.
    #[error("{what}: {reason}")]
    Manifest {
        /// The manifest.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An image that holds no module in any layout that we know.
    #[error("{what} holds no module: {found}")]
    Layout {
        /// The image.
        what: String,
        /// The layout found.
        found: String,
    },
    /// What was packed cannot be unpacked.
    #[error("{what} cannot be unpacked: {reason}")]
    Archive {
        /// The layer or file.
        what: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Not a WebAssembly module.
    #[error("not a WebAssembly module: {0}")]
    NotWasm(&'static str),
}

impl FetchError {
    /// How the metrics call it.
    pub const fn label(&self) -> Label {
        match self {
            Self::File { .. } => Label::File,
            Self::FileRoot { .. } => Label::FileRoot,
            Self::Setting { .. } => Label::Setting,
            Self::Url { .. } => Label::Url,
            Self::Secret { .. } => Label::Secret,
            Self::Resolve { .. } => Label::Dns,
            Self::Blocked { .. } => Label::BlockedAddress,
            Self::Connect { .. } => Label::Connect,
            Self::Tls { .. } => Label::Tls,
            Self::PlainHttp { .. } => Label::PlainHttp,
            Self::Timeout { .. } => Label::Timeout,
            Self::Unauthorized { .. } => Label::Unauthorized,
            Self::Status { status, .. } => match *status {
                401 => Label::Unauthorized,
                403 => Label::Forbidden,
                404 | 410 => Label::NotFound,
                429 => Label::RateLimited,
                500.. => Label::ServerError,
                _ => Label::ClientError,
            },
            Self::Redirect { .. } => Label::Redirect,
            Self::CutOff { .. } => Label::CutOff,
            Self::Protocol { .. } => Label::Protocol,
            Self::Length { .. } => Label::WrongLength,
            Self::BlobDigest { .. } => Label::WrongDigest,
            Self::TooLarge { .. } => Label::TooLarge,
            Self::Checksum { .. } => Label::ChecksumMismatched,
            Self::Manifest { .. } => Label::Manifest,
            Self::Layout { .. } => Label::Layout,
            Self::Archive { .. } => Label::Archive,
            Self::NotWasm(_) => Label::NotWasm,
        }
    }

    /// Whether the same request may well succeed in a moment: the network or the server had a
    /// hiccup. Everything else stays as it is until somebody changes something.
    pub const fn is_transient(&self) -> bool {
        match self {
            Self::Resolve { .. }
            | Self::Connect { .. }
            | Self::Timeout { .. }
            | Self::CutOff { .. }
            | Self::Protocol { .. }
            | Self::Length { .. }
            | Self::BlobDigest { .. } => true,
            // 501, 505, 511: it will never be able to.
            Self::Status { status, .. } => {
                matches!(*status, 408 | 429)
                    || (*status >= 500 && !matches!(*status, 501 | 505 | 511))
            }
            _ => false,
        }
    }

    /// How long to leave it at least before the next attempt. Zero leaves that to the caller's
    /// backoff.
    pub fn retry_after(&self) -> Duration {
        match self {
            Self::Status {
                retry_after: Some(wait),
                ..
            } => (*wait).min(LONGEST_WAIT),
            // What is wrong here is repaired on this machine, and costs nobody else anything.
            Self::File { .. }
            | Self::FileRoot { .. }
            | Self::Secret { .. }
            | Self::Setting { .. } => Duration::ZERO,
            _ if self.is_transient() => Duration::ZERO,
            _ => REFUSED,
        }
    }
}

fn after(last: &Option<Arc<FetchError>>) -> String {
    last.as_ref()
        .map_or_else(String::new, |last| format!("; the attempt before: {last}"))
}

fn said(message: &str) -> String {
    if message.is_empty() {
        String::new()
    } else {
        format!(": {message:?}")
    }
}

fn bytes(size: Option<u64>) -> String {
    size.map_or_else(|| "more bytes".to_owned(), |size| format!("{size} bytes"))
}

/// The usual words for a status.
fn words(status: u16) -> String {
    let status = reqwest::StatusCode::from_u16(status).ok();
    let reason = status.and_then(|status| status.canonical_reason());
    reason.map_or_else(String::new, |reason| format!(" {reason}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(status: u16, retry_after: Option<Duration>) -> FetchError {
        FetchError::Status {
            what: "x".to_owned(),
            status,
            retry_after,
            message: String::new(),
        }
    }

    #[test]
    fn only_what_may_change_by_itself_is_transient() {
        for (code, label, transient) in [
            (400, Label::ClientError, false),
            (401, Label::Unauthorized, false),
            (403, Label::Forbidden, false),
            (404, Label::NotFound, false),
            (408, Label::ClientError, true),
            (429, Label::RateLimited, true),
            (500, Label::ServerError, true),
            (501, Label::ServerError, false),
            (503, Label::ServerError, true),
        ] {
            let error = status(code, None);
            assert_eq!(error.label(), label, "{code}");
            assert_eq!(error.is_transient(), transient, "{code}");
            assert_eq!(error.retry_after().is_zero(), transient, "{code}");
        }
    }

    #[test]
    fn a_server_may_name_the_wait_within_bounds() {
        let seconds = Duration::from_secs;
        assert_eq!(status(429, Some(seconds(7))).retry_after(), seconds(7));
        assert_eq!(
            status(503, Some(seconds(1 << 40))).retry_after(),
            LONGEST_WAIT
        );
    }
}
