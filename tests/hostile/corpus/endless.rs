//! Work without end: events that make events, lines upon lines, host functions that take long.

use crate::assembler::{Guest, call, forever, times};

use super::parts::{http_call, prepare};
use super::{Fate, Hostile, add};

/// Events that make events.
pub(super) fn storms(corpus: &mut Vec<Hostile>) {
    let work = times(200_000, "(drop (i32.load (local.get $i)))");
    let guest = Guest::default()
        .on("configure", &call("set_tick_period_milliseconds", &["1"]))
        .on("tick", &work);
    add(corpus, "ticks-at-full-speed", Fate::Any, guest);

    let mut guest = prepare(Guest::default(), "queue_ready");
    let item = guest.text(b"item");
    let enqueue = call("enqueue_shared_queue", &["(local.get $1)", &item]);
    let dequeue = call("dequeue_shared_queue", &["(local.get $1)", "256", "260"]);
    let guest = guest.on("queue_ready", &(dequeue + &enqueue + &enqueue));
    add(corpus, "two-items-for-each-item", Fate::Lives, guest);

    let mut guest = Guest::default();
    let calling = http_call(&mut guest, 0);
    let guest = guest
        .on("configure", &call("set_tick_period_milliseconds", &["1"]))
        .on("tick", &times(10, &calling))
        .on("http_call_response", &calling);
    add(corpus, "calls-and-calls-again", Fate::Lives, guest);

    let mut guest = Guest::default();
    let calling = http_call(&mut guest, 0);
    let guest = guest
        .on("log", &calling)
        .on("done", &calling)
        .on("delete", &calling)
        .on("http_call_response", "(unreachable)");
    add(corpus, "calls-at-the-end", Fate::Any, guest);

    let set = call("set_tick_period_milliseconds", &["(local.get $i)"]);
    let guest = Guest::default().on("request_headers", &forever(&set));
    add(corpus, "sets-its-tick-for-ever", Fate::Fails, guest);
}

/// Lines upon lines.
pub(super) fn floods(corpus: &mut Vec<Hostile>) {
    let mut guest = Guest::default();
    let line = guest.text(b"a line that nobody wants to read");
    let log = call("log", &["2", &line]);
    let guest = guest.on("request_headers", &forever(&log));
    add(corpus, "logs-for-ever", Fate::Fails, guest);
    let guest = Guest::default().on(
        "request_headers",
        &forever(&call("log", &["4", "0", "60000"])),
    );
    add(corpus, "logs-long-lines-for-ever", Fate::Fails, guest);
    let guest = Guest::default().memory("200");
    let guest = guest.on("request_headers", &call("log", &["2", "0", "10000000"]));
    add(corpus, "a-line-of-10-mb", Fate::Lives, guest);
    // One part of 60000 bytes, over and over.
    let parts =
        "(i32.store (i32.const 256) (i32.const 0)) (i32.store (i32.const 260) (i32.const 60000))";
    let write =
        "(drop (call $fd_write (i32.const 2) (i32.const 256) (i32.const 1) (i32.const 512)))";
    let guest = Guest::default().on("request_headers", &(parts.to_owned() + &forever(write)));
    add(corpus, "writes-for-ever", Fate::Fails, guest);
}

/// Host functions that take long, called without end.
pub(super) fn long_calls(corpus: &mut Vec<Hostile>) {
    for (name, function) in [
        ("compresses", &b"compress"[..]),
        ("inflates", b"uncompress"),
    ] {
        let mut guest = Guest::default().memory("200");
        let function = guest.text(function);
        let compress = call(
            "call_foreign_function",
            &[&function, "8192", "10000000", "256", "260"],
        );
        let guest = guest.on("request_headers", &forever(&compress));
        add(corpus, &format!("{name}-for-ever"), Fate::Fails, guest);
    }
    let mut guest = Guest::default().memory("200");
    let key = guest.text(b"large");
    let set = call("set_shared_data", &[&key, "8192", "10000000", "0"]);
    let get = call("get_shared_data", &[&key, "256", "260", "264"]);
    let guest = guest.on("request_headers", &forever(&(set + &get)));
    add(corpus, "shares-10-mb-for-ever", Fate::Fails, guest);
    let random = "(drop (call $random_get (i32.const 8192) (i32.const 60000)))";
    let guest = Guest::default().on("request_headers", &forever(random));
    add(corpus, "takes-random-bytes-for-ever", Fate::Fails, guest);
    let guest = Guest::default().on(
        "request_headers",
        &forever(&call("get_header_map_pairs", &["0", "256", "260"])),
    );
    add(corpus, "reads-headers-for-ever", Fate::Fails, guest);
    let mut guest = Guest::default();
    let path = guest.text(b"request\0headers");
    let get = call("get_property", &[&path, "256", "260"]);
    let guest = guest.on("request_headers", &forever(&get));
    add(corpus, "reads-properties-for-ever", Fate::Fails, guest);
}
