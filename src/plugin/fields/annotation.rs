//! Annotations under `wasmplugin.io/`.

use super::super::annotation::LOG_LEVELS;
use super::super::defaults;
use super::super::shape::Preset::{Boolean, Number, Text, Words};
use super::super::shape::{Form, Kind, Shape, TEXT, field, formed};
use super::ABSOLUTE_PATH;

/// What our annotations begin with.
pub(in super::super) const PREFIX: &str = "wasmplugin.io/";

static DEADLINE: Kind = Kind::Duration(defaults::DEADLINES);
static MEMORY: Kind = Kind::Size(defaults::MEMORIES);
static STATUS: Kind = Kind::Whole(defaults::STATUSES);
static FLAG: Kind = Kind::Boolean;
static INTERVAL: Kind = Kind::Duration(defaults::REFRESHES);

pub(in super::super) static ANNOTATIONS: Shape = Shape {
    name: "Annotations",
    doc: "What `WasmPlugin` and `TrafficExtension` have no field for, as annotations on their \
          `metadata`. Values are strings, as all annotations'.",
    fields: &[
        field(
            "call-deadline",
            Kind::Quoted(&DEADLINE),
            "The longest that one call into this plugin may take.",
        )
        .or(Words("`limits.callDeadline`"))
        .in_istio("no deadline: a plugin that does not return holds its worker for ever"),
        field(
            "start-deadline",
            Kind::Quoted(&DEADLINE),
            "The longest that its start and configuration may take, each.",
        )
        .or(Words("`limits.startDeadline`"))
        .in_istio("no deadline at start"),
        field(
            "memory-limit",
            Kind::Quoted(&MEMORY),
            "Linear memory of one of its instances.",
        )
        .or(Words("`limits.memory`"))
        .in_istio("no limit of a plugin's own: all of them may take 1 GiB"),
        field(
            "fail-status",
            Kind::Quoted(&STATUS),
            "HTTP status of refused requests.",
        )
        .or(Number(defaults::FAIL_STATUS as u64))
        .in_istio("503 where the plugin fails, 403 where its module cannot be fetched"),
        field(
            "hold-headers",
            Kind::Quoted(&FLAG),
            "Whether a plugin that pauses at headers still sees the body (Envoy's \
             `allow_on_headers_stop_iteration`).",
        )
        .or(Boolean(false))
        .in_istio("a plugin that pauses at headers does not see the body until it resumes"),
        field(
            "log-level",
            Kind::Quoted(&LEVEL),
            "The least level of its log lines.",
        )
        .or(Words("Envoy's"))
        .in_istio("Envoy's log level rules alone"),
        field(
            "capabilities",
            formed(&CAPABILITIES),
            "Host functions that it may call and callbacks that it is called for, with commas between \
             them; an empty text allows none.",
        )
        .or(Words("all"))
        .in_istio("all are allowed"),
        field(
            "enabled-by-default",
            Kind::Quoted(&FLAG),
            "Whether it runs where no route enables it.",
        )
        .or(Boolean(true))
        .in_istio("the plugin runs on every route"),
        field(
            "refresh-interval",
            Kind::Quoted(&INTERVAL),
            "How often its module is looked up again without a change of the resource.",
        )
        .or(Words("never"))
        .in_istio("a module is only fetched again when its resource changes"),
        field(
            "verification-key-file",
            formed(&ABSOLUTE_PATH),
            "File of public keys (PEM) that the module must be signed with, in place of \
             `verificationKey`.",
        )
        .in_istio("the module is not verified"),
        field(
            "raw-plugin-config",
            TEXT,
            "A string that the plugin gets as it is, in place of `pluginConfig`, for plugins that \
             do not read JSON.",
        )
        .in_istio("the plugin gets no configuration"),
        field(
            "vm-config",
            TEXT,
            "The VM configuration that the plugin reads.",
        )
        .in_istio("the VM configuration is empty"),
        field(
            "vm-id",
            TEXT,
            "Scope of shared data and queues; plugins of one `vm-id` share theirs.",
        )
        .or(Text("\"\""))
        .in_istio("all plugins share their data and queues"),
    ],
    rules: &[],
};

static LEVEL: Kind = Kind::Choice(&LOG_LEVELS);

/// Names of functions, by their shape only: which there are is for the one who links them.
static CAPABILITIES: Form = Form {
    pattern: "^[a-z0-9_, ]*$",
    check: |text| {
        let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "_, ".contains(c);
        text.chars().all(legal)
    },
    wanted: "names of host functions such as proxy_log, with commas between them",
};
