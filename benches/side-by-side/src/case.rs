//! What a plugin adds to a request: processor time, latency, requests a second.

use std::time::Duration;

use serde_json::{Map, Value, json};

use crate::bootstrap::{Setup, Side};
use crate::envoy::Envoy;
use crate::guest;
use crate::load::{Load, Request};
use crate::options::Options;
use crate::stats::Series;

/// Connections that requests come over.
pub(crate) const CONNECTIONS: usize = 32;

/// A round goes round the sides so many times: what disturbs it for a second disturbs all alike.
const SLICES: usize = 20;

/// Latencies are taken in windows, in turn for each side, and the median window counts: the
/// machine's own pauses of milliseconds are in some of them, and alone decide the p99 of a second.
const WINDOW: Duration = Duration::from_millis(50);
const WINDOWS: usize = 20;

/// Work of a plugin, or of several in a row.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    work: &'static str,
    plugins: usize,
    body: usize,
    calls: bool,
}

impl Case {
    const fn new(name: &'static str, title: &'static str, work: &'static str) -> Self {
        Self {
            name,
            title,
            work,
            plugins: 1,
            body: 0,
            calls: false,
        }
    }
}

/// All cases, in the report's order.
pub(crate) const ALL: [Case; 6] = [
    Case::new("nothing", "do nothing", "nothing"),
    Case::new("headers", "3 header gets, 4 sets", "headers"),
    Case {
        plugins: 5,
        ..Case::new("chain", "five of these in a row", "headers")
    },
    Case {
        body: 10 << 10,
        ..Case::new("read", "read a 10 KB body", "read")
    },
    Case {
        body: 10 << 10,
        ..Case::new("rewrite", "rewrite a 10 KB body", "rewrite")
    },
    Case {
        calls: true,
        ..Case::new("callout", "one callout", "callout")
    },
];

/// An Envoy of a side, and its connections.
struct Run {
    side: Side,
    envoy: Envoy,
    load: Load,
}

/// What was measured of a side.
#[derive(Default)]
struct Measured {
    cpu: Series,
    rate: Series,
    p50: Series,
    p99: Series,
}

/// Measures `case` on all sides. Each round has Envoys of its own: where code and data of a process
/// come to lie makes a difference of a microsecond, for as long as it lives.
pub(crate) fn measure(options: &Options, case: Case) -> (Case, Value) {
    let service = case.calls.then(|| {
        let setup = setup(Side::None, &Case::new("", "", "nothing"), None);
        Envoy::start(options, &setup)
    });
    let service = service.as_ref().map(|envoy| envoy.port);
    let mut all: [Measured; Side::ALL.len()] = Default::default();
    let mut rate = f64::INFINITY;
    for round in 0..options.rounds {
        let mut runs = start(options, &case, service);
        // Nobody is always first.
        runs.rotate_left(round % Side::ALL.len());
        let mut sums = [(Duration::ZERO, Duration::ZERO); Side::ALL.len()];
        for _ in 0..SLICES {
            for (run, (spent, took)) in runs.iter_mut().zip(&mut sums) {
                let before = run.envoy.cpu();
                *took += run.load.run(options.requests / SLICES);
                *spent += run.envoy.cpu() - before;
            }
        }
        let requests = number(options.requests / SLICES * SLICES);
        for (run, (spent, took)) in runs.iter().zip(sums) {
            let measured = &mut all[run.side as usize];
            measured.cpu.extend([micros(spent) / requests]);
            measured.rate.extend([requests / took.as_secs_f64()]);
        }
        // The same for all: what half loads the slowest.
        let peaks = all.iter().map(|measured| measured.rate.median());
        rate = peaks.fold(f64::INFINITY, f64::min) / 2.0;
        let windows = options.pick(5, WINDOWS);
        for _ in 0..windows {
            for run in &mut runs {
                let latencies = run.load.run_at(rate, WINDOW);
                let measured = &mut all[run.side as usize];
                measured.p50.extend([latencies.quantile(0.5)]);
                measured.p99.extend([latencies.quantile(0.99)]);
            }
        }
        eprintln!("{}: round {} of {}", case.name, round + 1, options.rounds);
    }
    (case, result(&all, rate))
}

/// Starts an Envoy for each side, and has it serve until its compilers are done.
fn start(options: &Options, case: &Case, service: Option<u16>) -> Vec<Run> {
    let runs = Side::ALL.into_iter().map(|side| {
        let envoy = Envoy::start(options, &setup(side, case, service));
        let mut load = Load::new(envoy.port, CONNECTIONS, Request::usual());
        load.run(options.requests / 4);
        envoy.wait_until_idle();
        Run { side, envoy, load }
    });
    runs.collect()
}

fn setup(side: Side, case: &Case, service: Option<u16>) -> Setup {
    Setup {
        side,
        work: case.work,
        modules: vec![guest::usual(); case.plugins],
        workers: 1,
        body: case.body,
        callout: service,
        cache: None,
    }
}

fn result(all: &[Measured; Side::ALL.len()], rate: f64) -> Value {
    let base = &all[Side::None as usize];
    let sides = Side::ALL.into_iter().map(|side| {
        let measured = &all[side as usize];
        let mut of = json!({
            "cpu_us": measured.cpu.json(),
            "peak_per_second": measured.rate.json(),
            "p50_us": measured.p50.json(),
            "p99_us": measured.p99.json(),
        });
        if side != Side::None {
            of["added_cpu_us"] = measured.cpu.less(&base.cpu).json();
        }
        (side.name().to_owned(), of)
    });
    json!({ "sides": sides.collect::<Map<_, _>>(), "rate_of_latencies": rate.round() })
}

pub(crate) fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

#[allow(clippy::cast_precision_loss, reason = "counts of a benchmark")]
pub(crate) fn number(count: usize) -> f64 {
    count as f64
}
