//! Calls to other clusters, carried by a stream or by a filter configuration.

use std::cell::RefCell;
use std::collections::HashSet;
use std::slice;
use std::sync::Arc;

use wasmplugin_host::proxy_wasm::{
    CallError, CallEvent, CallKind, CallRef, Callouts, Fields, Pair, Response,
};

use crate::abi::*;
use crate::carried::Carried;
use crate::host::{EnvoyStream, bytes};

/// Who carries calls: Envoy has each callback twice.
///
/// Made and used in hooks of the stream or configuration; of a configuration on the main thread
/// alone. Envoy copies whatever it is given before it returns.
#[derive(Clone, Copy, Debug)]
enum Target {
    Stream(FilterEnvoyPtr),
    Config(ConfigEnvoyPtr),
}

impl Target {
    fn call(self, call: &CallRef<'_>) -> Result<u64, CallError> {
        let result = self.send_call(call);
        note(call.cluster, &result);
        result
    }

    fn send_call(self, call: &CallRef<'_>) -> Result<u64, CallError> {
        let mut headers = headers(call.headers);
        let end = match call.kind {
            CallKind::Whole => call.trailers.is_empty(),
            CallKind::Stream { end } => end,
        };
        let id = match (self, call.kind) {
            // One of a configuration could not be taken back: see `Carried`.
            (Self::Stream(filter), CallKind::Whole) if end => callout(filter, call, &mut headers)?,
            _ => self.stream(call, &mut headers, end)?,
        };
        if !call.trailers.is_empty() {
            self.send_trailers(id, call.trailers);
        }
        Ok(id)
    }

    fn stream(
        self,
        call: &CallRef<'_>,
        headers: &mut [ModuleHttpHeader],
        end: bool,
    ) -> Result<u64, CallError> {
        let mut id = 0;
        let (cluster, body) = (
            ModuleBuffer::new(call.cluster),
            ModuleBuffer::new(call.body),
        );
        let (array, count, timeout) = (headers.as_mut_ptr(), headers.len(), call.timeout.into());
        // SAFETY: see `Target`.
        let result = unsafe {
            match self {
                Self::Stream(filter) => {
                    envoy_dynamic_module_callback_http_filter_start_http_stream(
                        filter,
                        &raw mut id,
                        cluster,
                        array,
                        count,
                        body,
                        end,
                        timeout,
                    )
                }
                Self::Config(config) => {
                    envoy_dynamic_module_callback_http_filter_config_start_http_stream(
                        config,
                        &raw mut id,
                        cluster,
                        array,
                        count,
                        body,
                        end,
                        timeout,
                    )
                }
            }
        };
        started(result, id)
    }

    fn send(self, id: u64, data: &[u8], end: bool) -> bool {
        let data = ModuleBuffer::new(data);
        // SAFETY: see `Target`; an id that is dead is refused.
        unsafe {
            match self {
                Self::Stream(filter) => {
                    envoy_dynamic_module_callback_http_stream_send_data(filter, id, data, end)
                }
                Self::Config(config) => {
                    envoy_dynamic_module_callback_http_filter_config_stream_send_data(
                        config, id, data, end,
                    )
                }
            }
        }
    }

    fn send_trailers(self, id: u64, trailers: &[Pair<'_>]) {
        let mut trailers = headers(trailers);
        let (array, count) = (trailers.as_mut_ptr(), trailers.len());
        // SAFETY: see `Target`; an id that is dead is refused.
        unsafe {
            match self {
                Self::Stream(filter) => {
                    envoy_dynamic_module_callback_http_stream_send_trailers(
                        filter, id, array, count,
                    );
                }
                Self::Config(config) => {
                    envoy_dynamic_module_callback_http_filter_config_stream_send_trailers(
                        config, id, array, count,
                    );
                }
            }
        }
    }

    fn reset(self, id: u64) {
        // SAFETY: see `Target`; an id that is dead is ignored.
        unsafe {
            match self {
                Self::Stream(filter) => {
                    envoy_dynamic_module_callback_http_filter_reset_http_stream(filter, id);
                }
                Self::Config(config) => {
                    envoy_dynamic_module_callback_http_filter_config_reset_http_stream(config, id);
                }
            }
        }
    }

    /// Whether a call to `cluster` can be sent.
    ///
    /// Envoy tells modules of no cluster but the route's, so this begins a request and gives it up
    /// at once: Envoy has picked a host by then, and perhaps opened a connection, which the call
    /// will use. Only where nothing was sent to the cluster before.
    fn check(self, cluster: &[u8]) -> Result<(), CallError> {
        // A request without headers is never begun, but the cluster is looked for first.
        let none = self.probe(cluster, &[]);
        if none == Err(CallError::ClusterNotFound) || is_reachable(cluster) {
            return match none {
                Err(CallError::MissingHeaders) => Ok(()),
                result => result,
            };
        }
        self.probe(
            cluster,
            &[
                (b":method", b"GET"),
                (b":path", b"/"),
                (b":authority", cluster),
            ],
        )
    }

    fn probe(self, cluster: &[u8], headers: &[Pair<'_>]) -> Result<(), CallError> {
        let id = self.call(&CallRef {
            kind: CallKind::Stream { end: false },
            cluster,
            headers,
            body: &[],
            trailers: &[],
            timeout: 0,
        })?;
        self.reset(id);
        Ok(())
    }
}

/// A call of the stream `filter` that is sent whole, and whose answer comes whole.
fn callout(
    filter: FilterEnvoyPtr,
    call: &CallRef<'_>,
    headers: &mut [ModuleHttpHeader],
) -> Result<u64, CallError> {
    let mut id = 0;
    // SAFETY: see `Target`.
    let result = unsafe {
        envoy_dynamic_module_callback_http_filter_http_callout(
            filter,
            &raw mut id,
            ModuleBuffer::new(call.cluster),
            headers.as_mut_ptr(),
            headers.len(),
            ModuleBuffer::new(call.body),
            call.timeout.into(),
        )
    };
    started(result, id)
}

thread_local! {
    /// The clusters to which the last request from this thread was sent.
    static REACHABLE: RefCell<HashSet<Box<[u8]>>> = RefCell::default();
}

fn is_reachable(cluster: &[u8]) -> bool {
    REACHABLE.with_borrow(|reachable| reachable.contains(cluster))
}

/// Takes note of how it went.
fn note(cluster: &[u8], result: &Result<u64, CallError>) {
    REACHABLE.with_borrow_mut(|reachable| match result {
        Ok(_) if reachable.contains(cluster) => {}
        Ok(_) => {
            reachable.insert(cluster.into());
        }
        Err(CallError::MissingHeaders) => {}
        Err(CallError::ClusterNotFound | CallError::Unavailable) => {
            reachable.remove(cluster);
        }
    });
}

fn headers(pairs: &[Pair<'_>]) -> Vec<ModuleHttpHeader> {
    let header = |(name, value): &Pair<'_>| ModuleHttpHeader::new(name, value);
    pairs.iter().map(header).collect()
}

const fn started(result: u32, id: u64) -> Result<u64, CallError> {
    match result {
        callout_init::SUCCESS => Ok(id),
        callout_init::MISSING_REQUIRED_HEADERS => Err(CallError::MissingHeaders),
        callout_init::CLUSTER_NOT_FOUND => Err(CallError::ClusterNotFound),
        _ => Err(CallError::Unavailable),
    }
}

impl Callouts for EnvoyStream {
    fn call(&mut self, call: &CallRef<'_>) -> Result<u64, CallError> {
        Target::Stream(self.filter()).call(call)
    }

    fn send(&mut self, id: u64, data: &[u8], end: bool) -> bool {
        Target::Stream(self.filter()).send(id, data, end)
    }

    fn reset(&mut self, id: u64) {
        Target::Stream(self.filter()).reset(id);
    }

    fn check(&mut self, cluster: &[u8]) -> Result<(), CallError> {
        Target::Stream(self.filter()).check(cluster)
    }
}

/// Resets a call that the stream carries.
///
/// # Safety
///
/// In a hook of `filter`, with no borrow of anything that its hooks use.
pub(crate) unsafe fn reset(filter: FilterEnvoyPtr, id: u64) {
    Target::Stream(filter).reset(id);
}

/// Resets a call that the configuration carries.
///
/// # Safety
///
/// On the main thread, as long as `config` lives.
pub(crate) unsafe fn reset_carried(config: ConfigEnvoyPtr, id: u64) {
    Target::Config(config).reset(id);
}

/// Calls of a filter configuration.
#[derive(Debug)]
pub(crate) struct ConfigCallouts(Arc<Carried>);

impl ConfigCallouts {
    /// The calls of a configuration.
    ///
    /// # Safety
    ///
    /// Used on the main thread, during a hook of that configuration.
    pub(crate) unsafe fn new(carried: &Arc<Carried>) -> Self {
        Self(Arc::clone(carried))
    }

    fn target(&self) -> Target {
        Target::Config(self.0.config())
    }
}

impl Callouts for ConfigCallouts {
    fn call(&mut self, call: &CallRef<'_>) -> Result<u64, CallError> {
        let id = self.target().call(call)?;
        self.0.add(id);
        Ok(id)
    }

    fn send(&mut self, id: u64, data: &[u8], end: bool) -> bool {
        self.target().send(id, data, end)
    }

    fn reset(&mut self, id: u64) {
        self.target().reset(id);
    }

    fn check(&mut self, cluster: &[u8]) -> Result<(), CallError> {
        self.target().check(cluster)
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
            body: joined(chunks, chunks_size),
            trailers: Fields::new(),
        })
    }
}

/// Copies the slices of a body.
///
/// # Safety
///
/// `len` slices live at `chunks`, and what they point to.
pub(crate) unsafe fn joined(chunks: *const EnvoyBuffer, len: usize) -> Vec<u8> {
    // SAFETY: the caller's word.
    unsafe {
        let chunks = array(chunks, len).iter();
        let bytes = chunks.flat_map(|chunk| bytes(chunk.ptr, chunk.length));
        bytes.copied().collect()
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
