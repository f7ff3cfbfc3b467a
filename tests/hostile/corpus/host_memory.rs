//! What the host keeps for a guest.

use crate::assembler::{Guest, call, forever};

use super::parts::{grpc_stream, http_call};
use super::{Fate, Hostile, add};

/// What has the host keep something.
pub(super) fn bombs(corpus: &mut Vec<Hostile>) {
    // A key or name that no other is: a counter in memory.
    const COUNT: &str =
        "(i32.store (i32.const 1024) (i32.add (i32.const 1) (i32.load (i32.const 1024))))";
    let name = ["1024", "4"];
    let [at, len] = name;
    let mut bomb = |what: &str, code: String| {
        let guest = Guest::default().on("request_headers", &forever(&(COUNT.to_owned() + &code)));
        add(corpus, &format!("keeps-{what}"), Fate::Fails, guest);
    };
    bomb(
        "shared-data",
        call("set_shared_data", &[at, len, "0", "60000", "0"]),
    );
    bomb(
        "long-keys",
        call("set_shared_data", &["1024", "60000", "0", "0", "0"]),
    );
    bomb("queues", call("register_shared_queue", &[at, len, "256"]));
    bomb("metrics", call("define_metric", &["0", at, len, "256"]));
    bomb(
        "long-metrics",
        call("define_metric", &["1", "1024", "60000", "256"]),
    );
    bomb("properties", call("set_property", &[at, len, "0", "60000"]));
    bomb(
        "long-properties",
        call("set_property", &["1024", "60000", "0", "60000"]),
    );

    // Text that passes as a header's.
    const LETTERS: &str = "(memory.fill (i32.const 8192) (i32.const 97) (i32.const 60000))";
    for (what, header, function) in [
        ("headers", &b"x-many"[..], "add_header_map_value"),
        ("a-growing-path", b":path", "add_header_map_value"),
        ("a-long-header", b"x-long", "replace_header_map_value"),
    ] {
        let mut guest = Guest::default();
        let header = guest.text(header);
        let write = call(function, &["0", &header, "8192", "50000"]);
        let guest = guest.on("request_headers", &(LETTERS.to_owned() + &forever(&write)));
        add(corpus, &format!("keeps-{what}"), Fate::FailsChanged, guest);
    }

    let mut guest = Guest::default();
    let queue = guest.text(b"filled");
    let register = call("register_shared_queue", &[&queue, "256"]);
    let enqueue = call(
        "enqueue_shared_queue",
        &["(i32.load (i32.const 256))", "0", "60000"],
    );
    let guest = guest.on("request_headers", &(register.clone() + &forever(&enqueue)));
    add(corpus, "keeps-queue-items", Fate::Fails, guest);
    let mut guest = Guest::default();
    let queue_again = guest.text(b"filled");
    assert_eq!(queue, queue_again);
    let dequeue = call(
        "dequeue_shared_queue",
        &["(i32.load (i32.const 256))", "256", "260"],
    );
    let guest = guest.on(
        "request_headers",
        &(register + &forever(&(enqueue + &dequeue))),
    );
    add(corpus, "enqueues-and-dequeues", Fate::Fails, guest);

    let mut guest = Guest::default();
    let calling = http_call(&mut guest, 60_000);
    let guest = guest.on("request_headers", &forever(&calling));
    add(corpus, "keeps-calls", Fate::Fails, guest);
    let mut guest = Guest::default();
    let stream = grpc_stream(&mut guest);
    let cancel = call("grpc_cancel", &["(i32.load (i32.const 512))"]);
    let cancels = guest.clone();
    let cancels = cancels.on("request_headers", &forever(&(stream.clone() + &cancel)));
    add(corpus, "opens-and-cancels-streams", Fate::Fails, cancels);
    let send = call(
        "grpc_send",
        &["(i32.load (i32.const 512))", "0", "60000", "0"],
    );
    let guest = guest.on("request_headers", &(stream + &forever(&send)));
    add(corpus, "sends-for-ever", Fate::Fails, guest);

    let mut guest = Guest::default();
    let histogram = guest.text(b"histogram");
    let define = call("define_metric", &["2", &histogram, "256"]);
    let record = "(drop (call $proxy_record_metric (i32.load (i32.const 256)) (i64.const 1)))";
    let guest = guest.on("request_headers", &(define + &forever(record)));
    add(corpus, "keeps-values-of-a-histogram", Fate::Fails, guest);

    for (what, function) in [
        ("expressions", &b"expr_create"[..]),
        ("declarations", b"declare_property"),
    ] {
        let mut guest = Guest::default();
        let function = guest.text(function);
        let argument = guest.text(if what == "expressions" {
            b"1 + 1"
        } else {
            b"\x0a\x04abcd"
        });
        let create = call(
            "call_foreign_function",
            &[&function, &argument, "256", "260"],
        );
        let guest = guest.on("request_headers", &forever(&create));
        add(corpus, &format!("keeps-{what}"), Fate::Fails, guest);
    }
}
