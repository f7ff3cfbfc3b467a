//! Paths that Envoy's own Wasm filter serves and a dynamic module cannot.

/// How far a path is served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is not found, whatever Envoy has there.
    NotFound,
    /// It is served, but not in every case.
    Partly,
}

/// One path, or all that begin with it.
#[derive(Clone, Copy, Debug)]
pub struct Missing {
    /// Components joined by dots; capitals stand for any name.
    pub path: &'static str,
    /// What we do.
    pub state: State,
    /// What is different, and why.
    pub reason: &'static str,
}

/// All of them. `COMPATIBILITY.md` lists them.
pub const MISSING: &[Missing] = &[
    partly(
        "xds.node",
        "id, cluster, locality and metadata, as the bootstrap file (JSON or YAML) and Envoy's \
         arguments have them; no callback tells anything of the node",
    ),
    not_found("xds.listener_metadata", "no callback reads it"),
    not_found("xds.virtual_host_metadata", "no callback reads it"),
    not_found("upstream.locality", "no callback reads it"),
    not_found(
        "upstream.cx_pool_ready_duration",
        "no callback tells when the connection pool was asked",
    ),
    not_found(
        "connection.peer_certificate",
        "no attribute of the ABI has it",
    ),
    not_found(
        "upstream.peer_certificate",
        "no attribute of the ABI has it",
    ),
    not_found("upstream_filter_state.KEY", "no callback reads it"),
    not_found(
        "filter_state.KEY.FIELD",
        "objects are handed out whole, as they serialize",
    ),
    partly(
        "filter_state.KEY",
        "an object with fields is handed out as it serializes, where Envoy has none of it",
    ),
    partly(
        "metadata.filter_metadata.NS.KEY",
        "text, numbers, booleans and lists of these; null and nested values are not found, and a \
         namespace that holds one is a serialization failure as a whole, as is the message. New \
         kinds of values are learned at a bounded rate",
    ),
    partly(
        "metadata.typed_filter_metadata.NS",
        "the message as it is, on Envoy 1.40; without the names of its fields and without a list \
         of namespaces, so it is left out of `metadata` as a whole",
    ),
    partly("xds.cluster_metadata", "as metadata"),
    partly("xds.route_metadata", "as metadata"),
    partly("xds.upstream_host_metadata", "as metadata"),
    partly("xds.upstream_host_locality_metadata", "as metadata"),
    partly(
        "request.time",
        "before Envoy 1.40, when the filter saw the stream first",
    ),
    partly("request.duration", "on Envoy 1.40"),
    partly("request.size", "without content-length, on Envoy 1.40"),
    partly("request.total_size", "on Envoy 1.40"),
    partly("response.backend_latency", "on Envoy 1.40"),
    partly("response.code_details", "since Envoy 1.39"),
    partly("response.flags", "since Envoy 1.39"),
    partly("response.grpc_status", "on Envoy 1.40"),
    partly("response.size", "since Envoy 1.39"),
    partly("response.total_size", "since Envoy 1.39"),
    partly("upstream.local_address", "since Envoy 1.39"),
    partly("upstream.request_attempt_count", "since Envoy 1.39"),
    partly("xds.virtual_host_name", "on Envoy 1.40"),
    partly("xds.filter_chain_name", "on Envoy 1.40"),
    partly("xds.listener_direction", "on Envoy 1.40"),
    partly(
        "PROPERTY",
        "set by plugins: lives as long as the filter chain before Envoy 1.40, whatever it is \
         declared with; that it is read-only is known to the plugins of one filter entry; of \
         types with fields, the bytes",
    ),
];

const fn not_found(path: &'static str, reason: &'static str) -> Missing {
    Missing {
        path,
        state: State::NotFound,
        reason,
    }
}

const fn partly(path: &'static str, reason: &'static str) -> Missing {
    Missing {
        path,
        state: State::Partly,
        reason,
    }
}
