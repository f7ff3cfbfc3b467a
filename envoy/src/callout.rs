//! Calls to other clusters, carried by a stream or by a filter configuration.

use std::slice;

use wasmplugin_host::proxy_wasm::{CallError, CallEvent, CallRef, Callouts, Fields, Response};

use crate::abi::*;
use crate::host::{EnvoyStream, bytes};

impl Callouts for EnvoyStream {
    fn http_call(&mut self, call: &CallRef<'_>) -> Result<u64, CallError> {
        let filter = self.filter();
        start(call, |id, cluster, headers, body, timeout| {
            // SAFETY: see `EnvoyStream::new`; Envoy copies everything before it returns.
            unsafe {
                envoy_dynamic_module_callback_http_filter_http_callout(
                    filter,
                    id,
                    cluster,
                    headers.as_mut_ptr(),
                    headers.len(),
                    body,
                    timeout,
                )
            }
        })
    }

    fn has_cluster(&mut self, name: &[u8]) -> bool {
        let mut id = 0;
        // A request without headers is never sent, but Envoy looks for the cluster first.
        // SAFETY: see `EnvoyStream::new`.
        let result = unsafe {
            envoy_dynamic_module_callback_http_filter_start_http_stream(
                self.filter(),
                &raw mut id,
                ModuleBuffer::new(name),
                std::ptr::null_mut(),
                0,
                ModuleBuffer::EMPTY,
                true,
                0,
            )
        };
        result != callout_init::CLUSTER_NOT_FOUND
    }
}

/// Calls of a filter configuration.
#[derive(Debug)]
pub(crate) struct ConfigCallouts(ConfigEnvoyPtr);

// SAFETY: it is lent to instances, which may move between threads, but only for calls that are made
// on the main thread.
unsafe impl Send for ConfigCallouts {}

impl ConfigCallouts {
    /// The calls of `config`.
    ///
    /// # Safety
    ///
    /// Used on the main thread, during a hook of `config`.
    pub(crate) unsafe fn new(config: ConfigEnvoyPtr) -> Self {
        Self(config)
    }
}

impl Callouts for ConfigCallouts {
    fn http_call(&mut self, call: &CallRef<'_>) -> Result<u64, CallError> {
        let config = self.0;
        start(call, |id, cluster, headers, body, timeout| {
            // SAFETY: see `ConfigCallouts::new`; Envoy copies everything before it returns.
            unsafe {
                envoy_dynamic_module_callback_http_filter_config_http_callout(
                    config,
                    id,
                    cluster,
                    headers.as_mut_ptr(),
                    headers.len(),
                    body,
                    timeout,
                )
            }
        })
    }
}

fn start(
    call: &CallRef<'_>,
    callback: impl FnOnce(*mut u64, ModuleBuffer, &mut [ModuleHttpHeader], ModuleBuffer, u64) -> u32,
) -> Result<u64, CallError> {
    let header = |(name, value): &(&[u8], &[u8])| ModuleHttpHeader::new(name, value);
    let mut headers: Vec<_> = call.headers.iter().map(header).collect();
    let mut id = 0;
    let result = callback(
        &raw mut id,
        ModuleBuffer::new(call.cluster),
        &mut headers,
        ModuleBuffer::new(call.body),
        call.timeout.into(),
    );
    match result {
        callout_init::SUCCESS => Ok(id),
        callout_init::MISSING_REQUIRED_HEADERS => Err(CallError::MissingHeaders),
        callout_init::CLUSTER_NOT_FOUND => Err(CallError::ClusterNotFound),
        _ => Err(CallError::Unavailable),
    }
}

/// What a done hook says.
///
/// # Safety
///
/// The arguments of the running hook.
pub(crate) unsafe fn event(
    result: u32,
    headers: *const EnvoyHttpHeader,
    headers_size: usize,
    chunks: *const EnvoyBuffer,
    chunks_size: usize,
) -> CallEvent {
    if result != callout_result::SUCCESS {
        return CallEvent::Lost;
    }
    // SAFETY: the caller's word: Envoy's arrays and what they point to live during the hook.
    unsafe {
        CallEvent::Response(Response {
            headers: fields(headers, headers_size),
            body: array(chunks, chunks_size)
                .iter()
                .flat_map(|chunk| bytes(chunk.ptr, chunk.length))
                .copied()
                .collect(),
            trailers: Fields::new(),
        })
    }
}

/// Copies Envoy's headers.
///
/// # Safety
///
/// `len` headers live at `headers`, and what they point to.
pub(crate) unsafe fn fields(headers: *const EnvoyHttpHeader, len: usize) -> Fields {
    // SAFETY: the caller's word.
    unsafe {
        let own = |header: &EnvoyHttpHeader| {
            (
                bytes(header.key_ptr, header.key_length).to_vec(),
                bytes(header.value_ptr, header.value_length).to_vec(),
            )
        };
        array(headers, len).iter().map(own).collect()
    }
}

/// Envoy's array.
///
/// # Safety
///
/// `len` entries live at `first` as long as the result is used, or `len` is 0.
unsafe fn array<'a, T>(first: *const T, len: usize) -> &'a [T] {
    if len == 0 || first.is_null() {
        return &[];
    }
    // SAFETY: the caller's word.
    unsafe { slice::from_raw_parts(first, len) }
}
