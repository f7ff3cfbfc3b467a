//! The Envoy that is started: where it is, its start, its admin interface, and its end.

use std::env;
use std::fs;
use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use super::bootstrap::LISTENER;

/// How long the end may take before it is made to.
const FAREWELL: Duration = Duration::from_secs(5);

/// How long the admin interface may take to answer.
const ANSWER: Duration = Duration::from_secs(5);

/// A child process, which ends when this is dropped.
pub(super) struct Envoy {
    child: Child,
    /// The port of the admin interface, once it is known.
    pub(super) admin: u16,
    admin_file: PathBuf,
}

/// What an Envoy is started with.
pub(super) struct Start<'a> {
    pub(super) binary: &'a Path,
    /// Where `libwasmplugin.so` is.
    pub(super) modules: &'a Path,
    /// For files of its own.
    pub(super) directory: &'a Path,
    pub(super) bootstrap: &'a str,
    /// The level of the lines of plugins.
    pub(super) log_level: &'a str,
}

impl Envoy {
    pub(super) fn start(start: &Start<'_>) -> io::Result<Self> {
        let config = start.directory.join("bootstrap.json");
        fs::write(&config, start.bootstrap)?;
        let admin_file = start.directory.join("admin");
        let child = Command::new(start.binary)
            .arg("--config-path")
            .arg(config)
            .arg("--admin-address-path")
            .arg(&admin_file)
            // Several run side by side.
            .arg("--use-dynamic-base-id")
            .args(["--log-level", "warning", "--component-log-level"])
            .arg(format!("dynamic_modules:{}", start.log_level))
            .args(["--drain-time-s", "1", "--parent-shutdown-time-s", "2"])
            .env("ENVOY_DYNAMIC_MODULES_SEARCH_PATH", start.modules)
            .stdin(Stdio::null())
            // What is printed there is for whoever reads our output.
            .stdout(Stdio::null())
            // Ctrl-C is for us alone: it would end Envoy at once, and its plugins without a word.
            .process_group(0)
            .spawn()?;
        Ok(Self {
            child,
            admin: 0,
            admin_file,
        })
    }

    /// How it ended, if it did.
    pub(super) fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// The port of its listener, once it serves.
    pub(super) fn port(&mut self) -> Option<u16> {
        if self.admin == 0 {
            let address = fs::read_to_string(&self.admin_file).ok()?;
            self.admin = address.rsplit(':').next()?.trim().parse().ok()?;
        }
        let ready = self.ask("GET", "/ready").ok()?;
        if !ready.starts_with("HTTP/1.1 200") {
            return None;
        }
        let listeners = self.ask("GET", "/listeners").ok()?;
        let name = format!("{LISTENER}::");
        let address = listeners
            .lines()
            .find_map(|line| line.strip_prefix(&name))?;
        address.rsplit(':').next()?.trim().parse().ok()
    }

    /// An answer of the admin interface, head and all.
    fn ask(&self, method: &str, path: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.admin))?;
        stream.set_read_timeout(Some(ANSWER))?;
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
        )?;
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer)?;
        Ok(String::from_utf8_lossy(&answer).into_owned())
    }
}

impl Drop for Envoy {
    fn drop(&mut self) {
        // Plugins hear of this end; of the one below they would not.
        let asked = self.ask("POST", "/quitquitquit");
        let end = Instant::now() + FAREWELL;
        while asked.is_ok() && Instant::now() < end {
            if !matches!(self.child.try_wait(), Ok(None)) {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ended = self.child.kill();
        let _status = self.child.wait();
    }
}

/// The program `name` of `PATH`.
pub(super) fn on_path(name: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    let mut found = env::split_paths(&path).map(|directory| directory.join(name));
    found.find(|program| program.is_file())
}
