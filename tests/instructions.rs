//! Instructions of the hot paths, counted by valgrind's callgrind and held against a budget.
//!
//! Times vary by the half on a shared machine; counts of instructions do not. So a change that makes
//! a hot path longer by more than a twentieth fails here, and one that is meant says so in
//! `tests/instructions.txt` (`UPDATE_BUDGET=1 cargo test --test instructions` writes it). One that
//! makes it that much shorter fails, too: the budget is lowered, so that it stays so.
//!
//! The counts are those of the development build, whose checks are in them: good for comparing, not
//! for saying how fast it is (`make bench` does).

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "support/install.rs"]
mod install;
#[path = "../benches/support/mod.rs"]
mod support;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use install::install;
use support::guests::{self, FAMILIES};
use support::{filters, loaded, module, process, settings, stream, stream_with_body};
use wasmplugin_host::control::Filters;

/// Set in the process that runs under valgrind: the path that it is to run.
const PATH: &str = "WASMPLUGIN_COUNTED_PATH";

const BUDGET: &str = "tests/instructions.txt";

/// How far a count may be from its budget.
const TOLERANCE: f64 = 0.05;

/// The hot paths, each by a name that stands in the budget.
fn paths() -> Vec<String> {
    let mut paths: Vec<String> = ["nothing", "headers", "chain", "read", "rewrite"]
        .map(str::to_owned)
        .into();
    // Those that plugins call the most; a request makes a thousand of the calls.
    let hot = [
        "get a header",
        "set a header",
        "get all headers",
        "get a property",
    ];
    paths.extend(hot.map(str::to_owned));
    paths
}

/// Requests before those that are counted: the first ones allocate what later ones use.
const FIRST: usize = 20;

/// Requests that are counted.
const COUNTED: usize = 100;

/// Runs `path`. In the process that is counted.
fn run(path: &str) {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let process = process();
    let set = loaded(&process, &settings_of(path, directory.path()));
    let filters = filters(&set);
    requests(path, &filters, FIRST);
    counted_requests(path, &filters);
}

/// The function that valgrind counts: by its name, and on the thread that runs it.
#[inline(never)]
fn counted_requests(path: &str, filters: &Filters) {
    requests(path, filters, COUNTED);
}

fn requests(path: &str, filters: &Filters, count: usize) {
    static BODY: [u8; 10 << 10] = [b'a'; 10 << 10];
    for _ in 0..count {
        match path {
            "read" | "rewrite" => stream_with_body(filters, &BODY),
            _ => stream(filters),
        }
    }
}

/// Guests are compiled by whoever comes first: under valgrind that takes a minute.
fn settings_of(path: &str, directory: &Path) -> String {
    let kept = |count, guest: &Path, config: &str| {
        let cache = env!("CARGO_TARGET_TMPDIR");
        let settings = settings(count, guest, config);
        format!("cacheDir: {cache}/instructions\n{settings}")
    };
    let guest = module("benches/wasm/guest.wasm");
    match path {
        "chain" => kept(5, &guest, "{ work: headers }"),
        "nothing" | "headers" | "read" | "rewrite" => {
            kept(1, &guest, &format!("{{ work: {path} }}"))
        }
        family => {
            let (_, call) = FAMILIES
                .into_iter()
                .find(|(name, _)| *name == family)
                .expect("a family of host functions");
            let guest = guests::repeating(directory, call);
            kept(1, &guest, "{ key: value }")
        }
    }
}

/// What one request of `path` takes, on its own thread: what other threads do meanwhile depends on
/// the time.
fn count(path: &str) -> u64 {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let out = directory.path().join("callgrind.out");
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*counted_requests*"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(env::current_exe().expect("the path of this test"))
        .args(["--exact", "counted_process", "--test-threads=1"])
        .env(PATH, path)
        .stdin(Stdio::null())
        .output()
        .expect("valgrind starts");
    let text = fs::read_to_string(&out).unwrap_or_default();
    let total = text
        .lines()
        .find_map(|line| line.strip_prefix("totals: ")?.trim().parse::<u64>().ok());
    let total = total.filter(|total| *total > 0).unwrap_or_else(|| {
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        panic!("valgrind counted nothing of {path}:\n{error}")
    });
    total / COUNTED as u64
}

/// Not a test: what [`count`] runs under valgrind.
#[test]
fn counted_process() {
    if let Ok(path) = env::var(PATH) {
        run(&path);
    }
}

#[test]
fn hot_paths_keep_to_their_budget() {
    install(&["valgrind"]);
    let budget_file = module(BUDGET);
    let budget = read(&fs::read_to_string(&budget_file).unwrap_or_default());
    let counted: BTreeMap<_, _> = paths()
        .into_iter()
        .map(|path| {
            let count = count(&path);
            (path, count)
        })
        .collect();
    if env::var_os("UPDATE_BUDGET").is_some() {
        fs::write(&budget_file, write(&counted)).expect("the budget");
        return;
    }
    let mut problems = String::new();
    for (path, count) in &counted {
        let allowed = budget.get(path).copied().unwrap_or_default();
        #[allow(clippy::cast_precision_loss, reason = "counts of instructions")]
        let change = *count as f64 / allowed.max(1) as f64 - 1.0;
        if change.abs() > TOLERANCE {
            let percent = change * 100.0;
            writeln!(
                problems,
                "{path}: {count}, budget {allowed} ({percent:+.1} %)"
            )
            .expect("a string takes everything");
        }
    }
    assert!(
        problems.is_empty(),
        "instructions a request; UPDATE_BUDGET=1 accepts them:\n{problems}"
    );
}

const HEAD: &str = "# Instructions a request on each hot path; see tests/instructions.rs.\n";

fn write(counted: &BTreeMap<String, u64>) -> String {
    let lines = counted
        .iter()
        .map(|(path, count)| format!("{path}: {count}\n"));
    HEAD.chars()
        .chain(lines.collect::<String>().chars())
        .collect()
}

fn read(text: &str) -> BTreeMap<String, u64> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines
        .filter_map(|line| {
            let (path, count) = line.split_once(": ")?;
            Some((path.to_owned(), count.parse().ok()?))
        })
        .collect()
}
