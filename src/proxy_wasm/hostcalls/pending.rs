//! Host functions that are still to come: they link, so that a plugin that has them but does not
//! need them runs, and answer `Unimplemented`. Each is told once per plugin.

use crate::proxy_wasm::abi::Parameter::{self, I32};
use crate::proxy_wasm::memory::Guest;
use crate::proxy_wasm::status::Status;
use crate::telemetry::Level;

/// Name and parameters; all return a status.
pub(in crate::proxy_wasm) const PENDING: &[(&str, &[Parameter])] = &[];

pub(in crate::proxy_wasm) fn unimplemented(guest: &mut Guest<'_>, name: &'static str) -> Status {
    let state = guest.data_mut();
    if state.plugin.first_use(name) {
        let line = format!(
            "plugin {}: host function {name} is not there yet; it answers Unimplemented",
            state.plugin.name
        );
        state.plugin.log.write(Level::Warn, line.as_bytes());
    }
    Status::Unimplemented
}
