//! `proxy_get_property`, `proxy_set_property`.
//!
//! A path is names with a NUL between them, and one at the end is tolerated. To be set, a path is
//! one name with everything in it: one of several names can be set and never read, as in Envoy.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::proxy_wasm::memory::{self, Guest, Range};
use crate::proxy_wasm::property::{self, NoWireForm};
use crate::proxy_wasm::status::{HostError, Hostcall, Status};

/// Components of a path that are kept without allocation; attributes have no more.
const COMPONENTS: usize = 4;

/// The longest path that is looked at, in bytes: longer than any attribute, short enough to copy.
const MAX_PATH: usize = 1024;

impl From<NoWireForm> for HostError {
    fn from(_: NoWireForm) -> Self {
        Self::Status(Status::SerializationFailure)
    }
}

pub(in crate::proxy_wasm) fn get(
    guest: &mut Guest<'_>,
    path_ptr: u32,
    path_len: u32,
    out_ptr: u32,
    out_len: u32,
) -> Hostcall {
    let range = Range::check(guest, path_ptr, path_len)?;
    let path = range.of(memory::bytes(guest))?;
    if path.len() > MAX_PATH {
        return Err(Status::NotFound.into());
    }
    // Copied: the guest's allocator runs before the value is written.
    let path: SmallVec<[u8; 64]> = path.into();
    if path.is_empty() {
        return Err(Status::SerializationFailure.into());
    }
    let path = path.strip_suffix(&[0]).unwrap_or(&path);
    let parts: SmallVec<[&[u8]; COMPONENTS]> = path.split(|b| *b == 0).collect();
    let plugin = Arc::clone(&guest.data().plugin);
    if let Some(value) = property::of_plugin(&plugin, &parts) {
        return memory::give(guest, value, out_ptr, out_len);
    }
    if let Some(value) = property::of_envoy(&parts) {
        return value?.with_wire_form(|bytes| memory::give(guest, bytes, out_ptr, out_len))?;
    }
    memory::with_exchange(guest, |exchange, guest| {
        let Some(exchange) = exchange else {
            // On root contexts, Envoy has the node there.
            return Err(match parts.as_slice() {
                [b"xds"] => Status::SerializationFailure.into(),
                _ => Status::NotFound.into(),
            });
        };
        property::refresh(exchange, &parts);
        let value = property::of_stream(exchange, &parts)?;
        value.with_wire_form(|bytes| memory::give(guest, bytes, out_ptr, out_len))?
    })
}

pub(in crate::proxy_wasm) fn set(
    guest: &mut Guest<'_>,
    path_ptr: u32,
    path_len: u32,
    value_ptr: u32,
    value_len: u32,
) -> Hostcall {
    let path = Range::check(guest, path_ptr, path_len)?;
    let value = Range::check(guest, value_ptr, value_len)?;
    memory::with_exchange(guest, |exchange, guest| {
        let exchange = exchange.ok_or(Status::NotFound)?;
        let memory = memory::bytes(guest);
        let (path, value) = (path.of(memory)?, value.of(memory)?);
        let state = guest.data();
        let prototype = state.foreign.declared.get(state.root, path);
        property::set(exchange, path, value, prototype)
    })
}
