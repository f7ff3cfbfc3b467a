//! What a further plugin takes, on each worker.
//!
//! Each plugin is another module, as in life: copies of one module would share their code. The
//! memory is what the process has resident after requests have gone through all plugins and its
//! compilers are done.

use serde_json::{Map, Value, json};

use crate::bootstrap::{Setup, Side};
use crate::case::number;
use crate::envoy::Envoy;
use crate::guest;
use crate::load::{Load, Request};
use crate::options::Options;
use crate::stats::Series;

/// Plugins of the smaller and the larger Envoy.
const PLUGINS: [usize; 2] = [1, 11];

pub(crate) fn measure(options: &Options) -> Value {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let modules: Vec<_> = (0..PLUGINS[1])
        .map(|number| guest::distinct(directory.path(), number))
        .collect();
    let sides = [Side::V8, Side::Ours].into_iter().map(|side| {
        let of_workers = [1, 2].into_iter().map(|workers| {
            let rounds = (0..options.pick(1, 3)).map(|_| {
                let [small, large] = PLUGINS.map(|count| {
                    let setup = Setup {
                        side,
                        work: "headers",
                        modules: modules[..count].to_vec(),
                        workers,
                        body: 0,
                        callout: None,
                        cache: None,
                    };
                    used(options, &setup)
                });
                (large - small) / number(PLUGINS[1] - PLUGINS[0]) / 1024.0
            });
            (
                format!("kb_per_plugin_with_{workers}_workers"),
                rounds.collect::<Series>().json(),
            )
        });
        (
            side.name().to_owned(),
            Value::from(of_workers.collect::<Map<_, _>>()),
        )
    });
    json!(sides.collect::<Map<_, _>>())
}

/// Bytes that an Envoy has resident once it has served.
pub(crate) fn used(options: &Options, setup: &Setup) -> f64 {
    let envoy = Envoy::start(options, setup);
    Load::new(envoy.port, 32, Request::usual()).run(2_000);
    envoy.wait_until_idle();
    number(usize::try_from(envoy.memory()).expect("64 bits"))
}
