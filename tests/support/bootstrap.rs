//! Bootstrap configurations made of wasmplugin filter entries.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use super::{free_port, module};

/// What a cluster says that lets trailers pass.
const UPSTREAM_TRAILERS: &str = r#"    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http_protocol_options: { enable_trailers: true } }
"#;

const ADMIN: &str =
    "admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }\n";

/// Starts access log lines in Envoy's log.
pub(crate) const ACCESS: &str = "access";

/// Listeners with wasmplugin filters in front of one upstream, and an admin interface. Plugins call
/// the same upstream as `callouts`, so that they do not use up the connections of requests.
///
/// Every request leaves a line `access <port> <path> <status> <details>` in Envoy's log.
#[derive(Clone, Debug)]
pub(crate) struct Bootstrap {
    upstream: u16,
    listeners: Vec<Listener>,
    metadata: String,
    routes: String,
    trailers: bool,
}

#[derive(Clone, Debug)]
struct Listener {
    port: u16,
    filters: Vec<String>,
}

impl Bootstrap {
    /// One listener without filters, in front of port `upstream`.
    pub(crate) fn new(upstream: u16) -> Self {
        Self {
            upstream,
            listeners: Vec::new(),
            metadata: String::new(),
            routes: String::new(),
            trailers: false,
        }
        .listener()
    }

    /// Starts another listener: filters go to it from here on.
    #[must_use]
    pub(crate) fn listener(mut self) -> Self {
        self.listeners.push(Listener {
            port: free_port(),
            filters: Vec::new(),
        });
        self
    }

    /// Adds a filter entry with `settings` (YAML) as a `Struct`.
    #[must_use]
    pub(crate) fn filter(self, settings: &str) -> Self {
        let config = format!(
            "\"@type\": type.googleapis.com/google.protobuf.Struct\nvalue:\n{}",
            indent(settings, 2)
        );
        self.entry(&config)
    }

    /// Adds a filter entry with `settings` (YAML or JSON) as text in a `StringValue`.
    #[must_use]
    pub(crate) fn text_filter(self, settings: &str) -> Self {
        let config = format!(
            "\"@type\": type.googleapis.com/google.protobuf.StringValue\nvalue: |\n{}",
            indent(settings, 2)
        );
        self.entry(&config)
    }

    /// Adds a filter of Envoy's own, an item of `http_filters` in YAML.
    #[must_use]
    pub(crate) fn envoy_filter(mut self, item: &str) -> Self {
        let listener = self.listeners.last_mut().expect("new() makes one");
        listener.filters.push(item.to_owned());
        self
    }

    /// Metadata of the only route: YAML of `filter_metadata.wasmplugin`.
    #[must_use]
    pub(crate) fn route_metadata(mut self, metadata: &str) -> Self {
        metadata.clone_into(&mut self.metadata);
        self
    }

    /// A route before the usual one, for `prefix`: YAML of further fields.
    #[must_use]
    pub(crate) fn route(mut self, prefix: &str, fields: &str) -> Self {
        let _ = write!(
            self.routes,
            "- match: {{ prefix: {prefix} }}\n  route: {{ cluster: upstream }}\n{}\n",
            indent(fields, 2)
        );
        self
    }

    /// Trailers pass, both ways, and a stream on which nothing happens for three seconds is ended.
    #[must_use]
    pub(crate) fn trailers(mut self) -> Self {
        self.trailers = true;
        self
    }

    fn entry(mut self, config: &str) -> Self {
        let listener = self.listeners.last_mut().expect("new() makes one");
        let mut entry = String::new();
        let _ = write!(
            entry,
            r#"- name: wasmplugin.{number}
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter
    dynamic_module_config: {{ name: wasmplugin, do_not_close: true, metrics_namespace: wasmplugin }}
    filter_name: wasmplugin
    filter_config:
{config}"#,
            number = listener.filters.len(),
            config = indent(config, 6),
        );
        listener.filters.push(entry);
        self
    }

    /// The port of the first listener.
    pub(crate) fn port(&self) -> u16 {
        self.ports()[0]
    }

    /// The ports of all listeners.
    pub(crate) fn ports(&self) -> Vec<u16> {
        self.listeners
            .iter()
            .map(|listener| listener.port)
            .collect()
    }

    /// The YAML.
    pub(crate) fn render(&self) -> String {
        format!(
            "{ADMIN}static_resources:\n  listeners:\n{}{}",
            self.listeners(),
            self.clusters()
        )
    }

    /// The YAML for listeners that are discovered: see [`Self::discover`].
    pub(crate) fn render_discovering(&self, listeners: &Path) -> String {
        format!(
            "{ADMIN}node: {{ id: test, cluster: test }}\n\
             dynamic_resources:\n  lds_config: {{ path_config_source: {{ path: {} }} }}\n\
             static_resources:\n{}",
            listeners.display(),
            self.clusters()
        )
    }

    /// Has Envoy find these listeners in the file `listeners`, in place of what it found before.
    pub(crate) fn discover(&self, listeners: &Path) {
        let mut yaml = String::from("resources:\n");
        let text = self.listeners();
        for line in text.lines() {
            // Each item begins with its type.
            match line.strip_prefix("  - ") {
                Some(first) => {
                    let _ = write!(
                        yaml,
                        "- \"@type\": type.googleapis.com/envoy.config.listener.v3.Listener\n  {first}\n"
                    );
                }
                None => {
                    yaml += line.strip_prefix("  ").unwrap_or(line);
                    yaml.push('\n');
                }
            }
        }
        // Envoy looks for files that are moved into place.
        let next = listeners.with_extension("next");
        fs::write(&next, yaml).expect("a file");
        fs::rename(next, listeners).expect("a rename");
    }

    fn listeners(&self) -> String {
        let mut yaml = String::new();
        let metadata = if self.metadata.is_empty() {
            String::new()
        } else {
            format!(
                "metadata:\n  filter_metadata:\n    wasmplugin:\n{}",
                indent(&self.metadata, 6)
            )
        };
        let trailers = if self.trailers {
            "http_protocol_options: { enable_trailers: true }\nstream_idle_timeout: 3s"
        } else {
            ""
        };
        for Listener { port, filters } in &self.listeners {
            let _ = write!(
                yaml,
                r#"  - name: edge.{port}
    address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: edge
{trailers}
          access_log:
          - name: envoy.access_loggers.stderr
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.access_loggers.stream.v3.StderrAccessLog
              log_format:
                text_format_source:
                  inline_string: "{ACCESS} {port} %REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_CODE_DETAILS%\n"
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
{routes}
              - match: {{ prefix: / }}
                route: {{ cluster: upstream }}
{metadata}
          http_filters:
{filters}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"#,
                routes = indent(&self.routes, 14),
                trailers = indent(trailers, 10),
                metadata = indent(&metadata, 16),
                filters = indent(&filters.join("\n"), 10),
            );
        }
        yaml
    }

    fn clusters(&self) -> String {
        let mut yaml = String::from("  clusters:\n");
        for cluster in ["upstream", "callouts"] {
            let _ = write!(
                yaml,
                r"  - name: {cluster}
    connect_timeout: 5s
{}    load_assignment:
      cluster_name: {cluster}
      endpoints:
      - lb_endpoints:
        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }}
",
                if self.trailers { UPSTREAM_TRAILERS } else { "" },
                self.upstream
            );
        }
        yaml
    }
}

/// A configuration of `envoy/bootstrap/`, on ports of its own.
#[derive(Clone, Debug)]
pub(crate) struct Template {
    /// The port that clients use.
    pub(crate) edge: u16,
    pub(crate) yaml: String,
}

impl Template {
    /// Reads `envoy/bootstrap/<name>.yaml` and fills in `${EDGE_PORT}`, `${UPSTREAM_PORT}` (with
    /// `upstream`) and `${ADMIN_PORT}`.
    pub(crate) fn read(name: &str, upstream: u16) -> Self {
        let path = module::root().join(format!("envoy/bootstrap/{name}.yaml"));
        let text =
            fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let edge = free_port();
        let yaml = text
            .replace("${EDGE_PORT}", &edge.to_string())
            .replace("${UPSTREAM_PORT}", &upstream.to_string())
            .replace("${ADMIN_PORT}", "0");
        Self { edge, yaml }
    }
}

/// `text` with every line moved right.
pub(crate) fn indent(text: &str, by: usize) -> String {
    text.lines()
        .map(|line| {
            if line.is_empty() {
                String::new()
            } else {
                format!("{:by$}{line}", "")
            }
        })
        .collect::<Vec<_>>()
        .join("\n")
}
