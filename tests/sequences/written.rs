//! Inputs written by hand, in which host functions do what they are for: at random, few calls come
//! to that.
//!
//! A line is a callback, a function and its arguments, names without their usual beginning: `#` and
//! the number of one of [`TEXT`], or `-` for no text; `@` and a number for where a result goes; a
//! number, or two with `..` between them for a call with each from the first to before the second.

use super::functions::{Function, functions};
use super::program::TEXT;
use crate::assembler::CALLBACKS;

const PROGRAMS: &[(&str, &str)] = &[
    (
        "metrics",
        "request_headers define_metric 0 #2 @0
         request_headers define_metric 1 #3 @1
         request_headers increment_metric 0..8 1
         request_headers record_metric 0..8 5
         response_headers get_metric 0..8 @2",
    ),
    (
        "queues",
        "request_headers register_shared_queue #0 @0
         request_headers resolve_shared_queue - #0 @1
         request_headers enqueue_shared_queue 1 #3
         response_headers dequeue_shared_queue 1 @1 @2",
    ),
    (
        "grpc",
        "request_headers grpc_call #0 #0 #4 #24 #3 9 @0
         request_headers grpc_stream #0 #0 #4 #24 @0
         request_headers grpc_stream #0 #0 #4 #24 @0
         request_headers grpc_send 0..16 #3 0
         response_headers grpc_close 0..8
         response_headers grpc_cancel 0..16",
    ),
    (
        "messages",
        "request_headers get_header_map_size 0 @0
         request_headers get_header_map_value 0 #1 @0 @1
         request_headers add_header_map_value 0 #2 #3
         request_headers replace_header_map_value 0 #2 #3
         request_headers remove_header_map_value 0 #2
         response_headers set_header_map_pairs 2 #22
         request_body get_buffer_bytes 0 0 9 @0 @1
         request_body set_buffer_bytes 0 0 0 #3
         response_body set_buffer_bytes 1 1 2 #3",
    ),
    (
        "others",
        "request_headers set_shared_data #2 #3 0
         request_headers get_shared_data #2 @0 @1 @2
         request_headers set_property #9 #3
         request_headers get_property #6 @0 @1
         request_headers http_call #0 #23 #3 - 9 @0
         request_headers call_foreign_function #10 #3 @0 @1
         request_headers close_stream 0",
    ),
];

/// What happens to the stream: a request and a response with bodies and trailers.
const EVENTS: &[&[u8]] = &[
    &[0, 0],
    &[2, 0, 5],
    &[5, 0],
    &[0x20, 0],
    &[0x22, 0, 5],
    &[0x25, 0],
    &[6, 0],
];

/// All of them, by name.
pub(crate) fn written() -> impl Iterator<Item = (&'static str, Vec<u8>)> {
    PROGRAMS.iter().map(|(name, text)| (*name, input(text)))
}

fn input(text: &str) -> Vec<u8> {
    let instructions: Vec<_> = text.lines().flat_map(instructions).collect();
    let mut input = vec![0, byte(EVENTS.len())];
    input.extend(EVENTS.concat());
    input.extend([0, byte(instructions.len())]);
    input.extend(instructions.concat());
    input
}

/// The calls of a line.
fn instructions(line: &str) -> Vec<Vec<u8>> {
    let words: Vec<_> = line.split_whitespace().collect();
    let callback = number(
        CALLBACKS.iter().map(|(name, ..)| *name),
        "proxy_on_",
        words[0],
    );
    let function = number(functions().iter().map(|f| &*f.name), "proxy_", words[1]);
    let arguments = &words[2..];
    let range = arguments.iter().find_map(|word| {
        let (first, end) = word.split_once("..")?;
        Some(first.parse().ok()?..end.parse().ok()?)
    });
    let each = range.unwrap_or(0..1);
    let call = |each: u8| {
        let mut instruction = vec![callback, function];
        let known: &Function = &functions()[usize::from(function)];
        assert_eq!(known.shape.len(), arguments.len(), "{line}");
        for (letter, word) in known.shape.chars().zip(arguments) {
            instruction.push(argument(letter, word, each));
        }
        instruction
    };
    each.map(call).collect()
}

fn argument(letter: char, word: &str, each: u8) -> u8 {
    let number = |text: &str, end: usize| {
        let number = text
            .parse()
            .ok()
            .filter(|number| usize::from(*number) < end);
        number.unwrap_or_else(|| panic!("{word} is beyond {end}"))
    };
    match (letter, word.split_at(1)) {
        ('s', ("#", text)) => number(text, TEXT.len()),
        ('s', ("-", "")) => u8::MAX,
        ('o', ("@", place)) => number(place, 0xf0),
        ('n' | 'L', _) if word.contains("..") => each,
        ('n' | 'L', _) => number(word, 24),
        _ => panic!("{word} where {letter} is wanted"),
    }
}

fn number<'n>(mut names: impl Iterator<Item = &'n str>, beginning: &str, name: &str) -> u8 {
    let found = names.position(|known| known.strip_prefix(beginning) == Some(name));
    byte(found.unwrap_or_else(|| panic!("no {name}")))
}

fn byte(number: usize) -> u8 {
    u8::try_from(number).expect("few")
}
