//! What a guest asks of the stream itself: `proxy_continue_stream`, `proxy_close_stream`,
//! `proxy_send_local_response`, and the calls that ABI 0.1.0 has instead.
//!
//! Nothing happens here: the chain acts when the guest's callback has returned, as Envoy does.

use crate::proxy_wasm::exchange::Reply;
use crate::proxy_wasm::limits::{MAX_DETAILS, MAX_REPLIES};
use crate::proxy_wasm::memory::{self, Guest, Range};
use crate::proxy_wasm::pairs;
use crate::proxy_wasm::status::{Hostcall, Status};

/// `proxy_stream_type_t`.
mod stream_type {
    pub(super) const REQUEST: u32 = 0;
    pub(super) const RESPONSE: u32 = 1;
    pub(super) const DOWNSTREAM: u32 = 2;
    pub(super) const UPSTREAM: u32 = 3;
}

pub(in crate::proxy_wasm) fn continue_stream(guest: &mut Guest<'_>, stream: u32) -> Hostcall {
    match stream {
        stream_type::REQUEST | stream_type::RESPONSE => {
            memory::ask(guest, |actions| match stream {
                stream_type::REQUEST => actions.resume_request = true,
                _ => actions.resume_response = true,
            });
            // Whichever way it goes on: the request is out of the guest's hands.
            memory::with_exchange(guest, |exchange, _| {
                if let Some(exchange) = exchange {
                    exchange.view.forget_request();
                }
            });
            Ok(())
        }
        // An HTTP stream has no such thing to continue.
        stream_type::DOWNSTREAM => Ok(()),
        stream_type::UPSTREAM => Err(Status::Unimplemented.into()),
        _ => Err(Status::BadArgument.into()),
    }
}

pub(in crate::proxy_wasm) fn continue_request(guest: &mut Guest<'_>) -> Hostcall {
    continue_stream(guest, stream_type::REQUEST)
}

pub(in crate::proxy_wasm) fn continue_response(guest: &mut Guest<'_>) -> Hostcall {
    continue_stream(guest, stream_type::RESPONSE)
}

pub(in crate::proxy_wasm) fn close_stream(guest: &mut Guest<'_>, stream: u32) -> Hostcall {
    match stream {
        stream_type::REQUEST | stream_type::RESPONSE => {
            memory::ask(guest, |actions| actions.close = true);
            Ok(())
        }
        stream_type::DOWNSTREAM | stream_type::UPSTREAM => Ok(()),
        _ => Err(Status::BadArgument.into()),
    }
}

pub(in crate::proxy_wasm) fn clear_route_cache(guest: &mut Guest<'_>) -> Hostcall {
    memory::with_exchange(guest, |exchange, _| {
        if let Some(exchange) = exchange {
            exchange.clear_route();
        }
    });
    Ok(())
}

#[allow(
    clippy::too_many_arguments,
    reason = "the ABI's, each a word of the guest"
)]
pub(in crate::proxy_wasm) fn send_local_response(
    guest: &mut Guest<'_>,
    status: u32,
    details_ptr: u32,
    details_len: u32,
    body_ptr: u32,
    body_len: u32,
    headers_ptr: u32,
    headers_len: u32,
    grpc_status: u32,
) -> Hostcall {
    let details = Range::check(guest, details_ptr, details_len)?;
    let body = Range::check(guest, body_ptr, body_len)?;
    let headers = Range::check(guest, headers_ptr, headers_len)?;
    let replied = guest.data().replied.saturating_add(body_len as usize);
    if details_len as usize > MAX_DETAILS || replied > MAX_REPLIES {
        return Err(Status::InternalFailure.into());
    }
    guest.data_mut().replied = replied;
    let memory = memory::bytes(guest);
    // Access logs are split at white space.
    let details = details.of(memory)?.iter().map(|b| match b {
        b if b.is_ascii_whitespace() => b'_',
        b => *b,
    });
    // Malformed headers are none, as in Envoy.
    let headers = pairs::decode(headers.of(memory)?).unwrap_or_default();
    let own = |(name, value): (&[u8], &[u8])| (name.to_ascii_lowercase(), value.to_vec());
    let reply = Reply {
        status,
        headers: headers.into_iter().map(own).collect(),
        body: body.of(memory)?.to_vec(),
        details: details.collect(),
        // What is no status of gRPC is none: SDKs pass -1.
        grpc_status: (grpc_status <= 16).then_some(grpc_status),
        ..Reply::default()
    };
    memory::ask(guest, |actions| match &mut actions.reply {
        Some(first) => first.details = reply.details,
        none => *none = Some(Box::new(reply)),
    });
    Ok(())
}
