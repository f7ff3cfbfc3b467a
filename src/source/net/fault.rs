//! What went wrong with a request, found in the depths of the HTTP library's errors.

use std::error::Error;
use std::io;

use reqwest::Url;

use super::guard::{Blocked, Unresolved};
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

/// Whether the other side ended the connection.
fn is_eof(error: &reqwest::Error) -> bool {
    let ends = [
        io::ErrorKind::UnexpectedEof,
        io::ErrorKind::ConnectionReset,
        io::ErrorKind::BrokenPipe,
    ];
    let mut all = causes(error);
    all.any(|cause| match cause.downcast_ref::<io::Error>() {
        Some(error) => ends.contains(&error.kind()),
        // The library tells this by its text alone.
        None => cause.to_string().contains("before message completed"),
    })
}

/// The text of the last cause: the ones before only say that something failed.
fn innermost(error: &reqwest::Error) -> String {
    let last = causes(error).last();
    last.map_or_else(|| error.to_string(), ToString::to_string)
}

/// The first cause of `error` that is an `E`.
fn cause<E: Error + 'static>(error: &reqwest::Error) -> Option<&E> {
    causes(error).find_map(|cause| cause.downcast_ref())
}

/// Everything behind `error`, from the outside to the inside.
fn causes(error: &reqwest::Error) -> impl Iterator<Item = &(dyn Error + 'static)> {
    std::iter::successors(error.source(), |&cause| {
        // What is in one of these is not its source, but its source's.
        match cause
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref)
        {
            Some(inner) => Some(inner as _),
            None => cause.source(),
        }
    })
}
