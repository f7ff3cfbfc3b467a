//! placeholder
use super::Outcome;
use crate::proxy_wasm::memory::Guest;
use crate::proxy_wasm::status::Status;
#[derive(Debug, Default)]
pub(super) struct Expressions;
pub(super) fn create(_: &mut Guest<'_>, _: &[u8]) -> Outcome { Status::InternalFailure.into() }
pub(super) fn evaluate(_: &mut Guest<'_>, _: &[u8]) -> Outcome { Status::InternalFailure.into() }
pub(super) fn delete(_: &mut Guest<'_>, _: &[u8]) -> Outcome { Status::InternalFailure.into() }
