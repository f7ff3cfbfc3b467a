//! `proxy_http_call`.

use crate::proxy_wasm::call::{Call, CallError, CallRef};
use crate::proxy_wasm::exchange::{Carrier, OpenCall};
use crate::proxy_wasm::memory::{self, Guest, Range};
use crate::proxy_wasm::pairs;
use crate::proxy_wasm::status::{HostError, Hostcall, Status};

/// The most calls of an instance whose answers are to come (`limits.openCallouts` of the
/// contract): each holds buffers and a request of Envoy's.
pub(in crate::proxy_wasm) const MAX_OPEN: usize = 1024;

/// The kind of a token, in its low bits.
const HTTP: u32 = 0;

impl From<CallError> for HostError {
    fn from(error: CallError) -> Self {
        Self::Status(match error {
            CallError::ClusterNotFound | CallError::MissingHeaders => Status::BadArgument,
            CallError::Unavailable => Status::InternalFailure,
        })
    }
}

#[allow(
    clippy::too_many_arguments,
    reason = "the ABI's, each a word of the guest"
)]
pub(in crate::proxy_wasm) fn http_call(
    guest: &mut Guest<'_>,
    cluster_ptr: u32,
    cluster_len: u32,
    headers_ptr: u32,
    headers_len: u32,
    body_ptr: u32,
    body_len: u32,
    trailers_ptr: u32,
    trailers_len: u32,
    timeout: u32,
    out: u32,
) -> Hostcall {
    let cluster = Range::check(guest, cluster_ptr, cluster_len)?;
    let headers = Range::check(guest, headers_ptr, headers_len)?;
    let body = Range::check(guest, body_ptr, body_len)?;
    let trailers = Range::check(guest, trailers_ptr, trailers_len)?;
    // Known to be writable before anything is sent, and 0 unless something is.
    memory::write_u32(guest, out, 0)?;
    if timeout.cast_signed() < 0 {
        return Err(Status::BadArgument.into());
    }
    let state = guest.data_mut();
    if state.calls.len() >= MAX_OPEN {
        return Err(Status::InternalFailure.into());
    }
    let token = (state.last_call.wrapping_add(1) << 2) | HTTP;
    // Out of the store, so that the call can stay in the guest's memory.
    let mut exchange = state.exchange.take();
    let mut callouts = state.callouts.take();
    let mut work = || {
        let memory = memory::bytes(guest);
        let length = body_len.to_string();
        let mut headers = pairs::decode(headers.of(memory)?).unwrap_or_default();
        if body_len > 0 {
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case(b"content-length"));
            headers.push((b"content-length", length.as_bytes()));
        }
        let call = CallRef {
            cluster: cluster.of(memory)?,
            headers: &headers,
            body: body.of(memory)?,
            trailers: &pairs::decode(trailers.of(memory)?).unwrap_or_default(),
            timeout,
        };
        if !call.is_complete() {
            return Err(HostError::from(CallError::MissingHeaders));
        }
        let Some(exchange) = exchange.as_deref_mut() else {
            return match callouts.as_deref_mut() {
                Some(callouts) => Ok(Sent::MainThread(callouts.http_call(&call)?)),
                None => Ok(Sent::Later(call.to_owned())),
            };
        };
        if exchange.carrier == Carrier::Stream {
            let id = exchange.host_mut().http_call(&call)?;
            let plugin = exchange.plugin;
            exchange.calls.push(OpenCall { id, plugin, token });
            return Ok(Sent::Stream);
        }
        if !exchange.host_mut().has_cluster(call.cluster) {
            return Err(CallError::ClusterNotFound.into());
        }
        if exchange.carrier == Carrier::StreamIfPaused {
            let waiting = (exchange.plugin, token, call.to_owned());
            exchange.waiting_calls.push(waiting);
            return Ok(Sent::Stream);
        }
        Ok(Sent::Later(call.to_owned()))
    };
    let result = work();
    let state = guest.data_mut();
    state.exchange = exchange;
    state.callouts = callouts;
    // Only what went wrong before it was tried leaves the number free.
    if !matches!(result, Err(HostError::Status(Status::BadArgument))) {
        state.last_call = state.last_call.wrapping_add(1);
    }
    match result? {
        Sent::Stream => {}
        Sent::MainThread(id) => state.outbox.sent.push((id, token)),
        Sent::Later(call) => state.outbox.calls.push((token, call)),
    }
    state.calls.insert(token);
    memory::write_u32(guest, out, token)
}

/// Who has a call now.
enum Sent {
    Stream,
    MainThread(u64),
    Later(Call),
}
