//! What the tests on real Envoys share: starting Envoy with the built module, configurations,
//! a client, an upstream and a load generator. Threads and blocking sockets, nothing else.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod bootstrap;
pub(crate) mod envoy;
pub(crate) mod faulty;
pub(crate) mod guests;
pub(crate) mod http;
pub(crate) mod images;
pub(crate) mod install;
pub(crate) mod load;
pub(crate) mod module;
pub(crate) mod mounted;
pub(crate) mod registry;
pub(crate) mod upstream;
pub(crate) mod witness;

use std::net::{Ipv4Addr, TcpListener};
use std::str::FromStr;
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use wasmplugin_host::plugin::{self, FetchSettings};

/// The Envoys in which the module must work, oldest first.
pub(crate) const ENVOYS: [&str; 3] = ["1.38.3", "1.39.3", NEWEST];

/// The Envoy of tests that need just one: the version pinned in `envoy/VERSION`.
pub(crate) const NEWEST: &str = "1.40.0";

/// A TCP port that nothing listens on, never the same twice in one process.
///
/// Taken from below the range from which the system serves outgoing connections (32768 upwards on
/// Linux), so that no connection takes it between here and its use.
pub(crate) fn free_port() -> u16 {
    const FIRST: u16 = 12_000;
    const COUNT: u16 = 20_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run side by side start at different places.
    let start = (std::process::id().wrapping_mul(331) % u32::from(COUNT)) as u16;
    for _ in 0..COUNT {
        let step = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + start.wrapping_add(step) % COUNT;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port");
}

/// The number in the environment variable `name`, which makes a test longer than usual.
pub(crate) fn asked<T: FromStr>(name: &str, usual: T) -> T {
    let asked = std::env::var(name).ok();
    asked.and_then(|text| text.parse().ok()).unwrap_or(usual)
}

/// What settings, in YAML, say of fetching.
pub(crate) fn fetch_settings(settings: &str) -> FetchSettings {
    let no_file = |_: &str| Err(std::io::ErrorKind::NotFound.into());
    let plan = plugin::plan(settings.as_bytes(), &no_file);
    plan.unwrap_or_else(|problems| panic!("{problems}")).fetch
}

/// Asks `done` until it answers; panics with `what` after `limit`.
pub(crate) fn wait_for<T>(what: &str, limit: Duration, mut done: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(value) = done() {
            return value;
        }
        assert!(start.elapsed() < limit, "waited {limit:?} for {what}");
        thread::sleep(Duration::from_millis(20));
    }
}
