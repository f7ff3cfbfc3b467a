//! Envoy's dynamic module ABI, as far as an HTTP filter host needs it: declarations only.
//!
//! Written by hand instead of taken from Envoy's header or SDK, because the same library must load
//! in Envoy 1.38, 1.39 and 1.40: a cdylib binds all its imports when it is loaded, so naming one
//! callback that the running Envoy lacks makes Envoy refuse the module. Everything declared here
//! exists since 1.38; newer callbacks are looked up at run time (see [`super::lookup`]).
//! `tests/abi.rs` checks both against the real binaries.
//!
//! Rules that hold for every callback:
//! - Pointers that Envoy hands out are valid until the current hook returns, and not past a
//!   setter on the same object or a call that may end the stream. Copy at once.
//! - Strings are pointer and length, not NUL-terminated and not necessarily UTF-8.
//! - A C enum arrives as a number that a newer Envoy may have extended: match on `u32`, never
//!   transmute it into a Rust `enum`.
//! - Buffers travel by value as structs. Flattening them into two arguments passes them in
//!   different registers once those run out.
//! - Stream callbacks (those that take a [`FilterEnvoyPtr`]) belong to the worker thread of the
//!   stream. With a stream that is torn down they return false, 0 or null, or do nothing.
#![allow(
    dead_code,
    reason = "the declarations cover the filter's ABI, also where the host does not use it yet; \
              only what is called becomes an import"
)]

use std::ffi::c_void;

/// The ABI version that this file describes; what `program_init` returns (NUL-terminated).
/// An Envoy of another version loads the module all the same, with one warning.
pub(crate) const ABI_VERSION: &[u8] = b"v0.2.0\0";

// === pointers ===

/// `http_filter_envoy_ptr`: a stream on Envoy's side. Valid until the `destroy` hook.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FilterEnvoyPtr(pub(crate) *mut c_void);

/// `http_filter_config_envoy_ptr`: a filter configuration on Envoy's side.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConfigEnvoyPtr(pub(crate) *mut c_void);

/// A stream's scheduler. Made on the stream's worker; committed and deleted from any thread.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FilterSchedulerPtr(pub(crate) *mut c_void);

/// A configuration's scheduler. Committed from any thread, its hook runs on the main thread.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConfigSchedulerPtr(pub(crate) *mut c_void);

/// `http_filter_module_ptr`: a stream on our side, given to Envoy by `http_filter_new`.
pub(crate) type FilterModulePtr = *const c_void;

/// `http_filter_config_module_ptr`: a configuration on our side.
pub(crate) type ConfigModulePtr = *const c_void;

/// A per-route configuration on our side.
pub(crate) type RouteConfigModulePtr = *const c_void;

/// Envoy's side of a bootstrap extension's configuration.
pub(crate) type BootstrapEnvoyPtr = *mut c_void;

/// Our side of it.
pub(crate) type BootstrapModulePtr = *const c_void;

/// A scheduler of a bootstrap extension.
pub(crate) type BootstrapSchedulerPtr = *mut c_void;

// === buffers ===

/// Bytes of ours that Envoy reads during the call.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModuleBuffer {
    pub(crate) ptr: *const u8,
    pub(crate) length: usize,
}

impl ModuleBuffer {
    /// No bytes.
    pub(crate) const EMPTY: Self = Self::new(&[]);

    /// Lends `bytes` to Envoy. The struct carries no lifetime: it must not outlive `bytes`.
    pub(crate) const fn new(bytes: &[u8]) -> Self {
        Self {
            ptr: bytes.as_ptr(),
            length: bytes.len(),
        }
    }
}

/// Bytes of Envoy's. `ptr` may be null where `length` is 0.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnvoyBuffer {
    pub(crate) ptr: *const u8,
    pub(crate) length: usize,
}

impl EnvoyBuffer {
    /// What an out parameter starts as.
    pub(crate) const EMPTY: Self = Self {
        ptr: std::ptr::null(),
        length: 0,
    };
}

/// A header of ours, in the arrays that replies and callouts take.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct ModuleHttpHeader {
    pub(crate) key_ptr: *const u8,
    pub(crate) key_length: usize,
    pub(crate) value_ptr: *const u8,
    pub(crate) value_length: usize,
}

impl ModuleHttpHeader {
    /// Lends a header to Envoy. The struct carries no lifetime: it must not outlive its parts.
    pub(crate) const fn new(key: &[u8], value: &[u8]) -> Self {
        Self {
            key_ptr: key.as_ptr(),
            key_length: key.len(),
            value_ptr: value.as_ptr(),
            value_length: value.len(),
        }
    }
}

/// A header of Envoy's.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub(crate) struct EnvoyHttpHeader {
    pub(crate) key_ptr: *const u8,
    pub(crate) key_length: usize,
    pub(crate) value_ptr: *const u8,
    pub(crate) value_length: usize,
}

impl EnvoyHttpHeader {
    /// What an array for `http_get_headers` starts as.
    pub(crate) const EMPTY: Self = Self {
        key_ptr: std::ptr::null(),
        key_length: 0,
        value_ptr: std::ptr::null(),
        value_length: 0,
    };
}

const _: () = {
    assert!(size_of::<ModuleBuffer>() == 16 && size_of::<EnvoyBuffer>() == 16);
    assert!(size_of::<ModuleHttpHeader>() == 32 && size_of::<EnvoyHttpHeader>() == 32);
};

// === enums ===

/// `http_header_type`: which header map.
pub(crate) mod header_type {
    pub(crate) const REQUEST_HEADER: u32 = 0;
    pub(crate) const REQUEST_TRAILER: u32 = 1;
    pub(crate) const RESPONSE_HEADER: u32 = 2;
    pub(crate) const RESPONSE_TRAILER: u32 = 3;
}

/// `http_body_type`: the chunk of the current body hook, or what earlier hooks held back.
pub(crate) mod body_type {
    pub(crate) const RECEIVED_REQUEST: u32 = 0;
    pub(crate) const BUFFERED_REQUEST: u32 = 1;
    pub(crate) const RECEIVED_RESPONSE: u32 = 2;
    pub(crate) const BUFFERED_RESPONSE: u32 = 3;
}

/// `log_level`. Envoy drops messages of a level outside `TRACE..=CRITICAL`.
pub(crate) mod log_level {
    pub(crate) const TRACE: u32 = 0;
    pub(crate) const DEBUG: u32 = 1;
    pub(crate) const INFO: u32 = 2;
    pub(crate) const WARN: u32 = 3;
    pub(crate) const ERROR: u32 = 4;
    pub(crate) const CRITICAL: u32 = 5;
    pub(crate) const OFF: u32 = 6;
}

/// What the request and response header hooks return.
pub(crate) mod headers_status {
    pub(crate) const CONTINUE: u32 = 0;
    /// Holds the headers alone: body hooks still come, and the first that continues releases both.
    pub(crate) const STOP_ITERATION: u32 = 1;
    pub(crate) const CONTINUE_AND_DONT_END_STREAM: u32 = 2;
    /// No hooks until resumed; beyond the buffer limit the stream fails (413, 500). A stop inside
    /// the body hook that the resume calls is lost: prefer [`STOP_ITERATION`].
    pub(crate) const STOP_ALL_ITERATION_AND_BUFFER: u32 = 3;
    /// As before, but beyond the limit Envoy pushes back instead of failing.
    pub(crate) const STOP_ALL_ITERATION_AND_WATERMARK: u32 = 4;
}

/// What the request and response body hooks return.
pub(crate) mod body_status {
    pub(crate) const CONTINUE: u32 = 0;
    pub(crate) const STOP_ITERATION_AND_BUFFER: u32 = 1;
    pub(crate) const STOP_ITERATION_AND_WATERMARK: u32 = 2;
    /// Drops the chunk.
    pub(crate) const STOP_ITERATION_NO_BUFFER: u32 = 3;
}

/// What the request and response trailer hooks return.
pub(crate) mod trailers_status {
    pub(crate) const CONTINUE: u32 = 0;
    pub(crate) const STOP_ITERATION: u32 = 1;
}

/// What the `local_reply` hook returns.
pub(crate) mod local_reply_status {
    pub(crate) const CONTINUE: u32 = 0;
    pub(crate) const CONTINUE_AND_RESET_STREAM: u32 = 1;
}

/// `http_filter_stream_reset_reason`.
pub(crate) mod reset_reason {
    pub(crate) const LOCAL_RESET: u32 = 0;
    pub(crate) const LOCAL_REFUSED_STREAM_RESET: u32 = 1;
}

/// `http_callout_init_result`: whether a callout or stream was started.
pub(crate) mod callout_init {
    pub(crate) const SUCCESS: u32 = 0;
    pub(crate) const MISSING_REQUIRED_HEADERS: u32 = 1;
    pub(crate) const CLUSTER_NOT_FOUND: u32 = 2;
    pub(crate) const DUPLICATE_CALLOUT_ID: u32 = 3;
    /// No host, or a circuit breaker.
    pub(crate) const CANNOT_CREATE_REQUEST: u32 = 4;
}

/// `http_callout_result`. Timeouts and failed connections are successes with an answer of Envoy's.
pub(crate) mod callout_result {
    pub(crate) const SUCCESS: u32 = 0;
    pub(crate) const RESET: u32 = 1;
    pub(crate) const EXCEED_RESPONSE_BUFFER_LIMIT: u32 = 2;
}

/// `metadata_source`.
pub(crate) mod metadata_source {
    /// Written by filters, per stream.
    pub(crate) const DYNAMIC: u32 = 0;
    pub(crate) const ROUTE: u32 = 1;
    pub(crate) const CLUSTER: u32 = 2;
    /// Of the upstream host: empty until one is chosen.
    pub(crate) const HOST: u32 = 3;
    pub(crate) const HOST_LOCALITY: u32 = 4;
}

/// `filter_state_life_span`.
pub(crate) mod filter_state_life_span {
    pub(crate) const FILTER_CHAIN: u32 = 0;
    pub(crate) const REQUEST: u32 = 1;
    pub(crate) const CONNECTION: u32 = 2;
}

/// What `http_set_filter_state_value` shares with the upstream connection.
pub(crate) mod stream_sharing {
    pub(crate) const NONE: u32 = 0;
}

/// `metrics_result`.
pub(crate) mod metrics_result {
    pub(crate) const SUCCESS: u32 = 0;
    pub(crate) const METRIC_NOT_FOUND: u32 = 1;
    pub(crate) const INVALID_LABELS: u32 = 2;
    /// Defined outside of `http_filter_config_new`.
    pub(crate) const FROZEN: u32 = 3;
}

/// `attribute_id`: those that one of the three getters of an HTTP filter answers.
///
/// One getter alone ever succeeds for an id, named below. Where a version stands, older Envoys
/// answer false, as they do for every id they do not know.
pub(crate) mod attribute_id {
    // Strings.
    pub(crate) const REQUEST_PATH: u32 = 0;
    pub(crate) const REQUEST_URL_PATH: u32 = 1;
    pub(crate) const REQUEST_HOST: u32 = 2;
    pub(crate) const REQUEST_SCHEME: u32 = 3;
    pub(crate) const REQUEST_METHOD: u32 = 4;
    pub(crate) const REQUEST_REFERER: u32 = 6;
    pub(crate) const REQUEST_USER_AGENT: u32 = 7;
    pub(crate) const REQUEST_ID: u32 = 9;
    pub(crate) const REQUEST_PROTOCOL: u32 = 10;
    pub(crate) const REQUEST_QUERY: u32 = 11;
    /// 1.39.
    pub(crate) const RESPONSE_CODE_DETAILS: u32 = 16;
    /// `ip:port`.
    pub(crate) const SOURCE_ADDRESS: u32 = 24;
    /// `ip:port`.
    pub(crate) const DESTINATION_ADDRESS: u32 = 26;
    /// Needs the `tls_inspector` listener filter.
    pub(crate) const CONNECTION_REQUESTED_SERVER_NAME: u32 = 30;
    pub(crate) const CONNECTION_TLS_VERSION: u32 = 31;
    pub(crate) const CONNECTION_SUBJECT_LOCAL_CERTIFICATE: u32 = 32;
    pub(crate) const CONNECTION_SUBJECT_PEER_CERTIFICATE: u32 = 33;
    /// The first one, as in all SAN attributes.
    pub(crate) const CONNECTION_DNS_SAN_LOCAL_CERTIFICATE: u32 = 34;
    pub(crate) const CONNECTION_DNS_SAN_PEER_CERTIFICATE: u32 = 35;
    pub(crate) const CONNECTION_URI_SAN_LOCAL_CERTIFICATE: u32 = 36;
    pub(crate) const CONNECTION_URI_SAN_PEER_CERTIFICATE: u32 = 37;
    pub(crate) const CONNECTION_SHA256_PEER_CERTIFICATE_DIGEST: u32 = 38;
    /// Declared a string; never seen with a value.
    pub(crate) const CONNECTION_TRANSPORT_FAILURE_REASON: u32 = 39;
    /// Declared a string; never seen with a value.
    pub(crate) const CONNECTION_TERMINATION_DETAILS: u32 = 40;
    /// Once a host is chosen.
    pub(crate) const UPSTREAM_ADDRESS: u32 = 41;
    pub(crate) const UPSTREAM_TLS_VERSION: u32 = 43;
    pub(crate) const UPSTREAM_SUBJECT_LOCAL_CERTIFICATE: u32 = 44;
    pub(crate) const UPSTREAM_SUBJECT_PEER_CERTIFICATE: u32 = 45;
    pub(crate) const UPSTREAM_DNS_SAN_LOCAL_CERTIFICATE: u32 = 46;
    pub(crate) const UPSTREAM_DNS_SAN_PEER_CERTIFICATE: u32 = 47;
    pub(crate) const UPSTREAM_URI_SAN_LOCAL_CERTIFICATE: u32 = 48;
    pub(crate) const UPSTREAM_URI_SAN_PEER_CERTIFICATE: u32 = 49;
    pub(crate) const UPSTREAM_SHA256_PEER_CERTIFICATE_DIGEST: u32 = 50;
    /// 1.39.
    pub(crate) const UPSTREAM_LOCAL_ADDRESS: u32 = 51;
    pub(crate) const UPSTREAM_TRANSPORT_FAILURE_REASON: u32 = 52;
    /// 1.40; `http_get_cluster_name` is older.
    pub(crate) const XDS_CLUSTER_NAME: u32 = 57;
    pub(crate) const XDS_ROUTE_NAME: u32 = 61;
    /// 1.40.
    pub(crate) const XDS_VIRTUAL_HOST_NAME: u32 = 63;
    /// 1.40.
    pub(crate) const XDS_FILTER_CHAIN_NAME: u32 = 66;
    /// 1.40.
    pub(crate) const UPSTREAM_REQUESTED_SERVER_NAME: u32 = 68;
    /// 1.40.
    pub(crate) const XDS_VIRTUAL_CLUSTER_NAME: u32 = 69;
    /// 1.40.
    pub(crate) const UPSTREAM_PROTOCOL: u32 = 70;

    // Numbers.
    /// 1.40.
    pub(crate) const REQUEST_SIZE: u32 = 13;
    /// 1.40.
    pub(crate) const REQUEST_TOTAL_SIZE: u32 = 14;
    pub(crate) const RESPONSE_CODE: u32 = 15;
    /// 1.39. A mask of `1 << response_flag`.
    pub(crate) const RESPONSE_FLAGS: u32 = 17;
    /// 1.40. Derived from the HTTP status where the reply is not gRPC.
    pub(crate) const RESPONSE_GRPC_STATUS: u32 = 18;
    /// 1.39.
    pub(crate) const RESPONSE_SIZE: u32 = 21;
    /// 1.40.
    pub(crate) const RESPONSE_TOTAL_SIZE: u32 = 22;
    pub(crate) const SOURCE_PORT: u32 = 25;
    pub(crate) const DESTINATION_PORT: u32 = 27;
    pub(crate) const CONNECTION_ID: u32 = 28;
    pub(crate) const UPSTREAM_PORT: u32 = 42;
    /// 1.39.
    pub(crate) const UPSTREAM_REQUEST_ATTEMPT_COUNT: u32 = 53;
    /// 1.40. 1 inbound, 2 outbound.
    pub(crate) const XDS_LISTENER_DIRECTION: u32 = 59;

    // Booleans.
    /// TLS connections only.
    pub(crate) const CONNECTION_MTLS: u32 = 29;
    /// 1.39. Whether the request is a health check.
    pub(crate) const HEALTH_CHECK: u32 = 67;
}

// === callbacks ===

// Process: logging and start-up facts.
//
// `log` and `log_enabled` work on any thread; they speak to the logger `dynamic_modules`.
// `get_concurrency` and `is_validation_mode` are for the main thread: elsewhere they report an
// Envoy bug and return 0 and false.
unsafe extern "C" {
    pub(crate) fn envoy_dynamic_module_callback_log(level: u32, message: ModuleBuffer);
    pub(crate) fn envoy_dynamic_module_callback_log_enabled(level: u32) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_get_concurrency() -> u32;
    pub(crate) fn envoy_dynamic_module_callback_is_validation_mode() -> bool;
}

// Headers and trailers; `header_type` chooses the map, keys are case-insensitive.
//
// - Request headers exist from `http_filter_new` on, response headers from their hook on.
// - Trailers exist only when the peer sent some: they cannot be added to a message without.
// - An empty value cannot be set: `add` refuses it, `set` removes the header.
// - Values are not validated. A line break passes here and becomes a 503 later.
// - `content-length` does not follow edits of the body; correct it in the header hook.
unsafe extern "C" {
    /// Value number `index` of a header; `optional_size` (may be null) receives the count.
    pub(crate) fn envoy_dynamic_module_callback_http_get_header(
        filter: FilterEnvoyPtr,
        header_type: u32,
        key: ModuleBuffer,
        result: *mut EnvoyBuffer,
        index: usize,
        optional_size: *mut usize,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_get_headers_size(
        filter: FilterEnvoyPtr,
        header_type: u32,
    ) -> usize;
    /// Fills an array of `http_get_headers_size` entries; false where the map is absent.
    pub(crate) fn envoy_dynamic_module_callback_http_get_headers(
        filter: FilterEnvoyPtr,
        header_type: u32,
        result_headers: *mut EnvoyHttpHeader,
    ) -> bool;
    /// Appends a value (Envoy's header says that it replaces; it does not).
    pub(crate) fn envoy_dynamic_module_callback_http_add_header(
        filter: FilterEnvoyPtr,
        header_type: u32,
        key: ModuleBuffer,
        value: ModuleBuffer,
    ) -> bool;
    /// Replaces all values; removes the header where `value` is empty.
    pub(crate) fn envoy_dynamic_module_callback_http_set_header(
        filter: FilterEnvoyPtr,
        header_type: u32,
        key: ModuleBuffer,
        value: ModuleBuffer,
    ) -> bool;
}

// Local replies.
//
// - `details` shows as `%RESPONSE_CODE_DETAILS%`. No `:status`, no `content-length` in the array.
// - Calls `local_reply` before it returns and, outside of request hooks, `stream_complete`; up to
//   1.39 `destroy` as well. Hold no borrow of the stream's state across it.
// - After response headers went out it resets the stream instead.
// - Called in `stream_complete` it recurses until Envoy crashes.
unsafe extern "C" {
    pub(crate) fn envoy_dynamic_module_callback_http_send_response(
        filter: FilterEnvoyPtr,
        status_code: u32,
        headers: *mut ModuleHttpHeader,
        headers_size: usize,
        body: ModuleBuffer,
        details: ModuleBuffer,
    );
}

// Bodies; `body_type` chooses between the current chunk and what was held back.
//
// - Where `http_received_buffered_*_body` is true the two are the same bytes: count once.
// - The received body is there in body hooks alone. Edits of the buffered body are lost unless
//   this filter is, or in this hook was, stopped in that direction.
unsafe extern "C" {
    pub(crate) fn envoy_dynamic_module_callback_http_get_body_size(
        filter: FilterEnvoyPtr,
        body_type: u32,
    ) -> usize;
    pub(crate) fn envoy_dynamic_module_callback_http_get_body_chunks_size(
        filter: FilterEnvoyPtr,
        body_type: u32,
    ) -> usize;
    /// Fills an array of `http_get_body_chunks_size` entries.
    pub(crate) fn envoy_dynamic_module_callback_http_get_body_chunks(
        filter: FilterEnvoyPtr,
        body_type: u32,
        result: *mut EnvoyBuffer,
    ) -> bool;
    /// Copies `data` to the end.
    pub(crate) fn envoy_dynamic_module_callback_http_append_body(
        filter: FilterEnvoyPtr,
        body_type: u32,
        data: ModuleBuffer,
    ) -> bool;
    /// Removes from the front; more than there is means all.
    pub(crate) fn envoy_dynamic_module_callback_http_drain_body(
        filter: FilterEnvoyPtr,
        body_type: u32,
        number_of_bytes: usize,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_received_buffered_request_body(
        filter: FilterEnvoyPtr,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_received_buffered_response_body(
        filter: FilterEnvoyPtr,
    ) -> bool;
    /// In bytes; 0 is unlimited.
    pub(crate) fn envoy_dynamic_module_callback_http_get_buffer_limit(
        filter: FilterEnvoyPtr,
    ) -> u64;
    pub(crate) fn envoy_dynamic_module_callback_http_set_buffer_limit(
        filter: FilterEnvoyPtr,
        limit: u64,
    );
}

// Flow and stream control.
//
// - `continue_*` act only where the last hook of that direction returned a stop; never call one
//   from a hook of its own direction. They call this filter's later hooks before they return.
// - `continue_encoding` before response headers exist crashes Envoy.
// - `reset_stream` calls `stream_complete` before it returns.
unsafe extern "C" {
    pub(crate) fn envoy_dynamic_module_callback_http_filter_continue_decoding(
        filter: FilterEnvoyPtr,
    );
    pub(crate) fn envoy_dynamic_module_callback_http_filter_continue_encoding(
        filter: FilterEnvoyPtr,
    );
    /// `reason` is one of [`reset_reason`].
    pub(crate) fn envoy_dynamic_module_callback_http_filter_reset_stream(
        filter: FilterEnvoyPtr,
        reason: u32,
        details: ModuleBuffer,
    );
    /// Picks the route anew after edits of request headers.
    pub(crate) fn envoy_dynamic_module_callback_http_clear_route_cache(filter: FilterEnvoyPtr);
    /// Number of the stream's worker, from 0.
    pub(crate) fn envoy_dynamic_module_callback_http_filter_get_worker_index(
        filter: FilterEnvoyPtr,
    ) -> u32;
    /// What `http_filter_per_route_config_new` returned for the most specific level, or null.
    /// Valid while the stream holds the route: ask again after `clear_route_cache`.
    pub(crate) fn envoy_dynamic_module_callback_get_most_specific_route_config(
        filter: FilterEnvoyPtr,
    ) -> RouteConfigModulePtr;
}

// Attributes and the route's cluster; evaluated when asked, readable up to `stream_complete`.
unsafe extern "C" {
    pub(crate) fn envoy_dynamic_module_callback_http_filter_get_attribute_string(
        filter: FilterEnvoyPtr,
        attribute_id: u32,
        result: *mut EnvoyBuffer,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_get_attribute_int(
        filter: FilterEnvoyPtr,
        attribute_id: u32,
        result: *mut u64,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_get_attribute_bool(
        filter: FilterEnvoyPtr,
        attribute_id: u32,
        result: *mut bool,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_get_cluster_name(
        filter: FilterEnvoyPtr,
        result: *mut EnvoyBuffer,
    ) -> bool;
    /// Hosts of the route's cluster; false beyond its last priority. Each count may be null.
    pub(crate) fn envoy_dynamic_module_callback_http_get_cluster_host_count(
        filter: FilterEnvoyPtr,
        priority: u32,
        total: *mut usize,
        healthy: *mut usize,
        degraded: *mut usize,
    ) -> bool;
}

// Metadata: scalar values directly under a namespace; nested values cannot be read.
//
// Asking for the wrong type makes Envoy log an error, so do not probe for it. Keys are literal,
// not paths.
unsafe extern "C" {
    pub(crate) fn envoy_dynamic_module_callback_http_get_metadata_number(
        filter: FilterEnvoyPtr,
        source: u32,
        namespace: ModuleBuffer,
        key: ModuleBuffer,
        result: *mut f64,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_get_metadata_string(
        filter: FilterEnvoyPtr,
        source: u32,
        namespace: ModuleBuffer,
        key: ModuleBuffer,
        result: *mut EnvoyBuffer,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_get_metadata_bool(
        filter: FilterEnvoyPtr,
        source: u32,
        namespace: ModuleBuffer,
        key: ModuleBuffer,
        result: *mut bool,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_get_metadata_keys_count(
        filter: FilterEnvoyPtr,
        source: u32,
        namespace: ModuleBuffer,
    ) -> usize;
    /// Fills an array of `http_get_metadata_keys_count` entries, in no particular order.
    pub(crate) fn envoy_dynamic_module_callback_http_get_metadata_keys(
        filter: FilterEnvoyPtr,
        source: u32,
        namespace: ModuleBuffer,
        result: *mut EnvoyBuffer,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_get_metadata_namespaces_count(
        filter: FilterEnvoyPtr,
        source: u32,
    ) -> usize;
    /// Fills an array of `http_get_metadata_namespaces_count` entries.
    pub(crate) fn envoy_dynamic_module_callback_http_get_metadata_namespaces(
        filter: FilterEnvoyPtr,
        source: u32,
        result: *mut EnvoyBuffer,
    ) -> bool;
    /// False where there is no list; the one getter that never logs.
    pub(crate) fn envoy_dynamic_module_callback_http_get_metadata_list_size(
        filter: FilterEnvoyPtr,
        source: u32,
        namespace: ModuleBuffer,
        key: ModuleBuffer,
        result: *mut usize,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_get_metadata_list_number(
        filter: FilterEnvoyPtr,
        source: u32,
        namespace: ModuleBuffer,
        key: ModuleBuffer,
        index: usize,
        result: *mut f64,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_get_metadata_list_string(
        filter: FilterEnvoyPtr,
        source: u32,
        namespace: ModuleBuffer,
        key: ModuleBuffer,
        index: usize,
        result: *mut EnvoyBuffer,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_get_metadata_list_bool(
        filter: FilterEnvoyPtr,
        source: u32,
        namespace: ModuleBuffer,
        key: ModuleBuffer,
        index: usize,
        result: *mut bool,
    ) -> bool;
    /// Writes the stream's own (dynamic) metadata.
    pub(crate) fn envoy_dynamic_module_callback_http_set_dynamic_metadata_string(
        filter: FilterEnvoyPtr,
        namespace: ModuleBuffer,
        key: ModuleBuffer,
        value: ModuleBuffer,
    );
}

// Filter state: strings that live as long as the filter chain (lost on an internal redirect).
unsafe extern "C" {
    pub(crate) fn envoy_dynamic_module_callback_http_set_filter_state_bytes(
        filter: FilterEnvoyPtr,
        key: ModuleBuffer,
        value: ModuleBuffer,
    ) -> bool;
    /// Answers for string objects only.
    pub(crate) fn envoy_dynamic_module_callback_http_get_filter_state_bytes(
        filter: FilterEnvoyPtr,
        key: ModuleBuffer,
        result: *mut EnvoyBuffer,
    ) -> bool;
    /// Makes the kind of object that Envoy knows under `key`; false if it knows none.
    pub(crate) fn envoy_dynamic_module_callback_http_set_filter_state_typed(
        filter: FilterEnvoyPtr,
        key: ModuleBuffer,
        value: ModuleBuffer,
    ) -> bool;
    /// What an object serializes to. The next call may reuse the memory.
    pub(crate) fn envoy_dynamic_module_callback_http_get_filter_state_typed(
        filter: FilterEnvoyPtr,
        key: ModuleBuffer,
        result: *mut EnvoyBuffer,
    ) -> bool;
}

// Schedulers: the way for other threads to reach a stream or a configuration.
//
// Commits are delivered in order, one hook each, and do nothing once the stream or configuration
// is gone. Every scheduler must be deleted, also then.
unsafe extern "C" {
    /// On the stream's worker.
    pub(crate) fn envoy_dynamic_module_callback_http_filter_scheduler_new(
        filter: FilterEnvoyPtr,
    ) -> FilterSchedulerPtr;
    /// `http_filter_scheduled` follows on the stream's worker.
    pub(crate) fn envoy_dynamic_module_callback_http_filter_scheduler_commit(
        scheduler: FilterSchedulerPtr,
        event_id: u64,
    );
    pub(crate) fn envoy_dynamic_module_callback_http_filter_scheduler_delete(
        scheduler: FilterSchedulerPtr,
    );
    pub(crate) fn envoy_dynamic_module_callback_http_filter_config_scheduler_new(
        config: ConfigEnvoyPtr,
    ) -> ConfigSchedulerPtr;
    /// `http_filter_config_scheduled` follows on the main thread.
    pub(crate) fn envoy_dynamic_module_callback_http_filter_config_scheduler_commit(
        scheduler: ConfigSchedulerPtr,
        event_id: u64,
    );
    pub(crate) fn envoy_dynamic_module_callback_http_filter_config_scheduler_delete(
        scheduler: ConfigSchedulerPtr,
    );
}

// Callouts and streams to other clusters. The first three return a [`callout_init`].
//
// - The id is written on success alone; ids of callouts and streams share one counter.
// - The done hook never runs inside the starting call. With the stream that started it a callout is
//   cancelled silently.
// - Those of a configuration keep books that nothing guards: on the main thread only. Envoy itself
//   cancels them wherever the configuration ends, which crashes elsewhere: see `carried`.
unsafe extern "C" {
    /// A timeout of 0 milliseconds is none.
    pub(crate) fn envoy_dynamic_module_callback_http_filter_http_callout(
        filter: FilterEnvoyPtr,
        callout_id: *mut u64,
        cluster_name: ModuleBuffer,
        headers: *mut ModuleHttpHeader,
        headers_size: usize,
        body: ModuleBuffer,
        timeout_milliseconds: u64,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_start_http_stream(
        filter: FilterEnvoyPtr,
        stream_id: *mut u64,
        cluster_name: ModuleBuffer,
        headers: *mut ModuleHttpHeader,
        headers_size: usize,
        body: ModuleBuffer,
        end_stream: bool,
        timeout_milliseconds: u64,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_config_start_http_stream(
        config: ConfigEnvoyPtr,
        stream_id: *mut u64,
        cluster_name: ModuleBuffer,
        headers: *mut ModuleHttpHeader,
        headers_size: usize,
        body: ModuleBuffer,
        end_stream: bool,
        timeout_milliseconds: u64,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_http_stream_send_data(
        filter: FilterEnvoyPtr,
        stream_id: u64,
        data: ModuleBuffer,
        end_stream: bool,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_stream_send_trailers(
        filter: FilterEnvoyPtr,
        stream_id: u64,
        trailers: *mut ModuleHttpHeader,
        trailers_size: usize,
    ) -> bool;
    /// Calls `http_stream_reset` before it returns.
    pub(crate) fn envoy_dynamic_module_callback_http_filter_reset_http_stream(
        filter: FilterEnvoyPtr,
        stream_id: u64,
    );
    pub(crate) fn envoy_dynamic_module_callback_http_filter_config_stream_send_data(
        config: ConfigEnvoyPtr,
        stream_id: u64,
        data: ModuleBuffer,
        end_stream: bool,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_config_stream_send_trailers(
        config: ConfigEnvoyPtr,
        stream_id: u64,
        trailers: *mut ModuleHttpHeader,
        trailers_size: usize,
    ) -> bool;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_config_reset_http_stream(
        config: ConfigEnvoyPtr,
        stream_id: u64,
    );
}

// Metrics. All return a [`metrics_result`].
//
// - Defined in `http_filter_config_new` only. The stat is `<metrics_namespace>.<name>`.
// - Ids are counted per kind and per labelled or not: an id used with the wrong labelling can
//   reach another metric. Label arrays are null and 0 where there are none.
unsafe extern "C" {
    pub(crate) fn envoy_dynamic_module_callback_http_filter_config_define_counter(
        config: ConfigEnvoyPtr,
        name: ModuleBuffer,
        label_names: *mut ModuleBuffer,
        label_names_length: usize,
        counter_id: *mut usize,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_config_define_gauge(
        config: ConfigEnvoyPtr,
        name: ModuleBuffer,
        label_names: *mut ModuleBuffer,
        label_names_length: usize,
        gauge_id: *mut usize,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_config_define_histogram(
        config: ConfigEnvoyPtr,
        name: ModuleBuffer,
        label_names: *mut ModuleBuffer,
        label_names_length: usize,
        histogram_id: *mut usize,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_increment_counter(
        filter: FilterEnvoyPtr,
        id: usize,
        label_values: *mut ModuleBuffer,
        label_values_length: usize,
        value: u64,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_increment_gauge(
        filter: FilterEnvoyPtr,
        id: usize,
        label_values: *mut ModuleBuffer,
        label_values_length: usize,
        value: u64,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_decrement_gauge(
        filter: FilterEnvoyPtr,
        id: usize,
        label_values: *mut ModuleBuffer,
        label_values_length: usize,
        value: u64,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_set_gauge(
        filter: FilterEnvoyPtr,
        id: usize,
        label_values: *mut ModuleBuffer,
        label_values_length: usize,
        value: u64,
    ) -> u32;
    pub(crate) fn envoy_dynamic_module_callback_http_filter_record_histogram_value(
        filter: FilterEnvoyPtr,
        id: usize,
        label_values: *mut ModuleBuffer,
        label_values_length: usize,
        value: u64,
    ) -> u32;
}

// The bootstrap extension; on the main thread unless said otherwise.
unsafe extern "C" {
    /// Lets Envoy's initialisation go on; exactly once.
    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_config_signal_init_complete(
        config: BootstrapEnvoyPtr,
    );
    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_config_scheduler_new(
        config: BootstrapEnvoyPtr,
    ) -> BootstrapSchedulerPtr;
    /// Any thread.
    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_config_scheduler_commit(
        scheduler: BootstrapSchedulerPtr,
        event: u64,
    );
    /// Any thread.
    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_config_scheduler_delete(
        scheduler: BootstrapSchedulerPtr,
    );
    /// False where the path is taken, or the admin interface is off.
    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_register_admin_handler(
        config: BootstrapEnvoyPtr,
        path: ModuleBuffer,
        help: ModuleBuffer,
        removable: bool,
        mutates_server_state: bool,
    ) -> bool;
    /// In `bootstrap_extension_admin_request` alone; the body is copied.
    pub(crate) fn envoy_dynamic_module_callback_bootstrap_extension_admin_set_response(
        config: BootstrapEnvoyPtr,
        body: ModuleBuffer,
    );
}
