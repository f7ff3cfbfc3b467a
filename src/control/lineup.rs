//! Which plugins a stream meets, and in which order.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use super::lease::Lease;
use crate::chain::{Context, Filter, Lent, Outage};
use crate::plugin::{Phase, PhaseSet, PluginSpec};
use crate::proxy_wasm::Event;

/// Filters in the order in which requests meet them.
pub type Filters = Arc<[Arc<dyn Filter>]>;

/// Plugins in order.
#[derive(Debug, Default)]
pub struct Lineup {
    placed: Vec<Placed>,
    /// Orders of a route that nobody understands: streams of the route are refused.
    broken: Vec<String>,
    /// Some plugins run on some ports alone.
    has_ports: bool,
    /// A stream has asked for it since the last sweep.
    is_used: AtomicBool,
    /// The filters of each set of phases, made when first asked for.
    views: [OnceLock<View>; PhaseSet::COUNT],
}

/// Filters, in a form that has something to show for `Debug`.
struct View(Filters);

/// A plugin in its place.
#[derive(Clone, Debug)]
pub(super) struct Placed {
    pub(super) place: Place,
    pub(super) lease: Arc<Lease>,
}

/// Where a plugin stands; the resource says so, even while an older version of it runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    phase: Phase,
    ports: Option<BTreeSet<u16>>,
    /// Whether streams meet it; if not, it is kept for the routes that enable it.
    enabled: bool,
}

impl Place {
    pub(super) fn new(spec: &PluginSpec, enabled: bool) -> Self {
        Self {
            phase: spec.phase,
            ports: spec.ports.clone(),
            enabled,
        }
    }
}

impl PartialEq for Placed {
    fn eq(&self, other: &Self) -> bool {
        self.place == other.place && Arc::ptr_eq(&self.lease, &other.lease)
    }
}

impl Lineup {
    pub(super) fn new(placed: Vec<Placed>, broken: &[String]) -> Self {
        Self {
            has_ports: placed.iter().any(|placed| placed.place.ports.is_some()),
            broken: broken.to_vec(),
            is_used: AtomicBool::new(true),
            placed,
            views: Default::default(),
        }
    }

    pub(super) fn placed(&self) -> &[Placed] {
        &self.placed
    }

    /// The plugin of this resource that runs, if one does.
    pub(super) fn running(&self, resource: &str) -> Option<&Arc<Lease>> {
        let mut leases = self.placed.iter().map(|placed| &placed.lease);
        leases.find(|lease| lease.is_ready() && lease.spec().resource() == resource)
    }

    /// A stream uses it.
    pub(super) fn touch(&self) {
        // Not written to again and again: workers share it.
        if !self.is_used.load(Ordering::Relaxed) {
            self.is_used.store(true, Ordering::Relaxed);
        }
    }

    /// Whether a stream has used it since the last time that this was asked.
    pub(super) fn was_used(&self) -> bool {
        self.is_used.swap(false, Ordering::Relaxed)
    }

    /// Whether [`Self::filters_on`] is to be asked, with the port.
    pub const fn has_ports(&self) -> bool {
        self.has_ports
    }

    /// The plugins of `phases`.
    pub fn filters(&self, phases: PhaseSet) -> Filters {
        match self.views.get(phases.index()) {
            Some(view) => Arc::clone(&view.get_or_init(|| View(self.select(phases, None))).0),
            None => Arc::new([]),
        }
    }

    /// The plugins of `phases` that run on `port`, the listener's.
    pub fn filters_on(&self, phases: PhaseSet, port: u16) -> Filters {
        self.select(phases, Some(port))
    }

    fn select(&self, phases: PhaseSet, port: Option<u16>) -> Filters {
        let meets = |placed: &&Placed| {
            let Place {
                phase,
                ports,
                enabled,
            } = &placed.place;
            let is_on = |ports: &BTreeSet<u16>| port.is_none_or(|port| ports.contains(&port));
            *enabled && phases.contains(*phase) && ports.as_ref().is_none_or(is_on)
        };
        let broken = self.broken.iter().map(|resource| {
            let resource = resource.clone();
            Arc::new(Broken { resource }) as Arc<dyn Filter>
        });
        let placed = self.placed.iter().filter(meets);
        broken
            .chain(placed.map(|placed| placed.lease.filter()))
            .collect()
    }
}

impl std::fmt::Debug for View {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} filters", self.0.len())
    }
}

/// Stands for orders that nobody understands. Fails closed: they may have been about security.
struct Broken {
    resource: String,
}

impl Filter for Broken {
    fn open(&self, _: u32, _: &mut Lent) -> Result<Context, Outage> {
        Err(self.outage())
    }

    fn on_event(&self, _: &Context, _: &Event, _: &mut Lent) -> Result<u32, Outage> {
        Err(self.outage())
    }

    fn wants(&self, _: &Event) -> bool {
        true
    }

    fn outage(&self) -> Outage {
        Outage::Refuse {
            status: crate::plugin::defaults::FAIL_STATUS,
            details: format!("wasmplugin.unavailable{{{}}}", self.resource),
        }
    }

    fn log(&self, _: &Context, _: &mut Lent) {}

    fn delete(&self, _: &Context, _: &mut Lent) {}
}
