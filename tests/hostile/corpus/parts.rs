//! What several of the guests are made of.

use crate::assembler::{Guest, call};

/// Pauses.
pub(super) const PAUSE: &str = "(return (i32.const 1))";

/// Only for streams, of which the root context is no part.
pub(super) fn for_streams(callback: &str, code: &str) -> String {
    match callback {
        "context_create" => format!("(if (local.get $1) (then {code}))"),
        _ => code.to_owned(),
    }
}

/// Has `callback` called, if that takes more than a request.
pub(super) fn prepare(guest: Guest, callback: &str) -> Guest {
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
pub(super) fn http_call(guest: &mut Guest, body: u32) -> String {
    let (cluster, headers) = (guest.text(b"callouts"), guest.text(&pairs(CALL)));
    let body = body.to_string();
    let arguments = [&cluster, &headers, "0", &body, "0", "0", "1000", "512"];
    call("http_call", &arguments)
}

pub(super) fn grpc_stream(guest: &mut Guest) -> String {
    let (cluster, name) = (guest.text(b"callouts"), guest.text(b"method"));
    call("grpc_stream", &[&cluster, &name, &name, "0", "0", "512"])
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
