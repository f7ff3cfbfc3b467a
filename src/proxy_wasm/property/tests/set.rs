//! Properties that plugins set, and the filter state.

use super::*;
use crate::proxy_wasm::limits::{MAX_PROPERTIES, MAX_PROPERTY};

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
fn a_stream_in_another_ones_place_may_set_as_much() {
    let mut bench = Bench::on_stream(stream());
    let value = vec![b'v'; MAX_PROPERTY];
    // The names take some of it, too.
    for number in 1..MAX_PROPERTIES / MAX_PROPERTY {
        let name = format!("property {number}");
        assert_eq!(bench.set_property(&name, &value), Status::Ok);
    }
    assert_eq!(
        bench.set_property("one more", &value),
        Status::InternalFailure
    );
    bench.exchange().renew();
    assert_eq!(bench.set_property("one more", &value), Status::Ok);
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
