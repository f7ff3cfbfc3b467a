//! Envoy's logger for modules, `dynamic_modules`.

use wasmplugin_host::telemetry::{Level, Log};

use crate::abi::{
    ModuleBuffer, envoy_dynamic_module_callback_log, envoy_dynamic_module_callback_log_enabled,
};
use crate::lookup::Callbacks;

/// Writes to Envoy's log. Envoy numbers levels as we do.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnvoyLog;

impl Log for EnvoyLog {
    fn enabled(&self, level: Level) -> bool {
        // SAFETY: takes a number, any thread.
        unsafe { envoy_dynamic_module_callback_log_enabled(level as u32) }
    }

    fn threshold(&self) -> Option<Level> {
        if let Some(get) = Callbacks::get().get_log_level {
            // SAFETY: takes nothing, any thread.
            return Level::from_number(unsafe { get() });
        }
        let all = (0..).map_while(Level::from_number);
        all.into_iter().find(|level| self.enabled(*level))
    }

    fn write(&self, level: Level, line: &[u8]) {
        // SAFETY: Envoy copies the line before it returns; any thread.
        unsafe { envoy_dynamic_module_callback_log(level as u32, ModuleBuffer::new(line)) };
    }
}
