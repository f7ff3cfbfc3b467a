//! Everything that a guest can import, in one table per module.
//!
//! The shape of a function says, letter by letter, how its parameters are written and its results
//! told:
//!
//! | letter | parameters | in a program | told |
//! |---|---|---|---|
//! | `n`, `L` | i32, i64 | a number | |
//! | `s` | pointer, length | a text | |
//! | `v` | pointer, count | texts: a vector of parts | |
//! | `B`, `M` | two pointers | | bytes, or pairs, that the host allocates |
//! | `W`, `Q` | a pointer | | a u32, a u64 |
//! | `C`, `T` | a pointer | | a u32 that is the process's: a CAS value, a queue |
//! | `O`, `o` | a pointer | | 64 KiB to write to, told and not told |

/// A host function.
pub struct Import {
    pub name: &'static str,
    pub shape: &'static str,
    pub call: fn(&[i64]) -> i32,
}

macro_rules! imports {
    ($table:ident $module:literal: $($name:ident $symbol:literal $shape:literal ($($arg:ident: $ty:ty),*);)*) => {
        pub static $table: &[Import] = &[$({
            fn call(values: &[i64]) -> i32 {
                #[link(wasm_import_module = $module)]
                unsafe extern "C" {
                    #[link_name = $symbol]
                    fn $name($($arg: $ty),*) -> i32;
                }
                #[allow(unused_mut, reason = "some functions take nothing")]
                let mut values = values.iter();
                $(let $arg = values.next().copied().unwrap_or_default() as $ty;)*
                let _ = values;
                // SAFETY: the host checks what it gets; a guest owns its memory.
                unsafe { $name($($arg),*) }
            }
            Import { name: stringify!($name), shape: $shape, call }
        }),*];
    };
}

imports! { ENV "env":
    log "proxy_log" "ns" (a: i32, b: i32, c: i32);
    get_current_time_nanoseconds "proxy_get_current_time_nanoseconds" "Q" (a: i32);
    set_tick_period_milliseconds "proxy_set_tick_period_milliseconds" "n" (a: i32);
    set_effective_context "proxy_set_effective_context" "n" (a: i32);
    done "proxy_done" "" ();
    get_status "proxy_get_status" "WB" (a: i32, b: i32, c: i32);
    get_header_map_value "proxy_get_header_map_value" "nsB" (a: i32, b: i32, c: i32, d: i32, e: i32);
    get_header_map_pairs "proxy_get_header_map_pairs" "nM" (a: i32, b: i32, c: i32);
    get_header_map_size "proxy_get_header_map_size" "nW" (a: i32, b: i32);
    add_header_map_value "proxy_add_header_map_value" "nss" (a: i32, b: i32, c: i32, d: i32, e: i32);
    replace_header_map_value "proxy_replace_header_map_value" "nss" (a: i32, b: i32, c: i32, d: i32, e: i32);
    remove_header_map_value "proxy_remove_header_map_value" "ns" (a: i32, b: i32, c: i32);
    set_header_map_pairs "proxy_set_header_map_pairs" "ns" (a: i32, b: i32, c: i32);
    get_buffer_bytes "proxy_get_buffer_bytes" "nnnB" (a: i32, b: i32, c: i32, d: i32, e: i32);
    get_buffer_status "proxy_get_buffer_status" "nWW" (a: i32, b: i32, c: i32);
    set_buffer_bytes "proxy_set_buffer_bytes" "nnns" (a: i32, b: i32, c: i32, d: i32, e: i32);
    get_property "proxy_get_property" "sB" (a: i32, b: i32, c: i32, d: i32);
    set_property "proxy_set_property" "ss" (a: i32, b: i32, c: i32, d: i32);
    get_shared_data "proxy_get_shared_data" "sBC" (a: i32, b: i32, c: i32, d: i32, e: i32);
    set_shared_data "proxy_set_shared_data" "ssn" (a: i32, b: i32, c: i32, d: i32, e: i32);
    register_shared_queue "proxy_register_shared_queue" "sT" (a: i32, b: i32, c: i32);
    resolve_shared_queue "proxy_resolve_shared_queue" "ssT" (a: i32, b: i32, c: i32, d: i32, e: i32);
    enqueue_shared_queue "proxy_enqueue_shared_queue" "ns" (a: i32, b: i32, c: i32);
    dequeue_shared_queue "proxy_dequeue_shared_queue" "nB" (a: i32, b: i32, c: i32);
    http_call "proxy_http_call" "ssssnW" (a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32, h: i32, i: i32, j: i32);
    grpc_call "proxy_grpc_call" "sssssnW" (a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32, h: i32, i: i32, j: i32, k: i32, l: i32);
    grpc_stream "proxy_grpc_stream" "ssssW" (a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32, h: i32, i: i32);
    grpc_send "proxy_grpc_send" "nsn" (a: i32, b: i32, c: i32, d: i32);
    grpc_close "proxy_grpc_close" "n" (a: i32);
    grpc_cancel "proxy_grpc_cancel" "n" (a: i32);
    define_metric "proxy_define_metric" "nsW" (a: i32, b: i32, c: i32, d: i32);
    increment_metric "proxy_increment_metric" "nL" (a: i32, b: i64);
    record_metric "proxy_record_metric" "nL" (a: i32, b: i64);
    get_metric "proxy_get_metric" "nQ" (a: i32, b: i32);
    send_local_response "proxy_send_local_response" "nsssn" (a: i32, b: i32, c: i32, d: i32, e: i32, f: i32, g: i32, h: i32);
    call_foreign_function "proxy_call_foreign_function" "ssB" (a: i32, b: i32, c: i32, d: i32, e: i32, f: i32);
    pthread_equal "pthread_equal" "nn" (a: i32, b: i32);
}

#[cfg(feature = "abi_0_1_0")]
imports! { OWN "env":
    get_configuration "proxy_get_configuration" "B" (a: i32, b: i32);
    continue_request "proxy_continue_request" "" ();
    continue_response "proxy_continue_response" "" ();
    clear_route_cache "proxy_clear_route_cache" "" ();
}

#[cfg(feature = "abi_0_2_0")]
imports! { OWN "env":
    continue_stream "proxy_continue_stream" "n" (a: i32);
    close_stream "proxy_close_stream" "n" (a: i32);
}

#[cfg(feature = "abi_0_2_1")]
imports! { OWN "env":
    continue_stream "proxy_continue_stream" "n" (a: i32);
    close_stream "proxy_close_stream" "n" (a: i32);
    get_log_level "proxy_get_log_level" "W" (a: i32);
}

imports! { WASI "wasi_snapshot_preview1":
    fd_write "fd_write" "nvW" (a: i32, b: i32, c: i32, d: i32);
    environ_sizes_get "environ_sizes_get" "WW" (a: i32, b: i32);
    environ_get "environ_get" "oO" (a: i32, b: i32);
    args_sizes_get "args_sizes_get" "WW" (a: i32, b: i32);
    args_get "args_get" "oO" (a: i32, b: i32);
    clock_time_get "clock_time_get" "nLQ" (a: i32, b: i64, c: i32);
    clock_res_get "clock_res_get" "nQ" (a: i32, b: i32);
    random_get "random_get" "on" (a: i32, b: i32);
    poll_oneoff "poll_oneoff" "oonW" (a: i32, b: i32, c: i32, d: i32);
    sched_yield "sched_yield" "" ();
    fd_read "fd_read" "nvW" (a: i32, b: i32, c: i32, d: i32);
    fd_pread "fd_pread" "nvLW" (a: i32, b: i32, c: i32, d: i64, e: i32);
    fd_pwrite "fd_pwrite" "nvLW" (a: i32, b: i32, c: i32, d: i64, e: i32);
    fd_seek "fd_seek" "nLnQ" (a: i32, b: i64, c: i32, d: i32);
    fd_close "fd_close" "n" (a: i32);
    fd_fdstat_get "fd_fdstat_get" "nO" (a: i32, b: i32);
    fd_fdstat_set_flags "fd_fdstat_set_flags" "nn" (a: i32, b: i32);
    fd_fdstat_set_rights "fd_fdstat_set_rights" "nLL" (a: i32, b: i64, c: i64);
    fd_allocate "fd_allocate" "nLL" (a: i32, b: i64, c: i64);
    fd_datasync "fd_datasync" "n" (a: i32);
    fd_sync "fd_sync" "n" (a: i32);
    fd_filestat_set_size "fd_filestat_set_size" "nL" (a: i32, b: i64);
    fd_filestat_set_times "fd_filestat_set_times" "nLLn" (a: i32, b: i64, c: i64, d: i32);
    fd_advise "fd_advise" "nLLn" (a: i32, b: i64, c: i64, d: i32);
    fd_tell "fd_tell" "nQ" (a: i32, b: i32);
    fd_prestat_get "fd_prestat_get" "nO" (a: i32, b: i32);
    fd_filestat_get "fd_filestat_get" "nO" (a: i32, b: i32);
    fd_prestat_dir_name "fd_prestat_dir_name" "nOn" (a: i32, b: i32, c: i32);
    fd_readdir "fd_readdir" "nonLW" (a: i32, b: i32, c: i32, d: i64, e: i32);
    fd_renumber "fd_renumber" "nn" (a: i32, b: i32);
    path_open "path_open" "nnsnLLnW" (a: i32, b: i32, c: i32, d: i32, e: i32, f: i64, g: i64, h: i32, i: i32);
    path_filestat_get "path_filestat_get" "nnsO" (a: i32, b: i32, c: i32, d: i32, e: i32);
    path_create_directory "path_create_directory" "ns" (a: i32, b: i32, c: i32);
    path_filestat_set_times "path_filestat_set_times" "nnsLLn" (a: i32, b: i32, c: i32, d: i32, e: i64, f: i64, g: i32);
    path_readlink "path_readlink" "nsonW" (a: i32, b: i32, c: i32, d: i32, e: i32, f: i32);
    path_remove_directory "path_remove_directory" "ns" (a: i32, b: i32, c: i32);
    path_rename "path_rename" "nsns" (a: i32, b: i32, c: i32, d: i32, e: i32, f: i32);
    path_unlink_file "path_unlink_file" "ns" (a: i32, b: i32, c: i32);
    sock_accept "sock_accept" "nnW" (a: i32, b: i32, c: i32);
    sock_recv "sock_recv" "nvnWW" (a: i32, b: i32, c: i32, d: i32, e: i32, f: i32);
    sock_send "sock_send" "nvnW" (a: i32, b: i32, c: i32, d: i32, e: i32);
    sock_shutdown "sock_shutdown" "nn" (a: i32, b: i32);
}

mod silent {
    #[link(wasm_import_module = "env")]
    unsafe extern "C" {
        pub fn emscripten_notify_memory_growth(memory: i32);
    }
    #[link(wasm_import_module = "wasi_snapshot_preview1")]
    unsafe extern "C" {
        pub fn proc_exit(code: i32);
    }
}

/// Functions without a result; they are told as answering 0.
pub static SILENT: &[Import] = &[
    Import {
        name: "emscripten_notify_memory_growth",
        shape: "n",
        call: |values| {
            // SAFETY: a number.
            unsafe { silent::emscripten_notify_memory_growth(values[0] as i32) };
            0
        },
    },
    Import {
        name: "proc_exit",
        shape: "n",
        call: |values| {
            // SAFETY: a number.
            unsafe { silent::proc_exit(values[0] as i32) };
            0
        },
    },
];

/// The function called `name`, without `proxy_`, or by a short name.
pub fn find(name: &str) -> Option<&'static Import> {
    let name = SHORT
        .iter()
        .find(|(short, _)| *short == name)
        .map_or(name, |(_, long)| long);
    [ENV, OWN, WASI, SILENT]
        .into_iter()
        .flatten()
        .find(|import| import.name == name)
}

/// Short names of what programs call most.
const SHORT: &[(&str, &str)] = &[
    ("get", "get_header_map_value"),
    ("pairs", "get_header_map_pairs"),
    ("size", "get_header_map_size"),
    ("add", "add_header_map_value"),
    ("replace", "replace_header_map_value"),
    ("remove", "remove_header_map_value"),
    ("set_pairs", "set_header_map_pairs"),
    ("buf", "get_buffer_bytes"),
    ("bufstat", "get_buffer_status"),
    ("setbuf", "set_buffer_bytes"),
    ("prop", "get_property"),
    ("setprop", "set_property"),
    ("shared", "get_shared_data"),
    ("share", "set_shared_data"),
    ("queue", "register_shared_queue"),
    ("resolve", "resolve_shared_queue"),
    ("enqueue", "enqueue_shared_queue"),
    ("dequeue", "dequeue_shared_queue"),
    ("reply", "send_local_response"),
    ("effective", "set_effective_context"),
    ("tick", "set_tick_period_milliseconds"),
    ("foreign", "call_foreign_function"),
    ("define", "define_metric"),
    ("increment", "increment_metric"),
    ("record", "record_metric"),
    ("metric", "get_metric"),
    ("now", "get_current_time_nanoseconds"),
    #[cfg(feature = "abi_0_1_0")]
    ("resume_request", "continue_request"),
    #[cfg(feature = "abi_0_1_0")]
    ("resume_response", "continue_response"),
    #[cfg(not(feature = "abi_0_1_0"))]
    ("resume", "continue_stream"),
    #[cfg(not(feature = "abi_0_1_0"))]
    ("close", "close_stream"),
];
