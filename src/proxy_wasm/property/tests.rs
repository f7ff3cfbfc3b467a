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
    stream.texts.push((Text::UpstreamLocalAddress, "10.0.0.3:4444"));
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

fn with_metadata(metadata: Vec<(Source, &'static str, &'static str, Datum<'static>)>) -> Stream {
    let entry = |(source, namespace, key, datum)| ((source, namespace, key), datum);
    Stream {
        metadata: metadata.into_iter().map(entry).collect(),
        typed_metadata: vec![(Source::Dynamic, "typed", &[8, 1])],
        ..stream()
    }
}

#[test]
fn metadata_by_namespace_and_key() {
    let list = Datum::List(vec![
        Datum::Text(b"x"),
        Datum::Number(2.0),
        Datum::Flag(true),
    ]);
    let mut bench = Bench::on_stream(with_metadata(vec![
        (Source::Dynamic, "ns", "text", Datum::Text(b"value")),
        (Source::Dynamic, "ns", "number", Datum::Number(1.5)),
        (Source::Dynamic, "ns", "flag", Datum::Flag(true)),
        (Source::Dynamic, "ns", "list", list),
        (Source::Route, "route", "key", Datum::Text(b"of the route")),
        (
            Source::Cluster,
            "cluster",
            "key",
            Datum::Text(b"of the cluster"),
        ),
    ]));
    get(
        &mut bench,
        &[
            ("metadata.filter_metadata.ns.text", text("value")),
            ("metadata.filter_metadata.ns.number", double(1.5)),
            ("metadata.filter_metadata.ns.flag", Ok(vec![1])),
            ("metadata.filter_metadata.ns.list.0", text("x")),
            ("metadata.filter_metadata.ns.list.1", double(2.0)),
            ("metadata.filter_metadata.ns.list.3", NOT_FOUND),
            ("metadata.filter_metadata.ns.list.x", NOT_FOUND),
            ("metadata.filter_metadata.ns.text.0", NOT_FOUND),
            ("metadata.filter_metadata.ns.nope", NOT_FOUND),
            ("metadata.filter_metadata.nope", NOT_FOUND),
            ("metadata.filter_metadata.nope.nope", NOT_FOUND),
            ("metadata.nope", NOT_FOUND),
            ("metadata.typed_filter_metadata.typed", Ok(vec![8, 1])),
            ("metadata.typed_filter_metadata.nope", NOT_FOUND),
            (
                "xds.route_metadata.filter_metadata.route.key",
                text("of the route"),
            ),
            (
                "xds.cluster_metadata.filter_metadata.cluster.key",
                text("of the cluster"),
            ),
            ("xds.upstream_host_metadata.filter_metadata.a.b", NOT_FOUND),
            ("xds.upstream_host_metadata", NOT_FOUND),
            ("xds.listener_metadata.filter_metadata.a.b", NOT_FOUND),
        ],
    );
    let list = bench
        .get_property("metadata.filter_metadata.ns.list")
        .unwrap();
    let names = pairs::decode(&list).unwrap();
    let two = 2.0_f64.to_le_bytes();
    assert_eq!(names, [(&b"x"[..], &b""[..]), (&two, b""), (&[1], b"")]);

    let namespace = bench.get_property("metadata.filter_metadata.ns").unwrap();
    let values = entries(&namespace);
    let keys: Vec<_> = values.iter().map(|(key, _)| key.as_str()).collect();
    assert_eq!(keys, ["flag", "list", "number", "text"]);
    assert_eq!(values[1].1, list);
    let all = bench.get_property("metadata.filter_metadata").unwrap();
    assert_eq!(entries(&all), [("ns".to_owned(), namespace)]);
}

#[test]
fn metadata_as_a_message() {
    let mut bench = Bench::on_stream(with_metadata(vec![(
        Source::Dynamic,
        "ns",
        "list",
        Datum::List(vec![
            Datum::Number(0.0),
            Datum::Text(b""),
            Datum::Flag(false),
        ]),
    )]));
    let message = |number, content: Message| Message::default().with(number, &content.into_bytes());
    let list = Message::default()
        .with(1, &Message::default().with_double(2, 0.0).into_bytes())
        .with(1, &Message::default().with(3, b"").into_bytes())
        .with(1, &Message::default().with_bool(4, false).into_bytes());
    let value = message(6, list);
    let fields = message(
        1,
        Message::default()
            .with(1, b"list")
            .with(2, &value.into_bytes()),
    );
    let whole = message(
        1,
        Message::default()
            .with(1, b"ns")
            .with(2, &fields.into_bytes()),
    );
    assert_eq!(bench.get_property("metadata"), Ok(whole.into_bytes()));
    // An empty message is no bytes, an empty map four.
    assert_eq!(bench.get_property("xds.route_metadata"), Ok(vec![]));
    assert_eq!(
        bench.get_property("xds.route_metadata.filter_metadata"),
        Ok(vec![0; 4])
    );
}

#[test]
fn a_host_without_metadata_has_null() {
    let mut stream = stream();
    stream.texts.push((Text::UpstreamAddress, "10.0.0.2:80"));
    let mut bench = Bench::on_stream(stream);
    assert_eq!(
        bench.get_property("xds.upstream_host_metadata"),
        NO_WIRE_FORM
    );
    let below = "xds.upstream_host_metadata.filter_metadata.a.b";
    assert_eq!(bench.get_property(below), NOT_FOUND);
}

#[test]
fn what_cannot_be_read_spoils_what_it_is_in() {
    let list = Datum::List(vec![Datum::Text(b"a"), Datum::Unreadable]);
    let mut bench = Bench::on_stream(with_metadata(vec![
        (Source::Dynamic, "bad", "nested", Datum::Unreadable),
        (Source::Dynamic, "bad", "list", list),
        (Source::Dynamic, "bad", "text", Datum::Text(b"value")),
        (Source::Dynamic, "good", "text", Datum::Text(b"value")),
    ]));
    get(
        &mut bench,
        &[
            ("metadata.filter_metadata.bad.nested", NOT_FOUND),
            ("metadata.filter_metadata.bad.nested.deeper", NOT_FOUND),
            ("metadata.filter_metadata.bad.list", NO_WIRE_FORM),
            ("metadata.filter_metadata.bad.list.0", text("a")),
            ("metadata.filter_metadata.bad.text", text("value")),
            ("metadata.filter_metadata.bad", NO_WIRE_FORM),
            ("metadata.filter_metadata", NO_WIRE_FORM),
            ("metadata", NO_WIRE_FORM),
        ],
    );
    assert!(bench.get_property("metadata.filter_metadata.good").is_ok());
}

#[test]
fn properties_that_plugins_set() {
    let mut bench = Bench::on_stream(stream());
    assert_eq!(bench.get_property("mine"), NOT_FOUND);
    for value in ["first", "second", ""] {
        assert_eq!(bench.set_property("mine", value.as_bytes()), Status::Ok);
        assert_eq!(bench.get_property("mine"), text(value));
    }
    // Of several parts: set, never read. And what is built in stays.
    assert_eq!(bench.set_property("a\0b", b"value"), Status::Ok);
    assert_eq!(bench.get_property("a.b"), NOT_FOUND);
    for built_in in ["plugin_name", "request\0method"] {
        assert_eq!(bench.set_property(built_in, b"value"), Status::Ok);
    }
    assert_eq!(bench.get_property("plugin_name"), text("default.test"));
    assert_eq!(bench.get_property("request.method"), text("GET"));

    let host = bench.exchange().host();
    for (name, value) in [
        ("wasm.mine", ""),
        ("wasm.a\0b", "value"),
        ("wasm.request\0method", "value"),
    ] {
        let stored = host.filter_state(name.as_bytes()).unwrap();
        assert_eq!(stored, value.as_bytes(), "{name:?}");
    }
}

#[test]
fn objects_of_the_filter_state() {
    let mut stream = stream();
    let mut put = |name: &str, value: &[u8]| {
        let entry = (value.to_vec(), Span::FilterChain);
        stream.filter_state.insert(name.as_bytes().to_vec(), entry);
    };
    put("envoy.string", b"an object");
    put("wasm.other", b"of another filter");
    let mut bench = Bench::on_stream(stream);
    // A key has dots of its own, and they are no separators.
    let by_key = |bench: &mut Bench, path: &'static str| {
        let (status, value) = bench.call([path.as_bytes()], |guest, [(ptr, len)], out, out_len| {
            crate::proxy_wasm::hostcalls::property::get(guest, ptr, len, out, out_len)
        });
        value.ok_or(status)
    };
    assert_eq!(
        by_key(&mut bench, "filter_state\0envoy.string"),
        text("an object")
    );
    assert_eq!(
        by_key(&mut bench, "filter_state\0wasm.other"),
        text("of another filter")
    );
    assert_eq!(
        by_key(&mut bench, "filter_state\0envoy.string\0field"),
        NOT_FOUND
    );
    assert_eq!(by_key(&mut bench, "filter_state\0nope"), NOT_FOUND);
    assert_eq!(
        by_key(&mut bench, "upstream_filter_state\0envoy.string"),
        NOT_FOUND
    );
    assert_eq!(bench.get_property("other"), text("of another filter"));
}

fn declare(bench: &mut Bench, name: &str, readonly: bool, span: u64) -> Status {
    let mut argument = Message::default()
        .with(1, name.as_bytes())
        .with_bool(2, readonly)
        .into_bytes();
    argument.extend_from_slice(&[5 << 3, u8::try_from(span).unwrap()]);
    let (status, result) = bench.foreign("declare_property", &argument);
    assert_eq!(result.as_deref(), Some(&[][..]));
    status
}

fn on_root(bench: &mut Bench, work: impl FnOnce(&mut Bench)) {
    let stream = bench.state().effective;
    bench.state().effective = ROOT;
    work(bench);
    bench.state().effective = stream;
}

#[test]
fn declarations_of_the_root_count_for_streams() {
    let mut bench = Bench::on_stream(stream());
    on_root(&mut bench, |bench| {
        assert_eq!(declare(bench, "once", true, 0), Status::Ok);
        assert_eq!(declare(bench, "once", false, 0), Status::BadArgument);
        assert_eq!(declare(bench, "long", false, 1), Status::Ok);
        assert_eq!(declare(bench, "longer", false, 2), Status::Ok);
    });
    assert_eq!(bench.set_property("once", b"1"), Status::Ok);
    assert_eq!(bench.set_property("once", b"2"), Status::BadArgument);
    assert_eq!(bench.get_property("once"), text("1"));
    for (name, span) in [("long", Span::Request), ("longer", Span::Connection)] {
        for value in [b"1", b"2"] {
            assert_eq!(bench.set_property(name, value), Status::Ok);
        }
        let stored = bench
            .exchange()
            .host()
            .filter_state(format!("wasm.{name}").as_bytes());
        assert_eq!(stored.unwrap(), &b"2"[..], "{span:?}");
    }
}

#[test]
fn declarations_of_streams_have_no_effect() {
    let mut bench = Bench::on_stream(stream());
    assert_eq!(declare(&mut bench, "once", true, 0), Status::Ok);
    assert_eq!(declare(&mut bench, "once", true, 0), Status::BadArgument);
    on_root(&mut bench, |bench| {
        assert_eq!(declare(bench, "once", false, 0), Status::Ok);
    });
    for value in [b"1", b"2"] {
        assert_eq!(bench.set_property("once", value), Status::Ok);
    }
    assert_eq!(bench.get_property("once"), text("2"));
}

#[test]
fn what_is_there_already_is_not_made_anew() {
    let mut stream = stream();
    let entry = (b"theirs".to_vec(), Span::FilterChain);
    stream.filter_state.insert(b"wasm.shared".to_vec(), entry);
    let mut bench = Bench::on_stream(stream);
    on_root(&mut bench, |bench| {
        assert_eq!(declare(bench, "shared", true, 1), Status::Ok);
    });
    for value in [b"1", b"2"] {
        assert_eq!(bench.set_property("shared", value), Status::Ok);
    }
}

#[test]
fn what_dead_streams_declared_is_forgotten() {
    let mut declared = Declared::default();
    let prototype = Prototype::default();
    for context in 0..100 {
        assert!(declared.add(context, b"name", prototype, |other| other == 0));
        assert!(!declared.add(context, b"name", prototype, |other| other == 0));
    }
    assert!(!declared.add(0, b"name", prototype, |_| true));
    assert!(format!("{declared:?}").len() < 400);
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
