//! `match`: which traffic a plugin sees, by direction and port.
//!
//! The direction is the workload's, so it is decided here; the port is that of a listener, which
//! only a stream knows, so what remains is a set of ports.

use super::decode::Field;
use super::report::Report;
use super::settings::WorkloadType;
use super::shape::Choices;
use std::collections::BTreeSet;

/// `match[].mode`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    Any,
    Client,
    Server,
}

pub(super) static MODES: Choices<Mode> = Choices(&[
    ("UNDEFINED", Mode::Any),
    ("CLIENT", Mode::Client),
    ("SERVER", Mode::Server),
    ("CLIENT_AND_SERVER", Mode::Any),
]);

/// The traffic that a resource is for. Without entries it is for all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Traffic(Vec<Entry>);

/// All conditions of an entry must hold; one entry is enough.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    mode: Mode,
    /// Empty for any.
    ports: BTreeSet<u16>,
}

/// What of a workload's traffic it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    Nothing,
    Ports(BTreeSet<u16>),
    Everything,
}

impl Traffic {
    /// What of the traffic of a `workload` this is.
    pub(super) fn reach(&self, workload: WorkloadType) -> Reach {
        if self.0.is_empty() {
            return Reach::Everything;
        }
        let mut ports = BTreeSet::new();
        for entry in &self.0 {
            let matches = match entry.mode {
                Mode::Any => true,
                // As in Istio: what leaves a gateway is a client's.
                Mode::Client => workload != WorkloadType::SidecarInbound,
                Mode::Server => workload == WorkloadType::SidecarInbound,
            };
            if matches && entry.ports.is_empty() {
                return Reach::Everything;
            }
            if matches {
                ports.extend(&entry.ports);
            }
        }
        if ports.is_empty() {
            Reach::Nothing
        } else {
            Reach::Ports(ports)
        }
    }
}

/// Reads `match`.
pub(super) fn decode(field: &Field<'_>, report: &mut Report) -> Option<Traffic> {
    let mut entries = Vec::new();
    for item in field.list(report)? {
        let Some(mut fields) = item.object(report) else {
            continue;
        };
        let mode = fields.take("mode", report);
        let mode = mode.and_then(|field| field.choice(&MODES, report));
        let ports = fields.take("ports", report);
        let ports = ports.map(|field| self::ports(&field, report));
        fields.finish(report);
        entries.push(Entry {
            mode: mode.unwrap_or(Mode::Any),
            ports: ports.unwrap_or_default(),
        });
    }
    Some(Traffic(entries))
}

fn ports(field: &Field<'_>, report: &mut Report) -> BTreeSet<u16> {
    let mut ports = BTreeSet::new();
    for item in field.list(report).unwrap_or_default() {
        let Some(mut fields) = item.object(report) else {
            continue;
        };
        if let Some(field) = fields.take("number", report)
            && let Some(port) = field.int(report)
            && !ports.insert(port)
        {
            field.refuse(report, "stands twice");
        }
        fields.finish(report);
    }
    ports
}

#[cfg(test)]
mod tests {
    use super::*;
    use WorkloadType::{Gateway, SidecarInbound, SidecarOutbound};

    #[test]
    fn directions_and_ports() {
        let entry = |mode, ports: &[u16]| Entry {
            mode,
            ports: ports.iter().copied().collect(),
        };
        let ports = |ports: &[u16]| Reach::Ports(ports.iter().copied().collect());
        for (entries, gateway, inbound, outbound) in [
            (
                vec![],
                Reach::Everything,
                Reach::Everything,
                Reach::Everything,
            ),
            (
                vec![entry(Mode::Client, &[])],
                Reach::Everything,
                Reach::Nothing,
                Reach::Everything,
            ),
            (
                vec![entry(Mode::Server, &[])],
                Reach::Nothing,
                Reach::Everything,
                Reach::Nothing,
            ),
            (
                vec![entry(Mode::Any, &[80, 81]), entry(Mode::Server, &[90])],
                ports(&[80, 81]),
                ports(&[80, 81, 90]),
                ports(&[80, 81]),
            ),
            (
                vec![entry(Mode::Client, &[80]), entry(Mode::Server, &[])],
                ports(&[80]),
                Reach::Everything,
                ports(&[80]),
            ),
        ] {
            let traffic = Traffic(entries);
            assert_eq!(traffic.reach(Gateway), gateway, "{traffic:?}");
            assert_eq!(traffic.reach(SidecarInbound), inbound, "{traffic:?}");
            assert_eq!(traffic.reach(SidecarOutbound), outbound, "{traffic:?}");
        }
    }
}
