//! What routes say.

use super::super::names;
use super::super::shape::{Form, Kind, Shape, field};

pub(in super::super) static ROUTE_KIND: Kind = Kind::Object(&ROUTE);
pub(in super::super) static CHANGE_KIND: Kind = Kind::Object(&CHANGE);

pub(in super::super) static ROUTE: Shape = Shape {
    name: "Route",
    doc: "What a route is given for the filter in `typed_per_filter_config`. Route metadata \
          (`filter_metadata.wasmplugin`) says the same, and wins, with a flat text for each \
          resource: `true`, `false`, `{pluginConfig: {…}}`, or a whole resource, which the route \
          brings.",
    fields: &[field(
        "plugins",
        Kind::Map(&CHANGE_KIND, Some(&RESOURCE)),
        "What changes on this route, by resource: `<namespace>/<name>`.",
    )],
    rules: &[],
};

/// A resource.
pub(in super::super) static RESOURCE: Form = Form {
    pattern: r"^[a-z0-9-]+/[a-z0-9.-]+$",
    check: |text| names::pair(text).is_some(),
    wanted: "a resource, <namespace>/<name>",
};

pub(in super::super) static CHANGE: Shape = Shape {
    name: "Change",
    doc: "What changes about one plugin.",
    fields: &[
        field(
            "enabled",
            Kind::Boolean,
            "Whether the plugin runs on this route.",
        ),
        field(
            "pluginConfig",
            Kind::Free,
            "What the plugin reads as its configuration on this route, in place of its own.",
        ),
    ],
    rules: &[],
};
