//! How the cost grows: with plugins, headers, bodies, workers, streams, and the guest's size.

use std::path::Path;

use serde_json::{Value, json};

use crate::bootstrap::{Setup, Side};
use crate::case::{CONNECTIONS, micros, number};
use crate::envoy::Envoy;
use crate::guest;
use crate::load::{Load, Request};
use crate::options::Options;
use crate::stats::Series;

type Measure = fn(&Options) -> Value;

/// All curves.
pub(crate) const ALL: [(&str, Measure); 6] = [
    ("growth-plugins", plugins),
    ("growth-headers", headers),
    ("growth-body", body),
    ("growth-workers", workers),
    ("growth-streams", streams),
    ("growth-guest", guest_size),
];

/// A point of a curve: how the Envoys and their load differ from the usual.
struct Point {
    x: usize,
    work: &'static str,
    plugins: usize,
    headers: usize,
    body: usize,
    workers: u32,
    connections: usize,
    requests: usize,
}

impl Point {
    const fn new(x: usize, requests: usize) -> Self {
        Self {
            x,
            work: "headers",
            plugins: 1,
            headers: 0,
            body: 0,
            workers: 1,
            connections: CONNECTIONS,
            requests,
        }
    }
}

fn plugins(options: &Options) -> Value {
    let xs = options.pick(vec![0, 1, 10], vec![0, 1, 2, 5, 10, 20, 35, 50]);
    let points = xs.into_iter().map(|x| Point {
        plugins: x,
        ..Point::new(x, options.requests / 4)
    });
    curve(options, "plugins", points)
}

fn headers(options: &Options) -> Value {
    let xs = options.pick(vec![5, 100], vec![5, 10, 20, 40, 60, 80, 100]);
    let points = xs.into_iter().map(|x| Point {
        headers: x,
        ..Point::new(x, options.requests / 2)
    });
    curve(options, "headers more", points)
}

fn body(options: &Options) -> Value {
    let xs = options.pick(vec![1, 100], vec![1, 10, 100, 1_000, 10_000]);
    let points = xs.into_iter().map(|x| Point {
        work: "rewrite",
        body: x << 10,
        connections: 8,
        ..Point::new(x, (options.requests / (1 + x / 10)).max(32))
    });
    curve(options, "KB of body, rewritten", points)
}

fn workers(options: &Options) -> Value {
    let points = [1, 2].into_iter().map(|workers| Point {
        workers,
        ..Point::new(workers as usize, options.requests)
    });
    curve(options, "workers", points)
}

fn streams(options: &Options) -> Value {
    let xs = options.pick(vec![1, 100], vec![1, 10, 100, 1_000, 10_000]);
    let open = open_files();
    let points = xs
        .into_iter()
        .filter(|x| {
            let fits = x + SPARE_FILES < open;
            if !fits {
                eprintln!("growth: no {x} streams at once, only {open} files may be open");
            }
            fits
        })
        .map(|x| Point {
            connections: x,
            ..Point::new(x, options.requests.max(x * 2))
        });
    curve(options, "streams at once", points)
}

/// Files that a process has open beside its connections, and more.
const SPARE_FILES: usize = 500;

/// Files that this process and its children may open, each.
fn open_files() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap_or_default();
    let line = limits
        .lines()
        .find_map(|line| line.strip_prefix("Max open files"));
    let soft = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    soft.unwrap_or(1024)
}

/// What one plugin (or as many as there are) adds at each point, in V8 and in ours.
fn curve(options: &Options, unit: &str, points: impl Iterator<Item = Point>) -> Value {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let measured: Vec<_> = points
        .map(|point| {
            eprintln!("growth: {} {unit}", point.x);
            added(options, directory.path(), &point)
        })
        .collect();
    json!({
        "x": unit,
        "y": "added CPU, µs a request",
        "points": measured,
    })
}

fn added(options: &Options, directory: &Path, point: &Point) -> Value {
    let modules: Vec<_> = (0..point.plugins)
        .map(|number| guest::distinct(directory, number))
        .collect();
    let mut runs: Vec<_> = [Side::None, Side::V8, Side::Ours]
        .into_iter()
        .map(|side| {
            let setup = Setup {
                side,
                work: point.work,
                modules: modules.clone(),
                workers: point.workers,
                body: point.body,
                callout: None,
                cache: None,
            };
            let envoy = Envoy::start(options, &setup);
            connect(&envoy, point).run(point.requests);
            envoy.wait_until_idle();
            (envoy, Series::default())
        })
        .collect();
    for _ in 0..options.pick(3, 9) {
        for (envoy, cpu) in &mut runs {
            let mut load = connect(envoy, point);
            let before = envoy.cpu();
            load.run(point.requests);
            let spent = envoy.cpu() - before;
            cpu.extend([micros(spent) / number(point.requests)]);
        }
    }
    let [none, v8, ours] = [0, 1, 2].map(|run: usize| &runs[run].1);
    json!({
        "x": point.x,
        "none_total": none.json(),
        "v8": v8.less(none).json(),
        "ours": ours.less(none).json(),
    })
}

/// Connections to one Envoy, each of which was used. Those of one side at a time, since all together
/// may be more than a process may open.
fn connect(envoy: &Envoy, point: &Point) -> Load {
    let request = Request::with_headers(point.headers);
    let mut load = Load::new(envoy.port, point.connections, request);
    load.run(point.connections);
    load
}

/// Seconds to the first answer against the guest's size.
fn guest_size(options: &Options) -> Value {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let megabytes = options.pick(vec![3, 6], vec![3, 6, 12, 18, 24]);
    let points = megabytes.into_iter().map(|x| {
        let module = guest::large(directory.path(), x << 20);
        let start = |side, cache: Option<&str>| {
            let rounds = (0..options.pick(1, 3)).map(|_| {
                let setup = Setup {
                    side,
                    work: "large",
                    modules: vec![module.clone()],
                    workers: 1,
                    body: 0,
                    callout: None,
                    cache: cache.map(|name| directory.path().join(name)),
                };
                Envoy::start(options, &setup).started_in.as_secs_f64()
            });
            rounds.collect::<Series>().json()
        };
        eprintln!("growth: a guest of {x} MB");
        let cold = start(Side::Ours, None);
        let cache = format!("cache-{x}");
        start(Side::Ours, Some(&cache));
        json!({
            "x": x,
            "v8": start(Side::V8, None),
            "ours": cold,
            "ours_warm": start(Side::Ours, Some(&cache)),
        })
    });
    let points: Vec<_> = points.collect();
    json!({ "x": "MB of guest", "y": "seconds to the first answer", "points": points })
}

/// The medians of a side of `curve`, each with what it is for.
pub(crate) fn points(curve: &Value, side: &str) -> Vec<(f64, f64)> {
    let of = |point: &Value| Some((point["x"].as_f64()?, point[side]["median"].as_f64()?));
    let points = curve["points"].as_array().into_iter().flatten();
    points.filter_map(of).collect()
}

/// How much more a side of `curve` is for each more, by least squares.
pub(crate) fn slope(curve: &Value, side: &str) -> f64 {
    let points = points(curve, side);
    let count = number(points.len());
    let mean = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).sum::<f64>() / count;
    let (x, y) = (mean(|point| point.0), mean(|point| point.1));
    let both: f64 = points.iter().map(|(px, py)| (px - x) * (py - y)).sum();
    let square: f64 = points.iter().map(|(px, _)| (px - x).powi(2)).sum();
    both / square
}
