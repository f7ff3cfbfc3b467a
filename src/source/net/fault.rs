//! What went wrong with a request, found in the depths of the HTTP library's errors.

use std::error::Error;
use std::io;

use reqwest::Url;

use super::guard::{Blocked, Unresolved, cause};
use crate::source::FetchError;

/// The fault behind `error`, which happened while `what` was asked for at `url` and after `got`
/// bytes of its body.
pub(super) fn fault(error: &reqwest::Error, what: &str, url: &Url, got: u64) -> FetchError {
    if let Some(Blocked { host, address }) = cause(error) {
        return FetchError::Blocked {
            host: host.clone(),
            address: *address,
        };
    }
    if let Some(Unresolved { host, reason }) = cause(error) {
        return FetchError::Resolve {
            host: host.clone(),
            reason: reason.clone(),
        };
    }
    let host = authority(url);
    if let Some(tls) = cause::<rustls::Error>(error) {
        return match tls {
            rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType) => {
                FetchError::PlainHttp { host }
            }
            tls => FetchError::Tls {
                host,
                reason: tls.to_string(),
            },
        };
    }
    let reason = innermost(error);
    if error.is_connect() {
        // The end of the connection in the middle of the handshake is nobody's TLS error.
        return if url.scheme() == "https" && is_eof(error) {
            FetchError::Tls { host, reason }
        } else {
            FetchError::Connect { host, reason }
        };
    }
    let what = what.to_owned();
    if error.is_body() || error.is_decode() || got > 0 || is_eof(error) {
        return FetchError::CutOff { what, got, reason };
    }
    FetchError::Protocol { what, reason }
}

/// Host and port of `url`.
pub(super) fn authority(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

fn is_eof(error: &reqwest::Error) -> bool {
    let io = cause::<io::Error>(error);
    io.is_some_and(|error| {
        matches!(
            error.kind(),
            io::ErrorKind::UnexpectedEof
                | io::ErrorKind::ConnectionReset
                | io::ErrorKind::BrokenPipe
        )
    }) || innermost(error).contains("closed before message completed")
}

/// The text of the last error of the chain: the outer ones only say that something failed.
fn innermost(error: &reqwest::Error) -> String {
    let mut last: &dyn Error = error;
    while let Some(next) = last.source() {
        last = next;
    }
    last.to_string()
}
