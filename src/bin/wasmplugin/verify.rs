//! `wasmplugin verify`: who signed a module, asked as the proxy asks.

use crate::fetching::{Failure, Fetching};
use crate::{Outcome, Output, inspect};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::PathBuf;
use wasmplugin_host::source::signature::{Keys, Refused, Verification, Verified};

/// Check that a module is signed by one of the keys in a file, as the proxy does for
/// verificationKey.
///
/// Looks at signatures inside of the module, beside the file (URL.sig), and of the image in its
/// registry (cosign). Exits with 1 if none is valid.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of one or several public keys, as PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// A file, or a URL as in a resource
    #[arg(value_name = "URL|MODULE")]
    module: String,
    #[command(flatten)]
    fetching: Fetching,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<Outcome> {
    let keys = match Keys::read(&args.key) {
        Ok(keys) => keys,
        Err(error) => {
            eprintln!("error: --key {}: {error}", args.key.display());
            return Ok(Outcome::WrongUsage);
        }
    };
    let url = inspect::url(&args.module).map_err(Failure::Fetch);
    match url.and_then(|url| args.fetching.verify(url, &keys)) {
        Ok(verified) => {
            print(&verified, args.output, out)?;
            Ok(Outcome::Good)
        }
        Err(Failure::Refused(refused)) => {
            match args.output {
                Output::Text => print_refused(&args.module, &refused)?,
                Output::Json => writeln!(out, "{:#}", refused_json(&refused))?,
            }
            Ok(Outcome::ProblemFound)
        }
        Err(Failure::Fetch(error)) => {
            eprintln!("error: {error}");
            Ok(Outcome::ProblemFound)
        }
    }
}

fn print(verified: &Verified, output: Output, out: &mut dyn Write) -> io::Result<()> {
    let fetched = verified.fetched();
    let Verification::Signed(signature) = verified.verification() else {
        return Ok(());
    };
    if output == Output::Json {
        let report = json!({
            "verified": true,
            "module": verified.digest(),
            "image": fetched.image(),
            "signature": {
                "kind": signature.kind,
                "place": signature.place,
                "key": signature.key,
                "keyKind": signature.key_kind,
            },
        });
        return writeln!(out, "{report:#}");
    }
    writeln!(out, "module     sha256:{}", verified.digest())?;
    if let Some(image) = fetched.image() {
        writeln!(out, "manifest   sha256:{}", image.manifest)?;
    }
    writeln!(out, "signature  {}, {}", signature.kind, signature.place)?;
    writeln!(out, "key        {} {}", signature.key_kind, signature.key)
}

fn print_refused(module: &str, refused: &Refused) -> io::Result<()> {
    let mut err = io::stderr().lock();
    writeln!(err, "error: {module}: not verified")?;
    for attempt in &refused.0 {
        writeln!(err, "  {attempt}")?;
    }
    Ok(())
}

fn refused_json(refused: &Refused) -> Value {
    let problems = refused
        .0
        .iter()
        .map(|attempt| json!({ "place": attempt.place, "reason": attempt.reason.to_string() }));
    json!({ "verified": false, "problems": problems.collect::<Vec<_>>() })
}
