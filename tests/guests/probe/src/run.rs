//! Running programs.
//!
//! Nothing is borrowed while a host function runs: a host may call back in the middle.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::imports::{self, Import};
use crate::program::{Block, Condition, Program, Statement, Term, Told, Value, decode};

/// What a result holds that the host did not write.
const UNTOUCHED: u32 = 0xeeee_eeee;

/// Bytes for functions that write to memory which the caller gives.
const SCRATCH: usize = 65536;

/// Longer texts are told in part.
const LONG: usize = 240;

#[derive(Default)]
struct State {
    /// Tells instances apart.
    tag: Cell<u32>,
    /// Before contexts exist, the host does not say whose a line is: this does.
    owner: RefCell<String>,
    contexts: RefCell<BTreeMap<u32, Context>>,
    roots: RefCell<BTreeMap<u32, Rc<Root>>>,
}

struct Context {
    root: u32,
    stream: u32,
    counts: BTreeMap<String, u32>,
}

#[derive(Default)]
struct Root {
    program: RefCell<Rc<Program>>,
    variables: RefCell<BTreeMap<String, Value>>,
    streams: Cell<u32>,
}

struct Global<T>(T);

// SAFETY: guests have one thread.
unsafe impl<T> Sync for Global<T> {}

static STATE: Global<std::cell::LazyCell<State>> = Global(std::cell::LazyCell::new(State::default));

fn state() -> &'static State {
    &STATE.0
}

/// What the allocator does: an index into `program::ALLOCATORS`.
static ALLOCATOR: AtomicU32 = AtomicU32::new(0);

/// The guest's allocator.
pub fn allocate(size: usize) -> *mut u8 {
    match ALLOCATOR.load(Ordering::Relaxed) {
        1 => return std::ptr::null_mut(),
        2 => return 0xffff_fff0_usize as *mut u8,
        3 => trap(),
        4 => tell("allocating"),
        5 => {
            call(imports::find("done").expect("a function"), &[]);
        }
        _ => {}
    }
    let mut block = Vec::<u8>::with_capacity(size);
    let start = block.as_mut_ptr();
    std::mem::forget(block);
    start
}

/// A line in the host's log.
pub fn tell(text: &str) {
    let state = state();
    if state.tag.get() == 0 {
        let mut now = 0_u64;
        let clock = imports::find("clock_time_get").expect("a function");
        call(clock, &[0, 1, (&raw mut now) as usize as i64]);
        // Nanoseconds in which no two instances start.
        state.tag.set((now ^ (now >> 32)) as u32 | 1);
    }
    let line = format!("#{:08x} {}{text}", state.tag.get(), state.owner.borrow());
    let log = imports::find("log").expect("a function");
    call(log, &[2, line.as_ptr() as usize as i64, line.len() as i64]);
}

/// Before any context exists: the program of the environment.
pub fn start() {
    let variables = environment();
    let text = variables
        .iter()
        .find_map(|text| text.strip_prefix("PROBE_INIT="));
    let Some(text) = text else { return };
    let name = variables
        .iter()
        .find_map(|text| text.strip_prefix("PROBE_NAME="));
    *state().owner.borrow_mut() = format!("init-of {} ", name.unwrap_or_default());
    match Program::parse(text) {
        Err(error) => tell(&format!("program error: {error}")),
        Ok(program) => {
            if let Some(block) = program.sections.get(&("init".to_owned(), 0)) {
                tell("> init");
                let root = Root::default();
                Frame::new(&root, "init", &[], 0).run(block);
            }
        }
    }
    state().owner.borrow_mut().clear();
}

fn environment() -> Vec<String> {
    let (mut count, mut size) = (0_u32, 0_u32);
    let outs = [
        (&raw mut count) as usize as i64,
        (&raw mut size) as usize as i64,
    ];
    let sizes = imports::find("environ_sizes_get").expect("a function");
    if call(sizes, &outs) != 0 {
        return Vec::new();
    }
    let mut pointers = vec![0_u32; count as usize + 1];
    let mut bytes = vec![0_u8; size as usize + 1];
    let get = imports::find("environ_get").expect("a function");
    let outs = [
        pointers.as_mut_ptr() as usize as i64,
        bytes.as_mut_ptr() as usize as i64,
    ];
    call(get, &outs);
    bytes
        .split(|byte| *byte == 0)
        .filter(|text| !text.is_empty())
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .collect()
}

/// A new context.
pub fn create(id: u32, parent: u32) {
    let is_root = parent == 0;
    let root = if is_root { id } else { parent };
    if is_root {
        state().roots.borrow_mut().entry(id).or_default();
        configure(id);
    }
    let streams = state().roots.borrow().get(&root).map_or(0, |root| {
        root.streams.set(root.streams.get() + u32::from(!is_root));
        root.streams.get()
    });
    let context = Context {
        root,
        stream: streams,
        counts: BTreeMap::new(),
    };
    state().contexts.borrow_mut().insert(id, context);
    let section = if is_root { "root_create" } else { "create" };
    enter("context_create", section, id, &[parent], 0);
}

/// Reads the program, if the host shows it.
pub fn configure(root: u32) {
    let Some(config) = buffer(7) else { return };
    let root = state().roots.borrow().get(&root).cloned();
    let Some(root) = root else { return };
    match Program::parse(&String::from_utf8_lossy(&config)) {
        Ok(program) => *root.program.borrow_mut() = Rc::new(program),
        Err(error) => tell(&format!("program error: {error}")),
    }
}

fn buffer(number: i64) -> Option<Vec<u8>> {
    let (mut start, mut len) = (0_u32, 0_u32);
    let outs = [
        (&raw mut start) as usize as i64,
        (&raw mut len) as usize as i64,
    ];
    let get = imports::find("get_buffer_bytes").expect("a function");
    let status = call(get, &[number, 0, i64::from(u32::MAX), outs[0], outs[1]]);
    (status == 0 && len > 0).then(|| take(start, len))
}

/// Takes a block that the host allocated.
fn take(start: u32, len: u32) -> Vec<u8> {
    // SAFETY: the host was given it by `allocate`, which made it of this size.
    unsafe { Vec::from_raw_parts(start as usize as *mut u8, len as usize, len as usize) }
}

/// The context is gone.
pub fn delete(id: u32) {
    let context = state().contexts.borrow_mut().remove(&id);
    if context.is_some_and(|context| context.root == id) {
        state().roots.borrow_mut().remove(&id);
    }
}

/// Whether `id` is a root.
pub fn is_root(id: u32) -> bool {
    state().roots.borrow().contains_key(&id)
}

/// A callback: tells it, and runs its section.
pub fn enter(name: &str, section: &str, id: u32, parameters: &[u32], default: i64) -> i64 {
    let place = {
        let mut contexts = state().contexts.borrow_mut();
        contexts.get_mut(&id).map(|context| {
            let count = context.counts.entry(section.to_owned()).or_default();
            *count += 1;
            (context.root, context.stream, *count)
        })
    };
    let root = place.and_then(|(root, ..)| state().roots.borrow().get(&root).cloned());
    let program = root.as_ref().map(|root| Rc::clone(&root.program.borrow()));
    if !program.as_ref().is_some_and(|p| p.mute.contains(section)) {
        let mut line = format!("> {name} {id}");
        for (index, parameter) in parameters.iter().enumerate() {
            // A queue's number is the process's.
            let queue = name == "queue_ready" && index == 0;
            line += if queue { " queue=" } else { " " };
            line += &parameter.to_string();
        }
        if place.is_none() {
            line += " (unknown context)";
        }
        tell(&line);
    }
    let (Some(root), Some(program), Some((_, stream, nth))) = (root, program, place) else {
        return default;
    };
    let block = program
        .sections
        .get(&(section.to_owned(), nth))
        .or_else(|| program.sections.get(&(section.to_owned(), 0)));
    let Some(block) = block else { return default };
    let mut all = vec![id];
    all.extend(parameters);
    let mut frame = Frame::new(&root, section, &all, default);
    frame.set("nth", Value::Number(nth.into()));
    frame.set("stream", Value::Number(stream.into()));
    frame.run(block);
    frame.result
}

/// A running section.
struct Frame<'a> {
    root: &'a Root,
    section: &'a str,
    local: BTreeMap<String, Value>,
    result: i64,
}

impl<'a> Frame<'a> {
    fn new(root: &'a Root, section: &'a str, parameters: &[u32], default: i64) -> Self {
        let mut frame = Self {
            root,
            section,
            local: BTreeMap::new(),
            result: default,
        };
        for (index, parameter) in parameters.iter().enumerate() {
            frame.set(&index.to_string(), Value::Number((*parameter).into()));
        }
        frame
    }

    fn set(&mut self, name: &str, value: Value) {
        self.local.insert(name.to_owned(), value);
    }

    /// Whether the section goes on.
    fn run(&mut self, block: &Block) -> bool {
        for statement in block.iter() {
            match statement {
                Statement::Call {
                    import,
                    text,
                    told,
                    arguments,
                    out,
                } => {
                    let arguments: Vec<_> = arguments.iter().map(|term| self.value(term)).collect();
                    let out = out.as_ref().map(|term| number(&self.value(term)));
                    self.call(import, text, *told, &arguments, out);
                }
                Statement::Say(terms) => {
                    let values: Vec<_> = terms.iter().map(|t| told(&self.value(t))).collect();
                    tell(&values.join(" "));
                }
                Statement::Set(name, term) => {
                    let value = self.value(term);
                    self.root.variables.borrow_mut().insert(name.clone(), value);
                }
                Statement::Increment(name) => {
                    let mut variables = self.root.variables.borrow_mut();
                    let before = variables.get(name).map_or(0, number);
                    variables.insert(name.clone(), Value::Number(before + 1));
                }
                Statement::If(condition, then, otherwise) => {
                    let block = if self.holds(condition) {
                        then
                    } else {
                        otherwise
                    };
                    if !self.run(block) {
                        return false;
                    }
                }
                Statement::Loop(count, block) => {
                    for _ in 0..number(&self.value(count)) {
                        if !self.run(block) {
                            return false;
                        }
                    }
                }
                Statement::Return(term) => {
                    self.result = number(&self.value(term));
                    return false;
                }
                Statement::Trap => trap(),
                Statement::Forever => loop {
                    std::hint::black_box(0);
                },
                Statement::Recurse => {
                    recurse(0);
                }
                Statement::Grow(pages) => {
                    let pages = number(&self.value(pages));
                    let before = std::arch::wasm32::memory_grow::<0>(pages as usize);
                    let grown = before != usize::MAX;
                    tell(if grown { "grown" } else { "not grown" });
                }
                Statement::Allocator(kind) => ALLOCATOR.store(*kind, Ordering::Relaxed),
            }
        }
        true
    }

    fn holds(&self, condition: &Condition) -> bool {
        let left = self.value(&condition.left);
        let Some((operator, right)) = &condition.right else {
            return match left {
                Value::Number(number) => number != 0,
                Value::Bytes(bytes) => !bytes.is_empty(),
                _ => true,
            };
        };
        let right = self.value(right);
        match operator {
            b'=' => left == right,
            b'!' => left != right,
            b'<' => number(&left) < number(&right),
            _ => number(&left) > number(&right),
        }
    }

    fn value(&self, term: &Term) -> Value {
        match term {
            Term::Value(value) => value.clone(),
            Term::Variable(name) => {
                let local = self.local.get(name).cloned();
                local
                    .or_else(|| self.root.variables.borrow().get(name).cloned())
                    .unwrap_or(Value::Number(0))
            }
            Term::Parts(terms) => Value::Parts(terms.iter().map(|term| self.value(term)).collect()),
            Term::Number(term) => Value::Number(number(&self.value(term))),
            Term::Little(size, term) => {
                let bytes = number(&self.value(term)).to_le_bytes();
                Value::Bytes(bytes[..*size].to_vec())
            }
        }
    }

    fn call(
        &mut self,
        import: &'static Import,
        text: &str,
        told: Told,
        arguments: &[Value],
        out: Option<i64>,
    ) {
        let mut arguments = arguments.iter();
        let mut flat = Vec::new();
        // Kept until the call is over.
        let mut texts: Vec<Vec<u8>> = Vec::new();
        let mut vectors: Vec<Vec<u32>> = Vec::new();
        let mut outs: Vec<Box<[u32; 2]>> = Vec::new();
        let mut scratches: Vec<Vec<u8>> = Vec::new();
        for shape in import.shape.bytes() {
            match shape {
                b'n' | b'L' => flat.push(arguments.next().map_or(0, number)),
                b's' => match arguments.next() {
                    Some(Value::Raw(start, len)) => flat.extend([*start, *len].map(i64::from)),
                    value => {
                        let text = value.map(bytes).unwrap_or_default();
                        // A place in memory, also for nothing.
                        let start = if text.is_empty() {
                            64
                        } else {
                            text.as_ptr() as usize as i64
                        };
                        flat.extend([start, text.len() as i64]);
                        texts.push(text);
                    }
                },
                b'v' => match arguments.next() {
                    Some(Value::Raw(start, len)) => flat.extend([*start, *len].map(i64::from)),
                    value => {
                        let parts = match value {
                            Some(Value::Parts(parts)) => parts.iter().map(bytes).collect(),
                            Some(value) => vec![bytes(value)],
                            None => Vec::new(),
                        };
                        let mut vector = Vec::with_capacity(parts.len() * 2 + 1);
                        for part in parts {
                            vector.extend([part.as_ptr() as usize as u32, part.len() as u32]);
                            texts.push(part);
                        }
                        flat.extend([
                            vector.as_ptr() as usize as i64,
                            (vector.len() / 2) as i64,
                        ]);
                        vectors.push(vector);
                    }
                },
                b'O' | b'o' => {
                    let mut scratch = vec![0; SCRATCH];
                    flat.push(out.unwrap_or(scratch.as_mut_ptr() as usize as i64));
                    scratches.push(scratch);
                }
                _ => {
                    let mut slot = Box::new([UNTOUCHED; 2]);
                    let start = slot.as_mut_ptr() as usize as i64;
                    flat.push(out.unwrap_or(start));
                    if matches!(shape, b'B' | b'M') {
                        flat.push(out.unwrap_or(start + 4));
                    }
                    outs.push(slot);
                }
            }
        }
        let status = call(import, &flat);
        drop((texts, vectors));
        let mut line = format!("{text} = {status}");
        let mut results = Vec::new();
        let (mut outs, mut scratches) = (outs.into_iter(), scratches.into_iter());
        for shape in import.shape.bytes() {
            if shape == b'o' {
                drop(scratches.next());
                continue;
            }
            if shape == b'O' {
                let mut scratch = scratches.next().unwrap_or_default();
                let end = scratch.iter().rposition(|byte| *byte != 0);
                scratch.truncate(end.map_or(0, |end| end + 1));
                results.push((shape, Some(Value::Bytes(scratch))));
            } else if !matches!(shape, b'n' | b'L' | b's' | b'v') {
                let Some(slot) = outs.next() else { continue };
                let [first, second] = *slot;
                let value = match shape {
                    _ if first == UNTOUCHED => None,
                    b'B' | b'M' if first == 0 && second == 0 => Some(Value::Bytes(Vec::new())),
                    b'B' | b'M' if first as usize >= memory() => Some(Value::Raw(first, second)),
                    b'B' | b'M' => Some(Value::Bytes(take(first, second))),
                    b'Q' => {
                        let number = u64::from(first) | u64::from(second) << 32;
                        Some(Value::Number(number as i64))
                    }
                    _ => Some(Value::Number(first.into())),
                };
                results.push((shape, value));
            }
        }
        for (shape, value) in &results {
            line.push(' ');
            line += &match value {
                None if status != 0 || out.is_some() => "-".to_owned(),
                None => "untouched".to_owned(),
                Some(value) if told == Told::Shape => match value {
                    Value::Bytes(bytes) => format!("<{} bytes>", bytes.len()),
                    Value::Number(0) => "<zero>".to_owned(),
                    _ => "<number>".to_owned(),
                },
                Some(Value::Bytes(bytes)) if *shape == b'M' => told_pairs(bytes),
                Some(Value::Number(number)) if *shape == b'C' => format!("cas={number}"),
                Some(Value::Number(number)) if *shape == b'T' => format!("queue={number}"),
                Some(value) => self::told(value),
            };
        }
        if told != Told::Nothing {
            tell(&line);
        }
        self.set("status", Value::Number(status.into()));
        for ((_, value), name) in results.into_iter().zip(["out", "out2"]) {
            self.set(name, value.unwrap_or(Value::Bytes(Vec::new())));
        }
        let _ = self.section;
    }
}

/// Calls a host function.
fn call(import: &Import, values: &[i64]) -> i32 {
    (import.call)(values)
}

fn trap() -> ! {
    std::arch::wasm32::unreachable()
}

/// Until the stack is full.
#[inline(never)]
fn recurse(depth: u64) -> u64 {
    let place = std::hint::black_box([depth; 16]);
    if place[0] == u64::MAX {
        return 0;
    }
    recurse(place[3] + 1) + place[5]
}

fn memory() -> usize {
    std::arch::wasm32::memory_size::<0>() * 65536
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Number(number) => *number,
        Value::Bytes(bytes) => match bytes.len() {
            1 => bytes[0].into(),
            4 => u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]).into(),
            8 => i64::from_le_bytes(std::array::from_fn(|index| bytes[index])),
            _ => 0,
        },
        Value::Raw(start, _) => (*start).into(),
        Value::Parts(_) => 0,
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    match value {
        Value::Number(number) => number.to_string().into_bytes(),
        Value::Bytes(bytes) => bytes.clone(),
        Value::Raw(..) => Vec::new(),
        Value::Parts(parts) => parts.iter().flat_map(bytes).collect(),
    }
}

fn told(value: &Value) -> String {
    match value {
        Value::Number(number) => number.to_string(),
        Value::Bytes(bytes) => quoted(bytes),
        Value::Raw(start, len) => format!("@{start:#x},{len}"),
        Value::Parts(parts) => quoted(&parts.iter().flat_map(bytes).collect::<Vec<_>>()),
    }
}

fn told_pairs(bytes: &[u8]) -> String {
    let Some(pairs) = decode(bytes) else {
        return if bytes.is_empty() {
            "nothing".to_owned()
        } else {
            format!("not pairs: {}", quoted(bytes))
        };
    };
    let pairs: Vec<_> = pairs
        .iter()
        .map(|(name, value)| format!("{}={}", quoted(name), quoted(value)))
        .collect();
    format!("{{{}}}", pairs.join(", "))
}

fn quoted(bytes: &[u8]) -> String {
    let mut text = String::from("\"");
    for byte in bytes.iter().take(LONG) {
        match byte {
            b'"' | b'\\' => text.extend(['\\', char::from(*byte)]),
            b'\n' => text += "\\n",
            b'\r' => text += "\\r",
            b' '..=b'~' => text.push(char::from(*byte)),
            _ => text += &format!("\\x{byte:02x}"),
        }
    }
    text.push('"');
    if bytes.len() > LONG {
        let mut sum = 0xcbf2_9ce4_8422_2325_u64;
        for byte in bytes {
            sum = (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
        text += &format!("...({} bytes, {sum:016x})", bytes.len());
    }
    text
}
