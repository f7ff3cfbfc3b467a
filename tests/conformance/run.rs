//! Running cases: one Envoy for many of them, both sides of each at once.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write as _;
use std::fs::File;
use std::io::Read as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use std::{env, fs};

use tokio::net::TcpSocket;
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::case::{Callout, Case, Message, read};
use super::client;
use super::configuration::{self, Backend, Lane, Modules, Side, edge};
use super::differences::{self, Difference};
use super::observation::{Log, Outside, observe};
use super::server::{self, Server};
use super::tls::Hops;
use crate::support::envoy::{Envoy, Launch};
use crate::support::{NEWEST, module};

/// Cases in one Envoy: each plugin is four virtual machines there.
const AT_ONCE: usize = 40;

/// Cases that run at the same time.
const PARALLEL: usize = 6;

/// The same for cases that seemed to fail.
const CAREFUL: usize = 1;

/// Plugins of others can be large.
const START: Duration = Duration::from_secs(300);

/// How long requests have to leave their line in the access log after clients are done.
const END: Duration = Duration::from_secs(4);

/// How long plugins have to see the end of a stream after that. Failed ones never do.
const QUIET: Duration = Duration::from_millis(400);

/// What both sides of a case showed.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) theirs: Vec<String>,
    pub(crate) ours: Vec<String>,
}

impl Outcome {
    pub(crate) fn agrees(&self) -> bool {
        self.theirs == self.ours
    }
}

/// Runs all cases of a topic that `CONFORMANCE_CASE` does not leave out, and panics with what
/// differs.
pub(crate) fn topic(name: &str) {
    let (cases, wanted) = selected(&module::root().join("tests/conformance/cases").join(name));
    let differences = differences::read();
    if wanted.is_empty() {
        let names: HashSet<_> = cases.iter().map(|case| case.name.as_str()).collect();
        for Difference { case, .. } in &differences {
            let own = case.split('/').next() == Some(name) && !case.ends_with("/*");
            assert!(
                !own || names.contains(case.as_str()),
                "differences.txt: there is no case {case}"
            );
        }
    }
    check(name, &cases, &differences);
}

/// The same for cases that stand elsewhere, with the rules for all topics.
pub(crate) fn elsewhere(directory: &Path) {
    let (cases, _) = selected(directory);
    check("elsewhere", &cases, &differences::read());
}

/// The cases of a directory that `CONFORMANCE_CASE` does not leave out, and what that says.
fn selected(directory: &Path) -> (Vec<Case>, String) {
    let wanted = env::var("CONFORMANCE_CASE").unwrap_or_default();
    let mut cases = read(directory);
    cases.retain(|case| case.name.contains(&wanted));
    (cases, wanted)
}

/// Runs `cases` and panics with what differs.
pub(crate) fn check(name: &str, cases: &[Case], differences: &[Difference]) {
    let outcomes = run(cases, PARALLEL);
    let mut doubtful = Vec::new();
    for (case, outcome) in cases.iter().zip(&outcomes) {
        show(case, outcome);
        if judge(case, outcome, differences).is_some() {
            doubtful.push(case.clone());
        }
    }
    // Once more in another Envoy, in peace: a busy machine splits and joins what it reads.
    let mut report = String::new();
    let mut failed = 0;
    for (case, outcome) in doubtful.iter().zip(&run(&doubtful, CAREFUL)) {
        match judge(case, outcome, differences) {
            None => eprintln!("{}: only at the second attempt", case.name),
            Some(complaint) => {
                failed += 1;
                let _ = write!(report, "\n=== {}\n{complaint}{}", case.name, case.source);
            }
        }
    }
    assert!(
        failed == 0,
        "{failed} of {} cases of {name} fail:\n{report}",
        cases.len()
    );
}

/// Panics with what differs between both sides of a case that has run.
pub(crate) fn check_outcome(case: &Case, outcome: &Outcome) {
    show(case, outcome);
    if let Some(complaint) = judge(case, outcome, &differences::read()) {
        panic!("{}:\n{complaint}", case.name);
    }
}

fn show(case: &Case, outcome: &Outcome) {
    if env::var_os("CONFORMANCE_SHOW").is_some() {
        if outcome.agrees() {
            eprintln!("=== {}\n    {}", case.name, outcome.ours.join("\n    "));
        } else {
            let shown = differences::shown(&outcome.theirs, &outcome.ours);
            eprintln!("=== {} (differs)\n{shown}", case.name);
        }
    }
}

/// What is wrong with a case, if anything is.
fn judge(case: &Case, outcome: &Outcome, differences: &[Difference]) -> Option<String> {
    let Outcome { theirs, ours } = outcome;
    let program_error = ours
        .iter()
        .chain(theirs)
        .find(|line| line.contains("program error: "));
    if let Some(line) = program_error {
        return Some(format!("{line}\n"));
    }
    if case.ours_only {
        let expected: Vec<_> = case.expect.iter().map(|line| line.trim()).collect();
        let found: Vec<_> = ours.iter().map(|line| line.trim()).collect();
        return (expected != found).then(|| {
            format!(
                "not as the case expects (`-` expected, `+` found):\n{}",
                differences::shown(
                    &expected.into_iter().map(str::to_owned).collect::<Vec<_>>(),
                    &found.into_iter().map(str::to_owned).collect::<Vec<_>>(),
                )
            )
        });
    }
    let topic = case.name.split('/').next().unwrap_or_default();
    let rules: Vec<_> = differences
        .iter()
        .filter(|known| known.is_rule_of(topic))
        .collect();
    let own = differences.iter().find(|known| known.case == case.name);
    let changes = differences::changes(theirs, ours);
    let unexplained = differences::unexplained(&changes, &rules, own);
    (!unexplained.is_empty()).then(|| {
        format!(
            "{}\n(`-` Envoy's filter, `+` ours)\n{}",
            unexplained.join("\n"),
            differences::shown(theirs, ours)
        )
    })
}

/// Both sides of all `cases`.
pub(crate) fn run(cases: &[Case], parallel: usize) -> Vec<Outcome> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    cases
        .chunks(AT_ONCE)
        .flat_map(|chunk| runtime.block_on(chunk_of(chunk, parallel)))
        .collect()
}

/// A lane with its servers.
struct Stand {
    lane: Lane,
    upstream: Behind,
    callouts: Vec<(String, Behind)>,
}

/// What answers, or does not, behind a cluster.
enum Behind {
    Server(Server),
    /// A port where nothing listens; taken, so that nobody else gets it.
    Closed(TcpSocket),
    Nothing,
}

impl Behind {
    /// The requests that came.
    fn seen(&self) -> Vec<server::Seen> {
        match self {
            Self::Server(server) => server.seen(),
            Self::Closed(_) | Self::Nothing => Vec::new(),
        }
    }

    fn backend(&self, answers: &[Message]) -> Backend {
        let port = match self {
            Self::Server(server) => server.port,
            Self::Closed(socket) => socket.local_addr().expect("an address").port(),
            Self::Nothing => return Backend::Empty,
        };
        let http2 = answers.iter().any(|answer| answer.http2);
        Backend::Port { port, http2 }
    }
}

async fn chunk_of(cases: &[Case], parallel: usize) -> Vec<Outcome> {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let mut stands = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        for side in Side::ALL {
            if side == Side::Ours || !case.ours_only {
                stands.push((case, stand(case, number, side).await));
            }
        }
    }
    let lanes: Vec<_> = stands
        .iter()
        .map(|(case, stand)| (*case, stand.lane.clone()))
        .collect();
    let begin = Instant::now();
    let mut envoy = start(&lanes, directory.path());
    let ready = begin.elapsed();
    let log = Arc::new(Mutex::new(Log::default()));
    let tail = tokio::spawn(follow(envoy.log_file().to_owned(), Arc::clone(&log)));
    let slots = Semaphore::new(parallel);
    let mut observed: BTreeMap<(usize, Side), Vec<String>> = BTreeMap::new();
    let work = stands.iter().map(|(case, stand)| {
        let (slots, log, envoy) = (&slots, &log, &envoy);
        async move {
            let _slot = slots.acquire().await.expect("a slot");
            let lines = lane_of(case, stand, log, envoy).await;
            (stand.lane.number, stand.lane.side, lines)
        }
    });
    for (number, side, lines) in join_all(work).await {
        observed.insert((number, side), lines);
    }
    tail.abort();
    if env::var_os("CONFORMANCE_TIMES").is_some() {
        let all = begin.elapsed();
        eprintln!("{} lanes: ready {ready:?}, done {all:?}", lanes.len());
    }
    let exited = envoy.exited();
    let crashes = log.lock().expect("no panic").crashes.clone();
    assert!(
        crashes.is_empty() && exited.is_none(),
        "Envoy crashed ({exited:?}): {crashes:#?}"
    );
    cases
        .iter()
        .enumerate()
        .map(|(number, case)| {
            let mut take = |side| observed.remove(&(number, side)).unwrap_or_default();
            let (theirs, ours) = (take(Side::Envoy), take(Side::Ours));
            if case.ours_only {
                Outcome {
                    theirs: case.expect.clone(),
                    ours,
                }
            } else {
                Outcome { theirs, ours }
            }
        })
        .collect()
}

/// Polls all of `work`, in order, until all are done.
async fn join_all<F: Future>(work: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut pending: Vec<_> = work.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(|context| {
        let mut all = true;
        for (future, output) in &mut pending {
            if output.is_none() {
                match future.as_mut().poll(context) {
                    std::task::Poll::Ready(value) => *output = Some(value),
                    std::task::Poll::Pending => all = false,
                }
            }
        }
        if all {
            std::task::Poll::Ready(())
        } else {
            std::task::Poll::Pending
        }
    })
    .await;
    pending
        .into_iter()
        .filter_map(|(_, output)| output)
        .collect()
}

async fn stand(case: &Case, number: usize, side: Side) -> Stand {
    let upstream = behind(&case.answers).await;
    let mut ports = BTreeMap::new();
    ports.insert("upstream".to_owned(), upstream.backend(&case.answers));
    let mut callouts = Vec::new();
    for Callout { name, answers } in &case.callouts {
        let behind = behind(answers).await;
        ports.insert(name.clone(), behind.backend(answers));
        callouts.push((name.clone(), behind));
    }
    Stand {
        lane: Lane {
            side,
            number,
            edge: edge(),
            hops: case.tls.then(|| Hops {
                front: edge(),
                back: edge(),
            }),
            ports,
        },
        upstream,
        callouts,
    }
}

async fn behind(answers: &[Message]) -> Behind {
    match answers.first().map_or("", Message::word) {
        "empty" => Behind::Nothing,
        "refuse" => {
            let socket = TcpSocket::new_v4().expect("a socket");
            let any = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
            socket.bind(any).expect("a port");
            Behind::Closed(socket)
        }
        _ => Behind::Server(Server::start(answers).await),
    }
}

fn start(lanes: &[(&Case, Lane)], directory: &Path) -> Envoy {
    let discovered = directory.join("listeners.json");
    let modules = Modules::new(directory);
    let listeners = configuration::listeners(lanes, &modules).to_string();
    fs::write(&discovered, listeners).expect("a file");
    let bootstrap = configuration::bootstrap(lanes, &discovered);
    Launch::new(NEWEST)
        .concurrency(1)
        .patience(START)
        .log_levels("wasm:debug,dynamic_modules:debug")
        .start(&bootstrap.to_string())
}

/// Reads Envoy's log as it grows.
async fn follow(path: std::path::PathBuf, log: Arc<Mutex<Log>>) {
    let mut file = File::open(path).expect("a log");
    let mut rest = Vec::new();
    loop {
        let mut bytes = Vec::new();
        if file.read_to_end(&mut bytes).is_ok() && !bytes.is_empty() {
            rest.extend(bytes);
            let whole = rest.iter().rposition(|byte| *byte == b'\n');
            if let Some(end) = whole {
                let lines: Vec<_> = rest.drain(..=end).collect();
                let text = String::from_utf8_lossy(&lines);
                log.lock().expect("no panic").add(&text);
            }
        }
        sleep(Duration::from_millis(8)).await;
    }
}

async fn lane_of(case: &Case, stand: &Stand, log: &Mutex<Log>, envoy: &Envoy) -> Vec<String> {
    let mut outside = Outside::default();
    let send = |request| client::send(stand.lane.entry(), request, case.patience);
    if case.together {
        outside.clients = join_all(case.requests.iter().map(send)).await;
    } else {
        for (index, request) in case.requests.iter().enumerate() {
            let seen = send(request).await;
            let refused = seen.refused;
            outside.clients.push(seen);
            if refused {
                continue;
            }
            // One after the other, to the end.
            wait(END, || {
                log.lock().expect("no panic").ended(&stand.lane) > index
            })
            .await;
            wait(QUIET, || {
                log.lock().expect("no panic").is_quiet(case, &stand.lane)
            })
            .await;
        }
    }
    let reached = outside.clients.iter().filter(|seen| !seen.refused).count();
    wait(END, || {
        log.lock().expect("no panic").ended(&stand.lane) >= reached
    })
    .await;
    wait(QUIET, || {
        log.lock().expect("no panic").is_quiet(case, &stand.lane)
    })
    .await;
    // What was written last.
    sleep(case.settle + Duration::from_millis(30)).await;
    outside.upstream = stand.upstream.seen();
    let callouts = stand.callouts.iter();
    outside.callouts = callouts
        .map(|(name, behind)| (name.clone(), behind.seen()))
        .collect();
    if !case.stats.is_empty() {
        outside.stats = stats(case, &stand.lane, envoy).await;
    }
    observe(case, &stand.lane, &outside, &log.lock().expect("no panic"))
}

async fn wait(limit: Duration, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + limit;
    while !done() && Instant::now() < end {
        sleep(Duration::from_millis(10)).await;
    }
}

/// The metrics that the case names, once they stand still: ours reach Envoy now and then.
async fn stats(case: &Case, lane: &Lane, envoy: &Envoy) -> Vec<String> {
    const STEADY: Duration = Duration::from_millis(400);
    let mut last = read_stats(case, lane, envoy);
    for _ in 0..5 {
        sleep(STEADY).await;
        let now = read_stats(case, lane, envoy);
        if now == last && now.len() == case.stats.len() {
            break;
        }
        last = now;
    }
    last
}

/// Envoy's filter has metrics as `wasmcustom.NAME`; ours end in `.plugin.PLUGIN.metric.NAME`.
fn read_stats(case: &Case, lane: &Lane, envoy: &Envoy) -> Vec<String> {
    let answer = envoy.admin("/stats");
    let answer = answer.text();
    let mut lines = Vec::new();
    for wanted in &case.stats {
        let name = wanted.replace("%case%", &lane.tag());
        let values = answer.lines().filter_map(|line| {
            let (full, value) = line.split_once(": ")?;
            let own = match lane.side {
                Side::Envoy => full.strip_prefix("wasmcustom."),
                Side::Ours => full.split_once(".metric.").map(|(_, name)| name),
            };
            (own == Some(name.as_str())).then(|| value.parse::<u64>().ok())?
        });
        let values: Vec<u64> = values.collect();
        if !values.is_empty() {
            let sum = values
                .iter()
                .fold(0, |sum: u64, value| sum.wrapping_add(*value));
            lines.push(format!("{name}: {sum}"));
        }
    }
    lines
}
