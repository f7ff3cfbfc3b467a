//! What holds where nothing is written, and the bounds of what may be written. Bounds of resources
//! that Istio sets stand in [`super::fields`].

use std::ops::RangeInclusive;
use std::time::Duration;

/// `workload.namespace`: the namespace that Kubernetes itself falls back to.
pub const NAMESPACE: &str = "default";

/// `rootNamespace`: Istio's `meshConfig.rootNamespace` in an ordinary installation.
pub const ROOT_NAMESPACE: &str = "istio-system";

/// `limits.callDeadline`: a plugin that holds a worker this long holds every other request of
/// that worker, too; ordinary calls take microseconds.
pub const CALL_DEADLINE: Duration = Duration::from_millis(100);

/// `limits.startDeadline`: guests with a garbage collector or large rule sets need seconds to
/// start, and no request waits on a worker meanwhile.
pub const START_DEADLINE: Duration = Duration::from_secs(10);

/// `limits.memory`: several times what Go guests need with a few rules loaded.
pub const MEMORY: u64 = 128 << 20;

/// `limits.tableElements`: ten times the functions that most guests call through a table. A larger
/// module may have as many as its own functions need.
pub const TABLE_ELEMENTS: u32 = 10_000;

/// `limits.openCallouts`: gateways of AI requests fan out to some dozens of services; a guest that
/// never looks at answers reaches this within seconds.
pub const OPEN_CALLOUTS: u32 = 1024;

/// `limits.sharedData`: token buckets of some hundred thousand clients.
pub const SHARED_DATA: u64 = 64 << 20;

/// `wasmplugin.io/fail-status`: what Envoy answers when its own Wasm filter fails closed.
pub const FAIL_STATUS: u16 = 503;

/// `fetch.timeout`: istiod's hard-coded timeout of a fetch.
pub const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// `fetch.attempts`: Istio's `WASM_HTTP_REQUEST_MAX_RETRIES`, which counts attempts.
pub const FETCH_ATTEMPTS: u32 = 5;

/// `fetch.maxModuleBytes`: Istio's `ISTIO_WASM_MAX_BINARY_SIZE_BYTES`.
pub const MAX_MODULE_BYTES: u64 = 256 << 20;

/// `fetch.blockedCidrs`: link-local addresses, where clouds serve credentials to whoever asks, and
/// the addresses of other such services. Settings add to these, as in Istio, and take none away.
pub const BLOCKED_CIDRS: [&str; 7] = [
    "169.254.0.0/16",
    "fe80::/10",
    "fd00:ec2::/32",
    "100.100.100.200/32",
    "168.63.129.16/32",
    "192.0.0.192/32",
    "fd20:ce::254/128",
];

/// `startup.wait`: as long as one fetch may take.
pub const STARTUP_WAIT: Duration = Duration::from_secs(30);

/// Deadlines: none would stop every call at once, and more than a day is a slip of the unit (and
/// could overflow a clock).
pub(super) const DEADLINES: RangeInclusive<Duration> =
    Duration::from_millis(1)..=Duration::from_secs(24 * 3600);

/// Waits: as [`DEADLINES`], and not to wait at all.
pub(super) const WAITS: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(24 * 3600);

/// Memory: one page, the least that a guest with memory can have, up to all that 32-bit addresses
/// reach.
pub(super) const MEMORIES: RangeInclusive<u64> = 64 << 10..=4 << 30;

/// Modules: the magic and the version, up to what 32 bits can count.
pub(super) const MODULES: RangeInclusive<u64> = 8..=4 << 30;

/// Table elements: anything that the type of tables can count.
pub(super) const TABLES: RangeInclusive<i128> = 1..=u32::MAX as i128;

/// Bodies: nothing at all, up to what 32 bits can count, which is what Envoy's own limit is.
pub(super) const BODIES: RangeInclusive<u64> = 1..=u32::MAX as u64;

/// Open callouts: none would make callouts fail for no visible reason; each costs a few hundred
/// bytes, so a million is a slip.
pub(super) const CALLOUTS: RangeInclusive<i128> = 1..=1_000_000;

/// Shared data: one small value, up to the memory of a large machine.
pub(super) const SHARED: RangeInclusive<u64> = 1 << 10..=64 << 30;

/// Refreshing: registries count pulls, so not more than one in ten seconds; up to a month.
pub(super) const REFRESHES: RangeInclusive<Duration> =
    Duration::from_secs(10)..=Duration::from_secs(30 * 24 * 3600);

/// Attempts: Istio's are unbounded; with its backoff of a minute a hundred last two hours.
pub(super) const ATTEMPTS: RangeInclusive<i128> = 1..=100;

/// Statuses of a reply: those that end a request.
pub(super) const STATUSES: RangeInclusive<i128> = 200..=599;

/// What a case of `wasmplugin test` does not say of its request and of the upstream's answer.
pub(super) mod request {
    pub(in super::super) const METHOD: &str = "GET";
    pub(in super::super) const SCHEME: &str = "http";
    pub(in super::super) const PATH: &str = "/";
    pub(in super::super) const AUTHORITY: &str = "localhost";
    pub(in super::super) const STATUS: u64 = 200;
}
