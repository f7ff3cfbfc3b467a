//! `proxy_http_call`.

use crate::proxy_wasm::call::{CallKind, CallRef};
use crate::proxy_wasm::calls::{self, TokenKind};
use crate::proxy_wasm::memory::{self, Guest, Range};
use crate::proxy_wasm::pairs;
use crate::proxy_wasm::status::{Hostcall, Status};

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
    let token = calls::start(guest, TokenKind::Http, |guest, send| {
        let memory = memory::bytes(guest);
        let length = body_len.to_string();
        let mut headers = pairs::decode(headers.of(memory)?).unwrap_or_default();
        if body_len > 0 {
            headers.retain(|(name, _)| !name.eq_ignore_ascii_case(b"content-length"));
            headers.push((b"content-length", length.as_bytes()));
        }
        send(&CallRef {
            kind: CallKind::Whole,
            cluster: cluster.of(memory)?,
            headers: &headers,
            body: body.of(memory)?,
            trailers: &pairs::decode(trailers.of(memory)?).unwrap_or_default(),
            timeout,
        })
    })?;
    memory::write_u32(guest, out, token)
}
