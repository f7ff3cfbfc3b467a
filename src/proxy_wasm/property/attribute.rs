//! Envoy's attributes.

use super::{Value, joined};
use crate::proxy_wasm::abi::Map;
use crate::proxy_wasm::exchange::Exchange;
use crate::proxy_wasm::host::{Number, Text};
use crate::proxy_wasm::status::{Hostcall, Status};

/// An end of the client's connection.
#[derive(Clone, Copy)]
pub(super) enum Peer {
    Source,
    Destination,
}

pub(super) fn request<'a>(
    exchange: &'a Exchange,
    name: &[u8],
    rest: &[&[u8]],
) -> Hostcall<Value<'a>> {
    let host = exchange.host();
    let has_headers = exchange.view.readable.contains(Map::RequestHeaders);
    match (name, rest) {
        (b"time", []) => found(host.start_time().map(Value::Timestamp)),
        (b"duration", []) => found(host.duration().map(Value::Duration)),
        (b"size", []) => match content_length(exchange) {
            Some(length) if has_headers => Ok(Value::Int(length)),
            _ => integer(exchange, Number::RequestSize),
        },
        (b"total_size", []) => with_headers(exchange, Number::RequestSize, &[Map::RequestHeaders]),
        (b"protocol", []) => text(exchange, Text::RequestProtocol),
        (b"headers_bytes", []) => Ok(Value::Int(size(exchange, Map::RequestHeaders))),
        (b"headers", rest) => map(exchange, Map::RequestHeaders, rest),
        _ if !has_headers => Err(Status::NotFound.into()),
        (b"path", []) => text(exchange, Text::RequestPath),
        (b"url_path", []) => text(exchange, Text::RequestUrlPath),
        (b"host", []) => text(exchange, Text::RequestHost),
        (b"scheme", []) => text(exchange, Text::RequestScheme),
        (b"method", []) => text(exchange, Text::RequestMethod),
        (b"referer", []) => text(exchange, Text::RequestReferer),
        (b"useragent", []) => text(exchange, Text::RequestUserAgent),
        (b"id", []) => text(exchange, Text::RequestId),
        (b"query", []) => text_or_empty(exchange, Text::RequestQuery),
        _ => Err(Status::NotFound.into()),
    }
}

pub(super) fn response<'a>(
    exchange: &'a Exchange,
    name: &[u8],
    rest: &[&[u8]],
) -> Hostcall<Value<'a>> {
    match (name, rest) {
        (b"code", []) => match &exchange.reply {
            Some(reply) => Ok(Value::Int(reply.status.into())),
            None => integer(exchange, Number::ResponseCode),
        },
        (b"code_details", []) => match &exchange.reply {
            Some(reply) => Ok(Value::text(reply.details.as_slice())),
            None => text(exchange, Text::ResponseCodeDetails),
        },
        (b"flags", []) => integer(exchange, Number::ResponseFlags),
        (b"grpc_status", []) => integer(exchange, Number::ResponseGrpcStatus),
        (b"size", []) => integer(exchange, Number::ResponseSize),
        (b"total_size", []) => with_headers(
            exchange,
            Number::ResponseSize,
            &[Map::ResponseHeaders, Map::ResponseTrailers],
        ),
        (b"backend_latency", []) => found(exchange.host().backend_latency().map(Value::Duration)),
        (b"headers_bytes", []) => Ok(Value::Int(size(exchange, Map::ResponseHeaders))),
        (b"headers", rest) => map(exchange, Map::ResponseHeaders, rest),
        (b"trailers", rest) => map(exchange, Map::ResponseTrailers, rest),
        _ => Err(Status::NotFound.into()),
    }
}

pub(super) fn connection<'a>(exchange: &'a Exchange, name: &[u8]) -> Hostcall<Value<'a>> {
    match name {
        b"id" => found(
            exchange
                .host()
                .number(Number::ConnectionId)
                .map(Value::Uint),
        ),
        b"mtls" => Ok(Value::Bool(exchange.host().mtls().unwrap_or(false))),
        b"requested_server_name" => text_or_empty(exchange, Text::ConnectionRequestedServerName),
        b"transport_failure_reason" => text(exchange, Text::ConnectionTransportFailureReason),
        b"termination_details" => text(exchange, Text::ConnectionTerminationDetails),
        name => match tls(name) {
            Some([attribute, _]) => of_tls(exchange, attribute, Text::ConnectionTlsVersion),
            None => Err(Status::NotFound.into()),
        },
    }
}

pub(super) fn upstream<'a>(exchange: &'a Exchange, name: &[u8]) -> Hostcall<Value<'a>> {
    let host = exchange.host();
    match name {
        b"address" => text(exchange, Text::UpstreamAddress),
        b"local_address" => text(exchange, Text::UpstreamLocalAddress),
        b"port" => integer(exchange, Number::UpstreamPort),
        b"request_attempt_count" => found(
            host.number(Number::UpstreamRequestAttemptCount)
                .map(Value::Uint),
        ),
        b"num_endpoints" => found(host.cluster_hosts().map(Value::Uint)),
        b"transport_failure_reason" if host.text(Text::UpstreamAddress).is_some() => {
            text_or_empty(exchange, Text::UpstreamTransportFailureReason)
        }
        b"transport_failure_reason" => text(exchange, Text::UpstreamTransportFailureReason),
        name => match tls(name) {
            Some([_, attribute]) => of_tls(exchange, attribute, Text::UpstreamTlsVersion),
            None => Err(Status::NotFound.into()),
        },
    }
}

pub(super) fn peer<'a>(exchange: &'a Exchange, name: &[u8], peer: Peer) -> Hostcall<Value<'a>> {
    match (name, peer) {
        (b"address", Peer::Source) => text(exchange, Text::SourceAddress),
        (b"port", Peer::Source) => integer(exchange, Number::SourcePort),
        (b"address", Peer::Destination) => text(exchange, Text::DestinationAddress),
        (b"port", Peer::Destination) => integer(exchange, Number::DestinationPort),
        _ => Err(Status::NotFound.into()),
    }
}

pub(super) fn xds<'a>(exchange: &'a Exchange, name: &[u8]) -> Hostcall<Value<'a>> {
    match name {
        b"cluster_name" => text(exchange, Text::ClusterName),
        b"route_name" => text(exchange, Text::RouteName),
        b"virtual_host_name" => text(exchange, Text::VirtualHostName),
        b"filter_chain_name" => text(exchange, Text::FilterChainName),
        b"listener_direction" => integer(exchange, Number::ListenerDirection),
        _ => Err(Status::NotFound.into()),
    }
}

fn found<T>(value: Option<T>) -> Hostcall<T> {
    value.ok_or_else(|| Status::NotFound.into())
}

fn text(exchange: &Exchange, attribute: Text) -> Hostcall<Value<'_>> {
    found(exchange.host().text(attribute).map(Value::text))
}

fn text_or_empty(exchange: &Exchange, attribute: Text) -> Hostcall<Value<'_>> {
    let text = exchange.host().text(attribute);
    Ok(Value::text(text.unwrap_or_default()))
}

fn integer(exchange: &Exchange, attribute: Number) -> Hostcall<Value<'static>> {
    let number = exchange.host().number(attribute);
    found(number.map(|number| Value::Int(number.cast_signed())))
}

/// An attribute of a TLS connection. On one that has it not, such as a certificate without names,
/// it is null.
fn of_tls(exchange: &Exchange, attribute: Text, version: Text) -> Hostcall<Value<'_>> {
    match exchange.host().text(attribute) {
        Some(value) => Ok(Value::text(value)),
        None if exchange.host().text(version).is_some() => Ok(Value::Null),
        None => Err(Status::NotFound.into()),
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

/// A header map, or one of its headers. In a map as a whole a header stands once, its values
/// joined; one that does not exist is an empty one.
fn map<'a>(exchange: &'a Exchange, map: Map, path: &[&[u8]]) -> Hostcall<Value<'a>> {
    match path {
        [] if !exchange.view.readable.contains(map) => Ok(Value::Map(Vec::new())),
        _ if !exchange.view.readable.contains(map) => Err(Status::NotFound.into()),
        [] => {
            let mut entries: Vec<(Vec<u8>, Vec<u8>)> = Vec::new();
            exchange.visit_headers(map, &mut |name, value| match entries
                .iter_mut()
                .find(|(key, _)| key == name)
            {
                Some((_, values)) => {
                    values.push(b',');
                    values.extend_from_slice(value);
                }
                None => entries.push((name.to_vec(), value.to_vec())),
            });
            let entry = |(name, value): (Vec<u8>, Vec<u8>)| (name.into(), Value::text(value));
            Ok(Value::Map(entries.into_iter().map(entry).collect()))
        }
        [name] => joined(exchange, map, name),
        _ => Err(Status::NotFound.into()),
    }
}

/// Bytes of all names and values of a map, as far as it is there.
fn size(exchange: &Exchange, map: Map) -> i64 {
    let mut bytes = 0_usize;
    if exchange.view.readable.contains(map) {
        exchange.visit_headers(map, &mut |name, value| bytes += name.len() + value.len());
    }
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

/// The bytes of a body so far, and those of its headers and trailers as far as they are there.
fn with_headers(exchange: &Exchange, body: Number, maps: &[Map]) -> Hostcall<Value<'static>> {
    let body = found(exchange.host().number(body))?.cast_signed();
    let headers: i64 = maps.iter().map(|map| size(exchange, *map)).sum();
    Ok(Value::Int(body.saturating_add(headers)))
}

fn content_length(exchange: &Exchange) -> Option<i64> {
    let length = exchange.header(Map::RequestHeaders, b"content-length")?;
    std::str::from_utf8(length).ok()?.trim().parse().ok()
}
