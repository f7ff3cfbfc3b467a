//! The command line.

use std::env;
use std::path::PathBuf;

/// What to measure, with what, and how long.
#[derive(Debug)]
pub(crate) struct Options {
    /// Envoy's binary.
    pub(crate) envoy: PathBuf,
    /// Where `libwasmplugin.so` and `libbenchnative.so` are.
    pub(crate) modules: PathBuf,
    /// Where the report goes.
    pub(crate) out: PathBuf,
    /// Rounds of a case.
    pub(crate) rounds: usize,
    /// Requests of a round, for each side.
    pub(crate) requests: usize,
    /// Only cases whose name holds one of these.
    only: Vec<String>,
    /// Minutes instead of an hour, for a look.
    pub(crate) quick: bool,
    /// Writes tables and plots of this kept run instead of measuring.
    pub(crate) summarize: Option<PathBuf>,
    /// Where the tables go: into this file's part for them.
    pub(crate) readme: Option<PathBuf>,
}

const USAGE: &str = "side-by-side --envoy FILE --modules DIRECTORY [--out DIRECTORY] [--quick]
             [--rounds N] [--requests N] [--only WORD[,WORD...]]
side-by-side --summarize RUN.json [--readme FILE] [--out DIRECTORY]";

impl Options {
    pub(crate) fn of_command_line() -> Self {
        let mut options = Self {
            envoy: PathBuf::new(),
            modules: PathBuf::from("target/release"),
            out: PathBuf::from("target/bench"),
            rounds: 0,
            requests: 0,
            only: Vec::new(),
            quick: false,
            summarize: None,
            readme: None,
        };
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            let mut value = || arguments.next().expect(USAGE);
            match argument.as_str() {
                "--envoy" => options.envoy = value().into(),
                "--modules" => options.modules = value().into(),
                "--out" => options.out = value().into(),
                "--rounds" => options.rounds = value().parse().expect(USAGE),
                "--requests" => options.requests = value().parse().expect(USAGE),
                "--only" => options.only = value().split(',').map(str::to_owned).collect(),
                "--summarize" => options.summarize = Some(value().into()),
                "--readme" => options.readme = Some(value().into()),
                "--quick" => options.quick = true,
                _ => panic!("{USAGE}"),
            }
        }
        let or = |given: usize, quick: usize, full: usize| match (given, options.quick) {
            (0, true) => quick,
            (0, false) => full,
            _ => given,
        };
        options.rounds = or(options.rounds, 5, 11);
        options.requests = or(options.requests, 4_000, 20_000);
        options
    }

    /// Whether `name` was asked for.
    pub(crate) fn wants(&self, name: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| name.contains(word))
    }

    /// `full`, or `quick` where there is little time.
    pub(crate) fn pick<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}
