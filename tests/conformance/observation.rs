//! What one side of a case showed, as lines of text that can be compared.
//!
//! Normalised is only what must differ between two runs of anything: names and ports of the two
//! lanes, identifiers of requests, dates and times, numbers that belong to the process (CAS values
//! and queues), and the words of each side for "the plugin failed". Lines of a guest's log are
//! taken from the instances that served streams: Envoy starts every plugin three times.

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::case::Case;
use super::client;
use super::configuration::{Backend, Lane, Side, plugin_name};
use super::record;
use super::server;

/// Everything in Envoy's log, sorted.
#[derive(Debug, Default)]
pub(crate) struct Log {
    /// By side and plugin.
    lines: BTreeMap<(Side, String), Vec<Line>>,
    /// Access log lines by the lane's tag.
    access: BTreeMap<String, Vec<String>>,
    /// Lines that a crash of Envoy or a panic of ours leaves.
    pub(crate) crashes: Vec<String>,
    partial: String,
}

/// A line of a guest.
#[derive(Clone, Debug)]
struct Line {
    /// The instance, where the guest says.
    tag: Option<String>,
    level: String,
    text: String,
}

impl Log {
    /// Takes in what Envoy wrote since.
    pub(crate) fn add(&mut self, text: &str) {
        self.partial.push_str(text);
        while let Some(end) = self.partial.find('\n') {
            let line: String = self.partial.drain(..=end).collect();
            self.line(line.trim_end());
        }
    }

    fn line(&mut self, line: &str) {
        if let Some(rest) = line.strip_prefix("access ") {
            let (tag, text) = rest.split_once(' ').unwrap_or((rest, ""));
            let lines = self.access.entry(tag.to_owned()).or_default();
            lines.push(text.to_owned());
            return;
        }
        let mut words = line.splitn(3, ' ');
        let (level, logger) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
        let text = words.next().unwrap_or("");
        if level == "critical" && logger == "backtrace" || text.contains("panicked") {
            self.crashes.push(line.to_owned());
        }
        let side = match logger {
            "wasm" => Side::Envoy,
            "dynamic_modules" => Side::Ours,
            _ => return,
        };
        let Some(rest) = text.strip_prefix("wasm log") else {
            return;
        };
        let Some((prefix, text)) = rest.split_once(": ") else {
            return;
        };
        let (tag, text) = match text.strip_prefix('#') {
            Some(rest) => match rest.split_once(' ') {
                Some((tag, text)) => (Some(tag.to_owned()), text),
                None => (None, text),
            },
            None => (None, text),
        };
        // Before contexts exist, the guest says itself whose it is.
        let (prefix, text) = match text.strip_prefix("init-of ") {
            Some(rest) => rest.split_once(' ').unwrap_or((rest, "")),
            None => (prefix, text),
        };
        let Some(plugin) = prefix.split(' ').find(|word| is_plugin(word)) else {
            return;
        };
        let lines = self.lines.entry((side, plugin.to_owned())).or_default();
        let tag = tag.or_else(|| lines.last().and_then(|line| line.tag.clone()));
        let mut text = text.to_owned();
        if prefix.split(' ').any(|word| word.starts_with("default.")) {
            // The prefix differs between roots and streams.
            text.insert_str(0, "stream ");
        }
        lines.push(Line {
            tag,
            level: level.to_owned(),
            text,
        });
    }

    /// The lines of each instance of a plugin, by the mark with which the guest tells it apart.
    pub(crate) fn instances(&self, side: Side, plugin: &str) -> BTreeMap<String, Vec<String>> {
        let mut instances: BTreeMap<String, Vec<String>> = BTreeMap::new();
        let lines = self.lines.get(&(side, plugin.to_owned()));
        for line in lines.into_iter().flatten() {
            let tag = line.tag.clone().unwrap_or_default();
            instances.entry(tag).or_default().push(line.text.clone());
        }
        instances
    }

    /// How many requests of a lane have ended.
    pub(crate) fn ended(&self, lane: &Lane) -> usize {
        self.access.get(&lane.tag()).map_or(0, Vec::len)
    }

    /// Whether no plugin of a lane holds a stream.
    pub(crate) fn is_quiet(&self, case: &Case, lane: &Lane) -> bool {
        (0..case.plugins.len()).all(|index| {
            let key = (lane.side, plugin_name(lane.number, index));
            let lines = self.lines.get(&key).map_or(&[][..], Vec::as_slice);
            let count = |begin: &str, good: &dyn Fn(&str) -> bool| {
                let text = lines.iter().map(|line| &line.text);
                text.filter_map(|text| text.split("> ").nth(1)?.strip_prefix(begin).map(good))
                    .filter(|good| *good)
                    .count()
            };
            let made = count("context_create ", &|rest| !rest.ends_with(" 0"));
            let gone = count("delete ", &|_| true);
            made <= gone
        })
    }

    /// The lines of the instances that served streams, or of the one that told most.
    fn of(&self, lane: &Lane, index: usize) -> Vec<String> {
        let key = (lane.side, plugin_name(lane.number, index));
        let Some(lines) = self.lines.get(&key) else {
            return Vec::new();
        };
        let mut instances: Vec<(Option<&str>, Vec<&Line>)> = Vec::new();
        for line in lines {
            let tag = line.tag.as_deref();
            match instances.iter_mut().find(|(known, _)| *known == tag) {
                Some((_, lines)) => lines.push(line),
                None => instances.push((tag, vec![line])),
            }
        }
        let is_stream = |line: &&&Line| {
            let created = line.text.split("> context_create ").nth(1);
            created.is_some_and(|rest| !rest.ends_with(" 0"))
        };
        let serving =
            |(_, lines): &&(Option<&str>, Vec<&Line>)| lines.iter().any(|line| is_stream(&line));
        let mut chosen: Vec<_> = instances.iter().filter(serving).collect();
        if chosen.is_empty() {
            let mut most = instances.iter().collect::<Vec<_>>();
            most.sort_by_key(|(_, lines)| std::cmp::Reverse(lines.len()));
            most.truncate(1);
            chosen = most;
        }
        if let [(None, lines)] = chosen.as_slice() {
            return told_once(lines);
        }
        let mut told = Vec::new();
        for (number, (_, lines)) in chosen.into_iter().enumerate() {
            if number > 0 {
                told.push(format!("  instance {}", number + 1));
            }
            told.extend(lines.iter().map(|line| line.told()));
        }
        told
    }
}

impl Line {
    fn told(&self) -> String {
        match self.level.as_str() {
            "info" => format!("  {}", self.text),
            level => format!("  {level}: {}", self.text),
        }
    }
}

/// The lines of a guest that does not say which instance it is: what several say of themselves
/// counts once.
fn told_once(lines: &[&Line]) -> Vec<String> {
    let mut told = Vec::new();
    for line in lines {
        let text = line.told();
        if line.text.starts_with("stream ") || !told.contains(&text) {
            told.push(text);
        }
    }
    told
}

/// `c12p3`.
fn is_plugin(word: &str) -> bool {
    let numbers = word.strip_prefix('c').and_then(|rest| rest.split_once('p'));
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    numbers.is_some_and(|(case, plugin)| digits(case) && digits(plugin))
}

/// What happened around Envoy.
#[derive(Debug, Default)]
pub(crate) struct Outside {
    pub(crate) clients: Vec<client::Seen>,
    pub(crate) upstream: Vec<server::Seen>,
    pub(crate) callouts: Vec<(String, Vec<server::Seen>)>,
    pub(crate) stats: Vec<String>,
}

/// One side of `case` as lines.
pub(crate) fn observe(case: &Case, lane: &Lane, outside: &Outside, log: &Log) -> Vec<String> {
    let access = log.access.get(&lane.tag()).cloned().unwrap_or_default();
    let mut lines = Vec::new();
    let refused = outside.clients.iter().all(|seen| seen.refused)
        || access
            .iter()
            .any(|line| line.contains(" wasmplugin.unavailable{"));
    if refused {
        // What the others of the chain go through afterwards depends on who refuses whom.
        lines.push("load refused".to_owned());
    } else {
        for (index, seen) in outside.clients.iter().enumerate() {
            let status = match seen.status {
                _ if seen.refused => "refused".to_owned(),
                Some(status) => status.to_string(),
                None => "nothing".to_owned(),
            };
            lines.push(format!("client {}: {status}", index + 1));
            lines.extend(seen.parts.told());
        }
        let mut access = access;
        if case.together {
            access.sort();
        }
        lines.extend(access.iter().map(|line| format!("access {line}")));
        let mut servers = vec![("upstream".to_owned(), outside.upstream.clone())];
        for (name, mut seen) in outside.callouts.clone() {
            // Plugins call side by side.
            seen.sort_by(|a, b| a.line.cmp(&b.line));
            servers.push((name, seen));
        }
        servers.retain(|(name, _)| !case.hidden.contains(name));
        for (name, seen) in servers {
            for (index, seen) in seen.iter().enumerate() {
                let line = record::text(seen.line.as_bytes());
                lines.push(format!("{name} {}: {line}", index + 1));
                lines.extend(seen.parts.told());
            }
        }
    }
    for index in 0..case.plugins.len() {
        lines.push(format!("plugin {}:", index + 1));
        let told = log.of(lane, index);
        let kept = told.iter().take_while(|line| {
            !refused || !(line.starts_with("  stream ") || line.starts_with("  > done"))
        });
        lines.extend(kept.cloned());
    }
    lines.extend(outside.stats.iter().map(|line| format!("stat {line}")));
    normalise(lane, outside, &mut lines);
    lines
}

fn normalise(lane: &Lane, outside: &Outside, lines: &mut [String]) {
    let mut ports = vec![(lane.edge, "EDGE")];
    if let Some(hops) = lane.hops {
        ports.push((hops.back, "UPSTREAM"));
    }
    ports.extend(outside.clients.iter().map(|seen| (seen.port, "CLIENT")));
    for (name, backend) in &lane.ports {
        if let Backend::Port { port, .. } = backend {
            ports.push((
                *port,
                if name == "upstream" {
                    "UPSTREAM"
                } else {
                    "CALLOUT"
                },
            ));
        }
    }
    let mut process_numbers: Vec<String> = Vec::new();
    for line in lines {
        *line = line
            .replace(&format!("-{}", lane.tag()), "")
            .replace(&lane.tag(), "CASE")
            .replace(&format!("c{:03}p", lane.number), "plugin")
            .replace("wasm_fail_stream", "PLUGIN_FAILED");
        if let Some(at) = line.find("wasmplugin.failed{") {
            let end = line[at..].find('}').map_or(line.len(), |end| at + end + 1);
            line.replace_range(at..end, "PLUGIN_FAILED");
        }
        for (port, name) in ports.iter().filter(|(port, _)| *port != 0) {
            replace_number(line, *port, name);
        }
        replace_uuids(line);
        // Envoy's own address, where it adds that.
        let forwarded = line.strip_prefix("  x-forwarded-for: ");
        if forwarded.is_some_and(|value| value.parse::<IpAddr>().is_ok()) {
            "  x-forwarded-for: ADDRESS".clone_into(line);
        }
        for (begin, with) in [
            ("  date: ", "DATE"),
            ("  x-envoy-upstream-service-time: ", "MS"),
        ] {
            if line.starts_with(begin) {
                *line = format!("{begin}{with}");
            }
        }
        for (name, with) in [
            ("\"date\"=\"", "DATE"),
            ("\"x-envoy-upstream-service-time\"=\"", "MS"),
        ] {
            if let Some(at) = line.find(name) {
                let at = at + name.len();
                let end = line[at..].find('"').map_or(line.len(), |end| at + end);
                line.replace_range(at..end, with);
            }
        }
        for kind in ["cas=", "queue="] {
            let mut from = 0;
            while let Some(at) = line[from..].find(kind) {
                let begin = from + at + kind.len();
                let digits = line[begin..].bytes().take_while(u8::is_ascii_digit).count();
                from = begin;
                if digits == 0 {
                    continue;
                }
                let number = line[begin..begin + digits].to_owned();
                if number == "0" {
                    continue;
                }
                let key = format!("{kind}{number}");
                let known = process_numbers.iter().position(|known| *known == key);
                let place = known.unwrap_or_else(|| {
                    process_numbers.push(key);
                    process_numbers.len() - 1
                });
                line.replace_range(begin..begin + digits, &format!("N{}", place + 1));
            }
        }
    }
}

fn replace_number(line: &mut String, number: u16, with: &str) {
    let number = number.to_string();
    let mut from = 0;
    while let Some(at) = line[from..].find(&number) {
        let (begin, end) = (from + at, from + at + number.len());
        let digit = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = line.as_bytes();
        if digit(bytes.get(end)) || begin > 0 && digit(bytes.get(begin - 1)) {
            from = end;
        } else {
            line.replace_range(begin..end, with);
            from = begin + with.len();
        }
    }
}

/// 8-4-4-4-12 digits.
fn replace_uuids(line: &mut String) {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    const LENGTH: usize = 36;
    let is_uuid = |text: &str| {
        let mut parts = text.split('-');
        let matches = GROUPS.iter().all(|length| {
            parts.next().is_some_and(|part| {
                part.len() == *length && part.bytes().all(|byte| byte.is_ascii_hexdigit())
            })
        });
        matches && parts.next().is_none()
    };
    let mut from = 0;
    while from + LENGTH <= line.len() {
        if line.get(from..from + LENGTH).is_some_and(is_uuid) {
            line.replace_range(from..from + LENGTH, "UUID");
        }
        from += 1;
    }
}
