//! Shared queues.

use std::sync::Arc;

use crate::proxy_wasm::memory::{self, Guest, Range};
use crate::proxy_wasm::queue::Refused;
use crate::proxy_wasm::status::{HostError, Hostcall, Status};

impl From<Refused> for HostError {
    fn from(refused: Refused) -> Self {
        Self::Status(match refused {
            Refused::NoQueue => Status::NotFound,
            Refused::Empty => Status::Empty,
            Refused::Full => Status::InternalFailure,
        })
    }
}

pub(in crate::proxy_wasm) fn register(
    guest: &mut Guest<'_>,
    name_ptr: u32,
    name_len: u32,
    out: u32,
) -> Hostcall {
    let name = Range::check(guest, name_ptr, name_len)?;
    let name = name.of(memory::bytes(guest))?;
    let state = guest.data();
    let plugin = &state.plugin;
    let token = plugin
        .shared_queues
        .register(&plugin.vm_id, name, state.address)?;
    memory::write_u32(guest, out, token)
}

pub(in crate::proxy_wasm) fn resolve(
    guest: &mut Guest<'_>,
    vm_id_ptr: u32,
    vm_id_len: u32,
    name_ptr: u32,
    name_len: u32,
    out: u32,
) -> Hostcall {
    let vm_id = Range::check(guest, vm_id_ptr, vm_id_len)?;
    let name = Range::check(guest, name_ptr, name_len)?;
    let memory = memory::bytes(guest);
    let (vm_id, name) = (vm_id.of(memory)?, name.of(memory)?);
    let plugin = &guest.data().plugin;
    let vm_id = match std::str::from_utf8(vm_id) {
        Ok("") => &plugin.vm_id,
        Ok(vm_id) => vm_id,
        Err(_) => return Err(Status::NotFound.into()),
    };
    let token = plugin.shared_queues.resolve(vm_id, name);
    let token = token.ok_or(Status::NotFound)?;
    memory::write_u32(guest, out, token)
}

pub(in crate::proxy_wasm) fn enqueue(
    guest: &mut Guest<'_>,
    token: u32,
    item_ptr: u32,
    item_len: u32,
) -> Hostcall {
    let item = Range::check(guest, item_ptr, item_len)?;
    let item = item.of(memory::bytes(guest))?;
    let plugin = &guest.data().plugin;
    let limit = plugin.limits.shared_data;
    let (listener, notice) = plugin.shared_queues.enqueue(token, item, limit)?;
    guest
        .data_mut()
        .outbox
        .ready
        .push((listener, token, notice));
    Ok(())
}

pub(in crate::proxy_wasm) fn dequeue(
    guest: &mut Guest<'_>,
    token: u32,
    out_ptr: u32,
    out_len: u32,
) -> Hostcall {
    let queues = Arc::clone(&guest.data().plugin.shared_queues);
    let item = queues.dequeue(token)?;
    memory::give(guest, &item, out_ptr, out_len)
}
