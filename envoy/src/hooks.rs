//! The hooks that Envoy calls: unwrap the pointers, guard, hand on.
//!
//! Envoy's contract for all of them: pointers to our side are those that we returned, buffers live
//! during the call, and a stream's hooks run one at a time on its worker, nested ones excepted.

use std::ffi::c_void;
use std::ptr;
use std::rc::Rc;
use std::slice;
use std::sync::Arc;

use wasmplugin_host::proxy_wasm::{CallEvent, Direction};

use crate::abi::*;
use crate::bootstrap::Bootstrap;
use crate::callout;
use crate::config::Config;
use crate::guard::guard;
use crate::pin;
use crate::route::Route;
use crate::stream::{self, Stream};

/// Envoy's bytes, during the call.
///
/// # Safety
///
/// `buffer` is an argument of the running hook.
unsafe fn bytes<'a>(buffer: EnvoyBuffer) -> &'a [u8] {
    if buffer.length == 0 || buffer.ptr.is_null() {
        return &[];
    }
    // SAFETY: the caller's word.
    unsafe { slice::from_raw_parts(buffer.ptr, buffer.length) }
}

// === module ===

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_program_init() -> *const u8 {
    guard("program_init", ptr::null(), || {
        pin::keep_loaded();
        ABI_VERSION.as_ptr()
    })
}

// === configurations ===

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_new(
    envoy: ConfigEnvoyPtr,
    name: EnvoyBuffer,
    settings: EnvoyBuffer,
) -> ConfigModulePtr {
    guard("http_filter_config_new", ptr::null(), || {
        // SAFETY: this hook's arguments.
        let config = unsafe { Config::new(envoy, bytes(name), bytes(settings)) };
        config.map_or(ptr::null(), |config| Arc::into_raw(Arc::new(config)).cast())
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_destroy(config: ConfigModulePtr) {
    guard("http_filter_config_destroy", (), || {
        // SAFETY: the count that `config_new` left with Envoy, which gives it back once.
        let config = unsafe { Arc::from_raw(config.cast::<Config>()) };
        config.end();
    });
}

/// On the main thread.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_config_scheduled(
    envoy: ConfigEnvoyPtr,
    config: ConfigModulePtr,
    _event: u64,
) {
    guard("http_filter_config_scheduled", (), || {
        // SAFETY: this hook's arguments; what `config_new` returned lives during the call.
        unsafe { (*config.cast::<Config>()).on_main_thread(envoy) };
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_new(
    _name: EnvoyBuffer,
    settings: EnvoyBuffer,
) -> RouteConfigModulePtr {
    guard("http_filter_per_route_config_new", ptr::null(), || {
        // SAFETY: this hook's arguments.
        let route = Route::new(unsafe { bytes(settings) });
        route.map_or(ptr::null(), |route| Box::into_raw(Box::new(route)) as _)
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_per_route_config_destroy(
    route: RouteConfigModulePtr,
) {
    guard("http_filter_per_route_config_destroy", (), || {
        // SAFETY: what `per_route_config_new` returned, which Envoy gives back once.
        drop(unsafe { Box::from_raw(route.cast::<Route>().cast_mut()) });
    });
}

// === streams ===

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_new(
    config: ConfigModulePtr,
    filter: FilterEnvoyPtr,
) -> FilterModulePtr {
    guard("http_filter_new", ptr::null(), || {
        // SAFETY: what `config_new` returned, which lives as long as its streams.
        let config = unsafe { &*config.cast::<Config>() };
        // SAFETY: in the hook that opens `filter`.
        unsafe { Stream::open(filter, config) }.cast::<c_void>()
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_stream_complete(
    _filter: FilterEnvoyPtr,
    stream: FilterModulePtr,
) {
    // SAFETY: Envoy's pointer.
    if let Some(stream) = unsafe { opened(stream) } {
        stream.complete();
    }
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_destroy(stream: FilterModulePtr) {
    guard("http_filter_destroy", (), || {
        if !stream.is_null() {
            // SAFETY: the last hook of a stream.
            unsafe { Stream::destroy(stream) };
        }
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_http_callout_done(
    filter: FilterEnvoyPtr,
    stream: FilterModulePtr,
    id: u64,
    result: u32,
    headers: *mut EnvoyHttpHeader,
    headers_size: usize,
    body_chunks: *mut EnvoyBuffer,
    body_chunks_size: usize,
) {
    on_stream_call("http_filter_http_callout_done", filter, stream, id, || {
        // SAFETY: this hook's arguments.
        unsafe { callout::event(result, headers, headers_size, body_chunks, body_chunks_size) }
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_scheduled(
    _filter: FilterEnvoyPtr,
    stream: FilterModulePtr,
    _event: u64,
) {
    // SAFETY: Envoy's pointer.
    if let Some(stream) = unsafe { opened(stream) } {
        stream.on_mail();
    }
}

/// The stream behind Envoy's pointer. None where opening it has panicked: Envoy 1.40 refuses such a
/// stream by itself, but older ones call its hooks.
///
/// # Safety
///
/// `pointer` came from `http_filter_new`, and `http_filter_destroy` has not had it.
#[inline]
unsafe fn opened(pointer: FilterModulePtr) -> Option<Rc<Stream>> {
    // SAFETY: the caller's word; not null, so it is a stream.
    (!pointer.is_null()).then(|| unsafe { Stream::of(pointer) })
}

/// Answers a request whose stream has not been opened, as Envoy 1.40 does; nothing else is seen of
/// such a stream but this answer. What to do with headers.
#[cold]
fn refuse(name: &str, filter: FilterEnvoyPtr, direction: Direction) -> u32 {
    if matches!(direction, Direction::Response) {
        return headers_status::CONTINUE;
    }
    guard(name, (), || {
        // SAFETY: in the hook of a request's headers.
        unsafe { stream::refuse(filter, 500) };
    });
    headers_status::STOP_ITERATION
}

/// The hooks that a message passes through in one direction.
macro_rules! message {
    ($direction:ident, $headers:ident, $body:ident, $trailers:ident) => {
        #[unsafe(no_mangle)]
        extern "C" fn $headers(
            filter: FilterEnvoyPtr,
            stream: FilterModulePtr,
            end_of_stream: bool,
        ) -> u32 {
            // SAFETY: Envoy's pointer.
            let Some(stream) = (unsafe { opened(stream) }) else {
                return refuse(stringify!($headers), filter, Direction::$direction);
            };
            stream.on_headers(stringify!($headers), Direction::$direction, end_of_stream)
        }

        #[unsafe(no_mangle)]
        extern "C" fn $body(
            _filter: FilterEnvoyPtr,
            stream: FilterModulePtr,
            end_of_stream: bool,
        ) -> u32 {
            // SAFETY: Envoy's pointer.
            let Some(stream) = (unsafe { opened(stream) }) else {
                return body_status::CONTINUE;
            };
            stream.on_body(stringify!($body), Direction::$direction, end_of_stream)
        }

        #[unsafe(no_mangle)]
        extern "C" fn $trailers(_filter: FilterEnvoyPtr, stream: FilterModulePtr) -> u32 {
            // SAFETY: Envoy's pointer.
            let Some(stream) = (unsafe { opened(stream) }) else {
                return trailers_status::CONTINUE;
            };
            stream.on_trailers(stringify!($trailers), Direction::$direction)
        }
    };
}

message!(
    Request,
    envoy_dynamic_module_on_http_filter_request_headers,
    envoy_dynamic_module_on_http_filter_request_body,
    envoy_dynamic_module_on_http_filter_request_trailers
);
message!(
    Response,
    envoy_dynamic_module_on_http_filter_response_headers,
    envoy_dynamic_module_on_http_filter_response_body,
    envoy_dynamic_module_on_http_filter_response_trailers
);

// === streams that calls are, of a stream's and of a configuration's ===

/// The hooks of a call whose answer comes in parts, which Envoy has twice: what they get first,
/// and how to hand an event on.
macro_rules! call_parts {
    (
        $on_call:ident($envoy:ty, $module:ty): $headers:ident, $data:ident, $trailers:ident,
        $complete:ident, $reset:ident
    ) => {
        #[unsafe(no_mangle)]
        extern "C" fn $headers(
            envoy: $envoy,
            module: $module,
            id: u64,
            headers: *mut EnvoyHttpHeader,
            headers_size: usize,
            end: bool,
        ) {
            $on_call(stringify!($headers), envoy, module, id, || {
                // SAFETY: this hook's arguments.
                let headers = unsafe { callout::fields(headers, headers_size) };
                CallEvent::Headers { headers, end }
            });
        }

        #[unsafe(no_mangle)]
        extern "C" fn $data(
            envoy: $envoy,
            module: $module,
            id: u64,
            data: *const EnvoyBuffer,
            data_count: usize,
            end: bool,
        ) {
            $on_call(stringify!($data), envoy, module, id, || {
                // SAFETY: this hook's arguments.
                let bytes = unsafe { callout::joined(data, data_count) };
                CallEvent::Data { bytes, end }
            });
        }

        #[unsafe(no_mangle)]
        extern "C" fn $trailers(
            envoy: $envoy,
            module: $module,
            id: u64,
            trailers: *mut EnvoyHttpHeader,
            trailers_size: usize,
        ) {
            $on_call(stringify!($trailers), envoy, module, id, || {
                // SAFETY: this hook's arguments.
                CallEvent::Trailers(unsafe { callout::fields(trailers, trailers_size) })
            });
        }

        #[unsafe(no_mangle)]
        extern "C" fn $complete(envoy: $envoy, module: $module, id: u64) {
            $on_call(stringify!($complete), envoy, module, id, || {
                CallEvent::Complete
            });
        }

        #[unsafe(no_mangle)]
        extern "C" fn $reset(envoy: $envoy, module: $module, id: u64, _reason: u32) {
            $on_call(stringify!($reset), envoy, module, id, || CallEvent::Lost);
        }
    };
}

call_parts!(
    on_stream_call(FilterEnvoyPtr, FilterModulePtr):
    envoy_dynamic_module_on_http_filter_http_stream_headers,
    envoy_dynamic_module_on_http_filter_http_stream_data,
    envoy_dynamic_module_on_http_filter_http_stream_trailers,
    envoy_dynamic_module_on_http_filter_http_stream_complete,
    envoy_dynamic_module_on_http_filter_http_stream_reset
);

call_parts!(
    on_config_call(ConfigEnvoyPtr, ConfigModulePtr):
    envoy_dynamic_module_on_http_filter_config_http_stream_headers,
    envoy_dynamic_module_on_http_filter_config_http_stream_data,
    envoy_dynamic_module_on_http_filter_config_http_stream_trailers,
    envoy_dynamic_module_on_http_filter_config_http_stream_complete,
    envoy_dynamic_module_on_http_filter_config_http_stream_reset
);

fn on_stream_call(
    name: &str,
    _filter: FilterEnvoyPtr,
    stream: FilterModulePtr,
    id: u64,
    event: impl FnOnce() -> CallEvent,
) {
    // SAFETY: Envoy's pointer.
    if let Some(stream) = unsafe { opened(stream) } {
        stream.on_call(name, id, event);
    }
}

/// On the main thread, where all calls of configurations are made.
fn on_config_call(
    name: &str,
    _envoy: ConfigEnvoyPtr,
    config: ConfigModulePtr,
    id: u64,
    event: impl FnOnce() -> CallEvent,
) {
    guard(name, (), || {
        // SAFETY: what `config_new` returned lives during the call.
        let config = unsafe { &*config.cast::<Config>() };
        config.on_call(id, event());
    });
}

// === hooks that Envoy wants and that do not concern us ===

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_above_write_buffer_high_watermark(
    _filter: FilterEnvoyPtr,
    _stream: FilterModulePtr,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_http_filter_downstream_below_write_buffer_low_watermark(
    _filter: FilterEnvoyPtr,
    _stream: FilterModulePtr,
) {
}

// === the bootstrap extension: all hooks must be there where one is configured ===

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_config_new(
    config: BootstrapEnvoyPtr,
    name: EnvoyBuffer,
    _settings: EnvoyBuffer,
) -> BootstrapModulePtr {
    guard("bootstrap_extension_config_new", ptr::null(), || {
        // SAFETY: this hook's arguments.
        let bootstrap = unsafe { Bootstrap::new(config, bytes(name)) };
        bootstrap.map_or(ptr::null(), |bootstrap| {
            Box::into_raw(Box::new(bootstrap)) as _
        })
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_config_destroy(
    bootstrap: BootstrapModulePtr,
) {
    guard("bootstrap_extension_config_destroy", (), || {
        // SAFETY: what `config_new` returned, which Envoy gives back once.
        drop(unsafe { Box::from_raw(bootstrap.cast::<Bootstrap>().cast_mut()) });
    });
}

/// The extension is its configuration.
#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_new(
    bootstrap: BootstrapModulePtr,
    _envoy: *mut c_void,
) -> *const c_void {
    bootstrap
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_destroy(_extension: *const c_void) {}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_server_initialized(
    _envoy: *mut c_void,
    extension: *const c_void,
) {
    guard("bootstrap_extension_server_initialized", (), || {
        // SAFETY: what `bootstrap_extension_new` returned: the configuration, which outlives it.
        unsafe { (*extension.cast::<Bootstrap>()).on_server_initialized() };
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_worker_thread_initialized(
    _envoy: *mut c_void,
    _extension: *const c_void,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_drain_started(
    _envoy: *mut c_void,
    _extension: *const c_void,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_shutdown(
    _envoy: *mut c_void,
    _extension: *const c_void,
    completion: extern "C" fn(*mut c_void),
    context: *mut c_void,
) {
    // Nothing of ours keeps Envoy from ending.
    completion(context);
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_config_scheduled(
    config: BootstrapEnvoyPtr,
    bootstrap: BootstrapModulePtr,
    _event: u64,
) {
    guard("bootstrap_extension_config_scheduled", (), || {
        // SAFETY: this hook's arguments; what `config_new` returned lives during the call.
        unsafe { (*bootstrap.cast::<Bootstrap>()).on_scheduled(config) };
    });
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_admin_request(
    config: BootstrapEnvoyPtr,
    bootstrap: BootstrapModulePtr,
    _method: EnvoyBuffer,
    path: EnvoyBuffer,
    _body: EnvoyBuffer,
) -> u32 {
    guard("bootstrap_extension_admin_request", 500, || {
        // SAFETY: this hook's arguments; what `config_new` returned lives during the call.
        unsafe { (*bootstrap.cast::<Bootstrap>()).on_admin(config, bytes(path)) }
    })
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_timer_fired(
    _config: BootstrapEnvoyPtr,
    _bootstrap: BootstrapModulePtr,
    _timer: *mut c_void,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_file_changed(
    _config: BootstrapEnvoyPtr,
    _bootstrap: BootstrapModulePtr,
    _path: EnvoyBuffer,
    _events: u32,
) {
}

#[unsafe(no_mangle)]
extern "C" fn envoy_dynamic_module_on_bootstrap_extension_http_callout_done(
    _config: BootstrapEnvoyPtr,
    _bootstrap: BootstrapModulePtr,
    _id: u64,
    _result: u32,
    _headers: *mut EnvoyHttpHeader,
    _headers_size: usize,
    _body_chunks: *mut EnvoyBuffer,
    _body_chunks_size: usize,
) {
}

/// Hooks that come only to those who asked for them.
macro_rules! unasked {
    ($($hook:ident)*) => {
        $(
            #[unsafe(no_mangle)]
            extern "C" fn $hook(
                _config: BootstrapEnvoyPtr,
                _bootstrap: BootstrapModulePtr,
                _name: EnvoyBuffer,
            ) {
            }
        )*
    };
}

unasked! {
    envoy_dynamic_module_on_bootstrap_extension_cluster_add_or_update
    envoy_dynamic_module_on_bootstrap_extension_cluster_removal
    envoy_dynamic_module_on_bootstrap_extension_listener_add_or_update
    envoy_dynamic_module_on_bootstrap_extension_listener_removal
}
