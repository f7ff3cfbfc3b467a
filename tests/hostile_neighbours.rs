//! What the neighbours of a hostile guest notice: their latency, compared with that beside a good
//! guest, in the same run.
//!
//! Two Envoys stand side by side, one with the hostile guest and one without, and are asked in turns.
//! A machine that is busy with other things disturbs both, though never equally: so the best of some
//! tries counts, and what is below [`FLOOR`] is no difference.
//!
//! `HOSTILE_GUEST` selects guests by a part of their name, from all of them.
#![allow(
    clippy::expect_used,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "hostile/assembler.rs"]
mod assembler;
#[path = "hostile/corpus/mod.rs"]
#[allow(dead_code, reason = "what becomes of streams is of no interest here")]
mod corpus;
mod support;

use std::env;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corpus::Hostile;
use support::NEWEST;
use support::bootstrap::Bootstrap;
use support::envoy::{Envoy, Launch};
use support::guests::{Guests, plugin};
use support::http::Connection;
use support::upstream::Upstream;

/// One of each kind.
const USUAL: &[&str] = &[
    "loops-in-request-headers",
    "recurses-in-response-headers",
    "grows-and-traps",
    "keeps-shared-data",
    "keeps-calls",
    "ticks-at-full-speed",
    "two-items-for-each-item",
    "calls-and-calls-again",
    "logs-for-ever",
    "compresses-for-ever",
];

/// How often, and how long, each of the two Envoys is asked.
const TURNS: usize = 4;
const TURN: Duration = Duration::from_millis(400);

/// The most that the slowest percent of requests may slow down.
const RATIO: f64 = 2.0;

/// Latencies below this are as good as this: a thread of a busy machine waits as long for its turn.
const FLOOR: Duration = Duration::from_millis(5);

const TRIES: usize = 4;

#[test]
fn neighbours_of_hostile_guests_keep_their_latency() {
    let guests = Guests::new();
    let upstream = Upstream::marks_with_trailer();
    let mark = guests.mark();
    let quiet = Side::start(&upstream, &mark, &mark);
    let mut slow = Vec::new();
    for hostile in chosen() {
        let module = guests.file("hostile.wasm", &hostile.guest.assemble());
        let mut best = f64::INFINITY;
        for _ in 0..TRIES {
            // A new one: what fails is tried less and less often.
            let loud = Side::start(&upstream, &mark, &module);
            let (without, with) = compare(&quiet, &loud);
            let floor = |latency: Duration| latency.max(FLOOR).as_secs_f64();
            let ratio = floor(with) / floor(without);
            println!(
                "{}: p99 {without:?} without, {with:?} with it: {:.2}",
                hostile.name,
                with.as_secs_f64() / without.as_secs_f64()
            );
            best = best.min(ratio);
            if best < RATIO {
                break;
            }
        }
        if best >= RATIO {
            slow.push((hostile.name, best));
        }
    }
    assert!(slow.is_empty(), "{slow:?}");
}

fn chosen() -> Vec<Hostile> {
    let mut chosen = corpus::all();
    match env::var("HOSTILE_GUEST") {
        Ok(part) => chosen.retain(|hostile| hostile.name.contains(&part)),
        Err(_) => chosen.retain(|hostile| USUAL.contains(&hostile.name.as_str())),
    }
    assert!(!chosen.is_empty(), "no guest of that name");
    chosen
}

/// An Envoy with a neighbour, and a listener with another guest.
struct Side {
    _envoy: Envoy,
    neighbour: u16,
    other: u16,
}

impl Side {
    /// A plugin that fails is tried again, so that it goes on being hostile.
    fn start(upstream: &Upstream, mark: &Path, module: &Path) -> Self {
        let settings = |name, module| {
            let plugin = plugin(name, module, "failStrategy: FAIL_RELOAD");
            format!("plugins:\n{plugin}")
        };
        let bootstrap = Bootstrap::new(upstream.port())
            .trailers()
            .filter(&settings("neighbour", mark))
            .listener()
            .filter(&settings("other", module));
        let ports = bootstrap.ports();
        Self {
            _envoy: Launch::new(NEWEST).start(&bootstrap.render()),
            neighbour: ports[0],
            other: ports[1],
        }
    }

    /// Latencies of the neighbour while somebody asks for the other guest.
    fn ask(&self) -> Vec<Duration> {
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    // Whatever comes of it.
                    let _answer = Connection::open(self.other)
                        .and_then(|open| open.patience(TURN))
                        .and_then(|mut open| open.post_with_trailer("/", "hello"));
                    thread::sleep(Duration::from_millis(5));
                }
            });
            let mut latencies = Vec::new();
            let end = Instant::now() + TURN;
            let mut connection = Connection::open(self.neighbour).expect("a listener");
            while Instant::now() < end {
                let begin = Instant::now();
                let response = connection.request("GET", "/", &[], b"").expect("an answer");
                latencies.push(begin.elapsed());
                assert_eq!(response.status, 200);
            }
            done.store(true, Ordering::Release);
            latencies
        })
    }
}

/// What 99 of 100 requests do not exceed, at either Envoy.
fn compare(quiet: &Side, loud: &Side) -> (Duration, Duration) {
    let (mut without, mut with) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        without.extend(quiet.ask());
        with.extend(loud.ask());
    }
    (p99(without), p99(with))
}

fn p99(mut latencies: Vec<Duration>) -> Duration {
    latencies.sort_unstable();
    latencies[latencies.len() * 99 / 100]
}
