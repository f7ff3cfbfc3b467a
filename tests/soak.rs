//! Steady traffic through plugins of every phase, and streams that end in every way there is: nothing
//! fails, nothing grows, nothing stays.
//!
//! A test binary of its own, so that cargo runs nothing else beside it.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "soak/ends.rs"]
mod ends;
mod support;

use std::time::Duration;

use support::bootstrap::Bootstrap;
use support::envoy::{Envoy, complaints};
use support::guests::{Guests, plugin};
use support::upstream::Upstream;
use support::{NEWEST, load};

const CONNECTIONS: usize = 64;

/// Until connections, instances and allocator arenas are there.
const WARM_UP: Duration = Duration::from_secs(3);

const SOAK: Duration = Duration::from_secs(8);

#[test]
fn traffic_neither_fails_nor_grows_memory() {
    let guests = Guests::new();
    let mark = guests.mark();
    let upstream = Upstream::canned(b"ok");
    let plugins: String = ["AUTHN", "AUTHZ", "STATS", "UNSPECIFIED_PHASE"]
        .iter()
        .map(|phase| {
            let name = phase.to_lowercase().replace('_', "-");
            let spec = format!("phase: {phase}\npluginConfig: {{ phase: {phase} }}");
            plugin(&name, &mark, &spec)
        })
        .collect();
    let bootstrap = Bootstrap::new(upstream.port()).filter(&format!("plugins:\n{plugins}"));
    let envoy = Envoy::start(NEWEST, &bootstrap.render());
    let run = |length| load::run(bootstrap.port(), "/", &[], CONNECTIONS, length);

    run(WARM_UP);
    let before = envoy.memory();
    let load = run(SOAK);
    let after = envoy.memory();

    assert_eq!(load.errors, [""; 0], "broken connections");
    assert_eq!(
        load.statuses.keys().copied().collect::<Vec<_>>(),
        [200],
        "{:?}",
        load.statuses
    );
    assert!(load.answered > 1000, "{} requests only", load.answered);
    assert!(
        after < before + before / 10,
        "memory grew from {before} to {after} bytes over {} requests",
        load.answered
    );
    assert_eq!(complaints(&envoy.log()), [""; 0]);
}
