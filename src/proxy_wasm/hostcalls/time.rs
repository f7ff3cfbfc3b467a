//! `proxy_get_current_time_nanoseconds`.

use std::time::{SystemTime, UNIX_EPOCH};

use crate::proxy_wasm::memory::{self, Guest};
use crate::proxy_wasm::status::Hostcall;

pub(in crate::proxy_wasm) fn get_current_time(guest: &mut Guest<'_>, out: u32) -> Hostcall {
    memory::write_u64(guest, out, wall_clock())
}

/// Nanoseconds since 1970.
pub(super) fn wall_clock() -> u64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
}
