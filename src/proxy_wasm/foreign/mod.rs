//! The functions behind `proxy_call_foreign_function`: those that Envoy registers.
//!
//! Each takes bytes and answers with a status and bytes, which the guest gets even where the status
//! is an error. They act on the stream of the effective context, but for expressions, which read
//! that of the running callback, as in Envoy.
//!
//! The guest's deadline does not interrupt the host, so each function is bounded by what it takes.

mod declare;
mod expression;
mod filter_state;
mod keys;
mod signature;
mod zlib;

use super::memory::{self, Guest};
use super::property::Declared;
use super::status::Status;
use expression::Expressions;

/// The longest argument, in bytes; a longer one is a bad argument. As much as `uncompress` yields:
/// compressing and hashing this much takes a few tenths of a second.
pub(super) const MAX_ARGUMENT: usize = zlib::MAX_UNCOMPRESSED;

/// What an instance has declared and created.
#[derive(Debug, Default)]
pub(super) struct Foreign {
    pub(super) declared: Declared,
    expressions: Expressions,
}

/// How a function ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) status: Status,
    pub(super) result: Vec<u8>,
}

impl Outcome {
    fn ok(result: Vec<u8>) -> Self {
        Self {
            status: Status::Ok,
            result,
        }
    }
}

impl From<Status> for Outcome {
    fn from(status: Status) -> Self {
        Self {
            status,
            result: Vec::new(),
        }
    }
}

/// A function.
pub(super) type Function = fn(&mut Guest<'_>, &[u8]) -> Outcome;

/// The names that Envoy 1.40 knows, each with what it does.
pub(super) const FUNCTIONS: &[(&str, Function)] = &[
    ("clear_route_cache", clear_route_cache),
    ("compress", |guest, argument| {
        zlib::compress(argument, || guest.data().is_late())
    }),
    ("declare_property", declare::declare_property),
    ("expr_create", expression::create),
    ("expr_delete", expression::delete),
    ("expr_evaluate", expression::evaluate),
    ("set_envoy_filter_state", filter_state::set),
    ("sign", |_, argument| signature::sign(argument)),
    ("uncompress", |guest, argument| {
        zlib::uncompress(argument, || guest.data().is_late())
    }),
    ("verify_signature", |_, argument| {
        signature::verify(argument)
    }),
];

/// Their names.
pub fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name)
}

/// The function `name`, if there is one.
pub(super) fn find(name: &[u8]) -> Option<Function> {
    let found = FUNCTIONS.iter().find(|(known, _)| known.as_bytes() == name);
    found.map(|(_, function)| *function)
}

/// Has the route picked anew; without a stream there is nothing to do.
fn clear_route_cache(guest: &mut Guest<'_>, _: &[u8]) -> Outcome {
    memory::with_exchange(guest, |exchange, _| {
        if let Some(exchange) = exchange {
            exchange.clear_route();
        }
    });
    Status::Ok.into()
}

#[cfg(test)]
mod tests;
