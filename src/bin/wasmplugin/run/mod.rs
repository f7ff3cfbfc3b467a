//! `wasmplugin run`: a local Envoy with plugins, to try them.

mod bootstrap;
mod echo;
mod envoy;

use std::env;
use std::fs;
use std::io::{self, IsTerminal as _, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use clap::builder::PossibleValuesParser;
use serde_json::json;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use wasmplugin_host::plugin::{Problem, Resource, ResourceReader, defaults};

use crate::files::line;
use crate::{Outcome, Output};
use envoy::{Envoy, Start};

/// Run a local Envoy with plugins, until Ctrl-C.
///
/// Envoy must be there already: see --envoy. Requests go to --upstream, or come back as they are,
/// so that one sees what plugins made of them. Changes of the files are followed.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// Files of WasmPlugin and TrafficExtension resources
    #[arg(long = "plugin", required = true, num_args = 1.., value_name = "FILE")]
    plugins: Vec<PathBuf>,
    /// File of further settings, as Envoy's configFile names them
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The Envoy to run; if not given, what the variable ENVOY names, or else envoy on the PATH
    #[arg(long, value_name = "PATH")]
    envoy: Option<PathBuf>,
    /// Where libwasmplugin.so is; if not given, beside this command
    #[arg(long, value_name = "DIR")]
    module_dir: Option<PathBuf>,
    /// The port to listen on; 0 for one that is free
    #[arg(long, default_value_t = 0)]
    port: u16,
    /// Where requests go
    #[arg(long, value_name = "HOST:PORT", value_parser = upstream)]
    upstream: Option<Upstream>,
    /// The least level of the lines of plugins that are shown
    #[arg(
        long,
        default_value = "info",
        value_parser = PossibleValuesParser::new(["trace", "debug", "info", "warning", "error"]),
    )]
    log_level: String,
    /// How to print where it listens
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// Where requests go.
#[derive(Clone, Debug)]
struct Upstream {
    host: String,
    port: u16,
}

/// How often is looked whether Envoy is ready, or has ended.
const GLANCE: Duration = Duration::from_millis(50);

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<Outcome> {
    let (binary, modules) = match (binary(args), modules(args)) {
        (Ok(binary), Ok(modules)) => (binary, modules),
        (binary, modules) => {
            for problem in [binary.err(), modules.err()].into_iter().flatten() {
                eprintln!("error: {problem}");
            }
            return Ok(Outcome::WrongUsage);
        }
    };
    let (resources, problems) = read(&args.plugins);
    if !problems.is_empty() {
        for (file, problem) in problems {
            eprintln!("{}", line(&problem, &file));
        }
        return Ok(Outcome::ProblemFound);
    }
    // First of all: whoever gives up meanwhile leaves no Envoy behind.
    let interrupted = interruptions()?;
    let directory = tempfile::tempdir()?;
    let settings = settings(args, &resources, directory.path())?;
    let upstream = match &args.upstream {
        Some(upstream) => upstream.clone(),
        None => Upstream {
            host: "127.0.0.1".to_owned(),
            port: echo::start()?,
        },
    };
    let bootstrap = bootstrap::bootstrap(args.port, &upstream, settings).to_string();
    let start = Start {
        binary: &binary,
        modules: &modules,
        directory: directory.path(),
        bootstrap: &bootstrap,
        log_level: &args.log_level,
    };
    let mut envoy = match Envoy::start(&start) {
        Ok(envoy) => envoy,
        Err(error) => {
            eprintln!("error: {}: {error}", binary.display());
            return Ok(Outcome::ProblemFound);
        }
    };
    if io::stderr().is_terminal() {
        eprintln!("starting {} and the plugins…", binary.display());
    }
    serve(&mut envoy, &interrupted, args.output, out)
}

/// Waits until Envoy serves, tells so, and waits for the end.
fn serve(
    envoy: &mut Envoy,
    interrupted: &Receiver<()>,
    output: Output,
    out: &mut dyn Write,
) -> io::Result<Outcome> {
    let mut is_told = false;
    loop {
        if let Some(status) = envoy.ended()? {
            eprintln!("error: Envoy has ended: {status}");
            return Ok(Outcome::ProblemFound);
        }
        if !is_told && let Some(port) = envoy.port() {
            let (url, admin) = (local(port), local(envoy.admin));
            match output {
                Output::Text => writeln!(
                    out,
                    "listening at {url}, plugins at {admin}/wasmplugin; Ctrl-C ends it"
                )?,
                Output::Json => writeln!(out, "{}", json!({ "url": url, "admin": admin }))?,
            }
            out.flush()?;
            is_told = true;
        }
        match interrupted.recv_timeout(GLANCE) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return Ok(Outcome::Good),
        }
    }
}

fn local(port: u16) -> String {
    format!("http://127.0.0.1:{port}")
}

/// Tells when somebody wants this to end.
fn interruptions() -> io::Result<Receiver<()>> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP])?;
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        for _ in signals.forever() {
            if sender.send(()).is_err() {
                break;
            }
        }
    });
    Ok(receiver)
}

/// The Envoy to run.
fn binary(args: &Args) -> Result<PathBuf, String> {
    let named = args.envoy.clone();
    let named = named.or_else(|| env::var_os("ENVOY").map(PathBuf::from));
    match named {
        Some(path) if path.is_file() => Ok(path),
        Some(path) => Err(format!("{}: no such file", path.display())),
        None => envoy::on_path("envoy").ok_or_else(|| {
            "no Envoy: name one with --envoy or the variable ENVOY, or have it on the PATH"
                .to_owned()
        }),
    }
}

/// The directory of the module.
fn modules(args: &Args) -> Result<PathBuf, String> {
    const MODULE: &str = "libwasmplugin.so";
    let own = || Some(env::current_exe().ok()?.parent()?.to_owned());
    let directory = args.module_dir.clone().or_else(own).unwrap_or_default();
    if directory.join(MODULE).is_file() {
        return Ok(directory);
    }
    let directory = directory.display();
    Err(format!(
        "{directory}: holds no {MODULE}; name its directory with --module-dir"
    ))
}

/// The resources of files, and all that is wrong with them.
fn read(files: &[PathBuf]) -> (Vec<Resource>, Vec<(String, Problem)>) {
    let mut reader = ResourceReader::default();
    let (mut resources, mut problems) = (Vec::new(), Vec::new());
    for path in files {
        let file = path.display().to_string();
        match fs::read_to_string(path) {
            Ok(text) => {
                let (found, wrong) = reader.read(&text, &file, defaults::NAMESPACE);
                resources.extend(found);
                problems.extend(wrong.0.into_iter().map(|wrong| (file.clone(), wrong)));
            }
            Err(error) => {
                let wrong = Problem::of_file(&file, format!("cannot be read: {error}"));
                problems.push((file, wrong));
            }
        }
    }
    (resources, problems)
}

/// Settings that name the files, so that Envoy follows their changes.
fn settings(
    args: &Args,
    resources: &[Resource],
    directory: &Path,
) -> io::Result<serde_json::Value> {
    let plugins = directory.join("plugins");
    fs::create_dir(&plugins)?;
    for (number, path) in args.plugins.iter().enumerate() {
        symlink(path.canonicalize()?, plugins.join(format!("{number}.yaml")))?;
    }
    let mut settings = json!({ "pluginsDir": plugins });
    let further = match (&args.config, resources.first()) {
        (Some(config), _) => Some(("configFile", json!(config.canonicalize()?))),
        // Or else only plugins of the namespace `default` would run.
        (None, Some(first)) => Some(("workload", json!({ "namespace": first.namespace() }))),
        (None, None) => None,
    };
    if let (Some((name, value)), Some(settings)) = (further, settings.as_object_mut()) {
        settings.insert(name.to_owned(), value);
    }
    Ok(settings)
}

fn upstream(text: &str) -> Result<Upstream, String> {
    let parts = text.rsplit_once(':').and_then(|(host, port)| {
        let host = host.trim_start_matches('[').trim_end_matches(']');
        let port = port.parse().ok().filter(|port| *port > 0)?;
        (!host.is_empty()).then(|| (host.to_owned(), port))
    });
    let (host, port) = parts.ok_or("write HOST:PORT")?;
    Ok(Upstream { host, port })
}
