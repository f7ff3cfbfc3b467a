//! `wasmplugin pull`: fetches a module as the proxy would.

use crate::fetching::Fetching;
use crate::{Outcome, Output};
use serde_json::json;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use wasmplugin_host::plugin::ModuleUrl;

/// Fetch a module as the proxy would, check it, and keep it.
///
/// It goes to the file that -o names, and to the cacheDir of the settings.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// oci://, http://, https:// or file://; none for OCI
    url: ModuleUrl,
    /// Write the module to this file
    #[arg(short, value_name = "FILE")]
    o: Option<PathBuf>,
    #[command(flatten)]
    fetching: Fetching,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<Outcome> {
    let fetched = match args.fetching.fetch(args.url.clone()) {
        Ok(fetched) => fetched,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(Outcome::ProblemFound);
        }
    };
    if let Some(path) = &args.o
        && let Err(error) = fs::write(path, fetched.bytes())
    {
        eprintln!("error: {}: cannot be written: {error}", path.display());
        return Ok(Outcome::ProblemFound);
    }
    let (digest, size) = (fetched.digest(), fetched.bytes().len());
    let image = fetched.image();
    match args.output {
        Output::Text => {
            writeln!(out, "module    sha256:{digest} ({size} bytes)")?;
            if let Some(image) = image {
                writeln!(
                    out,
                    "manifest  sha256:{} ({})",
                    image.manifest, image.layout
                )?;
                if let Some(index) = image.index {
                    writeln!(out, "index     sha256:{index}")?;
                }
            }
        }
        Output::Json => {
            let text = json!({ "module": digest, "size": size, "image": image });
            writeln!(out, "{text:#}")?;
        }
    }
    Ok(Outcome::Good)
}
