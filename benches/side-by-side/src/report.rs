//! The report: everything measured, and whether the targets are met.

use std::fs;
use std::path::Path;

use serde_json::{Map, Value, json};

use crate::case::{self, Case};
use crate::growth;
use crate::machine;
use crate::options::Options;
use crate::plot;
use crate::summary;

/// What was measured so far.
#[derive(Debug)]
pub(crate) struct Report(Value);

/// Sides that add something.
const ADDING: [&str; 3] = ["native", "v8", "ours"];

impl Report {
    pub(crate) fn new(options: &Options) -> Self {
        Self(json!({ "machine": machine::describe(options), "cases": {}, "growth": {} }))
    }

    pub(crate) fn parse(text: &str) -> serde_json::Result<Self> {
        serde_json::from_str(text).map(Self)
    }

    /// What is at a path; null where there is nothing.
    pub(crate) fn at(&self, pointer: &str) -> &Value {
        self.0.pointer(pointer).unwrap_or(&Value::Null)
    }

    /// The median at a path.
    pub(crate) fn median(&self, pointer: &str) -> Option<f64> {
        self.at(pointer)["median"].as_f64()
    }

    pub(crate) fn add_case(&mut self, (case, result): (Case, Value)) {
        self.0["cases"][case.name] = result;
    }

    pub(crate) fn add(&mut self, name: &str, result: Value) {
        self.0[name] = result;
    }

    pub(crate) fn add_growth(&mut self, name: &str, result: Value) {
        self.0["growth"][name] = result;
    }

    /// Writes what there is, so that a run that is cut short has not been for nothing.
    pub(crate) fn write(&mut self, out: &Path) {
        // Counted by a benchmark of its own, which runs before.
        if let Ok(counted) = fs::read_to_string(out.join("allocations.json"))
            && let Ok(counted) = serde_json::from_str(&counted)
        {
            self.0["allocations"] = counted;
        }
        self.0["targets"] = summary::targets(self);
        let text = serde_json::to_string_pretty(&self.0).expect("a report");
        fs::write(out.join("report.json"), text + "\n").expect("the report");
        fs::write(out.join("report.md"), summary::markdown(self)).expect("the report");
    }

    pub(crate) fn finish(&mut self, out: &Path) {
        self.write(out);
        self.plot(out);
        print!("{}", summary::markdown(self));
        println!("\nin {}", out.display());
    }

    /// Draws what there is.
    pub(crate) fn plot(&self, out: &Path) {
        let groups: Vec<_> = case::ALL
            .iter()
            .filter_map(|case| {
                let added = |side: &&str| {
                    self.median(&format!("/cases/{}/sides/{side}/added_cpu_us", case.name))
                };
                let values: Option<Vec<f64>> = ADDING.iter().map(added).collect();
                Some((case.title.to_owned(), values?))
            })
            .collect();
        if !groups.is_empty() {
            let plot = plot::bars(
                "What plugins add to a request",
                "CPU time of Envoy in µs a request, median",
                &ADDING,
                &groups,
            );
            fs::write(out.join("added-cpu.svg"), plot).expect("a plot");
        }
        let empty = Map::new();
        let growth = self.at("/growth").as_object().unwrap_or(&empty);
        for (name, curve) in growth {
            let of = |side| {
                let points = growth::points(curve, side);
                (!points.is_empty()).then_some((side, points))
            };
            let curves: Vec<_> = ["v8", "ours", "ours_warm"]
                .into_iter()
                .filter_map(of)
                .collect();
            let text = |field: &str| curve[field].as_str().unwrap_or_default().to_owned();
            let plot = plot::curves(name, &text("x"), &text("y"), &curves);
            fs::write(out.join(format!("{name}.svg")), plot).expect("a plot");
        }
    }
}
