//! Properties as guests read and set them.

mod metadata;
mod set;

use super::*;
use crate::proxy_wasm::abi::Map;
use crate::proxy_wasm::exchange::Maps;
use crate::proxy_wasm::host::{Datum, Number, Span, Text};
use crate::proxy_wasm::message::Message;
use crate::proxy_wasm::pairs;
use crate::proxy_wasm::testing::{Bench, ROOT, Stream};

fn int(number: i64) -> Result<Vec<u8>, Status> {
    Ok(number.to_le_bytes().to_vec())
}

fn text(text: &str) -> Result<Vec<u8>, Status> {
    Ok(text.as_bytes().to_vec())
}

fn double(number: f64) -> Result<Vec<u8>, Status> {
    Ok(number.to_le_bytes().to_vec())
}

const NOT_FOUND: Result<Vec<u8>, Status> = Err(Status::NotFound);
const NO_WIRE_FORM: Result<Vec<u8>, Status> = Err(Status::SerializationFailure);

/// Pairs in order of their names.
fn entries(encoded: &[u8]) -> Vec<(String, Vec<u8>)> {
    let pairs = pairs::decode(encoded).unwrap().into_iter();
    let entry = |(name, value): (&[u8], &[u8])| {
        (String::from_utf8_lossy(name).into_owned(), value.to_vec())
    };
    let mut entries: Vec<_> = pairs.map(entry).collect();
    entries.sort();
    entries
}

fn get(bench: &mut Bench, table: &[(&str, Result<Vec<u8>, Status>)]) {
    for (path, expected) in table {
        assert_eq!(bench.get_property(path), *expected, "{path}");
    }
}

/// A stream of which everything is known.
fn everything() -> Stream {
    use {Number as N, Text as T};
    const TEXTS: [Text; 39] = [
        T::RequestPath,
        T::RequestUrlPath,
        T::RequestHost,
        T::RequestScheme,
        T::RequestMethod,
        T::RequestReferer,
        T::RequestUserAgent,
        T::RequestId,
        T::RequestProtocol,
        T::RequestQuery,
        T::ResponseCodeDetails,
        T::SourceAddress,
        T::DestinationAddress,
        T::ConnectionRequestedServerName,
        T::ConnectionTlsVersion,
        T::ConnectionSubjectLocalCertificate,
        T::ConnectionSubjectPeerCertificate,
        T::ConnectionDnsSanLocalCertificate,
        T::ConnectionDnsSanPeerCertificate,
        T::ConnectionUriSanLocalCertificate,
        T::ConnectionUriSanPeerCertificate,
        T::ConnectionSha256PeerCertificateDigest,
        T::ConnectionTransportFailureReason,
        T::ConnectionTerminationDetails,
        T::UpstreamAddress,
        T::UpstreamLocalAddress,
        T::UpstreamTlsVersion,
        T::UpstreamSubjectLocalCertificate,
        T::UpstreamSubjectPeerCertificate,
        T::UpstreamDnsSanLocalCertificate,
        T::UpstreamDnsSanPeerCertificate,
        T::UpstreamUriSanLocalCertificate,
        T::UpstreamUriSanPeerCertificate,
        T::UpstreamSha256PeerCertificateDigest,
        T::UpstreamTransportFailureReason,
        T::ClusterName,
        T::RouteName,
        T::VirtualHostName,
        T::FilterChainName,
    ];
    const NUMBERS: [Number; 13] = [
        N::RequestSize,
        N::RequestTotalSize,
        N::ResponseCode,
        N::ResponseFlags,
        N::ResponseGrpcStatus,
        N::ResponseSize,
        N::ResponseTotalSize,
        N::SourcePort,
        N::DestinationPort,
        N::ConnectionId,
        N::UpstreamPort,
        N::UpstreamRequestAttemptCount,
        N::ListenerDirection,
    ];
    let metadata = |source| ((source, "ns", "key"), Datum::Flag(true));
    let sources = [
        Source::Dynamic,
        Source::Route,
        Source::Cluster,
        Source::UpstreamHost,
        Source::UpstreamLocality,
    ];
    Stream {
        texts: TEXTS.map(|text| (text, "text")).to_vec(),
        numbers: NUMBERS.map(|number| (number, 1)).to_vec(),
        mtls: Some(true),
        start_time: Some(1),
        duration: Some(1),
        backend_latency: Some(1),
        cluster_hosts: Some(1),
        metadata: sources.map(metadata).to_vec(),
        ..Stream::default()
    }
    .with_headers(Map::RequestHeaders, &[(":path", "/")])
    .with_headers(Map::ResponseHeaders, &[(":status", "200")])
    .with_headers(Map::ResponseTrailers, &[("x", "y")])
}

/// A request with its response.
fn stream() -> Stream {
    Stream {
        texts: vec![
            (Text::RequestPath, "/a?b=c"),
            (Text::RequestUrlPath, "/a"),
            (Text::RequestMethod, "GET"),
            (Text::RequestProtocol, "HTTP/2"),
            (Text::SourceAddress, "10.0.0.1:1234"),
            (Text::ClusterName, "cluster"),
            (Text::RouteName, "route"),
        ],
        numbers: vec![
            (Number::RequestSize, 3),
            (Number::ResponseCode, 200),
            (Number::ResponseSize, 10),
            (Number::SourcePort, 1234),
            (Number::ConnectionId, 7),
            (Number::UpstreamRequestAttemptCount, 1),
        ],
        start_time: Some(1_700_000_000_000_000_001),
        backend_latency: Some(2_500_000),
        cluster_hosts: Some(3),
        ..Stream::default()
    }
    .with_headers(
        Map::RequestHeaders,
        &[(":path", "/a?b=c"), ("x-a", "1"), ("x-b", ""), ("X-A", "2")],
    )
    .with_headers(Map::ResponseHeaders, &[(":status", "200")])
}

#[test]
fn what_is_listed_is_served_or_listed_as_missing() {
    let plain = served::ATTRIBUTES
        .iter()
        .filter(|attribute| !attribute.path.bytes().any(|byte| byte.is_ascii_uppercase()));
    for attribute in plain {
        let path = attribute.path;
        let missing = missing::MISSING.iter().find(|missing| missing.path == path);
        let is_served = missing.is_none_or(|missing| missing.state == missing::State::Partly);
        let mut bench = Bench::on_stream(everything());
        match bench.get_property(path) {
            Ok(_) | Err(Status::SerializationFailure) => assert!(is_served, "{path} is served"),
            // The node is that of a process with a bootstrap.
            Err(Status::NotFound) if path == "xds.node" => {}
            Err(status) => assert!(!is_served, "{path}: {status:?}"),
        }
    }
    for missing in missing::MISSING {
        let is_listed = |attribute: &served::Attribute| attribute.path == missing.path;
        assert!(served::ATTRIBUTES.iter().any(is_listed), "{}", missing.path);
    }
}

#[test]
fn attributes_in_their_forms() {
    let mut bench = Bench::on_stream(stream());
    get(
        &mut bench,
        &[
            ("plugin_name", text("default.test")),
            ("plugin_root_id", text("root")),
            ("plugin_vm_id", text("vm")),
            ("connection_id", int(7)),
            ("request.path", text("/a?b=c")),
            ("request.url_path", text("/a")),
            ("request.query", text("")),
            ("request.method", text("GET")),
            ("request.protocol", text("HTTP/2")),
            ("request.time", int(1_700_000_000_000_000_001)),
            ("request.size", int(3)),
            ("request.total_size", int(3 + 11 + 4 + 3 + 4)),
            ("request.headers_bytes", int(11 + 4 + 3 + 4)),
            ("request.headers.x-a", text("1,2")),
            ("request.headers.X-B", text("")),
            ("request.headers.nope", NOT_FOUND),
            ("request.headers.x-a.more", NOT_FOUND),
            ("request.referer", NOT_FOUND),
            ("request.duration", NOT_FOUND),
            ("request.nope", NOT_FOUND),
            ("response.code", int(200)),
            ("response.size", int(10)),
            ("response.total_size", int(20)),
            ("response.headers_bytes", int(10)),
            ("response.headers.:status", text("200")),
            ("response.trailers", Ok(vec![0; 4])),
            ("response.backend_latency", int(2_500_000)),
            ("source.address", text("10.0.0.1:1234")),
            ("source.port", int(1234)),
            ("destination.port", NOT_FOUND),
            ("connection.id", int(7)),
            ("connection.mtls", Ok(vec![0])),
            ("connection.requested_server_name", text("")),
            ("connection.tls_version", NOT_FOUND),
            ("connection.uri_san_peer_certificate", NOT_FOUND),
            ("upstream.address", NOT_FOUND),
            ("upstream.num_endpoints", int(3)),
            ("upstream.transport_failure_reason", NOT_FOUND),
            ("upstream.request_attempt_count", int(1)),
            ("xds.cluster_name", text("cluster")),
            ("xds.route_name", text("route")),
            ("xds.route_name.more", NOT_FOUND),
            ("xds.node", NOT_FOUND),
            ("xds.node.id", NOT_FOUND),
            ("nope", NOT_FOUND),
            ("nope.nope", NOT_FOUND),
        ],
    );
}

#[test]
fn a_header_map_has_each_name_once() {
    let mut bench = Bench::on_stream(stream());
    let headers = bench.get_property("request.headers").unwrap();
    // The fake keeps the names as they were written; Envoy's are lower case.
    let names: Vec<_> = entries(&headers)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, [":path", "X-A", "x-a", "x-b"]);
    bench
        .exchange()
        .add_header(Map::RequestHeaders, b"x-b", b"3");
    let headers = bench.get_property("request.headers").unwrap();
    assert!(entries(&headers).contains(&("x-b".to_owned(), b",3".to_vec())));
}

#[test]
fn content_length_is_the_size_of_a_request() {
    for (value, expected) in [("42", 42), (" 42 ", 42), ("many", 3), ("", 3)] {
        let headers = [("content-length", value)];
        let stream = stream().with_headers(Map::RequestHeaders, &headers);
        let mut bench = Bench::on_stream(stream);
        assert_eq!(
            bench.get_property("request.size"),
            int(expected),
            "{value:?}"
        );
    }
}

#[test]
fn what_comes_from_headers_goes_with_them() {
    let mut bench = Bench::on_stream(stream());
    bench.exchange().view.readable = Maps::NONE;
    get(
        &mut bench,
        &[
            ("request.path", NOT_FOUND),
            ("request.headers", Ok(vec![0; 4])),
            ("request.headers.x-a", NOT_FOUND),
            ("request.headers_bytes", int(0)),
            ("request.query", NOT_FOUND),
            ("request.total_size", int(3)),
            ("request.size", int(3)),
            ("request.protocol", text("HTTP/2")),
            ("response.headers", Ok(vec![0; 4])),
            ("response.headers.:status", NOT_FOUND),
            ("response.headers_bytes", int(0)),
            ("response.total_size", int(10)),
            ("response.code", int(200)),
        ],
    );
}

#[test]
fn a_connection_with_tls() {
    let mut bench = Bench::on_stream(Stream {
        texts: vec![
            (Text::ConnectionTlsVersion, "TLSv1.3"),
            (Text::ConnectionSubjectPeerCertificate, ""),
            (Text::UpstreamTlsVersion, "TLSv1.2"),
            (Text::UpstreamUriSanPeerCertificate, "spiffe://a"),
        ],
        mtls: Some(true),
        ..Stream::default()
    });
    get(
        &mut bench,
        &[
            ("connection.mtls", Ok(vec![1])),
            ("connection.tls_version", text("TLSv1.3")),
            ("connection.subject_peer_certificate", text("")),
            ("connection.uri_san_peer_certificate", NO_WIRE_FORM),
            ("upstream.tls_version", text("TLSv1.2")),
            ("upstream.uri_san_peer_certificate", text("spiffe://a")),
            ("upstream.dns_san_peer_certificate", NO_WIRE_FORM),
        ],
    );
}

#[test]
fn containers_have_no_wire_form() {
    let mut bench = Bench::on_stream(stream());
    assert_eq!(bench.get_property("upstream_filter_state"), NOT_FOUND);
    let mut stream = stream();
    stream
        .texts
        .push((Text::UpstreamLocalAddress, "10.0.0.3:4444"));
    let mut bench = Bench::on_stream(stream);
    for path in [
        "",
        "request",
        "response",
        "connection",
        "source",
        "destination",
        "upstream",
        "xds",
        "filter_state",
        "upstream_filter_state",
    ] {
        assert_eq!(bench.get_property(path), NO_WIRE_FORM, "{path}");
    }
}

#[test]
fn one_nul_at_the_end_is_tolerated() {
    let mut bench = Bench::on_stream(stream());
    assert_eq!(bench.get_property("request.method."), text("GET"));
    assert_eq!(bench.get_property("request.method.."), NOT_FOUND);
    assert_eq!(bench.get_property("."), NOT_FOUND);
    let long = format!("request.headers.{}", "x".repeat(2000));
    assert_eq!(bench.get_property(&long), NOT_FOUND);
}

#[test]
fn root_contexts_have_their_plugin_alone() {
    let mut bench = Bench::on_root();
    get(
        &mut bench,
        &[
            ("plugin_name", text("default.test")),
            ("request.path", NOT_FOUND),
            ("request", NOT_FOUND),
            ("metadata", NOT_FOUND),
            ("mine", NOT_FOUND),
            ("xds", NO_WIRE_FORM),
        ],
    );
    assert_eq!(bench.set_property("mine", b"value"), Status::NotFound);
}

#[test]
fn the_route_is_picked_anew_before_it_is_asked_for() {
    let mut bench = Bench::on_stream(stream());
    bench
        .exchange()
        .set_header(Map::RequestHeaders, b"x-a", b"3");
    assert_eq!(bench.get_property("request.path"), text("/a?b=c"));
    assert!(bench.exchange().has_stale_route());
    assert_eq!(bench.get_property("xds.route_name"), text("route"));
    assert!(!bench.exchange().has_stale_route());
}

#[test]
fn the_list_of_what_is_missing_is_in_order() {
    for missing in missing::MISSING {
        assert!(
            !missing.path.is_empty() && !missing.reason.is_empty(),
            "{missing:?}"
        );
        assert!(!missing.reason.ends_with('.'), "{missing:?}");
    }
    let mut paths: Vec<_> = missing::MISSING
        .iter()
        .map(|missing| missing.path)
        .collect();
    paths.sort_unstable();
    paths.dedup();
    assert_eq!(paths.len(), missing::MISSING.len());
}
