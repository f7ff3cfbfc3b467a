//! The guest's own memory and tables, and allocators.

use crate::assembler::{Guest, call, forever};

use super::{Fate, Hostile, add};

/// What takes the guest's own memory.
pub(super) fn limits(corpus: &mut Vec<Hostile>) {
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

/// Allocators that do not give what they are asked for.
pub(super) fn allocators(corpus: &mut Vec<Hostile>) {
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
