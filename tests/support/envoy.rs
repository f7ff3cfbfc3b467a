//! A real Envoy as a child process, with the built module on its search path.

use std::ffi::OsString;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use super::http::{self, Response};
use super::{module, wait_for};

/// Start, first load of plugins included. Debug builds on a busy machine take seconds.
const START: Duration = Duration::from_secs(90);

/// The file to which a first process writes the base id that it chose.
const BASE_ID: &str = "base-id";

/// Lines of the log that a failed test shows.
const TAIL: usize = 80;

/// The text that Envoy itself logs through the modules' logger when it loads a module of another
/// ABI version; not a word of ours.
const ABI_WARNING: &str = "ABI version";

/// How to start an Envoy.
pub(crate) struct Launch {
    version: String,
    concurrency: u32,
    directory: PathBuf,
    environment: Vec<(OsString, OsString)>,
    log_levels: String,
    address_space: Option<u64>,
    patience: Duration,
    drain: Duration,
    /// The base id and the epoch of a hot restart.
    restart: Option<(String, u32)>,
}

impl Launch {
    /// Two workers, run in the root of the repository.
    pub(crate) fn new(version: &str) -> Self {
        Self {
            version: version.to_owned(),
            concurrency: 2,
            directory: module::root().to_owned(),
            environment: Vec::new(),
            log_levels: "dynamic_modules:debug".to_owned(),
            address_space: None,
            patience: START,
            drain: Duration::from_secs(1),
            restart: None,
        }
    }

    #[must_use]
    pub(crate) fn concurrency(mut self, workers: u32) -> Self {
        self.concurrency = workers;
        self
    }

    #[must_use]
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.into(), value.into()));
        self
    }

    /// Log levels by component, in place of `dynamic_modules:debug`.
    #[must_use]
    pub(crate) fn log_levels(mut self, levels: &str) -> Self {
        levels.clone_into(&mut self.log_levels);
        self
    }

    /// Bytes of address space that it may have, as `ulimit -v` sets it.
    #[must_use]
    pub(crate) fn address_space(mut self, bytes: u64) -> Self {
        self.address_space = Some(bytes);
        self
    }

    /// Waits longer for a start that compiles large plugins.
    #[must_use]
    pub(crate) fn patience(mut self, limit: Duration) -> Self {
        self.patience = limit;
        self
    }

    /// How long listeners that are replaced, and a parent that is, may take to let their
    /// connections go; each answer asks its client to go at once.
    #[must_use]
    pub(crate) fn drain(mut self, time: Duration) -> Self {
        self.drain = time;
        self
    }

    /// Takes the place of `parent`, which drains and ends.
    #[must_use]
    pub(crate) fn after(mut self, parent: &Envoy) -> Self {
        self.restart = Some((parent.base_id(), parent.epoch + 1));
        self
    }

    /// Starts Envoy and waits until it is ready; panics with its log where it refuses.
    pub(crate) fn start(&self, bootstrap: &str) -> Envoy {
        self.try_start(bootstrap).unwrap_or_else(|refusal| {
            panic!(
                "Envoy {} does not start ({}):\n{}",
                self.version,
                refusal.status,
                tail(&refusal.log)
            )
        })
    }

    /// Starts Envoy and waits until it is ready or has given up.
    pub(crate) fn try_start(&self, bootstrap: &str) -> Result<Envoy, Refusal> {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let admin_file = directory.path().join("admin");
        let child = self
            .command(bootstrap, &directory)
            .arg("--admin-address-path")
            .arg(&admin_file)
            .spawn()
            .expect("Envoy starts");
        // Owns the child from here on: a panic below leaves no process behind.
        let mut envoy = Envoy {
            version: self.version.clone(),
            admin: 0,
            epoch: self.restart.as_ref().map_or(0, |(_, epoch)| *epoch),
            log: directory.path().join("log"),
            directory,
            child: Some(child),
        };
        let refused = wait_for(&format!("Envoy {}", self.version), self.patience, || {
            if let Some(status) = envoy.exited() {
                return Some(Some(status));
            }
            if envoy.admin == 0 {
                let address = fs::read_to_string(&admin_file).ok()?;
                envoy.admin = address.rsplit(':').next()?.trim().parse().ok()?;
            }
            let answer = http::try_request(envoy.admin, "GET", "/ready", &[], b"").ok()?;
            (answer.status == 200).then_some(None)
        });
        match refused {
            None => Ok(envoy),
            Some(status) => Err(Refusal {
                status,
                log: envoy.log(),
            }),
        }
    }

    /// Runs `--mode validate`: whether Envoy accepts the configuration, and its log.
    pub(crate) fn validate(&self, bootstrap: &str) -> (bool, String) {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let child = self
            .command(bootstrap, &directory)
            .args(["--mode", "validate"])
            .spawn()
            .expect("Envoy starts");
        let mut child = Guard(child);
        let status = wait_for("Envoy to validate", START, || {
            child.0.try_wait().expect("a child")
        });
        let log = fs::read(directory.path().join("log")).expect("a log");
        (status.success(), String::from_utf8_lossy(&log).into_owned())
    }

    fn command(&self, bootstrap: &str, directory: &TempDir) -> Command {
        let config = directory.path().join("bootstrap.yaml");
        fs::write(&config, bootstrap).expect("a bootstrap");
        let log = File::create(directory.path().join("log")).expect("a log");
        let drain = self.drain.as_secs();
        let envoy = module::envoy(&self.version);
        let mut command = match self.address_space {
            None => Command::new(envoy),
            Some(bytes) => {
                let mut shell = Command::new("sh");
                let limited = format!("ulimit -v {} && exec \"$0\" \"$@\"", bytes >> 10);
                shell.args(["-c", &limited]).arg(envoy);
                shell
            }
        };
        command
            .arg("--config-path")
            .arg(config)
            .args(["--concurrency", &self.concurrency.to_string()])
            .args(["--log-level", "warning"])
            .args(["--component-log-level", &self.log_levels])
            .args(["--log-format", "%l %n %v"])
            // Access logs are written while the test waits for them.
            .args(["--file-flush-interval-msec", "50"])
            .args(["--drain-time-s", &drain.to_string()])
            .args(["--drain-strategy", "immediate"])
            .args(["--parent-shutdown-time-s", &(drain + 1).to_string()])
            .env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", module::directory())
            .envs(self.environment.iter().cloned())
            .current_dir(&self.directory)
            .stdin(Stdio::null())
            .stdout(log.try_clone().expect("a file"))
            .stderr(log);
        match &self.restart {
            None => command
                .arg("--use-dynamic-base-id")
                .arg("--base-id-path")
                .arg(directory.path().join(BASE_ID)),
            Some((base_id, epoch)) => command
                .args(["--base-id", base_id])
                .args(["--restart-epoch", &epoch.to_string()]),
        };
        command
    }
}

/// An Envoy that gave up at its start.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: ExitStatus,
    pub(crate) log: String,
}

/// A running Envoy; killed when dropped. A panicking test shows the end of its log.
pub(crate) struct Envoy {
    version: String,
    admin: u16,
    epoch: u32,
    directory: TempDir,
    log: PathBuf,
    child: Option<Child>,
}

impl Envoy {
    /// Starts `version` with two workers.
    pub(crate) fn start(version: &str, bootstrap: &str) -> Self {
        Launch::new(version).start(bootstrap)
    }

    /// See [`Launch::validate`].
    pub(crate) fn validate(version: &str, bootstrap: &str) -> (bool, String) {
        Launch::new(version).validate(bootstrap)
    }

    /// One GET on the admin interface.
    pub(crate) fn admin(&self, path: &str) -> Response {
        http::get(self.admin, path)
    }

    /// The value of a counter or gauge; 0 where it does not exist.
    pub(crate) fn stat(&self, name: &str) -> u64 {
        let line = format!("{name}: ");
        self.admin("/stats")
            .text()
            .lines()
            .find_map(|text| text.strip_prefix(&line)?.parse().ok())
            .unwrap_or(0)
    }

    /// Everything that Envoy wrote so far, access logs included.
    pub(crate) fn log(&self) -> String {
        let log = fs::read(&self.log).expect("a log");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The number by which processes of a hot restart find each other.
    fn base_id(&self) -> String {
        let file = self.directory.path().join(BASE_ID);
        let text = fs::read_to_string(file).expect("the base id of the first process");
        text.trim().to_owned()
    }

    /// The file to which Envoy writes its log.
    pub(crate) fn log_file(&self) -> &Path {
        &self.log
    }

    /// Whether the log holds `text` now.
    pub(crate) fn log_contains(&self, text: &str) -> bool {
        self.log().contains(text)
    }

    /// Waits for a line that holds `text` and returns it.
    pub(crate) fn wait_for_log(&self, text: &str) -> String {
        wait_for(
            &format!("{text:?} in the log"),
            Duration::from_secs(10),
            || {
                let log = self.log();
                log.lines()
                    .find(|line| line.contains(text))
                    .map(str::to_owned)
            },
        )
    }

    /// Resident memory in bytes.
    pub(crate) fn memory(&self) -> u64 {
        self.measured("VmRSS:")
    }

    /// The most address space that it had, in bytes.
    pub(crate) fn address_space(&self) -> u64 {
        self.measured("VmPeak:")
    }

    fn measured(&self, name: &str) -> u64 {
        let pid = self.child.as_ref().expect("running").id();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("a process");
        let kilobytes: u64 = status
            .lines()
            .find_map(|line| {
                line.strip_prefix(name)?
                    .trim()
                    .strip_suffix(" kB")?
                    .parse()
                    .ok()
            })
            .expect("a size in kB");
        kilobytes * 1024
    }

    /// How the process ended, if it did.
    pub(crate) fn exited(&mut self) -> Option<ExitStatus> {
        let child = self.child.as_mut().expect("running");
        child.try_wait().expect("a child")
    }

    /// Asks Envoy to end, as an operator would, and returns how it did, with the whole log.
    pub(crate) fn quit(mut self) -> (ExitStatus, String) {
        let mut child = self.child.take().expect("running");
        // The connection may break before the answer.
        let _ = http::try_request(self.admin, "POST", "/quitquitquit", &[], b"");
        for _ in 0..500 {
            if let Some(status) = child.try_wait().expect("a child") {
                return (status, self.log());
            }
            thread::sleep(Duration::from_millis(20));
        }
        kill(&mut child);
        panic!(
            "Envoy {} did not quit:\n{}",
            self.version,
            tail(&self.log())
        );
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            kill(child);
        }
        if thread::panicking() {
            eprintln!(
                "--- Envoy {}, end of its log ---\n{}",
                self.version,
                tail(&self.log())
            );
        }
    }
}

/// Kills a child that a panic leaves behind.
struct Guard(Child);

impl Drop for Guard {
    fn drop(&mut self) {
        kill(&mut self.0);
    }
}

fn kill(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

fn tail(log: &str) -> String {
    let lines: Vec<_> = log.lines().collect();
    lines[lines.len().saturating_sub(TAIL)..].join("\n")
}

/// The lines of `log` that the module wrote at one of `levels` (`warning`, `error`, …).
pub(crate) fn module_lines<'a>(log: &'a str, levels: &[&str]) -> Vec<&'a str> {
    log.lines()
        .filter(|line| {
            let mut words = line.splitn(3, ' ');
            let level = words.next().unwrap_or_default();
            let logger = words.next().unwrap_or_default();
            let text = words.next().unwrap_or_default();
            levels.contains(&level) && logger == "dynamic_modules" && !text.contains(ABI_WARNING)
        })
        .collect()
}

/// The lines of `log` with which the module asks for attention.
pub(crate) fn complaints(log: &str) -> Vec<&str> {
    module_lines(log, &["warning", "error", "critical"])
}
