//! `proxy_call_foreign_function`.

use crate::proxy_wasm::foreign;
use crate::proxy_wasm::memory::{self, Guest, Range};
use crate::proxy_wasm::status::{HostError, Hostcall, Status};

/// An unknown function leaves the out parameters alone; a known one writes them even if it fails.
/// Either of them may be null: the guest does not want the result, or not its size.
pub(in crate::proxy_wasm) fn call(
    guest: &mut Guest<'_>,
    name_ptr: u32,
    name_len: u32,
    argument_ptr: u32,
    argument_len: u32,
    out_ptr: u32,
    out_len: u32,
) -> Hostcall {
    let name = Range::check(guest, name_ptr, name_len)?;
    let argument = Range::check(guest, argument_ptr, argument_len)?;
    let function = foreign::find(name.of(memory::bytes(guest))?).ok_or(Status::NotFound)?;
    let outcome = if argument_len as usize > foreign::MAX_ARGUMENT {
        Status::BadArgument.into()
    } else {
        // Copied: functions need the guest while they read it.
        let argument = argument.of(memory::bytes(guest))?.to_vec();
        function(guest, &argument)
    };
    if out_ptr != 0 {
        let ptr = memory::place(guest, &outcome.result)?;
        memory::write_u32(guest, out_ptr, ptr)?;
    }
    if out_len != 0 {
        let len = u32::try_from(outcome.result.len()).map_err(|_| Status::InternalFailure)?;
        memory::write_u32(guest, out_len, len)?;
    }
    match outcome.status {
        Status::Ok => Ok(()),
        status => Err(HostError::Status(status)),
    }
}
