//! What guests export: looked up once per instance, called by type.

use thiserror::Error;
use wasmtime::{AsContextMut, Instance, TypedFunc, WasmParams, WasmResults};

use super::abi::AbiVersion;

/// The callbacks of an instance. An absent one does nothing, which for an HTTP event means to
/// continue.
pub(super) struct Exports {
    pub(super) context_create: Option<TypedFunc<(u32, u32), ()>>,
    pub(super) vm_start: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) configure: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) request_headers: Option<HeadersCallback>,
    pub(super) request_body: Option<TypedFunc<(u32, u32, u32), u32>>,
    pub(super) request_trailers: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) response_headers: Option<HeadersCallback>,
    pub(super) response_body: Option<TypedFunc<(u32, u32, u32), u32>>,
    pub(super) response_trailers: Option<TypedFunc<(u32, u32), u32>>,
    pub(super) http_call_response: Option<HttpCallResponse>,
    pub(super) grpc_receive_initial_metadata: Option<TypedFunc<(u32, u32, u32), ()>>,
    pub(super) grpc_receive: Option<TypedFunc<(u32, u32, u32), ()>>,
    pub(super) grpc_receive_trailing_metadata: Option<TypedFunc<(u32, u32, u32), ()>>,
    pub(super) grpc_close: Option<TypedFunc<(u32, u32, u32), ()>>,
    pub(super) tick: Option<TypedFunc<u32, ()>>,
    pub(super) queue_ready: Option<TypedFunc<(u32, u32), ()>>,
    pub(super) log: Option<TypedFunc<u32, ()>>,
    pub(super) done: Option<TypedFunc<u32, u32>>,
    pub(super) delete: Option<TypedFunc<u32, ()>>,
}

/// `proxy_on_http_call_response`.
pub(super) type HttpCallResponse = TypedFunc<(u32, u32, u32, u32, u32), ()>;

/// `proxy_on_{request,response}_headers`: ABI 0.1.0 does not say whether the message ends here.
pub(super) enum HeadersCallback {
    WithoutEnd(TypedFunc<(u32, u32), u32>),
    WithEnd(TypedFunc<(u32, u32, u32), u32>),
}

/// An export of a known name and another type: the guest means something else by it.
#[derive(Debug, Error)]
#[error("export {name} has the wrong type: {reason:#}")]
pub struct WrongExport {
    name: &'static str,
    reason: wasmtime::Error,
}

impl Exports {
    pub(super) fn find(
        store: &mut impl AsContextMut,
        instance: &Instance,
        abi: AbiVersion,
    ) -> Result<Self, WrongExport> {
        Ok(Self {
            context_create: export(store, instance, "proxy_on_context_create")?,
            vm_start: export(store, instance, "proxy_on_vm_start")?,
            configure: export(store, instance, "proxy_on_configure")?,
            request_headers: headers(store, instance, abi, "proxy_on_request_headers")?,
            request_body: export(store, instance, "proxy_on_request_body")?,
            request_trailers: export(store, instance, "proxy_on_request_trailers")?,
            response_headers: headers(store, instance, abi, "proxy_on_response_headers")?,
            response_body: export(store, instance, "proxy_on_response_body")?,
            response_trailers: export(store, instance, "proxy_on_response_trailers")?,
            http_call_response: export(store, instance, "proxy_on_http_call_response")?,
            grpc_receive_initial_metadata: export(
                store,
                instance,
                "proxy_on_grpc_receive_initial_metadata",
            )?,
            grpc_receive: export(store, instance, "proxy_on_grpc_receive")?,
            grpc_receive_trailing_metadata: export(
                store,
                instance,
                "proxy_on_grpc_receive_trailing_metadata",
            )?,
            grpc_close: export(store, instance, "proxy_on_grpc_close")?,
            tick: export(store, instance, "proxy_on_tick")?,
            queue_ready: export(store, instance, "proxy_on_queue_ready")?,
            log: export(store, instance, "proxy_on_log")?,
            done: export(store, instance, "proxy_on_done")?,
            delete: export(store, instance, "proxy_on_delete")?,
        })
    }
}

/// The export `name`, if there is one.
pub(super) fn export<P: WasmParams, R: WasmResults>(
    store: &mut impl AsContextMut,
    instance: &Instance,
    name: &'static str,
) -> Result<Option<TypedFunc<P, R>>, WrongExport> {
    let Some(function) = instance.get_func(&mut *store, name) else {
        return Ok(None);
    };
    match function.typed(&*store) {
        Ok(function) => Ok(Some(function)),
        Err(reason) => Err(WrongExport { name, reason }),
    }
}

fn headers(
    store: &mut impl AsContextMut,
    instance: &Instance,
    abi: AbiVersion,
    name: &'static str,
) -> Result<Option<HeadersCallback>, WrongExport> {
    Ok(match abi {
        AbiVersion::V0_1_0 => export(store, instance, name)?.map(HeadersCallback::WithoutEnd),
        AbiVersion::V0_2_0 | AbiVersion::V0_2_1 => {
            export(store, instance, name)?.map(HeadersCallback::WithEnd)
        }
    })
}
