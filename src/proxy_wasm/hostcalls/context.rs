//! `proxy_set_effective_context`, `proxy_done`, `proxy_get_status`, and what ABI 0.1.0 has as
//! `proxy_get_configuration`.

use crate::proxy_wasm::memory::{self, Guest};
use crate::proxy_wasm::status::{Hostcall, Status};

pub(in crate::proxy_wasm) fn set_effective_context(guest: &mut Guest<'_>, id: u32) -> Hostcall {
    let state = guest.data_mut();
    state.effective = match id {
        0 => state.current,
        id if id == state.root || state.streams.contains_key(&id) => id,
        _ => return Err(Status::BadArgument.into()),
    };
    Ok(())
}

/// Ends the wait of a root context that `proxy_on_done` put off.
pub(in crate::proxy_wasm) fn done(guest: &mut Guest<'_>) -> Hostcall {
    if std::mem::take(&mut guest.data_mut().finishing) {
        Ok(())
    } else {
        Err(Status::NotFound.into())
    }
}

/// The status of the last callout.
pub(in crate::proxy_wasm) fn get_status(
    guest: &mut Guest<'_>,
    out_code: u32,
    out_ptr: u32,
    out_len: u32,
) -> Hostcall {
    let status = &guest.data().status;
    let (code, message) = (status.code, status.message.clone());
    memory::write_u32(guest, out_code, code)?;
    memory::give(guest, &message, out_ptr, out_len)
}

/// Has `proxy_on_tick` called every so many milliseconds; 0 for never. Also from a stream it is
/// the root context's tick.
pub(in crate::proxy_wasm) fn set_tick_period(guest: &mut Guest<'_>, period: u32) -> Hostcall {
    guest.data_mut().outbox.tick = Some(period);
    Ok(())
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
