//! A route's `typed_per_filter_config`.

use std::sync::Arc;

use wasmplugin_host::control::Process;
use wasmplugin_host::plugin::route;

use crate::abi::*;
use crate::config::{error, process};
use crate::start;

/// What a route says about plugins.
#[derive(Debug)]
pub(crate) struct Route {
    number: u64,
    process: Arc<Process>,
}

impl Route {
    /// Reads what a route says. None if it is refused; the log says why.
    pub(crate) fn new(settings: &[u8]) -> Option<Self> {
        let process = process()?;
        match route::per_filter_config(settings) {
            Ok(changes) => {
                let number = process.add_route(changes);
                start::hold_update(process);
                Some(Self {
                    number,
                    process: Arc::clone(process),
                })
            }
            Err(problems) => {
                for problem in problems.0 {
                    error(&format!("configuration refused: {problem}"));
                }
                None
            }
        }
    }

    /// The number of what the route of `stream` says; 0 where it says nothing.
    ///
    /// # Safety
    ///
    /// In a hook of `stream`.
    pub(crate) unsafe fn number_of(stream: FilterEnvoyPtr) -> u64 {
        // SAFETY: the caller's word.
        let route = unsafe { envoy_dynamic_module_callback_get_most_specific_route_config(stream) };
        // SAFETY: null, or what `per_route_config_new` returned, which lives as long as the stream
        // holds the route.
        unsafe { route.cast::<Self>().as_ref() }.map_or(0, |route| route.number)
    }
}

impl Drop for Route {
    fn drop(&mut self) {
        self.process.remove_route(self.number);
    }
}
