//! gRPC calls and streams.

use base64ct::{Base64, Encoding as _};

use crate::proxy_wasm::call::{CallKind, CallRef};
use crate::proxy_wasm::calls::{self, TokenKind};
use crate::proxy_wasm::grpc::frame;
use crate::proxy_wasm::memory::{self, Guest, Range};
use crate::proxy_wasm::message::{self, Field};
use crate::proxy_wasm::pairs::{self, Pair};
use crate::proxy_wasm::status::{HostError, Hostcall, Status};

/// A call as the guest gives it.
struct Method {
    service: Range,
    service_name: Range,
    method_name: Range,
    metadata: Range,
}

#[allow(
    clippy::too_many_arguments,
    reason = "the ABI's, each a word of the guest"
)]
pub(in crate::proxy_wasm) fn call(
    guest: &mut Guest<'_>,
    service_ptr: u32,
    service_len: u32,
    name_ptr: u32,
    name_len: u32,
    method_ptr: u32,
    method_len: u32,
    metadata_ptr: u32,
    metadata_len: u32,
    message_ptr: u32,
    message_len: u32,
    timeout: u32,
    out: u32,
) -> Hostcall {
    let method = Method {
        service: Range::check(guest, service_ptr, service_len)?,
        service_name: Range::check(guest, name_ptr, name_len)?,
        method_name: Range::check(guest, method_ptr, method_len)?,
        metadata: Range::check(guest, metadata_ptr, metadata_len)?,
    };
    let message = Range::check(guest, message_ptr, message_len)?;
    memory::block(guest, out, 4)?;
    let body = frame(message.of(memory::bytes(guest))?);
    let token = method.start(guest, TokenKind::GrpcCall, &body, timeout)?;
    memory::write_u32(guest, out, token)
}

#[allow(
    clippy::too_many_arguments,
    reason = "the ABI's, each a word of the guest"
)]
pub(in crate::proxy_wasm) fn stream(
    guest: &mut Guest<'_>,
    service_ptr: u32,
    service_len: u32,
    name_ptr: u32,
    name_len: u32,
    method_ptr: u32,
    method_len: u32,
    metadata_ptr: u32,
    metadata_len: u32,
    out: u32,
) -> Hostcall {
    let method = Method {
        service: Range::check(guest, service_ptr, service_len)?,
        service_name: Range::check(guest, name_ptr, name_len)?,
        method_name: Range::check(guest, method_ptr, method_len)?,
        metadata: Range::check(guest, metadata_ptr, metadata_len)?,
    };
    memory::block(guest, out, 4)?;
    let token = method.start(guest, TokenKind::GrpcStream, &[], 0)?;
    memory::write_u32(guest, out, token)
}

impl Method {
    fn start(
        &self,
        guest: &mut Guest<'_>,
        kind: TokenKind,
        body: &[u8],
        timeout: u32,
    ) -> Hostcall<u32> {
        // The name of a cluster, or a message that has one: the name is tried first, since some
        // names read as messages.
        let named = calls::start(guest, kind, |guest, send| {
            let memory = memory::bytes(guest);
            let service = Service::named(self.service.of(memory)?);
            self.send(memory, &service, kind, body, timeout, send)
        });
        if !matches!(named, Err(HostError::Status(Status::BadArgument))) {
            return named;
        }
        let result = calls::start(guest, kind, |guest, send| {
            let memory = memory::bytes(guest);
            let service = Service::read(self.service.of(memory)?).ok_or(Status::ParseFailure)?;
            self.send(memory, &service, kind, body, timeout, send)
        });
        match result {
            Err(HostError::Status(Status::BadArgument)) => Err(Status::InternalFailure.into()),
            result => result,
        }
    }

    fn send(
        &self,
        memory: &[u8],
        target: &Service<'_>,
        kind: TokenKind,
        body: &[u8],
        timeout: u32,
        send: &mut dyn FnMut(&CallRef<'_>) -> Hostcall,
    ) -> Hostcall {
        let (service, method) = (self.service_name.of(memory)?, self.method_name.of(memory)?);
        let path = [b"/", service, b"/", method].concat();
        let wait = format!("{timeout}m");
        let mut headers: Vec<Pair<'_>> = vec![
            (b":method", b"POST"),
            (b":path", &path),
            (b":authority", target.authority),
            (b"te", b"trailers"),
            (b"content-type", b"application/grpc"),
        ];
        if timeout > 0 {
            headers.push((b"grpc-timeout", wait.as_bytes()));
        }
        headers.extend(&target.metadata);
        headers.extend(pairs::decode(self.metadata.of(memory)?).unwrap_or_default());
        let encoded = headers.iter().map(|header| encode(*header));
        let encoded: Vec<_> = encoded.collect();
        for ((_, value), encoded) in headers.iter_mut().zip(&encoded) {
            if let Some(text) = encoded {
                *value = text.as_bytes();
            }
        }
        send(&CallRef {
            kind: CallKind::Stream {
                end: kind == TokenKind::GrpcCall,
            },
            cluster: target.cluster,
            headers: &headers,
            body,
            trailers: &[],
            timeout,
        })
    }
}

/// As gRPC wants it, the value of a header whose name says that it is not text.
fn encode((name, value): Pair<'_>) -> Option<String> {
    let (_, suffix) = name.split_last_chunk::<4>()?;
    let is_binary = suffix.eq_ignore_ascii_case(b"-bin");
    is_binary.then(|| Base64::encode_string(value))
}

/// Whom a call goes to.
struct Service<'a> {
    cluster: &'a [u8],
    authority: &'a [u8],
    metadata: Vec<Pair<'a>>,
}

impl<'a> Service<'a> {
    /// By the name of a cluster.
    const fn named(cluster: &'a [u8]) -> Self {
        Self {
            cluster,
            authority: cluster,
            metadata: Vec::new(),
        }
    }

    /// As an `envoy.config.core.v3.GrpcService`: `envoy_grpc` and `initial_metadata`.
    fn read(message: &'a [u8]) -> Option<Self> {
        const ENVOY_GRPC: u64 = 1;
        const CLUSTER_NAME: u64 = 1;
        const AUTHORITY: u64 = 2;
        const INITIAL_METADATA: u64 = 5;
        const KEY: u64 = 1;
        const VALUE: u64 = 2;
        const RAW_VALUE: u64 = 3;
        let envoy = field(message, ENVOY_GRPC)?;
        let mut service = Self::named(field(envoy, CLUSTER_NAME)?);
        if let Some(authority) = field(envoy, AUTHORITY).filter(|name| !name.is_empty()) {
            service.authority = authority;
        }
        let visit = |of, found| {
            if let (INITIAL_METADATA, Field::Bytes(header)) = (of, found) {
                let value = field(header, VALUE).or_else(|| field(header, RAW_VALUE));
                let pair = (
                    field(header, KEY).unwrap_or_default(),
                    value.unwrap_or_default(),
                );
                service.metadata.push(pair);
            }
            Ok(())
        };
        message::read(message, visit).ok()?;
        Some(service)
    }
}

/// The last value of a field of bytes.
fn field(message: &[u8], number: u64) -> Option<&[u8]> {
    let mut found = None;
    let visit = |of, field| {
        if let (true, Field::Bytes(bytes)) = (of == number, field) {
            found = Some(bytes);
        }
        Ok(())
    };
    message::read(message, visit).ok()?;
    found
}

pub(in crate::proxy_wasm) fn send(
    guest: &mut Guest<'_>,
    token: u32,
    message_ptr: u32,
    message_len: u32,
    end: u32,
) -> Hostcall {
    let message = Range::check(guest, message_ptr, message_len)?;
    if TokenKind::of(token) != Some(TokenKind::GrpcStream) {
        return Err(Status::BadArgument.into());
    }
    let state = guest.data_mut();
    state.calls.get(token).ok_or(Status::NotFound)?;
    if !state.calls.has_room_for(message_len as usize) {
        return Err(Status::InternalFailure.into());
    }
    let body = frame(message.of(memory::bytes(guest))?);
    let state = guest.data_mut();
    let pending = state.calls.get(token).ok_or(Status::NotFound)?;
    if !pending.is_half_closed {
        pending.is_half_closed = end != 0;
        // What cannot be sent is lost with the stream, whose end is told.
        calls::send(state, token, &body, end != 0);
    }
    Ok(())
}

pub(in crate::proxy_wasm) fn close(guest: &mut Guest<'_>, token: u32) -> Hostcall {
    let state = guest.data_mut();
    match TokenKind::of(token) {
        Some(TokenKind::GrpcCall) => {
            state.calls.get(token).ok_or(Status::NotFound)?;
            calls::cancel(state, token);
        }
        Some(TokenKind::GrpcStream) => {
            let pending = state.calls.get(token).ok_or(Status::NotFound)?;
            if !std::mem::replace(&mut pending.is_half_closed, true) {
                calls::send(state, token, &[], true);
            }
        }
        Some(TokenKind::Http) | None => return Err(Status::BadArgument.into()),
    }
    Ok(())
}

pub(in crate::proxy_wasm) fn cancel(guest: &mut Guest<'_>, token: u32) -> Hostcall {
    if !matches!(
        TokenKind::of(token),
        Some(TokenKind::GrpcCall | TokenKind::GrpcStream)
    ) {
        return Err(Status::BadArgument.into());
    }
    let state = guest.data_mut();
    state.calls.get(token).ok_or(Status::NotFound)?;
    calls::cancel(state, token);
    Ok(())
}
