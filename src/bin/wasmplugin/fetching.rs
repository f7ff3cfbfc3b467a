//! Fetching for commands: settings from a file, a progress bar where somebody looks.

use std::fs;
use std::io::{IsTerminal, stderr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};
use wasmplugin_host::plugin::{self, FetchSettings, ModuleUrl};
use wasmplugin_host::source::signature::{Keys, Refused, Surroundings, Verified, Verifier};
use wasmplugin_host::source::{
    FetchError, Fetched, Fetcher, Freshness, Origin, Progress, Request, SecretName,
};
use wasmplugin_host::telemetry::{Level, Log};

/// How to fetch.
#[derive(clap::Args)]
pub(crate) struct Fetching {
    /// File of settings, of which fetch, secretsDir and cacheDir matter here
    #[arg(long, value_name = "FILE")]
    config: Option<String>,
    /// What the module must be: as sha256 of a resource
    #[arg(long, value_name = "HEX", value_parser = sha256)]
    sha256: Option<String>,
    /// Pull secret below secretsDir
    #[arg(long, value_name = "NAMESPACE/NAME", value_parser = secret)]
    pull_secret: Option<SecretName>,
}

impl Fetching {
    /// The settings, or what is wrong with them.
    pub(crate) fn settings(&self) -> Result<FetchSettings, String> {
        let config = match &self.config {
            None => Vec::new(),
            Some(path) => {
                fs::read(path).map_err(|error| format!("{path}: cannot be read: {error}"))?
            }
        };
        let read_file = |path: &str| fs::read_to_string(path);
        let plan = plugin::plan(&config, &read_file).map_err(|problems| problems.to_string())?;
        Ok(plan.fetch)
    }

    /// Fetches `url`, whatever the store has of it.
    pub(crate) fn fetch(&self, url: ModuleUrl) -> Result<Fetched, String> {
        let (settings, request) = (self.settings()?, self.request(url));
        with_fetcher(|fetcher| refresh(fetcher, &request, &settings))
            .map_err(|error| error.to_string())
    }

    /// Fetches `url`, and checks that one of `keys` signed it.
    pub(crate) fn verify(&self, url: ModuleUrl, keys: &Keys) -> Result<Verified, Failure> {
        let settings = self.settings().map_err(Failure::Fetch)?;
        let request = self.request(url);
        with_fetcher(|fetcher| {
            let fetched = refresh(fetcher, &request, &settings)?;
            let surroundings = Surroundings {
                fetcher,
                request: &request,
                settings: &settings,
            };
            let verified = Verifier::default().verify(fetched, &surroundings, Some(keys))?;
            Ok(verified)
        })
    }

    fn request(&self, url: ModuleUrl) -> Request {
        Request {
            sha256: self.sha256.clone(),
            pull_secret: self.pull_secret.clone(),
            ..Request::new(url)
        }
    }
}

/// Why a module is not verified.
pub(crate) enum Failure {
    /// It cannot be had.
    Fetch(String),
    /// No signature is valid.
    Refused(Refused),
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        Self::Fetch(error.to_string())
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

fn refresh(
    fetcher: &Fetcher,
    request: &Request,
    settings: &FetchSettings,
) -> Result<Fetched, FetchError> {
    let fetched = fetcher.ask(request, settings, Freshness::Anew).result?;
    if let Origin::LastGood(error) = fetched.origin() {
        eprintln!("warning: {error}; this is what was fetched before");
    }
    Ok(fetched)
}

/// Runs `work` with a fetcher that shows its progress where somebody looks.
fn with_fetcher<T>(work: impl FnOnce(&Fetcher) -> T) -> T {
    let mut fetcher = Fetcher::new(Arc::new(Stderr));
    let bar = stderr().is_terminal().then(|| Arc::new(Bar::default()));
    if let Some(bar) = &bar {
        fetcher = fetcher.with_progress(Arc::clone(bar) as _);
    }
    let result = work(&fetcher);
    if let Some(bar) = bar {
        bar.clear();
    }
    result
}

fn sha256(text: &str) -> Result<String, String> {
    let is_digest = wasmplugin_host::source::Digest::parse(text).is_some();
    is_digest
        .then(|| text.to_owned())
        .ok_or_else(|| "must have 64 lower-case hex digits".to_owned())
}

fn secret(text: &str) -> Result<SecretName, String> {
    let (namespace, name) = text
        .split_once('/')
        .ok_or("write NAMESPACE/NAME".to_owned())?;
    Ok(SecretName {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
    })
}

/// A bar on the terminal.
#[derive(Default)]
struct Bar(Mutex<Option<ProgressBar>>);

impl Bar {
    fn with(&self, work: impl FnOnce(&mut Option<ProgressBar>)) {
        if let Ok(mut bar) = self.0.lock() {
            work(&mut bar);
        }
    }

    fn clear(&self) {
        self.with(|bar| {
            if let Some(bar) = bar.take() {
                bar.finish_and_clear();
            }
        });
    }
}

impl Progress for Bar {
    fn begin(&self, what: &str, total: Option<u64>) {
        self.clear();
        let bar = match total {
            Some(total) => ProgressBar::new(total),
            None => ProgressBar::new_spinner(),
        };
        let template = "{msg} {wide_bar} {bytes}/{total_bytes} {bytes_per_sec}";
        if let (Some(_), Ok(style)) = (total, ProgressStyle::with_template(template)) {
            bar.set_style(style);
        }
        let what: String = what.chars().take(40).collect();
        bar.set_message(what);
        bar.enable_steady_tick(Duration::from_millis(100));
        self.with(|old| *old = Some(bar));
    }

    fn advance(&self, bytes: u64) {
        self.with(|bar| {
            if let Some(bar) = bar {
                bar.inc(bytes);
            }
        });
    }
}

/// Warnings for whoever runs the command.
struct Stderr;

impl Log for Stderr {
    fn enabled(&self, level: Level) -> bool {
        level >= Level::Warn
    }

    fn threshold(&self) -> Option<Level> {
        Some(Level::Warn)
    }

    fn write(&self, level: Level, line: &[u8]) {
        if self.enabled(level) {
            eprintln!("warning: {}", String::from_utf8_lossy(line));
        }
    }
}
