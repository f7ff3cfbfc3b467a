//! Guests that go on for ever end within twice their deadline, whatever they do: loops, long bulk
//! operations, calls that keep calling the host.
//!
//! Time on a busy machine is no measure of a guest, so the best of some tries counts.
#![allow(
    clippy::expect_used,
    clippy::format_push_string,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "hostile/assembler.rs"]
mod assembler;
#[path = "hostile/corpus/mod.rs"]
#[allow(dead_code, reason = "a part of the guests is of use here")]
mod corpus;
#[path = "sequences/mod.rs"]
#[allow(dead_code, reason = "only one of its uses is of use here")]
mod sequences;

use std::time::Duration;

use assembler::{Guest, forever};
use corpus::Fate;

/// Long enough to be told from what a thread waits for its turn, and more than the longest host
/// function or bulk operation takes in a development build.
const DEADLINE: Duration = Duration::from_millis(500);

/// The default, which is what bulk operations can take the longest with.
const MEMORY: u64 = 128 << 20;

const TRIES: usize = 5;

#[test]
fn guests_end_within_twice_their_deadline() {
    let pages = MEMORY >> 16;
    let bulk = |fields: &str, operation: &str| {
        let guest = Guest::default().memory(&pages.to_string()).field(fields);
        guest.on("request_headers", &forever(operation))
    };
    let mut guests: Vec<(String, Guest)> = [
        (
            "all of memory filled",
            bulk(
                "",
                "(memory.fill (i32.const 0) (i32.const 1) (i32.const 0x7ff0000))",
            ),
        ),
        (
            "all of memory moved",
            bulk(
                "",
                "(memory.copy (i32.const 1) (i32.const 0) (i32.const 0x7ff0000))",
            ),
        ),
        (
            "a table filled",
            bulk(
                "(table $t 10000 funcref)",
                "(table.fill $t (i32.const 0) (ref.null func) (i32.const 10000))",
            ),
        ),
        (
            "a table moved",
            bulk(
                "(table $t 10000 funcref)",
                "(table.copy $t $t (i32.const 1) (i32.const 0) (i32.const 9999))",
            ),
        ),
        (
            "a table that does not grow",
            bulk(
                "(table $t 10000 funcref)",
                "(drop (table.grow $t (ref.null func) (i32.const 1)))",
            ),
        ),
        (
            "memory that does not grow",
            bulk("", "(drop (memory.grow (i32.const 1)))"),
        ),
    ]
    .map(|(name, guest)| (name.to_owned(), guest))
    .into();
    // Of the others, those whose request never ends.
    guests.extend(
        corpus::all()
            .into_iter()
            .filter(|hostile| matches!(hostile.fate, Fate::Fails | Fate::FailsChanged))
            .filter(|hostile| {
                let name = &hostile.name;
                let endless = name.contains("for-ever") || name.contains("keeps-");
                (endless && !name.contains("-body")) || name == "loops-in-request-headers"
            })
            .map(|hostile| (hostile.name, hostile.guest)),
    );
    assert!(guests.len() > 25, "{} guests", guests.len());
    let mut late = Vec::new();
    for (name, guest) in guests {
        let wasm = guest.assemble();
        let mut best = Duration::MAX;
        for _ in 0..TRIES {
            let taken = sequences::time_to_end(&wasm, DEADLINE, MEMORY);
            best = best.min(taken.unwrap_or_else(|| panic!("{name}: it lives")));
            if best <= 2 * DEADLINE {
                break;
            }
        }
        println!("{name}: {best:?}");
        assert!(best >= DEADLINE, "{name}: ended early, after {best:?}");
        if best > 2 * DEADLINE {
            late.push((name, best));
        }
    }
    assert!(late.is_empty(), "{late:?}");
}
