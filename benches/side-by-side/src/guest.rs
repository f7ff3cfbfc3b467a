//! The guests' files, and those that are made of them.

use std::fs;
use std::path::{Path, PathBuf};

/// The repository.
pub(crate) fn root() -> &'static Path {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).expect("a workspace")
}

/// The guest of most cases.
pub(crate) fn usual() -> PathBuf {
    root().join("benches/wasm/guest.wasm")
}

/// A copy of the usual guest that is another module to everybody, put into `directory`.
pub(crate) fn distinct(directory: &Path, number: usize) -> PathBuf {
    let mut module = fs::read(usual()).expect("the guest is built");
    // A custom section of the name "n", which nobody reads.
    let mut section = vec![1, b'n'];
    section.extend(number.to_le_bytes());
    push_section(&mut module, 0, &section);
    let path = directory.join(format!("guest-{number}.wasm"));
    fs::write(&path, module).expect("a file");
    path
}

/// A module of at least `size` bytes: a real one of the Go SDK, with all its functions again as
/// often as it takes. Nobody calls the copies; they are compiled like any other code.
pub(crate) fn large(directory: &Path, size: usize) -> PathBuf {
    let path = directory.join(format!("large-{size}.wasm"));
    if !path.exists() {
        let small = fs::read(root().join("tests/guests/wasm/tour-go.wasm")).expect("a fixture");
        fs::write(&path, repeat_functions(&small, size)).expect("a file");
    }
    path
}

const FUNCTIONS: u8 = 3;
const CODE: u8 = 10;
/// Magic and version.
const HEADER: usize = 8;

fn repeat_functions(module: &[u8], size: usize) -> Vec<u8> {
    let code = sections(module)
        .find(|(id, _)| *id == CODE)
        .map_or(1, |(_, content)| content.len());
    let copies = 1 + size.saturating_sub(module.len()).div_ceil(code);
    let mut out = module[..HEADER].to_vec();
    for (id, content) in sections(module) {
        if id == FUNCTIONS || id == CODE {
            // Both are a count and as many entries; each function's type and code stay together.
            let mut entries = content;
            let count = take_number(&mut entries);
            let mut longer = Vec::new();
            push_number(&mut longer, count * copies);
            for _ in 0..copies {
                longer.extend_from_slice(entries);
            }
            push_section(&mut out, id, &longer);
        } else {
            push_section(&mut out, id, content);
        }
    }
    out
}

fn sections(module: &[u8]) -> impl Iterator<Item = (u8, &[u8])> {
    let mut rest = &module[HEADER..];
    std::iter::from_fn(move || {
        let (id, after) = rest.split_first()?;
        rest = after;
        let length = take_number(&mut rest);
        let (content, after) = rest.split_at(length);
        rest = after;
        Some((*id, content))
    })
}

fn push_section(module: &mut Vec<u8>, id: u8, content: &[u8]) {
    module.push(id);
    push_number(module, content.len());
    module.extend_from_slice(content);
}

/// An unsigned LEB128 number.
fn take_number(bytes: &mut &[u8]) -> usize {
    let mut number = 0;
    for shift in (0..).step_by(7) {
        let (byte, rest) = bytes.split_first().expect("a whole module");
        *bytes = rest;
        number |= usize::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            break;
        }
    }
    number
}

fn push_number(bytes: &mut Vec<u8>, mut number: usize) {
    loop {
        let low = u8::try_from(number & 0x7f).expect("seven bits");
        number >>= 7;
        bytes.push(if number == 0 { low } else { low | 0x80 });
        if number == 0 {
            break;
        }
    }
}
