//! What Envoy is given: for each case two listeners with everything that stands behind them, one
//! with Envoy's own Wasm filter and one with ours, the same in all else.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::case::{self, Case, Plugin};
use super::tls::{self, Hops};
use crate::support::{free_port, module};

/// Who runs the plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Side {
    Envoy,
    Ours,
}

impl Side {
    pub(crate) const ALL: [Self; 2] = [Self::Envoy, Self::Ours];

    /// Both are of one length, so that configurations are.
    pub(crate) const fn letter(self) -> char {
        match self {
            Self::Envoy => 'a',
            Self::Ours => 'b',
        }
    }
}

/// A case on one side.
#[derive(Clone, Debug)]
pub(crate) struct Lane {
    pub(crate) side: Side,
    /// The case's number in this Envoy.
    pub(crate) number: usize,
    pub(crate) edge: u16,
    /// Where TLS begins and ends, if there is any.
    pub(crate) hops: Option<Hops>,
    /// Ports behind Envoy, by cluster.
    pub(crate) ports: BTreeMap<String, Backend>,
}

/// What stands behind a cluster.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Backend {
    Port {
        port: u16,
        http2: bool,
    },
    /// A cluster without endpoints.
    Empty,
}

impl Lane {
    /// Marks everything of this lane.
    pub(crate) fn tag(&self) -> String {
        format!("c{:03}{}", self.number, self.side.letter())
    }

    /// Where clients connect.
    pub(crate) fn entry(&self) -> u16 {
        self.hops.map_or(self.edge, |hops| hops.front)
    }

    fn cluster(&self, name: &str) -> String {
        format!("{name}-{}", self.tag())
    }

    /// A text of plugin `index` with the names of this lane filled in.
    fn fill(&self, text: &str, index: usize) -> String {
        let mut text = text
            .replace("%case%", &self.tag())
            .replace("%plugin%", &plugin_name(self.number, index));
        for name in self.ports.keys() {
            text = text.replace(&format!("%{name}%"), &format!("\"{}\"", self.cluster(name)));
        }
        text
    }
}

/// The VM configuration of a plugin. Unless the case says otherwise, it is only there to give each
/// plugin a virtual machine of its own in Envoy, although V8 compiles their module once.
fn vm_config(plugin: &Plugin, index: usize, lane: &Lane) -> Option<String> {
    let own = || plugin_name(lane.number, index);
    let shared = plugin.shares.then(|| format!("shared-{}", lane.tag()));
    plugin
        .vm_config
        .clone()
        .or(shared)
        .or_else(|| (!plugin.bare).then(own))
}

/// The name of plugin `index` of case `number`; also its root id, by which its log is found.
pub(crate) fn plugin_name(number: usize, index: usize) -> String {
    format!("c{number:03}p{}", index + 1)
}

/// Modules for one Envoy.
pub(crate) struct Modules<'a> {
    directory: &'a Path,
}

impl<'a> Modules<'a> {
    pub(crate) const fn new(directory: &'a Path) -> Self {
        Self { directory }
    }

    /// A file that holds the module.
    fn plain(&self, name: &str) -> PathBuf {
        let path = self.directory.join(format!("{name}.wasm"));
        if !path.is_file() {
            fs::write(&path, guest(name)).expect("a module");
        }
        path
    }

    /// The same with a mark. Envoy shares a virtual machine between plugins of the same code.
    fn marked(&self, name: &str, mark: &str) -> PathBuf {
        let path = self.directory.join(format!("{name}-{mark}.wasm"));
        let mut bytes = guest(name);
        let mut section = vec![4];
        section.extend(b"mark");
        section.extend(mark.bytes());
        bytes.extend([0, u8::try_from(section.len()).expect("a short mark")]);
        bytes.extend(section);
        fs::write(&path, bytes).expect("a module");
        path
    }
}

/// `tests/conformance/guests/NAME.wat`, a module of `CONFORMANCE_PLUGINS`, or a guest of
/// `tests/guests`.
fn guest(name: &str) -> Vec<u8> {
    let foreign = case::elsewhere().map(|directory| directory.join(format!("{name}.wasm")));
    if let Some(path) = foreign.filter(|path| path.is_file()) {
        return fs::read(path).expect("a module");
    }
    let text = module::root().join(format!("tests/conformance/guests/{name}.wat"));
    if text.is_file() {
        return wat::parse_file(&text).unwrap_or_else(|error| panic!("{error}"));
    }
    module::guest(name)
}

/// Everything but listeners.
pub(crate) fn bootstrap(lanes: &[(&Case, Lane)], listeners: &Path) -> Value {
    let clusters: Vec<_> = lanes.iter().flat_map(|(_, lane)| clusters(lane)).collect();
    json!({
        "node": {
            "id": "probe-node",
            "cluster": "probe-cluster",
            "metadata": { "TEXT": "text", "NUMBER": 7, "FLAG": true, "MAP": { "inner": "value" } },
            "locality": { "region": "probe-region", "zone": "probe-zone" },
        },
        "admin": { "address": socket(0) },
        "dynamic_resources": { "lds_config": {
            "path_config_source": { "path": listeners },
            "resource_api_version": "V3",
        }},
        "static_resources": { "clusters": clusters },
    })
}

fn clusters(lane: &Lane) -> Vec<Value> {
    let mut clusters = Vec::new();
    for (name, backend) in &lane.ports {
        let mut cluster = |backend| {
            clusters.push(cluster(&lane.cluster(name), backend));
            clusters.len() - 1
        };
        match (lane.hops, *backend) {
            (Some(hops), Backend::Port { port, http2 }) if name == "upstream" => {
                let port_of_back = hops.back;
                let at = cluster(Backend::Port {
                    port: port_of_back,
                    http2,
                });
                clusters[at]["transport_socket"] = tls::to_upstream();
                clusters.extend(tls::clusters(lane, port));
            }
            (_, backend) => {
                cluster(backend);
            }
        }
    }
    clusters
}

/// The listeners, as a file for Envoy to discover: it refuses bad ones one by one.
pub(crate) fn listeners(lanes: &[(&Case, Lane)], modules: &Modules<'_>) -> Value {
    let resources: Vec<_> = lanes
        .iter()
        .flat_map(|(case, lane)| {
            let mut listeners = vec![listener(case, lane, modules)];
            if let Some(hops) = lane.hops {
                tls::dress(&mut listeners[0]);
                listeners.extend(tls::listeners(lane, hops));
            }
            listeners
        })
        .collect();
    json!({ "version_info": "1", "resources": resources })
}

/// A port for a listener.
pub(crate) fn edge() -> u16 {
    free_port()
}

pub(super) fn socket(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

fn cluster(name: &str, backend: Backend) -> Value {
    let (endpoints, http2) = match backend {
        Backend::Empty => (json!([]), false),
        Backend::Port { port, http2 } => {
            (json!([{ "endpoint": { "address": socket(port) } }]), http2)
        }
    };
    let protocol = if http2 {
        json!({ "http2_protocol_options": {} })
    } else {
        json!({ "http_protocol_options": { "enable_trailers": true } })
    };
    json!({
        "name": name,
        "connect_timeout": "2s",
        "metadata": { "filter_metadata": { "probe": { "cluster": "metadata" } } },
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": endpoints }],
        },
        "typed_extension_protocol_options": {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": protocol,
            },
        },
    })
}

fn listener(case: &Case, lane: &Lane, modules: &Modules<'_>) -> Value {
    let tag = lane.tag();
    let mut filters = vec![
        json!({
            "name": "metadata",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.set_metadata.v3.Config",
                "metadata": [{
                    "metadata_namespace": "probe",
                    "value": {
                        "text": "text", "number": 1.5, "flag": true, "nothing": null,
                        "list": ["a", "b"], "map": { "inner": "value" },
                    },
                }],
            },
        }),
        json!({
            "name": "state",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
                "on_request_headers": [{
                    "object_key": "probe.state",
                    "factory_key": "envoy.string",
                    "format_string": { "text_format_source": { "inline_string": "state" } },
                }],
            },
        }),
    ];
    match lane.side {
        Side::Envoy => filters.extend(
            case.plugins
                .iter()
                .enumerate()
                .map(|(index, plugin)| envoy_filter(plugin, index, lane, modules)),
        ),
        Side::Ours => filters.push(our_filter(case, lane, modules)),
    }
    filters.push(json!({
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
            // Times have digits, more or less.
            "suppress_envoy_headers": true,
        },
    }));
    let upstream = json!({
        "cluster": lane.cluster("upstream"),
        "timeout": "30s",
    });
    let mut listener = json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": format!("edge-{tag}"),
        "address": socket(lane.edge),
        "metadata": { "filter_metadata": { "probe": { "listener": "metadata" } } },
        "traffic_direction": "INBOUND",
        "filter_chains": [{
            "name": "probe-chain",
            "filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
                    "stat_prefix": "edge",
                    "http_protocol_options": { "enable_trailers": true },
                    "access_log": [{
                        "name": "envoy.access_loggers.stderr",
                        "typed_config": {
                            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog",
                            "log_format": { "text_format_source": { "inline_string": format!(
                                "access {tag} %RESPONSE_CODE% %RESPONSE_CODE_DETAILS% %RESPONSE_FLAGS%\n"
                            )}},
                        },
                    }],
                    "route_config": {
                        "name": "probe-routes",
                        "virtual_hosts": [{
                            "name": "probe-host",
                            "domains": ["*"],
                            "routes": [
                                {
                                    "name": "other-route",
                                    "match": { "prefix": "/", "headers": [{
                                        "name": "x-route",
                                        "string_match": { "exact": "other" },
                                    }]},
                                    "request_headers_to_add": [{
                                        "header": { "key": "x-routed", "value": "other" },
                                    }],
                                    "route": upstream,
                                },
                                {
                                    "name": "direct-route",
                                    "match": { "prefix": "/direct" },
                                    "direct_response": {
                                        "status": 418,
                                        "body": { "inline_string": "direct" },
                                    },
                                },
                                {
                                    "name": "probe-route",
                                    "match": { "prefix": "/" },
                                    "metadata": { "filter_metadata": { "probe": { "route": "metadata" } } },
                                    "route": upstream,
                                },
                            ],
                        }],
                    },
                    "http_filters": filters,
                },
            }],
        }],
    });
    if let Some(limit) = case.limit {
        listener["per_connection_buffer_limit_bytes"] = json!(limit);
    }
    listener
}

fn string_value(text: &str) -> Value {
    json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": text })
}

/// The environment of plugin `index`. A program that runs before all contexts learns there whose
/// it is.
fn environment(plugin: &Plugin, index: usize, lane: &Lane) -> Vec<(String, String)> {
    const INIT: &str = "PROBE_INIT";
    let fill = |(key, value): &(String, String)| (key.clone(), lane.fill(value, index));
    let mut variables: Vec<_> = plugin.environment.iter().map(fill).collect();
    if variables.iter().any(|(key, _)| key == INIT) {
        variables.push(("PROBE_NAME".to_owned(), plugin_name(lane.number, index)));
    }
    variables
}

fn envoy_filter(plugin: &Plugin, index: usize, lane: &Lane, modules: &Modules<'_>) -> Value {
    let name = plugin_name(lane.number, index);
    let is_shared = plugin.vm_config.is_none() && !plugin.bare;
    let code = if is_shared {
        modules.plain(&plugin.module)
    } else {
        modules.marked(&plugin.module, &name)
    };
    let mut vm = json!({
        "runtime": "envoy.wasm.runtime.v8",
        "vm_id": plugin.vm_id.as_ref().map_or(String::new(), |id| lane.fill(id, index)),
        "code": { "local": { "filename": code } },
    });
    if let Some(text) = vm_config(plugin, index, lane) {
        vm["configuration"] = string_value(&text);
    }
    let environment = environment(plugin, index, lane);
    if !environment.is_empty() {
        let variables: serde_json::Map<_, _> = environment
            .into_iter()
            .map(|(key, value)| (key, json!(value)))
            .collect();
        vm["environment_variables"] = json!({ "key_values": variables });
    }
    if !plugin.capabilities.is_empty() {
        let allowed: serde_json::Map<_, _> = plugin
            .capabilities
            .iter()
            .map(|name| (name.clone(), json!({})))
            .collect();
        vm["capability_restriction_config"] = json!({ "allowed_capabilities": allowed });
    }
    let mut config = json!({
        "name": format!("default.{name}"),
        "root_id": name,
        "vm_config": vm,
    });
    if !plugin.program.is_empty() {
        config["configuration"] = string_value(&lane.fill(&plugin.program, index));
    }
    match plugin.fail.as_str() {
        // What `FAIL_OPEN` should be: the enum's value of that name fails the stream at hand.
        "open" => config["fail_open"] = json!(true),
        "reload" => config["failure_policy"] = json!("FAIL_RELOAD"),
        _ => config["failure_policy"] = json!("FAIL_CLOSED"),
    }
    if plugin.hold_headers {
        config["allow_on_headers_stop_iteration"] = json!(true);
    }
    json!({
        "name": format!("wasm.{name}"),
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": config,
        },
    })
}

fn our_filter(case: &Case, lane: &Lane, modules: &Modules<'_>) -> Value {
    let plugins: Vec<_> = case
        .plugins
        .iter()
        .enumerate()
        .map(|(index, plugin)| resource(plugin, index, lane, modules))
        .collect();
    let settings = json!({
        "startup": { "wait": "280s" },
        // A busy machine must not look like a bad plugin. Memory is what guests have in Envoy's filter.
        "limits": { "callDeadline": "20s", "startDeadline": "60s", "memory": "1Gi" },
        "plugins": plugins,
    });
    json!({
        "name": "wasmplugin",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter",
            "dynamic_module_config": {
                "name": "wasmplugin",
                "do_not_close": true,
                "metrics_namespace": "wasmplugin",
            },
            "filter_name": "wasmplugin",
            "filter_config": string_value(&settings.to_string()),
        },
    })
}

fn resource(plugin: &Plugin, index: usize, lane: &Lane, modules: &Modules<'_>) -> Value {
    let name = plugin_name(lane.number, index);
    let mut annotations = serde_json::Map::new();
    let mut annotate = |key: &str, value: &str| {
        annotations.insert(format!("wasmplugin.io/{key}"), json!(value));
    };
    if !plugin.program.is_empty() {
        annotate("raw-plugin-config", &lane.fill(&plugin.program, index));
    }
    if let Some(text) = &plugin.vm_id {
        annotate("vm-id", &lane.fill(text, index));
    }
    if let Some(text) = vm_config(plugin, index, lane) {
        annotate("vm-config", &text);
    }
    if plugin.hold_headers {
        annotate("hold-headers", "true");
    }
    if !plugin.capabilities.is_empty() {
        annotate("capabilities", &plugin.capabilities.join(","));
    }
    let environment: Vec<_> = environment(plugin, index, lane)
        .into_iter()
        .map(|(key, value)| json!({ "name": key, "value": value }))
        .collect();
    let fail = match plugin.fail.as_str() {
        "open" => "FAIL_OPEN",
        "reload" => "FAIL_RELOAD",
        _ => "FAIL_CLOSE",
    };
    json!({
        "apiVersion": "extensions.istio.io/v1alpha1",
        "kind": "WasmPlugin",
        "metadata": { "name": name, "namespace": "default", "annotations": annotations },
        "spec": {
            "url": format!("file://{}", modules.plain(&plugin.module).display()),
            "pluginName": name,
            "priority": 100 - index,
            "failStrategy": fail,
            "vmConfig": { "env": environment },
        },
    })
}
