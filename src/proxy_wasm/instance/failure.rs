//! How instances end before their time.

use std::fmt;

use wasmtime::Trap;

/// Why an instance ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The kind, for those who count.
    pub cause: Cause,
    /// The guest's function that was called.
    pub function: &'static str,
    /// What the engine says, with the guest's stack.
    pub reason: String,
}

/// The kinds of failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// The guest trapped.
    Trap,
    /// The guest ran past its deadline.
    Deadline,
    /// The guest trapped after it was refused memory.
    Memory,
    /// The guest called too deep.
    StackOverflow,
}

impl Cause {
    /// One word.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Trap => "trap",
            Self::Deadline => "deadline",
            Self::Memory => "memory",
            Self::StackOverflow => "stack overflow",
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} in {}: {}",
            self.cause.as_str(),
            self.function,
            self.reason
        )
    }
}

impl Failure {
    pub(super) fn new(
        error: &wasmtime::Error,
        function: &'static str,
        was_refused_memory: bool,
    ) -> Self {
        let cause = match error.downcast_ref::<Trap>() {
            Some(Trap::Interrupt) => Cause::Deadline,
            Some(Trap::StackOverflow) => Cause::StackOverflow,
            _ if was_refused_memory => Cause::Memory,
            _ => Cause::Trap,
        };
        Self {
            cause,
            function,
            reason: reason(error),
        }
    }
}

/// What the engine says, with the guest's stack. Not as `Debug` has it: where `RUST_BACKTRACE` is set,
/// that would look up the names of our own stack, which takes seconds.
fn reason(error: &wasmtime::Error) -> String {
    let mut causes = error.chain().map(ToString::to_string);
    let mut reason = causes.next().unwrap_or_default();
    for cause in causes {
        reason.push_str("\n\nCaused by:\n    ");
        reason.push_str(&cause);
    }
    reason
}
