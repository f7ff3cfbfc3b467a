//! Where and with what it was measured.

use std::env;
use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::guest;
use crate::options::Options;

pub(crate) fn describe(options: &Options) -> Value {
    json!({
        "processor": processor(),
        "processors": std::thread::available_parallelism().map_or(0, usize::from),
        "memory_mb": memory_megabytes(),
        "kernel": line(Command::new("uname").arg("-sr")),
        "envoy": line(Command::new(&options.envoy).arg("--version")),
        "rustc": line(Command::new("rustc").arg("--version")),
        "commit": line(Command::new("git").args(["rev-parse", "--short", "HEAD"]).current_dir(guest::root())),
        "date": line(Command::new("date").args(["-u", "+%Y-%m-%d"])),
        "load": fs::read_to_string("/proc/loadavg").unwrap_or_default().trim(),
        "command": format!("make bench{}", if options.quick { " QUICK=1" } else { "" }),
        "arguments": env::args().skip(1).collect::<Vec<_>>().join(" "),
        "rounds": options.rounds,
        "requests_per_round": options.requests,
    })
}

fn processor() -> String {
    let text = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = text.lines().find(|line| line.starts_with("model name"));
    let name = name.and_then(|line| line.split(": ").nth(1));
    name.unwrap_or("unknown").to_owned()
}

fn memory_megabytes() -> u64 {
    let text = fs::read_to_string("/proc/meminfo").unwrap_or_default();
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kilobytes = total.and_then(|total| total.split_whitespace().next()?.parse::<u64>().ok());
    kilobytes.unwrap_or_default() / 1024
}

/// The first line that a command prints, without a path in front.
fn line(command: &mut Command) -> String {
    let output = command.output().map(|output| output.stdout);
    let text = String::from_utf8_lossy(&output.unwrap_or_default()).into_owned();
    let line = text.lines().find(|line| !line.trim().is_empty());
    let line = line.unwrap_or("unknown").trim();
    match line.split_once("version: ") {
        Some((_, version)) => version.to_owned(),
        None => line.to_owned(),
    }
}
