//! How long to wait before trying again.

use std::time::Duration;

/// The first wait, as Envoy's own Wasm filter has it.
const FIRST: Duration = Duration::from_secs(1);

/// The longest wait: what has failed for an hour is found again within a minute.
const LONGEST: Duration = Duration::from_secs(60);

/// The wait after `failures` failures in a row (1 and up): doubling, with up to a quarter more at
/// random, so that what failed together does not come back together.
pub(super) fn backoff(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(16);
    let wait = FIRST.saturating_mul(1 << doublings).min(LONGEST);
    let mut random = [0];
    // Without randomness there is no jitter, and nothing else is lost.
    let _unavailable = getrandom::fill(&mut random);
    let [random] = random;
    wait + wait.saturating_mul(u32::from(random)) / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_bound() {
        for (failures, seconds) in [(0, 1), (1, 1), (2, 2), (4, 8), (7, 60), (u32::MAX, 60)] {
            let wait = backoff(failures);
            let least = Duration::from_secs(seconds);
            assert!(
                wait >= least && wait <= least * 5 / 4,
                "{failures}: {wait:?}"
            );
        }
    }
}
