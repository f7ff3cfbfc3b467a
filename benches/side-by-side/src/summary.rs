//! The report in words: Markdown tables, targets, the README's part.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::case;
use crate::growth;
use crate::report::Report;

/// A measure that has to come out below a number: its name, what it is the ratio of, the number.
struct Target {
    measure: &'static str,
    of: &'static str,
    to: Option<&'static str>,
    most: f64,
}

const fn target(
    measure: &'static str,
    of: &'static str,
    to: Option<&'static str>,
    most: f64,
) -> Target {
    Target {
        measure,
        of,
        to,
        most,
    }
}

macro_rules! added {
    ($case:literal, $side:literal) => {
        concat!("/cases/", $case, "/sides/", $side, "/added_cpu_us")
    };
}

macro_rules! slow {
    ($case:literal, $side:literal) => {
        concat!("/cases/", $case, "/sides/", $side, "/p99_us")
    };
}

const TARGETS: [Target; 11] = [
    target(
        "added CPU, do nothing: ours / V8",
        added!("nothing", "ours"),
        Some(added!("nothing", "v8")),
        0.5,
    ),
    target(
        "added CPU, headers: ours / V8",
        added!("headers", "ours"),
        Some(added!("headers", "v8")),
        0.5,
    ),
    target(
        "added CPU, headers: ours / native",
        added!("headers", "ours"),
        Some(added!("headers", "native")),
        1.8,
    ),
    target(
        "added CPU, chain of five: ours / V8",
        added!("chain", "ours"),
        Some(added!("chain", "v8")),
        0.45,
    ),
    target(
        "added CPU, body read: ours / V8",
        added!("read", "ours"),
        Some(added!("read", "v8")),
        0.6,
    ),
    target(
        "added CPU, body rewrite: ours / V8",
        added!("rewrite", "ours"),
        Some(added!("rewrite", "v8")),
        0.6,
    ),
    target(
        "start to first answer, filled cache: ours / V8",
        "/start/ours_warm_s",
        Some("/start/v8_s"),
        0.1,
    ),
    target(
        "start to first answer, empty cache: ours / V8",
        "/start/ours_cold_s",
        Some("/start/v8_s"),
        2.5,
    ),
    target(
        "memory per further plugin, one worker: ours / V8",
        "/memory/ours/kb_per_plugin_with_1_workers",
        Some("/memory/v8/kb_per_plugin_with_1_workers"),
        0.3,
    ),
    target(
        "p99 at half of peak load, headers: ours / V8",
        slow!("headers", "ours"),
        Some(slow!("headers", "v8")),
        1.0,
    ),
    target(
        "allocations a request, headers, steady",
        "/allocations/headers",
        None,
        0.0,
    ),
];

/// The targets, each with what came out.
pub(crate) fn targets(report: &Report) -> Value {
    let result = |target: &Target| {
        let value = match target.to {
            Some(to) => report
                .median(target.of)
                .zip(report.median(to))
                .map(|(of, to)| (of / to * 1000.0).round() / 1000.0),
            None => report.at(target.of).as_f64(),
        };
        json!({
            "measure": target.measure,
            "target": target.most,
            "value": value,
            "met": value.map(|value| value <= target.most),
        })
    };
    TARGETS.iter().map(result).collect()
}

/// Everything, for people.
pub(crate) fn markdown(report: &Report) -> String {
    let mut text = String::from("# Side by side\n\n");
    text += &machine(report);
    text += "\n";
    text += &cases(report);
    text += "\nRequests a second at most, and latencies in µs at a rate that half loads the slowest:\n\n\
             | plugin | side | peak/s | p50 | p99 |\n|---|---|---|---|---|\n";
    for case in case::ALL {
        for side in ["none", "native", "v8", "ours"] {
            let of = |what| report.median(&format!("/cases/{}/sides/{side}/{what}", case.name));
            let Some(peak) = of("peak_per_second") else {
                continue;
            };
            let (p50, p99) = (
                of("p50_us").unwrap_or(f64::NAN),
                of("p99_us").unwrap_or(f64::NAN),
            );
            line(
                &mut text,
                format_args!(
                    "| {} | {side} | {peak:.0} | {p50:.0} | {p99:.0} |",
                    case.title
                ),
            );
        }
    }
    text += "\n";
    text += &loads(report);
    text += "\n| measure | target | measured | met |\n|---|---|---|---|\n";
    for target in targets(report).as_array().into_iter().flatten() {
        let word = |field: &str| match &target[field] {
            Value::Null => "not measured".to_owned(),
            Value::Bool(true) => "yes".to_owned(),
            Value::Bool(false) => "**no**".to_owned(),
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let cells = ["measure", "target", "value", "met"].map(word).join(" | ");
        line(&mut text, format_args!("| {cells} |"));
    }
    if let Some(growth) = report.at("/growth").as_object().filter(|g| !g.is_empty()) {
        text += "\n| growth of | for each more of | V8 | wasmplugin |\n|---|---|---|---|\n";
        for (name, curve) in growth {
            let word = |field: &str| curve[field].as_str().unwrap_or_default().to_owned();
            let slope = |side| growth::slope(curve, side);
            line(
                &mut text,
                format_args!(
                    "| [{}]({name}.svg) | {} | {:.4} | {:.4} |",
                    word("y"),
                    word("x"),
                    slope("v8"),
                    slope("ours")
                ),
            );
        }
    }
    text
}

/// The README's part.
pub(crate) fn readme(report: &Report) -> String {
    let mut text = cases(report);
    text += "\n";
    text += &loads(report);
    text += "\n";
    text += &machine(report);
    text
}

/// `text` with the README's part between its marks.
pub(crate) fn into_readme(text: &str, report: &Report) -> String {
    const BEGIN: &str = "<!-- make bench-keep writes from here -->\n";
    const END: &str = "<!-- to here -->\n";
    let (head, rest) = text.split_once(BEGIN).expect("the mark where it begins");
    let (_, tail) = rest.split_once(END).expect("the mark where it ends");
    format!("{head}{BEGIN}\n{}\n{END}{tail}", readme(report))
}

fn cases(report: &Report) -> String {
    let mut text = String::from(
        "| plugin | native module | Envoy's Wasm filter (V8) | wasmplugin | ours / V8 |\n|---|---|---|---|---|\n",
    );
    for case in case::ALL {
        let side = |side: &str| {
            let of = report.at(&format!("/cases/{}/sides/{side}/added_cpu_us", case.name));
            let median = of["median"].as_f64()?;
            let (low, high) = (of["quartiles"][0].as_f64()?, of["quartiles"][1].as_f64()?);
            Some((median, format!("+{median:.2} µs ({low:.2} to {high:.2})")))
        };
        if let (Some(native), Some(v8), Some(ours)) = (side("native"), side("v8"), side("ours")) {
            let ratio = ours.0 / v8.0;
            line(
                &mut text,
                format_args!(
                    "| {} | {} | {} | {} | {ratio:.2} |",
                    case.title, native.1, v8.1, ours.1
                ),
            );
        }
    }
    text
}

fn loads(report: &Report) -> String {
    let mut text = String::from(
        "| | Envoy's Wasm filter (V8) | wasmplugin | ours / V8 |\n|---|---|---|---|\n",
    );
    let rows = [
        (
            "start to first answer, 16 MB guest, empty cache, s",
            "/start/v8_s",
            "/start/ours_cold_s",
        ),
        (
            "the same, filled cache, s",
            "/start/v8_s",
            "/start/ours_warm_s",
        ),
        (
            "memory of a further plugin, one worker, KB",
            "/memory/v8/kb_per_plugin_with_1_workers",
            "/memory/ours/kb_per_plugin_with_1_workers",
        ),
        (
            "memory of a further plugin, two workers, KB",
            "/memory/v8/kb_per_plugin_with_2_workers",
            "/memory/ours/kb_per_plugin_with_2_workers",
        ),
    ];
    for (name, v8, ours) in rows {
        if let (Some(v8), Some(ours)) = (report.median(v8), report.median(ours)) {
            line(
                &mut text,
                format_args!("| {name} | {v8:.2} | {ours:.2} | {:.2} |", ours / v8),
            );
        }
    }
    text
}

fn machine(report: &Report) -> String {
    let of = |field: &str| {
        let value = report.at(&format!("/machine/{field}"));
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    format!(
        "Measured {} by `{}` (commit {}) on {} x {}, {} MB, {}; Envoy {}; {}; {} rounds of {} requests.\n",
        of("date"),
        of("command"),
        of("commit"),
        of("processors"),
        of("processor"),
        of("memory_mb"),
        of("kernel"),
        of("envoy").split('/').nth(1).unwrap_or("?"),
        of("rustc"),
        of("rounds"),
        of("requests_per_round"),
    )
}

fn line(text: &mut String, line: std::fmt::Arguments<'_>) {
    let _infallible = writeln!(text, "{line}");
}
