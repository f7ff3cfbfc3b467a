//! Guests of a few instructions, put together from what each callback does.
//!
//! A guest imports every host function of ABI 0.2.1, has an allocator that is as good as it needs to
//! be, and callbacks that do nothing but what is put in. Text that hostcalls are about is put into
//! its memory as it is mentioned.

use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Host functions with the shapes of their parameters, WASI's behind the others: `n` is a number, `s`
/// text (a pointer and a length), `o` a pointer to where a result goes, `L` a number of 64 bits.
pub(crate) const IMPORTS: &[(&str, &str)] = &[
    ("proxy_log", "ns"),
    ("proxy_get_log_level", "o"),
    ("proxy_get_current_time_nanoseconds", "o"),
    ("proxy_set_tick_period_milliseconds", "n"),
    ("proxy_set_effective_context", "n"),
    ("proxy_done", ""),
    ("proxy_get_status", "ooo"),
    ("proxy_get_header_map_value", "nsoo"),
    ("proxy_get_header_map_pairs", "noo"),
    ("proxy_get_header_map_size", "no"),
    ("proxy_add_header_map_value", "nss"),
    ("proxy_replace_header_map_value", "nss"),
    ("proxy_remove_header_map_value", "ns"),
    ("proxy_set_header_map_pairs", "ns"),
    ("proxy_get_buffer_bytes", "nnnoo"),
    ("proxy_get_buffer_status", "noo"),
    ("proxy_set_buffer_bytes", "nnns"),
    ("proxy_get_property", "soo"),
    ("proxy_set_property", "ss"),
    ("proxy_get_shared_data", "sooo"),
    ("proxy_set_shared_data", "ssn"),
    ("proxy_register_shared_queue", "so"),
    ("proxy_resolve_shared_queue", "sso"),
    ("proxy_enqueue_shared_queue", "ns"),
    ("proxy_dequeue_shared_queue", "noo"),
    ("proxy_http_call", "ssssno"),
    ("proxy_grpc_call", "sssssno"),
    ("proxy_grpc_stream", "sssso"),
    ("proxy_grpc_send", "nsn"),
    ("proxy_grpc_close", "n"),
    ("proxy_grpc_cancel", "n"),
    ("proxy_define_metric", "nso"),
    ("proxy_increment_metric", "nL"),
    ("proxy_record_metric", "nL"),
    ("proxy_get_metric", "no"),
    ("proxy_send_local_response", "nsssn"),
    ("proxy_continue_stream", "n"),
    ("proxy_close_stream", "n"),
    ("proxy_call_foreign_function", "ssoo"),
    ("fd_write", "nono"),
    ("fd_read", "nono"),
    ("fd_seek", "nLno"),
    ("fd_fdstat_get", "no"),
    ("fd_readdir", "nonLo"),
    ("environ_sizes_get", "oo"),
    ("environ_get", "oo"),
    ("args_sizes_get", "oo"),
    ("args_get", "oo"),
    ("clock_time_get", "nLo"),
    ("clock_res_get", "no"),
    ("random_get", "on"),
    ("poll_oneoff", "oono"),
    ("path_open", "nnsnLLno"),
    ("path_readlink", "nsono"),
    ("sock_recv", "nonnoo"),
];

/// Callbacks with the number of their parameters, and whether they have a result and which one goes
/// on.
pub(crate) const CALLBACKS: &[(&str, usize, Option<u32>)] = &[
    ("proxy_on_context_create", 2, None),
    ("proxy_on_vm_start", 2, Some(1)),
    ("proxy_on_configure", 2, Some(1)),
    ("proxy_on_request_headers", 3, Some(0)),
    ("proxy_on_request_body", 3, Some(0)),
    ("proxy_on_request_trailers", 2, Some(0)),
    ("proxy_on_response_headers", 3, Some(0)),
    ("proxy_on_response_body", 3, Some(0)),
    ("proxy_on_response_trailers", 2, Some(0)),
    ("proxy_on_log", 1, None),
    ("proxy_on_done", 1, Some(1)),
    ("proxy_on_delete", 1, None),
    ("proxy_on_tick", 1, None),
    ("proxy_on_queue_ready", 2, None),
    ("proxy_on_http_call_response", 5, None),
    ("proxy_on_grpc_receive_initial_metadata", 3, None),
    ("proxy_on_grpc_receive", 3, None),
    ("proxy_on_grpc_receive_trailing_metadata", 3, None),
    ("proxy_on_grpc_close", 3, None),
];

/// Where text begins in a guest's memory; results of hostcalls go below.
const TEXT: usize = 4096;

/// Where the allocator hands out blocks: behind all text.
const HEAP: usize = 65_536;

/// An allocator that reuses its one block, and grows it where that is too small.
const ALLOCATOR: &str = "
    (local $wanted i32)
    (local.set $wanted (i32.add (i32.const 131072) (local.get $size)))
    (if (i32.gt_u (local.get $wanted) (i32.mul (memory.size) (i32.const 65536)))
        (then (drop (memory.grow (i32.add (i32.const 1)
            (i32.shr_u (local.get $size) (i32.const 16)))))))
    (i32.const 65536)";

/// A guest on its way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Guest {
    callbacks: BTreeMap<&'static str, String>,
    fields: String,
    allocator: Option<String>,
    memory: Option<String>,
    text: Vec<u8>,
    known: BTreeMap<Vec<u8>, usize>,
}

impl Guest {
    /// The callback `name` (`proxy_on_` is left out) begins with `code`. The parameters are `$0`,
    /// `$1` and so on, and there are `$i` and `$j` to count with.
    #[must_use]
    pub(crate) fn on(mut self, name: &str, code: &str) -> Self {
        let (known, _, _) = CALLBACKS
            .iter()
            .find(|(known, _, _)| known.strip_prefix("proxy_on_") == Some(name))
            .unwrap_or_else(|| panic!("no callback {name}"));
        let body = self.callbacks.entry(known).or_default();
        body.push_str(code);
        body.push('\n');
        self
    }

    /// Further fields of the module.
    #[must_use]
    pub(crate) fn field(mut self, text: &str) -> Self {
        self.fields.push_str(text);
        self.fields.push('\n');
        self
    }

    /// The body of `malloc`, whose parameter is `$size`.
    #[must_use]
    pub(crate) fn allocator(mut self, code: &str) -> Self {
        self.allocator = Some(code.to_owned());
        self
    }

    /// The limits of its memory, in pages.
    #[must_use]
    pub(crate) fn memory(mut self, limits: &str) -> Self {
        self.memory = Some(limits.to_owned());
        self
    }

    /// `text` in memory, as two arguments: where, and how long.
    pub(crate) fn text(&mut self, text: &[u8]) -> String {
        let end = TEXT + self.text.len();
        let at = *self.known.entry(text.to_owned()).or_insert(end);
        if at == end {
            self.text.extend_from_slice(text);
        }
        assert!(at + text.len() < HEAP, "too much text");
        format!("(i32.const {at}) (i32.const {})", text.len())
    }

    /// The module.
    pub(crate) fn assemble(&self) -> Vec<u8> {
        let text = self.wat();
        wat::parse_str(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    }

    fn wat(&self) -> String {
        let mut module = String::from("(module\n");
        for (name, shape) in IMPORTS {
            let from = if name.starts_with("proxy_") {
                "env"
            } else {
                "wasi_snapshot_preview1"
            };
            let _ = writeln!(
                module,
                "(import \"{from}\" \"{name}\" (func ${name} (param {}) (result i32)))",
                types(shape).join(" ")
            );
        }
        let memory = self.memory.as_deref().unwrap_or("4");
        let text: String = self.text.iter().map(|b| format!("\\{b:02x}")).collect();
        let _ = write!(
            module,
            "(memory (export \"memory\") {memory})\n\
             (data (i32.const {TEXT}) \"{text}\")\n\
             (func (export \"proxy_abi_version_0_2_1\"))\n\
             (func $malloc (export \"malloc\") (param $size i32) (result i32)\n{})\n",
            self.allocator.as_deref().unwrap_or(ALLOCATOR)
        );
        for (name, parameters, result) in CALLBACKS {
            let Some(body) = self.callbacks.get(name) else {
                continue;
            };
            let declared: String = (0..*parameters)
                .map(|number| format!("(param ${number} i32) "))
                .collect();
            let (ty, value) = match result {
                Some(value) => ("(result i32)", format!("(i32.const {value})")),
                None => ("", String::new()),
            };
            let _ = writeln!(
                module,
                "(func (export \"{name}\") {declared} {ty} (local $i i32) (local $j i32)\n\
                 {body} {value})"
            );
        }
        module.push_str(&self.fields);
        module.push(')');
        module
    }
}

/// The types of the parameters that a shape stands for.
pub(crate) fn types(shape: &str) -> Vec<&'static str> {
    let types = shape.chars().flat_map(|letter| match letter {
        'L' => &["i64"][..],
        's' => &["i32", "i32"],
        _ => &["i32"],
    });
    types.copied().collect()
}

/// A call whose status is of no interest. `arguments` are expressions, or numbers.
pub(crate) fn call(name: &str, arguments: &[&str]) -> String {
    let arguments: Vec<_> = arguments
        .iter()
        .map(|argument| match argument.parse::<i64>() {
            Ok(number) => format!("(i32.const {number})"),
            Err(_) => (*argument).to_owned(),
        })
        .collect();
    format!("(drop (call $proxy_{name} {}))", arguments.join(" "))
}

/// `code`, again and again until the guest is stopped.
pub(crate) fn forever(code: &str) -> String {
    format!("(loop $forever {code} (br $forever))")
}

/// `code`, so many times; `$i` counts.
pub(crate) fn times(count: u32, code: &str) -> String {
    format!(
        "(local.set $i (i32.const 0)) (loop $times {code} \
         (br_if $times (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) \
         (i32.const {count}))))"
    )
}
