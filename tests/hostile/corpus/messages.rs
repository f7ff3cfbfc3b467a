//! Messages: giant ones, replies to them, and who may let them go on.

use crate::assembler::{CALLBACKS, Guest, call, forever, times};

use super::parts::{PAUSE, for_streams, prepare};
use super::{Fate, Hostile, add};

/// Giant messages.
pub(super) fn headers_and_bodies(corpus: &mut Vec<Hostile>) {
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

/// Replies in every callback, also where there is nobody to answer.
pub(super) fn replies(corpus: &mut Vec<Hostile>) {
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
pub(super) fn resumes(corpus: &mut Vec<Hostile>) {
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

/// A callback of gRPC that is like another: what pauses there waits for the end of patience.
fn is_more_grpc(callback: &str) -> bool {
    callback.starts_with("grpc") && callback != "grpc_receive"
}

/// `code` for the first few contexts, counted by `$i`.
fn forever_bounded(code: &str) -> String {
    times(50, code)
}
