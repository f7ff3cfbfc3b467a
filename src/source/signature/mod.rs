//! Signatures: whoever configures `verificationKey` runs only modules that one of its keys signed.
//!
//! ```text
//!   verificationKey ──▶ keys ──────────────┐
//!   module, registry ──▶ search ──▶ evidence ──▶ verified (the only way to compiled code)
//! ```
//!
//! | what is signed | by | where we look |
//! |---|---|---|
//! | a module | `wasmsign2`, [`sign`] | the module's own section `signature` |
//! | a file | `cosign sign-blob`, [`sign`] | `<url>.sig`: a signature or a bundle |
//! | an image | cosign 1 and 2 | the tag `sha256-<hex>.sig` of its repository |
//! | an image | cosign 3 | bundles among its referrers, also by fallback tag |
//!
//! One valid signature by one of the keys is enough. An image is signed where its manifest is, or
//! the index that led to the manifest: both were fetched by digest, and so was the layer with the
//! module. Module sections also count inside of images.
//!
//! What a key proves: that its owner signed these bytes, at any time. Proof from a transparency
//! log is not asked for, since checking it takes the log's keys, which a bare public key does not
//! bring. Signatures with a certificate (keyless ones, Notation's) cannot be checked with a key, and
//! are refused by name where that can be told.
//!
//! No cryptography here: the RustCrypto crates compute, this part decides what is computed over
//! what. The pitfalls are in the modules: [`keys`] on algorithm confusion, [`embedded`] on
//! modules that grow, [`statement`] on statements that are no signatures, [`verified`] on caching.

mod bundle;
mod embedded;
mod evidence;
mod hostile;
mod keys;
mod nearby;
mod pem;
mod reason;
mod search;
pub mod sign;
mod simple;
mod statement;
mod verified;

#[cfg(test)]
mod tests;

pub use evidence::{Evidence, Subject};
pub use hostile::read_anything;
pub use keys::{Key, KeyError, Keys, MAX_KEY_BYTES};
pub use nearby::{Nearby, Surroundings};
pub use pem::PemError;
pub use reason::{Attempt, Reason, Refused};
pub use search::MAX_EVIDENCE_BYTES;
pub use verified::{Signature, Verification, Verified, Verifier};
