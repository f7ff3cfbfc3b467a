//! `proxy_get_shared_data`, `proxy_set_shared_data`.

use crate::proxy_wasm::memory::{self, Guest, Range};
use crate::proxy_wasm::shared_data::Refused;
use crate::proxy_wasm::status::{Hostcall, Status};

pub(in crate::proxy_wasm) fn get(
    guest: &mut Guest<'_>,
    key_ptr: u32,
    key_len: u32,
    out_ptr: u32,
    out_len: u32,
    out_cas: u32,
) -> Hostcall {
    let key = Range::check(guest, key_ptr, key_len)?;
    let key = key.of(memory::bytes(guest))?;
    let value = guest.data().plugin.shared_data.get(key);
    let value = value.ok_or(Status::NotFound)?;
    memory::give(guest, &value.bytes, out_ptr, out_len)?;
    memory::write_u32(guest, out_cas, value.cas)
}

pub(in crate::proxy_wasm) fn set(
    guest: &mut Guest<'_>,
    key_ptr: u32,
    key_len: u32,
    value_ptr: u32,
    value_len: u32,
    cas: u32,
) -> Hostcall {
    let key = Range::check(guest, key_ptr, key_len)?;
    let value = Range::check(guest, value_ptr, value_len)?;
    let memory = memory::bytes(guest);
    let (key, value) = (key.of(memory)?, value.of(memory)?);
    let plugin = &guest.data().plugin;
    let limit = plugin.limits.shared_data;
    match plugin.shared_data.set(key, value, cas, limit) {
        Ok(()) => Ok(()),
        Err(Refused::CasMismatch) => Err(Status::CasMismatch.into()),
        Err(Refused::Full) => Err(Status::InternalFailure.into()),
    }
}
