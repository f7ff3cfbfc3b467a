//! `proxy_log`, `proxy_get_log_level`.

use crate::proxy_wasm::limits::MAX_LINE;
use crate::proxy_wasm::memory::{self, Guest, Range};
use crate::proxy_wasm::status::{Hostcall, Status};
use crate::telemetry::Level;

/// What `proxy_get_log_level` says when the log is off.
const OFF: u32 = 6;

pub(in crate::proxy_wasm) fn log(
    guest: &mut Guest<'_>,
    level: u32,
    ptr: u32,
    len: u32,
) -> Hostcall {
    let level = Level::from_number(level).ok_or(Status::BadArgument)?;
    let range = Range::check(guest, ptr, len)?;
    if len as usize > MAX_LINE {
        return Err(Status::InternalFailure.into());
    }
    let (memory, state) = memory::split(guest);
    state.log(level, range.of(memory)?);
    Ok(())
}

pub(in crate::proxy_wasm) fn get_log_level(guest: &mut Guest<'_>, out: u32) -> Hostcall {
    let level = match guest.data().plugin.log.threshold() {
        Some(level) => level as u32,
        None => OFF,
    };
    memory::write_u32(guest, out, level)
}
