use super::*;
use crate::proxy_wasm::abi::Map;
use crate::proxy_wasm::host::{Datum, Number, Source, Span, Text};
use crate::proxy_wasm::message::Message;
use crate::proxy_wasm::testing::{Bench, ROOT, Stream as Host};

fn host() -> Host {
    let mut host = Host {
        texts: vec![
            (Text::RequestPath, "/orders?id=1"),
            (Text::RequestMethod, "GET"),
            (Text::SourceAddress, "10.0.0.1:1234"),
            (Text::RouteName, "route"),
        ],
        numbers: vec![(Number::ResponseCode, 200), (Number::ConnectionId, 7)],
        start_time: Some(1_700_000_000_000_000_001),
        metadata: vec![
            ((Source::Dynamic, "ns", "key"), Datum::Text(b"value")),
            ((Source::Dynamic, "ns", "number"), Datum::Number(1.5)),
            (
                (Source::Dynamic, "ns", "list"),
                Datum::List(vec![Datum::Text(b"a")]),
            ),
            ((Source::Route, "r", "key"), Datum::Flag(true)),
        ],
        ..Host::default()
    }
    .with_headers(
        Map::RequestHeaders,
        &[
            (":path", "/orders?id=1"),
            ("x-a", "1"),
            ("x-a", "2"),
            ("x-b", "b"),
        ],
    )
    .with_headers(Map::ResponseHeaders, &[(":status", "200")]);
    let entry = (b"of another".to_vec(), Span::FilterChain);
    host.filter_state.insert(b"wasm.other".to_vec(), entry);
    host
}

/// Creates and evaluates.
fn value_on(bench: &mut Bench, source: &str) -> Result<Vec<u8>, Status> {
    let (status, token) = bench.foreign("expr_create", source.as_bytes());
    assert_eq!(status, Status::Ok, "{source}: {:?}", bench.log.take());
    let token = token.unwrap();
    let (status, value) = bench.foreign("expr_evaluate", &token);
    assert_eq!(bench.foreign("expr_delete", &token).0, Status::Ok);
    match status {
        Status::Ok => Ok(value.unwrap()),
        status => {
            assert_eq!(value, Some(vec![]), "{source}");
            Err(status)
        }
    }
}

fn value(source: &str) -> Result<Vec<u8>, Status> {
    value_on(&mut Bench::on_stream(host()), source)
}

const TRUE: Result<Vec<u8>, Status> = Ok(Vec::new());

/// Whether every one of these is true.
fn all_true(sources: &[&str]) {
    let mut bench = Bench::on_stream(host());
    for source in sources {
        let value = value_on(&mut bench, source);
        assert_eq!(
            value,
            TRUE.map(|_| vec![1]),
            "{source}: {:?}",
            bench.log.take()
        );
    }
}

fn fails(status: Status, sources: &[&str]) {
    let mut bench = Bench::on_stream(host());
    for source in sources {
        assert_eq!(value_on(&mut bench, source), Err(status), "{source}");
    }
}

#[test]
fn values_in_their_forms() {
    let int = |number: i64| Ok(number.to_le_bytes().to_vec());
    for (source, expected) in [
        ("1 + 2", int(3)),
        ("7u", int(7)),
        ("1.5", Ok(1.5_f64.to_le_bytes().to_vec())),
        ("true", Ok(vec![1])),
        ("'text'", Ok(b"text".to_vec())),
        ("''", Ok(vec![])),
        ("b'\\xff'", Ok(vec![255])),
        ("duration('1.5s')", int(1_500_000_000)),
        ("timestamp('1970-01-01T00:00:01Z')", int(1_000_000_000)),
        ("request.time", int(1_700_000_000_000_000_001)),
        ("request.path", Ok(b"/orders?id=1".to_vec())),
        ("response.code", int(200)),
        ("connection.id", int(7)),
        ("[]", Ok(vec![0; 4])),
        ("{}", Ok(vec![0; 4])),
        ("['a']", Ok(b"\x01\0\0\0\x01\0\0\0\0\0\0\0a\0\0".to_vec())),
        (
            "{'k': 'v'}",
            Ok(b"\x01\0\0\0\x01\0\0\0\x01\0\0\0k\0v\0".to_vec()),
        ),
        ("null", Err(Status::SerializationFailure)),
        ("[null]", Err(Status::SerializationFailure)),
        ("type(1)", Err(Status::SerializationFailure)),
        ("request", Err(Status::SerializationFailure)),
        ("metadata.filter_metadata.ns.key", Ok(b"value".to_vec())),
        (
            "metadata.filter_metadata['ns']['list'][0]",
            Ok(b"a".to_vec()),
        ),
        ("other", Ok(b"of another".to_vec())),
        ("filter_state['wasm.other']", Ok(b"of another".to_vec())),
    ] {
        assert_eq!(value(source), expected, "{source}");
    }
}

#[test]
fn names_are_the_properties() {
    all_true(&[
        "request.method == 'GET'",
        "request.path.startsWith('/orders')",
        "request.headers['x-a'] == '1,2'",
        "request.headers['x-b'] in ['a', 'b']",
        "'x-b' in request.headers",
        "!('nope' in request.headers)",
        "has(request.headers.nope) == false",
        "has(request.method)",
        "!has(request.referer)",
        "size(request.headers) == 3",
        "request.headers.exists(name, name == 'x-b')",
        "request.headers.all(name, request.headers[name] != '')",
        "response.code == 200 && response.code < 300",
        "response.headers[':status'] == '200'",
        "source.address.contains('10.0.0.1')",
        "connection_id == 7u",
        "!connection.mtls",
        "plugin_name == 'default.test' && plugin_root_id == 'root'",
        "xds.route_name == 'route'",
        "metadata.filter_metadata.ns.number == 1.5",
        "has(metadata.filter_metadata.ns) && !has(metadata.filter_metadata.nope)",
        "size(metadata.filter_metadata.ns) == 3",
        "metadata.filter_metadata.ns.list == ['a']",
        "xds.route_metadata.filter_metadata.r.key",
        "other == b'of another'",
        "request.time < timestamp('2030-01-01T00:00:00Z')",
        "request.time.getFullYear() == 2023",
        "request.nope == 1 || request.method == 'GET'",
        "request.headers.map(name, size(name)).size() == 3",
        "[1, 2, 3].filter(x, x > 1) == [2, 3]",
        "request.path.matches('^/orders')",
        "matches(request.method, 'G.T')",
        "contains('abc', 'b') && startsWith('abc', 'a') && endsWith('abc', 'c')",
        "xds.route_name + '/' + plugin_name == 'route/default.test'",
        "string(response.code) + '!' == '200!'",
        "request.headers == request.headers",
    ]);
}

#[test]
fn evaluation_fails_where_something_is_missing() {
    fails(
        Status::InternalFailure,
        &[
            "nope",
            "nope.nope",
            "request.nope",
            "request.headers['nope']",
            "request.referer",
            "metadata.filter_metadata.nope",
            "metadata.filter_metadata.ns.nope",
            "request[1]",
            "request.method + 1",
            "1 / 0",
            "[1][5]",
            "'x'.matches('(')",
            "upstream_filter_state.x",
            "xds.node.id",
        ],
    );
}

#[test]
fn what_envoy_would_not_compile_is_a_bad_argument() {
    let mut bench = Bench::on_root();
    let deep = format!("{}1{}", "(".repeat(200), ")".repeat(200));
    let chain = format!("1{}", " + 1".repeat(150));
    let long = format!("'{}'", "x".repeat(9000));
    for source in [
        "",
        "1 +",
        "(",
        "request.?path",
        "nope(1)",
        "'a'.nope()",
        "size()",
        "size(1, 2)",
        "[1].all(x)",
        "optional.of(1)",
        "Nope{}",
        "has(1)",
        "@range([1], 1)",
        &deep,
        &chain,
        &long,
    ] {
        let result = bench.foreign("expr_create", source.as_bytes());
        assert_eq!(result, (Status::BadArgument, Some(vec![])), "{source}");
        let lines = bench.log.take();
        assert_eq!(lines.len(), 1, "{source}");
        assert!(
            lines[0].1.starts_with("plugin default.test: expr_create: "),
            "{lines:?}"
        );
        assert!(!lines[0].1.contains('\n'));
    }
    let result = bench.foreign("expr_create", b"'\xff'");
    assert_eq!(result, (Status::BadArgument, Some(vec![])));
}

#[test]
fn tokens_count_up_and_belong_to_the_root() {
    let mut bench = Bench::on_stream(host());
    let create = |bench: &mut Bench| bench.foreign("expr_create", b"1").1.unwrap();
    assert_eq!(create(&mut bench), 0_u32.to_le_bytes());
    bench.state().effective = ROOT;
    assert_eq!(create(&mut bench), 1_u32.to_le_bytes());
    assert_eq!(
        bench.foreign("expr_delete", &0_u32.to_le_bytes()).0,
        Status::Ok
    );
    assert_eq!(
        bench.foreign("expr_delete", &0_u32.to_le_bytes()).0,
        Status::Ok
    );
    let gone = bench.foreign("expr_evaluate", &0_u32.to_le_bytes());
    assert_eq!(gone, (Status::NotFound, Some(vec![])));
    assert_eq!(
        bench.foreign("expr_evaluate", &[0; 5]).0,
        Status::BadArgument
    );
    assert_eq!(create(&mut bench), 2_u32.to_le_bytes());
}

#[test]
fn evaluation_is_on_the_running_callbacks_context() {
    let mut bench = Bench::on_stream(host());
    bench.state().effective = ROOT;
    assert_eq!(value_on(&mut bench, "request.method"), Ok(b"GET".to_vec()));
    // The stream is still there afterwards.
    assert!(bench.state().exchange.is_some());

    let mut bench = Bench::on_root();
    assert_eq!(value_on(&mut bench, "plugin_vm_id"), Ok(b"vm".to_vec()));
    for source in ["request.method", "request", "metadata", "other"] {
        assert_eq!(
            value_on(&mut bench, source),
            Err(Status::InternalFailure),
            "{source}"
        );
    }
}

#[test]
fn a_declared_text_is_text() {
    let mut bench = Bench::on_stream(host());
    let mut argument = Message::default().with(1, b"mine").into_bytes();
    argument.extend_from_slice(&[3 << 3, 1]);
    bench.state().effective = ROOT;
    assert_eq!(bench.foreign("declare_property", &argument).0, Status::Ok);
    bench.state().effective = bench.state().current;
    assert_eq!(bench.set_property("mine", b"value"), Status::Ok);
    assert_eq!(value_on(&mut bench, "mine == 'value'"), Ok(vec![1]));
    assert_eq!(
        value_on(&mut bench, "filter_state['wasm.mine'] == 'value'"),
        Ok(vec![1])
    );
}

#[test]
fn text_that_is_no_utf8_is_bytes() {
    let mut host = host();
    let header = (b"x-raw".to_vec(), b"\xff\xfe".to_vec());
    host.maps
        .get_mut(&Map::RequestHeaders)
        .unwrap()
        .push(header);
    let mut bench = Bench::on_stream(host);
    let raw = value_on(&mut bench, "request.headers['x-raw']");
    assert_eq!(raw, Ok(b"\xff\xfe".to_vec()));
}

#[test]
fn expressions_are_limited_in_number() {
    let mut bench = Bench::on_root();
    for _ in 0..MAX_EXPRESSIONS {
        let program = Program::compile("1");
        bench.state().foreign.expressions.add(program.unwrap());
    }
    assert_eq!(
        bench.foreign("expr_create", b"1").0,
        Status::InternalFailure
    );
    assert_eq!(bench.foreign("expr_delete", &[0; 4]).0, Status::Ok);
    let again = bench.foreign("expr_create", b"1");
    let token = u32::try_from(MAX_EXPRESSIONS).unwrap();
    assert_eq!(again, (Status::Ok, Some(token.to_le_bytes().to_vec())));
    assert!(bench.state().foreign.expressions.sources <= MAX_SOURCES);
}

#[test]
fn loops_are_limited() {
    let numbers = (0..120)
        .map(|i| i.to_string())
        .collect::<Vec<_>>()
        .join(",");
    let once = format!("[{numbers}].all(x, x >= 0)");
    assert_eq!(value(&once), Ok(vec![1]));
    let twice = format!("[{numbers}].all(x, [{numbers}].all(y, x + y >= 0))");
    assert_eq!(value(&twice), Err(Status::InternalFailure));
    let wide = format!("[{numbers}].map(x, [{numbers}].map(y, x)).size() == 120");
    assert_eq!(value(&wide), Err(Status::InternalFailure));
    // An error inside of a loop that absorbs errors is one all the same.
    let absorbed = format!("[{numbers}].exists(x, [{numbers}].exists(y, y < 0) || x < 0) || true");
    assert!(value(&absorbed).is_ok());
}

#[test]
fn large_regular_expressions_are_refused() {
    let source = "'x'.matches('(x{1000}){1000}')";
    let begun = std::time::Instant::now();
    assert_eq!(value(source), Err(Status::InternalFailure));
    assert!(begun.elapsed() < std::time::Duration::from_secs(5));
}
