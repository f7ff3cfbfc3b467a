//! `WasmPlugin` and `TrafficExtension`.

use super::super::resource::{
    FAIL_STRATEGIES, KINDS, PLUGIN_TYPES, PULL_POLICIES, TRAFFIC_EXTENSIONS, VALUE_SOURCES,
    VERSIONS, WASM_PLUGINS,
};
use super::super::settings::PHASES;
use super::super::shape::Preset::{Text as Preset, Words};
use super::super::shape::{
    FieldShape, Form, Kind, Rule, Shape, TEXT, Text, field, formed, ignored, text,
};
use super::super::target;
use super::super::traffic::MODES;
use super::{NAMESPACE, OBJECT_NAME};

pub(in super::super) static WASM_PLUGIN_KIND: Kind = Kind::Object(&WASM_PLUGIN);
pub(in super::super) static TRAFFIC_EXTENSION_KIND: Kind = Kind::Object(&TRAFFIC_EXTENSION);

/// The `kind` of a resource whose shape is yet to be found out.
pub(in super::super) static ANY_KIND: Kind = Kind::Choice(&KINDS);

pub(in super::super) static WASM_PLUGIN: Shape = Shape {
    name: "WasmPlugin",
    doc: "A Proxy-Wasm plugin, as Istio has it.",
    fields: &[
        field(
            "apiVersion",
            Kind::Choice(&VERSIONS),
            "The version of the kind.",
        )
        .required(),
        field("kind", Kind::Choice(&WASM_PLUGINS), "The kind.").required(),
        METADATA_FIELD,
        field("spec", Kind::Object(&WASM_PLUGIN_SPEC), "The plugin.").required(),
        ignored("status"),
    ],
    rules: &[],
};

pub(in super::super) static TRAFFIC_EXTENSION: Shape = Shape {
    name: "TrafficExtension",
    doc: "The same in the shape of Istio 1.30, which parts the place in the chain from the module.",
    fields: &[
        field(
            "apiVersion",
            Kind::Choice(&VERSIONS),
            "The version of the kind.",
        )
        .required(),
        field("kind", Kind::Choice(&TRAFFIC_EXTENSIONS), "The kind.").required(),
        METADATA_FIELD,
        field(
            "spec",
            Kind::Object(&TRAFFIC_EXTENSION_SPEC),
            "The extension.",
        )
        .required(),
        ignored("status"),
    ],
    rules: &[],
};

const METADATA_FIELD: FieldShape = field(
    "metadata",
    Kind::Object(&METADATA),
    "Name, namespace and annotations.",
)
.required();

static METADATA: Shape = Shape {
    name: "Metadata",
    doc: "What Kubernetes knows of every object.",
    fields: &[
        field("name", formed(&OBJECT_NAME), "Its name.").required(),
        field(
            "namespace",
            formed(&NAMESPACE),
            "Its namespace: that of the proxies it is for, or the root namespace.",
        )
        .or(Words("`workload.namespace`")),
        field(
            "annotations",
            Kind::Map(&TEXT, None),
            "Those under `wasmplugin.io/` are ours; others are not looked at.",
        ),
        field(
            "labels",
            Kind::Map(&TEXT, None),
            "Labels of the resource; not looked at.",
        ),
        field(
            "creationTimestamp",
            TEXT,
            "When it was created; at equal priority, older ones come first.",
        ),
        field(
            "resourceVersion",
            TEXT,
            "A change of it makes `imagePullPolicy: Always` pull again.",
        ),
        ignored("deletionGracePeriodSeconds"),
        ignored("deletionTimestamp"),
        ignored("finalizers"),
        ignored("generateName"),
        ignored("generation"),
        ignored("managedFields"),
        ignored("ownerReferences"),
        ignored("selfLink"),
        ignored("uid"),
    ],
    rules: &[],
};

pub(in super::super) static WASM_PLUGIN_SPEC: Shape = Shape {
    name: "WasmPlugin spec",
    doc: "The plugin: where it stands, what it is, how it runs.",
    fields: &[
        SELECTOR_FIELD,
        field(
            "targetRef",
            Kind::Object(&TARGET),
            "As `targetRefs` with one entry; older spelling.",
        ),
        TARGETS_FIELD,
        PHASE_FIELD,
        PRIORITY_FIELD,
        MATCH_FIELD,
        URL_FIELD,
        SHA256_FIELD,
        PULL_POLICY_FIELD,
        PULL_SECRET_FIELD,
        KEY_FIELD,
        CONFIG_FIELD,
        NAME_FIELD,
        FAIL_FIELD,
        VM_FIELD,
        TYPE_FIELD,
    ],
    rules: &[Rule::AtMostOne(&["selector", "targetRef", "targetRefs"])],
};

pub(in super::super) static TRAFFIC_EXTENSION_SPEC: Shape = Shape {
    name: "TrafficExtension spec",
    doc: "Where the extension stands, and what it is.",
    fields: &[
        SELECTOR_FIELD,
        TARGETS_FIELD,
        PHASE_FIELD,
        PRIORITY_FIELD,
        MATCH_FIELD,
        field("wasm", Kind::Object(&WASM), "The plugin."),
        field(
            "lua",
            Kind::Object(&LUA),
            "A Lua script, which is not supported: such a resource is refused.",
        ),
    ],
    rules: &[
        Rule::AtMostOne(&["selector", "targetRefs"]),
        Rule::ExactlyOne(&["wasm", "lua"]),
    ],
};

pub(in super::super) static WASM: Shape = Shape {
    name: "TrafficExtension wasm",
    doc: "What the plugin is, and how it runs.",
    fields: &[
        URL_FIELD,
        SHA256_FIELD,
        PULL_POLICY_FIELD,
        PULL_SECRET_FIELD,
        KEY_FIELD,
        CONFIG_FIELD,
        NAME_FIELD,
        FAIL_FIELD,
        VM_FIELD,
        TYPE_FIELD,
    ],
    rules: &[],
};

static LUA: Shape = Shape {
    name: "TrafficExtension lua",
    doc: "A Lua script. Not supported.",
    fields: &[field("inlineCode", text(1..=65_536), "The script.").required()],
    rules: &[],
};

const SELECTOR_FIELD: FieldShape = field(
    "selector",
    Kind::Object(&SELECTOR),
    "Which workloads of the namespace it is for; all without it.",
);

const TARGETS_FIELD: FieldShape = field(
    "targetRefs",
    Kind::List(&TARGETS, 16),
    "Objects that it is attached to; proxies that stand for one of them (`workload.targetRefs`) \
     run it.",
);

const PHASE_FIELD: FieldShape = field(
    "phase",
    Kind::Choice(&PHASES),
    "Where in the chain it stands: before authentication, before authorization, after that, or \
     before the router.",
)
.or(Preset("UNSPECIFIED_PHASE"));

const PRIORITY_FIELD: FieldShape = field(
    "priority",
    Kind::Whole(i32::MIN as i128..=i32::MAX as i128),
    "Higher ones come first within a phase.",
)
.or(Words("lowest, as in istiod"));

const MATCH_FIELD: FieldShape = field(
    "match",
    Kind::List(&MATCH_KIND, usize::MAX),
    "Which traffic it sees: one entry has to hold. All without it.",
);

const URL_FIELD: FieldShape = field(
    "url",
    text(1..=usize::MAX),
    "Where the module is: `oci://`, `http://`, `https://` or `file://`; an OCI image without \
     scheme.",
)
.required();

const SHA256_FIELD: FieldShape = field(
    "sha256",
    formed(&DIGEST),
    "Digest that must be found: of an OCI image's manifest, else of the module itself.",
);

const PULL_POLICY_FIELD: FieldShape = field(
    "imagePullPolicy",
    Kind::Choice(&PULL_POLICIES),
    "Whether a change of the resource fetches the module again.",
)
.or(Words(
    "`IfNotPresent`; `Always` for an OCI image with the tag `latest`",
));

const PULL_SECRET_FIELD: FieldShape = field(
    "imagePullSecret",
    text(1..=253),
    "Name of a pull secret in the resource's namespace, below `secretsDir`.",
);

const KEY_FIELD: FieldShape = field(
    "verificationKey",
    TEXT,
    "Public keys in PEM that the module must be signed with. May stand in `pluginConfig` instead, \
     which then does not reach the plugin.",
)
.in_istio("it is not implemented: the module runs without being verified");

const CONFIG_FIELD: FieldShape = field(
    "pluginConfig",
    Kind::Free,
    "What the plugin reads as its configuration, as JSON; nothing at all if empty.",
);

const NAME_FIELD: FieldShape = field(
    "pluginName",
    text(1..=256),
    "The root id, by which some modules choose what to run.",
);

const FAIL_FIELD: FieldShape = field(
    "failStrategy",
    Kind::Choice(&FAIL_STRATEGIES),
    "What happens to requests when the plugin cannot run.",
)
.or(Preset("FAIL_CLOSE"));

const VM_FIELD: FieldShape = field("vmConfig", Kind::Object(&VM), "The plugin's environment.");

const TYPE_FIELD: FieldShape = field(
    "type",
    Kind::Choice(&PLUGIN_TYPES),
    "`NETWORK` is not supported: such a resource is refused.",
)
.or(Preset("HTTP"));

static DIGEST: Form = Form {
    pattern: "(^$|^[a-f0-9]{64}$)",
    check: |text| {
        let hex = |b: u8| b.is_ascii_digit() || (b'a'..=b'f').contains(&b);
        text.is_empty() || (text.len() == 64 && text.bytes().all(hex))
    },
    wanted: "64 lower-case hex digits, or empty",
};

static SELECTOR: Shape = Shape {
    name: "Selector",
    doc: "Which workloads.",
    fields: &[field(
        "matchLabels",
        Kind::Map(&LABEL_VALUE, Some(&LABEL_NAME)),
        "Labels that a workload must have, at most 4096; compared as they are, without wildcards.",
    )],
    rules: &[],
};

static LABEL_NAME: Form = Form {
    pattern: r"^[^*]+$",
    check: |text| !text.is_empty() && !text.contains('*'),
    wanted: "a label's: not empty, and without *, which is no wildcard",
};

static LABEL_VALUE: Kind = Kind::Text(Text {
    length: 0..=63,
    form: Some(&Form {
        pattern: r"^[^*]*$",
        check: |text| !text.contains('*'),
        wanted: "without *, which is no wildcard",
    }),
    is_secret: false,
});

pub(super) static TARGETS: Kind = Kind::Object(&TARGET);

static TARGET: Shape = Shape {
    name: "Target",
    doc: "An object that resources are attached to.",
    fields: &[
        field(
            "group",
            Kind::Text(Text {
                length: 0..=253,
                form: Some(&Form {
                    pattern: r"^$|^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$",
                    check: |text| text.is_empty() || super::super::names::is_object(text),
                    wanted: "an API group such as gateway.networking.k8s.io, or empty",
                }),
                is_secret: false,
            }),
            "Its API group: `gateway.networking.k8s.io` for `Gateway` and `GatewayClass`, \
             `networking.istio.io` for `ServiceEntry`, empty or `core` for `Service`.",
        )
        .or(Preset("\"\"")),
        field(
            "kind",
            Kind::Text(Text {
                length: 1..=63,
                form: Some(&Form {
                    pattern: "^[a-zA-Z]([-a-zA-Z0-9]*[a-zA-Z0-9])?$",
                    check: target::is_kind,
                    wanted: "a kind such as Gateway",
                }),
                is_secret: false,
            }),
            "Its kind.",
        )
        .required(),
        field("name", text(1..=253), "Its name.").required(),
        field(
            "namespace",
            formed(&Form {
                pattern: "^$",
                check: str::is_empty,
                wanted: "empty: only objects of the resource's own namespace",
            }),
            "Must be empty.",
        ),
    ],
    rules: &[],
};

static MATCH_KIND: Kind = Kind::Object(&MATCH);

static MATCH: Shape = Shape {
    name: "Match",
    doc: "Some of the traffic: what both fields take.",
    fields: &[
        field(
            "mode",
            Kind::Choice(&MODES),
            "Direction: `SERVER` is inbound, `CLIENT` outbound or a gateway's.",
        )
        .or(Preset("CLIENT_AND_SERVER")),
        field(
            "ports",
            Kind::List(&PORT_KIND, usize::MAX),
            "Ports of listeners; any without it.",
        ),
    ],
    rules: &[],
};

static PORT_KIND: Kind = Kind::Object(&PORT);

static PORT: Shape = Shape {
    name: "Port",
    doc: "A port.",
    fields: &[field("number", Kind::Whole(1..=65_535), "Its number.").required()],
    rules: &[],
};

static VM: Shape = Shape {
    name: "VmConfig",
    doc: "What the plugin finds around it.",
    fields: &[field(
        "env",
        Kind::List(&VARIABLE_KIND, 256),
        "Environment variables.",
    )],
    rules: &[],
};

static VARIABLE_KIND: Kind = Kind::Object(&VARIABLE);

static VARIABLE: Shape = Shape {
    name: "Variable",
    doc: "An environment variable.",
    fields: &[
        field("name", text(1..=256), "Its name.").required(),
        field(
            "valueFrom",
            Kind::Choice(&VALUE_SOURCES),
            "`INLINE` for `value`, `HOST` for Envoy's environment; skipped where that has none.",
        )
        .or(Preset("INLINE")),
        field(
            "value",
            Kind::Text(Text {
                length: 0..=2048,
                form: None,
                is_secret: true,
            }),
            "Its value; excludes `HOST`.",
        ),
    ],
    rules: &[],
};
