//! `wasmplugin inspect`: what a module is, and whether it would run.

use crate::fetching::Fetching;
use crate::{Outcome, Output};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::Path;
use wasmparser::{Parser, Payload, TypeRef};
use wasmplugin_host::plugin::ModuleUrl;
use wasmplugin_host::proxy_wasm::{AbiVersion, Runtime};
use wasmplugin_host::source::{Digest, Fetched, Image, Layout};
use wasmplugin_host::vm::Engine;

/// Show what a module is: ABI version, imports, callbacks, memory, sections, and the image.
///
/// Exits with 1 if it could not run here.
#[derive(clap::Args)]
pub(crate) struct Args {
    /// A file, or a URL as in a resource
    #[arg(value_name = "MODULE|URL")]
    module: String,
    #[command(flatten)]
    fetching: Fetching,
    /// How to print the result
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// What is to be told.
struct Report {
    digest: Digest,
    size: usize,
    image: Option<Image>,
    abi: Option<AbiVersion>,
    contents: Contents,
    problems: Vec<String>,
    /// What works here and not in Istio.
    not_portable: Vec<&'static str>,
}

/// What the module's sections say.
#[derive(Default)]
struct Contents {
    /// `module.name`.
    imports: Vec<String>,
    /// Functions.
    exports: Vec<String>,
    /// Pages, at first and at most.
    memories: Vec<(u64, Option<u64>)>,
    /// Names and sizes.
    custom_sections: Vec<(String, usize)>,
}

pub(crate) fn run(args: &Args, out: &mut dyn Write) -> io::Result<Outcome> {
    let fetched = url(&args.module).and_then(|url| args.fetching.fetch(url));
    let report = fetched.and_then(|fetched| Report::of(&fetched, &args.module));
    let report = match report {
        Ok(report) => report,
        Err(error) => {
            eprintln!("error: {error}");
            return Ok(Outcome::ProblemFound);
        }
    };
    match args.output {
        Output::Text => report.print(out)?,
        Output::Json => writeln!(out, "{:#}", report.json())?,
    }
    Ok(if report.problems.is_empty() {
        Outcome::Good
    } else {
        Outcome::ProblemFound
    })
}

/// The URL of `module`; a file's path needs no scheme here.
pub(crate) fn url(module: &str) -> Result<ModuleUrl, String> {
    if Path::new(module).is_file() {
        return Ok(ModuleUrl::File(module.to_owned()));
    }
    let no_file = |error| format!("{module:?} is no file, and as a URL {error}");
    module.parse().map_err(no_file)
}

impl Report {
    fn of(fetched: &Fetched, written: &str) -> Result<Self, String> {
        let wasm = fetched.bytes();
        let contents = Contents::read(wasm).map_err(|error| error.to_string())?;
        let abi = AbiVersion::detect(wasm);
        let mut problems = Vec::new();
        match &abi {
            Ok(abi) => {
                let engine = Engine::new().map_err(|error| error.to_string())?;
                let runtime = Runtime::new(&engine).map_err(|error| error.to_string())?;
                let missing = runtime.missing(&engine, *abi, wasm);
                problems.extend(missing.map_err(|error| error.to_string())?);
            }
            Err(error) => problems.push(error.to_string()),
        }
        Ok(Self {
            digest: fetched.digest(),
            size: wasm.len(),
            image: fetched.image().cloned(),
            abi: abi.ok(),
            not_portable: not_portable(written, fetched.image()),
            contents,
            problems,
        })
    }

    fn print(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut line = |name: &str, value: &str| writeln!(out, "{name:<16}{value}");
        line(
            "module",
            &format!("sha256:{} ({} bytes)", self.digest, self.size),
        )?;
        if let Some(image) = &self.image {
            line(
                "manifest",
                &format!("sha256:{} ({})", image.manifest, image.layout),
            )?;
            if let Some(index) = image.index {
                line("index", &format!("sha256:{index}"))?;
            }
            if !image.root_ids.is_empty() {
                line("plugin names", &image.root_ids.join(", "))?;
            }
        }
        line("ABI", self.abi.map_or("none", AbiVersion::as_str))?;
        for (first, most) in &self.contents.memories {
            let most = most.map_or_else(String::new, |most| format!(", at most {}", kib(most)));
            line("memory", &format!("{}{most}", kib(*first)))?;
        }
        line("callbacks", &self.contents.callbacks().join(", "))?;
        line("other exports", &self.contents.entries().join(", "))?;
        line("imports", &self.contents.imports.join(", "))?;
        for (name, size) in &self.contents.custom_sections {
            line("section", &format!("{name} ({size} bytes)"))?;
        }
        for note in &self.not_portable {
            line("not in Istio", note)?;
        }
        for problem in &self.problems {
            line("problem", problem)?;
        }
        Ok(())
    }

    fn json(&self) -> Value {
        let contents = &self.contents;
        let memories = contents.memories.iter();
        let sections = contents.custom_sections.iter();
        json!({
            "module": self.digest,
            "size": self.size,
            "image": self.image,
            "abi": self.abi.map(AbiVersion::as_str),
            "memories": memories.map(|(first, most)| json!({ "minimumPages": first, "maximumPages": most })).collect::<Vec<_>>(),
            "imports": contents.imports,
            "exports": contents.exports,
            "customSections": sections.map(|(name, size)| json!({ "name": name, "size": size })).collect::<Vec<_>>(),
            "notPortable": self.not_portable,
            "problems": self.problems,
        })
    }
}

impl Contents {
    fn read(wasm: &[u8]) -> wasmparser::Result<Self> {
        let mut contents = Self::default();
        for payload in Parser::new(0).parse_all(wasm) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        contents
                            .imports
                            .push(format!("{}.{}", import.module, import.name));
                        if let TypeRef::Memory(memory) = import.ty {
                            contents.memories.push((memory.initial, memory.maximum));
                        }
                    }
                }
                Payload::MemorySection(section) => {
                    for memory in section {
                        let memory = memory?;
                        contents.memories.push((memory.initial, memory.maximum));
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        let export = export?;
                        if export.kind == wasmparser::ExternalKind::Func {
                            contents.exports.push(export.name.to_owned());
                        }
                    }
                }
                Payload::CustomSection(section) => {
                    let (name, size) = (section.name().to_owned(), section.data().len());
                    contents.custom_sections.push((name, size));
                }
                _ => {}
            }
        }
        Ok(contents)
    }

    /// The exports that the host calls to start the module, and to get memory of it.
    fn entries(&self) -> Vec<&str> {
        let known = ["_initialize", "_start", "main", "malloc"];
        let exports = self.exports.iter().map(String::as_str);
        exports.filter(|name| known.contains(name)).collect()
    }

    /// The exports that the host calls for events.
    fn callbacks(&self) -> Vec<&str> {
        let exports = self.exports.iter().map(String::as_str);
        exports
            .filter(|name| name.starts_with("proxy_on_"))
            .collect()
    }
}

/// What Istio would make trouble about, by what its agent is known to do.
fn not_portable(written: &str, image: Option<&Image>) -> Vec<&'static str> {
    let mut notes = Vec::new();
    let host = written.split('/').next().unwrap_or_default();
    if image.is_some() && !written.contains("://") && host.contains(':') {
        notes.push("a URL with a port needs the scheme oci:// there");
    }
    match image.map(|image| image.layout) {
        Some(Layout::Cncf) => notes.push("it does not take artifacts of the CNCF's layout"),
        Some(Layout::Solo) => notes.push("it takes artifacts of solo.io with two layers only"),
        _ => {}
    }
    if image.is_some_and(|image| image.index.is_some()) {
        notes.push("sha256 means the manifest's digest there, never the index's");
    }
    notes
}

/// WebAssembly's pages in a unit that people know.
fn kib(pages: u64) -> String {
    format!("{} KiB", pages.saturating_mul(64))
}
