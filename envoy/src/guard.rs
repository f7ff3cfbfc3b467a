//! Keeps panics inside: one that reached Envoy would end it, with every stream that it serves.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

use wasmplugin_host::telemetry::{Level, Log as _};

use crate::log::{self, EnvoyLog};

/// Runs the body of the hook `name`; a panic is logged and becomes `fallback`.
pub(crate) fn guard<T>(name: &str, fallback: T, body: impl FnOnce() -> T) -> T {
    log::enter();
    match catch_unwind(AssertUnwindSafe(body)) {
        Ok(value) => value,
        Err(panic) => {
            // Nor may what tells of it.
            let _told = catch_unwind(AssertUnwindSafe(|| tell(name, panic.as_ref())));
            // Dropping a panic's payload may panic.
            std::mem::forget(panic);
            fallback
        }
    }
}

#[cold]
fn tell(name: &str, panic: &(dyn Any + Send)) {
    let text = panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("no message");
    let line = format!("bug in wasmplugin: panic in {name}: {text}");
    EnvoyLog.write(Level::Critical, line.as_bytes());
}
