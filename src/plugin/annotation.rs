//! What `WasmPlugin` has no field for: annotations under `wasmplugin.io/`.
//!
//! Values are strings, as Kubernetes demands of annotations. Annotations of others pass.

use super::decode::{Field, hint};
use super::defaults;
use super::report::Report;
use super::spec::LogLevel;
use super::units;
use std::collections::BTreeSet;
use std::time::Duration;

/// What our annotations begin with.
const PREFIX: &str = "wasmplugin.io/";

/// The annotations there are.
const KEYS: [&str; 13] = [
    "call-deadline",
    "start-deadline",
    "memory-limit",
    "fail-status",
    "hold-headers",
    "log-level",
    "capabilities",
    "enabled-by-default",
    "refresh-interval",
    "verification-key-file",
    "raw-plugin-config",
    "vm-config",
    "vm-id",
];

const LOG_LEVELS: [(&str, LogLevel); 7] = [
    ("trace", LogLevel::Trace),
    ("debug", LogLevel::Debug),
    ("info", LogLevel::Info),
    ("warn", LogLevel::Warn),
    ("error", LogLevel::Error),
    ("critical", LogLevel::Critical),
    ("off", LogLevel::Off),
];

/// What the annotations of a resource ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) call_deadline: Option<Duration>,
    pub(super) start_deadline: Option<Duration>,
    pub(super) memory: Option<u64>,
    pub(super) fail_status: Option<u16>,
    pub(super) hold_headers: bool,
    pub(super) log_level: Option<LogLevel>,
    pub(super) capabilities: Option<BTreeSet<String>>,
    pub(super) enabled_by_default: Option<bool>,
    pub(super) refresh_interval: Option<Duration>,
    pub(super) verification_key_file: Option<String>,
    pub(super) raw_plugin_config: Option<String>,
    pub(super) vm_config: String,
    pub(super) vm_id: String,
}

/// Reads `metadata.annotations`.
pub(super) fn decode(annotations: &Field<'_>, report: &mut Report) -> Extensions {
    let mut extensions = Extensions::default();
    for (entry, field) in annotations.entries(report) {
        let Some(text) = field.text(report) else {
            continue;
        };
        let Some(key) = entry.name.strip_prefix(PREFIX) else {
            continue;
        };
        match extensions.set(key, text) {
            Some(Ok(())) => {}
            Some(Err(message)) => field.refuse(report, message),
            None => {
                let hint = hint(key, &KEYS);
                let message = format!("unknown key {key:?} under {PREFIX}{hint}");
                report.place("metadata.annotations", entry.mark, message);
            }
        }
    }
    extensions
}

impl Extensions {
    /// Takes over the annotation `key`; none if there is no such.
    fn set(&mut self, key: &str, text: &str) -> Option<Result<(), String>> {
        Some(match key {
            "call-deadline" => take(&mut self.call_deadline, deadline(text)),
            "start-deadline" => take(&mut self.start_deadline, deadline(text)),
            "memory-limit" => take(&mut self.memory, memory(text)),
            "fail-status" => take(&mut self.fail_status, status(text)),
            "hold-headers" => boolean(text).map(|value| self.hold_headers = value),
            "log-level" => take(&mut self.log_level, level(text)),
            "capabilities" => take(&mut self.capabilities, capabilities(text)),
            "enabled-by-default" => take(&mut self.enabled_by_default, boolean(text)),
            "refresh-interval" => take(&mut self.refresh_interval, interval(text)),
            "verification-key-file" => take(&mut self.verification_key_file, path(text)),
            "raw-plugin-config" => take(&mut self.raw_plugin_config, Ok(text.to_owned())),
            "vm-config" => {
                text.clone_into(&mut self.vm_config);
                Ok(())
            }
            "vm-id" => {
                text.clone_into(&mut self.vm_id);
                Ok(())
            }
            _ => return None,
        })
    }
}

fn take<T>(target: &mut Option<T>, value: Result<T, String>) -> Result<(), String> {
    *target = Some(value?);
    Ok(())
}

fn deadline(text: &str) -> Result<Duration, String> {
    let deadline = units::duration(text)?;
    let (least, most) = (defaults::DEADLINES.start(), defaults::DEADLINES.end());
    if defaults::DEADLINES.contains(&deadline) {
        Ok(deadline)
    } else {
        Err(format!("must lie in {least:?} to {most:?}"))
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = units::duration(text)?;
    let (least, most) = (defaults::REFRESHES.start(), defaults::REFRESHES.end());
    if defaults::REFRESHES.contains(&interval) {
        Ok(interval)
    } else {
        Err(format!("must lie in {least:?} to {most:?}"))
    }
}

fn level(text: &str) -> Result<LogLevel, String> {
    let found = LOG_LEVELS.iter().find(|(name, _)| *name == text);
    found.map(|(_, level)| *level).ok_or_else(|| {
        let names = LOG_LEVELS.map(|(name, _)| name);
        format!("must be one of {}", names.join(", "))
    })
}

/// Names of functions, by their shape only: which there are is for the one who links them.
fn capabilities(text: &str) -> Result<BTreeSet<String>, String> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let mut names = BTreeSet::new();
    for name in text
        .split(',')
        .map(str::trim)
        .filter(|name| !name.is_empty())
    {
        if !name.chars().all(legal) {
            return Err(format!(
                "not the name of a host function: {name:?}; write names such as proxy_log, \
                 with commas between them"
            ));
        }
        names.insert(name.to_owned());
    }
    Ok(names)
}

fn path(text: &str) -> Result<String, String> {
    if text.starts_with('/') {
        Ok(text.to_owned())
    } else {
        Err("must be an absolute path".to_owned())
    }
}

fn memory(text: &str) -> Result<u64, String> {
    let size = units::size(text)?;
    let (least, most) = (defaults::MEMORIES.start(), defaults::MEMORIES.end());
    if defaults::MEMORIES.contains(&size) {
        Ok(size)
    } else {
        Err(format!("must lie in {least} to {most} bytes"))
    }
}

fn status(text: &str) -> Result<u16, String> {
    let digits = text.len() == 3 && text.bytes().all(|b| b.is_ascii_digit());
    match text.parse() {
        Ok(status) if digits && defaults::STATUSES.contains(&status) => Ok(status),
        _ => {
            let (least, most) = (defaults::STATUSES.start(), defaults::STATUSES.end());
            Err(format!("must be an HTTP status, {least} to {most}"))
        }
    }
}

fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| "must be true or false".to_owned())
}
