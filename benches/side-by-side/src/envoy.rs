//! An Envoy as a child process, and what the kernel knows of it.

use std::fs::{self, File};
use std::net::TcpListener;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

use crate::bootstrap::Setup;
use crate::guest;
use crate::load::{Client, Request};
use crate::options::Options;

/// The longest that an Envoy may take to its first answer: V8 needs minutes for the largest guest
/// on a busy machine.
const START: Duration = Duration::from_secs(600);

/// A running Envoy; killed when dropped.
pub(crate) struct Envoy {
    child: Child,
    directory: TempDir,
    pub(crate) port: u16,
    /// From before the process to its first answer.
    pub(crate) started_in: Duration,
}

impl Envoy {
    pub(crate) fn start(options: &Options, setup: &Setup) -> Self {
        let port = free_port();
        let directory = tempfile::tempdir().expect("a temporary directory");
        let config = directory.path().join("bootstrap.json");
        fs::write(&config, setup.bootstrap(port)).expect("a bootstrap");
        let log = File::create(directory.path().join("log")).expect("a log");
        let begin = Instant::now();
        let child = Command::new(&options.envoy)
            .arg("--config-path")
            .arg(config)
            .arg("--use-dynamic-base-id")
            .args(["--concurrency", &setup.workers.to_string()])
            .args(["--log-level", "warning"])
            .env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", &options.modules)
            .current_dir(guest::root())
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log)
            .spawn()
            .expect("Envoy starts");
        let mut envoy = Self {
            child,
            directory,
            port,
            started_in: Duration::ZERO,
        };
        let request = Request::usual();
        while begin.elapsed() < START {
            if let Some(mut client) = Client::try_connect(port)
                && client.try_ask(&request).is_some()
            {
                envoy.started_in = begin.elapsed();
                return envoy;
            }
            let ended = envoy.child.try_wait().expect("a child");
            assert!(ended.is_none(), "Envoy does not start:\n{}", envoy.log());
            thread::sleep(Duration::from_millis(1));
        }
        panic!("Envoy does not answer:\n{}", envoy.log());
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// Time that its threads have run so far, by the kernel's own clock: `utime` and `stime` are the
    /// same time, rounded to hundredths of a second.
    pub(crate) fn cpu(&self) -> Duration {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.child.id())).expect("a process");
        let nanoseconds = tasks.filter_map(|task| {
            let text = fs::read_to_string(task.ok()?.path().join("schedstat")).ok()?;
            text.split(' ').next()?.parse::<u64>().ok()
        });
        Duration::from_nanos(nanoseconds.sum())
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()));
        let status = status.expect("a process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = line.and_then(|line| line.trim().strip_suffix(" kB")?.parse::<u64>().ok());
        kilobytes.expect("VmRSS") * 1024
    }

    /// Waits until its threads sleep: compilers in the background, most likely.
    pub(crate) fn wait_until_idle(&self) {
        const STEP: Duration = Duration::from_millis(300);
        for _ in 0..100 {
            let before = self.cpu();
            thread::sleep(STEP);
            if self.cpu() - before < STEP / 100 {
                return;
            }
        }
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// A port that nothing listens on, below those that the system gives to outgoing connections: the
/// load makes thousands of these.
fn free_port() -> u16 {
    const PORTS: std::ops::Range<u16> = 12_000..32_000;
    static NEXT: AtomicU16 = AtomicU16::new(PORTS.start);
    loop {
        let port = NEXT.fetch_add(1, Ordering::Relaxed);
        assert!(PORTS.contains(&port), "no free port");
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
