//! `xds.node`: what this Envoy is, from what it was started with.
//!
//! No callback tells it, but Envoy has it from its bootstrap and its arguments, and so have we: we
//! are in its process. The file is read once, as it is then. What Envoy adds by itself (versions,
//! extensions) is left out, and a bootstrap in binary or text protobuf is not read.

use std::fs;
use std::io;
use std::sync::OnceLock;

use saphyr::{LoadableYamlNode as _, Scalar, Yaml};

use super::Value;
use super::metadata::structure;
use crate::proxy_wasm::message::Message;
use crate::proxy_wasm::status::{Hostcall, Status};

/// The largest bootstrap that is read, in bytes. They have some kilobytes.
const MAX_BOOTSTRAP: u64 = 16 << 20;

/// The node that an Envoy is.
#[derive(Debug, Default)]
struct Node {
    id: String,
    cluster: String,
    /// Region, zone, sub-zone.
    locality: [String; 3],
    metadata: Vec<(String, Tree)>,
}

/// The fields of a locality: as Envoy calls them, and as JSON may.
const LOCALITY: [(&str, &str); 3] = [
    ("region", "region"),
    ("zone", "zone"),
    ("sub_zone", "subZone"),
];

/// A value of the bootstrap.
#[derive(Clone, Debug, PartialEq)]
enum Tree {
    Null,
    Flag(bool),
    Number(f64),
    Text(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

/// Reads the node of this process, unless it was read before: it takes a file, which is better read
/// by a thread that may wait.
pub fn read_node() {
    process();
}

/// What is at `path` in the node.
pub(super) fn find(path: &[&[u8]]) -> Hostcall<Value<'static>> {
    match process() {
        Some(node) => node.find(path),
        None => Err(Status::NotFound.into()),
    }
}

/// Whether `path` leads to something with named parts, in a node that has it.
pub(super) fn is_container(path: &[&[u8]]) -> bool {
    matches!(path, [] | [b"locality" | b"metadata"])
}

fn process() -> Option<&'static Node> {
    static NODE: OnceLock<Option<Node>> = OnceLock::new();
    let read = || {
        let line = fs::read("/proc/self/cmdline").ok()?;
        let arguments = line.split(|byte| *byte == 0).skip(1);
        let arguments: Vec<_> = arguments.map(String::from_utf8_lossy).collect();
        let arguments: Vec<_> = arguments.iter().map(AsRef::as_ref).collect();
        Node::read(&arguments, &read_bootstrap)
    };
    NODE.get_or_init(read).as_ref()
}

fn read_bootstrap(path: &str) -> io::Result<String> {
    let metadata = fs::metadata(path)?;
    // A pipe has been emptied by Envoy.
    if !metadata.is_file() || metadata.len() > MAX_BOOTSTRAP {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    fs::read_to_string(path)
}

/// The last value of an argument: `--name value` or `--name=value`.
fn argument<'a>(arguments: &[&'a str], names: &[&str]) -> Option<&'a str> {
    let value = |(at, argument): (usize, &&'a str)| match argument.split_once('=') {
        Some((name, value)) if names.contains(&name) => Some(value),
        None if names.contains(argument) => arguments.get(at + 1).copied(),
        _ => None,
    };
    arguments.iter().enumerate().rev().find_map(value)
}

impl Node {
    /// The node of an Envoy with these arguments. None if it has no bootstrap that can be read.
    fn read(arguments: &[&str], read: &dyn Fn(&str) -> io::Result<String>) -> Option<Self> {
        let mut this = Self::default();
        let mut is_known = false;
        if let Some(path) = argument(arguments, &["-c", "--config-path"]) {
            this.merge(&Tree::parse(path, &read(path).ok()?)?);
            is_known = true;
        }
        if let Some(text) = argument(arguments, &["--config-yaml"]) {
            this.merge(&Tree::from_yaml(text)?);
            is_known = true;
        }
        if !is_known {
            return None;
        }
        let replace = |name, with: &mut String| {
            if let Some(value) = argument(arguments, &[name]).filter(|value| !value.is_empty()) {
                value.clone_into(with);
            }
        };
        replace("--service-node", &mut this.id);
        replace("--service-cluster", &mut this.cluster);
        let [_, zone, _] = &mut this.locality;
        replace("--service-zone", zone);
        Some(this)
    }

    /// Takes what a bootstrap says over what others said.
    fn merge(&mut self, bootstrap: &Tree) {
        let Some(node) = bootstrap.get("node") else {
            return;
        };
        let replace = |with: &mut String, value: Option<&Tree>| {
            if let Some(Tree::Text(text)) = value
                && !text.is_empty()
            {
                text.clone_into(with);
            }
        };
        replace(&mut self.id, node.get("id"));
        replace(&mut self.cluster, node.get("cluster"));
        if let Some(locality) = node.get("locality") {
            for (part, (name, json_name)) in self.locality.iter_mut().zip(LOCALITY) {
                replace(part, locality.get(json_name).or_else(|| locality.get(name)));
            }
        }
        if let Some(Tree::Map(metadata)) = node.get("metadata") {
            for (name, value) in metadata {
                self.metadata.retain(|(known, _)| known != name);
                self.metadata.push((name.clone(), value.clone()));
            }
        }
    }

    fn find(&self, path: &[&[u8]]) -> Hostcall<Value<'static>> {
        let text = |text: &String| Ok(Value::text(text.clone().into_bytes()));
        match path {
            [] => self.message(),
            [b"id"] => text(&self.id),
            [b"cluster"] => text(&self.cluster),
            [b"locality"] => Ok(Value::Message(self.locality())),
            [b"locality", name] => {
                let mut parts = self.locality.iter().zip(LOCALITY);
                let found = parts.find(|(_, (known, _))| known.as_bytes() == *name);
                text(found.ok_or(Status::NotFound)?.0)
            }
            [b"metadata"] => Ok(map(&self.metadata)),
            [b"metadata", name, rest @ ..] => {
                let found = self
                    .metadata
                    .iter()
                    .find(|(known, _)| known.as_bytes() == *name);
                let (_, tree) = found.ok_or(Status::NotFound)?;
                Ok(tree.find(rest).ok_or(Status::NotFound)?.value())
            }
            _ => Err(Status::NotFound.into()),
        }
    }

    /// `envoy.config.core.v3.Node`, as far as we have it.
    fn message(&self) -> Hostcall<Value<'static>> {
        let metadata = structure(&map(&self.metadata)).ok_or(Status::SerializationFailure)?;
        let mut message = Message::default()
            .with_bytes(1, self.id.as_bytes())
            .with_bytes(2, self.cluster.as_bytes());
        if !self.metadata.is_empty() {
            message = message.with(3, &metadata);
        }
        let locality = self.locality();
        if !locality.is_empty() {
            message = message.with(4, &locality);
        }
        Ok(Value::Message(message.into_bytes()))
    }

    /// `envoy.config.core.v3.Locality`.
    fn locality(&self) -> Vec<u8> {
        let [region, zone, sub_zone] = &self.locality;
        Message::default()
            .with_bytes(1, region.as_bytes())
            .with_bytes(2, zone.as_bytes())
            .with_bytes(3, sub_zone.as_bytes())
            .into_bytes()
    }
}

impl Tree {
    /// Reads a file as Envoy does, by the end of its name.
    fn parse(path: &str, text: &str) -> Option<Self> {
        let path = path.to_ascii_lowercase();
        if path.ends_with(".yaml") || path.ends_with(".yml") {
            Self::from_yaml(text)
        } else {
            serde_json::from_str(text).ok().map(Self::from_json)
        }
    }

    fn from_json(json: serde_json::Value) -> Self {
        use serde_json::Value as Json;
        match json {
            Json::Null => Self::Null,
            Json::Bool(flag) => Self::Flag(flag),
            Json::Number(number) => Self::Number(number.as_f64().unwrap_or(f64::NAN)),
            Json::String(text) => Self::Text(text),
            Json::Array(items) => Self::List(items.into_iter().map(Self::from_json).collect()),
            Json::Object(entries) => {
                let entry = |(name, value)| (name, Self::from_json(value));
                Self::Map(entries.into_iter().map(entry).collect())
            }
        }
    }

    fn from_yaml(text: &str) -> Option<Self> {
        let documents = Yaml::load_from_str(text).ok()?;
        Some(documents.first().map_or(Self::Null, Self::from_yaml_node))
    }

    fn from_yaml_node(yaml: &Yaml<'_>) -> Self {
        match yaml {
            Yaml::Value(Scalar::Boolean(flag)) => Self::Flag(*flag),
            #[allow(
                clippy::cast_precision_loss,
                reason = "a protobuf Value has nothing else"
            )]
            Yaml::Value(Scalar::Integer(number)) => Self::Number(*number as f64),
            // Envoy's YAML has no fractions: they are text.
            Yaml::Value(Scalar::FloatingPoint(number)) => Self::Text(number.to_string()),
            Yaml::Value(Scalar::String(text)) => Self::Text(text.to_string()),
            Yaml::Sequence(items) => Self::List(items.iter().map(Self::from_yaml_node).collect()),
            Yaml::Mapping(entries) => {
                let entry = |(key, value): (&Yaml<'_>, &Yaml<'_>)| {
                    Some((key.as_str()?.to_owned(), Self::from_yaml_node(value)))
                };
                Self::Map(entries.iter().filter_map(entry).collect())
            }
            Yaml::Tagged(_, inner) => Self::from_yaml_node(inner),
            _ => Self::Null,
        }
    }

    fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Map(entries) => entries
                .iter()
                .find(|(known, _)| known == name)
                .map(|(_, value)| value),
            _ => None,
        }
    }

    fn find(&self, path: &[&[u8]]) -> Option<&Self> {
        let [first, rest @ ..] = path else {
            return Some(self);
        };
        let first = std::str::from_utf8(first).ok()?;
        let next = match self {
            Self::List(items) => items.get(first.parse::<usize>().ok()?),
            tree => tree.get(first),
        };
        next?.find(rest)
    }

    fn value(&self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Flag(flag) => Value::Bool(*flag),
            Self::Number(number) => Value::Double(*number),
            Self::Text(text) => Value::text(text.clone().into_bytes()),
            Self::List(items) => Value::List(items.iter().map(Self::value).collect()),
            Self::Map(entries) => map(entries),
        }
    }
}

fn map(entries: &[(String, Tree)]) -> Value<'static> {
    let entry = |(name, tree): &(String, Tree)| (name.clone().into_bytes().into(), tree.value());
    Value::Map(entries.iter().map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proxy_wasm::property::NoWireForm;

    const BOOTSTRAP: &str = "
node:
  id: the-id
  cluster: the-cluster
  locality: { region: here, sub_zone: there }
  metadata:
    TEXT: text
    QUOTED: '7'
    NUMBER: 7
    FRACTION: 4.5
    FLAG: true
    NOTHING: null
    LIST: [a, b]
    MAP: { inner: { deep: value } }
admin: {}
";

    fn read(arguments: &[&str]) -> Option<Node> {
        Node::read(arguments, &|path| match path {
            "b.yaml" => Ok(BOOTSTRAP.to_owned()),
            "b.json" => Ok(r#"{"node": {"id": "j", "metadata": {"N": 4.5},
                "locality": {"subZone": "z"}}}"#
                .to_owned()),
            "empty.json" => Ok("{}".to_owned()),
            "bad.yaml" => Ok("a: [".to_owned()),
            _ => Err(io::ErrorKind::NotFound.into()),
        })
    }

    fn bytes(node: &Node, path: &str) -> Option<Result<Vec<u8>, NoWireForm>> {
        let path: Vec<_> = path.split('.').map(str::as_bytes).collect();
        node.find(&path).ok().map(|value| value.wire_form())
    }

    fn text(node: &Node, path: &str) -> String {
        String::from_utf8(bytes(node, path).unwrap().unwrap()).unwrap()
    }

    #[test]
    fn the_bootstrap_of_an_envoy() {
        let node = read(&["-l", "info", "-c", "b.yaml", "--concurrency", "2"]).unwrap();
        for (path, expected) in [
            ("id", "the-id"),
            ("cluster", "the-cluster"),
            ("locality.region", "here"),
            ("locality.zone", ""),
            ("locality.sub_zone", "there"),
            ("metadata.TEXT", "text"),
            ("metadata.QUOTED", "7"),
            ("metadata.FRACTION", "4.5"),
            ("metadata.LIST.1", "b"),
            ("metadata.MAP.inner.deep", "value"),
        ] {
            assert_eq!(text(&node, path), expected, "{path}");
        }
        let number = 7.0_f64.to_le_bytes().to_vec();
        assert_eq!(bytes(&node, "metadata.NUMBER"), Some(Ok(number)));
        assert_eq!(bytes(&node, "metadata.FLAG"), Some(Ok(vec![1])));
        assert_eq!(bytes(&node, "metadata.NOTHING"), Some(Err(NoWireForm)));
        assert_eq!(bytes(&node, "metadata"), Some(Err(NoWireForm)));
        assert!(bytes(&node, "metadata.MAP").unwrap().is_ok());
        let region = Message::default()
            .with(1, b"here")
            .with(3, b"there")
            .into_bytes();
        assert_eq!(bytes(&node, "locality"), Some(Ok(region)));
        for path in [
            "nope",
            "id.x",
            "locality.nope",
            "metadata.nope",
            "metadata.TEXT.x",
        ] {
            assert_eq!(bytes(&node, path), None, "{path}");
        }
    }

    #[test]
    fn json_and_arguments() {
        let node = read(&["--config-path=b.json", "--service-node", "by argument"]).unwrap();
        assert_eq!(text(&node, "id"), "by argument");
        assert_eq!(text(&node, "locality.sub_zone"), "z");
        let number = 4.5_f64.to_le_bytes().to_vec();
        assert_eq!(bytes(&node, "metadata.N"), Some(Ok(number)));
        let whole = node.find(&[]).ok().unwrap().wire_form().unwrap();
        let mut numbers = Vec::new();
        crate::proxy_wasm::message::read(&whole, |number, _| {
            numbers.push(number);
            Ok(())
        })
        .unwrap();
        assert_eq!(numbers, [1, 3, 4]);

        let overlay = "node: { id: over, metadata: { N: x, M: y } }";
        let arguments = [
            "-c",
            "b.json",
            "--config-yaml",
            overlay,
            "--service-cluster=c",
        ];
        let node = read(&arguments).unwrap();
        assert_eq!(text(&node, "id"), "over");
        assert_eq!(text(&node, "cluster"), "c");
        assert_eq!(text(&node, "metadata.N"), "x");
        assert_eq!(text(&node, "metadata.M"), "y");
    }

    #[test]
    fn what_cannot_be_read_is_no_node() {
        for arguments in [
            &[][..],
            &["-c"],
            &["-c", "nope.yaml"],
            &["-c", "bad.yaml"],
            &["-c", "b.json", "--config-yaml", "a: ["],
        ] {
            assert!(read(arguments).is_none(), "{arguments:?}");
        }
        let node = read(&["-c", "empty.json"]).unwrap();
        assert_eq!(text(&node, "id"), "");
        assert_eq!(node.find(&[]).ok().unwrap().wire_form(), Ok(vec![]));
        assert_eq!(bytes(&node, "metadata"), Some(Ok(vec![0; 4])));
    }
}
