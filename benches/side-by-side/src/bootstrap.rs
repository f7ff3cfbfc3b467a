//! Envoy's configuration: one listener whose route answers by itself, and in front of it the
//! plugins in one of the four ways.
//!
//! A direct response runs the whole filter chain both ways, and leaves out an upstream connection,
//! whose noise is larger than what is measured here. Nothing is added to what Envoy does by default
//! for a request, no access log either.

use std::path::PathBuf;

use serde_json::{Value, json};

/// Who runs the plugins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Side {
    /// Nobody: there are none.
    None,
    /// `benches/native`.
    Native,
    /// Envoy's own Wasm filter.
    V8,
    /// This project.
    Ours,
}

impl Side {
    pub(crate) const ALL: [Self; 4] = [Self::None, Self::Native, Self::V8, Self::Ours];

    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Native => "native",
            Self::V8 => "v8",
            Self::Ours => "ours",
        }
    }
}

/// What an Envoy is to run.
#[derive(Clone, Debug)]
pub(crate) struct Setup {
    pub(crate) side: Side,
    /// A word that guests and native module know.
    pub(crate) work: &'static str,
    /// The module of each plugin.
    pub(crate) modules: Vec<PathBuf>,
    pub(crate) workers: u32,
    /// Bytes of the response's body.
    pub(crate) body: usize,
    /// The service that plugins call.
    pub(crate) callout: Option<u16>,
    /// Our cache of compiled code.
    pub(crate) cache: Option<PathBuf>,
}

impl Setup {
    pub(crate) fn bootstrap(&self, port: u16) -> String {
        let mut filters = match self.side {
            Side::None => Vec::new(),
            Side::Native => self.modules.iter().map(|_| self.native()).collect(),
            Side::V8 => (0..)
                .zip(&self.modules)
                .map(|(i, m)| self.v8(i, m))
                .collect(),
            Side::Ours => vec![self.ours()],
        };
        filters.push(json!({
            "name": "envoy.filters.http.router",
            "typed_config": { "@type": of("http.router.v3.Router") },
        }));
        let clusters: Vec<_> = self.callout.map(cluster).into_iter().collect();
        json!({
            "static_resources": {
                "listeners": [listener(port, self.body, &filters)],
                "clusters": clusters,
            },
        })
        .to_string()
    }

    /// What each plugin is told. Guests take what they know: the large one wants a header's name, and
    /// a word to replace.
    fn configuration(&self) -> Value {
        json!({ "work": self.work, "header": "x-tour", "from": "cat" })
    }

    fn native(&self) -> Value {
        json!({
            "name": "native",
            "typed_config": {
                "@type": of("http.dynamic_modules.v3.DynamicModuleFilter"),
                "dynamic_module_config": { "name": "benchnative", "do_not_close": true },
                "filter_name": "bench",
                "filter_config": string(self.work),
            },
        })
    }

    /// Each plugin in a virtual machine of its own, as different modules are.
    fn v8(&self, number: usize, module: &std::path::Path) -> Value {
        json!({
            "name": "v8",
            "typed_config": {
                "@type": of("http.wasm.v3.Wasm"),
                "config": {
                    "name": format!("p{number}"),
                    "vm_config": {
                        "vm_id": format!("p{number}"),
                        "runtime": "envoy.wasm.runtime.v8",
                        "code": { "local": { "filename": module } },
                    },
                    "configuration": string(&self.configuration().to_string()),
                },
            },
        })
    }

    fn ours(&self) -> Value {
        let plugin = |(number, module): (usize, &PathBuf)| {
            json!({
                "apiVersion": "extensions.istio.io/v1alpha1",
                "kind": "WasmPlugin",
                "metadata": { "name": format!("p{number}") },
                "spec": {
                    "url": format!("file://{}", module.display()),
                    "pluginConfig": self.configuration(),
                },
            })
        };
        let plugins: Vec<_> = self.modules.iter().enumerate().map(plugin).collect();
        let mut settings = json!({ "plugins": plugins, "startup": { "wait": "300s" } });
        if let Some(cache) = &self.cache {
            settings["cacheDir"] = json!(cache);
        }
        json!({
            "name": "ours",
            "typed_config": {
                "@type": of("http.dynamic_modules.v3.DynamicModuleFilter"),
                "dynamic_module_config": { "name": "wasmplugin", "do_not_close": true },
                "filter_name": "wasmplugin",
                "filter_config": {
                    "@type": "type.googleapis.com/google.protobuf.Struct",
                    "value": settings,
                },
            },
        })
    }
}

fn of(extension: &str) -> String {
    format!("type.googleapis.com/envoy.extensions.filters.{extension}")
}

fn string(value: &str) -> Value {
    json!({ "@type": "type.googleapis.com/google.protobuf.StringValue", "value": value })
}

fn address(port: u16) -> Value {
    json!({ "socket_address": { "address": "127.0.0.1", "port_value": port } })
}

fn listener(port: u16, body: usize, filters: &[Value]) -> Value {
    const LINE: &str = "a line of text, as bodies have many of them.\n";
    let text: String = LINE.chars().cycle().take(body).collect();
    let mut response = json!({ "status": 200 });
    if body > 0 {
        response["body"] = json!({ "inline_string": text });
    }
    json!({
        "name": "bench",
        "address": address(port),
        // Beyond the largest body.
        "per_connection_buffer_limit_bytes": 64 << 20,
        "filter_chains": [{ "filters": [{
            "name": "http",
            "typed_config": {
                "@type": of("network.http_connection_manager.v3.HttpConnectionManager"),
                "stat_prefix": "bench",
                "codec_type": "HTTP1",
                // Beyond the most headers.
                "common_http_protocol_options": { "max_headers_count": 300 },
                "route_config": {
                    "name": "bench",
                    "max_direct_response_body_size_bytes": 64 << 20,
                    "virtual_hosts": [{
                        "name": "bench",
                        "domains": ["*"],
                        "routes": [{ "match": { "prefix": "/" }, "direct_response": response }],
                    }],
                },
                "http_filters": filters,
            },
        }] }],
    })
}

fn cluster(port: u16) -> Value {
    json!({
        "name": "callout",
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": "callout",
            "endpoints": [{ "lb_endpoints": [{ "endpoint": { "address": address(port) } }] }],
        },
    })
}
