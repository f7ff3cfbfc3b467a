//! A plugin that runs the program which is its configuration (see `program.rs`) and tells in its
//! log every callback that it gets and every host function that it calls.
//!
//! It speaks the ABI itself, without an SDK, so that it can say everything that a host must bear.
//! One feature selects the ABI version: its marker, its signatures and its imports.

mod imports;
mod program;
mod run;

use run::{configure, create, delete, enter, is_root, start};

/// Exports callbacks: their section is their name.
macro_rules! callbacks {
    ($($name:ident $symbol:literal ($($arg:ident),*) $default:literal;)*) => {
        $(
            #[unsafe(export_name = $symbol)]
            extern "C" fn $name(id: u32, $($arg: u32),*) -> u32 {
                let name = stringify!($name);
                enter(name, name, id, &[$($arg),*], $default) as u32
            }
        )*
    };
}

/// The same for callbacks without a result.
macro_rules! events {
    ($($name:ident $symbol:literal ($($arg:ident),*);)*) => {
        $(
            #[unsafe(export_name = $symbol)]
            extern "C" fn $name(id: u32, $($arg: u32),*) {
                let name = stringify!($name);
                enter(name, name, id, &[$($arg),*], 0);
            }
        )*
    };
}

#[cfg_attr(feature = "abi_0_1_0", unsafe(export_name = "proxy_abi_version_0_1_0"))]
#[cfg_attr(feature = "abi_0_2_0", unsafe(export_name = "proxy_abi_version_0_2_0"))]
#[cfg_attr(feature = "abi_0_2_1", unsafe(export_name = "proxy_abi_version_0_2_1"))]
extern "C" fn abi_version() {}

#[unsafe(export_name = "_initialize")]
extern "C" fn initialize() {
    start();
}

// Hosts must take both names of the allocator.
#[cfg_attr(
    not(feature = "abi_0_2_1"),
    unsafe(export_name = "malloc")
)]
#[cfg_attr(
    feature = "abi_0_2_1",
    unsafe(export_name = "proxy_on_memory_allocate")
)]
extern "C" fn allocate(size: usize) -> *mut u8 {
    run::allocate(size)
}

#[unsafe(export_name = "proxy_on_context_create")]
extern "C" fn context_create(id: u32, parent: u32) {
    create(id, parent);
}

#[unsafe(export_name = "proxy_on_configure")]
extern "C" fn on_configure(id: u32, size: u32) -> u32 {
    configure(id);
    enter("configure", "configure", id, &[size], 1) as u32
}

callbacks! {
    vm_start "proxy_on_vm_start" (size) 1;
    request_body "proxy_on_request_body" (len, end) 0;
    request_trailers "proxy_on_request_trailers" (count) 0;
    request_metadata "proxy_on_request_metadata" (count) 0;
    response_body "proxy_on_response_body" (len, end) 0;
    response_trailers "proxy_on_response_trailers" (count) 0;
    response_metadata "proxy_on_response_metadata" (count) 0;
}

#[cfg(feature = "abi_0_1_0")]
callbacks! {
    request_headers "proxy_on_request_headers" (count) 0;
    response_headers "proxy_on_response_headers" (count) 0;
}

#[cfg(not(feature = "abi_0_1_0"))]
callbacks! {
    request_headers "proxy_on_request_headers" (count, end) 0;
    response_headers "proxy_on_response_headers" (count, end) 0;
}

#[cfg(not(feature = "abi_0_1_0"))]
events! {
    foreign_function "proxy_on_foreign_function" (function, size);
}

events! {
    tick "proxy_on_tick" ();
    queue_ready "proxy_on_queue_ready" (queue);
    http_call_response "proxy_on_http_call_response" (token, headers, size, trailers);
    grpc_receive_initial_metadata "proxy_on_grpc_receive_initial_metadata" (token, count);
    grpc_receive "proxy_on_grpc_receive" (token, size);
    grpc_receive_trailing_metadata "proxy_on_grpc_receive_trailing_metadata" (token, count);
    grpc_close "proxy_on_grpc_close" (token, status);
}

/// Roots have sections of their own for what comes to streams as well.
fn section(id: u32, stream: &'static str, root: &'static str) -> &'static str {
    if is_root(id) { root } else { stream }
}

#[unsafe(export_name = "proxy_on_done")]
extern "C" fn done(id: u32) -> u32 {
    enter("done", section(id, "done", "root_done"), id, &[], 1) as u32
}

#[unsafe(export_name = "proxy_on_log")]
extern "C" fn log(id: u32) {
    enter("log", section(id, "log", "root_log"), id, &[], 0);
}

#[unsafe(export_name = "proxy_on_delete")]
extern "C" fn on_delete(id: u32) {
    enter("delete", section(id, "delete", "root_delete"), id, &[], 0);
    delete(id);
}
