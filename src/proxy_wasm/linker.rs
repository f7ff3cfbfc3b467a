//! Everything that guests can import, in one list per ABI version.

use wasmtime::{Caller, FuncType, Linker, Val, ValType};

use super::abi::{AbiVersion, Parameter};
use super::capabilities::{Capabilities, refuse};
use super::hostcalls::{
    buffer, context, dns, foreign, grpc, header_map, http_call, log, metric, property, queue,
    shared_data, stream, time, wasi,
};
use super::memory::Guest;
use super::state::{Mode, State};
use super::status::{Status, answer};

/// When a host function may be called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Allow {
    /// Once plugins have contexts.
    Running,
    /// Also while the module starts.
    Starting,
    /// Even in the guest's allocator.
    Always,
}

/// Traps a call that comes too early: the list is Envoy's.
fn permit(guest: &Guest<'_>, name: &str, allow: Allow) -> wasmtime::Result<()> {
    let allowed = match guest.data().mode {
        Mode::Running => return Ok(()),
        Mode::Starting => allow != Allow::Running,
        Mode::Allocating => allow == Allow::Always,
    };
    if allowed {
        Ok(())
    } else {
        Err(wasmtime::format_err!(
            "restricted_callback: {name} must not be called here"
        ))
    }
}

/// Links one function of `env`: its name, when it may be called, what it does, its parameters.
macro_rules! env {
    ($linker:ident, $allow:ident, $name:literal, $function:expr, $($arg:ident: $ty:ty),*) => {
        if $linker.capabilities.allow($name) {
            $linker.linker.func_wrap(
                "env",
                $name,
                move |mut guest: Caller<'_, State>, $($arg: $ty),*| -> wasmtime::Result<u32> {
                    permit(&guest, $name, Allow::$allow)?;
                    answer($function(&mut guest, $($arg),*))
                },
            )?;
        } else {
            $linker.linker.func_wrap(
                "env",
                $name,
                move |mut guest: Caller<'_, State>, $(_: $ty),*| -> wasmtime::Result<u32> {
                    permit(&guest, $name, Allow::$allow)?;
                    refuse(&mut guest, $name);
                    Ok(Status::InternalFailure as u32)
                },
            )?;
        }
    };
}

/// Links one function of WASI under both names of the module.
macro_rules! wasi {
    ($linker:ident, $allow:ident, $name:literal, $function:path, $($arg:ident: $ty:ty),*) => {
        for module in WASI {
            if $linker.capabilities.allow($name) {
                $linker.linker.func_wrap(
                    module,
                    $name,
                    |mut guest: Caller<'_, State>, $($arg: $ty),*| -> wasmtime::Result<u32> {
                        permit(&guest, $name, Allow::$allow)?;
                        $function(&mut guest, $($arg),*)
                    },
                )?;
            } else {
                $linker.linker.func_wrap(
                    module,
                    $name,
                    |mut guest: Caller<'_, State>, $(_: $ty),*| -> wasmtime::Result<u32> {
                        permit(&guest, $name, Allow::$allow)?;
                        refuse(&mut guest, $name);
                        Ok(wasi::NOT_CAPABLE)
                    },
                )?;
            }
        }
    };
}

/// The names under which toolchains import WASI.
const WASI: [&str; 2] = ["wasi_snapshot_preview1", "wasi_unstable"];

/// WASI functions that wait until plugins have contexts, among those that have no code of their
/// own.
const WASI_RUNNING: [&str; 5] = ["fd_read", "fd_seek", "fd_close", "path_open", "sched_yield"];

/// A linker on its way.
struct Imports<'a> {
    linker: Linker<State>,
    capabilities: &'a Capabilities,
}

/// The host functions of `abi`. Those that `capabilities` leave out are there, and refuse: what they
/// answer is decided here, so that a call of any other costs nothing.
pub(super) fn link(
    engine: &wasmtime::Engine,
    abi: AbiVersion,
    capabilities: &Capabilities,
) -> wasmtime::Result<Linker<State>> {
    let mut imports = Imports {
        linker: Linker::new(engine),
        capabilities,
    };
    link_env(&mut imports, abi)?;
    link_wasi(&mut imports)?;
    Ok(imports.linker)
}

#[rustfmt::skip]
fn link_env(l: &mut Imports<'_>, abi: AbiVersion) -> wasmtime::Result<()> {
    // Log, time, contexts.
    env!(l, Always, "proxy_log", log::log, level: u32, ptr: u32, len: u32);
    env!(l, Running, "proxy_get_current_time_nanoseconds", time::get_current_time, out: u32);
    env!(l, Running, "proxy_set_effective_context", context::set_effective_context, id: u32);
    env!(l, Running, "proxy_done", context::done,);
    env!(l, Running, "proxy_get_status", context::get_status, code: u32, ptr: u32, len: u32);

    // Header maps.
    let get_value = move |guest: &mut Guest<'_>, map, key, key_len, out, out_len| {
        header_map::get_value(guest, abi, map, key, key_len, out, out_len)
    };
    env!(l, Running, "proxy_get_header_map_value", get_value, map: u32, key: u32, key_len: u32, out: u32, out_len: u32);
    env!(l, Running, "proxy_get_header_map_pairs", header_map::get_pairs, map: u32, out: u32, out_len: u32);
    env!(l, Running, "proxy_get_header_map_size", header_map::get_size, map: u32, out: u32);
    env!(l, Running, "proxy_add_header_map_value", header_map::add_value, map: u32, key: u32, key_len: u32, value: u32, value_len: u32);
    env!(l, Running, "proxy_replace_header_map_value", header_map::replace_value, map: u32, key: u32, key_len: u32, value: u32, value_len: u32);
    env!(l, Running, "proxy_remove_header_map_value", header_map::remove_value, map: u32, key: u32, key_len: u32);
    env!(l, Running, "proxy_set_header_map_pairs", header_map::set_pairs, map: u32, ptr: u32, len: u32);

    // Buffers.
    env!(l, Running, "proxy_get_buffer_bytes", buffer::get_bytes, buffer: u32, start: u32, len: u32, out: u32, out_len: u32);
    env!(l, Running, "proxy_get_buffer_status", buffer::get_status, buffer: u32, out_len: u32, out_flags: u32);
    env!(l, Running, "proxy_set_buffer_bytes", buffer::set_bytes, buffer: u32, start: u32, len: u32, ptr: u32, size: u32);

    // Properties.
    env!(l, Running, "proxy_get_property", property::get, path: u32, path_len: u32, out: u32, out_len: u32);
    env!(l, Running, "proxy_set_property", property::set, path: u32, path_len: u32, value: u32, value_len: u32);

    // Foreign functions.
    env!(l, Running, "proxy_call_foreign_function", foreign::call, name: u32, name_len: u32, argument: u32, argument_len: u32, out: u32, out_len: u32);

    // Streams.
    env!(l, Running, "proxy_send_local_response", stream::send_local_response, status: u32, details: u32, details_len: u32, body: u32, body_len: u32, headers: u32, headers_len: u32, grpc_status: u32);

    // Shared data.
    env!(l, Running, "proxy_get_shared_data", shared_data::get, key: u32, key_len: u32, out: u32, out_len: u32, out_cas: u32);
    env!(l, Running, "proxy_set_shared_data", shared_data::set, key: u32, key_len: u32, value: u32, value_len: u32, cas: u32);

    // Queues.
    env!(l, Running, "proxy_register_shared_queue", queue::register, name: u32, name_len: u32, out: u32);
    env!(l, Running, "proxy_resolve_shared_queue", queue::resolve, vm_id: u32, vm_id_len: u32, name: u32, name_len: u32, out: u32);
    env!(l, Running, "proxy_enqueue_shared_queue", queue::enqueue, token: u32, item: u32, item_len: u32);
    env!(l, Running, "proxy_dequeue_shared_queue", queue::dequeue, token: u32, out: u32, out_len: u32);

    // Metrics.
    env!(l, Running, "proxy_define_metric", metric::define, kind: u32, name: u32, name_len: u32, out: u32);
    env!(l, Running, "proxy_increment_metric", metric::increment, id: u32, offset: i64);
    env!(l, Running, "proxy_record_metric", metric::record, id: u32, value: u64);
    env!(l, Running, "proxy_get_metric", metric::get, id: u32, out: u32);

    // Ticks and callouts.
    env!(l, Running, "proxy_set_tick_period_milliseconds", context::set_tick_period, period: u32);
    env!(l, Running, "proxy_http_call", http_call::http_call, cluster: u32, cluster_len: u32, headers: u32, headers_len: u32, body: u32, body_len: u32, trailers: u32, trailers_len: u32, timeout: u32, out: u32);

    // gRPC.
    env!(l, Running, "proxy_grpc_call", grpc::call, service: u32, service_len: u32, name: u32, name_len: u32, method: u32, method_len: u32, metadata: u32, metadata_len: u32, message: u32, message_len: u32, timeout: u32, out: u32);
    env!(l, Running, "proxy_grpc_stream", grpc::stream, service: u32, service_len: u32, name: u32, name_len: u32, method: u32, method_len: u32, metadata: u32, metadata_len: u32, out: u32);
    env!(l, Running, "proxy_grpc_send", grpc::send, token: u32, message: u32, message_len: u32, end: u32);
    env!(l, Running, "proxy_grpc_close", grpc::close, token: u32);
    env!(l, Running, "proxy_grpc_cancel", grpc::cancel, token: u32);

    // What differs between versions.
    if abi == AbiVersion::V0_1_0 {
        env!(l, Running, "proxy_get_configuration", context::get_configuration, out: u32, out_len: u32);
        env!(l, Running, "proxy_continue_request", stream::continue_request,);
        env!(l, Running, "proxy_continue_response", stream::continue_response,);
        env!(l, Running, "proxy_clear_route_cache", stream::clear_route_cache,);
    } else {
        env!(l, Running, "proxy_continue_stream", stream::continue_stream, stream: u32);
        env!(l, Running, "proxy_close_stream", stream::close_stream, stream: u32);
    }
    if abi == AbiVersion::V0_2_1 {
        env!(l, Running, "proxy_get_log_level", log::get_log_level, out: u32);
    }

    // Envoy's own.
    env!(l, Running, "envoy_resolve_dns", dns::resolve, name: u32, name_len: u32, out: u32);

    // Emscripten, which needs these whatever a plugin may do.
    l.linker.func_wrap("env", "emscripten_notify_memory_growth", |_: u32| {})?;
    l.linker.func_wrap("env", "pthread_equal", |guest: Caller<'_, State>, a: u32, b: u32| {
        permit(&guest, "pthread_equal", Allow::Running)?;
        wasmtime::Result::Ok(u32::from(a == b))
    })?;
    Ok(())
}

#[rustfmt::skip]
fn link_wasi(l: &mut Imports<'_>) -> wasmtime::Result<()> {
    wasi!(l, Always, "fd_write", wasi::fd_write, fd: u32, parts: u32, count: u32, out: u32);
    wasi!(l, Starting, "fd_pwrite", wasi::fd_pwrite, fd: u32, parts: u32, count: u32, offset: u64, out: u32);
    wasi!(l, Starting, "environ_sizes_get", wasi::environ_sizes_get, count: u32, size: u32);
    wasi!(l, Starting, "environ_get", wasi::environ_get, pointers: u32, strings: u32);
    wasi!(l, Starting, "args_sizes_get", wasi::args_sizes_get, count: u32, size: u32);
    wasi!(l, Starting, "args_get", wasi::args_get, pointers: u32, strings: u32);
    wasi!(l, Always, "clock_time_get", wasi::clock_time_get, clock: u32, precision: u64, out: u32);
    wasi!(l, Starting, "clock_res_get", wasi::clock_res_get, clock: u32, out: u32);
    wasi!(l, Starting, "random_get", wasi::random_get, ptr: u32, len: u32);
    wasi!(l, Starting, "fd_fdstat_get", wasi::fd_fdstat_get, fd: u32, out: u32);
    wasi!(l, Starting, "fd_tell", wasi::fd_tell, fd: u32, out: u32);
    wasi!(l, Starting, "fd_readdir", wasi::fd_readdir, fd: u32, buffer: u32, len: u32, cookie: u64, out: u32);
    wasi!(l, Starting, "fd_renumber", wasi::fd_renumber, from: u32, to: u32);
    wasi!(l, Always, "poll_oneoff", wasi::poll_oneoff, subscriptions: u32, events: u32, count: u32, out: u32);
    for module in WASI {
        let allowed = l.capabilities.allow("proc_exit");
        l.linker.func_wrap(module, "proc_exit", move |mut guest: Caller<'_, State>, code: u32| {
            permit(&guest, "proc_exit", Allow::Running)?;
            if allowed {
                wasi::proc_exit(&mut guest, code);
            } else {
                refuse(&mut guest, "proc_exit");
            }
            wasmtime::Result::Ok(())
        })?;
        for (name, parameters, errno) in wasi::CONSTANT {
            let allow = if WASI_RUNNING.contains(name) { Allow::Running } else { Allow::Starting };
            l.table(module, name, allow, parameters, |_, _| *errno)?;
        }
        for (name, parameters, out) in wasi::WITHOUT_RESULT {
            l.table(module, name, Allow::Starting, parameters, |guest, parameters| {
                let out = parameters.get(*out).and_then(Val::i32).unwrap_or_default();
                wasi::without_result(guest, out.cast_unsigned())
            })?;
        }
        for (name, parameters) in wasi::BY_DESCRIPTOR {
            l.table(module, name, Allow::Starting, parameters, |_, parameters| {
                let fd = parameters.first().and_then(Val::i32).unwrap_or_default();
                wasi::by_descriptor(fd.cast_unsigned())
            })?;
        }
    }
    Ok(())
}

impl Imports<'_> {
    /// Links a function of WASI that stands in a table.
    fn table(
        &mut self,
        module: &str,
        name: &'static str,
        allow: Allow,
        parameters: &[Parameter],
        work: impl Fn(&mut Guest<'_>, &[Val]) -> u32 + Send + Sync + 'static,
    ) -> wasmtime::Result<()> {
        let ty = status_type(self.linker.engine(), parameters);
        let allowed = self.capabilities.allow(name);
        let function =
            move |mut guest: Caller<'_, State>, parameters: &[Val], results: &mut [Val]| {
                permit(&guest, name, allow)?;
                let errno = if allowed {
                    work(&mut guest, parameters)
                } else {
                    refuse(&mut guest, name);
                    wasi::NOT_CAPABLE
                };
                if let Some(result) = results.first_mut() {
                    *result = Val::I32(errno.cast_signed());
                }
                Ok(())
            };
        self.linker.func_new(module, name, ty, function)?;
        Ok(())
    }
}

fn status_type(engine: &wasmtime::Engine, parameters: &[Parameter]) -> FuncType {
    let parameters = parameters.iter().map(|parameter| match parameter {
        Parameter::I32 => ValType::I32,
        Parameter::I64 => ValType::I64,
    });
    FuncType::new(engine, parameters, [ValType::I32])
}
