//! Properties that plugins set, in the stream's filter state.
//!
//! Envoy keeps them in objects of a kind of its own, made after a prototype that the plugin
//! declared. Ours are plain strings with the same names, so that filters of Envoy's Wasm kind,
//! access logs and others find them. What a plain string does not know (whether it may be set
//! again, how long it lives, what expressions take it for) is remembered beside the stream, for all
//! plugins of the chain; other chains of the same stream do not know it.

use std::collections::HashMap;

use smallvec::SmallVec;

use super::{PREFIX, Value};
use crate::proxy_wasm::exchange::Exchange;
use crate::proxy_wasm::host::Span;
use crate::proxy_wasm::limits::{MAX_NAME, MAX_PROPERTIES, MAX_PROPERTY};
use crate::proxy_wasm::status::{Hostcall, Status};

/// Declared properties of one context. Declarations are made while a plugin is configured, and
/// name what it has names for; a plugin that declares more is in a loop. Only declared properties
/// can outlive their stream.
const MAX_DECLARED: usize = 256;

/// What a property is made after.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy_wasm) struct Prototype {
    /// Once set, it stays as it is.
    pub(in crate::proxy_wasm) is_readonly: bool,
    pub(in crate::proxy_wasm) span: Span,
    pub(in crate::proxy_wasm) form: Form,
}

/// What expressions take a property for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::proxy_wasm) enum Form {
    /// Also messages, whose fields we do not know.
    #[default]
    Bytes,
    Text,
}

/// The declarations of an instance, by context and name.
#[derive(Debug, Default)]
pub(in crate::proxy_wasm) struct Declared(HashMap<u32, HashMap<Vec<u8>, Prototype>>);

impl Declared {
    /// Declares a property on a context. False if it is declared there already.
    pub(in crate::proxy_wasm) fn add(
        &mut self,
        context: u32,
        name: &[u8],
        prototype: Prototype,
        is_alive: impl Fn(u32) -> bool,
    ) -> bool {
        // What streams declare is good for nothing but this answer; it goes when they have gone.
        if !self.0.contains_key(&context) {
            self.0.retain(|context, _| is_alive(*context));
        }
        let names = self.0.entry(context).or_default();
        if names.contains_key(name) || names.len() >= MAX_DECLARED || name.len() > MAX_NAME {
            return false;
        }
        names.insert(name.to_vec(), prototype);
        true
    }

    /// The prototype of a property.
    pub(in crate::proxy_wasm) fn get(&self, context: u32, name: &[u8]) -> Prototype {
        let names = self.0.get(&context);
        names
            .and_then(|names| names.get(name))
            .copied()
            .unwrap_or_default()
    }
}

/// The prototypes of the properties that plugins of the chain have made.
#[derive(Debug, Default)]
pub struct States(Vec<(Box<[u8]>, Prototype)>);

impl States {
    /// Forgets them all.
    pub(in crate::proxy_wasm) fn clear(&mut self) {
        self.0.clear();
    }

    fn get(&self, name: &[u8]) -> Option<Prototype> {
        let found = self.0.iter().find(|(known, _)| **known == *name);
        found.map(|(_, prototype)| *prototype)
    }
}

/// Sets the property `path`, which is one name, whatever is in it.
pub(in crate::proxy_wasm) fn set(
    exchange: &mut Exchange,
    path: &[u8],
    value: &[u8],
    declared: Prototype,
) -> Hostcall {
    let name = name(path);
    let present = exchange.host().filter_state(&name).map(|value| value.len());
    let known = exchange.states.get(path);
    if known.is_some_and(|known| known.is_readonly) {
        return Err(Status::BadArgument.into());
    }
    let size = |value: usize| value.saturating_add(name.len());
    let properties = exchange
        .properties
        .saturating_sub(present.map_or(0, size))
        .saturating_add(size(value.len()));
    if path.len() > MAX_NAME || value.len() > MAX_PROPERTY || properties > MAX_PROPERTIES {
        return Err(Status::InternalFailure.into());
    }
    exchange.properties = properties;
    let prototype = match known {
        Some(known) => known,
        // Somebody else's is as it is.
        None if present.is_some() => Prototype::default(),
        None => {
            // What nobody declared needs no memory.
            if declared != Prototype::default() {
                exchange.states.0.push((path.into(), declared));
            }
            declared
        }
    };
    if exchange
        .host_mut()
        .set_filter_state(&name, value, prototype.span)
    {
        Ok(())
    } else {
        Err(Status::InternalFailure.into())
    }
}

/// The property of that name.
pub(super) fn property<'a>(exchange: &'a Exchange, path: &[u8]) -> Hostcall<Value<'a>> {
    read(exchange, &name(path), path)
}

/// An object of the filter state. A property is one of those whose name has the prefix.
pub(super) fn object<'a>(exchange: &'a Exchange, name: &[u8]) -> Hostcall<Value<'a>> {
    let property = name.strip_prefix(PREFIX).unwrap_or_default();
    read(exchange, name, property)
}

fn read<'a>(exchange: &'a Exchange, name: &[u8], property: &[u8]) -> Hostcall<Value<'a>> {
    let bytes = exchange.host().filter_state(name).ok_or(Status::NotFound)?;
    let prototype = exchange.states.get(property).unwrap_or_default();
    Ok(match prototype.form {
        Form::Bytes => Value::Bytes(bytes),
        Form::Text => Value::Text(bytes),
    })
}

fn name(path: &[u8]) -> SmallVec<[u8; 64]> {
    let mut name = SmallVec::from_slice(PREFIX);
    name.extend_from_slice(path);
    name
}
