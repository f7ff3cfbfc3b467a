//! The plugins of one configuration, shared by all filter entries that have it.
//!
//! A deployment knows what is wanted (its targets, worked out from the inputs as they were last
//! good) and what runs (the current [`Generation`]). [`Deployment::publish`] brings the second to the
//! first: whenever a plugin has come up or failed, and whenever the inputs change. A generation
//! changes only when all that is new has been tried, so that an update shows whole; and a plugin
//! that does not come up is stood in for by the version of it that runs.
//!
//! Routes may change plugins for their streams: each such route has a lineup of its own in every
//! generation, made when the route is first seen.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::Process;
use super::generation::{Generation, Routes};
use super::inputs::Inputs;
use super::lease::{Lease, Wanted};
use super::lineup::{Lineup, Place, Placed};
use super::load::LoadError;
use super::route::{self, Orders};
use super::status;
use super::watch::Watch;
use crate::plugin::{Plan, PluginSpec};
use crate::source::Request;
use crate::telemetry::{Level, PluginReport, PluginState};

/// The most routes that are known by what their metadata says. Beyond, those that no stream has used
/// for longest are forgotten; they are read anew when one comes.
const MAX_METADATA_ROUTES: usize = 1000;

/// What filter entries of equal settings share.
pub struct Deployment {
    process: Arc<Process>,
    workers: u32,
    /// One reading at a time; not for long-held looks, see `targets`.
    inputs: Mutex<Inputs>,
    targets: Mutex<Targets>,
    current: ArcSwap<Generation>,
    watch: OnceLock<Watch>,
}

/// What is wanted.
struct Targets {
    inputs: Arc<Inputs>,
    base: Vec<Target>,
    routes: BTreeMap<Box<[u8]>, RouteTargets>,
}

/// What is wanted on a route.
struct RouteTargets {
    orders: Arc<Orders>,
    plugins: Vec<Target>,
}

/// A plugin that is wanted.
struct Target {
    place: Place,
    lease: Arc<Lease>,
}

impl Deployment {
    /// Begins to load the plugins of `inputs` for `workers` workers, and returns at once.
    pub(super) fn start(process: &Arc<Process>, inputs: Inputs, workers: u32) -> Arc<Self> {
        let snapshot = Arc::new(inputs.clone());
        let nothing = Generation::new(0, Arc::default(), Routes::new());
        let deployment = Arc::new(Self {
            process: Arc::clone(process),
            workers,
            inputs: Mutex::new(inputs),
            targets: Mutex::new(Targets {
                inputs: snapshot,
                base: Vec::new(),
                routes: BTreeMap::new(),
            }),
            current: ArcSwap::from_pointee(nothing),
            watch: OnceLock::new(),
        });
        deployment.aim(&mut deployment.targets.lock());
        for configured in process.configured_routes() {
            deployment.add_configured_route(configured);
        }
        deployment.swap(&deployment.targets.lock());
        deployment
    }

    /// Looks at the inputs from now on, and follows their changes.
    pub(super) fn watch(self: &Arc<Self>) {
        let directories = self.inputs.lock().directories();
        let me = Arc::downgrade(self);
        let look = move || {
            if let Some(me) = me.upgrade() {
                me.look();
            }
        };
        let watch = self.watch.get_or_init(|| Watch::new(&self.process, look));
        watch.set(directories);
    }

    /// Reads the inputs again, and has what they say run: at once where all is there, else when what
    /// is new has been tried. Blocks.
    fn look(&self) {
        let mut inputs = self.inputs.lock();
        let (is_changed, problems) = inputs.read_again();
        for problem in problems {
            let line = format!("{problem}; what was last good goes on");
            self.process.log.write(Level::Error, line.as_bytes());
        }
        if let Some(watch) = self.watch.get() {
            watch.set(inputs.directories());
        }
        {
            let mut targets = self.targets.lock();
            if is_changed {
                targets.inputs = Arc::new(inputs.clone());
            }
            // Also where the inputs are the same: a module's file may be another one.
            self.aim(&mut targets);
            for target in targets.all() {
                target.lease.runner().look_at_secret();
            }
        }
        drop(inputs);
        self.publish();
    }

    /// A module was found to be another one.
    pub(super) fn aim_again(&self) {
        self.aim(&mut self.targets.lock());
        self.publish();
    }

    /// Loads each plugin of `inputs` once and tells what is wrong. Blocks.
    pub(super) fn check(process: &Arc<Process>, inputs: &Inputs) -> Vec<(String, LoadError)> {
        let failed = |spec: &PluginSpec| {
            let resource = spec.resource();
            let wanted = wanted(process, &inputs.plan, spec.clone());
            let (lease, _) = process.leases.lease(process, wanted, 1);
            let error = lease.runner().load().err()?;
            Some((resource, error))
        };
        inputs.plugins().iter().filter_map(failed).collect()
    }

    /// Wants what the inputs say.
    fn aim(&self, targets: &mut Targets) {
        let inputs = Arc::clone(&targets.inputs);
        let base = inputs.plugins().iter();
        targets.base = base
            .map(|spec| self.target(&inputs.plan, spec.clone(), spec.enabled_by_default))
            .collect();
        for route in targets.routes.values_mut() {
            route.plugins = self.targets_of(&inputs, &route.orders);
        }
    }

    /// What is wanted on a route that says `orders`.
    fn targets_of(&self, inputs: &Inputs, orders: &Orders) -> Vec<Target> {
        let plugins = inputs.plugins_and(&orders.added).into_iter();
        plugins
            .filter_map(|mut spec| {
                let resource = spec.resource();
                let change = orders.changes.get(&resource);
                let is_added = || {
                    orders
                        .added
                        .iter()
                        .any(|added| added.resource() == resource)
                };
                let enabled = change
                    .and_then(|change| change.enabled)
                    .unwrap_or_else(|| spec.enabled_by_default || is_added());
                if let Some(config) = change.and_then(|change| change.config.clone()) {
                    spec.config = config;
                }
                enabled.then(|| self.target(&inputs.plan, spec, true))
            })
            .collect()
    }

    /// A plugin that is wanted; if it is new, it begins to load.
    fn target(&self, plan: &Plan, spec: PluginSpec, enabled: bool) -> Target {
        let place = Place::new(&spec, enabled);
        let wanted = wanted(&self.process, plan, spec);
        let (lease, is_new) = self
            .process
            .leases
            .lease(&self.process, wanted, self.workers);
        if is_new {
            let runner = Arc::downgrade(lease.runner());
            self.process.loads.run_in(Duration::ZERO, move || {
                if let Some(runner) = runner.upgrade() {
                    runner.load_until_ready(1);
                }
            });
        }
        Target { place, lease }
    }

    /// A route's `typed_per_filter_config` is there.
    pub(super) fn add_configured_route(&self, configured: u64) {
        self.route(&route::configured_key(configured));
    }

    /// It is gone.
    pub(super) fn remove_configured_route(&self, configured: u64) {
        let is_of = |key: &[u8]| route::configured_of(key) == configured;
        self.targets.lock().routes.retain(|key, _| !is_of(key));
        self.publish();
    }

    /// The lineup of the route that `key`, not an empty one, names, for a stream of `generation`.
    /// What the route names first is loaded in the background.
    pub fn lineup(&self, generation: &Arc<Generation>, key: &[u8]) -> Arc<Lineup> {
        match generation.routes().get(key) {
            Some(lineup) => {
                lineup.touch();
                Arc::clone(lineup)
            }
            None => self.route(key),
        }
    }

    /// The lineup of a route, new or not.
    #[cold]
    fn route(&self, key: &[u8]) -> Arc<Lineup> {
        let mut targets = self.targets.lock();
        if let Some(lineup) = self.current().routes().get(key) {
            return Arc::clone(lineup);
        }
        let configured = self.process.configured_route(route::configured_of(key));
        let (orders, problems) = Orders::read(key, configured.as_ref());
        for problem in problems {
            let line = format!("{problem}; requests of the route are refused");
            self.process.log.write(Level::Error, line.as_bytes());
        }
        sweep(&mut targets.routes, self.current().routes());
        let plugins = self.targets_of(&targets.inputs, &orders);
        let placed = self.place(&plugins, |_| None);
        let lineup = Arc::new(Lineup::new(placed, &orders.broken));
        let route = RouteTargets {
            orders: Arc::new(orders),
            plugins,
        };
        targets.routes.insert(key.into(), route);
        let with = self.current().with_route(key, Arc::clone(&lineup));
        // Under the lock, so that generations follow each other.
        self.current.store(Arc::new(with));
        lineup
    }

    /// What can run now of what is wanted: itself, the version of it that `stand_in` finds, or else a
    /// plugin that is not there yet, whose fail strategy rules.
    fn place(
        &self,
        plugins: &[Target],
        stand_in: impl Fn(&str) -> Option<Arc<Lease>>,
    ) -> Vec<Placed> {
        let place = |target: &Target| {
            let lease = match target.lease.is_ready() {
                true => None,
                false => stand_in(&target.lease.spec().resource()),
            };
            Placed {
                place: target.place.clone(),
                lease: lease.unwrap_or_else(|| Arc::clone(&target.lease)),
            }
        };
        plugins.iter().map(place).collect()
    }

    /// Makes a new generation if there is something new to run, and all of it has been tried.
    pub(super) fn publish(&self) {
        let targets = self.targets.lock();
        if !targets.are_tried() {
            return;
        }
        let former = self.swap(&targets);
        drop(targets);
        // Outside of the lock: plugins may go with it.
        drop(former);
    }

    /// Makes a new generation if there is something new to run. The former one. Under the lock of
    /// the targets, so that generations follow each other.
    fn swap(&self, targets: &Targets) -> Option<Arc<Generation>> {
        let current = self.current();
        let former = match current.number() {
            0 => self.process.predecessors(&targets.inputs.plan.lineage),
            _ => vec![Arc::clone(&current)],
        };
        let base = self.place(&targets.base, |resource| agreed(&former, resource));
        let mut is_same = base == current.base().placed();
        is_same &= targets.routes.len() == current.routes().len();
        let mut routes = Routes::new();
        for (key, route) in &targets.routes {
            let known = current.routes().get(key);
            let placed = self.place(&route.plugins, |resource| {
                known.and_then(|known| known.running(resource)).cloned()
            });
            let known = known.filter(|known| known.placed() == placed);
            is_same &= known.is_some();
            let lineup = match known {
                Some(known) => Arc::clone(known),
                None => Arc::new(Lineup::new(placed, &route.orders.broken)),
            };
            routes.insert(key.clone(), lineup);
        }
        if is_same && current.number() > 0 {
            return None;
        }
        let number = current.number() + 1;
        let count = base.len();
        let base = Arc::new(Lineup::new(base, &[]));
        let next = Generation::new(number, base, routes);
        let former = self.current.swap(Arc::new(next));
        if number > 1 {
            let line = format!("generation {number} serves new requests: {count} plugins");
            self.process.log.write(Level::Info, line.as_bytes());
        }
        Some(former)
    }

    /// Waits up to `limit` until each plugin has come up or failed once. Whether they all have.
    pub fn wait(&self, limit: Duration) -> bool {
        let deadline = Instant::now() + limit;
        self.process.wait_for_progress(deadline, || self.is_tried())
    }

    /// Whether each plugin that can be loaded without the network has come up or failed once.
    pub(super) fn is_tried_nearby(&self) -> bool {
        let targets = self.targets.lock();
        targets.all().all(|target| {
            let runner = target.lease.runner();
            runner.is_tried() || !runner.is_near()
        })
    }

    /// Whether each plugin has come up or failed once.
    pub fn is_tried(&self) -> bool {
        self.targets.lock().are_tried()
    }

    /// A stream is opened.
    pub(super) fn serve(&self) {
        self.process.serve();
    }

    /// Whether Envoy serves streams yet.
    pub fn is_serving(&self) -> bool {
        self.process.is_serving()
    }

    /// What new streams run.
    pub fn current(&self) -> Arc<Generation> {
        self.current.load_full()
    }

    /// How long the first load may hold Envoy's start.
    pub fn startup_wait(&self) -> Duration {
        self.targets.lock().inputs.plan.startup_wait
    }

    /// How its plugins are doing, by name.
    pub(super) fn states(&self) -> Vec<(String, PluginState)> {
        let current = self.current();
        let targets = self.targets.lock();
        let of = |target: &Target| {
            let runner = target.lease.runner();
            let has_stand_in = current.base().running(&runner.spec().resource()).is_some();
            let state = status::state(runner.state(), has_stand_in);
            (runner.spec().plugin_name(), state)
        };
        targets.base.iter().map(of).collect()
    }

    /// How its plugins are doing, in order. `number` names it.
    pub(super) fn report(&self, number: usize) -> Vec<PluginReport> {
        let current = self.current();
        let targets = self.targets.lock();
        let report = |(place, target): (usize, &Target)| {
            let runner = target.lease.runner();
            let spec = runner.spec();
            let running = current.base().running(&spec.resource());
            let (instances, memory_bytes) = runner.usage();
            PluginReport {
                deployment: number,
                place,
                resource: spec.resource(),
                phase: spec.phase.as_str(),
                priority: spec.priority,
                url: Request::from(spec).shown(),
                digest: running.and_then(|lease| lease.runner().digest()),
                verification: running
                    .and_then(|lease| lease.runner().verification())
                    .unwrap_or_default(),
                generation: current.number(),
                state: status::state(runner.state(), running.is_some()),
                last_error: runner.last_error(),
                requests: runner.stats().requests(),
                failures: runner.stats().failures(),
                instances,
                memory_bytes,
            }
        };
        (1..).zip(&targets.base).map(report).collect()
    }

    pub(super) fn is_of(&self, lineage: &str) -> bool {
        self.targets.lock().inputs.plan.lineage == lineage
    }
}

impl Targets {
    fn all(&self) -> impl Iterator<Item = &Target> {
        let routes = self.routes.values().flat_map(|route| &route.plugins);
        self.base.iter().chain(routes)
    }

    fn are_tried(&self) -> bool {
        self.all().all(|target| target.lease.runner().is_tried())
    }
}

/// The plugin of this resource that runs in `generations`, if it is the same in all that have one.
fn agreed(generations: &[Arc<Generation>], resource: &str) -> Option<Arc<Lease>> {
    let mut running = generations
        .iter()
        .filter_map(|generation| generation.base().running(resource));
    let first = running.next()?;
    running
        .all(|other| Arc::ptr_eq(first, other))
        .then(|| Arc::clone(first))
}

/// Makes room for another route.
fn sweep(targets: &mut BTreeMap<Box<[u8]>, RouteTargets>, running: &Routes) {
    if targets.len() < MAX_METADATA_ROUTES {
        return;
    }
    // Those of a route table go with it.
    let is_metadata = |key: &[u8]| key.len() > route::configured_key(0).len();
    targets.retain(|key, _| {
        let was_used = running.get(key).is_some_and(|lineup| lineup.was_used());
        was_used || !is_metadata(key)
    });
}

/// What `spec` asks for, under the settings of `plan`.
fn wanted(process: &Process, plan: &Plan, spec: PluginSpec) -> Wanted {
    let revision = process.revision(&spec.resource());
    Wanted::new(spec, plan.fetch.clone(), revision)
}

impl std::fmt::Debug for Deployment {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Deployment")
            .field("current", &self.current())
            .finish_non_exhaustive()
    }
}
