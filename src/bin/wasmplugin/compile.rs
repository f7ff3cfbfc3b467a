//! `wasmplugin compile`: fills a cache of compiled code, while an image is built for example.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use wasmplugin_host::cache::{CodeDirectory, Modules, Origin};
use wasmplugin_host::proxy_wasm::AbiVersion;
use wasmplugin_host::source::Digest;
use wasmplugin_host::vm::Engine;

use crate::{Outcome, Output};

/// Compile modules into a cache directory
///
/// A proxy with this cacheDir then starts without compiling them, as long as it is the same version
/// of wasmplugin, runs as the same user, on the same kind of processor.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// WebAssembly modules
    #[arg(required = true, value_name = "MODULE")]
    modules: Vec<PathBuf>,
    /// The cacheDir of the proxies' settings; made where it is missing
    #[arg(long, value_name = "DIR")]
    cache_dir: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What became of a module.
enum Made {
    Compiled(Digest, Duration),
    Present(Digest),
    Failed(String),
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<Outcome> {
    let engine = Engine::new().map_err(io::Error::other)?;
    let directory = match CodeDirectory::open(&args.cache_dir) {
        Ok(directory) => directory,
        Err(error) => {
            eprintln!("error: --cache-dir: {error}");
            return Ok(Outcome::ProblemFound);
        }
    };
    let mut results = Vec::new();
    for module in &args.modules {
        let result = compile(&engine, &directory, module).unwrap_or_else(Made::Failed);
        if args.output == Output::Text {
            writeln!(out, "{}", line(module, &result))?;
            out.flush()?;
        }
        results.push((module, result));
    }
    if args.output == Output::Json {
        let modules: Vec<_> = results.iter().map(|(m, r)| as_json(m, r)).collect();
        writeln!(out, "{:#}", json!({ "modules": modules }))?;
    }
    let has_failed = |(_, result): &(_, Made)| matches!(result, Made::Failed(_));
    Ok(if results.iter().any(has_failed) {
        Outcome::ProblemFound
    } else {
        Outcome::Good
    })
}

fn compile(engine: &Engine, directory: &CodeDirectory, module: &Path) -> Result<Made, String> {
    let bytes = fs::read(module).map_err(|error| format!("cannot be read: {error}"))?;
    if !bytes.starts_with(b"\0asm") {
        return Err("not a WebAssembly module".to_owned());
    }
    AbiVersion::detect(&bytes).map_err(|error| error.to_string())?;
    let digest = Digest::of(&bytes);
    let key = digest.bytes();
    let (_, origin) = Modules::default()
        .get_kept(engine, Some(directory), key, &bytes, &|_| ())
        .map_err(|error| error.to_string())?;
    let Origin::Compiled(took) = origin else {
        return Ok(Made::Present(digest));
    };
    // A proxy goes on with code that cannot be kept; here, nothing else is wanted.
    match directory.load(engine, key) {
        Ok(Some(_)) => Ok(Made::Compiled(digest, took)),
        Ok(None) => Err("compiled, but not kept".to_owned()),
        Err(error) => Err(format!("compiled, but not kept: {error}")),
    }
}

fn line(module: &Path, result: &Made) -> String {
    let module = module.display();
    match result {
        Made::Compiled(digest, took) => {
            format!(
                "{module}: compiled in {} ms, sha256:{digest}",
                took.as_millis()
            )
        }
        Made::Present(digest) => format!("{module}: there already, sha256:{digest}"),
        Made::Failed(reason) => format!("{module}: error: {reason}"),
    }
}

fn as_json(module: &Path, result: &Made) -> serde_json::Value {
    let module = module.display().to_string();
    match result {
        Made::Compiled(digest, took) => json!({
            "module": module,
            "state": "compiled",
            "sha256": digest.to_string(),
            "milliseconds": took.as_millis(),
        }),
        Made::Present(digest) => json!({
            "module": module,
            "state": "present",
            "sha256": digest.to_string(),
        }),
        Made::Failed(reason) => json!({
            "module": module,
            "state": "failed",
            "error": reason,
        }),
    }
}
