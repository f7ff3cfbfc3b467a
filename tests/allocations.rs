//! Requests allocate nothing once plugins have seen some: neither does the host on their way, nor
//! does an instance for its contexts. Counted, so that it stays so.
//!
//! Writes what it counted to `target/bench/allocations.json`, for the report of `make bench`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../benches/support/mod.rs"]
mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::fs;

use support::{bench_settings, filters, loaded, module, process, stream};

/// The system's allocator; counts what each thread asks of it.
struct Counting;

thread_local! {
    static COUNT: Cell<u64> = const { Cell::new(0) };
}

fn count_one() {
    // A thread that ends may still allocate.
    let _counted = COUNT.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: all of it is the system's; the count neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count_one();
        // SAFETY: the caller's word.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller's word.
        unsafe { System.dealloc(block, layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count_one();
        // SAFETY: the caller's word.
        unsafe { System.realloc(block, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocations of `count` requests through `plugins` plugins that do `work`, after as many others.
fn allocations(plugins: usize, work: &str, count: u64) -> u64 {
    let process = process();
    let set = loaded(&process, &bench_settings(plugins, work));
    let filters = filters(&set);
    let run = || {
        let before = COUNT.get();
        (0..count).for_each(|_| stream(&filters));
        COUNT.get() - before
    };
    run();
    run()
}

#[test]
fn requests_allocate_nothing() {
    const REQUESTS: u64 = 1000;
    let counted = [("nothing", 1), ("headers", 1), ("chain", 5)].map(|(name, plugins)| {
        let work = if name == "chain" { "headers" } else { name };
        (name, allocations(plugins, work, REQUESTS))
    });
    let report = module("target/bench/allocations.json");
    let lines = counted.map(|(name, count)| {
        #[allow(clippy::cast_precision_loss, reason = "a small count")]
        let each = count as f64 / REQUESTS as f64;
        format!("  \"{name}\": {each}")
    });
    fs::create_dir_all(report.parent().expect("a directory")).expect("a directory");
    fs::write(&report, format!("{{\n{}\n}}\n", lines.join(",\n"))).expect("a report");
    assert!(counted.iter().all(|(_, count)| *count == 0), "{counted:?}");
}
