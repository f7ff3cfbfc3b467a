//! Everything changes while clients keep asking, some of them paused in calls: no request is lost,
//! each goes by exactly one state of what was written, and nothing stays of former ones.
//!
//! `RELOAD_UPDATES=300 RELOAD_SECONDS=300 RELOAD_RATE=1000` makes of the short run a long one.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::thread;
use std::time::{Duration, Instant};

use support::bootstrap::{Bootstrap, discover_filter, per_filter_config};
use support::envoy::{Envoy, Launch, complaints};
use support::guests::{Guests, document, plugin};
use support::mounted::Mounted;
use support::upstream::Upstream;
use support::witness::{self, Marks, Met, Over, PAUSE};
use support::{NEWEST, asked, http, wait_for};

const LIMIT: Duration = Duration::from_secs(30);

/// Clients that share the rate of requests.
const CLIENTS: u32 = 8;

/// Clients whose requests are paused by each plugin in turn.
const PAUSING: u32 = 4;

/// Updates until connections, arenas and caches are there.
const WARM_UP: usize = 10;

const WORKERS: u64 = 2;

/// Plugins that are always there, in the order in which they are at first.
const NAMES: [&str; 4] = ["first", "fourth", "second", "third"];

/// Kinds of change, which follow each other.
const KINDS: usize = 6;

/// All that a run of updates may change, as the first so many left it.
struct Version {
    /// Counts those of plugins: all of them show it.
    number: usize,
    build: usize,
    is_swapped: bool,
    is_late: bool,
    has_extra: bool,
    app: &'static str,
}

impl Version {
    fn after(updates: usize) -> Self {
        let count = |kind: usize| (updates + KINDS - kind) / KINDS;
        let is_odd = |kind| count(kind) % 2 == 1;
        Self {
            number: updates - count(5),
            build: count(1),
            is_swapped: is_odd(2),
            is_late: is_odd(3),
            has_extra: is_odd(4),
            app: if is_odd(5) { "shop" } else { "web" },
            // The sixth changes plugin configurations alone.
        }
    }

    /// Each plugin's name, its place, and whether it has the module that changes. In order.
    fn plugins(&self) -> Vec<(&'static str, String)> {
        let [second, third] = if self.is_swapped { [1, 2] } else { [2, 1] };
        let mut all = vec![
            ("first", "phase: AUTHN\npriority: 10".to_owned()),
            ("second", format!("phase: AUTHZ\npriority: {second}")),
            ("third", format!("phase: AUTHZ\npriority: {third}")),
        ];
        if self.is_swapped {
            all.swap(1, 2);
        }
        let (place, phase) = if self.is_late {
            (3, "STATS")
        } else {
            (1, "AUTHN")
        };
        all.insert(place, ("fourth", format!("phase: {phase}\npriority: 1")));
        for app in ["web", "shop"] {
            let selector = format!("priority: 2\nselector: {{ matchLabels: {{ app: {app} }} }}");
            all.push((app, selector));
        }
        if self.has_extra {
            all.push(("extra", "priority: 1".to_owned()));
        }
        all
    }

    /// The resources, each made by `resource` of its name, module and specification.
    fn resources(
        &self,
        modules: &Modules,
        resource: impl Fn(&str, &std::path::Path, &str) -> String,
    ) -> String {
        let changing = modules.build(self.build);
        let mut text = String::new();
        for (name, place) in self.plugins() {
            let module = if name == "first" {
                &changing
            } else {
                &modules.steady
            };
            let config = witness::config(&self.id(name));
            text += &resource(name, module, &format!("{place}\npluginConfig: {config}"));
        }
        text
    }

    /// Settings with the resources in them.
    fn settings(&self, modules: &Modules) -> String {
        format!(
            "workload: {{ labels: {{ app: {} }} }}\nplugins:\n{}",
            self.app,
            self.resources(modules, plugin)
        )
    }

    fn marks(&self) -> Marks {
        let plugins = self.plugins().into_iter().map(|(name, _)| name);
        let of_others = if self.app == "web" { "shop" } else { "web" };
        let selected = plugins.filter(|name| *name != of_others);
        Marks::of(&selected.map(|name| self.id(name)).collect::<Vec<_>>())
    }

    fn id(&self, name: &str) -> String {
        format!("{name}.{}", self.number)
    }
}

/// The module of all plugins, and the one of the plugin whose code changes.
struct Modules {
    guests: Guests,
    steady: PathBuf,
}

impl Modules {
    fn new() -> Self {
        let guests = Guests::new();
        let steady = guests.file("steady.wasm", &witness::guest(0));
        Self { guests, steady }
    }

    fn build(&self, number: usize) -> PathBuf {
        let name = format!("build-{number}.wasm");
        self.guests.file(&name, &witness::guest(number + 1))
    }
}

/// Makes `updates` by `change`, which says what is to be seen then, while clients ask `envoy`.
fn under_load(
    envoy: &Envoy,
    port: u16,
    updates: usize,
    before: Marks,
    mut change: impl FnMut(usize) -> Marks,
) {
    let length = Duration::from_secs(asked("RELOAD_SECONDS", 4));
    let rate: u32 = asked("RELOAD_RATE", 200);
    let pace = Duration::from_secs(1) * CLIENTS / rate;
    let mut allowed = BTreeSet::from([before]);
    let mut memory = 0;
    let mut met = Met::default();
    let is_over = AtomicBool::new(false);
    let begin = Instant::now();
    thread::scope(|scope| {
        let over = Over(&is_over);
        let client = |_| witness::client(scope, port, &[], pace, &is_over);
        let pausing = |_| witness::client(scope, port, &[PAUSE], pace, &is_over);
        let clients: Vec<_> = (0..CLIENTS)
            .map(client)
            .chain((0..PAUSING).map(pausing))
            .collect();
        for n in 1..=updates {
            let marks = change(n);
            wait_for(&format!("{marks:?}"), LIMIT, || {
                (Marks::shown_by(&http::get(port, "/")) == marks).then_some(())
            });
            allowed.insert(marks);
            if n == WARM_UP {
                memory = envoy.memory();
            }
            let due = begin + length * u32::try_from(n).expect("few") / updates as u32;
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        drop(over);
        for client in clients {
            met.add(client.join().expect("no failure in a client"));
        }
    });
    let (seconds, after) = (begin.elapsed().as_secs_f64(), envoy.memory());
    println!(
        "{updates} updates in {seconds:.1} s, {} requests ({:.0}/s), {} lost, slowest {:?}, \
         resident {memory} then {after} bytes",
        met.answered(),
        met.answered() as f64 / seconds,
        met.lost.len(),
        met.slowest
    );
    assert_eq!(met.lost, [""; 0]);
    let mixed: Vec<_> = met
        .marks
        .iter()
        .filter(|(marks, _)| !allowed.contains(marks))
        .collect();
    assert!(mixed.is_empty(), "mixed: {mixed:#?}");
    if updates > WARM_UP {
        assert!(
            after < memory + memory / 10,
            "memory grew from {memory} to {after} bytes"
        );
    }
}

/// Waits until so many instances of a plugin are left: no former generation has any.
fn settles(envoy: &Envoy, port: u16, name: &str, instances: u64) {
    let stat = format!("wasmplugin.plugin_instances.plugin.default.{name}");
    wait_for(&format!("{instances} instances of {name}"), LIMIT, || {
        // Something has to happen for metrics to be told.
        http::get(port, "/");
        (envoy.stat(&stat) == instances).then_some(())
    });
}

/// How many updates a run makes.
fn updates() -> usize {
    asked("RELOAD_UPDATES", 24)
}

#[test]
fn resources_and_labels_change_under_load() {
    let modules = Modules::new();
    let upstream = Upstream::marks();
    let text = |version: &Version| version.resources(&modules, document);
    let label = |version: &Version| format!("app=\"{}\"\n", version.app);
    let first = Version::after(0);
    let mut resources = Mounted::new(&[("plugins.yaml", &text(&first))]);
    let mut labels = Mounted::new(&[("labels", &label(&first))]);
    let settings = format!(
        "pluginsDir: {}\nworkload: {{ labelsFile: {}/labels }}",
        resources.path().display(),
        labels.path().display()
    );
    let bootstrap = Bootstrap::around(upstream.port(), &settings);
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    under_load(&envoy, bootstrap.port(), updates(), first.marks(), |n| {
        let (before, version) = (Version::after(n - 1), Version::after(n));
        if before.app == version.app {
            resources.replace(&[("plugins.yaml", &text(&version))]);
        } else {
            labels.replace(&[("labels", &label(&version))]);
        }
        version.marks()
    });
    for name in NAMES {
        settles(&envoy, bootstrap.port(), name, WORKERS);
    }
    assert_eq!(complaints(&envoy.log()), [""; 0]);
}

/// As when a control plane writes the resources into listeners. Envoy takes new ones into use as soon
/// as it has read them.
#[test]
fn listeners_change_under_load() {
    let modules = Modules::new();
    let upstream = Upstream::marks();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("listeners.yaml");
    let empty = Bootstrap::new(upstream.port());
    let write = |version: &Version| {
        let settings = version.settings(&modules);
        empty.clone().entries_around(&settings).discover(&file);
        version.marks()
    };
    let before = write(&Version::after(0));
    let launch = Launch::new(NEWEST).drain(Duration::from_secs(5));
    let envoy = launch.start(&empty.render_discovering(&file));
    under_load(&envoy, empty.port(), updates(), before, |n| {
        write(&Version::after(n))
    });
    for name in NAMES {
        settles(&envoy, empty.port(), name, WORKERS);
    }
    assert_eq!(complaints(&envoy.log()), [""; 0]);
}

#[test]
fn routes_change_under_load() {
    let modules = Modules::new();
    let upstream = Upstream::marks();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("routes.yaml");
    let first = Version::after(0);
    let bootstrap = Bootstrap::around(upstream.port(), &first.settings(&modules)).routes_in(&file);
    let is_enabled = |n: usize, place: usize| !(n + place).is_multiple_of(3);
    // In each: configurations of all plugins, and plugins that come and go.
    let write = |n: usize| {
        let (mut ids, mut changes) = (Vec::new(), String::new());
        for (place, name) in NAMES.into_iter().enumerate() {
            let enabled = is_enabled(n, place);
            let id = format!("{name}.{n}");
            let config = witness::config(&id);
            let _ = write!(
                changes,
                "default/{name}: {{ enabled: {enabled}, pluginConfig: {config} }}, "
            );
            ids.extend(enabled.then_some(id));
        }
        let route = per_filter_config(3, &changes);
        bootstrap.clone().route("/", &route).discover_routes();
        ids.push("web.0".to_owned());
        Marks::of(&ids)
    };
    let before = write(0);
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    under_load(&envoy, bootstrap.port(), updates(), before, write);
    for (place, name) in NAMES.into_iter().enumerate() {
        // Those of the plugin as it is elsewhere stay.
        let own = if is_enabled(updates(), place) {
            WORKERS
        } else {
            0
        };
        settles(&envoy, bootstrap.port(), name, WORKERS + own);
    }
    assert_eq!(complaints(&envoy.log()), [""; 0]);
}

/// One filter alone: several are discovered one by one, so that a stream may meet one before and
/// another after its change.
#[test]
fn a_discovered_filter_changes_under_load() {
    let modules = Modules::new();
    let upstream = Upstream::marks();
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join("filter.yaml");
    let write = |version: &Version| {
        let settings = version.settings(&modules);
        discover_filter(&file, &settings);
        version.marks()
    };
    let before = write(&Version::after(0));
    let bootstrap = Bootstrap::new(upstream.port()).discovered_filter(&file);
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    under_load(&envoy, bootstrap.port(), updates(), before, |n| {
        write(&Version::after(n))
    });
    for name in NAMES {
        settles(&envoy, bootstrap.port(), name, WORKERS);
    }
    assert_eq!(complaints(&envoy.log()), [""; 0]);
}
