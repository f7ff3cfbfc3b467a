//! `wasmplugin sign` and `wasmplugin keygen`: the other half of `verify`, for those without cosign
//! and wasmsign2.

use crate::{Outcome, Output};
use clap::ValueEnum;
use serde_json::json;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use wasmplugin_host::source::Digest;
use wasmplugin_host::source::signature::sign::{self, PrivateKey};

/// Sign a module with a private key in a file.
///
/// The signature goes into the module, or into a file beside it (MODULE.sig).
#[derive(clap::Args)]
pub(crate) struct Args {
    /// File of a private key, as unencrypted PEM
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the signature goes; by default into the module with an Ed25519 key, else beside it
    #[arg(long, value_enum)]
    form: Option<Form>,
    /// Write to this file: by default over MODULE, or to MODULE.sig
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// The module
    #[arg(value_name = "MODULE")]
    module: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Form {
    /// A section of the module, as wasmsign2 writes it (Ed25519 only)
    Embedded,
    /// A signature beside the module, as cosign sign-blob writes it
    Signature,
    /// A Sigstore bundle beside the module, as cosign sign-blob --bundle writes it
    Bundle,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<Outcome> {
    let key = match read_key(&args.key) {
        Ok(key) => key,
        Err(error) => {
            eprintln!("error: --key {}: {error}", args.key.display());
            return Ok(Outcome::WrongUsage);
        }
    };
    let form = args.form.unwrap_or(match key.kind() {
        "Ed25519" => Form::Embedded,
        _ => Form::Signature,
    });
    let to = args.to.clone().unwrap_or_else(|| match form {
        Form::Embedded => args.module.clone(),
        Form::Signature | Form::Bundle => beside(&args.module),
    });
    let digest = match make(&args.module, form, &key).and_then(|(content, digest)| {
        replace(&to, &content).map_err(|error| format!("{}: {error}", to.display()))?;
        Ok(digest)
    }) {
        Ok(digest) => digest,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(Outcome::ProblemFound);
        }
    };
    match args.output {
        Output::Text => {
            writeln!(out, "module   sha256:{digest}")?;
            writeln!(out, "written  {}", to.display())?;
        }
        Output::Json => {
            let report = json!({ "module": digest, "written": to.display().to_string() });
            writeln!(out, "{report:#}")?;
        }
    }
    Ok(Outcome::Good)
}

/// What is to be written, and the digest of the module that is signed then.
fn make(module: &Path, form: Form, key: &PrivateKey) -> Result<(Vec<u8>, Digest), String> {
    let place = |error: String| format!("{}: {error}", module.display());
    let bytes = fs::read(module).map_err(|error| place(error.to_string()))?;
    if !bytes.starts_with(b"\0asm\x01\0\0\0") {
        return Err(place("not a WebAssembly module".to_owned()));
    }
    let content = match form {
        Form::Embedded => sign::embed(&bytes, key),
        Form::Signature => sign::detach(&bytes, key).map(String::into_bytes),
        Form::Bundle => sign::bundle(&bytes, key).map(String::into_bytes),
    };
    let content = content.map_err(|error| place(error.to_string()))?;
    let signed = match form {
        Form::Embedded => Digest::of(&content),
        Form::Signature | Form::Bundle => Digest::of(&bytes),
    };
    Ok((content, signed))
}

/// Make an Ed25519 key pair for sign and verify.
///
/// The private key is not encrypted. No file is overwritten.
#[derive(clap::Args)]
pub(crate) struct KeygenArgs {
    /// Write the private key here, and the public key to FILE.pub
    #[arg(value_name = "FILE")]
    file: PathBuf,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

pub(crate) fn keygen(args: &KeygenArgs, out: &mut dyn Write) -> io::Result<Outcome> {
    let mut public = args.file.clone().into_os_string();
    public.push(".pub");
    let public = PathBuf::from(public);
    if let Err(error) = write_pair(&args.file, &public) {
        eprintln!("error: {error}");
        return Ok(Outcome::ProblemFound);
    }
    let (private, public) = (
        args.file.display().to_string(),
        public.display().to_string(),
    );
    match args.output {
        Output::Text => {
            writeln!(out, "private key  {private}")?;
            writeln!(out, "public key   {public}")?;
        }
        Output::Json => {
            let report = json!({ "privateKey": private, "publicKey": public });
            writeln!(out, "{report:#}")?;
        }
    }
    Ok(Outcome::Good)
}

fn write_pair(private: &Path, public: &Path) -> Result<(), String> {
    let key = PrivateKey::generate().map_err(|error| error.to_string())?;
    let pem = key.private().map_err(|error| error.to_string())?;
    write_new(private, &pem, 0o600)?;
    let pem = key.public().map_err(|error| error.to_string())?;
    write_new(public, &pem, 0o644)
}

fn write_new(path: &Path, text: &str, mode: u32) -> Result<(), String> {
    let mut options = File::options();
    let file = options.write(true).create_new(true).mode(mode).open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|error| format!("{}: {error}", path.display()))
}

fn read_key(path: &Path) -> Result<PrivateKey, String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    PrivateKey::parse(&text).map_err(|error| error.to_string())
}

fn beside(module: &Path) -> PathBuf {
    let mut path = module.as_os_str().to_owned();
    path.push(".sig");
    PathBuf::from(path)
}

/// Writes whole or not at all: a proxy may read the file at any time.
fn replace(path: &Path, content: &[u8]) -> io::Result<()> {
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    let mut file = tempfile::Builder::new()
        .permissions(permissions(path))
        .tempfile_in(directory)?;
    file.write_all(content)?;
    file.persist(path)?;
    Ok(())
}

/// Those of the file that is replaced.
fn permissions(path: &Path) -> fs::Permissions {
    use std::os::unix::fs::PermissionsExt;
    match fs::metadata(path) {
        Ok(metadata) => metadata.permissions(),
        Err(_) => fs::Permissions::from_mode(0o644),
    }
}
