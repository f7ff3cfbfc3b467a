//! Metadata.

use super::*;

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
