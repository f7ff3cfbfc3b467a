//! What guests export: looked up once per instance, called by type.

use thiserror::Error;
use wasmtime::{AsContextMut, FuncType, Instance, TypedFunc, WasmParams, WasmResults};

use super::abi::AbiVersion;
use super::capabilities::Capabilities;

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
    pub(super) resolve_dns: Option<TypedFunc<(u32, u32, u32), ()>>,
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
#[error("export {name} has the wrong type: {reason}")]
pub struct WrongExport {
    name: &'static str,
    reason: String,
}

impl WrongExport {
    pub(super) fn new(name: &'static str, found: &FuncType) -> Self {
        let reason = format!("{found} is not what a plugin has there");
        Self { name, reason }
    }
}

impl Exports {
    /// Looks all of them up. One that `capabilities` leave out is absent, whatever its type.
    pub(super) fn find(
        store: &mut impl AsContextMut,
        instance: &Instance,
        abi: AbiVersion,
        capabilities: &Capabilities,
    ) -> Result<Self, WrongExport> {
        let mut find = Finder {
            store,
            instance,
            capabilities,
        };
        Ok(Self {
            context_create: find.callback("proxy_on_context_create")?,
            vm_start: find.callback("proxy_on_vm_start")?,
            configure: find.callback("proxy_on_configure")?,
            request_headers: find.headers(abi, "proxy_on_request_headers")?,
            request_body: find.callback("proxy_on_request_body")?,
            request_trailers: find.callback("proxy_on_request_trailers")?,
            response_headers: find.headers(abi, "proxy_on_response_headers")?,
            response_body: find.callback("proxy_on_response_body")?,
            response_trailers: find.callback("proxy_on_response_trailers")?,
            http_call_response: find.callback("proxy_on_http_call_response")?,
            grpc_receive_initial_metadata: find
                .callback("proxy_on_grpc_receive_initial_metadata")?,
            grpc_receive: find.callback("proxy_on_grpc_receive")?,
            grpc_receive_trailing_metadata: find
                .callback("proxy_on_grpc_receive_trailing_metadata")?,
            grpc_close: find.callback("proxy_on_grpc_close")?,
            tick: find.callback("proxy_on_tick")?,
            queue_ready: find.callback("proxy_on_queue_ready")?,
            resolve_dns: find.callback("envoy_on_resolve_dns")?,
            log: find.callback("proxy_on_log")?,
            done: find.callback("proxy_on_done")?,
            delete: find.callback("proxy_on_delete")?,
        })
    }
}

/// Looks up the callbacks of an instance.
struct Finder<'a, S> {
    store: &'a mut S,
    instance: &'a Instance,
    capabilities: &'a Capabilities,
}

impl<S: AsContextMut> Finder<'_, S> {
    fn callback<P: WasmParams, R: WasmResults>(
        &mut self,
        name: &'static str,
    ) -> Result<Option<TypedFunc<P, R>>, WrongExport> {
        if self.capabilities.allow(name) {
            export(self.store, self.instance, name)
        } else {
            Ok(None)
        }
    }

    fn headers(
        &mut self,
        abi: AbiVersion,
        name: &'static str,
    ) -> Result<Option<HeadersCallback>, WrongExport> {
        Ok(match abi {
            AbiVersion::V0_1_0 => self.callback(name)?.map(HeadersCallback::WithoutEnd),
            AbiVersion::V0_2_0 | AbiVersion::V0_2_1 => {
                self.callback(name)?.map(HeadersCallback::WithEnd)
            }
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
        Err(reason) => Err(WrongExport {
            name,
            reason: format!("{reason:#}"),
        }),
    }
}
