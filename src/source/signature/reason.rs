//! Why signatures don't count.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use crate::source::Digest;

/// The most attempts that a line of the log tells of.
const MAX_SHOWN: usize = 8;

/// Which check a signature failed.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Reason {
    /// Nothing there.
    #[error("none found")]
    Missing,
    /// It cannot be had.
    #[error("cannot be fetched: {0}")]
    Unreachable(String),
    /// It cannot be had just now.
    #[error("cannot be fetched: {0}")]
    Away(String),
    /// Its registry takes its time.
    #[error("no valid signature after {} s", .0.as_secs())]
    TooSlow(Duration),
    /// More than any signature needs.
    #[error("{size} bytes are more than {limit}, the most that a signature may have")]
    TooLarge {
        /// How many bytes there are, or at least.
        size: u64,
        /// The limit.
        limit: u64,
    },
    /// More than are looked at.
    #[error("{count} signatures are more than {limit}, the most that are looked at")]
    TooMany {
        /// How many there are.
        count: usize,
        /// The limit.
        limit: usize,
    },
    /// It cannot be decoded.
    #[error("{what} cannot be decoded: {error}")]
    Malformed {
        /// The part.
        what: &'static str,
        /// What is wrong with it.
        error: String,
    },
    /// A part that must say one thing says another.
    #[error("its {what} is {got:?}, not {want:?}")]
    Kind {
        /// The part.
        what: &'static str,
        /// What it must say.
        want: &'static str,
        /// What it says.
        got: String,
    },
    /// The format is known, but not supported.
    #[error("{0}, which is not supported")]
    Unsupported(&'static str),
    /// A signature of something else.
    #[error("it signs {signed}, not {wanted}")]
    OtherSubject {
        /// What it signs.
        signed: String,
        /// What would do.
        wanted: String,
    },
    /// The signature is not one of these keys, or not of this content.
    #[error("it does not fit {}", keys(*.0))]
    NoFit(usize),
    /// Content and signature belong to different versions of a module.
    #[error("the module is not what was signed: its content has sha256 {got}")]
    Changed {
        /// Of the module's content.
        got: Digest,
    },
    /// These signatures are always Ed25519.
    #[error("it can only be checked with an Ed25519 key, and verificationKey has none")]
    NeedsEd25519,
}

impl Reason {
    pub(super) fn malformed(what: &'static str, error: impl fmt::Display) -> Self {
        Self::Malformed {
            what,
            error: error.to_string(),
        }
    }
}

fn keys(count: usize) -> String {
    match count {
        1 => "the key of verificationKey".to_owned(),
        count => format!("any of the {count} keys of verificationKey"),
    }
}

/// A place where a signature was looked for, and why there is none that counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// The place.
    pub place: String,
    /// The reason.
    pub reason: Reason,
}

impl fmt::Display for Attempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.reason)
    }
}

/// No valid signature, wherever it was looked for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("not verified: {}", all(.0))]
pub struct Refused(pub Vec<Attempt>);

/// The attempts as one line; of very many, the first ones.
fn all(attempts: &[Attempt]) -> String {
    let shown = attempts.iter().take(MAX_SHOWN).map(ToString::to_string);
    let mut shown: Vec<_> = shown.collect();
    if let Some(more @ 1..) = attempts.len().checked_sub(MAX_SHOWN) {
        shown.push(format!("and {more} more"));
    }
    shown.join("; ")
}
