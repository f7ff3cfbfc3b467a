//! Cases as they are written in `cases/<topic>/*.case`. `README.md` describes the language.

use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{env, fs};

/// One comparison.
#[derive(Clone, Debug, Default)]
pub(crate) struct Case {
    /// `topic/name`.
    pub(crate) name: String,
    pub(crate) plugins: Vec<Plugin>,
    pub(crate) requests: Vec<Message>,
    /// What the upstream answers, request by request; the last goes on.
    pub(crate) answers: Vec<Message>,
    pub(crate) callouts: Vec<Callout>,
    /// Metrics to read at the end.
    pub(crate) stats: Vec<String>,
    /// Waits before the end.
    pub(crate) settle: Duration,
    /// How long a client waits for an answer.
    pub(crate) patience: Duration,
    /// Envoy's limit of buffers.
    pub(crate) limit: Option<u32>,
    /// All requests go at once.
    pub(crate) together: bool,
    /// Clients and the upstream are behind TLS, with certificates.
    pub(crate) tls: bool,
    /// Envoy's own filter cannot bear it; what is expected stands in the case.
    pub(crate) ours_only: bool,
    pub(crate) expect: Vec<String>,
    /// Clusters whose requests are not compared.
    pub(crate) hidden: Vec<String>,
    /// The text of a case that was made up.
    pub(crate) source: String,
}

/// A plugin and its program.
#[derive(Clone, Debug, Default)]
pub(crate) struct Plugin {
    /// A module of `tests/guests`.
    pub(crate) module: String,
    pub(crate) program: String,
    pub(crate) fail: String,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) vm_id: Option<String>,
    pub(crate) vm_config: Option<String>,
    /// Without a VM configuration.
    pub(crate) bare: bool,
    /// With the same virtual machine, in Envoy, as the others of the case that say so.
    pub(crate) shares: bool,
    /// `allow_on_headers_stop_iteration`.
    pub(crate) hold_headers: bool,
    pub(crate) capabilities: Vec<String>,
}

/// A cluster that programs call as `%name%`.
#[derive(Clone, Debug)]
pub(crate) struct Callout {
    pub(crate) name: String,
    pub(crate) answers: Vec<Message>,
}

/// A request or a response.
#[derive(Clone, Debug, Default)]
pub(crate) struct Message {
    pub(crate) http2: bool,
    /// Method and path, or a status, or `refuse`, `empty`.
    pub(crate) head: Vec<String>,
    /// Does not wait for the whole request.
    pub(crate) early: bool,
    /// Has no content-length.
    pub(crate) chunked: bool,
    pub(crate) headers: Vec<(String, Vec<u8>)>,
    pub(crate) steps: Vec<Step>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Body(Vec<u8>),
    Wait(Duration),
    Trailer(String, Vec<u8>),
    /// Breaks the connection, or the stream of HTTP/2.
    Break,
}

impl Message {
    pub(crate) fn status(status: &str, body: &[u8]) -> Self {
        Self {
            head: vec![status.to_owned()],
            steps: vec![Step::Body(body.to_owned())],
            ..Self::default()
        }
    }

    pub(crate) fn word(&self) -> &str {
        self.head.first().map_or("", String::as_str)
    }

    pub(crate) fn trailers(&self) -> Vec<(String, Vec<u8>)> {
        let trailers = self.steps.iter().filter_map(|step| match step {
            Step::Trailer(name, value) => Some((name.clone(), value.clone())),
            _ => None,
        });
        trailers.collect()
    }

    pub(crate) fn body_len(&self) -> usize {
        let lengths = self.steps.iter().map(|step| match step {
            Step::Body(bytes) => bytes.len(),
            _ => 0,
        });
        lengths.sum()
    }

    /// Whether the message has a header.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.headers.iter().any(|(key, _)| key == name)
    }

    /// Waits as long as the message does before its first byte.
    pub(crate) async fn wait_first(&mut self) {
        while let Some(Step::Wait(time)) = self.steps.first() {
            tokio::time::sleep(*time).await;
            self.steps.remove(0);
        }
    }

    pub(crate) fn breaks(&self) -> bool {
        self.word() == "break" || self.steps.contains(&Step::Break)
    }
}

/// How long clients wait for an answer.
const PATIENCE: Duration = Duration::from_secs(4);

/// Where cases and modules of others are: `CONFORMANCE_PLUGINS`.
pub(crate) fn elsewhere() -> Option<PathBuf> {
    env::var_os("CONFORMANCE_PLUGINS").map(PathBuf::from)
}

/// All cases of a topic, in the order of their files.
pub(crate) fn read(topic: &Path) -> Vec<Case> {
    let name = topic.file_name().expect("a topic").to_string_lossy();
    let mut files: Vec<_> = fs::read_dir(topic)
        .unwrap_or_else(|error| panic!("{}: {error}", topic.display()))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| path.extension().is_some_and(|e| e == "case"))
        .collect();
    files.sort();
    let mut cases = Vec::new();
    for file in files {
        let text = fs::read_to_string(&file).expect("a readable case");
        match parse(&text, &name) {
            Ok(found) => cases.extend(found),
            Err(error) => panic!("{}: {error}", file.display()),
        }
    }
    let mut names: Vec<_> = cases.iter().map(|case| &case.name).collect();
    names.sort();
    for pair in names.windows(2) {
        assert_ne!(pair[0], pair[1], "two cases of one name");
    }
    cases
}

/// A line, its depth, and the lines below it.
struct Node {
    number: usize,
    text: String,
    children: Vec<Self>,
}

pub(crate) fn parse(text: &str, topic: &str) -> Result<Vec<Case>, String> {
    let lines: Vec<_> = text
        .lines()
        .enumerate()
        .map(|(number, line)| (number + 1, line.trim_end()))
        .collect();
    let nodes = tree(&lines, 0)?;
    nodes.iter().map(|node| case(node, topic)).collect()
}

/// Directives have their parts two columns to the right; text of programs stays as it is.
fn tree(lines: &[(usize, &str)], depth: usize) -> Result<Vec<Node>, String> {
    let mut nodes: Vec<Node> = Vec::new();
    let mut index = 0;
    while let Some((number, line)) = lines.get(index) {
        let own = line.len() - line.trim_start().len();
        index += 1;
        if line.is_empty() || (line.trim_start().starts_with('#') && own <= depth) {
            continue;
        }
        if own != depth {
            return Err(format!("line {number}: indented by {own}, not {depth}"));
        }
        let begin = index;
        while lines.get(index).is_some_and(|(_, line)| {
            line.is_empty() || line.len() - line.trim_start().len() > depth
        }) {
            index += 1;
        }
        let text = line.trim().to_owned();
        let below = &lines[begin..index];
        let verbatim = depth == 2 && (text.starts_with("plugin") || text.starts_with("expect"));
        let children = if verbatim {
            below
                .iter()
                .map(|(number, line)| Node {
                    number: *number,
                    text: line.get(depth + 2..).unwrap_or_default().to_owned(),
                    children: Vec::new(),
                })
                .collect()
        } else {
            tree(below, depth + 2)?
        };
        nodes.push(Node {
            number: *number,
            text,
            children,
        });
    }
    Ok(nodes)
}

fn case(node: &Node, topic: &str) -> Result<Case, String> {
    let Some(name) = node.text.strip_prefix("case ") else {
        return Err(format!("line {}: no case", node.number));
    };
    let mut case = Case {
        name: format!("{topic}/{}", name.trim()),
        patience: PATIENCE,
        ..Case::default()
    };
    for part in &node.children {
        directive(part, &mut case)
            .map_err(|error| format!("{}: line {}: {error}", case.name, part.number))?;
    }
    if case.requests.is_empty() {
        case.requests.push(Message {
            head: vec!["GET".to_owned(), "/".to_owned()],
            ..Message::default()
        });
    }
    if case.answers.is_empty() {
        case.answers.push(Message::status("200", b"ok"));
    }
    for callout in &mut case.callouts {
        if callout.answers.is_empty() {
            return Err(format!("{}: callout without an answer", case.name));
        }
    }
    if case.ours_only == case.expect.is_empty() && case.ours_only {
        return Err(format!("{}: ours-only goes with expect", case.name));
    }
    Ok(case)
}

fn directive(node: &Node, case: &mut Case) -> Result<(), String> {
    let mut words = node.text.split_whitespace();
    let word = words.next().unwrap_or_default();
    let rest: Vec<_> = words.map(str::to_owned).collect();
    let first = || rest.first().cloned().ok_or("a word is missing");
    match word {
        "about" => {}
        "tls" => case.tls = true,
        "plugin" => {
            let mut plugin = Plugin {
                module: "probe-0_2_1".to_owned(),
                program: node
                    .children
                    .iter()
                    .map(|line| format!("{}\n", line.text))
                    .collect(),
                fail: "close".to_owned(),
                ..Plugin::default()
            };
            for option in rest {
                let (key, value) = option.split_once('=').unwrap_or((&option, ""));
                match key {
                    "abi" => plugin.module = format!("probe-{value}"),
                    "module" => value.clone_into(&mut plugin.module),
                    "fail" => value.clone_into(&mut plugin.fail),
                    "bare" => plugin.bare = true,
                    "shared" => plugin.shares = true,
                    "hold" => plugin.hold_headers = true,
                    "vm-id" => plugin.vm_id = Some(value.to_owned()),
                    "vm-config" => plugin.vm_config = Some(value.to_owned()),
                    "allow" => {
                        plugin.capabilities = value.split(',').map(str::to_owned).collect();
                    }
                    other => return Err(format!("unknown option {other}")),
                }
            }
            case.plugins.push(plugin);
        }
        "env" => {
            let text = node.text.strip_prefix("env").unwrap_or_default().trim();
            let (key, value) = text.split_once('=').ok_or("KEY=VALUE")?;
            let plugin = case.plugins.last_mut().ok_or("no plugin before")?;
            let variable = (key.to_owned(), value.to_owned());
            plugin.environment.push(variable);
        }
        "request" => case.requests.push(message(&rest, &node.children)?),
        "answer" => case.answers.push(message(&rest, &node.children)?),
        "callout" => {
            let (name, head) = rest.split_first().ok_or("a name is missing")?;
            let answer = message(head, &node.children)?;
            match case.callouts.iter_mut().find(|c| c.name == *name) {
                Some(callout) => callout.answers.push(answer),
                None => case.callouts.push(Callout {
                    name: name.clone(),
                    answers: vec![answer],
                }),
            }
        }
        "stats" => case.stats = rest,
        "settle" => case.settle = milliseconds(&first()?)?,
        "patience" => case.patience = milliseconds(&first()?)?,
        "limit" => case.limit = Some(first()?.parse().map_err(|_| "a number")?),
        "together" => case.together = true,
        "hide" => case.hidden = rest,
        "ours-only" => case.ours_only = true,
        "expect" => {
            let lines = node.children.iter().map(|line| line.text.clone());
            case.expect = lines.filter(|line| !line.is_empty()).collect();
        }
        other => return Err(format!("unknown directive {other}")),
    }
    Ok(())
}

fn message(head: &[String], parts: &[Node]) -> Result<Message, String> {
    let mut message = Message::default();
    for word in head {
        match word.as_str() {
            "h2" => message.http2 = true,
            "early" => message.early = true,
            "chunked" => message.chunked = true,
            _ => message.head.push(word.clone()),
        }
    }
    if message.head.is_empty() {
        return Err("a method, a status or a word is missing".to_owned());
    }
    for part in parts {
        let text = &part.text;
        let (word, rest) = text.split_once(' ').unwrap_or((text, ""));
        let step = match word {
            "body" => Step::Body(text_value(rest)?),
            "wait" => Step::Wait(milliseconds(rest.trim())?),
            "break" => Step::Break,
            "trailer" => {
                let (name, value) = header(rest)?;
                Step::Trailer(name, value)
            }
            _ => {
                message.headers.push(header(text)?);
                continue;
            }
        };
        message.steps.push(step);
    }
    Ok(message)
}

/// `name: value`; a value in quotes has escapes.
fn header(text: &str) -> Result<(String, Vec<u8>), String> {
    // Pseudo headers begin with a colon.
    let colon = text.get(1..).and_then(|rest| rest.find(':'));
    let colon = colon.ok_or_else(|| format!("no header: {text}"))? + 1;
    let (name, value) = text.split_at(colon);
    let value = value.get(1..).unwrap_or_default().trim();
    let value = if value.starts_with('"') {
        text_value(value)?
    } else {
        value.as_bytes().to_owned()
    };
    Ok((name.to_owned(), value))
}

/// `"text"` with escapes, or `"text"*times`.
fn text_value(text: &str) -> Result<Vec<u8>, String> {
    let bad = || format!("no text in quotes: {text}");
    let inner = text.trim().strip_prefix('"').ok_or_else(bad)?;
    let (inner, times) = inner.rsplit_once('"').ok_or_else(bad)?;
    let times = match times.trim().strip_prefix('*') {
        Some(times) => times.trim().parse().map_err(|_| bad())?,
        None => 1,
    };
    let mut found = Vec::new();
    let mut bytes = inner.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'\\' {
            found.push(byte);
            continue;
        }
        match bytes.next().ok_or_else(bad)? {
            b'n' => found.push(b'\n'),
            b'r' => found.push(b'\r'),
            b't' => found.push(b'\t'),
            b'0' => found.push(0),
            b'x' => {
                let digits: Vec<_> = bytes.by_ref().take(2).collect();
                let digits = String::from_utf8_lossy(&digits).into_owned();
                found.push(u8::from_str_radix(&digits, 16).map_err(|_| bad())?);
            }
            other => found.push(other),
        }
    }
    Ok(found.repeat(times))
}

fn milliseconds(text: &str) -> Result<Duration, String> {
    let bad = || format!("no time: {text}");
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').ok_or_else(bad)?, 1000),
    };
    let number: u64 = number.parse().map_err(|_| bad())?;
    Ok(Duration::from_millis(number * unit))
}
