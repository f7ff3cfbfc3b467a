//! What an input says: the guests' instructions, and what happens to their streams.

use wasmplugin_host::proxy_wasm::AbiVersion;

use super::functions::functions;
use super::guest::{DATA, IMAGE};
use crate::assembler::{CALLBACKS, types};

/// Numbers of instructions that are no function.
pub(super) const RETURN: u8 = 255;
pub(super) const ALLOCATE: u8 = 254;
pub(super) const TRAP: u8 = 253;
pub(super) const GROW: u8 = 252;

/// Bytes of an instruction: callback, function, two unused, twelve arguments.
pub(super) const INSTRUCTION: usize = 52;

/// The most instructions of a guest and events of an input.
const MOST: usize = 64;

/// Text that host functions know, at the beginning of each guest's data.
pub(super) const TEXT: &[&[u8]] = &[
    b"upstream",
    b":path",
    b"x-name",
    b"value",
    b"host",
    b"request\0headers",
    b"request\0path",
    b"plugin_name",
    b"metadata\0filter_metadata\0ns",
    b"property",
    b"compress",
    b"uncompress",
    b"expr_create",
    b"expr_evaluate",
    b"expr_delete",
    b"declare_property",
    b"set_envoy_filter_state",
    b"clear_route_cache",
    b"sign",
    b"verify_signature",
    b"request.path == '/' && size(request.headers) > 2",
    b"\x0a\x08property\x10\x01",
    b"\x01\0\0\0\x05\0\0\0\x02\0\0\0:path\0/a\0",
    b"\x03\0\0\0\x07\0\0\0\x04\0\0\0\x05\0\0\0\x01\0\0\0\x0a\0\0\0\x01\0\0\0:method\0POST\0:path\0/\0:authority\0a\0",
    b"\0\0\0\0",
    b"\x02\0\0\0\x01\0\0\0\x01\0\0\0\x01\0\0\0",
];

/// All of it.
pub(crate) struct Input {
    /// The version of the ABI that the guests follow.
    pub(super) abi: AbiVersion,
    /// Images of the guests' memory, in the order of the chain.
    pub(super) images: Vec<Vec<u8>>,
    /// Whether streams go on without a plugin that fails.
    pub(super) fails_open: bool,
    /// Whether plugins that pause at headers see the body.
    pub(super) holds_headers_only: bool,
    pub(super) events: Vec<Event>,
}

/// Something that happens. `stream` is one of those that are open.
#[derive(Clone, Copy, Debug)]
pub(super) enum Event {
    Open,
    Headers {
        stream: u8,
        response: bool,
        end: bool,
    },
    Body {
        stream: u8,
        response: bool,
        len: u16,
        end: bool,
    },
    Trailers {
        stream: u8,
        response: bool,
    },
    Complete {
        stream: u8,
    },
    /// What an open call comes to; `what` says which of the things that can.
    Call {
        call: u8,
        what: u8,
        len: u16,
    },
    Tick {
        plugin: u8,
    },
    /// Deliver what plugins left to be done.
    Deliver,
}

/// Bytes that are used up one by one; zeros behind the end.
struct Source<'a>(&'a [u8]);

impl Source<'_> {
    fn byte(&mut self) -> u8 {
        match self.0.split_first() {
            Some((byte, rest)) => {
                self.0 = rest;
                *byte
            }
            None => 0,
        }
    }

    fn word(&mut self) -> u32 {
        u32::from_le_bytes([self.byte(), self.byte(), self.byte(), self.byte()])
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Input {
    pub(super) fn read(bytes: &[u8]) -> Self {
        let mut source = Source(bytes);
        let settings = source.byte();
        let guests = usize::from(settings & 1) + 1;
        let events = events(&mut source);
        let images = (0..guests).map(|_| image(&mut source)).collect();
        Self {
            abi: match settings >> 3 & 3 {
                1 => AbiVersion::V0_1_0,
                2 => AbiVersion::V0_2_0,
                _ => AbiVersion::V0_2_1,
            },
            images,
            fails_open: settings & 2 != 0,
            holds_headers_only: settings & 4 != 0,
            events,
        }
    }
}

fn events(source: &mut Source<'_>) -> Vec<Event> {
    let count = usize::from(source.byte()) % MOST;
    let mut events = vec![Event::Open];
    for _ in 0..count {
        let what = source.byte();
        let stream = source.byte() & 1;
        let (response, end) = (what & 0x20 != 0, what & 0x40 != 0);
        events.push(match what & 0x0f {
            0 | 1 => Event::Headers {
                stream,
                response,
                end,
            },
            2..=4 => Event::Body {
                stream,
                response,
                len: u16::from(source.byte()) << (what >> 7 << 3),
                end,
            },
            5 => Event::Trailers { stream, response },
            6 => Event::Complete { stream },
            7..=10 => Event::Call {
                call: source.byte(),
                what: source.byte(),
                len: source.byte().into(),
            },
            11 => Event::Tick { plugin: stream },
            12 => Event::Open,
            _ => Event::Deliver,
        });
    }
    events
}

/// The image of a guest: text that means something, then bytes of the input, then instructions.
fn image(source: &mut Source<'_>) -> Vec<u8> {
    let mut image = TEXT.concat();
    let end_of_text = image.len();
    let own = usize::from(source.byte());
    image.extend((0..own).map(|_| source.byte()));
    image.resize(DATA as usize, 0x61);
    let count = usize::from(source.byte()) % MOST;
    for _ in 0..count {
        if source.is_empty() {
            break;
        }
        instruction(source, &mut image, end_of_text, own);
    }
    image
}

fn instruction(source: &mut Source<'_>, image: &mut Vec<u8>, end_of_text: usize, own: usize) {
    // Most callbacks are about streams, and most of what they do calls functions.
    let callback = source.byte() % u8::try_from(CALLBACKS.len()).unwrap_or(1);
    let function = source.byte();
    let mut instruction = vec![callback, function, 0, 0];
    let found = functions().get(usize::from(function));
    let shape = match found {
        Some(function) => &function.shape,
        None if function >= GROW => "n",
        None => return,
    };
    for letter in shape.chars() {
        match letter {
            's' => {
                let (at, len) = text(source, end_of_text, own);
                instruction.extend(at.to_le_bytes());
                instruction.extend(len.to_le_bytes());
            }
            'o' => instruction.extend(place(source).to_le_bytes()),
            _ => instruction.extend(number(source).to_le_bytes()),
        }
    }
    debug_assert!(instruction.len() == 4 + 4 * types(shape).len());
    instruction.resize(INSTRUCTION, 0);
    image.extend(instruction);
}

/// A number: a small one, mostly.
fn number(source: &mut Source<'_>) -> u32 {
    let byte = source.byte();
    match byte {
        0xf0..=0xf9 => source.word(),
        0xfa => u32::MAX,
        0xfb => 0x7fff_ffff,
        0xfc => 0x8000_0000,
        0xfd => 200,
        0xfe => 403,
        0xff => 0x1_0000,
        small => u32::from(small % 24),
    }
}

/// Where a result goes.
fn place(source: &mut Source<'_>) -> u32 {
    match source.byte() {
        wild @ 0xf0..=0xff => [0, u32::MAX, 0x8_0000, 0x7_fffe][usize::from(wild) % 4],
        byte => 0x100 + 8 * u32::from(byte),
    }
}

/// Text: what the host knows, what the input has, or whatever is anywhere.
fn text(source: &mut Source<'_>, end_of_text: usize, own: usize) -> (u32, u32) {
    let short = |number: usize| u32::try_from(number).unwrap_or(0);
    let byte = usize::from(source.byte());
    if let Some(text) = TEXT.get(byte) {
        let before: usize = TEXT[..byte].iter().map(|text| text.len()).sum();
        return (IMAGE + short(before), short(text.len()));
    }
    match byte {
        0x80..=0xbf if own > 0 => {
            let at = usize::from(source.byte()) % own;
            let len = usize::from(source.byte()) % (own - at + 1);
            (IMAGE + short(end_of_text + at), short(len))
        }
        0xc0..=0xcf => (IMAGE, short(byte & 0xf) << 12),
        0xd0..=0xd3 => (source.word(), source.word()),
        0xd4..=0xdf => (u32::MAX, short(byte & 3)),
        _ => (0, 0),
    }
}
