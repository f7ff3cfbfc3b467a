//! Bootstrap configurations made of wasmplugin filter entries.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use super::{free_port, module};

/// What a cluster says that lets trailers pass.
const UPSTREAM_TRAILERS: &str = r#"    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        "@type": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: { http_protocol_options: { enable_trailers: true } }
"#;

/// The administration, and a name, which discovery wants.
const NODE: &str = "admin: { address: { socket_address: { address: 127.0.0.1, port_value: 0 } } }
node: { id: test, cluster: test }
";

const FILTER_TYPE: &str =
    "type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilter";

/// The bootstrap extension, to stand before the rest.
pub(crate) const EXTENSION: &str = r#"bootstrap_extensions:
- name: wasmplugin
  typed_config:
    "@type": type.googleapis.com/envoy.extensions.bootstrap.dynamic_modules.v3.DynamicModuleBootstrapExtension
    dynamic_module_config: { name: wasmplugin, do_not_close: true, metrics_namespace: wasmplugin }
    extension_name: wasmplugin
"#;

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
    /// Where routes are discovered, instead of standing in the listeners.
    routes_file: Option<PathBuf>,
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
            routes_file: None,
            trailers: false,
        }
        .listener()
    }

    /// Three entries with `settings`, before and after each other, as around Envoy's own filters.
    pub(crate) fn around(upstream: u16, settings: &str) -> Self {
        Self::new(upstream).entries_around(settings)
    }

    /// Adds the entries of [`Self::around`].
    #[must_use]
    pub(crate) fn entries_around(self, settings: &str) -> Self {
        ["AUTHN", "AUTHZ", "STATS, UNSPECIFIED_PHASE"]
            .into_iter()
            .fold(self, |bootstrap, phases| {
                bootstrap.filter(&format!("phases: [{phases}]\n{settings}"))
            })
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
        self.entry(&structure(settings))
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

    /// Adds a filter entry whose configuration is discovered: see [`discover_filter`].
    #[must_use]
    pub(crate) fn discovered_filter(self, file: &Path) -> Self {
        let name = self.next_entry();
        self.envoy_filter(&format!(
            r#"- name: {name}
  config_discovery:
    config_source: {{ path_config_source: {{ path: {} }} }}
    type_urls: [ {FILTER_TYPE} ]"#,
            file.display()
        ))
    }

    fn entry(self, config: &str) -> Self {
        let name = self.next_entry();
        let config = indent(&typed_config(config), 2);
        self.envoy_filter(&format!("- name: {name}\n{config}"))
    }

    fn next_entry(&self) -> String {
        let listener = self.listeners.last().expect("new() makes one");
        format!("wasmplugin.{}", listener.filters.len())
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
            "{NODE}static_resources:\n  listeners:\n{}{}",
            self.listeners(),
            self.clusters()
        )
    }

    /// The YAML for listeners that are discovered: see [`Self::discover`].
    pub(crate) fn render_discovering(&self, listeners: &Path) -> String {
        format!(
            "{NODE}dynamic_resources:\n  lds_config: {{ path_config_source: {{ path: {} }} }}\n\
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
        move_into_place(listeners, &yaml);
    }

    /// Has Envoy look for its routes in the file `routes`: see [`Self::discover_routes`].
    #[must_use]
    pub(crate) fn routes_in(mut self, routes: &Path) -> Self {
        self.routes_file = Some(routes.to_owned());
        self
    }

    /// Has Envoy find these routes in place of what it found before.
    pub(crate) fn discover_routes(&self) {
        let file = self.routes_file.as_ref().expect("routes_in was called");
        let yaml = format!(
            "resources:\n\
             - \"@type\": type.googleapis.com/envoy.config.route.v3.RouteConfiguration\n  \
               name: all\n{}\n",
            indent(&self.virtual_hosts(), 2)
        );
        move_into_place(file, &yaml);
    }

    fn virtual_hosts(&self) -> String {
        let metadata = if self.metadata.is_empty() {
            String::new()
        } else {
            format!(
                "metadata:\n  filter_metadata:\n    wasmplugin:\n{}",
                indent(&self.metadata, 6)
            )
        };
        format!(
            r#"virtual_hosts:
- name: all
  domains: ["*"]
  routes:
{routes}
  - match: {{ prefix: / }}
    route: {{ cluster: upstream }}
{metadata}"#,
            routes = indent(&self.routes, 2),
            metadata = indent(&metadata, 4),
        )
    }

    fn listeners(&self) -> String {
        let mut yaml = String::new();
        let routes = match &self.routes_file {
            None => format!("route_config:\n{}", indent(&self.virtual_hosts(), 2)),
            Some(file) => format!(
                "rds:\n  route_config_name: all\n  \
                 config_source: {{ path_config_source: {{ path: {} }} }}",
                file.display()
            ),
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
{routes}
          http_filters:
{filters}
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
"#,
                routes = indent(&routes, 10),
                trailers = indent(trailers, 10),
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

/// `settings` (YAML) as a `Struct`.
fn structure(settings: &str) -> String {
    format!(
        "\"@type\": type.googleapis.com/google.protobuf.Struct\nvalue:\n{}",
        indent(settings, 2)
    )
}

/// A filter's `typed_config`, of which `config` is the module's part.
fn typed_config(config: &str) -> String {
    format!(
        r#"typed_config:
  "@type": {FILTER_TYPE}
  dynamic_module_config: {{ name: wasmplugin, do_not_close: true, metrics_namespace: wasmplugin }}
  filter_name: wasmplugin
  filter_config:
{config}"#,
        config = indent(config, 4),
    )
}

/// Has Envoy find `settings` (YAML) as the configuration of the first filter entry in `file`.
pub(crate) fn discover_filter(file: &Path, settings: &str) {
    let yaml = format!(
        r#"resources:
- "@type": type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig
  name: wasmplugin.0
{}
"#,
        indent(&typed_config(&structure(settings)), 2)
    );
    move_into_place(file, &yaml);
}

/// `typed_per_filter_config` for the first `entries` filter entries: what it says of plugins.
pub(crate) fn per_filter_config(entries: usize, plugins: &str) -> String {
    (0..entries).fold("typed_per_filter_config:".to_owned(), |yaml, entry| {
        yaml + &format!(
            r#"
  wasmplugin.{entry}:
    "@type": type.googleapis.com/envoy.extensions.filters.http.dynamic_modules.v3.DynamicModuleFilterPerRoute
    dynamic_module_config: {{ name: wasmplugin, do_not_close: true, metrics_namespace: wasmplugin }}
    filter_name: wasmplugin
    filter_config:
      "@type": type.googleapis.com/google.protobuf.Struct
      value: {{ plugins: {{ {plugins} }} }}"#
        )
    })
}

/// Envoy looks for files that are moved into place.
fn move_into_place(file: &Path, yaml: &str) {
    let next = file.with_extension("next");
    fs::write(&next, yaml).expect("a file");
    fs::rename(next, file).expect("a rename");
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
