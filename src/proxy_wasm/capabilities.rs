//! What a plugin may do: an allow-list of host functions and callbacks, by name.
//!
//! As Envoy's capability restriction. A host function that is not on the list can be imported and
//! answers with a failure; a callback that is not on it is never called, as if it were not exported.
//! What a module needs to run at all (its allocator, `_initialize`, `_start`, `main`) cannot be
//! taken from it. The names are those of the ABI, WASI's without a module: `proxy_http_call`,
//! `proxy_on_log`, `fd_write`.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::memory::Guest;
use crate::telemetry::Level;

/// What a plugin may call, and what it is called for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Capabilities(Option<Arc<BTreeSet<String>>>);

impl Capabilities {
    /// No restriction.
    pub const ALL: Self = Self(None);

    /// These and no other. Names that nothing has are good for nothing.
    pub fn only(names: impl IntoIterator<Item = String>) -> Self {
        Self(Some(Arc::new(names.into_iter().collect())))
    }

    pub(super) const fn are_all(&self) -> bool {
        self.0.is_none()
    }

    pub(super) fn allow(&self, name: &str) -> bool {
        self.0.as_ref().is_none_or(|names| names.contains(name))
    }
}

/// Tells of a call that is not allowed.
#[cold]
pub(super) fn refuse(guest: &mut Guest<'_>, name: &str) {
    let plugin = &guest.data().plugin;
    if plugin.log.enabled(Level::Error) {
        let line = format!(
            "plugin {}: attempted call to restricted capability {name}",
            plugin.name
        );
        plugin.log.write(Level::Error, line.as_bytes());
    }
}
