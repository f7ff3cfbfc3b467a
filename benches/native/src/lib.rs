//! The work of `benches/guest` as a dynamic module without WebAssembly: what a plugin costs that
//! Envoy calls directly, which is the least that any host can reach.
//!
//! It calls Envoy as often as the guest calls its host, and copies what the guest gets copied where
//! native code would, too: nowhere but for the body that it rewrites.

#![allow(
    unsafe_code,
    reason = "the module is nothing but calls of Envoy's C functions"
)]

#[path = "../../../envoy/src/abi.rs"]
mod abi;

use std::ffi::c_void;
use std::ptr;
use std::slice;

use abi::*;

/// What is done with each stream; the word in the filter's configuration.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Work {
    Nothing,
    Headers,
    Read,
    Rewrite,
    Callout,
}

/// A stream. It needs a place of its own, as one of a real filter does.
struct Stream {
    filter: FilterEnvoyPtr,
    work: Work,
}

/// Envoy's bytes, during the call.
unsafe fn bytes<'a>(buffer: EnvoyBuffer) -> &'a [u8] {
    if buffer.length == 0 || buffer.ptr.is_null() {
        return &[];
    }
    // SAFETY: Envoy's word for as long as the hook runs that got or asked for them.
    unsafe { slice::from_raw_parts(buffer.ptr, buffer.length) }
}

/// The stream behind Envoy's pointer.
unsafe fn stream<'a>(pointer: FilterModulePtr) -> &'a Stream {
    // SAFETY: what `http_filter_new` returned, which lives until `http_filter_destroy`.
    unsafe { &*pointer.cast::<Stream>() }
}

impl Stream {
    fn header(&self, map: u32, name: &[u8]) -> Option<&[u8]> {
        let mut value = EnvoyBuffer::EMPTY;
        // SAFETY: in a hook of this stream; the value lives until the map changes.
        unsafe {
            envoy_dynamic_module_callback_http_get_header(
                self.filter,
                map,
                ModuleBuffer::new(name),
                &raw mut value,
                0,
                ptr::null_mut(),
            )
            .then(|| bytes(value))
        }
    }

    fn set_header(&self, map: u32, name: &[u8], value: &[u8]) {
        // SAFETY: in a hook of this stream; Envoy copies both.
        unsafe {
            envoy_dynamic_module_callback_http_set_header(
                self.filter,
                map,
                ModuleBuffer::new(name),
                ModuleBuffer::new(value),
            );
        }
    }

    /// The slices of the response's body in this hook.
    fn body(&self) -> Vec<EnvoyBuffer> {
        let received = body_type::RECEIVED_RESPONSE;
        // SAFETY: in a body hook of this stream; Envoy fills as many as it just counted.
        unsafe {
            let count =
                envoy_dynamic_module_callback_http_get_body_chunks_size(self.filter, received);
            let mut chunks = vec![EnvoyBuffer::EMPTY; count];
            envoy_dynamic_module_callback_http_get_body_chunks(
                self.filter,
                received,
                chunks.as_mut_ptr(),
            );
            chunks
        }
    }

    fn on_request_headers(&self) -> u32 {
        let map = header_type::REQUEST_HEADER;
        match self.work {
            Work::Headers => {
                let path = self.header(map, b":path").unwrap_or_default().to_vec();
                let agent = self.header(map, b"user-agent").is_some();
                let key = self.header(map, b"x-api-key").is_some();
                self.set_header(map, b"x-user", if key { b"alice" } else { b"nobody" });
                self.set_header(map, b"x-original-path", if agent { &path } else { b"none" });
                headers_status::CONTINUE
            }
            Work::Callout => {
                let mut headers = [
                    ModuleHttpHeader::new(b":method", b"GET"),
                    ModuleHttpHeader::new(b":path", b"/check"),
                    ModuleHttpHeader::new(b":authority", b"callout"),
                ];
                let mut id = 0;
                // SAFETY: in a hook of this stream; Envoy copies everything.
                let result = unsafe {
                    envoy_dynamic_module_callback_http_filter_http_callout(
                        self.filter,
                        &raw mut id,
                        ModuleBuffer::new(b"callout"),
                        headers.as_mut_ptr(),
                        headers.len(),
                        ModuleBuffer::EMPTY,
                        5000,
                    )
                };
                if result == callout_init::SUCCESS {
                    headers_status::STOP_ALL_ITERATION_AND_WATERMARK
                } else {
                    headers_status::CONTINUE
                }
            }
            Work::Nothing | Work::Read | Work::Rewrite => headers_status::CONTINUE,
        }
    }

    fn on_response_headers(&self) -> u32 {
        let map = header_type::RESPONSE_HEADER;
        if self.work == Work::Headers {
            self.set_header(map, b"x-frame-options", b"DENY");
            self.set_header(map, b"x-content-type-options", b"nosniff");
        }
        headers_status::CONTINUE
    }

    fn on_response_body(&self, end: bool) -> u32 {
        if !matches!(self.work, Work::Read | Work::Rewrite) {
            return body_status::CONTINUE;
        }
        if !end {
            return body_status::STOP_ITERATION_AND_BUFFER;
        }
        let chunks = self.body();
        let mut body = Vec::with_capacity(chunks.iter().map(|chunk| chunk.length).sum());
        for chunk in chunks {
            // SAFETY: a slice of this hook, read before the body changes.
            body.extend_from_slice(unsafe { bytes(chunk) });
        }
        if self.work == Work::Rewrite {
            if let Some(start) = body.first_chunk_mut() {
                *start = *b"seen";
            }
            // SAFETY: in a body hook of this stream; Envoy copies the data.
            unsafe {
                envoy_dynamic_module_callback_http_drain_body(
                    self.filter,
                    body_type::RECEIVED_RESPONSE,
                    usize::MAX,
                );
                envoy_dynamic_module_callback_http_append_body(
                    self.filter,
                    body_type::RECEIVED_RESPONSE,
                    ModuleBuffer::new(&body),
                );
            }
        } else if body.first() == Some(&0) {
            // Never; so that the bytes are used.
            return body_status::STOP_ITERATION_AND_BUFFER;
        }
        body_status::CONTINUE
    }
}

// === hooks: Envoy's contract is that pointers are ours and live ===

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const u8 {
    ABI_VERSION.as_ptr()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    _envoy: ConfigEnvoyPtr,
    _name: EnvoyBuffer,
    settings: EnvoyBuffer,
) -> ConfigModulePtr {
    // SAFETY: this hook's argument.
    let work = match unsafe { bytes(settings) } {
        b"nothing" => Work::Nothing,
        b"headers" => Work::Headers,
        b"read" => Work::Read,
        b"rewrite" => Work::Rewrite,
        b"callout" => Work::Callout,
        _ => return ptr::null(),
    };
    Box::into_raw(Box::new(work)).cast()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(config: ConfigModulePtr) {
    // SAFETY: what `config_new` returned, given back once.
    drop(unsafe { Box::from_raw(config.cast_mut().cast::<Work>()) });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_new(
    config: ConfigModulePtr,
    filter: FilterEnvoyPtr,
) -> FilterModulePtr {
    // SAFETY: what `config_new` returned.
    let work = unsafe { *config.cast::<Work>() };
    Box::into_raw(Box::new(Stream { filter, work })).cast::<c_void>()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_destroy(pointer: FilterModulePtr) {
    // SAFETY: what `http_filter_new` returned, given back once.
    drop(unsafe { Box::from_raw(pointer.cast_mut().cast::<Stream>()) });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_request_headers(
    _filter: FilterEnvoyPtr,
    pointer: FilterModulePtr,
    _end: bool,
) -> u32 {
    // SAFETY: a stream that is open.
    unsafe { stream(pointer) }.on_request_headers()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_headers(
    _filter: FilterEnvoyPtr,
    pointer: FilterModulePtr,
    _end: bool,
) -> u32 {
    // SAFETY: a stream that is open.
    unsafe { stream(pointer) }.on_response_headers()
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_response_body(
    _filter: FilterEnvoyPtr,
    pointer: FilterModulePtr,
    end: bool,
) -> u32 {
    // SAFETY: a stream that is open.
    unsafe { stream(pointer) }.on_response_body(end)
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done(
    filter: FilterEnvoyPtr,
    _pointer: FilterModulePtr,
    _id: u64,
    _result: u32,
    _headers: *mut EnvoyHttpHeader,
    _headers_size: usize,
    _body_chunks: *mut EnvoyBuffer,
    _body_chunks_size: usize,
) {
    // SAFETY: the request was stopped at its headers, whose hook does not run.
    unsafe { envoy_dynamic_module_callback_http_filter_continue_decoding(filter) };
}

/// Hooks that Envoy wants and that do nothing here.
macro_rules! idle {
    ($($name:ident($($argument:ty),*) $(-> $value:expr)?;)*) => {
        $(idle!(@ $name($($argument),*) $(-> $value)?);)*
    };
    (@ $name:ident($($argument:ty),*) -> $value:expr) => {
        #[unsafe(no_mangle)]
        extern "C" fn $name($(_: $argument),*) -> u32 {
            $value
        }
    };
    (@ $name:ident($($argument:ty),*)) => {
        #[unsafe(no_mangle)]
        extern "C" fn $name($(_: $argument),*) {}
    };
}

idle! {
    envoy_dynamic_module_on_http_filter_config_scheduled(ConfigEnvoyPtr, ConfigModulePtr, u64);
    envoy_dynamic_module_on_http_filter_request_body(FilterEnvoyPtr, FilterModulePtr, bool) -> body_status::CONTINUE;
    envoy_dynamic_module_on_http_filter_request_trailers(FilterEnvoyPtr, FilterModulePtr) -> trailers_status::CONTINUE;
    envoy_dynamic_module_on_http_filter_response_trailers(FilterEnvoyPtr, FilterModulePtr) -> trailers_status::CONTINUE;
    envoy_dynamic_module_on_http_filter_stream_complete(FilterEnvoyPtr, FilterModulePtr);
    envoy_dynamic_module_on_http_filter_scheduled(FilterEnvoyPtr, FilterModulePtr, u64);
    envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(FilterEnvoyPtr, FilterModulePtr);
    envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(FilterEnvoyPtr, FilterModulePtr);
    envoy_dynamic_module_on_http_filter_http_stream_headers(FilterEnvoyPtr, FilterModulePtr, u64, *mut EnvoyHttpHeader, usize, bool);
    envoy_dynamic_module_on_http_filter_http_stream_data(FilterEnvoyPtr, FilterModulePtr, u64, *const EnvoyBuffer, usize, bool);
    envoy_dynamic_module_on_http_filter_http_stream_trailers(FilterEnvoyPtr, FilterModulePtr, u64, *mut EnvoyHttpHeader, usize);
    envoy_dynamic_module_on_http_filter_http_stream_complete(FilterEnvoyPtr, FilterModulePtr, u64);
    envoy_dynamic_module_on_http_filter_http_stream_reset(FilterEnvoyPtr, FilterModulePtr, u64, u32);
}
