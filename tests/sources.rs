//! Modules from servers and registries, real ones and faulty ones.
//!
//! `images` has plugins of every layout and pull policy answer requests in Envoy; `faults` breaks
//! what can be broken on the way, `outages` does so in Envoy, and `fault` lists all of it; `store`
//! has several processes share a cacheDir, and kills them; `commands` are `pull` and `inspect`.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "sources/commands.rs"]
mod commands;
#[path = "sources/fault.rs"]
mod fault;
#[path = "sources/faults.rs"]
mod faults;
#[path = "sources/images.rs"]
mod images;
#[path = "sources/outages.rs"]
mod outages;
#[path = "sources/store.rs"]
mod store;
mod support;

use std::sync::Arc;
use std::time::Duration;

use wasmplugin_host::plugin::{FetchSettings, PullPolicy};
use wasmplugin_host::source::{FetchError, Fetched, Fetcher, Label, Request};
use wasmplugin_host::telemetry::Lines;

use support::fetch_settings;

/// An empty module.
const EMPTY: &[u8] = b"\0asm\x01\0\0\0";

/// A fetcher with settings, and the lines that it logs.
struct Client {
    fetcher: Fetcher,
    settings: FetchSettings,
    lines: Arc<Lines>,
}

impl Client {
    /// `settings` are YAML, below `fetch` what is not a directory.
    fn new(settings: &str) -> Self {
        let lines = Arc::<Lines>::default();
        Self {
            fetcher: Fetcher::new(Arc::clone(&lines) as _),
            settings: fetch_settings(settings),
            lines,
        }
    }

    /// One attempt, within two seconds.
    fn impatient() -> Self {
        let mut client =
            Self::new("fetch: { attempts: 1, maxModuleBytes: 1Mi, insecureRegistries: ['*'] }");
        client.settings.timeout = Duration::from_secs(2);
        client
    }

    fn fetch(&self, url: &str) -> Result<Fetched, FetchError> {
        self.fetcher.fetch(&request(url), &self.settings)
    }

    fn always(&self, url: &str) -> Result<Fetched, FetchError> {
        let request = Request {
            pull_policy: PullPolicy::Always,
            ..request(url)
        };
        self.fetcher.fetch(&request, &self.settings)
    }

    fn count(&self, label: Label) -> u64 {
        self.fetcher.stats().attempts(label)
    }
}

fn request(url: &str) -> Request {
    Request::new(url.parse().unwrap_or_else(|error| panic!("{url}: {error}")))
}
