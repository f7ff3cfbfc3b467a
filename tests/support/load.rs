//! Steady traffic over kept connections.

use std::collections::BTreeMap;
use std::thread;
use std::time::{Duration, Instant};

use super::http::Connection;

/// What the traffic met.
#[derive(Clone, Debug, Default)]
pub(crate) struct Load {
    /// Requests that were answered.
    pub(crate) answered: u64,
    /// Of those, by status.
    pub(crate) statuses: BTreeMap<u16, u64>,
    /// Connections refused or broken.
    pub(crate) errors: Vec<String>,
}

/// Repeats GET `path` for `length` on `connections` connections, each with a thread.
pub(crate) fn run(
    port: u16,
    path: &str,
    headers: &[(&str, &str)],
    connections: usize,
    length: Duration,
) -> Load {
    let end = Instant::now() + length;
    let parts: Vec<Load> = thread::scope(|scope| {
        let workers: Vec<_> = (0..connections)
            .map(|_| scope.spawn(|| connection(port, path, headers, end)))
            .collect();
        workers
            .into_iter()
            .map(|worker| worker.join().expect("no panic in a client"))
            .collect()
    });
    let mut sum = Load::default();
    for part in parts {
        sum.answered += part.answered;
        sum.errors.extend(part.errors);
        for (status, count) in part.statuses {
            *sum.statuses.entry(status).or_default() += count;
        }
    }
    sum
}

fn connection(port: u16, path: &str, headers: &[(&str, &str)], end: Instant) -> Load {
    let mut load = Load::default();
    while Instant::now() < end {
        let mut connection = match Connection::open(port) {
            Ok(connection) => connection,
            Err(error) => {
                load.errors.push(format!("connect: {error}"));
                thread::sleep(Duration::from_millis(50));
                continue;
            }
        };
        while Instant::now() < end {
            match connection.request("GET", path, headers, b"") {
                Ok(response) => {
                    load.answered += 1;
                    *load.statuses.entry(response.status).or_default() += 1;
                    if response.header("connection") == Some("close") {
                        break;
                    }
                }
                Err(error) => {
                    load.errors.push(error.to_string());
                    break;
                }
            }
        }
    }
    load
}
