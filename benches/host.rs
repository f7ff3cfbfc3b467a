//! Each layer on its own, without Envoy: plans, loading, and a request through plugins and the host
//! functions that they call.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    missing_docs,
    reason = "a benchmark that cannot run should say so; criterion's macros write no docs"
)]

mod support;

use std::cell::Cell;
use std::fs;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use support::guests::{self, CALLS, FAMILIES};
use support::{
    Passing, Routes, bench_settings, filters, loaded, module, plan, process, stream,
    stream_with_body,
};
use wasmplugin_host::chain::Filter;
use wasmplugin_host::control::{self, Deployment, Filters};
use wasmplugin_host::plugin::PhaseSet;
use wasmplugin_host::proxy_wasm::AbiVersion;

fn resources(c: &mut Criterion) {
    let mut group = c.benchmark_group("resources");
    group.sample_size(20);
    let settings = bench_settings(1000, "nothing");
    group.bench_function("plan of 1000", |b| b.iter(|| plan(black_box(&settings))));
    group.finish();
}

fn loading(c: &mut Criterion) {
    let mut group = c.benchmark_group("loading");
    group.sample_size(10);
    let wasm = fs::read(module("benches/wasm/guest.wasm")).expect("the guest is built");
    group.bench_function("find the ABI version", |b| {
        b.iter(|| AbiVersion::detect(black_box(&wasm)).expect("a plugin"));
    });
    let settings = bench_settings(1, "headers");
    group.bench_function("first plugin of a module", |b| {
        b.iter_batched(
            process,
            |process| loaded(&process, &settings),
            BatchSize::PerIteration,
        );
    });
    let directory = tempfile::tempdir().expect("a temporary directory");
    let cached = format!("cacheDir: {}\n{settings}", directory.path().display());
    drop(loaded(&process(), &cached));
    group.bench_function("first plugin of a module whose code is in cacheDir", |b| {
        b.iter_batched(
            process,
            |process| loaded(&process, &cached),
            BatchSize::PerIteration,
        );
    });
    let process = process();
    let _kept = loaded(&process, &bench_settings(1, "nothing"));
    group.bench_function("another plugin of the same module", |b| {
        b.iter(|| loaded(&process, &settings));
    });
    group.bench_function("the plugins of equal settings", |b| {
        let _kept = loaded(&process, &settings);
        b.iter(|| loaded(&process, &settings));
    });
    group.finish();
}

/// The plugins of the next stream, as the Envoy binding asks for them.
fn next_stream(deployment: &Arc<Deployment>) -> Filters {
    let generation = control::open(deployment, 1);
    control::opened();
    generation.base().filters(PhaseSet::ALL)
}

/// What an update costs: those who make it, the first stream that meets it, and the others.
fn swap(c: &mut Criterion) {
    let process = process();
    let mut group = c.benchmark_group("swap");
    for count in [1, 50] {
        let deployment = loaded(&process, &bench_settings(count, "nothing"));
        let routes = Routes::new(&process, &deployment);
        // A lineup more, and a pointer swapped.
        group.bench_function(format!("a route comes, {count} plugins"), |b| {
            let last = Cell::new(None);
            b.iter_batched(
                || {
                    last.take()
                        .into_iter()
                        .for_each(|route| routes.remove(route))
                },
                |()| last.set(Some(routes.add())),
                BatchSize::PerIteration,
            );
            last.take()
                .into_iter()
                .for_each(|route| routes.remove(route));
        });
        // A generation made anew, by a job's thread.
        group.bench_function(
            format!("a generation of {count} plugins is published"),
            |b| {
                b.iter_batched(
                    || routes.add(),
                    |route| routes.remove(route),
                    BatchSize::PerIteration,
                );
            },
        );
        group.bench_function(format!("its first stream, {count} plugins"), |b| {
            b.iter_batched(
                || routes.remove(routes.add()),
                |()| next_stream(&deployment),
                BatchSize::PerIteration,
            );
        });
        group.bench_function(format!("its further streams, {count} plugins"), |b| {
            b.iter(|| next_stream(&deployment));
        });
        let is_over = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| {
                while !is_over.load(Ordering::Relaxed) {
                    routes.remove(routes.add());
                }
            });
            let name = format!("streams while generations change, {count} plugins");
            group.bench_function(name, |b| b.iter(|| next_stream(&deployment)));
            is_over.store(true, Ordering::Relaxed);
        });
    }
    group.finish();
}

/// A stream's way without WebAssembly: which plugins it meets, and the machine that it passes through.
fn chain(c: &mut Criterion) {
    let process = process();
    let mut group = c.benchmark_group("chain");
    let deployment = loaded(&process, &bench_settings(1, "nothing"));
    group.bench_function("choose the generation", |b| {
        b.iter(|| {
            let generation = control::open(&deployment, 1);
            control::opened();
            generation
        });
    });
    for count in [1, 5, 50] {
        let filters: Filters = (0..count)
            .map(|_| Arc::new(Passing) as Arc<dyn Filter>)
            .collect();
        group.bench_function(format!("{count} filters that do nothing"), |b| {
            b.iter(|| stream(&filters));
        });
    }
    group.finish();
}

fn streams(c: &mut Criterion) {
    static BODY: [u8; 10 << 10] = [b'a'; 10 << 10];
    let process = process();
    let mut group = c.benchmark_group("stream");
    for count in [0, 1, 5] {
        for work in ["nothing", "headers"] {
            let set = loaded(&process, &bench_settings(count, work));
            let filters = filters(&set);
            group.bench_function(format!("{count} plugins, {work}"), |b| {
                b.iter(|| stream(&filters));
            });
        }
    }
    for work in ["read", "rewrite"] {
        let set = loaded(&process, &bench_settings(1, work));
        let filters = filters(&set);
        group.bench_function(format!("{work} a body of 10 KB"), |b| {
            b.iter(|| stream_with_body(&filters, &BODY));
        });
    }
    group.finish();
}

/// One call of each family of host functions, the guest's loop and the result's copy included.
fn hostcalls(c: &mut Criterion) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let process = process();
    let mut group = c.benchmark_group("hostcall");
    group.throughput(Throughput::Elements(CALLS));
    for (name, call) in FAMILIES {
        let module = guests::repeating(directory.path(), call);
        let set = loaded(&process, &support::settings(1, &module, "{ key: value }"));
        let filters = filters(&set);
        group.bench_function(name, |b| b.iter(|| stream(&filters)));
    }
    group.finish();
}

criterion_group!(benches, resources, loading, swap, chain, streams, hostcalls);
criterion_main!(benches);
