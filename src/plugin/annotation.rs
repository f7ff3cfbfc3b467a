//! What `WasmPlugin` has no field for: annotations under `wasmplugin.io/`.
//!
//! Values are strings, as Kubernetes demands of annotations. Annotations of others pass.

use super::decode::{Field, hint, unsupported};
use super::defaults;
use super::report::Report;
use super::units;
use std::time::Duration;

/// What our annotations begin with.
const PREFIX: &str = "wasmplugin.io/";

const CALL_DEADLINE: &str = "call-deadline";
const START_DEADLINE: &str = "start-deadline";
const MEMORY_LIMIT: &str = "memory-limit";
const FAIL_STATUS: &str = "fail-status";
const RAW_PLUGIN_CONFIG: &str = "raw-plugin-config";
const VM_CONFIG: &str = "vm-config";
const VM_ID: &str = "vm-id";
const HOLD_HEADERS: &str = "hold-headers";

/// Annotations of the contract that this version cannot serve.
const LATER: &[&str] = &["log-level", "capabilities", "enabled-by-default"];

/// What the annotations of a resource ask for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Extensions {
    pub(super) call_deadline: Option<Duration>,
    pub(super) start_deadline: Option<Duration>,
    pub(super) memory: Option<u64>,
    pub(super) fail_status: Option<u16>,
    pub(super) raw_plugin_config: Option<String>,
    pub(super) vm_config: String,
    pub(super) vm_id: String,
    pub(super) hold_headers: bool,
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
        let checked = match key {
            CALL_DEADLINE => deadline(text).map(|value| extensions.call_deadline = Some(value)),
            START_DEADLINE => deadline(text).map(|value| extensions.start_deadline = Some(value)),
            MEMORY_LIMIT => memory(text).map(|value| extensions.memory = Some(value)),
            FAIL_STATUS => status(text).map(|value| extensions.fail_status = Some(value)),
            RAW_PLUGIN_CONFIG => {
                extensions.raw_plugin_config = Some(text.to_owned());
                Ok(())
            }
            VM_CONFIG => {
                text.clone_into(&mut extensions.vm_config);
                Ok(())
            }
            VM_ID => {
                text.clone_into(&mut extensions.vm_id);
                Ok(())
            }
            HOLD_HEADERS => boolean(text).map(|value| extensions.hold_headers = value),
            later if LATER.contains(&later) => {
                unsupported(&field.path, entry.mark, &entry.name, report);
                Ok(())
            }
            unknown => {
                let known = [
                    CALL_DEADLINE,
                    START_DEADLINE,
                    MEMORY_LIMIT,
                    FAIL_STATUS,
                    RAW_PLUGIN_CONFIG,
                    VM_CONFIG,
                    VM_ID,
                    HOLD_HEADERS,
                ];
                let known = [&known, LATER].concat();
                let hint = hint(unknown, &known);
                report.place(
                    "metadata.annotations",
                    entry.mark,
                    format!("unknown key {unknown:?} under {PREFIX}{hint}"),
                );
                Ok(())
            }
        };
        if let Err(message) = checked {
            field.refuse(report, message);
        }
    }
    extensions
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
