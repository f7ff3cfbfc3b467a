//! Guests that do what no plugin should, in real Envoys: Envoy lives, what stands beside them serves,
//! and their streams get what their fail strategy says.
//!
//! The environment variable `HOSTILE_GUEST` selects guests by a part of their name.
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
mod corpus;
mod support;

use std::env;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use corpus::{Fate, Hostile};
use support::bootstrap::Bootstrap;
use support::envoy::{Envoy, Launch};
use support::guests::{Guests, plugin};
use support::http::{Connection, Response};
use support::upstream::Upstream;
use support::{NEWEST, wait_for};

/// Guests that loop are stopped after this; those that are told no must not be stopped before.
const SHORT: &str = "50ms";
const LONG: &str = "20s";

/// How long a plugin takes at most that fails by itself.
const SOON: Duration = Duration::from_secs(20);

/// How long a client of a hostile guest waits: some leave it without an end.
const PATIENCE: Duration = Duration::from_secs(5);

/// The longest that a request of somebody else takes. One worker serves all, so it waits for the
/// deadlines of the others, of which the longest is [`LONG`]; and tests run on busy machines.
const NEIGHBOUR: Duration = Duration::from_secs(25);

/// A guest that takes longer is worth a line.
const SLOW: Duration = Duration::from_secs(2);

/// What Envoy may take at the end, in bytes.
const MEMORY: u64 = 1 << 30;

#[test]
fn fail_close_refuses_the_streams_of_hostile_guests_and_no_others() {
    run("FAIL_CLOSE", 1, |envoy, port, hostile| {
        let fails = |response: &io::Result<Response>| matches!(response, Ok(response) if response.status == 503);
        let first = post(port);
        match hostile.fate {
            Fate::Never | Fate::Fails | Fate::FailsChanged => {
                assert!(fails(&first), "{}: {first:?}", hostile.name)
            }
            Fate::Cut | Fate::CutChanged => assert!(first.is_err(), "{}: {first:?}", hostile.name),
            Fate::FailsAfter => {
                serves(&first, &hostile.name);
                wait_for(&hostile.name, SOON, || fails(&post(port)).then_some(()));
            }
            Fate::FailsLater => {
                wait_for(&hostile.name, SOON, || fails(&post(port)).then_some(()));
            }
            Fate::Lives => serves(&first, &hostile.name),
            Fate::Answers(status) => {
                let found = first.as_ref().map(|response| response.status);
                assert_eq!(found.ok(), Some(status), "{}: {first:?}", hostile.name);
            }
            Fate::Any => {}
        }
        let word = match hostile.fate {
            Fate::Never => "unavailable",
            Fate::Fails | Fate::FailsAfter | Fate::FailsLater => "failed",
            _ => return,
        };
        envoy.wait_for_log(&format!(
            "access {port} / 503 wasmplugin.{word}{{default/hostile}}"
        ));
    });
}

#[test]
fn fail_open_serves_streams_without_the_hostile_guest() {
    run("FAIL_OPEN", 1, |_, port, hostile| {
        let first = post(port);
        match hostile.fate {
            Fate::Answers(status) => {
                let found = first.as_ref().map(|response| response.status);
                assert_eq!(found.ok(), Some(status), "{}: {first:?}", hostile.name);
            }
            Fate::Any | Fate::FailsChanged | Fate::CutChanged => {}
            _ => serves(&first, &hostile.name),
        }
        if !matches!(hostile.fate, Fate::Any | Fate::Answers(_)) {
            serves(&post(port), &hostile.name);
        }
    });
}

/// A fresh instance fails as the first one did, and the streams between them are refused.
#[test]
fn fail_reload_refuses_what_fails_and_tries_again() {
    run("FAIL_RELOAD", 2, |_, port, hostile| {
        let refused = |response: &io::Result<Response>| matches!(response, Ok(response) if response.status == 503);
        let name = &hostile.name;
        match hostile.fate {
            Fate::Never | Fate::Fails | Fate::FailsChanged => {
                let response = post(port);
                assert!(refused(&response), "{name}: {response:?}");
            }
            // Until the first request the instance is good, and so is the fresh one.
            Fate::FailsAfter => wait_for(name, SOON, || {
                let response = post(port);
                (!refused(&response)).then(|| serves(&response, name))
            }),
            _ => drop(post(port)),
        }
    });
}

/// The whole response came from the upstream, which saw the mark of the plugin in front.
fn serves(response: &io::Result<Response>, name: &str) {
    match response {
        Ok(response) => {
            assert_eq!(response.status, 200, "{name}: {response:?}");
            assert_eq!(response.text(), r#"{"good":true}"#, "{name}");
        }
        Err(error) => panic!("{name}: {error}"),
    }
}

fn post(port: u16) -> io::Result<Response> {
    post_for(port, PATIENCE)
}

fn post_for(port: u16, patience: Duration) -> io::Result<Response> {
    let mut connection = Connection::open(port)?.patience(patience)?;
    connection.post_with_trailer("/", "hello")
}

/// Starts an Envoy of one worker with a listener for each hostile guest, a good plugin in front of
/// each, and one listener with good plugins alone, which is asked for all the time. Has all of them
/// checked so many times, and Envoy quit.
fn run(strategy: &str, rounds: u32, check: impl Fn(&Envoy, u16, &Hostile)) {
    // One after the other: each keeps all of a machine busy. A poisoned lock is as good.
    static TURN: Mutex<()> = Mutex::new(());
    let _turn = TURN.lock();
    let guests = Guests::new();
    let mark = guests.mark();
    let upstream = Upstream::marks_with_trailer();
    let mut corpus = corpus::all();
    assert!(corpus.len() >= 60, "{} guests", corpus.len());
    if let Ok(part) = env::var("HOSTILE_GUEST") {
        corpus.retain(|hostile| hostile.name.contains(&part));
    }
    if rounds > 1 {
        // The others go on as they were.
        let is_stable = |fate| matches!(fate, Fate::Lives | Fate::Answers(_) | Fate::Any);
        corpus.retain(|hostile| !is_stable(hostile.fate));
    }
    let good = plugin("good", &mark, "priority: 1\npluginConfig: { good: true }");
    let mut bootstrap = Bootstrap::new(upstream.port())
        .trailers()
        .filter(&format!("plugins:\n{good}"));
    for hostile in &corpus {
        let module = guests.file(&format!("{}.wasm", hostile.name), &hostile.guest.assemble());
        let deadline = match hostile.fate {
            Fate::Lives | Fate::Answers(_) => LONG,
            _ => SHORT,
        };
        let plugin = plugin("hostile", &module, &format!("failStrategy: {strategy}"));
        let settings = format!(
            "limits: {{ callDeadline: {deadline}, startDeadline: 1s, memory: 16Mi }}\n\
             plugins:\n{good}{plugin}"
        );
        bootstrap = bootstrap.listener().filter(&settings);
    }
    let mut envoy = Launch::new(NEWEST)
        .concurrency(1)
        .start(&bootstrap.render());
    let ports = bootstrap.ports();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let neighbour = scope.spawn(|| keep_asking(ports[0], &done));
        // Also when a check panics.
        let stop = Stop(&done);
        let mut wrong = Vec::new();
        let mut failures = Vec::new();
        for _ in 0..rounds {
            for (hostile, port) in corpus.iter().zip(&ports[1..]) {
                let begin = Instant::now();
                // All of them are told, not the first alone.
                let checked = catch_unwind(AssertUnwindSafe(|| check(&envoy, *port, hostile)));
                if checked.is_err() {
                    wrong.push(hostile.name.as_str());
                }
                if begin.elapsed() > SLOW {
                    println!("{strategy}: {} took {:?}", hostile.name, begin.elapsed());
                }
                assert!(!neighbour.is_finished(), "{}: the neighbour", hostile.name);
            }
            failures.push(failures_of(&envoy));
        }
        assert_eq!(wrong, [""; 0]);
        let more = failures.windows(2).all(|pair| pair[0] < pair[1]);
        assert!(more, "no instance failed again: {failures:?}");
        drop(stop);
        let (asked, longest) = neighbour.join().expect("the neighbour is served");
        assert!(longest < NEIGHBOUR, "a neighbour waited {longest:?}");
        println!(
            "{strategy}: {} guests, {failures:?} failures; the neighbour asked {asked} times and \
             waited {longest:?} at most; Envoy takes {} MiB",
            corpus.len(),
            envoy.memory() >> 20
        );
    });
    assert_eq!(envoy.exited(), None, "Envoy has ended");
    assert!(envoy.memory() < MEMORY, "{} bytes", envoy.memory());
    let (status, log) = envoy.quit();
    assert!(status.success(), "{status}:\n{log}");
    assert!(!log.contains("bug in wasmplugin"), "a panic:\n{log}");
}

/// How often instances of hostile guests have failed.
fn failures_of(envoy: &Envoy) -> u64 {
    let stats = envoy.admin("/stats?filter=plugin_failures.plugin.default.hostile");
    let numbers = stats.text();
    let numbers = numbers.lines().filter_map(|line| line.rsplit(": ").next());
    numbers
        .filter_map(|number| number.parse::<u64>().ok())
        .sum()
}

/// Asks until it is told to stop; how often, and how long the longest answer took.
fn keep_asking(port: u16, done: &AtomicBool) -> (u64, Duration) {
    let (mut asked, mut longest) = (0, Duration::ZERO);
    while !done.load(Ordering::Acquire) {
        let begin = Instant::now();
        serves(&post_for(port, NEIGHBOUR), "the neighbour");
        longest = longest.max(begin.elapsed());
        asked += 1;
        thread::sleep(Duration::from_millis(5));
    }
    (asked, longest)
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}
