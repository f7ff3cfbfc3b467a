//! What resources have no field for: annotations under `wasmplugin.io/`.
//!
//! Values are strings, as Kubernetes demands of annotations. Annotations of others pass.

use super::decode::{Field, hint};
use super::fields::{ANNOTATIONS, PREFIX};
use super::report::Report;
use super::shape::Choices;
use super::spec::LogLevel;
use std::collections::BTreeSet;
use std::time::Duration;

pub(super) static LOG_LEVELS: Choices<LogLevel> = Choices(&[
    ("trace", LogLevel::Trace),
    ("debug", LogLevel::Debug),
    ("info", LogLevel::Info),
    ("warn", LogLevel::Warn),
    ("error", LogLevel::Error),
    ("critical", LogLevel::Critical),
    ("off", LogLevel::Off),
]);

/// What the annotations of a resource ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) call_deadline: Option<Duration>,
    pub(super) start_deadline: Option<Duration>,
    pub(super) memory: Option<u64>,
    pub(super) fail_status: Option<u16>,
    pub(super) hold_headers: Option<bool>,
    pub(super) log_level: Option<LogLevel>,
    pub(super) capabilities: Option<BTreeSet<String>>,
    pub(super) enabled_by_default: Option<bool>,
    pub(super) refresh_interval: Option<Duration>,
    pub(super) verification_key_file: Option<String>,
    pub(super) raw_plugin_config: Option<String>,
    pub(super) vm_config: Option<String>,
    pub(super) vm_id: Option<String>,
}

/// Reads `metadata.annotations`.
pub(super) fn decode(annotations: &Field<'_>, report: &mut Report) -> Extensions {
    let mut extensions = Extensions::default();
    for (entry, field) in annotations.entries(report).unwrap_or_default() {
        let is_text = field.text(report).is_some();
        let Some(key) = entry.name.strip_prefix(PREFIX) else {
            continue;
        };
        match ANNOTATIONS.field(key) {
            Some(shape) if is_text => extensions.set(key, &field.as_kind(&shape.kind), report),
            Some(_) => {}
            None => {
                let hint = hint(key, &ANNOTATIONS.names());
                let message = format!("unknown key {key:?} under {PREFIX}{hint}");
                report.place("metadata.annotations", entry.mark, message);
            }
        }
    }
    extensions
}

impl Extensions {
    /// Takes over the annotation `key`.
    fn set(&mut self, key: &str, field: &Field<'_>, report: &mut Report) {
        let text = |report: &mut Report| field.text(report).map(str::to_owned);
        match key {
            "call-deadline" => self.call_deadline = field.duration(report),
            "start-deadline" => self.start_deadline = field.duration(report),
            "memory-limit" => self.memory = field.size(report),
            "fail-status" => self.fail_status = field.int(report),
            "hold-headers" => self.hold_headers = field.boolean(report),
            "log-level" => self.log_level = field.choice(&LOG_LEVELS, report),
            "capabilities" => self.capabilities = field.text(report).map(names),
            "enabled-by-default" => self.enabled_by_default = field.boolean(report),
            "refresh-interval" => self.refresh_interval = field.duration(report),
            "verification-key-file" => self.verification_key_file = text(report),
            "raw-plugin-config" => self.raw_plugin_config = text(report),
            "vm-config" => self.vm_config = text(report),
            "vm-id" => self.vm_id = text(report),
            _ => debug_assert!(key.is_empty(), "{key} is not read"),
        }
    }
}

/// Names with commas between them.
fn names(text: &str) -> BTreeSet<String> {
    let names = text.split(',').map(str::trim);
    let names = names.filter(|name| !name.is_empty());
    names.map(str::to_owned).collect()
}
