//! The guests that do what no plugin should, and what becomes of the streams that they are given.

use super::assembler::{CALLBACKS, Guest, IMPORTS, call, forever, times, types};

/// A guest, its name, and what becomes of its stream.
pub(crate) struct Hostile {
    pub(crate) name: String,
    pub(crate) guest: Guest,
    pub(crate) fate: Fate,
}

/// What a client sees of a stream whose plugin fails closed. One that fails open is always served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The plugin does not even start: 503.
    Never,
    /// It fails while the request or the headers of the response pass: 503.
    Fails,
    /// As before, but what it did to the message stays where it fails open: anything may come of it.
    FailsChanged,
    /// It fails when the headers of the response have gone out: the response breaks off.
    Cut,
    /// As before, and what it did to the body stays.
    CutChanged,
    /// It fails when the stream is over: the next one gets the 503.
    FailsAfter,
    /// It fails by itself, sooner or later: from then on 503.
    FailsLater,
    /// It is told no, and goes on: 200.
    Lives,
    /// It answers the stream itself, with this status.
    Answers(u16),
    /// Whatever: nobody hangs.
    Any,
}

/// The headers of a call to the upstream.
const CALL: &[(&str, &str)] = &[
    (":method", "GET"),
    (":path", "/call"),
    (":authority", "upstream"),
];

/// Pairs as the ABI has them.
fn pairs(pairs: &[(&str, &str)]) -> Vec<u8> {
    let word = |len: usize| u32::try_from(len).expect("short").to_le_bytes();
    let mut bytes = word(pairs.len()).to_vec();
    for (name, value) in pairs {
        bytes.extend(word(name.len()));
        bytes.extend(word(value.len()));
    }
    for part in pairs.iter().flat_map(|(name, value)| [name, value]) {
        bytes.extend(part.as_bytes());
        bytes.push(0);
    }
    bytes
}

/// All of them.
pub(crate) fn all() -> Vec<Hostile> {
    let mut corpus = Vec::new();
    in_each_callback(&mut corpus, "loops", &forever(""));
    in_each_callback(&mut corpus, "traps", "(unreachable)");
    in_each_callback(&mut corpus, "recurses", "(call $recurse)");
    starts(&mut corpus);
    memory(&mut corpus);
    host_memory(&mut corpus);
    headers_and_bodies(&mut corpus);
    replies(&mut corpus);
    resumes(&mut corpus);
    storms(&mut corpus);
    floods(&mut corpus);
    allocators(&mut corpus);
    long_calls(&mut corpus);
    wild(&mut corpus);
    corpus
}

fn add(corpus: &mut Vec<Hostile>, name: &str, fate: Fate, guest: Guest) {
    let name = name.to_owned();
    corpus.push(Hostile { name, guest, fate });
}

/// Only for streams, of which the root context is no part.
fn for_streams(callback: &str, code: &str) -> String {
    match callback {
        "context_create" => format!("(if (local.get $1) (then {code}))"),
        _ => code.to_owned(),
    }
}

/// Pauses.
const PAUSE: &str = "(return (i32.const 1))";

/// Has `callback` called, if that takes more than a request.
fn prepare(guest: Guest, callback: &str) -> Guest {
    let mut guest = guest;
    match callback {
        "tick" => guest.on("configure", &call("set_tick_period_milliseconds", &["1"])),
        "queue_ready" => {
            let queue = guest.text(b"queue");
            let register = call("register_shared_queue", &[&queue, "256"]);
            let enqueue = call(
                "enqueue_shared_queue",
                &["(i32.load (i32.const 256))", &queue],
            );
            guest.on("configure", &(register + &enqueue))
        }
        "http_call_response" => {
            let calling = http_call(&mut guest, 0);
            guest.on("request_headers", &(calling + PAUSE))
        }
        name if name.starts_with("grpc") => {
            let stream = grpc_stream(&mut guest);
            let send = call("grpc_send", &["(i32.load (i32.const 512))", "0", "4", "1"]);
            guest.on("request_headers", &(stream + &send + PAUSE))
        }
        _ => guest,
    }
}

/// A call to the upstream with so many bytes of body from the beginning of memory.
fn http_call(guest: &mut Guest, body: u32) -> String {
    let (cluster, headers) = (guest.text(b"callouts"), guest.text(&pairs(CALL)));
    let body = body.to_string();
    let arguments = [&cluster, &headers, "0", &body, "0", "0", "1000", "512"];
    call("http_call", &arguments)
}

fn in_each_callback(corpus: &mut Vec<Hostile>, does: &str, code: &str) {
    const RECURSE: &str = "(func $recurse (call $recurse))";
    for (name, _, _) in CALLBACKS {
        let callback = name.strip_prefix("proxy_on_").unwrap_or(name);
        let fate = match callback {
            "vm_start" | "configure" => Fate::Never,
            "response_body" | "response_trailers" => Fate::Cut,
            "log" | "done" | "delete" => Fate::FailsAfter,
            "tick" | "queue_ready" => Fate::FailsLater,
            _ => Fate::Fails,
        };
        let guest = prepare(Guest::default().field(RECURSE), callback);
        let guest = guest.on(callback, &for_streams(callback, code));
        add(
            corpus,
            &format!("{does}-in-{}", callback.replace('_', "-")),
            fate,
            guest,
        );
    }
}

/// What fails before there is a context.
fn starts(corpus: &mut Vec<Hostile>) {
    let function = |name: &str, code: &str| format!("(func ${name} {code})\n");
    for (does, code) in [("loops", "(loop (br 0))"), ("traps", "unreachable")] {
        let start = function("start", code) + "(start $start)";
        let guest = Guest::default().field(&start);
        add(
            corpus,
            &format!("{does}-in-start-section"),
            Fate::Never,
            guest,
        );
        let initialize = function("init", code) + "(export \"_initialize\" (func $init))";
        let guest = Guest::default().field(&initialize);
        add(corpus, &format!("{does}-in-initialize"), Fate::Never, guest);
    }
    let root = Guest::default().on("context_create", "(unreachable)");
    add(corpus, "traps-in-context-create-of-root", Fate::Never, root);
    let refuses = Guest::default().on("configure", "(return (i32.const 0))");
    add(corpus, "refuses-its-configuration", Fate::Never, refuses);
}

/// What takes the guest's own memory.
fn memory(corpus: &mut Vec<Hostile>) {
    let grow = "(br_if $forever (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))";
    let until_refused = format!("(loop $forever {grow})");
    let write = "(memory.fill (i32.const 0) (i32.const 255) \
        (i32.mul (memory.size) (i32.const 65536)))";
    let guest = Guest::default().on("request_headers", &until_refused);
    add(corpus, "grows-until-refused", Fate::Lives, guest);
    let guest = Guest::default().on("request_headers", &(until_refused.clone() + write));
    add(corpus, "grows-and-fills", Fate::Lives, guest);
    let guest = Guest::default().on(
        "request_headers",
        &(until_refused.clone() + "(unreachable)"),
    );
    add(corpus, "grows-and-traps", Fate::Fails, guest);
    let guest = Guest::default().on("configure", &(until_refused + "(unreachable)"));
    add(corpus, "grows-at-its-start", Fate::Never, guest);
    let guest = Guest::default().on("request_headers", &forever(write));
    add(corpus, "fills-memory-for-ever", Fate::Fails, guest);
    let copy = "(memory.copy (i32.const 1) (i32.const 0) \
        (i32.sub (i32.mul (memory.size) (i32.const 65536)) (i32.const 1)))";
    let guest = Guest::default().on("request_headers", &forever(copy));
    add(corpus, "copies-memory-for-ever", Fate::Fails, guest);
    add(
        corpus,
        "wants-4-gib",
        Fate::Never,
        Guest::default().memory("65536"),
    );
    let guest = Guest::default().field("(table 100000000 funcref)");
    add(corpus, "wants-a-giant-table", Fate::Never, guest);
    let tables = "(table 1 funcref)\n".repeat(200);
    add(
        corpus,
        "wants-many-tables",
        Fate::Never,
        Guest::default().field(&tables),
    );
    let memories = "(memory 1)\n".repeat(50);
    add(
        corpus,
        "wants-many-memories",
        Fate::Never,
        Guest::default().field(&memories),
    );
    let functions = "(func)\n".repeat(6000);
    let guest = Guest::default().field(&format!("(table 12000 funcref)\n{functions}"));
    add(
        corpus,
        "has-room-in-tables-for-its-functions",
        Fate::Lives,
        guest,
    );
    let table =
        "(br_if $forever (i32.ne (table.grow $t (ref.null func) (i32.const 1000)) (i32.const -1)))";
    let guest = Guest::default()
        .field("(table $t 1 funcref)")
        .on("request_headers", &format!("(loop $forever {table})"));
    add(corpus, "grows-a-table-until-refused", Fate::Lives, guest);
    let fill = "(table.fill $t (i32.const 0) (ref.null func) (table.size $t))";
    let guest = Guest::default()
        .field("(table $t 9000 funcref)")
        .on("request_headers", &forever(fill));
    add(corpus, "fills-a-table-for-ever", Fate::Fails, guest);
}

/// What has the host keep something.
fn host_memory(corpus: &mut Vec<Hostile>) {
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

fn grpc_stream(guest: &mut Guest) -> String {
    let (cluster, name) = (guest.text(b"callouts"), guest.text(b"method"));
    call("grpc_stream", &[&cluster, &name, &name, "0", "0", "512"])
}

/// Giant messages.
fn headers_and_bodies(corpus: &mut Vec<Hostile>) {
    let mut guest = Guest::default();
    let name = guest.text(b"x-giant");
    let header = call("replace_header_map_value", &["2", &name, "8192", "50000"]);
    let guest = guest.on("response_headers", &header);
    add(corpus, "a-header-of-50-kb", Fate::Any, guest);
    let mut guest = Guest::default().memory("200");
    let name = guest.text(b"x-giant");
    let header = call(
        "replace_header_map_value",
        &["0", &name, "8192", "10000000"],
    );
    let guest = guest.on("request_headers", &header);
    add(corpus, "a-header-of-10-mb", Fate::Lives, guest);
    for (which, callback) in [("0", "request_body"), ("1", "response_body")] {
        let guest = Guest::default().memory("200");
        let set = call("set_buffer_bytes", &[which, "0", "0", "8192", "10000000"]);
        let guest = guest.on(callback, &set);
        let name = format!("a-giant-{}", callback.replace('_', "-"));
        add(corpus, &name, Fate::Lives, guest);
        let append = call(
            "set_buffer_bytes",
            &[which, "1000000000", "0", "8192", "60000"],
        );
        let guest = Guest::default().on(callback, &forever(&append));
        let fate = match which {
            "0" => Fate::FailsChanged,
            _ => Fate::CutChanged,
        };
        let name = format!("appends-for-ever-in-{}", callback.replace('_', "-"));
        add(corpus, &name, fate, guest);
    }
    let guest = Guest::default().memory("200");
    let reply = call(
        "send_local_response",
        &["418", "0", "0", "8192", "10000000", "0", "0", "-1"],
    );
    let guest = guest.on("request_headers", &(reply + PAUSE));
    add(corpus, "a-reply-of-10-mb", Fate::Answers(418), guest);
    let pairs = call("set_header_map_pairs", &["0", "0", "60000"]);
    let guest = Guest::default().on("request_headers", &pairs);
    add(corpus, "pairs-that-are-none", Fate::Any, guest);
}

/// A callback of gRPC that is like another: what pauses there waits for the end of patience.
fn is_more_grpc(callback: &str) -> bool {
    callback.starts_with("grpc") && callback != "grpc_receive"
}

/// Replies in every callback, also where there is nobody to answer.
fn replies(corpus: &mut Vec<Hostile>) {
    let reply = call(
        "send_local_response",
        &["418", "0", "0", "0", "0", "0", "0", "-1"],
    );
    for (name, _, _) in CALLBACKS {
        let callback = name.strip_prefix("proxy_on_").unwrap_or(name);
        if is_more_grpc(callback) {
            continue;
        }
        let fate = match callback {
            "request_headers" | "request_body" | "request_trailers" | "response_headers" => {
                Fate::Answers(418)
            }
            "vm_start" | "configure" | "log" | "done" | "delete" | "tick" | "queue_ready" => {
                Fate::Lives
            }
            _ => Fate::Any,
        };
        let guest = prepare(Guest::default(), callback);
        // Twice: one is enough.
        let guest = guest.on(callback, &for_streams(callback, &(reply.clone() + &reply)));
        add(
            corpus,
            &format!("replies-in-{}", callback.replace('_', "-")),
            fate,
            guest,
        );
    }
}

/// Resumes and closes in every place, most of which are wrong.
fn resumes(corpus: &mut Vec<Hostile>) {
    let stream = |function: &str, types: &[&str]| -> String {
        types.iter().map(|ty| call(function, &[ty])).collect()
    };
    let resume = stream("continue_stream", &["1", "0", "1", "2", "3", "-1"]);
    let close = stream("close_stream", &["0", "1", "2", "3", "-1"]);
    for (name, _, _) in CALLBACKS {
        let callback = name.strip_prefix("proxy_on_").unwrap_or(name);
        if is_more_grpc(callback) {
            continue;
        }
        let fate = match callback {
            "http_call_response" | "grpc_receive" => Fate::Any,
            _ => Fate::Lives,
        };
        let guest = prepare(Guest::default(), callback).on(callback, &resume);
        add(
            corpus,
            &format!("resumes-in-{}", callback.replace('_', "-")),
            fate,
            guest,
        );
        let fate = match callback {
            "vm_start" | "configure" | "log" | "done" | "delete" | "tick" | "queue_ready" => {
                Fate::Lives
            }
            _ => Fate::Any,
        };
        let guest =
            prepare(Guest::default(), callback).on(callback, &for_streams(callback, &close));
        add(
            corpus,
            &format!("closes-in-{}", callback.replace('_', "-")),
            fate,
            guest,
        );
    }
    let reply = call(
        "send_local_response",
        &["418", "0", "0", "0", "0", "0", "0", "-1"],
    );
    let guest = Guest::default().on("request_headers", &(resume.clone() + &reply + &resume));
    add(corpus, "resumes-replies-resumes", Fate::Answers(418), guest);
    let guest = Guest::default().on("request_body", &(reply + &close));
    add(corpus, "replies-and-closes", Fate::Any, guest);
    // Pauses at everything, and resumes what it likes of other streams.
    let other = forever_bounded(&format!(
        "{}{}",
        call("set_effective_context", &["(local.get $i)"]),
        resume
    ));
    let guest = Guest::default()
        .on("configure", &call("set_tick_period_milliseconds", &["1"]))
        .on("tick", &other)
        .on("request_headers", PAUSE)
        .on("response_headers", PAUSE);
    add(corpus, "resumes-everybody-from-its-tick", Fate::Any, guest);
}

/// `code` for the first few contexts, counted by `$i`.
fn forever_bounded(code: &str) -> String {
    times(50, code)
}

/// Events that make events.
fn storms(corpus: &mut Vec<Hostile>) {
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
fn floods(corpus: &mut Vec<Hostile>) {
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

/// Allocators that do not give what they are asked for.
fn allocators(corpus: &mut Vec<Hostile>) {
    let mut ask = |name: &str, fate: Fate, allocator: &str| {
        let guest = Guest::default().allocator(allocator).on(
            "request_headers",
            &call("get_header_map_pairs", &["0", "256", "260"]),
        );
        add(corpus, &format!("allocator-{name}"), fate, guest);
    };
    ask("gives-nothing", Fate::Lives, "(i32.const 0)");
    ask("gives-the-end-of-memory", Fate::Lives, "(i32.const 262140)");
    ask("gives-what-is-not-there", Fate::Lives, "(i32.const -1)");
    ask("gives-where-results-go", Fate::Lives, "(i32.const 252)");
    ask("traps", Fate::Fails, "(unreachable)");
    ask("loops", Fate::Fails, "(loop (br 0)) (i32.const 0)");
    ask("recurses", Fate::Fails, "(call $malloc (local.get $size))");
    let reply = call(
        "send_local_response",
        &["418", "0", "0", "0", "0", "0", "0", "-1"],
    );
    ask("replies", Fate::Fails, &(reply + "(i32.const 65536)"));
    let pairs = call("get_header_map_pairs", &["0", "256", "260"]);
    ask("asks-again", Fate::Fails, &(pairs + "(i32.const 65536)"));
    let set = call("set_header_map_pairs", &["0", "0", "0"]);
    ask(
        "changes-what-it-is-asked-for",
        Fate::Fails,
        &(set + "(i32.const 65536)"),
    );
    ask(
        "grows-memory",
        Fate::Lives,
        "(i32.mul (memory.grow (i32.const 2)) (i32.const 65536))",
    );
    ask(
        "logs",
        Fate::Lives,
        &(call("log", &["2", "4096", "4"]) + "(i32.const 65536)"),
    );
}

/// Host functions that take long, called without end.
fn long_calls(corpus: &mut Vec<Hostile>) {
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

/// Every host function with wild numbers, in several callbacks.
fn wild(corpus: &mut Vec<Hostile>) {
    const NUMBERS: [&str; 9] = [
        "0",
        "1",
        "7",
        "4096",
        "262140",
        "2147483647",
        "-2147483648",
        "-8",
        "-1",
    ];
    let mut state = 1_u32;
    let mut pick = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        NUMBERS[(state >> 16) as usize % NUMBERS.len()]
    };
    let mut code = String::new();
    for round in 0..NUMBERS.len() + 8 {
        for (name, shape) in IMPORTS {
            let arguments: Vec<_> = types(shape)
                .into_iter()
                .map(|ty| {
                    let number = NUMBERS.get(round).copied().unwrap_or_else(&mut pick);
                    format!("({ty}.const {number})")
                })
                .collect();
            code.push_str(&format!("(drop (call ${name} {}))\n", arguments.join(" ")));
        }
    }
    let wild = format!("(func $wild {code})");
    for callback in [
        "context_create",
        "configure",
        "request_headers",
        "request_body",
        "request_trailers",
        "response_headers",
        "response_body",
        "log",
        "delete",
        "tick",
        "http_call_response",
    ] {
        let guest = prepare(Guest::default().field(&wild), callback);
        let guest = guest.on(callback, "(call $wild)");
        let name = format!("wild-numbers-in-{}", callback.replace('_', "-"));
        add(corpus, &name, Fate::Any, guest);
    }
}
