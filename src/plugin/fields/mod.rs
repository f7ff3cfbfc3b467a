//! The fields there are, in the order in which documentation tells them.
//!
//! Bounds and patterns of resources are those of Istio's custom resource definitions.

mod annotation;
mod case;
mod resource;
mod route;
mod settings;

pub(super) use annotation::{ANNOTATIONS, PREFIX};
pub(super) use case::{CASES, CASES_KIND};
pub(super) use resource::{
    ANY_KIND, TRAFFIC_EXTENSION, TRAFFIC_EXTENSION_KIND, WASM_PLUGIN, WASM_PLUGIN_KIND,
};
pub(super) use route::{CHANGE_KIND, RESOURCE, ROUTE, ROUTE_KIND};
pub(super) use settings::{SETTINGS, SETTINGS_KIND};

use super::names;
use super::shape::Form;

/// A DNS-1123 subdomain.
static OBJECT_NAME: Form = Form {
    pattern: r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
    check: names::is_object,
    wanted: "a DNS-1123 subdomain: at most 253 of a-z, 0-9, - and ., \
             each part between dots beginning and ending with a letter or digit",
};

/// A DNS-1123 label.
static NAMESPACE: Form = Form {
    pattern: r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$",
    check: names::is_namespace,
    wanted: "a DNS-1123 label: at most 63 of a-z, 0-9 and -, \
             beginning and ending with a letter or digit",
};

/// The path of a file or directory.
static PATH: Form = Form {
    pattern: "^.+$",
    check: |text| !text.is_empty(),
    wanted: "a path; leave the field out to have none",
};

/// As [`PATH`], from the root.
static ABSOLUTE_PATH: Form = Form {
    pattern: "^/",
    check: |text| text.starts_with('/'),
    wanted: "an absolute path",
};
