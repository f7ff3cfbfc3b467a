//! What the specification of the ABI names in each of its versions, for the compatibility page. The
//! names that Envoy and we have beside these are extensions, or are left over from before it.

use super::callbacks::Versions;

/// A name of the specification.
#[derive(Clone, Copy, Debug)]
pub struct Specified {
    /// The name, without the module that it is imported from.
    pub name: &'static str,
    /// The versions that have it.
    pub versions: Versions,
    /// Where its type there is another than in Envoy: how so.
    pub differs: Option<&'static str>,
}

const fn of(versions: Versions, name: &'static str) -> Specified {
    Specified {
        name,
        versions,
        differs: None,
    }
}

const fn all(name: &'static str) -> Specified {
    of(Versions::All, name)
}

/// Version 0.1.0 says that these return nothing; Envoy's return a status.
const fn old_without_result(name: &'static str) -> Specified {
    Specified {
        differs: Some("without a result"),
        ..of(Versions::Old, name)
    }
}

/// What plugins export.
pub const EXPORTS: &[Specified] = &[
    of(Versions::Old, "proxy_abi_version_0_1_0"),
    of(Versions::Middle, "proxy_abi_version_0_2_0"),
    of(Versions::Newest, "proxy_abi_version_0_2_1"),
    all("_initialize"),
    all("main"),
    all("_start"),
    all("malloc"),
    all("proxy_on_memory_allocate"),
    all("proxy_on_context_create"),
    all("proxy_on_vm_start"),
    all("proxy_on_configure"),
    all("proxy_on_tick"),
    all("proxy_on_queue_ready"),
    all("proxy_on_request_headers"),
    all("proxy_on_request_body"),
    all("proxy_on_request_trailers"),
    all("proxy_on_response_headers"),
    all("proxy_on_response_body"),
    all("proxy_on_response_trailers"),
    all("proxy_on_http_call_response"),
    all("proxy_on_grpc_receive_initial_metadata"),
    all("proxy_on_grpc_receive"),
    all("proxy_on_grpc_receive_trailing_metadata"),
    all("proxy_on_grpc_close"),
    of(Versions::New, "proxy_on_foreign_function"),
    all("proxy_on_new_connection"),
    all("proxy_on_downstream_data"),
    all("proxy_on_downstream_connection_close"),
    all("proxy_on_upstream_data"),
    all("proxy_on_upstream_connection_close"),
    all("proxy_on_log"),
    all("proxy_on_done"),
    all("proxy_on_delete"),
];

/// What plugins import from `env`.
pub const FUNCTIONS: &[Specified] = &[
    all("proxy_add_header_map_value"),
    all("proxy_call_foreign_function"),
    old_without_result("proxy_clear_route_cache"),
    of(Versions::New, "proxy_close_stream"),
    old_without_result("proxy_continue_request"),
    old_without_result("proxy_continue_response"),
    of(Versions::New, "proxy_continue_stream"),
    all("proxy_define_metric"),
    all("proxy_dequeue_shared_queue"),
    all("proxy_done"),
    all("proxy_enqueue_shared_queue"),
    all("proxy_get_buffer_bytes"),
    all("proxy_get_buffer_status"),
    of(Versions::Old, "proxy_get_configuration"),
    all("proxy_get_current_time_nanoseconds"),
    all("proxy_get_header_map_pairs"),
    all("proxy_get_header_map_size"),
    all("proxy_get_header_map_value"),
    of(Versions::Newest, "proxy_get_log_level"),
    all("proxy_get_metric"),
    all("proxy_get_property"),
    all("proxy_get_shared_data"),
    all("proxy_get_status"),
    all("proxy_grpc_call"),
    all("proxy_grpc_cancel"),
    all("proxy_grpc_close"),
    all("proxy_grpc_send"),
    all("proxy_grpc_stream"),
    all("proxy_http_call"),
    all("proxy_increment_metric"),
    all("proxy_log"),
    all("proxy_record_metric"),
    all("proxy_register_shared_queue"),
    all("proxy_remove_header_map_value"),
    all("proxy_replace_header_map_value"),
    all("proxy_resolve_shared_queue"),
    all("proxy_send_local_response"),
    all("proxy_set_buffer_bytes"),
    all("proxy_set_effective_context"),
    all("proxy_set_header_map_pairs"),
    all("proxy_set_property"),
    all("proxy_set_shared_data"),
    all("proxy_set_tick_period_milliseconds"),
];

/// What plugins import from `wasi_snapshot_preview1`; toolchains import more.
pub const WASI: &[Specified] = &[
    all("args_get"),
    all("args_sizes_get"),
    all("clock_time_get"),
    all("environ_get"),
    all("environ_sizes_get"),
    all("fd_write"),
    all("proc_exit"),
    all("random_get"),
];

/// The properties that versions 0.1.0 and 0.2.0 list; 0.2.1 lists none. All of them, it says,
/// depend on the host.
pub const PROPERTIES: &[&str] = &[
    "plugin_name",
    "plugin_root_id",
    "plugin_vm_id",
    "connection.id",
    "source.address",
    "source.port",
    "destination.address",
    "destination.port",
    "connection.tls_version",
    "connection.requested_server_name",
    "connection.mtls",
    "connection.subject_local_certificate",
    "connection.subject_peer_certificate",
    "connection.dns_san_local_certificate",
    "connection.dns_san_peer_certificate",
    "connection.uri_san_local_certificate",
    "connection.uri_san_peer_certificate",
    "connection.sha256_peer_certificate_digest",
    "upstream.address",
    "upstream.port",
    "upstream.local_address",
    "upstream.local_port",
    "upstream.tls_version",
    "upstream.subject_local_certificate",
    "upstream.subject_peer_certificate",
    "upstream.dns_san_local_certificate",
    "upstream.dns_san_peer_certificate",
    "upstream.uri_san_local_certificate",
    "upstream.uri_san_peer_certificate",
    "upstream.sha256_peer_certificate_digest",
    "request.protocol",
    "request.time",
    "request.duration",
    "request.size",
    "request.total_size",
    "response.size",
    "response.total_size",
];

/// The name in one of the tables.
pub fn find(table: &[Specified], name: &str) -> Option<Specified> {
    table.iter().copied().find(|known| known.name == name)
}
