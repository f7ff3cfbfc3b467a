//! One fetch from its first attempt to its last: a client, a deadline, and the patience between
//! attempts.
//!
//! The network is asynchronous, callers are not: each session has a small runtime, on the thread
//! that calls, for as long as it lives. So nothing is left of a fetch once it is over (no thread,
//! no connection), and no fetch depends on another.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::{Builder, Runtime};
use tokio::time;

use super::client::Client;
use crate::plugin::FetchSettings;
use crate::source::{FetchError, Label, Progress, Stats};

/// The first wait between attempts, and the longest, as Istio's agent has them.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// How long to go on trying.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    attempts: u32,
    timeout: Duration,
}

impl Patience {
    /// As the settings have it.
    pub(crate) const fn of(settings: &FetchSettings) -> Self {
        Self {
            attempts: settings.attempts,
            timeout: settings.timeout,
        }
    }

    /// One attempt, and not for long: for those who have something to go on with, while requests
    /// may be waiting for them.
    #[must_use]
    pub(crate) fn little(self) -> Self {
        Self {
            attempts: 1,
            timeout: self.timeout / 3,
        }
    }
}

pub(crate) struct Session {
    /// Present until the end.
    runtime: Option<Runtime>,
    client: Client,
    settings: FetchSettings,
    stats: Arc<Stats>,
}

impl Session {
    pub(crate) fn start(
        settings: &FetchSettings,
        stats: &Arc<Stats>,
        progress: Option<Arc<dyn Progress>>,
    ) -> Result<Self, FetchError> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| FetchError::Setting {
            field: "fetch",
            reason: format!("no runtime: {error}"),
        })?;
        Ok(Self {
            client: Client::new(settings, progress)?,
            runtime: Some(runtime),
            settings: settings.clone(),
            stats: Arc::clone(stats),
        })
    }

    pub(crate) const fn client(&self) -> &Client {
        &self.client
    }

    pub(crate) const fn settings(&self) -> &FetchSettings {
        &self.settings
    }

    /// Makes attempts until one succeeds, one fails for good, or `patience` is at its end. Blocks.
    pub(crate) fn persist<T>(
        &self,
        what: &str,
        patience: Patience,
        attempt: impl AsyncFnMut() -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let Some(runtime) = &self.runtime else {
            return Err(FetchError::Setting {
                field: "fetch",
                reason: "over".to_owned(),
            });
        };
        runtime.block_on(self.attempts(what, patience, attempt))
    }

    async fn attempts<T>(
        &self,
        what: &str,
        patience: Patience,
        mut attempt: impl AsyncFnMut() -> Result<T, FetchError>,
    ) -> Result<T, FetchError> {
        let limit = patience.timeout;
        let end = Instant::now() + limit;
        let mut last = None;
        let mut number = 1;
        loop {
            let error = match time::timeout_at(end.into(), attempt()).await {
                Ok(Ok(value)) => {
                    self.stats.attempt(Label::Success);
                    return Ok(value);
                }
                Ok(Err(error)) => error,
                Err(_) => {
                    self.stats.attempt(Label::Timeout);
                    return Err(FetchError::Timeout {
                        what: what.to_owned(),
                        limit,
                        last: last.map(Arc::new),
                    });
                }
            };
            self.stats.attempt(error.label());
            let wait = wait(number).max(error.retry_after());
            // To wait for what cannot begin any more helps nobody.
            let in_time = Instant::now() + wait < end;
            if !error.is_transient() || number >= patience.attempts || !in_time {
                return Err(error);
            }
            last = Some(error);
            number += 1;
            time::sleep(wait).await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Not waiting for a resolver that hangs.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// The wait after attempt `number` (1 and up): doubling, and somewhere between half of it and all
/// of it, so that what failed together does not come back together.
fn wait(number: u32) -> Duration {
    let doublings = number.saturating_sub(1).min(16);
    let longest = FIRST_WAIT.saturating_mul(1 << doublings).min(LONGEST_WAIT);
    let mut random = [0];
    // Without randomness there is no jitter, and nothing else is lost.
    let _unavailable = getrandom::fill(&mut random);
    let [random] = random;
    longest / 2 + longest / 2 * u32::from(random) / 255
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound() {
        for (number, milliseconds) in [
            (1, 500),
            (2, 1_000),
            (3, 2_000),
            (9, 60_000),
            (u32::MAX, 60_000),
        ] {
            let longest = Duration::from_millis(milliseconds);
            let wait = wait(number);
            assert!(wait >= longest / 2 && wait <= longest, "{number}: {wait:?}");
        }
    }
}
