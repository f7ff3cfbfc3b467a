//! `declare_property`: what a property that plugins set is made after.
//!
//! Declarations count on the root context, where `proxy_set_property` looks them up.

use super::Outcome;
use crate::proxy_wasm::host::Span;
use crate::proxy_wasm::memory::Guest;
use crate::proxy_wasm::message::{self, Field, Malformed};
use crate::proxy_wasm::property::{Form, Prototype};
use crate::proxy_wasm::status::Status;

/// `{name 1, readonly 2, type 3, schema 4, span 5}`; the schema has no use without its fields.
pub(super) fn declare_property(guest: &mut Guest<'_>, argument: &[u8]) -> Outcome {
    let Ok((name, prototype)) = read(argument) else {
        return Status::BadArgument.into();
    };
    let state = guest.data_mut();
    let (root, streams) = (state.root, &state.streams);
    let is_alive = |context| context == root || streams.contains_key(&context);
    let declared = &mut state.foreign.declared;
    if declared.add(state.effective, name.as_bytes(), prototype, is_alive) {
        Status::Ok.into()
    } else {
        Status::BadArgument.into()
    }
}

fn read(argument: &[u8]) -> Result<(&str, Prototype), Malformed> {
    let mut name = "";
    let mut prototype = Prototype::default();
    message::read(argument, |number, field| {
        match (number, field) {
            (1, Field::Bytes(text)) => name = message::text(text)?,
            (2, Field::Varint(flag)) => prototype.is_readonly = flag != 0,
            (3, Field::Varint(form)) => {
                prototype.form = match form {
                    1 => Form::Text,
                    _ => Form::Bytes,
                }
            }
            (5, Field::Varint(number)) => prototype.span = span(number),
            _ => {}
        }
        Ok(())
    })?;
    Ok((name, prototype))
}

/// A life span by its number; unknown ones are the first, as in Envoy.
pub(super) const fn span(number: u64) -> Span {
    match number {
        1 => Span::Request,
        2 => Span::Connection,
        _ => Span::FilterChain,
    }
}
