//! YAML text (and so JSON) becomes a tree that remembers where everything stood.
//!
//! The tree is YAML as Kubernetes reads it: keys are strings, a key stands once, scalars are what
//! both YAML 1.1 (Kubernetes) and YAML 1.2 (the parser) make of them. Where the two disagree
//! (`on`, `010`, `1_000`) the text is refused, because guessing would hand a plugin another value
//! than the cluster does.
//!
//! Pitfall: the parser trusts its text. [`super::guard`] measures it *before* the parser sees it.

use super::guard;
use super::report::Report;
use saphyr::{LoadableYamlNode as _, MarkedYaml, Scalar, ScanError, YamlData};
use std::collections::HashSet;

/// Which text of a configuration something stands in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Source {
    /// The text that was handed over.
    Inline,
    /// The file that goes with it.
    File,
}

/// A place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Mark {
    pub(super) source: Source,
    pub(super) line: u32,
    pub(super) column: u32,
}

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) mark: Mark,
    pub(super) value: Value,
}

/// A document of a text.
#[derive(Clone, Debug)]
pub(super) struct Document {
    pub(super) node: Node,
    /// Whether nothing was wrong in it so far. What is wrong has been reported, and the rest can
    /// still be read to report more.
    pub(super) is_sound: bool,
}

/// What YAML and JSON can say. Floats are finite.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Bool(bool),
    Int(i128),
    Float(f64),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

/// A field of an object. Names within one object differ.
#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) mark: Mark,
    pub(super) node: Node,
}

impl Value {
    /// The type, as messages call it.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Int(_) | Self::Float(_) => "a number",
            Self::Text(_) => "a string",
            Self::List(_) => "a list",
            Self::Object(_) => "an object",
        }
    }
}

impl Node {
    /// The entry `name` of an object.
    pub(super) fn get(&self, name: &str) -> Option<&Self> {
        match &self.value {
            Value::Object(entries) => entries
                .iter()
                .find(|entry| entry.name == name)
                .map(|entry| &entry.node),
            _ => None,
        }
    }

    /// The text, if that is what it is.
    pub(super) fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// The documents of `text`, empty ones left out. A broken text is reported and gives none.
pub(super) fn parse(text: &str, source: Source, report: &mut Report) -> Vec<Document> {
    if let Err((place, message)) = guard::characters(text) {
        let mark = place.map(|(line, column)| Mark {
            source,
            line,
            column,
        });
        report.text(source, mark, message);
        return Vec::new();
    }
    let text = guard::join_surrogates(text);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    match load(text) {
        Ok(Ok(documents)) => {
            let mut reader = Reader {
                source,
                offsets: offsets(text),
                text,
                report,
            };
            reader.documents(&documents)
        }
        Ok(Err(message)) => {
            report.text(source, None, message);
            Vec::new()
        }
        Err(error) => {
            let mark = mark(source, error.marker().line(), error.marker().col());
            report.text(source, Some(mark), format!("not YAML: {}", error.info()));
            Vec::new()
        }
    }
}

/// Loads a text that the guard has seen.
fn load(text: &str) -> Result<Result<Vec<MarkedYaml<'_>>, String>, ScanError> {
    match guard::aliases(text)? {
        Ok(()) => MarkedYaml::load_from_str(text).map(Ok),
        Err(message) => Ok(Err(message)),
    }
}

/// Where each character of `text` begins; none when that is its index.
fn offsets(text: &str) -> Option<Vec<usize>> {
    (!text.is_ascii()).then(|| text.char_indices().map(|(at, _)| at).collect())
}

fn mark(source: Source, line: usize, column: usize) -> Mark {
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Mark {
        source,
        line: narrow(line),
        column: narrow(column.saturating_add(1)),
    }
}

/// The text cannot be used; the reason has been reported.
struct Broken;

/// Turns what the parser loaded into our tree.
struct Reader<'a> {
    source: Source,
    text: &'a str,
    offsets: Option<Vec<usize>>,
    report: &'a mut Report,
}

impl Reader<'_> {
    fn documents(&mut self, loaded: &[MarkedYaml<'_>]) -> Vec<Document> {
        let mut documents = Vec::new();
        for document in loaded {
            let before = self.report.len();
            match self.node(document) {
                Ok(node) if matches!(node.value, Value::Null) => {}
                Ok(node) => documents.push(Document {
                    node,
                    is_sound: self.report.len() == before,
                }),
                Err(Broken) => return Vec::new(),
            }
        }
        documents
    }

    // The guard has bounded the depth.
    fn node(&mut self, loaded: &MarkedYaml<'_>) -> Result<Node, Broken> {
        let mark = self.mark(loaded);
        let value = match &loaded.data {
            YamlData::Tagged(_, inner) => return self.node(inner),
            YamlData::Sequence(items) => {
                let items = items.iter().map(|item| self.node(item));
                Value::List(items.collect::<Result<_, _>>()?)
            }
            YamlData::Mapping(fields) => {
                let mut entries = Vec::with_capacity(fields.len());
                let mut seen = HashSet::new();
                for (key, value) in fields {
                    let mark = self.mark(key);
                    let name = self.key(key)?;
                    // The parser finds equal scalars; `1` and `"1"` meet only here.
                    if !seen.insert(name.clone()) {
                        let name: String = name.chars().take(64).collect();
                        let message = format!("the key {name:?} stands twice in one object");
                        self.report.text(self.source, Some(mark), message);
                        continue;
                    }
                    let node = self.node(value)?;
                    entries.push(Entry { name, mark, node });
                }
                Value::Object(entries)
            }
            YamlData::Value(scalar) => self.scalar(loaded, scalar)?,
            YamlData::Representation(..) | YamlData::Alias(_) | YamlData::BadValue => {
                let message = "a value that does not fit its tag, or an alias in its own anchor";
                return self.broken(mark, message.to_owned());
            }
        };
        Ok(Node { mark, value })
    }

    fn key(&mut self, loaded: &MarkedYaml<'_>) -> Result<String, Broken> {
        let mark = self.mark(loaded);
        if self.plain(loaded).as_deref() == Some("<<") {
            let message = "merge keys (<<) are not supported, write the fields out".to_owned();
            return self.broken(mark, message);
        }
        match self.node(loaded)?.value {
            Value::Text(text) => Ok(text),
            // As in Kubernetes: a key is the text of its scalar.
            Value::Bool(value) => Ok(value.to_string()),
            Value::Int(value) => Ok(value.to_string()),
            other => {
                let message = format!("a key must be a string, not {}", other.kind());
                self.broken(mark, message)
            }
        }
    }

    fn scalar(&mut self, loaded: &MarkedYaml<'_>, scalar: &Scalar<'_>) -> Result<Value, Broken> {
        let mark = self.mark(loaded);
        let plain = self.plain(loaded);
        if let Some(plain) = &plain
            && let Some(other) = ambiguous(plain)
        {
            // What follows can still be read.
            let message = format!("`{plain}` is {other} in Kubernetes: write that, or quote it");
            self.report.text(self.source, Some(mark), message);
            return Ok(Value::Text(plain.clone()));
        }
        Ok(match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => Value::Bool(*value),
            Scalar::Integer(value) => Value::Int(i128::from(*value)),
            Scalar::FloatingPoint(value) => {
                // The parser reads integers beyond 64 bits as floats.
                let exact = plain.as_deref().and_then(|plain| plain.parse().ok());
                match exact {
                    Some(exact) => Value::Int(exact),
                    None if value.is_finite() => Value::Float(value.into_inner()),
                    None => {
                        let message = "not a number that JSON can hold; quote it".to_owned();
                        return self.broken(mark, message);
                    }
                }
            }
            Scalar::String(text) => Value::Text(text.clone().into_owned()),
        })
    }

    /// The scalar as written, if it is not quoted.
    fn plain(&self, loaded: &MarkedYaml<'_>) -> Option<String> {
        let (start, end) = (loaded.span.start.index(), loaded.span.end.index());
        let offset = |index: usize| match &self.offsets {
            Some(offsets) => offsets.get(index).copied().unwrap_or(self.text.len()),
            None => index,
        };
        let written = self.text.get(offset(start)..offset(end))?.trim();
        let plain = !written.starts_with(['"', '\'', '|', '>', '*']);
        (plain && written.len() <= 64).then(|| written.to_owned())
    }

    fn mark(&self, loaded: &MarkedYaml<'_>) -> Mark {
        let start = loaded.span.start;
        mark(self.source, start.line(), start.col())
    }

    fn broken<T>(&mut self, mark: Mark, message: String) -> Result<T, Broken> {
        self.report.text(self.source, Some(mark), message);
        Err(Broken)
    }
}

/// What Kubernetes' YAML 1.1 makes of a plain scalar that YAML 1.2 reads differently.
fn ambiguous(plain: &str) -> Option<String> {
    let lower = plain.to_ascii_lowercase();
    let cased =
        plain == lower || plain == plain.to_ascii_uppercase() || plain.get(1..) == lower.get(1..);
    match lower.as_str() {
        "y" | "yes" | "on" if cased => return Some("true".to_owned()),
        "n" | "no" | "off" if cased => return Some("false".to_owned()),
        _ => {}
    }
    let digits = lower.strip_prefix(['+', '-']).unwrap_or(&lower);
    if !digits.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    let compact = digits.replace('_', "");
    let sign = if lower.starts_with('-') { "-" } else { "" };
    let number = |digits: &str, radix| {
        let value = i128::from_str_radix(digits, radix).ok()?;
        Some(format!("the number {sign}{value}"))
    };
    if let Some(binary) = compact.strip_prefix("0b") {
        return number(binary, 2);
    }
    if let Some(octal) = compact.strip_prefix('0')
        && !octal.is_empty()
        && octal.bytes().all(|b| b.is_ascii_digit())
    {
        // With a digit of 8 or 9 it is a float there, and an integer here.
        return number(octal, 8).or_else(|| number(octal, 10));
    }
    if compact.len() < digits.len() && compact.parse::<f64>().is_ok() {
        return Some(format!("the number {sign}{compact}"));
    }
    None
}
