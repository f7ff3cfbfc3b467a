//! `proxy_get_property`: Envoy's attributes.
//!
//! Numbers are 8 bytes little endian, booleans 1 byte, times and durations nanoseconds, maps
//! pairs. What Envoy derives from the request's headers exists exactly as long as that map does
//! for the plugin. A container as a whole has no wire form.

use std::sync::Arc;

use smallvec::SmallVec;

use crate::proxy_wasm::abi::Map;
use crate::proxy_wasm::exchange::Exchange;
use crate::proxy_wasm::host::{Number, Text};
use crate::proxy_wasm::memory::{self, Guest, Range};
use crate::proxy_wasm::pairs::{Size, Writer};
use crate::proxy_wasm::status::{Hostcall, Status};

/// Components of a path that are kept without allocation; no attribute has more.
const COMPONENTS: usize = 4;

/// The longest path that is looked at, in bytes: longer than any attribute, short enough to copy.
const MAX_PATH: usize = 1024;

pub(in crate::proxy_wasm) fn get(
    guest: &mut Guest<'_>,
    path_ptr: u32,
    path_len: u32,
    out_ptr: u32,
    out_len: u32,
) -> Hostcall {
    let range = Range::check(guest, path_ptr, path_len)?;
    let path = range.of(memory::bytes(guest))?;
    if path.len() > MAX_PATH {
        return Err(Status::NotFound.into());
    }
    // Copied: the guest's allocator runs before the value is written.
    let path: SmallVec<[u8; 64]> = path.into();
    let path = path.strip_suffix(&[0]).unwrap_or(&path);
    let parts: SmallVec<[&[u8]; COMPONENTS]> = path.split(|b| *b == 0).collect();
    let plugin = Arc::clone(&guest.data().plugin);
    match parts.as_slice() {
        [b""] => Err(Status::SerializationFailure.into()),
        [b"plugin_name"] => memory::give(guest, plugin.name.as_bytes(), out_ptr, out_len),
        [b"plugin_root_id"] => memory::give(guest, plugin.root_id.as_bytes(), out_ptr, out_len),
        [b"plugin_vm_id"] => memory::give(guest, plugin.vm_id.as_bytes(), out_ptr, out_len),
        parts => memory::with_exchange(guest, |exchange, guest| {
            let exchange = exchange.ok_or(Status::NotFound)?;
            if matches!(parts, [b"xds", ..]) {
                exchange.refresh_route();
            }
            match attribute(exchange, parts)? {
                Value::Bytes(value) => memory::give(guest, value, out_ptr, out_len),
                Value::Word(word) => memory::give(guest, &word.to_le_bytes(), out_ptr, out_len),
                Value::Flag(flag) => memory::give(guest, &[u8::from(flag)], out_ptr, out_len),
                Value::Joined(joined) => memory::give(guest, &joined, out_ptr, out_len),
                Value::Map(map) => give_map(guest, exchange, map, out_ptr, out_len),
            }
        }),
    }
}

/// The value of an attribute.
enum Value<'a> {
    Bytes(&'a [u8]),
    /// A number, time or duration.
    Word(u64),
    Flag(bool),
    /// All values of a header.
    Joined(Vec<u8>),
    Map(Map),
}

fn attribute<'a>(exchange: &'a Exchange, path: &[&[u8]]) -> Hostcall<Value<'a>> {
    let host = exchange.host();
    let has_request = exchange.view.readable.contains(Map::RequestHeaders);
    let text = |attribute| found(host.text(attribute).map(Value::Bytes));
    let number = |attribute| found(host.number(attribute).map(Value::Word));
    let signed = |value: Option<i64>| found(value.map(|v| Value::Word(v.cast_unsigned())));
    match path {
        [
            b"request" | b"response" | b"connection" | b"source" | b"destination" | b"upstream"
            | b"xds" | b"filter_state" | b"upstream_filter_state",
        ] => Err(Status::SerializationFailure.into()),
        [b"connection_id"] => number(Number::ConnectionId),
        [b"request", name, rest @ ..] => match (*name, rest) {
            (b"time", []) => signed(host.start_time()),
            (b"duration", []) => signed(host.duration()),
            (b"size", []) => number(Number::RequestSize),
            (b"total_size", []) => number(Number::RequestTotalSize),
            (b"protocol", []) => text(Text::RequestProtocol),
            _ if !has_request => Err(Status::NotFound.into()),
            (b"path", []) => text(Text::RequestPath),
            (b"url_path", []) => text(Text::RequestUrlPath),
            (b"host", []) => text(Text::RequestHost),
            (b"scheme", []) => text(Text::RequestScheme),
            (b"method", []) => text(Text::RequestMethod),
            (b"referer", []) => text(Text::RequestReferer),
            (b"useragent", []) => text(Text::RequestUserAgent),
            (b"id", []) => text(Text::RequestId),
            (b"query", []) => {
                let query = host.text(Text::RequestQuery);
                Ok(Value::Bytes(query.unwrap_or_default()))
            }
            (b"headers", []) => Ok(Value::Map(Map::RequestHeaders)),
            (b"headers", [name]) => joined(exchange, Map::RequestHeaders, name),
            _ => Err(Status::NotFound.into()),
        },
        [b"response", name, rest @ ..] => match (*name, rest) {
            (b"code", []) => number(Number::ResponseCode),
            (b"code_details", []) => text(Text::ResponseCodeDetails),
            (b"flags", []) => number(Number::ResponseFlags),
            (b"grpc_status", []) => number(Number::ResponseGrpcStatus),
            (b"size", []) => number(Number::ResponseSize),
            (b"total_size", []) => number(Number::ResponseTotalSize),
            (b"headers", rest) => map(exchange, Map::ResponseHeaders, rest),
            (b"trailers", rest) => map(exchange, Map::ResponseTrailers, rest),
            _ => Err(Status::NotFound.into()),
        },
        [b"source", b"address"] => text(Text::SourceAddress),
        [b"source", b"port"] => number(Number::SourcePort),
        [b"destination", b"address"] => text(Text::DestinationAddress),
        [b"destination", b"port"] => number(Number::DestinationPort),
        [b"connection", b"id"] => number(Number::ConnectionId),
        [b"connection", b"mtls"] => found(host.mtls().map(Value::Flag)),
        [b"connection", b"requested_server_name"] => {
            let name = host.text(Text::ConnectionRequestedServerName);
            Ok(Value::Bytes(name.unwrap_or_default()))
        }
        [b"connection", b"transport_failure_reason"] => {
            text(Text::ConnectionTransportFailureReason)
        }
        [b"connection", b"termination_details"] => text(Text::ConnectionTerminationDetails),
        [b"connection", name] => match tls(name) {
            Some([attribute, _]) => text(attribute),
            None => Err(Status::NotFound.into()),
        },
        [b"upstream", b"address"] => text(Text::UpstreamAddress),
        [b"upstream", b"local_address"] => text(Text::UpstreamLocalAddress),
        [b"upstream", b"port"] => number(Number::UpstreamPort),
        [b"upstream", b"request_attempt_count"] => number(Number::UpstreamRequestAttemptCount),
        [b"upstream", b"transport_failure_reason"] => text(Text::UpstreamTransportFailureReason),
        [b"upstream", name] => match tls(name) {
            Some([_, attribute]) => text(attribute),
            None => Err(Status::NotFound.into()),
        },
        [b"xds", b"cluster_name"] => text(Text::ClusterName),
        [b"xds", b"route_name"] => text(Text::RouteName),
        [b"xds", b"virtual_host_name"] => text(Text::VirtualHostName),
        [b"xds", b"filter_chain_name"] => text(Text::FilterChainName),
        [b"xds", b"listener_direction"] => number(Number::ListenerDirection),
        _ => Err(Status::NotFound.into()),
    }
}

/// Attributes of a TLS connection: towards the client, towards the upstream.
fn tls(name: &[u8]) -> Option<[Text; 2]> {
    Some(match name {
        b"tls_version" => [Text::ConnectionTlsVersion, Text::UpstreamTlsVersion],
        b"subject_local_certificate" => [
            Text::ConnectionSubjectLocalCertificate,
            Text::UpstreamSubjectLocalCertificate,
        ],
        b"subject_peer_certificate" => [
            Text::ConnectionSubjectPeerCertificate,
            Text::UpstreamSubjectPeerCertificate,
        ],
        b"dns_san_local_certificate" => [
            Text::ConnectionDnsSanLocalCertificate,
            Text::UpstreamDnsSanLocalCertificate,
        ],
        b"dns_san_peer_certificate" => [
            Text::ConnectionDnsSanPeerCertificate,
            Text::UpstreamDnsSanPeerCertificate,
        ],
        b"uri_san_local_certificate" => [
            Text::ConnectionUriSanLocalCertificate,
            Text::UpstreamUriSanLocalCertificate,
        ],
        b"uri_san_peer_certificate" => [
            Text::ConnectionUriSanPeerCertificate,
            Text::UpstreamUriSanPeerCertificate,
        ],
        b"sha256_peer_certificate_digest" => [
            Text::ConnectionSha256PeerCertificateDigest,
            Text::UpstreamSha256PeerCertificateDigest,
        ],
        _ => return None,
    })
}

/// A header map, or one of its headers.
fn map<'a>(exchange: &'a Exchange, map: Map, path: &[&[u8]]) -> Hostcall<Value<'a>> {
    match path {
        _ if !exchange.view.readable.contains(map) => Err(Status::NotFound.into()),
        [] => Ok(Value::Map(map)),
        [name] => joined(exchange, map, name),
        _ => Err(Status::NotFound.into()),
    }
}

/// All values of a header, joined by commas.
fn joined<'a>(exchange: &'a Exchange, map: Map, name: &[u8]) -> Hostcall<Value<'a>> {
    let first = exchange.header(map, name).ok_or(Status::NotFound)?;
    let mut values = 0_usize;
    exchange.visit_headers(map, &mut |key, _| {
        values += usize::from(key.eq_ignore_ascii_case(name));
    });
    if values <= 1 {
        return Ok(Value::Bytes(first));
    }
    let mut all = Vec::new();
    exchange.visit_headers(map, &mut |key, value| {
        if key.eq_ignore_ascii_case(name) {
            if !all.is_empty() {
                all.push(b',');
            }
            all.extend_from_slice(value);
        }
    });
    Ok(Value::Joined(all))
}

/// Hands a header map over: a header of several values once, its values joined.
fn give_map(
    guest: &mut Guest<'_>,
    exchange: &Exchange,
    map: Map,
    out_ptr: u32,
    out_len: u32,
) -> Hostcall {
    let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
    exchange.visit_headers(map, &mut |name, value| {
        match entries.iter_mut().find(|(key, _)| key == name) {
            Some((_, values)) => {
                values.push(b',');
                values.extend_from_slice(value);
            }
            None => entries.push((name.to_vec(), value.to_vec())),
        }
    });
    let mut size = Size::default();
    entries
        .iter()
        .for_each(|(name, value)| size.add(name, value));
    memory::give_with(guest, size.encoded(), out_ptr, out_len, |block| {
        let mut writer = Writer::new(size, block);
        entries
            .iter()
            .for_each(|(name, value)| writer.add(name, value));
        writer.complete()
    })
}

fn found<T>(value: Option<T>) -> Hostcall<T> {
    value.ok_or_else(|| Status::NotFound.into())
}
