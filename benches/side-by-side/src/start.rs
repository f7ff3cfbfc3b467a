//! From the start of the process to the first answer, with a large guest.

use serde_json::{Value, json};

use crate::bootstrap::{Setup, Side};
use crate::envoy::Envoy;
use crate::guest;
use crate::options::Options;
use crate::stats::Series;

/// Bytes of the guest.
const SIZE: usize = 16 << 20;

/// Measures starts in turn: without a plugin, in V8, and in ours with an empty and a filled cache.
pub(crate) fn measure(options: &Options) -> Value {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let size = options.pick(4 << 20, SIZE);
    let module = guest::large(directory.path(), size);
    let setup = |side, cache| Setup {
        side,
        work: "large",
        modules: vec![module.clone()],
        workers: 1,
        body: 0,
        callout: None,
        cache,
    };
    let (mut none, mut v8) = (Series::default(), Series::default());
    let (mut cold, mut warm) = (Series::default(), Series::default());
    let seconds = |setup: &Setup| {
        let envoy = Envoy::start(options, setup);
        envoy.started_in.as_secs_f64()
    };
    let rounds = options.pick(2, 5);
    for round in 0..rounds {
        let cache = directory.path().join(format!("cache-{round}"));
        none.extend([seconds(&setup(Side::None, None))]);
        v8.extend([seconds(&setup(Side::V8, None))]);
        cold.extend([seconds(&setup(Side::Ours, Some(cache.clone())))]);
        warm.extend([seconds(&setup(Side::Ours, Some(cache)))]);
        eprintln!("start: round {} of {rounds}", round + 1);
    }
    json!({
        "guest_bytes": size,
        "none_s": none.json(),
        "v8_s": v8.json(),
        "ours_cold_s": cold.json(),
        "ours_warm_s": warm.json(),
    })
}
