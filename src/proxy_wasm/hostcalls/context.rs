//! `proxy_set_effective_context`, `proxy_done`, `proxy_get_status`, and what ABI 0.1.0 has as
//! `proxy_get_configuration`.

use crate::proxy_wasm::memory::{self, Guest};
use crate::proxy_wasm::status::{Hostcall, Status};

pub(in crate::proxy_wasm) fn set_effective_context(guest: &mut Guest<'_>, id: u32) -> Hostcall {
    let state = guest.data_mut();
    state.effective = match id {
        0 => state.current,
        id if id == state.root || state.streams.contains(&id) => id,
        _ => return Err(Status::BadArgument.into()),
    };
    Ok(())
}

/// No root context waits to be finished: they go with their instance.
pub(in crate::proxy_wasm) fn done(_guest: &mut Guest<'_>) -> Hostcall {
    Err(Status::NotFound.into())
}

/// The status of the last callout; there was none yet.
pub(in crate::proxy_wasm) fn get_status(
    guest: &mut Guest<'_>,
    out_code: u32,
    out_ptr: u32,
    out_len: u32,
) -> Hostcall {
    memory::write_u32(guest, out_code, 0)?;
    memory::give(guest, &[], out_ptr, out_len)
}

/// ABI 0.1.0: the plugin configuration while it is being configured, else the VM's.
pub(in crate::proxy_wasm) fn get_configuration(
    guest: &mut Guest<'_>,
    out_ptr: u32,
    out_len: u32,
) -> Hostcall {
    let plugin = std::sync::Arc::clone(&guest.data().plugin);
    let configuration = if guest.data().configuring {
        &plugin.config
    } else {
        &plugin.vm_config
    };
    memory::give(guest, configuration, out_ptr, out_len)
}
