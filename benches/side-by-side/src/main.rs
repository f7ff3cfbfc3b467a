//! What plugins cost in Envoy, four ways in one run: without a filter, as native code, in Envoy's
//! own Wasm filter on V8, and in ours. `make bench` runs it; `benches/README.md` says how to read
//! the result and why it is measured so.
//!
//! Every case starts one Envoy per side, which stay up side by side, and goes round them in turn:
//! whatever else the machine does meets all sides alike. What a side adds is told against the
//! Envoy without a filter of the same round.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a benchmark that cannot run should say so"
)]

mod bootstrap;
mod case;
mod envoy;
mod growth;
mod guest;
mod load;
mod machine;
mod memory;
mod options;
mod plot;
mod report;
mod start;
mod stats;
mod summary;

use std::fs;

use options::Options;
use report::Report;

fn main() {
    let options = Options::of_command_line();
    fs::create_dir_all(&options.out).expect("the output directory");
    if let Some(run) = &options.summarize {
        let text = fs::read_to_string(run).expect("a kept run");
        let report = Report::parse(&text).expect("a report");
        match &options.readme {
            Some(readme) => {
                let text = fs::read_to_string(readme).expect("the README");
                let text = summary::into_readme(&text, &report);
                fs::write(readme, text).expect("the README");
            }
            None => print!("{}", summary::readme(&report)),
        }
        // Shown with the directory.
        let kept = options.out.join("README.md");
        fs::write(kept, summary::markdown(&report)).expect("the report");
        report.plot(&options.out);
        return;
    }
    let mut report = Report::new(&options);
    for case in case::ALL {
        if options.wants(case.name) {
            report.add_case(case::measure(&options, case));
            report.write(&options.out);
        }
    }
    for (name, measure) in [
        ("start", start::measure as fn(&Options) -> _),
        ("memory", memory::measure),
    ] {
        if options.wants(name) {
            report.add(name, measure(&options));
            report.write(&options.out);
        }
    }
    for (name, measure) in growth::ALL {
        if options.wants(name) {
            report.add_growth(name, measure(&options));
            report.write(&options.out);
        }
    }
    report.finish(&options.out);
}
