//! The configuration of the Envoy that is started.

use serde_json::{Value, json};

use super::Upstream;
use crate::config;

/// The name of the listener, by which its port is found.
pub(super) const LISTENER: &str = "edge";

const TYPES: &str = "type.googleapis.com/envoy";

/// A listener on `port` that runs the plugins of `settings` and passes requests on to `upstream`.
/// Envoy says that it is ready when the plugins are.
pub(super) fn bootstrap(port: u16, upstream: &Upstream, settings: Value) -> Value {
    let local =
        |port: u16| json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } });
    json!({
        "admin": { "address": local(0) },
        "bootstrap_extensions": [extension()],
        "static_resources": {
            "listeners": [{
                "name": LISTENER,
                "address": local(port),
                "filter_chains": [{ "filters": [connection_manager(settings)] }],
            }],
            "clusters": [cluster(upstream)],
        },
    })
}

fn extension() -> Value {
    json!({
        "name": "wasmplugin",
        "typed_config": {
            "@type": format!("{TYPES}.extensions.bootstrap.dynamic_modules.v3.DynamicModuleBootstrapExtension"),
            "dynamic_module_config": config::module(),
            "extension_name": "wasmplugin",
        },
    })
}

fn connection_manager(settings: Value) -> Value {
    let router = format!("{TYPES}.extensions.filters.http.router.v3.Router");
    let manager = "extensions.filters.network.http_connection_manager.v3.HttpConnectionManager";
    json!({
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": format!("{TYPES}.{manager}"),
            "stat_prefix": LISTENER,
            // As plugins that decide by path need it.
            "normalize_path": true,
            "merge_slashes": true,
            "path_with_escaped_slashes_action": "UNESCAPE_AND_REDIRECT",
            "route_config": {
                "virtual_hosts": [{
                    "name": "all",
                    "domains": ["*"],
                    "routes": [{ "match": { "prefix": "/" }, "route": { "cluster": "upstream" } }],
                }],
            },
            "http_filters": [
                config::filter("wasmplugin", settings),
                { "name": "envoy.filters.http.router", "typed_config": { "@type": router } },
            ],
        },
    })
}

fn cluster(upstream: &Upstream) -> Value {
    let Upstream { host, port } = upstream;
    let address = json!({ "socket_address": { "address": host, "port_value": port } });
    json!({
        "name": "upstream",
        // A name such as localhost may have addresses of both families, and an answer at one only.
        "type": "LOGICAL_DNS",
        "dns_lookup_family": "ALL",
        "connect_timeout": "5s",
        "load_assignment": {
            "cluster_name": "upstream",
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address } }] }],
        },
    })
}
