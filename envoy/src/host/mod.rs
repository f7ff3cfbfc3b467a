//! One stream, on Envoy's side.

mod attribute;
mod filter_state;
mod metadata;

use std::ptr;
use std::slice;
use std::time::SystemTime;

use smallvec::{SmallVec, smallvec};
use wasmplugin_host::proxy_wasm::{Bodies, Direction, Headers, Map, Reply};

use crate::abi::*;
use crate::lookup::Callbacks;

/// Entries of a header map, and slices of a body, that are listed without allocation.
const USUAL: usize = 64;

/// A stream of Envoy's. Used on the stream's worker, within its hooks, while it lives.
#[derive(Debug)]
pub(crate) struct EnvoyStream {
    filter: FilterEnvoyPtr,
    /// When we saw it first; only where Envoy cannot say when it began.
    seen: Option<SystemTime>,
}

// SAFETY: it moves between threads only inside an idle exchange; every method is called in a hook
// of the stream, which Envoy runs on the stream's worker.
unsafe impl Send for EnvoyStream {}

impl EnvoyStream {
    /// The stream of `filter`.
    ///
    /// # Safety
    ///
    /// `filter` is what Envoy passed to `http_filter_new`, and what is made here is used in hooks
    /// of that stream alone, none later than `http_filter_stream_complete`.
    pub(crate) unsafe fn new(filter: FilterEnvoyPtr) -> Self {
        let is_timed = Callbacks::get().http_get_timing_info.is_some();
        Self {
            filter,
            seen: (!is_timed).then(SystemTime::now),
        }
    }

    /// What Envoy knows the stream by.
    pub(crate) const fn filter(&self) -> FilterEnvoyPtr {
        self.filter
    }

    fn size(&self, body: u32) -> usize {
        // SAFETY: see `EnvoyStream::new`.
        unsafe { envoy_dynamic_module_callback_http_get_body_size(self.filter, body) }
    }

    /// The bodies of a direction, in order, as far as they are apart, and their sizes.
    fn parts(&self, direction: Direction) -> [Option<(u32, usize)>; 2] {
        let (buffered, received) = body_types(direction);
        let (held, new) = (self.size(buffered), self.size(received));
        let is_one = held > 0 && new > 0 && {
            // SAFETY: see `EnvoyStream::new`.
            unsafe {
                match direction {
                    Direction::Request => {
                        envoy_dynamic_module_callback_http_received_buffered_request_body(
                            self.filter,
                        )
                    }
                    Direction::Response => {
                        envoy_dynamic_module_callback_http_received_buffered_response_body(
                            self.filter,
                        )
                    }
                }
            }
        };
        [
            (held > 0).then_some((buffered, held)),
            (new > 0 && !is_one).then_some((received, new)),
        ]
    }

    /// Calls `visit` with each slice of a body until it says that it has enough.
    fn visit_body(&self, body: u32, visit: &mut dyn FnMut(&[u8]) -> bool) {
        // SAFETY: see `EnvoyStream::new`.
        let count =
            unsafe { envoy_dynamic_module_callback_http_get_body_chunks_size(self.filter, body) };
        let fill = |chunks: &mut [EnvoyBuffer]| {
            // SAFETY: see `EnvoyStream::new`; Envoy fills as many entries as it just counted.
            unsafe {
                envoy_dynamic_module_callback_http_get_body_chunks(
                    self.filter,
                    body,
                    chunks.as_mut_ptr(),
                )
            }
        };
        with_array(count, EnvoyBuffer::EMPTY, fill, |chunks| {
            for chunk in chunks {
                // SAFETY: Envoy's slices live until the body is changed, which takes `&mut self`.
                let bytes = unsafe { bytes(chunk.ptr, chunk.length) };
                if !visit(bytes) {
                    break;
                }
            }
        });
    }

    fn drain(&mut self, body: u32) {
        // SAFETY: see `EnvoyStream::new`.
        unsafe {
            envoy_dynamic_module_callback_http_drain_body(self.filter, body, usize::MAX);
        }
    }

    /// Appends to what has just arrived, or outside of body hooks to what is held.
    fn append(&mut self, direction: Direction, data: &[u8]) {
        if data.is_empty() {
            return;
        }
        let (buffered, received) = body_types(direction);
        for body in [received, buffered] {
            // SAFETY: see `EnvoyStream::new`; Envoy copies the data.
            let appended = unsafe {
                envoy_dynamic_module_callback_http_append_body(
                    self.filter,
                    body,
                    ModuleBuffer::new(data),
                )
            };
            if appended {
                return;
            }
        }
    }
}

// === what chain and guests ask for ===

impl Headers for EnvoyStream {
    fn header(&self, map: Map, name: &[u8]) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: see `EnvoyStream::new`; the name is read during the call.
        let found = unsafe {
            envoy_dynamic_module_callback_http_get_header(
                self.filter,
                map_type(map),
                ModuleBuffer::new(name),
                &raw mut value,
                0,
                ptr::null_mut(),
            )
        };
        // SAFETY: the value lives until the map is changed, which takes `&mut self`.
        found.then(|| unsafe { bytes(value.ptr, value.length) })
    }

    fn header_count(&self, map: Map) -> usize {
        // SAFETY: see `EnvoyStream::new`.
        unsafe { envoy_dynamic_module_callback_http_get_headers_size(self.filter, map_type(map)) }
    }

    fn visit_headers(&self, map: Map, visit: &mut dyn FnMut(&[u8], &[u8])) {
        let fill = |headers: &mut [EnvoyHttpHeader]| {
            // SAFETY: see `EnvoyStream::new`; Envoy fills as many entries as it just counted.
            unsafe {
                envoy_dynamic_module_callback_http_get_headers(
                    self.filter,
                    map_type(map),
                    headers.as_mut_ptr(),
                )
            }
        };
        let count = self.header_count(map);
        with_array(count, EnvoyHttpHeader::EMPTY, fill, |headers| {
            for header in headers {
                // SAFETY: names and values live until the map is changed, which takes `&mut self`.
                let (name, value) = unsafe {
                    (
                        bytes(header.key_ptr, header.key_length),
                        bytes(header.value_ptr, header.value_length),
                    )
                };
                visit(name, value);
            }
        });
    }

    fn add_header(&mut self, map: Map, name: &[u8], value: &[u8]) {
        // SAFETY: see `EnvoyStream::new`; Envoy copies both.
        unsafe {
            envoy_dynamic_module_callback_http_add_header(
                self.filter,
                map_type(map),
                ModuleBuffer::new(name),
                ModuleBuffer::new(value),
            );
        }
    }

    fn set_header(&mut self, map: Map, name: &[u8], value: &[u8]) {
        // SAFETY: see `EnvoyStream::new`; Envoy copies both.
        unsafe {
            envoy_dynamic_module_callback_http_set_header(
                self.filter,
                map_type(map),
                ModuleBuffer::new(name),
                ModuleBuffer::new(value),
            );
        }
    }

    fn remove_header(&mut self, map: Map, name: &[u8]) {
        // To set nothing is to remove.
        self.set_header(map, name, &[]);
    }
}

impl Bodies for EnvoyStream {
    fn body_len(&self, direction: Direction) -> usize {
        let parts = self.parts(direction).into_iter().flatten();
        parts.map(|(_, size)| size).sum()
    }

    fn read_body(&self, direction: Direction, start: usize, out: &mut [u8]) {
        let (mut skip, mut out) = (start, out);
        for (body, _) in self.parts(direction).into_iter().flatten() {
            self.visit_body(body, &mut |chunk| {
                let Some(chunk) = chunk.get(skip..) else {
                    skip -= chunk.len();
                    return true;
                };
                skip = 0;
                let len = chunk.len().min(out.len());
                let (head, rest) = std::mem::take(&mut out).split_at_mut(len);
                head.copy_from_slice(chunk.get(..len).unwrap_or_default());
                out = rest;
                !out.is_empty()
            });
        }
    }

    fn splice_body(&mut self, direction: Direction, start: usize, remove: usize, insert: &[u8]) {
        let len = self.body_len(direction);
        if remove == 0 && start >= len {
            self.append(direction, insert);
            return;
        }
        // Envoy takes from the front and adds to the end, so what stays is put back.
        let after = start.saturating_add(remove).min(len);
        let mut head = vec![0; start.min(len)];
        let mut tail = vec![0; len - after];
        self.read_body(direction, 0, &mut head);
        self.read_body(direction, after, &mut tail);
        let (buffered, received) = body_types(direction);
        self.drain(buffered);
        self.drain(received);
        self.append(direction, &head);
        self.append(direction, insert);
        self.append(direction, &tail);
    }

    fn buffer_limit(&self) -> usize {
        // SAFETY: see `EnvoyStream::new`.
        let limit = unsafe { envoy_dynamic_module_callback_http_get_buffer_limit(self.filter) };
        match usize::try_from(limit) {
            // Without a limit.
            Ok(0) | Err(_) => usize::MAX,
            Ok(limit) => limit,
        }
    }
}

// === what the chain wants done; all of it may call other hooks of the stream ===

/// Answers the stream.
///
/// # Safety
///
/// In a hook of `filter` on its worker, other than `http_filter_stream_complete`, and with no
/// borrow of anything that its hooks use.
pub(crate) unsafe fn send_response(filter: FilterEnvoyPtr, reply: &Reply) {
    let header = |(name, value): &(Vec<u8>, Vec<u8>)| ModuleHttpHeader::new(name, value);
    let mut headers: Vec<_> = reply.headers.iter().map(header).collect();
    // SAFETY: the caller's word; Envoy copies everything before it returns.
    unsafe {
        envoy_dynamic_module_callback_http_send_response(
            filter,
            reply.status,
            headers.as_mut_ptr(),
            headers.len(),
            ModuleBuffer::new(&reply.body),
            ModuleBuffer::new(&reply.details),
        );
    }
}

// === Envoy's names and numbers ===

const fn map_type(map: Map) -> u32 {
    match map {
        Map::RequestHeaders => header_type::REQUEST_HEADER,
        Map::RequestTrailers => header_type::REQUEST_TRAILER,
        Map::ResponseHeaders => header_type::RESPONSE_HEADER,
        Map::ResponseTrailers => header_type::RESPONSE_TRAILER,
    }
}

/// What was held back, and what has just arrived.
const fn body_types(direction: Direction) -> (u32, u32) {
    match direction {
        Direction::Request => (body_type::BUFFERED_REQUEST, body_type::RECEIVED_REQUEST),
        Direction::Response => (body_type::BUFFERED_RESPONSE, body_type::RECEIVED_RESPONSE),
    }
}

// === arrays that Envoy fills ===

/// Has an array of `count` entries filled, on the stack where it is of a usual size, and shows it
/// if Envoy did.
fn with_array<T: Copy>(
    count: usize,
    empty: T,
    fill: impl FnOnce(&mut [T]) -> bool,
    show: impl FnOnce(&[T]),
) {
    if count == 0 {
        return;
    }
    let mut array: SmallVec<[T; USUAL]> = smallvec![empty; count];
    if fill(&mut array) {
        show(&array);
    }
}

/// Envoy's bytes.
///
/// # Safety
///
/// `len` bytes live at `ptr` as long as the result is used, or `len` is 0.
pub(crate) unsafe fn bytes<'a>(ptr: *const u8, len: usize) -> &'a [u8] {
    if len == 0 || ptr.is_null() {
        return &[];
    }
    // SAFETY: the caller's word.
    unsafe { slice::from_raw_parts(ptr, len) }
}
