//! TLS on both sides of a lane: clients and upstreams of cases know nothing of it, since Envoy itself
//! puts it on and takes it off on the way.
//!
//! ```text
//! client ─▶ front ═TLS═▶ edge, with the plugins ═TLS═▶ back ─▶ upstream
//! ```
//!
//! The certificates in `tls/` were made with openssl for a hundred years; whoever signed them is gone.

use serde_json::{Value, json};

use super::configuration::{Lane, socket};
use crate::support::module;

/// The ports on the way, beside that of the lane's edge.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hops {
    pub(crate) front: u16,
    pub(crate) back: u16,
}

/// Puts TLS on the lane's listener.
pub(super) fn dress(listener: &mut Value) {
    listener["listener_filters"] = json!([{
        "name": "inspector",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector",
        },
    }]);
    listener["filter_chains"][0]["transport_socket"] = downstream("edge");
}

/// The listeners in front and behind.
pub(super) fn listeners(lane: &Lane, hops: Hops) -> [Value; 2] {
    let tag = lane.tag();
    let front = listener(&format!("front-{tag}"), hops.front);
    let mut back = listener(&format!("back-{tag}"), hops.back);
    back["filter_chains"][0]["transport_socket"] = downstream("upstream");
    [front, back]
}

/// The clusters behind these, and TLS for the one of the upstream.
pub(super) fn clusters(lane: &Lane, upstream: u16) -> [Value; 2] {
    let tag = lane.tag();
    let mut front = cluster(&format!("front-{tag}"), lane.edge);
    front["transport_socket"] = upstream_socket("client", "edge.example");
    let back = cluster(&format!("back-{tag}"), upstream);
    [front, back]
}

/// What a cluster needs to speak TLS to the upstream.
pub(super) fn to_upstream() -> Value {
    upstream_socket("edge", "upstream.example")
}

fn listener(name: &str, port: u16) -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
        "name": name,
        "address": socket(port),
        "filter_chains": [{ "filters": [{
            "name": "proxy",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
                "stat_prefix": "hop",
                "cluster": name,
            },
        }]}],
    })
}

fn cluster(name: &str, port: u16) -> Value {
    json!({
        "name": name,
        "connect_timeout": "2s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": socket(port) } }] }],
        },
    })
}

fn downstream(name: &str) -> Value {
    json!({
        "name": "tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
            "common_tls_context": common(name),
            "require_client_certificate": true,
        },
    })
}

fn upstream_socket(name: &str, server: &str) -> Value {
    json!({
        "name": "tls",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
            "common_tls_context": common(name),
            "sni": server,
        },
    })
}

fn common(name: &str) -> Value {
    let file = |file: String| {
        let path = module::root().join("tests/conformance/tls").join(file);
        json!({ "filename": path })
    };
    json!({
        "tls_certificates": [{
            "certificate_chain": file(format!("{name}.crt")),
            "private_key": file(format!("{name}.key")),
        }],
        "validation_context": { "trusted_ca": file("ca.crt".to_owned()) },
    })
}
