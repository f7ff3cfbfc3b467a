//! The input that has one guest hand the same text to every function that reads some: paths, pairs,
//! expressions, messages, names.

use wasmplugin_host::proxy_wasm::AbiVersion;

use super::functions::functions;
use super::guest::{DATA, IMAGE};
use super::program::{Event, INSTRUCTION, Input, TEXT};
use crate::assembler::CALLBACKS;

/// An argument of a call.
enum Argument {
    /// The text that it is about.
    Own,
    /// Text that is known.
    Known(&'static [u8]),
    Number(u32),
    /// Where a result goes.
    Out,
}

use Argument::{Known, Number, Out, Own};

/// What the guest does with a request. Properties come before there are only headers of its own, the
/// reply at last.
const CALLS: &[(&str, &[Argument])] = &[
    ("proxy_get_property", &[Own, Out, Out]),
    ("proxy_set_property", &[Own, Own]),
    ("proxy_get_property", &[Own, Out, Out]),
    foreign(&[Known(b"declare_property"), Own, Out, Out]),
    foreign(&[Known(b"set_envoy_filter_state"), Own, Out, Out]),
    foreign(&[Known(b"expr_create"), Own, Out, Out]),
    // The first expression's token is 0.
    foreign(&[Known(b"expr_evaluate"), Known(b"\0\0\0\0"), Out, Out]),
    foreign(&[Known(b"expr_delete"), Own, Out, Out]),
    foreign(&[Known(b"verify_signature"), Own, Out, Out]),
    foreign(&[Known(b"sign"), Own, Out, Out]),
    foreign(&[Known(b"compress"), Own, Out, Out]),
    foreign(&[Known(b"uncompress"), Own, Out, Out]),
    foreign(&[Own, Own, Out, Out]),
    ("proxy_get_header_map_value", &[Number(0), Own, Out, Out]),
    ("proxy_add_header_map_value", &[Number(0), Own, Own]),
    ("proxy_replace_header_map_value", &[Number(0), Own, Own]),
    ("proxy_remove_header_map_value", &[Number(0), Own]),
    ("proxy_set_header_map_pairs", &[Number(0), Own]),
    ("proxy_get_header_map_pairs", &[Number(0), Out, Out]),
    ("proxy_get_property", &[Own, Out, Out]),
    ("proxy_set_shared_data", &[Own, Own, Number(0)]),
    ("proxy_get_shared_data", &[Own, Out, Out, Out]),
    ("proxy_register_shared_queue", &[Own, Out]),
    ("proxy_resolve_shared_queue", &[Own, Own, Out]),
    ("proxy_define_metric", &[Number(0), Own, Out]),
    ("proxy_log", &[Number(2), Own]),
    (
        "proxy_http_call",
        &[Known(b"upstream"), Own, Own, Own, Number(9), Out],
    ),
    (
        "proxy_grpc_call",
        &[Known(b"upstream"), Own, Own, Own, Own, Number(9), Out],
    ),
    (
        "proxy_grpc_call",
        &[Own, Own, Own, Own, Own, Number(9), Out],
    ),
    (
        "proxy_grpc_stream",
        &[Known(b"upstream"), Own, Own, Own, Out],
    ),
    (
        "proxy_send_local_response",
        &[Number(200), Own, Own, Own, Number(0)],
    ),
];

const fn foreign(arguments: &'static [Argument]) -> (&'static str, &'static [Argument]) {
    ("proxy_call_foreign_function", arguments)
}

/// The guest does it with a request, and once more when that is over.
pub(super) fn input(text: &[u8]) -> Input {
    let mut image = TEXT.concat();
    let own = image.len();
    image.extend_from_slice(text);
    image.resize(DATA as usize, 0);
    let len = text.len().min(DATA as usize - own);
    for callback in ["proxy_on_request_headers", "proxy_on_log"] {
        for (name, arguments) in CALLS {
            let mut instruction = vec![
                number(CALLBACKS.iter().map(|(name, ..)| *name), callback),
                number(functions().iter().map(|f| &*f.name), name),
                0,
                0,
            ];
            let mut put = |word: usize| {
                let word = u32::try_from(word).expect("small");
                instruction.extend(word.to_le_bytes());
            };
            for argument in *arguments {
                match argument {
                    Own => [IMAGE as usize + own, len].map(&mut put),
                    Known(text) => [place(text), text.len()].map(&mut put),
                    Number(number) => {
                        put(*number as usize);
                        continue;
                    }
                    Out => {
                        put(0x100);
                        continue;
                    }
                };
            }
            instruction.resize(INSTRUCTION, 0);
            image.extend(instruction);
        }
    }
    let headers = Event::Headers {
        stream: 0,
        response: false,
        end: true,
    };
    Input {
        abi: AbiVersion::V0_2_1,
        images: vec![image],
        fails_open: false,
        holds_headers_only: false,
        events: vec![Event::Open, headers, Event::Complete { stream: 0 }],
    }
}

/// Where known text is in the guest's memory.
fn place(text: &[u8]) -> usize {
    let before = TEXT.iter().take_while(|known| **known != text);
    IMAGE as usize + before.map(|known| known.len()).sum::<usize>()
}

fn number<'n>(mut names: impl Iterator<Item = &'n str>, name: &str) -> u8 {
    let found = names.position(|known| known == name);
    let found = found.unwrap_or_else(|| panic!("no {name}"));
    u8::try_from(found).expect("few")
}
