//! Root contexts on two workers: how many instances there are, and what the root contexts of each go
//! through when plugins come, when their configuration changes, and when Envoy ends.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::case::{Case, parse};
use super::configuration::{self, Backend, Lane, Modules, Side, edge, plugin_name};
use super::observation::Log;
use super::run::Outcome;
use crate::support::envoy::{Envoy, Launch};
use crate::support::{NEWEST, wait_for};

/// The second plugin asks for time when it is to go. `VERSION` is what changes.
const CASE: &str = "\
case two-workers
  plugin
    configure: say \"VERSION\"
  plugin
    configure: say \"VERSION\"; tick 20
    root_done: set leaving 1; ret 0
    tick: if $leaving == 1 { done; set leaving 0 }
    mute: tick
";

/// Nothing new for so long is the end of a phase.
const STILL: Duration = Duration::from_millis(1500);

const PATIENCE: Duration = Duration::from_secs(60);

/// What instances told, by side, plugin and instance.
type Told = BTreeMap<(Side, usize, String), Vec<String>>;

/// The case, and what both sides showed.
pub(crate) fn compare() -> (Case, Outcome) {
    let cases = ["first", "second"].map(|version| {
        let text = CASE.replace("VERSION", version);
        parse(&text, "roots").expect("a case").remove(0)
    });
    let lanes = Side::ALL.map(|side| Lane {
        side,
        number: 0,
        edge: edge(),
        hops: None,
        ports: BTreeMap::from([("upstream".to_owned(), Backend::Empty)]),
    });
    let directory = tempfile::tempdir().expect("a temporary directory");
    let discovered = directory.path().join("listeners.json");
    let of = |case| lanes.clone().map(|lane| (case, lane));
    discover(&of(&cases[0]), directory.path(), &discovered);
    let envoy = Launch::new(NEWEST)
        .concurrency(2)
        .log_levels("wasm:debug,dynamic_modules:debug")
        .start(&configuration::bootstrap(&of(&cases[0]), &discovered).to_string());
    wait_for("both listeners", PATIENCE, || {
        (envoy.stat("listener_manager.total_listeners_active") == 2).then_some(())
    });
    let started = when_still(&envoy);
    discover(&of(&cases[1]), directory.path(), &discovered);
    wait_for("the change", PATIENCE, || {
        (envoy.stat("listener_manager.listener_modified") == 2).then_some(())
    });
    let changed = when_still(&envoy);
    let (_, log) = envoy.quit();
    let ended = told(&log);
    let lines = |side| {
        let mut lines = Vec::new();
        for (name, before, after) in [
            ("at the start", &Told::new(), &started),
            ("at the change", &started, &changed),
            ("at the end", &changed, &ended),
        ] {
            for plugin in 0..cases[0].plugins.len() {
                lines.push(format!("{name}, plugin {}:", plugin + 1));
                lines.extend(phase(side, plugin, before, after));
            }
        }
        lines
    };
    let outcome = Outcome {
        theirs: lines(Side::Envoy),
        ours: lines(Side::Ours),
    };
    let [case, _] = cases;
    (case, outcome)
}

/// Has Envoy discover the listeners of `lanes`.
fn discover(lanes: &[(&Case, Lane)], modules: &Path, discovered: &Path) {
    let text = configuration::listeners(lanes, &Modules::new(modules)).to_string();
    let part = discovered.with_extension("part");
    fs::write(&part, text).expect("a file");
    fs::rename(part, discovered).expect("a file");
}

/// What was told once nothing more comes.
fn when_still(envoy: &Envoy) -> Told {
    let mut last = told(&envoy.log());
    for _ in 0..40 {
        thread::sleep(STILL);
        let now = told(&envoy.log());
        if now == last {
            break;
        }
        last = now;
    }
    last
}

fn told(log: &str) -> Told {
    let mut all = Log::default();
    all.add(log);
    let mut told = Told::new();
    for side in Side::ALL {
        for plugin in 0..2 {
            for (instance, lines) in all.instances(side, &plugin_name(0, plugin)) {
                told.insert((side, plugin, instance), lines);
            }
        }
    }
    told
}

/// What the instances of a plugin told between `before` and `after`; instances that told the same are
/// one line.
fn phase(side: Side, plugin: usize, before: &Told, after: &Told) -> Vec<String> {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let own = after
        .iter()
        .filter(|((of, number, _), _)| (*of, *number) == (side, plugin));
    for (key, lines) in own {
        let known = before.get(key).map_or(0, Vec::len);
        let new = lines.get(known..).unwrap_or_default();
        if !new.is_empty() {
            *counts.entry(new.join(", ")).or_default() += 1;
        }
    }
    counts
        .into_iter()
        .map(|(lines, count)| format!("  {count} instances: {lines}"))
        .collect()
}
