//! The settings of a filter entry.

use super::super::defaults;
use super::super::settings::{PHASES, WORKLOAD_TYPES};
use super::super::shape::Preset::{Duration, Number, Size, Text, Words};
use super::super::shape::{self, Form, Kind, Shape, TEXT, field, formed};
use super::resource::TARGETS;
use super::{ABSOLUTE_PATH, NAMESPACE, PATH};

pub(in super::super) static SETTINGS_KIND: Kind = Kind::Object(&SETTINGS);

pub(in super::super) static SETTINGS: Shape = Shape {
    name: "Settings",
    doc: "What a filter entry is given in `filter_config`, or in the file that `configFile` names.",
    fields: &[
        field(
            "phases",
            Kind::List(&PHASE, 4),
            "Phases that this entry runs (`AUTHN`, `AUTHZ`, `STATS`, `UNSPECIFIED_PHASE`), so that \
             entries can sit around Envoy's own filters.",
        )
        .or(Words("all four")),
        field(
            "configFile",
            formed(&PATH),
            "YAML file with more settings; what stands in `filter_config` wins, field by field.",
        ),
        field(
            "plugins",
            Kind::List(&Kind::Resource, usize::MAX),
            "Resources, exactly as written for Kubernetes.",
        )
        .or(Text("[]")),
        field(
            "pluginsDir",
            formed(&PATH),
            "Directory of `*.yaml`, `*.yml` and `*.json` files with more resources, watched.",
        ),
        field("workload", Kind::Object(&WORKLOAD), "Who this proxy is."),
        field(
            "rootNamespace",
            formed(&NAMESPACE),
            "Resources there apply to every namespace.",
        )
        .or(Text(defaults::ROOT_NAMESPACE)),
        field(
            "secretsDir",
            formed(&PATH),
            "Pull secrets as Kubernetes mounts them: \
             `<secretsDir>/<namespace>/<name>/.dockerconfigjson`; reread when they change.",
        ),
        field(
            "cacheDir",
            formed(&PATH),
            "Where modules and compiled code are kept across restarts; only in memory without it.",
        ),
        field("fetch", Kind::Object(&FETCH), "How modules are fetched."),
        field("limits", Kind::Object(&LIMITS), "Caps of each plugin."),
        field("startup", Kind::Object(&STARTUP), "How Envoy starts."),
    ],
    rules: &[],
};

static PHASE: Kind = Kind::Choice(&PHASES);

static WORKLOAD: Shape = Shape {
    name: "Workload",
    doc: "Who this proxy is, for `selector`, `targetRefs` and `match` of resources.",
    fields: &[
        field(
            "namespace",
            formed(&NAMESPACE),
            "Namespace of this proxy; resources of others do not apply.",
        )
        .or(Text(defaults::NAMESPACE)),
        field(
            "labels",
            Kind::Map(&TEXT, None),
            "Labels of this proxy, for `selector`.",
        )
        .or(Text("{}")),
        field(
            "labelsFile",
            formed(&PATH),
            "File of more labels in the format of Kubernetes' downward API (`key=\"value\"` \
             lines), watched; `labels` wins, label by label.",
        ),
        field(
            "type",
            Kind::Choice(&WORKLOAD_TYPES),
            "Which traffic this is, for the `mode` of `match`.",
        )
        .or(Text("gateway")),
        field(
            "targetRefs",
            Kind::List(&TARGETS, 16),
            "What this proxy stands for, for `targetRefs`. The label \
             `gateway.networking.k8s.io/gateway-name` names a Gateway by itself.",
        )
        .or(Text("[]")),
    ],
    rules: &[],
};

static FETCH: Shape = Shape {
    name: "Fetch",
    doc: "How modules are fetched.",
    fields: &[
        field(
            "timeout",
            Kind::Duration(defaults::DEADLINES),
            "The longest that one fetch may take, all attempts together.",
        )
        .or(Duration(defaults::FETCH_TIMEOUT)),
        field(
            "attempts",
            Kind::Whole(defaults::ATTEMPTS),
            "How often a fetch is tried before its plugin counts as failed; it is tried again \
             later.",
        )
        .or(Number(defaults::FETCH_ATTEMPTS as u64)),
        field(
            "maxModuleBytes",
            Kind::Size(defaults::MODULES),
            "The largest module, also once unpacked.",
        )
        .or(Size(defaults::MAX_MODULE_BYTES)),
        field(
            "insecureRegistries",
            Kind::List(&REGISTRY, usize::MAX),
            "Registries (`host` or `host:port`, `*` for all) whose certificate is not checked, \
             and which may speak plain HTTP.",
        )
        .or(Text("[]")),
        field(
            "caFile",
            formed(&PATH),
            "File of certificates (PEM) to trust besides the built-in roots.",
        )
        .or(Words("built-in roots")),
        field(
            "blockedCidrs",
            Kind::List(&CIDR, usize::MAX),
            "Addresses that no fetch may reach, besides link-local and metadata addresses, which \
             none ever may.",
        )
        .or(Words("link-local and metadata addresses")),
        field(
            "allowFileRoots",
            Kind::List(&ROOT, usize::MAX),
            "Directories that `file://` may read from; an empty list allows none.",
        )
        .or(Words("any")),
    ],
    rules: &[],
};

static REGISTRY: Kind = formed(&Form {
    pattern: r"^(\*|[A-Za-z0-9.\[\]:-]+)$",
    check: |text| {
        let legal = |c: char| c.is_ascii_alphanumeric() || ".-:[]".contains(c);
        text == "*" || (!text.is_empty() && text.chars().all(legal))
    },
    wanted: "a registry's host, or host:port, or * for all",
});

static CIDR: Kind = formed(&Form {
    pattern: r"^[0-9A-Fa-f.:]+/[0-9]{1,3}$",
    check: |text| text.parse::<ipnet::IpNet>().is_ok(),
    wanted: "a range of addresses such as 10.0.0.0/8 or fd00::/8",
});

static ROOT: Kind = formed(&ABSOLUTE_PATH);

static LIMITS: Shape = Shape {
    name: "Limits",
    doc: "Caps of each plugin. Annotations set some of them for one.",
    fields: &[
        field(
            "callDeadline",
            Kind::Duration(defaults::DEADLINES),
            "The longest that one call into a plugin may take.",
        )
        .or(Duration(defaults::CALL_DEADLINE)),
        field(
            "startDeadline",
            Kind::Duration(defaults::DEADLINES),
            "The longest that start and configuration may take, each.",
        )
        .or(Duration(defaults::START_DEADLINE)),
        field(
            "memory",
            Kind::Size(defaults::MEMORIES),
            "Linear memory of one instance.",
        )
        .or(Size(defaults::MEMORY)),
        field(
            "tableElements",
            Kind::Whole(defaults::TABLES),
            "Elements of all tables of one instance; twice as many as its module has functions are always allowed.",
        )
        .or(Number(defaults::TABLE_ELEMENTS as u64)),
        field(
            "maxBody",
            Kind::Size(defaults::BODIES),
            "The most of a body that is held for a plugin.",
        )
        .or(Words("Envoy's buffer limit")),
        field(
            "openCallouts",
            Kind::Whole(defaults::CALLOUTS),
            "The most calls of one instance whose answers are to come.",
        )
        .or(Number(defaults::OPEN_CALLOUTS as u64)),
        field(
            "sharedData",
            Kind::Size(defaults::SHARED),
            "The most that shared data and queues of one `vm-id` may hold.",
        )
        .or(Size(defaults::SHARED_DATA)),
    ],
    rules: &[],
};

static STARTUP: Shape = Shape {
    name: "Startup",
    doc: "How Envoy starts.",
    fields: &[field(
        "wait",
        Kind::Duration(defaults::WAITS),
        "How long a first load may hold Envoy's start; afterwards each plugin's fail strategy \
             rules until it is ready.",
    )
    .or(shape::Preset::Duration(defaults::STARTUP_WAIT))],
    rules: &[],
};
