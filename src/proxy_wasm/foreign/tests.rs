use super::*;
use crate::proxy_wasm::abi::Map;
use crate::proxy_wasm::host::Number;
use crate::proxy_wasm::message::Message;
use crate::proxy_wasm::status::HostError;
use crate::proxy_wasm::testing::{Bench, ROOT, Stream};

fn stream() -> Stream {
    Stream {
        numbers: vec![(Number::ResponseCode, 200)],
        objects: vec![("envoy.tcp_proxy.cluster", "bad"), ("custom.object", "bad")],
        ..Stream::default()
    }
    .with_headers(Map::RequestHeaders, &[(":path", "/")])
}

#[test]
fn there_is_what_envoy_has() {
    let names: Vec<_> = FUNCTIONS.iter().map(|(name, _)| *name).collect();
    let envoy = [
        "clear_route_cache",
        "compress",
        "declare_property",
        "expr_create",
        "expr_delete",
        "expr_evaluate",
        "set_envoy_filter_state",
        "sign",
        "uncompress",
        "verify_signature",
    ];
    assert_eq!(names, envoy);
}

#[test]
fn unknown_functions_leave_the_outs_alone() {
    let mut bench = Bench::on_root();
    for name in ["", "nope", "Compress", "compress\0"] {
        assert_eq!(
            bench.foreign(name, b""),
            (Status::NotFound, None),
            "{name:?}"
        );
    }
}

#[test]
fn known_functions_write_the_outs_even_if_they_fail() {
    let mut bench = Bench::on_root();
    for (name, argument, status) in [
        ("uncompress", &b"garbage"[..], Status::SerializationFailure),
        ("verify_signature", b"", Status::BadArgument),
        ("sign", b"\xff", Status::BadArgument),
        ("declare_property", b"\xff", Status::BadArgument),
        ("set_envoy_filter_state", b"\xff", Status::BadArgument),
        ("expr_create", b"1 +", Status::BadArgument),
        ("expr_evaluate", b"", Status::BadArgument),
        ("expr_evaluate", b"\0\0\0\0", Status::NotFound),
        ("expr_delete", b"\0\0\0", Status::BadArgument),
    ] {
        assert_eq!(
            bench.foreign(name, argument),
            (status, Some(vec![])),
            "{name}"
        );
    }
}

#[test]
fn out_pointers_may_be_null() {
    let mut bench = Bench::on_root();
    let compress = |guest: &mut Guest<'_>, [name, argument]: [(u32, u32); 2], out, out_len| {
        crate::proxy_wasm::hostcalls::foreign::call(
            guest, name.0, name.1, argument.0, argument.1, out, out_len,
        )
    };
    let arguments = [&b"compress"[..], b"text"];
    let (status, _) = bench.call(arguments, move |guest, places, _, _| {
        compress(guest, places, 0, 0)
    });
    assert_eq!(status, Status::Ok);
    // The size alone.
    let (status, size) = bench.run(move |guest| {
        memory::write(guest, 8, b"compresstext").unwrap();
        let places = [(8, 8), (16, 4)];
        let status = compress(guest, places, 0, 100).is_ok();
        let size = memory::bytes(guest)[100..104].to_vec();
        (status, size)
    });
    assert!(status);
    assert_eq!(size, 12_u32.to_le_bytes());
    // Outside of the memory.
    let outside = bench.run(move |guest| {
        memory::write(guest, 8, b"compresstext").unwrap();
        compress(guest, [(8, 8), (16, 4)], u32::MAX - 2, 0)
    });
    assert!(matches!(
        outside,
        Err(HostError::Status(Status::InvalidMemoryAccess))
    ));
}

#[test]
fn compress_and_uncompress() {
    let mut bench = Bench::on_root();
    let (status, packed) = bench.foreign("compress", b"");
    assert_eq!(status, Status::Ok);
    assert_eq!(packed.unwrap().len(), 8);
    let text = b"wasm ".repeat(10_000);
    let packed = bench.foreign("compress", &text).1.unwrap();
    assert_eq!(
        bench.foreign("uncompress", &packed),
        (Status::Ok, Some(text))
    );
}

#[test]
fn arguments_have_an_end() {
    let mut bench = Bench::on_root();
    let (status, result) = bench.foreign("compress", &vec![0; MAX_ARGUMENT + 1]);
    assert_eq!((status, result), (Status::BadArgument, Some(vec![])));
    assert_eq!(
        bench.foreign("compress", &vec![0; MAX_ARGUMENT]).0,
        Status::Ok
    );
}

#[test]
fn clear_route_cache_is_for_streams_and_never_fails() {
    let mut bench = Bench::on_root();
    assert_eq!(
        bench.foreign("clear_route_cache", b"x"),
        (Status::Ok, Some(vec![]))
    );
    let mut bench = Bench::on_stream(stream());
    assert!(!bench.exchange().has_stale_route());
    assert_eq!(
        bench.foreign("clear_route_cache", b""),
        (Status::Ok, Some(vec![]))
    );
    assert!(bench.exchange().has_stale_route());
}

#[test]
fn objects_that_envoy_makes() {
    let ask = |path: &str, value: &str| {
        let message = Message::default().with(1, path.as_bytes());
        message.with(2, value.as_bytes()).into_bytes()
    };
    let mut bench = Bench::on_stream(stream());
    for (path, value, status) in [
        ("envoy.tcp_proxy.cluster", "good", Status::Ok),
        ("envoy.tcp_proxy.cluster", "bad", Status::BadArgument),
        ("custom.object", "good", Status::Ok),
        ("nope", "good", Status::NotFound),
    ] {
        let result = bench.foreign("set_envoy_filter_state", &ask(path, value));
        assert_eq!(result, (status, Some(vec![])), "{path} {value}");
    }
    let stored = bench
        .exchange()
        .host()
        .filter_state(b"envoy.tcp_proxy.cluster");
    assert_eq!(stored.unwrap(), &b"good"[..]);
    bench.state().effective = ROOT;
    let (status, _) = bench.foreign("set_envoy_filter_state", &ask("custom.object", "good"));
    assert_eq!(status, Status::NotFound);
}
