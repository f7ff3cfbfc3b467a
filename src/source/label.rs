//! How attempts to fetch end, as the metrics tell it, and the counters.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// How an attempt ended: the label `result` of the metric `fetch_attempts`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Label {
    /// There is a module.
    Success,
    /// `file://` cannot be read.
    File,
    /// `file://` outside of `fetch.allowFileRoots`.
    FileRoot,
    /// A setting that cannot be used.
    Setting,
    /// A URL that names no module.
    Url,
    /// No usable pull secret.
    Secret,
    /// The host has no address.
    Dns,
    /// An address that must not be reached.
    BlockedAddress,
    /// No connection.
    Connect,
    /// No secure connection.
    Tls,
    /// Plain HTTP where TLS is expected.
    PlainHttp,
    /// Too slow.
    Timeout,
    /// 401.
    Unauthorized,
    /// 403.
    Forbidden,
    /// 404 or 410.
    NotFound,
    /// 429.
    RateLimited,
    /// Another 4xx.
    ClientError,
    /// 5xx.
    ServerError,
    /// A redirect that must not be followed.
    Redirect,
    /// The connection broke in the middle.
    CutOff,
    /// Not HTTP.
    Protocol,
    /// A blob is not as long as its descriptor says.
    WrongLength,
    /// A blob is not what its descriptor says.
    WrongDigest,
    /// Larger than the limits.
    TooLarge,
    /// Not what `sha256` says.
    ChecksumMismatched,
    /// A manifest that cannot be read.
    Manifest,
    /// An image without a module.
    Layout,
    /// Cannot be unpacked.
    Archive,
    /// No WebAssembly module.
    NotWasm,
}

impl Label {
    /// All of them.
    pub const ALL: [Self; 29] = [
        Self::Success,
        Self::File,
        Self::FileRoot,
        Self::Setting,
        Self::Url,
        Self::Secret,
        Self::Dns,
        Self::BlockedAddress,
        Self::Connect,
        Self::Tls,
        Self::PlainHttp,
        Self::Timeout,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::RateLimited,
        Self::ClientError,
        Self::ServerError,
        Self::Redirect,
        Self::CutOff,
        Self::Protocol,
        Self::WrongLength,
        Self::WrongDigest,
        Self::TooLarge,
        Self::ChecksumMismatched,
        Self::Manifest,
        Self::Layout,
        Self::Archive,
        Self::NotWasm,
    ];

    /// The spelling of the metric.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::File => "file",
            Self::FileRoot => "file_root",
            Self::Setting => "setting",
            Self::Url => "url",
            Self::Secret => "secret",
            Self::Dns => "dns",
            Self::BlockedAddress => "blocked_address",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::PlainHttp => "plain_http",
            Self::Timeout => "timeout",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::RateLimited => "rate_limited",
            Self::ClientError => "client_error",
            Self::ServerError => "server_error",
            Self::Redirect => "redirect",
            Self::CutOff => "cut_off",
            Self::Protocol => "protocol",
            Self::WrongLength => "wrong_length",
            Self::WrongDigest => "wrong_digest",
            Self::TooLarge => "too_large",
            Self::ChecksumMismatched => "checksum_mismatched",
            Self::Manifest => "manifest",
            Self::Layout => "layout",
            Self::Archive => "archive",
            Self::NotWasm => "not_wasm",
        }
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What a fetcher has done so far, or one of its fetches; only ever grows.
#[derive(Debug, Default)]
pub struct Stats {
    attempts: [AtomicU64; Label::ALL.len()],
    cache_hits: AtomicU64,
    cache_misses: AtomicU64,
}

impl Stats {
    /// Attempts that ended in `label`.
    pub fn attempts(&self, label: Label) -> u64 {
        self.attempts
            .get(label as usize)
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    /// How attempts ended, and how many did so.
    pub fn results(&self) -> impl Iterator<Item = (Label, u64)> {
        let counts = Label::ALL
            .into_iter()
            .map(|label| (label, self.attempts(label)));
        counts.filter(|(_, count)| *count > 0)
    }

    /// Modules that came from the store.
    pub fn cache_hits(&self) -> u64 {
        self.cache_hits.load(Ordering::Relaxed)
    }

    /// Modules that had to be fetched.
    pub fn cache_misses(&self) -> u64 {
        self.cache_misses.load(Ordering::Relaxed)
    }

    pub(super) fn attempt(&self, label: Label) {
        if let Some(count) = self.attempts.get(label as usize) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Counts what `other` has counted.
    pub(super) fn add(&self, other: &Self) {
        let add = |to: &AtomicU64, from: &AtomicU64| {
            to.fetch_add(from.load(Ordering::Relaxed), Ordering::Relaxed);
        };
        for (to, from) in self.attempts.iter().zip(&other.attempts) {
            add(to, from);
        }
        add(&self.cache_hits, &other.cache_hits);
        add(&self.cache_misses, &other.cache_misses);
    }

    pub(super) fn cache_hit(&self) {
        self.cache_hits.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn cache_miss(&self) {
        self.cache_misses.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_label_counts_in_its_own_place() {
        let stats = Stats::default();
        for (at, label) in Label::ALL.into_iter().enumerate() {
            assert_eq!(label as usize, at, "{label}");
            stats.attempt(label);
            assert_eq!(stats.attempts(label), 1, "{label}");
        }
    }
}
