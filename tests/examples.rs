//! What `examples/` and `envoy/bootstrap/` say is so: checksums, resources, and each command of the
//! READMEs, on a real Envoy.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod support;

use std::fs;
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use support::bootstrap::{Bootstrap, Template, indent};
use support::envoy::{Envoy, complaints};
use support::{NEWEST, free_port, http, module, wait_for};
use wasmplugin_host::source::Digest;

/// In the order of their phases.
const EXAMPLES: [&str; 4] = ["api-key", "role-check", "request-stats", "rewrite-body"];

/// What commands in READMEs start their URLs with.
const ADDRESS: &str = "http://127.0.0.1:10000";

#[test]
fn the_checksums_match() {
    for directory in ["examples/wasm", "tests/guests/wasm"] {
        let mut modules: Vec<_> = fs::read_dir(module::root().join(directory))
            .expect("a directory")
            .map(|entry| entry.expect("an entry").path())
            .filter(|path| path.extension().is_some_and(|kind| kind == "wasm"))
            .collect();
        modules.sort();
        let sums: String = modules
            .iter()
            .map(|path| {
                let digest = Digest::of(&fs::read(path).expect("a module"));
                let name = path.file_name().expect("a name").display();
                format!("{digest}  {name}\n")
            })
            .collect();
        assert_eq!(sums, read(&format!("{directory}/SHA256SUMS")));
    }
}

#[test]
fn resources_are_the_same_everywhere() {
    for name in EXAMPLES {
        let resource = resource(name);
        let readme = read(&format!("examples/{name}/README.md"));
        assert_eq!(blocks(&readme, "yaml"), [resource.as_str()], "{name}");
        for bootstrap in ["demo", "plugins"] {
            let text = read(&format!("envoy/bootstrap/{bootstrap}.yaml"));
            let stands = (0..20).any(|by| text.contains(&indent(&item(&resource), by)));
            assert!(stands, "{bootstrap}.yaml lacks examples/{name}/plugin.yaml");
        }
    }
}

#[test]
fn the_commands_of_the_readmes_are_answered_as_written() {
    let upstream = Echo::start();
    let plugins = EXAMPLES.map(|name| item(&resource(name)));
    let settings = format!("plugins:\n{}", plugins.concat());
    for name in EXAMPLES {
        let bootstrap = Bootstrap::new(upstream.port).filter(&settings);
        let envoy = Envoy::start(NEWEST, &bootstrap.render());
        let exchanges = exchanges(&read(&format!("examples/{name}/README.md")));
        assert!(!exchanges.is_empty(), "{name}: no commands");
        for Exchange { command, answer } in exchanges {
            let found = command.run(bootstrap.port());
            for line in answer {
                assert!(
                    found.iter().any(|found| fits(&line, found)),
                    "{name}: {command:?}: no {line:?} in {found:#?}"
                );
            }
        }
        assert_eq!(complaints(&envoy.log()), [""; 0], "{name}");
    }
}

/// Signed with the key in `phases.yaml`; no exp, so it lasts.
const TOKEN: (&str, &str) = (
    "authorization",
    "Bearer eyJhbGciOiJIUzI1NiIsImtpZCI6ImV4YW1wbGUiLCJ0eXAiOiJKV1QifQ.\
     eyJpc3MiOiJwYXJ0bmVyIiwic3ViIjoiZXhhbXBsZSJ9.\
     8LK_4LxholKwStl4BlpoXFifVQ4oLr6NnXXVZbi0MUQ",
);

const ALICE: (&str, &str) = ("x-api-key", "alice-key");
const BOB: (&str, &str) = ("x-api-key", "bob-key");

#[test]
fn the_phases_stand_around_the_filters_of_envoy() {
    let upstream = Echo::start();
    let bootstrap = Template::read("phases", upstream.port);
    let envoy = Envoy::start(NEWEST, &bootstrap.yaml);
    let all = EXAMPLES.as_slice();
    let cases = [
        ("/", &[][..], 401, &all[..1]),
        // jwt_authn refuses.
        ("/partner", &[ALICE], 401, &all[..1]),
        ("/partner", &[ALICE, TOKEN], 200, all),
        // rbac refuses.
        ("/payroll", &[BOB], 403, &all[..2]),
        ("/payroll", &[ALICE], 200, all),
    ];
    let mut read = envoy.log().len();
    for (path, headers, status, plugins) in cases {
        let response = http::request(bootstrap.edge, "GET", path, headers, b"");
        assert_eq!(response.status, status, "{path} {headers:?}");
        let log = envoy.log();
        let mut spoke: Vec<_> = log[read..]
            .lines()
            .filter_map(|line| line.split_once("wasm log default.")?.1.split_once(':'))
            .map(|(name, _)| name)
            .collect();
        // The last two speak about the answer, each at its own time.
        spoke.sort_by_key(|name| EXAMPLES.iter().position(|example| example == name));
        assert_eq!(spoke, plugins, "{path} {headers:?}");
        read = log.len();
    }
}

/// `examples/echo.py`, as `make run` has it.
struct Echo {
    port: u16,
    child: Child,
}

impl Echo {
    fn start() -> Self {
        let port = free_port();
        let child = Command::new("python3")
            .arg(module::root().join("examples/echo.py"))
            .arg(port.to_string())
            .spawn()
            .expect("python3");
        let echo = Self { port, child };
        wait_for("echo.py", Duration::from_secs(20), || {
            TcpStream::connect((Ipv4Addr::LOCALHOST, port)).ok()
        });
        echo
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A command of a README and the lines under it.
struct Exchange {
    command: Curl,
    answer: Vec<String>,
}

/// The part of curl's arguments that READMEs use.
#[derive(Debug, Default)]
struct Curl {
    include: bool,
    method: Option<String>,
    path: String,
    headers: Vec<(String, String)>,
    body: String,
}

impl Curl {
    fn parse(command: &str) -> Self {
        let mut words = words(command).into_iter();
        assert_eq!(words.next().as_deref(), Some("curl"), "{command}");
        let mut curl = Self::default();
        while let Some(word) = words.next() {
            let mut value = || words.next().unwrap_or_else(|| panic!("{command}: {word}?"));
            match word.as_str() {
                "-i" => curl.include = true,
                "-X" => curl.method = Some(value()),
                "-d" => curl.body = value(),
                "-H" => {
                    let header = value();
                    let (name, value) = header.split_once(": ").expect("name: value");
                    curl.headers.push((name.to_owned(), value.to_owned()));
                }
                url => {
                    let path = url.strip_prefix(ADDRESS);
                    path.unwrap_or_else(|| panic!("{command}: {url}?"))
                        .clone_into(&mut curl.path);
                }
            }
        }
        curl
    }

    /// What curl would print, as lines.
    fn run(&self, port: u16) -> Vec<String> {
        let implied = if self.body.is_empty() { "GET" } else { "POST" };
        let method = self.method.as_deref().unwrap_or(implied);
        let headers: Vec<_> = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect();
        let body = self.body.as_bytes();
        let response = http::request(port, method, &self.path, &headers, body);
        let mut lines = Vec::new();
        if self.include {
            let reason = match response.status {
                200 => "OK",
                401 => "Unauthorized",
                403 => "Forbidden",
                other => panic!("status {other} to {self:?}"),
            };
            lines.push(format!("HTTP/1.1 {} {reason}", response.status));
            let headers = response.headers.iter();
            lines.extend(headers.map(|(name, value)| format!("{name}: {value}")));
        }
        lines.extend(response.text().lines().map(str::to_owned));
        lines
    }
}

/// The words of a shell command; single quotes hold spaces together.
fn words(command: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (number, part) in command.split('\'').enumerate() {
        if number % 2 == 1 {
            words.push(part.to_owned());
        } else {
            words.extend(part.split_whitespace().map(str::to_owned));
        }
    }
    words
}

/// The commands in the console blocks of a README.
fn exchanges(readme: &str) -> Vec<Exchange> {
    let mut exchanges: Vec<Exchange> = Vec::new();
    for line in blocks(readme, "console")
        .iter()
        .flat_map(|block| block.lines())
    {
        if let Some(command) = line.strip_prefix("$ ") {
            exchanges.push(Exchange {
                command: Curl::parse(command),
                answer: Vec::new(),
            });
        } else {
            let last = exchanges.last_mut().expect("a command comes first");
            last.answer.push(line.to_owned());
        }
    }
    exchanges
}

/// Whether `line` is what `pattern` says; `...` in it stands for anything.
fn fits(pattern: &str, line: &str) -> bool {
    match pattern.split_once("...") {
        None => line == pattern,
        Some((start, end)) => line
            .strip_prefix(start)
            .is_some_and(|rest| rest.ends_with(end)),
    }
}

/// The contents of the fenced blocks in `language`.
fn blocks<'a>(markdown: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("```{language}\n");
    markdown
        .split(&fence)
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap_or_default())
        .collect()
}

fn resource(name: &str) -> String {
    read(&format!("examples/{name}/plugin.yaml"))
}

/// A YAML document as an item of a list.
fn item(document: &str) -> String {
    let item = indent(document, 2).replacen("  ", "- ", 1);
    format!("{item}\n")
}

/// A file of the repository.
fn read(path: &str) -> String {
    let path = module::root().join(Path::new(path));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}
