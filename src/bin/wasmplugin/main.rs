//! The `wasmplugin` command.
//!
//! Exit status: 0 for success, 1 where a problem was found, 2 for wrong usage.

mod compile;
mod config;
mod explain;
mod fetching;
mod files;
mod inspect;
mod pull;
mod run;
mod sign;
mod test;
mod validate;
mod verify;

use clap::{Parser, Subcommand, ValueEnum};
use std::io;
use std::process::ExitCode;

/// Runs Istio WasmPlugin resources in stock Envoy.
#[derive(Parser)]
#[command(version)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    Validate(validate::Args),
    Test(test::Args),
    Run(run::Args),
    Explain(explain::Args),
    Compile(compile::Args),
    Config(config::Args),
    Pull(pull::Args),
    Inspect(inspect::Args),
    Verify(verify::Args),
    Sign(sign::Args),
    Keygen(sign::KeygenArgs),
}

/// How data is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Output {
    /// For people.
    Text,
    /// For programs.
    Json,
}

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Good,
    ProblemFound,
    WrongUsage,
}

fn main() -> ExitCode {
    let args = Args::parse();
    let mut out = io::stdout().lock();
    let result = match args.command {
        Command::Validate(args) => validate::run(&args, &mut out),
        Command::Test(args) => test::run(&args, &mut out),
        Command::Run(args) => run::run(&args, &mut out),
        Command::Explain(args) => explain::run(&args, &mut out),
        Command::Compile(args) => compile::run(&args, &mut out),
        Command::Config(args) => config::run(&args, &mut out),
        Command::Pull(args) => pull::run(&args, &mut out),
        Command::Inspect(args) => inspect::run(&args, &mut out),
        Command::Verify(args) => verify::run(&args, &mut out),
        Command::Sign(args) => sign::run(&args, &mut out),
        Command::Keygen(args) => sign::keygen(&args, &mut out),
    };
    match result {
        Ok(Outcome::Good) => ExitCode::SUCCESS,
        Ok(Outcome::ProblemFound) => ExitCode::from(1),
        Ok(Outcome::WrongUsage) => ExitCode::from(2),
        // Whoever read the output has seen enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::from(1)
        }
    }
}
