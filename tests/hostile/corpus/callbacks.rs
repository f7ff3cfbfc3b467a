//! The same wrong thing in each callback, and before there is a context.

use crate::assembler::{CALLBACKS, Guest, IMPORTS, types};

use super::parts::{for_streams, prepare};
use super::{Fate, Hostile, add};

/// The same code in each callback.
pub(super) fn in_each_callback(corpus: &mut Vec<Hostile>, does: &str, code: &str) {
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
pub(super) fn starts(corpus: &mut Vec<Hostile>) {
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

/// Every host function with wild numbers, in several callbacks.
pub(super) fn wild(corpus: &mut Vec<Hostile>) {
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
