//! What Istio would refuse or do differently, field by field.
//!
//! What is different wherever a field is written stands in the tables of [`super::fields`]; here is
//! what depends on its value. Each note is a problem for those who want one file for both.

use super::document::{Entry, Node, Value};
use super::fields::{ANNOTATIONS, PREFIX, TRAFFIC_EXTENSION, WASM_PLUGIN};
use super::report::Report;
use super::shape::{Kind, Shape};

/// The largest whole number that a float holds exactly.
const MAX_EXACT: i128 = 1 << 53;

/// Reports what is not portable in a resource.
pub(super) fn notes(resource: &Node, report: &mut Report) {
    let notes = &mut Notes { report };
    let extension = resource.get("kind").and_then(Node::text) == Some("TrafficExtension");
    if let (true, Some(kind)) = (extension, resource.get("kind")) {
        notes.add(
            "kind",
            kind,
            "Istio knows this kind since 1.30; older ones refuse it",
        );
    }
    let shape = if extension {
        &TRAFFIC_EXTENSION
    } else {
        &WASM_PLUGIN
    };
    notes.fields(resource, shape, "");
    if let Some(metadata) = resource.get("metadata") {
        notes.metadata(metadata);
    }
    let Some(spec) = resource.get("spec") else {
        return;
    };
    notes.targets(spec);
    match spec.get("wasm") {
        Some(module) if extension => notes.module(module, "spec.wasm"),
        _ => notes.module(spec, "spec"),
    }
}

/// The most bytes of all annotations of an object, names and values, that Kubernetes takes.
const MAX_ANNOTATIONS: usize = 256 << 10;

struct Notes<'r> {
    report: &'r mut Report,
}

impl Notes<'_> {
    fn add(&mut self, path: &str, node: &Node, message: &str) {
        self.report.place(path, node.mark, message);
    }

    /// What the tables say of the fields that are there.
    fn fields(&mut self, object: &Node, shape: &Shape, path: &str) {
        for field in shape.fields {
            let Some(node) = object.get(field.name) else {
                continue;
            };
            let path = format!("{path}{}", field.name);
            if !field.istio.is_empty() && !matches!(node.value, Value::Null) {
                self.add(&path, node, &format!("in Istio {}", field.istio));
            }
            if let Kind::Object(inner) = field.kind {
                self.fields(node, inner, &format!("{path}."));
            }
        }
    }

    fn metadata(&mut self, metadata: &Node) {
        if let Some(node) = metadata.get("creationTimestamp")
            && node.text().is_some()
        {
            let message = "the API server sets its own, so that the order of equal priorities may \
                           be another";
            self.add("metadata.creationTimestamp", node, message);
        }
        let Some(annotations) = metadata.get("annotations") else {
            return;
        };
        let Value::Object(entries) = &annotations.value else {
            return;
        };
        let size = |entry: &Entry| entry.name.len() + entry.node.text().map_or(0, str::len);
        if entries.iter().map(size).sum::<usize>() > MAX_ANNOTATIONS {
            let message = "Kubernetes refuses more than 256 KiB of annotations";
            self.add("metadata.annotations", annotations, message);
        }
        for entry in entries {
            let key = entry.name.strip_prefix(PREFIX);
            if let Some(field) = key.and_then(|key| ANNOTATIONS.field(key)) {
                let path = format!("metadata.annotations[{:?}]", entry.name);
                let message = format!("in Istio {}", field.istio);
                self.add(&path, &entry.node, &message);
            }
        }
    }

    /// What only waypoints look at.
    fn targets(&mut self, spec: &Node) {
        let mut targets = Vec::new();
        targets.extend(spec.get("targetRef"));
        if let Some(Value::List(items)) = spec.get("targetRefs").map(|node| &node.value) {
            targets.extend(items);
        }
        for target in targets {
            let Some(kind) = target.get("kind") else {
                continue;
            };
            if kind.text().is_some_and(|kind| kind != "Gateway") {
                let message = "in Istio only waypoints look at this kind, and for them no port and \
                               no mode CLIENT of match ever holds";
                self.add("spec.targetRefs", kind, message);
            }
        }
    }

    fn module(&mut self, module: &Node, path: &str) {
        if let Some(url) = module.get("url") {
            self.url(url, module, path);
        }
        if let Some(node) = module.get("failStrategy")
            && node.text() == Some("FAIL_RELOAD")
        {
            let message = "Istio 1.23 and older refuse it";
            self.add(&format!("{path}.failStrategy"), node, message);
        }
        if let Some(config) = module.get("pluginConfig") {
            let path = format!("{path}.pluginConfig");
            if let Some(key) = config.get("verificationKey") {
                let message = "in Istio it reaches the plugin, and nothing is verified";
                self.add(&format!("{path}.verificationKey"), key, message);
            }
            self.numbers(config, &path);
        }
        let env = module.get("vmConfig").and_then(|config| config.get("env"));
        if let Some(Value::List(items)) = env.map(|env| &env.value) {
            for name in items.iter().filter_map(|item| item.get("name")) {
                if name
                    .text()
                    .is_some_and(|name| name.starts_with("ISTIO_META_"))
                {
                    let message = "Istio takes variables of this prefix away";
                    self.add(&format!("{path}.vmConfig.env"), name, message);
                }
            }
        }
    }

    fn url(&mut self, url: &Node, module: &Node, path: &str) {
        let Some(text) = url.text() else {
            return;
        };
        let path_of_url = format!("{path}.url");
        let digest = module.get("sha256").filter(|node| node.text() != Some(""));
        let scheme = text
            .split_once("://")
            .map(|(scheme, _)| scheme.to_ascii_lowercase());
        match scheme.as_deref() {
            Some("file") => {
                if let Some(digest) = digest {
                    let message = "in Istio the digest of a file is not checked";
                    self.add(&format!("{path}.sha256"), digest, message);
                }
            }
            Some("http" | "https") => {}
            _ => {
                let host = text.split('/').next().unwrap_or_default();
                if scheme.is_none() && host.contains(':') {
                    let message = "Istio refuses a port in a URL without scheme: write oci:// in \
                                   front of it";
                    self.add(&path_of_url, url, message);
                }
                if let Some((_, pinned)) = text.split_once("@sha256:") {
                    let message = "if this is the digest of an index of several platforms, Istio \
                                   refuses the image that it finds there";
                    self.add(&path_of_url, url, message);
                    if let Some(digest) = digest
                        && digest.text() != Some(pinned)
                    {
                        let message = "in Istio it must be the digest in the URL";
                        self.add(&format!("{path}.sha256"), digest, message);
                    }
                }
                return;
            }
        }
        if let Some(secret) = module.get("imagePullSecret") {
            let message = "Istio uses it for OCI images only";
            self.add(&format!("{path}.imagePullSecret"), secret, message);
        }
    }

    /// Istio hands configurations on as a Struct, whose numbers are floats.
    fn numbers(&mut self, node: &Node, path: &str) {
        match &node.value {
            Value::Int(value) if value.abs() > MAX_EXACT => {
                let message = "in Istio numbers are floats, and this one is rounded";
                self.add(path, node, message);
            }
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    self.numbers(item, &format!("{path}[{i}]"));
                }
            }
            Value::Object(entries) => {
                for entry in entries {
                    self.numbers(&entry.node, &format!("{path}.{:.64}", entry.name));
                }
            }
            _ => {}
        }
    }
}
